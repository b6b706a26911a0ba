//! The pace of syncs and snapshots.

use std::time::{Duration, Instant};

/// The journal is synced to the disk at least this often.
const SYNC_INTERVAL: Duration = Duration::from_secs(1);

/// The shortest time between two snapshots.
const SNAPSHOT_INTERVAL: Duration = Duration::from_secs(5);

/// Snapshots take at most 1/100 of the time.
const SNAPSHOT_SHARE: u32 = 100;

/// The times of the last sync and of the next snapshot.
pub(super) struct Saves {
    last_sync: Instant,
    snapshot_due: Instant,
}

impl Saves {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self {
            last_sync: now,
            snapshot_due: now + SNAPSHOT_INTERVAL,
        }
    }

    pub(super) fn is_sync_due(&self) -> bool {
        self.last_sync.elapsed() >= SYNC_INTERVAL
    }

    pub(super) fn is_snapshot_due(&self) -> bool {
        Instant::now() >= self.snapshot_due
    }

    /// Records a sync that has just ended.
    pub(super) fn synced(&mut self) {
        self.last_sync = Instant::now();
    }

    /// Records a snapshot that was begun at `began` and has just ended.
    pub(super) fn wrote_snapshot(&mut self, began: Instant) {
        self.snapshot_due =
            Instant::now() + (began.elapsed() * SNAPSHOT_SHARE).max(SNAPSHOT_INTERVAL);
    }
}
