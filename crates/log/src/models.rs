//! Holds the bytes of models: `[run] models` of the sweep file.
//!
//! A program often overwrites each model with the next one. A recorded model can be verified and
//! used later only if its bytes are kept when the record is read. They go to `held/` in the trial's
//! folder, as blocks shared with the original where the file system can do that, otherwise as a
//! copy within a budget.

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

/// Default budget of a study for copies of models, in bytes.
pub const BUDGET: u64 = 1 << 30;

/// A copy takes at most one part in this number of the file system's free space.
const PART_OF_FREE: u64 = 10;

/// Time after which a full budget is measured again.
const MEASURED_AGAIN_AFTER: Duration = Duration::from_secs(5);

/// Whether the bytes of models are held when they are recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Models {
    /// Models are held as long as copies stay within the budget.
    Hold {
        /// Maximum number of bytes of copies in the study's folder; shared blocks do not count.
        budget: u64,
    },
    /// Only the path and digest of models are recorded.
    Refer,
}

impl Default for Models {
    fn default() -> Self {
        Self::Hold { budget: BUDGET }
    }
}

/// The store of held models, for all trials of a study that run in this process.
#[derive(Debug)]
pub struct ModelStore {
    rule: Models,
    used: Mutex<Used>,
}

/// The used part of the budget, in bytes.
#[derive(Debug, Default)]
struct Used {
    bytes: u64,
    /// The time of the last measurement on the disk.
    measured: Option<Instant>,
}

impl Default for ModelStore {
    /// Makes a store that holds nothing.
    fn default() -> Self {
        Self::new(Models::Refer)
    }
}

/// A held model.
pub(super) struct Held {
    /// The path relative to the trial's folder.
    pub(super) path: String,
    /// The entries that the copy leaves out.
    pub(super) left_out: Vec<LeftOut>,
}

impl ModelStore {
    /// Makes a store with a rule.
    #[must_use]
    pub fn new(rule: Models) -> Self {
        Self {
            rule,
            used: Mutex::default(),
        }
    }

    /// Returns the store's rule.
    #[must_use]
    pub fn rule(&self) -> Models {
        self.rule
    }

    /// Holds the file or folder `real`. Returns `None` if the rule forbids it, or if there is no
    /// room.
    ///
    /// Each version has a folder of its own with a name that is never reused, so that one version
    /// can be released while the next is being held. A version that is kept whatever comes later,
    /// and therefore never released, is named after the model and its number: `last_0`, `last_1`.
    pub(super) fn hold(&self, trial: &Path, real: &Path, keep: bool) -> Option<Held> {
        let Models::Hold { budget } = self.rule else {
            return None;
        };
        let home = trial.join(HELD);
        let contains_home = trial
            .canonicalize()
            .map_or(true, |trial| trial.starts_with(real));
        let is_held = home.canonicalize().is_ok_and(|home| real.starts_with(home));
        // A folder that contains `held/` would be copied into itself, and a held file needs no
        // second copy.
        if contains_home || is_held {
            return None;
        }
        fs::create_dir_all(&home).ok()?;
        if keep {
            return self.hold_kept(trial, real, budget);
        }
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
        // Without room the model is only referred to. That is not a fault of the trial, so there is
        // no warning.
        let left_out = copy(real, &version.path().join(name), &mut |bytes| {
            self.reserve(trial, budget, bytes)
        })
        .ok()?;
        let folder = version.keep();
        let version = folder.file_name().unwrap_or_default().to_string_lossy();
        Some(Held {
            path: format!("{HELD}/{version}/{name}"),
            left_out,
        })
    }

    /// Holds a version that is kept, under the next free number.
    fn hold_kept(&self, trial: &Path, real: &Path, budget: u64) -> Option<Held> {
        let named = |part: Option<&std::ffi::OsStr>| Some(part?.to_str()?.to_owned());
        let stem = named(real.file_stem()).unwrap_or_else(|| "model".to_owned());
        let ending = named(real.extension()).map_or_else(String::new, |end| format!(".{end}"));
        for number in 0_u64.. {
            let version = format!("{HELD}/{stem}_{number}");
            let folder = trial.join(&version);
            match fs::create_dir(&folder) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                made => made.ok()?,
            }
            let name = format!("{stem}_{number}{ending}");
            let copied = copy(real, &folder.join(&name), &mut |bytes| {
                self.reserve(trial, budget, bytes)
            });
            let Ok(left_out) = copied else {
                fs::remove_dir_all(&folder).ok();
                return None;
            };
            let path = format!("{version}/{name}");
            return Some(Held { path, left_out });
        }
        None
    }

    /// Reserves room for a copy.
    ///
    /// # Errors
    /// If the copy would exceed the budget or its share of the free space.
    fn reserve(&self, trial: &Path, budget: u64, bytes: u64) -> io::Result<()> {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let is_over = used.bytes.saturating_add(bytes) > budget;
        let is_stale = used
            .measured
            .is_none_or(|at| is_over && at.elapsed() >= MEASURED_AGAIN_AFTER);
        if is_stale {
            // Another process may release versions: the one that runs the study.
            let study = trial.parent().unwrap_or(trial);
            *used = Used {
                bytes: held_bytes(study),
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

/// Returns the number of bytes that all trials of a study hold.
fn held_bytes(study: &Path) -> u64 {
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
    entries.map(|entry| bytes_of(&entry)).sum()
}

fn bytes_of(entry: &fs::DirEntry) -> u64 {
    match entry.metadata() {
        Ok(about) if about.is_dir() => bytes_below(&entry.path()),
        Ok(about) => about.len(),
        // A version that was released meanwhile takes no space.
        Err(_) => 0,
    }
}

/// Returns the free bytes of a file system; without an answer, the maximum.
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
    fn a_kept_version_is_named_after_the_model_and_its_number() {
        let (_dir, trial, model) = study();
        let store = ModelStore::new(Models::default());
        for (number, byte) in [(0, 1_u8), (1, 2)] {
            fs::write(&model, [byte; 100]).unwrap();
            let held = store.hold(&trial, &model, true).unwrap();
            assert_eq!(held.path, format!("held/m_{number}/m_{number}.bin"));
        }
        assert_eq!(fs::read(trial.join("held/m_0/m_0.bin")).unwrap(), [1; 100]);
        // A version for which there is no room leaves no folder behind.
        let full = ModelStore::new(Models::Hold { budget: 10 });
        assert!(full.hold(&trial, &model, true).is_none());
        assert!(!trial.join("held/m_2").exists());
    }

    #[test]
    fn each_version_is_held_under_a_name_of_its_own() {
        let (_dir, trial, model) = study();
        let store = ModelStore::new(Models::default());
        let first = store.hold(&trial, &model, false).unwrap().path;
        fs::write(&model, "second").unwrap();
        let second = store.hold(&trial, &model, false).unwrap().path;
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
        let first = store.hold(&trial, &model, false).unwrap();
        assert!(store.hold(&other, &model, false).is_some());
        assert!(store.hold(&trial, &model, false).is_none(), "300 bytes");
        assert_eq!(
            fs::read_dir(trial.join(HELD)).unwrap().count(),
            1,
            "no incomplete copy remains"
        );
        discard(&trial, &first.path);
        let store = ModelStore::new(Models::Hold { budget: 250 });
        assert!(
            store.hold(&trial, &model, false).is_some(),
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
                .hold(&trial, &model, false)
                .is_none()
        );
        let store = ModelStore::new(Models::default());
        assert!(
            store
                .hold(&trial, &dir.path().canonicalize().unwrap(), false)
                .is_none()
        );
        let held = trial
            .join(store.hold(&trial, &model, false).unwrap().path)
            .canonicalize()
            .unwrap();
        assert!(
            store.hold(&trial, &held, false).is_none(),
            "a held model is not held again"
        );
    }
}
