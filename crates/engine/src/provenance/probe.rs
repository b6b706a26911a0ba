//! Checks of the features that this machine can enforce. They query the kernel, or try a feature
//! where that does no harm.

use super::cgroup_check;
use crate::platform::{self, Watches};
use serde::Serialize;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use swath_model::study::Timestamp;

/// The result of one check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The checked feature.
    pub what: String,
    /// The outcome of the check.
    pub state: State,
    /// The outcome and its consequences, in words.
    pub says: String,
}

/// The outcome of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// The feature works as it should.
    Good,
    /// The feature is missing; swath works without it.
    Without,
    /// Something is wrong and needs attention.
    Bad,
}

impl Finding {
    /// Makes a finding from its three parts.
    pub fn new(what: impl Into<String>, state: State, says: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            state,
            says: says.into(),
        }
    }
}

/// Checks the machine, and the file system that contains the folder `logs` of the studies.
#[must_use]
pub fn machine(logs: &Path) -> Vec<Finding> {
    let mut findings = vec![process_groups(), subreaper(), pidfd(), watches()];
    findings.extend(cgroup_check::check());
    findings.extend([files(), processes()]);
    findings.extend(disk(logs));
    findings.push(clock());
    findings.extend(programs());
    findings
}

fn either(what: &str, good: bool, says: &str, without: &str) -> Finding {
    match good {
        true => Finding::new(what, State::Good, says),
        false => Finding::new(what, State::Without, without),
    }
}

fn process_groups() -> Finding {
    Finding::new(
        "process groups",
        State::Good,
        "every trial gets a group of its own, which is ended as a whole",
    )
}

fn subreaper() -> Finding {
    either(
        "subreaper",
        platform::become_subreaper(),
        "processes that leave a trial's group (daemons, setsid) are found and ended",
        "processes that leave a trial's group are found by their environment only",
    )
}

fn pidfd() -> Finding {
    either(
        "pidfd",
        platform::pidfd(rustix::process::getpid()).is_some(),
        "the end of a trial is noticed at once",
        "the end of a trial is polled every 50 ms",
    )
}

fn watches() -> Finding {
    either(
        "inotify",
        Watches::new().is_some(),
        "reports are read as they are written",
        "reports are polled every 50 ms; `fs.inotify.max_user_instances` may be used up",
    )
}

fn files() -> Finding {
    use rustix::process::{Resource, getrlimit};
    let limit = getrlimit(Resource::Nofile).current;
    let says = limit.map_or_else(
        || "no limit".to_owned(),
        |limit| format!("{limit} at a time"),
    );
    match limit {
        Some(limit) if limit < 1024 => Finding::new(
            "open files",
            State::Bad,
            format!("{says}, which may be too few for many slots; `ulimit -n 4096`"),
        ),
        _ => Finding::new("open files", State::Good, says),
    }
}

fn processes() -> Finding {
    use rustix::process::{Resource, getrlimit};
    let limit = getrlimit(Resource::Nproc).current;
    Finding::new(
        "processes",
        State::Good,
        limit.map_or_else(
            || "no limit".to_owned(),
            |limit| format!("{limit} of this user"),
        ),
    )
}

/// Checks the file system of a folder that need not exist yet.
fn disk(logs: &Path) -> Vec<Finding> {
    let path = std::path::absolute(logs).unwrap_or_else(|_| logs.to_owned());
    let Some(folder) = path.ancestors().find(|folder| folder.is_dir()) else {
        return Vec::new();
    };
    let mut findings = Vec::new();
    if let Ok(stat) = rustix::fs::statvfs(folder) {
        let free = stat.f_bavail.saturating_mul(stat.f_frsize) >> 20;
        let state = if free < 100 { State::Bad } else { State::Good };
        findings.push(Finding::new(
            "disk",
            state,
            format!("{free} MiB are free at `{}`", folder.display()),
        ));
        if stat.f_files > 0 && stat.f_favail < 10_000 {
            findings.push(Finding::new(
                "inodes",
                State::Bad,
                format!("only {} files can still be created", stat.f_favail),
            ));
        }
    }
    findings.push(file_system(folder));
    findings.extend(locks(folder));
    findings
}

fn file_system(folder: &Path) -> Finding {
    const WHAT: &str = "file system";
    match platform::file_system(folder) {
        Ok(known) if known.is_served => Finding::new(
            WHAT,
            State::Without,
            format!(
                "{}, served by another machine or a program: only one machine at a time may run a study there",
                known.name
            ),
        ),
        Ok(known) => Finding::new(WHAT, State::Good, known.name),
        Err(unknown) => Finding::new(WHAT, State::Without, unknown),
    }
}

/// Checks whether a second lock on a file is refused, and whether the file system's clock agrees
/// with this machine's.
fn locks(folder: &Path) -> Vec<Finding> {
    const WHAT: &str = "locks";
    let file = match tempfile::NamedTempFile::new_in(folder) {
        Ok(file) => file,
        Err(error) => {
            let says = format!("`{}` cannot be written: {error}", folder.display());
            return vec![Finding::new("logs", State::Bad, says)];
        }
    };
    let second = file.reopen();
    let is_refused = file.as_file().try_lock().is_ok()
        && second
            .is_ok_and(|second| matches!(second.try_lock(), Err(fs::TryLockError::WouldBlock)));
    let mut findings = vec![match is_refused {
        true => Finding::new(WHAT, State::Good, "a study can be run by one process only"),
        false => Finding::new(
            WHAT,
            State::Bad,
            "this file system does not refuse a second lock: never run a study twice at the same time",
        ),
    }];
    let modified = std::io::Write::write_all(&mut file.as_file(), b"x")
        .and_then(|()| file.as_file().metadata()?.modified());
    if let Ok(modified) = modified {
        let now = SystemTime::now();
        let difference = now
            .duration_since(modified)
            .or_else(|_| modified.duration_since(now))
            .unwrap_or_default();
        if difference > Duration::from_secs(5) {
            let says = format!(
                "the clocks of the disk and of this machine differ by {} s",
                difference.as_secs()
            );
            findings.push(Finding::new("clock of the disk", State::Bad, says));
        }
    }
    findings
}

fn clock() -> Finding {
    /// 2025-01-01.
    const LONG_AGO: i64 = 1_735_689_600_000_000;
    let now = Timestamp::now();
    match now.as_micros() > LONG_AGO {
        true => Finding::new("clock", State::Good, now.to_string()),
        false => Finding::new(
            "clock",
            State::Bad,
            format!("it says {now}, which is long ago"),
        ),
    }
}

/// Searches `PATH` for programs that some sweeps need.
fn programs() -> Vec<Finding> {
    const PROGRAMS: &[(&str, &str)] = &[
        ("git", "the version of the code is recorded"),
        ("nvidia-smi", "GPUs of NVIDIA are found"),
        ("rocm-smi", "GPUs of AMD are found"),
        ("sbatch", "Slurm"),
    ];
    PROGRAMS
        .iter()
        .map(|(name, purpose)| match on_path(name) {
            Some(path) => {
                let says = format!("{purpose} (`{}`)", path.display());
                Finding::new(*name, State::Good, says)
            }
            None => Finding::new(*name, State::Without, "not on PATH"),
        })
        .collect()
}

fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|program| program.is_file())
}
