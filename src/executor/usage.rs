//! What an attempt used: all its processes together, as the kernel counts them.
//!
//! The kernel adds up what a process and those it waited for used, but not what goes on at the same
//! time, nor what a daemon does that nobody waits for. So the whole tree is looked at now and then.
//! Where there is no `/proc`, the kernel's sum has to do.

use super::processes;
use crate::study::Usage;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use wait4::ResourceUsage;

pub(super) const MIB: f64 = (1u64 << 20) as f64;

/// Memory has to grow by this factor before what processes share is told apart again, which takes
/// the kernel a while.
const GROWN: f64 = 1.05;

/// Adds up what the processes of one attempt use.
pub(super) struct Meter {
    leader: u32,
    /// The most bytes they held at a time.
    peak: u64,
    /// What they seemed to hold when it was last found out how much of it they share.
    told_apart: f64,
    /// The processor time of those that the leader cannot wait for: its orphans, and what they
    /// started.
    apart: BTreeMap<u32, Duration>,
}

/// What an attempt's processes hold in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) bytes: u64,
    pub(super) processes: usize,
}

impl Meter {
    pub(super) fn new(leader: u32) -> Self {
        Self {
            leader,
            peak: 0,
            told_apart: 0.0,
            apart: BTreeMap::new(),
        }
    }

    /// Looks at the leader's tree and at those of `orphans`; returns what they hold.
    ///
    /// Pages that several processes share count once, if that can make a difference: to the peak,
    /// or to whether it is more than `limit`.
    pub(super) fn look(&mut self, orphans: &[u32], limit: Option<u64>) -> Held {
        let tree = processes::trees([self.leader]);
        let others: BTreeSet<u32> = processes::trees(orphans.iter().copied())
            .difference(&tree)
            .copied()
            .collect();
        self.apart.retain(|pid, _| {
            orphans.contains(pid) || others.contains(pid) || !processes::lives(*pid)
        });
        for pid in &others {
            if let Some(time) = processes::cpu_time(*pid) {
                self.apart.insert(*pid, time);
            }
        }
        let all: Vec<u32> = tree.union(&others).copied().collect();
        let mut bytes: u64 = all.iter().filter_map(|pid| processes::resident(*pid)).sum();
        let too_much = limit.is_some_and(|limit| bytes > limit);
        let grown = bytes > self.peak && bytes as f64 > self.told_apart * GROWN;
        if all.len() > 1 && (too_much || grown) {
            self.told_apart = bytes as f64;
            bytes = all.iter().filter_map(|pid| processes::share(*pid)).sum();
            self.peak = self.peak.max(bytes);
        } else if all.len() <= 1 {
            self.peak = self.peak.max(bytes);
        }
        Held {
            bytes,
            processes: all.len(),
        }
    }

    /// Returns what all of them used, given what the kernel counted for the leader and those it
    /// waited for.
    pub(super) fn usage(&self, counted: &ResourceUsage) -> Usage {
        let apart: Duration = self.apart.values().sum();
        Usage {
            cpu_seconds: (counted.utime + counted.stime + apart).as_secs_f64(),
            peak_mib: (counted.maxrss.max(self.peak)) as f64 / MIB,
        }
    }
}

/// Returns how many processes of this machine the kernel has ended because memory ran out.
pub(super) fn out_of_memory_kills() -> u64 {
    let text = std::fs::read_to_string("/proc/vmstat").unwrap_or_default();
    text.lines()
        .find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
        .unwrap_or(0)
}
