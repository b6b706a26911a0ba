//! A ranking as a table for people.

use super::group::Group;
use super::ranking::Ranking;
use super::source::Row;
use super::verdict::Verdict;
use crate::formula::{Cells, Formula};
use crate::listing::{Detail, values_column};
use crate::number;
use crate::table::{Column, RowTone, Table};
use std::collections::BTreeSet;
use swath_model::space::Value;

/// Options of the table, apart from the comparison itself.
pub struct Shown<'a> {
    /// Requested columns, shown instead of the parameters.
    pub cols: &'a [Formula],
    /// Titles of the columns to leave out.
    pub drop: &'a [String],
    /// Precision of the values.
    pub detail: Detail,
}

/// A table without the columns that the user dropped.
struct Selected<'a> {
    table: Table,
    dropped: &'a [String],
}

impl Selected<'_> {
    fn push(&mut self, title: &str, column: Column) {
        if !self.dropped.iter().any(|dropped| dropped == title) {
            self.table.push(column);
        }
    }
}

/// Returns the table of a ranking: the columns that distinguish the groups, the metric with its
/// interval, the verdict, and the evidence for the verdict.
#[must_use]
pub fn table(ranking: &Ranking<'_>, shown: &Shown<'_>) -> Table {
    let groups = &ranking.groups;
    let tones = ranking.comparisons().map(|against| match against.verdict {
        Verdict::Reference => RowTone::Best,
        Verdict::Worse => RowTone::Faint,
        _ => RowTone::Usual,
    });
    let mut table = Selected {
        table: Table::new(tones.collect()),
        dropped: shown.drop,
    };
    let by = &ranking.grouping.by;
    if by.is_empty() {
        let varied = ranking.sources.len() > 1;
        if varied {
            let names = groups
                .iter()
                .map(|(group, _)| group.rows[0].source.name.clone());
            table.push("study", Column::texts("study", names).keep());
        }
        let labels = groups.iter().map(|(group, _)| labels(group));
        // Several ids in one cell are a text, a single id is a number.
        let column = if ranking.is_repeated() {
            Column::texts("trial", labels)
        } else {
            Column::numbers("trial", labels)
        };
        table.push("trial", column.keep());
    }
    for (index, formula) in by.iter().enumerate() {
        let values: Vec<_> = groups
            .iter()
            .map(|(group, _)| group.key[index].clone())
            .collect();
        table.push(
            formula.text(),
            values_column(formula.text(), &as_refs(&values), shown.detail).keep(),
        );
    }
    let repeated = ranking.is_repeated() || !by.is_empty();
    if repeated {
        table.push(
            "n",
            Column::numbers(
                "n",
                groups.iter().map(|(group, _)| group.rows.len().to_string()),
            )
            .keep(),
        );
    }
    let metric = ranking.grouping.metric.text();
    table.push(
        metric,
        Column::numbers(metric, means(ranking, shown.detail)).keep(),
    );
    if repeated {
        let words = groups
            .iter()
            .map(|(_, against)| against.verdict.words(&ranking.rules).to_owned());
        table.push("verdict", Column::texts("verdict", words));
    }
    if shown.cols.is_empty() && by.is_empty() {
        for name in varying(ranking) {
            let values: Vec<_> = groups
                .iter()
                .map(|(group, _)| group.shared(&name))
                .collect();
            table.push(&name, values_column(&name, &as_refs(&values), shown.detail));
        }
    }
    for formula in shown.cols {
        let values: Vec<_> = groups
            .iter()
            .map(|(group, _)| group.value(formula))
            .collect();
        // A parameter keeps its own digits; measured values share a count of decimals.
        let is_param = ranking
            .sources
            .iter()
            .any(|source| source.params().iter().any(|name| name == formula.text()));
        let numbers: Vec<_> = values
            .iter()
            .map(|value| value.as_ref().and_then(Value::as_f64))
            .collect();
        let measured = !is_param
            && values
                .iter()
                .zip(&numbers)
                .all(|(value, number)| value.is_none() || number.is_some());
        let column = if measured {
            Column::numbers(formula.text(), number::column(&numbers))
        } else {
            values_column(formula.text(), &as_refs(&values), shown.detail)
        };
        table.push(formula.text(), column);
    }
    evidence(ranking, repeated, &mut table);
    table.table
}

/// Appends the evidence: ratio of the means, difference, p-value, effect size and number of pairs.
fn evidence(ranking: &Ranking<'_>, repeated: bool, table: &mut Selected<'_>) {
    if ranking.comparisons().any(|against| against.ratio.is_some()) {
        let ratios = ranking.comparisons().map(|against| match against.ratio {
            Some((ratio, Some(half))) => plus_minus(ratio, half, digits(half).max(2)),
            Some((ratio, None)) => format!("{ratio:.2}"),
            None => String::new(),
        });
        table.push("ratio", Column::numbers("ratio", ratios));
    }
    // Without repeated trials there is no difference to test.
    if !repeated
        || ranking
            .comparisons()
            .all(|against| against.difference.is_none())
    {
        return best(ranking, table);
    }
    let differences =
        ranking
            .comparisons()
            .map(|against| match (against.difference, against.half_width) {
                (Some(difference), Some(half)) => signed(difference.mean, half),
                _ => String::new(),
            });
    table.push("difference", Column::numbers("difference", differences));
    let p = ranking
        .comparisons()
        .map(|against| against.corrected.map_or_else(String::new, p_value));
    table.push("p", Column::numbers("p", p));
    let effects = ranking.comparisons().map(|against| {
        against
            .effect
            .map_or_else(String::new, |effect| format!("{effect:+.2}"))
    });
    table.push("g", Column::numbers("g", effects));
    if ranking.comparisons().any(|against| against.pairs.is_some()) {
        let pairs = ranking.comparisons().map(|against| {
            against
                .pairs
                .map_or_else(String::new, |pairs| pairs.to_string())
        });
        table.push("pairs", Column::numbers("pairs", pairs));
    }
    best(ranking, table);
}

/// Appends the best value and trial of each group. Without `by` a group is a single configuration,
/// and nothing is appended.
fn best(ranking: &Ranking<'_>, table: &mut Selected<'_>) {
    if ranking.grouping.by.is_empty() {
        return;
    }
    let goal = ranking.rules.goal;

    let numbers: Vec<_> = ranking
        .groups()
        .map(|group| group.best(goal).map(|(number, _)| number))
        .collect();
    table.push("best", Column::numbers("best", number::column(&numbers)));
    let trials = ranking.groups().map(|group| {
        group
            .best(goal)
            .map_or_else(String::new, |(_, row)| row.label())
    });
    table.push("best trial", Column::numbers("best trial", trials));
}

/// Returns the names of parameters in which the trials of the ranking differ. A ranking of a single
/// trial returns all names. Names that pair trials are left out. Of a table that marks no
/// parameters all columns but the metric are considered.
#[must_use]
pub fn varying(ranking: &Ranking<'_>) -> Vec<String> {
    let pair = &ranking.grouping.pair;
    let mut seen = BTreeSet::new();
    let names = ranking.sources.iter().flat_map(|source| {
        let unmarked = source.unmarked();
        let metric = ranking.grouping.metric.text();
        source
            .params()
            .into_iter()
            .chain(unmarked.into_iter().filter(move |name| name != metric))
    });
    let names: Vec<String> = names
        .filter(|name| !pair.contains(name) && seen.insert(name.clone()))
        .collect();
    let rows: Vec<&Row<'_>> = ranking.groups().flat_map(|group| &group.rows).collect();
    if rows.len() < 2 {
        return names;
    }
    names
        .into_iter()
        .filter(|name| {
            let first = rows[0].value(name);
            rows.iter().any(|row| row.value(name) != first)
        })
        .collect()
}

/// Returns the ids of the trials of a group, at most three: `7`, `3,8,12`, `3,8,12…`.
fn labels(group: &Group<'_>) -> String {
    let shown: Vec<_> = group.rows.iter().take(3).map(super::Row::label).collect();
    format!(
        "{}{}",
        shown.join(","),
        if group.rows.len() > 3 { "…" } else { "" }
    )
}

fn as_refs(values: &[Option<Value>]) -> Vec<Option<&Value>> {
    values.iter().map(Option::as_ref).collect()
}

/// Returns the mean of each group, with its interval if it has one. All cells get as many decimals
/// as two digits of the narrowest interval need.
fn means(ranking: &Ranking<'_>, detail: Detail) -> Vec<String> {
    let halves = ranking
        .groups()
        .filter_map(|group| group.interval)
        .map(|(low, high)| 0.5 * (high - low));
    let smallest = halves
        .filter(|half| *half > 0.0)
        .fold(f64::INFINITY, f64::min);
    let largest = ranking
        .groups()
        .map(|group| group.mean().abs())
        .fold(0.0, f64::max);
    // Without an interval, or for very small or large means, no common count of decimals suits all
    // cells.
    if !smallest.is_finite() || !(1e-3..1e7).contains(&largest) {
        let means: Vec<_> = ranking.groups().map(|group| Some(group.mean())).collect();
        let means = match detail {
            Detail::Brief => number::column(&means),
            Detail::Exact => means
                .iter()
                .flatten()
                .map(|mean| number::short(*mean))
                .collect(),
        };
        return means
            .into_iter()
            .zip(ranking.groups())
            .map(|(mean, group)| with_interval(mean, group, ranking.grouping.bootstrap))
            .collect();
    }
    let digits = digits(smallest);
    let cells = ranking.groups().map(|group| match group.interval {
        Some((low, high)) if ranking.grouping.bootstrap => {
            format!(
                "{:.digits$} [{low:.digits$}, {high:.digits$}]",
                group.mean()
            )
        }
        Some((low, high)) => plus_minus(group.mean(), 0.5 * (high - low), digits),
        None => format!("{:.digits$}", group.mean()),
    });
    cells.collect()
}

/// Appends the interval of a group to its mean, each number with its own decimals.
fn with_interval(mean: String, group: &Group<'_>, bootstrap: bool) -> String {
    match group.interval {
        Some((low, high)) if bootstrap => {
            format!("{mean} [{}, {}]", number::short(low), number::short(high))
        }
        Some((low, high)) if high > low => {
            format!("{mean} ± {}", number::brief(0.5 * (high - low)))
        }
        _ => mean,
    }
}

/// Returns the number of decimals that shows two digits of `half`, from 0 to 6; 4 if it is 0 or not
/// finite.
fn digits(half: f64) -> usize {
    if half > 0.0 && half.is_finite() {
        (1.0 - half.log10().floor()).clamp(0.0, 6.0) as usize
    } else {
        4
    }
}

fn plus_minus(mean: f64, half: f64, digits: usize) -> String {
    format!("{mean:.digits$} ± {half:.digits$}")
}

/// Formats a difference with its sign and half the width of its interval.
fn signed(mean: f64, half: f64) -> String {
    if half != 0.0 && half < 1e-5 {
        return format!("{mean:+.2e} ± {half:.1e}");
    }
    let digits = digits(half);
    format!("{mean:+.digits$} ± {half:.digits$}")
}

fn p_value(p: f64) -> String {
    if p < 0.001 {
        "<0.001".to_owned()
    } else {
        format!("{p:.3}")
    }
}
