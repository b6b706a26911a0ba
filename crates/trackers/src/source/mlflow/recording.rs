//! Makes records of what a client logs.
//!
//! Runs without a parent decide: their values are reports at the steps at which a deciding metric
//! has a value, and metrics at all others. Nested runs only describe.

use super::super::rename::Rename;
use super::points::Point;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use swath_engine::executor::SourceAttempt;
use swath_log::wire::Record;
use swath_log::{SourceLines, SourcePlace};
use swath_model::space::{Name, Value};
use swath_model::study::{Datum, Metric};

/// The name of the source.
pub(super) const NAME: &str = "mlflow";

/// The prefix of the metrics that MLflow samples from the system. Their steps number the samples,
/// so they belong to no step of the training.
const SYSTEM: &str = "system/";

/// The keys that have a meaning of their own in the line of a metric, and in that of a report.
const KEYS_OF_METRICS: [&str; 9] = [
    "at", "batch", "context", "kind", "log", "name", "rank", "step", "value",
];
const KEYS_OF_REPORTS: [&str; 4] = ["kind", "model_path", "rank", "step"];

/// Appends the records of one attempt.
pub(super) struct Recorder {
    lines: SourceLines,
    rename: Rename,
    deciding: Vec<Name>,
    resource: Option<Name>,
    dir: PathBuf,
    workdir: PathBuf,
    runs: BTreeMap<String, Series>,
    /// The parameters that were recorded, so that a repeated call does not record them again.
    params: BTreeMap<String, String>,
}

/// The values of a run so far.
struct Series {
    /// The name of the run, as people know it.
    name: String,
    /// The log of the metrics; `None` if the run decides.
    log: Option<String>,
    /// The last value of each metric, with its step.
    last: BTreeMap<Name, LastValue>,
    /// The step of the last report. Values that arrive for it later are a further report.
    reported: Option<i64>,
}

struct LastValue {
    step: i64,
    value: f64,
    is_reported: bool,
}

impl Recorder {
    /// Begins with an attempt.
    ///
    /// # Errors
    /// If the records of the trial cannot be opened.
    pub(super) fn begin(attempt: &SourceAttempt<'_>, rename: Rename) -> io::Result<Self> {
        Ok(Self {
            lines: SourceLines::open(attempt.dir, NAME)?,
            rename,
            deciding: attempt.deciding.to_vec(),
            resource: attempt.resource.cloned(),
            dir: attempt.dir.to_owned(),
            workdir: attempt.workdir.to_owned(),
            runs: BTreeMap::new(),
            params: BTreeMap::new(),
        })
    }

    /// Begins with a run. `number` counts the nested runs of the attempt; `None` if the run
    /// decides.
    pub(super) fn begin_run(&mut self, id: &str, name: &str, number: Option<usize>) {
        let series = Series {
            name: name.to_owned(),
            log: number.map(|number| format!("run_{number}")),
            last: BTreeMap::new(),
            reported: None,
        };
        self.runs.insert(id.to_owned(), series);
    }

    /// Records new points of a run, in the order in which they arrived. Points of one call and one
    /// step belong together.
    pub(super) fn points(&mut self, run: &str, points: &[(String, Point)]) -> io::Result<()> {
        let mut rest = points;
        while let Some((_, first)) = rest.first() {
            let mut names = BTreeSet::new();
            let count = rest
                .iter()
                .take_while(|(key, point)| point.step == first.step && names.insert(key))
                .count();
            let (row, further) = rest.split_at(count);
            self.row(run, row)?;
            rest = further;
        }
        Ok(())
    }

    /// Records points of one step, each of another metric.
    fn row(&mut self, run: &str, points: &[(String, Point)]) -> io::Result<()> {
        let Some(series) = self.runs.get_mut(run) else {
            return Ok(());
        };
        let step = points.first().map_or(0, |(_, point)| point.step);
        let (system, values): (Vec<_>, Vec<_>) =
            points.iter().partition(|(key, _)| key.starts_with(SYSTEM));
        let values: Vec<(Name, Point)> = values
            .iter()
            .map(|(key, point)| (Name::from(self.rename.name("", key)), *point))
            .collect();
        let decides = values
            .iter()
            .any(|(name, _)| self.deciding.contains(name) && self.resource.as_ref() != Some(name));
        let is_report = series.log.is_none() && (decides || series.reported == Some(step));
        if is_report && !values.is_empty() {
            let report = series.report(step, &values, self.resource.as_ref(), &self.deciding);
            let report = Record::Report { values: report };
            self.lines.record(&[series.place()], &report)?;
        } else {
            series.metrics(&mut self.lines, &values)?;
        }
        for (name, point) in values {
            let last = LastValue {
                step,
                value: point.value,
                is_reported: is_report,
            };
            series.last.insert(name, last);
        }
        let system: Vec<(Name, Point)> = system
            .iter()
            .map(|(key, point)| (Name::from(&**key), *point))
            .collect();
        series.metrics(&mut self.lines, &system)
    }

    /// Records a parameter. A parameter of a nested run is named after the run.
    pub(super) fn param(&mut self, run: &str, key: &str, text: &str) -> io::Result<()> {
        let Some(series) = self.runs.get(run) else {
            return Ok(());
        };
        let name = match &series.log {
            None => key.to_owned(),
            Some(log) => format!("{log}/{key}"),
        };
        if self.params.get(&name).is_some_and(|other| other == text) {
            return Ok(());
        }
        let record = Record::Params(vec![(Name::from(&*name), value(text))]);
        self.params.insert(name, text.to_owned());
        self.lines.record(&[series.place()], &record)
    }

    /// Records a text about a run.
    pub(super) fn note(&mut self, run: &str, text: String) -> io::Result<()> {
        let Some(series) = self.runs.get(run) else {
            return Ok(());
        };
        let text = match &series.log {
            None => text,
            Some(log) => format!("{log}: {text}"),
        };
        self.lines.record(&[series.place()], &Record::Note { text })
    }

    /// Records a data set that a run has read, at a path of this machine.
    pub(super) fn dataset(&mut self, run: &str, path: &str, role: &str) -> io::Result<()> {
        let place = self.runs.get(run).map_or("", |series| &series.name);
        let record = Record::Dataset {
            path: path.into(),
            role: role.to_owned(),
        };
        self.lines.record(&[place_of(place)], &record)
    }

    /// Records a model that a client has written to `path`.
    pub(super) fn model(
        &mut self,
        run: &str,
        path: &Path,
        step: Option<i64>,
        facts: Vec<(Name, Value)>,
    ) -> io::Result<()> {
        // The step of a model of a run that decides nothing is on no axis of the trial.
        let series = self.runs.get(run);
        let decides = series.is_none_or(|series| series.log.is_none());
        let record = Record::Model {
            path: self.named(path),
            step: step.filter(|_| decides).map(|step| step as f64),
            keep: false,
            facts,
        };
        self.lines.record(&[place_of(&self.place(path))], &record)
    }

    /// Records a file or folder that a client has written to `path`.
    pub(super) fn artifact(&mut self, path: &Path) -> io::Result<()> {
        let record = Record::Artifact {
            path: self.named(path),
            folder: None,
        };
        self.lines.record(&[place_of(&self.place(path))], &record)
    }

    /// Returns the paths in the trial's folder that earlier attempts have recorded.
    ///
    /// # Errors
    /// If the records cannot be read.
    pub(super) fn earlier_files(&self) -> io::Result<Vec<PathBuf>> {
        let mut paths = Vec::new();
        self.lines.earlier(&mut |line| {
            if line.source == NAME {
                let places = line.places().map(|place| self.dir.join(place.from));
                paths.extend(places);
            }
        })?;
        Ok(paths)
    }

    /// Writes all records.
    ///
    /// # Errors
    /// If they cannot be written. They are kept, and written by the next call.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.lines.flush()
    }

    /// Returns a path as the place of a record: relative to the trial's folder.
    fn place(&self, path: &Path) -> String {
        let path = path.strip_prefix(&self.dir).unwrap_or(path);
        path.to_string_lossy().into_owned()
    }

    /// Returns a path as a record names it: relative to the working directory if it is in there.
    fn named(&self, path: &Path) -> String {
        let path = path.strip_prefix(&self.workdir).unwrap_or(path);
        path.to_string_lossy().into_owned()
    }
}

impl Series {
    /// Returns the values of a report at `step`: the step, the values that arrived for it before,
    /// and these.
    fn report(
        &mut self,
        step: i64,
        values: &[(Name, Point)],
        resource: Option<&Name>,
        deciding: &[Name],
    ) -> Vec<(Name, Datum)> {
        self.reported = Some(step);
        let is_new = |name: &Name| values.iter().all(|(other, _)| other != name);
        let mut report = vec![(Name::from("step"), datum(step as f64))];
        if let Some(resource) = resource.filter(|resource| is_new(resource)) {
            // The resource is a metric of its own, or MLflow's step under another name.
            let last = self.last.get(resource);
            let value = last.filter(|last| last.step == step).map(|last| last.value);
            if &**resource != "step" {
                report.push((resource.clone(), datum(value.unwrap_or(step as f64))));
            }
        }
        let earlier = self.last.iter_mut();
        let earlier = earlier.filter(|(name, last)| {
            last.step == step && !last.is_reported && is_new(name) && resource != Some(*name)
        });
        for (name, last) in earlier {
            last.is_reported = true;
            report.push((name.clone(), datum(last.value)));
        }
        report.extend(
            values
                .iter()
                .map(|(name, point)| (name.clone(), datum(point.value))),
        );
        for (name, _) in report.iter_mut().skip(1) {
            if !deciding.contains(name) {
                *name = free(name, &KEYS_OF_REPORTS);
            }
        }
        report
    }

    /// Records values as metrics, with the times at which the program measured them.
    fn metrics(&self, lines: &mut SourceLines, values: &[(Name, Point)]) -> io::Result<()> {
        let mut rest = values;
        while let Some((_, first)) = rest.first() {
            let count = rest
                .iter()
                .take_while(|(_, point)| point.at == first.at)
                .count();
            let (row, further) = rest.split_at(count);
            let names: Vec<Name> = row
                .iter()
                .map(|(name, _)| free(name, &KEYS_OF_METRICS))
                .collect();
            let numbers = row.iter().map(|(_, point)| point.value);
            let numbers: Vec<(&str, f64)> = names.iter().map(|name| &**name).zip(numbers).collect();
            let point = swath_log::Point {
                step: u64::try_from(first.step).ok(),
                log: self.log.as_deref().unwrap_or_default(),
                ..swath_log::Point::default()
            };
            let at = first.at.saturating_mul(1000);
            lines.metrics(&[self.place()], &numbers, &point, at)?;
            rest = further;
        }
        Ok(())
    }

    fn place(&self) -> SourcePlace<'_> {
        place_of(&self.name)
    }
}

fn place_of(from: &str) -> SourcePlace<'_> {
    SourcePlace { from, item: None }
}

fn datum(value: f64) -> Datum {
    Datum::Number(Metric(value))
}

/// Returns a name that is none of the keys with a meaning of their own.
fn free(name: &Name, keys: &[&str]) -> Name {
    if keys.contains(&&**name) {
        Name::from(&*format!("mlflow.{name}"))
    } else {
        name.clone()
    }
}

/// Returns the value of a parameter, which MLflow transmits as a text.
fn value(text: &str) -> Value {
    match text {
        "True" | "true" => return Value::Bool(true),
        "False" | "false" => return Value::Bool(false),
        _ => {}
    }
    if let Ok(number) = text.parse() {
        return Value::Int(number);
    }
    match text.parse::<f64>() {
        // `nan` and `inf` are also words.
        Ok(number) if number.is_finite() => Value::Float(number),
        _ => Value::Text(text.into()),
    }
}
