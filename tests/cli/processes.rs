//! Processes by their ids: what they are, and signals to them.

use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::time::{Duration, Instant};

/// Time within which a suspended process must have stopped.
const STOPS_WITHIN: Duration = Duration::from_secs(20);

/// Returns the command line of a process.
pub(crate) fn words(pid: u32) -> Vec<String> {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let words = line.split(|byte| *byte == 0);
    words
        .map(|word| String::from_utf8_lossy(word).into_owned())
        .collect()
}

/// Returns the children of a process.
pub(crate) fn children(pid: u32) -> Vec<u32> {
    let listed = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let pids = listed.split_ascii_whitespace();
    pids.filter_map(|pid| pid.parse().ok()).collect()
}

/// Returns the child of a process that is the hidden command `role`.
pub(crate) fn helper_below(pid: u32, role: &str) -> Option<u32> {
    let is_it = |pid: &u32| words(*pid).get(1).is_some_and(|word| word == role);
    children(pid).into_iter().find(is_it)
}

/// Returns whether a process exists and has not ended.
pub(crate) fn is_alive(pid: u32) -> bool {
    state(&format!("/proc/{pid}/stat")).is_some_and(|state| !matches!(state, 'Z' | 'X'))
}

/// Returns the letter of the state in a `stat` file; `None` if there is no such process.
fn state(path: &str) -> Option<char> {
    let stat = fs::read_to_string(path).ok()?;
    stat.rsplit_once(')')?.1.trim_start().chars().next()
}

pub(crate) fn kill(pid: u32) {
    signal(pid, Signal::KILL);
}

/// Sends a signal to a process that may be gone.
pub(crate) fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid.cast_signed()) {
        kill_process(pid, signal).ok();
    }
}

/// Suspends processes and waits until every thread of theirs stands still: after the signal was
/// sent, the threads go on until one of them has been scheduled and has taken it.
pub(crate) fn suspend(pids: &[u32]) {
    for pid in pids {
        signal(*pid, Signal::STOP);
    }
    let begun = Instant::now();
    while !pids.iter().all(|pid| is_suspended(*pid)) {
        assert!(begun.elapsed() < STOPS_WITHIN, "{pids:?} do not stop");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Returns whether no thread of a process can run.
fn is_suspended(pid: u32) -> bool {
    let threads = fs::read_dir(format!("/proc/{pid}/task"))
        .into_iter()
        .flatten();
    threads.flatten().all(|thread| {
        let path = thread.path().join("stat");
        state(&path.to_string_lossy()).is_none_or(|state| matches!(state, 'T' | 'Z' | 'X'))
    })
}
