//! Removed trials: the journal says so, and their folders lie in `trash/` until they are restored
//! or the trash is emptied.

use super::{DriverError, amend};
use crate::journal::{Holder, StudyDir};
use crate::study::{Attempt, Event, Exit, Study, Timestamp, TrialId, TrialState, Usage};
use std::io;

/// Removes trials, or restores them. The journal is first: a folder that a crash left where it was
/// is moved the next time.
///
/// # Errors
/// If somebody runs the study, or a trial is in no state for it.
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
        // Nobody else holds the study, so what runs there was lost with its run.
        let lost = trials
            .iter()
            .filter_map(|id| study.trial(*id))
            .filter(|trial| trial.state == TrialState::Running);
        let ended = lost.map(|trial| Event::Ended {
            trial: trial.id,
            attempt: Attempt(trial.attempts),
            exit: Exit::Lost,
            usage: Usage::default(),
        });
        ended
            .collect::<Vec<_>>()
            .into_iter()
            .chain([Event::Removed {
                trials: trials.clone(),
            }])
            .collect()
    })
}

/// Moves folders to where the study says that they belong; returns those that could not be moved,
/// and why.
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
        let parent = || to.parent().map_or(Ok(()), std::fs::create_dir_all);
        if let Err(error) = parent().and_then(|()| std::fs::rename(&from, &to)) {
            failed.push((trial.id, error));
        }
    }
    failed
}
