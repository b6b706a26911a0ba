//! Moving trials to the trash and restoring them.

use super::{IllegalEvent, Study, TrialId, TrialState};

impl Study {
    /// Moves trials to the trash, all of them or none. A running or paused trial cannot be removed.
    pub(super) fn remove(&mut self, trials: &[TrialId]) -> Result<(), IllegalEvent> {
        const REMOVABLE: [TrialState; 5] = [
            TrialState::Waiting,
            TrialState::Complete,
            TrialState::Stopped,
            TrialState::Failed,
            TrialState::Invalid,
        ];
        // All trials are checked before the first one changes, so that an illegal event leaves the
        // study as it was.
        for id in trials {
            self.require_state(*id, &REMOVABLE, "removed")?;
        }
        for id in trials {
            let trial = self.trial_mut(*id)?;
            // The list may name a trial twice; it must be counted only once.
            if std::mem::replace(&mut trial.removed, true) {
                continue;
            }
            trial.outside = true;
            let state = trial.state.clone();
            match state {
                TrialState::Waiting => drop(self.waiting.remove(id)),
                state => *self.counts.in_state(&state) -= 1,
            }
        }
        self.recount();
        Ok(())
    }

    /// Restores trials from the trash, all of them or none.
    pub(super) fn restore(&mut self, trials: &[TrialId]) -> Result<(), IllegalEvent> {
        for id in trials {
            let trial = self.trial_mut(*id)?;
            if !trial.removed {
                let state = trial.state.word();
                return Err(IllegalEvent::WrongState {
                    trial: *id,
                    state,
                    action: "restored",
                });
            }
        }
        for id in trials {
            let trial = self.trial_mut(*id)?;
            if !std::mem::replace(&mut trial.removed, false) {
                continue;
            }
            // Removal and the edited space exclude a trial independently: a restored trial that no
            // longer fits stays outside.
            trial.outside = trial.misfit;
            let misfit = trial.misfit;
            match trial.state.clone() {
                TrialState::Waiting if misfit => {}
                TrialState::Waiting => drop(self.waiting.insert(*id)),
                state => *self.counts.in_state(&state) += 1,
            }
        }
        self.recount();
        Ok(())
    }
}
