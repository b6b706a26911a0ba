//! The logger type, with the same methods in a child process and on the supervising side.

use super::appender::Appender;
use super::end::{End, Recorded};
use super::wire::{Names, Record, with_rank};
use super::{Answer, Directive, Identity, LoggerError, Point, rank};
use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;
use swath_model::space::{Name, Value};
use swath_model::study::{Attempt, Datum, Due, Metric, Timestamp, TrialId};

/// Maximum time that a trial waits for an answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);

/// Returns the value of an environment variable.
type Variables<'v> = &'v dyn Fn(&str) -> Option<OsString>;

/// Records the results of a trial, bound to one attempt of one trial.
pub struct TrialLogger {
    identity: Identity,
    pub(super) end: Box<dyn End>,
    names: Names,
    /// The filter that [`log`](Self::log) applies.
    pub(super) due: Due,
    /// The rank of the worker within the trial; 0 for a trial that is not distributed.
    pub(super) rank: u32,
    /// The strictest answer so far. The file `stop` may come later than the answer.
    answered: Directive,
}

impl TrialLogger {
    /// Makes the logger of the trial that this process is, from the `SWATH_*` variables. Returns
    /// `None` in a process that swath did not start.
    ///
    /// # Errors
    /// If the variables are incomplete, or the records file cannot be opened.
    pub fn from_env() -> Result<Option<Self>, LoggerError> {
        Self::from_variables(&|name| env::var_os(name))
    }

    pub(crate) fn from_variables(variables: Variables<'_>) -> Result<Option<Self>, LoggerError> {
        let Some(records) = variables("SWATH_RECORDS").filter(|path| !path.is_empty()) else {
            return Ok(None);
        };
        let identity = Identity {
            study: text_of(variables, "SWATH_STUDY")?,
            pipeline: text_of(variables, "SWATH_PIPELINE")?,
            stage: text_of(variables, "SWATH_STAGE")?,
            // A preparation is no trial.
            trial: TrialId(match variables("SWATH_TRIAL") {
                Some(_) => number_of(variables, "SWATH_TRIAL")?,
                None => 0,
            }),
            attempt: Attempt(number_of(variables, "SWATH_ATTEMPT")?),
        };
        let records = PathBuf::from(records);
        let trial = match variables("SWATH_TRIAL_DIR") {
            Some(dir) => PathBuf::from(dir),
            None => records.parent().unwrap_or(Path::new(".")).to_path_buf(),
        };
        let appender = Appender::open(records, trial, now())?;
        let rank = rank::of_process(variables);
        Ok(Some(Self::new(identity, Box::new(appender), rank)))
    }

    pub(super) fn new(identity: Identity, end: Box<dyn End>, rank: u32) -> Self {
        Self {
            identity,
            end,
            names: Names::default(),
            due: Due::default(),
            rank,
            answered: Directive::Continue,
        }
    }

    /// Returns the attempt that the logger is bound to.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Reports values that decide, for example once per epoch. They go into the journal and may end
    /// the trial. In a distributed trial only the worker of rank 0 decides; the reports of other
    /// workers are recorded as metrics.
    ///
    /// # Errors
    /// If the record could not be appended.
    pub fn report(&mut self, values: &[(&str, f64)]) -> Result<Directive, LoggerError> {
        let values = self.named(values);
        self.report_values(values)
    }

    /// Reports values and waits for the decision whether the trial continues, so that it never
    /// trains past a stop. The answer replaces SIGTERM as long as the trial ends within its grace
    /// period. Report and question are appended in one write: if the report arrived first, its
    /// verdict could be a SIGTERM, sent before the question was known.
    ///
    /// # Errors
    /// If the record could not be appended, or no answer arrives within a minute.
    pub fn report_and_wait(&mut self, values: &[(&str, f64)]) -> Result<Directive, LoggerError> {
        let values = self.named(values);
        self.end.put(Record::Report { values }, self.rank, now())?;
        Ok(self.ask()?.directive)
    }

    /// Reports values of any kind: numbers, flags, texts. A text `model_path` names a model that
    /// was saved with them.
    ///
    /// # Errors
    /// If the record could not be appended.
    pub fn report_values(&mut self, values: Vec<(Name, Datum)>) -> Result<Directive, LoggerError> {
        self.put(Record::Report { values })?;
        Ok(self.directive())
    }

    /// Records one line in the format of `docs/records.md`. A report or metric of a worker other
    /// than rank 0 gets its rank.
    ///
    /// # Errors
    /// If the text is not one line, or could not be appended. A mistake inside the line becomes a
    /// warning of the trial.
    pub fn record(&mut self, line: &str) -> Result<Directive, LoggerError> {
        self.put_line(line)?;
        self.end.send(now())?;
        Ok(self.directive())
    }

    /// Appends a record, one line of JSON, and waits for the decision whether the trial continues.
    ///
    /// # Errors
    /// If the record is not one line, could not be appended, or no answer arrives within a minute.
    pub fn record_and_wait(&mut self, line: &str) -> Result<Answer, LoggerError> {
        self.put_line(line)?;
        self.ask()
    }

    /// Asks whether the trial continues after its reports so far, and waits for the answer.
    ///
    /// # Errors
    /// If the question could not be appended, or no answer arrives within a minute.
    pub fn ask(&mut self) -> Result<Answer, LoggerError> {
        // The process id keeps the questions of several processes of a trial apart.
        let id = format!("{}-{}", std::process::id(), now());
        self.put(Record::Ask { id: id.clone() })?;
        let answer = Answer::wait(self.end.trial(), &id, ANSWER_WITHIN)
            .ok_or(LoggerError::NoAnswer(ANSWER_WITHIN))?;
        self.answered = self.answered.max(answer.directive);
        Ok(answer)
    }

    /// Records a metric, which describes the trial, decides nothing and goes to the trial's own
    /// files. A call takes less than a microsecond: the metric stays in memory until the next
    /// report, the first call a second after the last write, [`flush`](Self::flush), or the end of
    /// the logger's scope.
    ///
    /// # Errors
    /// If the records could not be appended.
    pub fn metric(&mut self, name: &str, value: f64, at: Point<'_>) -> Result<(), LoggerError> {
        self.metrics(&[(name, value)], at)
    }

    /// Records several metrics of one point as one row.
    ///
    /// # Errors
    /// As [`metric`](Self::metric).
    pub fn metrics(&mut self, values: &[(&str, f64)], at: Point<'_>) -> Result<(), LoggerError> {
        self.end.metrics(values, &at, self.rank, now())
    }

    /// Records that the trial read a data set, a file or a folder, with its digest. `role` is
    /// `train`, `validation`, `test` or empty.
    ///
    /// # Errors
    /// If the record could not be appended. A data set that cannot be read becomes a warning.
    pub fn dataset(&mut self, data_dir: impl AsRef<Path>, role: &str) -> Result<(), LoggerError> {
        let (path, role) = (data_dir.as_ref().to_path_buf(), role.to_owned());
        self.put(Record::Dataset { path, role })
    }

    /// Records that the trial wrote a model, a file or folder inside the workdir, with its size and
    /// digest.
    ///
    /// # Errors
    /// If the record could not be appended. A refused path, or a missing file, becomes a warning.
    pub fn model(
        &mut self,
        model_path: impl AsRef<Path>,
        step: Option<f64>,
    ) -> Result<(), LoggerError> {
        self.model_with(model_path, step, &[])
    }

    /// Records a model with facts about it: `parameters` (their number), `memory` in bytes,
    /// `framework`, or any others. If the fact `keep` is true, this version is kept regardless of
    /// later ones.
    ///
    /// # Errors
    /// As [`model`](Self::model).
    pub fn model_with(
        &mut self,
        model_path: impl AsRef<Path>,
        step: Option<f64>,
        facts: &[(&str, Value)],
    ) -> Result<(), LoggerError> {
        let facts_without_keep = facts.iter().filter(|(name, _)| *name != "keep");
        self.put(Record::Model {
            path: model_path.as_ref().to_string_lossy().into_owned(),
            step,
            keep: facts.contains(&("keep", Value::Bool(true))),
            facts: facts_without_keep
                .map(|(name, value)| ((*name).into(), value.clone()))
                .collect(),
        })
    }

    /// Records the optimizer as the parameters `optimizer_name` and `optimizer_lr`.
    ///
    /// # Errors
    /// If the record could not be appended.
    pub fn optimizer(&mut self, name: &str, lr: f64) -> Result<(), LoggerError> {
        self.param("optimizer_name", Value::Text(name.into()))?;
        self.param("optimizer_lr", Value::Float(lr))
    }

    /// Records a final result that is neither report nor model.
    ///
    /// # Errors
    /// If the record could not be appended.
    pub fn output(&mut self, name: &str, value: Value) -> Result<(), LoggerError> {
        self.put(Record::Outputs(vec![(name.into(), value)]))
    }

    /// Records a parameter that the trial determined itself.
    ///
    /// # Errors
    /// If the record could not be appended.
    pub fn param(&mut self, name: &str, value: Value) -> Result<(), LoggerError> {
        self.put(Record::Params(vec![(name.into(), value)]))
    }

    /// Stores a file or folder of the workdir under the trial's `artifacts/`.
    ///
    /// # Errors
    /// If the record could not be appended. A refused path, or a missing file, becomes a warning.
    pub fn artifact(&mut self, path: impl AsRef<Path>) -> Result<(), LoggerError> {
        let path = path.as_ref().to_string_lossy().into_owned();
        self.put(Record::Artifact { path, folder: None })
    }

    /// Records that a checkpoint is complete in the checkpoint folder. `step` is the resource at
    /// which it was taken.
    ///
    /// # Errors
    /// If the record could not be appended.
    pub fn checkpoint(&mut self, step: Option<f64>) -> Result<(), LoggerError> {
        self.put(Record::Checkpoint { step })
    }

    /// Records that the trial's configuration cannot work, with the reason. The trial ends as
    /// invalid in whatever way the program then ends: it is not tried again and is no failure.
    ///
    /// # Errors
    /// If the record could not be appended.
    pub fn invalid(&mut self, why: &str) -> Result<(), LoggerError> {
        let why = why.to_owned();
        self.put(Record::Invalid { why })
    }

    /// Records a free text.
    ///
    /// # Errors
    /// If the record could not be appended.
    pub fn note(&mut self, text: &str) -> Result<(), LoggerError> {
        let text = text.to_owned();
        self.put(Record::Note { text })
    }

    /// Records a problem on the supervising side: the trial is marked with a warning and continues.
    /// In a child it is recorded as a note.
    pub fn warn(&mut self, text: String) {
        self.end.warn(text, self.rank, now());
    }

    /// Returns whether the trial continues, without a report.
    #[must_use]
    pub fn directive(&self) -> Directive {
        self.end.directive().max(self.answered)
    }

    /// Writes the metrics that are still in memory. The supervisor calls this at the end of each
    /// round of reading.
    ///
    /// # Errors
    /// If the records could not be appended.
    pub fn flush(&mut self) -> Result<(), LoggerError> {
        self.end.flush(now())
    }

    /// Writes the metrics that are still in memory, and returns the data and models for the trial's
    /// `info.yaml`. In a child the result is empty.
    ///
    /// # Errors
    /// If the records could not be appended.
    pub fn finish(&mut self) -> Result<Recorded, LoggerError> {
        self.end.finish(now())
    }

    /// Returns numbers as the values of a report. Names are shared between reports.
    fn named(&mut self, numbers: &[(&str, f64)]) -> Vec<(Name, Datum)> {
        let mut values = Vec::with_capacity(numbers.len());
        for (index, (name, number)) in numbers.iter().enumerate() {
            let name = self.names.shared(index, name);
            values.push((name, Datum::Number(Metric(*number))));
        }
        values
    }

    fn put(&mut self, record: Record) -> Result<(), LoggerError> {
        let now = now();
        self.end.put(record, self.rank, now)?;
        self.end.send(now)
    }

    fn put_line(&mut self, line: &str) -> Result<(), LoggerError> {
        let line = line.trim_end_matches(['\n', '\r']);
        self.end.put_line(&with_rank(line, self.rank), now())
    }
}

/// Returns the text of a variable that swath sets for its trials.
fn text_of(variables: Variables<'_>, name: &'static str) -> Result<String, LoggerError> {
    let text = variables(name).ok_or(LoggerError::Environment {
        name,
        problem: "is not set".to_owned(),
    })?;
    Ok(text.to_string_lossy().into_owned())
}

/// Returns the number, from 1, of a variable that swath sets for its trials.
fn number_of(variables: Variables<'_>, name: &'static str) -> Result<u32, LoggerError> {
    let text = text_of(variables, name)?;
    let number = text.parse().ok().filter(|number| *number > 0);
    number.ok_or(LoggerError::Environment {
        name,
        problem: format!("is `{text}`, not a number from 1"),
    })
}

/// Returns the current time in microseconds since 1970.
pub(super) fn now() -> i64 {
    Timestamp::now().as_micros()
}
