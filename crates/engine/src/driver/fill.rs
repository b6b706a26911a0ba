//! Filling free slots: with a waiting trial, else with the trial that the scheduler wants, else
//! with none.

use super::prepare::{Step, prepared_folders};
use super::{Driver, DriverError, has_entries, propose, race};
use crate::executor::{Executor, Launch};
use crate::journal::{has_foreign_trial, has_own_trial};
use swath_log::TrialFolder;
use swath_model::study::{
    Attempt, Event, IllegalEvent, LogRecord, Origin, Trial, TrialId, Verdict,
};
use swath_search::scheduler::Next;

impl Driver<'_> {
    /// Launches a trial in each free slot. All `Started` events are flushed before the first
    /// attempt starts.
    pub(super) fn fill(&mut self, executor: &mut dyn Executor) -> Result<(), DriverError> {
        self.note_slots(executor)?;
        let slots = match self.components.inbox.jobs() {
            Some(jobs) => executor.resize(jobs),
            None => executor.slots(),
        };
        self.prepare_beside_cluster()?;
        while let Some(slot) = self.free_slot(slots) {
            // On a full disk no new trial is created: it could not be written.
            if !self.may_launch() {
                break;
            }
            match self.next_step(slot, slots)? {
                Some(Step::Trial(trial)) => {
                    let launch = self.launch(trial, slot)?;
                    self.components.room.launches.push(launch);
                }
                Some(Step::Preparation(id)) => self.launch_preparation(id, slot)?,
                None => break,
            }
        }
        // One flush covers all launches of this round.
        self.start_launches(executor)?;
        executor.request_capacity(&|| self.more())?;
        Ok(())
    }

    /// Returns the number of slots in use: that of the executor, or the requested number of jobs if
    /// smaller.
    pub(super) fn slots(&self, executor: &dyn Executor) -> usize {
        self.components
            .inbox
            .jobs()
            .unwrap_or(usize::MAX)
            .min(executor.slots())
    }

    /// Returns the lowest free slot below `slots` that is neither paused nor unusable.
    pub(super) fn free_slot(&self, slots: usize) -> Option<u32> {
        let breaker = &self.components.breaker;
        self.components
            .slots
            .free(slots, |slot| breaker.is_paused(slot))
    }

    /// Returns the waiting trials that this run may start, lowest first.
    pub(super) fn open_trials(&self) -> impl Iterator<Item = TrialId> {
        self.study.waiting().filter(|id| {
            let trial = self.study.trial(*id);
            !self.parts.only_reruns
                || trial.is_some_and(|trial| matches!(trial.origin, Origin::Rerun(_)))
        })
    }

    /// Returns whether work is left that only needs time: a trial waits for its backoff, or all
    /// slots are busy or paused.
    pub(super) fn waits(&self, executor: &dyn Executor) -> bool {
        self.open_trials().next().is_some()
            || self.free_slot(self.slots(executor)).is_none() && !self.is_finished()
    }

    /// Commits changes of the slots' state: pauses that are over, and slots that became usable or
    /// unusable since the last call.
    fn note_slots(&mut self, executor: &dyn Executor) -> Result<(), DriverError> {
        for slot in self.components.breaker.end_pauses(self.clock.now()) {
            self.commit(Event::SlotResumed { slot })?;
        }
        let mut unusable = executor.unusable();
        // A preparation in a slot of this machine may not have released its resources yet.
        if let Some(preparer) = self.preparer.as_ref().filter(|_| !self.parts.elsewhere) {
            unusable.extend(preparer.unusable());
        }
        for event in self.components.slots.update(unusable) {
            self.commit(event)?;
        }
        Ok(())
    }

    /// Returns the trial that a free slot should run: a waiting one, else the one the scheduler
    /// wants.
    pub(super) fn next_trial(&mut self) -> Result<Option<TrialId>, DriverError> {
        // Waiting trials come first, because they were created earlier.
        let startable = self.startable_trials().next();
        match startable {
            Some(_) => Ok(startable),
            None => self.proposed_trial(),
        }
    }

    /// Returns the waiting trials whose backoff is over, lowest first.
    pub(super) fn startable_trials(&self) -> impl Iterator<Item = TrialId> {
        let (now, retries) = (self.clock.now(), &self.components.retries);
        self.open_trials().filter(move |id| {
            self.study
                .trial(*id)
                .is_some_and(|trial| retries.may_start(trial, now))
        })
    }

    /// Returns the trial that the scheduler wants next: a new one, which is created, or a paused one.
    pub(super) fn proposed_trial(&mut self) -> Result<Option<TrialId>, DriverError> {
        if self.parts.only_reruns {
            return Ok(None);
        }
        match self.parts.scheduler.next(&self.study, self.budget_left()) {
            Next::Fresh => match propose::propose(&self.parts, &self.study) {
                Some(created) => self.create(created).map(Some),
                // The sampler has failed: it may have further proposals once that is mended.
                None if self.parts.sampler.failure().is_some() => Ok(None),
                None => {
                    // The sampler has no further proposal. Without a budget the scheduler may still
                    // resume paused trials, so ask it again.
                    self.exhausted = true;
                    self.proposed_trial()
                }
            },
            Next::Given {
                params,
                from,
                instead,
                why,
            } => {
                let clone = propose::given(&self.parts, &self.study, params, from, instead, why);
                self.create(clone).map(Some)
            }
            Next::Resume { trial, why } => {
                self.commit(Event::Judged {
                    trial,
                    verdict: Verdict::Continue,
                    why,
                })?;
                Ok(Some(trial))
            }
            Next::Wait | Next::Done => Ok(None),
        }
    }

    /// Commits the creation of the next trial and returns its id.
    pub(super) fn create(&mut self, created: Event) -> Result<TrialId, DriverError> {
        let trial = self.study.next_id();
        self.commit(created)?;
        Ok(trial)
    }

    /// Returns whether the budget of trials has room for another one.
    pub(super) fn budget_left(&self) -> bool {
        !self.exhausted
            && !self.parts.only_reruns
            && race::has_room(&self.study, self.study.header().trials)
    }

    /// Returns whether a trial has a checkpoint of this study.
    fn has_checkpoint(&self, id: TrialId) -> bool {
        has_entries(&self.dir.checkpoints(id)) && !has_foreign_trial(&self.dir, &self.study, id)
    }

    /// Commits a warning if a trial that goes on has lost a part of its records file in a power cut.
    /// It makes the journal's offset in the file that of the shorter file, so that the lines that the
    /// attempt appends are not taken for those that are lost.
    fn note_shorter_records(
        &mut self,
        trial: TrialId,
        attempt: Attempt,
    ) -> Result<(), DriverError> {
        let taken = self.study.trial(trial).and_then(|trial| trial.taken);
        // The records of attempts elsewhere are counted when a run takes them over.
        let Some(taken) = taken.filter(|_| !self.parts.elsewhere) else {
            return Ok(());
        };
        let path = self.dir.trial(trial).join("records.jsonl");
        let length = path.symlink_metadata().map_or(0, |about| about.len());
        // The line break at the end may be missing, and is then added when the attempt begins.
        if length + 1 >= taken.end {
            return Ok(());
        }
        let missing = taken.end - length;
        self.commit(Event::Logged {
            trial,
            attempt,
            record: LogRecord::Warning {
                text: format!(
                    "`records.jsonl` has lost its last {missing} bytes, as after a power failure; \
                     what was read from them is kept"
                ),
            },
            line_end: Some(length + 2),
        })
    }

    /// Commits the start of a trial's next attempt in a slot, and returns the launch. The attempt
    /// is started only after a flush.
    fn launch(&mut self, id: TrialId, slot: u32) -> Result<Launch, DriverError> {
        let until = self.parts.scheduler.until(&self.study, id);
        let budget = self.parts.limits.resource_budget();
        let until = until.into_iter().chain(budget).min();
        let trial = self.study.trial(id).ok_or(IllegalEvent::NoSuchTrial(id))?;
        let (attempt, params, seed) = (
            Attempt(trial.attempts + 1),
            trial.params.clone(),
            trial.seed,
        );
        // The trial's own checkpoint is newer than its parent's.
        let has_own = trial.attempts > 0 && self.has_checkpoint(id);
        let from = match trial.origin {
            Origin::Cloned { from: parent, .. } if !has_own && self.has_checkpoint(parent) => {
                Some(self.dir.checkpoints(parent))
            }
            _ => None,
        };
        let resume = has_own || from.is_some();
        // The earlier files go before the journal has the start: if this process were killed between
        // the two, the next run would take their lines for those of the new attempt.
        if trial.attempts > 0 && !resume && has_own_trial(&self.dir, &self.study, id) {
            // The executor meets the same error, and the attempt fails with it.
            let _ = TrialFolder::set_aside(&self.dir.trial(id), trial.attempts);
        }
        let resume_step = match trial.origin {
            Origin::Cloned { from: parent, .. } if from.is_some() => self.study.trial(parent),
            _ => Some(trial).filter(|_| has_own),
        }
        .and_then(last_checkpoint_step);
        let warning = self.components.trial_warnings.begin(trial, resume);
        self.commit(Event::Started {
            trial: id,
            attempt,
            until,
            slot,
            resume,
        })?;
        if let Some(text) = warning {
            self.warn(id, attempt, text)?;
        }
        self.note_inputs(id, attempt)?;
        if has_own {
            self.note_shorter_records(id, attempt)?;
        }
        Ok(Launch {
            prepared: prepared_folders(&self.dir, &self.parts.preparations, &params),
            preparation: None,
            trial: id,
            attempt,
            params,
            seed,
            slot,
            dir: self.dir.trial(id),
            until,
            resume,
            resume_step,
            from,
        })
    }
}

/// Returns the step of the last checkpoint that a trial recorded with its step.
fn last_checkpoint_step(trial: &Trial) -> Option<f64> {
    trial.records.iter().rev().find_map(|record| match record {
        LogRecord::Checkpoint { step } => *step,
        _ => None,
    })
}
