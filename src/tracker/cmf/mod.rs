//! CMF: the ML Metadata file that cmflib and ml-metadata open, the step metrics beside it as
//! Parquet, and `.dvc` files on request.
//!
//! The file is made anew from the study each time and takes the place of the old one as a whole, so
//! that a reader sees one or the other, and the same study leaves the same bytes. Step metrics are
//! written when an attempt ends.

mod dvc;
mod mlmd;
mod parquet_table;
mod rows;
mod steps;

use super::home::{self, Home, failed};
use super::metric_rows;
use super::room::when_there_is_room;
use super::{Tracker, TrackerError};
use crate::source::{Diagnostics, Opt, Preset, Section, Takes};
use crate::study::{
    Datum, Entry, Event, Kind, LogRecord, Metric, Setting, Study, Timestamp, TrialId, TrialState,
};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use steps::StepFile;

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

/// The name of the store; cmf takes it for the name of its git branch too.
const FILE: &str = "mlmd";

/// How many trials are marked as the best, as by cmf's logger for Ray.
const TOP_N: u64 = 5;

fn build(
    mut section: Section,
    setting: &Setting,
    said: &mut Diagnostics,
) -> Option<Box<dyn Tracker>> {
    let before = said.list.len();
    let top = section
        .take_count("top_n", 1, said)
        .map_or(TOP_N, |(count, _)| count);
    let remote = section.take_text("remote", said).map(|(remote, _)| remote);
    let dvc = section
        .take_text("dvc", said)
        .map(|(dvc, _)| PathBuf::from(dvc));
    let home = Home::take("cmf", &mut section, setting, said);
    (said.list.len() == before).then(|| {
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
            fresh: BTreeSet::new(),
            behind: false,
        };
        Box::new(tracker) as Box<dyn Tracker>
    })
}

/// What the sweep file asks for.
struct Options {
    /// How many trials are marked as the best.
    top: usize,
    /// The DVC remote whose addresses are written.
    remote: Option<String>,
    /// The folder to put `.dvc` files into.
    dvc: Option<PathBuf>,
}

struct Cmf {
    home: Home,
    options: Options,
    began: Option<Timestamp>,
    /// The reports of every trial that may go on, as lines of JSON.
    reports: BTreeMap<TrialId, Vec<u8>>,
    /// The Parquet files of every trial.
    steps: BTreeMap<TrialId, Vec<StepFile>>,
    /// Trials whose data and models no `.dvc` file names yet.
    fresh: BTreeSet<TrialId>,
    behind: bool,
}

impl Tracker for Cmf {
    fn record(&mut self, study: &Study, entry: &Entry) -> Result<(), TrackerError> {
        let began = *self.began.get_or_insert(entry.at);
        self.behind = true;
        match &entry.event {
            Event::Started {
                trial,
                resume: false,
                ..
            } => {
                self.reports.remove(trial);
                self.steps.remove(trial);
            }
            Event::Logged {
                trial,
                record: LogRecord::Report { values },
                ..
            } => {
                let lines = self.reports.entry(*trial).or_default();
                let numbers = values.iter().map(|(name, datum)| (&**name, shown(datum)));
                serde_json::to_writer(&mut *lines, &numbers.collect::<Vec<_>>())
                    .map_err(|error| TrackerError::Other(error.to_string()))?;
                lines.push(b'\n');
            }
            Event::Ended { trial, .. } => {
                let root = self.home.root(study)?;
                let folder = self.home.trial(*trial)?;
                let reports = self.reports.get(trial).map_or(&[][..], Vec::as_slice);
                let names = rows::Names { study, began };
                let due = &self.home.due;
                let files = when_there_is_room(|| {
                    steps::write(&root, (&folder, due), &names, *trial, reports)
                })?;
                if self.options.dvc.is_some() {
                    files.iter().try_for_each(|file| dvc::beside(&root, file))?;
                    self.fresh.insert(*trial);
                }
                self.steps.insert(*trial, files);
                if study
                    .trial(*trial)
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
        if !self.behind {
            return Ok(());
        }
        let root = self.home.root(study)?;
        let Some(began) = self.began else {
            return Ok(());
        };
        std::fs::create_dir_all(&root).map_err(failed(&root))?;
        let path = root.join(FILE);
        let draft = crate::tracker::csv::draft(&root).map_err(failed(&root))?;
        let names = rows::Names { study, began };
        mlmd::create(draft.path(), |store| {
            rows::fill(store, &names, &self.options, &self.steps)
        })
        .map_err(|error: rusqlite::Error| match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DiskFull) => failed(&path)(io::ErrorKind::StorageFull.into()),
            _ => TrackerError::Other(format!("could not write `{}`: {error}", path.display())),
        })?;
        draft
            .persist(&path)
            .map_err(|error| failed(&path)(error.error))?;
        if let Some(folder) = &self.options.dvc {
            while let Some(id) = self.fresh.first().copied() {
                study
                    .trial(id)
                    .map_or(Ok(()), |trial| dvc::files(folder, trial))?;
                self.fresh.remove(&id);
            }
        }
        self.behind = false;
        Ok(())
    }
}

/// Returns a value as it waits: numbers that JSON does not have are kept.
fn shown(datum: &Datum) -> serde_json::Value {
    match datum {
        Datum::Number(number) => serde_json::json!([number]),
        Datum::Flag(flag) => (*flag).into(),
        Datum::Text(text) => text.as_str().into(),
    }
}

/// Undoes [`shown`].
fn read(value: serde_json::Value) -> Option<parquet_table::Cell> {
    use parquet_table::Cell;
    Some(match value {
        serde_json::Value::Bool(flag) => Cell::Flag(flag),
        serde_json::Value::String(text) => Cell::Text(text),
        value => {
            let [Metric(number)] = serde_json::from_value(value).ok()?;
            Cell::Number(number)
        }
    })
}
