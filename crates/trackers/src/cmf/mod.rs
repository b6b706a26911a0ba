//! The `cmf` tracker: the ML Metadata file that cmflib and ml-metadata open, the step metrics
//! beside it as Parquet, and `.dvc` files on request.
//!
//! The file is written anew from the study at each sync and replaces the old one atomically: a
//! reader sees one or the other, and the same study leaves the same bytes. With the option `file`,
//! the rows of the study are written into a file that cmflib and other studies may share. Step
//! metrics are written when an attempt ends.

mod dvc;
mod literal;
mod mlmd;
mod names;
mod packages;
mod rows;
mod step_table;
mod steps;

use super::home::{self, Home, failed};
use super::metric_rows;
use super::retry::{beat, with_backoff};
use super::{Tracker, TrackerError};
use mlmd::SharedError;
use names::Names;
use packages::PackageList;
use rows::TrialFiles;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use swath_engine::journal::StudyDir;
use swath_engine::provenance::environments;
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
        "file",
        Takes::Text,
        Preset::Derived("`mlmd` in the tracker's folder, of this study alone"),
        "an ML Metadata file to append to, which cmflib and other studies may share",
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

/// The longest wait for the packages at the end of a run, and the pause between two looks.
const PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(20);

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
    let file = section
        .take_text("file", diagnostics)
        .map(|(file, _)| PathBuf::from(file));
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
                file,
                remote,
                dvc,
            },
            began: None,
            reports: BTreeMap::new(),
            files: BTreeMap::new(),
            started: BTreeMap::new(),
            without_dvc: BTreeSet::new(),
            is_outdated: false,
            is_closing: false,
        };
        Box::new(tracker) as Box<dyn Tracker>
    })
}

/// The options of the tracker.
struct Options {
    /// Number of trials marked as the best (`in_top_n`).
    top: usize,
    /// The shared file to append to; the file is that of the study alone if absent.
    file: Option<PathBuf>,
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
    /// The files written for each trial.
    files: BTreeMap<TrialId, TrialFiles>,
    /// The entry that started the last attempt of each trial whose packages are not known yet.
    started: BTreeMap<TrialId, u64>,
    /// Trials whose data sets and models have no `.dvc` files yet.
    without_dvc: BTreeSet<TrialId>,
    /// Whether entries have been recorded since the store was written.
    is_outdated: bool,
    /// Whether all entries have been recorded.
    is_closing: bool,
}

impl Tracker for Cmf {
    fn record(&mut self, study: &Study, entry: &Entry) -> Result<(), TrackerError> {
        let began = *self.began.get_or_insert(entry.at);
        self.is_outdated = true;
        if let Event::Started { trial, .. } = &entry.event {
            self.started.insert(*trial, entry.seq);
        }
        match &entry.event {
            Event::Started {
                trial,
                resume: false,
                ..
            } => {
                // An attempt that starts anew replaces the reports of earlier ones.
                self.reports.remove(trial);
                self.files.remove(trial);
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
                let names = Names { study, began };
                let due = &self.home.due;
                let files =
                    with_backoff(|| steps::write(&root, (&folder, due), &names, *trial, reports))?;
                // `.dvc` files of data sets and models are written at the next sync, see
                // `without_dvc`.
                if self.options.dvc.is_some() {
                    files.iter().try_for_each(|file| dvc::beside(&root, file))?;
                    self.without_dvc.insert(*trial);
                }
                self.files.entry(*trial).or_default().steps = files;
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
        self.write_packages(&root)?;
        let names = Names { study, began };
        let fill = |store: &mut mlmd::Store<'_>| {
            rows::fill(store, &names, &self.options, (&self.files, self.is_closing))
        };
        match &self.options.file {
            Some(path) => append_to_shared(path, fill)?,
            None => {
                let path = root.join(FILE);
                let draft = swath_engine::tracker::csv::draft(&root).map_err(failed(&root))?;
                mlmd::create(draft.path(), fill).map_err(|error| sqlite_failure(&path, &error))?;
                draft
                    .persist(&path)
                    .map_err(|error| failed(&path)(error.error))?;
            }
        }
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

    /// Waits a moment for the packages of a short run, which are looked up beside the trials.
    fn close(&mut self, study: &Study) -> Result<(), TrackerError> {
        let began = Instant::now();
        while self.waits_for_packages()? && began.elapsed() < PATIENCE {
            beat()?;
            std::thread::sleep(PAUSE);
        }
        self.is_outdated |= !self.started.is_empty() || self.options.file.is_some();
        self.is_closing = true;
        self.sync(study)
    }
}

impl Cmf {
    /// Returns whether the packages of the last run are still being looked up.
    fn waits_for_packages(&self) -> Result<bool, TrackerError> {
        if self.started.is_empty() {
            return Ok(false);
        }
        let last = environments(&StudyDir::at(self.home.study()?)).pop();
        Ok(last.is_some_and(|environment| environment.found.is_none()))
    }

    /// Writes the lists of packages of the trials that have none yet, as far as they are known.
    fn write_packages(&mut self, root: &Path) -> Result<(), TrackerError> {
        if self.started.is_empty() {
            return Ok(());
        }
        let environments = environments(&StudyDir::at(self.home.study()?));
        let mut written: BTreeMap<u64, PackageList> = BTreeMap::new();
        for (trial, seq) in std::mem::take(&mut self.started) {
            let environment = packages::environment_at(&environments, seq);
            let found = environment.and_then(|environment| environment.found.as_ref());
            // The packages are looked up beside the first trials.
            let (Some(environment), Some(found)) = (environment, found) else {
                self.started.insert(trial, seq);
                continue;
            };
            let Some(python) = &found.python else {
                continue;
            };
            let list = match written.get(&environment.since) {
                Some(list) => list.clone(),
                None => packages::write(root, python)?,
            };
            written.insert(environment.since, list.clone());
            self.files.entry(trial).or_default().packages = Some(list);
        }
        Ok(())
    }
}

/// Appends the rows of a study to a file that others may read and write at the same time.
fn append_to_shared(
    path: &Path,
    fill: impl FnOnce(&mut mlmd::Store<'_>) -> rusqlite::Result<()>,
) -> Result<(), TrackerError> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    if let Some(folder) = folder {
        std::fs::create_dir_all(folder).map_err(failed(folder))?;
    }
    mlmd::append(path, fill).map_err(|error| match error {
        SharedError::Sqlite(error) => sqlite_failure(path, &error),
        SharedError::Version(_) => {
            TrackerError::Other(format!("could not append to `{}`: {error}", path.display()))
        }
    })
}

/// Returns the error of a failed write. A full disk, and a file that another process writes, are
/// reported as such, so that the write is tried again instead of given up.
fn sqlite_failure(path: &Path, error: &rusqlite::Error) -> TrackerError {
    use rusqlite::ErrorCode::{DatabaseBusy, DatabaseLocked, DiskFull};
    match error.sqlite_error_code() {
        Some(DiskFull) => failed(path)(io::ErrorKind::StorageFull.into()),
        Some(DatabaseBusy | DatabaseLocked) => {
            TrackerError::Away(format!("another process keeps `{}` locked", path.display()))
        }
        _ => TrackerError::Other(format!("could not write `{}`: {error}", path.display())),
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
