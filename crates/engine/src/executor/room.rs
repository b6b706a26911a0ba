//! Free space on a file system, and the thresholds for starting and ending trials.

use std::path::Path;

/// Minimum free bytes to start a trial, so that running trials and the journal can continue.
const TO_START: u64 = 1 << 20;

/// Minimum free bytes for an ended trial to write its last files.
const TO_END: u64 = 1 << 16;

/// On a tiny file system, 1/16 of its size is enough to start and 1/32 to end.
const PART: u64 = 16;

/// Free space of a file system for an unprivileged user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskSpace {
    /// Free bytes; 0 if the file system has run out of inodes.
    pub free: u64,
    /// Size of the file system in bytes.
    pub total: u64,
}

impl DiskSpace {
    /// Asks the kernel for the file system of `folder`; `None` if it gives no answer or the file
    /// system has no blocks.
    #[must_use]
    pub fn at(folder: &Path) -> Option<Self> {
        let stat = rustix::fs::statvfs(folder).ok()?;
        // File systems without a fixed number of inodes report 0 for both.
        let has_no_inodes = stat.f_files > 0 && stat.f_favail == 0;
        let free = if has_no_inodes {
            0
        } else {
            stat.f_bavail.saturating_mul(stat.f_frsize)
        };
        // A file system without blocks is not a disk and cannot be full.
        (stat.f_blocks > 0).then(|| Self {
            free,
            total: stat.f_blocks.saturating_mul(stat.f_frsize),
        })
    }

    /// Returns whether there is enough space to start a trial.
    #[must_use]
    pub fn is_enough_to_start(self) -> bool {
        self.free >= TO_START.min(self.total / PART)
    }

    /// Returns whether an ended trial can write its last files.
    #[must_use]
    pub fn is_enough_to_end(self) -> bool {
        self.free >= TO_END.min(self.total / PART / 2)
    }
}
