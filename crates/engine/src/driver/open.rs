//! Opening a study for writing: take the lock, absorb the journal, and end the attempts that a
//! killed run left behind.

use super::clock::RunClock;
use super::component::{Component, Components};
use super::earlier::EarlierRun;
use super::listeners::Listeners;
use super::trial_warnings;
use super::unread::UnreadRecord;
use super::{Clock, Driver, DriverError, MachineAccess, Parts};
use crate::executor::{Executor, SourceAttempt};
use crate::journal::{
    Holder, Journal, JournalError, Lock, StudyDir, has_own_trial, is_of_other_study, new_id,
    set_aside, set_study_aside, shortfall,
};
use std::collections::BTreeSet;
use std::path::Path;
use swath_model::study::{
    Attempt, Event, Exit, FORMAT, LogRecord, Study, Trial, TrialId, TrialState, Usage, Verdict,
};

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
        Self::open_on(dir, parts, holder, clock, MachineAccess::default())
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
        machine: MachineAccess,
    ) -> Result<Self, DriverError> {
        std::fs::create_dir_all(dir.root()).map_err(|source| JournalError::Io {
            path: dir.root().to_owned(),
            source,
        })?;
        let lock = Lock::take(&dir, holder)?;
        let mut replay = Journal::open(&dir)?;
        let mut study = Study::default();
        // The sampler and the scheduler observe the journal exactly as they observed the live run.
        let mut parts = parts;
        let mut earlier = EarlierRun::new(machine.end_leftovers);
        replay.fold_into(&mut study, &mut |study, entry| {
            parts.observe(study, &entry.event);
            earlier.on(study, &entry.event);
        })?;
        // A study without any entry is a new one: what lies in its folder is not its own.
        let aside = match study.next_seq() {
            0 if shortfall(&dir).is_none() => {
                set_study_aside(&dir).map_err(|source| JournalError::Io {
                    path: dir.root().to_owned(),
                    source,
                })?
            }
            _ => Vec::new(),
        };
        let mut driver = Self {
            components: Components::new(&dir, &parts, earlier, machine.disk_space, machine.ticks),
            journal: replay.into_writer_on(machine.medium, machine.mark)?,
            dir,
            _lock: lock,
            clock: RunClock::begin(clock, study.at()),
            study,
            parts,
            listeners: Listeners::default(),
            exhausted: false,
            preparer: None,
            claimed: BTreeSet::new(),
        };
        if !aside.is_empty() {
            driver.listeners.keep_notice(format!(
                "`{}` had files of an earlier study, whose journal is gone: they are in `{}` now ({})",
                driver.dir.root().display(),
                driver.dir.orphaned().display(),
                listed(&aside)
            ));
        }
        driver.begin()?;
        driver.set_foreign_pilots_aside()?;
        Ok(driver)
    }

    /// Moves the files of pilots away that bear the id of another study: a restored or copied journal
    /// beside them would take the reports of other trials for its own.
    fn set_foreign_pilots_aside(&mut self) -> Result<(), DriverError> {
        let pilots = self.dir.pilots();
        if !is_of_other_study(&pilots, self.study.header().id.as_deref()) {
            return Ok(());
        }
        let place = set_aside(&self.dir, &pilots).map_err(|source| JournalError::Io {
            path: pilots,
            source,
        })?;
        self.listeners.keep_notice(format!(
            "the files of pilots were of another study, so they are not read: they are now in `{}`",
            place.display()
        ));
        Ok(())
    }

    /// Returns the records that a lost attempt had written to its file and no driver had read.
    fn unread(&self, id: TrialId) -> Vec<UnreadRecord> {
        let Some(trial) = self.study.trial(id) else {
            return Vec::new();
        };
        if !has_own_trial(&self.dir, &self.study, id) {
            return Vec::new();
        }
        let own = self.parts.own_workdir.as_ref();
        // Trials that the caller of ask and tell runs have no such folder.
        let own = own
            .map(|own| self.dir.trial(id).join(own))
            .filter(|own| own.is_dir());
        let warnings = self.catch_up(trial, own.as_deref());
        let mut records = super::unread::records(
            &self.dir,
            own.as_ref().unwrap_or(&self.parts.workdir),
            &self.study,
            trial,
            self.parts.models,
            &self.parts.secrets,
            self.parts.sources.output_decides(),
        );
        let warnings = warnings.into_iter();
        records.extend(warnings.map(|text| (LogRecord::Warning { text }, None)));
        records
    }

    /// Lets the sources translate what a lost attempt has written. `own` is its private workdir.
    /// Returns the texts of warnings.
    fn catch_up(&self, trial: &Trial, own: Option<&Path>) -> Vec<String> {
        let header = self.study.header();
        let dir = self.dir.trial(trial.id);
        let attempt = SourceAttempt {
            trial: trial.id,
            attempt: Attempt(trial.attempts),
            dir: &std::path::absolute(&dir).unwrap_or(dir),
            workdir: own.unwrap_or(&self.parts.workdir),
            is_shared: own.is_none() && header.slots > 1,
            resumes: true,
            deciding: &header.deciding_metrics(),
            resource: header.resource.as_ref(),
            env: &[],
        };
        self.parts.sources.catch_up(&attempt)
    }

    /// Commits the records that a lost attempt had written to its file and no driver had read.
    /// `is_unjudged`: the journal has a report of the attempt whose verdict was not written.
    pub(super) fn take_unread(
        &mut self,
        trial: TrialId,
        attempt: Attempt,
        is_unjudged: bool,
    ) -> Result<(), DriverError> {
        // A report is judged as it would have been if it had been read in time: a trial that was to
        // stop must not go on because its orchestrator was killed.
        let mut verdict = match is_unjudged {
            true => self.judged(trial, false)?,
            false => Verdict::Continue,
        };
        for (record, line_end) in self.unread(trial) {
            let record = self.weighed(trial, record);
            let is_report = matches!(record, LogRecord::Report { .. } | LogRecord::Beyond { .. });
            self.commit(Event::Logged {
                trial,
                attempt,
                record,
                line_end,
            })?;
            if is_report && verdict == Verdict::Continue {
                verdict = self.judged(trial, false)?;
            }
        }
        Ok(())
    }

    /// Commits the events that precede the first attempt of this run: the opening or the edit of
    /// the study, the lost attempts, pending retries, and configurations from the inbox.
    fn begin(&mut self) -> Result<(), DriverError> {
        // The sweep file knows nothing of the id. A study without one was begun by an earlier
        // version and stays without: the folders of its trials do not have it either.
        self.parts.header.id = match self.study.next_seq() {
            0 => Some(new_id()),
            _ => self.study.header().id.clone(),
        };
        // A number of trials that a person raised holds until the sweep file has another one.
        let earlier = self.study.header();
        if earlier.raised_from.is_some() && earlier.raised_from == self.parts.header.trials {
            self.parts.header.raised_from = earlier.raised_from;
            self.parts.header.trials = earlier.trials;
        }
        if self.study.next_seq() == 0 {
            let header = self.parts.header.clone();
            self.commit(Event::Opened {
                format: FORMAT,
                header,
            })?;
        } else if self.study.header() != &self.parts.header {
            let edited = super::edit::edited(&self.parts, &self.study);
            self.listeners.keep(super::edit::summary(&edited));
            self.commit(edited)?;
        }
        self.lose_preparations()?;
        // Attempts on a cluster may still run: `take_over` asks the executor about them first.
        if !self.parts.elsewhere {
            let earlier = &self.components.earlier;
            let orphans: Vec<_> = earlier
                .attempts(&self.study)
                .into_iter()
                .map(|attempt| (attempt.trial, attempt.attempt))
                .collect();
            earlier.end_processes(&self.dir, &self.study, &orphans, self.parts.grace);
            self.lose(&orphans)?;
        }
        // The last run may have died before it requeued a failed trial, and `[retry]` may have been
        // extended since.
        for trial in self.components.earlier.unrequeued(&self.study) {
            if let Some(requeued) = self.study.trial(trial).map(trial_warnings::requeue) {
                self.commit(requeued)?;
            }
        }
        let trials: Vec<TrialId> = self.study.trials().iter().map(|trial| trial.id).collect();
        for trial in trials {
            let (retries, now) = (&self.components.retries, self.clock.now());
            if let Some(requeued) = retries.requeue(&self.study, trial, now) {
                self.commit(requeued)?;
            }
        }
        self.take_messages()?;
        self.journal.sync()?;
        Ok(())
    }

    /// Ends attempts of an earlier run as lost. Their unread records are committed first; their
    /// trials wait again.
    fn lose(&mut self, orphans: &[(TrialId, Attempt)]) -> Result<(), DriverError> {
        // Found before the loop, whose own entries follow that report.
        let unjudged = self.components.earlier.unjudged();
        for (trial, attempt) in orphans.iter().copied() {
            let earlier = &self.components.earlier;
            let usage = Usage {
                seconds: earlier.run_time(&self.dir, &self.study, trial),
                ..Usage::default()
            };
            self.take_unread(trial, attempt, unjudged == Some(trial))?;
            self.commit(Event::Ended {
                trial,
                attempt,
                exit: Exit::Lost,
                usage,
            })?;
            self.amend_folder(trial, None);
        }
        Ok(())
    }

    /// Lets the executor adopt the attempts of an earlier run. Attempts that it does not know are
    /// lost. Verdicts that the earlier run may not have delivered are delivered again.
    pub(super) fn take_over(&mut self, executor: &mut dyn Executor) -> Result<(), DriverError> {
        let earlier = self.components.earlier.attempts(&self.study);
        if earlier.is_empty() {
            return Ok(());
        }
        let lost = executor.adopt(earlier.clone());
        self.lose(&lost)?;
        // An adopted attempt occupies its slot, which `fill` must not use.
        for attempt in earlier {
            let trial = self.study.trial(attempt.trial);
            if trial.is_some_and(|trial| trial.state == TrialState::Running) {
                self.components.slots.occupy(attempt.slot);
            }
        }
        self.deliver_verdicts(executor);
        Ok(())
    }
}

/// Returns the names of files as a phrase that does not become long.
fn listed(names: &[String]) -> String {
    const MOST: usize = 5;
    let shown = names.iter().take(MOST).map(String::as_str);
    let shown = shown.collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(MOST) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}
