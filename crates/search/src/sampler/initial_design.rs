//! The initial design of the model-based samplers: the middle of the space, then points of a Sobol
//! sequence, until enough trials have ended to fit a model.
//!
//! Santner, Williams & Notz, *The Design and Analysis of Computer Experiments*, 2018, chapter 5.

use super::history::History;
use super::sobol::Sequence;
use swath_model::space::{AxisKind, Params};
use swath_model::study::{Event, Setting};

/// A initial design: a Sobol sequence and the number of configurations to take from it.
pub(super) struct InitialDesign {
    /// The sequence, advanced by each of its points that became a trial.
    sequence: Sequence,
    /// The number of configurations to create before a model takes over.
    size: usize,
}

/// Minimum number of trials with a score before a model takes over: fewer say nothing about
/// lengthscales or good regions.
const MIN_SCORED: usize = 4;

/// Offset of the reserved points in the sequence. Designs are much smaller.
const RESERVED_OFFSET: u32 = 1 << 16;

impl InitialDesign {
    /// Creates a design of `size` configurations for the space and seed of `setting`.
    pub(super) fn new(setting: &Setting, size: usize) -> Self {
        Self {
            sequence: Sequence::new(setting.space.clone(), setting.seed),
            size,
        }
    }

    /// Advances the sequence if the event created the proposed trial. Must be called before
    /// `history` observes the same event.
    pub(super) fn observe(&mut self, history: &History, event: &Event) {
        if !self.is_complete(history) {
            self.sequence.observe(&history.seen, event);
        }
    }

    /// Returns whether the design is complete: `size` configurations exist, and at least four of them
    /// (fewer if `size` is smaller) have a score.
    pub(super) fn is_complete(&self, history: &History) -> bool {
        history.len() >= self.size && history.ranked().len() >= self.size.min(MIN_SCORED)
    }

    /// Returns the next point of the design, or `None` once the design is complete.
    pub(super) fn suggest(&self, history: &History) -> Option<Params> {
        if self.is_complete(history) {
            return None;
        }
        if history.is_empty()
            && let Some(params) = self.centre(history)
        {
            return Some(params);
        }
        self.sequence.peek(&history.seen).map(|(_, params)| params)
    }

    /// Returns the middle of all numbers, with the choices of the first point of the sequence.
    /// People choose ranges around the values that they expect to be good. `None` without numbers,
    /// and if a constraint refuses the point.
    fn centre(&self, history: &History) -> Option<Params> {
        let mut unit = self.sequence.point(0);
        let mut has_numbers = false;
        for (x, kind) in unit.iter_mut().zip(history.kinds()) {
            if !matches!(kind, AxisKind::Choice(_)) {
                *x = 0.5;
                has_numbers = true;
            }
        }
        has_numbers.then(|| history.untried(&unit)).flatten()
    }

    /// Returns the Sobol point reserved for trial number `trial`, or `None` if a constraint refuses
    /// it or its configuration was tried.
    pub(super) fn reserved_point(&self, history: &History, trial: u32) -> Option<Params> {
        history.untried(&self.sequence.point(trial.wrapping_add(RESERVED_OFFSET)))
    }
}
