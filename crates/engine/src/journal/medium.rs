//! The storage of a journal: a file; in tests, a medium whose disk is full, or whose machine stops
//! in the middle of a line.

use std::fs::File;
use std::io::{self, Write};

/// Append-only storage that can be truncated and synced.
pub trait Medium: Send + std::fmt::Debug {
    /// Appends all `bytes`.
    ///
    /// # Errors
    /// If not all bytes could be appended; a part of them may have been.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Truncates the storage to `length` bytes.
    ///
    /// # Errors
    /// If it cannot be truncated.
    fn cut(&mut self, length: u64) -> io::Result<()>;

    /// Returns once all appended bytes are safe from power loss.
    ///
    /// # Errors
    /// If they cannot be made safe. All bytes appended since the last success may be lost.
    fn sync(&mut self) -> io::Result<()>;
}

/// A file that was opened for appending.
impl Medium for File {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes)
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        self.set_len(length)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }
}

/// Returns whether an error was caused by a full disk, an exhausted quota, or the limit on the size
/// of a file (`ulimit -f`).
#[must_use]
pub fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
    )
}
