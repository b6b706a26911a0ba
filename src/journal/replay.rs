//! Reading a journal from its beginning to its end, after which it can be written.

use super::{Journal, JournalError, Medium, StudyDir, is_full, line};
use crate::study::{Entry, Study};
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::PathBuf;

/// A journal that is being read. Iterates over its entries; a torn last line (no newline) is not
/// one.
#[derive(Debug)]
pub struct Replay {
    path: PathBuf,
    torn: PathBuf,
    reader: Option<BufReader<File>>,
    line: Vec<u8>,
    /// Bytes of whole lines read so far.
    offset: u64,
    lines: u64,
    next_seq: u64,
    done: bool,
}

impl Replay {
    pub(super) fn open(dir: &StudyDir) -> Result<Self, JournalError> {
        let path = dir.journal();
        let reader = match File::open(&path) {
            Ok(file) => Some(BufReader::with_capacity(1 << 18, file)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(source) => return Err(JournalError::Io { path, source }),
        };
        let torn = dir.torn();
        Ok(Self {
            path,
            torn,
            reader,
            line: Vec::new(),
            offset: 0,
            lines: 0,
            next_seq: 0,
            done: false,
        })
    }

    /// Continues from a place that is known to be the start of a line: entry `seq` at byte
    /// `offset`.
    pub(super) fn skip_to(&mut self, offset: u64, seq: u64) -> Result<(), JournalError> {
        if let Some(reader) = &mut self.reader {
            let moved = reader.seek(SeekFrom::Start(offset));
            moved.map_err(|source| JournalError::Io {
                path: self.path.clone(),
                source,
            })?;
        }
        (self.offset, self.lines, self.next_seq) = (offset, seq, seq);
        Ok(())
    }

    /// Returns the bytes of whole lines read so far.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Returns the number of the line read last, from 1.
    #[must_use]
    pub fn line(&self) -> u64 {
        self.lines
    }

    /// Returns the path of the journal, for messages.
    #[must_use]
    pub fn path(&self) -> &std::path::Path {
        &self.path
    }

    fn read_line(&mut self) -> Result<Option<Entry>, JournalError> {
        let Some(reader) = &mut self.reader else {
            return Ok(None);
        };
        self.line.clear();
        let read = reader.read_until(b'\n', &mut self.line);
        read.map_err(|source| JournalError::Io {
            path: self.path.clone(),
            source,
        })?;
        let bad = |line, why| JournalError::BadLine {
            path: self.path.clone(),
            line,
            why,
        };
        let Some(whole) = self.line.strip_suffix(b"\n") else {
            // A line that was torn has not come to its end; one that has, and goes on, has lost its
            // line break in another way.
            if line::whole(&self.line).is_some_and(|end| end < self.line.len()) {
                return Err(bad(self.lines + 1, "its line break has changed".to_owned()));
            }
            return Ok(None);
        };
        self.lines += 1;
        let entry = line::read(whole).map_err(|why| bad(self.lines, why))?;
        self.offset += self.line.len() as u64;
        self.next_seq = entry.seq + 1;
        Ok(Some(entry))
    }

    /// Folds every entry that is left into `study`, and tells `each` of it.
    ///
    /// # Errors
    /// As for reading entries; [`JournalError::Illegal`] if one cannot follow what happened before.
    pub fn fold_into(
        &mut self,
        study: &mut Study,
        each: &mut dyn FnMut(&Study, &Entry),
    ) -> Result<(), JournalError> {
        while let Some(entry) = self.next() {
            let entry = entry?;
            study
                .apply(&entry)
                .map_err(|source| JournalError::Illegal {
                    path: self.path.clone(),
                    line: self.lines,
                    source,
                })?;
            each(study, &entry);
        }
        Ok(())
    }

    /// Becomes the writer. What stands behind the last newline was never committed: it is kept in
    /// `journal.torn` and cut off.
    ///
    /// # Errors
    /// If entries are left that were not read, or the file cannot be written.
    pub fn into_writer(self) -> Result<Journal, JournalError> {
        self.into_writer_on(|file| Box::new(file))
    }

    /// Becomes the writer as [`into_writer`](Self::into_writer) does, on what `medium` makes of the
    /// file.
    ///
    /// # Errors
    /// As there.
    pub fn into_writer_on(
        mut self,
        medium: impl FnOnce(File) -> Box<dyn Medium>,
    ) -> Result<Journal, JournalError> {
        while !self.done {
            self.next().transpose()?;
        }
        let fail = |source| JournalError::Io {
            path: self.path.clone(),
            source,
        };
        let mut file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .open(&self.path)
            .map_err(fail)?;
        let length = file.metadata().map_err(fail)?.len();
        if length > self.offset {
            let mut rest = Vec::new();
            file.seek(SeekFrom::Start(self.offset)).map_err(fail)?;
            file.read_to_end(&mut rest).map_err(fail)?;
            let mut torn = OpenOptions::new()
                .append(true)
                .create(true)
                .open(&self.torn)
                .map_err(fail)?;
            // What was never committed need not be kept where there is no room for it.
            match torn.write_all(&rest).and_then(|()| torn.write_all(b"\n")) {
                Err(error) if !is_full(&error) => return Err(fail(error)),
                _ => {}
            }
            file.set_len(self.offset).map_err(fail)?;
        }
        if length == 0
            && let Some(parent) = self.path.parent()
        {
            let synced = File::open(parent).and_then(|folder| folder.sync_all());
            synced.map_err(fail)?;
        }
        Ok(Journal {
            path: self.path,
            medium: medium(file),
            buffer: Vec::new(),
            unsynced: Vec::new(),
            offset: self.offset,
            next_seq: self.next_seq,
            torn: false,
        })
    }
}

impl Iterator for Replay {
    type Item = Result<Entry, JournalError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let entry = self.read_line().transpose();
        self.done = !matches!(entry, Some(Ok(_)));
        entry
    }
}
