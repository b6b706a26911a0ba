//! The pace of syncs and snapshots.

use std::time::{Duration, Instant};

/// The journal is synced to the disk at least this often.
const SYNC: Duration = Duration::from_secs(1);

/// The shortest time between two snapshots.
const SNAPSHOT: Duration = Duration::from_secs(5);

/// A snapshot may take one part in so many of the time.
const SHARE: u32 = 100;

/// The times of the last sync and of the next snapshot.
pub(super) struct Saves {
    synced: Instant,
    snapshot_due: Instant,
}

impl Saves {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self {
            synced: now,
            snapshot_due: now + SNAPSHOT,
        }
    }

    pub(super) fn is_sync_due(&self) -> bool {
        self.synced.elapsed() >= SYNC
    }

    pub(super) fn is_snapshot_due(&self) -> bool {
        Instant::now() >= self.snapshot_due
    }

    /// Records a sync that has just ended.
    pub(super) fn synced(&mut self) {
        self.synced = Instant::now();
    }

    /// Records a snapshot that was begun at `began` and has just ended.
    pub(super) fn wrote_snapshot(&mut self, began: Instant) {
        self.snapshot_due = Instant::now() + (began.elapsed() * SHARE).max(SNAPSHOT);
    }
}
