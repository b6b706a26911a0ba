//! The facts about a sweep that samplers, schedulers, executors and trackers are built from.

use super::Objective;
use crate::space::{Name, Space};
use std::path::PathBuf;
use std::sync::Arc;

/// The facts about a sweep that a sampler, scheduler, executor or tracker needs to be built, or to
/// refuse its options.
#[derive(Debug, Clone)]
pub struct Setting {
    /// The search space.
    pub space: Arc<Space>,
    /// The objectives to optimize, the first one first.
    pub objectives: Vec<Objective>,
    /// The seed of the sweep, from which every random stream derives.
    pub seed: u64,
    /// Total number of trials the sweep file requests; `None` if it sets no number.
    pub trials: Option<u64>,
    /// Number of trials that run at the same time.
    pub slots: usize,
    /// The reported key that counts the resource, if a scheduler uses one.
    pub resource: Option<Name>,
    /// Whether a trial can resume from a checkpoint: the sweep file sets `checkpoint = true`.
    pub checkpoint: bool,
    /// The study's folder, where file-based trackers write; `None` while a sweep file is only
    /// checked or simulated.
    pub dir: Option<PathBuf>,
}
