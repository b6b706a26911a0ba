//! The paths of all files of a study. All of them are relative to the study's folder, so that it
//! can be moved.

use std::path::{Path, PathBuf};
use swath_model::study::TrialId;

/// The name of the output in the folder of a preparation.
pub const PREPARED: &str = "output";

/// The name of an output that is not whole yet.
pub const HALF_PREPARED: &str = "output.partial";

/// The beginning of the names of folders in which ended trials are repeated.
pub const REPETITION: &str = ".repetition-";

/// The folder of a study.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StudyDir {
    root: PathBuf,
}

impl StudyDir {
    /// Returns the folder of the study `name` within `logs`, the folder of all studies.
    #[must_use]
    pub fn new(logs: &Path, name: &str) -> Self {
        Self {
            root: logs.join(name),
        }
    }

    /// Returns the study whose folder is `root` itself.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Returns the path of the study's folder.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Returns whether the folder contains a study, that is, a journal. It may be damaged.
    #[must_use]
    pub fn exists(&self) -> bool {
        self.journal().is_file()
    }

    /// Returns the path of the journal: the source of truth, one event per line.
    #[must_use]
    pub fn journal(&self) -> PathBuf {
        self.root.join("journal.jsonl")
    }

    /// Returns the path of the file with torn ends that were cut off the journal after crashes.
    #[must_use]
    pub fn torn(&self) -> PathBuf {
        self.root.join("journal.torn")
    }

    /// Returns the path of the journal's high-water mark: its length when it was last synced.
    #[must_use]
    pub fn mark(&self) -> PathBuf {
        self.root.join("journal.mark")
    }

    /// Returns the path of the file whose kernel lock is held by the process that runs the study.
    #[must_use]
    pub fn lock(&self) -> PathBuf {
        self.root.join("lock")
    }

    /// Returns the path of the sweep file of the last run.
    #[must_use]
    pub fn sweep_toml(&self) -> PathBuf {
        self.root.join("sweep.toml")
    }

    /// Returns the path of an earlier version of the sweep file; versions count from 1.
    #[must_use]
    pub fn sweep_version(&self, version: u32) -> PathBuf {
        self.root.join(format!("sweep.{version}.toml"))
    }

    /// Returns the path of the table with one row per trial.
    #[must_use]
    pub fn trials_csv(&self) -> PathBuf {
        self.root.join("trials.csv")
    }

    /// Returns the path of the snapshot: the state after replaying the journal, so that readers
    /// need not replay it.
    #[must_use]
    pub fn snapshot(&self) -> PathBuf {
        self.root.join("snapshot.json")
    }

    /// Returns the path of the patch with the uncommitted changes of the code.
    #[must_use]
    pub fn code_patch(&self) -> PathBuf {
        self.root.join("code.patch")
    }

    /// Returns the path of the patch of an earlier run; versions count from 1.
    #[must_use]
    pub fn code_patch_version(&self, version: u32) -> PathBuf {
        self.root.join(format!("code.{version}.patch"))
    }

    /// Returns the path of the clone of `commit` in which trials run.
    #[must_use]
    pub fn clone_of(&self, commit: &str) -> PathBuf {
        self.root.join(swath_log::CLONES).join(commit)
    }

    /// Returns the path of the description of an earlier run (see
    /// [`environment`](Self::environment)); versions count from 1.
    #[must_use]
    pub fn environment_version(&self, version: u32) -> PathBuf {
        self.root.join(format!("environment.{version}.json"))
    }

    /// Returns the path of the description of the last run: its machine, command line, commit and
    /// environment variables.
    #[must_use]
    pub fn environment(&self) -> PathBuf {
        self.root.join("environment.json")
    }

    /// Returns the path of the folder in which a trial is repeated.
    #[must_use]
    pub fn repetition(&self, trial: TrialId) -> PathBuf {
        self.root.join(format!("{REPETITION}{trial}"))
    }

    /// Returns the folders of repetitions. Without a run, killed runs have left them.
    #[must_use]
    pub fn repetitions(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(&self.root)
            .into_iter()
            .flatten()
            .flatten();
        entries
            .filter(|entry| {
                entry
                    .file_name()
                    .as_encoded_bytes()
                    .starts_with(REPETITION.as_bytes())
            })
            .map(|entry| entry.path())
            .collect()
    }

    /// Returns the path of the folder of the pilots' files.
    #[must_use]
    pub fn pilots(&self) -> PathBuf {
        self.root.join("pilots")
    }

    /// Returns the paths of the descriptions that pilots have written of their machines.
    #[must_use]
    pub fn node_environments(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.pilots());
        let mut paths: Vec<PathBuf> = entries
            .into_iter()
            .flatten()
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.to_string_lossy().ends_with(".environment.json"))
            .collect();
        paths.sort();
        paths
    }

    /// Returns the path of the result of repeating a trial of another study.
    #[must_use]
    pub fn repro(&self) -> PathBuf {
        self.root.join("repro.json")
    }

    /// Returns the path of the cache of file digests, which saves reading large files again.
    #[must_use]
    pub fn digests(&self) -> PathBuf {
        self.root.join("digests")
    }

    /// Returns the path of the log of `[run] setup`: the output of its last run.
    #[must_use]
    pub fn setup_log(&self) -> PathBuf {
        self.root.join("setup.log")
    }

    /// Returns the path of the folder that contains the preparations that trials share.
    #[must_use]
    pub fn preparations(&self) -> PathBuf {
        self.root.join("prepared")
    }

    /// Returns the path of the folder of the preparation with this digest: its logs, its records
    /// and its output.
    #[must_use]
    pub fn preparation(&self, digest: &str) -> PathBuf {
        self.preparations().join(digest)
    }

    /// Returns the path of the output of the preparation with this digest. It exists only while it
    /// is whole.
    #[must_use]
    pub fn prepared(&self, digest: &str) -> PathBuf {
        self.preparation(digest).join(PREPARED)
    }

    /// Returns the path of the folder in which file-based trackers write.
    #[must_use]
    pub fn trackers(&self) -> PathBuf {
        self.root.join("trackers")
    }

    /// Returns the path of a trial's folder.
    #[must_use]
    pub fn trial(&self, id: TrialId) -> PathBuf {
        self.root.join(id.to_string())
    }

    /// Returns the path of the folder that contains the folders of removed trials.
    #[must_use]
    pub fn trash(&self) -> PathBuf {
        self.root.join("trash")
    }

    /// Returns the path of the folder of a removed trial.
    #[must_use]
    pub fn trashed(&self, id: TrialId) -> PathBuf {
        self.trash().join(id.to_string())
    }

    /// Returns the path of the folder for everything that was found here and is not of this study.
    #[must_use]
    pub fn orphaned(&self) -> PathBuf {
        self.root.join("orphaned")
    }

    /// Returns the path of a trial's checkpoint folder.
    #[must_use]
    pub fn checkpoints(&self, id: TrialId) -> PathBuf {
        self.trial(id).join("checkpoints")
    }

    /// Returns the path of a trial's private working directory, which exists only if the sweep file
    /// asks for it.
    #[must_use]
    pub fn work(&self, id: TrialId) -> PathBuf {
        self.trial(id).join(swath_log::WORK)
    }
}
