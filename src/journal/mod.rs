//! The journal: the one truth about a study. JSON lines, append only, one writer.
//!
//! `\n` is the commit mark. A journal can be written only after it was read to its end, so reading it *returns* the writer:
//! [`Journal::open`] gives a [`Replay`], whose [`into_writer`](Replay::into_writer) cuts a torn tail and hands over the [`Journal`].

pub mod dir;
pub mod lock;
pub mod replay;
pub mod snapshot;

pub use dir::StudyDir;
pub use lock::{Holder, Lock};
pub use replay::Replay;
pub use snapshot::read;

use crate::study::{Entry, Event, IllegalEvent, Timestamp};
use std::fs::File;
use std::io::Write;
use std::path::PathBuf;

/// The writer of a journal.
///
/// [`append`](Self::append) gathers, [`flush`](Self::flush) hands to the kernel (safe from SIGKILL), [`sync`](Self::sync) to the disk
/// (safe from power loss). Nothing may be acted on before it was flushed.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    buffer: Vec<u8>,
    offset: u64,
    next_seq: u64,
    unsynced: bool,
}

impl Journal {
    /// Opens a journal for reading it to its end, and then writing. An absent one is empty.
    ///
    /// # Errors
    /// If the file cannot be opened.
    pub fn open(dir: &StudyDir) -> Result<Replay, JournalError> {
        Replay::open(dir)
    }

    /// Gathers an event as the next entry.
    ///
    /// # Errors
    /// Only if the event cannot be written as JSON, which is a bug.
    pub fn append(&mut self, event: Event, at: Timestamp) -> Result<Entry, JournalError> {
        let entry = Entry { seq: self.next_seq, at, event };
        let start = self.buffer.len();
        if let Err(source) = serde_json::to_writer(&mut self.buffer, &entry) {
            self.buffer.truncate(start);
            return Err(JournalError::Io { path: self.path.clone(), source: source.into() });
        }
        self.buffer.push(b'\n');
        self.next_seq += 1;
        Ok(entry)
    }

    /// Hands everything gathered to the kernel.
    ///
    /// # Errors
    /// If it cannot be written. What was gathered is kept, the file is cut back to whole lines, and a later call tries again.
    pub fn flush(&mut self) -> Result<(), JournalError> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        if let Err(source) = self.file.write_all(&self.buffer) {
            let _ = self.file.set_len(self.offset);
            return Err(JournalError::Io { path: self.path.clone(), source });
        }
        self.offset += self.buffer.len() as u64;
        self.buffer.clear();
        self.unsynced = true;
        Ok(())
    }

    /// Hands everything gathered to the disk.
    ///
    /// # Errors
    /// As [`flush`](Self::flush).
    pub fn sync(&mut self) -> Result<(), JournalError> {
        self.flush()?;
        if self.unsynced {
            self.file.sync_data().map_err(|source| JournalError::Io { path: self.path.clone(), source })?;
            self.unsynced = false;
        }
        Ok(())
    }

    /// Returns how many bytes the kernel has.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }
}

/// What can be wrong with a journal.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// A file could not be read or written.
    #[error("`{path}` could not be read or written")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Another process runs this study.
    #[error("{}", held(study, holder.as_ref()))]
    Held {
        /// The study's folder.
        study: PathBuf,
        /// Who runs it, if that could be read.
        holder: Option<Holder>,
    },
    /// A line before the last is not an entry.
    #[error("line {line} of `{path}` is not a journal entry: {why}")]
    BadLine {
        /// The journal.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// What is wrong with it.
        why: String,
    },
    /// A line is an entry, but not one that can stand there.
    #[error("line {line} of `{path}` cannot stand there")]
    Illegal {
        /// The journal.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// Why.
        #[source]
        source: IllegalEvent,
    },
    /// There is no study.
    #[error("there is no study at `{0}`")]
    NoStudy(PathBuf),
}

fn held(study: &std::path::Path, holder: Option<&Holder>) -> String {
    let by = holder.map_or_else(
        || "another process".to_owned(),
        |holder| {
            format!("process {} of {} on {} since {}", holder.pid, holder.user, holder.host, holder.since)
        },
    );
    format!("`{}` is being run by {by}", study.display())
}
