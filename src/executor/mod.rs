//! Executors run trials somewhere: in a rayon pool, on a cluster, on a virtual clock. They know
//! nothing of objectives.
//!
//! What happens to a trial comes back as [`Signal`]s. To add one: a file here with its `KIND`, and
//! a line in `EXECUTORS`.

mod allotment;
mod cgroups;
mod checkpoint;
mod command;
mod gpus;
pub mod guard;
mod leaf;
mod leftovers;
mod nearest;
mod output;
pub mod pilot;
mod pool;
mod processes;
mod program;
mod room;
mod simulated;
mod site;
mod sleeper;
mod slurm;
mod stop_line;
mod strays;
mod supervise;
mod system;
mod traceback;
mod trainable;
mod usage;
mod watch;

pub use allotment::Allotment;
pub use gpus::{GpuError, GpuShares, Gpus};
pub use leftovers::{end_leftovers, survivors};
pub use pool::Pool;
pub use program::{Argv, Program, ProgramSettings, environment};
pub use room::Left;
pub use simulated::Simulated;
pub use site::{Share, Site, Work, here};
pub(crate) use system::SYSTEM;
pub use trainable::{Closure, Outcome, StudyContext, Trainable, TrialContext, TrialError};

use crate::logger::Directive;
use crate::space::Params;
use crate::study::{Attempt, Exit, Kind, LogRecord, Place, Resource, Timestamp, TrialId, Usage};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// Every executor a sweep file can name.
pub const EXECUTORS: &[Kind<dyn Site>] = &[site::POOL, slurm::KIND, command::KIND];

/// Runs trials.
///
/// Every started attempt ends with exactly one [`What::Ended`]; the signals of one trial arrive in
/// order.
pub trait Executor: Send {
    /// Returns how many trials can run at a time, now.
    fn slots(&self) -> usize;

    /// Begins an attempt in the slot that [`Launch::slot`] names, which is free.
    ///
    /// # Errors
    /// If the executor as a whole cannot work any more. A trial that cannot be started is no error:
    /// it ends as `Failed(Spawn)`.
    fn start(&mut self, launch: Launch) -> Result<(), ExecutorError>;

    /// Asks a running trial to end; idempotent, unknown trials are ignored. [`What::Ended`] always
    /// follows.
    fn stop(&mut self, trial: TrialId, how: Stop);

    /// Returns what has happened, waiting at most that long for the first signal.
    fn wait(&mut self, at_most: Duration) -> Vec<Signal>;

    /// Provides so many slots if it can; returns how many of them there are. Those beyond stay,
    /// unused.
    fn resize(&mut self, slots: usize) -> usize {
        slots.min(self.slots())
    }

    /// Returns the free slots that cannot be used now, each with the reason; an empty one says that
    /// it is a matter of moments.
    fn unusable(&self) -> BTreeMap<u32, String> {
        BTreeMap::new()
    }

    /// Returns on how many machines trials may run, if slots are no places of their own: then
    /// machines are found at fault, not slots.
    fn machines(&self) -> Option<usize> {
        None
    }

    /// Returns the number of the machine on which a trial runs, or failed last, if
    /// [`machines`](Self::machines) are counted.
    fn machine(&self, trial: TrialId) -> Option<u32> {
        let _ = trial;
        None
    }

    /// Gives no more trials to a machine; returns its name.
    fn shun(&mut self, machine: u32) -> String {
        machine.to_string()
    }

    /// Lets everything that runs stand still, its clocks too, or go on. Returns when that is so.
    fn halt(&mut self, halt: bool) {
        let _ = halt;
    }

    /// Takes over attempts that an earlier run began; returns those that it knows nothing of, which
    /// are lost. Called once, before anything else.
    fn adopt(&mut self, held: Vec<Held>) -> Vec<(TrialId, Attempt)> {
        held.into_iter()
            .map(|held| (held.trial, held.attempt))
            .collect()
    }

    /// Makes room if it can: `more` says how many trials could start beyond those that were. Called
    /// when no slot is free.
    ///
    /// # Errors
    /// If there can be no room any more, in which case nothing runs.
    fn plan(&mut self, more: &dyn Fn() -> usize) -> Result<(), ExecutorError> {
        let _ = more;
        Ok(())
    }

    /// Returns what a person may want to know of how it goes, since it was last asked.
    fn news(&mut self) -> Vec<String> {
        Vec::new()
    }

    /// Lets go of all it has: nothing runs, and nothing more is to.
    fn finish(&mut self) {}
}

/// An attempt that an earlier run of the study began and that may go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The trial.
    pub trial: TrialId,
    /// Its attempt.
    pub attempt: Attempt,
    /// The slot it was given.
    pub slot: u32,
    /// How many of its records the study has already, warnings not counted.
    pub heard: u64,
    /// Whether the study knows where it runs.
    pub placed: bool,
}

/// An attempt to run.
#[derive(Debug, Clone)]
pub struct Launch {
    /// The trial.
    pub trial: TrialId,
    /// Its attempt.
    pub attempt: Attempt,
    /// Its configuration.
    pub params: Params,
    /// What `SWATH_SEED` is.
    pub seed: u64,
    /// The slot, from 0.
    pub slot: u32,
    /// The trial's folder.
    pub dir: PathBuf,
    /// The resource at which to pause or end.
    pub until: Option<Resource>,
    /// Whether to go on from the checkpoint folder.
    pub resume: bool,
    /// Another trial's checkpoints, to be copied into this trial's own before it starts.
    pub from: Option<PathBuf>,
}

/// How a trial is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stop {
    /// The scheduler paused it: SIGTERM, a grace period, SIGKILL; ends as `Paused`.
    Pause,
    /// The scheduler stopped it: the same; ends as `Stopped`.
    Verdict,
    /// The run is interrupted: the same; ends as `Interrupted`.
    Interrupt,
    /// No time is left: SIGKILL at once; ends as `Interrupted`.
    Kill,
}

impl Stop {
    /// Returns how an attempt ends that was ended for this reason.
    #[must_use]
    pub fn exit(self) -> Exit {
        match self {
            Self::Pause => Exit::Paused,
            Self::Verdict => Exit::Stopped,
            Self::Interrupt | Self::Kill => Exit::Interrupted,
        }
    }

    /// Returns what a trial is told that is to end for this reason.
    #[must_use]
    pub fn directive(self) -> Directive {
        match self {
            Self::Pause => Directive::Pause,
            Self::Verdict | Self::Interrupt | Self::Kill => Directive::Stop,
        }
    }
}

/// Something that happened to an attempt.
#[derive(Debug, Clone, PartialEq)]
pub struct Signal {
    /// The trial.
    pub trial: TrialId,
    /// Its attempt.
    pub attempt: Attempt,
    /// When.
    pub at: Timestamp,
    /// What.
    pub what: What,
}

/// What can happen to an attempt.
#[derive(Debug, Clone, PartialEq)]
pub enum What {
    /// It runs there.
    Placed(Place),
    /// It said something.
    Logged(LogRecord),
    /// It asks whether it may go on after what it has said, and waits for the answer of this id.
    Asked(String),
    /// It ended; nothing follows.
    Ended(Exit, Usage),
}

/// An executor cannot work any more.
#[derive(Debug, thiserror::Error)]
pub enum ExecutorError {
    /// The pool could not be made.
    #[error("could not start {slots} worker threads")]
    Pool {
        /// How many were wanted.
        slots: usize,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// What programs need could not be prepared.
    #[error("could not prepare to start programs")]
    Prepare {
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A slot that is not free was named.
    #[error("slot {0} still runs a trial")]
    SlotBusy(u32),
    /// A slot's thread is gone.
    #[error("slot {0} does not answer any more")]
    SlotGone(u32),
    /// The files between orchestrator and pilots could not be written.
    #[error("the files of the pilots could not be used")]
    Pilots {
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The batch system does not do what is asked: its own words.
    #[error("no pilots run and there can be none: {0}")]
    Engine(String),
    /// It is not known which program is to run on the nodes.
    #[error("it is not known which program the pilots are; name it with `swath` in [executor]")]
    NoProgram,
    /// Somebody else runs the study now.
    #[error("the study is run by process {pid} on {host}, which was there first or took it over")]
    TakenOver {
        /// Its machine.
        host: String,
        /// Its process.
        pid: u32,
    },
    /// The sweep file names no executor that there is.
    #[error("the sweep file names no executor that there is")]
    NoSite,
    /// Pilots of an earlier run may still run trials of the study.
    #[error(
        "{count} pilots of an earlier run of this study may still live: run it with the executor that started them, or delete `{ledger}` if you know that none lives"
    )]
    PilotsLeft {
        /// How many.
        count: usize,
        /// What tells of them.
        ledger: PathBuf,
    },
}
