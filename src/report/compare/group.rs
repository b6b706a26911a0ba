//! Putting trials into groups: by what was asked for, or trials of one configuration that differ in
//! their seed only.

use super::source::{Row, Source};
use crate::numerics::bootstrap;
use crate::numerics::sample::Sample;
use crate::report::formula::{Cells, Formula};
use crate::space::Value;
use crate::study::Goal;
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;

/// How sure the intervals are.
pub const CONFIDENCE: f64 = 0.95;
/// The fewest numbers the bootstrap has something to draw from.
const BOOTSTRAPPED: usize = 5;

/// What makes two trials members of one group, and what is measured of them.
pub struct Grouping {
    /// What is compared.
    pub metric: Formula,
    /// Whether small or large is good.
    pub goal: Goal,
    /// What tells the groups apart; empty: the whole configuration, of each study by itself.
    pub by: Vec<Formula>,
    /// Names that tell the members of a group apart and pair them with those of another.
    pub pair: Vec<String>,
    /// Whether trials that are not complete count, with what they have reported so far.
    pub all: bool,
    /// Whether intervals are by bootstrap.
    pub bootstrap: bool,
}

/// Some trials that belong together.
pub struct Group<'a> {
    /// Its members, in the order they came.
    pub rows: Vec<Row<'a>>,
    /// What [`Grouping::by`] gives for it.
    pub key: Vec<Option<Value>>,
    /// The metric of each member that has it, with what it is paired by.
    pub numbers: Vec<(String, f64)>,
    /// Their mean and spread.
    pub sample: Option<Sample>,
    /// The interval of the mean.
    pub interval: Option<(f64, f64)>,
}

/// The groups, and the trials that are in none.
pub struct Grouped<'a> {
    /// The groups in the order of their first trials.
    pub groups: Vec<Group<'a>>,
    /// How many trials were left out, by why.
    pub left_out: BTreeMap<String, usize>,
}

impl Grouping {
    /// Puts the trials of all sources into groups. Those that are not complete or lack the metric
    /// are left out.
    #[must_use]
    pub fn group<'a>(&self, sources: &'a [Source], condition: Option<&Formula>) -> Grouped<'a> {
        let mut places: HashMap<String, usize> = HashMap::new();
        let mut groups: Vec<Group<'a>> = Vec::new();
        let mut left_out: BTreeMap<String, usize> = BTreeMap::new();
        for (number, source) in sources.iter().enumerate() {
            let params: Vec<String> = source
                .params()
                .into_iter()
                .filter(|name| !self.pair.contains(name))
                .collect();
            let single = params.is_empty();
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
                let text = match (self.by.is_empty(), single) {
                    (false, _) => joined(key.iter().cloned()),
                    (true, false) => {
                        format!(
                            "{number}\u{1f}{}",
                            joined(params.iter().map(|name| row.value(name)))
                        )
                    }
                    (true, true) => format!("{number}\u{1f}{}", row.label()),
                };
                let place = *places.entry(text).or_insert_with(|| {
                    groups.push(Group {
                        rows: Vec::new(),
                        key,
                        numbers: Vec::new(),
                        sample: None,
                        interval: None,
                    });
                    groups.len() - 1
                });
                groups[place].rows.push(row);
                groups[place].numbers.push((self.pairing(&row), value));
            }
        }
        for group in &mut groups {
            group.measure(self.bootstrap);
        }
        Grouped { groups, left_out }
    }

    /// Returns what is good of a formula, if it is what is compared.
    #[must_use]
    pub fn goal_of(&self, formula: &Formula) -> Option<Goal> {
        (formula.text() == self.metric.text()).then_some(self.goal)
    }

    /// Returns what a trial is paired by: equal for trials that ran under equal circumstances.
    fn pairing(&self, row: &Row<'_>) -> String {
        joined(self.pair.iter().map(|name| {
            row.value(&format!("param.{name}"))
                .or_else(|| row.value(name))
        }))
    }
}

impl Group<'_> {
    fn measure(&mut self, bootstrapped: bool) {
        let numbers: Vec<f64> = self.numbers.iter().map(|(_, number)| *number).collect();
        self.sample = Sample::of(&numbers);
        let student = |sample: &Sample| {
            let half = sample.half_width(CONFIDENCE)?;
            Some((sample.mean - half, sample.mean + half))
        };
        self.interval = if bootstrapped {
            Some(&numbers)
                .filter(|numbers| numbers.len() >= BOOTSTRAPPED)
                .and_then(|numbers| bootstrap::mean_interval(numbers, CONFIDENCE))
        } else {
            self.sample.as_ref().and_then(student)
        };
    }

    /// Returns the mean of the metric; every group has one.
    #[must_use]
    pub fn mean(&self) -> f64 {
        self.sample.map_or(f64::NAN, |sample| sample.mean)
    }

    /// Returns the best number and the trial that has it.
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

    /// Returns what a formula gives for the group: of numbers the mean, of anything else the value
    /// they share.
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

    /// Returns the value of a name that all members share, `None` if they do not.
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

/// Joins values so that different ones stay different.
fn joined(values: impl Iterator<Item = Option<Value>>) -> String {
    let mut text = String::new();
    for value in values {
        match value {
            // 1 and 1.0 are the same value in different files.
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
