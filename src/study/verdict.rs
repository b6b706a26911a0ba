//! What the scheduler thinks of a running trial.

use serde::{Deserialize, Serialize};

/// Whether a running trial may go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It may.
    Continue,
    /// It is to end at its checkpoint and may be resumed.
    Pause,
    /// It is to end for good.
    Stop,
    /// It has had all of the resource that a trial gets: it is to end, and is complete with what
    /// it has reported.
    Complete,
}
