//! Integer steps, for export formats that support no others.
//!
//! While all steps on an axis are integers, they are exported as reported: `50.0` becomes 50. Once
//! a fractional step occurs, all steps on that axis are scaled, so that their order stays the order
//! of the points. A tracker must then change the steps that it has already written.

use std::collections::{BTreeMap, BTreeSet};
use swath_model::space::Name;
use swath_model::study::{Axis, Trial, TrialId};

/// The scale of an axis with fractional steps: exported steps per unit. Fine enough to separate the
/// batches of an epoch.
pub const PARTS: i64 = 1_000_000;

/// Returns whether a step is an integer and thus needs no scale.
pub(super) fn is_whole(step: f64) -> bool {
    step.fract() == 0.0
}

/// Returns a step multiplied by `parts` and rounded to an integer.
pub(super) fn scaled(step: f64, parts: i64) -> i64 {
    (step * parts as f64).round() as i64
}

/// The axes of the reports written so far, for all trials of a study.
#[derive(Debug, Default)]
pub struct Steps {
    /// Axes with a fractional step. Such an axis is scaled for all trials, because their curves are
    /// drawn over each other.
    fractional: BTreeSet<Name>,
    /// The axis of the last report of each trial.
    axes: BTreeMap<TrialId, Axis>,
}

/// An instruction to multiply the steps of all earlier reports of `trial` by `factor`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rescale {
    /// The trial whose steps change.
    pub trial: TrialId,
    /// The factor by which the steps already written are multiplied.
    pub factor: i64,
}

impl Steps {
    /// Returns the exported step of the trial's latest report, and the changes that it causes to
    /// steps that are already written.
    pub fn report(&mut self, trial: &Trial) -> (i64, Vec<Rescale>) {
        let mut changes = Vec::new();
        let earlier = self.axes.insert(trial.id, trial.axis.clone());
        let Some(key) = trial.axis.key() else {
            return (self.exported(trial, trial.position), changes);
        };
        if earlier.is_some_and(|axis| axis.is_number()) {
            // Reports that were only numbered have no position on the axis: factor 0 moves them to
            // its start.
            changes.push(Rescale {
                trial: trial.id,
                factor: 0,
            });
        }
        let has_fraction = trial.position.is_some_and(|step| !is_whole(step));
        if has_fraction && self.fractional.insert(key.clone()) {
            let on_axis = self.axes.iter().filter(|(_, axis)| **axis == trial.axis);
            changes.extend(on_axis.map(|(trial, _)| Rescale {
                trial: *trial,
                factor: PARTS,
            }));
        }
        (self.exported(trial, trial.position), changes)
    }

    /// Returns the exported step for `step` on the axis of the trial's reports, or 0, the start of
    /// the axis, if `step` is `None`.
    pub fn exported(&self, trial: &Trial, step: Option<f64>) -> i64 {
        let is_scaled = trial
            .axis
            .key()
            .is_some_and(|key| self.fractional.contains(key));
        scaled(step.unwrap_or(0.0), if is_scaled { PARTS } else { 1 })
    }
}

#[cfg(test)]
mod tests {
    use super::{Rescale, Steps};
    use swath_model::demo::Demo;
    use swath_model::study::TrialId;

    /// Reports `values` for a trial. Returns its step, and the trials whose earlier steps change
    /// with their factors.
    fn step(
        steps: &mut Steps,
        demo: &mut Demo,
        trial: TrialId,
        values: &[(&str, f64)],
    ) -> (i64, Vec<(u32, i64)>) {
        demo.report(trial, values);
        let (step, changes) = steps.report(demo.study.trial(trial).unwrap());
        (
            step,
            changes
                .into_iter()
                .map(|Rescale { trial, factor }| (trial.0, factor))
                .collect(),
        )
    }

    #[test]
    fn the_first_fraction_on_an_axis_scales_it_for_all_trials_on_it() {
        let (mut steps, mut demo) = (Steps::default(), Demo::new(&[]));
        let [one, two, other] = [(); 3].map(|()| demo.start(&[]));
        assert_eq!(
            step(&mut steps, &mut demo, one, &[("epoch", 50.0)]),
            (50, vec![])
        );
        assert_eq!(
            step(&mut steps, &mut demo, other, &[("step", 7.0)]),
            (7, vec![])
        );
        let scaled = (250_000, vec![(1, 1_000_000), (2, 1_000_000)]);
        assert_eq!(step(&mut steps, &mut demo, two, &[("epoch", 0.25)]), scaled);
        assert_eq!(
            step(&mut steps, &mut demo, two, &[("epoch", 1.0 / 3.0)]),
            (333_333, vec![])
        );
        assert_eq!(
            step(&mut steps, &mut demo, one, &[("epoch", 51.0)]),
            (51_000_000, vec![])
        );
        assert_eq!(
            step(&mut steps, &mut demo, other, &[("step", 8.0)]),
            (8, vec![])
        );
    }

    #[test]
    fn reports_before_the_first_counter_are_at_the_start_of_the_axis() {
        let (mut steps, mut demo) = (Steps::default(), Demo::new(&[]));
        let trial = demo.start(&[]);
        assert_eq!(
            step(&mut steps, &mut demo, trial, &[("val_loss", 0.9)]),
            (1, vec![])
        );
        assert_eq!(
            step(&mut steps, &mut demo, trial, &[("val_loss", 0.8)]),
            (2, vec![])
        );
        let start = (0, vec![(1, 0)]);
        assert_eq!(
            step(
                &mut steps,
                &mut demo,
                trial,
                &[("val_loss", 0.7), ("epoch", 0.0)]
            ),
            start
        );
        assert_eq!(
            step(&mut steps, &mut demo, trial, &[("val_loss", 0.6)]),
            (0, vec![])
        );
    }
}
