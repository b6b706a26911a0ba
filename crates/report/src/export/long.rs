//! Reports as a table, one row for each report: its trial, its step and its values.

use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use swath_engine::journal::reports::Report;
use swath_engine::tracker::csv::Cells;
use swath_model::space::Name;
use swath_model::study::{Datum, Metric, Study};
use swath_table::{Cell, Column, Kind};

/// The columns before those of the metrics, with their types.
pub const FIRST: [(&str, Kind); 7] = [
    ("pipeline", Kind::Text),
    ("stage", Kind::Text),
    ("trial_id", Kind::Count),
    ("attempt", Kind::Count),
    ("report", Kind::Count),
    ("step", Kind::Float),
    ("at", Kind::Time),
];

/// Reported keys that are paths. They are not metrics and have columns of their own in the table of
/// trials.
const PATHS: [&str; 2] = ["model_path", "artifact"];

/// Returns every reported key in alphabetical order, with whether all its values are numbers.
#[must_use]
pub fn keys(study: &Study) -> Vec<(Name, bool)> {
    let mut keys: BTreeMap<Name, bool> = BTreeMap::new();
    let objectives: BTreeSet<Name> = study
        .header()
        .objectives
        .iter()
        .map(|objective| objective.metric.clone())
        .collect();
    for trial in study.trials() {
        for name in trial.metrics.keys().chain(&objectives) {
            keys.entry(name.clone()).or_insert(true);
        }
        for name in trial.texts.keys() {
            keys.insert(name.clone(), false);
        }
    }
    keys.into_iter()
        .filter(|(name, _)| !PATHS.contains(&&**name))
        .collect()
}

/// Writes reports as CSV.
pub struct LongCsv<W: Write> {
    writer: csv::Writer<W>,
    pipeline: String,
    stage: String,
    keys: Vec<(Name, bool)>,
    cells: Cells,
}

impl<W: Write> LongCsv<W> {
    /// Creates a writer and writes the header.
    ///
    /// # Errors
    /// If `out` cannot be written.
    pub fn new(study: &Study, cells: Cells, out: W) -> io::Result<Self> {
        let mut writer = csv::Writer::from_writer(out);
        let keys = keys(study);
        let metrics = keys.iter().map(|(name, _)| format!("metric.{name}"));
        let first = FIRST.iter().map(|(name, _)| (*name).to_owned());
        for name in first.chain(metrics) {
            writer.write_field(&*cells.of(&name))?;
        }
        writer.write_record(None::<&[u8]>)?;
        let header = study.header();
        Ok(Self {
            writer,
            pipeline: header.pipeline.clone(),
            stage: header.stage.clone(),
            keys,
            cells,
        })
    }

    /// Writes one report.
    ///
    /// # Errors
    /// If the output cannot be written.
    pub fn add(&mut self, report: &Report) -> io::Result<()> {
        self.writer.write_field(&*self.cells.of(&self.pipeline))?;
        self.writer.write_field(&*self.cells.of(&self.stage))?;
        for count in [
            u64::from(report.trial.0),
            u64::from(report.attempt),
            report.number,
        ] {
            self.writer.write_field(count.to_string())?;
        }
        self.writer
            .write_field(report.step.map_or_else(String::new, step))?;
        self.writer.write_field(report.at.to_string())?;
        for (name, _) in &self.keys {
            let value = value_of(report, name).map_or_else(String::new, text);
            self.writer.write_field(&*self.cells.of(&value))?;
        }
        Ok(self.writer.write_record(None::<&[u8]>)?)
    }

    /// Flushes the output.
    ///
    /// # Errors
    /// If the output cannot be written.
    pub fn finish(mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

/// Returns the value of a report under a name. If the name occurs several times, the last value
/// counts.
fn value_of<'a>(report: &'a Report, name: &str) -> Option<&'a Datum> {
    report
        .values
        .iter()
        .rev()
        .find(|(key, _)| &**key == name)
        .map(|(_, datum)| datum)
}

/// Returns a value as it is written in CSV. Numbers that are not finite are `nan`, `inf` or `-inf`.
fn text(datum: &Datum) -> String {
    match datum {
        Datum::Number(number) => number.to_string(),
        Datum::Flag(flag) => flag.to_string(),
        Datum::Text(text) => text.clone(),
    }
}

/// Returns a step as it is written in CSV: whole steps without a decimal point.
fn step(step: f64) -> String {
    if step.fract() == 0.0 && step.abs() < 1e15 {
        format!("{step}")
    } else {
        format!("{step:?}")
    }
}

/// One report as a line of JSON.
#[derive(Serialize)]
pub struct ReportLine<'a> {
    v: u32,
    study: &'a str,
    pipeline: &'a str,
    stage: &'a str,
    trial: u32,
    attempt: u32,
    report: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    step: Option<f64>,
    at: String,
    values: serde_json::Map<String, serde_json::Value>,
}

/// Returns a report as a line of JSON. `version` is the version of the format, in the key `v`.
#[must_use]
pub fn line<'a>(version: u32, study: &'a Study, report: &Report) -> ReportLine<'a> {
    let header = study.header();
    let values = report
        .values
        .iter()
        .map(|(name, datum)| (name.to_string(), serde_json::json!(datum)));
    ReportLine {
        v: version,
        study: &header.name,
        pipeline: &header.pipeline,
        stage: &header.stage,
        trial: report.trial.0,
        attempt: report.attempt,
        report: report.number,
        step: report.step,
        at: report.at.to_string(),
        values: values.collect(),
    }
}

/// Collects a batch of reports in typed columns.
pub struct Batch {
    pipeline: String,
    stage: String,
    keys: Vec<(Name, bool)>,
    columns: Vec<Column>,
    rows: usize,
}

impl Batch {
    /// Creates an empty batch.
    #[must_use]
    pub fn new(study: &Study) -> Self {
        let keys = keys(study);
        let metrics = keys.iter().map(|(name, is_numeric)| {
            Column::new(
                format!("metric.{name}"),
                if *is_numeric { Kind::Float } else { Kind::Text },
            )
        });
        let first = FIRST.iter().map(|(name, kind)| Column::new(*name, *kind));
        let columns = first.chain(metrics).collect();
        let header = study.header();
        Self {
            pipeline: header.pipeline.clone(),
            stage: header.stage.clone(),
            keys,
            columns,
            rows: 0,
        }
    }

    /// Appends a report.
    pub fn add(&mut self, report: &Report) {
        self.rows += 1;
        let first = [
            Some(Cell::Int(report.trial.0.into())),
            Some(Cell::Int(report.attempt.into())),
            Some(Cell::Int(report.number.cast_signed())),
            report.step.map(Cell::Float),
            Some(Cell::Int(report.at.as_micros())),
        ];
        let metrics = self.keys.iter().map(|(name, _)| {
            Some(match value_of(report, name)? {
                Datum::Number(Metric(number)) => Cell::Float(*number),
                Datum::Flag(flag) => Cell::Flag(*flag),
                Datum::Text(text) => Cell::Text(text.clone()),
            })
        });
        // The first two columns are the same in all rows, and are filled at the end.
        let columns = self.columns.iter_mut().skip(2);
        for (column, cell) in columns.zip(first.into_iter().chain(metrics)) {
            column.push(cell);
        }
    }

    /// Returns the number of reports in the batch.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Takes the columns with all reports; empty ones stay.
    #[must_use]
    pub fn take(&mut self) -> Vec<Column> {
        let rows = std::mem::take(&mut self.rows);
        let constants = [&self.pipeline, &self.stage];
        for (column, text) in self.columns.iter_mut().zip(constants) {
            column.fill(text, rows);
        }
        self.columns.iter_mut().map(Column::take).collect()
    }
}
