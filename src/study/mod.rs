//! The model of a study: what can happen, and what is known once it has. No I/O, no clock, no
//! randomness.
//!
//! A [`Study`] is the fold of [`Event`]s and of nothing else: [`Study::apply`] is the only way it
//! changes, for a live run, a resumed one and a reader alike. Read [`event`] first.

pub mod absence;
pub mod axis;
mod best;
pub mod counted;
pub mod due;
pub mod event;
pub mod exit;
pub mod fold;
#[cfg(feature = "engine")]
pub mod kind;
pub mod limit;
pub mod metric;
pub mod objective;
pub mod record;
pub mod replicate;
#[cfg(feature = "engine")]
pub mod setting;
pub mod timestamp;
mod trash;
pub mod trial;
pub mod verdict;

pub use axis::Axis;
pub use counted::{Counted, SavedModel, TrialModel};
pub use due::{Due, LogFreq, LogOnWorkers};
pub use event::{Closing, Entry, Event, FORMAT, Header, Origin, Place, Usage};
pub use exit::{Exit, Failure, FailureClass};
pub use fold::IllegalEvent;
#[cfg(feature = "engine")]
pub use kind::Kind;
pub use limit::{Limit, Standing};
pub use metric::Metric;
pub use objective::{Goal, Objective, Score, Take};
pub use record::{Datum, LogRecord};
#[cfg(feature = "engine")]
pub use setting::Setting;
pub use timestamp::Timestamp;
pub use trial::{Attempt, Resource, Tally, Trial, TrialId, TrialState};
pub use verdict::Verdict;

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Everything known about one run of a sweep.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Study {
    header: Header,
    trials: Vec<Trial>,
    waiting: BTreeSet<TrialId>,
    running: BTreeSet<TrialId>,
    best: Option<TrialId>,
    counts: Counts,
    counted: u64,
    /// How many were imported.
    #[serde(default)]
    imported: u64,
    closed: Option<Closing>,
    /// The other trials of each configuration that runs with several seeds, by its first.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    replicas: BTreeMap<TrialId, Vec<TrialId>>,
    next_seq: u64,
    at: Option<Timestamp>,
    /// How long all runs together have taken, up to the last entry.
    #[serde(default)]
    used: Duration,
    /// Whether time passes for the sweep: a run has begun and was not closed.
    #[serde(default)]
    is_timed: bool,
}

/// How many trials are in each final state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Complete.
    pub complete: u64,
    /// Stopped by the scheduler.
    pub stopped: u64,
    /// Failed.
    pub failed: u64,
    /// Paused.
    pub paused: u64,
}

impl Study {
    /// Returns what the sweep file says that readers need.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Returns all trials in the order of their ids; the trial of id n is at n − 1.
    #[must_use]
    pub fn trials(&self) -> &[Trial] {
        &self.trials
    }

    /// Returns everything but the trials, for who stores those apart.
    #[must_use]
    pub fn without_trials(&self) -> Self {
        Self {
            header: self.header.clone(),
            trials: Vec::new(),
            waiting: self.waiting.clone(),
            running: self.running.clone(),
            closed: self.closed.clone(),
            replicas: self.replicas.clone(),
            ..*self
        }
    }

    /// Adds trials that were stored apart, in the order of their ids.
    #[must_use]
    pub fn with_trials(mut self, trials: impl IntoIterator<Item = Trial>) -> Self {
        self.trials.extend(trials);
        self
    }

    /// Returns a trial by its id.
    #[must_use]
    pub fn trial(&self, id: TrialId) -> Option<&Trial> {
        self.trials.get((id.0 as usize).checked_sub(1)?)
    }

    /// Returns the id the next created trial will have.
    #[must_use]
    pub fn next_id(&self) -> TrialId {
        TrialId(
            u32::try_from(self.trials.len())
                .unwrap_or(u32::MAX)
                .saturating_add(1),
        )
    }

    /// Returns the trials that wait for a slot, lowest id first.
    pub fn waiting(&self) -> impl Iterator<Item = TrialId> {
        self.waiting.iter().copied()
    }

    /// Returns the trials that run, lowest id first.
    pub fn running(&self) -> impl Iterator<Item = TrialId> {
        self.running.iter().copied()
    }

    /// Returns how many run.
    #[must_use]
    pub fn running_count(&self) -> usize {
        self.running.len()
    }

    /// Returns how many trials are in each state that is not waiting or running.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Returns how many trials count towards the total the sweep file asks for: all but imported
    /// ones and those outside the space.
    #[must_use]
    pub fn counted(&self) -> u64 {
        self.counted
    }

    /// Returns how many trials ran elsewhere and were imported.
    #[must_use]
    pub fn imported(&self) -> u64 {
        self.imported
    }

    /// Returns the best complete trial by the first objective, the earlier one of equals; of
    /// configurations that ran with several seeds, the first trial of the one with the best mean.
    /// What breaks a limit comes after all that keeps it. Trials outside the space do not count.
    #[must_use]
    pub fn incumbent(&self) -> Option<&Trial> {
        self.trial(self.best?)
    }

    /// Returns why the last run ended, `None` while one goes on or if it was killed.
    #[must_use]
    pub fn closed(&self) -> Option<&Closing> {
        self.closed.as_ref()
    }

    /// Returns the sequence number the next entry must have.
    #[must_use]
    pub fn next_seq(&self) -> u64 {
        self.next_seq
    }

    /// Returns when the last event happened.
    #[must_use]
    pub fn at(&self) -> Option<Timestamp> {
        self.at
    }

    /// Returns how long all runs of the study together have taken, up to the last event: the time
    /// between two runs does not count, nor the time in which a run stood still. A run that was
    /// killed counts up to its last event.
    #[must_use]
    pub fn used(&self) -> Duration {
        self.used
    }
}
