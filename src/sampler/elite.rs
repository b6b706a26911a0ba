//! The best trials so far, kept in order as trials end, so that nobody has to sort all of them.

use super::history::History;
use crate::study::Event;

/// At most so many rows, best first: over several objectives by front and crowding.
#[derive(Debug)]
pub(super) struct Elite {
    size: usize,
    rows: Vec<u32>,
}

impl Elite {
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

    /// Learns from an event, after `history` did.
    pub(super) fn observe(&mut self, history: &History, event: &Event) {
        match event {
            Event::Edited { .. } | Event::Removed { .. } | Event::Restored { .. } => {
                self.rows.clear();
                let all: Vec<u32> = history.ranked().iter().map(|(_, row)| *row).collect();
                all.into_iter().for_each(|row| self.admit(history, row));
            }
            Event::Ended { trial, .. }
            | Event::Requeued { trial, .. }
            | Event::Judged { trial, .. } => {
                let row = history.head(*trial);
                self.rows.retain(|other| *other != row);
                if !history.scores(row).is_empty() {
                    self.admit(history, row);
                }
            }
            _ => {}
        }
    }

    fn admit(&mut self, history: &History, row: u32) {
        self.rows.push(row);
        self.rows = history.order(&self.rows);
        self.rows.truncate(self.size);
    }
}
