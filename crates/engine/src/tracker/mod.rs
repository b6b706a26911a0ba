//! Trackers export a study in the format of another tool. Their files are projections of the
//! journal and the trial folders: they can be deleted and written again.
//!
//! The table `trials.csv`, which every study has, is here; the crate `swath-trackers` has the kinds
//! that a sweep file can name.

pub mod csv;
pub mod home;
pub mod metric_rows;
mod own;
pub mod retry;
pub mod steps;

pub use own::{Logged, TrialTracker, kind_of};

/// Opens files that a trial can reach, without waiting for a pipe's other end.
pub use swath_log::regular;

use swath_model::study::{Entry, Study};

/// A tracker: a writer of one export format.
///
/// A tracker has a thread of its own, which reads the journal. It receives every entry in order,
/// from the first one, also when a run resumes. It must be idempotent: the same entries again leave
/// the same bytes. A tracker that fails is reported once, marked stale and skipped for the rest of
/// the run; its failure never affects a trial or another tracker.
pub trait Tracker: Send {
    /// Records one journal entry. `study` has already applied it.
    ///
    /// # Errors
    /// Returns an error if the output could not be written.
    fn record(&mut self, study: &Study, entry: &Entry) -> Result<(), TrackerError>;

    /// Makes all recorded entries visible to readers. Called at most about once a second during a
    /// run, and once by the default [`close`](Self::close). Called again after a failure that may
    /// pass, see [`TrackerError::is_transient`].
    ///
    /// # Errors
    /// Returns an error if the output could not be written.
    fn sync(&mut self, study: &Study) -> Result<(), TrackerError>;

    /// Writes everything outstanding and ends the tracker. No entry follows in this run.
    ///
    /// # Errors
    /// Returns an error if the output could not be written.
    fn close(&mut self, study: &Study) -> Result<(), TrackerError> {
        self.sync(study)
    }
}

/// The reason why a tracker could not write.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrackerError {
    /// Occurs when a file could not be created, written or replaced.
    #[error("could not write `{path}`")]
    Write {
        /// The path of the file, for display.
        path: String,
        /// The error of the operating system.
        #[source]
        source: std::io::Error,
    },
    /// Occurs when a server is unavailable; a later attempt may succeed.
    #[error("{0}")]
    Away(String),
    /// Occurs for any other failure; the message is shown to the user.
    #[error("{0}")]
    Other(String),
}

impl TrackerError {
    /// Returns whether the disk or a quota was full, in which case a later attempt may succeed.
    #[must_use]
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Write { source, .. } if retry::is_full(source))
    }

    /// Returns whether a later attempt may succeed: the disk was full, or a server was away. The
    /// thread of the tracker then tries again with growing pauses.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        self.is_full() || matches!(self, Self::Away(_))
    }
}
