//! The metrics of a trial as yProv4ML keeps them: a CSV file for each metric, which its own
//! functions `list_metric_paths` and `get_metric` find by the attribute `dcterms:identifier`.
//!
//! <https://github.com/HPCI-Lab/yProv4ML>

use super::TrackerError;
use super::home::replace;
use super::metric_rows::{Datum, MetricRow, REPORTS, each_report, each_row};
use super::prov_graph::local;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use swath_model::source::{Opt, Preset, Takes};
use swath_model::study::{Due, Timestamp, TrialId};

pub(super) const CSV: Opt = Opt::new(
    "csv",
    Takes::Switch,
    Preset::Flag(false),
    "whether each metric is a CSV file too, as the functions of yProv4ML read it",
);

/// The source of all metrics, in yProv4ML's sense.
const SOURCE: &str = "swath";

/// The files of the metrics of a trial, by log and metric.
#[derive(Default)]
pub(super) struct MetricFiles(BTreeMap<(String, String), String>);

impl MetricFiles {
    /// Writes the files of a trial into the folder `trial-<id>` of `root`. `folder` is the trial's.
    ///
    /// # Errors
    /// If the metrics cannot be read, or a file cannot be written.
    pub(super) fn write(
        root: &Path,
        trial: TrialId,
        folder: &Path,
        due: &Due,
    ) -> Result<Self, TrackerError> {
        let mut tables: BTreeMap<(String, String), String> = BTreeMap::new();
        let mut add = |log: &str, row: MetricRow<'_>| {
            add_row(&mut tables, log, &row);
            Ok(())
        };
        each_report(folder, &mut add)?;
        each_row(folder, due, &mut add)?;
        let mut files = BTreeMap::new();
        for ((log, key), table) in tables {
            let name = format!("{}_{}_{SOURCE}.csv", part(&key), part(&log));
            let path = format!("trial-{trial}/{name}");
            replace(&root.join(&path), table.as_bytes())?;
            files.insert((log, key), path);
        }
        Ok(Self(files))
    }

    /// Returns the attributes by which yProv4ML finds the values of a metric.
    pub(super) fn attributes(&self, log: &str, key: &str) -> [(&'static str, Option<Value>); 3] {
        let path = self.0.get(&(log.to_owned(), key.to_owned()));
        [
            ("yprov:context", path.map(|_| json!(log))),
            ("yprov:source", path.map(|_| json!(SOURCE))),
            ("dcterms:identifier", path.map(|path| json!(path))),
        ]
    }

    /// Returns the attributes of a reported metric.
    pub(super) fn of_report(&self, key: &str) -> [(&'static str, Option<Value>); 3] {
        self.attributes(REPORTS, key)
    }
}

fn add_row(tables: &mut BTreeMap<(String, String), String>, log: &str, row: &MetricRow<'_>) {
    let step = row.finite("step").or_else(|| row.finite("epoch"));
    let step = step.unwrap_or(row.number as f64);
    let time = row.at.map(|at| Timestamp::from_micros((at * 1e6) as i64));
    let time = time.map_or_else(String::new, |time| time.to_string());
    for (key, datum) in &row.values {
        let Datum::Number(number) = datum else {
            continue;
        };
        let table = tables
            .entry((log.to_owned(), key.to_string()))
            .or_insert_with(|| "epoch,value,timestep\n".to_owned());
        let _ = writeln!(table, "{step},{number},{time}");
    }
}

/// Returns a text as a part of a file name.
fn part(text: &str) -> String {
    local(text).replace('/', "%2F")
}
