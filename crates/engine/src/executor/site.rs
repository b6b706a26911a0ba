//! The place where the trials of a sweep run: `[executor]` of the sweep file, read and checked, and
//! the executor made from it once a study is open.

use super::{Executor, ExecutorError, Pool, Program, ProgramSettings, StudyContext};
use std::path::PathBuf;
use std::sync::Arc;
use swath_log::DigestCache;
use swath_model::source::Diagnostics;
use swath_model::study::Kind;
use swath_model::study::kind::Capability;

/// A place where trials can run: this machine or a batch system.
pub trait Site: Send + Sync {
    /// Returns the number of trials that run at the same time if each takes `share` of a machine;
    /// at least 1.
    fn slots(&self, share: &Share) -> usize;

    /// Returns whether attempts continue while the orchestrator is down. If so, they are adopted
    /// rather than lost.
    fn outlives(&self) -> bool {
        false
    }

    /// Reports options that do not fit the share of a machine that each trial takes.
    fn check(&self, _share: &Share, _diagnostics: &mut Diagnostics) {}

    /// Creates the executor that runs the sweep's command at this place.
    ///
    /// # Errors
    /// Fails if the executor cannot be created.
    fn open(&self, work: Work) -> Result<Box<dyn Executor>, ExecutorError>;
}

/// The share of a machine that each trial takes: `[resources]`.
#[derive(Debug, Clone, Copy, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Share {
    /// Number of trials at the same time; `None` if the sweep file does not set it.
    pub jobs: Option<usize>,
    /// Cores per trial.
    pub cpus: Option<u32>,
    /// GPUs per trial; below 1, the fraction of one GPU.
    pub gpus: Option<f64>,
    /// Bytes of memory per trial.
    pub memory: Option<u64>,
}

/// Everything an executor needs to run a sweep's command.
pub struct Work {
    /// Command and supervision settings.
    pub program: ProgramSettings,
    /// Values that all trials of the study share.
    pub study: StudyContext,
    /// Folder of the study.
    pub dir: PathBuf,
    /// Directory in which `swath run` was called.
    pub called: PathBuf,
    /// Number of trials at the same time.
    pub slots: usize,
    /// Share of a machine that each trial takes.
    pub share: Share,
}

/// The rayon pool on this machine.
pub(super) const POOL: Kind<dyn Site> = Kind {
    name: "pool",
    about: "trials run on this machine, one slot each",
    paper: None,
    options: &[],
    capabilities: &[Capability::Local],
    build: |_, _, _| Some(Box::new(Here)),
};

/// Returns this machine as a place to run trials.
#[must_use]
pub fn here() -> Box<dyn Site> {
    Box::new(Here)
}

struct Here;

impl Site for Here {
    fn slots(&self, share: &Share) -> usize {
        let cpus_per_trial = share.cpus.unwrap_or(1).max(1) as usize;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        share.jobs.unwrap_or(cores / cpus_per_trial).max(1)
    }

    fn open(&self, work: Work) -> Result<Box<dyn Executor>, ExecutorError> {
        let digests = Some(Arc::new(DigestCache::open(&work.dir.join("digests"))));
        let study = StudyContext {
            digests,
            ..work.study
        };
        let gpus = work.program.allotment.gpus.clone();
        let pool = Pool::new(Arc::new(Program::new(work.program)?), work.slots, study)?;
        Ok(Box::new(match gpus {
            // The number of devices bounds the slots, however many trials are requested later.
            Some(gpus) => pool.at_most(gpus.slots()),
            None => pool,
        }))
    }
}
