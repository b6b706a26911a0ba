//! Lines in files with one writer: appended whole, read by opening the file again.
//!
//! A shared file system may show a file late, or its end as zeros for a while. So a reader opens
//! the file at each look, reads to its end whatever size is claimed, takes only what ends in a line
//! break, and calls a line bad only when it is still bad at the next look.

use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::PathBuf;

/// How much one look takes at most, so that nobody is held up by one long file.
const AT_ONCE: usize = 8 << 20;

/// Reads the lines of a file that grows.
#[derive(Debug)]
pub(super) struct Reader {
    path: PathBuf,
    offset: u64,
    /// Where a line that could not be understood begins, since the last look.
    doubtful: Option<u64>,
    /// Lines that were given up.
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

    /// Hands on every line that has become whole since the last look; returns whether there was
    /// any. A file that is not there has none.
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
        let mut any = false;
        let mut rest = bytes.as_slice();
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let (line, after) = rest.split_at(end + 1);
            match serde_json::from_slice(line) {
                Ok(value) => {
                    each(value);
                    any = true;
                }
                // The end of a line that its writer never finished, and closed later.
                Err(_) if line.trim_ascii().is_empty() => {}
                Err(_) if self.doubtful == Some(self.offset) => self.bad += 1,
                Err(_) => {
                    self.doubtful = Some(self.offset);
                    return Ok(any);
                }
            }
            self.offset += line.len() as u64;
            rest = after;
        }
        // A line longer than one look could never end.
        if bytes.len() == AT_ONCE && rest.len() == AT_ONCE {
            self.offset += AT_ONCE as u64;
            self.bad += 1;
        }
        Ok(any)
    }
}

/// Appends lines to a file that nobody else writes.
///
/// The file is opened and closed each time: on network file systems closing is what makes the lines
/// visible elsewhere.
#[derive(Debug)]
pub(super) struct Writer {
    path: PathBuf,
    waiting: Vec<u8>,
}

impl Writer {
    /// Goes on with a file, ending the line that an earlier writer may have left open; makes it if
    /// there is none.
    pub(super) fn resume(path: PathBuf) -> io::Result<Self> {
        let mut file = OpenOptions::new()
            .create(true)
            .read(true)
            .append(true)
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

    /// Makes a new file; one that is there already is an error.
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

    /// Adds a line to what waits to be written.
    pub(super) fn push(&mut self, line: &impl Serialize) -> io::Result<()> {
        serde_json::to_writer(&mut self.waiting, line)?;
        self.waiting.push(b'\n');
        Ok(())
    }

    /// Returns whether something waits to be written.
    pub(super) fn is_dirty(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Writes what waits. What could not be written waits on, from the very byte.
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

    /// Writes what waits, and waits until the disk has it.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        self.flush()?;
        File::open(&self.path)?.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(reader: &mut Reader) -> Vec<u32> {
        let mut found = Vec::new();
        reader.read(&mut |number: u32| found.push(number)).unwrap();
        found
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
    fn a_line_that_shows_as_zeros_is_looked_at_again_before_it_is_given_up() {
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
