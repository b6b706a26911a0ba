//! Ask and tell: another program runs the trials. It asks for them one by one and tells their
//! results. The events and the study are the same as in a run; no executor is involved.

use super::{Driver, DriverError, propose};
use swath_log::DecidingMetrics;
use swath_model::space::{Name, Params};
use swath_model::study::{
    Attempt, Closing, Datum, Event, Exit, IllegalEvent, LogRecord, Resource, TrialId, TrialState,
    Usage, Verdict,
};

/// A trial that was handed out to the program that asked.
#[derive(Debug, Clone, PartialEq)]
pub struct OpenTrial {
    /// The id of the trial.
    pub trial: TrialId,
    /// The number of the attempt that begins with this, from 1.
    pub attempt: Attempt,
    /// The configuration of the trial.
    pub params: Params,
    /// The trial's seed: 31 bits, the same in every attempt.
    pub seed: u64,
    /// The resource at which the scheduler wants the trial to pause or end; `None` if it has no
    /// limit.
    pub until: Option<Resource>,
    /// Whether the trial continues from where it was paused or interrupted.
    pub resume: bool,
}

/// The answer to an ask.
#[derive(Debug, Clone, PartialEq)]
pub enum Offer {
    /// There is a trial to run.
    Trial(OpenTrial),
    /// There is no trial now, but the results of open trials may lead to one.
    Wait,
    /// There is no further trial in this study or this run; the reason is given.
    Over(Closing),
}

impl Driver<'_> {
    /// Hands out the next trial: a waiting one if there is one, otherwise the one that the
    /// scheduler and the sampler choose. The journal is flushed before this returns.
    ///
    /// # Errors
    /// If the journal cannot be written, or the sampler or the scheduler fails.
    pub fn ask(&mut self) -> Result<Offer, DriverError> {
        if let Some(failure) = self.search_failure() {
            return Err(failure.into());
        }
        if let Some(why) = self.reason_to_end(self.components.inbox.urgency()) {
            return Ok(Offer::Over(why));
        }
        let Some(trial) = self.next_trial()? else {
            if let Some(failure) = self.search_failure() {
                return Err(failure.into());
            }
            // While a trial is open, its result may make the scheduler or the sampler propose
            // another one.
            return Ok(match (self.study.running_count(), self.exhausted) {
                (0, true) => Offer::Over(Closing::Exhausted),
                (0, false) => Offer::Over(Closing::Finished),
                _ => Offer::Wait,
            });
        };
        let is_paused = self
            .study
            .trial(trial)
            .is_some_and(|trial| trial.state == TrialState::Paused);
        let open_trial = self.hand_out(trial, is_paused)?;
        self.journal.flush()?;
        Ok(Offer::Trial(open_trial))
    }

    /// Starts a waiting trial again and keeps its reports: a program was asked to run it before
    /// this process began.
    ///
    /// # Errors
    /// If the trial cannot be started or the journal cannot be written.
    pub fn take_up(&mut self, trial: TrialId) -> Result<OpenTrial, DriverError> {
        self.hand_out(trial, true)
    }

    /// Commits the start of a trial's next attempt. `resume`: keep the reports that it has made.
    fn hand_out(&mut self, id: TrialId, resume: bool) -> Result<OpenTrial, DriverError> {
        let until = self.parts.scheduler.until(&self.study, id);
        let trial = self.study.trial(id).ok_or(IllegalEvent::NoSuchTrial(id))?;
        let (attempt, params, seed) = (
            Attempt(trial.attempts + 1),
            trial.params.clone(),
            trial.seed,
        );
        // The number of open trials is not limited here, so slots are only numbers.
        let slot = self.free_slot(usize::MAX).unwrap_or(u32::MAX);
        self.commit(Event::Started {
            trial: id,
            attempt,
            until,
            slot,
            resume,
        })?;
        Ok(OpenTrial {
            trial: id,
            attempt,
            params,
            seed,
            until,
            resume,
        })
    }

    /// Commits a report of an open trial and returns the verdict on it. Any verdict other than
    /// `Continue` ends the trial's attempt. `line_end` is the offset behind the line of the trial's
    /// records that the report comes from, if it comes from there.
    ///
    /// # Errors
    /// If the trial is not open or the journal cannot be written.
    pub fn report(
        &mut self,
        trial: TrialId,
        values: Vec<(Name, Datum)>,
        line_end: Option<u64>,
    ) -> Result<Verdict, DriverError> {
        let attempt = self.open_attempt(trial)?;
        self.log_report(trial, attempt, values, line_end)?;
        // A person may have stopped the trial since its last report.
        let decided = self.study.trial(trial).and_then(|trial| trial.verdict);
        let verdict = match decided {
            Some(Verdict::Stop) => Verdict::Stop,
            _ => self.judged(trial, false)?,
        };
        match verdict {
            Verdict::Continue => {}
            Verdict::Pause => drop(self.ended(trial, attempt, Exit::Paused, Usage::default())?),
            Verdict::Stop | Verdict::Complete => {
                self.ended(trial, attempt, Exit::Stopped, Usage::default())?;
            }
        }
        self.journal.flush()?;
        Ok(verdict)
    }

    /// Commits a record of an open trial that is no report. Does nothing if the trial is not open.
    ///
    /// # Errors
    /// If the journal cannot be written.
    pub fn record(
        &mut self,
        trial: TrialId,
        record: LogRecord,
        line_end: Option<u64>,
    ) -> Result<(), DriverError> {
        match self.open_attempt(trial) {
            Ok(attempt) => self.log_record(trial, attempt, record, line_end),
            Err(_) => Ok(()),
        }
    }

    /// Ends an open trial, after a last report unless `values` is empty. `why` is the reason of the
    /// program that ran it for giving the trial up or giving it back; a failure carries its own
    /// reason in `exit`.
    ///
    /// # Errors
    /// If the trial is not open or the journal cannot be written.
    pub fn tell(
        &mut self,
        trial: TrialId,
        values: Vec<(Name, Datum)>,
        exit: Exit,
        why: Option<&str>,
    ) -> Result<(), DriverError> {
        let attempt = self.open_attempt(trial)?;
        if !values.is_empty() {
            self.log_report(trial, attempt, values, None)?;
        }
        let reason = why.map_or_else(String::new, |why| format!(": {why}"));
        if exit == Exit::Stopped {
            let why = format!("the program that ran it gave it up{reason}");
            self.commit(Event::Judged {
                trial,
                verdict: Verdict::Stop,
                why,
            })?;
        // An interrupted trial waits again, so there is no verdict that could carry the reason.
        } else if why.is_some() && exit == Exit::Interrupted {
            let text = format!("the program that ran it gave it back{reason}");
            self.warn(trial, attempt, text)?;
        }
        self.ended(trial, attempt, exit, Usage::default())?;
        Ok(self.journal.flush()?)
    }

    /// Creates `seeds` further trials of each of some configurations, which the next run starts.
    ///
    /// # Errors
    /// If the journal cannot be written.
    pub fn rerun(&mut self, configurations: &[TrialId], seeds: u32) -> Result<(), DriverError> {
        let seed = self.parts.header.seed;
        for created in propose::reruns(seed, &self.study, configurations, seeds) {
            self.create(created)?;
        }
        Ok(self.journal.flush()?)
    }

    /// Creates a trial from a configuration, to be run before any that the sampler would propose.
    /// Parameters missing from `given` are drawn. Returns `None` if no completion satisfies the
    /// constraints.
    ///
    /// # Errors
    /// If the journal cannot be written.
    pub fn add(&mut self, given: &Params) -> Result<Option<TrialId>, DriverError> {
        let Some(event) = propose::added(&self.parts, &self.study, given) else {
            return Ok(None);
        };
        let trial = self.create(event)?;
        self.journal.flush()?;
        Ok(Some(trial))
    }

    /// Does the periodic housekeeping of [`Driver::run`]: syncs the journal, writes the snapshot,
    /// calls the listeners, and reads requests of other processes.
    ///
    /// # Errors
    /// If the journal cannot be written.
    pub fn tend(&mut self) -> Result<(), DriverError> {
        self.settle().map(drop)
    }

    /// Ends this run of the study. Open trials are interrupted and wait to be handed out again.
    ///
    /// # Errors
    /// If the journal cannot be written.
    pub fn leave(&mut self) -> Result<Closing, DriverError> {
        let open: Vec<TrialId> = self.study.running().collect();
        for trial in open {
            let attempt = self.open_attempt(trial)?;
            self.ended(trial, attempt, Exit::Interrupted, Usage::default())?;
        }
        let why = match (self.is_finished(), self.exhausted) {
            (true, false) => Closing::Finished,
            (true, true) => Closing::Exhausted,
            _ if self.search_failure().is_some() => Closing::SearchFailed,
            _ => Closing::Interrupted,
        };
        self.close(why)
    }

    /// Commits a report. A number in quotes is read as a number if the metric decides about the
    /// trial; each such metric yields one warning per trial.
    fn log_report(
        &mut self,
        trial: TrialId,
        attempt: Attempt,
        mut values: Vec<(Name, Datum)>,
        line_end: Option<u64>,
    ) -> Result<(), DriverError> {
        let mut flaws = Vec::new();
        DecidingMetrics::new(&self.study.header().deciding_metrics())
            .read_all(&mut values, &mut flaws);
        let record = self.weighed(trial, LogRecord::Report { values });
        self.commit(Event::Logged {
            trial,
            attempt,
            record,
            line_end,
        })?;
        for text in flaws {
            // A program that reports in quotes does so in each report: one warning is enough.
            let warning = LogRecord::Warning { text: text.clone() };
            let is_recorded = self
                .study
                .trial(trial)
                .is_some_and(|trial| trial.records.contains(&warning));
            if !is_recorded {
                self.warn(trial, attempt, text)?;
            }
        }
        Ok(())
    }

    /// Returns the running attempt of a trial; an error if the trial is not running.
    fn open_attempt(&self, trial: TrialId) -> Result<Attempt, DriverError> {
        let open = self
            .study
            .trial(trial)
            .ok_or(IllegalEvent::NoSuchTrial(trial))?;
        if open.state == TrialState::Running {
            return Ok(Attempt(open.attempts));
        }
        Err(IllegalEvent::WrongState {
            trial,
            state: open.state.word(),
            action: "told",
        }
        .into())
    }
}
