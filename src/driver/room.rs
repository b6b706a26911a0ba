//! A full disk: the run waits until there is room, and loses nothing meanwhile.
//!
//! What is to be written stays in memory, what trials say stays with them, nothing new is started,
//! and nothing is acted on. As soon as there is room it is all written and the run goes on. Only
//! who wants to end does not wait.

use super::{Driver, DriverError};
use crate::executor::{Executor, Left, Stop};
use crate::journal::{JournalError, Medium};
use crate::study::{Event, Exit, FailureClass, Place, TrialId, Usage, Verdict};
use std::fs::File;
use std::path::Path;
use std::time::Duration;

/// How often a trial that failed while the disk was full is given another try.
const TRIES: u32 = 3;

/// How many signals are kept while nothing can be written. Beyond that they stay with their trials.
pub(super) const MOST_SIGNALS: usize = 1024;

/// Tells how much room is left where a folder lies.
pub type Probe = Box<dyn Fn(&Path) -> Option<Left>>;

/// Ends what is left alive of trials whose run was killed.
pub type EndLeftovers = Box<dyn Fn(&Path, &[Place], Duration)>;

/// What a driver stands on: the disk and the processes of this machine. The simulator has its own.
pub struct Ground {
    /// What the journal is written on.
    pub medium: Box<dyn FnOnce(File) -> Box<dyn Medium>>,
    /// Tells how much is left where a folder lies; `None` if nobody knows.
    pub left: Probe,
    /// Ends what is left alive.
    pub end_leftovers: EndLeftovers,
}

impl Default for Ground {
    fn default() -> Self {
        Self {
            medium: Box::new(|file| Box::new(file)),
            left: Box::new(Left::at),
            // What cannot be looked for cannot be ended; a new attempt has records of its own all
            // the same.
            end_leftovers: Box::new(|root, places, grace| {
                let _ = crate::executor::end_leftovers(root, places, grace);
            }),
        }
    }
}

impl Driver<'_> {
    /// Hands what was gathered to the kernel; returns whether there was room for it.
    pub(super) fn save(&mut self) -> Result<bool, DriverError> {
        let written = self.journal.flush();
        self.had_room(written)
    }

    /// Hands what was gathered to the disk; returns whether there was room for it.
    pub(super) fn save_to_disk(&mut self) -> Result<bool, DriverError> {
        let written = self.journal.sync();
        self.had_room(written)
    }

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

    /// Returns whether the run need not wait for room; after a wait that has ended, does what was
    /// put off.
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
        Ok(!self.paused)
    }

    /// Returns whether a trial may be started; if there is too little room for that, the run waits.
    pub(super) fn may_launch(&mut self) -> bool {
        if !self.paused && !self.is_roomy() {
            self.pause();
        }
        !self.paused
    }

    /// Waits too if trials that have ended do so already.
    pub(super) fn look_for_room(&mut self) {
        if !self.paused && (self.left)(self.dir.root()).is_some_and(|left| !left.is_enough_to_end())
        {
            self.pause();
        }
    }

    fn is_roomy(&self) -> bool {
        (self.left)(self.dir.root()).is_none_or(Left::is_enough_to_start)
    }

    fn pause(&mut self) {
        if !std::mem::replace(&mut self.paused, true) {
            let dir = self.dir.root().display().to_string();
            self.notice(&format!(
                "the disk with `{dir}` is full: the run waits, nothing is lost, and it goes on by itself when there is room"
            ));
        }
    }

    /// Starts what the journal has by now.
    pub(super) fn start_held(&mut self, executor: &mut dyn Executor) -> Result<(), DriverError> {
        if self.held.is_empty() || !self.save()? {
            return Ok(());
        }
        for launch in std::mem::take(&mut self.held) {
            executor.start(launch)?;
        }
        Ok(())
    }

    /// Ends what was to be started and was not.
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

    /// Lets a trial run again that failed while the disk was full; returns whether it does.
    pub(super) fn requeue_if_full(&mut self, id: TrialId) -> Result<bool, DriverError> {
        let Some(trial) = self.study.trial(id) else {
            return Ok(false);
        };
        let Some(Exit::Failed(failure)) = &trial.exit else {
            return Ok(false);
        };
        let likely = matches!(failure.class(), FailureClass::Crash | FailureClass::Spawn);
        // What it met may be over when its end is read.
        let was_full = self
            .full_at
            .is_some_and(|full| trial.attempt_at.is_none_or(|began| began <= full));
        let is_full = self.paused || !self.is_roomy();
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

    fn notice(&mut self, text: &str) {
        for listener in &mut self.listeners {
            listener.notice(text);
        }
    }
}
