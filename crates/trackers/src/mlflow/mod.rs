//! The `mlflow` tracker: one run for the study with a nested run for each trial, on a server or in
//! a folder.
//!
//! [`runs`] translates the journal into operations on MLflow runs, for both stores. [`files`]
//! carries them out in a folder. [`courier`] sends them to a server; the [`cursor`] records how
//! much of the study the server has, and a later run delivers the rest.

pub(crate) mod access;
mod calls;
mod courier;
mod cursor;
pub(crate) mod files;
mod model;
mod names;
pub(crate) mod rest;
mod rows;
mod runs;
#[cfg(test)]
mod tests;

use super::home::no_study_folder;
use super::{Tracker, TrackerError, metric_rows};
use access::Access;
use courier::Courier;
use files::Files;
use rest::Address;
use rows::Rows;
use runs::{Change, Op, Projection};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use swath_engine::journal::{StudyDir, has_foreign_trial};
use swath_model::source::{Diagnostic, Diagnostics, Opt, Preset, Section, Takes};
use swath_model::study::{Entry, Event, Kind, Setting, Study, TrialState};

pub(super) const KIND: Kind<dyn Tracker> = Kind {
    name: "mlflow",
    about: "runs nested in one of the study, on an MLflow server or in a folder it reads",
    paper: None,
    options: OPTIONS,
    capabilities: &[],
    build,
};

const OPTIONS: &[Opt] = &[
    Opt::new(
        "uri",
        Takes::Text,
        Preset::Derived("the folder `<study>/trackers/mlruns`"),
        "a folder, or the address of a server such as `http://127.0.0.1:5000`",
    ),
    Opt::new(
        "experiment",
        Takes::Text,
        Preset::Derived("the study"),
        "the experiment of the runs",
    ),
    Opt::new(
        "model",
        Takes::Text,
        Preset::Absent,
        "register the model of the best trial under this name, with the alias `best`",
    ),
    metric_rows::LOG_FREQ,
    metric_rows::LOG_ON_WORKERS,
];

fn build(
    mut section: Section,
    setting: &Setting,
    diagnostics: &mut Diagnostics,
) -> Option<Box<dyn Tracker>> {
    let uri = section.take_text("uri", diagnostics);
    let experiment = section
        .take_text("experiment", diagnostics)
        .map(|(experiment, _)| experiment);
    let model = section.take_text("model", diagnostics);
    let due = metric_rows::take_due(&mut section, diagnostics);
    let target = match uri {
        None => None,
        Some((uri, span)) => match Target::parse(&uri) {
            Ok(target) => Some(target),
            Err((message, hint)) => {
                diagnostics.push(
                    Diagnostic::error("bad-uri", message)
                        .at(span, "")
                        .hint(hint),
                );
                return None;
            }
        },
    };
    let dir = setting.dir.clone();
    let home = dir.clone().unwrap_or_default().join("trackers");
    let target = target.unwrap_or_else(|| Target::Folder(home.join("mlruns")));
    if let (Target::Folder(_), Some((_, span))) = (&target, &model) {
        let error = Diagnostic::error("bad-model", "`model` needs an MLflow server");
        diagnostics.push(error.at(span.clone(), "").hint(
            "name the server with `uri`, such as `http://127.0.0.1:5000`; a folder has no registry",
        ));
        return None;
    }
    let model = model.map(|(name, _)| name);
    let projection = Projection::registering(model.is_some());
    let store = match target {
        Target::Folder(root) => Store::Files(Files::new(root, dir, experiment)),
        Target::Server(address) => {
            let study = dir.unwrap_or_default();
            let courier = Courier::new(address, study, experiment);
            Store::Server(Box::new(courier.registering(model)))
        }
    };
    let (rows, dir) = (Rows::new(due), setting.dir.clone());
    Some(Box::new(Mlflow {
        projection,
        rows,
        dir,
        store,
    }))
}

/// The store that `uri` names.
enum Target {
    Folder(PathBuf),
    Server(Address),
}

impl Target {
    fn parse(uri: &str) -> Result<Self, (String, &'static str)> {
        match uri.split_once(':') {
            Some((scheme @ ("http" | "https"), _)) => {
                let access = Access::from_variables(scheme == "https", |name| {
                    std::env::var(name).ok()
                })
                .map_err(|why| {
                    (
                        why,
                        "name a file with certificates in the PEM format, or unset the variable",
                    )
                })?;
                match Address::parse(uri, access) {
                    Some(address) => Ok(Self::Server(address)),
                    None => Err(("this is not the address of a server".to_owned(), SCHEMES)),
                }
            }
            Some(("file", path)) => {
                let path = path.strip_prefix("//").unwrap_or(path);
                let path = percent_encoding::percent_decode_str(path).decode_utf8_lossy();
                Ok(Self::Folder(path.into_owned().into()))
            }
            // A colon behind a slash is part of a path, not of a scheme.
            Some((scheme, _)) if !scheme.contains('/') => Err((
                format!("`{scheme}:` is not a kind of MLflow store that swath writes"),
                SCHEMES,
            )),
            _ => Ok(Self::Folder(uri.into())),
        }
    }
}

/// The hint for a URI that cannot be used.
const SCHEMES: &str = "give a folder, or the address of a server: `http://127.0.0.1:5000`; \
                       `mlflow server --backend-store-uri …` serves every other store";

/// The state of the tracker.
struct Mlflow {
    /// The translation of entries into operations.
    projection: Projection,
    /// The reader of metric rows.
    rows: Rows,
    /// The study folder; without it the tracker fails.
    dir: Option<PathBuf>,
    /// The target of the operations.
    store: Store,
}

/// The target of the operations.
enum Store {
    Files(Files),
    Server(Box<Courier>),
}

impl Store {
    /// Returns whether an earlier run has delivered the entry `seq`. Always `false` for a folder,
    /// which is written anew by every run.
    fn has_delivered(&self, seq: u64) -> bool {
        match self {
            Self::Files(_) => false,
            Self::Server(courier) => courier.has_delivered(seq),
        }
    }
}

impl Mlflow {
    /// Returns the operations for an entry that was not delivered yet.
    fn ops(&mut self, study: &Study, entry: &Entry) -> Result<Vec<Op>, TrackerError> {
        let Some(dir) = &self.dir else {
            return Err(no_study_folder());
        };
        let mut ops = self.projection.translate(study, entry);
        if let (Store::Server(courier), Event::Opened { .. }) = (&mut self.store, &entry.event) {
            let offsets = courier.open(&self.projection.uid, &study.header().name)?;
            self.rows.skip_to(offsets);
        }
        if self.store.has_delivered(entry.seq) {
            return Ok(Vec::new());
        }
        match &entry.event {
            // The files of earlier attempts are moved away.
            Event::Started {
                trial,
                resume: false,
                ..
            } => self.rows.restart(*trial),
            Event::Ended { trial, attempt, .. }
                if !has_foreign_trial(&StudyDir::at(dir), study, *trial) =>
            {
                let resource = study.header().resource.as_ref();
                let rows = self.rows.read(dir, *trial, *attempt, resource, entry.at)?;
                // Rows go before the status change, so that a run is complete once it has ended.
                ops.splice(0..0, rows);
                if study
                    .trial(*trial)
                    // A complete trial never continues.
                    .is_some_and(|trial| trial.state == TrialState::Complete)
                {
                    self.rows.forget(*trial);
                }
            }
            _ => {}
        }
        Ok(ops
            .into_iter()
            .flat_map(|op| file_by_file(dir, op))
            .collect())
    }
}

/// Returns the operations for the files of an artifact that is a folder, in the order of their
/// names. MLflow stores files only. Every other operation is returned as it is.
fn file_by_file(study: &Path, op: Op) -> Vec<Op> {
    let (run, trial, path) = match op {
        Op {
            run,
            change: Change::File { trial, path },
        } => (run, trial, path),
        other => return vec![other],
    };
    let root = study.join(trial.to_string());
    let files = model::files_below(&root.join(&path));
    let names = files.iter().map(|file| match file.strip_prefix(&root) {
        Ok(inside) => inside.to_string_lossy().into_owned(),
        Err(_) => path.clone(),
    });
    names
        .map(|path| Op {
            run,
            change: Change::File { trial, path },
        })
        .collect()
}

/// Returns an error that names files which MLflow did not get, if there are any.
fn check_left_out(left_out: &[String]) -> Result<(), TrackerError> {
    const NAMED: usize = 5;
    if left_out.is_empty() {
        return Ok(());
    }
    let mut named = left_out[..left_out.len().min(NAMED)].join("; ");
    if left_out.len() > NAMED {
        let _ = write!(named, "; and {} more", left_out.len() - NAMED);
    }
    Err(TrackerError::Other(format!(
        "MLflow did not get these files: {named}"
    )))
}

impl Tracker for Mlflow {
    fn record(&mut self, study: &Study, entry: &Entry) -> Result<(), TrackerError> {
        let ops = self.ops(study, entry)?;
        match &mut self.store {
            Store::Files(files) => files.take(&self.projection.uid, &study.header().name, ops),
            Store::Server(courier) => match courier.take(entry.seq, ops) {
                true => courier.deliver(|| self.rows.offsets()),
                false => Ok(()),
            },
        }
    }

    fn sync(&mut self, _study: &Study) -> Result<(), TrackerError> {
        match &mut self.store {
            Store::Files(files) => files.flush(),
            Store::Server(courier) => courier.deliver(|| self.rows.offsets()),
        }
    }

    fn close(&mut self, study: &Study) -> Result<(), TrackerError> {
        self.sync(study)?;
        match &self.store {
            Store::Files(files) => check_left_out(&files.left_out),
            Store::Server(courier) => {
                courier.check_refusals()?;
                check_left_out(&courier.left_out)
            }
        }
    }
}
