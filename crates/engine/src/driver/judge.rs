//! The scheduler's verdicts on trials that report, and their delivery to the trials.

use super::{Driver, DriverError};
use crate::executor::{Executor, Signal, Stop, What};
use crate::logger::{Answer, Directive};
use crate::scheduler;
use crate::study::{Attempt, Event, LogRecord, TrialId, Verdict};

impl Driver<'_> {
    /// Judges a trial that has reported, or that `asks` whether it may continue. Asks the executor
    /// to end the trial if it may not.
    pub(super) fn judge(
        &mut self,
        trial: TrialId,
        asks: bool,
        executor: &mut dyn Executor,
    ) -> Result<(), DriverError> {
        // A trial that is ending already gets no second verdict.
        if self.ending.contains_key(&trial) {
            return Ok(());
        }
        let how = match self.judged(trial, asks)? {
            Verdict::Continue => return Ok(()),
            Verdict::Pause => Stop::Pause,
            Verdict::Stop | Verdict::Complete => Stop::Verdict,
        };
        // The verdict must be flushed before it acts. On a full disk, `has_room` delivers it later.
        if self.save()? {
            self.end(trial, how, executor);
        }
        Ok(())
    }

    /// Answers a trial that asked whether it may continue, once the verdict is flushed. On a full
    /// disk the question is asked again later.
    pub(super) fn answer(
        &mut self,
        trial: TrialId,
        attempt: Attempt,
        id: String,
    ) -> Result<(), DriverError> {
        if !self.save()? {
            let at = (self.clock)();
            self.backlog.push(Signal {
                trial,
                attempt,
                at,
                what: What::Asked(id),
            });
            return Ok(());
        }
        let asked = self.ending.get(&trial);
        let directive = asked.map_or(Directive::Continue, |how| how.directive());
        let judged = self.study.trial(trial).and_then(|found| found.why.clone());
        let why = match asked {
            Some(Stop::Interrupt | Stop::Kill) => "the run was interrupted".to_owned(),
            Some(Stop::Pause | Stop::Verdict) => judged.unwrap_or_default(),
            None => String::new(),
        };
        // An error is ignored: a trial that receives no answer reports that itself.
        let _ = Answer { id, directive, why }.give(&self.dir.trial(trial));
        Ok(())
    }

    /// Returns a record of a running trial as it is written to the journal; see
    /// [`scheduler::weighed`].
    pub(super) fn weighed(&self, trial: TrialId, record: LogRecord) -> LogRecord {
        scheduler::weighed(&*self.parts.scheduler, &self.study, trial, record)
    }

    /// Asks the scheduler for a verdict on a running trial, and commits it unless it is `Continue`
    /// without a reason.
    pub(super) fn judged(&mut self, trial: TrialId, asks: bool) -> Result<Verdict, DriverError> {
        let judgement = scheduler::judgement(&*self.parts.scheduler, &self.study, trial, asks);
        if !judgement.why.is_empty() || judgement.verdict != Verdict::Continue {
            self.commit(Event::Judged {
                trial,
                verdict: judgement.verdict,
                why: judgement.why,
            })?;
        }
        Ok(judgement.verdict)
    }
}
