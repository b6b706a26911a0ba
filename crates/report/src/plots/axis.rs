//! A parameter as the axis of a plot, with the position of each trial on it.

use super::figure::{Scale, bounds};
use crate::{listing, row};
use serde::Serialize;
use std::collections::BTreeMap;
use swath_model::space::{Extent, Name, Space, Value};
use swath_model::study::{Study, Trial};

/// Maximum number of draws of a repeated parameter that get an axis of their own.
const MOST_DRAWS: usize = 8;
/// Maximum number of categories on an axis. The rarest share the last one.
const MOST_LABELS: usize = 60;

/// An axis for a parameter, or for one draw of a repeated parameter.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Axis {
    /// The name of the parameter, with the index of the draw for a repeated one: `units[2]` is the
    /// third draw.
    pub name: String,
    /// Whether the axis is logarithmic. Always false for categories.
    pub log: bool,
    /// The categories; empty for numbers.
    pub labels: Vec<String>,
    /// The lower end of the range, or the smallest value if that is lower or no range is known. 0
    /// for categories.
    pub min: f64,
    /// The upper end of the range, or the largest value if that is higher or no range is known. The
    /// index of the last label for categories.
    pub max: f64,
    /// The number, or the index of the category, for each trial. `None` where the parameter does
    /// not exist.
    pub values: Vec<Option<f64>>,
}

impl Axis {
    /// Returns whether the axis has categories.
    #[must_use]
    pub fn is_choice(&self) -> bool {
        !self.labels.is_empty()
    }

    /// Returns the scale to draw the axis on.
    #[must_use]
    pub fn scale(&self) -> Scale {
        match (self.is_choice(), self.log) {
            (true, _) => Scale::Bands(self.labels.clone()),
            (_, true) => Scale::log_around(self.min, self.max),
            _ => Scale::around([self.min, self.max]),
        }
    }

    /// Returns the position of a value on [`scale`](Self::scale). A category is in the middle of
    /// its band.
    #[must_use]
    pub fn at(&self, value: f64) -> f64 {
        if self.is_choice() { value + 0.5 } else { value }
    }

    /// Returns the position of a value between the smallest (0) and the largest (1), on the
    /// logarithm if the axis is logarithmic. Values outside are clamped; on an axis without extent
    /// all values are at 0.5.
    #[must_use]
    pub fn unit(&self, value: f64) -> f64 {
        let unit = if self.log {
            (value / self.min).ln() / (self.max / self.min).ln()
        } else {
            (value - self.min) / (self.max - self.min)
        };
        if unit.is_finite() {
            unit.clamp(0.0, 1.0)
        } else {
            0.5
        }
    }

    /// Returns the value at a position; the inverse of [`unit`](Self::unit).
    #[must_use]
    pub fn value(&self, unit: f64) -> f64 {
        if self.log {
            self.min * (self.max / self.min).powf(unit)
        } else {
            self.min + unit * (self.max - self.min)
        }
    }
}

/// Returns the parameters in which the trials differ as axes, in the order of the sweep file. The
/// bounds and the kind of scale come from `space`. Without a space they are derived from the
/// values.
#[must_use]
pub fn axes(study: &Study, trials: &[&Trial], space: Option<&Space>) -> Vec<Axis> {
    let mut axes = Vec::new();
    for name in row::params(study) {
        let values: Vec<Option<&Value>> =
            trials.iter().map(|trial| trial.params.get(&name)).collect();
        let extent = space.and_then(|space| space.extent(&name));
        if !values
            .iter()
            .flatten()
            .any(|value| matches!(value, Value::List(_)))
        {
            axes.extend(axis(&name, &values, extent.as_ref()));
            continue;
        }
        let draws = values.iter().flatten().map(|value| {
            if let Value::List(items) = value {
                items.len()
            } else {
                0
            }
        });
        for draw in 0..draws.max().unwrap_or(0).min(MOST_DRAWS) {
            let items: Vec<Option<&Value>> = values
                .iter()
                .map(|value| match value {
                    Some(Value::List(items)) => items.get(draw),
                    _ => None,
                })
                .collect();
            axes.extend(axis(
                &Name::from(format!("{name}[{draw}]")),
                &items,
                extent.as_ref(),
            ));
        }
    }
    axes
}

/// Returns the axis of a parameter; `None` if it has the same value in all trials.
fn axis(name: &Name, values: &[Option<&Value>], extent: Option<&Extent>) -> Option<Axis> {
    let first = values.first()?;
    let is_constant = values.iter().all(|value| value == first);
    if is_constant {
        None
    } else {
        of_values(name, values, extent)
    }
}

/// Returns the axis of a parameter with these values, which may be equal; `None` without a finite
/// number.
pub(crate) fn of_values(
    name: &Name,
    values: &[Option<&Value>],
    extent: Option<&Extent>,
) -> Option<Axis> {
    let numeric = values
        .iter()
        .flatten()
        .all(|value| value.as_f64().is_some());
    let name = name.to_string();
    match extent {
        Some(Extent::Choice(known)) if known.len() > 1 => Some(choice(name, values, known)),
        Some(Extent::Range { min, max, log }) if numeric => {
            let numbers: Vec<Option<f64>> = numbers(values);
            // Trials outside the range extend the axis.
            let (low, high) = bounds(numbers.iter().flatten().copied().chain([*min, *max]))?;
            Some(Axis {
                name,
                // A logarithmic axis has no place for 0.
                log: *log && low > 0.0,
                labels: Vec::new(),
                min: low,
                max: high,
                values: numbers,
            })
        }
        _ if numeric => {
            let numbers = numbers(values);
            let (min, max) = bounds(numbers.iter().flatten().copied())?;
            Some(Axis {
                name,
                log: looks_logarithmic(&numbers),
                labels: Vec::new(),
                min,
                max,
                values: numbers,
            })
        }
        _ => Some(choice(name, values, &[])),
    }
}

/// Returns the finite numbers among the values.
fn numbers(values: &[Option<&Value>]) -> Vec<Option<f64>> {
    values
        .iter()
        .map(|value| {
            value
                .and_then(Value::as_f64)
                .filter(|number| number.is_finite())
        })
        .collect()
}

/// Returns an axis of categories: the known ones in their order, then all others in alphabetical
/// order, or the most frequent ones if there are too many.
fn choice(name: String, values: &[Option<&Value>], known: &[Value]) -> Axis {
    let mut labels: Vec<String> = known.iter().map(listing::shown).collect();
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for value in values.iter().flatten() {
        *counts.entry(listing::shown(value)).or_default() += 1;
    }
    let mut others: Vec<(String, usize)> = counts
        .into_iter()
        .filter(|(label, _)| !labels.contains(label))
        .collect();
    if labels.len() + others.len() > MOST_LABELS {
        others.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
        labels.truncate(MOST_LABELS - 1);
        others.truncate(MOST_LABELS - 1 - labels.len());
        others.push(("(others)".to_owned(), 0));
    }
    labels.extend(others.into_iter().map(|(label, _)| label));
    let index: BTreeMap<&str, usize> = labels
        .iter()
        .enumerate()
        .map(|(index, label)| (&**label, index))
        .collect();
    // Categories beyond the maximum share the last label.
    let last = labels.len() - 1;

    let values = values
        .iter()
        .map(|value| {
            let label = listing::shown((*value)?);
            Some(index.get(&*label).copied().unwrap_or(last) as f64)
        })
        .collect();
    Axis {
        name,
        log: false,
        max: last as f64,
        min: 0.0,
        labels,
        values,
    }
}

/// Returns whether numbers look evenly spread on the logarithm: all are positive, they span at
/// least two decades, and the median is in the lowest fifth of the range.
fn looks_logarithmic(values: &[Option<f64>]) -> bool {
    let mut sorted: Vec<f64> = values.iter().flatten().copied().collect();
    sorted.sort_by(f64::total_cmp);
    let (Some(&min), Some(&max), Some(&median)) =
        (sorted.first(), sorted.last(), sorted.get(sorted.len() / 2))
    else {
        return false;
    };
    min > 0.0 && max / min >= 100.0 && (median - min) / (max - min) < 0.2
}

#[cfg(test)]
mod tests {
    use super::axes;
    use swath_model::demo::{Demo, text};
    use swath_model::space::Value;

    #[test]
    fn a_parameter_becomes_an_axis_and_a_repeated_one_several() {
        let mut demo = Demo::new(&["lr", "optimizer", "same", "units"]);
        for (lr, optimizer, units) in [(1e-4, "sgd", 1), (1e-3, "adam", 2), (1e-1, "sgd", 1)] {
            let units = Value::List((0..units).map(|index| Value::Int(8 + index)).collect());
            demo.complete(
                &[
                    ("lr", Value::Float(lr)),
                    ("optimizer", text(optimizer)),
                    ("same", Value::Int(1)),
                    ("units", units),
                ],
                &[("val_loss", lr)],
            );
        }
        let trials: Vec<_> = demo.study.trials().iter().collect();
        let axes = axes(&demo.study, &trials, None);
        let names: Vec<_> = axes.iter().map(|axis| axis.name.as_str()).collect();
        assert_eq!(names, ["lr", "optimizer", "units[1]"]);
        assert!(axes[0].log);
        assert_eq!(axes[1].labels, ["adam", "sgd"]);
        assert_eq!(axes[1].values, [Some(1.0), Some(0.0), Some(1.0)]);
        assert_eq!(axes[2].values, [None, Some(9.0), None]);
        assert!((axes[0].unit(1e-3) - 1.0 / 3.0).abs() < 1e-12);
        assert!((axes[0].value(axes[0].unit(2e-3)) - 2e-3).abs() < 1e-12);
    }

    #[test]
    fn categories_beyond_the_maximum_share_one_label() {
        let mut demo = Demo::new(&["name"]);
        for index in 0..200 {
            demo.complete(
                &[("name", text(&format!("n{}", index.min(150))))],
                &[("val_loss", 0.5)],
            );
        }
        let trials: Vec<_> = demo.study.trials().iter().collect();
        let axes = axes(&demo.study, &trials, None);
        assert_eq!(
            (axes[0].labels.len(), axes[0].labels[0].as_str()),
            (60, "n150")
        );
    }
}
