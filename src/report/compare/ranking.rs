//! Groups in order, each beside the reference.

use super::group::{Group, Grouped, Grouping};
use super::source::Source;
use super::verdict::{self, Against, Rules, Verdict};
use crate::report::formula::Formula;
use crate::space::Value;
use crate::study::Goal;
use std::cmp::Ordering;
use std::collections::BTreeMap;

/// A comparison, ready to be shown.
pub struct Ranking<'a> {
    /// How the groups were made.
    pub grouping: &'a Grouping,
    /// How they were compared.
    pub rules: Rules,
    /// Where they come from.
    pub sources: &'a [Source],
    /// The groups in order, with what can be said of each beside the reference.
    pub groups: Vec<(Group<'a>, Against)>,
    /// Over how many comparisons the p-values are corrected.
    pub family: usize,
    /// How many trials were left out, by why.
    pub left_out: BTreeMap<String, usize>,
    /// How many groups there are in all, those cut off by `--top` included.
    pub total: usize,
}

impl<'a> Ranking<'a> {
    /// Compares the groups with the best of those that have enough trials, or with the one that is
    /// the baseline, and puts the best first.
    pub fn of(
        grouping: &'a Grouping,
        sources: &'a [Source],
        grouped: Grouped<'a>,
        mut rules: Rules,
        is_baseline: &dyn Fn(&Group<'_>) -> bool,
    ) -> Self {
        let mut groups = grouped.groups;
        let best_first = |a: &Group<'_>, b: &Group<'_>| match rules.goal {
            Goal::Min => a.mean().total_cmp(&b.mean()),
            Goal::Max => b.mean().total_cmp(&a.mean()),
        };
        groups.sort_by(best_first);
        let chosen = groups.iter().position(is_baseline);
        // One lucky trial is nothing to compare with where others ran several times.
        let able = || {
            groups
                .iter()
                .position(|group| group.numbers.len() >= verdict::FEWEST)
        };
        let reference = chosen.or_else(able).unwrap_or(0);
        (rules.baseline, rules.leads) = (chosen.is_some(), reference == 0);
        let (compared, family) = match groups.is_empty() {
            true => (Vec::new(), 0),
            false => verdict::against(&groups, reference, &rules),
        };
        let total = groups.len();
        let groups = groups.into_iter().zip(compared).collect();
        Self {
            grouping,
            rules,
            sources,
            groups,
            family,
            left_out: grouped.left_out,
            total,
        }
    }

    /// Sorts by a column instead, the smallest first or, turned, the largest; what does not have it
    /// comes last.
    pub fn sort_by(&mut self, formula: &Formula, turned: bool) {
        let key = |group: &Group<'_>| group.value(formula);
        self.groups.sort_by_cached_key(|(group, _)| Key {
            value: key(group),
            turned,
        });
    }

    /// Returns whether some group has more than one trial, so that there is something to say about
    /// noise.
    #[must_use]
    pub fn is_repeated(&self) -> bool {
        self.groups.iter().any(|(group, _)| group.rows.len() > 1)
    }

    /// Returns how many groups have the verdict.
    #[must_use]
    pub fn count(&self, wanted: Verdict) -> usize {
        self.groups
            .iter()
            .filter(|(_, against)| against.verdict == wanted)
            .count()
    }
}

/// Orders values: numbers by size, anything else by its text, what is absent or no number last.
pub struct Key {
    /// The value.
    pub value: Option<Value>,
    /// Whether large comes first.
    pub turned: bool,
}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> Ordering {
        let turn = |ordering: Ordering| {
            if self.turned {
                ordering.reverse()
            } else {
                ordering
            }
        };
        match (&self.value, &other.value) {
            (None, None) => Ordering::Equal,
            (None, Some(_)) => Ordering::Greater,
            (Some(_), None) => Ordering::Less,
            (Some(one), Some(two)) => match (one.as_f64(), two.as_f64()) {
                (Some(one), Some(two)) if one.is_nan() || two.is_nan() => {
                    one.is_nan().cmp(&two.is_nan())
                }
                (Some(one), Some(two)) => turn(one.total_cmp(&two)),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                _ => turn(one.to_string().cmp(&two.to_string())),
            },
        }
    }
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Key {}
