//! The trials that a run would start first, found with the code that starts them.

use super::{Driver, DriverError};
use crate::executor::{Executor, ExecutorError, Launch, Signal, Stop};
use std::time::Duration;
use swath_model::study::TrialId;

impl Driver<'_> {
    /// Fills `slots` slots and returns the launches, without starting any. The `Started` events are
    /// written to the journal, so this is for a copy of a study.
    ///
    /// # Errors
    /// If the journal cannot be written, or the sampler or the scheduler fails.
    pub fn ahead(&mut self, slots: usize) -> Result<Vec<Launch>, DriverError> {
        let mut recorder = LaunchRecorder {
            slots,
            launches: Vec::new(),
        };
        self.fill(&mut recorder)?;
        match self.search_failure() {
            Some(failure) => Err(failure.into()),
            None => Ok(recorder.launches),
        }
    }
}

/// An executor that collects launches and starts nothing.
struct LaunchRecorder {
    slots: usize,
    launches: Vec<Launch>,
}

impl Executor for LaunchRecorder {
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
