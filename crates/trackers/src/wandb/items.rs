//! The items of a row as W&B stores them: a key and a value in JSON. Their memory is reused from
//! row to row, since there may be millions.

use crate::proto::Message;
use serde::Serialize;
use swath_engine::tracker::metric_rows::{Datum, MetricRow};

/// The items of one row. Entries beyond `used` are spare memory.
#[derive(Debug, Default)]
pub(super) struct Items {
    slots: Vec<(String, Vec<u8>)>,
    used: usize,
}

impl Items {
    /// Removes all items and keeps their memory.
    pub(super) fn clear(&mut self) {
        self.used = 0;
    }

    /// Adds an item and returns its empty key and value for the caller to fill.
    pub(super) fn add(&mut self) -> (&mut String, &mut Vec<u8>) {
        if self.used == self.slots.len() {
            self.slots.push(Default::default());
        }
        let (key, json) = &mut self.slots[self.used];
        self.used += 1;
        key.clear();
        json.clear();
        (key, json)
    }

    /// Adds an item with `value` in JSON.
    pub(super) fn put(&mut self, key: &str, value: &impl Serialize) {
        let (name, json) = self.add();
        name.push_str(key);
        write(json, value);
    }

    /// Replaces the items by those of a row in the log `log` of a trial's folder. Their keys are
    /// prefixed with the log's name. The time is left out, since every row has one of its own.
    pub(super) fn take(&mut self, log: &str, row: &MetricRow<'_>) {
        self.clear();
        for (key, datum) in &row.values {
            let (name, json) = self.add();
            name.extend([log, "/", key]);
            match datum {
                Datum::Number(value) => write_number(json, *value),
                Datum::Text(text) => write(json, text),
            }
        }
        for (key, value) in row.location.iter().filter(|(key, _)| *key != "at") {
            let (name, json) = self.add();
            name.extend([log, "/", key]);
            write(json, value);
        }
    }

    /// Returns the items of the current row.
    pub(super) fn items(&self) -> &[(String, Vec<u8>)] {
        &self.slots[..self.used]
    }

    /// Writes all items into `message`.
    pub(super) fn write(&self, message: &mut Message) {
        for (key, json) in self.items() {
            write_item(message, key, json);
        }
    }
}

/// Writes one item into `message`, as field 1.
pub(super) fn write_item(message: &mut Message, key: &str, json: &[u8]) {
    message.message(1, |item| {
        item.text(1, key);
        item.data(16, json);
    });
}

/// Returns a value in JSON.
pub(super) fn json(value: &impl Serialize) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut out, value);
    out
}

/// Returns a number as Python writes it into JSON: with `NaN`, `Infinity` and `-Infinity`.
pub(super) fn number(value: f64) -> Vec<u8> {
    let mut out = Vec::new();
    write_number(&mut out, value);
    out
}

/// Appends a value in JSON. Cannot fail, because none of the values written here has keys that JSON
/// does not support.
pub(super) fn write(out: &mut Vec<u8>, value: &impl Serialize) {
    serde_json::to_writer(out, value).ok();
}

/// Appends a number as Python writes it into JSON.
pub(super) fn write_number(out: &mut Vec<u8>, value: f64) {
    match value {
        value if value.is_finite() => write(out, &value),
        value if value.is_nan() => out.extend_from_slice(b"NaN"),
        value if value > 0.0 => out.extend_from_slice(b"Infinity"),
        _ => out.extend_from_slice(b"-Infinity"),
    }
}

#[cfg(test)]
mod tests {
    use super::{Items, number};
    use serde_json::json;
    use swath_engine::tracker::metric_rows::{Datum, MetricRow};

    fn shown(items: &Items) -> String {
        let items = items
            .items()
            .iter()
            .map(|(key, json)| format!("{key}={}", String::from_utf8_lossy(json)));
        items.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_short_row_contains_nothing_of_a_longer_row_before_it() {
        let mut items = Items::default();
        let values = vec![
            ("loss".into(), Datum::Number(0.5)),
            ("note".into(), Datum::Text("a \"b\"".into())),
        ];
        let location = vec![("step", json!(3)), ("at", json!(1.5))];
        items.take(
            "train",
            &MetricRow {
                number: 3,
                bytes: 0..0,
                at: Some(1.5),
                location,
                values,
            },
        );
        assert_eq!(
            shown(&items),
            r#"train/loss=0.5 train/note="a \"b\"" train/step=3"#
        );
        let values = vec![("x".into(), Datum::Number(f64::NAN))];
        items.take(
            "a",
            &MetricRow {
                number: 0,
                bytes: 0..0,
                at: None,
                location: vec![],
                values,
            },
        );
        items.put("_step", &7);
        assert_eq!(shown(&items), "a/x=NaN _step=7");
    }

    #[test]
    fn numbers_are_written_as_python_does() {
        let all = [1.0, 1e-7, f64::INFINITY, f64::NEG_INFINITY]
            .map(|value| String::from_utf8(number(value)).unwrap());
        assert_eq!(all, ["1.0", "1e-7", "Infinity", "-Infinity"]);
    }
}
