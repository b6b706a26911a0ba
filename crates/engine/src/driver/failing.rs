//! The consequences of failed attempts: a trial is retried, now or later; a slot is paused; the run
//! ends before all its points are used up.

use super::breaker::{self, Trip};
use super::{Driver, DriverError};
use crate::executor::Executor;
use crate::study::{Event, Exit, Failure, Origin, Timestamp, TrialId, TrialState};
use std::collections::BTreeMap;
use std::time::Duration;

impl Driver<'_> {
    /// Requeues a failed trial if `[retry]` allows it. Returns whether it did.
    pub(super) fn retry(&mut self, id: TrialId) -> Result<bool, DriverError> {
        let Some(failure) = self.retryable(id) else {
            return Ok(false);
        };
        let failures = self.study.trial(id).map_or(0, |trial| trial.failures);
        let wait = self.parts.retry.wait(failure.class(), failures);
        let not_before = (!wait.is_zero()).then(|| after((self.clock)(), wait));
        let why = format!("retry after: {failure}");
        self.commit(Event::Requeued {
            trial: id,
            why,
            not_before,
            forgiven: false,
        })?;
        Ok(true)
    }

    /// Returns the failure of a trial that is to be retried; `None` if it is not.
    fn retryable(&self, trial: TrialId) -> Option<Failure> {
        let trial = self.study.trial(trial)?;
        let Some(Exit::Failed(failure)) = &trial.exit else {
            return None;
        };
        let again = trial.state == TrialState::Failed
            && !trial.outside
            && !matches!(trial.origin, Origin::Imported(_))
            && trial.failures <= self.parts.retry.times
            && self.parts.retry.on.contains(&failure.class());
        again.then(|| failure.clone())
    }

    /// Returns whether the backoff of a waiting trial is over.
    pub(super) fn may_start(&self, id: TrialId, now: Timestamp) -> bool {
        let longest = self.parts.retry.max_backoff;
        let until = self.study.trial(id).and_then(|trial| trial.not_before);
        until.is_none_or(|until| breaker::is_due(until, now, longest))
    }

    /// Returns whether work is left that only needs time: a trial waits for its backoff, or all
    /// slots are busy or paused.
    pub(super) fn waits(&self, executor: &dyn Executor) -> bool {
        self.study.waiting().next().is_some()
            || self.free_slot(self.slots(executor)).is_none() && !self.is_finished()
    }

    /// Records a report of a trial, which clears the breaker's counts for its slot or machine.
    pub(super) fn reported(&mut self, id: TrialId, executor: &dyn Executor) {
        // The usual case, checked first because it happens for each report.
        if !self.breaker.is_clean()
            && let Some(slot) = self.suspect(id, executor)
        {
            self.breaker.well(slot);
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
    /// commits the pause of the slot or the end of the run.
    pub(super) fn watch_failures(
        &mut self,
        id: TrialId,
        ran: Duration,
        executor: &mut dyn Executor,
    ) -> Result<(), DriverError> {
        let Some((trial, slot)) = self.study.trial(id).zip(self.suspect(id, executor)) else {
            return Ok(());
        };
        let slots = executor.machines().unwrap_or_else(|| self.slots(executor));
        if !breaker::failed_at_once(&self.study, trial, ran) {
            // An interrupted or lost attempt says nothing about its slot.
            if !matches!(trial.exit, Some(Exit::Interrupted | Exit::Lost)) {
                self.breaker.well(slot);
            }
            return Ok(());
        }
        let now = (self.clock)();
        // An attempt that has lived longer than a quick failure shows that the sweep itself works.
        let lives = |id: TrialId| {
            let began = self.study.trial(id).and_then(|trial| trial.attempt_at);
            began.is_some_and(|began| now.since(began) >= breaker::QUICK)
        };
        let healthy = self.study.running().any(lives);
        let counts = self.study.counts();
        let proven = counts.complete + counts.stopped + counts.paused > 0;
        match self.breaker.failed(id, slot, slots, healthy, proven) {
            None => Ok(()),
            Some(Trip::Sweep { trials }) => {
                let why = "one trial after the other failed within seconds, so the run was ended";
                self.give_back(&trials, why)
            }
            // A machine is excluded for the rest of the run; its slots move elsewhere.
            Some(Trip::Slot { slot, trials, .. }) if executor.machines().is_some() => {
                let host = executor.shun(slot);
                self.breaker.shunned(slot);
                self.give_back(
                    &trials,
                    &format!("{host}, on which it failed, is given no more trials"),
                )
            }
            Some(Trip::Slot {
                slot,
                pause,
                trials,
            }) => {
                let why = format!(
                    "its trials failed within seconds, one after the other; it is tried again after {} s",
                    pause.as_secs()
                );
                self.commit(Event::SlotPaused { slot, why })?;
                self.breaker.paused_until(slot, after(now, pause));
                self.give_back(
                    &trials,
                    &format!("slot {slot}, in which it failed, is paused"),
                )
            }
        }
    }

    /// Requeues trials that failed, and takes their failures out of the count: the slot or the
    /// sweep was at fault.
    fn give_back(&mut self, trials: &[TrialId], why: &str) -> Result<(), DriverError> {
        for id in trials {
            if self
                .study
                .trial(*id)
                .is_some_and(|trial| trial.state == TrialState::Failed)
            {
                let why = why.to_owned();
                self.commit(Event::Requeued {
                    trial: *id,
                    why,
                    not_before: None,
                    forgiven: true,
                })?;
                self.failures = self.failures.saturating_sub(1);
            }
        }
        Ok(())
    }

    /// Commits changes of the slots' state: pauses that are over, and slots that became usable or
    /// unusable since the last call (for example because processes of their last trial still run).
    pub(super) fn note_slots(&mut self, executor: &dyn Executor) -> Result<(), DriverError> {
        for slot in self.breaker.rested((self.clock)()) {
            self.commit(Event::SlotResumed { slot })?;
        }
        let now = executor.unusable();
        let before = std::mem::replace(&mut self.unusable, now.clone());
        // An empty reason means a delay of moments, which is not worth an event.
        let told = |slots: &BTreeMap<u32, String>, slot| {
            slots.get(slot).is_some_and(|why| !why.is_empty())
        };
        for slot in before
            .keys()
            .filter(|slot| told(&before, slot) && !told(&now, slot))
        {
            self.commit(Event::SlotResumed { slot: *slot })?;
        }
        for (slot, why) in now
            .iter()
            .filter(|(slot, _)| told(&now, slot) && !told(&before, slot))
        {
            self.commit(Event::SlotPaused {
                slot: *slot,
                why: why.clone(),
            })?;
        }
        Ok(())
    }
}

fn after(now: Timestamp, wait: Duration) -> Timestamp {
    Timestamp::from_micros(
        now.as_micros()
            .saturating_add(i64::try_from(wait.as_micros()).unwrap_or(i64::MAX)),
    )
}
