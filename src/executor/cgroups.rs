//! The control group of a run, below which every attempt has a [`Leaf`] of its own, and what is
//! left of it when the run was killed.
//!
//! Its name tells the study and the process that made it, so that a later run knows it for its own.
//! Where the kernel or its rules allow no group, there is none, and everything else that finds and
//! ends processes does its part as before.

use super::leaf::Leaf;
use super::{Launch, processes};
use crate::cgroup::{self, Cgroup, Loan};
use md5::{Digest, Md5};
use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// What the name of a group that holds an orchestrator ends with, if it had to leave its own for
/// the memory controller.
const SHELTER: &str = "-own";

/// How long a group whose processes are dead may take to be empty.
const EMPTY_WITHIN: Duration = Duration::from_millis(500);

/// The group of a run.
pub(super) struct Cgroups {
    run: Cgroup,
    /// How many bytes each leaf may hold, if the kernel sees to it.
    memory: Option<u64>,
    /// Given back when the group is gone.
    _loan: Option<Loan>,
}

impl Cgroups {
    /// Makes the group of the run `mark` of the study in `root`, `None` where there can be none.
    /// `memory` is what each leaf may hold, if the kernel can be made to see to that. `tell` hears
    /// where it will be before it is there.
    pub(super) fn open(
        root: &Path,
        mark: &str,
        memory: Option<u64>,
        tell: impl FnOnce(&Path),
    ) -> Option<Self> {
        let own = Cgroup::own().filter(Cgroup::lends)?;
        let prefix = prefix(root)?;
        own.children()
            .iter()
            .filter(|group| is_left(group, &prefix))
            .for_each(clear);
        let run = own.child(&format!("{prefix}{mark}"));
        tell(run.path());
        run.make().ok()?;
        let shelter = || own.child(&format!("{prefix}{mark}{SHELTER}"));
        let loan = memory.and_then(|_| own.borrow_memory(shelter(), is_ours).ok());
        let memory = memory.filter(|_| loan.is_some() && run.enable_memory().is_ok());
        Some(Self {
            run,
            memory,
            _loan: loan,
        })
    }

    /// Makes the leaf of an attempt.
    pub(super) fn leaf(&self, launch: &Launch) -> Option<Leaf> {
        let cgroup = self
            .run
            .child(&format!("{}-{}", launch.trial, launch.attempt));
        Leaf::new(cgroup, self.memory).ok()
    }

    /// Ends whatever is left of the run.
    pub(super) fn close(&self, grace: Duration) {
        end(&self.run, grace);
        remove(&self.run);
    }
}

/// Returns whether a process is this one or descends from it.
fn is_ours(pid: u32) -> bool {
    let own = std::process::id();
    std::iter::successors(Some(pid), |pid| processes::parent(*pid)).any(|pid| pid == own)
}

/// Returns how the names of the groups of a study begin. The folder itself counts, not its path:
/// containers that see each other's groups may have different studies at the same path.
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

/// Returns whether a group is of that study and whoever made it is no more.
fn is_left(group: &Cgroup, prefix: &str) -> bool {
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
    processes::start_ticks(pid) != Some(ticks)
}

/// Removes what nobody is in, and gives back what the dead had borrowed.
fn clear(group: &Cgroup) {
    match group.path().parent() {
        Some(of) if group.name().ends_with(SHELTER) => cgroup::give_back(&Cgroup::at(of), group),
        // What is populated stays.
        _ => drop(group.remove()),
    }
}

/// Returns the groups of the study in `root`, wherever they can be seen, whose runs were killed.
pub(super) fn left_by(root: &Path) -> Vec<Cgroup> {
    let Some(prefix) = prefix(root) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    let mut waiting = Cgroup::tops();
    while let Some(group) = waiting.pop() {
        match group.name().starts_with("swath-") {
            true if is_left(&group, &prefix) => found.push(group),
            _ => waiting.extend(group.children()),
        }
    }
    found.sort();
    found.dedup();
    found
}

/// Returns the processes of such groups. Who borrowed the memory controller, and the guard beside
/// it, are in none.
pub(super) fn left_processes(groups: &[Cgroup]) -> BTreeSet<u32> {
    let of_trials = groups
        .iter()
        .filter(|group| !group.name().ends_with(SHELTER));
    of_trials.flat_map(Cgroup::processes).collect()
}

/// Ends such groups at once and removes them, but for the leaves in which one of `spared` is.
pub(super) fn end_left(groups: &[Cgroup], spared: &BTreeSet<u32>) {
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

/// Ends the run of an orchestrator that was killed and removes its group: for the guard.
pub(super) fn end_run(run: &Path) {
    let run = Cgroup::at(run);
    end(&run, Duration::ZERO);
    remove(&run);
    if let Some(of) = run.path().parent() {
        clear(&Cgroup::at(of).child(&format!("{}{SHELTER}", run.name())));
    }
}

/// Ends all processes of a group: SIGTERM, `grace`, SIGKILL. Returns whether there are none.
pub(super) fn end(group: &Cgroup, grace: Duration) -> bool {
    if processes::ask_to_end(|| group.processes(), grace) {
        return true;
    }
    match group.kill() {
        Ok(()) => processes::are_gone(|| group.processes()),
        Err(_) => processes::end(|| group.processes(), Duration::ZERO),
    }
}

/// Removes a group whose processes have ended; returns whether it is gone.
pub(super) fn remove(group: &Cgroup) -> bool {
    let begun = Instant::now();
    let mut nap = Duration::from_micros(200);
    while group.remove().is_err() {
        // The kernel may still be busy with the dead.
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
    fn a_name_tells_the_study_by_its_folder_wherever_that_is() {
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
    fn a_group_is_left_if_it_is_of_the_study_and_its_maker_is_dead_or_another_of_that_number() {
        let prefix = prefix(Path::new("/")).unwrap();
        let own = std::process::id();
        let ticks = processes::start_ticks(own).unwrap();
        let left = |name: String| is_left(&Cgroup::at(format!("/x/{name}")), &prefix);
        assert!(!left(format!("{prefix}{own}-{ticks}-1")));
        assert!(left(format!("{prefix}{own}-{}-1", ticks + 1)));
        assert!(left(format!("{prefix}{own}-{}-1{SHELTER}", ticks + 1)));
        assert!(!left(format!(
            "swath-0123456789abcdef-{own}-{}-1",
            ticks + 1
        )));
        assert!(!left(format!("{prefix}nonsense")));
    }
}
