//! The metric rows in a trial's own folder, read when an attempt ends. Their keys in MLflow are
//! `<log>/<key>`.

use super::names;
use super::runs::{Change, Op, millis};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use swath_engine::tracker::TrackerError;
use swath_engine::tracker::metric_rows::{Datum, LogSteps, each_row, folder_of_attempt};
use swath_engine::tracker::steps::PARTS;
use swath_model::space::Name;
use swath_model::study::{Attempt, Due, Metric, Timestamp, TrialId};

/// The end of the rows that were read, in bytes, for each trial and log.
pub(super) type Offsets = BTreeMap<u32, BTreeMap<String, u64>>;

/// The filter for metric rows, and the part of each log that was read so far.
#[derive(Debug, Default)]
pub(super) struct Rows {
    /// The filter for metric rows.
    due: Due,
    logs: BTreeMap<TrialId, BTreeMap<String, Log>>,
}

/// The part of a log that was read.
#[derive(Debug, Default)]
struct Log {
    /// The end of the last row, in bytes from the start of its file.
    end: u64,
    /// The scale of the axis when those rows were returned: exported steps per unit.
    parts: i64,
}

impl Rows {
    /// Returns a reader of the rows that `due` selects. No rows have been read.
    pub(super) fn new(due: Due) -> Self {
        Self {
            due,
            logs: BTreeMap::new(),
        }
    }

    /// Skips the rows that an earlier run has read.
    pub(super) fn skip_to(&mut self, offsets: Offsets) {
        for (trial, logs) in offsets {
            let logs = logs
                .into_iter()
                .map(|(log, end)| (log, Log { end, parts: 1 }));
            self.logs.insert(TrialId(trial), logs.collect());
        }
    }

    /// Returns the end of the rows that were read.
    pub(super) fn offsets(&self) -> Offsets {
        self.logs
            .iter()
            .filter(|(_, logs)| !logs.is_empty())
            .map(|(trial, logs)| {
                let ends = logs.iter().map(|(name, log)| (name.clone(), log.end));
                (trial.0, ends.collect())
            })
            .collect()
    }

    /// Begins with the first row again, because the next attempt of the trial writes new files.
    pub(super) fn restart(&mut self, trial: TrialId) {
        for (_, log) in self.logs.get_mut(&trial).into_iter().flatten() {
            log.end = 0;
        }
    }

    /// Forgets a trial that gets no further rows.
    pub(super) fn forget(&mut self, trial: TrialId) {
        self.logs.remove(&trial);
    }

    /// Returns operations for the new rows of an attempt that has ended; `dir` is the study folder.
    /// Rows without a time get that of the entry, `at`.
    ///
    /// # Errors
    /// Returns an error if an existing file cannot be read.
    pub(super) fn read(
        &mut self,
        dir: &Path,
        trial: TrialId,
        attempt: Attempt,
        resource: Option<&Name>,
        at: Timestamp,
    ) -> Result<Vec<Op>, TrackerError> {
        let folder = folder_of_attempt(&dir.join(trial.to_string()), attempt);
        let mut steps = LogSteps::read(&folder, &self.due, resource)?;
        let mut ops = Vec::new();
        let mut rescaled = BTreeSet::new();
        let logs = self.logs.entry(trial).or_default();
        each_row(&folder, &self.due, |log, row| {
            let (step, parts) = (steps.next(log, &row), steps.parts(log));
            let progress = match logs.get_mut(log) {
                Some(progress) => progress,
                None => logs.entry(log.to_owned()).or_insert(Log { end: 0, parts }),
            };
            if progress.parts < parts {
                // A fractional step has occurred since: rescale the points that MLflow already has.
                let keys = row.values.iter();
                rescaled.extend(keys.map(|(key, _)| names::key(&format!("{log}/{key}"))));
            }
            if row.bytes.start < progress.end {
                return Ok(());
            }
            progress.end = row.bytes.end;
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
        for (log, progress) in logs {
            progress.parts = progress.parts.max(steps.parts(log));
        }
        let rescales = rescaled.into_iter().map(|key| Op {
            run: trial.0,
            change: Change::Rescale { key, factor: PARTS },
        });
        Ok(rescales.chain(ops).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_sent_once_with_their_log_step_and_time() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("1/metrics/train.json");
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, "{\"loss\": NaN, \"step\": 3, \"at\": 1.5}\n").unwrap();
        let mut rows = Rows::default();
        let mut read = || {
            rows.read(
                dir.path(),
                TrialId(1),
                Attempt(1),
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
    fn a_fraction_in_a_later_attempt_rescales_the_rows_sent_before() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("1/metrics/eval.json");
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        let mut rows = Rows::default();
        let mut read = |text: &str| {
            std::fs::write(&file, text).unwrap();
            rows.read(
                dir.path(),
                TrialId(1),
                Attempt(1),
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

    #[test]
    fn each_attempt_is_read_from_its_own_files_after_they_were_moved() {
        let dir = tempfile::tempdir().unwrap();
        let trial = dir.path().join("1");
        let write = |folder: &str, losses: &[f64]| {
            let metrics = trial.join(folder).join("metrics");
            std::fs::create_dir_all(&metrics).unwrap();
            let row = |loss: &f64| format!("{{\"loss\": {loss}}}\n");
            let rows: String = losses.iter().map(row).collect();
            std::fs::write(metrics.join("train.json"), rows).unwrap();
        };
        let values = |rows: &mut Rows, attempt| {
            let at = Timestamp::from_micros(0);
            let ops = rows.read(dir.path(), TrialId(1), Attempt(attempt), None, at);
            let value = |op| match op {
                Op {
                    change: Change::Metric { value, .. },
                    ..
                } => value.0,
                other => panic!("{other:?}"),
            };
            ops.unwrap().into_iter().map(value).collect::<Vec<_>>()
        };
        // The second attempt resumed the first one, the third one started anew.
        write("attempts/2", &[0.1, 0.2]);
        write("", &[0.3]);
        let mut rows = Rows::default();
        assert_eq!(values(&mut rows, 1), [0.1, 0.2]);
        assert_eq!(values(&mut rows, 2), [0.0; 0]);
        rows.restart(TrialId(1));
        assert_eq!(values(&mut rows, 3), [0.3]);
        assert_eq!(rows.offsets()[&1]["train"], 14);
        let mut later = Rows::default();
        later.skip_to(rows.offsets());
        write("", &[0.3, 0.4]);
        assert_eq!(values(&mut later, 3), [0.4]);
    }
}
