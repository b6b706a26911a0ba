//! The `mlflow` tracker: one run for the study with a nested run for each trial, on a server or in
//! a folder.
//!
//! [`runs`] translates the journal into operations on MLflow runs, for both stores. [`files`]
//! carries them out in a folder. [`delivery`] sends them to a server from a thread of its own:
//! while the server is unavailable, operations are kept in the [`spool`], and operations that were
//! not delivered by the end of a run are delivered by the next one, because the journal is read
//! from the start again.

mod access;
mod calls;
mod courier;
mod delivery;
mod files;
mod names;
mod rest;
mod rows;
mod runs;
mod spool;
#[cfg(test)]
mod tests;

use super::{Tracker, TrackerError, metric_rows};
use crate::source::{Diagnostic, Diagnostics, Opt, Preset, Section, Takes};
use crate::study::{Entry, Event, Kind, Setting, Study};
use access::Access;
use delivery::Delivery;
use files::Files;
use rest::Address;
use rows::Rows;
use runs::Projection;
use std::path::PathBuf;

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
    let due = metric_rows::take_due(&mut section, diagnostics);
    let store = match uri {
        None => None,
        Some((uri, span)) => match Place::of(&uri) {
            Ok(place) => Some(place),
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
    let store = match store.unwrap_or_else(|| Place::Folder(home.join("mlruns"))) {
        Place::Folder(root) => Store::Files(Files::new(root, dir, experiment)),
        Place::Server(address) => {
            Store::Server(Delivery::new(address, dir.unwrap_or_default(), experiment))
        }
    };
    let (projection, rows, dir) = (Projection::default(), Rows::new(due), setting.dir.clone());
    Some(Box::new(Mlflow {
        projection,
        rows,
        dir,
        store,
    }))
}

/// The store that `uri` names.
enum Place {
    Folder(PathBuf),
    Server(Address),
}

impl Place {
    fn of(uri: &str) -> Result<Self, (String, &'static str)> {
        let folder = |path: &str| {
            percent_encoding::percent_decode_str(path)
                .decode_utf8_lossy()
                .into_owned()
        };
        match uri.split_once(':') {
            Some((scheme @ ("http" | "https"), _)) => {
                let access = Access::of(scheme == "https", |name| std::env::var(name).ok())
                    .map_err(|why| {
                        (
                            why,
                            "give a file of certificates in PEM, or unset the variable",
                        )
                    })?;
                match Address::of(uri, access) {
                    Some(address) => Ok(Self::Server(address)),
                    None => Err(("this is not the address of a server".to_owned(), SCHEMES)),
                }
            }
            Some(("file", path)) => Ok(Self::Folder(
                folder(path.strip_prefix("//").unwrap_or(path)).into(),
            )),
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
    Server(Delivery),
}

impl Store {
    /// Returns whether an earlier run has delivered the entry `seq`. Always `false` for a folder,
    /// which is written anew by every run.
    fn has(&self, seq: u64) -> bool {
        match self {
            Self::Files(_) => false,
            Self::Server(delivery) => delivery.has(seq),
        }
    }
}

impl Tracker for Mlflow {
    fn record(&mut self, study: &Study, entry: &Entry) -> Result<(), TrackerError> {
        if self.dir.is_none() {
            return Err(TrackerError::Other(
                "it was given no study's folder".to_owned(),
            ));
        }
        let mut ops = self.projection.of(study, entry);
        // The metric files can be large: do not read them again for an entry that is already
        // delivered.
        if let (Event::Ended { trial, .. }, false) = (&entry.event, self.store.has(entry.seq)) {
            let resource = study.header().resource.as_ref();
            let rows = self
                .rows
                .read(self.dir.as_deref(), *trial, resource, entry.at)?;
            // Rows go before the status change, so that a run is complete once it has ended.
            ops.splice(0..0, rows);
        }
        match &mut self.store {
            Store::Files(files) => files.take(&self.projection.uid, &study.header().name, ops),
            Store::Server(delivery) => {
                delivery.take(&self.projection.uid, &study.header().name, entry.seq, ops)
            }
        }
    }

    fn sync(&mut self, _study: &Study) -> Result<(), TrackerError> {
        match &mut self.store {
            Store::Files(files) => files.flush(),
            Store::Server(delivery) => delivery.flush(),
        }
    }

    fn linger(&mut self) -> bool {
        match &mut self.store {
            Store::Files(_) => false,
            Store::Server(delivery) => delivery.linger(),
        }
    }

    fn close(&mut self, _study: &Study) -> Result<(), TrackerError> {
        match &mut self.store {
            Store::Files(files) => files.flush(),
            Store::Server(delivery) => delivery.close(),
        }
    }
}
