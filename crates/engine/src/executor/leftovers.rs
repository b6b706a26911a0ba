//! The processes that an earlier run of a study left alive because both its orchestrator and its
//! guard were killed.

use super::cgroups;
use super::processes::{self, as_pid};
use crate::platform::Entry;
use rustix::process::{Signal, kill_process_group};
use std::collections::BTreeSet;
use std::path::{Path, absolute};
use std::time::Duration;
use swath_model::study::Place;

/// Logs to which only programs that swath started append.
const LOGS: [&str; 3] = ["stdout.log", "stderr.log", "setup.log"];

/// Ends the trials of the study in `root` that no process supervises any more; returns the number
/// of processes found.
///
/// The caller must hold the lock of the study. A process is ended only with proof. Either its
/// environment names a trial folder of this study, or it appends its output to a log of the study,
/// or it is in a cgroup that a dead orchestrator created for this study, or it is the process that
/// one of `places` names by number, start time and boot. `grace` is the time between SIGTERM and SIGKILL.
///
/// # Errors
/// Fails if the path of the study cannot be made absolute.
pub fn end_leftovers(root: &Path, places: &[Place], grace: Duration) -> std::io::Result<usize> {
    let study = absolute(root)?;
    let spared = lineage();
    let mut seen = BTreeSet::new();
    for leader in places.iter().filter_map(proven) {
        seen.insert(leader);
        if let Some(group) = as_pid(leader).filter(|_| !spared.contains(&leader)) {
            // The group may have members with another environment. Processes outside of the group
            // are ended below.
            kill_process_group(group, Signal::TERM).ok();
        }
    }
    let abandoned = cgroups::abandoned_by(root);
    // The search is repeated until it finds none, because a process may start others meanwhile.
    processes::end(
        || {
            let marked = marked(&study);
            let leaders = places.iter().filter_map(proven);
            // Spared processes are not roots of trees either, because their other children do not
            // belong to the study.
            let roots = marked
                .into_iter()
                .chain(leaders)
                .chain(cgroups::abandoned_processes(&abandoned))
                .filter(|pid| !spared.contains(pid));
            let leftovers: BTreeSet<u32> = processes::trees(roots)
                .difference(&spared)
                .copied()
                .collect();
            seen.extend(&leftovers);
            leftovers
        },
        grace,
    );
    cgroups::end_abandoned(&abandoned, &spared);
    Ok(seen.len())
}

/// Returns the processes whose environment names a trial folder of the study in `root`, that append
/// their output to one of its logs, or that are in a cgroup that a dead orchestrator created for it. This process and its ancestors are left
/// out.
#[must_use]
pub fn survivors(root: &Path) -> BTreeSet<u32> {
    let Ok(root) = absolute(root) else {
        return BTreeSet::new();
    };
    let in_cgroups = cgroups::abandoned_processes(&cgroups::abandoned_by(&root));
    let spared = lineage();
    marked(&root)
        .into_iter()
        .chain(in_cgroups)
        .filter(|pid| !spared.contains(pid))
        .collect()
}

/// Returns the processes that belong to a trial of the study in `root` by their environment or by
/// their output. A daemon that has cleared its environment often keeps its output.
fn marked(root: &Path) -> BTreeSet<u32> {
    let prefix = format!("SWATH_TRIAL_DIR={}/", root.display());
    let mut marked = processes::with_entry(Entry::StartsWith(&prefix));
    // The links to open files have no symbolic links in them.
    let real = root.canonicalize().unwrap_or_else(|_| root.to_owned());
    marked.extend(processes::with_output(|path| {
        path.starts_with(&real) && LOGS.iter().any(|name| path.ends_with(name))
    }));
    marked
}

/// Returns the process id in `place` if that process still exists, with the same start time and
/// boot.
fn proven(place: &Place) -> Option<u32> {
    let pid = place.pid?;
    let now = processes::place(pid);
    let has_same_start = place.start_ticks.is_some() && now.start_ticks == place.start_ticks;
    (has_same_start && now.boot_id.is_some() && now.boot_id == place.boot_id).then_some(pid)
}

/// Returns this process and its ancestors. A sweep that runs inside one of its own trials must not
/// end itself.
fn lineage() -> BTreeSet<u32> {
    let mut lineage = BTreeSet::new();
    let mut next = Some(std::process::id());
    while let Some(pid) = next.filter(|pid| lineage.insert(*pid)) {
        next = processes::parent(pid);
    }
    lineage
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::CommandExt;
    use std::process::{Child, Command};

    fn sleeper() -> std::io::Result<Child> {
        Command::new("sleep").arg("60").process_group(0).spawn()
    }

    #[test]
    fn a_process_is_ended_if_its_start_time_matches_and_spared_if_its_id_was_reused() {
        let root = tempfile::tempdir().unwrap();
        let (mine, mut other) = (sleeper().unwrap(), sleeper().unwrap());
        let place = processes::place(mine.id());
        let reused = Place {
            start_ticks: Some(1),
            ..processes::place(other.id())
        };
        end_leftovers(root.path(), &[place, reused], Duration::from_secs(1)).unwrap();
        assert_eq!(processes::start_ticks(mine.id()), None);
        assert!(other.try_wait().unwrap().is_none());
        other.kill().unwrap();
        other.wait().unwrap();
    }

    #[test]
    fn neither_this_process_nor_its_other_children_are_leftovers() {
        let root = tempfile::tempdir().unwrap();
        let mut child = sleeper().unwrap();
        let places = [processes::place(std::process::id())];
        end_leftovers(root.path(), &places, Duration::ZERO).unwrap();
        assert!(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
