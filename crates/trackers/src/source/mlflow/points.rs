//! The points of a metric, as an MLflow server keeps them.

use serde_json::{Value, json};
use std::cmp::Ordering;
use std::collections::BTreeSet;

/// One value of a metric. Points are ordered as MLflow orders them: by step, time and value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Point {
    pub(super) step: i64,
    /// Milliseconds since 1970.
    pub(super) at: i64,
    pub(super) value: f64,
}

impl Eq for Point {}

impl PartialOrd for Point {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Point {
    fn cmp(&self, other: &Self) -> Ordering {
        let places = (self.step, self.at).cmp(&(other.step, other.at));
        places.then_with(|| self.value.total_cmp(&other.value))
    }
}

/// All points of a metric in a run.
///
/// MLflow keeps a point once, however often it is sent: a client repeats calls whose answer it has
/// missed, and autologging repeats the points of the best iteration.
#[derive(Debug, Default)]
pub(super) struct Points(BTreeSet<Point>);

impl Points {
    /// Adds a point. Returns whether it is new.
    pub(super) fn add(&mut self, point: Point) -> bool {
        self.0.insert(point)
    }

    /// Returns the point that MLflow shows as the value of the metric.
    pub(super) fn last(&self) -> Option<&Point> {
        self.0.last()
    }

    /// Returns the points in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Point> {
        self.0.iter()
    }
}

impl Point {
    /// Returns the point as the server's JSON.
    pub(super) fn json(&self, key: &str) -> Value {
        json!({
            "key": key,
            "value": number(self.value),
            "timestamp": self.at,
            "step": self.step,
        })
    }
}

/// Returns a number as JSON: NaN and the infinities are texts, as in the JSON of protocol buffers.
fn number(value: f64) -> Value {
    if value.is_finite() {
        return json!(value);
    }
    let text = match (value.is_nan(), value > 0.0) {
        (true, _) => "NaN",
        (false, true) => "Infinity",
        (false, false) => "-Infinity",
    };
    json!(text)
}

/// Returns a number that a client sent.
pub(super) fn read_number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

/// Returns a whole number that a client sent: a number, or a text as in the JSON of protocol
/// buffers and in a query.
pub(super) fn read_integer(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number
            .as_i64()
            .or_else(|| number.as_f64().map(|number| number as i64)),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{Point, Points, read_number};
    use serde_json::json;

    #[test]
    fn a_point_that_is_sent_again_is_kept_once() {
        let mut points = Points::default();
        let point = Point {
            step: 1,
            at: 5,
            value: f64::NAN,
        };
        assert!(points.add(point));
        assert!(!points.add(point));
        assert!(points.add(Point { at: 6, ..point }));
        assert_eq!(points.iter().count(), 2);
    }

    #[test]
    fn the_last_point_is_the_one_of_the_latest_step() {
        let mut points = Points::default();
        for (step, at, value) in [(2, 1, 0.5), (1, 9, 0.1), (2, 0, 0.7)] {
            points.add(Point { step, at, value });
        }
        assert_eq!(
            points.last(),
            Some(&Point {
                step: 2,
                at: 1,
                value: 0.5
            })
        );
    }

    #[test]
    fn numbers_that_json_lacks_are_texts() {
        for (value, text) in [
            (f64::INFINITY, "Infinity"),
            (f64::NEG_INFINITY, "-Infinity"),
        ] {
            let point = Point {
                step: 0,
                at: 0,
                value,
            };
            assert_eq!(point.json("x")["value"], json!(text));
            assert_eq!(read_number(&json!(text)), Some(value));
        }
        assert!(read_number(&json!("NaN")).unwrap().is_nan());
    }
}
