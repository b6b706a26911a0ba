//! Files of a study that can be removed: checkpoints and models that the policy does not keep, and
//! files that crashes left half written.

use super::{holding, size, tidy};
use crate::journal::{HALF_PREPARED, REPETITION, StudyDir};
use crate::keep::{self, Keep};
use std::io;
use std::path::{Path, PathBuf};
use swath_log::{HELD, WORK};
use swath_model::study::{Closing, Study, Trial, TrialState};

/// A file or folder that can be removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waste {
    /// The path of the file or folder.
    pub path: PathBuf,
    /// The space that it occupies on the disk, in bytes.
    pub bytes: u64,
    /// The reason why it can be removed, in words.
    pub why: &'static str,
    /// Whether the folder is one that the policy for checkpoints governs.
    is_governed: bool,
}

/// Returns everything that can be removed from a study while no process runs it. `clones`: the
/// scheduler may start trials from checkpoints of others.
#[must_use]
pub fn waste(dir: &StudyDir, study: &Study, policy: Keep, clones: bool) -> Vec<Waste> {
    let candidates = study
        .trials()
        .iter()
        .filter(|trial| !tidy::governed(dir, trial).is_empty())
        .map(|trial| trial.id)
        .collect();
    // A finished sweep needs no checkpoints for clones.
    let over = matches!(study.closed(), Some(Closing::Finished | Closing::Exhausted));
    let models = tidy::with_models(dir, study);
    let expendable = policy.expendable(study, &candidates, &models, clones, over);
    let folders = expendable
        .into_iter()
        .filter_map(|id| study.trial(id))
        .flat_map(|trial| tidy::governed(dir, trial));
    let mut waste: Vec<Waste> = folders
        .map(|folder| {
            let why = if folder.ends_with(WORK) {
                "a private workdir that `keep` in [run] does not keep"
            } else if folder.parent().is_some_and(|parent| parent.ends_with(HELD)) {
                "a model recorded with `keep = true`, which `keep` in [run] does not keep"
            } else {
                "checkpoints that `keep` in [run] does not keep"
            };
            Waste {
                is_governed: true,
                ..Waste::new(folder, why)
            }
        })
        .collect();
    waste.extend(leftovers(dir, study));
    waste
}

/// Returns the outputs of preparations, if the sweep is over and no trial is left that may read
/// them. One is made again when a trial needs it.
#[must_use]
pub fn prepared(dir: &StudyDir, study: &Study) -> Vec<Waste> {
    let is_over = matches!(study.closed(), Some(Closing::Finished | Closing::Exhausted));
    let is_open = |trial: &Trial| !trial.outside && !trial.state.is_final();
    if !is_over || study.trials().iter().any(is_open) {
        return Vec::new();
    }
    let outputs = study.preparations().iter();
    let outputs = outputs.map(|preparation| dir.prepared(&preparation.digest));
    outputs
        .filter(|output| output.exists())
        .map(|output| Waste::new(output, "the output of a preparation"))
        .collect()
}

/// Returns the trash, if there is one. It can be restored, so it is removed on request only.
#[must_use]
pub fn trash(dir: &StudyDir) -> Option<Waste> {
    let trash = dir.trash();
    trash.exists().then(|| Waste::new(trash, "removed trials"))
}

/// Returns the files of other studies that were found in this study's folder, if there are any. They
/// may be all that is left of a study, so they are removed on request only.
#[must_use]
pub fn orphaned(dir: &StudyDir) -> Option<Waste> {
    let orphaned = dir.orphaned();
    let why = "files of other studies that were in this folder";
    orphaned.exists().then(|| Waste::new(orphaned, why))
}

/// Returns the files that crashes left half written, and held models that are not needed.
#[must_use]
pub fn leftovers(dir: &StudyDir, study: &Study) -> Vec<Waste> {
    let mut waste = Vec::new();
    if dir.torn().exists() {
        waste.push(Waste::new(
            dir.torn(),
            "a torn end of the journal that was never committed",
        ));
    }
    waste.extend(half_written(dir.root()));
    for preparation in study.preparations() {
        let partial = dir.preparation(&preparation.digest).join(HALF_PREPARED);
        if preparation.execution.state != TrialState::Running && partial.exists() {
            waste.push(Waste::new(partial, "an unfinished output of a preparation"));
        }
    }
    for trial in study.trials() {
        waste.extend(half_written(&dir.trial(trial.id)));
        waste.extend(half_written(&dir.trial(trial.id).join("metadata")));
    }
    // A program may save its model under such a name, and models are kept.
    waste.retain(|waste| !keep::is_model(study, &waste.path));
    for trial in study
        .trials()
        .iter()
        .filter(|trial| trial.state != TrialState::Running)
    {
        let versions = holding::superfluous(dir, trial).into_iter();
        let why = "a held model that is neither the one that counts nor the last";
        waste.extend(versions.map(|version| Waste::new(version, why)));
        let attempts = (1..=trial.attempts).map(|attempt| {
            dir.trial(trial.id)
                .join("attempts")
                .join(attempt.to_string())
                .join(HELD)
        });
        let why = "held models of an attempt after which the trial began anew";
        waste.extend(
            attempts
                .filter(|held| held.exists())
                .map(|held| Waste::new(held, why)),
        );
    }
    waste
}

/// Returns the files in a folder that a crash left half written, sorted by name.
fn half_written(folder: &Path) -> Vec<Waste> {
    let mut names: Vec<_> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect();
    names.sort();
    names
        .iter()
        .filter_map(|name| Some(Waste::new(folder.join(name), half_done(name)?)))
        .collect()
}

/// Returns the origin of a file whose name only occurs after a crash; `None` for all other names.
fn half_done(name: &str) -> Option<&'static str> {
    if [".removed-checkpoints", ".removed-work"].contains(&name) {
        Some("a folder whose removal was interrupted")
    } else if name.starts_with(REPETITION) {
        Some("a repetition of a trial that was interrupted")
    } else if name.starts_with("broken-checkpoints.") {
        Some("checkpoints on which an attempt broke")
    } else if name.starts_with(".checkpoints") {
        Some("a copy of checkpoints that was interrupted")
    } else if [".draft-", ".snapshot", ".tmp"]
        .iter()
        .any(|prefix| name.starts_with(prefix))
    {
        Some("a file whose writing was interrupted")
    } else {
        None
    }
}

impl Waste {
    fn new(path: PathBuf, why: &'static str) -> Self {
        Self {
            bytes: size::occupied(&path),
            path,
            why,
            is_governed: false,
        }
    }

    /// Removes the file or folder. Only the holder of the study's lock may call this.
    ///
    /// # Errors
    /// If the file cannot be removed, or a part of the folder cannot.
    pub fn remove(&self) -> io::Result<()> {
        let path = match self.is_governed {
            true => tidy::put_aside(&self.path)?,
            false => self.path.clone(),
        };
        if path.is_dir() {
            std::fs::remove_dir_all(path)
        } else {
            std::fs::remove_file(path)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::leftovers;
    use crate::journal::StudyDir;
    use std::fs;
    use swath_model::demo::Demo;
    use swath_model::study::LogRecord;

    #[test]
    fn a_model_is_not_waste_under_any_name() {
        let folder = tempfile::tempdir().unwrap();
        let dir = StudyDir::at(folder.path().join("logs/digits"));
        let mut demo = Demo::new(&[]);
        let trial = demo.start(&[]);
        for name in [
            ".tmp-epoch-1.pt",
            ".tmp-epoch-2.pt",
            ".draft-3/model.pt",
            ".draft-4/model.pt",
        ] {
            let path = dir.trial(trial).join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "weights").unwrap();
        }
        for name in [".tmp-epoch-2.pt", ".draft-3/model.pt"] {
            let model_path = format!("logs/digits/1/{name}");
            demo.log(
                trial,
                LogRecord::Model {
                    model_path,
                    md5: None,
                    size: 7,
                    step: None,
                    held: None,
                    keep: false,
                    doubt: None,
                    partial: Vec::new(),
                },
            );
        }
        let waste = leftovers(&dir, &demo.study);
        let names = waste
            .iter()
            .map(|waste| waste.path.file_name().unwrap().to_str().unwrap());
        assert_eq!(names.collect::<Vec<_>>(), [".draft-4", ".tmp-epoch-1.pt"]);
    }
}
