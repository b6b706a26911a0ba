//! Reading a journal from beginning to end, after which it can be written.

use super::blocks::{BadLine, BlockLine, Blocks, Content, Report, parse_head, parse_line};
use super::line::Link;
use super::{Journal, JournalError, Mark, Medium, StudyDir, is_full, line, mark};
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use swath_model::study::{Closing, Entry, Event, Study, Timestamp};

/// A reader of a journal, which iterates over its entries. A torn last line, one without a newline,
/// is not an entry.
#[derive(Debug)]
pub struct Replay {
    dir: StudyDir,
    path: PathBuf,
    /// The reader of the file; `None` if the journal does not exist.
    blocks: Option<Blocks>,
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
        let blocks = open_if_there(&path)?;
        Ok(Self {
            dir: dir.clone(),
            path,
            blocks,
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
        if let Some(blocks) = &mut self.blocks {
            blocks
                .seek(offset)
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
        if self.blocks.is_none() {
            self.blocks = open_if_there(&self.path)?;
        }
        self.is_done = false;
        self.skip_to(self.offset, self.next_seq, self.link)
    }

    /// Changes the number of bytes that are read at once, so that a short journal has many blocks.
    #[cfg(test)]
    pub(super) fn with_blocks_of(mut self, length: u64) -> Self {
        if let Some(blocks) = &mut self.blocks {
            blocks.block_length = length;
        }
        self
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

    /// Returns the next line after verifying that it continues the one before; `None` at the end,
    /// which may be torn, and after an error.
    fn next_line(&mut self) -> Result<Option<Content>, JournalError> {
        if self.is_done {
            return Ok(None);
        }
        let line = self.read_line();
        // After an error, no further line is read: its place in the study would be unknown.
        self.is_done = !matches!(line, Ok(Some(_)));
        line
    }

    fn read_line(&mut self) -> Result<Option<Content>, JournalError> {
        let Some(blocks) = &mut self.blocks else {
            return Ok(None);
        };
        let line = blocks
            .next_line()
            .map_err(|source| JournalError::io(&self.path, source))?;
        let Some(BlockLine { length, content }) = line else {
            return self.check_end();
        };
        // `parse_line` skips no line.
        let Some(content) = content else {
            return Ok(None);
        };
        let content = content.and_then(|content| self.continued(content));
        let content = match content {
            Ok(content) => content,
            // Whatever follows was not synced either, and continues lines that are gone.
            Err(BadLine { has_zero: true, .. }) if is_unsynced(self.offset, &self.dir) => {
                return Ok(None);
            }
            Err(BadLine { why, .. }) => {
                return Err(JournalError::bad_line(&self.path, self.lines + 1, why));
            }
        };
        self.lines += 1;
        self.offset += length as u64;
        let (seq, previous, link) = place(&content);
        self.next_seq = seq + 1;
        self.link = Some(link);
        self.is_chained = previous.is_some();
        Ok(Some(content))
    }

    /// Checks the bytes behind the last whole line.
    ///
    /// # Errors
    /// A torn line ends before its checksum does. A complete entry that is followed by further
    /// bytes was committed, and its line break was damaged.
    fn check_end(&self) -> Result<Option<Content>, JournalError> {
        let tail = self.blocks.as_ref().map_or(&[][..], Blocks::tail);
        let end = line::complete_entry(tail);
        let is_damaged = end.is_some_and(|end| end < tail.len())
            && !(tail.contains(&0) && is_unsynced(self.offset, &self.dir));
        if is_damaged {
            let why = "its line break has changed".to_owned();
            return Err(JournalError::bad_line(&self.path, self.lines + 1, why));
        }
        Ok(None)
    }

    /// Returns a line that continues the last one. A line that is part of the chain makes all later
    /// ones part of it.
    ///
    /// # Errors
    /// If the line does not continue the last one; the reason in words.
    fn continued(&self, content: Content) -> Result<Content, BadLine> {
        let (seq, previous, _) = place(&content);
        let follows = match (previous, self.link) {
            (Some(previous), Some(last)) => previous == last,
            (Some(_), None) => seq > 0,
            (None, _) => !self.is_chained,
        };
        if follows {
            return Ok(content);
        }
        let why = "it does not continue the line before it: lines are missing, or it is of another \
                   journal";
        Err(BadLine {
            why: why.to_owned(),
            has_zero: false,
        })
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
        // Most entries are reports, which are written into the same one in turns.
        let mut report = blank_entry();
        while let Some(content) = self.next_line()? {
            let entry = match &content {
                Content::Entry(line) => &line.entry,
                Content::Report(line) => {
                    self.write_entry(line, &mut report);
                    &report
                }
            };
            study.apply(entry).map_err(|source| JournalError::Illegal {
                path: self.path.clone(),
                line: self.lines,
                source,
            })?;
            each(study, entry);
        }
        Ok(())
    }

    /// Iterates over the entries without the reports, whose values take most of the time to parse.
    /// Every line is verified all the same. Reports of earlier versions are returned.
    pub fn without_reports(mut self) -> impl Iterator<Item = Result<Entry, JournalError>> {
        if let Some(blocks) = &mut self.blocks {
            blocks.parse_line = parse_head;
        }
        std::iter::from_fn(move || {
            loop {
                match self.next_line().transpose()? {
                    Ok(Content::Report(_)) => {}
                    Ok(Content::Entry(line)) => return Some(Ok(line.entry)),
                    Err(error) => return Some(Err(error)),
                }
            }
        })
    }

    /// Writes the entry of the report that was read last.
    fn write_entry(&self, report: &Report, entry: &mut Entry) {
        if let Some(blocks) = &self.blocks {
            blocks.block().write_entry(report, entry);
        }
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
            self.next_line()?;
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

/// Returns whether the bytes from `offset` on were never synced. A power cut leaves zeros in place of
/// such bytes: the file has its new length, and its new contents did not reach the disk. An entry has
/// no zero byte. Lines that were synced are damaged otherwise, and are refused.
fn is_unsynced(offset: u64, dir: &StudyDir) -> bool {
    Mark::read(dir).is_some_and(|mark| offset >= mark.length)
}

/// Returns the sequence number of a line, the checksum that it repeats, and its own.
fn place(content: &Content) -> (u64, Option<Link>, Link) {
    match content {
        Content::Report(report) => (report.head.seq, report.previous, report.link),
        Content::Entry(line) => (line.entry.seq, line.previous, line.link),
    }
}

/// Returns an entry to be written over.
pub(super) fn blank_entry() -> Entry {
    Entry {
        seq: 0,
        at: Timestamp::from_micros(0),
        event: Event::Closed {
            why: Closing::Finished,
        },
        away: None,
    }
}

/// Opens a journal for reading; `None` if it does not exist.
fn open_if_there(path: &Path) -> Result<Option<Blocks>, JournalError> {
    match File::open(path) {
        Ok(file) => Ok(Some(Blocks::new(file, parse_line))),
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
        let content = match self.next_line().transpose()? {
            Ok(content) => content,
            Err(error) => return Some(Err(error)),
        };
        Some(Ok(match content {
            Content::Entry(line) => line.entry,
            Content::Report(report) => {
                let mut entry = blank_entry();
                self.write_entry(&report, &mut entry);
                entry
            }
        }))
    }
}
