//! The `cmf` tracker: the ML Metadata file that cmflib and ml-metadata open, the step metrics
//! beside it as Parquet, and `.dvc` files on request.
//!
//! The file is written anew from the study at each sync and replaces the old one atomically: a
//! reader sees one or the other, and the same study leaves the same bytes. Step metrics are written
//! when an attempt ends.

mod dvc;
mod mlmd;
mod rows;
mod step_table;
mod steps;

use super::home::{self, Home, failed};
use super::metric_rows;
use super::retry::with_backoff;
use super::{Tracker, TrackerError};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use steps::StepFile;
use swath_model::source::{Diagnostics, Opt, Preset, Section, Takes};
use swath_model::study::{
    Datum, Entry, Event, Kind, LogRecord, Metric, Setting, Study, Timestamp, TrialId, TrialState,
};
use swath_table::Cell;

pub(super) const KIND: Kind<dyn Tracker> = Kind {
    name: "cmf",
    about: "the ML Metadata file of cmflib, with step metrics as Parquet",
    paper: None,
    options: OPTIONS,
    capabilities: &[],
    build,
};

const OPTIONS: &[Opt] = &[
    Opt::new(
        "top_n",
        Takes::Count(1),
        Preset::Count(TOP_N),
        "how many of the best trials have `in_top_n`",
    ),
    Opt::new(
        "remote",
        Takes::Text,
        Preset::Absent,
        "put before the addresses under which DVC keeps data and models",
    ),
    Opt::new(
        "dvc",
        Takes::Text,
        Preset::Absent,
        "the folder in which each data set and model gets a `.dvc` file",
    ),
    home::DIR,
    metric_rows::LOG_FREQ,
    metric_rows::LOG_ON_WORKERS,
];

/// The file name of the store. cmf also uses it as the name of its git branch.
const FILE: &str = "mlmd";

/// Default number of trials marked as the best, as in cmf's logger for Ray.
const TOP_N: u64 = 5;

fn build(
    mut section: Section,
    setting: &Setting,
    diagnostics: &mut Diagnostics,
) -> Option<Box<dyn Tracker>> {
    let before = diagnostics.list.len();
    let top = section
        .take_count("top_n", 1, diagnostics)
        .map_or(TOP_N, |(count, _)| count);
    let remote = section
        .take_text("remote", diagnostics)
        .map(|(remote, _)| remote);
    let dvc = section
        .take_text("dvc", diagnostics)
        .map(|(dvc, _)| PathBuf::from(dvc));
    let home = Home::take("cmf", &mut section, setting, diagnostics);
    (diagnostics.list.len() == before).then(|| {
        let tracker = Cmf {
            home,
            options: Options {
                top: usize::try_from(top).unwrap_or(usize::MAX),
                remote,
                dvc,
            },
            began: None,
            reports: BTreeMap::new(),
            steps: BTreeMap::new(),
            without_dvc: BTreeSet::new(),
            is_outdated: false,
        };
        Box::new(tracker) as Box<dyn Tracker>
    })
}

/// The options of the tracker.
struct Options {
    /// Number of trials marked as the best (`in_top_n`).
    top: usize,
    /// The DVC remote that prefixes the addresses of data sets and models; no prefix if absent.
    remote: Option<String>,
    /// The folder for `.dvc` files; none are written if absent.
    dvc: Option<PathBuf>,
}

/// The state of the tracker.
struct Cmf {
    home: Home,
    options: Options,
    /// The time of the first entry, from which names and UUIDs derive.
    began: Option<Timestamp>,
    /// The reports of every trial that may still continue, as lines of JSON.
    reports: BTreeMap<TrialId, Vec<u8>>,
    /// The Parquet files written for each trial.
    steps: BTreeMap<TrialId, Vec<StepFile>>,
    /// Trials whose data sets and models have no `.dvc` files yet.
    without_dvc: BTreeSet<TrialId>,
    /// Whether entries have been recorded since the store was written.
    is_outdated: bool,
}

impl Tracker for Cmf {
    fn record(&mut self, study: &Study, entry: &Entry) -> Result<(), TrackerError> {
        let began = *self.began.get_or_insert(entry.at);
        self.is_outdated = true;
        match &entry.event {
            Event::Started {
                trial,
                resume: false,
                ..
            } => {
                // An attempt that starts anew replaces the reports of earlier ones.
                self.reports.remove(trial);
                self.steps.remove(trial);
            }
            Event::Logged {
                trial,
                record: LogRecord::Report { values },
                ..
            } => {
                let lines = self.reports.entry(*trial).or_default();
                let numbers = values.iter().map(|(name, datum)| (&**name, encoded(datum)));
                serde_json::to_writer(&mut *lines, &numbers.collect::<Vec<_>>())
                    .map_err(|error| TrackerError::Other(error.to_string()))?;
                lines.push(b'\n');
            }
            Event::Ended { trial, .. } => {
                let root = self.home.root(study)?;
                let folder = self.home.trial(study, *trial)?;
                let reports = self.reports.get(trial).map_or(&[][..], Vec::as_slice);
                let names = rows::Names { study, began };
                let due = &self.home.due;
                let files =
                    with_backoff(|| steps::write(&root, (&folder, due), &names, *trial, reports))?;
                // `.dvc` files of data sets and models are written at the next sync, see `without_dvc`.
                if self.options.dvc.is_some() {
                    files.iter().try_for_each(|file| dvc::beside(&root, file))?;
                    self.without_dvc.insert(*trial);
                }
                self.steps.insert(*trial, files);
                if study
                    .trial(*trial)
                    // A complete trial never continues, so its reports can be freed.
                    .is_some_and(|trial| trial.state == TrialState::Complete)
                {
                    self.reports.remove(trial);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn sync(&mut self, study: &Study) -> Result<(), TrackerError> {
        if !self.is_outdated {
            return Ok(());
        }
        let root = self.home.root(study)?;
        let Some(began) = self.began else {
            return Ok(());
        };
        std::fs::create_dir_all(&root).map_err(failed(&root))?;
        let path = root.join(FILE);
        let draft = swath_engine::tracker::csv::draft(&root).map_err(failed(&root))?;
        let names = rows::Names { study, began };
        mlmd::create(draft.path(), |store| {
            rows::fill(store, &names, &self.options, &self.steps)
        })
        .map_err(|error: rusqlite::Error| match error.sqlite_error_code() {
            // Report a full disk as such, so that the write is tried again instead of given up.
            Some(rusqlite::ErrorCode::DiskFull) => failed(&path)(io::ErrorKind::StorageFull.into()),
            _ => TrackerError::Other(format!("could not write `{}`: {error}", path.display())),
        })?;
        draft
            .persist(&path)
            .map_err(|error| failed(&path)(error.error))?;
        if let Some(folder) = &self.options.dvc {
            while let Some(id) = self.without_dvc.first().copied() {
                study
                    .trial(id)
                    .map_or(Ok(()), |trial| dvc::files(folder, trial))?;
                // Remove the trial only after its files are written: after an error, the next sync
                // repeats it.
                self.without_dvc.remove(&id);
            }
        }
        self.is_outdated = false;
        Ok(())
    }
}

/// Returns a value in the JSON form in which reports are buffered. Numbers are wrapped in a list,
/// in which [`Metric`] preserves NaN and the infinities.
fn encoded(datum: &Datum) -> serde_json::Value {
    match datum {
        Datum::Number(number) => serde_json::json!([number]),
        Datum::Flag(flag) => (*flag).into(),
        Datum::Text(text) => text.as_str().into(),
    }
}

/// Returns the value that [`encoded`] encoded, `None` if it is malformed.
fn decoded(value: serde_json::Value) -> Option<Cell> {
    Some(match value {
        serde_json::Value::Bool(flag) => Cell::Flag(flag),
        serde_json::Value::String(text) => Cell::Text(text),
        value => {
            let [Metric(number)] = serde_json::from_value(value).ok()?;
            Cell::Float(number)
        }
    })
}
