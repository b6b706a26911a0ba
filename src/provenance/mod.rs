//! What the code and the machine were when a study started: enough to tell later how a trial was made.
//!
//! Only facts from an allow list: the environment variables of the person, where secrets live, are never recorded.

pub mod git;
pub mod machine;
pub mod probe;

pub use git::Git;
pub use machine::Machine;

use serde::Serialize;

/// What `environment.json` holds.
#[derive(Debug, Clone, Serialize)]
pub struct Environment {
    /// The version of swath.
    pub swath: String,
    /// The command line that started the run.
    pub command_line: Vec<String>,
    /// The folder it was called in.
    pub workdir: String,
    /// The machine.
    pub machine: Machine,
    /// The version of the code, if the folder is in a git repository.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub git: Option<Git>,
}
