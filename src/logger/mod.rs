//! The logger a trial is given, bound to pipeline, stage and trial id, and everything that turns
//! what a trial says into records.
//!
//! It has two ends that speak one language, the lines of `docs/records.md`. In a child process
//! [`TrialLogger::from_env`] appends lines to `$SWATH_RECORDS`; the supervising side reads them
//! with [`Tail`] and hands them to a [`TrialLogger::in_process`], which a Rust closure is given
//! directly. That one checks paths, digests data and models, writes the trial's own files
//! ([`TrialFolder`] and `metrics/`) and passes what belongs in the journal to a [`Sink`]. Compiled
//! without the engine too: this is all a training program needs.

pub mod digest;
pub mod digest_cache;
pub mod folder;
pub mod models;
pub mod scrape;
pub mod tail;
pub mod wire;

mod answer;
mod appender;
mod artifacts;
mod copy;
mod deciding;
mod facade;
mod files;
mod inside;
mod kinds;
mod log;
pub(crate) mod rank;
mod repeats;
mod stamp;
mod steps;
mod supervised;
#[cfg(test)]
mod tests;
mod together;
mod yaml;

pub use answer::Answer;
#[cfg(feature = "engine")]
pub(crate) use deciding::DecidingMetrics;
pub use digest::{Digest, DigestError, LeftOut, digest};
pub use digest_cache::DigestCache;
pub use facade::TrialLogger;
pub use folder::{Beginning, Recorded, TrialFolder};
pub use log::Item;
pub use models::{HELD, ModelStore, Models};
pub use scrape::{Scrape, Stream};
pub use tail::{Growth, Line, Tail};
pub use together::OVERWRITTEN;

use crate::study::{Attempt, LogRecord, TrialId};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::Duration;

/// What a logger is bound to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The study's name.
    pub study: String,
    /// The pipeline it belongs to.
    pub pipeline: String,
    /// The stage of the pipeline.
    pub stage: String,
    /// The trial.
    pub trial: TrialId,
    /// Its attempt.
    pub attempt: Attempt,
}

/// Where a trial works and where its record is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dirs {
    /// The directory the trial runs in; relative paths in records start here.
    pub workdir: PathBuf,
    /// The trial's own folder, `logs/STUDY/N`.
    pub trial: PathBuf,
}

/// Whether a trial may go on, as the answer to a report.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Directive {
    /// It may.
    #[default]
    Continue,
    /// It is to save a checkpoint and end; it may be resumed.
    Pause,
    /// It is to end.
    Stop,
}

/// Where the records of a trial go that the journal keeps: the executor's side forwards each as a
/// signal.
pub trait Sink: Send {
    /// Takes a record and says whether the trial may go on.
    fn logged(&mut self, record: LogRecord) -> Directive;

    /// Takes a question: an [`Answer`] with this `id` is wanted in the trial's folder when
    /// everything before it is decided.
    fn ask(&mut self, id: String) {
        drop(id);
    }
}

impl<F: FnMut(LogRecord) -> Directive + Send> Sink for F {
    fn logged(&mut self, record: LogRecord) -> Directive {
        self(record)
    }
}

/// Where in a trial's life a metric belongs. Everything is optional.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Point<'a> {
    /// The step: epoch, iteration, row.
    pub step: Option<u64>,
    /// The batch within the step.
    pub batch: Option<u64>,
    /// What it was measured on: `train`, `validation`, `test`, or a word of one's own.
    pub context: &'a str,
    /// The log it goes to, `metrics/<log>.json`; empty: the context, and without one `metrics`.
    pub log: &'a str,
}

impl<'a> Point<'a> {
    /// Makes a point at `step`.
    #[must_use]
    pub fn step(step: u64) -> Self {
        Self {
            step: Some(step),
            ..Self::default()
        }
    }

    /// Says which batch of the step.
    #[must_use]
    pub fn batch(self, batch: u64) -> Self {
        Self {
            batch: Some(batch),
            ..self
        }
    }

    /// Says what it was measured on.
    #[must_use]
    pub fn context(self, context: &'a str) -> Self {
        Self { context, ..self }
    }

    /// Says which log it goes to.
    #[must_use]
    pub fn log(self, log: &'a str) -> Self {
        Self { log, ..self }
    }
}

/// Why a record could not be kept.
#[derive(Debug, thiserror::Error)]
pub enum LoggerError {
    /// A variable that swath sets for its trials is missing or makes no sense.
    #[error("`{name}` {problem}: a trial's logger works only in a process that swath started")]
    Environment {
        /// The variable.
        name: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// The records file could not be opened or appended to.
    #[error("could not append to `{path}`")]
    Append {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Something cannot be logged as what it was said to be.
    #[error("`{kind}` cannot be logged: {why}")]
    Kind {
        /// The kind.
        kind: String,
        /// Why, and what to do.
        why: String,
    },
    /// Nobody answered a question.
    #[error(
        "nobody answered within {} s whether the trial may go on: the `swath run` that started it is gone, or its study is stuck",
        .0.as_secs()
    )]
    NoAnswer(Duration),
    /// What was to be one line is several.
    #[error("a record is one line, this one has a line break at byte {at}")]
    LineBreak {
        /// Where, from 0.
        at: usize,
    },
    /// The line is longer than any reader of the file takes.
    #[error("a record of {bytes} bytes is over the limit of {limit}")]
    TooLong {
        /// Its length.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
}
