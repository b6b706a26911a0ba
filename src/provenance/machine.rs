//! The machine a study runs on.

use crate::journal::Holder;
use crate::study::Timestamp;
use serde::{Deserialize, Serialize};

/// What is known of the machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// Its name.
    pub host: String,
    /// The user's name.
    pub user: String,
    /// The operating system and its release.
    pub os: String,
    /// The processor's architecture.
    pub arch: String,
    /// The processor's model.
    pub cpu: Option<String>,
    /// How many processors this process may use.
    pub cpus: usize,
    /// Bytes of memory.
    pub memory: Option<u64>,
}

impl Machine {
    /// Asks the kernel.
    #[must_use]
    pub fn here() -> Self {
        let uname = rustix::system::uname();
        let text = |value: &std::ffi::CStr| value.to_string_lossy().into_owned();
        Self {
            host: text(uname.nodename()),
            user: user_name(),
            os: format!("{} {}", text(uname.sysname()), text(uname.release())),
            arch: text(uname.machine()),
            cpu: field("/proc/cpuinfo", "model name"),
            cpus: std::thread::available_parallelism().map_or(1, usize::from),
            memory: field("/proc/meminfo", "MemTotal")
                .and_then(|text| text.trim_end_matches(" kB").parse::<u64>().ok())
                .map(|kib| kib * 1024),
        }
    }

    /// Returns what to write into a lock that this process takes.
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

/// Returns the name of the effective user, else its number.
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

/// Returns the first value of a `name : value` line.
fn field(path: &str, name: &str) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}
