//! The machine that a study runs on.

use super::Gpu;
use crate::journal::Holder;
use crate::platform;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use swath_model::study::Timestamp;

/// The recorded facts about a machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// The host name.
    pub host: String,
    /// The user's name.
    pub user: String,
    /// The operating system and its release.
    pub os: String,
    /// The processor's architecture.
    pub arch: String,
    /// The processor's model name, if the kernel gives one.
    pub cpu: Option<String>,
    /// Number of processors that this process may use.
    pub cpus: usize,
    /// Memory in bytes.
    pub memory: Option<u64>,
}

/// The machine and environment of the trials in a pilot, recorded by the pilot itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeEnvironment {
    /// The host name, as in the places of the pilot's trials.
    pub host: String,
    /// The id of the pilot's job, as in these places.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<String>,
    /// The start of the pilot by the clock of its machine.
    pub at: Timestamp,
    /// The machine.
    pub machine: Machine,
    /// The recorded environment variables.
    #[serde(default)]
    pub variables: BTreeMap<String, String>,
    /// The GPUs.
    #[serde(default)]
    pub gpus: Vec<Gpu>,
}

impl Machine {
    /// Collects the facts about this machine from the kernel.
    #[must_use]
    pub fn here() -> Self {
        let uname = rustix::system::uname();
        Self {
            host: uname.nodename().to_string_lossy().into_owned(),
            user: user_name(),
            os: format!(
                "{} {}",
                uname.sysname().to_string_lossy(),
                uname.release().to_string_lossy()
            ),
            arch: uname.machine().to_string_lossy().into_owned(),
            cpu: platform::processor(),
            cpus: std::thread::available_parallelism().map_or(1, usize::from),
            memory: platform::memory(),
        }
    }

    /// Returns the content of a lock that this process takes.
    #[must_use]
    pub fn holder(&self, since: Timestamp) -> Holder {
        Holder {
            host: self.host.clone(),
            pid: std::process::id(),
            user: self.user.clone(),
            since,
        }
    }
}

/// Returns the name of the effective user, or the user id if `/etc/passwd` does not list it.
fn user_name() -> String {
    let uid = rustix::process::geteuid().as_raw().to_string();
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == uid).then(|| name.to_owned())
    });
    name.unwrap_or(uid)
}
