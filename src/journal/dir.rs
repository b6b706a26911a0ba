//! Every path of a study in one place. All of them are relative to its folder, so that a study can
//! be moved.

use crate::study::TrialId;
use std::path::{Path, PathBuf};

/// The folder of a study.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StudyDir {
    root: PathBuf,
}

impl StudyDir {
    /// Names the study `name` under the folder of all studies.
    #[must_use]
    pub fn new(logs: &Path, name: &str) -> Self {
        Self {
            root: logs.join(name),
        }
    }

    /// Names the study in this very folder.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Returns the folder itself.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Returns whether there is a study: a journal, whatever state it is in.
    #[must_use]
    pub fn exists(&self) -> bool {
        self.journal().is_file()
    }

    /// The truth: one event a line.
    #[must_use]
    pub fn journal(&self) -> PathBuf {
        self.root.join("journal.jsonl")
    }

    /// What was cut off the journal's end after a crash.
    #[must_use]
    pub fn torn(&self) -> PathBuf {
        self.root.join("journal.torn")
    }

    /// The file whose kernel lock the running process holds.
    #[must_use]
    pub fn lock(&self) -> PathBuf {
        self.root.join("lock")
    }

    /// The sweep file as it ran last.
    #[must_use]
    pub fn sweep_toml(&self) -> PathBuf {
        self.root.join("sweep.toml")
    }

    /// An earlier version of the sweep file, from 1.
    #[must_use]
    pub fn sweep_version(&self, version: u32) -> PathBuf {
        self.root.join(format!("sweep.{version}.toml"))
    }

    /// The summary.
    #[must_use]
    pub fn trials_csv(&self) -> PathBuf {
        self.root.join("trials.csv")
    }

    /// The folded journal, so that readers need not fold it again.
    #[must_use]
    pub fn snapshot(&self) -> PathBuf {
        self.root.join("snapshot.json")
    }

    /// What the code was, beyond the commit.
    #[must_use]
    pub fn code_patch(&self) -> PathBuf {
        self.root.join("code.patch")
    }

    /// What the code was in an earlier run, from 1.
    #[must_use]
    pub fn code_patch_version(&self, version: u32) -> PathBuf {
        self.root.join(format!("code.{version}.patch"))
    }

    /// Where trials run from a clone of a commit, by the commit.
    #[must_use]
    pub fn clone_of(&self, commit: &str) -> PathBuf {
        self.root.join("code").join(commit)
    }

    /// What the machine was in an earlier run, from 1.
    #[must_use]
    pub fn environment_version(&self, version: u32) -> PathBuf {
        self.root.join(format!("environment.{version}.json"))
    }

    /// What the machine was.
    #[must_use]
    pub fn environment(&self) -> PathBuf {
        self.root.join("environment.json")
    }

    /// What came of repeating a trial of another study.
    #[must_use]
    pub fn repro(&self) -> PathBuf {
        self.root.join("repro.json")
    }

    /// Digests of files that need not be read again.
    #[must_use]
    pub fn digests(&self) -> PathBuf {
        self.root.join("digests")
    }

    /// What file-based trackers write.
    #[must_use]
    pub fn trackers(&self) -> PathBuf {
        self.root.join("trackers")
    }

    /// A trial's folder.
    #[must_use]
    pub fn trial(&self, id: TrialId) -> PathBuf {
        self.root.join(id.to_string())
    }

    /// Where the folders of removed trials lie.
    #[must_use]
    pub fn trash(&self) -> PathBuf {
        self.root.join("trash")
    }

    /// The folder of a removed trial.
    #[must_use]
    pub fn trashed(&self, id: TrialId) -> PathBuf {
        self.trash().join(id.to_string())
    }

    /// Where a trial keeps its checkpoints.
    #[must_use]
    pub fn checkpoints(&self, id: TrialId) -> PathBuf {
        self.trial(id).join("checkpoints")
    }
}
