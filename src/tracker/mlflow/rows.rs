//! The metrics that a trial keeps in its own folder, read when an attempt ends: `<log>/<key>`.

use super::names;
use super::runs::{Change, Op, millis};
use crate::study::{Due, Metric, Timestamp, TrialId};
use crate::tracker::TrackerError;
use crate::tracker::metric_rows::{Datum, each_row};
use std::collections::BTreeMap;
use std::path::Path;

/// How many rows of each log were read.
#[derive(Debug, Default)]
pub(super) struct Rows {
    /// Which metrics are due.
    due: Due,
    read: BTreeMap<TrialId, BTreeMap<String, u64>>,
}

impl Rows {
    /// Takes the rows that are due.
    pub(super) fn new(due: Due) -> Self {
        Self { due, read: BTreeMap::new() }
    }

    /// Returns what is new in the folder of a trial of the study in `dir`. Rows without a time have that of the entry.
    ///
    /// # Errors
    /// If a file that is there cannot be read.
    pub(super) fn read(
        &mut self,
        dir: Option<&Path>,
        trial: TrialId,
        at: Timestamp,
    ) -> Result<Vec<Op>, TrackerError> {
        let Some(dir) = dir else { return Ok(Vec::new()) };
        let read = self.read.entry(trial).or_default();
        let (mut seen, mut ops) = (BTreeMap::<String, u64>::new(), Vec::new());
        each_row(&dir.join(trial.to_string()), &self.due, |log, row| {
            let count = match seen.get_mut(log) {
                Some(count) => count,
                None => seen.entry(log.to_owned()).or_default(),
            };
            *count += 1;
            if read.get(log).is_some_and(|read| *count <= *read) {
                return Ok(());
            }
            let at = row.at.map_or_else(|| millis(at), |seconds| (seconds * 1000.0).round() as i64);
            for (key, value) in row.values {
                if let Datum::Number(number) = value {
                    let key = names::key(&format!("{log}/{key}"));
                    let change = Change::Metric { key, value: Metric(number), at, step: row.step };
                    ops.push(Op { run: trial.0, change });
                }
            }
            Ok(())
        })?;
        read.extend(seen);
        Ok(ops)
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
        let mut read = || rows.read(Some(dir.path()), TrialId(1), Timestamp::from_micros(7_000_000)).unwrap();
        let metric = |value, at, step| Op {
            run: 1,
            change: Change::Metric { key: "train/loss".into(), value: Metric(value), at, step },
        };
        assert_eq!(read(), [metric(f64::NAN, 1500, 3)]);
        std::fs::write(&file, "{\"loss\": NaN, \"step\": 3, \"at\": 1.5}\n{\"loss\": 0.5, \"step\": 4}\n")
            .unwrap();
        assert_eq!(read(), [metric(0.5, 7000, 4)]);
        assert_eq!(read(), []);
    }
}
