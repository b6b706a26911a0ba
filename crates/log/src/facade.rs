//! The logger type, with the same methods in a child process and on the supervising side.

use super::appender::Appender;
use super::folder::Recorded;
use super::rank;
use super::supervised::{Label, Supervised};
use super::wire::{begin_pair, json_number, json_text, with_rank};
use super::{
    Answer, DigestCache, Directive, Dirs, Identity, Line, LoggerError, ModelStore, Point, Sink,
    Tail,
};
use crate::space::{Name, Value};
use crate::study::{Attempt, Datum, Due, Metric, Timestamp, TrialId};
use serde_json::json;
use std::env;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Maximum time that a trial waits for an answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);

/// Records the results of a trial, bound to one attempt of one trial.
pub struct TrialLogger {
    identity: Identity,
    end: End,
    /// The filter that [`log`](Self::log) applies.
    pub(super) due: Due,
    /// The rank of the worker within the trial; 0 for a trial that is not distributed.
    pub(super) rank: u32,
}

enum End {
    Child { records: Appender, line: Vec<u8> },
    Here(Box<Supervised>),
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

    pub(crate) fn from_variables(
        variable: &dyn Fn(&str) -> Option<std::ffi::OsString>,
    ) -> Result<Option<Self>, LoggerError> {
        let Some(records) = variable("SWATH_RECORDS").filter(|path| !path.is_empty()) else {
            return Ok(None);
        };
        let text = |name: &'static str| {
            let found = variable(name).ok_or(LoggerError::Environment {
                name,
                problem: "is not set".to_owned(),
            })?;
            Ok(found.to_string_lossy().into_owned())
        };
        let number = |name: &'static str| {
            let found: String = text(name)?;
            let problem = format!("is `{found}`, not a number from 1");
            found
                .parse()
                .ok()
                .filter(|number| *number > 0)
                .ok_or(LoggerError::Environment { name, problem })
        };
        let identity = Identity {
            study: text("SWATH_STUDY")?,
            pipeline: text("SWATH_PIPELINE")?,
            stage: text("SWATH_STAGE")?,
            trial: TrialId(number("SWATH_TRIAL")?),
            attempt: Attempt(number("SWATH_ATTEMPT")?),
        };
        let records = PathBuf::from(records);
        let trial = match variable("SWATH_TRIAL_DIR") {
            Some(dir) => PathBuf::from(dir),
            None => records.parent().unwrap_or(Path::new(".")).to_path_buf(),
        };
        let records = Appender::open(records, trial, now())?;
        let rank = rank::of_process(variable);
        let end = End::Child {
            records,
            line: Vec::new(),
        };
        Ok(Some(Self {
            identity,
            end,
            due: Due::default(),
            rank,
        }))
    }

    /// Makes the logger of the supervising side, also for closures. It writes the trial's own files
    /// and forwards the other records to `sink`.
    ///
    /// # Errors
    /// None at present: files are opened when the first record needs them.
    pub fn in_process(
        identity: Identity,
        dirs: Dirs,
        sink: Box<dyn Sink>,
    ) -> Result<Self, LoggerError> {
        let end = End::Here(Box::new(Supervised::new(dirs, sink)));
        Ok(Self {
            identity,
            end,
            due: Due::default(),
            rank: 0,
        })
    }

    /// Uses `cache` for the digests of data sets and models. Without effect in a child.
    #[must_use]
    pub fn with_cache(mut self, cache: Arc<DigestCache>) -> Self {
        if let End::Here(here) = &mut self.end {
            here.use_cache(cache);
        }
        self
    }

    /// Sets the metrics that decide. A quoted number counts as a number for them, and any other
    /// value is remembered as the reason why the metric has no number. Without effect in a child.
    #[must_use]
    pub fn with_deciding_metrics(mut self, names: &[Name]) -> Self {
        if let End::Here(here) = &mut self.end {
            here.use_deciding_metrics(names);
        }
        self
    }

    /// Uses `models` to hold the bytes of models. Without a store, models are only referred to.
    /// Without effect in a child.
    #[must_use]
    pub fn with_models(mut self, models: Arc<ModelStore>) -> Self {
        if let End::Here(here) = &mut self.end {
            here.use_models(models);
        }
        self
    }

    /// Sets the reported key that counts the scheduler's resource, if there is one. Without effect
    /// in a child.
    #[must_use]
    pub fn with_resource(mut self, resource: Option<&Name>) -> Self {
        if let End::Here(here) = &mut self.end {
            here.use_resource(resource);
        }
        self
    }

    /// Returns whether this attempt has recorded nothing for a deciding metric. Always false in a
    /// child.
    pub fn is_silent(&mut self, metric: &Name) -> bool {
        match &mut self.end {
            End::Here(here) => here.is_silent(metric),
            End::Child { .. } => false,
        }
    }

    /// Remembers the reason why a metric was not reported, as far as the trial's output tells.
    pub fn note_unreported(&mut self, metric: &Name, reason: String) {
        if let End::Here(here) = &mut self.end {
            here.note_unreported(metric, reason);
        }
    }

    /// Records why deciding metrics have no number. Called once, at the end of an attempt that
    /// ended well.
    pub fn explain_absence(&mut self) {
        if let End::Here(here) = &mut self.end {
            here.explain_absence();
        }
    }

    /// Reads the lines that a program has appended to its records file since the last call, and the
    /// models that they name. Returns the number of bytes read, which is 0 in a child.
    ///
    /// Of several lines that are read together and name one model path, only the last can have the
    /// model's digest, and only if the model is not newer than the lines.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn follow(&mut self, tail: &mut Tail) -> io::Result<usize> {
        match &mut self.end {
            End::Here(here) => here.follow(tail, false, now),
            End::Child { .. } => Ok(0),
        }
    }

    /// Works like [`follow`](Self::follow) for the last time, after the program has ended.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn follow_to_the_end(&mut self, tail: &mut Tail) -> io::Result<usize> {
        match &mut self.end {
            End::Here(here) => here.follow(tail, true, now),
            End::Child { .. } => Ok(0),
        }
    }

    /// Records the reports that `find` extracts from the output of a program. `modified` is the
    /// time of the last write to the output, in nanoseconds since 1970, taken before the search;
    /// `ended` tells whether the program has ended. Returns the result of `find`, or `None` in a
    /// child.
    pub fn take_output<T>(
        &mut self,
        modified: i128,
        ended: bool,
        find: impl FnOnce(&mut dyn FnMut(Vec<(Name, Datum)>)) -> T,
    ) -> Option<T> {
        let End::Here(here) = &mut self.end else {
            return None;
        };
        let rank = self.rank;
        let feed =
            |here: &mut Supervised| find(&mut |values| here.report_values(values, rank, now()));
        Some(here.take_together(modified, ended, feed))
    }

    /// Records lines that a program left in a records file before it ended, with their line
    /// numbers. `modified` is the time of the last write to the file, in nanoseconds since 1970.
    pub fn take_lines(&mut self, modified: i128, lines: &[(u64, Vec<u8>)]) {
        let End::Here(here) = &mut self.end else {
            return;
        };
        here.take_together(modified, true, |here| {
            for (number, bytes) in lines {
                here.tailed(
                    Line::Whole {
                        number: *number,
                        bytes,
                    },
                    now(),
                );
            }
        });
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
        match &mut self.end {
            End::Here(here) => {
                let named = values.iter().enumerate();
                let values = named
                    .map(|(at, (name, number))| {
                        (here.name(at, name), Datum::Number(Metric(*number)))
                    })
                    .collect();
                here.report_values(values, self.rank, now());
                Ok(here.directive())
            }
            End::Child { records, line } => {
                encode_report(line, values, self.rank);
                records.now(line, now())?;
                Ok(records.directive())
            }
        }
    }

    /// Reports values and waits for the decision whether the trial continues, so that it never
    /// trains past a stop. The answer replaces SIGTERM as long as the trial ends within its grace
    /// period. Report and question are appended in one write: if the report arrived first, its
    /// verdict could be a SIGTERM, sent before the question was known.
    ///
    /// # Errors
    /// If the record could not be appended, or no answer arrives within a minute.
    pub fn report_and_wait(&mut self, values: &[(&str, f64)]) -> Result<Directive, LoggerError> {
        match &mut self.end {
            End::Child { records, line } => {
                encode_report(line, values, self.rank);
                records.hold(line)?;
            }
            End::Here(_) => {
                self.report(values)?;
            }
        }
        Ok(self.ask()?.directive)
    }

    /// Appends a record, one line of JSON, and waits for the decision whether the trial continues.
    ///
    /// # Errors
    /// If the record is not one line, could not be appended, or no answer arrives within a minute.
    pub fn record_and_wait(&mut self, line: &str) -> Result<Answer, LoggerError> {
        match &mut self.end {
            End::Child { records, .. } => records.hold(with_rank(line, self.rank).as_bytes())?,
            End::Here(_) => {
                self.record(line)?;
            }
        }
        self.ask()
    }

    /// Asks whether the trial continues after its reports so far, and waits for the answer.
    ///
    /// # Errors
    /// If the question could not be appended, or no answer arrives within a minute.
    pub fn ask(&mut self) -> Result<Answer, LoggerError> {
        // The process id keeps the questions of several processes of a trial apart.
        let id = format!("{}-{}", std::process::id(), now());
        let trial = match &mut self.end {
            End::Here(here) => {
                here.ask(id.clone());
                here.trial().to_owned()
            }
            End::Child { records, .. } => {
                records.now(
                    json!({"kind": "ask", "id": id}).to_string().as_bytes(),
                    now(),
                )?;
                records.trial().to_owned()
            }
        };
        Answer::wait(&trial, &id, ANSWER_WITHIN).ok_or(LoggerError::NoAnswer(ANSWER_WITHIN))
    }

    /// Returns whether the trial asked a question after its last report, so that the answer will
    /// tell it of a stop. Always false in a child.
    #[must_use]
    pub fn waits(&self) -> bool {
        matches!(&self.end, End::Here(here) if here.waits())
    }

    /// Reports values of any kind: numbers, flags, texts. A text `model_path` names a model that
    /// was saved with them.
    ///
    /// # Errors
    /// If the record could not be appended.
    pub fn report_values(&mut self, values: Vec<(Name, Datum)>) -> Result<Directive, LoggerError> {
        match &mut self.end {
            End::Here(here) => {
                here.report_values(values, self.rank, now());
                Ok(here.directive())
            }
            End::Child { records, line } => {
                begin_line(line, "report");
                for (name, datum) in values.iter().filter(|(name, _)| is_kept(name, self.rank)) {
                    begin_pair(line, name);
                    match datum {
                        Datum::Flag(flag) => line.extend_from_slice(flag.to_string().as_bytes()),
                        Datum::Number(Metric(number)) => json_number(line, *number),
                        Datum::Text(text) => json_text(line, text),
                    }
                }
                end_line(line, self.rank);
                records.now(line, now())?;
                Ok(records.directive())
            }
        }
    }

    /// Records one line in the format of `docs/records.md`. A report or metric of a worker other
    /// than rank 0 gets its rank.
    ///
    /// # Errors
    /// If the text is not one line, or could not be appended. A mistake inside the line becomes a
    /// warning of the trial.
    pub fn record(&mut self, line: &str) -> Result<Directive, LoggerError> {
        let line = line.trim_end_matches(['\n', '\r']);
        match &mut self.end {
            End::Child { records, .. } => {
                records.now(with_rank(line, self.rank).as_bytes(), now())?;
            }
            End::Here(here) => {
                if let Some(at) = line.find('\n') {
                    return Err(LoggerError::LineBreak { at });
                }
                here.line(&Label::Record, with_rank(line, self.rank).as_bytes(), now());
            }
        }
        Ok(self.directive())
    }

    /// Records a line that was read from the trial's records file. Its number appears in every
    /// warning about it.
    ///
    /// # Errors
    /// As [`record`](Self::record).
    pub fn tailed(&mut self, line: Line<'_>) -> Result<Directive, LoggerError> {
        match (&mut self.end, line) {
            (End::Here(here), line) => here.tailed(line, now()),
            (End::Child { records, .. }, Line::Whole { bytes, .. } | Line::Torn { bytes, .. }) => {
                records.now(bytes, now())?;
            }
            (End::Child { .. }, Line::TooLong { .. } | Line::Replaced { .. }) => {}
        }
        Ok(self.directive())
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
        let now = now();
        let rank = (self.rank > 0).then_some(u64::from(self.rank));
        match &mut self.end {
            End::Here(here) => {
                here.metrics(values, &at, rank, now);
                Ok(())
            }
            End::Child { records, line } => {
                metric_line(line, values, &at, rank, now);
                records.soon(line, now)
            }
        }
    }

    /// Records that the trial read a data set, a file or a folder, with its digest. `role` is
    /// `train`, `validation`, `test` or empty.
    ///
    /// # Errors
    /// If the record could not be appended. A data set that cannot be read becomes a warning.
    pub fn dataset(&mut self, data_dir: impl AsRef<Path>, role: &str) -> Result<(), LoggerError> {
        let path = data_dir.as_ref();
        match &mut self.end {
            End::Here(here) => here.dataset(path, role.to_owned(), &Label::Record),
            End::Child { .. } => {
                return self.append(
                    &json!({"kind": "dataset", "path": path.to_string_lossy(), "role": role}),
                );
            }
        }
        Ok(())
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
        let path = model_path.as_ref().to_string_lossy();
        match &mut self.end {
            End::Here(here) => {
                let keep = facts.contains(&("keep", Value::Bool(true)));
                let facts = facts.iter().filter(|(name, _)| *name != "keep");
                let facts = facts
                    .map(|(name, value)| ((*name).into(), value.clone()))
                    .collect();
                here.model(&path, step, keep, facts, &Label::Record);
            }
            End::Child { .. } => {
                let mut line = json!({"kind": "model", "path": path, "step": step});
                for (name, value) in facts {
                    line[*name] = json!(value);
                }
                return self.append(&line);
            }
        }
        Ok(())
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
        match &mut self.end {
            End::Here(here) => here.output(name.into(), value),
            End::Child { .. } => {
                return self.append(&json!({"kind": "output", "name": name, "value": value}));
            }
        }
        Ok(())
    }

    /// Records a parameter that the trial determined itself.
    ///
    /// # Errors
    /// If the record could not be appended.
    pub fn param(&mut self, name: &str, value: Value) -> Result<(), LoggerError> {
        match &mut self.end {
            End::Here(here) => here.param(name, value),
            End::Child { .. } => {
                return self.append(&json!({"kind": "param", "name": name, "value": value}));
            }
        }
        Ok(())
    }

    /// Stores a file or folder of the workdir under the trial's `artifacts/`.
    ///
    /// # Errors
    /// If the record could not be appended. A refused path, or a missing file, becomes a warning.
    pub fn artifact(&mut self, path: impl AsRef<Path>) -> Result<(), LoggerError> {
        let path = path.as_ref().to_string_lossy();
        match &mut self.end {
            End::Here(here) => here.artifact(&path, None, &Label::Record),
            End::Child { .. } => return self.append(&json!({"kind": "artifact", "path": path})),
        }
        Ok(())
    }

    /// Records that a checkpoint is complete in the checkpoint folder. `step` is the resource at
    /// which it was taken.
    ///
    /// # Errors
    /// If the record could not be appended.
    pub fn checkpoint(&mut self, step: Option<f64>) -> Result<(), LoggerError> {
        match &mut self.end {
            End::Here(here) => here.pass(crate::study::LogRecord::Checkpoint { step }),
            End::Child { .. } => return self.append(&json!({"kind": "checkpoint", "step": step})),
        }
        Ok(())
    }

    /// Records a free text.
    ///
    /// # Errors
    /// If the record could not be appended.
    pub fn note(&mut self, text: &str) -> Result<(), LoggerError> {
        match &mut self.end {
            End::Here(here) => here.pass(crate::study::LogRecord::Note {
                text: text.to_owned(),
            }),
            End::Child { .. } => return self.append(&json!({"kind": "note", "text": text})),
        }
        Ok(())
    }

    /// Records a problem on the supervising side: the trial is marked with a warning and continues.
    /// In a child it is recorded as a note.
    pub fn warn(&mut self, text: String) {
        match &mut self.end {
            End::Here(here) => here.warn(text),
            End::Child { .. } => drop(self.append(&json!({"kind": "note", "text": text}))),
        }
    }

    /// Returns whether the trial continues, without a report.
    #[must_use]
    pub fn directive(&self) -> Directive {
        match &self.end {
            End::Here(here) => here.directive(),
            End::Child { records, .. } => records.directive(),
        }
    }

    /// Writes the metrics that are still in memory. The supervisor calls this at the end of each
    /// round of reading.
    ///
    /// # Errors
    /// If the records could not be appended.
    pub fn flush(&mut self) -> Result<(), LoggerError> {
        match &mut self.end {
            End::Here(here) => here.flush(now()),
            End::Child { records, .. } => records.flush(now())?,
        }
        Ok(())
    }

    /// Writes the metrics that are still in memory, and returns the data and models for the trial's
    /// `info.yaml`. In a child the result is empty.
    ///
    /// # Errors
    /// If the records could not be appended.
    pub fn finish(&mut self) -> Result<Recorded, LoggerError> {
        match &mut self.end {
            End::Here(here) => Ok(here.finish(now())),
            End::Child { records, .. } => records.flush(now()).map(|()| Recorded::default()),
        }
    }

    /// Appends an object as a line. Does nothing on the supervising side.
    fn append(&mut self, object: &serde_json::Value) -> Result<(), LoggerError> {
        let End::Child { records, .. } = &mut self.end else {
            return Ok(());
        };
        records.now(object.to_string().as_bytes(), now())
    }
}

/// Begins a line of a kind. The kind is written for reports too, because a value may have the name
/// `kind`.
fn begin_line(line: &mut Vec<u8>, kind: &str) {
    line.clear();
    line.extend_from_slice(b"{\"kind\": ");
    json_text(line, kind);
}

/// Encodes a report of numbers as one line, without a line break.
fn encode_report(line: &mut Vec<u8>, values: &[(&str, f64)], rank: u32) {
    begin_line(line, "report");
    for (name, number) in values.iter().filter(|(name, _)| is_kept(name, rank)) {
        begin_pair(line, name);
        json_number(line, *number);
    }
    end_line(line, rank);
}

/// Returns whether a value of a report is written. A value named like the rank is dropped for a
/// worker other than rank 0, whose line carries the rank.
fn is_kept(name: &str, rank: u32) -> bool {
    rank == 0 || name != rank::KEY
}

/// Ends a report, with the rank of the process unless it is 0.
fn end_line(line: &mut Vec<u8>, rank: u32) {
    if rank > 0 {
        begin_pair(line, rank::KEY);
        line.extend_from_slice(rank.to_string().as_bytes());
    }
    line.push(b'}');
}

fn metric_line(
    line: &mut Vec<u8>,
    values: &[(&str, f64)],
    point: &Point<'_>,
    rank: Option<u64>,
    now: i64,
) {
    begin_line(line, "metric");
    for (name, number) in values {
        begin_pair(line, name);
        json_number(line, *number);
    }
    for (key, number) in [("step", point.step), ("batch", point.batch), ("rank", rank)] {
        if let Some(number) = number {
            begin_pair(line, key);
            serde_json::to_writer(&mut *line, &number).expect("a vector takes all bytes");
        }
    }
    for (key, word) in [("context", point.context), ("log", point.log)] {
        if !word.is_empty() {
            begin_pair(line, key);
            json_text(line, word);
        }
    }
    begin_pair(line, "at");
    super::files::seconds(line, now);
    line.push(b'}');
}

/// Returns the current time in microseconds since 1970.
fn now() -> i64 {
    Timestamp::now().as_micros()
}
