//! The inputs of a driver: the parts of a sweep file, built.

use super::{Goals, Limits, PreparationPlan, Retry, Spending, Watched};
use crate::executor::Sources;
use crate::keep::Keep;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use swath_log::Models;
use swath_model::source::secret::Secrets;
use swath_model::space::{Params, Space};
use swath_model::study::{Event, Header, Study};
use swath_search::sampler::Sampler;
use swath_search::scheduler::TrialScheduler;

/// The parts that a sweep file describes, built.
pub struct Parts {
    /// The facts about the sweep file that readers of the journal need.
    pub header: Header,
    /// The search space.
    pub space: Arc<Space>,
    /// Configurations to try before the sampler's. Parameters missing from them are drawn.
    pub points: Vec<Params>,
    /// The sampler's name in the sweep file, recorded as the origin of its trials.
    pub sampler_name: String,
    /// Proposes new configurations.
    pub sampler: Box<dyn Sampler>,
    /// Decides which trials start, pause, resume and stop.
    pub scheduler: Box<dyn TrialScheduler>,
    /// The budgets of the study.
    pub limits: Limits,
    /// The goals after which the sweep ends.
    pub goals: Goals,
    /// The budget of money and GPU time.
    pub spending: Spending,
    /// Whether this run starts no trials but the further seeds that a user asked for.
    pub only_reruns: bool,
    /// The maximum duration of this run alone; `None` for no limit.
    pub run_time: Option<Duration>,
    /// The failures after which a trial is tried again.
    pub retry: Retry,
    /// The preparations that trials share, those that others read first.
    pub preparations: Vec<PreparationPlan>,
    /// The working directory of the trials.
    pub workdir: PathBuf,
    /// Secrets that no record shows.
    pub secrets: Secrets,
    /// The working directory of each trial relative to the trial's folder, if it has its own.
    pub own_workdir: Option<PathBuf>,
    /// The files that trials may share by mistake; `None` if they are not watched.
    pub watched: Option<Watched>,
    /// Translate what programs write for other tools.
    pub sources: Sources,
    /// The policy for keeping checkpoints.
    pub keep: Keep,
    /// Whether swath holds copies of models.
    pub models: Models,
    /// Whether the scheduler may start a trial from the checkpoint of another.
    pub clones: bool,
    /// The time between SIGTERM and SIGKILL.
    pub grace: Duration,
    /// Whether attempts go on without a driver, as on a cluster. The executor is then asked about
    /// the attempts of an earlier run before they count as lost.
    pub elsewhere: bool,
}

impl Parts {
    /// Shows an event that `study` has applied to the sampler and the scheduler: in a run, when a
    /// study is opened again and when it is replayed.
    pub(super) fn observe(&mut self, study: &Study, event: &Event) {
        self.sampler.observe(study, event);
        self.scheduler.observe(study, event);
    }
}
