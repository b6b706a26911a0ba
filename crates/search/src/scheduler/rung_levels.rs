//! The rung levels of a multi-fidelity scheduler: the resources at which trials are compared.

use super::report_reader::reaches;
use swath_model::source::{Diagnostic, Diagnostics, Opt, Preset, Section, Takes};

/// The default factor between the resources of two rungs, η. Li et al. suggest 3 or 4 (*Hyperband*,
/// JMLR 18, 2018).
pub(super) const FACTOR: u64 = 3;

/// The option `min`: the resource of the lowest rung, where trials are first compared.
pub(super) const MIN: Opt = Opt::new(
    "min",
    Takes::Count(1),
    Preset::Derived("`max` / 81, at least 1"),
    "the resource of the lowest rung, where trials are first compared",
);

/// The option `max`: the resource of a full run.
pub(super) const MAX: Opt = Opt::new(
    "max",
    Takes::Count(1),
    Preset::Required,
    "the resource of a full run, such as 81 epochs",
);

/// The option `reduction`: η, both the factor between two rungs and the ratio of trials to
/// promotions.
pub(super) const REDUCTION: Opt = Opt::new(
    "reduction",
    Takes::Count(2),
    Preset::Count(FACTOR),
    "factor between the resources of two rungs; the best 1/`reduction` of the trials at a rung continue",
);

/// The resources of the rungs, growing by the factor `reduction` from `min` to `max`. The last step
/// may be smaller.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct RungLevels {
    /// The resource of each rung, ascending; never empty.
    levels: Vec<u64>,
    /// η: one in this many trials is promoted from a rung to the next.
    pub(super) reduction: u64,
}

impl RungLevels {
    /// Creates the levels min, min·η, min·η² … max. `min` is at least 1 and at most `max`;
    /// `reduction` is at least 2.
    pub(super) fn new(min: u64, max: u64, reduction: u64) -> Self {
        let powers = std::iter::successors(Some(min), |level| level.checked_mul(reduction));
        let below_max = powers.take_while(|level| *level < max);
        Self {
            levels: below_max.chain([max]).collect(),
            reduction,
        }
    }

    /// Takes `min`, `max` and `reduction` from the section of a scheduler. `min` defaults to
    /// max/81, but at least 1. Returns `None`, with a diagnostic, without a valid `max` or if `min`
    /// exceeds it.
    pub(super) fn take(section: &mut Section, diagnostics: &mut Diagnostics) -> Option<Self> {
        let min = section.take_count("min", 1, diagnostics);
        let max = section.take_count("max", 1, diagnostics);
        let reduction = section.take_count("reduction", 2, diagnostics);
        let reduction = reduction.map_or(FACTOR, |(reduction, _)| reduction);
        let Some((max, max_at)) = max else {
            let message = "the scheduler does not know how long a trial may run";
            diagnostics.push(
                Diagnostic::error("no-max", message)
                    .at(section.span.clone(), "no valid `max` here")
                    .hint("give the resource of a full run: max = 81"),
            );
            return None;
        };
        let Some((min, min_at)) = min else {
            return Some(Self::new((max / 81).max(1), max, reduction));
        };
        if min > max {
            diagnostics.push(
                Diagnostic::error("empty-range", "`min` is larger than `max`")
                    .at(min_at, format!("`min` is {min}"))
                    .at(max_at, format!("`max` is {max}"))
                    .hint(format!("swap them: min = {max}, max = {min}")),
            );
            return None;
        }
        Some(Self::new(min, max, reduction))
    }

    /// Returns the index of the last rung, where a trial has used its maximum resource.
    pub(super) fn top(&self) -> usize {
        self.levels.len() - 1
    }

    /// Returns the resource of a rung; indices beyond the last rung count as the last.
    pub(super) fn level(&self, rung: usize) -> u64 {
        self.levels[rung.min(self.top())]
    }

    /// Returns the highest rung that a trial at this resource has reached; `None` below the first.
    pub(super) fn reached(&self, at: f64) -> Option<usize> {
        self.levels
            .partition_point(|level| reaches(at, *level))
            .checked_sub(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rungs_rise_by_the_reduction_and_end_at_the_maximum() {
        assert_eq!(RungLevels::new(1, 81, 3).levels, [1, 3, 9, 27, 81]);
        assert_eq!(RungLevels::new(2, 50, 4).levels, [2, 8, 32, 50]);
        assert_eq!(RungLevels::new(7, 7, 2).levels, [7]);
        assert_eq!(RungLevels::new(1, u64::MAX, 2).levels.len(), 65);
    }

    #[test]
    fn a_trial_stands_at_the_highest_rung_it_has_passed() {
        let rung_levels = RungLevels::new(1, 27, 3);
        assert_eq!(rung_levels.reached(0.5), None);
        assert_eq!(rung_levels.reached(1.0), Some(0));
        assert_eq!(rung_levels.reached(8.9), Some(1));
        assert_eq!(
            rung_levels.reached((0..90).map(|_| 0.1).sum()),
            Some(2),
            "nine tenths, ten times"
        );
        assert_eq!(rung_levels.reached(1e300), Some(3));
    }
}
