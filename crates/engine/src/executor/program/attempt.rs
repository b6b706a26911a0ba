//! The processes of a running attempt, the cgroups in which they are, and the end of those that
//! outlive the program.

use super::Program;
use crate::executor::cgroups::Cgroups;
use crate::executor::leaf::{Leaf, Tally};
use crate::executor::slot::{Order, Slot};
use crate::executor::supervise::ORPHAN_GRACE;
use crate::executor::{Exit, Launch, Outcome, TrialContext, processes, usage};
use crate::platform;
use std::cell::{Cell, OnceCell};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use swath_model::study::Failure;

/// The processes of a running attempt: its leader, the leader's descendants and the orphans among
/// them.
pub(super) struct AttemptProcesses<'a> {
    program: &'a Program,
    trial: &'a TrialContext,
    dir: &'a Path,
    leader: u32,
    /// Slot process, or reaper of a forked program, above which nothing of the attempt can get;
    /// `None` for a slot in a thread.
    slot: Option<u32>,
    /// Cgroup of the slot process; `None` if there is none.
    slot_leaf: Option<Arc<Leaf>>,
    /// Processor time in that cgroup when the attempt was registered.
    earlier: Cell<Option<Duration>>,
    /// Entry in the environment of the attempt's processes that no other trial has.
    mark: String,
    /// Cgroup of an attempt in a thread's slot, once it was decided upon; `None` inside if there is
    /// none.
    leaf: OnceCell<Option<Leaf>>,
}

impl<'a> AttemptProcesses<'a> {
    /// Returns those of the attempt of `order`, whose leader was started in a slot.
    pub(super) fn new(
        program: &'a Program,
        trial: &'a TrialContext,
        dir: &'a Path,
        (slot, leader): (&Slot, u32),
        order: &Order,
    ) -> Self {
        Self {
            program,
            trial,
            dir,
            leader,
            slot: slot.root(),
            slot_leaf: slot.leaf(),
            earlier: Cell::new(None),
            mark: order.mark.to_string_lossy().into_owned(),
            leaf: OnceCell::new(),
        }
    }

    /// Moves an attempt in the slot of a thread into a cgroup; one in a slot process is in the cgroup
    /// of the slot. Without its leader a cgroup is of no use: it is dropped and so removed.
    pub(super) fn enter(&self) {
        if self.slot.is_none() {
            let leaf = self.program.leaf(&self.trial.launch, self.dir);
            let moved = leaf.filter(|leaf| leaf.take(self.leader, || self.outside_tree()).is_ok());
            self.leaf.set(moved).ok();
        }
    }

    /// Registers an attempt that has lived through its first poll interval: in the journal and, if
    /// that was delayed after a short trial, in a cgroup. A shorter attempt needs neither.
    pub(super) fn register(&self) {
        self.trial.placed(processes::place(self.leader));
        self.earlier
            .set(self.slot_leaf.as_ref().map(|leaf| leaf.tally().cpu));
        if self.leaf.get().is_none() {
            self.enter();
        }
    }

    pub(super) fn leaf(&self) -> Option<&Leaf> {
        let own = self.leaf.get().and_then(Option::as_ref);
        own.or(self.slot_leaf.as_deref())
    }

    /// Returns the processes of the attempt that are no descendants of its leader: all other
    /// children of its slot, or those that are found by their mark.
    fn outside_tree(&self) -> Vec<u32> {
        match self.slot {
            Some(slot) => processes::children(slot)
                .into_iter()
                .filter(|pid| *pid != self.leader)
                .collect(),
            None => self
                .program
                .slots
                .finder()
                .of_trial(&self.mark, self.leader),
        }
    }

    /// Returns the orphans of the attempt. A slot in a thread misses those that have cleared their
    /// environment; they are still in the cgroup.
    pub(super) fn orphans(&self) -> Vec<u32> {
        let mut orphans = self.outside_tree();
        if self.slot.is_none() {
            let in_cgroup = self.leaf().map(Leaf::processes).unwrap_or_default();
            orphans.extend(in_cgroup.into_iter().filter(|pid| *pid != self.leader));
        }
        orphans
    }

    /// Ends the processes that outlived the leader and adds their usage to the outcome. Returns
    /// whether no process is left.
    pub(super) fn end(self, outcome: &mut Outcome) -> bool {
        // The processor time of a shorter attempt is all in the rusage of its processes.
        if let (Some(leaf), Some(earlier)) = (&self.slot_leaf, self.earlier.get()) {
            let tally = leaf.tally();
            let cpu = tally.cpu.saturating_sub(earlier);
            add_usage(outcome, Tally { cpu, ..tally });
        }
        let leaf = self.leaf.into_inner().flatten();
        // The processes of a slot process have ended when it says so.
        let mark = self.slot.is_none().then_some(&*self.mark);
        self.program.end_rest(mark, leaf, outcome)
    }
}

impl Program {
    /// Returns the cgroup of the run; `None` if cgroups cannot be used here.
    pub(super) fn cgroups(&self, dir: &Path) -> Option<&Cgroups> {
        let cgroups = self.cgroups.get_or_init(|| {
            Cgroups::open(dir.parent()?, &self.run, self.limits.memory, |path| {
                if let Some(mut guard) = self.slots.guard() {
                    guard.add_cgroup(path);
                }
            })
        });
        cgroups.as_ref()
    }

    /// Creates the cgroup of an attempt in the slot of a thread.
    fn leaf(&self, launch: &Launch, dir: &Path) -> Option<Leaf> {
        self.cgroups(dir)?
            .leaf(&format!("{}-{}", launch.trial, launch.attempt))
    }

    /// Ends the processes that an attempt left behind and adds their usage to the outcome. Returns
    /// whether none is left.
    fn end_rest(&self, mark: Option<&str>, leaf: Option<Leaf>, outcome: &mut Outcome) -> bool {
        let grace = self.limits.grace.min(ORPHAN_GRACE);
        let tally = leaf.map(|leaf| leaf.end(grace));
        if let Some((tally, _)) = tally {
            add_usage(outcome, tally);
        }
        // Processes started before the move into the cgroup may not be in it.
        mark.is_none_or(|mark| self.slots.finder().end_of_trial(mark, grace))
            && tally.is_none_or(|(_, ended)| ended)
    }

    /// Returns the warning for an attempt that the kernel killed for lack of memory; `None` if it
    /// did not.
    pub(super) fn memory_kill_warning(&self, leaf: Option<&Leaf>) -> Option<String> {
        let kills = leaf.map_or(0, Leaf::out_of_memory_kills);
        if let Some(limit) = self.limits.memory.filter(|_| kills > 0) {
            // The count of the machine includes the kills of this cgroup.
            self.memory_kills.fetch_add(kills, Ordering::AcqRel);
            let limit = limit.div_ceil(1 << 20);
            return Some(format!(
                "the kernel killed it for lack of memory: `resources.memory` allows {limit} MiB"
            ));
        }
        self.memory_ran_out()
            .then(|| "the kernel killed it because the machine ran out of memory".to_owned())
    }

    /// Returns whether the kernel has killed one more process for lack of memory. Each kill is
    /// attributed to one trial.
    fn memory_ran_out(&self) -> bool {
        let kills = platform::out_of_memory_kills();
        self.memory_kills
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |attributed| {
                (attributed < kills).then_some(attributed + 1)
            })
            .is_ok()
    }
}

/// Adds the usage that a cgroup has counted to an outcome.
fn add_usage(outcome: &mut Outcome, tally: Tally) {
    let usage = &mut outcome.usage;
    // Neither count is complete: the cgroup misses processor time used before it existed; rusage
    // misses children that were never waited for. Take the larger.
    usage.cpu_seconds = usage.cpu_seconds.max(tally.cpu.as_secs_f64());
    if outcome.exit == Exit::Failed(Failure::Memory) {
        // In other cases the peak of the cgroup does not measure need: it includes the page cache,
        // which the kernel keeps until memory is short.
        usage.peak_mib = usage.peak_mib.max(tally.peak as f64 / usage::MIB);
    }
}
