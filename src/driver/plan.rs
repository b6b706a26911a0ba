//! What a run would start first, found by the very code that starts it.

use super::{Driver, DriverError};
use crate::executor::{Executor, ExecutorError, Launch, Signal, Stop};
use crate::study::TrialId;
use std::time::Duration;

impl Driver<'_> {
    /// Fills that many slots and returns what would have started in them. The journal has it
    /// afterwards, so this is for a copy of a study.
    ///
    /// # Errors
    /// If the journal cannot be written.
    pub fn ahead(&mut self, slots: usize) -> Result<Vec<Launch>, DriverError> {
        let mut noted = Noted {
            slots,
            launches: Vec::new(),
        };
        self.fill(&mut noted)?;
        Ok(noted.launches)
    }
}

/// Starts nothing and remembers it.
struct Noted {
    slots: usize,
    launches: Vec<Launch>,
}

impl Executor for Noted {
    fn slots(&self) -> usize {
        self.slots
    }

    fn start(&mut self, launch: Launch) -> Result<(), ExecutorError> {
        self.launches.push(launch);
        Ok(())
    }

    fn stop(&mut self, _: TrialId, _: Stop) {}

    fn wait(&mut self, _: Duration) -> Vec<Signal> {
        Vec::new()
    }
}
