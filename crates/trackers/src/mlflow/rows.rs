//! The metric rows in a trial's own folder, read when an attempt ends. Their keys in MLflow are
//! `<log>/<key>`.

use super::names;
use super::runs::{Change, Op, millis};
use crate::space::Name;
use crate::study::{Due, Metric, Timestamp, TrialId};
use crate::tracker::TrackerError;
use crate::tracker::metric_rows::{Datum, LogSteps, each_row};
use crate::tracker::steps::PARTS;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The filter for metric rows, and the rows of each log that were read so far.
#[derive(Debug, Default)]
pub(super) struct Rows {
    /// The filter for metric rows.
    due: Due,
    read: BTreeMap<TrialId, BTreeMap<String, Log>>,
}

/// The part of a log that was read.
#[derive(Debug, Default)]
struct Log {
    /// Number of rows returned so far.
    rows: u64,
    /// The scale of its axis when those rows were returned: exported steps per unit.
    parts: i64,
}

impl Rows {
    /// Returns a reader of the rows that `due` selects. No rows have been read.
    pub(super) fn new(due: Due) -> Self {
        Self {
            due,
            read: BTreeMap::new(),
        }
    }

    /// Returns operations for the new rows in the folder of a trial; `dir` is the study folder.
    /// Rows without a time get that of the entry, `at`.
    ///
    /// # Errors
    /// Returns an error if an existing file cannot be read.
    pub(super) fn read(
        &mut self,
        dir: Option<&Path>,
        trial: TrialId,
        resource: Option<&Name>,
        at: Timestamp,
    ) -> Result<Vec<Op>, TrackerError> {
        let Some(dir) = dir else {
            return Ok(Vec::new());
        };
        let folder = dir.join(trial.to_string());
        let read = self.read.entry(trial).or_default();
        let mut steps = LogSteps::read(&folder, &self.due, resource)?;
        let (mut seen, mut ops) = (BTreeMap::<String, Log>::new(), Vec::new());
        let mut rescaled = BTreeSet::new();
        each_row(&folder, &self.due, |log, row| {
            let (step, parts) = (steps.next(log, &row), steps.parts(log));
            let rows = match seen.get_mut(log) {
                Some(known) => &mut known.rows,
                None => {
                    &mut seen
                        .entry(log.to_owned())
                        .or_insert(Log { rows: 0, parts })
                        .rows
                }
            };
            *rows += 1;
            if let Some(before) = read.get(log).filter(|before| *rows <= before.rows) {
                // A fractional step has occurred since: rescale the points that MLflow already has.
                if before.parts < parts {
                    rescaled.extend(
                        row.values
                            .iter()
                            .map(|(key, _)| names::key(&format!("{log}/{key}"))),
                    );
                }
                return Ok(());
            }
            let at = row
                .at
                .map_or_else(|| millis(at), |seconds| (seconds * 1000.0).round() as i64);
            for (key, value) in row.values {
                if let Datum::Number(number) = value {
                    let key = names::key(&format!("{log}/{key}"));
                    let change = Change::Metric {
                        key,
                        value: Metric(number),
                        at,
                        step,
                    };
                    ops.push(Op {
                        run: trial.0,
                        change,
                    });
                }
            }
            Ok(())
        })?;
        read.extend(seen);
        let rescale = |key| Op {
            run: trial.0,
            change: Change::Rescale { key, factor: PARTS },
        };
        Ok(rescaled.into_iter().map(rescale).chain(ops).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_told_once_with_their_log_step_and_time() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("1/metrics/train.json");
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, "{\"loss\": NaN, \"step\": 3, \"at\": 1.5}\n").unwrap();
        let mut rows = Rows::default();
        let mut read = || {
            rows.read(
                Some(dir.path()),
                TrialId(1),
                None,
                Timestamp::from_micros(7_000_000),
            )
            .unwrap()
        };
        let metric = |value, at, step| Op {
            run: 1,
            change: Change::Metric {
                key: "train/loss".into(),
                value: Metric(value),
                at,
                step,
            },
        };
        assert_eq!(read(), [metric(f64::NAN, 1500, 3)]);
        std::fs::write(
            &file,
            "{\"loss\": NaN, \"step\": 3, \"at\": 1.5}\n{\"loss\": 0.5, \"step\": 4}\n",
        )
        .unwrap();
        assert_eq!(read(), [metric(0.5, 7000, 4)]);
        assert_eq!(read(), []);
    }

    #[test]
    fn a_fraction_in_a_later_attempt_scales_the_rows_that_were_told() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("1/metrics/eval.json");
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        let mut rows = Rows::default();
        let mut read = |text: &str| {
            std::fs::write(&file, text).unwrap();
            rows.read(
                Some(dir.path()),
                TrialId(1),
                None,
                Timestamp::from_micros(0),
            )
            .unwrap()
        };
        let metric = |step| Op {
            run: 1,
            change: Change::Metric {
                key: "eval/acc".into(),
                value: Metric(0.5),
                at: 0,
                step,
            },
        };
        let row = |step: f64| format!("{{\"acc\": 0.5, \"step\": {step}}}\n");
        assert_eq!(read(&row(1.0)), [metric(1)]);
        let change = Change::Rescale {
            key: "eval/acc".into(),
            factor: 1_000_000,
        };
        let rescale = Op { run: 1, change };
        assert_eq!(read(&(row(1.0) + &row(1.25))), [rescale, metric(1_250_000)]);
        assert_eq!(
            read(&(row(1.0) + &row(1.25) + &row(2.0))),
            [metric(2_000_000)]
        );
    }
}
