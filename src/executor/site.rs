//! Where a sweep's trials run, as its file says it: `[executor]` read and checked, and the executor
//! made from it once a study is open.

use super::{Executor, ExecutorError, Pool, Program, ProgramSettings, StudyContext};
use crate::logger::DigestCache;
use crate::study::Kind;
use crate::study::kind::Capability;
use std::path::PathBuf;
use std::sync::Arc;

/// A place where trials can run.
pub trait Site: Send + Sync {
    /// Returns how many trials run at a time when each takes that share of a machine; at least 1.
    fn slots(&self, share: &Share) -> usize;

    /// Returns whether attempts go on while the orchestrator is away, so that they are not lost
    /// with it.
    fn outlives(&self) -> bool {
        false
    }

    /// Makes the executor that runs the sweep's command there.
    ///
    /// # Errors
    /// If it cannot be made.
    fn open(&self, work: Work) -> Result<Box<dyn Executor>, ExecutorError>;
}

/// What a trial takes of a machine: `[resources]`.
#[derive(Debug, Clone, Copy, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Share {
    /// Trials at a time, if that is said.
    pub jobs: Option<usize>,
    /// Cores of each trial.
    pub cpus: Option<u32>,
    /// GPUs of each trial.
    pub gpus: Option<f64>,
    /// Bytes of memory of each trial.
    pub memory: Option<u64>,
}

/// Everything that is needed to run a sweep's command.
pub struct Work {
    /// The command and how it is supervised.
    pub program: ProgramSettings,
    /// What a trial is told of its study.
    pub study: StudyContext,
    /// The study's folder.
    pub dir: PathBuf,
    /// Where `run` was called.
    pub called: PathBuf,
    /// Trials at a time.
    pub slots: usize,
    /// What a trial takes of a machine.
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

/// Returns this machine as a place where trials can run.
#[must_use]
pub fn here() -> Box<dyn Site> {
    Box::new(Here)
}

struct Here;

impl Site for Here {
    fn slots(&self, share: &Share) -> usize {
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        let each = share.cpus.unwrap_or(1).max(1) as usize;
        share.jobs.unwrap_or_else(|| cores() / each).max(1)
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
            // Devices do not become more because more trials are to run at a time.
            Some(gpus) => pool.at_most(gpus.slots()),
            None => pool,
        }))
    }
}
