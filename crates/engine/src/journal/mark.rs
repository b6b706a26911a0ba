//! The high-water mark of a journal: how long it was when it was last synced to the disk.
//!
//! It is written beside the journal after each sync, in place and without a sync of its own (but for
//! the first one of a process), so it costs one write. Whatever it names was safe from power loss before it was written: a journal
//! that is shorter was cut or replaced. It may be behind the journal by any amount, and one that is
//! torn or missing says nothing. A power failure therefore causes no false alarm.

use super::StudyDir;
use super::line::{self, Link};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::os::unix::fs::FileExt as _;

/// The length of the file. It never changes, so that a mark can be overwritten in place.
const SIZE: usize = 128;

/// The end of the part of a journal that is known to be on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The length of that part in bytes.
    pub length: u64,
    /// The number of its entries.
    pub entries: u64,
    /// The checksum of its last line. The chain of checksums makes it stand for all lines.
    pub(super) last: Link,
}

/// A mark as it is written, with its own checksum.
#[derive(Serialize, Deserialize)]
struct Stored {
    #[serde(flatten)]
    mark: Mark,
    crc: u32,
}

/// The difference between a journal and its mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shortfall {
    /// The number of entries that the journal once had.
    pub expected: u64,
    /// The number of entries that it has now.
    pub present: u64,
    /// Whether the journal is long enough but other lines stand in it, so it is another journal or
    /// another copy.
    pub is_other: bool,
}

impl std::fmt::Display for Shortfall {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            expected, present, ..
        } = self;
        if self.is_other {
            return write!(
                f,
                "the journal is not the one that was written here: it has {present} entries, but its \
                 entry {expected} is not the one that was synced to the disk"
            );
        }
        write!(
            f,
            "the journal is shorter than it was: it has {present} entries, but {expected} were \
             synced to the disk, so the last {} are missing",
            expected.saturating_sub(*present)
        )
    }
}

impl Mark {
    /// Returns the mark as the contents of its file.
    pub(super) fn to_bytes(self) -> Vec<u8> {
        let stored = Stored {
            mark: self,
            crc: self.checksum(),
        };
        // Three numbers can always be written as JSON.
        let mut bytes = serde_json::to_vec(&stored).unwrap_or_default();
        bytes.resize(SIZE - 1, b' ');
        bytes.push(b'\n');
        bytes
    }

    /// Returns the checksum of the three numbers.
    fn checksum(self) -> u32 {
        crc32fast::hash(format!("{} {} {}", self.length, self.entries, self.last).as_bytes())
    }

    /// Reads the mark of a study; `None` if there is none or it is torn.
    #[must_use]
    pub fn read(dir: &StudyDir) -> Option<Self> {
        let stored: Stored = serde_json::from_slice(&std::fs::read(dir.mark()).ok()?).ok()?;
        (stored.mark.checksum() == stored.crc).then_some(stored.mark)
    }

    /// Returns whether the journal has the line at which this mark stands.
    fn is_reached_by(self, journal: &File) -> bool {
        // A line ends with its checksum, so a few bytes before the mark are enough.
        let mut end = [0; 32];
        let length = self.length.min(end.len() as u64);
        let Some(start) = self.length.checked_sub(length) else {
            return false;
        };
        let end = &mut end[..usize::try_from(length).unwrap_or(0)];
        journal.read_exact_at(end, start).is_ok()
            && end.ends_with(b"\n")
            // Lines of an earlier version may have no checksum.
            && line::link_at_end(end).is_none_or(|link| link == self.last)
    }
}

/// Compares the journal of a study with its mark. Returns the difference; `None` if the journal has
/// everything that was synced, or if that is unknown. Takes no lock, and is right while a run
/// writes both.
#[must_use]
pub fn shortfall(dir: &StudyDir) -> Option<Shortfall> {
    // The mark is read first: the journal can only be longer when it is looked at after that.
    let mark = Mark::read(dir)?;
    let journal = File::open(dir.journal()).ok()?;
    if mark.is_reached_by(&journal) {
        return None;
    }
    let text = std::fs::read(dir.journal()).ok()?;
    Some(Shortfall {
        expected: mark.entries,
        present: text.iter().filter(|byte| **byte == b'\n').count() as u64,
        is_other: text.len() as u64 >= mark.length,
    })
}

/// Opens the file of the mark for writing, and creates it if there is none.
pub(super) fn open(dir: &StudyDir) -> std::io::Result<File> {
    File::options()
        .write(true)
        .create(true)
        .truncate(false)
        .open(dir.mark())
}
