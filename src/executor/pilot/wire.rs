//! What stands in the files between an orchestrator and its pilots: JSON, one object a line.

use crate::executor::{Launch, Share, Stop};
use crate::logger::Models;
use crate::space::{Name, Params};
use crate::study::{Attempt, Exit, LogRecord, Place, Resource, Timestamp, TrialId, Usage};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The version of these files. A pilot of another one says so and leaves.
pub const PROTOCOL: u32 = 1;

/// What all pilots of a batch are told at their start.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Spec {
    /// The [`PROTOCOL`] of the orchestrator.
    pub protocol: u32,
    /// The version of the orchestrator.
    pub swath: String,
    /// The study's name.
    pub study: String,
    /// The pipeline it belongs to.
    pub pipeline: String,
    /// The stage of the pipeline.
    pub stage: String,
    /// Where trials run.
    pub workdir: PathBuf,
    /// Data sets that every trial reads.
    pub data_dir: Vec<String>,
    /// Whether the bytes of models are held.
    #[serde(default)]
    pub models: Models,
    /// Variables for every trial.
    pub env: Vec<(String, String)>,
    /// How long a trial may run.
    pub trial_time: Option<Duration>,
    /// How long a trial has between SIGTERM and SIGKILL.
    pub grace: Duration,
    /// How often what it uses of the machine is sampled; `None`: never.
    #[serde(default)]
    pub system: Option<Duration>,
    /// What a trial takes of the machine.
    #[serde(default)]
    pub share: Share,
    /// How long its logs may become.
    pub log: u64,
    /// What to look for in its output.
    pub capture: Vec<(Name, String)>,
    /// The metrics that decide.
    #[serde(default)]
    pub deciding: Vec<Name>,
    /// The reported key that counts the resource, if a scheduler uses one.
    #[serde(default)]
    pub resource: Option<Name>,
    /// Whether a trial can go on from a checkpoint.
    pub checkpoint: bool,
    /// Trials at a time.
    pub slots: usize,
    /// After how many trials it leaves.
    pub trials_per_job: Option<u64>,
    /// How long its job may run.
    pub walltime: Option<Duration>,
    /// How long before that its trials are asked to end.
    pub margin: Duration,
    /// How long it waits for work while the orchestrator lives.
    pub idle: Duration,
    /// How long it waits for work while there is no orchestrator.
    pub orphan: Duration,
    /// How often it says that it lives.
    pub beat: Duration,
    /// How often it looks for orders at the least.
    pub look: Duration,
}

/// A line of a pilot's journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Said {
    /// Dense, from 1.
    pub(super) seq: u64,
    /// By the pilot's own clock.
    pub(super) at: Timestamp,
    pub(super) word: Word,
}

/// What a pilot can say.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Word {
    /// It is there.
    Hello(Hello),
    /// An attempt runs.
    Placed {
        trial: TrialId,
        attempt: Attempt,
        place: Place,
    },
    /// An attempt said something.
    Logged {
        trial: TrialId,
        attempt: Attempt,
        record: LogRecord,
    },
    /// An attempt asks whether it may go on. The answer is a file in its folder.
    Asked {
        trial: TrialId,
        attempt: Attempt,
        id: String,
    },
    /// An attempt ended, after so many seconds.
    Ended {
        trial: TrialId,
        attempt: Attempt,
        exit: Exit,
        usage: Usage,
        seconds: f64,
    },
    /// An attempt it was given never began: no time was left for it.
    Returned { trial: TrialId, attempt: Attempt },
    /// Something a person should know.
    Note { text: String },
    /// It takes no more trials: why.
    Full { why: String },
    /// It lives, and so many attempts run.
    Beat { running: usize },
    /// It leaves: why. Nothing follows.
    Bye {
        why: String,
        /// Whether the batch system ended its job.
        #[serde(default)]
        told: bool,
    },
}

/// How a pilot introduces itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Hello {
    pub(super) protocol: u32,
    pub(super) swath: String,
    pub(super) place: Place,
    pub(super) slots: usize,
}

/// A line of the orders to a pilot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Order {
    /// Run this attempt when a slot is free.
    Start(Box<Assignment>),
    /// End this attempt.
    Stop {
        trial: TrialId,
        attempt: Attempt,
        how: How,
    },
    /// Leave when nothing runs any more.
    Leave,
    /// The same, and what has not begun is given back.
    Yield,
    /// Your trials are somebody else's: kill them, write nothing, leave.
    Abandon,
}

/// An attempt that is given to a pilot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Assignment {
    pub(super) trial: TrialId,
    pub(super) attempt: Attempt,
    pub(super) params: Params,
    pub(super) seed: u64,
    pub(super) until: Option<Resource>,
    pub(super) resume: bool,
    pub(super) from: Option<PathBuf>,
    pub(super) command: Vec<String>,
}

impl Assignment {
    pub(super) fn of(launch: &Launch, command: Vec<String>) -> Self {
        let Launch {
            trial,
            attempt,
            ref params,
            seed,
            until,
            resume,
            ref from,
            ..
        } = *launch;
        let from = from
            .as_ref()
            .map(|from| std::path::absolute(from).unwrap_or_else(|_| from.clone()));
        Self {
            trial,
            attempt,
            params: params.clone(),
            seed,
            until,
            resume,
            from,
            command,
        }
    }

    pub(super) fn launch(&self, study: &Path, slot: u32) -> Launch {
        Launch {
            trial: self.trial,
            attempt: self.attempt,
            params: self.params.clone(),
            seed: self.seed,
            slot,
            dir: study.join(self.trial.to_string()),
            until: self.until,
            resume: self.resume,
            from: self.from.clone(),
        }
    }
}

/// [`Stop`] as it is written.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum How {
    Pause,
    Verdict,
    Interrupt,
    Kill,
}

impl From<Stop> for How {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Pause => Self::Pause,
            Stop::Verdict => Self::Verdict,
            Stop::Interrupt => Self::Interrupt,
            Stop::Kill => Self::Kill,
        }
    }
}

impl From<How> for Stop {
    fn from(how: How) -> Self {
        match how {
            How::Pause => Self::Pause,
            How::Verdict => Self::Verdict,
            How::Interrupt => Self::Interrupt,
            How::Kill => Self::Kill,
        }
    }
}

/// Who runs a study: the content of `driver.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Beat {
    pub(super) host: String,
    pub(super) pid: u32,
    /// Tells one run from another.
    pub(super) nonce: String,
    /// Another number each time.
    pub(super) count: u64,
    /// Nobody runs it any more.
    #[serde(default)]
    pub(super) closed: bool,
}
