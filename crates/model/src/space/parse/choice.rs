//! Reads values, choices among values, and choices among rows.

use super::Body;
use crate::source::{Diagnostic, Diagnostics, Node, NodeValue, Section, Span, Table};
use crate::space::choice::Cases;
use crate::space::{Name, Value};
use std::collections::HashMap;

/// Reads a constant value. Arrays become lists. Reports values that are not finite, dates and
/// tables.
pub(crate) fn value_of(name: &str, node: &Node, d: &mut Diagnostics) -> Option<Value> {
    match &node.value {
        NodeValue::Text(text) => Some(Value::Text(text.as_str().into())),
        NodeValue::Int(number) => Some(Value::Int(*number)),
        NodeValue::Float(number) if number.is_finite() => Some(Value::Float(number + 0.0)),
        NodeValue::Float(_) => {
            let message = format!("a value of `{name}` is not finite");
            let diagnostic = Diagnostic::error("not-finite", message)
                .at(node.span.clone(), format!("this is {}", node.written));
            d.push(diagnostic.hint("write it as a string if the program understands it: \"inf\""));
            None
        }
        NodeValue::Bool(flag) => Some(Value::Bool(*flag)),
        NodeValue::Array(items) => {
            let values: Vec<_> = items.iter().map(|item| value_of(name, item, d)).collect();
            values.into_iter().collect::<Option<_>>().map(Value::List)
        }
        NodeValue::Datetime(_) | NodeValue::Table(_) => {
            let diagnostic = super::wrong_type(
                name,
                "a number, a string, a boolean or an array of them",
                node,
            );
            let is_date = matches!(node.value, NodeValue::Datetime(_));
            d.push(if is_date {
                diagnostic.hint("write it as a string, in quotes")
            } else {
                diagnostic
            });
            None
        }
    }
}

/// Reads a choice written as an array: `x = [...]`. All values are equally probable.
pub(super) fn read_array(
    name: &str,
    items: &[Node],
    span: &Span,
    d: &mut Diagnostics,
) -> Option<Body> {
    let values = read_distinct(name, items, span, d)?;
    let (cases, ordered) = (Cases::uniform(values.len()), ascending(&values));
    Some(Body::Choice {
        values,
        cases,
        ordered,
    })
}

/// Reads the keys `choice`, `weights` and `ordered`.
pub(super) fn read_choice(name: &str, section: &mut Section, d: &mut Diagnostics) -> Option<Body> {
    let node = section.take("choice");
    let ordered = section.take_bool("ordered", d);
    let weights = section.take("weights");
    let node = node?;
    let NodeValue::Array(items) = &node.value else {
        d.push(
            super::wrong_type("choice", "an array", &node).hint("write `choice = [\"a\", \"b\"]`"),
        );
        return None;
    };
    let values = read_distinct(name, items, &node.span, d);
    let cases = read_weights(name, items.len(), weights, d);
    let values = values?;
    let ordered = ordered.map_or_else(|| ascending(&values), |(ordered, _)| ordered);
    Some(Body::Choice {
        values,
        cases: cases?,
        ordered,
    })
}

/// Names that the rows set, each with its span, and the rows.
type RowsBody = (Vec<(Name, Span)>, Body);

/// Reads the keys `rows` and `weights`. The first row determines the names.
pub(super) fn read_rows(
    name: &str,
    prefix: &str,
    section: &mut Section,
    d: &mut Diagnostics,
) -> Option<RowsBody> {
    let node = section.take("rows");
    let weights = section.take("weights");
    let node = node?;
    let NodeValue::Array(items) = &node.value else {
        d.push(super::wrong_type("rows", "an array of tables", &node));
        return None;
    };
    let before = d.list.len();
    let mut tables = Vec::new();
    for item in items {
        match &item.value {
            NodeValue::Table(table) => tables.push((table, &item.span)),
            _ => d.push(super::wrong_type(
                "a row",
                "a table: { a = 1, b = 2 }",
                item,
            )),
        }
    }
    let cases = read_weights(name, items.len(), weights, d);
    let Some((first, _)) = tables
        .first()
        .filter(|(table, _)| !table.entries.is_empty())
    else {
        if d.list.len() == before {
            d.push(
                Diagnostic::error("empty-choice", format!("`{name}` has no rows"))
                    .at(node.span.clone(), "give at least one"),
            );
        }
        return None;
    };
    let mut rows: Vec<Vec<Value>> = Vec::new();
    let mut seen = HashMap::new();
    for (table, span) in &tables {
        let Some(row) = read_row(name, first, table, span, d) else {
            continue;
        };
        let text = serde_json::to_string(&row).unwrap_or_default();
        if let Some(earlier) = seen.insert(text, (*span).clone()) {
            d.push(duplicate(&format!("a row of `{name}`"), span, earlier));
        }
        rows.push(row);
    }
    let targets = first
        .entries
        .iter()
        .map(|(key, _)| (format!("{prefix}{}", key.name).into(), key.span.clone()))
        .collect();
    for (column, _) in &first.entries {
        if let Some(reason) = super::table::unusable(&column.name) {
            let message = format!(
                "`{}` cannot be the name of a parameter: {reason}",
                column.name.escape_debug()
            );
            d.push(Diagnostic::error("bad-name", message).at(column.span.clone(), "rename it"));
        }
    }
    (d.list.len() == before).then_some(())?;
    Some((
        targets,
        Body::Rows {
            rows,
            cases: cases?,
        },
    ))
}

/// Reads one row, which must set the same names as the first.
fn read_row(
    name: &str,
    first: &Table,
    table: &Table,
    span: &Span,
    d: &mut Diagnostics,
) -> Option<Vec<Value>> {
    let (expected, actual) = (sorted_names(first), sorted_names(table));
    if expected != actual {
        let message = format!("the rows of `{name}` set different names");
        let diagnostic = Diagnostic::error("uneven-rows", message)
            .at(span.clone(), format!("sets {}", actual.join(", ")));
        d.push(diagnostic.hint(format!("the first row sets {}", expected.join(", "))));
        return None;
    }
    first
        .entries
        .iter()
        .map(|(key, _)| value_of(&key.name, table.get(&key.name)?, d))
        .collect()
}

fn sorted_names(table: &Table) -> Vec<&str> {
    let mut names: Vec<_> = table
        .entries
        .iter()
        .map(|(key, _)| key.name.as_str())
        .collect();
    names.sort_unstable();
    names
}

/// Reads the weights of `count` cases. Without weights all cases are equally probable.
fn read_weights(
    name: &str,
    count: usize,
    weights: Option<Node>,
    d: &mut Diagnostics,
) -> Option<Cases> {
    let Some(node) = weights else {
        return (count > 0).then(|| Cases::uniform(count));
    };
    let NodeValue::Array(items) = &node.value else {
        d.push(super::wrong_type("weights", "an array of numbers", &node));
        return None;
    };
    let mut weights = Vec::new();
    for item in items {
        let weight = match item.value {
            NodeValue::Int(weight) => weight as f64,
            NodeValue::Float(weight) => weight,
            _ => f64::NAN,
        };
        if !(0.0..=1e300).contains(&weight) {
            d.push(
                bad_weights("bad weight", name)
                    .at(item.span.clone(), "must be a number of at least 0"),
            );
            return None;
        }
        weights.push(weight);
    }
    if weights.len() != count {
        let label = format!("{} weights for {count} choices", weights.len());
        d.push(bad_weights("wrong number of weights", name).at(node.span.clone(), label));
        return None;
    }
    // Scaled down, because the plain sum of weights near 1e300 could overflow.
    let total = weights.iter().map(|weight| weight / 1e3).sum::<f64>() * 1e3;
    if total <= 0.0 {
        d.push(
            bad_weights("all weights are zero", name)
                .at(node.span.clone(), "at least one must be positive"),
        );
        return None;
    }
    if let Some(index) = weights
        .iter()
        .position(|weight| *weight > 0.0 && *weight < 1e-9 * total)
    {
        let diagnostic = bad_weights("too small a weight", name)
            .at(items[index].span.clone(), "would never be drawn");
        d.push(diagnostic.hint("write 0, or leave the choice out"));
        return None;
    }
    Some(Cases::weighted(&weights))
}

fn bad_weights(problem: &str, name: &str) -> Diagnostic {
    Diagnostic::error("bad-weights", format!("{problem} of `{name}`"))
}

/// Reads values and reports duplicates.
fn read_distinct(
    name: &str,
    items: &[Node],
    span: &Span,
    d: &mut Diagnostics,
) -> Option<Vec<Value>> {
    if items.is_empty() {
        let message = format!("the choice of `{name}` is empty");
        d.push(
            Diagnostic::error("empty-choice", message).at(span.clone(), "give at least one value"),
        );
        return None;
    }
    let before = d.list.len();
    let mut seen = HashMap::new();
    let mut values = Vec::with_capacity(items.len());
    for item in items {
        let Some(value) = value_of(name, item, d) else {
            continue;
        };
        // 1 and 1.0 are the same choice.
        let key = match value.as_f64() {
            Some(number) => format!("{number:e}"),
            None => serde_json::to_string(&value).unwrap_or_default(),
        };
        if let Some(earlier) = seen.insert(key, item.span.clone()) {
            d.push(duplicate(
                &format!("a choice of `{name}`"),
                &item.span,
                earlier,
            ));
        }
        values.push(value);
    }
    (d.list.len() == before).then_some(values)
}

fn duplicate(subject: &str, span: &Span, earlier: Span) -> Diagnostic {
    Diagnostic::error("duplicate-choice", format!("{subject} is listed twice"))
        .at(span.clone(), "again")
        .at(earlier, "first")
        .hint("leave one out; to draw it more often give `weights`")
}

/// Returns whether all values are numbers in strictly ascending order.
fn ascending(values: &[Value]) -> bool {
    let numbers: Option<Vec<f64>> = values.iter().map(Value::as_f64).collect();
    numbers.is_some_and(|numbers| numbers.is_sorted_by(|a, b| a < b))
}
