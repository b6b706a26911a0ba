//! What every part is built against.

use super::Objective;
use crate::space::{Name, Space};
use std::path::PathBuf;
use std::sync::Arc;

/// What a sampler, scheduler, executor or tracker may need to know to be built, or to refuse.
#[derive(Debug, Clone)]
pub struct Setting {
    /// What is searched.
    pub space: Arc<Space>,
    /// What is optimised.
    pub objectives: Vec<Objective>,
    /// What everything random derives from.
    pub seed: u64,
    /// How many trials are wanted in all.
    pub trials: Option<u64>,
    /// How many run at a time.
    pub slots: usize,
    /// The reported key that counts, if a scheduler uses one.
    pub resource: Option<Name>,
    /// Whether a trial can go on from a checkpoint: the sweep file says `checkpoint = true`.
    pub checkpoint: bool,
    /// The study's folder, where file-based trackers write; `None` while a sweep file is only
    /// checked or simulated.
    pub dir: Option<PathBuf>,
}
