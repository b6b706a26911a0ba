//! The end of an attempt and what follows for its trial: it starts anew, waits for room on the disk,
//! is tried again, or has failed. Too many quick failures pause their slot or end the run.

use super::breaker::{self, End, Trip};
use super::{Driver, DriverError, trial_warnings};
use crate::executor::Executor;
use crate::journal::{has_foreign_trial, has_own_trial};
use crate::tracker::csv::too_many_metrics_warning;
use std::time::Duration;
use swath_log::TrialFolder;
use swath_model::study::{Attempt, Event, Exit, TrialId, Usage, Verdict};
use swath_search::scheduler;

/// An attempt that ran at least this long is synced to the disk as soon as it ends. Shorter
/// attempts share the sync that `settle` does once a second.
const WORTH_A_SYNC: Duration = Duration::from_secs(1);

impl Driver<'_> {
    /// Commits the end of an attempt, and requeues its trial if that is decided. Returns the
    /// duration of the attempt.
    pub(super) fn ended(
        &mut self,
        trial: TrialId,
        attempt: Attempt,
        exit: Exit,
        usage: Usage,
    ) -> Result<Duration, DriverError> {
        let now = self.clock.now();
        // An attempt in a pilot may have ended long before its end was read.
        let ran = self
            .study
            .trial(trial)
            .and_then(|trial| trial.attempt_at)
            .map_or(0.0, |started| usage.run_time(started, now));
        let ran = Duration::try_from_secs_f64(ran).unwrap_or_default();
        let exit_of_process = exit.clone();
        // Its supervisor, such as a pilot, is gone, and may not have read all of its records.
        if exit == Exit::Lost {
            self.take_unread(trial, attempt, false)?;
        }
        let exit = self.exit_as_judged(trial, exit);
        if let Some(text) = scheduler::missing_resource_warning(&self.study, trial) {
            self.warn(trial, attempt, text)?;
        }
        let ended = self.study.trial(trial);
        if let Some(text) = ended.and_then(too_many_metrics_warning) {
            self.warn(trial, attempt, text)?;
        }
        self.components.shared_files.drain();
        if let Some(text) = self.components.shared_files.take_warning() {
            self.warn(trial, attempt, text)?;
        }
        let trial_warnings = &mut self.components.trial_warnings;
        let broken = self
            .study
            .trial(trial)
            .and_then(|trial| trial_warnings.end(&self.dir, trial, attempt, &exit));
        let is_broken = broken.is_some();
        if let Some(text) = broken {
            self.warn(trial, attempt, text)?;
        }
        if self.claimed.remove(&trial) && !has_own_trial(&self.dir, &self.study, trial) {
            let text = "its folder was removed or replaced while it ran, so its logs, its metrics \
                        and what it recorded after that are lost";
            self.warn(trial, attempt, text.to_owned())?;
        }
        self.commit(Event::Ended {
            trial,
            attempt,
            exit,
            usage,
        })?;
        self.amend_folder(trial, Some(&exit_of_process));
        // A failure on a broken checkpoint or on a full disk is not the trial's fault: such trials
        // are requeued and do not count against `limits.failures`.
        let on_broken_checkpoint = self.study.trial(trial).filter(|_| is_broken);
        if let Some(requeued) = on_broken_checkpoint.map(trial_warnings::requeue) {
            self.commit(requeued)?;
        } else if let Some(requeued) = self.components.room.requeue(&self.study, trial) {
            self.commit(requeued)?;
            // Pauses the run if the disk is still full, also when no launch is due.
            self.may_launch();
        } else if let Some(requeued) = self.components.retries.requeue(&self.study, trial, now) {
            self.commit(requeued)?;
        }
        if ran >= WORTH_A_SYNC {
            self.save_to_disk()?;
            self.components.saves.synced();
        }
        Ok(ran)
    }

    /// Returns the exit of an attempt in the light of the scheduler's decisions.
    fn exit_as_judged(&self, trial: TrialId, exit: Exit) -> Exit {
        let verdict = self.study.trial(trial).and_then(|trial| trial.verdict);
        match exit {
            // The scheduler has judged the trial complete: the exit of the process cannot undo
            // that.
            _ if verdict == Some(Verdict::Complete) => Exit::Done,
            // The process ended by itself, but the scheduler may still give the trial more
            // resource.
            Exit::Done if !self.parts.scheduler.finished(&self.study, trial) => Exit::Paused,
            other => other,
        }
    }

    /// Writes the final exit and result into the trial's folder, if the study knows better than the
    /// slot the attempt ran in: the exit, which a verdict may have changed, and which of several
    /// reports and models is the result. Errors are ignored, because the journal has the same
    /// facts.
    pub fn amend_folder(&self, trial: TrialId, exit_of_process: Option<&Exit>) {
        let Some(ended) = self.study.trial(trial) else {
            return;
        };
        let Some(exit) = &ended.exit else { return };
        // The only report of a trial without a model is its result already, so short trials are
        // spared this write.
        let has_result = ended.reports > 1 || !ended.models.is_empty();
        let is_due = exit_of_process != Some(exit) || has_result;
        if is_due && !has_foreign_trial(&self.dir, &self.study, trial) {
            let result = self.study.result(ended);
            let (folder, now) = (self.dir.trial(trial), self.clock.now());
            let _ = TrialFolder::amend(&folder, exit, ended.reports, &result, now);
        }
    }

    /// Clears the counts of quick failures for the slot or machine of a trial that has reported.
    pub(super) fn clear_quick_failures(&mut self, id: TrialId, executor: &dyn Executor) {
        // The usual case, checked first because it happens for each report.
        if !self.components.breaker.is_clean()
            && let Some(slot) = self.suspect(id, executor)
        {
            self.components.breaker.record_success(slot);
        }
    }

    /// Returns the slot to blame if a trial fails and others elsewhere do not. Where slots are not
    /// bound to a place, as on a cluster, this is the machine.
    fn suspect(&self, id: TrialId, executor: &dyn Executor) -> Option<u32> {
        match executor.machines() {
            Some(_) => executor.machine(id),
            None => self.study.trial(id)?.slot,
        }
    }

    /// Counts the outcome of an attempt that ran for `ran`. After one quick failure too many,
    /// commits the pause of the slot or requeues the trials for the next run.
    pub(super) fn watch_failures(
        &mut self,
        trial: TrialId,
        ran: Duration,
        executor: &mut dyn Executor,
    ) -> Result<(), DriverError> {
        let Some(slot) = self.suspect(trial, executor) else {
            return Ok(());
        };
        let end = End {
            trial,
            slot,
            slots: executor.machines().unwrap_or_else(|| self.slots(executor)),
            ran,
            at: self.clock.now(),
        };
        match self.components.breaker.record_end(&self.study, &end) {
            None => Ok(()),
            Some(Trip::Sweep { trials }) => {
                let why = "several trials in a row failed within seconds, so the run was ended";
                self.give_back(&trials, why)
            }
            // A machine is excluded for the rest of the run; its slots move elsewhere.
            Some(Trip::Slot { slot, trials, .. }) if executor.machines().is_some() => {
                let host = executor.exclude_machine(slot);
                self.components.breaker.exclude_machine(slot);
                let why = format!("{host}, on which it failed, gets no more trials");
                self.give_back(&trials, &why)
            }
            Some(Trip::Slot {
                slot,
                pause,
                trials,
            }) => {
                let why = format!(
                    "its trials failed within seconds several times in a row; it is tried again after {} s",
                    pause.as_secs()
                );
                self.commit(Event::SlotPaused { slot, why })?;
                let until = end.at.after(pause);
                self.components.breaker.set_pause_end(slot, until);
                let why = format!("slot {slot}, in which it failed, is paused");
                self.give_back(&trials, &why)
            }
        }
    }

    /// Requeues trials whose slot, machine or sweep was at fault.
    pub(super) fn give_back(&mut self, trials: &[TrialId], why: &str) -> Result<(), DriverError> {
        for event in breaker::requeue(&self.study, trials, why) {
            self.commit(event)?;
        }
        Ok(())
    }
}
