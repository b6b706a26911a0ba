//! Releases held copies of models while the study runs. The model that counts, the last model of a
//! trial and those that it asked to keep stay held.

use super::component::Component;
use crate::journal::StudyDir;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use swath_log::HELD;
use swath_model::study::{Event, Exit, LogRecord, Study, Trial, TrialId};

/// The held model versions that may have to be released.
pub(super) struct Holding {
    dir: StudyDir,
    /// By trial, the paths of the versions that attempts of this run have recorded.
    held: BTreeMap<TrialId, BTreeSet<String>>,
    /// Trials that have recorded another model since the last release.
    stale: BTreeSet<TrialId>,
    /// Trials whose attempt has ended. All versions in their folders that are not needed are
    /// released.
    ended: BTreeSet<TrialId>,
}

/// Returns the index of the model that counts among a trial's records; `None` without a model.
#[must_use]
pub fn model_that_counts(trial: &Trial) -> Option<usize> {
    trial.model_that_counts().map(|model| model.record)
}

/// Returns the paths of a trial's held versions that must stay: the model that counts, the last
/// one, and those that the trial asked to keep.
#[must_use]
pub fn needed(trial: &Trial) -> BTreeSet<&str> {
    let mut needed = held_by_result(trial);
    needed.extend(trial.records.iter().filter_map(held_on_request));
    needed
}

/// Returns the folders of a trial's held versions that stay only because the trial asked to keep
/// them, so that `[run] keep` decides about them once the trial has ended.
pub(super) fn kept_on_request(dir: &StudyDir, trial: &Trial) -> Vec<PathBuf> {
    let by_result = held_by_result(trial);
    let versions = trial.records.iter().filter_map(held_on_request);
    let versions: BTreeSet<_> = versions.filter(|held| !by_result.contains(held)).collect();
    let root = dir.trial(trial.id);
    versions
        .into_iter()
        .filter_map(|held| Some(root.join(held).parent()?.to_owned()))
        .collect()
}

fn held_on_request(record: &LogRecord) -> Option<&str> {
    match record {
        LogRecord::Model { keep: true, .. } => held(record),
        _ => None,
    }
}

/// Returns the paths of the held versions of the model that counts and of the last one.
fn held_by_result(trial: &Trial) -> BTreeSet<&str> {
    let last = trial
        .records
        .iter()
        .rposition(|record| matches!(record, LogRecord::Model { .. }));
    let counting = last.and_then(|_| model_that_counts(trial));
    let records = [counting, last].into_iter().flatten();
    records
        .filter_map(|index| held(trial.records.get(index)?))
        .collect()
}

/// Returns the folders of a trial's held versions that are not needed, sorted. This includes
/// versions that a crash left half written.
#[must_use]
pub fn superfluous(dir: &StudyDir, trial: &Trial) -> Vec<PathBuf> {
    let root = dir.trial(trial.id);
    let entries = std::fs::read_dir(root.join(HELD))
        .into_iter()
        .flatten()
        .filter_map(Result::ok);
    let needed = needed(trial);
    let needed: BTreeSet<PathBuf> = needed
        .iter()
        .filter_map(|held| Some(root.join(held).parent()?.to_owned()))
        .collect();
    let mut folders: Vec<_> = entries
        .map(|entry| entry.path())
        .filter(|folder| !needed.contains(folder))
        .collect();
    folders.sort();
    folders
}

impl Component for Holding {
    fn on(&mut self, study: &Study, event: &Event) {
        match event {
            Event::Logged { trial, record, .. } => {
                if let Some(held) = held(record) {
                    self.held.entry(*trial).or_default().insert(held.to_owned());
                    self.stale.insert(*trial);
                }
            }
            Event::Ended { trial, exit, .. } => {
                let has_held = self.held.remove(trial).is_some();
                self.stale.remove(trial);
                // The process of a lost attempt may still write: its versions wait for the end of
                // the next attempt.
                if *exit != Exit::Lost && (has_held || study.trial(*trial).is_some_and(holds)) {
                    self.ended.insert(*trial);
                }
            }
            _ => {}
        }
    }
}

impl Holding {
    pub(super) fn new(dir: StudyDir) -> Self {
        Self {
            dir,
            held: BTreeMap::new(),
            stale: BTreeSet::new(),
            ended: BTreeSet::new(),
        }
    }

    /// Removes the versions that are not needed any more. To be called after the journal was
    /// flushed: if the record of a newer version were lost in a crash, the older version would
    /// still be the last one.
    ///
    /// A version that cannot be removed stays. The end of the attempt or `swath gc` tries again.
    pub(super) fn release(&mut self, study: &Study) {
        for id in std::mem::take(&mut self.stale) {
            let (Some(trial), Some(held)) = (study.trial(id), self.held.get_mut(&id)) else {
                continue;
            };
            let needed = needed(trial);
            let folder = self.dir.trial(id);
            held.retain(|held| {
                let is_needed = needed.contains(held.as_str());
                if let (false, Some(version)) = (is_needed, folder.join(held).parent()) {
                    std::fs::remove_dir_all(version).ok();
                }
                is_needed
            });
        }
        for id in std::mem::take(&mut self.ended) {
            let Some(trial) = study.trial(id) else {
                continue;
            };
            for version in superfluous(&self.dir, trial) {
                std::fs::remove_dir_all(version).ok();
            }
        }
    }
}

/// Returns the path of the held model that a record names, relative to the trial's folder.
fn held(record: &LogRecord) -> Option<&str> {
    match record {
        LogRecord::Model { held, .. } => held.as_deref(),
        _ => None,
    }
}

/// Returns whether a trial has recorded a held model.
fn holds(trial: &Trial) -> bool {
    trial.records.iter().any(|record| held(record).is_some())
}

/// Returns the path of a held model; `None` if the record holds none or it was released.
#[must_use]
pub fn held_path(dir: &StudyDir, trial: TrialId, record: &LogRecord) -> Option<PathBuf> {
    Some(dir.trial(trial).join(held(record)?)).filter(|path| path.symlink_metadata().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use swath_model::demo::Demo;
    use swath_model::study::{Attempt, Usage};

    fn model(held: &str, keep: bool) -> LogRecord {
        LogRecord::Model {
            model_path: "m.bin".into(),
            md5: Some("0".repeat(32)),
            size: 1,
            step: None,
            held: Some(format!("held/{held}/m.bin")),
            keep,
            doubt: None,
            partial: Vec::new(),
        }
    }

    #[test]
    fn the_model_that_counts_the_last_and_those_that_are_to_be_kept_are_needed() {
        let mut demo = Demo::new(&[]);
        let trial = demo.start(&[]);
        for (at, loss) in [0.9, 0.5, 0.2, 0.4, 0.6].into_iter().enumerate() {
            demo.report(trial, &[("val_loss", loss)]);
            demo.log(trial, model(&at.to_string(), at == 1));
        }
        let trial = demo.study.trial(trial).unwrap();
        let names: Vec<_> = needed(trial).into_iter().collect();
        assert_eq!(names, ["held/1/m.bin", "held/2/m.bin", "held/4/m.bin"]);

        let folder = tempfile::tempdir().unwrap();
        let dir = StudyDir::at(folder.path());
        let on_request = [dir.trial(trial.id).join("held/1")];
        assert_eq!(kept_on_request(&dir, trial), on_request);
        for version in ["0", "1", "2", "3", "4", "half-done"] {
            std::fs::create_dir_all(dir.trial(trial.id).join("held").join(version)).unwrap();
        }
        let folders = superfluous(&dir, trial);
        let names: Vec<_> = folders
            .iter()
            .map(|path| path.file_name().unwrap().to_str().unwrap())
            .collect();
        assert_eq!(names, ["0", "3", "half-done"]);
    }

    #[test]
    fn a_superseded_version_is_released_and_the_versions_of_a_lost_attempt_wait() {
        let folder = tempfile::tempdir().unwrap();
        let dir = StudyDir::at(folder.path());
        let mut holding = Holding::new(dir.clone());
        let mut demo = Demo::new(&[]);
        let trial = demo.start(&[]);
        let version = |name: &str| dir.trial(trial).join("held").join(name);
        let follow = |holding: &mut Holding, demo: &Demo| {
            holding.on(&demo.study, &demo.entries.last().unwrap().event);
        };
        for name in ["0", "1", "half-done"] {
            std::fs::create_dir_all(version(name)).unwrap();
        }
        for name in ["0", "1"] {
            demo.log(trial, model(name, false));
            follow(&mut holding, &demo);
        }
        holding.release(&demo.study);
        assert!(!version("0").exists() && version("1").exists());
        for (attempt, exit) in [(1, Exit::Lost), (2, Exit::Done)] {
            assert!(version("half-done").exists());
            demo.event(Event::Ended {
                trial,
                attempt: Attempt(attempt),
                exit,
                usage: Usage::default(),
            });
            follow(&mut holding, &demo);
            holding.release(&demo.study);
            if attempt == 1 {
                demo.event(Event::Started {
                    trial,
                    attempt: Attempt(2),
                    until: None,
                    slot: 0,
                    resume: true,
                });
            }
        }
        assert!(!version("half-done").exists() && version("1").exists());
    }
}
