//! Information about processes from `/proc`, and the termination of processes that a trial left
//! behind.
//!
//! Without `/proc`, every query returns an empty result.

use rustix::process::{Pid, Signal, WaitOptions, kill_process, test_kill_process, waitpid};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use swath_model::study::Place;

/// Time for a process to be gone after SIGKILL. One in uninterruptible sleep may never be.
const KILLED_WITHIN: Duration = Duration::from_secs(5);

/// Returns the start time of a process in clock ticks since boot.
pub(super) fn start_ticks(pid: u32) -> Option<u64> {
    stat_field(pid, 22)?.parse().ok()
}

/// Returns a field of `/proc/PID/stat`. Fields are numbered from 1 as in proc(5); `number` is at
/// least 3, because the name in field 2 may contain any character.
fn stat_field(pid: u32, number: usize) -> Option<String> {
    let fields = stat_fields(pid, number)?;
    fields.split_ascii_whitespace().next().map(str::to_owned)
}

/// Returns the fields of `/proc/PID/stat` from `number` on.
fn stat_fields(pid: u32, number: usize) -> Option<String> {
    let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
    let after_name = stat.iter().rposition(|byte| *byte == b')')? + 2;
    let rest = std::str::from_utf8(stat.get(after_name..)?).ok()?;
    let index = number.checked_sub(3)?;
    rest.splitn(index + 1, ' ').nth(index).map(str::to_owned)
}

/// Returns the processor time of a process and of its reaped children, in clock ticks.
pub(super) fn cpu_ticks(pid: u32) -> Option<u64> {
    let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
    let after_name = stat.iter().rposition(|byte| *byte == b')')? + 2;
    let rest = std::str::from_utf8(stat.get(after_name..)?).ok()?;
    // The fields utime, stime, cutime and cstime have the numbers 14 to 17 in proc(5); the first
    // field after the name is 3.
    let times = rest.split_ascii_whitespace().skip(11).take(4);
    Some(times.filter_map(|ticks| ticks.parse::<u64>().ok()).sum())
}

/// Returns the place of a process of this machine: host, process id, start time and boot id.
pub fn place(pid: u32) -> Place {
    static MACHINE: OnceLock<(String, Option<String>)> = OnceLock::new();
    let (host, boot_id) = MACHINE.get_or_init(|| {
        let host = rustix::system::uname()
            .nodename()
            .to_string_lossy()
            .into_owned();
        let boot_id = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok();
        (host, boot_id.map(|id| id.trim().to_owned()))
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

/// Returns the name of a process, of at most 15 bytes; `None` for one that is gone.
pub(super) fn name(pid: u32) -> Option<String> {
    let name = fs::read(format!("/proc/{pid}/comm")).ok()?;
    Some(String::from_utf8_lossy(&name).trim_end().to_owned())
}

/// Returns the parent of a process.
pub(super) fn parent(pid: u32) -> Option<u32> {
    stat_field(pid, 4)?.parse().ok()
}

/// Returns whether an entry `NAME=value` of a process's initial environment satisfies
/// `predicate`; `false` for a dead process.
pub(super) fn environment_holds(pid: u32, predicate: impl Fn(&[u8]) -> bool) -> bool {
    fs::read(format!("/proc/{pid}/environ"))
        .is_ok_and(|all| all.split(|byte| *byte == 0).any(predicate))
}

/// Returns all processes, except this one, with an entry that satisfies `predicate`.
pub(super) fn with_environment(predicate: impl Fn(&[u8]) -> bool) -> BTreeSet<u32> {
    others()
        .filter(|pid| environment_holds(*pid, &predicate))
        .collect()
}

/// Returns all processes, except this one, that append their standard output or standard error to
/// a file whose path satisfies `predicate`.
pub(super) fn with_output(predicate: impl Fn(&Path) -> bool) -> BTreeSet<u32> {
    others()
        .filter(|pid| [1, 2].iter().any(|fd| appends_to(*pid, *fd, &predicate)))
        .collect()
}

/// Returns all processes except this one.
fn others() -> impl Iterator<Item = u32> {
    let listed = fs::read_dir("/proc").into_iter().flatten();
    listed
        .filter_map(|process| process.ok()?.file_name().to_str()?.parse().ok())
        .filter(|pid| *pid != std::process::id())
}

/// Returns whether a process has opened a file that satisfies `predicate` to append to it. One that
/// only reads the file, such as `tail -f`, has not.
fn appends_to(pid: u32, fd: u32, predicate: impl Fn(&Path) -> bool) -> bool {
    const APPEND: u32 = 0o2000;
    if !fs::read_link(format!("/proc/{pid}/fd/{fd}")).is_ok_and(|path| predicate(&path)) {
        return false;
    }
    let info = fs::read_to_string(format!("/proc/{pid}/fdinfo/{fd}")).unwrap_or_default();
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
    flags.is_some_and(|flags| {
        u32::from_str_radix(flags.trim(), 8).is_ok_and(|flags| flags & APPEND != 0)
    })
}

/// Returns the number of processes and threads of a user that this process can see.
pub(super) fn count_of_user(user: u32) -> u64 {
    let statuses = others()
        .chain([std::process::id()])
        .filter_map(|pid| fs::read_to_string(format!("/proc/{pid}/status")).ok());
    statuses
        .filter(|status| status_number(status, "Uid:") == Some(u64::from(user)))
        .filter_map(|status| status_number(&status, "Threads:"))
        .sum()
}

/// Returns the first number after `key` in a text like `/proc/PID/status`.
fn status_number(status: &str, key: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(key))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

/// Returns the children of a process, including zombies.
pub(super) fn children(pid: u32) -> BTreeSet<u32> {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return BTreeSet::new();
    };
    tasks
        .filter_map(|task| fs::read_to_string(task.ok()?.path().join("children")).ok())
        .flat_map(|listed| {
            listed
                .split_ascii_whitespace()
                .flat_map(str::parse)
                .collect::<Vec<u32>>()
        })
        .collect()
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

/// Returns the processor time of a process and of its reaped children.
pub(super) fn cpu_time(pid: u32) -> Option<Duration> {
    let stat = stat_fields(pid, 14)?;
    let mut ticks = 0;
    for field in stat.split_ascii_whitespace().take(4) {
        ticks += field.parse::<u64>().ok()?;
    }
    Some(Duration::from_secs_f64(
        ticks as f64 / rustix::param::clock_ticks_per_second() as f64,
    ))
}

/// Returns the processor time of the children that a process has reaped, in whole clock ticks.
pub(super) fn reaped_time(pid: u32) -> Option<Duration> {
    let times = stat_fields(pid, 16)?;
    let mut ticks = 0;
    for field in times.split_ascii_whitespace().take(2) {
        ticks += field.parse::<u64>().ok()?;
    }
    Some(Duration::from_secs_f64(
        ticks as f64 / rustix::param::clock_ticks_per_second() as f64,
    ))
}

/// Returns the resident memory of a process in bytes; shared pages count in full.
pub(super) fn resident(pid: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    let pages: u64 = text.split_ascii_whitespace().nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

/// Returns the memory of a process in bytes, with shared pages counted in proportion (PSS). Falls
/// back to the resident memory if the kernel does not report it.
pub(super) fn share(pid: u32) -> Option<u64> {
    proportional(pid).or_else(|| resident(pid))
}

fn proportional(pid: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let kib = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    let kib: u64 = kib.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
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
    stat_field(pid, 5).and_then(|field| field.parse().ok()) == Some(group)
}

/// Returns whether a process is in another process group than this one.
pub(super) fn is_foreign(pid: u32) -> bool {
    // Not getpgrp(2): in a process that was started from outside of a container it returns 0, which
    // the library does not accept.
    let own = stat_field(std::process::id(), 5);
    stat_field(pid, 5).is_some_and(|group| own.is_some_and(|own| own != group))
}

/// Returns whether a process is in another session than this one.
pub(super) fn is_in_other_session(pid: u32) -> bool {
    let own = stat_field(std::process::id(), 6);
    stat_field(pid, 6).is_some_and(|session| own.is_some_and(|own| own != session))
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
    test_kill_process(id).is_err()
        || stat_field(pid, 3).is_none_or(|state| state == "Z" || state == "X")
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

#[cfg(all(test, target_os = "linux"))]
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
        while with_environment(|entry| entry == mark.as_bytes()).is_empty() {
            std::thread::yield_now();
        }
        assert_eq!(
            with_environment(|entry| entry == mark.as_bytes()),
            BTreeSet::from([child.id()])
        );
        assert!(children(std::process::id()).contains(&child.id()));
        assert!(start_ticks(child.id()).is_some());
        assert!(end(
            || with_environment(|entry| entry == mark.as_bytes()),
            Duration::from_secs(1)
        ));
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
