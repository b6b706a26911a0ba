//! The cgroup of a run, with a [`Leaf`] for every slot below it, and the removal of cgroups of
//! killed runs.
//!
//! The name of the cgroup contains the study and the process that created it, so that a later run
//! recognises it. If the kernel or its permissions allow no cgroup, the run has none, and processes
//! are found and ended by the other means alone.

use super::leaf::Leaf;
use super::processes;
use crate::cgroup::{self, Cgroup, Loan};
use md5::{Digest, Md5};
use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// Suffix of the cgroup into which an orchestrator moves itself if it has to leave its own for the
/// memory controller.
const SHELTER: &str = "-own";

/// Time that a cgroup may take to become empty after its processes have died.
const EMPTY_WITHIN: Duration = Duration::from_millis(500);

/// The cgroup of a run.
pub(super) struct Cgroups {
    run: Cgroup,
    /// Memory limit of each leaf in bytes; `None` if the kernel does not enforce one.
    memory: Option<u64>,
    /// Loan of the memory controller, returned when this value is dropped.
    _loan: Option<Loan>,
}

impl Cgroups {
    /// Creates the cgroup of the run `mark` of the study in `root`; `None` if that is not possible.
    /// `memory` is the limit of each leaf, if the kernel can enforce it. `report_path` receives
    /// the path before the cgroup exists.
    pub(super) fn open(
        root: &Path,
        mark: &str,
        memory: Option<u64>,
        report_path: impl FnOnce(&Path),
    ) -> Option<Self> {
        let own = Cgroup::own().filter(Cgroup::lends)?;
        let prefix = prefix(root)?;
        own.children()
            .iter()
            .filter(|group| is_abandoned(group, &prefix))
            .for_each(clear);
        let run = own.child(&format!("{prefix}{mark}"));
        // The guard learns the path first, so that it can remove the cgroup whenever this process
        // is killed.
        report_path(run.path());
        run.make().ok()?;
        let shelter = own.child(&format!("{prefix}{mark}{SHELTER}"));
        let loan = memory.and_then(|_| own.borrow_memory(shelter, is_ours).ok());
        let memory = memory.filter(|_| loan.is_some() && run.enable_memory().is_ok());
        Some(Self {
            run,
            memory,
            _loan: loan,
        })
    }

    /// Creates the leaf of a slot or of an attempt.
    pub(super) fn leaf(&self, name: &str) -> Option<Leaf> {
        Leaf::new(self.run.child(name), self.memory).ok()
    }

    /// Ends all remaining processes of the run and removes its cgroup.
    pub(super) fn close(&self, grace: Duration) {
        end(&self.run, grace);
        remove(&self.run);
    }
}

/// Returns whether a process is this one or one of its descendants.
fn is_ours(pid: u32) -> bool {
    let own = std::process::id();
    std::iter::successors(Some(pid), |pid| processes::parent(*pid)).any(|pid| pid == own)
}

/// Returns the prefix of the cgroup names of a study. It is derived from the folder (device and
/// inode), not from its path: containers that see each other's cgroups may have different studies
/// at the same path.
fn prefix(root: &Path) -> Option<String> {
    let folder = std::fs::metadata(root).ok()?;
    let digest = Md5::digest(format!("{}:{}", folder.dev(), folder.ino()));
    let digits: String = digest
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    Some(format!("swath-{digits}-"))
}

/// Returns whether a cgroup belongs to the study and the process that created it is gone.
fn is_abandoned(group: &Cgroup, prefix: &str) -> bool {
    let Some(mark) = group.name().strip_prefix(prefix) else {
        return false;
    };
    let mut numbers = mark.split('-');
    let (Some(Ok(pid)), Some(Ok(ticks))) = (
        numbers.next().map(str::parse),
        numbers.next().map(str::parse::<u64>),
    ) else {
        return false;
    };
    // A process of the same number with another start time is not the creator.
    processes::start_ticks(pid) != Some(ticks)
}

/// Removes a cgroup without processes, and returns the memory controller that a killed run had
/// borrowed.
fn clear(group: &Cgroup) {
    match group.path().parent() {
        Some(parent) if group.name().ends_with(SHELTER) => {
            cgroup::give_back(&Cgroup::at(parent), group);
        }
        // A cgroup with processes cannot be removed and stays.
        _ => drop(group.remove()),
    }
}

/// Returns the cgroups of killed runs of the study in `root`, anywhere in the visible hierarchy.
pub(super) fn abandoned_by(root: &Path) -> Vec<Cgroup> {
    let Some(prefix) = prefix(root) else {
        return Vec::new();
    };
    let mut abandoned = Vec::new();
    let mut waiting = Cgroup::tops();
    while let Some(group) = waiting.pop() {
        match group.name().starts_with("swath-") {
            true if is_abandoned(&group, &prefix) => abandoned.push(group),
            _ => waiting.extend(group.children()),
        }
    }
    // Several mounts may show the same cgroup.
    abandoned.sort();
    abandoned.dedup();
    abandoned
}

/// Returns the processes in these cgroups. The cgroup of an orchestrator that borrowed the memory
/// controller, which also holds its guard, does not count.
pub(super) fn abandoned_processes(groups: &[Cgroup]) -> BTreeSet<u32> {
    groups
        .iter()
        .filter(|group| !group.name().ends_with(SHELTER))
        .flat_map(Cgroup::processes)
        .collect()
}

/// Kills the processes of these cgroups and removes them, except leaves that contain a process of
/// `spared`.
pub(super) fn end_abandoned(groups: &[Cgroup], spared: &BTreeSet<u32>) {
    for group in groups
        .iter()
        .filter(|group| !group.name().ends_with(SHELTER))
    {
        for leaf in group
            .children()
            .into_iter()
            .filter(|leaf| leaf.processes().is_disjoint(spared))
        {
            end(&leaf, Duration::ZERO);
            remove(&leaf);
        }
    }
    groups.iter().for_each(clear);
}

/// Ends the run of an orchestrator that was killed and removes its cgroup. Called by the guard.
pub(super) fn end_run(run: &Path) {
    let run = Cgroup::at(run);
    end(&run, Duration::ZERO);
    remove(&run);
    if let Some(parent) = run.path().parent() {
        clear(&Cgroup::at(parent).child(&format!("{}{SHELTER}", run.name())));
    }
}

/// Ends all processes of a cgroup: SIGTERM, `grace`, SIGKILL. Returns whether none is left.
pub(super) fn end(group: &Cgroup, grace: Duration) -> bool {
    if processes::ask_to_end(|| group.processes(), grace) {
        return true;
    }
    // Without `cgroup.kill` the processes are killed one by one.
    match group.kill() {
        Ok(()) => processes::are_gone(|| group.processes()),
        Err(_) => processes::end(|| group.processes(), Duration::ZERO),
    }
}

/// Removes a cgroup whose processes have ended; returns whether it is gone.
pub(super) fn remove(group: &Cgroup) -> bool {
    let begun = Instant::now();
    let mut nap = Duration::from_micros(200);
    while group.remove().is_err() {
        // The kernel may still be cleaning up the dead processes.
        if begun.elapsed() > EMPTY_WITHIN {
            return false;
        }
        std::thread::sleep(nap);
        nap = (nap * 2).min(Duration::from_millis(20));
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_cgroup_depends_on_the_folder_of_the_study_and_not_on_its_path() {
        let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let one = prefix(a.path()).unwrap();
        assert!(one.starts_with("swath-") && one.len() == "swath-".len() + 17);
        assert_ne!(Some(&one), prefix(b.path()).as_ref());
        let moved = b.path().join("moved");
        std::fs::rename(a.path(), &moved).unwrap();
        assert_eq!((prefix(a.path()), prefix(&moved)), (None, Some(one)));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_cgroup_is_abandoned_if_the_process_that_created_it_is_dead_or_its_id_was_reused() {
        let prefix = prefix(Path::new("/")).unwrap();
        let own = std::process::id();
        let ticks = processes::start_ticks(own).unwrap();
        let other = ticks + 1;
        for (name, expected) in [
            (format!("{prefix}{own}-{ticks}-1"), false),
            (format!("{prefix}{own}-{other}-1"), true),
            (format!("{prefix}{own}-{other}-1{SHELTER}"), true),
            (format!("swath-0123456789abcdef-{own}-{other}-1"), false),
            (format!("{prefix}nonsense"), false),
        ] {
            let group = Cgroup::at(format!("/x/{name}"));
            assert_eq!(is_abandoned(&group, &prefix), expected, "{name}");
        }
    }
}
