//! Descendants of trials that left their process group: daemons, double forks, `setsid`.
//!
//! This process makes itself the subreaper of its descendants where the system knows that, so
//! orphans are reparented to it. After the leader of a trial has ended, every process it left is
//! therefore below a child that this process did not start, and reading the list of these children
//! is the only cost of a trial that leaves none. Elsewhere only the mark in their environment and
//! their process group tell the processes of a trial.

use super::processes;
use crate::platform::{self, Entry, Orphans};
use std::collections::BTreeSet;
use std::time::Duration;

/// Environment variable that marks every process of a run.
pub(super) const RUN: &str = "SWATH_RUN";

/// Finder of the processes that outlive the leaders of their trials.
pub(super) struct OrphanFinder {
    /// `SWATH_RUN=…`, the mark in the environment of every trial of this run.
    run: String,
    orphans: Orphans,
    /// Processes below this one that belong to no trial.
    own: BTreeSet<u32>,
    /// Beginnings of the entries in the environment of this process: the names with `=`.
    variables: Vec<String>,
}

impl OrphanFinder {
    /// Makes this process a subreaper. `run` is the mark of this run's trials. Processes below this
    /// one that exist now belong to no trial.
    pub(super) fn new(run: &str) -> Self {
        platform::become_subreaper();
        let run = format!("{RUN}={run}");
        Self {
            orphans: Orphans::new(&run),
            run,
            own: processes::trees(processes::children(std::process::id())),
            variables: std::env::vars_os()
                .filter_map(|(name, _)| Some(format!("{}=", name.to_str()?)))
                .collect(),
        }
    }

    /// Returns the orphans of a running trial: those with `mark` in their environment or still in
    /// its process group.
    pub(super) fn of_trial(&self, mark: &str, group: u32) -> Vec<u32> {
        self.adopted()
            .into_iter()
            .filter(|pid| *pid != group)
            .filter(|pid| processes::is_in_group(*pid, group) || is_marked(*pid, mark))
            .collect()
    }

    /// Ends the orphans of a trial, found by `mark`, an entry `NAME=value` of their environment.
    /// Returns whether none is left.
    pub(super) fn end_of_trial(&self, mark: &str, grace: Duration) -> bool {
        // The usual case, found with one read of the children file.
        if self.adopted().is_empty() {
            return true;
        }
        processes::end(|| self.marked_trees(mark), grace)
    }

    /// Returns the orphans with `mark` and their descendants. Reaps the other orphans that are dead.
    fn marked_trees(&self, mark: &str) -> BTreeSet<u32> {
        let (marked, others): (Vec<u32>, Vec<u32>) = self
            .adopted()
            .into_iter()
            .partition(|pid| is_marked(*pid, mark));
        // A zombie has no environment and only needs to be reaped.
        for pid in others {
            processes::reap(pid);
        }
        processes::trees(marked)
    }

    /// Ends all remaining processes of the run, including those that cleared their environment.
    /// Returns whether none is left.
    pub(super) fn end_of_run(&self, grace: Duration) -> bool {
        processes::end(|| self.trees_of_run(), grace)
    }

    fn trees_of_run(&self) -> BTreeSet<u32> {
        let marked = processes::with_entry(Entry::Is(&self.run));
        let prefix = format!("{RUN}=");
        // An orphan with another mark belongs to another run.
        let unmarked = self
            .adopted()
            .into_iter()
            .filter(|pid| !processes::has_entry(*pid, Entry::StartsWith(&prefix)))
            .filter(|pid| !self.is_of_program(*pid));
        processes::trees(marked.into_iter().chain(unmarked))
    }

    /// Returns whether an orphan without a mark was started by this program itself: it has all
    /// variables of the program. One of a trial has cleared its environment, and the mark with it.
    fn is_of_program(&self, pid: u32) -> bool {
        let mut variables = self.variables.iter();
        !self.variables.is_empty()
            && variables.all(|name| processes::has_entry(pid, Entry::StartsWith(name)))
    }

    /// Returns the children that were reparented to this process: absent at the beginning, and in
    /// another process group.
    fn adopted(&self) -> Vec<u32> {
        let orphans = self.orphans.list().into_iter();
        orphans
            .filter(|pid| !self.own.contains(pid) && processes::is_foreign(*pid))
            .collect()
    }
}

/// Returns the children of this process, with their descendants, that a dead slot process and a dead
/// guard have left. Programs in a slot have another session than this process, and its other
/// children have the same. Guards and slots are this very executable.
pub(super) fn strays() -> BTreeSet<u32> {
    let children = processes::children(std::process::id());
    processes::trees(children.into_iter().filter(|pid| {
        processes::is_in_other_session(*pid) && !platform::runs_this_executable(*pid)
    }))
}

fn is_marked(pid: u32, mark: &str) -> bool {
    processes::has_entry(pid, Entry::Is(mark))
}
