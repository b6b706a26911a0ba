//! The child's end of a logger: appends whole lines to `$SWATH_RECORDS`.

use super::end::{End, Recorded};
use super::wire::{LONGEST_LINE, Record, encode_metrics};
use super::{Directive, LoggerError, Point};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Number of buffered bytes, and microseconds since the last write, after which metrics are
/// written.
const FULL: usize = 1 << 16;
const SECOND: u64 = 1_000_000;

/// Appends lines. Metrics are buffered and written with the next line that is not.
#[derive(Debug)]
pub(super) struct Appender {
    path: PathBuf,
    trial: PathBuf,
    stop: PathBuf,
    file: File,
    /// The line that is being encoded.
    line: Vec<u8>,
    /// The lines that are not written yet.
    lines: Vec<u8>,
    flushed: i64,
}

impl Appender {
    /// Opens `path` for appending. `trial` is the folder in which a file `stop` may appear; `now`
    /// is in microseconds since 1970, as in all methods.
    pub(super) fn open(path: PathBuf, trial: PathBuf, now: i64) -> Result<Self, LoggerError> {
        let file = OpenOptions::new().create(true).append(true).open(&path);
        let file = file.map_err(|source| LoggerError::Append {
            path: path.clone(),
            source,
        })?;
        Ok(Self {
            path,
            stop: trial.join("stop"),
            trial,
            file,
            line: Vec::new(),
            lines: Vec::new(),
            flushed: now,
        })
    }

    /// Adds a line to those that are not written yet.
    fn buffer_line(&mut self, line: &[u8]) -> Result<(), LoggerError> {
        if line.len() > LONGEST_LINE {
            return Err(LoggerError::TooLong {
                bytes: line.len(),
                limit: LONGEST_LINE,
            });
        }
        if let Some(at) = line.iter().position(|byte| *byte == b'\n') {
            return Err(LoggerError::LineBreak { at });
        }
        self.lines.extend_from_slice(line);
        self.lines.push(b'\n');
        Ok(())
    }

    /// Adds the line that was encoded.
    fn buffer_encoded(&mut self) -> Result<(), LoggerError> {
        let line = std::mem::take(&mut self.line);
        let result = self.buffer_line(&line);
        self.line = line;
        result
    }
}

impl End for Appender {
    fn put(&mut self, record: Record, rank: u32, _: i64) -> Result<(), LoggerError> {
        record.encode(&mut self.line, rank);
        self.buffer_encoded()
    }

    fn put_line(&mut self, line: &str, _: i64) -> Result<(), LoggerError> {
        self.buffer_line(line.as_bytes())
    }

    fn metrics(
        &mut self,
        values: &[(&str, f64)],
        point: &Point<'_>,
        rank: u32,
        now: i64,
    ) -> Result<(), LoggerError> {
        encode_metrics(&mut self.line, values, point, rank, now);
        self.buffer_encoded()?;
        if self.lines.len() >= FULL || now.abs_diff(self.flushed) >= SECOND {
            self.flush(now)
        } else {
            Ok(())
        }
    }

    fn send(&mut self, now: i64) -> Result<(), LoggerError> {
        self.flush(now)
    }

    /// Writes all lines in one write, so that a reader sees a question together with the report
    /// before it.
    fn flush(&mut self, now: i64) -> Result<(), LoggerError> {
        self.flushed = now;
        drain(&mut self.file, &mut self.lines).map_err(|source| LoggerError::Append {
            path: self.path.clone(),
            source,
        })
    }

    fn finish(&mut self, now: i64) -> Result<Recorded, LoggerError> {
        self.flush(now)?;
        Ok(Recorded::default())
    }

    /// Records the text as a note. An error is dropped, because the next record will have it too.
    fn warn(&mut self, text: String, rank: u32, now: i64) {
        if self.put(Record::Note { text }, rank, now).is_ok() {
            let _ = self.flush(now);
        }
    }

    /// Returns the directive in the file `stop`: `Pause` if it begins with the word `pause`, else
    /// `Stop`. Without the file the trial continues.
    fn directive(&self) -> Directive {
        match fs::read(&self.stop) {
            Ok(word) if word.starts_with(b"pause") => Directive::Pause,
            Ok(_) => Directive::Stop,
            Err(_) => Directive::Continue,
        }
    }

    fn trial(&self) -> &Path {
        &self.trial
    }
}

impl Drop for Appender {
    /// Writes the buffered metrics of a program that ends without a call of `flush`.
    fn drop(&mut self) {
        let _ = self.flush(self.flushed);
    }
}

/// Writes all of `bytes` and removes the written part, so that a retry after an error writes
/// nothing twice.
pub(super) fn drain(file: &mut File, bytes: &mut Vec<u8>) -> io::Result<()> {
    while !bytes.is_empty() {
        match file.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => drop(bytes.drain(..written)),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
