//! Reading a journal from beginning to end, after which it can be written.

use super::line::{Line, Link};
use super::{Journal, JournalError, Mark, Medium, StudyDir, is_full, line, mark};
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use swath_model::study::{Entry, Study};

/// A reader of a journal, which iterates over its entries. A torn last line, one without a newline,
/// is not an entry.
#[derive(Debug)]
pub struct Replay {
    dir: StudyDir,
    path: PathBuf,
    /// The reader of the file; `None` if the journal does not exist.
    reader: Option<BufReader<File>>,
    /// The buffer for a line.
    line: Vec<u8>,
    /// The total length of the whole lines read so far, in bytes.
    offset: u64,
    /// The number of lines read so far.
    lines: u64,
    /// The sequence number that follows the last entry read.
    next_seq: u64,
    /// The checksum of the last line read; `None` before the first line, or if it is unknown.
    link: Option<Link>,
    /// Whether the last line read repeats the checksum of the line before, so all later ones do.
    is_chained: bool,
    /// Whether the end was reached, or an error was returned.
    is_done: bool,
}

impl Replay {
    pub(super) fn open(dir: &StudyDir) -> Result<Self, JournalError> {
        let path = dir.journal();
        let reader = open_if_there(&path)?;
        Ok(Self {
            dir: dir.clone(),
            path,
            reader,
            line: Vec::new(),
            offset: 0,
            lines: 0,
            next_seq: 0,
            link: None,
            is_chained: false,
            is_done: false,
        })
    }

    /// Continues at byte `offset`, which must be the start of the line of entry `seq`. `link`: the
    /// checksum of the line before, if it is known.
    pub(super) fn skip_to(
        &mut self,
        offset: u64,
        seq: u64,
        link: Option<Link>,
    ) -> Result<(), JournalError> {
        if let Some(reader) = &mut self.reader {
            reader
                .seek(SeekFrom::Start(offset))
                .map_err(|source| JournalError::io(&self.path, source))?;
        }
        (self.offset, self.lines, self.next_seq) = (offset, seq, seq);
        self.link = link;
        Ok(())
    }

    /// Continues after the end was reached, so that entries that were written since are read. A
    /// line that was torn is read again from its start.
    ///
    /// # Errors
    /// If the file cannot be opened or read.
    pub fn look_again(&mut self) -> Result<(), JournalError> {
        if self.reader.is_none() {
            self.reader = open_if_there(&self.path)?;
        }
        self.is_done = false;
        self.skip_to(self.offset, self.next_seq, self.link)
    }

    /// Returns the total length of the whole lines read so far, in bytes.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Returns the number of the last line read, from 1; 0 before the first.
    #[must_use]
    pub fn line(&self) -> u64 {
        self.lines
    }

    /// Returns the path of the journal, for messages.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads and verifies the next entry; `None` at the end, which may be torn.
    fn read_line(&mut self) -> Result<Option<Entry>, JournalError> {
        let Some(reader) = &mut self.reader else {
            return Ok(None);
        };
        self.line.clear();
        reader
            .read_until(b'\n', &mut self.line)
            .map_err(|source| JournalError::io(&self.path, source))?;
        let Some(line) = self.line.strip_suffix(b"\n") else {
            // A torn line ends before its checksum does. A complete entry that is followed by
            // further bytes was committed, and its line break was damaged.
            let end = line::complete_entry(&self.line);
            if end.is_some_and(|end| end < self.line.len())
                && !is_left_by_power_cut(&self.line, self.offset, &self.dir)
            {
                let why = "its line break has changed".to_owned();
                return Err(JournalError::bad_line(&self.path, self.lines + 1, why));
            }
            return Ok(None);
        };
        self.lines += 1;
        let read = line::read(line).and_then(|line| continues(line, self.link, self.is_chained));
        let line = match read {
            Ok(line) => line,
            // Whatever follows was not synced either, and continues lines that are gone.
            Err(_) if is_left_by_power_cut(line, self.offset, &self.dir) => {
                self.lines -= 1;
                return Ok(None);
            }
            Err(why) => return Err(JournalError::bad_line(&self.path, self.lines, why)),
        };
        self.offset += self.line.len() as u64;
        self.next_seq = line.entry.seq + 1;
        self.link = Some(line.link);
        self.is_chained = line.previous.is_some();
        Ok(Some(line.entry))
    }

    /// Applies all remaining entries to `study`, and calls `each` after each of them.
    ///
    /// # Errors
    /// As for reading entries; [`JournalError::Illegal`] if the study does not allow an event.
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

    /// Returns the writer. Bytes after the last newline were never committed, and a power cut may
    /// have left zeros in place of lines that were never synced: what follows the last whole line is
    /// appended to `journal.torn` and cut off.
    ///
    /// # Errors
    /// If one of the remaining entries cannot be read, the file cannot be written, or entries are
    /// missing at the end that were on the disk before.
    pub fn into_writer(self) -> Result<Journal, JournalError> {
        self.into_writer_on(|file| Box::new(file), |file| Box::new(file))
    }

    /// Returns the writer as [`into_writer`](Self::into_writer) does, writing to the media that
    /// `medium` makes of the journal's file and `mark` of that of its mark.
    ///
    /// # Errors
    /// As for [`into_writer`](Self::into_writer).
    pub fn into_writer_on(
        mut self,
        medium: impl FnOnce(File) -> Box<dyn Medium>,
        mark: impl FnOnce(File) -> Box<dyn Medium>,
    ) -> Result<Journal, JournalError> {
        // The end of the journal is only known once every entry was read and verified.
        while !self.is_done {
            self.next().transpose()?;
        }
        if let Some(shortfall) = mark::shortfall(&self.dir) {
            return Err(JournalError::Short {
                path: self.path,
                shortfall,
            });
        }
        let mut file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .open(&self.path)
            .map_err(|source| JournalError::io(&self.path, source))?;
        self.prepare(&mut file)
            .map_err(|source| JournalError::io(&self.path, source))?;
        Ok(Journal {
            // The mark is an aid: without it, only a journal that becomes shorter goes unnoticed.
            mark: mark::open(&self.dir).ok().map(mark),
            is_mark_synced: false,
            link: self.link,
            path: self.path,
            medium: medium(file),
            buffer: Vec::new(),
            unsynced: Vec::new(),
            offset: self.offset,
            next_seq: self.next_seq,
            torn: false,
        })
    }

    /// Moves a torn end to `journal.torn` and makes a new file durable.
    fn prepare(&self, file: &mut File) -> std::io::Result<()> {
        let length = file.metadata()?.len();
        if length > self.offset {
            let mut torn_bytes = Vec::new();
            file.seek(SeekFrom::Start(self.offset))?;
            file.read_to_end(&mut torn_bytes)?;
            let mut torn = OpenOptions::new()
                .append(true)
                .create(true)
                .open(self.dir.torn())?;
            torn_bytes.push(b'\n');
            // On a full disk, the torn bytes are given up: they were never committed.
            match torn.write_all(&torn_bytes) {
                Err(error) if !is_full(&error) => return Err(error),
                _ => {}
            }
            file.set_len(self.offset)?;
        }
        // A new file is safe from power loss only once its folder is synced.
        if length == 0
            && let Some(parent) = self.path.parent()
        {
            File::open(parent)?.sync_all()?;
        }
        Ok(())
    }
}

/// Returns whether a bad line at `offset` is what a power cut leaves of lines that were not synced:
/// the file has its new length, and zeros where its new contents did not reach the disk. An entry
/// has no zero byte. Lines that were synced are damaged otherwise, and are refused.
fn is_left_by_power_cut(line: &[u8], offset: u64, dir: &StudyDir) -> bool {
    line.contains(&0) && Mark::read(dir).is_some_and(|mark| offset >= mark.length)
}

/// Returns a line that continues the one with the checksum `last`. `is_chained`: that line is part
/// of the chain already, so the next one must be, too.
///
/// # Errors
/// If the line does not continue it; the reason in words.
fn continues(line: Line, last: Option<Link>, is_chained: bool) -> Result<Line, String> {
    let follows = match (line.previous, last) {
        (Some(previous), Some(last)) => previous == last,
        (Some(_), None) => line.entry.seq > 0,
        (None, _) => !is_chained,
    };
    if follows {
        return Ok(line);
    }
    Err(
        "it does not continue the line before it: lines are missing, or it is of another journal"
            .to_owned(),
    )
}

/// Opens a journal for reading; `None` if it does not exist.
fn open_if_there(path: &Path) -> Result<Option<BufReader<File>>, JournalError> {
    match File::open(path) {
        Ok(file) => Ok(Some(BufReader::with_capacity(1 << 18, file))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(JournalError::Io {
            path: path.to_owned(),
            source,
        }),
    }
}

impl Iterator for Replay {
    type Item = Result<Entry, JournalError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_done {
            return None;
        }
        let entry = self.read_line().transpose();
        // After an error, no further line is read: its place in the study would be unknown.
        self.is_done = !matches!(entry, Some(Ok(_)));
        entry
    }
}
