//! The child's end: appends whole lines to `$SWATH_RECORDS`.

use super::files::drain;
use super::tail::LONGEST;
use super::{Directive, LoggerError};
use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};

const FULL: usize = 1 << 16;
const SECOND: i64 = 1_000_000;

/// Appends lines, metrics together with what follows them.
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
    /// Opens `path` to append to; `trial` is the folder in which a file `stop` may appear.
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

    /// Appends a line now, with those that wait, in one write.
    pub(super) fn now(&mut self, line: &[u8], now: i64) -> Result<(), LoggerError> {
        self.wait(line)?;
        self.flush(now)
    }

    /// Appends a line soon.
    pub(super) fn soon(&mut self, line: &[u8], now: i64) -> Result<(), LoggerError> {
        self.wait(line)?;
        let due = self.lines.len() >= FULL || now.abs_diff(self.flushed) >= SECOND as u64;
        if due { self.flush(now) } else { Ok(()) }
    }

    fn wait(&mut self, line: &[u8]) -> Result<(), LoggerError> {
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

    /// Appends what waits.
    pub(super) fn flush(&mut self, now: i64) -> Result<(), LoggerError> {
        self.flushed = now;
        drain(&mut self.file, &mut self.lines).map_err(|source| LoggerError::Append {
            path: self.path.clone(),
            source,
        })
    }

    /// Returns what the file `stop` says: it may hold the word `pause`.
    pub(super) fn directive(&self) -> Directive {
        match fs::read(&self.stop) {
            Ok(word) if word.starts_with(b"pause") => Directive::Pause,
            Ok(_) => Directive::Stop,
            Err(_) => Directive::Continue,
        }
    }
}

impl Drop for Appender {
    /// Saves the metrics of a program that ends without a word.
    fn drop(&mut self) {
        let _ = self.flush(self.flushed);
    }
}
