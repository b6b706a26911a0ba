//! One configuration and what became of it.

use super::{
    Axis, Counted, Exit, LogRecord, Metric, Objective, Origin, Place, SavedModel, Score, Timestamp,
    Usage,
};
use crate::space::known::by_name;
use crate::space::{Name, Params};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// Names a trial within its study: 1, 2, 3…; never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TrialId(pub u32);

impl fmt::Display for TrialId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Counts the executions of one trial: 1, 2, 3…
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Attempt(pub u32);

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An amount of the resource that the scheduler spends: epochs, steps, rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Resource(pub u64);

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Where a trial is in its life.
///
/// Waiting → Running → Complete | Stopped | Failed | Paused; Paused and, when requeued, Failed →
/// Waiting or Running again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrialState {
    /// It has its parameters and waits for a slot.
    Waiting,
    /// An attempt runs.
    Running,
    /// It waits at its checkpoint for a promotion.
    Paused,
    /// It exited 0 and every objective was reported and finite.
    Complete,
    /// The scheduler stopped it.
    Stopped,
    /// It failed.
    Failed,
}

impl TrialState {
    /// Returns the word used in CSV, tables and selectors.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Complete => "complete",
            Self::Stopped => "stopped",
            Self::Failed => "failed",
        }
    }

    /// Returns whether nothing more will happen to it by itself.
    #[must_use]
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Complete | Self::Stopped | Self::Failed)
    }
}

/// What is remembered of one reported key.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Tally {
    /// The last value, which may be NaN.
    pub last: super::Metric,
    /// The smallest finite value.
    pub min: Option<f64>,
    /// The largest finite value.
    pub max: Option<f64>,
    /// How many times it was reported.
    pub count: u64,
}

/// One parameter assignment and what became of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// Its id.
    pub id: TrialId,
    /// Its configuration.
    pub params: Params,
    /// Where the configuration comes from.
    pub origin: Origin,
    /// What `SWATH_SEED` is.
    pub seed: u64,
    /// Where it is in its life.
    pub state: TrialState,
    /// How many attempts have started.
    pub attempts: u32,
    /// How many attempts have failed.
    pub failures: u32,
    /// What the scheduler decided about the running attempt.
    pub verdict: Option<super::Verdict>,
    /// The resource the running attempt may use.
    pub until: Option<super::Resource>,
    /// The slot of the last attempt.
    pub slot: Option<u32>,
    /// Where the last attempt runs or ran.
    pub place: Option<Place>,
    /// What the reports said, by key; only keys with numbers.
    #[serde(deserialize_with = "by_name")]
    pub metrics: BTreeMap<Name, Tally>,
    /// The last value of every reported key that is not a number.
    #[serde(deserialize_with = "by_name")]
    pub texts: BTreeMap<Name, String>,
    /// How many reports count.
    pub reports: u64,
    /// How many reports came after all of the resource that a trial gets; they do not count.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub beyond: u64,
    /// Where the last report stands on the axis.
    pub step: Option<f64>,
    /// The reported key that the steps of its reports are.
    #[serde(default, skip_serializing_if = "Axis::is_number")]
    pub axis: Axis,
    /// Data sets, models, artifacts, outputs, checkpoints, notes and warnings, in order.
    pub records: Vec<LogRecord>,
    /// The report whose values are the trial's result, so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counted: Option<Counted>,
    /// Where each model stands between the reports.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<SavedModel>,
    /// All reported values of the objectives that are taken from several reports.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub series: BTreeMap<Name, Vec<Metric>>,
    /// How the last attempt ended.
    pub exit: Option<Exit>,
    /// What the scheduler last said, in words, when it paused or stopped the trial.
    pub why: Option<String>,
    /// When the first attempt started.
    pub started_at: Option<Timestamp>,
    /// When the running attempt started.
    pub attempt_at: Option<Timestamp>,
    /// When the last attempt ended.
    pub ended_at: Option<Timestamp>,
    /// Seconds all ended attempts ran.
    pub seconds: f64,
    /// What all ended attempts used: times added, memory at its highest.
    pub usage: Usage,
    /// Until when it waits before it may run again; only of one that waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Timestamp>,
    /// It counts for nothing: it no longer fits the space, since the sweep file was edited, or it
    /// was removed.
    pub outside: bool,
    /// It no longer fits the space.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub misfit: bool,
    /// It is in the trash.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub removed: bool,
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl Trial {
    /// Returns whether it counts towards the total the sweep file asks for.
    #[must_use]
    pub fn counts(&self) -> bool {
        !self.outside && !matches!(self.origin, Origin::Imported(_))
    }

    /// Returns whether it can be among the best: complete and in the space.
    #[must_use]
    pub fn ranks(&self) -> bool {
        self.state == TrialState::Complete && !self.outside
    }

    /// Returns the value of an objective by its `take` rule, `None` unless it is finite.
    #[must_use]
    pub fn objective(&self, objective: &Objective) -> Option<f64> {
        use super::{Goal, Take};
        let tally = self.metrics.get(&objective.metric)?;
        match (objective.take, objective.goal) {
            (Take::Last, _) => Some(tally.last.0).filter(|value| value.is_finite()),
            (Take::Best, Goal::Min) => tally.min,
            (Take::Best, Goal::Max) => tally.max,
            (take, _) => take.average(self.series.get(&objective.metric)?),
        }
    }

    /// Returns the oriented values of all objectives, `None` if one is missing. It says nothing
    /// about the trial's state.
    #[must_use]
    pub fn scores(&self, objectives: &[Objective]) -> Option<Vec<Score>> {
        objectives
            .iter()
            .map(|objective| {
                self.objective(objective)
                    .and_then(|value| objective.score(value))
            })
            .collect()
    }
}
