//! Opening a study for writing: take the lock, absorb the journal, and end what the last run left.

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
    /// Opens the study in `dir`, making it if there is none, and absorbs its journal. Trials that
    /// ran when the last driver went away are lost, and wait again.
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

    /// Opens the study as [`open`](Self::open) does, on another ground.
    ///
    /// # Errors
    /// As there.
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
        let mut parts = parts;
        let mut heard = BTreeMap::new();
        replay.fold_into(&mut study, &mut |study, entry| {
            parts.sampler.observe(study, &entry.event);
            parts.scheduler.observe(study, &entry.event);
            match &entry.event {
                Event::Started { trial, .. } => drop(heard.insert(*trial, 0)),
                // Some warnings are the driver's own: the executor never sent them.
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

    /// Ends what is left of the trials of a run that was killed: under the lock, and only what is
    /// proven to be the study's own.
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

    /// Returns what a lost trial had written and nobody had read.
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
        if !self.parts.elsewhere {
            let orphans: Vec<_> = self
                .unended()
                .into_iter()
                .map(|held| (held.trial, held.attempt))
                .collect();
            self.end_leftovers(&orphans);
            self.lose(&orphans)?;
        }
        let failed: Vec<TrialId> = self.study.trials().iter().map(|trial| trial.id).collect();
        for trial in failed {
            self.retry(trial)?;
        }
        self.take_added()?;
        self.journal.sync()?;
        Ok(())
    }

    /// Returns the attempts that an earlier run began and did not see end.
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

    /// Ends attempts of which nobody knows any more. Their trials wait again.
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

    /// Lets the executor take over what an earlier run began; what it does not know is lost. What
    /// was decided meanwhile is said again.
    pub(super) fn take_over(&mut self, executor: &mut dyn Executor) -> Result<(), DriverError> {
        let held = self.unended();
        if held.is_empty() {
            return Ok(());
        }
        let lost = executor.adopt(held.clone());
        self.lose(&lost)?;
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
