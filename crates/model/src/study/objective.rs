//! Objectives, and the one place where the sign of a maximized metric is flipped.

use super::Metric;
use crate::space::Name;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// The direction of optimization.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Goal {
    /// Smaller values are better.
    Min,
    /// Larger values are better.
    Max,
}

/// The rule that reduces all reported values of an objective to one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Take {
    /// The best finite value.
    Best,
    /// The last value.
    Last,
    /// The mean of all values, for a script that reports once per fold.
    Mean,
    /// The median of all values.
    Median,
    /// The mean of the last values; the number says how many and is at least 1: `last:3`.
    LastMean(u32),
}

impl Take {
    /// Parses the word of a sweep file: `best`, `last`, `mean`, `median` or `last:3`. Returns
    /// `None` for any other.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "best" => Self::Best,
            "last" => Self::Last,
            "mean" => Self::Mean,
            "median" => Self::Median,
            _ => Self::LastMean(
                word.strip_prefix("last:")?
                    .parse()
                    .ok()
                    .filter(|count| *count > 0)?,
            ),
        })
    }

    /// Returns whether the rule combines several reports, so that no single report counts.
    #[must_use]
    pub fn averages(self) -> bool {
        matches!(self, Self::Mean | Self::Median | Self::LastMean(_))
    }

    /// Returns the rule in words: `the mean of a trial's reports`.
    #[must_use]
    pub fn describe(self) -> String {
        match self {
            Self::Best => "the best of a trial's reports".to_owned(),
            Self::Last => "the last of a trial's reports".to_owned(),
            Self::Mean => "the mean of a trial's reports".to_owned(),
            Self::Median => "the median of a trial's reports".to_owned(),
            Self::LastMean(1) => "the last of a trial's reports".to_owned(),
            Self::LastMean(count) => format!("the mean of a trial's last {count} reports"),
        }
    }

    /// Applies a rule that [averages](Self::averages) to all reported values, in their order.
    /// Returns `None` if there is no value, or if one that the rule uses is not finite: omitting a
    /// failed fold would flatter the trial.
    #[must_use]
    pub fn average(self, reported: &[Metric]) -> Option<f64> {
        let count = match self {
            Self::LastMean(count) => reported.len().min(count as usize),
            _ => reported.len(),
        };
        let last_reports = reported.get(reported.len() - count..)?;
        let mut values: Vec<f64> = last_reports.iter().map(|metric| metric.0).collect();
        if values.is_empty() || !values.iter().all(|number| number.is_finite()) {
            return None;
        }
        if self == Self::Median {
            values.sort_by(f64::total_cmp);
            let middle = values.len() / 2;
            return Some(if values.len() % 2 == 1 {
                values[middle]
            } else {
                f64::midpoint(values[middle - 1], values[middle])
            });
        }
        // A running mean, because a sum could overflow.
        let mean = values.iter().zip(1..).fold(0.0, |mean, (number, n)| {
            mean + (number - mean) / f64::from(n)
        });
        Some(mean)
    }
}

impl fmt::Display for Take {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Best => f.write_str("best"),
            Self::Last => f.write_str("last"),
            Self::Mean => f.write_str("mean"),
            Self::Median => f.write_str("median"),
            Self::LastMean(count) => write!(f, "last:{count}"),
        }
    }
}

impl Serialize for Take {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Take {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = String::deserialize(deserializer)?;
        Self::parse(&word).ok_or_else(|| {
            serde::de::Error::custom(format!("there is no rule `{word}` for `take`"))
        })
    }
}

/// A metric to optimize.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Objective {
    /// The reported name of the metric.
    pub metric: Name,
    /// The direction of optimization.
    pub goal: Goal,
    /// The rule that selects or averages the trial's reports.
    pub take: Take,
}

/// The oriented value of an objective: smaller is better, always finite.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
pub struct Score(f64);

impl Score {
    /// Wraps a number that is already oriented, such as a mean of scores.
    pub fn of(oriented: f64) -> Self {
        Self(oriented)
    }

    /// Returns the oriented number.
    #[must_use]
    pub fn get(self) -> f64 {
        self.0
    }
}

impl Objective {
    /// Orients a reported value so that smaller is better; `None` unless the value is finite.
    #[must_use]
    pub fn score(&self, value: f64) -> Option<Score> {
        let oriented = match self.goal {
            Goal::Min => value,
            Goal::Max => -value,
        };
        value.is_finite().then_some(Score(oriented))
    }

    /// Returns the reported value of a score: the inverse of [`score`](Self::score).
    #[must_use]
    pub fn value(&self, score: Score) -> f64 {
        match self.goal {
            Goal::Min => score.0,
            Goal::Max => -score.0,
        }
    }
}
