//! The contents of the files between an orchestrator and its pilots: JSON, one object per line.

use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::time::Duration;
use swath_engine::executor::{
    Invocation, Launch, PreparedFolder, ProgramSpec, Share, Stop, Text, WorkFiles,
};
use swath_log::Models;
use swath_model::space::{Name, Params};
use swath_model::study::{Attempt, Exit, LogRecord, Place, Resource, Timestamp, TrialId, Usage};

/// Version of the format of these files. A pilot of another version reports that and leaves.
pub const PROTOCOL: u32 = 2;

/// Settings that all pilots of a batch read at their start.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Spec {
    /// The [`PROTOCOL`] of the orchestrator.
    pub protocol: u32,
    /// Version of the orchestrator.
    pub swath: String,
    /// Name of the study.
    pub study: String,
    /// Pipeline to which the study belongs.
    pub pipeline: String,
    /// Stage of the pipeline.
    pub stage: String,
    /// Data sets that every trial reads.
    pub data_dir: Vec<String>,
    /// Rule for keeping the bytes of models.
    #[serde(default)]
    pub models: Models,
    /// Environment and limits of the program that trials run.
    #[serde(flatten)]
    pub program: ProgramSpec,
    /// Names of the variables whose values no record of a pilot shows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secret_env: Vec<String>,
    /// Files in a private working directory of each trial; `None` if all run in the same folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub work_files: Option<WorkFiles>,
    /// Share of a machine that each trial takes.
    #[serde(default)]
    pub share: Share,
    /// The deciding metrics: objectives, resource and metrics of outcome constraints.
    #[serde(default)]
    pub deciding: Vec<Name>,
    /// Reported key that counts the resource, if a scheduler uses one.
    #[serde(default)]
    pub resource: Option<Name>,
    /// Number of trials at the same time in a pilot.
    pub slots: usize,
    /// Number of trials after which a pilot leaves; `None` for no limit.
    pub trials_per_job: Option<u64>,
    /// Walltime of the job; `None` if the site's default applies.
    pub walltime: Option<Duration>,
    /// Time before the end of the job at which trials are asked to end.
    pub margin: Duration,
    /// Time that a pilot waits for work while the orchestrator is alive.
    pub idle: Duration,
    /// Time that a pilot waits for work while there is no orchestrator.
    pub orphan: Duration,
    /// Interval between two heartbeats.
    pub beat: Duration,
    /// Longest interval between two polls of the orders.
    pub look: Duration,
}

/// A line of a pilot's journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Message {
    /// Number of the line, from 1, without gaps.
    pub(super) seq: u64,
    /// Time by the pilot's own clock.
    pub(super) at: Timestamp,
    #[serde(rename = "word")]
    pub(super) kind: MessageKind,
}

/// Kinds of messages in a pilot's journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum MessageKind {
    /// The pilot has started; zero slots mean that it cannot work.
    Hello(Hello),
    /// An attempt runs at this place.
    Placed {
        trial: TrialId,
        attempt: Attempt,
        place: Place,
    },
    /// An attempt reported a record.
    Logged {
        trial: TrialId,
        attempt: Attempt,
        record: LogRecord,
        /// The offset behind the record's line in `records.jsonl`, if it comes from one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        line_end: Option<u64>,
    },
    /// An attempt asks whether it may continue. The answer is a file in its folder.
    Asked {
        trial: TrialId,
        attempt: Attempt,
        id: String,
    },
    /// An attempt ended, after `seconds` seconds.
    Ended {
        trial: TrialId,
        attempt: Attempt,
        exit: Exit,
        usage: Usage,
        seconds: f64,
    },
    /// An attempt that was ordered never started, for example because no time was left for it.
    Returned { trial: TrialId, attempt: Attempt },
    /// A message for the user.
    Note { text: String },
    /// The pilot takes no more trials; holds the reason.
    Full { why: String },
    /// A heartbeat with the number of running attempts.
    Beat { running: usize },
    /// The pilot leaves; holds the reason. No message follows.
    Bye {
        why: String,
        /// Whether the batch system ended its job.
        #[serde(default)]
        told: bool,
    },
}

/// Introduction of a pilot, the first message of its journal.
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
    /// Run this attempt as soon as a slot is free.
    Start(Box<Assignment>),
    /// End this attempt.
    Stop {
        trial: TrialId,
        attempt: Attempt,
        how: How,
    },
    /// Leave once no attempt runs.
    Leave,
    /// Leave once no attempt runs, and return the attempts that have not started.
    Yield,
    /// The trials were given to other pilots: kill them, write nothing, leave.
    Abandon,
}

/// An attempt that a pilot is to run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Assignment {
    pub(super) trial: TrialId,
    pub(super) attempt: Attempt,
    pub(super) params: Params,
    pub(super) seed: u64,
    pub(super) until: Option<Resource>,
    pub(super) resume: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) resume_step: Option<f64>,
    pub(super) from: Option<PathBuf>,
    pub(super) invocation: Invocation<Text>,
    /// Absent in the orders of an earlier version.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) prepared: Vec<PreparedFolder>,
}

impl Assignment {
    pub(super) fn of(launch: &Launch, invocation: Invocation<Text>) -> Self {
        let Launch {
            trial,
            attempt,
            ref params,
            seed,
            until,
            resume,
            resume_step,
            ref from,
            ref prepared,
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
            resume_step,
            from,
            invocation,
            prepared: prepared.clone(),
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
            resume_step: self.resume_step,
            from: self.from.clone(),
            prepared: self.prepared.clone(),
            preparation: None,
        }
    }
}

/// The serialised form of [`Stop`].
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

/// Heartbeat of the orchestrator that runs a study: the content of `driver.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Beat {
    pub(super) host: String,
    pub(super) pid: u32,
    /// Distinguishes one run from another.
    pub(super) nonce: String,
    /// Number of the heartbeat; increases with each one.
    pub(super) count: u64,
    /// Whether the orchestrator has closed the study.
    #[serde(default)]
    pub(super) closed: bool,
}
