//! Reads a file as it grows: in whole lines for records, in bytes for other output.

use super::digest::FileState;
use super::regular;
use super::wire::LONGEST_LINE;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

/// Number of bytes read at a time, at first and at most, and per call. Most files are short, and a
/// long buffer would cost more than they do. The number per call is bounded, so that a program that
/// never stops writing cannot keep its reader busy.
const FIRST_CHUNK: usize = 1 << 13;
const CHUNK: usize = 1 << 18;
const PER_CALL: usize = 1 << 24;

/// A line that a [`Tail`] read, or an event of its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line<'a> {
    /// A whole line.
    Whole {
        /// The line's number, from 1.
        number: u64,
        /// The offset in the file behind the line and its line break.
        end: u64,
        /// The line's bytes, without the line break.
        bytes: &'a [u8],
    },
    /// A line of more than [`LONGEST_LINE`] bytes, which was skipped.
    TooLong {
        /// The line's number, from 1.
        number: u64,
        /// The offset in the file behind the line and its line break.
        end: u64,
        /// The line's length in bytes.
        bytes: u64,
    },
    /// The last line of a file that ends without a line break; delivered by [`Tail::finish`] only.
    Torn {
        /// The line's number, from 1.
        number: u64,
        /// The offset behind the line and the line break that it still lacks.
        end: u64,
        /// The bytes of the line that exist.
        bytes: &'a [u8],
    },
    /// The file became shorter, or another file took its place. Reading starts again at its
    /// beginning.
    Replaced {
        /// The number of the last line read before.
        after: u64,
    },
}

impl Line<'_> {
    /// Returns the offset in the file behind the line; `None` if the file was replaced.
    #[must_use]
    pub fn end(&self) -> Option<u64> {
        match self {
            Self::Whole { end, .. } | Self::TooLong { end, .. } | Self::Torn { end, .. } => {
                Some(*end)
            }
            Self::Replaced { .. } => None,
        }
    }
}

/// Reads whole lines from a file as it grows.
#[derive(Debug)]
pub struct Tail {
    growth: Growth,
    splitter: Splitter,
}

/// Splits the bytes of a file into lines.
#[derive(Debug, Default)]
struct Splitter {
    /// The beginning of a line whose end has not been read.
    rest: Vec<u8>,
    /// Number of skipped bytes of a line that is too long.
    skipped: u64,
    /// Number of the last whole line.
    number: u64,
    /// The offset behind the last whole line.
    end: u64,
}

impl Tail {
    /// Makes a reader that starts at the beginning of `path`, which need not exist yet.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            growth: Growth::new(path),
            splitter: Splitter::default(),
        }
    }

    /// Makes a reader that skips the lines that are in the file now, for an attempt that resumes a
    /// trial.
    ///
    /// # Errors
    /// If the file exists and cannot be read.
    pub fn after_existing(path: impl Into<PathBuf>) -> io::Result<Self> {
        let mut tail = Self::new(path);
        while tail.poll(&mut |_| ())? > 0 {}
        Ok(tail)
    }

    /// Passes each line that was completed since the last call to `each`. Returns the number of
    /// bytes read.
    ///
    /// A call reads at most 16 MiB, so call again while [`behind`](Self::behind) is true.
    ///
    /// # Errors
    /// If the file cannot be read. A file that does not exist yet is no error.
    pub fn poll(&mut self, each: &mut dyn FnMut(Line<'_>)) -> io::Result<usize> {
        let Self { growth, splitter } = self;
        let read = growth.follow(&mut |piece| match piece {
            Piece::Bytes(bytes) => splitter.split(bytes, each),
            Piece::Restart => {
                each(Line::Replaced {
                    after: splitter.number,
                });
                *splitter = Splitter::default();
            }
        })?;
        // One long line must not occupy its memory for the rest of the run.
        let rest = &mut splitter.rest;
        if rest.capacity() > 4 * CHUNK && rest.len() < CHUNK {
            rest.shrink_to(CHUNK);
        }
        Ok(read)
    }

    /// Returns the offset behind the last whole line that was read.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.splitter.end
    }

    /// Returns whether the last call stopped before the end of the file.
    #[must_use]
    pub fn behind(&self) -> bool {
        self.growth.behind
    }

    /// Returns whether the last line that was read is not complete yet.
    pub(super) fn is_torn(&self) -> bool {
        !self.splitter.rest.is_empty() || self.splitter.skipped > 0
    }

    /// Returns the metadata of the file; `None` if it does not exist.
    pub(super) fn state(&self) -> Option<FileState> {
        let about = match &self.growth.open {
            Some(open) => open.file.metadata(),
            None => fs::metadata(&self.growth.path),
        };
        about.ok().map(|about| FileState::of(&about))
    }

    /// Returns the metadata of the file if all of it has been read: every line that was written up
    /// to its time is known then.
    pub(super) fn state_as_read(&self) -> Option<FileState> {
        let open = self.growth.open.as_ref()?;
        let about = open.file.metadata().ok()?;
        (about.len() == open.offset).then(|| FileState::of(&about))
    }

    /// Reads to the end, for the last time, and delivers an incomplete last line too.
    ///
    /// # Errors
    /// As [`poll`](Self::poll).
    pub fn finish(&mut self, each: &mut dyn FnMut(Line<'_>)) -> io::Result<usize> {
        let mut read = self.poll(each)?;
        while self.behind() {
            read += self.poll(each)?;
        }
        self.splitter.finish(each);
        Ok(read)
    }
}

impl Splitter {
    /// Passes each line that these bytes complete to `each`.
    fn split(&mut self, mut bytes: &[u8], each: &mut dyn FnMut(Line<'_>)) {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            let (line, after) = (&bytes[..end], &bytes[end + 1..]);
            let length = self.skipped + (self.rest.len() + line.len()) as u64;
            self.number += 1;
            self.end += length + 1;
            let (number, end) = (self.number, self.end);
            if length > LONGEST_LINE as u64 {
                each(Line::TooLong {
                    number,
                    end,
                    bytes: length,
                });
            } else if self.rest.is_empty() {
                each(Line::Whole {
                    number,
                    end,
                    bytes: line,
                });
            } else {
                self.rest.extend_from_slice(line);
                each(Line::Whole {
                    number,
                    end,
                    bytes: &self.rest,
                });
            }
            self.rest.clear();
            self.skipped = 0;
            bytes = after;
        }
        self.rest.extend_from_slice(bytes);
        // The bytes of a line that is too long are counted and dropped, so that memory stays
        // bounded.
        if self.skipped > 0 || self.rest.len() > LONGEST_LINE {
            self.skipped += self.rest.len() as u64;
            self.rest.clear();
        }
    }

    /// Passes the last line to `each` if it has no line break.
    fn finish(&mut self, each: &mut dyn FnMut(Line<'_>)) {
        let bytes = self.skipped + self.rest.len() as u64;
        let (number, end) = (self.number + 1, self.end + bytes + 1);
        if self.skipped > 0 {
            each(Line::TooLong { number, end, bytes });
        } else if !self.rest.is_empty() {
            let bytes = &self.rest;
            each(Line::Torn { number, end, bytes });
        }
        self.rest.clear();
        self.skipped = 0;
    }
}

/// Reads the bytes of a file as it grows, for output that does not consist of records.
#[derive(Debug)]
pub struct Growth {
    path: PathBuf,
    open: Option<Open>,
    chunk: Vec<u8>,
    behind: bool,
}

#[derive(Debug)]
struct Open {
    file: File,
    dev: u64,
    inode: u64,
    offset: u64,
}

enum Piece<'a> {
    Bytes(&'a [u8]),
    Restart,
}

impl Growth {
    /// Makes a reader that starts at the beginning of `path`, which need not exist yet.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            open: None,
            chunk: Vec::new(),
            behind: false,
        }
    }

    /// Passes the bytes that were appended since the last call to `each`, in pieces. Returns their
    /// number. A truncated or replaced file is read from its beginning again. A call reads at most
    /// 16 MiB, so call again while [`behind`](Self::behind) is true.
    ///
    /// # Errors
    /// If the file cannot be read. A file that does not exist yet is no error.
    pub fn poll(&mut self, each: &mut dyn FnMut(&[u8])) -> io::Result<usize> {
        self.follow(&mut |piece| {
            if let Piece::Bytes(bytes) = piece {
                each(bytes);
            }
        })
    }

    /// Returns whether the last call stopped before the end of the file.
    #[must_use]
    pub fn behind(&self) -> bool {
        self.behind
    }

    fn follow(&mut self, each: &mut dyn FnMut(Piece<'_>)) -> io::Result<usize> {
        let mut total = self.read_on(each)?;
        // The check is made only when there is no new output, so it costs nothing while there is.
        if total == 0 && self.was_replaced()? {
            self.open = None;
            each(Piece::Restart);
            total = self.read_on(each)?;
        }
        Ok(total)
    }

    fn read_on(&mut self, each: &mut dyn FnMut(Piece<'_>)) -> io::Result<usize> {
        self.behind = false;
        if self.open.is_none() {
            let file = match regular::open(&self.path) {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
                Err(error) => return Err(error),
            };
            let about = file.metadata()?;
            self.open = Some(Open {
                file,
                dev: about.dev(),
                inode: about.ino(),
                offset: 0,
            });
            self.chunk.resize(FIRST_CHUNK.max(self.chunk.len()), 0);
        }
        let Some(open) = &mut self.open else {
            return Ok(0);
        };
        let mut total = 0;
        while total < PER_CALL {
            let read = match open.file.read(&mut self.chunk) {
                Ok(0) => return Ok(total),
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            open.offset += read as u64;
            total += read;
            each(Piece::Bytes(&self.chunk[..read]));
            // A short read means the end of the file, which saves a call.
            if read < self.chunk.len() {
                return Ok(total);
            }
            self.chunk.resize((2 * read).min(CHUNK), 0);
        }
        self.behind = true;
        Ok(total)
    }

    fn was_replaced(&self) -> io::Result<bool> {
        let Some(open) = &self.open else {
            return Ok(false);
        };
        match fs::metadata(&self.path) {
            Ok(now) => {
                Ok(now.len() < open.offset || (now.dev(), now.ino()) != (open.dev, open.inode))
            }
            // The open file may still grow although its name is gone.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use std::fs::OpenOptions;
    use std::io::Write;

    fn append(path: &std::path::Path, bytes: &[u8]) {
        OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .unwrap()
            .write_all(bytes)
            .unwrap();
    }

    fn poll(tail: &mut Tail) -> Vec<String> {
        let mut lines = Vec::new();
        tail.poll(&mut |line| lines.push(describe(line))).unwrap();
        lines
    }

    fn describe(line: Line<'_>) -> String {
        match line {
            Line::Whole { number, bytes, .. } => {
                format!("{number} {}", String::from_utf8_lossy(bytes))
            }
            Line::Torn { number, bytes, .. } => {
                format!("{number} torn {}", String::from_utf8_lossy(bytes))
            }
            Line::TooLong { number, bytes, .. } => format!("{number} too long: {bytes}"),
            Line::Replaced { after } => format!("replaced after {after}"),
        }
    }

    #[test]
    fn a_line_is_delivered_once_and_only_when_it_is_complete() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("records.jsonl");
        let mut tail = Tail::new(&path);
        assert!(poll(&mut tail).is_empty());
        append(&path, b"one\ntw");
        assert_eq!(poll(&mut tail), ["1 one"]);
        append(&path, b"o\n\nfour");
        assert_eq!(poll(&mut tail), ["2 two", "3 "]);
        let mut last = Vec::new();
        tail.finish(&mut |line| last.push(describe(line))).unwrap();
        assert_eq!(last, ["4 torn four"]);
    }

    #[test]
    fn a_line_over_the_limit_is_refused_with_its_number_and_the_next_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("records.jsonl");
        let mut bytes = b"one\n".to_vec();
        bytes.resize(bytes.len() + LONGEST_LINE + 1, b'x');
        append(&path, &bytes);
        let mut tail = Tail::new(&path);
        assert_eq!(poll(&mut tail), ["1 one"]);
        append(&path, b"xx\nthree\n");
        assert_eq!(
            poll(&mut tail),
            [
                format!("2 too long: {}", LONGEST_LINE + 3),
                "3 three".to_owned()
            ]
        );
        assert!(tail.splitter.rest.capacity() <= 4 * CHUNK);
    }

    #[test]
    fn a_line_of_exactly_the_limit_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("records.jsonl");
        append(&path, &[vec![b'x'; LONGEST_LINE], b"\n".to_vec()].concat());
        let mut sizes = Vec::new();
        Tail::new(&path)
            .poll(&mut |line| {
                if let Line::Whole { bytes, .. } = line {
                    sizes.push(bytes.len());
                }
            })
            .unwrap();
        assert_eq!(sizes, [LONGEST_LINE]);
    }

    #[test]
    fn a_file_that_was_truncated_or_replaced_is_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("records.jsonl");
        append(&path, b"one\ntwo\nthr");
        let mut tail = Tail::new(&path);
        assert_eq!(poll(&mut tail), ["1 one", "2 two"]);
        fs::write(&path, "new\n").unwrap();
        assert_eq!(poll(&mut tail), ["replaced after 2", "1 new"]);
        fs::write(dir.path().join("other"), "other, and longer\n").unwrap();
        fs::rename(dir.path().join("other"), &path).unwrap();
        assert_eq!(poll(&mut tail), ["replaced after 1", "1 other, and longer"]);
        fs::remove_file(&path).unwrap();
        assert!(poll(&mut tail).is_empty());
    }

    #[test]
    fn a_resumed_attempt_does_not_read_the_old_lines_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("records.jsonl");
        append(&path, b"one\ntwo\n");
        let mut tail = Tail::after_existing(&path).unwrap();
        append(&path, b"three\n");
        assert_eq!(poll(&mut tail), ["3 three"]);
    }

    #[test]
    fn every_line_knows_the_offset_behind_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("records.jsonl");
        let mut tail = Tail::new(&path);
        append(&path, b"one\ntw");
        let mut ends = Vec::new();
        tail.poll(&mut |line| ends.push(line.end())).unwrap();
        append(&path, b"o\n\nfour");
        tail.finish(&mut |line| ends.push(line.end())).unwrap();
        // The last line still lacks its line break, which the next attempt writes.
        assert_eq!(ends, [Some(4), Some(8), Some(9), Some(14)]);
        assert_eq!(tail.end(), 9);
    }

    #[test]
    fn the_buffer_of_a_short_file_is_short_and_grows_with_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("records.jsonl");
        append(&path, b"one\n");
        let mut tail = Tail::new(&path);
        assert_eq!(poll(&mut tail), ["1 one"]);
        assert_eq!(tail.growth.chunk.len(), FIRST_CHUNK);
        append(&path, "two\n".repeat(CHUNK).as_bytes());
        assert_eq!(poll(&mut tail).len(), CHUNK);
        assert_eq!(tail.growth.chunk.len(), CHUNK);
    }

    #[test]
    fn a_folder_or_a_named_pipe_in_its_place_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Tail::new(dir.path()).poll(&mut |_| ()).is_err());
        let pipe = dir.path().join("records.jsonl");
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, 0o600.into()).unwrap();
        assert!(Tail::new(pipe).poll(&mut |_| ()).is_err());
    }

    proptest! {
        #[test]
        fn lines_are_complete_in_whatever_pieces_the_file_grows(
            pieces in vec(vec(prop_oneof![Just(b'\n'), any::<u8>()], 0..40), 0..8)
        ) {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("records.jsonl");
            let mut tail = Tail::new(&path);
            let mut lines: Vec<Vec<u8>> = Vec::new();
            for piece in &pieces {
                append(&path, piece);
                let mut keep = |line: Line<'_>| {
                    if let Line::Whole { bytes, .. } = line {
                        lines.push(bytes.to_vec());
                    }
                };
                tail.poll(&mut keep).unwrap();
            }
            let all = pieces.concat();
            let split = all.split(|byte| *byte == b'\n');
            let mut expected: Vec<Vec<u8>> = split.map(<[u8]>::to_vec).collect();
            expected.pop();
            prop_assert_eq!(lines, expected);
        }
    }
}
