//! Changing a study while no run is active: trials to run again, configurations to add.

use super::DriverError;
use crate::journal::{Holder, Journal, JournalError, Lock, StudyDir, snapshot};
use swath_model::study::{Event, Study, Timestamp};

/// Appends the events that `decide` returns for a study, as a run of the study would, and returns
/// the changed study. Holds the lock meanwhile. Nothing is written unless the study accepts all the
/// events.
///
/// # Errors
/// If a process runs the study, it cannot be read or written, or an event is not allowed in the
/// study's state.
pub fn amend(
    dir: &StudyDir,
    holder: &Holder,
    now: Timestamp,
    decide: impl FnOnce(&Study) -> Vec<Event>,
) -> Result<Study, DriverError> {
    if !dir.exists() {
        return Err(JournalError::NoStudy(dir.root().to_owned()).into());
    }
    let _lock = Lock::take(dir, holder)?;
    let mut replay = Journal::open(dir)?;
    let mut study = Study::default();
    replay.fold_into(&mut study, &mut |_, _| {})?;
    let mut journal = replay.into_writer()?;
    // The time since the last run is not used by any run; the first event records it.
    let mut away = study.at().map(|last| now.since(last));
    for event in decide(&study) {
        study.apply(&journal.append_after(away.take(), event, now)?)?;
    }
    journal.sync()?;
    // The snapshot is optional: the journal alone is enough to restore the study.
    let _ = snapshot::write(dir, &study, journal.offset());
    Ok(study)
}
