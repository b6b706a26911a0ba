//! Untried parts of the space: values of choices, ends of ranges, branches, and trials that never started.

use super::parameters::shown;
use super::{Facts, Insight, Subject, listed, trials};
use crate::number;
use serde_json::json;
use swath_model::space::{Extent, Name, Value};
use swath_model::study::{Trial, TrialState};

/// Minimum number of trials before it matters that something was not tried.
const FEW: usize = 10;
/// Maximum number of values that a sentence names.
const MOST_NAMED: usize = 5;
/// Probability that random trials leave out an end of any range at all.
const BY_CHANCE: f64 = 0.005;

pub(super) fn insights(facts: &Facts<'_>) -> Vec<Insight> {
    let mut insights = Vec::new();
    insights.extend(unstarted(facts));
    let tried: Vec<&Trial> = facts
        .input
        .trials
        .iter()
        .copied()
        .filter(|trial| !trial.outside)
        .collect();
    let Some(space) = facts
        .input
        .space
        .filter(|_| tried.len() >= FEW && facts.is_whole)
    else {
        return insights;
    };
    let params = &facts.study.header().params;
    for name in params {
        let values: Vec<&Value> = tried
            .iter()
            .filter_map(|trial| trial.params.get(name))
            .flat_map(with_items)
            .collect();
        let extent = space.extent(name);
        if values.is_empty() {
            if extent.is_some() {
                let text = format!("No trial has `{name}`: its condition never held.");
                let numbers = json!({"parameter": **name, "what": "branch"});
                insights.push(Insight::new(Subject::Untried, "slice", text, numbers));
            }
            continue;
        }
        match extent {
            Some(Extent::Choice(known)) => insights.extend(undrawn(name, &known, &values)),
            Some(Extent::Range { min, max, log }) => {
                let level = BY_CHANCE / (2 * params.len()) as f64;
                insights.extend(unreached(name, (min, max, log), &values, level));
            }
            None => {}
        }
    }
    insights
}

/// Returns a value and, if it is a list, its items: it is one of the values of a choice, or has the
/// draws of a repeated parameter.
fn with_items(value: &Value) -> impl Iterator<Item = &Value> {
    let items = match value {
        Value::List(items) => items.as_slice(),
        _ => &[],
    };
    std::iter::once(value).chain(items)
}

/// Returns the sentence on trials that were planned and never started. While a run goes on they are
/// the rest of it.
fn unstarted(facts: &Facts<'_>) -> Option<Insight> {
    if facts.is_running || !facts.is_whole {
        return None;
    }
    let waiting: Vec<&Trial> = facts
        .input
        .trials
        .iter()
        .copied()
        .filter(|trial| trial.state == TrialState::Waiting && trial.attempts == 0 && !trial.outside)
        .collect();
    let planned = facts.study.header().trials.unwrap_or(0);
    let missing = planned.saturating_sub(facts.study.counted()) as usize + waiting.len();
    if missing == 0 {
        return None;
    }
    let verb = if missing == 1 { "was" } else { "were" };
    let of = match planned {
        0 => String::new(),
        planned => format!(" of the {planned} that the sweep file asks for"),
    };
    let text = format!("{}{of} {verb} not started.", trials(missing));
    let numbers = json!({"what": "trials", "unstarted": missing, "planned": planned});
    Some(Insight::new(Subject::Untried, "timeline", text, numbers).with_trials(waiting))
}

/// Returns the sentence on the values of a choice that no trial has.
fn undrawn(name: &Name, known: &[Value], values: &[&Value]) -> Option<Insight> {
    let missing: Vec<&Value> = known
        .iter()
        .filter(|known| !values.contains(known))
        .collect();
    if missing.is_empty() {
        return None;
    }
    let mut words: Vec<String> = missing
        .iter()
        .take(MOST_NAMED)
        .map(|it| shown(it))
        .collect();
    if missing.len() > MOST_NAMED {
        words.push(format!("{} others", missing.len() - MOST_NAMED));
    }
    let text = format!(
        "`{name}`: {} of {} values {} never tried: {}.",
        missing.len(),
        known.len(),
        if missing.len() == 1 { "was" } else { "were" },
        listed(&words)
    );
    let shown: Vec<String> = missing.iter().map(|value| shown(value)).collect();
    let numbers = json!({
        "what": "values", "parameter": **name, "values": shown, "known": known.len(),
    });
    Some(Insight::new(Subject::Untried, "slice", text, numbers))
}

/// Returns the sentence on an end of a range that no trial comes near. As many random trials would
/// leave out so much of the range with a probability below `level`.
fn unreached(
    name: &Name,
    (min, max, log): (f64, f64, bool),
    values: &[&Value],
    level: f64,
) -> Option<Insight> {
    let position = |value: f64| {
        let unit = if log {
            (value / min).ln() / (max / min).ln()
        } else {
            (value - min) / (max - min)
        };
        unit.is_finite().then_some(unit)
    };
    let tried: Vec<(f64, f64)> = values
        .iter()
        .filter_map(|value| {
            value
                .as_f64()
                .and_then(|value| Some((position(value)?, value)))
        })
        .collect();
    let count = tried.len() as f64;
    let first = tried.iter().copied().min_by(|a, b| a.0.total_cmp(&b.0))?;
    let last = tried.iter().copied().max_by(|a, b| a.0.total_cmp(&b.0))?;
    let is_gap = |gap: f64| gap > 0.0 && (1.0 - gap.min(1.0)).powf(count) < level;
    let (low, high) = (is_gap(first.0), is_gap(1.0 - last.0));
    let text = match (low, high) {
        (false, false) => return None,
        (true, false) => format!("below {}", number::brief(first.1)),
        (false, true) => format!("above {}", number::brief(last.1)),
        (true, true) => format!(
            "below {} or above {}",
            number::brief(first.1),
            number::brief(last.1)
        ),
    };
    let text = format!(
        "`{name}`: no trial has a value {text}, although the range goes from {} to {}.",
        number::brief(min),
        number::brief(max)
    );
    let numbers = json!({
        "what": "end", "parameter": **name, "low": low, "high": high,
        "tried": [first.1, last.1], "range": [min, max],
    });
    Some(Insight::new(Subject::Untried, "slice", text, numbers))
}

#[cfg(test)]
mod tests {
    use super::{Value, undrawn, with_items};

    #[test]
    fn a_list_that_was_tried_is_neither_untried_itself_nor_are_its_items() {
        let list = Value::List(vec![Value::Int(64)]);
        let tried: Vec<&Value> = with_items(&list).collect();
        assert!(!is_untried(list.clone(), &tried) && !is_untried(Value::Int(64), &tried));
        assert!(is_untried(Value::Int(32), &tried));
    }

    fn is_untried(known: Value, tried: &[&Value]) -> bool {
        undrawn(&"units".into(), &[known], tried).is_some()
    }
}
