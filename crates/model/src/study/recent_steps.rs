//! Tells a counter that begins again from a report that arrives late.
//!
//! A report of epoch 4 after that of epoch 5 is late, and harmless: it gets its place by its step.
//! A counter that begins again, as in each fold of a cross-validation, repeats its steps or falls
//! below all recent ones.

use super::{Datum, axis};
use crate::space::Name;

/// Number of steps that are remembered. A report that comes later than this many others is not told
/// from a counter that begins again.
const MOST_STEPS: usize = 8;

/// Number of series that are watched. Further ones are not.
const MOST_SERIES: usize = 200;

/// The largest steps of a series, ascending and without repetitions.
#[derive(Debug, Clone, Default)]
pub struct RecentSteps(Vec<f64>);

impl RecentSteps {
    /// Takes the step of the next value. Returns the largest step before it if the counter began
    /// again.
    pub fn take(&mut self, step: f64) -> Option<f64> {
        if step.is_nan() {
            return None;
        }
        let largest = self.0.last().copied();
        let index = self.0.partition_point(|other| *other < step);
        let is_known = self.0.get(index) == Some(&step);
        let is_below_all = index == 0 && self.0.len() == MOST_STEPS;
        if !is_known && !is_below_all {
            self.0.insert(index, step);
            self.0.drain(..self.0.len().saturating_sub(MOST_STEPS));
        }
        largest.filter(|largest| step < *largest && (is_known || is_below_all))
    }
}

/// The steps of a trial's reports. Reports are told apart by their first key, because a program may
/// report the metrics of a step one by one.
#[derive(Debug, Clone, Default)]
pub struct ReportSteps(Vec<(Name, RecentSteps)>);

impl ReportSteps {
    /// Takes the step of a report, its value of `key`. Returns the largest step before it and the
    /// step if the counter began again.
    pub fn take(&mut self, key: &Name, values: &[(Name, Datum)]) -> Option<(f64, f64)> {
        let step = axis::number(values, key)?;
        let mut names = values.iter().map(|(name, _)| name);
        let first = names.find(|name| *name != key).unwrap_or(key);
        let index = self.0.iter().position(|(name, _)| name == first);
        let index = index.unwrap_or(self.0.len());
        if index == self.0.len() {
            if index == MOST_SERIES {
                return None;
            }
            self.0.push((first.clone(), RecentSteps::default()));
        }
        self.0[index].1.take(step).map(|largest| (largest, step))
    }
}

#[cfg(test)]
mod tests {
    use super::{MOST_STEPS, RecentSteps, ReportSteps};
    use crate::study::{Datum, Metric};

    /// Returns the steps at which the counter began again.
    fn restarts(steps: &[f64]) -> Vec<f64> {
        let mut recent = RecentSteps::default();
        let steps = steps.iter().copied();
        steps.filter(|step| recent.take(*step).is_some()).collect()
    }

    #[test]
    fn a_late_step_fills_a_gap_and_a_counter_that_begins_again_repeats_or_falls_below() {
        assert!(restarts(&[1.0, 2.0, 2.0, 3.0]).is_empty());
        assert!(restarts(&[2.0, 1.0, 3.0, 5.0, 4.0, 6.0]).is_empty(), "late");
        assert!(restarts(&[4.0, 3.0, 2.0, 1.0]).is_empty(), "four threads");
        assert_eq!(restarts(&[1.0, 2.0, 1.0, 2.0, 3.0]), [1.0]);
        assert!(restarts(&[f64::NAN, 1.0, f64::NAN, 2.0]).is_empty());
        let mut epochs: Vec<f64> = (0..=MOST_STEPS).map(|step| step as f64 * 100.0).collect();
        epochs.extend([1.0, 2.0, 750.0]);
        assert_eq!(restarts(&epochs), [1.0, 2.0]);
    }

    #[test]
    fn metrics_that_are_reported_one_by_one_have_steps_of_their_own() {
        let mut steps = ReportSteps::default();
        let mut take = |name: &str, epoch: f64| {
            let values = [("epoch", epoch), (name, 0.5)]
                .map(|(name, value)| (name.into(), Datum::Number(Metric(value))));
            steps.take(&"epoch".into(), &values)
        };
        for name in ["loss", "acc"] {
            assert_eq!([2.0, 1.0].map(|epoch| take(name, epoch)), [None, None]);
        }
        assert_eq!(take("loss", 1.0), Some((2.0, 1.0)));
    }
}
