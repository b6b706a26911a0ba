//! Writing a journal: entries are appended to a buffer, flushed to the kernel and synced to the disk.

use super::{Condition, JournalError, Mark, Medium, Replay, StudyDir, line};
use std::path::PathBuf;
use std::time::Duration;
use swath_model::study::{Entry, Event, Timestamp};

/// The writer of a journal.
///
/// [`append`](Self::append) buffers an entry, [`flush`](Self::flush) writes the buffer to the
/// kernel (safe from SIGKILL), and [`sync`](Self::sync) to the disk (safe from power loss). No
/// event may take effect before it was flushed. A full disk loses nothing: all bytes that are not
/// safe stay in memory and are written again by the next call.
#[derive(Debug)]
pub struct Journal {
    pub(super) path: PathBuf,
    pub(super) medium: Box<dyn Medium>,
    /// Entries that are not flushed.
    pub(super) buffer: Vec<u8>,
    /// Bytes that were flushed but not synced. They are kept, because a full disk may have lost
    /// them.
    pub(super) unsynced: Vec<u8>,
    /// The length of the file up to the last flushed entry.
    pub(super) offset: u64,
    /// The sequence number of the next entry.
    pub(super) next_seq: u64,
    /// The checksum of the last entry, which the next one repeats; `None` before the first.
    pub(super) link: Option<line::Link>,
    /// The file of the high-water mark; `None` if it cannot be written.
    pub(super) mark: Option<Box<dyn Medium>>,
    /// Whether this process has synced a mark.
    pub(super) is_mark_synced: bool,
    /// Whether a part of a line may follow `offset` in the file, after a failed write.
    pub(super) torn: bool,
}

/// Maximum number of flushed bytes that are not synced. Beyond it, `flush` syncs at once.
const MOST_UNSYNCED: usize = 8 << 20;

impl Journal {
    /// Opens a journal for reading it to its end, and then writing it. A missing file is an empty
    /// journal.
    ///
    /// # Errors
    /// If the file cannot be opened.
    pub fn open(dir: &StudyDir) -> Result<Replay, JournalError> {
        Replay::open(dir)
    }

    /// Buffers an event as the next entry and returns the entry.
    ///
    /// # Errors
    /// Only if the event cannot be written as JSON, which is a bug.
    pub fn append(&mut self, event: Event, at: Timestamp) -> Result<Entry, JournalError> {
        self.append_after(None, event, at)
    }

    /// Buffers an event as the next entry and returns the entry. `away` is the part of the time
    /// since the entry before that does not count as time of the sweep.
    ///
    /// # Errors
    /// As [`append`](Self::append).
    pub fn append_after(
        &mut self,
        away: Option<Duration>,
        event: Event,
        at: Timestamp,
    ) -> Result<Entry, JournalError> {
        let away = away.map(|away| u64::try_from(away.as_micros()).unwrap_or(u64::MAX));
        let entry = Entry {
            seq: self.next_seq,
            at,
            event,
            away,
        };
        let start = self.buffer.len();
        match line::write(&mut self.buffer, &entry, self.link) {
            Ok(link) => self.link = Some(link),
            Err(source) => {
                self.buffer.truncate(start);
                return Err(self.failed(source.into()));
            }
        }
        self.next_seq += 1;
        Ok(entry)
    }

    /// Writes all buffered entries to the kernel.
    ///
    /// # Errors
    /// If they cannot be written. The buffer is kept, the file is cut back to whole lines, and a
    /// later call tries again.
    pub fn flush(&mut self) -> Result<(), JournalError> {
        if self.torn {
            self.medium
                .cut(self.offset)
                .map_err(|source| self.failed(source))?;
            self.torn = false;
        }
        if self.buffer.is_empty() {
            return Ok(());
        }
        if let Err(source) = self.medium.append(&self.buffer) {
            // A write that failed may have appended a part. If the file cannot be cut now either,
            // the next call cuts it before it appends.
            self.torn = self.medium.cut(self.offset).is_err();
            return Err(self.failed(source));
        }
        self.offset += self.buffer.len() as u64;
        self.unsynced.append(&mut self.buffer);
        // Bounds both the loss in a power failure and the memory of `unsynced`.
        if self.unsynced.len() > MOST_UNSYNCED {
            self.sync()
        } else {
            Ok(())
        }
    }

    /// Writes all buffered entries to the disk.
    ///
    /// # Errors
    /// As for [`flush`](Self::flush). Bytes that may not have reached the disk are written once
    /// more by the next call.
    pub fn sync(&mut self) -> Result<(), JournalError> {
        self.flush()?;
        if self.unsynced.is_empty() {
            return Ok(());
        }
        if let Err(source) = self.medium.sync() {
            // After a failed sync it is unknown which pages reached the disk, and the kernel would
            // report the next sync as successful. So cut the file back and write all unsynced bytes
            // again.
            self.offset -= self.unsynced.len() as u64;
            std::mem::swap(&mut self.buffer, &mut self.unsynced);
            self.torn = self.medium.cut(self.offset).is_err();
            return Err(self.failed(source));
        }
        self.unsynced.clear();
        self.set_mark();
        Ok(())
    }

    /// Writes the high-water mark, after the sync that covers it. An error is ignored: without a
    /// mark, only a journal that becomes shorter goes unnoticed.
    fn set_mark(&mut self) {
        if let (Some(file), Some(last)) = (&mut self.mark, self.link) {
            let mark = Mark {
                length: self.offset,
                entries: self.next_seq,
                last,
            };
            let written = file.overwrite(&mark.to_bytes());
            // Once it is on the disk it is there after each power cut, perhaps an earlier one.
            if !self.is_mark_synced {
                self.is_mark_synced = written.and_then(|()| file.sync()).is_ok();
            }
        }
    }

    /// Checks that the file at the journal's path is still the one that this process writes, with
    /// nothing in it but its entries. To be called about once a second.
    ///
    /// # Errors
    /// [`JournalError::Disturbed`] if it was removed, replaced, cut or appended to by another.
    pub fn check(&self) -> Result<(), JournalError> {
        let what = match self.medium.condition(&self.path) {
            Ok(Condition::Gone) => "was removed",
            Ok(Condition::Replaced) => "was replaced by another file",
            // A failed write may have left a part of a line behind.
            Ok(Condition::InPlace(Some(length))) if !self.torn && length < self.offset => {
                "was cut to a part of its length"
            }
            Ok(Condition::InPlace(Some(length))) if !self.torn && length > self.offset => {
                "was written to by another process"
            }
            // A file system that does not answer now may do so the next time.
            Ok(Condition::InPlace(_)) | Err(_) => return Ok(()),
        };
        Err(JournalError::Disturbed {
            path: self.path.clone(),
            what,
            rescued: None,
        })
    }

    /// Returns the number of bytes of the buffered entries.
    #[must_use]
    pub fn pending_bytes(&self) -> usize {
        self.buffer.len()
    }

    /// Returns the length of the journal in bytes, without buffered entries.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    fn failed(&self, source: std::io::Error) -> JournalError {
        JournalError::io(&self.path, source)
    }
}
