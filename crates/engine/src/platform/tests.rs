//! Tests of the functions that both files offer.

use super::*;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

/// A process that sleeps, with a mark in its environment. Dropping it ends it.
struct Sleeper(Child);

impl Sleeper {
    fn start(entry: &str) -> Self {
        let (name, value) = entry.split_once('=').unwrap();
        let child = Command::new("sleep").arg("60").env(name, value).spawn();
        Self(child.unwrap())
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// Waits until a condition holds, for at most ten seconds: the fallback asks `ps` at intervals, and
/// the environment of a process becomes visible a moment after its start.
fn holds_soon(condition: impl Fn() -> bool) -> bool {
    let begun = Instant::now();
    while !condition() {
        if begun.elapsed() > Duration::from_secs(10) {
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    true
}

#[test]
fn a_child_is_listed_with_its_parent_group_start_memory_and_environment() {
    let entry = format!("SWATH_TEST_MARK=a b {}", std::process::id());
    let sleeper = Sleeper::start(&entry);
    let (own, pid) = (std::process::id(), sleeper.0.id());
    assert!(holds_soon(|| has_entry(pid, Entry::Is(&entry))));
    assert_eq!(with_entry(Entry::Is(&entry)), [pid].into());
    assert!(with_entry(Entry::StartsWith("SWATH_TEST_MARK=a b ")).contains(&pid));
    assert!(!has_entry(pid, Entry::Is("SWATH_TEST_MARK=a")) || cfg!(feature = "portable"));
    assert!(children(own).contains(&pid));
    assert_eq!((parent(pid), group(pid)), (Some(own), group(own)));
    assert_eq!(name(pid).as_deref(), Some("sleep"));
    assert!(resident(pid).is_some_and(|bytes| bytes > 10_000));
    assert!(cpu_time(pid).is_some_and(|time| time < Duration::from_secs(60)));
    assert!(start_ticks(pid) >= start_ticks(own) && start_ticks(pid).is_some());
    assert!(boot_id().is_some() && process_namespace().is_some());
    assert!(!is_dead(pid));
    drop(sleeper);
    assert!(holds_soon(|| is_dead(pid) && start_ticks(pid).is_none()));
}

#[test]
fn a_port_is_reserved_once_until_it_is_given_back() {
    let number = 21_000 + u16::try_from(std::process::id() % 10_000).unwrap();
    let reservation = reserve_port(number).unwrap();
    assert!(reserve_port(number).is_none());
    drop(reservation);
    assert!(reserve_port(number).is_some());
    assert!(first_outgoing_port() > 1024);
}

#[test]
fn an_empty_file_is_created_and_may_exist_already() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mark");
    create_empty(&path).unwrap();
    create_empty(&path).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"");
}

#[test]
fn the_files_and_the_user_of_this_process_are_counted() {
    assert!(open_files().is_some_and(|count| count >= 3));
    let user = rustix::process::getuid().as_raw();
    assert!(count_of_user(user) >= 1);
}
