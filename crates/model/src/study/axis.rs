//! The axis of a series: the reported key that gives the positions of its points.
//!
//! The fold, the plots, the exports and the trackers share this rule, so that no two of them
//! disagree about a step. The axis is the scheduler's resource, else the first of the usual
//! counters that the series reports, else the row number. The choice holds for the whole series. A
//! row without the key gets the position of the row before it, never its row number: a curve that
//! mixes both would jump back.

use super::{Datum, Metric};
use crate::space::Name;
use serde::{Deserialize, Serialize};

/// The usual counters, in order of precedence: the first one that a row has becomes the axis.
pub const COUNTERS: [&str; 4] = ["step", "epoch", "iteration", "training_iteration"];

/// The key that gives the positions of a series; `None` inside while only row numbers are known.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Axis(Option<Name>);

impl Axis {
    /// Returns the initial axis of a series: the resource of the study if there is one, else row
    /// numbers.
    #[must_use]
    pub fn of(resource: Option<&Name>) -> Self {
        Self(resource.cloned())
    }

    /// Returns the key, or `None` if the rows are numbered.
    #[must_use]
    pub fn key(&self) -> Option<&Name> {
        self.0.as_ref()
    }

    /// Returns the name of the axis: the key, or `step` if the rows are numbered.
    #[must_use]
    pub fn word(&self) -> &str {
        self.0.as_deref().unwrap_or("step")
    }

    /// Returns whether the rows are numbered so far.
    #[must_use]
    pub fn is_number(&self) -> bool {
        self.0.is_none()
    }

    /// Returns the position of the next row: `number` if rows are numbered, else the value of the
    /// key, or `previous` if the row lacks it. `value` returns the finite number that the row has
    /// for a key. The first row with a counter fixes the axis.
    pub fn place(
        &mut self,
        number: u64,
        previous: Option<f64>,
        value: impl Fn(&str) -> Option<f64>,
    ) -> Option<f64> {
        if self.0.is_none() {
            self.0 = COUNTERS
                .into_iter()
                .find(|key| value(key).is_some())
                .map(Name::from);
        }
        match &self.0 {
            Some(key) => value(key).or(previous),
            None => Some(number as f64),
        }
    }
}

/// Returns the finite number that a report has for a key; the last one if there are several.
#[must_use]
pub fn number(values: &[(Name, Datum)], key: &str) -> Option<f64> {
    values.iter().rev().find_map(|(name, datum)| match datum {
        Datum::Number(Metric(number)) if **name == *key && number.is_finite() => Some(*number),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::{Axis, number};
    use crate::study::{Datum, Metric};

    fn positions(resource: Option<&str>, reports: &[&[(&str, f64)]]) -> Vec<Option<f64>> {
        let mut axis = Axis::of(resource.map(Into::into).as_ref());
        let mut position = None;
        let mut positions = Vec::new();
        for (row, report) in (1..).zip(reports) {
            let values: Vec<_> = report
                .iter()
                .map(|(name, value)| ((*name).into(), Datum::Number(Metric(*value))))
                .collect();
            position = axis.place(row, position, |key| number(&values, key));
            positions.push(position);
        }
        positions
    }

    #[test]
    fn the_resource_precedes_the_usual_counters_and_they_precede_row_numbers() {
        let report: &[(&str, f64)] = &[("loss", 0.5), ("epoch", 3.0), ("rows", 7.0), ("step", 0.5)];
        assert_eq!(positions(Some("rows"), &[report]), [Some(7.0)]);
        assert_eq!(positions(None, &[report]), [Some(0.5)]);
        assert_eq!(positions(None, &[&report[..2]]), [Some(3.0)]);
        assert_eq!(
            positions(None, &[&report[..1], &report[..1]]),
            [Some(1.0), Some(2.0)]
        );
    }

    #[test]
    fn a_row_without_the_key_has_the_position_of_the_row_before_it() {
        let reports: [&[(&str, f64)]; 4] = [
            &[("epoch", 0.5)],
            &[("step", 90.0)],
            &[("epoch", f64::NAN)],
            &[("epoch", 0.75)],
        ];
        assert_eq!(
            positions(None, &reports),
            [Some(0.5), Some(0.5), Some(0.5), Some(0.75)]
        );
        assert_eq!(positions(Some("rows"), &reports[..2]), [None, None]);
    }

    #[test]
    fn only_rows_before_the_first_counter_are_numbered() {
        let reports: [&[(&str, f64)]; 3] = [&[("loss", 9.0)], &[("step", 50.0)], &[("loss", 1.0)]];
        assert_eq!(
            positions(None, &reports),
            [Some(1.0), Some(50.0), Some(50.0)]
        );
    }
}
