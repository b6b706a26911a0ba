//! Executors run trials: in the threads of a rayon pool, in the jobs of a batch system, or on a
//! virtual clock. An executor knows nothing of objectives, samplers or schedulers.
//!
//! An executor reports events of a trial to the driver as [`Signal`]s. To add an executor, write a
//! file here with its `KIND` and add a line to `EXECUTORS`.

mod allotment;
mod built_in;
mod cgroups;
mod checkpoint;
mod companions;
mod gpus;
pub mod guard;
mod host;
mod invocation;
mod leaf;
mod leftovers;
mod nearest;
mod orphans;
mod output;
mod pool;
mod port;
mod preparing;
pub mod processes;
mod program;
mod repetition;
mod reread;
mod room;
mod shortage;
mod simulated;
mod site;
mod sleeper;
pub mod slot;
mod source;
mod stop_line;
mod stop_signal;
mod supervise;
mod system;
mod task;
mod traceback;
mod trainable;
mod ulimit;
mod usage;
mod wake_up;
mod watch;
mod work_files;

pub use allotment::Allotment;
pub use built_in::{BUILT_INS, BuiltIn, Facts, RESUME, Scope, environment};
pub use companions::SlotLauncher;
pub use gpus::{GpuError, GpuShares, Gpus};
pub use host::LONGEST_REPEATED;
pub use invocation::{Invocation, Text};
pub use leftovers::{end_leftovers, survivors};
pub use pool::Pool;
pub use preparing::{PreparationLaunch, PreparedFolder, Preparing, begin_output, keep_output};
pub use program::{Invoke, Program, ProgramSettings, ProgramSpec, Warm};
pub use repetition::{Evidence, NotRepeated, Repetition};
pub(crate) use reread::{Reread, reread};
pub use room::DiskSpace;
pub use simulated::Simulated;
pub use site::{Share, Site, Work, here};
pub use source::{RecordSource, SourceAttempt, SourceRun, Sources, Translator};
pub use stop_signal::{StopSignal, StopTarget};
pub use system::SYSTEM;
pub use task::{Task, TaskEnd, TaskRequest};
pub use trainable::{Closure, Outcome, StudyContext, Trainable, TrialContext, TrialError};
pub use wake_up::WakeUp;
pub use work_files::{LARGEST_COPY, WorkFile, WorkFiles};

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;
use swath_log::Directive;
use swath_model::space::Params;
use swath_model::study::{
    Attempt, Exit, Kind, LogRecord, Place, Resource, Timestamp, TrialId, Usage,
};

/// All executors that `[executor]` in a sweep file can name.
pub const EXECUTORS: &[Kind<dyn Site>] = &[site::POOL];

/// Runs trials in numbered slots.
///
/// Every started attempt ends with exactly one [`SignalKind::Ended`]. The signals of one trial arrive in
/// order.
pub trait Executor: Send {
    /// Returns the number of trials that can run at the same time at this moment.
    fn slots(&self) -> usize;

    /// Starts an attempt in the slot [`Launch::slot`], which must be free.
    ///
    /// # Errors
    /// Fails if the executor as a whole cannot go on. A trial that cannot be started is not an
    /// error: its attempt ends as `Failed(Spawn)`.
    fn start(&mut self, launch: Launch) -> Result<(), ExecutorError>;

    /// Asks a running trial to end. Idempotent; unknown trials are ignored. [`SignalKind::Ended`] always
    /// follows.
    fn stop(&mut self, trial: TrialId, how: Stop);

    /// Returns the signals that have arrived. Waits at most `at_most` for the first one.
    fn wait(&mut self, at_most: Duration) -> Vec<Signal>;

    /// Returns the means to end [`wait`](Self::wait) early, from any thread; `None` if there are
    /// none.
    fn wake_up(&self) -> Option<WakeUp> {
        None
    }

    /// Changes the number of slots to `slots` if the executor can, and returns the number of usable
    /// slots. Surplus slots stay but are not used.
    fn resize(&mut self, slots: usize) -> usize {
        slots.min(self.slots())
    }

    /// Returns the free slots that cannot be used now, each with the reason. An empty reason means
    /// that the slot will be usable within moments.
    fn unusable(&self) -> BTreeMap<u32, String> {
        BTreeMap::new()
    }

    /// Returns the number of machines on which trials may run, or `None` if every slot is a fixed
    /// place of its own. With `Some`, repeated failures are blamed on machines instead of slots.
    fn machines(&self) -> Option<usize> {
        None
    }

    /// Returns the number of the machine on which `trial` runs or last failed, if
    /// [`machines`](Self::machines) returns a count.
    fn machine(&self, trial: TrialId) -> Option<u32> {
        let _ = trial;
        None
    }

    /// Excludes a machine from all further trials; returns the name of the machine.
    fn exclude_machine(&mut self, machine: u32) -> String {
        machine.to_string()
    }

    /// Suspends (`true`) or resumes (`false`) all running trials together with their deadlines.
    /// Returns once that has happened.
    fn halt(&mut self, halt: bool) {
        let _ = halt;
    }

    /// Takes over attempts that an earlier run started. Returns the attempts that this executor
    /// does not know; these are lost. Called once, before any other method.
    fn adopt(&mut self, earlier: Vec<EarlierAttempt>) -> Vec<(TrialId, Attempt)> {
        earlier
            .into_iter()
            .map(|earlier| (earlier.trial, earlier.attempt))
            .collect()
    }

    /// Requests more capacity if the executor can. `more` returns the number of trials that could
    /// start beyond those already started. Called when no slot is free.
    ///
    /// # Errors
    /// Fails if no capacity can be had any more; nothing runs then.
    fn request_capacity(&mut self, more: &dyn Fn() -> usize) -> Result<(), ExecutorError> {
        let _ = more;
        Ok(())
    }

    /// Returns messages for the user about the state of the executor since the last call. Empty by
    /// default.
    fn take_messages(&mut self) -> Vec<String> {
        Vec::new()
    }

    /// Releases all resources. Called once, when no attempt runs and none will be started.
    fn finish(&mut self) {}
}

/// An attempt that an earlier run of the study started and that may still run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EarlierAttempt {
    /// Number of the trial.
    pub trial: TrialId,
    /// Number of the attempt within the trial.
    pub attempt: Attempt,
    /// Slot in which the earlier run started it.
    pub slot: u32,
    /// Number of its records that are in the journal already. Warnings count if they come from a
    /// line of `records.jsonl`.
    pub recorded: u64,
    /// Whether the journal already has the place where it runs.
    pub is_placed: bool,
}

/// Everything an executor needs to start an attempt.
#[derive(Debug, Clone)]
pub struct Launch {
    /// Number of the trial.
    pub trial: TrialId,
    /// Number of the attempt within the trial, from 1.
    pub attempt: Attempt,
    /// Configuration of the trial.
    pub params: Params,
    /// Seed of the trial, passed to programs as `SWATH_SEED`.
    pub seed: u64,
    /// Slot to run in, from 0.
    pub slot: u32,
    /// Folder of the trial.
    pub dir: PathBuf,
    /// Resource at which the trial is to pause or end; `None` if it has no such bound.
    pub until: Option<Resource>,
    /// Whether the trial resumes from its checkpoint folder.
    pub resume: bool,
    /// Step of the checkpoint that the trial resumes from, if the program recorded it.
    pub resume_step: Option<f64>,
    /// Checkpoint folder of another trial, copied into this trial's own folder before the start.
    pub from: Option<PathBuf>,
    /// Outputs of preparations that the program reads.
    pub prepared: Vec<PreparedFolder>,
    /// The preparation that the attempt runs; `None` for a trial.
    pub preparation: Option<PreparationLaunch>,
}

/// Reason why a trial is to end, and with it the way it is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stop {
    /// The scheduler pauses the trial: the stop signal, the grace period, then SIGKILL. The attempt
    /// ends as `Paused`.
    Pause,
    /// The scheduler stops the trial, with the same signals. The attempt ends as `Stopped`.
    Verdict,
    /// The run is interrupted; the same signals. The attempt ends as `Interrupted`.
    Interrupt,
    /// No time is left for a grace period: SIGKILL at once. The attempt ends as `Interrupted`.
    Kill,
}

impl Stop {
    /// Returns the exit of an attempt that was ended for this reason.
    #[must_use]
    pub fn exit(self) -> Exit {
        match self {
            Self::Pause => Exit::Paused,
            Self::Verdict => Exit::Stopped,
            Self::Interrupt | Self::Kill => Exit::Interrupted,
        }
    }

    /// Returns the directive that `report` gives a trial that is to end for this reason.
    #[must_use]
    pub fn directive(self) -> Directive {
        match self {
            Self::Pause => Directive::Pause,
            Self::Verdict | Self::Interrupt | Self::Kill => Directive::Stop,
        }
    }
}

/// An event of a running attempt, sent from the executor to the driver.
#[derive(Debug, Clone, PartialEq)]
pub struct Signal {
    /// Number of the trial.
    pub trial: TrialId,
    /// Number of the attempt within the trial.
    pub attempt: Attempt,
    /// Time of the event.
    pub at: Timestamp,
    /// Kind of the event, with its data.
    pub kind: SignalKind,
}

/// Kinds of events of an attempt.
#[derive(Debug, Clone, PartialEq)]
pub enum SignalKind {
    /// The attempt runs at this place (host, process, job).
    Placed(Place),
    /// The trial recorded something, for example a report or a warning. The number is the offset
    /// behind the line of `records.jsonl` that the record comes from, if it comes from one.
    Logged(LogRecord, Option<u64>),
    /// The trial asks whether it may continue after its last report and waits for the answer with
    /// this id.
    Asked(String),
    /// The attempt ended; no further signal of it follows.
    Ended(Exit, Usage),
}

/// Reasons why an executor as a whole cannot go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExecutorError {
    /// The threads of the rayon pool could not be started.
    #[error("could not start {slots} worker threads")]
    Pool {
        /// Number of threads requested.
        slots: usize,
        /// Error of the thread builder.
        #[source]
        source: std::io::Error,
    },
    /// The preparations for starting programs failed (workdir, guard process or `/dev/null`).
    #[error("could not prepare to start programs")]
    Prepare {
        /// Error of the operating system.
        #[source]
        source: std::io::Error,
    },
    /// A limit of this process leaves no room for a trial; holds the limit.
    #[error("no trial can run: {0}")]
    NoRoom(String),
    /// An attempt was to start in a slot that is not free.
    #[error("slot {0} still runs a trial")]
    SlotBusy(u32),
    /// The slot does not exist, or its worker thread has ended.
    #[error("slot {0} does not exist, or its worker has ended")]
    SlotGone(u32),
    /// The files between the orchestrator and the pilots could not be read or written.
    #[error("could not read or write the files of the pilots")]
    Pilots {
        /// Error of the operating system.
        #[source]
        source: std::io::Error,
    },
    /// The batch system refuses or fails; holds its own message.
    #[error("no pilots run, and none can be started: {0}")]
    Engine(String),
    /// The path of the `swath` program for the nodes could not be determined.
    #[error("the path of the `swath` program is unknown; set `swath` in [executor]")]
    NoProgram,
    /// Another process runs the study now.
    #[error("process {pid} on {host} runs this study: it started first or took the study over")]
    TakenOver {
        /// Host of that process.
        host: String,
        /// Process id of that process.
        pid: u32,
    },
    /// The sweep file names an executor that does not exist.
    #[error("the sweep file names an executor that does not exist")]
    NoSite,
    /// Pilots of an earlier run may still run trials of the study.
    #[error(
        "{count} pilots of an earlier run of this study may still run; use the executor that started them, or delete `{ledger}` if you know that none of them runs"
    )]
    PilotsLeft {
        /// Number of these pilots.
        count: usize,
        /// File that lists these pilots.
        ledger: PathBuf,
    },
}
