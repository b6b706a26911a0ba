//! Which reported value of a key is the last one.
//!
//! It is the value of the largest step; of several values at that step, the one that arrived last.
//! A program may deliver the report of epoch 4 after that of epoch 5, from another thread or
//! through a logger that sends in the background, and its result is still that of epoch 5. Values
//! without a step are in the order of their arrival: such a value comes after all values that
//! arrived before it. A later attempt comes after all earlier ones, even if it begins at a smaller
//! step: it has resumed from an older checkpoint, or has not found one.

use super::{Axis, Datum, Metric, NameMap, axis};
use crate::space::Name;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The steps of the last values of a running attempt. A trial has none before the first report with
/// a step, and after the attempt.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct LastSteps {
    /// The axis of the steps.
    axis: Axis,
    /// The largest step.
    largest: f64,
    /// The step of the last value of each key.
    of_keys: NameMap<f64>,
    /// The steps of all values of the objectives of which several values count, ascending.
    of_series: BTreeMap<Name, Vec<Metric>>,
}

impl LastSteps {
    /// Returns the step of a report, by which its values are ordered: the one that it has on the
    /// axis, else the largest so far. `None` as long as the attempt has reported no step.
    pub(super) fn step_of(
        steps: &mut Option<Box<Self>>,
        axis: &Axis,
        values: &[(Name, Datum)],
    ) -> Option<f64> {
        // Steps on another axis, from before an edit of the sweep file, cannot be compared.
        if steps.as_ref().is_some_and(|steps| steps.axis != *axis) {
            *steps = None;
        }
        let Some(step) = axis::number(values, axis.key()?) else {
            return steps.as_ref().map(|steps| steps.largest);
        };
        let steps = steps.get_or_insert_with(|| {
            Box::new(Self {
                axis: axis.clone(),
                largest: step,
                ..Self::default()
            })
        });
        steps.largest = steps.largest.max(step);
        Some(step)
    }

    /// Returns the largest step of the attempt.
    pub(super) fn largest(&self) -> f64 {
        self.largest
    }

    /// Takes a value of `name` at `step`. Returns whether it is the last one so far.
    pub(super) fn take(&mut self, name: &Name, step: f64) -> bool {
        let last = self.of_keys.get_or_insert_with(name, || step);
        let is_last = step >= *last;
        *last = last.max(step);
        is_last
    }

    /// Returns whether a value of `name` at `step` that was [taken](Self::take) is still the last.
    pub(super) fn is_last(&self, name: &str, step: f64) -> bool {
        self.of_keys.get(name).is_none_or(|last| step >= *last)
    }

    /// Takes a value of a series at `step`. Returns the number of earlier values that come after it.
    pub(super) fn take_of_series(&mut self, name: &Name, step: f64) -> usize {
        let steps = self.of_series.entry(name.clone()).or_default();
        let index = steps.partition_point(|other| other.0 <= step);
        steps.insert(index, Metric(step));
        steps.len() - 1 - index
    }
}
