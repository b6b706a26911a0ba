//! Trackers write the study in somebody's format: a projection of the journal and the trial folders that can be deleted and made again.
//!
//! To add one: a file here with its `KIND`, and a line in [`TRACKERS`].

pub mod csv;
#[cfg(test)]
pub(crate) mod demo;
mod mlflow;
pub mod recorder;

use crate::study::{Entry, Kind, Study};

/// Every tracker a sweep file can name.
pub const TRACKERS: &[Kind<dyn Tracker>] = &[mlflow::KIND];

/// Writes a study in some format.
///
/// Gets every entry in order, from the first, on resume too, and must be idempotent: the same entries again leave the same bytes. A tracker
/// that fails is reported once, marked stale and left out for the rest of the run; it never harms a trial or another tracker.
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
