//! The logger of a trial, bound to pipeline, stage and trial id, and the code that turns a trial's
//! lines into records.
//!
//! A logger has two ends, and both take a [`Record`](wire::Record). In a child process
//! [`TrialLogger::from_env`] appends lines in the format of `docs/records.md` to `$SWATH_RECORDS`.
//! The supervising end (`TrialLogger::in_process`) follows these lines with a `Tail`; a Rust closure
//! gets such a logger directly. The supervising end checks paths, computes the digests of data and
//! models, writes the trial's own files (`TrialFolder` and `metrics/`) and forwards the records that
//! belong in the journal to a `Sink`.
//!
//! Without the feature `supervise` only the child's end is compiled, which is all that a training
//! program needs.

mod answer;
mod appender;
mod end;
mod facade;
mod log;
pub mod rank;
pub mod wire;

// The side that reads the lines of a trial.
#[cfg(feature = "supervise")]
mod artifacts;
#[cfg(feature = "supervise")]
mod batch;
#[cfg(feature = "supervise")]
mod copy;
#[cfg(feature = "supervise")]
mod deciding;
#[cfg(feature = "supervise")]
pub mod digest;
#[cfg(feature = "supervise")]
pub mod digest_cache;
#[cfg(feature = "supervise")]
mod files;
#[cfg(feature = "supervise")]
pub mod folder;
#[cfg(feature = "supervise")]
mod inside;
#[cfg(feature = "supervise")]
mod key_types;
#[cfg(feature = "supervise")]
mod mark;
#[cfg(feature = "supervise")]
pub mod models;
#[cfg(feature = "supervise")]
mod platform;
#[cfg(feature = "supervise")]
pub mod regular;
#[cfg(feature = "supervise")]
mod repeats;
#[cfg(feature = "supervise")]
pub mod scrape;
#[cfg(feature = "supervise")]
mod seal;
#[cfg(feature = "supervise")]
mod source_lines;
#[cfg(feature = "supervise")]
mod stamp;
#[cfg(feature = "supervise")]
mod steps;
#[cfg(feature = "supervise")]
mod supervised;
#[cfg(feature = "supervise")]
pub mod tail;
#[cfg(test)]
mod tests;
#[cfg(feature = "supervise")]
mod yaml;

pub use answer::Answer;
pub use end::Recorded;
pub use facade::TrialLogger;
pub use log::Item;
#[cfg(feature = "supervise")]
pub use {
    batch::OVERWRITTEN,
    deciding::DecidingMetrics,
    digest::{Digest, DigestError, LeftOut, digest},
    digest_cache::DigestCache,
    folder::{Beginning, CLONES, LOGGED, TrialFolder, WORK},
    mark::has_mark,
    models::{HELD, ModelStore, Models},
    platform::share_blocks,
    scrape::{Scrape, Stream},
    seal::{remove_seal, resume_from_seal},
    source_lines::{SourceLine, SourceLines, SourcePlace, source_lines},
    supervised::{Dirs, Sink, Unread},
    tail::{Growth, Line, Tail},
};

use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::Duration;
use swath_model::study::{Attempt, TrialId};

/// The attempt that a logger is bound to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The study's name.
    pub study: String,
    /// The pipeline that the study belongs to.
    pub pipeline: String,
    /// The stage of the pipeline.
    pub stage: String,
    /// The trial's id; 0 in a preparation, which several trials share.
    pub trial: TrialId,
    /// The attempt's number within the trial.
    pub attempt: Attempt,
}

/// The answer to a report: whether the trial continues. Ordered from the mildest to the strictest.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Directive {
    /// The trial continues.
    #[default]
    Continue,
    /// The trial is to save a checkpoint and end. It may be resumed.
    Pause,
    /// The trial is to end.
    Stop,
}

/// The position of a metric in the course of a trial. Every part is optional.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Point<'a> {
    /// The step: epoch, iteration, row.
    pub step: Option<u64>,
    /// The batch within the step.
    pub batch: Option<u64>,
    /// The data on which the metric was measured: `train`, `validation`, `test`, or any other word.
    pub context: &'a str,
    /// The log, which is the file `metrics/<log>.json`. If empty, the context names the log, and
    /// without a context it is `metrics`.
    pub log: &'a str,
}

impl<'a> Point<'a> {
    /// Makes a point at `step`, without batch, context or log.
    #[must_use]
    pub fn step(step: u64) -> Self {
        Self {
            step: Some(step),
            ..Self::default()
        }
    }

    /// Returns the point with a batch of the step.
    #[must_use]
    pub fn batch(self, batch: u64) -> Self {
        Self {
            batch: Some(batch),
            ..self
        }
    }

    /// Returns the point with a context.
    #[must_use]
    pub fn context(self, context: &'a str) -> Self {
        Self { context, ..self }
    }

    /// Returns the point with a log.
    #[must_use]
    pub fn log(self, log: &'a str) -> Self {
        Self { log, ..self }
    }
}

/// The reason why a record could not be kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoggerError {
    /// A variable that swath sets for its trials is missing or invalid.
    #[error("`{name}` {problem}: a trial's logger works only in a process that swath started")]
    Environment {
        /// The variable's name.
        name: &'static str,
        /// The problem with its value.
        problem: String,
    },
    /// The records file could not be opened or appended to.
    #[error("could not append to `{path}`")]
    Append {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        #[source]
        source: std::io::Error,
    },
    /// An item cannot be logged as the given kind.
    #[error("`{kind}` cannot be logged: {why}")]
    Kind {
        /// The kind.
        kind: String,
        /// The reason and the remedy.
        why: String,
    },
    /// The trial asked a question and got no answer within this time.
    #[error(
        "got no answer within {} s whether the trial may go on: the `swath run` that started it \
         has ended, or its study is stuck",
        .0.as_secs()
    )]
    NoAnswer(Duration),
    /// A record that must be one line contains a line break.
    #[error("a record is one line, this one has a line break at byte {at}")]
    LineBreak {
        /// The byte offset of the line break, from 0.
        at: usize,
    },
    /// The line is longer than a reader of the records file accepts.
    #[error("a record of {bytes} bytes is over the limit of {limit}")]
    TooLong {
        /// The line's length in bytes.
        bytes: usize,
        /// The maximum length in bytes.
        limit: usize,
    },
}
