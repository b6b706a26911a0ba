//! The child's end of a logger: appends whole lines to `$SWATH_RECORDS`.

use super::files::drain;
use super::tail::LONGEST;
use super::{Directive, LoggerError};
use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};

const FULL: usize = 1 << 16;
const SECOND: i64 = 1_000_000;

/// Appends lines. Metrics are buffered and written with the next line that is not.
#[derive(Debug)]
pub(super) struct Appender {
    path: PathBuf,
    trial: PathBuf,
    stop: PathBuf,
    file: File,
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
            lines: Vec::new(),
            flushed: now,
        })
    }

    /// Returns the trial's folder.
    pub(super) fn trial(&self) -> &Path {
        &self.trial
    }

    /// Appends a line at once, together with the buffered lines, in one write.
    pub(super) fn now(&mut self, line: &[u8], now: i64) -> Result<(), LoggerError> {
        self.hold(line)?;
        self.flush(now)
    }

    /// Appends a line to the buffer and writes the buffer when it is full or a second old.
    pub(super) fn soon(&mut self, line: &[u8], now: i64) -> Result<(), LoggerError> {
        self.hold(line)?;
        let due = self.lines.len() >= FULL || now.abs_diff(self.flushed) >= SECOND as u64;
        if due { self.flush(now) } else { Ok(()) }
    }

    /// Puts a line into the buffer, to be written together with the next line.
    pub(super) fn hold(&mut self, line: &[u8]) -> Result<(), LoggerError> {
        if line.len() > LONGEST {
            return Err(LoggerError::TooLong {
                bytes: line.len(),
                limit: LONGEST,
            });
        }
        if let Some(at) = line.iter().position(|byte| *byte == b'\n') {
            return Err(LoggerError::LineBreak { at });
        }
        self.lines.extend_from_slice(line);
        self.lines.push(b'\n');
        Ok(())
    }

    /// Writes the buffered lines.
    pub(super) fn flush(&mut self, now: i64) -> Result<(), LoggerError> {
        self.flushed = now;
        drain(&mut self.file, &mut self.lines).map_err(|source| LoggerError::Append {
            path: self.path.clone(),
            source,
        })
    }

    /// Returns the directive in the file `stop`: `Pause` if it begins with the word `pause`, else
    /// `Stop`. Without the file the trial continues.
    pub(super) fn directive(&self) -> Directive {
        match fs::read(&self.stop) {
            Ok(word) if word.starts_with(b"pause") => Directive::Pause,
            Ok(_) => Directive::Stop,
            Err(_) => Directive::Continue,
        }
    }
}

impl Drop for Appender {
    /// Writes the buffered metrics of a program that ends without a call of `flush`.
    fn drop(&mut self) {
        let _ = self.flush(self.flushed);
    }
}
