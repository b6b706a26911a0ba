//! DVC digests of files and folders.

use std::io;
use std::path::{Path, PathBuf};

/// What identifies the content of a file or folder, as DVC 3 computes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Digest {
    /// 32 hexadecimal digits, with `.dir` behind that of a folder.
    pub md5: String,
    /// Bytes in all.
    pub size: u64,
    /// Files in all: 1 for a file.
    pub files: u64,
}

/// Why something has no digest.
#[derive(Debug, thiserror::Error)]
pub enum DigestError {
    /// It could not be read.
    #[error("could not read `{path}`")]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl From<DigestError> for io::Error {
    fn from(error: DigestError) -> Self {
        Self::other(error)
    }
}

/// Remembers the digests of files by path, size, times and inode, so that what has not changed costs one stat.
#[derive(Debug, Default)]
pub struct DigestCache {}

impl DigestCache {
    /// Reads the cache kept in `path`; one that is missing or unreadable is empty.
    #[must_use]
    pub fn open(path: &Path) -> Self {
        let _ = path;
        Self {}
    }

    /// Writes it back, if anything is new.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn save(&self) -> io::Result<()> {
        Ok(())
    }
}

/// Returns the DVC digest of a file or folder, reading its files in parallel.
///
/// # Errors
/// [`DigestError`] names the file in the way.
pub fn digest(path: &Path, cache: Option<&DigestCache>) -> Result<Digest, DigestError> {
    let _ = (path, cache);
    todo!()
}
