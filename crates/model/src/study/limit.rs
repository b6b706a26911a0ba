//! Outcome constraints: bounds on the reported metrics of a trial. They are soft: a trial that
//! violates one is complete, but ranks behind all trials that satisfy them.

use super::{Objective, Score, Trial};
use crate::space::Name;
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::fmt;

/// An outcome constraint: a bound on a metric's value in the counted report, else on its last
/// value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Limit {
    /// The reported name of the metric.
    pub metric: Name,
    /// The smallest allowed value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,
    /// The largest allowed value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
}

impl Limit {
    /// Returns how far a value lies beyond the nearer bound; 0 or negative if it satisfies the
    /// constraint.
    #[must_use]
    pub fn excess(&self, value: f64) -> f64 {
        let over = self.max.map_or(f64::NEG_INFINITY, |max| value - max);
        let under = self.min.map_or(f64::NEG_INFINITY, |min| min - value);
        over.max(under)
    }

    /// Returns by how much a value violates the constraint, relative to the bound unless the bound
    /// is 0. Returns 0 if the value satisfies the constraint.
    #[must_use]
    pub fn violation(&self, value: f64) -> f64 {
        let over = self.max.map_or(0.0, |max| relative(value - max, max));
        let under = self.min.map_or(0.0, |min| relative(min - value, min));
        over.max(under).max(0.0)
    }

    /// Returns the [violation](Self::violation) of a value; infinite without a value, so that a
    /// trial cannot satisfy a constraint by not reporting the metric.
    pub(super) fn violation_of(&self, value: Option<f64>) -> f64 {
        value.map_or(f64::INFINITY, |value| self.violation(value))
    }
}

fn relative(excess: f64, bound: f64) -> f64 {
    excess / if bound == 0.0 { 1.0 } else { bound.abs() }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.min, self.max) {
            (Some(min), Some(max)) => write!(f, "{min} <= {} <= {max}", self.metric),
            (Some(min), None) => write!(f, "{} >= {min}", self.metric),
            (_, max) => write!(f, "{} <= {}", self.metric, max.unwrap_or(f64::INFINITY)),
        }
    }
}

impl Trial {
    /// Returns the constrained value if the trial reported a finite one: that of the counted
    /// report, else the last one (for a metric that is reported separately, such as once at the
    /// end).
    #[must_use]
    pub fn constrained_value(&self, limit: &Limit) -> Option<f64> {
        self.counted
            .as_ref()
            .and_then(|counted| counted.number(&limit.metric))
            .or_else(|| self.metrics.get(&limit.metric).map(|tally| tally.last.0))
            .filter(|value| value.is_finite())
    }

    /// Returns whether the trial satisfies all constraints; `None` before its first report.
    #[must_use]
    pub fn feasible(&self, limits: &[Limit]) -> Option<bool> {
        (self.reports > 0).then(|| self.violation(limits) == 0.0)
    }

    /// Returns the sum of all violations: 0 if every constraint is satisfied, infinite if a
    /// constrained metric has no finite value.
    #[must_use]
    pub fn violation(&self, limits: &[Limit]) -> f64 {
        limits
            .iter()
            .map(|limit| limit.violation_of(self.constrained_value(limit)))
            .sum()
    }

    /// Describes the violated constraints in words: `latency is 31, the limit is latency <= 20`.
    #[must_use]
    pub fn violations(&self, limits: &[Limit]) -> Vec<String> {
        limits
            .iter()
            .filter_map(|limit| self.describe_violation(limit))
            .collect()
    }

    fn describe_violation(&self, limit: &Limit) -> Option<String> {
        let metric = &limit.metric;
        match self.constrained_value(limit) {
            Some(value) if limit.violation(value) == 0.0 => None,
            Some(value) => Some(format!("{metric} is {value}, the limit is {limit}")),
            None => Some(format!(
                "{metric} {}; the limit is {limit}",
                self.absence(metric)
            )),
        }
    }
}

/// The rank data of a configuration, which are compared to find the incumbent.
#[derive(Debug, Clone, PartialEq)]
pub struct Standing {
    /// Sum of the constraint violations; 0 if the configuration satisfies all of them.
    pub violation: f64,
    /// Whether the configuration ran with as many seeds as the sweep requests.
    pub proven: bool,
    /// The oriented objectives, as means over the seeds.
    pub scores: Vec<f64>,
    /// Number of complete trials in these means.
    pub seeds: usize,
}

impl Standing {
    /// Returns whether this configuration is better by the first objective; see
    /// [`compare`](Self::compare).
    #[must_use]
    pub fn beats(&self, other: &Self) -> bool {
        self.compare(other).is_lt()
    }

    /// Orders configurations, the best first: by smaller violation of the outcome constraints, then
    /// configurations that ran with all their seeds, then by the first objective.
    #[must_use]
    pub fn compare(&self, other: &Self) -> Ordering {
        self.violation
            .total_cmp(&other.violation)
            .then(other.proven.cmp(&self.proven))
            .then(self.first_score().total_cmp(&other.first_score()))
    }

    fn first_score(&self) -> f64 {
        self.scores.first().copied().unwrap_or(f64::INFINITY)
    }

    /// Returns the mean of objective number `index`, from 0, in the units of the report.
    #[must_use]
    pub fn value(&self, index: usize, objective: &Objective) -> Option<f64> {
        self.scores
            .get(index)
            .map(|score| objective.value(Score::of(*score)))
    }
}
