//! Releases held copies of models while the study runs. The model that counts and the last model of
//! a trial stay held.

use super::Driver;
use crate::journal::StudyDir;
use crate::logger::HELD;
use crate::study::{LogRecord, Trial, TrialId};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// The held model versions that may have to be released.
#[derive(Default)]
pub(super) struct Holding {
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
    let is_model = |record: &LogRecord| matches!(record, LogRecord::Model { .. });
    let last = trial.records.iter().rposition(is_model);
    let counts = last.and_then(|_| model_that_counts(trial));
    let models = trial.records.iter().enumerate();
    let needed = models.filter_map(|(at, record)| match record {
        LogRecord::Model {
            held: Some(held),
            keep,
            ..
        } => (*keep || Some(at) == counts || Some(at) == last).then_some(held.as_str()),
        _ => None,
    });
    needed.collect()
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
    let mut found: Vec<_> = entries
        .map(|entry| entry.path())
        .filter(|folder| !needed.contains(folder))
        .collect();
    found.sort();
    found
}

impl Driver<'_> {
    /// Notes a committed record with a held model.
    pub(super) fn note_held(&mut self, trial: TrialId, held: Option<String>) {
        let Some(held) = held else { return };
        self.holding.held.entry(trial).or_default().insert(held);
        self.holding.stale.insert(trial);
    }

    /// Notes that an attempt has ended and will hold no further model.
    pub(super) fn note_held_ended(&mut self, trial: TrialId) {
        let holds = |trial: &Trial| {
            trial
                .records
                .iter()
                .any(|record| matches!(record, LogRecord::Model { held: Some(_), .. }))
        };
        let had = self.holding.held.remove(&trial).is_some();
        self.holding.stale.remove(&trial);
        if had || self.study.trial(trial).is_some_and(holds) {
            self.holding.ended.insert(trial);
        }
    }

    /// Removes the versions that are not needed any more. To be called after the journal was
    /// flushed: if the record of a newer version were lost in a crash, the older version would
    /// still be the last one.
    ///
    /// A version that cannot be removed stays. The end of the attempt or `swath gc` tries again.
    pub(super) fn release_held(&mut self) {
        for id in std::mem::take(&mut self.holding.stale) {
            let (Some(trial), Some(held)) = (self.study.trial(id), self.holding.held.get_mut(&id))
            else {
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
        for id in std::mem::take(&mut self.holding.ended) {
            let Some(trial) = self.study.trial(id) else {
                continue;
            };
            for version in superfluous(&self.dir, trial) {
                std::fs::remove_dir_all(version).ok();
            }
        }
    }
}

/// Returns the path of a held model; `None` if the record holds none or it was released.
#[must_use]
pub fn held_path(dir: &StudyDir, trial: TrialId, record: &LogRecord) -> Option<PathBuf> {
    let LogRecord::Model {
        held: Some(held), ..
    } = record
    else {
        return None;
    };
    Some(dir.trial(trial).join(held)).filter(|path| path.symlink_metadata().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use swath_model::demo::Demo;

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
        for version in ["0", "1", "2", "3", "4", "half-done"] {
            std::fs::create_dir_all(dir.trial(trial.id).join("held").join(version)).unwrap();
        }
        let found = superfluous(&dir, trial);
        let names: Vec<_> = found
            .iter()
            .map(|path| path.file_name().unwrap().to_str().unwrap())
            .collect();
        assert_eq!(names, ["0", "3", "half-done"]);
    }
}
