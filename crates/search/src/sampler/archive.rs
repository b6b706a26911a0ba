//! An archive of the best trials so far, kept in order as trials end, so that no proposal has to
//! sort all trials.

use super::history::History;
use swath_model::study::Event;

/// A bounded list of history rows, best first. With several objectives they are ordered by front
/// and crowding distance.
#[derive(Debug)]
pub(super) struct Archive {
    /// Maximum number of rows.
    size: usize,
    rows: Vec<u32>,
}

impl Archive {
    /// Creates an empty list that holds at most `size` rows.
    pub(super) fn new(size: usize) -> Self {
        Self {
            size,
            rows: Vec::new(),
        }
    }

    /// Returns the rows, best first.
    pub(super) fn rows(&self) -> &[u32] {
        &self.rows
    }

    /// Updates the list from an event. Must be called after `history` has observed the same event.
    pub(super) fn observe(&mut self, history: &History, event: &Event) {
        match event {
            Event::Edited { .. } | Event::Removed { .. } | Event::Restored { .. } => {
                // An edit may change every score, so the list is rebuilt from all rows.
                self.rows.clear();
                for (_, row) in history.ranked() {
                    self.admit(history, *row);
                }
            }
            Event::Ended { trial, .. }
            | Event::Requeued { trial, .. }
            | Event::Judged { trial, .. } => {
                // The result of a replicate changes the mean score of its configuration.
                let row = history.original_row(*trial);
                self.rows.retain(|other| *other != row);
                if !history.scores(row).is_empty() {
                    self.admit(history, row);
                }
            }
            _ => {}
        }
    }

    /// Inserts a row and drops the worst one if the list is full.
    fn admit(&mut self, history: &History, row: u32) {
        self.rows.push(row);
        self.rows = history.order(&self.rows);
        self.rows.truncate(self.size);
    }
}
