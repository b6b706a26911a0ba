//! Groups of trials: by requested columns, or by configuration, so that the members of a group
//! differ only in their seed.

use super::source::{Row, Source};
use crate::formula::{Cells, Formula};
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;
use swath_model::space::Value;
use swath_model::study::Goal;
use swath_numerics::bootstrap;
use swath_numerics::sample::Sample;

/// Confidence level of the intervals.
pub const CONFIDENCE: f64 = 0.95;
/// Minimum number of values for a bootstrap interval.
const BOOTSTRAPPED: usize = 5;

/// Rules by which trials are grouped, and the metric that is compared.
pub struct Grouping {
    /// The metric that is compared.
    pub metric: Formula,
    /// Whether small or large values of the metric are better.
    pub goal: Goal,
    /// The columns that distinguish groups. If there are none, trials are grouped by their whole
    /// configuration, within each source.
    pub by: Vec<Formula>,
    /// Names, such as that of the seed, that distinguish the members of a group and pair them with
    /// the members of another.
    pub pair: Vec<String>,
    /// Whether trials that are not complete are included with their reports so far.
    pub all: bool,
    /// Whether intervals are computed by bootstrap instead of Student's t.
    pub bootstrap: bool,
}

/// A group of trials.
pub struct Group<'a> {
    /// The members, in the order of the sources.
    pub rows: Vec<Row<'a>>,
    /// The values of [`Grouping::by`] for this group; empty if that is empty.
    pub key: Vec<Option<Value>>,
    /// The metric of each member, with the text that it is paired by. In the order of `rows`.
    pub numbers: Vec<(String, f64)>,
    /// Mean and standard deviation of the metric.
    pub sample: Option<Sample>,
    /// Confidence interval of the mean, lower and upper bound. `None` for too few values; by
    /// bootstrap also if all values are equal.
    pub interval: Option<(f64, f64)>,
}

/// All groups, and the number of trials in none of them.
pub struct Grouped<'a> {
    /// The groups in the order of their first trials.
    pub groups: Vec<Group<'a>>,
    /// Number of trials that were left out, by reason.
    pub left_out: BTreeMap<String, usize>,
}

impl Grouping {
    /// Groups the trials of all sources that fulfil `condition`. Trials that are not complete
    /// (unless [`all`](Self::all) is set) or have no finite metric are left out and counted.
    #[must_use]
    pub fn group<'a>(&self, sources: &'a [Source], condition: Option<&Formula>) -> Grouped<'a> {
        let mut indices: HashMap<String, usize> = HashMap::new();
        let mut groups: Vec<Group<'a>> = Vec::new();
        let mut left_out: BTreeMap<String, usize> = BTreeMap::new();
        for (number, source) in sources.iter().enumerate() {
            let params: Vec<String> = source
                .params()
                .into_iter()
                .filter(|name| !self.pair.contains(name))
                .collect();
            // Without parameters there is no configuration to group by, so each row is a group of
            // its own.
            let has_no_params = params.is_empty();
            for row in source
                .rows()
                .filter(|row| condition.is_none_or(|condition| condition.holds(row)))
            {
                let state = row.state();
                if state != "complete" && !self.all {
                    *left_out.entry(state).or_default() += 1;
                    continue;
                }
                let Some(value) = self.metric.number(&row).filter(|number| number.is_finite())
                else {
                    *left_out
                        .entry(format!("without a finite {}", self.metric.text()))
                        .or_default() += 1;
                    continue;
                };
                let key: Vec<Option<Value>> =
                    self.by.iter().map(|formula| formula.value(&row)).collect();
                // Configurations of different sources are different groups, even with equal
                // parameters.
                let text = match (self.by.is_empty(), has_no_params) {
                    (false, _) => joined(key.iter().cloned()),
                    (true, false) => {
                        format!(
                            "{number}\u{1f}{}",
                            joined(params.iter().map(|name| row.value(name)))
                        )
                    }
                    (true, true) => format!("{number}\u{1f}{}", row.label()),
                };
                let index = *indices.entry(text).or_insert_with(|| {
                    groups.push(Group {
                        // Without replicates every group has a single trial.
                        rows: Vec::with_capacity(1),
                        key,
                        numbers: Vec::with_capacity(1),
                        sample: None,
                        interval: None,
                    });
                    groups.len() - 1
                });
                groups[index].rows.push(row);
                groups[index].numbers.push((self.pairing(&row), value));
            }
        }
        for group in &mut groups {
            group.measure(self.bootstrap);
        }
        Grouped { groups, left_out }
    }

    /// Returns the direction in which a formula is good, if it is the metric that is compared.
    #[must_use]
    pub fn goal_of(&self, formula: &Formula) -> Option<Goal> {
        (formula.text() == self.metric.text()).then_some(self.goal)
    }

    /// Returns the text that a trial is paired by. Trials that ran under equal circumstances have
    /// equal texts.
    fn pairing(&self, row: &Row<'_>) -> String {
        joined(self.pair.iter().map(|name| {
            row.value(&format!("param.{name}"))
                .or_else(|| row.value(name))
        }))
    }
}

impl Group<'_> {
    /// Computes the mean and the interval from the values.
    fn measure(&mut self, bootstrapped: bool) {
        let numbers: Vec<f64> = self.numbers.iter().map(|(_, number)| *number).collect();
        self.sample = Sample::of(&numbers);
        self.interval = if bootstrapped {
            Some(&numbers)
                .filter(|numbers| numbers.len() >= BOOTSTRAPPED)
                .and_then(|numbers| bootstrap::mean_interval(numbers, CONFIDENCE))
        } else {
            self.sample.as_ref().and_then(student_interval)
        };
    }

    /// Returns the mean of the metric. Every group has at least one value.
    #[must_use]
    pub fn mean(&self) -> f64 {
        self.sample.map_or(f64::NAN, |sample| sample.mean)
    }

    /// Returns the best value and its trial.
    #[must_use]
    pub fn best(&self, goal: Goal) -> Option<(f64, &Row<'_>)> {
        let pairs = self
            .numbers
            .iter()
            .map(|(_, number)| *number)
            .zip(&self.rows);
        match goal {
            Goal::Min => pairs.min_by(|a, b| a.0.total_cmp(&b.0)),
            Goal::Max => pairs.max_by(|a, b| a.0.total_cmp(&b.0)),
        }
    }

    /// Returns the value of a formula for the group: the value that all members share, else the
    /// mean if all values are numbers, else `None`.
    #[must_use]
    pub fn value(&self, formula: &Formula) -> Option<Value> {
        let values: Vec<Value> = self
            .rows
            .iter()
            .filter_map(|row| formula.value(row))
            .collect();
        let first = values.first()?;
        if values.iter().all(|value| value == first) {
            return Some(first.clone());
        }
        let numbers: Option<Vec<f64>> = values.iter().map(Value::as_f64).collect();
        Sample::of(&numbers?).map(|sample| Value::Float(sample.mean))
    }

    /// Returns the value of a name if all members have the same one.
    #[must_use]
    pub fn shared(&self, name: &str) -> Option<Value> {
        let mut values = self.rows.iter().map(|row| row.value(name));
        let first = values.next()?;
        if values.all(|value| value == first) {
            first
        } else {
            None
        }
    }
}

/// Returns the confidence interval of the mean by Student's t; `None` for a single value.
fn student_interval(sample: &Sample) -> Option<(f64, f64)> {
    let half = sample.half_width(CONFIDENCE)?;
    Some((sample.mean - half, sample.mean + half))
}

/// Joins values to a text, such that different values give different texts.
fn joined(values: impl Iterator<Item = Option<Value>>) -> String {
    let mut text = String::new();
    for value in values {
        match value {
            // Equal numbers may be written 1 in one file and 1.0 in another.
            Some(value) => match value.as_f64() {
                Some(number) => drop(write!(text, "{number:?}")),
                None => drop(write!(text, "{value}")),
            },
            None => text.push('\u{1e}'),
        }
        text.push('\u{1f}');
    }
    text
}
