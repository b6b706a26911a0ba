//! Trials put into the trash, and taken out again.

use super::{IllegalEvent, Study, TrialId, TrialState};

impl Study {
    /// Puts trials into the trash, all of them or none.
    pub(super) fn remove(&mut self, trials: &[TrialId]) -> Result<(), IllegalEvent> {
        const REMOVABLE: [TrialState; 4] = [
            TrialState::Waiting,
            TrialState::Complete,
            TrialState::Stopped,
            TrialState::Failed,
        ];
        for id in trials {
            self.expect(*id, &REMOVABLE, "removed")?;
        }
        for id in trials {
            let trial = self.trial_mut(*id)?;
            if std::mem::replace(&mut trial.removed, true) {
                continue;
            }
            trial.outside = true;
            let state = trial.state.clone();
            match state {
                TrialState::Waiting => drop(self.waiting.remove(id)),
                state => *self.counts.of(&state) -= 1,
            }
        }
        self.recount();
        Ok(())
    }

    /// Takes trials out of the trash, all of them or none.
    pub(super) fn restore(&mut self, trials: &[TrialId]) -> Result<(), IllegalEvent> {
        for id in trials {
            let trial = self.trial_mut(*id)?;
            if !trial.removed {
                let state = trial.state.word();
                return Err(IllegalEvent::WrongState {
                    trial: *id,
                    state,
                    what: "restored",
                });
            }
        }
        for id in trials {
            let trial = self.trial_mut(*id)?;
            if !std::mem::replace(&mut trial.removed, false) {
                continue;
            }
            trial.outside = trial.misfit;
            let misfit = trial.misfit;
            match trial.state.clone() {
                TrialState::Waiting if misfit => {}
                TrialState::Waiting => drop(self.waiting.insert(*id)),
                state => *self.counts.of(&state) += 1,
            }
        }
        self.recount();
        Ok(())
    }
}
