//! A ranking with all digits, as CSV and JSON.

use super::group::{CONFIDENCE, Group};
use super::ranking::Ranking;
use super::show::varying;
use super::verdict::{Against, Test};
use crate::formula::Formula;
use serde_json::{Map, Value as Json, json};
use std::io;
use swath_model::space::Value;
use swath_model::study::{Goal, Metric};

/// Writes the ranking as CSV, one row for each group. Without groups nothing is written, not even a
/// header.
///
/// # Errors
/// If `out` cannot be written.
pub fn csv(ranking: &Ranking<'_>, cols: &[Formula], out: impl io::Write) -> io::Result<()> {
    let mut writer = csv::Writer::from_writer(out);
    let rows: Vec<Vec<(String, String)>> = ranking
        .groups
        .iter()
        .map(|(group, against)| fields(ranking, cols, group, against))
        .collect();
    if let Some(first) = rows.first() {
        writer.write_record(first.iter().map(|(name, _)| name))?;
    }
    for row in &rows {
        writer.write_record(row.iter().map(|(_, cell)| cell))?;
    }
    writer.flush()
}

/// Returns a number with all its digits, or an empty cell.
fn number(number: Option<f64>) -> String {
    number.map_or_else(String::new, |number| format!("{number:?}"))
}

fn cell(value: Option<Value>) -> String {
    value.map_or_else(String::new, |value| value.to_string())
}

/// Returns the names and cells of one CSV row. All groups of a ranking have the same names.
fn fields(
    ranking: &Ranking<'_>,
    cols: &[Formula],
    group: &Group<'_>,
    against: &Against,
) -> Vec<(String, String)> {
    let mut fields: Vec<(String, String)> = Vec::new();
    let mut push_field = |name: &str, cell: String| fields.push((name.to_owned(), cell));
    let by = &ranking.grouping.by;
    for (formula, value) in by.iter().zip(&group.key) {
        push_field(formula.text(), cell(value.clone()));
    }
    if by.is_empty() {
        push_field("study", group.rows[0].source.name.clone());
        let trials: Vec<_> = group.rows.iter().map(super::Row::label).collect();
        push_field("trials", trials.join(";"));
        for name in varying(ranking) {
            push_field(&name, cell(group.shared(&name)));
        }
    }
    push_field("n", group.rows.len().to_string());
    push_field("mean", number(Some(group.mean())));
    push_field(
        "std",
        number(
            group
                .sample
                // The standard deviation of one value is 0 by definition, which would look like a
                // measurement.
                .filter(|sample| sample.n > 1)
                .map(|sample| sample.std),
        ),
    );
    push_field("low", number(group.interval.map(|interval| interval.0)));
    push_field("high", number(group.interval.map(|interval| interval.1)));
    push_field(
        "best",
        number(group.best(ranking.rules.goal).map(|best| best.0)),
    );
    push_field(
        "best_trial",
        group
            .best(ranking.rules.goal)
            .map_or_else(String::new, |(_, row)| row.label()),
    );
    let difference = against.difference.map(|difference| difference.mean);
    push_field("difference", number(difference));
    push_field(
        "difference_low",
        number(
            difference
                .zip(against.half_width)
                .map(|(mean, half)| mean - half),
        ),
    );
    push_field(
        "difference_high",
        number(
            difference
                .zip(against.half_width)
                .map(|(mean, half)| mean + half),
        ),
    );
    push_field(
        "pairs",
        against
            .pairs
            .map_or_else(String::new, |pairs| pairs.to_string()),
    );
    push_field("p", number(against.corrected));
    push_field("g", number(against.effect));
    push_field("ratio", number(against.ratio.map(|ratio| ratio.0)));
    push_field(
        "ratio_half_width",
        number(against.ratio.and_then(|ratio| ratio.1)),
    );
    push_field("verdict", against.verdict.words(&ranking.rules).to_owned());
    for formula in cols {
        push_field(formula.text(), cell(group.value(formula)));
    }
    fields
}

/// Returns the ranking as a JSON document. Absent values have no key.
#[must_use]
pub fn document(ranking: &Ranking<'_>, cols: &[Formula], notes: &[String]) -> Json {
    let groups: Vec<Json> = ranking
        .groups
        .iter()
        .map(|(group, against)| object(ranking, cols, group, against))
        .collect();
    json!({
        "metric": ranking.grouping.metric.text(),
        "goal": match ranking.rules.goal { Goal::Min => "min", Goal::Max => "max" },
        "by": ranking.grouping.by.iter().map(Formula::text).collect::<Vec<_>>(),
        "sources": ranking.sources.iter().map(|source| &source.name).collect::<Vec<_>>(),
        "confidence": CONFIDENCE,
        "interval": if ranking.grouping.bootstrap { "bootstrap" } else { "t" },
        "test": match ranking.rules.test { Test::T => "t", Test::Rank => "rank" },
        "comparisons": ranking.family,
        "left_out": ranking.left_out,
        "notes": notes,
        "groups": groups,
    })
}

/// Returns one group as a JSON object.
fn object(ranking: &Ranking<'_>, cols: &[Formula], group: &Group<'_>, against: &Against) -> Json {
    let mut object = Map::new();
    let by = &ranking.grouping.by;
    if by.is_empty() {
        object.insert("study".into(), group.rows[0].source.name.clone().into());
        let names = group.rows[0].source.params();
        object.insert(
            "params".into(),
            named_values(
                names
                    .iter()
                    .map(|name| (name.as_str(), group.shared(name)))
                    .collect(),
            ),
        );
    } else {
        object.insert(
            "by".into(),
            named_values(
                by.iter()
                    .map(Formula::text)
                    .zip(group.key.iter().cloned())
                    .collect(),
            ),
        );
    }
    object.insert(
        "trials".into(),
        group
            .rows
            .iter()
            .map(super::Row::label)
            .collect::<Vec<_>>()
            .into(),
    );
    let deviation = group.sample.filter(|sample| sample.n > 1);
    let uncorrected = against.corrected.and(against.difference);
    let numbers = [
        ("mean", Some(group.mean())),
        ("std", deviation.map(|sample| sample.std)),
        ("low", group.interval.map(|interval| interval.0)),
        ("high", group.interval.map(|interval| interval.1)),
        ("best", group.best(ranking.rules.goal).map(|best| best.0)),
        (
            "difference",
            against.difference.map(|difference| difference.mean),
        ),
        ("difference_half_width", against.half_width),
        ("p", against.corrected),
        ("p_uncorrected", uncorrected.map(|difference| difference.p)),
        ("g", against.effect),
        ("ratio", against.ratio.map(|ratio| ratio.0)),
        ("ratio_half_width", against.ratio.and_then(|ratio| ratio.1)),
    ];
    for (name, number) in numbers {
        if let Some(number) = number {
            object.insert(name.to_owned(), json!(Metric(number)));
        }
    }
    if let Some(pairs) = against.pairs {
        object.insert("pairs".into(), pairs.into());
    }
    object.insert("n".into(), group.rows.len().into());
    object.insert(
        "verdict".into(),
        against.verdict.words(&ranking.rules).into(),
    );
    if !cols.is_empty() {
        object.insert(
            "cols".into(),
            named_values(
                cols.iter()
                    .map(|formula| (formula.text(), group.value(formula)))
                    .collect(),
            ),
        );
    }
    object.into()
}

/// Returns the values that are present as a JSON object.
fn named_values(values: Vec<(&str, Option<Value>)>) -> Json {
    let mut object = Map::new();
    for (name, value) in values {
        match value {
            Some(Value::Float(number)) => object.insert(name.to_owned(), json!(Metric(number))),
            Some(value) => object.insert(name.to_owned(), json!(value)),
            None => None,
        };
    }
    object.into()
}
