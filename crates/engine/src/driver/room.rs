//! The full disk: the run waits until there is room, and loses nothing meanwhile.
//!
//! While it waits, unwritten events stay in memory and reports stay in the trials' files. No
//! attempt is started, and no signal is acted on. Once there is room, everything is written and the
//! run continues. A run that was asked to stop does not wait.

use super::{Driver, DriverError};
use crate::executor::{Executor, Left, Stop};
use crate::journal::{JournalError, Medium};
use crate::study::{Event, Exit, FailureClass, Place, TrialId, Usage, Verdict};
use std::fs::File;
use std::path::Path;
use std::time::Duration;

/// Number of times that a trial is requeued after it failed on a full disk.
const TRIES: u32 = 3;

/// Maximum number of signals kept in memory while the journal cannot be written. Further signals
/// stay in the executor.
pub(super) const MOST_SIGNALS: usize = 1024;

/// Returns the free space of the file system that contains a folder; `None` if unknown.
pub type Probe = Box<dyn Fn(&Path) -> Option<Left>>;

/// Ends the surviving processes of attempts whose run was killed. Arguments: the study's folder,
/// the places where the attempts ran, and the grace period between SIGTERM and SIGKILL.
pub type EndLeftovers = Box<dyn Fn(&Path, &[Place], Duration)>;

/// The environment of a driver: the disk and the processes of this machine. The simulator passes
/// its own.
pub struct Ground {
    /// Wraps the journal's file in the [`Medium`] that it is written to.
    pub medium: Box<dyn FnOnce(File) -> Box<dyn Medium>>,
    /// Returns the free space of the file system that contains a folder; `None` if unknown.
    pub left: Probe,
    /// Ends the surviving processes of attempts of a killed run.
    pub end_leftovers: EndLeftovers,
}

impl Default for Ground {
    fn default() -> Self {
        Self {
            medium: Box::new(|file| Box::new(file)),
            left: Box::new(Left::at),
            // An error is ignored: processes that cannot be looked up cannot be ended, and a new
            // attempt has a record file of its own in any case.
            end_leftovers: Box::new(|root, places, grace| {
                let _ = crate::executor::end_leftovers(root, places, grace);
            }),
        }
    }
}

impl Driver<'_> {
    /// Flushes the journal to the kernel. Returns `false`, and pauses the run, if the disk is full.
    pub(super) fn save(&mut self) -> Result<bool, DriverError> {
        let written = self.journal.flush();
        self.had_room(written)
    }

    /// Syncs the journal to the disk. Returns `false`, and pauses the run, if the disk is full.
    pub(super) fn save_to_disk(&mut self) -> Result<bool, DriverError> {
        let written = self.journal.sync();
        self.had_room(written)
    }

    /// Returns whether a write succeeded. Pauses the run if the disk was full; other errors are
    /// passed on.
    fn had_room(&mut self, written: Result<(), JournalError>) -> Result<bool, DriverError> {
        match written {
            Ok(()) => Ok(true),
            Err(error) if error.is_full() => {
                self.pause();
                Ok(false)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Returns whether the run may act. When a wait for room has just ended, first starts the
    /// pending launches and delivers the verdicts that could not be delivered meanwhile.
    pub(super) fn has_room(&mut self, executor: &mut dyn Executor) -> Result<bool, DriverError> {
        if !self.paused {
            return Ok(true);
        }
        if !self.is_roomy() || !self.save_to_disk()? {
            return Ok(false);
        }
        self.paused = false;
        self.full_at = Some((self.clock)());
        self.notice("there is room on the disk again: the run goes on");
        self.start_held(executor)?;
        // These verdicts were committed while the disk was full, and their trials were not asked to
        // end.
        let judged: Vec<(TrialId, Stop)> = self
            .study
            .running()
            .filter_map(|id| match self.study.trial(id)?.verdict? {
                Verdict::Continue => None,
                Verdict::Pause => Some((id, Stop::Pause)),
                Verdict::Stop | Verdict::Complete => Some((id, Stop::Verdict)),
            })
            .collect();
        for (trial, how) in judged {
            self.end(trial, how, executor);
        }
        // Starting the launches flushes the journal, which may have found the disk full again.
        Ok(!self.paused)
    }

    /// Returns whether a trial may be started. Pauses the run if the disk has too little room for
    /// that.
    pub(super) fn may_launch(&mut self) -> bool {
        if !self.paused && !self.is_roomy() {
            self.pause();
        }
        !self.paused
    }

    /// Pauses the run if the disk has too little room even for running trials to end.
    pub(super) fn look_for_room(&mut self) {
        if !self.paused && (self.left)(self.dir.root()).is_some_and(|left| !left.is_enough_to_end())
        {
            self.pause();
        }
    }

    /// Returns whether the disk has enough room to start an attempt. Unknown free space counts as
    /// enough.
    fn is_roomy(&self) -> bool {
        (self.left)(self.dir.root()).is_none_or(Left::is_enough_to_start)
    }

    /// Pauses the run and notifies the listeners, unless it is paused already.
    fn pause(&mut self) {
        if !std::mem::replace(&mut self.paused, true) {
            let dir = self.dir.root().display().to_string();
            self.notice(&format!(
                "the disk with `{dir}` is full: the run waits, nothing is lost, and it goes on by itself when there is room"
            ));
        }
    }

    /// Starts the pending launches once their `Started` events are flushed.
    pub(super) fn start_held(&mut self, executor: &mut dyn Executor) -> Result<(), DriverError> {
        if self.held.is_empty() || !self.save()? {
            return Ok(());
        }
        for launch in std::mem::take(&mut self.held) {
            executor.start(launch)?;
        }
        Ok(())
    }

    /// Ends the launches that were committed but not started, as interrupted.
    pub(super) fn drop_held(&mut self) -> Result<(), DriverError> {
        for launch in std::mem::take(&mut self.held) {
            let (trial, attempt) = (launch.trial, launch.attempt);
            self.busy_slots.remove(&launch.slot);
            self.commit(Event::Ended {
                trial,
                attempt,
                exit: Exit::Interrupted,
                usage: Usage::default(),
            })?;
        }
        Ok(())
    }

    /// Requeues a trial that failed while the disk was full, at most [`TRIES`] times. Returns
    /// whether it did.
    pub(super) fn requeue_if_full(&mut self, id: TrialId) -> Result<bool, DriverError> {
        let Some(trial) = self.study.trial(id) else {
            return Ok(false);
        };
        let Some(Exit::Failed(failure)) = &trial.exit else {
            return Ok(false);
        };
        let likely = matches!(failure.class(), FailureClass::Crash | FailureClass::Spawn);
        // The disk may have room again by the time the failure is read: the attempt must only have
        // begun before the disk was last full.
        let was_full = self
            .full_at
            .is_some_and(|full| trial.attempt_at.is_none_or(|began| began <= full));
        let is_full = self.paused || !self.is_roomy();
        // Only a crash or a failed start is a likely result of a full disk.
        if !likely || trial.failures > TRIES || !(is_full || was_full) {
            return Ok(false);
        }
        let why = "the disk was full when it failed".to_owned();
        self.commit(Event::Requeued {
            trial: id,
            why,
            not_before: None,
            forgiven: false,
        })?;
        if is_full {
            self.pause();
        }
        Ok(true)
    }

    /// Notifies the listeners of a message.
    fn notice(&mut self, text: &str) {
        for listener in &mut self.listeners {
            listener.notice(text);
        }
    }
}
