//! The scheduler's verdicts on trials that report, and their delivery to the trials.

use super::{Driver, DriverError, endings};
use crate::executor::{Executor, Signal, SignalKind, Stop};
use swath_log::Answer;
use swath_model::study::{Attempt, Event, LogRecord, TrialId, Verdict};
use swath_search::scheduler;

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
        if self.components.endings.contains(trial) {
            return Ok(());
        }
        // The verdict must be flushed before it acts. On a full disk, `has_room` delivers it later.
        if let Some(how) = endings::stop_for(self.judged(trial, asks)?)
            && self.save()?
        {
            self.end(trial, how, executor);
        }
        Ok(())
    }

    /// Ends the trials that have used up their budget of time. They are complete with what they have
    /// reported.
    pub(super) fn end_spent_trials(
        &mut self,
        executor: &mut dyn Executor,
    ) -> Result<(), DriverError> {
        let spent = self
            .components
            .trial_budgets
            .spent(&self.study, self.clock.now());
        for (trial, why) in spent {
            if self.components.endings.contains(trial) {
                continue;
            }
            self.commit(Event::Judged {
                trial,
                verdict: Verdict::Complete,
                why,
            })?;
            // As for other verdicts: on a full disk `has_room` delivers it later.
            if self.save()? {
                self.end(trial, Stop::Verdict, executor);
            }
        }
        Ok(())
    }

    /// Asks a trial to end, unless it was already asked with the same or a higher urgency.
    pub(super) fn end(&mut self, trial: TrialId, how: Stop, executor: &mut dyn Executor) {
        if self.components.endings.ask(trial, how) {
            executor.stop(trial, how);
        }
    }

    /// Delivers the verdicts on running trials again that were committed and perhaps not delivered:
    /// the disk was full, or the run that committed them ended.
    pub(super) fn deliver_verdicts(&mut self, executor: &mut dyn Executor) {
        for (trial, how) in endings::judged_to_end(&self.study) {
            self.end(trial, how, executor);
        }
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
            self.components.room.backlog.push(Signal {
                trial,
                attempt,
                at: self.clock.now(),
                kind: SignalKind::Asked(id),
            });
            return Ok(());
        }
        let (directive, why) = self.components.endings.answer(&self.study, trial);
        // An error is ignored: a trial that receives no answer reports that itself.
        let _ = Answer { id, directive, why }.give(&self.dir.trial(trial));
        Ok(())
    }

    /// Returns a record of a running trial as it is written to the journal; see
    /// [`scheduler::weighed`].
    pub(super) fn weighed(&self, trial: TrialId, record: LogRecord) -> LogRecord {
        let budget = self.parts.limits.resource_budget();
        scheduler::mark_beyond_max(&*self.parts.scheduler, budget, &self.study, trial, record)
    }

    /// Asks the scheduler for a verdict on a running trial, and commits it unless it is `Continue`
    /// without a reason.
    pub(super) fn judged(&mut self, trial: TrialId, asks: bool) -> Result<Verdict, DriverError> {
        let budget = self.parts.limits.resource_budget();
        let scheduler = &*self.parts.scheduler;
        let judgement = scheduler::judgement(scheduler, budget, &self.study, trial, asks);
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
