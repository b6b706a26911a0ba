//! Opening a study for writing: take the lock, absorb the journal, and end the attempts that a
//! killed run left behind.

use super::breaker::Breaker;
use super::{Clock, Driver, DriverError, Ground, Parts};
use crate::executor::{Executor, Held, Stop};
use crate::journal::{Holder, Journal, JournalError, Lock, StudyDir};
use crate::study::{
    Attempt, Event, Exit, FORMAT, LogRecord, Study, TrialId, TrialState, Usage, Verdict,
};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

impl<'a> Driver<'a> {
    /// Opens the study in `dir`, creating it if there is none, and absorbs its journal. Attempts
    /// that ran when the last driver died are lost, and their trials wait again, unless
    /// `Parts::elsewhere` is set.
    ///
    /// # Errors
    /// If another process has it, or its journal cannot be read or written.
    pub fn open(
        dir: StudyDir,
        parts: Parts,
        holder: &Holder,
        clock: Clock,
    ) -> Result<Self, DriverError> {
        Self::open_on(dir, parts, holder, clock, Ground::default())
    }

    /// Opens the study as [`open`](Self::open) does, on the given disk and processes.
    ///
    /// # Errors
    /// As for [`open`](Self::open).
    pub fn open_on(
        dir: StudyDir,
        parts: Parts,
        holder: &Holder,
        clock: Clock,
        ground: Ground,
    ) -> Result<Self, DriverError> {
        let made = std::fs::create_dir_all(dir.root());
        made.map_err(|source| JournalError::Io {
            path: dir.root().to_owned(),
            source,
        })?;
        let lock = Lock::take(&dir, holder)?;
        let mut replay = Journal::open(&dir)?;
        let mut study = Study::default();
        // The sampler and the scheduler observe the journal exactly as they observed the live run.
        let mut parts = parts;
        let mut heard = BTreeMap::new();
        replay.fold_into(&mut study, &mut |study, entry| {
            parts.sampler.observe(study, &entry.event);
            parts.scheduler.observe(study, &entry.event);
            match &entry.event {
                Event::Started { trial, .. } => drop(heard.insert(*trial, 0)),
                // Some warnings come from the driver itself: the executor never sent them, so it
                // must not count them when it resumes its streams.
                Event::Logged {
                    record: LogRecord::Warning { .. },
                    ..
                } => {}
                Event::Logged { trial, .. } => *heard.entry(*trial).or_default() += 1,
                Event::Ended { trial, .. } => drop(heard.remove(trial)),
                _ => {}
            }
        })?;
        let now = Instant::now();
        let began = clock();
        let breaker = Breaker::new(parts.limits.quick_failures);
        let mut driver = Self {
            journal: replay.into_writer_on(ground.medium)?,
            dir,
            _lock: lock,
            study,
            parts,
            clock,
            listeners: Vec::new(),
            ending: BTreeMap::new(),
            busy_slots: BTreeSet::new(),
            paused: false,
            full_at: None,
            left: ground.left,
            end_leftovers: ground.end_leftovers,
            held: Vec::new(),
            backlog: Vec::new(),
            size: None,
            tidy: super::tidy::Tidy::default(),
            caution: super::caution::Caution::default(),
            holding: super::holding::Holding::default(),
            data_sets: super::data::DataSets::default(),
            told: super::Control::default(),
            failures: 0,
            breaker,
            exhausted: false,
            unusable: BTreeMap::new(),
            began,
            stood: std::time::Duration::ZERO,
            away: None,
            synced: now,
            snapshot_due: now + std::time::Duration::from_secs(5),
            heard,
            opening: None,
        };
        driver.begin_clock();
        driver.begin()?;
        Ok(driver)
    }

    /// Ends the surviving processes of attempts whose run was killed. Requires the lock; ends only
    /// processes that are proven to belong to the study.
    fn end_leftovers(&self, orphans: &[(TrialId, Attempt)]) {
        if orphans.is_empty() {
            return;
        }
        let places = orphans
            .iter()
            .filter_map(|(id, _)| self.study.trial(*id)?.place.clone());
        (self.end_leftovers)(
            self.dir.root(),
            &places.collect::<Vec<_>>(),
            self.parts.grace,
        );
    }

    /// Returns the records that a lost attempt had written to its file and no driver had read.
    fn unread(&self, id: TrialId) -> Vec<LogRecord> {
        let Some(trial) = self.study.trial(id) else {
            return Vec::new();
        };
        super::unread::records(
            &self.dir,
            &self.parts.workdir,
            &self.study,
            trial,
            self.parts.models,
        )
    }

    /// Commits the events that precede the first attempt of this run: the opening or the edit of
    /// the study, the lost attempts, pending retries, and configurations from the inbox.
    fn begin(&mut self) -> Result<(), DriverError> {
        if self.study.next_seq() == 0 {
            let header = self.parts.header.clone();
            self.commit(Event::Opened {
                format: FORMAT,
                header,
            })?;
        } else if self.study.header() != &self.parts.header {
            let edited = super::edit::edited(&self.parts, &self.study);
            self.opening = Some(super::edit::told(&edited));
            self.commit(edited)?;
        }
        // Attempts on a cluster may still run: `take_over` asks the executor about them first.
        if !self.parts.elsewhere {
            let orphans: Vec<_> = self
                .unended()
                .into_iter()
                .map(|held| (held.trial, held.attempt))
                .collect();
            self.end_leftovers(&orphans);
            self.lose(&orphans)?;
        }
        // The last run may have died before it requeued a failed trial, and `[retry]` may have been
        // extended since.
        let failed: Vec<TrialId> = self.study.trials().iter().map(|trial| trial.id).collect();
        for trial in failed {
            self.retry(trial)?;
        }
        self.take_added()?;
        self.journal.sync()?;
        Ok(())
    }

    /// Returns the attempts that an earlier run started and whose end it did not record.
    fn unended(&self) -> Vec<Held> {
        let held = |trial: TrialId| {
            let found = self.study.trial(trial)?;
            Some(Held {
                trial,
                attempt: Attempt(found.attempts),
                slot: found.slot.unwrap_or(0),
                heard: self.heard.get(&trial).copied().unwrap_or(0),
                placed: found.place.is_some(),
            })
        };
        self.study.running().filter_map(held).collect()
    }

    /// Ends attempts of an earlier run as lost. Their unread records are committed first; their
    /// trials wait again.
    fn lose(&mut self, orphans: &[(TrialId, Attempt)]) -> Result<(), DriverError> {
        for (trial, attempt) in orphans.iter().copied() {
            for record in self.unread(trial) {
                let record = self.weighed(trial, record);
                self.commit(Event::Logged {
                    trial,
                    attempt,
                    record,
                })?;
            }
            self.commit(Event::Ended {
                trial,
                attempt,
                exit: Exit::Lost,
                usage: Usage::default(),
            })?;
            self.amend_folder(trial, None);
        }
        Ok(())
    }

    /// Lets the executor adopt the attempts of an earlier run. Attempts that it does not know are
    /// lost. Verdicts that the earlier run may not have delivered are delivered again.
    pub(super) fn take_over(&mut self, executor: &mut dyn Executor) -> Result<(), DriverError> {
        let held = self.unended();
        if held.is_empty() {
            return Ok(());
        }
        let lost = executor.adopt(held.clone());
        self.lose(&lost)?;
        // An adopted attempt occupies its slot, which `fill` must not use.
        for Held { trial, slot, .. } in held {
            let Some(found) = self
                .study
                .trial(trial)
                .filter(|found| found.state == TrialState::Running)
            else {
                continue;
            };
            let verdict = found.verdict;
            self.busy_slots.insert(slot);
            match verdict {
                Some(Verdict::Stop | Verdict::Complete) => self.end(trial, Stop::Verdict, executor),
                Some(Verdict::Pause) => self.end(trial, Stop::Pause, executor),
                Some(Verdict::Continue) | None => {}
            }
        }
        Ok(())
    }
}
