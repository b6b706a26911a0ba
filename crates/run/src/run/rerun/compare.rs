//! Compares the reports and results of a trial with those of its repetition.

use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use swath_engine::executor::SYSTEM;
use swath_engine::journal::{self, Journal, JournalError, StudyDir, readable_trial};
use swath_engine::tracker::metric_rows::{self, each_row};
use swath_log::OVERWRITTEN;
use swath_model::space::Name;
use swath_model::study::{Datum, Due, Event, Exit, LogRecord, TrialId};

/// Words in the name of a value that measures time. Such values differ in each run.
const TIMES: &[&str] = &[
    "duration",
    "elapsed",
    "eta",
    "fps",
    "ms",
    "sec",
    "second",
    "seconds",
    "secs",
    "throughput",
    "time",
    "timestamp",
    "walltime",
];

/// The rules of a comparison.
#[derive(Debug, Clone, Default)]
pub struct Tolerance {
    /// The largest tolerated difference of two numbers, relative to the larger one.
    pub rtol: f64,
    /// Names of values that are not compared, in addition to those that measure time.
    pub ignore: BTreeSet<String>,
}

/// A value that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// A description of the value.
    pub what: String,
    /// The value of the original; absent if it has none.
    pub recorded: Option<String>,
    /// The value of the repetition; absent if it has none.
    pub now: Option<String>,
}

/// The result of a comparison.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Compared {
    /// The number of compared values.
    pub values: u64,
    /// The number of reports of the original.
    pub reports: usize,
    /// The largest relative difference of two numbers, including tolerated ones.
    pub largest: f64,
    /// The values that differ.
    pub differences: Vec<Difference>,
    /// Names of the values that were not compared.
    pub ignored: BTreeSet<String>,
}

/// The reports and results of a trial, without those of attempts after which it began anew.
#[derive(Debug, Default)]
struct Story {
    /// The reports, in order.
    reports: Vec<Vec<(Name, Datum)>>,
    /// The rows of each metrics log, in order.
    metrics: Vec<(String, BTreeMap<String, Datum>)>,
    /// By name, the results: digests of models and artifacts, outputs and parameters.
    made: BTreeMap<String, String>,
    /// Models that were overwritten before their digest could be computed.
    in_doubt: BTreeSet<String>,
    exit: Option<Exit>,
}

/// Compares a trial with its repetition. `cut`: the original was stopped, so later reports of the
/// repetition do not count.
///
/// # Errors
/// If a journal or a metrics file cannot be read.
pub fn compare(
    original: (&StudyDir, TrialId),
    repetition: (&StudyDir, TrialId),
    cut: bool,
    tolerance: &Tolerance,
) -> Result<Compared, JournalError> {
    let (a, b) = (
        story(original.0, original.1)?,
        story(repetition.0, repetition.1)?,
    );
    let mut comparison = Comparison {
        tolerance,
        compared: Compared::default(),
    };
    comparison.compared.reports = a.reports.len();
    comparison.reports(&a, &b, cut);
    comparison.metrics(&a, &b, cut);
    if !cut {
        let [a_exit, b_exit] = [&a, &b].map(|it| it.exit.as_ref().map(ToString::to_string));
        comparison.texts("the end", a_exit, b_exit);
        for name in a.made.keys().chain(b.made.keys()).collect::<BTreeSet<_>>() {
            if a.in_doubt.contains(name) || b.in_doubt.contains(name) {
                comparison.compared.ignored.insert(name.clone());
                continue;
            }
            comparison.texts(name, a.made.get(name).cloned(), b.made.get(name).cloned());
        }
    }
    Ok(comparison.compared)
}

/// Reads the reports and results of a trial from the journal and its metrics logs.
fn story(dir: &StudyDir, trial: TrialId) -> Result<Story, JournalError> {
    let mut story = Story::default();
    for entry in Journal::open(dir)? {
        let entry = entry?;
        if entry.event.trial() != Some(trial) {
            continue;
        }
        match entry.event {
            Event::Started { resume: false, .. } => story = Story::default(),
            Event::Ended { exit, .. } => story.exit = Some(exit),
            Event::Logged { record, .. } => story.take(record),
            _ => {}
        }
    }
    let folder = readable_trial(dir, &journal::read(dir)?, trial);
    let rows = each_row(&folder, &Due::default(), |log, row| {
        // Usage of the machine differs in each run.
        if log == SYSTEM {
            return Ok(());
        }
        let values = row
            .values
            .into_iter()
            .map(|(name, datum)| (name.into_owned(), study_datum(datum)));
        story.metrics.push((log.to_owned(), values.collect()));
        Ok(())
    });
    rows.map_err(|error| JournalError::Io {
        path: folder,
        source: std::io::Error::other(error),
    })?;
    Ok(story)
}

impl Story {
    /// Returns the rows of a metrics log, in order.
    fn rows(&self, log: &str) -> Vec<&BTreeMap<String, Datum>> {
        let rows = self.metrics.iter().filter(|(name, _)| name == log);
        rows.map(|(_, row)| row).collect()
    }

    fn take(&mut self, record: LogRecord) {
        match record {
            LogRecord::Report { values } => self.reports.push(values),
            LogRecord::Model {
                model_path,
                md5: digest,
                doubt,
                ..
            } => {
                let name = format!("model {model_path}");
                if doubt.is_some_and(|doubt| doubt == OVERWRITTEN) {
                    self.in_doubt.insert(name.clone());
                } else {
                    self.in_doubt.remove(&name);
                }
                self.made.insert(name, digest_text(digest));
            }
            LogRecord::Artifact {
                path, md5: digest, ..
            } => {
                self.made
                    .insert(format!("artifact {path}"), digest_text(digest));
            }
            LogRecord::Output { name, value } => {
                self.made
                    .insert(format!("output {name}"), value.to_string());
            }
            LogRecord::Param { name, value } => {
                self.made.insert(format!("param {name}"), value.to_string());
            }
            _ => {}
        }
    }
}

/// A comparison in progress.
struct Comparison<'a> {
    tolerance: &'a Tolerance,
    compared: Compared,
}

impl Comparison<'_> {
    /// Compares the reports one by one.
    fn reports(&mut self, a: &Story, b: &Story, cut: bool) {
        let count = a.reports.len().max(if cut { 0 } else { b.reports.len() });
        let none = Vec::new();
        for index in 0..count {
            let (one, other) = (
                a.reports.get(index).unwrap_or(&none),
                b.reports.get(index).unwrap_or(&none),
            );
            let names: BTreeSet<_> = one.iter().chain(other).map(|(name, _)| name).collect();
            for name in names {
                let [one, other] = [one, other].map(|values| value_of(values, name));
                self.data(&format!("report {}", index + 1), name, one, other);
            }
        }
    }

    /// Compares the rows of each metrics log one by one.
    fn metrics(&mut self, a: &Story, b: &Story, cut: bool) {
        let logs: BTreeSet<_> = a
            .metrics
            .iter()
            .chain(&b.metrics)
            .map(|(log, _)| log)
            .collect();
        for log in logs {
            let (one, other) = (a.rows(log), b.rows(log));
            // The number of rows of a stopped trial depends on the moment of its end.
            let count = if cut {
                one.len().min(other.len())
            } else {
                one.len().max(other.len())
            };
            for index in 0..count {
                self.row(
                    &format!("{log}, row {}", index + 1),
                    one.get(index).copied(),
                    other.get(index).copied(),
                );
            }
        }
    }

    fn row(
        &mut self,
        what: &str,
        a: Option<&BTreeMap<String, Datum>>,
        b: Option<&BTreeMap<String, Datum>>,
    ) {
        let none = BTreeMap::new();
        let (one, other) = (a.unwrap_or(&none), b.unwrap_or(&none));
        for name in one.keys().chain(other.keys()).collect::<BTreeSet<_>>() {
            self.data(what, name, one.get(name).cloned(), other.get(name).cloned());
        }
    }

    /// Compares two values of the same name. Only numbers have a tolerance.
    fn data(&mut self, what: &str, name: &str, a: Option<Datum>, b: Option<Datum>) {
        if is_time(name) || self.tolerance.ignore.contains(name) {
            self.compared.ignored.insert(name.to_owned());
            return;
        }
        self.compared.values += 1;
        let same = match (&a, &b) {
            (Some(Datum::Number(a)), Some(Datum::Number(b))) => self.close(a.0, b.0),
            _ => a == b,
        };
        if !same {
            self.differ(format!("{what}: {name}"), a.map(shown), b.map(shown));
        }
    }

    fn texts(&mut self, what: &str, a: Option<String>, b: Option<String>) {
        self.compared.values += 1;
        if a != b {
            self.differ(what.to_owned(), a, b);
        }
    }

    fn differ(&mut self, what: String, recorded: Option<String>, now: Option<String>) {
        self.compared.differences.push(Difference {
            what,
            recorded,
            now,
        });
    }

    /// Returns whether two numbers are equal within the tolerance. Two NaN are equal.
    fn close(&mut self, a: f64, b: f64) -> bool {
        if a == b || a.is_nan() && b.is_nan() {
            return true;
        }
        let apart = (a - b).abs() / a.abs().max(b.abs());
        if apart.is_finite() {
            self.compared.largest = self.compared.largest.max(apart);
        }
        apart <= self.tolerance.rtol
    }
}

fn digest_text(md5: Option<String>) -> String {
    md5.map_or_else(|| "unreadable".to_owned(), |md5| format!("md5 {md5}"))
}

fn value_of(values: &[(Name, Datum)], name: &Name) -> Option<Datum> {
    let (_, datum) = values.iter().find(|(other, _)| other == name)?;
    Some(datum.clone())
}

fn shown(datum: Datum) -> String {
    match datum {
        Datum::Number(number) => number.0.to_string(),
        Datum::Flag(flag) => flag.to_string(),
        Datum::Text(text) => text,
    }
}

fn study_datum(datum: metric_rows::Datum<'_>) -> Datum {
    match datum {
        metric_rows::Datum::Number(number) => Datum::Number(swath_model::study::Metric(number)),
        metric_rows::Datum::Text(text) => Datum::Text(text.into_owned()),
    }
}

/// Returns whether the name of a value says that it measures time.
fn is_time(name: &str) -> bool {
    let lower = name.to_lowercase();
    lower
        .split(|char: char| !char.is_alphanumeric())
        .any(|word| TIMES.contains(&word))
}

#[cfg(test)]
mod tests {
    use super::{Tolerance, compare, is_time};
    use swath_engine::journal::StudyDir;
    use swath_model::demo::Demo;
    use swath_model::study::TrialId;

    fn dir(root: &std::path::Path, name: &str, reports: &[&[(&str, f64)]]) -> StudyDir {
        let mut demo = Demo::new(&[]);
        let trial = demo.start(&[]);
        for report in reports {
            demo.report(trial, report);
        }
        demo.end(trial, swath_model::study::Exit::Done);
        let dir = StudyDir::new(root, name);
        std::fs::create_dir_all(dir.root()).unwrap();
        let lines = demo
            .entries
            .iter()
            .map(|entry| serde_json::to_string(entry).unwrap() + "\n");
        std::fs::write(dir.journal(), lines.collect::<String>()).unwrap();
        dir
    }

    #[test]
    fn reports_are_compared_one_by_one_within_the_tolerance() {
        let root = tempfile::tempdir().unwrap();
        let a = dir(
            root.path(),
            "a",
            &[
                &[("val_loss", 1.0), ("nan", f64::NAN), ("epoch_time", 3.0)],
                &[("val_loss", 0.5)],
            ],
        );
        let b = dir(
            root.path(),
            "b",
            &[
                &[("val_loss", 1.0), ("nan", f64::NAN), ("epoch_time", 9.0)],
                &[("val_loss", 0.5005)],
            ],
        );
        let c = dir(
            root.path(),
            "c",
            &[
                &[("val_loss", 1.0), ("nan", f64::NAN)],
                &[("val_loss", 0.5)],
                &[("val_loss", 0.1)],
            ],
        );
        let compared = |other: &StudyDir, cut: bool, rtol: f64| {
            let tolerance = Tolerance {
                rtol,
                ..Tolerance::default()
            };
            compare((&a, TrialId(1)), (other, TrialId(1)), cut, &tolerance).unwrap()
        };
        let whats = |other: &StudyDir, cut: bool, rtol: f64| -> Vec<String> {
            compared(other, cut, rtol)
                .differences
                .into_iter()
                .map(|difference| difference.what)
                .collect()
        };
        assert_eq!(whats(&b, false, 0.0), ["report 2: val_loss"]);
        assert!(whats(&b, false, 0.01).is_empty());
        assert!((compared(&b, false, 0.0).largest - 0.0005 / 0.5005).abs() < 1e-12);
        assert_eq!(
            compared(&b, false, 0.0)
                .ignored
                .into_iter()
                .collect::<Vec<_>>(),
            ["epoch_time"]
        );
        assert_eq!(whats(&c, false, 0.0), ["report 3: val_loss"]);
        assert!(
            whats(&c, true, 0.0).is_empty(),
            "the original was stopped there"
        );
    }

    #[test]
    fn values_that_measure_time_are_recognised_by_name() {
        assert!(
            ["time", "epoch_seconds", "train/elapsed", "step-ms"]
                .iter()
                .all(|name| is_time(name))
        );
        assert!(
            !["timelike", "momentum", "loss", "params"]
                .iter()
                .any(|name| is_time(name))
        );
    }
}
