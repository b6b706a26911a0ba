//! What is optimised, and the one place where its sign is flipped.

use crate::space::Name;
use serde::{Deserialize, Serialize};

/// Whether small or large is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Goal {
    /// Small is good.
    Min,
    /// Large is good.
    Max,
}

/// Which of a trial's reports counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Take {
    /// The best finite one.
    Best,
    /// The last one.
    Last,
}

/// A metric to optimise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Objective {
    /// The reported name.
    pub metric: Name,
    /// Whether small or large is good.
    pub goal: Goal,
    /// Which report counts.
    pub take: Take,
}

/// The oriented value of an objective: smaller is better, always finite.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
pub struct Score(f64);

impl Score {
    /// Takes a number that is oriented already: a mean of scores.
    pub(crate) fn of(oriented: f64) -> Self {
        Self(oriented)
    }

    /// Returns the oriented number.
    #[must_use]
    pub fn get(self) -> f64 {
        self.0
    }
}

impl Objective {
    /// Orients a reported value so that smaller is better; `None` unless it is finite.
    #[must_use]
    pub fn score(&self, value: f64) -> Option<Score> {
        let oriented = match self.goal {
            Goal::Min => value,
            Goal::Max => -value,
        };
        value.is_finite().then_some(Score(oriented))
    }

    /// Undoes [`score`](Self::score).
    #[must_use]
    pub fn value(&self, score: Score) -> f64 {
        match self.goal {
            Goal::Min => score.0,
            Goal::Max => -score.0,
        }
    }
}
