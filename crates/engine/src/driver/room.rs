//! The full disk: the run waits until there is room, and loses nothing meanwhile.
//!
//! While it waits, unwritten events stay in memory and reports stay in the trials' files. No
//! attempt is started, and no signal is acted on. Once there is room, everything is written and the
//! run continues. A run that was asked to stop does not wait.

use super::{Driver, DriverError, Ticks};
use crate::executor::{DiskSpace, Executor, Launch, Signal};
use crate::journal::{JournalError, Medium, Rescued, claim_trial, is_full};
use crate::tracker::csv;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use swath_model::study::{Event, Exit, FailureClass, Place, Study, Timestamp, TrialId, Usage};

/// Number of times that a trial is requeued after it failed on a full disk.
const TRIES: u32 = 3;

/// Maximum number of signals kept in memory while the journal cannot be written. Further signals
/// stay in the executor.
const MOST_SIGNALS: usize = 1024;

/// Returns the free space of the file system that contains a folder; `None` if unknown.
pub type DiskProbe = Box<dyn Fn(&Path) -> Option<DiskSpace>>;

/// Ends the surviving processes of attempts whose run was killed. Arguments: the study's folder,
/// the places where the attempts ran, and the grace period between SIGTERM and SIGKILL.
pub type EndLeftovers = Box<dyn Fn(&Path, &[Place], Duration)>;

/// The environment of a driver: the disk and the processes of this machine. The simulator passes
/// its own.
pub struct MachineAccess {
    /// Wraps the journal's file in the [`Medium`] that it is written to.
    pub medium: Box<dyn FnOnce(File) -> Box<dyn Medium>>,
    /// Wraps the file of the journal's high-water mark in the [`Medium`] that it is written to.
    pub mark: Box<dyn FnOnce(File) -> Box<dyn Medium>>,
    /// Returns the free space of the file system that contains a folder; `None` if unknown.
    pub disk_space: DiskProbe,
    /// Ends the surviving processes of attempts of a killed run.
    pub end_leftovers: EndLeftovers,
    /// The time that decides when the journal is synced and when a snapshot is written.
    pub ticks: Ticks,
}

impl Default for MachineAccess {
    fn default() -> Self {
        let began = Instant::now();
        Self {
            medium: Box::new(|file| Box::new(file)),
            mark: Box::new(|file| Box::new(file)),
            disk_space: Box::new(DiskSpace::at),
            // An error is ignored: processes that cannot be looked up cannot be ended, and a new
            // attempt has a record file of its own in any case.
            end_leftovers: Box::new(|root, places, grace| {
                let _ = crate::executor::end_leftovers(root, places, grace);
            }),
            ticks: Box::new(move || began.elapsed()),
        }
    }
}

/// The limit that a write has reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Limit {
    /// The disk is full, or the quota is exhausted.
    Disk,
    /// The file may not become longer.
    FileSize,
}

/// The state of the disk, and the things that wait for room on it.
pub(super) struct Room {
    root: PathBuf,
    disk_space: DiskProbe,
    /// Whether the run is paused because the disk is full.
    is_full: bool,
    /// The time at which the disk was last seen to be full; `None` if it never was in this run.
    full_at: Option<Timestamp>,
    /// Launches that are committed but not started: an attempt starts only once its `Started` event
    /// is flushed.
    pub(super) launches: Vec<Launch>,
    /// Signals of the executor that were received while the journal could not be written, oldest
    /// first.
    pub(super) backlog: Vec<Signal>,
}

impl Room {
    pub(super) fn new(root: PathBuf, disk_space: DiskProbe) -> Self {
        Self {
            root,
            disk_space,
            is_full: false,
            full_at: None,
            launches: Vec::new(),
            backlog: Vec::new(),
        }
    }

    /// Returns whether the run is paused because the disk is full.
    pub(super) fn is_full(&self) -> bool {
        self.is_full
    }

    /// Pauses the run. Returns the message for the user, unless the run was paused already.
    pub(super) fn pause(&mut self, limit: Limit) -> Option<String> {
        let was_full = std::mem::replace(&mut self.is_full, true);
        let root = self.root.display();
        let problem = match limit {
            Limit::Disk => format!("the disk with `{root}` is full"),
            Limit::FileSize => {
                format!("the journal in `{root}` has the size that a file may have (`ulimit -f`)")
            }
        };
        (!was_full).then(|| {
            format!(
                "{problem}: the run waits, nothing is lost, and it goes on by itself when there is room"
            )
        })
    }

    /// Ends the pause. The disk was full until `now`.
    pub(super) fn resume(&mut self, now: Timestamp) {
        self.is_full = false;
        self.full_at = Some(now);
    }

    /// Returns whether the disk has enough room to start an attempt. Unknown free space counts as
    /// enough.
    pub(super) fn is_enough_to_start(&self) -> bool {
        (self.disk_space)(&self.root).is_none_or(DiskSpace::is_enough_to_start)
    }

    /// Returns whether the disk has enough room for running trials to end.
    pub(super) fn is_enough_to_end(&self) -> bool {
        (self.disk_space)(&self.root).is_none_or(DiskSpace::is_enough_to_end)
    }

    /// Returns whether the backlog takes further signals. While the disk is full it is bounded.
    pub(super) fn takes_signals(&self) -> bool {
        self.backlog.len() < MOST_SIGNALS
    }

    /// Returns the event that requeues a trial that failed while the disk was full, at most
    /// [`TRIES`] times.
    pub(super) fn requeue(&self, study: &Study, id: TrialId) -> Option<Event> {
        let trial = study.trial(id)?;
        let Some(Exit::Failed(failure)) = &trial.exit else {
            return None;
        };
        // Only a crash or a failed start is a likely result of a full disk.
        let is_likely = matches!(failure.class(), FailureClass::Crash | FailureClass::Spawn);
        if !is_likely || trial.failures > TRIES {
            return None;
        }
        // The disk may have room again by the time the failure is read: the attempt must only have
        // begun before the disk was last full.
        let was_full = self
            .full_at
            .is_some_and(|full| trial.attempt_at.is_none_or(|began| began <= full));
        (was_full || self.is_full || !self.is_enough_to_start()).then(|| Event::Requeued {
            trial: id,
            why: "the disk was full when it failed".to_owned(),
            not_before: None,
            forgiven: false,
        })
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
        self.check_journal()?;
        let written = self.journal.sync();
        self.had_room(written)
    }

    /// Checks that the journal is still this run's. If not, keeps everything that the run knows in
    /// another place; the error names it.
    pub(super) fn check_journal(&self) -> Result<(), DriverError> {
        let Err(mut error) = self.journal.check() else {
            return Ok(());
        };
        if let JournalError::Disturbed { rescued, .. } = &mut error {
            *rescued = self.journal.rescue(&self.dir, &self.study);
            if let Some(Rescued { folder, .. }) = rescued {
                // The table is for people; the file beside it has all of it.
                let _ = csv::save(&self.study, &folder.join("trials.csv"));
            }
        }
        Err(error.into())
    }

    /// Returns whether a write succeeded. Pauses the run if the disk was full; other errors are
    /// passed on.
    fn had_room(&mut self, written: Result<(), JournalError>) -> Result<bool, DriverError> {
        match written {
            Ok(()) => {
                self.listeners.deliver(&self.study);
                Ok(true)
            }
            Err(error) if error.is_full() => {
                self.pause(if error.is_file_too_large() {
                    Limit::FileSize
                } else {
                    Limit::Disk
                });
                Ok(false)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Pauses the run and notifies the listeners, unless it is paused already.
    fn pause(&mut self, limit: Limit) {
        if let Some(text) = self.components.room.pause(limit) {
            self.listeners.notice(&text);
        }
    }

    /// Returns whether the run may act. When a wait for room has just ended, first starts the
    /// pending launches and delivers the verdicts that could not be delivered meanwhile.
    pub(super) fn has_room(&mut self, executor: &mut dyn Executor) -> Result<bool, DriverError> {
        if !self.components.room.is_full() {
            return Ok(true);
        }
        if !self.components.room.is_enough_to_start() || !self.save_to_disk()? {
            return Ok(false);
        }
        self.components.room.resume(self.clock.now());
        self.listeners
            .notice("there is room on the disk again: the run goes on");
        self.start_launches(executor)?;
        self.deliver_verdicts(executor);
        // Starting the launches flushes the journal, which may have found the disk full again.
        Ok(!self.components.room.is_full())
    }

    /// Returns whether a trial may be started. Pauses the run if the disk has too little room for
    /// that.
    pub(super) fn may_launch(&mut self) -> bool {
        let room = &self.components.room;
        if !room.is_full() && !room.is_enough_to_start() {
            self.pause(Limit::Disk);
        }
        !self.components.room.is_full()
    }

    /// Pauses the run if the disk has too little room even for running trials to end.
    pub(super) fn look_for_room(&mut self) {
        let room = &self.components.room;
        if !room.is_full() && !room.is_enough_to_end() {
            self.pause(Limit::Disk);
        }
    }

    /// Starts the pending launches once their `Started` events are flushed.
    pub(super) fn start_launches(
        &mut self,
        executor: &mut dyn Executor,
    ) -> Result<(), DriverError> {
        let launches = &self.components.room.launches;
        if launches.is_empty() {
            return Ok(());
        }
        // A further attempt changes what the attempts before it left in the trial's folder, or goes
        // on from it. If a power cut took its start from the journal, its lines would be skipped as
        // those of an attempt that has been read, or be taken for those of the attempt before.
        let is_saved = match launches.iter().any(|launch| launch.attempt.0 > 1) {
            true => self.save_to_disk()?,
            false => self.save()?,
        };
        if !is_saved {
            return Ok(());
        }
        let mut launches = std::mem::take(&mut self.components.room.launches).into_iter();
        while let Some(launch) = launches.next() {
            if !self.claim(&launch)? {
                self.components.room.launches = [launch].into_iter().chain(launches).collect();
                break;
            }
            executor.start(launch)?;
        }
        Ok(())
    }

    /// Makes the folder of a trial that is about to start one of this study, and warns about a folder
    /// that was moved away. Returns `false`, and pauses the run, if there is no room for that.
    fn claim(&mut self, launch: &Launch) -> Result<bool, DriverError> {
        let is_new = launch.attempt.0 == 1;
        let moved = match claim_trial(&self.dir, &self.study, launch.trial, is_new) {
            Err(error) if is_full(&error) => {
                self.pause(Limit::Disk);
                return Ok(false);
            }
            // The executor meets the same error, and the attempt fails with it, unless only the mark
            // could not be made.
            Err(error) => {
                let text = format!(
                    "its folder could not be made or marked as one of this study, so its files may not be read: {error}"
                );
                self.warn(launch.trial, launch.attempt, text)?;
                return Ok(true);
            }
            Ok(moved) => moved,
        };
        self.claimed.insert(launch.trial);
        if let Some(moved) = moved {
            let text = format!(
                "its folder was there already, and not of this study: it is now `{}`",
                moved.display()
            );
            self.warn(launch.trial, launch.attempt, text)?;
        }
        Ok(true)
    }

    /// Ends the launches that were committed but not started, as interrupted.
    pub(super) fn drop_launches(&mut self) -> Result<(), DriverError> {
        for launch in std::mem::take(&mut self.components.room.launches) {
            self.commit(Event::Ended {
                trial: launch.trial,
                attempt: launch.attempt,
                exit: Exit::Interrupted,
                usage: Usage::default(),
            })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::rc::Rc;
    use swath_model::demo::Demo;
    use swath_model::study::{Attempt, Failure};

    #[test]
    fn a_crash_while_the_disk_was_full_is_requeued_also_when_there_is_room_again() {
        let mut demo = Demo::new(&[]);
        let trial = demo.start(&[]);
        let failure = Failure::Code(1);
        demo.event(Event::Ended {
            trial,
            attempt: Attempt(1),
            exit: Exit::Failed(failure),
            usage: Usage::default(),
        });
        let free = Rc::new(Cell::new(1 << 30));
        let free_now = Rc::clone(&free);
        let mut room = Room::new(
            PathBuf::from("logs"),
            Box::new(move |_| {
                Some(DiskSpace {
                    free: free_now.get(),
                    total: 1 << 30,
                })
            }),
        );
        assert_eq!(room.requeue(&demo.study, trial), None);
        free.set(0);
        assert!(room.requeue(&demo.study, trial).is_some());
        assert!(
            room.pause(Limit::Disk).is_some() && room.pause(Limit::FileSize).is_none(),
            "said once"
        );
        free.set(1 << 30);
        room.resume(demo.study.at().unwrap());
        assert!(room.requeue(&demo.study, trial).is_some() && !room.is_full());
    }
}
