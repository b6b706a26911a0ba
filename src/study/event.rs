//! Everything that can happen to a study. A study is the fold of these, and nothing else.

use super::{Attempt, Exit, Limit, LogRecord, Objective, Resource, Timestamp, TrialId, Verdict};
use crate::space::{Name, Params};
use serde::{Deserialize, Serialize};

/// The version of the journal this program writes; it reads this and older ones.
pub const FORMAT: u32 = 2;

/// One line of the journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Dense, from 0.
    pub seq: u64,
    /// When it was written.
    pub at: Timestamp,
    /// What happened.
    pub event: Event,
    /// How many of the microseconds since the entry before do not count as time of the sweep: no
    /// run was there, or it stood still. Given by the first entry of each writer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub away: Option<u64>,
}

/// What can happen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// The study began. Always the first event, exactly once.
    Opened {
        /// The journal's version.
        format: u32,
        /// What the sweep file said that readers need.
        header: Header,
    },
    /// The sweep file changed between two runs.
    Edited {
        /// What it says now.
        header: Header,
        /// What changed, in words.
        changes: Vec<String>,
        /// Values given to parameters that older trials do not have.
        fill: Params,
        /// Trials that no longer fit the space.
        outside: Vec<TrialId>,
    },
    /// A configuration got its id.
    Created {
        /// Its id, dense from 1.
        trial: TrialId,
        /// Its configuration.
        params: Params,
        /// Where it comes from.
        origin: Origin,
        /// What `SWATH_SEED` will be.
        seed: u64,
    },
    /// An attempt is about to start: written before the act.
    Started {
        /// The trial.
        trial: TrialId,
        /// Its attempt, dense from 1.
        attempt: Attempt,
        /// The resource after which it is to pause or end.
        until: Option<Resource>,
        /// The slot it runs in.
        slot: u32,
        /// Whether it goes on from a checkpoint. If not, what earlier attempts reported no longer
        /// counts.
        resume: bool,
    },
    /// The attempt runs somewhere.
    Placed {
        /// The trial.
        trial: TrialId,
        /// Its attempt.
        attempt: Attempt,
        /// Where.
        place: Place,
    },
    /// The trial said something.
    Logged {
        /// The trial.
        trial: TrialId,
        /// Its attempt.
        attempt: Attempt,
        /// What it said.
        record: LogRecord,
    },
    /// The scheduler decided about a running trial.
    Judged {
        /// The trial.
        trial: TrialId,
        /// What was decided.
        verdict: Verdict,
        /// Why, in words.
        why: String,
    },
    /// An attempt ended.
    Ended {
        /// The trial.
        trial: TrialId,
        /// Its attempt.
        attempt: Attempt,
        /// How.
        exit: Exit,
        /// What it used.
        #[serde(default)]
        usage: Usage,
    },
    /// A trial that had failed, was lost or was interrupted is to run again.
    Requeued {
        /// The trial.
        trial: TrialId,
        /// Why, in words.
        why: String,
        /// Until when it waits; `None`: it may start at once.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        not_before: Option<Timestamp>,
        /// Whether its last failure does not count against it: not the trial was at fault, but the
        /// slot or the whole sweep.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        forgiven: bool,
    },
    /// Nothing is started in a slot for now.
    SlotPaused {
        /// The slot.
        slot: u32,
        /// Why, in words.
        why: String,
    },
    /// A slot that was paused may be used again.
    SlotResumed {
        /// The slot.
        slot: u32,
    },
    /// Trials were put into the trash: they count for nothing, and their ids are not given again.
    Removed {
        /// The trials.
        trials: Vec<TrialId>,
    },
    /// Trials were taken out of the trash.
    Restored {
        /// The trials.
        trials: Vec<TrialId>,
    },
    /// A run of the study ended.
    Closed {
        /// Why.
        why: Closing,
    },
}

impl Event {
    /// Makes a trial run again as soon as there is a slot.
    pub fn requeued(trial: TrialId, why: impl Into<String>) -> Self {
        Self::Requeued {
            trial,
            why: why.into(),
            not_before: None,
            forgiven: false,
        }
    }

    /// Returns the trial it is about, if it is about one.
    #[must_use]
    pub fn trial(&self) -> Option<TrialId> {
        match self {
            Self::Opened { .. }
            | Self::Edited { .. }
            | Self::Removed { .. }
            | Self::Restored { .. }
            | Self::SlotPaused { .. }
            | Self::SlotResumed { .. }
            | Self::Closed { .. } => None,
            Self::Created { trial, .. }
            | Self::Started { trial, .. }
            | Self::Placed { trial, .. }
            | Self::Logged { trial, .. }
            | Self::Judged { trial, .. }
            | Self::Ended { trial, .. }
            | Self::Requeued { trial, .. } => Some(*trial),
        }
    }
}

/// What a reader of the journal needs to know of the sweep file.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// The version of swath that wrote it.
    pub swath: String,
    /// The study's name.
    pub name: String,
    /// The pipeline it belongs to.
    pub pipeline: String,
    /// The stage of the pipeline.
    pub stage: String,
    /// What everything random derives from.
    pub seed: u64,
    /// The md5 of the sweep file's text.
    pub sweep: String,
    /// What is optimised.
    pub objectives: Vec<Objective>,
    /// Every parameter a trial may have, in the order of the file.
    pub params: Vec<Name>,
    /// How many trials are wanted in all, if that is limited.
    pub trials: Option<u64>,
    /// How many trials run at a time, which samplers may take into account.
    #[serde(default)]
    pub slots: u32,
    /// The reported key that counts the resource, if a scheduler uses one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<Name>,
    /// What a good answer must also keep.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub limits: Vec<Limit>,
    /// With how many seeds each configuration runs, if with several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicate: Option<u32>,
    /// The commit the working directory was at, `-dirty` behind it if it had changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git_commit: Option<String>,
    /// The md5 of the patch that says how the code differed from the commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code_patch: Option<String>,
}

/// Where a configuration comes from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// A sampler proposed it: its name.
    Suggested(String),
    /// The sweep file's `[[point]]` of this index, from 0.
    Point(u32),
    /// Its parameters were made from those of another trial, whose checkpoint it starts from.
    Cloned {
        /// That trial.
        from: TrialId,
        /// The paused trial whose place it takes: with this event that one is stopped.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        instead: Option<TrialId>,
        /// Why, in words.
        why: String,
    },
    /// The configuration of another trial with another seed.
    Replicate(TrialId),
    /// It ran elsewhere and was imported: from where.
    Imported(String),
    /// A person added it.
    Added,
}

/// Where an attempt runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Place {
    /// The machine.
    pub host: String,
    /// The process, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// When the kernel says the process started, in clock ticks since boot: tells a reused pid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_ticks: Option<u64>,
    /// The kernel's boot id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot_id: Option<String>,
    /// The batch system's job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<String>,
}

/// What an attempt used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// User and system time of the process tree, in seconds.
    pub cpu_seconds: f64,
    /// Peak resident memory, in MiB.
    pub peak_mib: f64,
}

/// Why a run of a study ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Closing {
    /// Every trial that was asked for has ended.
    Finished,
    /// The sampler has nothing left to propose.
    Exhausted,
    /// Somebody interrupted it.
    Interrupted,
    /// `limits.time` was reached.
    TimeLimit,
    /// The time that this one run was given was over: `run --time`.
    RunTime,
    /// `limits.failures` was reached.
    FailureLimit,
    /// `limits.disk` was reached.
    DiskLimit,
    /// Several trials in a row failed within seconds (`limits.quick_failures`); they wait to run
    /// again.
    CircuitBreaker,
}
