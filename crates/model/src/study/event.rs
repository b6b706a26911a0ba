//! The events of a study. A study is the fold of its events, and of nothing else.

use super::{
    Attempt, Exit, Limit, LogRecord, Objective, PreparationChange, PreparationId, Resource,
    Timestamp, TrialId, Verdict,
};
use crate::space::{Name, Params};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The version of the journal format that this program writes. It reads this version and all older
/// ones.
pub const FORMAT: u32 = 4;

/// The beginning of the reason for which a person stopped a trial. No scheduler gives such a
/// reason.
pub(super) const ASKED_FOR: &str = "asked for by ";

/// One line of the journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// The sequence number: dense, from 0.
    pub seq: u64,
    /// The time at which the entry was written.
    pub at: Timestamp,
    /// The change of the study that the entry records.
    pub event: Event,
    /// Microseconds since the previous entry that do not count as time of the sweep, because no run
    /// was active or the run was suspended. The first entry of each writer sets it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub away: Option<u64>,
}

/// An event of a study.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// The study began. Always the first event, exactly once.
    Opened {
        /// The version of the journal's format.
        format: u32,
        /// The part of the sweep file that readers need.
        header: Header,
    },
    /// The sweep file changed between two runs.
    Edited {
        /// The header after the edit. It replaces the earlier one.
        header: Header,
        /// The changes of the sweep file in words, one per element.
        changes: Vec<String>,
        /// Values for new parameters, which older trials receive.
        fill: Params,
        /// The ids of the trials that no longer fit the space, in ascending order.
        outside: Vec<TrialId>,
    },
    /// A configuration became a trial and got its id.
    Created {
        /// The trial's id, dense from 1.
        trial: TrialId,
        /// The value of each parameter that is active in the configuration.
        params: Params,
        /// The sampler, user or trial that the configuration comes from.
        origin: Origin,
        /// The value of `SWATH_SEED` for the trial.
        seed: u64,
    },
    /// An attempt is about to start. The event is written before the process is launched.
    Started {
        /// The trial, which was waiting or paused.
        trial: TrialId,
        /// The attempt's number within the trial, dense from 1.
        attempt: Attempt,
        /// The resource at which the attempt is to pause or end; `None` if there is no such bound.
        until: Option<Resource>,
        /// The slot that the attempt runs in.
        slot: u32,
        /// Whether the attempt resumes from a checkpoint. If not, the reports of earlier attempts
        /// no longer count.
        resume: bool,
    },
    /// The executor placed the attempt on a machine.
    Placed {
        /// The running trial.
        trial: TrialId,
        /// The running attempt of the trial.
        attempt: Attempt,
        /// The machine, process or batch job that runs the attempt.
        place: Place,
    },
    /// The trial wrote a record.
    Logged {
        /// The running trial.
        trial: TrialId,
        /// The running attempt, whose process wrote the record.
        attempt: Attempt,
        /// The content of the record, never a metric: metrics stay in the trial's folder.
        record: LogRecord,
        /// The offset behind the line of `records.jsonl` that the record comes from. `None` if it
        /// comes from elsewhere, and in older journals.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        line_end: Option<u64>,
    },
    /// The scheduler decided about a running or paused trial, or a person stopped a trial.
    Judged {
        /// The running or paused trial, or a waiting one that a person stopped.
        trial: TrialId,
        /// The decision. It takes effect when the attempt ends, without an attempt at once.
        verdict: Verdict,
        /// The reason in words.
        why: String,
    },
    /// An attempt ended.
    Ended {
        /// The trial, which was running.
        trial: TrialId,
        /// The attempt that ended, always the trial's last one.
        attempt: Attempt,
        /// The way the process ended. A verdict of the scheduler takes precedence over it.
        exit: Exit,
        /// The CPU time and memory that the attempt used. Absent in older journals, then zero.
        #[serde(default)]
        usage: Usage,
    },
    /// A failed, stopped or paused trial is to run again, or a complete one at the request of a
    /// user.
    Requeued {
        /// The trial, which waits for a slot from now on.
        trial: TrialId,
        /// The reason in words.
        why: String,
        /// The earliest time at which the trial may start; `None` if it may start at once.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        not_before: Option<Timestamp>,
        /// Whether the trial's last failure does not count against it, because the slot or the
        /// whole sweep was at fault.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        forgiven: bool,
    },
    /// A slot is paused: the driver starts no attempt in it for now.
    SlotPaused {
        /// The slot; where slots are not bound to a place, as on a cluster, the number of the
        /// machine.
        slot: u32,
        /// The reason in words.
        why: String,
    },
    /// A paused slot may be used again.
    SlotResumed {
        /// The number that the matching `SlotPaused` has.
        slot: u32,
    },
    /// Trials were moved to the trash. They no longer count for anything, and their ids are not
    /// reused.
    Removed {
        /// The trials, none of which runs or is paused.
        trials: Vec<TrialId>,
    },
    /// Trials were restored from the trash.
    Restored {
        /// The trials, all of which are in the trash.
        trials: Vec<TrialId>,
    },
    /// A person wrote a note on a trial. Like a tag, it decides nothing.
    Noted {
        /// The trial, in any state.
        trial: TrialId,
        /// The text, which replaces the note before it. An empty one removes it.
        note: String,
    },
    /// A person tagged trials, or removed the tag from them.
    Tagged {
        /// The trials, in any state.
        trials: Vec<TrialId>,
        /// The name of the tag, as [`remarks::check_tag`](super::remarks::check_tag) allows it.
        tag: String,
        /// Whether the tag is removed.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        removed: bool,
    },
    /// A person raised the number of trials of the study above that of its sweep file.
    Raised {
        /// The total number of trials from now on.
        trials: u64,
    },
    /// A preparation that trials share changed. Absent in journals of sweeps without one.
    Preparation {
        /// The number of the preparation, dense from 1.
        preparation: PreparationId,
        /// The change.
        change: PreparationChange,
    },
    /// A run of the study ended.
    Closed {
        /// The condition that ended the run.
        why: Closing,
    },
}

impl Event {
    /// Returns the event that requeues a trial: it runs again as soon as a slot is free.
    pub fn requeued(trial: TrialId, why: impl Into<String>) -> Self {
        Self::Requeued {
            trial,
            why: why.into(),
            not_before: None,
            forgiven: false,
        }
    }

    /// Returns the event with which a person stops a trial.
    #[must_use]
    pub fn stopped_by(trial: TrialId, user: &str, host: &str) -> Self {
        Self::Judged {
            trial,
            verdict: Verdict::Stop,
            why: format!("{ASKED_FOR}{user} on {host} with `swath stop`"),
        }
    }

    /// Returns the trial whose course the event is a part of, or `None` for an event of the whole
    /// study and for a remark of a person.
    #[must_use]
    pub fn trial(&self) -> Option<TrialId> {
        match self {
            Self::Opened { .. }
            | Self::Edited { .. }
            | Self::Removed { .. }
            | Self::Restored { .. }
            | Self::Noted { .. }
            | Self::Tagged { .. }
            | Self::Raised { .. }
            | Self::SlotPaused { .. }
            | Self::SlotResumed { .. }
            | Self::Preparation { .. }
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

/// The part of the sweep file that a reader of the journal needs.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// The version of swath that wrote the header.
    pub swath: String,
    /// A random id that the study got when it began. The folders of its trials carry it, so that
    /// none of another study is read. `None` in a study that an earlier version began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The study's name.
    pub name: String,
    /// The pipeline that the study belongs to.
    pub pipeline: String,
    /// The stage of the pipeline.
    pub stage: String,
    /// The seed of the sweep, from which every random stream derives.
    pub seed: u64,
    /// The md5 of the sweep file's text.
    pub sweep: String,
    /// The objectives, the first one first.
    pub objectives: Vec<Objective>,
    /// Every parameter that a trial may have, in the order of the sweep file.
    pub params: Vec<Name>,
    /// Total number of trials that the sweep file or a person requests; `None` if there is no
    /// number.
    pub trials: Option<u64>,
    /// The number in the sweep file that `trials` replaces, because a person raised it; `None` if
    /// `trials` is that of the sweep file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raised_from: Option<u64>,
    /// Whether trials whose configuration cannot work do not count towards `trials`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub exempts_invalid: bool,
    /// Number of trials that run at the same time, which samplers may take into account.
    #[serde(default)]
    pub slots: u32,
    /// The reported key that counts the resource, if a scheduler uses one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<Name>,
    /// The outcome constraints of the sweep.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub limits: Vec<Limit>,
    /// The reported metric whose last value is the cost of a trial, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<Name>,
    /// Number of seeds per configuration; `None` if each configuration runs once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicate: Option<u32>,
    /// The commit of the working directory, with the suffix `-dirty` if there were uncommitted
    /// changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git_commit: Option<String>,
    /// The md5 of the patch between that commit and the working directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code_patch: Option<String>,
}

/// The origin of a configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// A sampler proposed the configuration. The text is the sampler's name.
    Suggested(String),
    /// A sampler proposed the configuration, the first one after a restart of its search.
    Restarted {
        /// The sampler's name.
        sampler: String,
        /// The reason of the restart in words.
        why: String,
    },
    /// The configuration is the sweep file's `[[point]]` of this index, from 0.
    Point(u32),
    /// The parameters derive from those of another trial, and the trial starts from that trial's
    /// checkpoint.
    Cloned {
        /// The trial whose parameters and checkpoint are copied.
        from: TrialId,
        /// The paused trial that the new one replaces. This event also stops that trial.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        instead: Option<TrialId>,
        /// The reason in words.
        why: String,
    },
    /// The trial is a replicate: it has the configuration of this trial and another seed.
    Replicate(TrialId),
    /// A user asked for a further seed of the configuration that this trial identifies. It does
    /// not count towards `trials`.
    Rerun(TrialId),
    /// The trial ran elsewhere and was imported. The text names the source.
    Imported(String),
    /// A user added the configuration.
    Added,
    /// A user sent the configuration to the run. The text is the name of the message, which tells
    /// whether one that is found again has been taken already.
    Sent(String),
}

impl Origin {
    /// Returns the first trial of the configuration, if this is a further seed of it.
    #[must_use]
    pub fn first_of_configuration(&self) -> Option<TrialId> {
        match self {
            Self::Replicate(first) | Self::Rerun(first) => Some(*first),
            _ => None,
        }
    }

    /// Returns the name of the sampler that proposed the configuration, if one did.
    #[must_use]
    pub fn sampler(&self) -> Option<&str> {
        match self {
            Self::Suggested(sampler) | Self::Restarted { sampler, .. } => Some(sampler),
            _ => None,
        }
    }

    /// Returns the origin as one word: the name of the sampler or of the import source, or how else
    /// the configuration was made.
    #[must_use]
    pub fn word(&self) -> &str {
        match self {
            Self::Suggested(name) | Self::Imported(name) => name,
            Self::Restarted { sampler, .. } => sampler,
            Self::Point(_) => "point",
            Self::Cloned { .. } => "cloned",
            Self::Replicate(_) => "replicate",
            Self::Rerun(_) => "rerun",
            Self::Added | Self::Sent(_) => "added",
        }
    }
}

/// The machine and process that run an attempt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Place {
    /// The machine's host name.
    pub host: String,
    /// The process id, if the attempt is a process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// The start time of the process in clock ticks since boot, as the kernel gives it. It tells
    /// the process from a later one with the same pid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_ticks: Option<u64>,
    /// The kernel's boot id, which changes with every boot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot_id: Option<String>,
    /// The id of the batch system's job, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<String>,
    /// The start of the attempt by the clock of its machine, if that may be long before the entry
    /// was written, as in a pilot whose orchestrator was away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
}

impl Place {
    /// Returns the start of an attempt by the clock of the journal. `ordered` is the time of its
    /// `Started` entry, `recorded` that of its `Placed` entry: clocks of machines may differ, and
    /// an attempt can start neither before its order nor after the report of its start.
    #[must_use]
    pub fn started_at(&self, ordered: Timestamp, recorded: Timestamp) -> Timestamp {
        self.since
            .map_or(ordered, |since| since.max(ordered).min(recorded))
    }
}

/// The resources that an attempt used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// User and system time of the process tree, in seconds.
    pub cpu_seconds: f64,
    /// Peak resident memory, in MiB.
    pub peak_mib: f64,
    /// Run time of the attempt in seconds as its machine measured it; `None` if the times of its
    /// entries tell it, because the orchestrator was there at its start and end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
}

impl Usage {
    /// Returns the usage of an attempt of which nothing but the run time is known.
    #[must_use]
    pub fn of_seconds(seconds: f64) -> Self {
        Self {
            seconds: Some(seconds),
            ..Self::default()
        }
    }

    /// Returns the run time in seconds of an attempt that started at `started` and whose end was
    /// recorded at `recorded`.
    #[must_use]
    pub fn run_time(&self, started: Timestamp, recorded: Timestamp) -> f64 {
        self.seconds
            .unwrap_or_else(|| recorded.since(started).as_secs_f64())
    }

    /// Returns the end of that attempt: it may have been recorded long afterwards.
    #[must_use]
    pub fn ended_at(&self, started: Timestamp, recorded: Timestamp) -> Timestamp {
        let run_time = self
            .seconds
            .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        run_time.map_or(recorded, |run_time| started.after(run_time).min(recorded))
    }
}

/// The reason why a run of a study ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Closing {
    /// All requested trials have ended.
    Finished,
    /// The sampler has nothing left to propose.
    Exhausted,
    /// The run was interrupted from outside.
    Interrupted,
    /// The budget `limits.time` was reached.
    TimeLimit,
    /// The time budget of this single run was used up: `run --time`.
    RunTime,
    /// The budget `limits.failures` was reached.
    FailureLimit,
    /// The budget `limits.disk` was reached.
    DiskLimit,
    /// The budget `limits.cost` was reached.
    CostLimit,
    /// The budget `limits.gpu_hours` was reached.
    GpuLimit,
    /// A configuration reached the `target` of each objective that has one.
    TargetReached,
    /// As many trials as `search.patience` brought nothing better.
    Patience,
    /// A trial ended well without its objective, and no trial has ever reported one.
    NoObjective,
    /// The first trials of the run were all invalid.
    AllInvalid,
    /// Several trials in a row failed within seconds (`limits.quick_failures`). They wait to run
    /// again.
    CircuitBreaker,
    /// The sampler or the scheduler could not decide any more, such as a program that exited.
    SearchFailed,
}
