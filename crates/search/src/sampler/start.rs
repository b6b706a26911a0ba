//! The start design of the model-based samplers: points of a Sobol sequence, until enough trials
//! have ended to fit a model.

use super::history::History;
use super::sobol::Sequence;
use crate::space::Params;
use crate::study::{Event, Setting};

/// A start design: a Sobol sequence and the number of configurations to take from it.
pub(super) struct Start {
    /// The sequence, advanced by each of its points that became a trial.
    sequence: Sequence,
    /// The number of configurations to create before a model takes over.
    wanted: usize,
}

impl Start {
    /// Creates a design of `wanted` configurations for the space and seed of `setting`.
    pub(super) fn new(setting: &Setting, wanted: usize) -> Self {
        Self {
            sequence: Sequence::new(setting.space.clone(), setting.seed),
            wanted,
        }
    }

    /// Advances the sequence if the event created the proposed trial. Must be called before
    /// `history` observes the same event.
    pub(super) fn observe(&mut self, history: &History, event: &Event) {
        if !self.is_over(history) {
            self.sequence.observe(&history.seen, event);
        }
    }

    /// Returns whether the design is complete: `wanted` configurations exist, and at least four of
    /// them (fewer if `wanted` is smaller) have a score.
    pub(super) fn is_over(&self, history: &History) -> bool {
        history.len() >= self.wanted && history.ranked().len() >= self.wanted.min(4)
    }

    /// Returns the next point of the design, or `None` once the design is complete.
    pub(super) fn suggest(&self, history: &History) -> Option<Params> {
        if self.is_over(history) {
            return None;
        }
        self.sequence.peek(&history.seen).map(|(_, params)| params)
    }

    /// Returns the Sobol point reserved for trial number `trial`, or `None` if a constraint refuses
    /// it or its configuration was tried. The index is shifted by 2^16, away from the points of the
    /// design itself.
    pub(super) fn at(&self, history: &History, trial: u32) -> Option<Params> {
        history.fresh(&self.sequence.point(trial.wrapping_add(1 << 16)))
    }
}
