//! The storage of a journal: a file; in tests, a medium whose disk is full, or whose machine stops
//! in the middle of a line.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

/// The state of a storage and of the file at its path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// The file at the path is this storage. The length is `None` if the storage does not know it.
    InPlace(Option<u64>),
    /// There is no file at the path: it was removed, or its folder was.
    Gone,
    /// Another file is at the path.
    Replaced,
}

/// Storage that can be appended to, truncated and synced, or overwritten.
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

    /// Writes `bytes` over the beginning of the storage, which they replace if they are as long as
    /// all earlier ones.
    ///
    /// # Errors
    /// If not all bytes could be written.
    fn overwrite(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.cut(0)?;
        self.append(bytes)
    }

    /// Returns whether this storage is still what `path` names, and its length.
    ///
    /// # Errors
    /// If that cannot be found out.
    fn condition(&self, path: &Path) -> io::Result<Condition> {
        let _ = path;
        Ok(Condition::InPlace(None))
    }

    /// Returns the contents of the storage, also after its file was removed. A storage that cannot
    /// be read returns nothing.
    ///
    /// # Errors
    /// If it cannot be read.
    fn contents(&self) -> io::Result<Vec<u8>> {
        Ok(Vec::new())
    }
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

    fn overwrite(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all_at(bytes, 0)
    }

    fn condition(&self, path: &Path) -> io::Result<Condition> {
        let there = match std::fs::metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Condition::Gone),
            there => there?,
        };
        let own = self.metadata()?;
        Ok(if (there.dev(), there.ino()) == (own.dev(), own.ino()) {
            Condition::InPlace(Some(own.len()))
        } else {
            Condition::Replaced
        })
    }

    fn contents(&self) -> io::Result<Vec<u8>> {
        let length = self.metadata()?.len();
        let mut bytes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
        self.read_exact_at(&mut bytes, 0)?;
        Ok(bytes)
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
