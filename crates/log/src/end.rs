//! The two ends of a logger: the child's end appends lines, the supervising end records them.

#[cfg(feature = "supervise")]
use super::supervised::Supervised;
use super::wire::Record;
use super::{Directive, LoggerError, Point};
use std::path::Path;

/// The results of a logger that `info.yaml` repeats.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Recorded {
    /// The path and digest of each data set.
    pub data: Vec<(String, Option<String>)>,
    /// The path and digest of each model, the last version per path.
    pub models: Vec<(String, Option<String>)>,
    /// Number of reports.
    pub reports: u64,
    /// Number of warnings, including those that were only counted.
    pub warnings: u64,
}

/// An end of a logger. `now` is in microseconds since 1970, `rank` the rank of the worker.
pub(super) trait End: Send {
    /// Takes a record. The child's end keeps it in memory until [`send`](Self::send).
    fn put(&mut self, record: Record, rank: u32, now: i64) -> Result<(), LoggerError>;

    /// Takes a record as a line.
    fn put_line(&mut self, line: &str, now: i64) -> Result<(), LoggerError>;

    /// Takes metrics of one position, which may stay in memory for a second.
    fn metrics(
        &mut self,
        values: &[(&str, f64)],
        point: &Point<'_>,
        rank: u32,
        now: i64,
    ) -> Result<(), LoggerError>;

    /// Writes the records that the child's end has taken.
    fn send(&mut self, now: i64) -> Result<(), LoggerError>;

    /// Writes everything that is in memory.
    fn flush(&mut self, now: i64) -> Result<(), LoggerError>;

    /// Writes everything that is in memory, for the last time, and returns what was recorded.
    fn finish(&mut self, now: i64) -> Result<Recorded, LoggerError>;

    /// Records a problem of the trial as a warning or, in a child, as a note.
    fn warn(&mut self, text: String, rank: u32, now: i64);

    /// Returns whether the trial continues.
    fn directive(&self) -> Directive;

    /// Returns the trial's folder.
    fn trial(&self) -> &Path;

    /// Returns whether the trial waits for an answer. A child does not know.
    #[cfg(feature = "supervise")]
    fn waits(&self) -> bool {
        false
    }

    /// Returns the supervising end; `None` in a child.
    #[cfg(feature = "supervise")]
    fn supervised(&mut self) -> Option<&mut Supervised> {
        None
    }
}
