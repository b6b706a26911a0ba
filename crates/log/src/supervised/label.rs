//! The subject of a warning: a line or a call.

use std::fmt;

/// The line or the call that a warning is about.
pub(super) enum Label {
    /// A line of the records file.
    Line(u64),
    /// A call that is neither a report nor a metric.
    Record,
    /// A report that a call made.
    Report,
    /// Metrics that a call made.
    Metric,
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(number) => write!(f, "line {number} of `records.jsonl`"),
            Self::Record => f.write_str("a record"),
            Self::Report => f.write_str("a report"),
            Self::Metric => f.write_str("a metric"),
        }
    }
}
