//! The usage of an attempt: processor time and memory of all its processes together, as counted by
//! the kernel.
//!
//! The kernel adds up the usage of a process and of its reaped children. It counts neither the
//! memory of concurrent processes together nor daemons that are never reaped, so the whole tree is
//! measured at intervals.

use super::processes;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use swath_model::study::Usage;
use wait4::ResourceUsage;

pub(super) const MIB: f64 = (1u64 << 20) as f64;

/// Factor by which the memory has to grow before shared pages are measured again, which is
/// expensive for the kernel.
const GROWN: f64 = 1.05;

/// Meter of the usage of all processes of one attempt.
pub(super) struct Meter {
    leader: u32,
    /// Peak of the memory they held together, in bytes.
    peak: u64,
    /// Sum of their resident memory when shared pages were last measured, in bytes.
    last_shared: f64,
    /// Processor time of the processes that the leader cannot reap: its orphans and their
    /// descendants.
    orphan_times: BTreeMap<u32, Duration>,
}

/// Memory in use by an attempt's processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct MemoryInUse {
    pub(super) bytes: u64,
    pub(super) processes: usize,
}

impl Meter {
    pub(super) fn new(leader: u32) -> Self {
        Self {
            leader,
            peak: 0,
            last_shared: 0.0,
            orphan_times: BTreeMap::new(),
        }
    }

    /// Measures the trees of the leader and of `orphans`; returns the memory they hold.
    ///
    /// Shared pages count once, if that can matter for the peak or for the comparison with `limit`.
    pub(super) fn measure(&mut self, orphans: &[u32], limit: Option<u64>) -> MemoryInUse {
        let tree = processes::trees([self.leader]);
        let others: BTreeSet<u32> = processes::trees(orphans.iter().copied())
            .difference(&tree)
            .copied()
            .collect();
        // A dead process keeps its time. A live one outside of the trees is no orphan of this
        // trial.
        self.orphan_times.retain(|pid, _| {
            orphans.contains(pid) || others.contains(pid) || !processes::lives(*pid)
        });
        for pid in &others {
            if let Some(time) = processes::cpu_time(*pid) {
                self.orphan_times.insert(*pid, time);
            }
        }
        let all: Vec<u32> = tree.union(&others).copied().collect();
        let mut bytes: u64 = all.iter().filter_map(|pid| processes::resident(*pid)).sum();
        let exceeds_limit = limit.is_some_and(|limit| bytes > limit);
        let has_grown = bytes > self.peak && bytes as f64 > self.last_shared * GROWN;
        // The resident memory counts a shared page once for each process, so it is an upper bound.
        // A single process shares no pages with others of the attempt.
        if all.len() > 1 && (exceeds_limit || has_grown) {
            self.last_shared = bytes as f64;
            bytes = all.iter().filter_map(|pid| processes::share(*pid)).sum();
            self.peak = self.peak.max(bytes);
        } else if all.len() <= 1 {
            self.peak = self.peak.max(bytes);
        }
        MemoryInUse {
            bytes,
            processes: all.len(),
        }
    }

    /// Returns the usage of all processes; `counted` is the kernel's sum for the leader and its
    /// reaped children.
    pub(super) fn usage(&self, counted: &ResourceUsage) -> Usage {
        let of_orphans: Duration = self.orphan_times.values().sum();
        Usage {
            cpu_seconds: (counted.utime + counted.stime + of_orphans).as_secs_f64(),
            peak_mib: (counted.maxrss.max(self.peak)) as f64 / MIB,
            seconds: None,
        }
    }
}
