//! The files in a study's folder that are not of this study: those of an earlier study of the same
//! name whose journal is gone, or of a copy. They are moved to `orphaned/`, never read.
//!
//! A study has a random id. The folder of each of its trials has an empty file `study-ID`: a name
//! is on the disk as soon as the folder itself is, and to look at it costs one system call. Studies
//! that an earlier version began have no id, so all folders beside their journal are theirs.

use super::{Replay, StudyDir};
use crate::platform;
use rand::RngExt as _;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use swath_model::study::{Event, Study, TrialId};

/// The files and folders of a study, beside the folders of its trials, that a new study in the same
/// folder must not read. Copies of code and digests of files are the same for every study.
const OF_ONE_STUDY: [&str; 10] = [
    "journal.mark",
    "snapshot.json",
    "trials.csv",
    "control.json",
    "inbox",
    "pilots",
    "prepared",
    "trackers",
    "trash",
    "repro.json",
];

/// Returns the id of a new study.
#[must_use]
pub fn new_id() -> String {
    format!("{:016x}", rand::rng().random::<u64>())
}

/// Returns the path of the file in a trial's folder that names the study.
fn mark_of(folder: &Path, id: &str) -> PathBuf {
    folder.join(format!("study-{id}"))
}

/// Returns the id of the study in a folder, from the first line of its journal; `None` if there is no
/// study, or an earlier version began it.
#[must_use]
pub fn id_of(dir: &StudyDir) -> Option<String> {
    let first = Replay::open(dir).ok()?.next()?.ok()?;
    match first.event {
        Event::Opened { header, .. } => header.id,
        _ => None,
    }
}

/// Marks a folder as one of the study with this id.
///
/// # Errors
/// If the mark cannot be created.
pub fn mark_folder(folder: &Path, id: &str) -> io::Result<()> {
    platform::create_empty(&mark_of(folder, id))
}

/// Returns whether a folder bears the mark of another study. A folder without any mark is of this
/// study: an earlier version did not mark the folder of pilots.
#[must_use]
pub fn is_of_other_study(folder: &Path, id: Option<&str>) -> bool {
    let Some(id) = id else { return false };
    let names = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut marks = names.filter(|entry| entry.file_name().to_string_lossy().starts_with("study-"));
    mark_of(folder, id).symlink_metadata().is_err() && marks.next().is_some()
}

/// Returns whether a folder of a trial exists that is not of this study.
#[must_use]
pub fn has_foreign_trial(dir: &StudyDir, study: &Study, trial: TrialId) -> bool {
    let Some(id) = &study.header().id else {
        return false;
    };
    let folder = dir.trial(trial);
    mark_of(&folder, id).symlink_metadata().is_err() && folder.symlink_metadata().is_ok()
}

/// Returns whether a folder of a trial exists that is of this study.
#[must_use]
pub fn has_own_trial(dir: &StudyDir, study: &Study, trial: TrialId) -> bool {
    let folder = dir.trial(trial);
    let path = match &study.header().id {
        Some(id) => mark_of(&folder, id),
        None => folder,
    };
    path.symlink_metadata().is_ok()
}

/// Returns the folder of a trial for reading. For a folder of another study, returns a path at which
/// nothing is, so that it reads like a trial without files.
#[must_use]
pub fn readable_trial(dir: &StudyDir, study: &Study, trial: TrialId) -> PathBuf {
    match has_foreign_trial(dir, study, trial) {
        true => dir.orphaned().join(".nothing"),
        false => dir.trial(trial),
    }
}

/// Creates the folder of a trial before an attempt starts, and marks it as one of this study.
/// `is_new`: no attempt has run before, so whatever is there is not of this trial. Returns the new
/// place of a folder that was moved away.
///
/// # Errors
/// If the folder cannot be created, marked or moved.
pub fn claim_trial(
    dir: &StudyDir,
    study: &Study,
    trial: TrialId,
    is_new: bool,
) -> io::Result<Option<PathBuf>> {
    let folder = dir.trial(trial);
    let mut moved = None;
    if let Err(error) = fs::create_dir(&folder) {
        if error.kind() != ErrorKind::AlreadyExists {
            return Err(error);
        }
        if !is_new && !has_foreign_trial(dir, study, trial) {
            return Ok(None);
        }
        moved = Some(set_aside(dir, &folder)?);
        fs::create_dir(&folder)?;
    }
    if let Some(id) = &study.header().id {
        mark_folder(&folder, id)?;
    }
    Ok(moved)
}

/// Moves a file or folder of the study's folder to `orphaned/`, and returns its new path.
///
/// # Errors
/// If it cannot be moved.
pub fn set_aside(dir: &StudyDir, path: &Path) -> io::Result<PathBuf> {
    let orphaned = dir.orphaned();
    fs::create_dir_all(&orphaned)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let names = (2..).map(|number| format!("{name}.{number}"));
    let place = std::iter::once(name.to_string())
        .chain(names)
        .map(|name| orphaned.join(name))
        .find(|place| place.symlink_metadata().is_err())
        .unwrap_or(orphaned);
    fs::rename(path, &place)?;
    Ok(place)
}

/// Moves everything to `orphaned/` that a study without any entry must not read: it belongs to an
/// earlier study in this folder. Returns the names, in order.
///
/// # Errors
/// If the folder cannot be read, or a file cannot be moved.
pub fn set_study_aside(dir: &StudyDir) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir.root())? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if OF_ONE_STUDY.contains(&&*name) || name.parse::<u32>().is_ok() {
            names.push(name);
        }
    }
    names.sort_by_key(|name| (name.parse::<u32>().unwrap_or(u32::MAX), name.clone()));
    for name in &names {
        set_aside(dir, &dir.root().join(name))?;
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use swath_model::study::{Entry, Event, FORMAT, Header, Timestamp};

    fn study(id: Option<&str>) -> Study {
        let mut study = Study::default();
        let opened = Event::Opened {
            format: FORMAT,
            header: Header {
                id: id.map(str::to_owned),
                ..Header::default()
            },
        };
        let at = Timestamp::from_micros(0);
        let entry = Entry {
            seq: 0,
            at,
            event: opened,
            away: None,
        };
        study.apply(&entry).unwrap();
        study
    }

    #[test]
    fn the_folder_of_another_study_is_moved_away_and_that_of_an_earlier_attempt_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let dir = StudyDir::at(folder.path());
        let (own, other, trial) = (study(Some("own")), study(Some("other")), TrialId(3));
        assert_eq!(claim_trial(&dir, &other, trial, true).unwrap(), None);
        fs::write(dir.trial(trial).join("records.jsonl"), "{}").unwrap();
        assert_eq!(claim_trial(&dir, &other, trial, false).unwrap(), None);
        assert!(dir.trial(trial).join("records.jsonl").exists());
        assert!(has_foreign_trial(&dir, &own, trial) && !has_own_trial(&dir, &own, trial));
        assert!(!readable_trial(&dir, &own, trial).exists());
        // Neither a later attempt nor a first one may find it; two of the same name are kept apart.
        for is_new in [false, true] {
            let moved = claim_trial(&dir, &own, trial, is_new).unwrap().unwrap();
            assert!(moved.starts_with(dir.orphaned()) && moved.exists());
            assert!(has_own_trial(&dir, &own, trial));
            assert!(!dir.trial(trial).join("records.jsonl").exists());
        }
        assert_eq!(fs::read_dir(dir.orphaned()).unwrap().count(), 2);
    }

    #[test]
    fn a_study_without_an_id_owns_every_folder_but_reuses_none_for_a_new_trial() {
        let folder = tempfile::tempdir().unwrap();
        let dir = StudyDir::at(folder.path());
        let (old, trial) = (study(None), TrialId(1));
        fs::create_dir(dir.trial(trial)).unwrap();
        assert!(has_own_trial(&dir, &old, trial) && !has_foreign_trial(&dir, &old, trial));
        assert_eq!(claim_trial(&dir, &old, trial, false).unwrap(), None);
        assert!(claim_trial(&dir, &old, trial, true).unwrap().is_some());
    }

    #[test]
    fn a_new_study_leaves_notes_and_code_and_moves_what_it_must_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let dir = StudyDir::at(folder.path());
        for name in ["12", "7", "pilots", "code", "trackers"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        for name in ["snapshot.json", "notes.md", "lock", "journal.mark"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        let moved = set_study_aside(&dir).unwrap();
        assert_eq!(
            moved,
            [
                "7",
                "12",
                "journal.mark",
                "pilots",
                "snapshot.json",
                "trackers"
            ]
        );
        for name in ["notes.md", "lock", "code"] {
            assert!(folder.path().join(name).exists());
        }
        assert_eq!(fs::read_dir(dir.orphaned()).unwrap().count(), 6);
    }
}
