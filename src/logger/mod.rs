//! Stand-in for the logger until it is merged: takes the other side's version.

use crate::study::{Attempt, Exit, LogRecord, TrialId, Usage};
use std::io;
use std::path::{Path, PathBuf};

/// Whose records these are.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The study.
    pub study: String,
    /// The pipeline.
    pub pipeline: String,
    /// The stage.
    pub stage: String,
    /// The trial.
    pub trial: TrialId,
    /// The attempt.
    pub attempt: Attempt,
}

/// Where it works.
#[derive(Debug, Clone)]
pub struct Dirs {
    /// The working directory.
    pub workdir: PathBuf,
    /// The trial's folder.
    pub trial: PathBuf,
}

/// What a trial is to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Directive {
    /// Go on.
    Continue,
    /// Save and end.
    Pause,
    /// End.
    Stop,
}

/// Takes what goes into the journal.
pub trait Sink: Send {
    /// Takes a record.
    fn logged(&mut self, record: LogRecord) -> Directive;
}

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum LoggerError {
    /// A file.
    #[error("could not write")]
    Io(#[from] io::Error),
}

/// A trial's logger.
pub struct TrialLogger {
    sink: Box<dyn Sink>,
}

impl TrialLogger {
    /// Makes one.
    ///
    /// # Errors
    /// Never.
    pub fn in_process(_: Identity, _: Dirs, sink: Box<dyn Sink>) -> Result<Self, LoggerError> {
        Ok(Self { sink })
    }

    /// Reports.
    ///
    /// # Errors
    /// Never.
    pub fn report(&mut self, values: &[(&str, f64)]) -> Result<Directive, LoggerError> {
        let values = values
            .iter()
            .map(|(name, value)| ((*name).into(), crate::study::Datum::Number(crate::study::Metric(*value))))
            .collect();
        Ok(self.sink.logged(LogRecord::Report { values }))
    }

    /// Takes one line of the records contract.
    ///
    /// # Errors
    /// Never.
    pub fn record(&mut self, line: &str) -> Result<Directive, LoggerError> {
        let Ok(serde_json::Value::Object(map)) = serde_json::from_str(line) else {
            return Ok(self.sink.logged(LogRecord::Warning { text: format!("not JSON: {line}") }));
        };
        let values: Vec<_> =
            map.iter().filter_map(|(name, value)| Some((name.as_str(), value.as_f64()?))).collect();
        self.report(&values)
    }
}

/// A trial's folder.
pub struct TrialFolder;

impl TrialFolder {
    /// Makes it.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn begin(dir: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(dir)?;
        Ok(Self)
    }

    /// Ends it.
    pub fn end(self, _: &Exit, _: &Usage) {}
}
