//! Writing into a study that nobody runs: trials to run again, configurations to add.

use super::DriverError;
use crate::journal::{Holder, Journal, JournalError, Lock, StudyDir, snapshot};
use crate::study::{Event, Study, Timestamp};

/// Appends what `decide` makes of a study, as one who runs it would. Nothing is written unless all
/// of it can be.
///
/// # Errors
/// If somebody runs the study, it cannot be read or written, or an event cannot follow what
/// happened before.
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
    let mut away = study.at().map(|last| now.since(last));
    for event in decide(&study) {
        study.apply(&journal.append_after(away.take(), event, now)?)?;
    }
    journal.sync()?;
    let _ = snapshot::write(dir, &study, journal.offset());
    Ok(study)
}
