//! What is known of a parameter's values before any is drawn: for axes of plots.

use super::domain::Domain;
use super::param::Origin;
use super::{Space, Value};

/// The values a parameter can have, as far as they are known beforehand.
#[derive(Debug, Clone, PartialEq)]
pub enum Extent {
    /// Numbers between two bounds.
    Range {
        /// The smallest.
        min: f64,
        /// The largest.
        max: f64,
        /// Whether they are spread evenly in the logarithm.
        log: bool,
    },
    /// One of these.
    Choice(Vec<Value>),
}

impl Extent {
    fn of(domain: &Domain) -> Self {
        match domain {
            Domain::Choice { values, .. } => Self::Choice(values.clone()),
            Domain::Whole(range) => Self::Range {
                min: range.min() as f64,
                max: range.max() as f64,
                log: range.is_log(),
            },
            Domain::Steps {
                min,
                step,
                count,
                log,
            } => {
                let max = min + step * (count - 1) as f64;
                Self::Range {
                    min: *min,
                    max,
                    log: log.is_some(),
                }
            }
            Domain::Real(range) => Self::Range {
                min: range.low(),
                max: range.high(),
                log: range.is_log(),
            },
        }
    }

    /// Returns an extent that holds the values of both; `None` if they are of different kinds.
    fn with(self, other: Self) -> Option<Self> {
        match (self, other) {
            (
                Self::Range { min, max, log },
                Self::Range {
                    min: low,
                    max: high,
                    log: other,
                },
            ) => Some(Self::Range {
                min: min.min(low),
                max: max.max(high),
                log: log && other,
            }),
            (Self::Choice(mut values), Self::Choice(others)) => {
                for value in others {
                    if !values.contains(&value) {
                        values.push(value);
                    }
                }
                Some(Self::Choice(values))
            }
            _ => None,
        }
    }
}

/// Finds the extent of `name`: what all entries that set it can give. Of a repeated parameter it is
/// that of one draw.
pub(super) fn extent(space: &Space, name: &str) -> Option<Extent> {
    let target = *space.index.get(name)?;
    let mut found: Option<Extent> = None;
    for param in &space.params {
        let Some(column) = param.targets.iter().position(|at| *at == target) else {
            continue;
        };
        let one = match &param.origin {
            Origin::Rows { rows, .. } => {
                let rows = rows.iter().filter_map(|row| row.get(column).cloned());
                rows.map(|value| Extent::Choice(vec![value]))
                    .try_fold(None, merge)??
            }
            Origin::Fixed(value) => Extent::Choice(vec![value.clone()]),
            Origin::Drawn { .. } => Extent::of(param.outer()?),
            Origin::Derived(_) => return None,
        };
        found = merge(found, one)?;
    }
    found
}

fn merge(one: Option<Extent>, other: Extent) -> Option<Option<Extent>> {
    match one {
        Some(one) => one.with(other).map(Some),
        None => Some(Some(other)),
    }
}
