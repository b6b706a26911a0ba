//! Groups in order, each compared with the reference.

use super::group::{Group, Grouped, Grouping};
use super::source::Source;
use super::verdict::{self, Against, Rules, Verdict};
use crate::formula::Formula;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use swath_model::space::Value;
use swath_model::study::Goal;

/// A complete comparison, ready to be shown.
pub struct Ranking<'a> {
    /// The rules by which the groups were formed.
    pub grouping: &'a Grouping,
    /// The rules by which the groups were compared.
    pub rules: Rules,
    /// The sources of the groups.
    pub sources: &'a [Source],
    /// The groups in order, each with its comparison with the reference.
    pub groups: Vec<(Group<'a>, Against)>,
    /// Number of comparisons that the p-values are corrected for.
    pub family: usize,
    /// Number of trials that were left out, by reason.
    pub left_out: BTreeMap<String, usize>,
    /// Number of all groups, including those that `--top` cuts off.
    pub total: usize,
}

impl<'a> Ranking<'a> {
    /// Compares all groups with a reference and sorts them by their means, the best first. The
    /// reference is the first group that `is_baseline` accepts. Without a baseline it is the best
    /// group with at least [`verdict::FEWEST`] trials, or the best group if none has that many.
    pub fn of(
        grouping: &'a Grouping,
        sources: &'a [Source],
        grouped: Grouped<'a>,
        mut rules: Rules,
        is_baseline: &dyn Fn(&Group<'_>) -> bool,
    ) -> Self {
        let mut groups = grouped.groups;
        groups.sort_by(|a, b| match rules.goal {
            Goal::Min => a.mean().total_cmp(&b.mean()),
            Goal::Max => b.mean().total_cmp(&a.mean()),
        });
        let baseline = groups.iter().position(is_baseline);
        // A single lucky trial is no reference where other groups have several trials.
        let testable = groups
            .iter()
            .position(|group| group.numbers.len() >= verdict::FEWEST);
        let reference = baseline.or(testable).unwrap_or(0);
        // The words for the reference depend on how it was chosen; see [`Verdict::words`].
        (rules.baseline, rules.leads) = (baseline.is_some(), reference == 0);
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

    /// Sorts the groups by a column, the smallest first, or the largest first if `descending`.
    /// Groups without a value come last either way.
    pub fn sort_by(&mut self, formula: &Formula, descending: bool) {
        self.groups.sort_by_cached_key(|(group, _)| Key {
            value: group.value(formula),
            descending,
        });
    }

    /// Returns the groups in order, without their comparisons.
    pub(super) fn groups(&self) -> impl Iterator<Item = &Group<'a>> {
        self.groups.iter().map(|(group, _)| group)
    }

    /// Returns the comparison of each group with the reference, in the order of the groups.
    pub(super) fn comparisons(&self) -> impl Iterator<Item = &Against> {
        self.groups.iter().map(|(_, against)| against)
    }

    /// Returns whether any group has more than one trial, so that noise can be estimated.
    #[must_use]
    pub fn is_repeated(&self) -> bool {
        self.groups.iter().any(|(group, _)| group.rows.len() > 1)
    }

    /// Returns the number of groups with a verdict.
    #[must_use]
    pub fn count(&self, verdict: Verdict) -> usize {
        self.groups
            .iter()
            .filter(|(_, against)| against.verdict == verdict)
            .count()
    }
}

/// Sort key of a value. Numbers come first, by size, then NaN, then texts in alphabetical order,
/// then absent values.
pub struct Key {
    /// The value; `None` if it is absent.
    pub value: Option<Value>,
    /// Whether the order of numbers and that of texts is descending. The order of the kinds stays.
    pub descending: bool,
}

impl Key {
    fn directed(&self, ordering: Ordering) -> Ordering {
        if self.descending {
            ordering.reverse()
        } else {
            ordering
        }
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> Ordering {
        match (&self.value, &other.value) {
            (None, None) => Ordering::Equal,
            (None, Some(_)) => Ordering::Greater,
            (Some(_), None) => Ordering::Less,
            (Some(one), Some(two)) => match (one.as_f64(), two.as_f64()) {
                (Some(one), Some(two)) if one.is_nan() || two.is_nan() => {
                    one.is_nan().cmp(&two.is_nan())
                }
                (Some(one), Some(two)) => self.directed(one.total_cmp(&two)),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                _ => self.directed(one.to_string().cmp(&two.to_string())),
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
