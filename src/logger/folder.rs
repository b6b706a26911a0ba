//! The trial's folder in the layout that MLXP's Reader reads: `metadata/config.yaml`, `metadata/info.yaml`, `params.json`.

use super::Identity;
use crate::space::Params;
use crate::study::{Exit, Timestamp, Usage};
use std::io;
use std::path::Path;

/// What is known of an attempt when its folder is made.
#[derive(Debug, Clone)]
pub struct Beginning<'a> {
    /// The trial's folder; made if it is not there.
    pub dir: &'a Path,
    /// What runs.
    pub identity: &'a Identity,
    /// Its configuration.
    pub params: &'a Params,
    /// What `SWATH_SEED` is.
    pub seed: u64,
    /// The directory it runs in.
    pub workdir: &'a Path,
    /// The rendered command; empty for a closure.
    pub command: &'a [String],
    /// Whether it goes on from a checkpoint. If not, what earlier attempts left is moved to `attempts/<n>/`.
    pub resume: bool,
    /// When it begins.
    pub at: Timestamp,
}

/// What a logger recorded that `info.yaml` repeats.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Recorded {
    /// Data sets: path and digest.
    pub data: Vec<(String, Option<String>)>,
    /// Models: path and digest, the last of each path.
    pub models: Vec<(String, Option<String>)>,
    /// Reports received.
    pub reports: u64,
    /// Warnings, also those no longer shown one by one.
    pub warnings: u64,
}

/// The folder of a running trial.
#[derive(Debug)]
pub struct TrialFolder {}

impl TrialFolder {
    /// Makes the folder with `metadata/config.yaml` and `params.json`, before the trial is started.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn begin(beginning: &Beginning<'_>) -> io::Result<Self> {
        let _ = beginning;
        Ok(Self {})
    }

    /// Writes `metadata/info.yaml` with status RUNNING, once the process is known (for a closure: this one).
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn placed(&mut self, pid: u32) -> io::Result<()> {
        let _ = pid;
        Ok(())
    }

    /// Completes `metadata/info.yaml` and removes `stdout.log`, `stderr.log` and `records.jsonl` where they are empty.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn end(self, exit: &Exit, usage: &Usage, recorded: &Recorded, at: Timestamp) -> io::Result<()> {
        let _ = (exit, usage, recorded, at);
        Ok(())
    }

    /// Marks the folder of an attempt that nobody supervises any more, if it still says RUNNING.
    ///
    /// # Errors
    /// If `info.yaml` cannot be read or written.
    pub fn abandoned(dir: &Path, exit: &Exit, at: Timestamp) -> io::Result<()> {
        let _ = (dir, exit, at);
        Ok(())
    }
}
