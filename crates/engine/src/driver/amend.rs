//! Changing a study while no run is active: trials to run again, configurations to add, trials that
//! ran elsewhere.

use super::DriverError;
use crate::journal::{Holder, Journal, JournalError, Lock, StudyDir, snapshot};
use std::time::Duration;
use swath_model::study::{Event, Study, Timestamp};

/// Appends the events that `decide` returns for a study, as a run of the study would, and returns
/// the changed study. Holds the lock meanwhile. Nothing is written unless the study accepts all the
/// events.
///
/// # Errors
/// If a process runs the study, it cannot be read or written, or an event is not allowed in the
/// study's state.
pub fn amend(
    dir: &StudyDir,
    holder: &Holder,
    now: Timestamp,
    decide: impl FnOnce(&Study) -> Vec<Event>,
) -> Result<Study, DriverError> {
    let mut amendment = Amendment::open(dir, holder, now)?;
    for event in decide(amendment.study()) {
        amendment.append(event)?;
    }
    amendment.close()
}

/// Maximum number of trials of a study of which [`Amendment::flush`] keeps the study in memory.
const MAX_KEPT_TRIALS: usize = 100_000;

/// A study that is being changed, with its lock.
#[derive(Debug)]
pub struct Amendment {
    dir: StudyDir,
    journal: Journal,
    study: Study,
    /// Whether `study` is the study with all its events, and not given up for its size.
    is_complete: bool,
    now: Timestamp,
    /// The time since the last run is not used by any run; the first event records it.
    away: Option<Duration>,
    _lock: Lock,
}

impl Amendment {
    /// Takes the lock and reads the study.
    ///
    /// # Errors
    /// If a process runs the study, or it cannot be read.
    pub fn open(dir: &StudyDir, holder: &Holder, now: Timestamp) -> Result<Self, DriverError> {
        if !dir.exists() {
            return Err(JournalError::NoStudy(dir.root().to_owned()).into());
        }
        let lock = Lock::take(dir, holder)?;
        let mut replay = Journal::open(dir)?;
        let mut study = Study::default();
        replay.fold_into(&mut study, &mut |_, _| {})?;
        let journal = replay.into_writer()?;
        let away = study.at().map(|last| now.since(last));
        Ok(Self {
            dir: dir.clone(),
            journal,
            study,
            is_complete: true,
            now,
            away,
            _lock: lock,
        })
    }

    /// Returns the study with the events that were appended. After a [`flush`](Self::flush), a
    /// study of very many trials may be empty.
    #[must_use]
    pub fn study(&self) -> &Study {
        &self.study
    }

    /// Appends an event to those that are not written.
    ///
    /// # Errors
    /// If the study does not allow the event.
    pub fn append(&mut self, event: Event) -> Result<(), DriverError> {
        let entry = self
            .journal
            .append_after(self.away.take(), event, self.now)?;
        if self.is_complete {
            self.study.apply(&entry)?;
        }
        Ok(())
    }

    /// Returns the number of bytes that were appended and not written.
    #[must_use]
    pub fn pending_bytes(&self) -> usize {
        self.journal.pending_bytes()
    }

    /// Writes the appended events, so that more of them can follow than fit into memory. A study
    /// that has grown too large for memory is given up: the journal alone is enough to restore it.
    ///
    /// # Errors
    /// If they cannot be written.
    pub fn flush(&mut self) -> Result<(), DriverError> {
        self.journal.sync()?;
        if self.study.trials().len() > MAX_KEPT_TRIALS {
            self.study = Study::default();
            self.is_complete = false;
        }
        Ok(())
    }

    /// Writes all events to the disk and returns the study.
    ///
    /// # Errors
    /// If they cannot be written.
    pub fn close(mut self) -> Result<Study, DriverError> {
        self.journal.sync()?;
        // The snapshot is optional: without it, readers replay the journal.
        if self.is_complete {
            let _ = snapshot::write(&self.dir, &self.study, self.journal.offset());
        }
        Ok(self.study)
    }
}
