//! Executors run trials somewhere: in a rayon pool, on a cluster, on a virtual clock. They know nothing of objectives.
//!
//! What happens to a trial comes back as [`Signal`]s. To add one: a file here with its `KIND`, and a line in `EXECUTORS`.

mod allotment;
mod checkpoint;
mod gpus;
pub mod guard;
mod leftovers;
mod output;
mod pool;
mod processes;
mod program;
mod room;
mod simulated;
mod stop_line;
mod strays;
mod supervise;
mod system;
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
pub(crate) use system::SYSTEM;
pub use trainable::{Closure, Outcome, StudyContext, Trainable, TrialContext, TrialError};

use crate::logger::Directive;
use crate::space::Params;
use crate::study::{Attempt, Exit, LogRecord, Place, Resource, Timestamp, TrialId, Usage};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// Runs trials.
///
/// Every started attempt ends with exactly one [`What::Ended`]; the signals of one trial arrive in order.
pub trait Executor: Send {
    /// Returns how many trials can run at a time, now.
    fn slots(&self) -> usize;

    /// Begins an attempt in the slot that [`Launch::slot`] names, which is free.
    ///
    /// # Errors
    /// If the executor as a whole cannot work any more. A trial that cannot be started is no error: it ends as `Failed(Spawn)`.
    fn start(&mut self, launch: Launch) -> Result<(), ExecutorError>;

    /// Asks a running trial to end; idempotent, unknown trials are ignored. [`What::Ended`] always follows.
    fn stop(&mut self, trial: TrialId, how: Stop);

    /// Returns what has happened, waiting at most that long for the first signal.
    fn wait(&mut self, at_most: Duration) -> Vec<Signal>;

    /// Provides so many slots if it can; returns how many of them there are. Those beyond stay, unused.
    fn resize(&mut self, slots: usize) -> usize {
        slots.min(self.slots())
    }

    /// Returns the free slots that cannot be used now, each with the reason; an empty one says that it is a matter of moments.
    fn unusable(&self) -> BTreeMap<u32, String> {
        BTreeMap::new()
    }

    /// Lets everything that runs stand still, its clocks too, or go on. Returns when that is so.
    fn halt(&mut self, halt: bool) {
        let _ = halt;
    }
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
}
