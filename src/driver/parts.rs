//! What a driver is made of.

use crate::sampler::Sampler;
use crate::scheduler::TrialScheduler;
use crate::space::{Params, Space};
use crate::study::{FailureClass, Header};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// The parts that a sweep file describes, built.
pub struct Parts {
    /// What readers need to know of the sweep file.
    pub header: Header,
    /// What is searched.
    pub space: Arc<Space>,
    /// Configurations to try first; names they leave out are drawn.
    pub points: Vec<Params>,
    /// How the sweep file names the sampler.
    pub sampler_name: String,
    /// Proposes.
    pub sampler: Box<dyn Sampler>,
    /// Paces.
    pub scheduler: Box<dyn TrialScheduler>,
    /// When to give up.
    pub limits: Limits,
    /// Which failures are tried again.
    pub retry: Retry,
    /// The directory trials run in.
    pub workdir: PathBuf,
    /// How long a process has between SIGTERM and SIGKILL.
    pub grace: Duration,
    /// Whether attempts go on while no driver is there: the executor is then asked about them before they count as lost.
    pub elsewhere: bool,
}

/// When a run ends before its trials are done. Both count from the start of the run, so that running again continues.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// Wall time.
    pub time: Option<Duration>,
    /// Failed trials.
    pub failures: Option<u64>,
}

/// Which failures are tried again, and how often.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Retry {
    /// How many more attempts a trial gets.
    pub times: u32,
    /// After which failures.
    pub on: Vec<FailureClass>,
}
