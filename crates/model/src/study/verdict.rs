//! The scheduler's decision about a running trial.

use serde::{Deserialize, Serialize};

/// The scheduler's decision about a running trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The trial continues.
    Continue,
    /// The trial ends at its next checkpoint and may be resumed.
    Pause,
    /// The trial ends and is not resumed.
    Stop,
    /// The trial has used all of the resource that one trial gets. It ends, and is complete with
    /// the values it has reported.
    Complete,
}
