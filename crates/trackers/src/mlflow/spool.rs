//! The operations that wait for the server. They are kept in files, so that a server that is
//! unavailable for days costs no memory.
//!
//! The writer appends to one file after another; the reader removes the files it has read. They
//! share nothing but the files. Nothing here need survive the process, because all operations can
//! be derived from the journal again.

use super::runs::Op;
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Size in bytes from which on a file is complete.
const FULL: u64 = 8 << 20;
/// Number of buffered bytes from which on they should be written.
const BUFFER: usize = 1 << 13;
/// Maximum number of operations on one line.
const MOST: usize = 200;

/// One line of a spool file: some of the operations of an entry.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Batch {
    pub(super) seq: u64,
    /// Whether it is the last batch of its entry.
    pub(super) last: bool,
    pub(super) ops: Vec<Op>,
}

/// The writing end of a spool.
#[derive(Debug)]
pub(super) struct Writer {
    /// The folder of the spool.
    folder: PathBuf,
    at: u64,
    file: File,
    /// Number of bytes in the current file.
    size: u64,
    /// The buffered bytes, always whole lines.
    waiting: Vec<u8>,
}

/// The reading end of a spool. Returns the batches in the order in which they were appended.
#[derive(Debug)]
pub(super) struct Reader {
    folder: PathBuf,
    at: u64,
    file: BufReader<File>,
    /// The position of the next unread line.
    offset: u64,
}

/// Creates an empty spool in `folder`, and removes any earlier one there.
pub(super) fn open(folder: &Path) -> io::Result<(Writer, Reader)> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => fs::create_dir_all(folder)?,
    }
    let file = File::create(part(folder, 0))?;
    let writer = Writer {
        folder: folder.to_owned(),
        at: 0,
        file,
        size: 0,
        waiting: Vec::new(),
    };
    let file = BufReader::new(File::open(part(folder, 0))?);
    Ok((
        writer,
        Reader {
            folder: folder.to_owned(),
            at: 0,
            file,
            offset: 0,
        },
    ))
}

/// Returns the path of the file with the number `at`.
fn part(folder: &Path, at: u64) -> PathBuf {
    folder.join(format!("{at}.jsonl"))
}

impl Writer {
    /// Buffers the operations of an entry. They are written by [`flush`](Self::flush), which is due
    /// when [`is_due`](Self::is_due) returns `true`.
    pub(super) fn append(&mut self, seq: u64, mut ops: Vec<Op>) -> io::Result<()> {
        while !ops.is_empty() {
            let rest = ops.split_off(ops.len().min(MOST));
            let line = serde_json::to_vec(&Batch {
                seq,
                last: rest.is_empty(),
                ops,
            })?;
            self.waiting.extend_from_slice(&line);
            self.waiting.push(b'\n');
            ops = rest;
        }
        Ok(())
    }

    /// Returns whether so many bytes are buffered that they should be written.
    pub(super) fn is_due(&self) -> bool {
        self.waiting.len() >= BUFFER
    }

    /// Writes the buffer, so that the reader sees all operations. After an error the buffer is kept
    /// and can be written again.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.file.write_all_at(&self.waiting, self.size)?;
        self.size += self.waiting.len() as u64;
        self.waiting.clear();
        if self.size >= FULL {
            self.turn()
        } else {
            Ok(())
        }
    }

    /// Creates the next file. Its existence tells the reader that the current file is complete.
    fn turn(&mut self) -> io::Result<()> {
        self.file = File::create(part(&self.folder, self.at + 1))?;
        self.at += 1;
        self.size = 0;
        Ok(())
    }
}

impl Reader {
    /// Returns the next batch, or `None` if no complete one has been written yet.
    pub(super) fn next(&mut self) -> io::Result<Option<Batch>> {
        loop {
            // Check this before reading: if the next file exists, the current one no longer grows,
            // and the end of it is final.
            let more = part(&self.folder, self.at + 1).exists();
            let mut line = Vec::new();
            self.file.read_until(b'\n', &mut line)?;
            if line.ends_with(b"\n") {
                self.offset += line.len() as u64;
                return Ok(Some(serde_json::from_slice(&line)?));
            }
            // Go back to the start of an incomplete line, to read it again once it is complete.
            self.file.seek(SeekFrom::Start(self.offset))?;
            if !more {
                return Ok(None);
            }
            let _ = fs::remove_file(part(&self.folder, self.at));
            self.at += 1;
            self.offset = 0;
            self.file = BufReader::new(File::open(part(&self.folder, self.at))?);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mlflow::runs::Change;

    fn op(run: u32, text: &str) -> Op {
        Op {
            run,
            change: Change::Tag {
                key: "k".into(),
                value: text.into(),
            },
        }
    }

    #[test]
    fn what_is_appended_is_read_once_in_order_as_far_as_it_is_flushed() {
        let folder = tempfile::tempdir().unwrap();
        let (mut writer, mut reader) = open(&folder.path().join("spool")).unwrap();
        assert_eq!(reader.next().unwrap(), None);
        writer
            .append(4, (0..250).map(|run| op(run, "é")).collect())
            .unwrap();
        writer.flush().unwrap();
        let first = reader.next().unwrap().unwrap();
        assert_eq!((first.seq, first.last, first.ops.len()), (4, false, 200));
        let second = reader.next().unwrap().unwrap();
        assert_eq!(
            (second.last, second.ops.len(), second.ops[0].clone()),
            (true, 50, op(200, "é"))
        );
        assert_eq!(reader.next().unwrap(), None);
    }

    #[test]
    fn files_that_were_read_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let (mut writer, mut reader) = open(&folder.path().join("spool")).unwrap();
        let long = "x".repeat(1 << 20);
        for seq in 0..20 {
            writer.append(seq, vec![op(1, &long)]).unwrap();
        }
        writer.flush().unwrap();
        for seq in 0..20 {
            assert_eq!(reader.next().unwrap().unwrap().seq, seq);
        }
        assert_eq!(reader.next().unwrap(), None);
        assert_eq!(
            fs::read_dir(folder.path().join("spool")).unwrap().count(),
            1
        );
    }
}
