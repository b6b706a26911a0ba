//! The control group of one attempt: whoever is born in it stays in it, so that it can be counted,
//! limited and ended as a whole.

use super::{cgroups, processes};
use crate::cgroup::Cgroup;
use std::collections::BTreeSet;
use std::io;
use std::time::Duration;

/// The group of an attempt. Dropped, it is removed if nobody is in it.
pub(super) struct Leaf {
    cgroup: Cgroup,
    /// Whether the kernel sees to its memory.
    walled: bool,
}

/// What an attempt's processes used while they were in their group.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub(super) struct Tally {
    /// Their processor time.
    pub(super) cpu: Duration,
    /// The most bytes of memory that were charged to them, files that they read included; 0 if that
    /// is not known.
    pub(super) peak: u64,
}

impl Leaf {
    /// Makes the group, with a limit of memory if one is given and the kernel takes it.
    ///
    /// # Errors
    /// If it cannot be made.
    pub(super) fn new(cgroup: Cgroup, memory: Option<u64>) -> io::Result<Self> {
        cgroup.make()?;
        let walled = memory.is_some_and(|limit| cgroup.limit_memory(limit).is_ok());
        Ok(Self { cgroup, walled })
    }

    /// Takes in the leader of a trial that has just begun, and all that it has started meanwhile:
    /// `others` finds those that are not its descendants any more.
    ///
    /// # Errors
    /// If the leader cannot be moved.
    pub(super) fn take(&self, leader: u32, others: impl Fn() -> Vec<u32>) -> io::Result<()> {
        self.cgroup.take(leader)?;
        let mut tried = BTreeSet::from([leader]);
        loop {
            let inside = self.cgroup.processes();
            let found = processes::trees(others().into_iter().chain([leader]));
            // Who is in a tree but not here was born before its parent was moved.
            let outside: Vec<u32> = found
                .into_iter()
                .filter(|pid| !inside.contains(pid) && tried.insert(*pid))
                .collect();
            if outside.is_empty() {
                return Ok(());
            }
            for pid in outside {
                // It may have ended.
                self.cgroup.take(pid).ok();
            }
        }
    }

    /// Returns whether the kernel sees to its memory.
    pub(super) fn is_walled(&self) -> bool {
        self.walled
    }

    /// Returns who is in it.
    pub(super) fn processes(&self) -> BTreeSet<u32> {
        self.cgroup.processes()
    }

    /// Returns how many of its processes the kernel has ended because they wanted more than the
    /// limit.
    pub(super) fn out_of_memory_kills(&self) -> u64 {
        self.cgroup
            .number("memory.events", "oom_kill")
            .filter(|_| self.walled)
            .unwrap_or(0)
    }

    /// Ends who is left, after `grace`, and removes the group; returns what was used, and whether
    /// nobody is left.
    pub(super) fn end(self, grace: Duration) -> (Tally, bool) {
        let tally = self.tally();
        // The usual case, and the cheapest way to know it.
        if self.cgroup.remove().is_ok() {
            return (tally, true);
        }
        let ended = cgroups::end(&self.cgroup, grace);
        let tally = self.tally();
        cgroups::remove(&self.cgroup);
        (tally, ended)
    }

    fn tally(&self) -> Tally {
        Tally {
            cpu: Duration::from_micros(self.cgroup.number("cpu.stat", "usage_usec").unwrap_or(0)),
            peak: self.cgroup.value("memory.peak").unwrap_or(0),
        }
    }
}

impl Drop for Leaf {
    fn drop(&mut self) {
        // One that cannot be removed now is removed with that of the run.
        self.cgroup.remove().ok();
    }
}

#[cfg(target_os = "linux")]
#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::CommandExt;
    use std::process::{Child, Command};

    fn leaf(name: &str) -> Option<Leaf> {
        let own = Cgroup::own().filter(Cgroup::lends);
        let leaf = own.and_then(|own| {
            Leaf::new(
                own.child(&format!("swath-test-{}-{name}", std::process::id())),
                None,
            )
            .ok()
        });
        if leaf.is_none() {
            println!("skipped: no control group can be made here");
        }
        leaf
    }

    /// A family of so many, all there when this returns.
    fn family(script: &str, size: usize) -> Child {
        let child = Command::new("sh")
            .args(["-c", script])
            .process_group(0)
            .spawn()
            .unwrap();
        while processes::trees([child.id()]).len() < size {
            std::thread::yield_now();
        }
        child
    }

    #[test]
    fn who_was_born_before_the_move_is_moved_too() {
        let Some(leaf) = leaf("born") else { return };
        let mut trial = family("sleep 60 & sh -c 'sleep 60 & wait' & wait", 4);
        let mut orphan = family("sleep 60 & wait", 2);
        leaf.take(trial.id(), || vec![orphan.id()]).unwrap();
        assert_eq!(
            leaf.processes(),
            processes::trees([trial.id(), orphan.id()])
        );
        let path = leaf.cgroup.path().to_owned();
        assert!(leaf.end(Duration::from_secs(5)).1);
        assert!(!path.exists());
        trial.wait().unwrap();
        orphan.wait().unwrap();
    }

    #[test]
    fn whoever_ignores_sigterm_is_killed_after_the_grace_and_what_it_used_is_known() {
        let Some(leaf) = leaf("ignores") else { return };
        let busy = "trap '' TERM; i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done; sleep 60 & while :; do wait; done";
        let mut trial = family(busy, 1);
        leaf.take(trial.id(), Vec::new).unwrap();
        while processes::trees([trial.id()]).len() < 2 {
            std::thread::yield_now();
        }
        let (tally, ended) = leaf.end(Duration::from_millis(50));
        assert!(ended && tally.cpu > Duration::from_millis(10), "{tally:?}");
        trial.wait().unwrap();
    }

    #[test]
    fn a_group_in_which_nobody_was_is_removed_with_its_handle() {
        let Some(leaf) = leaf("empty") else { return };
        let path = leaf.cgroup.path().to_owned();
        drop(leaf);
        assert!(!path.exists());
    }
}
