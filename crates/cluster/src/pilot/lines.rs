//! Files of JSON lines with one writer: lines are appended whole, and readers open the file anew.
//!
//! A shared file system may show a file late, or show its end as zeros for a while. A reader
//! therefore opens the file at each poll, reads to its end whatever size is reported, takes only
//! complete lines, and counts a line as bad only if it is still bad at the next poll.

use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

/// Most bytes that one read takes, so that one long file does not block the caller.
const AT_ONCE: usize = 8 << 20;

/// Reader of the lines of a growing file.
#[derive(Debug)]
pub(super) struct Reader {
    path: PathBuf,
    offset: u64,
    /// Offset of a line that could not be parsed at the last read.
    doubtful: Option<u64>,
    /// Number of lines that were skipped as bad.
    pub(super) bad: u64,
}

impl Reader {
    pub(super) fn new(path: PathBuf) -> Self {
        Self {
            path,
            offset: 0,
            doubtful: None,
            bad: 0,
        }
    }

    /// Passes every line that is complete since the last read to `each`; returns whether there was
    /// one. A missing file has no lines.
    pub(super) fn read<T: DeserializeOwned>(
        &mut self,
        each: &mut dyn FnMut(T),
    ) -> io::Result<bool> {
        let mut file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        file.seek(SeekFrom::Start(self.offset))?;
        let mut bytes = Vec::new();
        file.take(AT_ONCE as u64).read_to_end(&mut bytes)?;
        let mut has_lines = false;
        let mut rest = bytes.as_slice();
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let (line, after) = rest.split_at(end + 1);
            match serde_json::from_slice(line) {
                Ok(value) => {
                    each(value);
                    has_lines = true;
                }
                // An earlier writer left this line open, and its successor ended it.
                Err(_) if line.trim_ascii().is_empty() => {}
                Err(_) if self.doubtful == Some(self.offset) => self.bad += 1,
                // The bytes may not be visible yet: parse the line again at the next read.
                Err(_) => {
                    self.doubtful = Some(self.offset);
                    return Ok(has_lines);
                }
            }
            self.offset += line.len() as u64;
            rest = after;
        }
        // A line longer than one read would never end; skip it.
        if bytes.len() == AT_ONCE && rest.len() == AT_ONCE {
            self.offset += AT_ONCE as u64;
            self.bad += 1;
        }
        Ok(has_lines)
    }
}

/// Writer that appends lines to a file; it is the only writer of that file.
///
/// The file is opened and closed for each flush: on network file systems, closing makes the lines
/// visible to other machines.
#[derive(Debug)]
pub(super) struct Writer {
    path: PathBuf,
    waiting: Vec<u8>,
}

impl Writer {
    /// Opens a file for appending, or creates it. A line that an earlier writer left open is ended
    /// first. Only the user may read a new file, because orders contain the commands of trials.
    pub(super) fn resume(path: PathBuf) -> io::Result<Self> {
        let mut file = OpenOptions::new()
            .create(true)
            .read(true)
            .append(true)
            .mode(0o600)
            .open(&path)?;
        if file.seek(SeekFrom::End(0))? > 0 {
            file.seek(SeekFrom::End(-1))?;
            let mut last = [0];
            file.read_exact(&mut last)?;
            if last != *b"\n" {
                file.write_all(b"\n")?;
            }
        }
        Ok(Self {
            path,
            waiting: Vec::new(),
        })
    }

    /// Creates a new file; fails if it exists.
    pub(super) fn create(path: PathBuf) -> io::Result<Self> {
        OpenOptions::new()
            .create_new(true)
            .append(true)
            .open(&path)?;
        Ok(Self {
            path,
            waiting: Vec::new(),
        })
    }

    /// Adds a line to the buffer.
    pub(super) fn push(&mut self, line: &impl Serialize) -> io::Result<()> {
        serde_json::to_writer(&mut self.waiting, line)?;
        self.waiting.push(b'\n');
        Ok(())
    }

    /// Returns whether the buffer holds unwritten lines.
    pub(super) fn is_dirty(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Writes the buffer. Bytes that could not be written stay in it, from the first unwritten byte
    /// on.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let mut file = OpenOptions::new().append(true).open(&self.path)?;
        let mut done = 0;
        let result = loop {
            match file.write(&self.waiting[done..]) {
                Ok(0) => break Err(ErrorKind::WriteZero.into()),
                Ok(count) => done += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => break Err(error),
            }
            if done == self.waiting.len() {
                break Ok(());
            }
        };
        self.waiting.drain(..done);
        result
    }

    /// Writes the buffer and syncs the file to the disk.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        self.flush()?;
        File::open(&self.path)?.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(reader: &mut Reader) -> Vec<u32> {
        let mut numbers = Vec::new();
        reader
            .read(&mut |number: u32| numbers.push(number))
            .unwrap();
        numbers
    }

    #[test]
    fn only_whole_lines_are_read_and_each_of_them_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lines");
        let mut reader = Reader::new(path.clone());
        assert_eq!(lines(&mut reader), [0; 0]);
        std::fs::write(&path, "1\n2\n3").unwrap();
        assert_eq!(lines(&mut reader), [1, 2]);
        std::fs::write(&path, "1\n2\n34\n").unwrap();
        assert_eq!(lines(&mut reader), [34]);
        assert_eq!(lines(&mut reader), [0; 0]);
    }

    #[test]
    fn a_line_that_shows_as_zeros_is_read_again_before_it_is_skipped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lines");
        let mut reader = Reader::new(path.clone());
        std::fs::write(&path, b"1\n\0\0\n3\n").unwrap();
        assert_eq!(lines(&mut reader), [1]);
        std::fs::write(&path, b"1\n22\n3\n").unwrap();
        assert_eq!((lines(&mut reader), reader.bad), (vec![22, 3], 0));
        std::fs::write(&path, b"1\n22\n3\nx\n5\n").unwrap();
        assert_eq!(lines(&mut reader), [0; 0]);
        assert_eq!((lines(&mut reader), reader.bad), (vec![5], 1));
    }

    #[test]
    fn a_writer_ends_the_line_that_another_left_open() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lines");
        std::fs::write(&path, "1\n2").unwrap();
        let mut writer = Writer::resume(path.clone()).unwrap();
        writer.push(&3).unwrap();
        writer.flush().unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "1\n2\n3\n");
        assert!(Writer::create(path).is_err());
    }
}
