//! Range or choices of a parameter that are known before any trial runs; used for the axes of
//! plots.

use super::domain::Domain;
use super::lookup::hash_of;
use super::param::ValueSource;
use super::{Space, Value};
use std::collections::HashMap;

/// Values that a parameter can have, as far as they are known in advance.
#[derive(Debug, Clone, PartialEq)]
pub enum Extent {
    /// Numbers between two bounds, both included.
    Range {
        /// Smallest value.
        min: f64,
        /// Largest value.
        max: f64,
        /// Whether the values are uniform in the logarithm.
        log: bool,
    },
    /// One of these values.
    Choice(Vec<Value>),
}

impl Extent {
    fn of(domain: &Domain) -> Self {
        match domain {
            Domain::Choice { values, .. } => Self::Choice(values.clone()),
            Domain::Int(range) => Self::Range {
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

    /// Returns the union of two extents, or `None` if one is a range and the other a choice.
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
            (Self::Choice(values), Self::Choice(others)) => {
                let mut distinct = DistinctValues::default();
                distinct.extend(values.into_iter().chain(others));
                Some(Self::Choice(distinct.values))
            }
            _ => None,
        }
    }
}

/// Values without repetitions, in the order of their first occurrence.
#[derive(Default)]
struct DistinctValues {
    values: Vec<Value>,
    positions: HashMap<u64, Vec<usize>>,
}

impl DistinctValues {
    fn extend(&mut self, values: impl Iterator<Item = Value>) {
        for value in values {
            let alike = self.positions.entry(hash_of(&value)).or_default();
            if !alike.iter().any(|position| self.values[*position] == value) {
                alike.push(self.values.len());
                self.values.push(value);
            }
        }
    }
}

/// Returns the union of the extents of all entries that set `name`. For a repeated parameter it is
/// the extent of one draw. Returns `None` if the extent is not known.
pub(super) fn extent(space: &Space, name: &str) -> Option<Extent> {
    let target = *space.index.get(name)?;
    let mut union: Option<Extent> = None;
    for param in &space.params {
        let Some(column) = param.targets.iter().position(|slot| *slot == target) else {
            continue;
        };
        let extent = match &param.source {
            ValueSource::Rows(rows) => {
                let mut values = DistinctValues::default();
                let cells = rows.rows.iter().filter_map(|row| row.get(column));
                values.extend(cells.cloned());
                Extent::Choice(values.values)
            }
            ValueSource::Fixed(value) => Extent::Choice(vec![value.clone()]),
            ValueSource::Drawn { .. } => Extent::of(param.widest_domain()?),
            // The range of a derived value is not known in advance.
            ValueSource::Derived(_) => return None,
        };
        union = merge(union, extent)?;
    }
    union
}

/// Merges two extents. The outer result is `None` if they are of different kinds.
fn merge(one: Option<Extent>, other: Extent) -> Option<Option<Extent>> {
    match one {
        Some(one) => one.with(other).map(Some),
        None => Some(Some(other)),
    }
}
