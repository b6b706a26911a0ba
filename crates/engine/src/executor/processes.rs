//! The trees of processes, and the termination of processes that a trial left behind.

use crate::platform::{self, Entry};
pub(super) use crate::platform::{
    children, count_of_user, cpu_time, has_entry, name, parent, reaped_time, resident, share,
    start_ticks,
};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, test_kill_process, waitpid};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use swath_model::study::Place;

/// Time for a process to be gone after SIGKILL. One in uninterruptible sleep may never be.
const KILLED_WITHIN: Duration = Duration::from_secs(5);

/// Returns the place of a process of this machine: host, process id, start time and boot id.
pub fn place(pid: u32) -> Place {
    static MACHINE: OnceLock<(String, Option<String>)> = OnceLock::new();
    let (host, boot_id) = MACHINE.get_or_init(|| {
        let host = rustix::system::uname()
            .nodename()
            .to_string_lossy()
            .into_owned();
        (host, platform::boot_id())
    });
    Place {
        host: host.clone(),
        pid: Some(pid),
        start_ticks: start_ticks(pid),
        boot_id: boot_id.clone(),
        job: None,
        since: None,
    }
}

/// Returns all processes, except this one, with an entry in their initial environment.
pub(super) fn with_entry(entry: Entry<'_>) -> BTreeSet<u32> {
    without_this(platform::with_entry(entry))
}

/// Returns all processes, except this one, that append their standard output or standard error to
/// a file whose path satisfies `predicate`.
pub(super) fn with_output(predicate: impl Fn(&Path) -> bool) -> BTreeSet<u32> {
    without_this(platform::with_output(predicate))
}

fn without_this(mut pids: BTreeSet<u32>) -> BTreeSet<u32> {
    pids.remove(&std::process::id());
    pids
}

/// Returns these processes and all their descendants.
pub(super) fn trees(roots: impl IntoIterator<Item = u32>) -> BTreeSet<u32> {
    let mut members = BTreeSet::new();
    let mut waiting: Vec<u32> = roots.into_iter().collect();
    while let Some(pid) = waiting.pop() {
        if members.insert(pid) {
            waiting.extend(children(pid));
        }
    }
    members
}

/// Returns whether the process exists; a zombie does.
pub(super) fn lives(pid: u32) -> bool {
    as_pid(pid).is_some_and(|pid| test_kill_process(pid).is_ok())
}

/// Sends a signal to the processes of these trees that are outside of the process group `group`.
pub(super) fn signal_outside(roots: impl IntoIterator<Item = u32>, group: u32, number: Signal) {
    for pid in trees(roots) {
        if !is_in_group(pid, group) {
            signal(pid, number);
        }
    }
}

/// Returns whether a process is in this process group.
pub(super) fn is_in_group(pid: u32, group: u32) -> bool {
    platform::group(pid) == Some(group)
}

/// Returns whether a process is in another process group than this one.
pub(super) fn is_foreign(pid: u32) -> bool {
    // Not getpgrp(2): in a process that was started from outside of a container it returns 0, which
    // the library does not accept.
    let own = platform::group(std::process::id());
    platform::group(pid).is_some_and(|group| own.is_some_and(|own| own != group))
}

/// Returns whether a process is in another session than this one.
pub(super) fn is_in_other_session(pid: u32) -> bool {
    let own = platform::session(std::process::id());
    platform::session(pid).is_some_and(|session| own.is_some_and(|own| own != session))
}

/// Kills the children of this process, except those in `spared`, with all their descendants. The
/// orphans among these become children of this process if it is a subreaper. Returns whether none
/// is left.
pub(super) fn end_below(spared: &BTreeSet<u32>) -> bool {
    let own = std::process::id();
    end(
        || trees(children(own).difference(spared).copied()),
        Duration::ZERO,
    )
}

/// Ends processes and those that they start meanwhile: SIGTERM, a grace period, SIGKILL. Reaps
/// those that are children of this process.
///
/// `find` returns the processes to end, and is called until it returns none. Returns whether none
/// is left.
pub(super) fn end(mut find: impl FnMut() -> BTreeSet<u32>, grace: Duration) -> bool {
    ask_to_end(&mut find, grace) || until_none(find, KILLED_WITHIN, |pid| signal(pid, Signal::KILL))
}

/// Sends SIGTERM once to each process and waits for at most `grace`; returns whether none is left.
pub(super) fn ask_to_end(find: impl FnMut() -> BTreeSet<u32>, grace: Duration) -> bool {
    let mut signalled = BTreeSet::new();
    !grace.is_zero()
        && until_none(find, grace, |pid| {
            if signalled.insert(pid) {
                // A suspended process handles SIGTERM only after SIGCONT.
                signal(pid, Signal::TERM);
                signal(pid, Signal::CONT);
            }
        })
}

/// Waits until a process that is about to end has ended; its children have another parent then.
///
/// A process closes its sockets some time before.
pub(super) fn wait_for_end(pid: u32) {
    let begun = Instant::now();
    while !platform::is_dead(pid) && begun.elapsed() < KILLED_WITHIN {
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Waits until the processes that were sent SIGKILL are gone; returns whether they are.
pub(super) fn are_gone(find: impl FnMut() -> BTreeSet<u32>) -> bool {
    until_none(find, KILLED_WITHIN, |_| {})
}

/// Applies `act` to each process repeatedly until there are none or the time is over; returns
/// whether none is left.
fn until_none(
    mut find: impl FnMut() -> BTreeSet<u32>,
    within: Duration,
    mut act: impl FnMut(u32),
) -> bool {
    let begun = Instant::now();
    let mut nap = Duration::from_micros(500);
    let mut known_dead = BTreeSet::new();
    loop {
        let (dead, alive): (BTreeSet<u32>, BTreeSet<u32>) =
            find().into_iter().partition(|pid| reap(*pid));
        // The children of a process that has just died may have been given to another parent after
        // that parent was looked at. They are found by another look.
        let is_new = !dead.is_subset(&known_dead);
        if alive.is_empty() && !is_new {
            return true;
        }
        known_dead.extend(dead);
        if begun.elapsed() > within {
            return false;
        }
        if alive.is_empty() {
            continue;
        }
        alive.into_iter().for_each(&mut act);
        std::thread::sleep(nap);
        nap = (nap * 2).min(Duration::from_millis(20));
    }
}

/// Reaps a dead child; returns whether the process is dead or gone.
pub(super) fn reap(pid: u32) -> bool {
    let Some(id) = as_pid(pid) else { return true };
    if matches!(waitpid(Some(id), WaitOptions::NOHANG), Ok(Some(_))) {
        return true;
    }
    // Not a child of this process: it is dead if it is gone or a zombie.
    test_kill_process(id).is_err() || platform::is_dead(pid)
}

fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = as_pid(pid) {
        // The process may have ended meanwhile.
        kill_process(pid, signal).ok();
    }
}

pub(super) fn as_pid(pid: u32) -> Option<Pid> {
    Pid::from_raw(i32::try_from(pid).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;
    use std::process::Command;

    #[test]
    fn a_process_is_found_by_its_environment_and_ended() {
        let mark = format!("SWATH_TEST_MARK=processes-{}", std::process::id());
        let (name, value) = mark.split_once('=').unwrap();
        let mut child = Command::new("sleep")
            .arg("60")
            .env(name, value)
            .spawn()
            .unwrap();
        // The environment becomes visible a moment after the new program has replaced the forked
        // process.
        let begun = Instant::now();
        while with_entry(Entry::Is(&mark)).is_empty() {
            assert!(begun.elapsed() < Duration::from_secs(60));
            std::thread::yield_now();
        }
        assert_eq!(with_entry(Entry::Is(&mark)), BTreeSet::from([child.id()]));
        assert!(children(std::process::id()).contains(&child.id()));
        assert!(start_ticks(child.id()).is_some());
        assert!(end(|| with_entry(Entry::Is(&mark)), Duration::from_secs(1)));
        assert_eq!(child.wait().unwrap().signal(), Some(15));
        assert_eq!(start_ticks(child.id()), None);
    }

    #[test]
    fn the_place_of_this_process_names_it() {
        let place = place(std::process::id());
        assert_eq!(place.pid, Some(std::process::id()));
        assert!(place.start_ticks.is_some() && place.boot_id.is_some() && !place.host.is_empty());
    }
}
