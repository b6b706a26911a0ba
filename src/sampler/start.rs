//! How the model-based samplers begin: with points spread evenly, until there is something to learn
//! from.

use super::history::History;
use super::sobol::Sequence;
use crate::space::Params;
use crate::study::{Event, Setting};

/// The start design.
pub(super) struct Start {
    sequence: Sequence,
    wanted: usize,
}

impl Start {
    pub(super) fn new(setting: &Setting, wanted: usize) -> Self {
        Self {
            sequence: Sequence::new(setting.space.clone(), setting.seed),
            wanted,
        }
    }

    /// Learns from an event, before `history` does.
    pub(super) fn observe(&mut self, history: &History, event: &Event) {
        if !self.is_over(history) {
            self.sequence.observe(&history.seen, event);
        }
    }

    /// Returns whether a model can take over.
    pub(super) fn is_over(&self, history: &History) -> bool {
        history.len() >= self.wanted && history.ranked().len() >= self.wanted.min(4)
    }

    /// Proposes the next point of the design, `None` once it is over.
    pub(super) fn suggest(&self, history: &History) -> Option<Params> {
        if self.is_over(history) {
            return None;
        }
        self.sequence.peek(&history.seen).map(|(_, params)| params)
    }

    /// Returns the point of the sequence that trial number `trial` would have, if it may be tried.
    pub(super) fn at(&self, history: &History, trial: u32) -> Option<Params> {
        history.fresh(&self.sequence.point(trial.wrapping_add(1 << 16)))
    }
}
