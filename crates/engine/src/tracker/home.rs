//! The folders that file-based trackers write to and read from.

use super::TrackerError;
use super::metric_rows::take_due;
use super::retry::with_backoff;
use crate::journal::{StudyDir, readable_trial};
use std::io;
use std::path::{Path, PathBuf};
use swath_model::source::{Diagnostics, Opt, Preset, Section, Takes};
use swath_model::study::{Due, Setting, Study, TrialId};

/// The option `dir`: the folder that a file-based tracker writes to.
pub const DIR: Opt = Opt::new(
    "dir",
    Takes::Text,
    Preset::Derived("`<study>/trackers/<name>/`"),
    "the folder to write to; in it, each study has a folder of its name",
);

/// The folders of one file-based tracker. Output goes to `<study>/trackers/<name>/`, or to
/// `<dir>/<study's name>/` if the option `dir` is set.
#[derive(Debug, Clone)]
pub struct Home {
    study: Option<PathBuf>,
    chosen: Option<PathBuf>,
    name: &'static str,
    /// The filter for metric rows, from the options `log_freq` and `log_on_workers`.
    pub due: Due,
}

impl Home {
    /// Reads the options `dir`, `log_freq` and `log_on_workers` from the tracker's section.
    pub fn take(
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

    /// Returns the folders of a tracker of the study in `study`, without options.
    #[must_use]
    pub fn at(study: &Path, name: &'static str) -> Self {
        Self {
            study: Some(study.to_owned()),
            chosen: None,
            name,
            due: Due::default(),
        }
    }

    /// Returns the output folder of the study.
    ///
    /// # Errors
    /// Returns an error if the tracker was built without a study folder and needs one.
    pub fn root(&self, study: &Study) -> Result<PathBuf, TrackerError> {
        match &self.chosen {
            Some(dir) => Ok(dir.join(&study.header().name)),
            None => Ok(self.study()?.join("trackers").join(self.name)),
        }
    }

    /// Returns the folder of a trial inside the study folder. Trackers read metric files from it. A
    /// folder of another study reads like an empty one.
    ///
    /// # Errors
    /// Returns an error if the tracker was built without a study folder and needs one.
    pub fn trial(&self, study: &Study, id: TrialId) -> Result<PathBuf, TrackerError> {
        Ok(readable_trial(&StudyDir::at(self.study()?), study, id))
    }

    /// Returns the study folder.
    ///
    /// # Errors
    /// Returns an error if the tracker was built without a study folder.
    pub fn study(&self) -> Result<&Path, TrackerError> {
        self.study.as_deref().ok_or_else(no_study_folder)
    }
}

/// Returns the error of a tracker that was built without a study folder and needs one.
#[must_use]
pub fn no_study_folder() -> TrackerError {
    TrackerError::Other("it needs the folder of a study, and has none".to_owned())
}

/// Returns a function that turns an I/O error into a [`TrackerError::Write`] about `path`.
pub fn failed(path: &Path) -> impl Fn(io::Error) -> TrackerError {
    move |source| TrackerError::Write {
        path: path.display().to_string(),
        source,
    }
}

/// Replaces the file at `path` atomically and creates its folder if needed. A reader sees either
/// the old content or the new one.
///
/// # Errors
/// Returns an error if the draft cannot be written or renamed.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<(), TrackerError> {
    with_backoff(|| try_replace(path, bytes).map_err(failed(path)))
}

fn try_replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let mut draft = super::csv::draft(folder)?;
    io::Write::write_all(&mut draft, bytes)?;
    draft.persist(path).map_err(|error| error.error)?;
    Ok(())
}
