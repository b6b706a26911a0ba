//! What is optimised, and the one place where its sign is flipped.

use super::Metric;
use crate::space::Name;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// Whether small or large is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Goal {
    /// Small is good.
    Min,
    /// Large is good.
    Max,
}

/// The rule that makes one value of all that a trial reported of an objective.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Take {
    /// The best finite value.
    Best,
    /// The last value.
    Last,
    /// The mean of all values: of a script that reports once a fold.
    Mean,
    /// The median of all values.
    Median,
    /// The mean of the last values, as many as this number (at least 1): `last:3`.
    LastMean(u32),
}

impl Take {
    /// Reads the word of a sweep file: `best`, `last`, `mean`, `median` or `last:3`.
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

    /// Returns whether the value comes from several reports, so that no single one counts.
    #[must_use]
    pub fn averages(self) -> bool {
        matches!(self, Self::Mean | Self::Median | Self::LastMean(_))
    }

    /// Says in words which value is taken: `the mean of a trial's reports`.
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

    /// Applies a rule that [averages](Self::averages). `None` if there is no value, or if one of
    /// those it takes is not finite: leaving a failed fold out would flatter the trial.
    #[must_use]
    pub fn average(self, reported: &[Metric]) -> Option<f64> {
        let count = match self {
            Self::LastMean(count) => reported.len().min(count as usize),
            _ => reported.len(),
        };
        let taken = reported
            .get(reported.len() - count..)?
            .iter()
            .map(|metric| metric.0);
        let mut taken: Vec<f64> = taken.collect();
        if taken.is_empty() || !taken.iter().all(|number| number.is_finite()) {
            return None;
        }
        if self == Self::Median {
            taken.sort_by(f64::total_cmp);
            let middle = taken.len() / 2;
            let halves = || f64::midpoint(taken[middle - 1], taken[middle]);
            return Some(if taken.len() % 2 == 1 {
                taken[middle]
            } else {
                halves()
            });
        }
        // A running mean, so that no sum overflows.
        let mean = taken.iter().zip(1..).fold(0.0, |mean, (number, n)| {
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
        let unknown = || serde::de::Error::custom(format!("there is no rule `{word}` for `take`"));
        Self::parse(&word).ok_or_else(unknown)
    }
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
