//! Where a file-based tracker writes and reads.

use super::TrackerError;
use super::metric_rows::take_due;
use super::room::when_there_is_room;
use crate::source::{Diagnostics, Opt, Preset, Section, Takes};
use crate::study::{Due, Setting, Study, TrialId};
use std::io;
use std::path::{Path, PathBuf};

/// The folder of a file-based tracker.
pub(super) const DIR: Opt = Opt::new(
    "dir",
    Takes::Text,
    Preset::Derived("`<study>/trackers/<name>/`"),
    "the folder to write to; in it, each study has a folder of its name",
);

/// The folders of a file-based tracker: `<study>/trackers/<name>/`, or `<dir>/<study's name>/` with
/// the option `dir`.
#[derive(Debug, Clone)]
pub(super) struct Home {
    study: Option<PathBuf>,
    chosen: Option<PathBuf>,
    name: &'static str,
    /// Which metrics are due.
    pub(super) due: Due,
}

impl Home {
    /// Takes the options `dir`, `log_freq` and `log_on_workers`.
    pub(super) fn take(
        name: &'static str,
        section: &mut Section,
        setting: &Setting,
        diagnostics: &mut Diagnostics,
    ) -> Self {
        let chosen = section
            .take_text("dir", diagnostics)
            .map(|(dir, _)| PathBuf::from(dir));
        let due = take_due(section, diagnostics);
        Self {
            study: setting.dir.clone(),
            chosen,
            name,
            due,
        }
    }

    /// Returns where to write.
    ///
    /// # Errors
    /// If the tracker was built without a study's folder.
    pub(super) fn root(&self, study: &Study) -> Result<PathBuf, TrackerError> {
        match &self.chosen {
            Some(dir) => Ok(dir.join(&study.header().name)),
            None => Ok(self.study()?.join("trackers").join(self.name)),
        }
    }

    /// Returns the folder of a trial, to read from.
    ///
    /// # Errors
    /// If the tracker was built without a study's folder.
    pub(super) fn trial(&self, id: TrialId) -> Result<PathBuf, TrackerError> {
        Ok(self.study()?.join(id.to_string()))
    }

    /// Returns the study's folder.
    ///
    /// # Errors
    /// If the tracker was built without one.
    pub(super) fn study(&self) -> Result<&Path, TrackerError> {
        self.study
            .as_deref()
            .ok_or_else(|| TrackerError::Other("it was given no study's folder".to_owned()))
    }
}

/// Returns what to make of an error with `path`.
pub(super) fn failed(path: &Path) -> impl Fn(io::Error) -> TrackerError {
    move |source| TrackerError::Write {
        path: path.display().to_string(),
        source,
    }
}

/// Replaces a file as a whole, making its folder: a reader sees the old one or the new one.
///
/// # Errors
/// If it cannot be written.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> Result<(), TrackerError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let write = || {
        std::fs::create_dir_all(folder)?;
        let mut draft = super::csv::draft(folder)?;
        io::Write::write_all(&mut draft, bytes)?;
        draft.persist(path).map_err(|error| error.error)
    };
    when_there_is_room(|| write().map(drop).map_err(failed(path)))
}
