//! The files that clients of an attempt write: models, and artifacts that no call announces.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// The folder of a trial's `artifacts/` into which clients write.
const FOLDER: &str = "mlflow";

/// The most files of one entry that are looked at. A larger folder is recognised by its first
/// files.
const MOST_FILES: usize = 10_000;

/// The files below a trial's `artifacts/mlflow/`.
#[derive(Debug)]
pub(super) struct ArtifactFiles {
    root: PathBuf,
    /// The entries that were recorded, with the state of their files then.
    recorded: BTreeMap<PathBuf, FilesState>,
}

/// The number of files, the sum of their sizes and their latest time of change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct FilesState {
    files: usize,
    size: u64,
    changed: Option<SystemTime>,
}

impl ArtifactFiles {
    /// Begins with the trial whose folder is `trial`. No file counts as recorded yet.
    pub(super) fn begin(trial: &Path) -> Self {
        Self {
            root: trial.join("artifacts").join(FOLDER),
            recorded: BTreeMap::new(),
        }
    }

    /// Returns the folder into which the client writes the artifacts of a run.
    pub(super) fn of_run(&self, number: usize) -> PathBuf {
        self.root.join(format!("run_{number}"))
    }

    /// Returns a new folder into which the client writes a logged model.
    pub(super) fn of_model(&self, name: &str) -> PathBuf {
        let name: String = name
            .chars()
            .take(60)
            .map(|letter| match letter {
                '-' | '_' => letter,
                letter if letter.is_ascii_alphanumeric() => letter,
                _ => '_',
            })
            .collect();
        let models = self.root.join("models");
        let mut paths = (1..).map(|number| models.join(format!("{name}_{number}")));
        let free = paths.find(|path| !path.exists());
        free.unwrap_or(models)
    }

    /// Returns the folder of a new experiment.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Marks an entry as recorded in its present state.
    pub(super) fn note_recorded(&mut self, path: &Path) {
        let mut state = FilesState::default();
        if state.add(path).is_ok() {
            self.recorded.insert(path.to_owned(), state);
        }
    }

    /// Returns the files and folders directly in `folder` that are new or have changed since they
    /// were returned last. An entry that contains a recorded one is looked into.
    ///
    /// # Errors
    /// If the folder exists and cannot be read.
    pub(super) fn take_new(&mut self, folder: &Path) -> io::Result<Vec<PathBuf>> {
        let mut new = Vec::new();
        for path in entries(folder)? {
            let contains_recorded = path.is_dir()
                && self
                    .recorded
                    .keys()
                    .any(|recorded| *recorded != path && recorded.starts_with(&path));
            if contains_recorded {
                new.extend(self.take_new(&path)?);
                continue;
            }
            let mut state = FilesState::default();
            state.add(&path)?;
            if state.files > 0 && self.recorded.get(&path) != Some(&state) {
                self.recorded.insert(path.clone(), state);
                new.push(path);
            }
        }
        Ok(new)
    }
}

impl FilesState {
    /// Adds the files at a path.
    fn add(&mut self, path: &Path) -> io::Result<()> {
        let about = fs::symlink_metadata(path)?;
        if about.is_dir() {
            for entry in entries(path)? {
                if self.files < MOST_FILES {
                    self.add(&entry)?;
                }
            }
        } else if about.is_file() {
            self.files += 1;
            self.size += about.len();
            self.changed = self.changed.max(about.modified().ok());
        }
        Ok(())
    }
}

/// Returns the paths in a folder in order; none if it does not exist.
fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let read = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        read => read?,
    };
    let paths: Result<Vec<_>, _> = read
        .map(|entry| Ok::<_, io::Error>(entry?.path()))
        .collect();
    let mut paths = paths?;
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::ArtifactFiles;
    use std::fs;

    #[test]
    fn an_entry_is_taken_once_and_again_after_a_change() {
        let trial = tempfile::tempdir().unwrap();
        let mut files = ArtifactFiles::begin(trial.path());
        let run = files.of_run(1);
        assert!(files.take_new(&run).unwrap().is_empty(), "no folder yet");
        fs::create_dir_all(run.join("plots/deep")).unwrap();
        fs::write(run.join("a.txt"), "1").unwrap();
        assert_eq!(files.take_new(&run).unwrap(), [run.join("a.txt")]);
        fs::write(run.join("plots/deep/b.txt"), "1").unwrap();
        assert_eq!(files.take_new(&run).unwrap(), [run.join("plots")]);
        assert!(files.take_new(&run).unwrap().is_empty());
        fs::write(run.join("a.txt"), "22").unwrap();
        assert_eq!(files.take_new(&run).unwrap(), [run.join("a.txt")]);
    }

    #[test]
    fn what_was_recorded_as_a_model_is_no_artifact() {
        let trial = tempfile::tempdir().unwrap();
        let mut files = ArtifactFiles::begin(trial.path());
        let run = files.of_run(1);
        fs::create_dir_all(run.join("deep/model")).unwrap();
        fs::write(run.join("deep/model/MLmodel"), "x").unwrap();
        fs::write(run.join("deep/notes.txt"), "x").unwrap();
        files.note_recorded(&run.join("deep/model"));
        assert_eq!(files.take_new(&run).unwrap(), [run.join("deep/notes.txt")]);
    }

    #[test]
    fn a_name_of_a_model_cannot_leave_the_folder() {
        let trial = tempfile::tempdir().unwrap();
        let files = ArtifactFiles::begin(trial.path());
        let models = files.root().join("models");
        let path = files.of_model("../../x y");
        assert_eq!(path, models.join("______x_y_1"));
        fs::create_dir_all(path).unwrap();
        assert_eq!(files.of_model("../../x y"), models.join("______x_y_2"));
    }
}
