//! The files of an artifact or a model, and the place of a model's bytes.

use super::runs::ModelToRegister;
use std::fs;
use std::path::{Path, PathBuf};
use swath_engine::journal::StudyDir;
use swath_engine::provenance::environments;
use swath_log::digest;

/// Returns `path` if it is not a folder, else the files below it, sorted. Links are left out: a
/// stored artifact has none, and a link could lead out of the folder or into a circle.
pub(super) fn files_below(path: &Path) -> Vec<PathBuf> {
    if !path.is_dir() {
        return vec![path.to_owned()];
    }
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    let mut entries: Vec<_> = entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| !kind.is_symlink()))
        .map(|entry| entry.path())
        .collect();
    entries.sort();
    entries.iter().flat_map(|path| files_below(path)).collect()
}

/// Returns the path at which the bytes of a model are: those that the study holds, else those at
/// its own path if they have not changed. `None` if they are gone.
pub(super) fn bytes_of(study: &Path, model: &ModelToRegister) -> Option<PathBuf> {
    let trial = study.join(model.trial.to_string());
    let held = model.held.as_ref().map(|held| trial.join(held));
    if let Some(held) = held.filter(|held| held.exists()) {
        return Some(held);
    }
    let environment = environments(&StudyDir::at(study)).pop()?;
    let workdir = environment
        .own_workdir(&trial)
        .unwrap_or_else(|| environment.trials_in().into());
    let path = workdir.join(&model.path);
    let actual = digest(&path, None).ok()?;
    (Some(actual.md5) == model.md5).then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_consists_of_its_files_and_a_file_of_itself() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("d/sub")).unwrap();
        for file in ["d/b", "d/a", "d/sub/c"] {
            fs::write(root.path().join(file), file).unwrap();
        }
        std::os::unix::fs::symlink("..", root.path().join("d/up")).unwrap();
        let files = files_below(&root.path().join("d"));
        let expected = ["d/a", "d/b", "d/sub/c"].map(|file| root.path().join(file));
        assert_eq!(files, expected);
        assert_eq!(
            files_below(&root.path().join("d/a")),
            [root.path().join("d/a")]
        );
    }

    #[test]
    fn the_held_bytes_of_a_model_come_before_those_in_the_workdir_which_must_be_unchanged() {
        let root = tempfile::tempdir().unwrap();
        let study = root.path().join("logs/s");
        fs::create_dir_all(study.join("1/held/x")).unwrap();
        let held = study.join("1/held/x/m.bin");
        fs::write(&held, "m").unwrap();
        let mut model = ModelToRegister {
            trial: 1,
            path: "m.bin".into(),
            held: Some("held/x/m.bin".into()),
            md5: Some("6f8f57715090da2632453988d9a1501b".into()),
            tags: Vec::new(),
        };
        assert_eq!(bytes_of(&study, &model), Some(held));
        model.held = None;
        assert_eq!(bytes_of(&study, &model), None, "nothing tells the workdir");
    }
}
