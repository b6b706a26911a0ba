//! The seal of a checkpoint: the files that were in the checkpoint folder when the trial recorded
//! that its checkpoint is complete.
//!
//! A trial may be killed while it writes the next checkpoint. A program that resumes from the newest
//! file would read half of it. Before a resumed attempt, files that are newer than the seal are
//! therefore set aside, if all sealed files are still as they were.

use super::regular;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Name of the seal in the trial's folder.
pub(super) const FILE: &str = "checkpoint.json";

/// Number of files in a checkpoint folder from which on it is not sealed.
const MOST_FILES: usize = 10_000;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Seal {
    /// The step that the trial gave with its record.
    step: Option<f64>,
    /// The offset behind the line of `records.jsonl` with the record; 0 for a call.
    records: u64,
    files: Vec<SealedFile>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct SealedFile {
    /// Path in the checkpoint folder.
    path: PathBuf,
    size: u64,
    /// Time of the last change, in nanoseconds since 1970.
    modified: i64,
    /// The target of a symbolic link; such a file has neither size nor time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    link: Option<PathBuf>,
}

impl Seal {
    fn has(&self, file: &SealedFile) -> bool {
        self.files.iter().any(|sealed| sealed.path == file.path)
    }
}

impl SealedFile {
    /// Returns whether the file is among `files` as it was. A link can be restored.
    fn is_intact(&self, files: &[Self]) -> bool {
        self.link.is_some() || files.contains(self)
    }
}

/// Seals the checkpoint of a trial, unless the trial has written to the folder since it recorded
/// that the checkpoint is complete.
pub(super) fn seal(trial: &Path, step: Option<f64>, records: Option<u64>) -> io::Result<()> {
    let mut files = Vec::new();
    list(&trial.join("checkpoints"), Path::new(""), &mut files)?;
    let newest = files.iter().map(|file| file.modified).max();
    let recorded = match records {
        Some(_) => modified(&fs::symlink_metadata(trial.join("records.jsonl"))?),
        None => i64::MAX,
    };
    if newest.is_none_or(|newest| newest > recorded) || files.len() > MOST_FILES {
        return Ok(());
    }
    let seal = Seal {
        step,
        records: records.unwrap_or(0),
        files,
    };
    let part = trial.join(".checkpoint.json.part");
    regular::write(&part, &serde_json::to_vec(&seal)?)?;
    fs::rename(part, trial.join(FILE))
}

/// Removes the seal of a trial whose checkpoint folder is replaced.
///
/// # Errors
/// If there is a seal that cannot be removed.
pub fn remove_seal(trial: &Path) -> io::Result<()> {
    match fs::remove_file(trial.join(FILE)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Prepares the checkpoint folder of a trial for an attempt that resumes. Files that are newer than
/// the seal are moved to `attempts/<last>/checkpoints/`. Without a seal the folder stays as it is.
/// Returns a warning about files that were moved or may be torn.
///
/// # Errors
/// If the folder cannot be read, or a file cannot be moved.
pub fn resume_from_seal(trial: &Path, last: u32) -> io::Result<Option<String>> {
    let text = match regular::read(&trial.join(FILE)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        text => text?,
    };
    // A power failure may leave half a seal, which is none.
    let Ok(seal) = serde_json::from_slice::<Seal>(&text) else {
        return Ok(None);
    };
    if has_later_checkpoint(trial, seal.records)? {
        return Ok(None);
    }
    let folder = trial.join("checkpoints");
    let mut files = Vec::new();
    list(&folder, Path::new(""), &mut files)?;
    if let Some(changed) = seal.files.iter().find(|file| !file.is_intact(&files)) {
        return Ok(Some(format!(
            "`checkpoints/{}` was changed after the checkpoint{} was recorded, and may be incomplete",
            changed.path.display(),
            of_step(seal.step)
        )));
    }
    let newer: Vec<&SealedFile> = files.iter().filter(|file| !seal.has(file)).collect();
    for file in &newer {
        let aside = trial.join(format!("attempts/{last}/checkpoints"));
        let target = aside.join(&file.path);
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::rename(folder.join(&file.path), target)?;
    }
    remove_empty_folders(&folder, &newer);
    restore_links(&folder, &seal.files, &files)?;
    Ok(set_aside_warning(&newer, last, seal.step))
}

/// Returns the warning about files that were set aside; `None` if there are none.
fn set_aside_warning(newer: &[&SealedFile], last: u32, step: Option<f64>) -> Option<String> {
    let first = newer.first()?.path.display();
    let subject = match newer.len() {
        1 => format!("`checkpoints/{first}` is"),
        count => format!("`checkpoints/{first}` and {} more files are", count - 1),
    };
    Some(format!(
        "{subject} newer than the last checkpoint{} that the trial has completed, so they are not \
         used; they are in `attempts/{last}/checkpoints`",
        of_step(step)
    ))
}

fn of_step(step: Option<f64>) -> String {
    step.map(|step| format!(" of step {step}"))
        .unwrap_or_default()
}

/// Points the links that the trial has changed since the seal to their sealed targets again.
fn restore_links(folder: &Path, sealed: &[SealedFile], files: &[SealedFile]) -> io::Result<()> {
    for file in sealed.iter().filter(|file| !files.contains(file)) {
        if let Some(target) = &file.link {
            let path = folder.join(&file.path);
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => std::os::unix::fs::symlink(target, path)?,
            }
        }
    }
    Ok(())
}

/// Removes the folders that are empty without the files that were set aside: a program may take the
/// newest folder for the newest checkpoint.
fn remove_empty_folders(folder: &Path, moved: &[&SealedFile]) {
    for file in moved {
        let parents = file.path.ancestors().skip(1);
        for parent in parents.filter(|parent| !parent.as_os_str().is_empty()) {
            // One that is not empty stays.
            if fs::remove_dir(folder.join(parent)).is_err() {
                break;
            }
        }
    }
}

/// Returns whether a line after the offset records a later checkpoint, which was not sealed.
fn has_later_checkpoint(trial: &Path, offset: u64) -> io::Result<bool> {
    let records = match regular::read(&trial.join("records.jsonl")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        records => records?,
    };
    let start = usize::try_from(offset).unwrap_or(usize::MAX);
    let later = records.get(start..).unwrap_or_default();
    let word = b"\"checkpoint\"";
    Ok(later.windows(word.len()).any(|bytes| bytes == word))
}

/// Lists the files and links below a folder. A folder that does not exist has none.
fn list(root: &Path, below: &Path, files: &mut Vec<SealedFile>) -> io::Result<()> {
    let entries = match fs::read_dir(root.join(below)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let path = below.join(entry.file_name());
        let about = match entry.metadata() {
            // The trial has just removed it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            about => about?,
        };
        if about.is_dir() {
            list(root, &path, files)?;
        } else if about.is_symlink() {
            files.push(SealedFile {
                link: fs::read_link(entry.path()).ok(),
                path,
                size: 0,
                modified: 0,
            });
        } else {
            files.push(SealedFile {
                path,
                size: about.len(),
                modified: modified(&about),
                link: None,
            });
        }
        if files.len() > MOST_FILES {
            break;
        }
    }
    Ok(())
}

fn modified(about: &fs::Metadata) -> i64 {
    about.mtime().saturating_mul(1_000_000_000) + about.mtime_nsec()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Trial(tempfile::TempDir);

    impl Trial {
        fn with_files(names: &[&str]) -> Self {
            let trial = Self(tempfile::tempdir().unwrap());
            for name in names {
                trial.write(name, "whole");
            }
            trial.record();
            trial
        }

        fn write(&self, name: &str, text: &str) {
            let path = self.0.path().join("checkpoints").join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }

        /// Appends a line, so that the records are newer than the files.
        fn record(&self) {
            std::thread::sleep(std::time::Duration::from_millis(20));
            let line = "{\"kind\": \"checkpoint\", \"step\": 3}\n";
            fs::write(self.0.path().join("records.jsonl"), line).unwrap();
        }

        fn seal(&self) {
            let length = fs::metadata(self.0.path().join("records.jsonl")).unwrap();
            seal(self.0.path(), Some(3.0), Some(length.len())).unwrap();
        }

        fn resume(&self) -> Option<String> {
            resume_from_seal(self.0.path(), 1).unwrap()
        }

        fn has(&self, name: &str) -> bool {
            self.0.path().join(name).symlink_metadata().is_ok()
        }
    }

    #[test]
    fn a_file_newer_than_the_sealed_checkpoint_is_set_aside_once() {
        let trial = Trial::with_files(&["step3/weights", "config"]);
        trial.seal();
        trial.write("step4/weights", "tor");
        let warning = trial.resume().unwrap();
        assert!(warning.contains("`checkpoints/step4/weights`"), "{warning}");
        assert!(!trial.has("checkpoints/step4") && trial.has("checkpoints/step3/weights"));
        assert!(trial.has("attempts/1/checkpoints/step4/weights"));
        assert_eq!(trial.resume(), None);
    }

    #[test]
    fn a_sealed_file_that_was_overwritten_is_told_and_nothing_is_moved() {
        let trial = Trial::with_files(&["weights"]);
        trial.seal();
        trial.write("weights", "tor");
        trial.write("other", "x");
        let warning = trial.resume().unwrap();
        assert!(
            warning.contains("`checkpoints/weights` was changed"),
            "{warning}"
        );
        assert!(trial.has("checkpoints/other"));
    }

    #[test]
    fn a_link_to_a_newer_file_points_to_the_sealed_one_again() {
        let trial = Trial::with_files(&["3"]);
        let latest = trial.0.path().join("checkpoints/latest");
        std::os::unix::fs::symlink("3", &latest).unwrap();
        trial.record();
        trial.seal();
        trial.write("4", "tor");
        fs::remove_file(&latest).unwrap();
        std::os::unix::fs::symlink("4", &latest).unwrap();
        assert!(trial.resume().is_some());
        assert_eq!(fs::read_link(&latest).unwrap(), Path::new("3"));
    }

    #[test]
    fn a_folder_that_changed_before_it_could_be_listed_is_not_sealed() {
        let trial = Trial::with_files(&["3"]);
        std::thread::sleep(std::time::Duration::from_millis(20));
        trial.write("4", "tor");
        trial.seal();
        assert!(!trial.has(FILE));
        assert_eq!(trial.resume(), None);
    }

    #[test]
    fn a_later_record_of_a_checkpoint_that_was_not_sealed_keeps_all_files() {
        let trial = Trial::with_files(&["3"]);
        trial.seal();
        trial.write("4", "whole");
        let records = trial.0.path().join("records.jsonl");
        let text = fs::read_to_string(&records).unwrap();
        fs::write(&records, text.clone() + &text).unwrap();
        assert_eq!(trial.resume(), None);
        assert!(trial.has("checkpoints/4"));
    }
}
