//! The state of the code and the machine when trials ran: enough to tell later how a trial was
//! made, and to reproduce it.
//!
//! Only facts from an allow list are recorded. The user's environment variables as a whole, which
//! may contain secrets, are never recorded.

mod ask;
mod cgroup_check;
pub mod files;
pub mod git;
pub mod gpu;
pub mod machine;
pub mod patch;
pub mod probe;
pub mod python;
pub mod record;
mod untracked;
pub mod variables;

pub use files::Pinned;
pub use git::{Checkout, Git};
pub use gpu::Gpu;
pub use machine::{Machine, NodeEnvironment};
pub use python::Python;
pub use record::{Made, Record, Starts, environments};
pub use untracked::is_code;

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use swath_model::study::Timestamp;

/// The content of `environment.json`. The facts that are collected beside the first trials are
/// added once they are known.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Environment {
    /// The version of swath.
    pub swath: String,
    /// The sequence number of the first journal entry for which this environment holds.
    #[serde(default)]
    pub since: u64,
    /// The time of that entry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
    /// The command line that started the run.
    pub command_line: Vec<String>,
    /// The working directory of that command.
    pub workdir: String,
    /// The working directory of the trials, if it is a different one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trials_in: Option<String>,
    /// The working directory of each trial relative to the trial's folder, if it has its own. Its
    /// files are those of [`trials_in`](Self::trials_in).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub own_workdir: Option<PathBuf>,
    /// The md5 of the sweep file.
    #[serde(default)]
    pub sweep_md5: String,
    /// The machine.
    pub machine: Machine,
    /// The version of the code, if the folder is in a git repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git: Option<Git>,
    /// The recorded environment variables, all of them from an allow list.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub variables: BTreeMap<String, String>,
    /// The facts that are collected beside the trials. Absent until the collection is complete, and
    /// if it was cut short.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub found: Option<Found>,
}

/// The facts that take a while to collect.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// The program and the other files that the command names.
    #[serde(default)]
    pub files: Vec<Pinned>,
    /// The lock files: files that pin the versions of the program's dependencies.
    #[serde(default)]
    pub locks: Vec<Pinned>,
    /// The GPUs.
    #[serde(default)]
    pub gpus: Vec<Gpu>,
    /// The Python interpreter, if the command runs one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub python: Option<Python>,
}

impl Environment {
    /// Returns whether the two environments are equal apart from the time and entry from which they
    /// hold.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        let other = Self {
            since: self.since,
            at: self.at,
            ..other.clone()
        };
        *self == other
    }

    /// Returns the private working directory of the trial in the folder `dir`; `None` if it ran in
    /// that of all trials.
    #[must_use]
    pub fn own_workdir(&self, dir: &Path) -> Option<PathBuf> {
        self.own_workdir.as_ref().map(|own| dir.join(own))
    }

    /// Returns the working directory of the trials, or the folder whose files each trial has.
    #[must_use]
    pub fn trials_in(&self) -> &str {
        self.trials_in.as_deref().unwrap_or(&self.workdir)
    }
}
