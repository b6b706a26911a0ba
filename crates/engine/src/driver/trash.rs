//! Removed trials: the journal marks them as removed, and their folders are in `trash/` until they
//! are restored or the trash is emptied.

use super::{DriverError, amend};
use crate::journal::{Holder, StudyDir};
use std::io;
use swath_model::study::{Attempt, Event, Exit, Study, Timestamp, TrialId, TrialState, Usage};

/// Marks trials as removed or restored. The journal is written first: if a crash follows, the next
/// call of [`settle`] moves the folders.
///
/// # Errors
/// If a process runs the study, or the state of a trial does not allow it.
pub fn remove(
    dir: &StudyDir,
    holder: &Holder,
    now: Timestamp,
    trials: Vec<TrialId>,
    restore: bool,
) -> Result<Study, DriverError> {
    amend::amend(dir, holder, now, |study| {
        if restore {
            return vec![Event::Restored { trials }];
        }
        // This process holds the lock, so a trial in state `Running` was lost with its run.
        let lost = trials
            .iter()
            .filter_map(|id| study.trial(*id))
            .filter(|trial| trial.state == TrialState::Running);
        let mut events: Vec<Event> = lost
            .map(|trial| Event::Ended {
                trial: trial.id,
                attempt: Attempt(trial.attempts),
                exit: Exit::Lost,
                usage: Usage::default(),
            })
            .collect();
        events.push(Event::Removed { trials });
        events
    })
}

/// Moves the folders of trials to where the study's state requires them. Returns the trials whose
/// folders could not be moved, with the errors.
#[must_use]
pub fn settle(dir: &StudyDir, study: &Study) -> Vec<(TrialId, io::Error)> {
    let mut failed = Vec::new();
    for trial in study.trials() {
        let (from, to) = match trial.removed {
            true => (dir.trial(trial.id), dir.trashed(trial.id)),
            false => (dir.trashed(trial.id), dir.trial(trial.id)),
        };
        if !from.exists() {
            continue;
        }
        let created = to.parent().map_or(Ok(()), std::fs::create_dir_all);
        if let Err(error) = created.and_then(|()| std::fs::rename(&from, &to)) {
            failed.push((trial.id, error));
        }
    }
    failed
}
