//! The limits of this process on open files and processes. It may have as many files open as the
//! hard limit allows, its trials as many as the caller may; and a pool has no more slots than the
//! limits leave room for.

use super::processes;
use crate::platform;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::sync::OnceLock;

/// Most files that this process has open for one running trial: the socket of its slot, two
/// descriptors that wake its supervisor, `info.yaml`, its records, two metric files, two logs, and
/// one file that is read or written in passing.
const FILES_PER_TRIAL: u64 = 10;

/// Number of files that the run needs beside those of its trials, and opens later.
const FILES_IN_RESERVE: u64 = 8;

/// Most files that a process may have open where the hard limit is higher than the kernel's own.
const KERNELS_FILES: u64 = 10_240;

/// Number of open files that is assumed where the system does not list them.
const ASSUMED_FILES: u64 = 32;

/// Processes and threads of a small running trial: the thread and the process of its slot, and a
/// program with two children.
const PROCESSES_PER_TRIAL: u64 = 5;

/// Number of processes and threads that the run needs beside those of its trials, and starts later.
const PROCESSES_IN_RESERVE: u64 = 12;

/// The soft limit on open files that this process inherited; empty if it was not raised.
static CALLERS_LIMIT: OnceLock<u64> = OnceLock::new();

/// Raises the soft limit on the open files of this process to the hard limit.
pub(super) fn raise_files() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let Some(current) = current else { return };
    // A system may refuse, as macOS does beyond the limit of its kernel; the lower limit then bounds
    // the number of slots.
    for raised in [maximum, Some(KERNELS_FILES)] {
        let is_higher = raised.is_none_or(|raised| current < raised);
        let raised = Rlimit {
            current: raised,
            maximum,
        };
        if is_higher && setrlimit(Resource::Nofile, raised).is_ok() {
            CALLERS_LIMIT.get_or_init(|| current);
            return;
        }
    }
}

/// Returns the soft limit on open files that the caller of this process had; `None` if it was not
/// raised.
pub(super) fn callers_files() -> Option<u64> {
    CALLERS_LIMIT.get().copied()
}

/// Sets the soft limit on the open files of this process, and of the programs that it will start.
pub(super) fn set_files(current: u64) {
    let limit = Rlimit {
        current: Some(current),
        maximum: getrlimit(Resource::Nofile).maximum,
    };
    // Without it, a trial may open more files than its caller, which harms nothing.
    setrlimit(Resource::Nofile, limit).ok();
}

/// The room that a limit leaves for trials.
pub(super) struct Room {
    /// Number of trials that can run at a time, at least 1.
    pub(super) trials: usize,
    /// The limit in words.
    pub(super) limit: String,
}

/// Returns the room for trials; `None` if nothing limits it.
///
/// # Errors
/// Returns the reason if not even one trial can run.
pub(super) fn room() -> Result<Option<Room>, String> {
    let rooms = [files()?, user_processes()];
    Ok(rooms.into_iter().flatten().min_by_key(|room| room.trials))
}

fn files() -> Result<Option<Room>, String> {
    let Some(limit) = getrlimit(Resource::Nofile).current else {
        return Ok(None);
    };
    let open = platform::open_files().unwrap_or(ASSUMED_FILES);
    if limit < open + FILES_PER_TRIAL {
        return Err(format!(
            "this process may have {limit} open files, and one trial needs {}; raise the limit with \
             `ulimit -n`",
            open + FILES_PER_TRIAL
        ));
    }
    let limit_in_words = format!("this process may have {limit} open files (see `ulimit -n`)");
    Ok(Some(Room::new(
        limit,
        open + FILES_IN_RESERVE,
        FILES_PER_TRIAL,
        limit_in_words,
    )))
}

fn user_processes() -> Option<Room> {
    let limit = getrlimit(Resource::Nproc).current?;
    // The limit does not hold for the superuser.
    if rustix::process::geteuid().is_root() {
        return None;
    }
    let running = processes::count_of_user(rustix::process::getuid().as_raw());
    let limit_in_words = format!(
        "this user may have {limit} processes and threads (see `ulimit -u`), and has {running}"
    );
    Some(Room::new(
        limit,
        running + PROCESSES_IN_RESERVE,
        PROCESSES_PER_TRIAL,
        limit_in_words,
    ))
}

impl Room {
    fn new(limit: u64, taken: u64, per_trial: u64, limit_in_words: String) -> Self {
        let trials = limit.saturating_sub(taken) / per_trial;
        Self {
            trials: usize::try_from(trials).unwrap_or(usize::MAX).max(1),
            limit: limit_in_words,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_leaves_room_for_at_least_one_trial() {
        let trials = |limit| Room::new(limit, 20, 10, String::new()).trials;
        assert_eq!([5, 20, 39, 40, 120].map(trials), [1, 1, 1, 2, 10]);
    }
}
