//! The model of a study: the events that can occur and the state they lead to. The module does no
//! I/O and reads neither the clock nor a random generator.
//!
//! A [`Study`] is the fold of its [`Event`]s and of nothing else. [`Study::apply`] is the only way
//! to change it, for a live run, a resumed run and a reader alike. Read [`event`] first.

pub mod absence;
pub mod axis;
mod best;
pub mod counted;
pub mod due;
pub mod event;
pub mod exit;
pub mod field;
pub mod fold;
#[cfg(feature = "spaces")]
pub mod kind;
mod last_steps;
pub mod limit;
pub mod metric;
pub mod name_map;
pub mod objective;
pub mod preparation;
pub mod recent_steps;
pub mod record;
#[cfg(feature = "spaces")]
pub mod redacted;
pub mod remarks;
pub mod replicate;
mod search_error;
#[cfg(feature = "spaces")]
pub mod setting;
pub mod timestamp;
mod trash;
pub mod trial;
pub mod verdict;
mod versions;

pub use axis::Axis;
pub use counted::{Counted, SavedModel, TrialModel};
pub use due::{Due, LogFreq, LogOnWorkers};
pub use event::{Closing, Entry, Event, FORMAT, Header, Origin, Place, Usage};
pub use exit::{Exit, Failure, FailureClass};
pub use field::TRIAL_FIELDS;
pub use fold::IllegalEvent;
#[cfg(feature = "spaces")]
pub use kind::Kind;
pub use last_steps::LastSteps;
pub use limit::{Limit, Standing};
pub use metric::Metric;
pub use name_map::NameMap;
pub use objective::{Goal, Objective, Score, Take};
pub use preparation::{Preparation, PreparationChange, PreparationId};
pub use recent_steps::{RecentSteps, ReportSteps};
pub use record::{Datum, LogRecord, TakenLines};
pub use remarks::Remarks;
pub use search_error::SearchError;
#[cfg(feature = "spaces")]
pub use setting::Setting;
pub use timestamp::Timestamp;
pub use trial::{Attempt, Resource, Tally, Trial, TrialId, TrialState};
pub use verdict::Verdict;
pub use versions::ModelVersion;

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// The state of one sweep: its header, its trials, and the indexes and counts derived from them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Study {
    header: Header,
    trials: Vec<Trial>,
    waiting: BTreeSet<TrialId>,
    running: BTreeSet<TrialId>,
    best: Option<TrialId>,
    counts: Counts,
    counted: u64,
    /// Number of imported trials. Absent in snapshots of earlier versions, then 0.
    #[serde(default)]
    imported: u64,
    closed: Option<Closing>,
    /// The preparations that trials share, in the order of their numbers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    preparations: Vec<Preparation>,
    /// For each configuration that runs with several seeds: the ids of its replicates after the
    /// first one, by the id of the first one.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    replicas: BTreeMap<TrialId, Vec<TrialId>>,
    /// The notes and tags of the trials that have some.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    remarks: BTreeMap<TrialId, Remarks>,
    next_seq: u64,
    at: Option<Timestamp>,
    /// Time that all runs together have taken, up to the last entry.
    #[serde(default)]
    used: Duration,
    /// Whether the sweep's time is running: a run has started and was not closed.
    #[serde(default)]
    is_timed: bool,
    /// Remarks of a reader on trials of which it knows more than the journal does.
    #[serde(skip)]
    annotations: BTreeMap<TrialId, String>,
}

/// The number of trials in each state other than waiting and running.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Number of complete trials.
    pub complete: u64,
    /// Number of trials that the scheduler stopped.
    pub stopped: u64,
    /// Number of failed trials.
    pub failed: u64,
    /// Number of paused trials, which may be resumed.
    pub paused: u64,
    /// Number of trials whose configuration cannot work. Absent in snapshots of earlier versions,
    /// then 0.
    #[serde(default)]
    pub invalid: u64,
}

impl Study {
    /// Returns the part of the sweep file that readers of the journal need.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Returns all trials in the order of their ids; the trial with id n is at index n − 1.
    #[must_use]
    pub fn trials(&self) -> &[Trial] {
        &self.trials
    }

    /// Returns a copy of the study without its trials, for callers that store the trials
    /// separately.
    #[must_use]
    pub fn without_trials(&self) -> Self {
        Self {
            header: self.header.clone(),
            trials: Vec::new(),
            waiting: self.waiting.clone(),
            running: self.running.clone(),
            closed: self.closed.clone(),
            preparations: self.preparations.clone(),
            replicas: self.replicas.clone(),
            remarks: self.remarks.clone(),
            annotations: BTreeMap::new(),
            ..*self
        }
    }

    /// Adds a reader's remark on a trial. No journal holds it.
    pub fn annotate(&mut self, trial: TrialId, remark: String) {
        self.annotations.insert(trial, remark);
    }

    /// Returns the reader's remark on a trial, such as the place of an attempt that goes on without
    /// an orchestrator.
    #[must_use]
    pub fn annotation(&self, trial: TrialId) -> Option<&str> {
        self.annotations.get(&trial).map(String::as_str)
    }

    /// Returns whether some trials have remarks.
    #[must_use]
    pub fn has_annotations(&self) -> bool {
        !self.annotations.is_empty()
    }

    /// Appends trials that were stored separately. They must come in the order of their ids.
    #[must_use]
    pub fn with_trials(mut self, trials: impl IntoIterator<Item = Trial>) -> Self {
        self.trials.extend(trials.into_iter().map(|mut trial| {
            trial.shrink();
            trial
        }));
        self
    }

    /// Returns the trial with this id, or `None` if it was never created.
    #[must_use]
    pub fn trial(&self, id: TrialId) -> Option<&Trial> {
        self.trials.get((id.0 as usize).checked_sub(1)?)
    }

    /// Returns the id that the next created trial will get.
    #[must_use]
    pub fn next_id(&self) -> TrialId {
        TrialId(
            u32::try_from(self.trials.len())
                .unwrap_or(u32::MAX)
                .saturating_add(1),
        )
    }

    /// Returns the ids of the trials that wait for a slot, lowest first.
    pub fn waiting(&self) -> impl Iterator<Item = TrialId> {
        self.waiting.iter().copied()
    }

    /// Returns the ids of the running trials, lowest first.
    pub fn running(&self) -> impl Iterator<Item = TrialId> {
        self.running.iter().copied()
    }

    /// Returns the number of running trials.
    #[must_use]
    pub fn running_count(&self) -> usize {
        self.running.len()
    }

    /// Returns the number of trials in each state other than waiting and running.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Returns the number of trials that count towards `trials` of the sweep file: all except
    /// imported trials, further seeds that a user asked for, trials outside the space and, with
    /// `count_invalid = false`, invalid ones.
    #[must_use]
    pub fn counted(&self) -> u64 {
        self.counted
    }

    /// Returns the number of trials that ran elsewhere and were imported.
    #[must_use]
    pub fn imported(&self) -> u64 {
        self.imported
    }

    /// Returns the incumbent: the best complete trial by the first objective. The earlier of two
    /// equal trials wins. For configurations that ran with several seeds it is the first trial of
    /// the configuration with the best mean. Configurations that violate an outcome constraint rank
    /// behind all that satisfy every one. Trials outside the space do not count.
    #[must_use]
    pub fn incumbent(&self) -> Option<&Trial> {
        self.trial(self.best?)
    }

    /// Returns the reason why the last run ended, or `None` while a run is active or if the last
    /// run was killed.
    #[must_use]
    pub fn closed(&self) -> Option<&Closing> {
        self.closed.as_ref()
    }

    /// Returns the sequence number that the next entry must have.
    #[must_use]
    pub fn next_seq(&self) -> u64 {
        self.next_seq
    }

    /// Returns the time of the last event, or `None` before the first one.
    #[must_use]
    pub fn at(&self) -> Option<Timestamp> {
        self.at
    }

    /// Returns the time that all runs of the study together have taken, up to the last event. The
    /// time between two runs does not count, nor does the time during which a run was suspended. A
    /// killed run counts up to its last event.
    #[must_use]
    pub fn used(&self) -> Duration {
        self.used
    }
}
