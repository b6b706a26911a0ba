//! A trial: one configuration, its state and its results.

use super::{
    Axis, Counted, Exit, LastSteps, LogRecord, Metric, NameMap, Objective, Origin, Place,
    SavedModel, Score, Timestamp, Usage,
};
use crate::space::intern::interned_map;
use crate::space::{Name, Params};
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

/// The number of a trial within its study: 1, 2, 3…; never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TrialId(pub u32);

impl fmt::Display for TrialId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The number of an attempt, which is one execution of a trial: 1, 2, 3…
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Attempt(pub u32);

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An amount of the resource that the scheduler allocates: epochs, steps, rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Resource(pub u64);

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The state of a trial.
///
/// Waiting → Running → Complete | Stopped | Failed | Invalid | Paused. A lost or interrupted trial
/// is Waiting again, and so is any other trial that is requeued, a Complete one only at the request
/// of a user. A Paused trial may also run again directly, or be Stopped.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrialState {
    /// The trial has its parameters and waits for a slot.
    Waiting,
    /// An attempt of the trial runs.
    Running,
    /// The trial waits at its checkpoint for a promotion.
    Paused,
    /// The last attempt exited with status 0, returned `Ok`, or used all of the trial's resource,
    /// and every objective was reported and is finite.
    Complete,
    /// The scheduler stopped the trial.
    Stopped,
    /// The last attempt of the trial failed.
    Failed,
    /// The program said that the trial's configuration cannot work.
    Invalid,
}

impl TrialState {
    /// Returns the word for the state in CSV, tables and selectors.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Complete => "complete",
            Self::Stopped => "stopped",
            Self::Failed => "failed",
            Self::Invalid => "invalid",
        }
    }

    /// Returns whether the trial stays in this state unless it is requeued.
    #[must_use]
    pub fn is_final(&self) -> bool {
        matches!(
            self,
            Self::Complete | Self::Stopped | Self::Failed | Self::Invalid
        )
    }

    /// Returns whether the trial ended without a result: it failed, or its configuration cannot
    /// work.
    #[must_use]
    pub fn is_without_result(&self) -> bool {
        matches!(self, Self::Failed | Self::Invalid)
    }
}

/// The running statistics of one reported key.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Tally {
    /// The last value, which is that of the largest step; it may be NaN.
    pub last: super::Metric,
    /// The smallest finite value, if there is one.
    pub min: Option<f64>,
    /// The largest finite value, if there is one.
    pub max: Option<f64>,
    /// Number of values, NaN and infinities included.
    pub count: u64,
}

/// One assignment of the parameters, with the state and the results of its trial.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// The trial's id.
    pub id: TrialId,
    /// The trial's configuration.
    pub params: Params,
    /// The origin of the configuration.
    pub origin: Origin,
    /// The value of `SWATH_SEED`.
    pub seed: u64,
    /// The trial's state.
    pub state: TrialState,
    /// Number of attempts that have started.
    pub attempts: u32,
    /// Number of attempts that have failed, without forgiven ones.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub failures: u32,
    /// The scheduler's decision about the running attempt, once there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<super::Verdict>,
    /// The resource at which the last attempt pauses or ends, if it has such a bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<super::Resource>,
    /// The slot of the last attempt; `None` before the first one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slot: Option<u32>,
    /// The machine and process of the last attempt. Boxed, because an imported trial has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Box<Place>>,
    /// The running statistics of each reported key that has had a number.
    pub metrics: NameMap<Tally>,
    /// The last value that is not a number, by reported key.
    #[serde(
        default,
        deserialize_with = "interned_map",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub texts: BTreeMap<Name, String>,
    /// Number of reports that count.
    pub reports: u64,
    /// Number of reports that came after the trial had used all of its resource. They do not count.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub beyond: u64,
    /// The largest step of the newest attempt that reported one, in units of the axis key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<f64>,
    /// The position on the axis of the report that arrived last. It is below [`step`](Self::step) if
    /// the report came late.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<f64>,
    /// The steps of the last values, while an attempt runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_steps: Option<Box<LastSteps>>,
    /// The axis of the trial's reports: the reported key that gives their steps.
    #[serde(default, skip_serializing_if = "Axis::is_number")]
    pub axis: Axis,
    /// Data sets, models, artifacts, outputs, checkpoints, notes and warnings, in the order of
    /// recording.
    #[serde(
        default,
        deserialize_with = "short_list",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub records: Vec<LogRecord>,
    /// The lines of `records.jsonl` of which there are records; `None` if no record names its line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taken: Option<super::TakenLines>,
    /// The report whose values are the trial's result so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counted: Option<Counted>,
    /// The position of each recorded model between the reports.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<SavedModel>,
    /// All reported values of the objectives whose `take` averages several reports.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub series: BTreeMap<Name, Vec<Metric>>,
    /// The way the last attempt ended; `None` before the first one ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit: Option<Exit>,
    /// The scheduler's last reason for a decision about the trial, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// The time at which the first attempt started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// The time at which the last attempt started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt_at: Option<Timestamp>,
    /// The time at which the last attempt ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// Sum of the run times of all ended attempts, in seconds.
    pub seconds: f64,
    /// The usage of all ended attempts: the sum of the CPU times, the maximum of the memory peaks.
    pub usage: Usage,
    /// Cost that attempts reported after which the trial started anew.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub spent: f64,
    /// The earliest time at which a waiting trial may run again; `None` if it may start at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Timestamp>,
    /// The trial counts for nothing, because it no longer fits the edited space or was removed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub outside: bool,
    /// The trial no longer fits the edited space.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub misfit: bool,
    /// The trial is in the trash.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub removed: bool,
}

/// Deserializes a list that usually has one item, without room for more. A list that grows takes
/// room for four at once, and what it gives back later leaves holes between the trials of a study.
fn short_list<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    struct Items<T>(PhantomData<T>);
    impl<'de, T: Deserialize<'de>> Visitor<'de> for Items<T> {
        type Value = Vec<T>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list")
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Vec<T>, A::Error> {
            let mut list = Vec::new();
            while let Some(item) = items.next_element()? {
                if list.is_empty() {
                    list.reserve_exact(1);
                }
                list.push(item);
            }
            Ok(list)
        }
    }
    deserializer.deserialize_seq(Items(PhantomData))
}

fn is_zero<T: Default + PartialEq>(count: &T) -> bool {
    *count == T::default()
}

impl Trial {
    /// Returns whether the trial counts towards `trials` of the sweep file.
    #[must_use]
    pub fn counts(&self) -> bool {
        !self.outside && !matches!(self.origin, Origin::Imported(_) | Origin::Rerun(_))
    }

    /// Returns the cost of all attempts, of which `price` is the reported metric.
    #[must_use]
    pub fn cost(&self, price: &Name) -> f64 {
        let last = self.metrics.get(price).map(|tally| tally.last.0);
        self.spent + last.filter(|cost| cost.is_finite()).unwrap_or_default()
    }

    /// Returns whether the trial may be ranked: it is complete and inside the space.
    #[must_use]
    pub fn ranks(&self) -> bool {
        self.state == TrialState::Complete && !self.outside
    }

    /// Returns the value of an objective by its `take` rule, or `None` unless it is finite.
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

    /// Returns the oriented values of all objectives, or `None` if one of them is missing. The
    /// trial's state does not matter here.
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
