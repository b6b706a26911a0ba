//! Trackers write the study in somebody's format: a projection of the journal and the trial folders
//! that can be deleted and made again.
//!
//! To add one: a file here with its `KIND`, and a line in [`TRACKERS`].

mod block_log;
mod cmf;
pub mod csv;
#[cfg(test)]
pub(crate) mod demo;
mod home;
mod hparams;
pub(crate) mod metric_rows;
mod mlflow;
mod program;
mod proto;
mod prov;
mod prov_graph;
pub mod recorder;
mod room;
mod steps;
mod tensorboard;
#[cfg(test)]
mod tests;
mod trial_file;
mod wandb;

use crate::study::{Entry, Kind, Study};

/// Every tracker a sweep file can name.
pub const TRACKERS: &[Kind<dyn Tracker>] = &[
    mlflow::KIND,
    wandb::KIND,
    tensorboard::KIND,
    prov::KIND,
    cmf::KIND,
    program::KIND,
];

/// Writes a study in some format.
///
/// Gets every entry in order, from the first, on resume too, and must be idempotent: the same
/// entries again leave the same bytes. A tracker that fails is reported once, marked stale and left
/// out for the rest of the run; it never harms a trial or another tracker.
pub trait Tracker: Send {
    /// Takes in an entry that `study` has just absorbed.
    ///
    /// # Errors
    /// If it could not be written.
    fn record(&mut self, study: &Study, entry: &Entry) -> Result<(), TrackerError>;

    /// Makes everything taken in visible to readers. Called at the end and now and then.
    ///
    /// # Errors
    /// If it could not be written.
    fn sync(&mut self, study: &Study) -> Result<(), TrackerError>;

    /// Waits a while, at most seconds, for what is under way at the end, and returns whether that
    /// went on and there is more of it. Called before [`close`](Self::close) until it returns
    /// `false`.
    fn linger(&mut self) -> bool {
        false
    }

    /// Brings everything up to date and ends: nothing more comes in this run.
    ///
    /// # Errors
    /// If it could not be written.
    fn close(&mut self, study: &Study) -> Result<(), TrackerError> {
        self.sync(study)
    }
}

/// Why a tracker could not write.
#[derive(Debug, thiserror::Error)]
pub enum TrackerError {
    /// A file could not be written.
    #[error("could not write `{path}`")]
    Write {
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Something else, in words.
    #[error("{0}")]
    Other(String),
}

impl TrackerError {
    /// Returns whether there was no room on the disk: then trying again may succeed.
    pub(crate) fn is_full(&self) -> bool {
        matches!(self, Self::Write { source, .. } if room::is_full(source))
    }
}
