//! The cgroup of one slot process, or of one attempt in a slot that is a thread. Processes stay in
//! the cgroup in which they were started, so that they can be measured, limited and ended together.

use super::{cgroups, processes};
use crate::cgroup::Cgroup;
use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// The cgroup of a slot process or of an attempt. Dropping it removes the cgroup if it is empty.
pub(super) struct Leaf {
    cgroup: Cgroup,
    /// Whether the kernel enforces the memory limit.
    is_walled: bool,
}

/// Usage of an attempt's processes while they were in the cgroup.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub(super) struct Tally {
    /// Processor time of all of them.
    pub(super) cpu: Duration,
    /// Peak of the memory charged to them in bytes, including the page cache of files they read; 0
    /// if unknown.
    pub(super) peak: u64,
}

impl Leaf {
    /// Creates the cgroup, with a memory limit if one is given and the kernel accepts it.
    ///
    /// # Errors
    /// Fails if the cgroup cannot be created.
    pub(super) fn new(cgroup: Cgroup, memory: Option<u64>) -> io::Result<Self> {
        cgroup.make()?;
        let is_walled = memory.is_some_and(|limit| cgroup.limit_memory(limit).is_ok());
        Ok(Self { cgroup, is_walled })
    }

    /// Moves a process without children into the cgroup.
    ///
    /// # Errors
    /// Fails if the process cannot be moved.
    pub(super) fn adopt(&self, pid: u32) -> io::Result<()> {
        self.cgroup.take(pid)
    }

    /// Returns the file to which a process writes its own number to enter the cgroup.
    pub(super) fn members_file(&self) -> PathBuf {
        self.cgroup.members_file()
    }

    /// Moves the leader of a new trial into the cgroup, with all processes that it has started
    /// meanwhile. `others` returns the processes that are no longer its descendants.
    ///
    /// # Errors
    /// Fails if the leader cannot be moved.
    pub(super) fn take(&self, leader: u32, others: impl Fn() -> Vec<u32>) -> io::Result<()> {
        self.cgroup.take(leader)?;
        let mut tried = BTreeSet::from([leader]);
        loop {
            let inside = self.cgroup.processes();
            let tree = processes::trees(others().into_iter().chain([leader]));
            // A process in the tree but not in the cgroup was started before its parent was moved.
            let outside: Vec<u32> = tree
                .into_iter()
                .filter(|pid| !inside.contains(pid) && tried.insert(*pid))
                .collect();
            if outside.is_empty() {
                return Ok(());
            }
            for pid in outside {
                // The process may have ended.
                self.cgroup.take(pid).ok();
            }
        }
    }

    /// Returns whether the kernel enforces the memory limit.
    pub(super) fn is_walled(&self) -> bool {
        self.is_walled
    }

    /// Returns the processes in the cgroup.
    pub(super) fn processes(&self) -> BTreeSet<u32> {
        self.cgroup.processes()
    }

    /// Returns the number of its processes that the kernel killed because they exceeded the limit;
    /// 0 without a limit.
    pub(super) fn out_of_memory_kills(&self) -> u64 {
        self.cgroup
            .number("memory.events", "oom_kill")
            .filter(|_| self.is_walled)
            .unwrap_or(0)
    }

    /// Ends the remaining processes, after `grace`, and removes the cgroup. Returns the usage, and
    /// whether no process is left.
    pub(super) fn end(self, grace: Duration) -> (Tally, bool) {
        let tally = self.tally();
        // The usual case: removal succeeds at once if the cgroup is empty, and is the cheapest
        // check.
        if self.cgroup.remove().is_ok() {
            return (tally, true);
        }
        let ended = cgroups::end(&self.cgroup, grace);
        let tally = self.tally();
        cgroups::remove(&self.cgroup);
        (tally, ended)
    }

    /// Returns the usage of all processes that were in the cgroup.
    pub(super) fn tally(&self) -> Tally {
        Tally {
            cpu: Duration::from_micros(self.cgroup.number("cpu.stat", "usage_usec").unwrap_or(0)),
            peak: self.cgroup.value("memory.peak").unwrap_or(0),
        }
    }
}

impl Drop for Leaf {
    fn drop(&mut self) {
        // A cgroup that cannot be removed now is removed together with that of the run.
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
            println!("skipped: no cgroup can be created here");
        }
        leaf
    }

    /// Starts `size` processes with a shell script; returns once all of them run.
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
    fn processes_started_before_the_leader_was_moved_are_moved_too() {
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
    fn a_process_that_ignores_sigterm_is_killed_after_the_grace_and_its_usage_is_counted() {
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
    fn an_empty_cgroup_is_removed_when_its_handle_is_dropped() {
        let Some(leaf) = leaf("empty") else { return };
        let path = leaf.cgroup.path().to_owned();
        drop(leaf);
        assert!(!path.exists());
    }
}
