//! What the code and the machine were when trials ran: enough to tell later how a trial was made,
//! and to make it again.
//!
//! Only facts from an allow list: the environment variables of the person, where secrets live, are
//! never recorded.

mod ask;
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
mod walls;

pub use files::Pinned;
pub use git::{Checkout, Git};
pub use gpu::Gpu;
pub use machine::Machine;
pub use python::Python;
pub use record::{Made, Record};

use crate::study::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What `environment.json` holds. What is found out beside the first trials is filled in when it is
/// known.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Environment {
    /// The version of swath.
    pub swath: String,
    /// The number of the journal's entry from which on it holds.
    #[serde(default)]
    pub since: u64,
    /// When that was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
    /// The command line that started the run.
    pub command_line: Vec<String>,
    /// The folder it was called in.
    pub workdir: String,
    /// The folder trials run in, if it is another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trials_in: Option<String>,
    /// The md5 of the sweep file.
    #[serde(default)]
    pub sweep_md5: String,
    /// The machine.
    pub machine: Machine,
    /// The version of the code, if the folder is in a git repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git: Option<Git>,
    /// Environment variables from an allow list.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub variables: BTreeMap<String, String>,
    /// What was found out beside the trials; absent while that goes on, or if it was cut short.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub found: Option<Found>,
}

/// What takes a while to find out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// The program and the other files that the command names.
    #[serde(default)]
    pub files: Vec<Pinned>,
    /// The files that pin what the program builds on.
    #[serde(default)]
    pub locks: Vec<Pinned>,
    /// The GPUs.
    #[serde(default)]
    pub gpus: Vec<Gpu>,
    /// The interpreter, if the command is one of Python.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub python: Option<Python>,
}

impl Environment {
    /// Returns whether the other one says the same, apart from when it was.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        let timeless = |it: &Self| Self {
            since: 0,
            at: None,
            ..it.clone()
        };
        timeless(self) == timeless(other)
    }

    /// Returns the folder trials run in.
    #[must_use]
    pub fn trials_in(&self) -> &str {
        self.trials_in.as_deref().unwrap_or(&self.workdir)
    }
}
