//! Trials that somebody else runs: asked for one by one, told by whoever ran them. The same events,
//! the same study, no executor.

use super::{Driver, DriverError, propose};
use crate::logger::DecidingMetrics;
use crate::space::{Name, Params};
use crate::study::{
    Attempt, Closing, Datum, Event, Exit, IllegalEvent, LogRecord, Resource, TrialId, TrialState,
    Usage, Verdict,
};

/// A trial that was handed out.
#[derive(Debug, Clone, PartialEq)]
pub struct Asked {
    /// Its id.
    pub trial: TrialId,
    /// Which attempt this is.
    pub attempt: Attempt,
    /// Its configuration.
    pub params: Params,
    /// Its seed.
    pub seed: u64,
    /// The resource after which the scheduler wants it to pause or end.
    pub until: Option<Resource>,
    /// Whether it goes on from where it was paused.
    pub resume: bool,
}

/// What an ask comes to.
#[derive(Debug, Clone, PartialEq)]
pub enum Offer {
    /// A trial to run.
    Trial(Asked),
    /// Nothing now, but what is told of the open trials may change that.
    Wait,
    /// Nothing any more.
    Over(Closing),
}

impl Driver<'_> {
    /// Hands out the next trial: one that waits, else what scheduler and sampler say. The kernel
    /// has it before this returns.
    ///
    /// # Errors
    /// If the journal cannot be written.
    pub fn ask(&mut self) -> Result<Offer, DriverError> {
        if let Some(why) = self.reason_to_end(self.told.stop.unwrap_or(super::Urgency::None)) {
            return Ok(Offer::Over(why));
        }
        let Some(trial) = self.next_trial()? else {
            return Ok(match (self.study.running_count(), self.exhausted) {
                (0, true) => Offer::Over(Closing::Exhausted),
                (0, false) => Offer::Over(Closing::Finished),
                _ => Offer::Wait,
            });
        };
        let paused = self
            .study
            .trial(trial)
            .is_some_and(|found| found.state == TrialState::Paused);
        let asked = self.hand_out(trial, paused)?;
        self.journal.flush()?;
        Ok(Offer::Trial(asked))
    }

    /// Takes up a trial that waits, keeping what it reported: somebody was asked to run it before
    /// this process began.
    ///
    /// # Errors
    /// If the trial cannot be started or the journal cannot be written.
    pub fn take_up(&mut self, trial: TrialId) -> Result<Asked, DriverError> {
        self.hand_out(trial, true)
    }

    fn hand_out(&mut self, id: TrialId, resume: bool) -> Result<Asked, DriverError> {
        let until = self.parts.scheduler.until(&self.study, id);
        let trial = self.study.trial(id).ok_or(IllegalEvent::NoSuchTrial(id))?;
        let (attempt, params, seed) = (
            Attempt(trial.attempts + 1),
            trial.params.clone(),
            trial.seed,
        );
        let slot = self.free_slot(usize::MAX).unwrap_or(u32::MAX);
        self.commit(Event::Started {
            trial: id,
            attempt,
            until,
            slot,
            resume,
        })?;
        self.busy_slots.insert(slot);
        Ok(Asked {
            trial: id,
            attempt,
            params,
            seed,
            until,
            resume,
        })
    }

    /// Takes in a report of an open trial and says whether it may go on. One that may not has ended
    /// with this.
    ///
    /// # Errors
    /// If the trial is not open or the journal cannot be written.
    pub fn report(
        &mut self,
        trial: TrialId,
        values: Vec<(Name, Datum)>,
    ) -> Result<Verdict, DriverError> {
        let attempt = self.open_attempt(trial)?;
        self.log_report(trial, attempt, values)?;
        let verdict = self.judged(trial, false)?;
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

    /// Ends an open trial, after a last report if `values` are given. `why` is the reason that the
    /// program that ran it gives for stopping it or giving it back; a failure has its own.
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
            self.log_report(trial, attempt, values)?;
        }
        let reason = why.map_or_else(String::new, |why| format!(": {why}"));
        if exit == Exit::Stopped {
            let why = format!("the program that ran it gave it up{reason}");
            self.commit(Event::Judged {
                trial,
                verdict: Verdict::Stop,
                why,
            })?;
        } else if why.is_some() && exit == Exit::Interrupted {
            let text = format!("the program that ran it gave it back{reason}");
            self.commit(Event::Logged {
                trial,
                attempt,
                record: LogRecord::Warning { text },
            })?;
        }
        self.ended(trial, attempt, exit, Usage::default())?;
        Ok(self.journal.flush()?)
    }

    /// Puts a configuration in front of all that the sampler would propose; what `given` leaves out
    /// is drawn. `None` if nothing completes it within the constraints.
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

    /// Looks after what has to be done now and then: the disk, the snapshot, the listeners, what
    /// another terminal asked for.
    ///
    /// # Errors
    /// If the journal cannot be written.
    pub fn tend(&mut self) -> Result<(), DriverError> {
        self.settle()
    }

    /// Ends the study's run: trials that are open wait to be asked for again.
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
            _ => Closing::Interrupted,
        };
        self.close(why)
    }

    /// Commits a report, in which a number in quotes is a number where it decides, with one warning
    /// for each trial and metric.
    fn log_report(
        &mut self,
        trial: TrialId,
        attempt: Attempt,
        mut values: Vec<(Name, Datum)>,
    ) -> Result<(), DriverError> {
        let mut flaws = Vec::new();
        DecidingMetrics::new(&self.study.header().deciding_metrics())
            .read_all(&mut values, &mut flaws);
        let record = self.weighed(trial, LogRecord::Report { values });
        self.commit(Event::Logged {
            trial,
            attempt,
            record,
        })?;
        for text in flaws {
            let warning = LogRecord::Warning { text };
            let is_told = self
                .study
                .trial(trial)
                .is_some_and(|found| found.records.contains(&warning));
            if !is_told {
                self.commit(Event::Logged {
                    trial,
                    attempt,
                    record: warning,
                })?;
            }
        }
        Ok(())
    }

    fn open_attempt(&self, trial: TrialId) -> Result<Attempt, DriverError> {
        let found = self
            .study
            .trial(trial)
            .ok_or(IllegalEvent::NoSuchTrial(trial))?;
        if found.state == TrialState::Running {
            return Ok(Attempt(found.attempts));
        }
        Err(IllegalEvent::WrongState {
            trial,
            state: found.state.word(),
            what: "told",
        }
        .into())
    }
}
