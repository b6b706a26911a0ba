//! What a journal is written on: a file, or in tests one whose disk is full, or whose machine stops
//! in the middle of a line.

use std::fs::File;
use std::io::{self, Write};

/// Takes bytes at its end, can be cut, and can be made safe from power loss.
pub trait Medium: Send + std::fmt::Debug {
    /// Appends all of the bytes.
    ///
    /// # Errors
    /// If they could not all be appended; some of them may have been.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Cuts everything behind `length` bytes.
    ///
    /// # Errors
    /// If that cannot be done.
    fn cut(&mut self, length: u64) -> io::Result<()>;

    /// Returns when what was appended is safe from power loss.
    ///
    /// # Errors
    /// If it cannot be made safe; what was appended since the last success may be gone.
    fn sync(&mut self) -> io::Result<()>;
}

/// A file that was opened to be appended to.
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

/// Returns whether an error says that there is no room: neither on the disk nor in a quota.
#[must_use]
pub fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}
