//! The one logger type: the same methods in a child process and on the supervising side.

use super::appender::Appender;
use super::folder::Recorded;
use super::supervised::Supervised;
use super::{DigestCache, Directive, Dirs, Identity, Line, LoggerError, Point, Sink};
use crate::space::{Name, Value};
use crate::study::Datum;
use std::path::Path;
use std::sync::Arc;

/// Records what a trial does, bound to one attempt of one trial.
pub struct TrialLogger {
    identity: Identity,
    end: End,
}

enum End {
    Child(Appender),
    Here(Box<Supervised>),
}

impl TrialLogger {
    /// Makes the logger of the trial this process is, from the `SWATH_*` variables; `None` in a process that swath did not start.
    ///
    /// # Errors
    /// If the variables are incomplete, or the records file cannot be opened.
    pub fn from_env() -> Result<Option<Self>, LoggerError> {
        todo!()
    }

    /// Makes the logger of the supervising side, also for closures: it writes the trial's own files and passes the rest to `sink`.
    ///
    /// # Errors
    /// None at present: files are opened when the first record needs them.
    pub fn in_process(identity: Identity, dirs: Dirs, sink: Box<dyn Sink>) -> Result<Self, LoggerError> {
        Ok(Self { identity, end: End::Here(Box::new(Supervised::new(dirs, sink))) })
    }

    /// Uses `cache` for the digests of data sets and models.
    #[must_use]
    pub fn with_cache(self, cache: Arc<DigestCache>) -> Self {
        let _ = cache;
        self
    }

    /// Returns what it is bound to.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Reports values that decide: once an epoch, say. They go into the journal and may end the trial.
    ///
    /// # Errors
    /// If the record could not be appended.
    pub fn report(&mut self, values: &[(&str, f64)]) -> Result<Directive, LoggerError> {
        let _ = values;
        todo!()
    }

    /// Reports values of any kind: numbers, switches, texts. A text `model_path` names a model that was saved with them.
    ///
    /// # Errors
    /// If the record could not be appended.
    pub fn report_values(&mut self, values: Vec<(Name, Datum)>) -> Result<Directive, LoggerError> {
        let _ = values;
        todo!()
    }

    /// Records one line of the contract in `docs/records.md`.
    ///
    /// # Errors
    /// If it is not one line, or could not be appended. What is wrong inside the line becomes a warning of the trial.
    pub fn record(&mut self, line: &str) -> Result<Directive, LoggerError> {
        let _ = line;
        todo!()
    }

    /// Records a line that was read from the trial's records file; its number is in every warning about it.
    ///
    /// # Errors
    /// As [`record`](Self::record).
    pub fn tailed(&mut self, line: Line<'_>) -> Result<Directive, LoggerError> {
        let _ = line;
        todo!()
    }

    /// Records a metric: it describes, decides nothing, and goes to the trial's own files. Under a microsecond: it is buffered, and written
    /// with the next report, within a second of the next call, or by [`flush`](Self::flush).
    ///
    /// # Errors
    /// If the records could not be appended.
    pub fn metric(&mut self, name: &str, value: f64, at: Point<'_>) -> Result<(), LoggerError> {
        self.metrics(&[(name, value)], at)
    }

    /// Records several metrics of one moment as one row.
    ///
    /// # Errors
    /// As [`metric`](Self::metric).
    pub fn metrics(&mut self, values: &[(&str, f64)], at: Point<'_>) -> Result<(), LoggerError> {
        let _ = (values, at);
        todo!()
    }

    /// Records that a data set was read: a file or a folder, with its digest. `role` is `train`, `validation`, `test` or empty.
    ///
    /// # Errors
    /// If the record could not be appended. A data set that cannot be read becomes a warning.
    pub fn dataset(&mut self, data_dir: impl AsRef<Path>, role: &str) -> Result<(), LoggerError> {
        let _ = (data_dir.as_ref(), role);
        todo!()
    }

    /// Records that a model was written: a file or folder inside the workdir, with its size and digest.
    ///
    /// # Errors
    /// If the record could not be appended. A path that is refused, or a file that is not there, becomes a warning.
    pub fn model(&mut self, model_path: impl AsRef<Path>, step: Option<f64>) -> Result<(), LoggerError> {
        let _ = (model_path.as_ref(), step);
        todo!()
    }

    /// Records a final result that is neither report nor model.
    ///
    /// # Errors
    /// If the record could not be appended.
    pub fn output(&mut self, name: &str, value: Value) -> Result<(), LoggerError> {
        let _ = (name, value);
        todo!()
    }

    /// Records a parameter that the trial found out itself.
    ///
    /// # Errors
    /// If the record could not be appended.
    pub fn param(&mut self, name: &str, value: Value) -> Result<(), LoggerError> {
        let _ = (name, value);
        todo!()
    }

    /// Stores a file or folder of the workdir under the trial's `artifacts/`.
    ///
    /// # Errors
    /// If the record could not be appended. A path that is refused, or a file that is not there, becomes a warning.
    pub fn artifact(&mut self, path: impl AsRef<Path>) -> Result<(), LoggerError> {
        let _ = path.as_ref();
        todo!()
    }

    /// Records that a checkpoint is complete in the checkpoint folder.
    ///
    /// # Errors
    /// If the record could not be appended.
    pub fn checkpoint(&mut self, step: Option<f64>) -> Result<(), LoggerError> {
        let _ = step;
        todo!()
    }

    /// Records a free text.
    ///
    /// # Errors
    /// If the record could not be appended.
    pub fn note(&mut self, text: &str) -> Result<(), LoggerError> {
        let _ = text;
        todo!()
    }

    /// Records something that was wrong, on the supervising side: the trial is marked with it and goes on.
    pub fn warn(&mut self, text: String) {
        let _ = text;
        todo!()
    }

    /// Returns whether the trial may go on, without a report.
    pub fn directive(&mut self) -> Directive {
        todo!()
    }

    /// Writes what is buffered. The supervisor calls it at the end of each round of reading.
    ///
    /// # Errors
    /// If it could not be written.
    pub fn flush(&mut self) -> Result<(), LoggerError> {
        todo!()
    }

    /// Writes what is buffered and returns what the trial's `info.yaml` is to say about its data and models.
    ///
    /// # Errors
    /// If it could not be written.
    pub fn finish(&mut self) -> Result<Recorded, LoggerError> {
        todo!()
    }
}
