//! Trackers of other crates: a type with the methods `init`, `log` and `close`.
//!
//! [`TrialTracker`] is told what a tracker of most services needs: reports and rows of metrics,
//! parameters, models and ends. A tracker that needs every entry of the journal implements
//! [`Tracker`] instead.

use super::home::{self, Home};
use super::metric_rows::{self, MetricRow, each_row, folder_of_attempt};
use super::{Tracker, TrackerError};
use std::collections::BTreeMap;
use std::path::Path;
use swath_model::source::{Diagnostics, Opt, Section};
use swath_model::space::{Name, Value};
use swath_model::study::{
    Attempt, Datum, Entry, Event, Kind, LogRecord, Metric, Setting, Study, Timestamp, Trial,
    TrialId,
};

/// The options of every tracker made from a [`TrialTracker`].
const OPTIONS: &[Opt] = &[
    home::DIR,
    metric_rows::LOG_FREQ,
    metric_rows::LOG_ON_WORKERS,
];

/// A tracker that is told about trials. Every method does nothing unless the type overrides it.
///
/// A tracker is told a study from its first entry, also when the study is resumed: what it wrote for
/// a [`Logged::key`] before, it should replace. A method that fails makes the tracker stale: it is
/// reported once and left out for the rest of the run.
pub trait TrialTracker: Send {
    /// The name of the tracker in a sweep file.
    const NAME: &'static str;
    /// A description of half a line, for `swath kinds`.
    const ABOUT: &'static str = "a tracker of another crate";

    /// Begins. `dir` is the tracker's folder, `<study>/trackers/<name>` unless the option `dir` of
    /// the sweep file names another one; it exists.
    ///
    /// # Errors
    /// If the tracker cannot begin.
    fn init(&mut self, study: &Study, dir: &Path) -> Result<(), TrackerError> {
        let _ = (study, dir);
        Ok(())
    }

    /// Takes in the start of an attempt. If it does not resume, the earlier reports of the trial no
    /// longer count.
    ///
    /// # Errors
    /// If it could not be written.
    fn start(&mut self, trial: &Trial, resumes: bool) -> Result<(), TrackerError> {
        let _ = (trial, resumes);
        Ok(())
    }

    /// Takes in a report at once, and each row of metrics when the attempt has ended.
    ///
    /// # Errors
    /// If it could not be written.
    fn log(&mut self, trial: &Trial, logged: &Logged<'_>) -> Result<(), TrackerError> {
        let _ = (trial, logged);
        Ok(())
    }

    /// Takes in a parameter that the trial determined itself. Those of its configuration are in
    /// [`Trial::params`].
    ///
    /// # Errors
    /// If it could not be written.
    fn param(&mut self, trial: &Trial, name: &Name, value: &Value) -> Result<(), TrackerError> {
        let _ = (trial, name, value);
        Ok(())
    }

    /// Takes in a model that the trial recorded, by its path and digest.
    /// [`Trial::model_versions`] has the facts about it.
    ///
    /// # Errors
    /// If it could not be written.
    fn model(&mut self, trial: &Trial, path: &str, md5: Option<&str>) -> Result<(), TrackerError> {
        let _ = (trial, path, md5);
        Ok(())
    }

    /// Takes in the end of an attempt, after its rows of metrics.
    ///
    /// # Errors
    /// If it could not be written.
    fn end(&mut self, trial: &Trial) -> Result<(), TrackerError> {
        let _ = trial;
        Ok(())
    }

    /// Makes visible what was written. Called at most about once a second.
    ///
    /// # Errors
    /// If it could not be written.
    fn flush(&mut self) -> Result<(), TrackerError> {
        Ok(())
    }

    /// Ends the tracker. Nothing follows in this run.
    ///
    /// # Errors
    /// If the rest could not be written.
    fn close(&mut self, study: &Study) -> Result<(), TrackerError> {
        let _ = study;
        self.flush()
    }
}

/// A report or a row of metrics.
#[derive(Debug, Clone, PartialEq)]
pub struct Logged<'a> {
    /// `report` for a report, else the log of the metrics, such as `train`.
    pub log: &'a str,
    /// The position on the trial's axis for a report, the step for a row of metrics; without one the
    /// number of the report from 1, or of the row from 0.
    pub step: f64,
    /// The batch, rank and context of a row of metrics, as far as it has them.
    pub location: &'a [(&'static str, serde_json::Value)],
    /// The time at which it was recorded.
    pub at: Timestamp,
    /// Unique in the study, and the same whenever the tracker is told again.
    pub key: String,
    /// The values in their order.
    pub values: &'a [(Name, Datum)],
}

impl Logged<'_> {
    /// Returns the values that are numbers.
    pub fn numbers(&self) -> impl Iterator<Item = (&str, f64)> {
        self.values.iter().filter_map(|(name, datum)| match datum {
            Datum::Number(Metric(number)) => Some((&**name, *number)),
            _ => None,
        })
    }
}

/// Returns the kind of a [`TrialTracker`]. The options of the sweep file are `dir`, and `log_freq`
/// and `log_on_workers`, which select the rows of metrics.
#[must_use]
pub fn kind_of<T: TrialTracker + Default + 'static>() -> Kind<dyn Tracker> {
    Kind {
        name: T::NAME,
        about: T::ABOUT,
        paper: None,
        options: OPTIONS,
        capabilities: &[],
        build: build::<T>,
    }
}

fn build<T: TrialTracker + Default + 'static>(
    mut section: Section,
    setting: &Setting,
    diagnostics: &mut Diagnostics,
) -> Option<Box<dyn Tracker>> {
    let before = diagnostics.list.len();
    let home = Home::take(T::NAME, &mut section, setting, diagnostics);
    (diagnostics.list.len() == before).then(|| {
        Box::new(Told {
            home,
            tracker: T::default(),
            is_open: false,
            rows: BTreeMap::new(),
        }) as Box<dyn Tracker>
    })
}

/// A [`TrialTracker`] that is told the entries of a journal.
struct Told<T> {
    home: Home,
    tracker: T,
    is_open: bool,
    /// The end of the rows that the tracker was told, in bytes, for each log of each trial.
    rows: BTreeMap<TrialId, BTreeMap<String, u64>>,
}

impl<T: TrialTracker> Tracker for Told<T> {
    fn record(&mut self, study: &Study, entry: &Entry) -> Result<(), TrackerError> {
        if !self.is_open {
            let dir = self.home.root(study)?;
            std::fs::create_dir_all(&dir).map_err(home::failed(&dir))?;
            self.tracker.init(study, &dir)?;
            self.is_open = true;
        }
        let Some(trial) = entry.event.trial().and_then(|id| study.trial(id)) else {
            return Ok(());
        };
        match &entry.event {
            Event::Started { resume, .. } => {
                if !resume {
                    self.rows.remove(&trial.id);
                }
                self.tracker.start(trial, *resume)
            }
            Event::Logged { record, .. } => self.log_record(trial, record, entry.at),
            Event::Ended { attempt, .. } => {
                self.log_rows(study, trial, *attempt, entry.at)?;
                self.tracker.end(trial)
            }
            _ => Ok(()),
        }
    }

    fn sync(&mut self, _study: &Study) -> Result<(), TrackerError> {
        if self.is_open {
            self.tracker.flush()
        } else {
            Ok(())
        }
    }

    fn close(&mut self, study: &Study) -> Result<(), TrackerError> {
        if self.is_open {
            self.tracker.close(study)
        } else {
            Ok(())
        }
    }
}

impl<T: TrialTracker> Told<T> {
    fn log_record(
        &mut self,
        trial: &Trial,
        record: &LogRecord,
        at: Timestamp,
    ) -> Result<(), TrackerError> {
        match record {
            LogRecord::Report { values } => self.tracker.log(
                trial,
                &Logged {
                    log: REPORTS,
                    step: trial.position.unwrap_or(trial.reports as f64),
                    location: &[],
                    at,
                    key: format!("{}/{REPORTS}/{}", trial.id, trial.reports),
                    values,
                },
            ),
            LogRecord::Param { name, value } => self.tracker.param(trial, name, value),
            LogRecord::Model {
                model_path, md5, ..
            } => self.tracker.model(trial, model_path, md5.as_deref()),
            _ => Ok(()),
        }
    }

    /// Tells the rows of metrics that an attempt has added. Rows without a time get that of the end.
    fn log_rows(
        &mut self,
        study: &Study,
        trial: &Trial,
        attempt: Attempt,
        ended: Timestamp,
    ) -> Result<(), TrackerError> {
        let folder = folder_of_attempt(&self.home.trial(study, trial.id)?, attempt);
        let told = self.rows.entry(trial.id).or_default();
        let tracker = &mut self.tracker;
        each_row(&folder, &self.home.due, |log, row| {
            if told.get(log).is_some_and(|end| row.bytes.start < *end) {
                return Ok(());
            }
            told.insert(log.to_owned(), row.bytes.end);
            let at = |seconds: f64| Timestamp::from_micros((seconds * 1e6).round() as i64);
            let values = values_of(&row);
            tracker.log(
                trial,
                &Logged {
                    log,
                    step: step_of(&row),
                    location: &row.location,
                    at: row.at.map_or(ended, at),
                    key: format!("{}/{log}/{}", trial.id, row.number),
                    values: &values,
                },
            )
        })
    }
}

/// The log of the reports.
const REPORTS: &str = "report";

fn values_of(row: &MetricRow<'_>) -> Vec<(Name, Datum)> {
    let values = row.values.iter().map(|(name, datum)| {
        let datum = match datum {
            metric_rows::Datum::Number(number) => Datum::Number(Metric(*number)),
            metric_rows::Datum::Text(text) => Datum::Text(text.clone().into_owned()),
        };
        (Name::from(&**name), datum)
    });
    values.collect()
}

/// Returns the step of a row, else its number.
fn step_of(row: &MetricRow<'_>) -> f64 {
    let step = row.location.iter().find(|(name, _)| *name == "step");
    let step = step.and_then(|(_, step)| step.as_f64());
    step.unwrap_or(row.number as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use swath_model::demo::Demo;
    use swath_model::study::{Due, Exit, LogFreq};

    #[derive(Default)]
    struct Lines(Vec<String>, Arc<AtomicUsize>);

    impl TrialTracker for Lines {
        const NAME: &'static str = "lines";

        fn init(&mut self, study: &Study, dir: &Path) -> Result<(), TrackerError> {
            assert!(dir.is_dir());
            self.0.push(format!("init {}", study.header().name));
            Ok(())
        }

        fn start(&mut self, trial: &Trial, resumes: bool) -> Result<(), TrackerError> {
            self.0.push(format!("start {} {resumes}", trial.id));
            Ok(())
        }

        fn log(&mut self, _: &Trial, logged: &Logged<'_>) -> Result<(), TrackerError> {
            let numbers: Vec<_> = logged.numbers().collect();
            self.0
                .push(format!("{} at {}: {numbers:?}", logged.key, logged.step));
            Ok(())
        }

        fn end(&mut self, trial: &Trial) -> Result<(), TrackerError> {
            self.0.push(format!("end {}", trial.state.word()));
            Ok(())
        }

        fn close(&mut self, _: &Study) -> Result<(), TrackerError> {
            self.1.store(self.0.len(), Ordering::Relaxed);
            Ok(())
        }
    }

    #[test]
    fn a_tracker_is_told_reports_the_rows_that_the_sweep_file_selects_and_ends() {
        let folder = tempfile::tempdir().unwrap();
        let mut demo = Demo::new(&[]);
        let trial = demo.start(&[]);
        demo.report(trial, &[("val_loss", 0.5)]);
        demo.end(trial, Exit::Done);
        let metrics = folder.path().join("1/metrics");
        std::fs::create_dir_all(&metrics).unwrap();
        let rows = "{\"loss\": 1.0, \"step\": 7}\n{\"loss\": 2.0, \"batch\": 3}\n";
        std::fs::write(metrics.join("train.json"), rows).unwrap();
        let mut told = Told {
            home: Home::at(folder.path(), Lines::NAME),
            tracker: Lines::default(),
            is_open: false,
            rows: BTreeMap::new(),
        };
        told.home.due = Due {
            freq: LogFreq::Epoch,
            ..Due::default()
        };
        let mut study = Study::default();
        for entry in &demo.entries {
            study.apply(entry).unwrap();
            told.record(&study, entry).unwrap();
        }
        told.close(&study).unwrap();
        let expected = [
            "init digits",
            "start 1 false",
            "1/report/1 at 1: [(\"val_loss\", 0.5)]",
            "1/train/0 at 7: [(\"loss\", 1.0)]",
            "end complete",
        ];
        assert_eq!(told.tracker.0, expected);
        assert_eq!(told.tracker.1.load(Ordering::Relaxed), 5);
    }
}
