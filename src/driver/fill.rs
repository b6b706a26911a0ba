//! What a free slot does next: a trial that waits, else what the scheduler wants, else nothing.

use super::{Driver, DriverError, has_entries, propose, race};
use crate::executor::{Executor, Launch};
use crate::scheduler::Next;
use crate::study::{Attempt, Event, IllegalEvent, Origin, TrialId, Verdict};

impl Driver<'_> {
    /// Gives every free slot something to do. All of it is in the journal before any of it is done.
    pub(super) fn fill(&mut self, executor: &mut dyn Executor) -> Result<(), DriverError> {
        self.note_slots(executor)?;
        let slots = match self.told.jobs {
            Some(jobs) => executor.resize(jobs),
            None => executor.slots(),
        };
        while let Some(slot) = self.free_slot(slots) {
            if !self.may_launch() {
                break;
            }
            let Some(trial) = self.next_trial()? else {
                break;
            };
            let launch = self.launch(trial, slot)?;
            self.held.push(launch);
        }
        self.start_held(executor)?;
        executor.plan(&|| self.more())?;
        Ok(())
    }

    /// Returns how many slots there are to fill.
    pub(super) fn slots(&self, executor: &dyn Executor) -> usize {
        self.told.jobs.unwrap_or(usize::MAX).min(executor.slots())
    }

    pub(super) fn free_slot(&self, slots: usize) -> Option<u32> {
        let mut all = 0..u32::try_from(slots).unwrap_or(u32::MAX);
        let usable =
            |slot: &u32| !self.breaker.is_paused(*slot) && !self.unusable.contains_key(slot);
        all.find(|slot| !self.busy_slots.contains(slot) && usable(slot))
    }

    /// Returns the trial that a free slot should run: one that waits, else what the scheduler says.
    pub(super) fn next_trial(&mut self) -> Result<Option<TrialId>, DriverError> {
        let now = (self.clock)();
        if let Some(trial) = self.study.waiting().find(|id| self.may_start(*id, now)) {
            return Ok(Some(trial));
        }
        match self.parts.scheduler.next(&self.study, self.budget_left()) {
            Next::Fresh => match propose::propose(&self.parts, &self.study) {
                Some(created) => self.create(created).map(Some),
                None => {
                    self.exhausted = true;
                    self.next_trial()
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

    pub(super) fn create(&mut self, created: Event) -> Result<TrialId, DriverError> {
        let trial = self.study.next_id();
        self.commit(created)?;
        Ok(trial)
    }

    pub(super) fn budget_left(&self) -> bool {
        !self.exhausted && race::has_room(&self.study, self.parts.header.trials)
    }

    fn launch(&mut self, id: TrialId, slot: u32) -> Result<Launch, DriverError> {
        let until = self.parts.scheduler.until(&self.study, id);
        let trial = self.study.trial(id).ok_or(IllegalEvent::NoSuchTrial(id))?;
        let (attempt, params, seed) = (
            Attempt(trial.attempts + 1),
            trial.params.clone(),
            trial.seed,
        );
        let own = trial.attempts > 0 && has_entries(&self.dir.checkpoints(id));
        let from = match trial.origin {
            Origin::Cloned { from: parent, .. } if !own => {
                Some(self.dir.checkpoints(parent)).filter(|path| has_entries(path))
            }
            _ => None,
        };
        let resume = own || from.is_some();
        let was = trial.state.clone();
        self.commit(Event::Started {
            trial: id,
            attempt,
            until,
            slot,
            resume,
        })?;
        self.caution_begin(id, attempt, resume, &was)?;
        self.busy_slots.insert(slot);
        Ok(Launch {
            trial: id,
            attempt,
            params,
            seed,
            slot,
            dir: self.dir.trial(id),
            until,
            resume,
            from,
        })
    }
}
