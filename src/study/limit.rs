//! Outcome limits: what a trial must also keep to be a good answer. Soft: one that breaks a limit
//! is complete, but ranks behind all that keep it.

use super::{Objective, Score, Trial};
use crate::space::Name;
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::fmt;

/// A bound on a reported metric: its value in the report that counts, else its last value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Limit {
    /// The reported name.
    pub metric: Name,
    /// The least value allowed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,
    /// The largest value allowed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
}

impl Limit {
    /// Returns how far a value lies beyond the nearer bound; not above 0 if it keeps the limit.
    #[must_use]
    pub fn excess(&self, value: f64) -> f64 {
        let over = self.max.map_or(f64::NEG_INFINITY, |max| value - max);
        let under = self.min.map_or(f64::NEG_INFINITY, |min| min - value);
        over.max(under)
    }

    /// Returns by how much a value breaks the limit, as a share of the bound where that is not 0; 0
    /// if it is kept.
    #[must_use]
    pub fn violation(&self, value: f64) -> f64 {
        let share = |beyond: f64, bound: f64| beyond / if bound == 0.0 { 1.0 } else { bound.abs() };
        let over = self.max.map_or(0.0, |max| share(value - max, max));
        let under = self.min.map_or(0.0, |min| share(min - value, min));
        over.max(under).max(0.0)
    }
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
    /// Returns the value that a limit is about, if the trial reported a finite one: that of the
    /// report that counts, else the last one (of a metric that is reported apart, such as once at
    /// the end).
    #[must_use]
    pub fn limited(&self, limit: &Limit) -> Option<f64> {
        let at_best = self
            .counted
            .as_ref()
            .and_then(|counted| counted.number(&limit.metric));
        let last = || self.metrics.get(&limit.metric).map(|tally| tally.last.0);
        at_best.or_else(last).filter(|value| value.is_finite())
    }

    /// Returns whether the trial keeps all limits; `None` before its first report.
    #[must_use]
    pub fn feasible(&self, limits: &[Limit]) -> Option<bool> {
        (self.reports > 0).then(|| self.violation(limits) == 0.0)
    }

    /// Returns by how much all limits together are broken: 0 if every one is kept, infinite if one
    /// was not even reported.
    #[must_use]
    pub fn violation(&self, limits: &[Limit]) -> f64 {
        let each = |limit| {
            self.limited(limit)
                .map_or(f64::INFINITY, |value| limit.violation(value))
        };
        limits.iter().map(each).sum()
    }

    /// Says which limits are broken, in words: `latency is 31, the limit is latency <= 20`.
    #[must_use]
    pub fn broken(&self, limits: &[Limit]) -> Vec<String> {
        let broken = |limit: &Limit| match self.limited(limit) {
            Some(value) if limit.violation(value) == 0.0 => None,
            Some(value) => Some(format!("{} is {value}, the limit is {limit}", limit.metric)),
            None => Some(format!(
                "{} {}; the limit is {limit}",
                limit.metric,
                self.absence(&limit.metric)
            )),
        };
        limits.iter().filter_map(broken).collect()
    }
}

/// How good a configuration is: what is compared to find the best.
#[derive(Debug, Clone, PartialEq)]
pub struct Standing {
    /// By how much it breaks the limits; 0 if it keeps them all.
    pub violation: f64,
    /// Whether it ran with as many seeds as the sweep wants.
    pub proven: bool,
    /// The oriented objectives: of several seeds their means.
    pub scores: Vec<f64>,
    /// How many complete trials these are the mean of.
    pub seeds: usize,
}

impl Standing {
    /// Returns whether it is better by the first objective; see [`compare`](Self::compare).
    #[must_use]
    pub fn beats(&self, other: &Self) -> bool {
        self.compare(other).is_lt()
    }

    /// Orders by the first objective, the best first; before all that breaks a limit what keeps
    /// them, then what ran with all its seeds.
    #[must_use]
    pub fn compare(&self, other: &Self) -> Ordering {
        let key = |standing: &Self| {
            (
                standing.violation,
                f64::from(u8::from(!standing.proven)),
                standing.scores.first().copied(),
            )
        };
        let ((a, b, c), (x, y, z)) = (key(self), key(other));
        let (c, z) = (c.unwrap_or(f64::INFINITY), z.unwrap_or(f64::INFINITY));
        a.total_cmp(&x).then(b.total_cmp(&y)).then(c.total_cmp(&z))
    }

    /// Returns the mean of objective number `at` as it was reported.
    #[must_use]
    pub fn value(&self, at: usize, objective: &Objective) -> Option<f64> {
        self.scores
            .get(at)
            .map(|score| objective.value(Score::of(*score)))
    }
}
