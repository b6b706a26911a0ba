//! How much room there is on a disk.

use std::path::Path;

/// Below this no trial is started, so that those which run, and the journal, can go on.
const TO_START: u64 = 1 << 20;

/// Below this a trial that has ended waits with its last files.
const TO_END: u64 = 1 << 16;

/// On a tiny file system this part of it is enough to start.
const PART: u64 = 16;

/// How much is left on a file system for one who is not root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Left {
    /// Bytes that are free; 0 if no file can be made for another reason.
    pub free: u64,
    /// Bytes in all.
    pub total: u64,
}

impl Left {
    /// Asks the kernel; `None` if it does not know.
    #[must_use]
    pub fn at(folder: &Path) -> Option<Self> {
        let found = rustix::fs::statvfs(folder).ok()?;
        let no_files = found.f_files > 0 && found.f_favail == 0;
        let free = if no_files {
            0
        } else {
            found.f_bavail.saturating_mul(found.f_frsize)
        };
        // A file system without blocks is no disk: it cannot be full.
        (found.f_blocks > 0).then(|| Self {
            free,
            total: found.f_blocks.saturating_mul(found.f_frsize),
        })
    }

    /// Returns whether a trial may be started.
    #[must_use]
    pub fn is_enough_to_start(self) -> bool {
        self.free >= TO_START.min(self.total / PART)
    }

    /// Returns whether a trial can write its last files.
    #[must_use]
    pub fn is_enough_to_end(self) -> bool {
        self.free >= TO_END.min(self.total / PART / 2)
    }
}
