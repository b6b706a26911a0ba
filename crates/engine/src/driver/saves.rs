//! The pace of syncs and snapshots.

use std::time::Duration;

/// Returns the time since some moment of the past, which no change of the machine's clock affects.
/// The simulator passes that of its virtual clock.
pub type Ticks = Box<dyn Fn() -> Duration>;

/// The journal is synced to the disk at least this often.
const SYNC_INTERVAL: Duration = Duration::from_secs(1);

/// The shortest time between two snapshots.
const SNAPSHOT_INTERVAL: Duration = Duration::from_secs(5);

/// Snapshots take at most 1/100 of the time.
const SNAPSHOT_SHARE: u32 = 100;

/// The times of the last sync and of the next snapshot.
pub(super) struct Saves {
    ticks: Ticks,
    last_sync: Duration,
    snapshot_due: Duration,
}

impl Saves {
    pub(super) fn new(ticks: Ticks) -> Self {
        let now = ticks();
        Self {
            ticks,
            last_sync: now,
            snapshot_due: now + SNAPSHOT_INTERVAL,
        }
    }

    pub(super) fn now(&self) -> Duration {
        (self.ticks)()
    }

    pub(super) fn is_sync_due(&self) -> bool {
        self.now().saturating_sub(self.last_sync) >= SYNC_INTERVAL
    }

    pub(super) fn is_snapshot_due(&self) -> bool {
        self.now() >= self.snapshot_due
    }

    /// Records a sync that has just ended.
    pub(super) fn synced(&mut self) {
        self.last_sync = self.now();
    }

    /// Records a snapshot that was begun at `began` and has just ended.
    pub(super) fn wrote_snapshot(&mut self, began: Duration) {
        let now = self.now();
        let pause = now.saturating_sub(began) * SNAPSHOT_SHARE;
        self.snapshot_due = now + pause.max(SNAPSHOT_INTERVAL);
    }
}
