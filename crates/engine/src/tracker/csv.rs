//! `trials.csv`: the study as a table with one row per trial.
//!
//! pandas, qsv, DuckDB and spreadsheets read it without options. It has one header line, a fixed
//! column order, empty cells for absent values, LF line ends and quotes only where needed. Floats
//! have the shortest form that reads back as the same number (`1e-5`, `1.0`, `nan`). Texts are
//! written unchanged, even those that a spreadsheet takes for a formula: the table holds exactly
//! the values that the trial received.

use super::{Tracker, TrackerError};
use crate::space::{Name, Value};
use crate::study::{Datum, Entry, Goal, LogRecord, Objective, Origin, Study, Timestamp, Trial};
use ::csv::{ByteRecord, Writer};
use std::collections::{BTreeSet, HashSet};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// The built-in columns before the objectives.
const FIRST: [&str; 4] = ["pipeline", "stage", "trial_id", "state"];

/// The built-in columns after all columns that are named by the user.
const LAST: [&str; 17] = [
    "step",
    "attempts",
    "seconds",
    "cpu_seconds",
    "peak_mib",
    "started_at",
    "ended_at",
    "exit",
    "data_dir",
    "data_md5",
    "model_path",
    "model_md5",
    "seed",
    "git_commit",
    "configuration",
    "replicate",
    "origin",
];

/// The built-in columns at the end, after `at_best.<metric>`.
const RESULT: [&str; 3] = ["best_step", "model_step", "feasible"];

/// Reported keys that get no `metric.` column: a model has the column `model_path`, and both are
/// recorded as files.
const PATHS: [&str; 2] = ["model_path", "artifact"];

/// Writes the table of all trials that are not in the trash.
///
/// # Errors
/// Returns an error if `out` cannot be written.
pub fn write(study: &Study, out: impl Write) -> io::Result<()> {
    write_some(
        study,
        study.trials().iter().filter(|trial| !trial.removed),
        out,
    )
}

/// Writes the table of `trials`. The columns are those of the whole study, so that tables of
/// different selections can be combined.
///
/// # Errors
/// Returns an error if `out` cannot be written.
pub fn write_some<'a>(
    study: &Study,
    trials: impl IntoIterator<Item = &'a Trial>,
    out: impl Write,
) -> io::Result<()> {
    let columns = Columns::of(study);
    let mut writer = Writer::from_writer(out);
    writer.write_record(columns.header())?;
    let mut row = Row::default();
    for trial in trials {
        columns.fill(study, trial, &mut row);
        writer.write_byte_record(&row.record)?;
        row.record.clear();
    }
    writer.flush()
}

/// Replaces the table at `path` atomically. A reader sees the old table or the new one, and so does
/// a restart after a power failure.
///
/// # Errors
/// Returns an error if the folder of `path` cannot be written or synced.
pub fn save(study: &Study, path: &Path) -> io::Result<()> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let mut file = draft(folder)?;
    write(study, BufWriter::with_capacity(1 << 16, file.as_file_mut()))?;
    file.as_file().sync_data()?;
    file.persist(path).map_err(|error| error.error)?;
    // Without syncing the folder, the rename could be lost in a power failure.
    File::open(folder)?.sync_data()
}

/// Creates a temporary file in `folder` that is to replace another file there. Its permissions are
/// 0666 minus the umask, not the private ones of a usual temporary file.
pub fn draft(folder: &Path) -> io::Result<tempfile::NamedTempFile> {
    let mode: std::fs::Permissions = std::os::unix::fs::PermissionsExt::from_mode(0o666);
    tempfile::Builder::new()
        .prefix(".draft-")
        .suffix(".tmp")
        .permissions(mode)
        .tempfile_in(folder)
}

/// The columns of a study whose names depend on the user: objectives, parameters and metrics.
struct Columns {
    objectives: Vec<(String, Objective)>,
    params: Vec<Name>,
    metrics: BTreeSet<Name>,
}

impl Columns {
    /// Collects the columns from the header and all trials: the parameters of the header first,
    /// then others in order of appearance; the metrics by name.
    fn of(study: &Study) -> Self {
        let header = study.header();
        // An objective with the name of a built-in column gets the prefix `objective.`.
        let taken =
            |name: &str| FIRST.contains(&name) || LAST.contains(&name) || RESULT.contains(&name);
        let objectives = header.objectives.iter().map(|objective| {
            let name = &objective.metric;
            let column = if taken(name) {
                format!("objective.{name}")
            } else {
                name.to_string()
            };
            (column, objective.clone())
        });
        let mut params = header.params.clone();
        let mut known: HashSet<Name> = params.iter().cloned().collect();
        let mut metrics: BTreeSet<Name> = header
            .objectives
            .iter()
            .map(|objective| objective.metric.clone())
            .collect();
        for trial in study.trials() {
            for (name, _) in &trial.params {
                if known.insert(name.clone()) {
                    params.push(name.clone());
                }
            }
            let reported = trial.metrics.keys().chain(trial.texts.keys());
            for name in reported.filter(|name| !PATHS.contains(&&***name)) {
                if !metrics.contains(name) {
                    metrics.insert(name.clone());
                }
            }
        }
        Self {
            objectives: objectives.collect(),
            params,
            metrics,
        }
    }

    fn header(&self) -> impl Iterator<Item = String> {
        let first = FIRST.into_iter().map(str::to_owned);
        let objectives = self.objectives.iter().map(|(column, _)| column.clone());
        let params = self.params.iter().map(|name| format!("param.{name}"));
        let metrics = self.metrics.iter().map(|name| format!("metric.{name}"));
        let best = self
            .objectives
            .iter()
            .map(|(_, objective)| format!("best.{}", objective.metric));
        let last = LAST.into_iter().map(str::to_owned);
        let at_best = self.metrics.iter().map(|name| format!("at_best.{name}"));
        let result = RESULT.into_iter().map(str::to_owned);
        let named = first
            .chain(objectives)
            .chain(params)
            .chain(metrics)
            .chain(best);
        named.chain(last).chain(at_best).chain(result)
    }

    /// Adds the cells of one trial, in the order of `header`.
    fn fill(&self, study: &Study, trial: &Trial, row: &mut dyn Cells) {
        let header = study.header();
        row.text(&header.pipeline);
        row.text(&header.stage);
        row.number(trial.id.0.into());
        row.text(trial.state.word());
        for (_, objective) in &self.objectives {
            row.float(trial.objective(objective));
        }
        for (at, name) in self.params.iter().enumerate() {
            row.value(param(trial, at, name));
        }
        for name in &self.metrics {
            match (trial.metrics.get(name), trial.texts.get(name)) {
                (Some(tally), _) => row.float(Some(tally.last.0)),
                (None, Some(text)) => row.text(text),
                (None, None) => row.float(None),
            }
        }
        for (_, objective) in &self.objectives {
            row.float(best(trial, objective));
        }
        row.step(trial.step);
        row.number(trial.attempts.into());
        // Times and resource use are shown only once the trial has ended.
        row.float(trial.ended_at.map(|_| trial.seconds));
        row.float(trial.ended_at.map(|_| trial.usage.cpu_seconds));
        row.float(trial.ended_at.map(|_| trial.usage.peak_mib));
        row.time(trial.started_at);
        row.time(trial.ended_at);
        row.text(
            &trial
                .exit
                .as_ref()
                .map_or_else(String::new, ToString::to_string),
        );
        let (data_dirs, data_md5s) = datasets(trial);
        row.text(&data_dirs);
        row.text(&data_md5s);
        let model = trial.model_that_counts();
        row.text(model.map_or("", |model| model.path));
        row.text(model.and_then(|model| model.md5).unwrap_or_default());
        row.number(trial.seed);
        row.text(header.git_commit.as_deref().unwrap_or_default());
        row.number(u64::from(study.head(trial.id).0));
        row.number(study.replicate(trial.id) as u64);
        row.text(origin(&trial.origin));
        for name in &self.metrics {
            match trial.at_best(name) {
                Some(Datum::Number(number)) => row.float(Some(number.0)),
                Some(Datum::Flag(flag)) => row.text(if *flag { "true" } else { "false" }),
                Some(Datum::Text(text)) => row.text(text),
                None => row.float(None),
            }
        }
        row.step(trial.counted.as_ref().and_then(|counted| counted.step));
        row.step(model.and_then(|model| model.step));
        row.value(trial.feasible(&header.limits).map(Value::Bool).as_ref());
    }
}

/// Returns the parameter `name` of a trial. Looks at position `at` first, where it is if no earlier
/// parameter is absent, which is usual and saves a search.
fn param<'a>(trial: &'a Trial, at: usize, name: &Name) -> Option<&'a Value> {
    match trial.params.iter().nth(at) {
        Some((found, value)) if found == name => Some(value),
        _ => trial.params.get(name),
    }
}

/// Returns the smallest or largest value of the objective's metric, according to its goal.
fn best(trial: &Trial, objective: &Objective) -> Option<f64> {
    let tally = trial.metrics.get(&objective.metric)?;
    match objective.goal {
        Goal::Min => tally.min,
        Goal::Max => tally.max,
    }
}

/// Returns the origin of a configuration as one word: the name of the sampler, or how else the
/// trial was created.
pub fn origin(origin: &Origin) -> &str {
    match origin {
        Origin::Suggested(sampler) => sampler,
        Origin::Point(_) => "point",
        Origin::Cloned { .. } => "cloned",
        Origin::Replicate(_) => "replicate",
        Origin::Imported(from) => from,
        Origin::Added => "added",
    }
}

/// Returns the paths of all data sets that the trial read, separated by `;`, and their digests in
/// the same order. The digest of a data set without one is empty.
fn datasets(trial: &Trial) -> (String, String) {
    let (mut paths, mut digests): (Vec<&str>, Vec<&str>) = (Vec::new(), Vec::new());
    for record in &trial.records {
        if let LogRecord::Dataset { data_dir, md5, .. } = record
            && !paths.contains(&data_dir.as_str())
        {
            paths.push(data_dir);
            digests.push(md5.as_deref().unwrap_or_default());
        }
    }
    (paths.join(";"), digests.join(";"))
}

/// A sink for the cells of a row, which arrive from left to right.
pub trait Cells {
    /// Adds a text. An empty text means that the value is absent.
    fn text(&mut self, text: &str);
    /// Adds a non-negative integer, such as an id or a count.
    fn number(&mut self, number: u64);
    /// Adds a measured number; `None` if absent.
    fn float(&mut self, number: Option<f64>);
    /// Adds a step; `None` if absent.
    fn step(&mut self, step: Option<f64>);
    /// Adds a point in time; `None` if absent.
    fn time(&mut self, time: Option<Timestamp>);
    /// Adds the value of a parameter; `None` if the trial does not have it.
    fn value(&mut self, value: Option<&Value>);
}

/// Returns the column names of a study's table, from left to right.
pub fn header(study: &Study) -> Vec<String> {
    Columns::of(study).header().collect()
}

/// Adds the rows of `trials` to `cells`, one after the other without a separator.
pub fn fill<'a>(study: &Study, trials: impl IntoIterator<Item = &'a Trial>, cells: &mut dyn Cells) {
    let columns = Columns::of(study);
    for trial in trials {
        columns.fill(study, trial, cells);
    }
}

/// One row under construction. Its memory is reused for the next row.
#[derive(Default)]
struct Row {
    record: ByteRecord,
    scratch: Vec<u8>,
}

impl Cells for Row {
    fn text(&mut self, text: &str) {
        self.record.push_field(text.as_bytes());
    }

    fn number(&mut self, number: u64) {
        self.json(&number);
    }

    fn float(&mut self, number: Option<f64>) {
        match number {
            None => self.text(""),
            Some(number) if number.is_finite() => self.shown(format_args!("{number:?}")),
            Some(number) if number.is_nan() => self.text("nan"),
            Some(number) => self.text(if number > 0.0 { "inf" } else { "-inf" }),
        }
    }

    // Steps are counters: only fractional ones are written with a decimal point.
    fn step(&mut self, step: Option<f64>) {
        match step {
            Some(step) if step.fract() == 0.0 && step.abs() < 1e15 => self.json(&(step as i64)),
            other => self.float(other),
        }
    }

    fn time(&mut self, time: Option<Timestamp>) {
        match time {
            Some(time) => self.text(&time.to_string()),
            None => self.text(""),
        }
    }

    fn value(&mut self, value: Option<&Value>) {
        match value {
            None => self.text(""),
            Some(Value::Text(text)) => self.text(text),
            Some(Value::Float(number)) => self.float(Some(*number)),
            Some(other) => self.json(other),
        }
    }
}

impl Row {
    /// Adds a formatted value.
    fn shown(&mut self, value: std::fmt::Arguments<'_>) {
        self.scratch.clear();
        let _ = self.scratch.write_fmt(value);
        self.record.push_field(&self.scratch);
    }

    /// Adds a value in JSON, or an empty cell if it cannot be written.
    fn json(&mut self, value: &impl serde::Serialize) {
        self.scratch.clear();
        if serde_json::to_writer(&mut self.scratch, value).is_err() {
            self.scratch.clear();
        }
        self.record.push_field(&self.scratch);
    }
}

/// The tracker that maintains `trials.csv`. Every study has one.
#[derive(Debug)]
pub struct Csv {
    path: PathBuf,
    /// Whether entries have been recorded since the table was written. Initially true, so that a
    /// new run always writes the table.
    behind: bool,
}

impl Csv {
    /// Returns a tracker that maintains the table at `path`.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self { path, behind: true }
    }
}

impl Tracker for Csv {
    fn record(&mut self, _study: &Study, _entry: &Entry) -> Result<(), TrackerError> {
        self.behind = true;
        Ok(())
    }

    fn sync(&mut self, study: &Study) -> Result<(), TrackerError> {
        if !self.behind {
            return Ok(());
        }
        let failed = |source| TrackerError::Write {
            path: self.path.display().to_string(),
            source,
        };
        save(study, &self.path).map_err(failed)?;
        self.behind = false;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
