//! `trials.csv`: the study as a table, one row a trial.
//!
//! pandas, qsv, DuckDB and a spreadsheet read it without options: one header, fixed order, empty for absent, LF, quotes only where needed,
//! floats in their shortest form that reads back as the same number (`1e-5`, `1.0`, `nan`). Texts are written as they are, even those that
//! a spreadsheet takes for a formula: the table holds what the trial was given, not something that looks like it.

use super::{Tracker, TrackerError};
use crate::space::{Name, Value};
use crate::study::{Entry, Goal, LogRecord, Objective, Origin, Study, Timestamp, Trial};
use ::csv::{ByteRecord, Writer};
use std::collections::{BTreeSet, HashSet};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// Columns before the objectives.
const FIRST: [&str; 4] = ["pipeline", "stage", "trial_id", "state"];

/// Columns after everything that has a name of the user's own.
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

/// Reported keys that have a column of their own kind.
const PATHS: [&str; 2] = ["model_path", "artifact"];

/// Writes the table of all trials.
///
/// # Errors
/// If `out` cannot be written.
pub fn write(study: &Study, out: impl Write) -> io::Result<()> {
    write_some(study, study.trials().iter().filter(|trial| !trial.removed), out)
}

/// Writes the table of some trials. The columns are those of the whole study, so that tables of different selections fit together.
///
/// # Errors
/// If `out` cannot be written.
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

/// Replaces the table at `path` by that of the study: a reader sees the old one or the new one, and a power loss leaves one of them.
///
/// # Errors
/// If the folder of `path` cannot be written.
pub fn save(study: &Study, path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = draft(folder)?;
    write(study, BufWriter::with_capacity(1 << 16, file.as_file_mut()))?;
    file.as_file().sync_data()?;
    file.persist(path).map_err(|error| error.error)?;
    File::open(folder)?.sync_data()
}

/// Begins a file that is to replace another in the same folder, readable by whom the umask lets.
pub(crate) fn draft(folder: &Path) -> io::Result<tempfile::NamedTempFile> {
    let mode: std::fs::Permissions = std::os::unix::fs::PermissionsExt::from_mode(0o666);
    tempfile::Builder::new().prefix(".draft-").suffix(".tmp").permissions(mode).tempfile_in(folder)
}

/// The columns of a study.
struct Columns {
    objectives: Vec<(String, Objective)>,
    params: Vec<Name>,
    metrics: BTreeSet<Name>,
}

impl Columns {
    fn of(study: &Study) -> Self {
        let header = study.header();
        let taken = |name: &str| FIRST.contains(&name) || LAST.contains(&name);
        let objectives = header.objectives.iter().map(|objective| {
            let name = &objective.metric;
            let column = if taken(name) { format!("objective.{name}") } else { name.to_string() };
            (column, objective.clone())
        });
        let mut params = header.params.clone();
        let mut known: HashSet<Name> = params.iter().cloned().collect();
        let mut metrics: BTreeSet<Name> =
            header.objectives.iter().map(|objective| objective.metric.clone()).collect();
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
        Self { objectives: objectives.collect(), params, metrics }
    }

    fn header(&self) -> impl Iterator<Item = String> {
        let first = FIRST.into_iter().map(str::to_owned);
        let objectives = self.objectives.iter().map(|(column, _)| column.clone());
        let params = self.params.iter().map(|name| format!("param.{name}"));
        let metrics = self.metrics.iter().map(|name| format!("metric.{name}"));
        let best = self.objectives.iter().map(|(_, objective)| format!("best.{}", objective.metric));
        let last = LAST.into_iter().map(str::to_owned);
        first.chain(objectives).chain(params).chain(metrics).chain(best).chain(last)
    }

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
        row.float(trial.ended_at.map(|_| trial.seconds));
        row.float(trial.ended_at.map(|_| trial.usage.cpu_seconds));
        row.float(trial.ended_at.map(|_| trial.usage.peak_mib));
        row.time(trial.started_at);
        row.time(trial.ended_at);
        row.text(&trial.exit.as_ref().map_or_else(String::new, ToString::to_string));
        let (data_dirs, data_md5s) = datasets(trial);
        row.text(&data_dirs);
        row.text(&data_md5s);
        let (model_path, model_md5) = model(trial);
        row.text(model_path);
        row.text(model_md5);
        row.number(trial.seed);
        row.text(header.git_commit.as_deref().unwrap_or_default());
        row.number(u64::from(study.head(trial.id).0));
        row.number(study.replicate(trial.id) as u64);
        row.text(origin(&trial.origin));
    }
}

/// Finds a parameter, first where it stands if no earlier one is absent.
fn param<'a>(trial: &'a Trial, at: usize, name: &Name) -> Option<&'a Value> {
    match trial.params.iter().nth(at) {
        Some((found, value)) if found == name => Some(value),
        _ => trial.params.get(name),
    }
}

fn best(trial: &Trial, objective: &Objective) -> Option<f64> {
    let tally = trial.metrics.get(&objective.metric)?;
    match objective.goal {
        Goal::Min => tally.min,
        Goal::Max => tally.max,
    }
}

/// Returns in a word where a configuration comes from: the sampler that proposed it, or how else it came to be.
pub(crate) fn origin(origin: &Origin) -> &str {
    match origin {
        Origin::Suggested(sampler) => sampler,
        Origin::Point(_) => "point",
        Origin::Cloned { .. } => "cloned",
        Origin::Replicate(_) => "replicate",
        Origin::Imported(from) => from,
        Origin::Added => "added",
    }
}

/// Returns every data set the trial read, `;` between them, and their digests in the same order.
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

/// Returns the model the trial wrote last, and its digest.
fn model(trial: &Trial) -> (&str, &str) {
    let models = trial.records.iter().rev().find_map(|record| match record {
        LogRecord::Model { model_path, md5, .. } => {
            Some((model_path.as_str(), md5.as_deref().unwrap_or_default()))
        }
        _ => None,
    });
    models.unwrap_or_default()
}

/// What the cells of a row are put into, from left to right.
pub(crate) trait Cells {
    /// A text; one that is empty is absent.
    fn text(&mut self, text: &str);
    /// A count.
    fn number(&mut self, number: u64);
    /// A measured number.
    fn float(&mut self, number: Option<f64>);
    /// Something that counts steps.
    fn step(&mut self, step: Option<f64>);
    /// A moment.
    fn time(&mut self, time: Option<Timestamp>);
    /// A parameter.
    fn value(&mut self, value: Option<&Value>);
}

/// Returns the header of the table of a study.
pub(crate) fn header(study: &Study) -> Vec<String> {
    Columns::of(study).header().collect()
}

/// Puts the rows of some trials into `cells`, one behind the other.
pub(crate) fn fill<'a>(study: &Study, trials: impl IntoIterator<Item = &'a Trial>, cells: &mut dyn Cells) {
    let columns = Columns::of(study);
    for trial in trials {
        columns.fill(study, trial, cells);
    }
}

/// One row while it is filled; the memory is used again for the next.
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

    // Steps count something: they have a dot only if they are fractions.
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
    fn shown(&mut self, value: std::fmt::Arguments<'_>) {
        self.scratch.clear();
        let _ = self.scratch.write_fmt(value);
        self.record.push_field(&self.scratch);
    }

    fn json(&mut self, value: &impl serde::Serialize) {
        self.scratch.clear();
        if serde_json::to_writer(&mut self.scratch, value).is_err() {
            self.scratch.clear();
        }
        self.record.push_field(&self.scratch);
    }
}

/// Keeps `trials.csv` up to date. Every study has one.
#[derive(Debug)]
pub struct Csv {
    path: PathBuf,
    behind: bool,
}

impl Csv {
    /// Keeps the table at `path`.
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
        let failed = |source| TrackerError::Write { path: self.path.display().to_string(), source };
        save(study, &self.path).map_err(failed)?;
        self.behind = false;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Csv, write};
    use crate::space::Value;
    use crate::study::{Datum, Exit, Failure, Goal, LogRecord, Metric};
    use crate::tracker::Tracker;
    use crate::tracker::demo::{Demo, objective, text};
    use proptest::prelude::*;

    fn table(demo: &Demo) -> String {
        let mut bytes = Vec::new();
        write(&demo.study, &mut bytes).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    fn cell(demo: &Demo, row: usize, column: &str) -> String {
        let csv = table(demo);
        let mut reader = ::csv::Reader::from_reader(csv.as_bytes());
        let at = reader.headers().unwrap().iter().position(|name| name == column).unwrap();
        reader.records().nth(row).unwrap().unwrap()[at].to_owned()
    }

    #[test]
    fn the_columns_stand_in_the_documented_order() {
        let mut demo = Demo::new(&["lr", "optimizer"]);
        demo.complete(
            &[("lr", Value::Float(1e-5)), ("optimizer", text("sgd"))],
            &[("val_loss", 1.0), ("acc", 0.5)],
        );
        assert_eq!(
            table(&demo),
            "pipeline,stage,trial_id,state,val_loss,param.lr,param.optimizer,metric.acc,metric.val_loss,best.val_loss,step,attempts,\
             seconds,cpu_seconds,peak_mib,started_at,ended_at,exit,data_dir,data_md5,model_path,model_md5,seed,git_commit,\
             configuration,replicate,origin\n\
             digits,train,1,complete,1.0,1e-5,sgd,0.5,1.0,1.0,1,1,2.0,0.5,12.25,2026-01-01T00:00:03Z,2026-01-01T00:00:05Z,done,,,,,7,,1,1,\
             random\n"
        );
    }

    #[test]
    fn a_study_without_trials_has_a_header() {
        assert_eq!(table(&Demo::new(&["lr"])).lines().count(), 1);
    }

    #[test]
    fn what_a_trial_does_not_have_is_empty() {
        let mut demo = Demo::new(&["lr", "momentum"]);
        demo.complete(&[("lr", Value::Float(0.1))], &[("val_loss", 1.0)]);
        demo.start(&[("lr", Value::Float(0.1)), ("momentum", Value::Float(0.9)), ("gone", Value::Int(3))]);
        assert_eq!([cell(&demo, 0, "param.momentum"), cell(&demo, 1, "param.momentum")], ["", "0.9"]);
        assert_eq!([cell(&demo, 0, "param.gone"), cell(&demo, 1, "param.gone")], ["", "3"]);
        assert_eq!(
            [cell(&demo, 1, "seconds"), cell(&demo, 1, "ended_at"), cell(&demo, 1, "val_loss")],
            ["", "", ""]
        );
    }

    #[test]
    fn a_number_that_is_not_finite_keeps_its_name_and_is_never_the_objective() {
        let mut demo = Demo::new(&[]);
        let trial = demo.start(&[]);
        demo.report(trial, &[("val_loss", f64::NAN), ("a", f64::INFINITY), ("b", f64::NEG_INFINITY)]);
        demo.end(trial, Exit::Done);
        assert_eq!(cell(&demo, 0, "metric.val_loss"), "nan");
        assert_eq!([cell(&demo, 0, "metric.a"), cell(&demo, 0, "metric.b")], ["inf", "-inf"]);
        assert_eq!([cell(&demo, 0, "val_loss"), cell(&demo, 0, "best.val_loss")], ["", ""]);
        assert_eq!(cell(&demo, 0, "exit"), "`val_loss` was reported, but is NaN");
    }

    #[test]
    fn texts_come_back_as_they_were_whatever_they_hold() {
        let nasty = ["=1+1", "a,b", "\"q\"", "line\nbreak", "cr\rhere", "größe 学", " spaces ", "'", "-O2"];
        for wanted in nasty {
            let mut demo = Demo::new(&["p"]);
            let trial = demo.start(&[("p", text(wanted))]);
            let values = vec![("note".into(), Datum::Text(wanted.into()))];
            demo.log(trial, LogRecord::Report { values });
            demo.end(trial, Exit::Failed(Failure::Error(wanted.into())));
            assert_eq!(cell(&demo, 0, "param.p"), wanted);
            assert_eq!(cell(&demo, 0, "metric.note"), wanted);
            assert_eq!(cell(&demo, 0, "exit"), format!("returned an error: {wanted}"));
        }
    }

    #[test]
    fn an_objective_named_like_a_column_does_not_double_it() {
        let mut demo = Demo::with(&[], vec![objective("seconds", Goal::Max)]);
        demo.complete(&[], &[("seconds", 4.5)]);
        assert_eq!(cell(&demo, 0, "objective.seconds"), "4.5");
        assert_eq!(cell(&demo, 0, "seconds"), "2.0");
    }

    #[test]
    fn data_sets_and_the_last_model_have_their_digests() {
        let mut demo = Demo::new(&[]);
        let trial = demo.start(&[]);
        for data_dir in ["data/a", "data/b", "data/a"] {
            let md5 = Some(data_dir.replace("data/", "md5 of "));
            let role = String::new();
            demo.log(trial, LogRecord::Dataset { data_dir: data_dir.into(), role, md5, size: 1, files: 1 });
        }
        for model in ["m/1.bin", "m/2.bin"] {
            let md5 = Some(format!("md5 of {model}"));
            demo.log(trial, LogRecord::Model { model_path: model.into(), md5, size: 1, step: None });
        }
        assert_eq!(
            [cell(&demo, 0, "data_dir"), cell(&demo, 0, "data_md5")],
            ["data/a;data/b", "md5 of a;md5 of b"]
        );
        assert_eq!(
            [cell(&demo, 0, "model_path"), cell(&demo, 0, "model_md5")],
            ["m/2.bin", "md5 of m/2.bin"]
        );
    }

    #[test]
    fn a_list_is_json_and_a_switch_a_word() {
        let mut demo = Demo::new(&["units", "bias"]);
        let units = Value::List(vec![Value::Int(128), Value::Float(0.5)]);
        demo.start(&[("units", units), ("bias", Value::Bool(true))]);
        assert_eq!([cell(&demo, 0, "param.units"), cell(&demo, 0, "param.bias")], ["[128,0.5]", "true"]);
    }

    #[test]
    fn the_file_is_replaced_as_a_whole_and_only_when_something_happened() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trials.csv");
        let mut demo = Demo::new(&["lr"]);
        let mut csv = Csv::new(path.clone());
        csv.sync(&demo.study).unwrap();
        demo.start(&[("lr", Value::Float(0.5))]);
        std::fs::write(&path, "stale").unwrap();
        csv.sync(&demo.study).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "stale");
        csv.record(&demo.study, &demo.entries[1]).unwrap();
        csv.sync(&demo.study).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), table(&demo));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    proptest! {
        #[test]
        fn every_float_reads_back_as_the_same_float(number in proptest::num::f64::NORMAL | proptest::num::f64::SUBNORMAL | proptest::num::f64::ZERO) {
            let mut demo = Demo::new(&["x"]);
            let trial = demo.start(&[("x", Value::Float(number))]);
            demo.log(trial, LogRecord::Report { values: vec![("val_loss".into(), Datum::Number(Metric(number)))] });
            demo.end(trial, Exit::Done);
            for column in ["param.x", "metric.val_loss", "val_loss", "best.val_loss"] {
                let read: f64 = cell(&demo, 0, column).parse().unwrap();
                prop_assert_eq!(read.to_bits(), number.to_bits());
            }
        }
    }
}
