//! Holds the bytes of models: `[run] models` of the sweep file.
//!
//! A program often writes each model over the one before. What a record says of a model can be
//! checked, and the model used, only if its bytes are kept when the record is read. They go to
//! `held/` in the trial's folder, as blocks shared with the original where the file system can do
//! that, otherwise as a copy within a budget.

use super::copy::copy;
use super::digest::LeftOut;
use serde::{Deserialize, Serialize};
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The folder of held models in a trial's folder.
pub const HELD: &str = "held";

/// The space that copies may take in a study unless the sweep file says otherwise.
pub const BUDGET: u64 = 1 << 30;

/// A copy takes at most this part of the free space of the file system.
const PART_OF_FREE: u64 = 10;

/// How long a full budget is believed to be full.
const MEASURED_AGAIN_AFTER: Duration = Duration::from_secs(5);

/// Whether the bytes of models are held when they are recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Models {
    /// They are held, as long as copies take no more than the budget.
    Hold {
        /// Bytes that copies may take in the study's folder; shared blocks do not count.
        budget: u64,
    },
    /// Only their path and digest are recorded.
    Refer,
}

impl Default for Models {
    fn default() -> Self {
        Self::Hold { budget: BUDGET }
    }
}

/// Holds models for all trials of a study that run in this process.
#[derive(Debug)]
pub struct ModelStore {
    rule: Models,
    used: Mutex<Used>,
}

/// How much of the budget is used.
#[derive(Debug, Default)]
struct Used {
    bytes: u64,
    /// When it was last measured on the disk.
    measured: Option<Instant>,
}

impl Default for ModelStore {
    /// Makes one that holds nothing.
    fn default() -> Self {
        Self::new(Models::Refer)
    }
}

/// A model that is held.
pub(super) struct Held {
    /// Its path relative to the trial's folder.
    pub(super) path: String,
    /// What is not part of it.
    pub(super) left_out: Vec<LeftOut>,
}

impl ModelStore {
    /// Makes one that follows a rule.
    #[must_use]
    pub fn new(rule: Models) -> Self {
        Self {
            rule,
            used: Mutex::default(),
        }
    }

    /// Returns its rule.
    #[must_use]
    pub fn rule(&self) -> Models {
        self.rule
    }

    /// Holds the file or folder `real`; `None` if it is not to be held, or there is no room for it.
    ///
    /// Each version has a folder of its own, whose name is never used again, so that a version can
    /// be released while the next is being held.
    pub(super) fn hold(&self, trial: &Path, real: &Path) -> Option<Held> {
        let Models::Hold { budget } = self.rule else {
            return None;
        };
        let home = trial.join(HELD);
        let contains_home = trial
            .canonicalize()
            .map_or(true, |trial| trial.starts_with(real));
        let is_held = home.canonicalize().is_ok_and(|home| real.starts_with(home));
        if contains_home || is_held {
            return None;
        }
        fs::create_dir_all(&home).ok()?;
        let mut draft = tempfile::Builder::new();
        draft
            .prefix("")
            .rand_bytes(8)
            .permissions(Permissions::from_mode(0o777));
        let version = draft.tempdir_in(&home).ok()?;
        let name = real
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or("model");
        let mut reserve = |bytes| self.reserve(trial, budget, bytes);
        // Without room the model is only referred to: that is no fault of the trial.
        let left_out = copy(real, &version.path().join(name), &mut reserve).ok()?;
        let folder = version.keep();
        let version = folder.file_name().unwrap_or_default().to_string_lossy();
        Some(Held {
            path: format!("{HELD}/{version}/{name}"),
            left_out,
        })
    }

    /// Takes room for a copy, or refuses.
    fn reserve(&self, trial: &Path, budget: u64, bytes: u64) -> io::Result<()> {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let is_over = used.bytes.saturating_add(bytes) > budget;
        let is_stale = used
            .measured
            .is_none_or(|at| is_over && at.elapsed() >= MEASURED_AGAIN_AFTER);
        if is_stale {
            // Versions are released by the process that runs the study, which may be another one.
            let study = trial.parent().unwrap_or(trial);
            *used = Used {
                bytes: held_in(study),
                measured: Some(Instant::now()),
            };
        }
        if used.bytes.saturating_add(bytes) > budget || bytes > free_at(trial) / PART_OF_FREE {
            return Err(io::ErrorKind::StorageFull.into());
        }
        used.bytes += bytes;
        Ok(())
    }
}

/// Removes a held version that was not recorded.
pub(super) fn discard(trial: &Path, held: &str) {
    if let Some(version) = trial.join(held).parent() {
        fs::remove_dir_all(version).ok();
    }
}

/// Returns how many bytes all trials of a study hold.
fn held_in(study: &Path) -> u64 {
    let trials = fs::read_dir(study)
        .into_iter()
        .flatten()
        .filter_map(Result::ok);
    let numbered = trials.filter(|entry| {
        entry
            .file_name()
            .to_str()
            .is_some_and(|name| name.parse::<u32>().is_ok())
    });
    numbered
        .map(|trial| bytes_below(&trial.path().join(HELD)))
        .sum()
}

fn bytes_below(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .filter_map(Result::ok);
    let size = |entry: fs::DirEntry| match entry.metadata() {
        Ok(about) if about.is_dir() => bytes_below(&entry.path()),
        Ok(about) => about.len(),
        Err(_) => 0,
    };
    entries.map(size).sum()
}

/// Returns the free space of a file system; one that does not say has enough.
fn free_at(folder: &Path) -> u64 {
    let about = rustix::fs::statvfs(folder);
    about.map_or(u64::MAX, |about| {
        about.f_bavail.saturating_mul(about.f_frsize)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    fn study() -> (tempfile::TempDir, PathBuf, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let (trial, model) = (dir.path().join("logs/s/1"), dir.path().join("m.bin"));
        fs::create_dir_all(&trial).unwrap();
        fs::write(&model, [7; 100]).unwrap();
        let model = model.canonicalize().unwrap();
        (dir, trial, model)
    }

    #[test]
    fn each_version_is_held_under_a_name_of_its_own() {
        let (_dir, trial, model) = study();
        let store = ModelStore::new(Models::default());
        let first = store.hold(&trial, &model).unwrap().path;
        fs::write(&model, "second").unwrap();
        let second = store.hold(&trial, &model).unwrap().path;
        assert_ne!(first, second);
        assert_eq!(fs::read(trial.join(&first)).unwrap(), [7; 100]);
        assert_eq!(fs::read(trial.join(&second)).unwrap(), b"second");
        assert!(
            first.starts_with("held/") && first.ends_with("/m.bin"),
            "{first}"
        );
    }

    #[test]
    fn copies_stay_within_the_budget_of_the_study_and_a_release_makes_room() {
        let (_dir, trial, model) = study();
        if shares_blocks(&model, &trial) {
            return;
        }
        let other = trial.with_file_name("2");
        fs::create_dir_all(&other).unwrap();
        let store = ModelStore::new(Models::Hold { budget: 250 });
        let first = store.hold(&trial, &model).unwrap();
        assert!(store.hold(&other, &model).is_some());
        assert!(store.hold(&trial, &model).is_none(), "300 bytes");
        assert_eq!(
            fs::read_dir(trial.join(HELD)).unwrap().count(),
            1,
            "nothing half done is left"
        );
        discard(&trial, &first.path);
        let store = ModelStore::new(Models::Hold { budget: 250 });
        assert!(
            store.hold(&trial, &model).is_some(),
            "another process sees what was released"
        );
    }

    fn shares_blocks(model: &Path, folder: &Path) -> bool {
        copy(model, &folder.join("probe"), &mut |_| {
            Err(io::ErrorKind::StorageFull.into())
        })
        .is_ok()
    }

    #[test]
    fn a_rule_to_refer_holds_nothing_and_neither_does_a_model_that_contains_the_trial() {
        let (dir, trial, model) = study();
        assert!(
            ModelStore::new(Models::Refer)
                .hold(&trial, &model)
                .is_none()
        );
        let store = ModelStore::new(Models::default());
        assert!(
            store
                .hold(&trial, &dir.path().canonicalize().unwrap())
                .is_none()
        );
        let held = trial
            .join(store.hold(&trial, &model).unwrap().path)
            .canonicalize()
            .unwrap();
        assert!(
            store.hold(&trial, &held).is_none(),
            "what is held is not held again"
        );
    }
}
