//! Failures by their cause, with what their trials have in common.

use super::{Facts, Insight, SUBJECT_LEVEL, Subject, trials};
use crate::plots::axis::{self, Axis};
use crate::text::elide;
use crate::{number, summary};
use rand::RngExt;
use serde_json::json;
use std::collections::BTreeMap;
use swath_model::study::{Exit, Trial, TrialState};
use swath_numerics::exact_test::at_least;
use swath_numerics::sample::holm;
use swath_numerics::stream::{Purpose, stream};

/// Maximum number of causes with a sentence.
const MOST_CAUSES: usize = 4;
/// Maximum number of thresholds that are tried for a number.
const MOST_THRESHOLDS: usize = 16;
/// Minimum number of failures of one cause that may have something in common.
const FEW: usize = 3;
/// Number of permutations that show the best rule of failures without a rule.
const PERMUTATIONS: usize = 1_999;
/// Maximum number of look-ups of all permutations. With more the p-value is corrected by the number
/// of rules, which is larger.
const MOST_LOOKUPS: usize = 40_000_000;

/// A condition on one parameter, with the trials that fulfil it.
struct Rule {
    text: String,
    parameter: String,
    holds: Vec<bool>,
    count: usize,
}

/// The rule that describes the failures of a cause best.
struct Common<'r> {
    rule: &'r Rule,
    hits: usize,
    p: f64,
}

/// Returns a sentence for each of the most frequent causes.
pub(super) fn insights(facts: &Facts<'_>) -> Vec<Insight> {
    let ended: Vec<&Trial> = facts.input.ran().filter(|trial| has_ended(trial)).collect();
    let mut causes: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (row, trial) in ended.iter().enumerate() {
        if let Some(cause) = summary::kind_of_cause(trial.exit.as_ref()) {
            causes
                .entry(elide(&cause, 80).into_owned())
                .or_default()
                .push(row);
        }
    }
    let failed: usize = causes.values().map(Vec::len).sum();
    let mut causes: Vec<(String, Vec<usize>)> = causes.into_iter().collect();
    causes.sort_by(|a, b| b.1.len().cmp(&a.1.len()).then(a.0.cmp(&b.0)));
    let rules = rules(&axis::axes(facts.study, &ended, facts.input.space));
    let seed = facts.study.header().seed;
    let common: Vec<Option<Common<'_>>> = causes
        .iter()
        .map(|(_, rows)| common(&rules, rows, ended.len(), seed))
        .collect();
    let p_values: Vec<f64> = common
        .iter()
        .map(|common| common.as_ref().map_or(f64::NAN, |common| common.p))
        .collect();
    let corrected = holm(&p_values);
    let sentences = causes.iter().zip(common).zip(corrected).take(MOST_CAUSES);
    sentences
        .map(|(((cause, rows), common), p)| {
            let common = common.filter(|_| p <= SUBJECT_LEVEL);
            sentence(
                &ended,
                failed,
                cause,
                rows,
                common.map(|common| (common, p)),
            )
        })
        .collect()
}

/// Returns whether a trial has ended an attempt by itself and runs no other.
fn has_ended(trial: &Trial) -> bool {
    let by_itself = !matches!(trial.exit, None | Some(Exit::Lost | Exit::Interrupted));
    by_itself && trial.state != TrialState::Running && !trial.outside
}

/// Returns all rules on one parameter: each value of a choice, and thresholds from above and from
/// below of a number or of a choice among ascending numbers.
fn rules(axes: &[Axis]) -> Vec<Rule> {
    let mut rules = Vec::new();
    for axis in axes {
        let mut values: Vec<f64> = axis.values.iter().flatten().copied().collect();
        values.sort_by(f64::total_cmp);
        values.dedup();
        let mut add = |text: String, holds: &dyn Fn(f64) -> bool| {
            let holds: Vec<bool> = axis
                .values
                .iter()
                .map(|value| value.is_some_and(holds))
                .collect();
            let count = holds.iter().filter(|holds| **holds).count();
            let parameter = axis.name.clone();
            rules.push(Rule {
                text,
                parameter,
                holds,
                count,
            });
        };
        if axis.is_choice() {
            for value in values {
                let label = &axis.labels[value as usize];
                add(format!("`{}` = {label}", axis.name), &|it| it == value);
            }
            // The ends are among the values above.
            for index in 1..ascending_numbers(&axis.labels).saturating_sub(1) {
                let (value, label) = (index as f64, &axis.labels[index]);
                add(format!("`{}` ≥ {label}", axis.name), &|it| it >= value);
                add(format!("`{}` ≤ {label}", axis.name), &|it| it <= value);
            }
            continue;
        }
        for value in crate::plots::thinned(&values, MOST_THRESHOLDS) {
            let shown = number::brief(value);
            add(format!("`{}` ≥ {shown}", axis.name), &|it| it >= value);
            add(format!("`{}` ≤ {shown}", axis.name), &|it| it <= value);
        }
    }
    rules
}

/// Returns the number of labels if they are numbers in ascending order, else 0.
fn ascending_numbers(labels: &[String]) -> usize {
    let numbers: Option<Vec<f64>> = labels.iter().map(|label| label.parse().ok()).collect();
    numbers
        .filter(|numbers| numbers.is_sorted_by(|one, next| one < next))
        .map_or(0, |numbers| numbers.len())
}

/// Returns the rule that the failures in `rows` have in common: at least four fifths of them fulfil
/// it, and it has the smallest p-value of Fisher's exact test. The p-value that is returned is
/// corrected for the choice among all rules: the share of random sets of as many trials that have a
/// rule as good.
fn common<'r>(rules: &'r [Rule], rows: &[usize], all: usize, seed: u64) -> Option<Common<'r>> {
    let failures = rows.len();
    if failures < FEW || failures >= all {
        return None;
    }
    let hits = |rule: &Rule, rows: &[usize]| rows.iter().filter(|row| rule.holds[**row]).count();
    let p_of = |rule: &Rule, hits: usize| {
        if 5 * hits >= 4 * failures {
            at_least(hits, failures, rule.count, all)
        } else {
            1.0
        }
    };
    let observed: Vec<f64> = rules
        .iter()
        .map(|rule| p_of(rule, hits(rule, rows)))
        .collect();
    let (index, smallest) = observed
        .iter()
        .enumerate()
        .min_by(|a, b| a.1.total_cmp(b.1))?;
    let rule = &rules[index];
    let mut p = (smallest * rules.len() as f64).min(1.0);
    let lookups = PERMUTATIONS * rules.len() * failures;
    // Otherwise no permutation could make it significant, or it is significant already.
    if *smallest <= SUBJECT_LEVEL && p > SUBJECT_LEVEL / 10.0 && lookups <= MOST_LOOKUPS {
        let table: Vec<Vec<f64>> = rules
            .iter()
            .map(|rule| (0..=failures).map(|hits| p_of(rule, hits)).collect())
            .collect();
        let is_as_good = |rows: &[usize]| {
            let mut pairs = rules.iter().zip(&table);
            pairs.any(|(rule, table)| table[hits(rule, rows)] <= smallest * (1.0 + 1e-9))
        };
        let mut rng = stream(seed, Purpose::Measure, index as u64);
        let mut order: Vec<usize> = (0..all).collect();
        let mut as_good = 0;
        for _ in 0..PERMUTATIONS {
            for at in 0..failures {
                let other = rng.random_range(at..all);
                order.swap(at, other);
            }
            as_good += usize::from(is_as_good(&order[..failures]));
        }
        p = p.min((as_good + 1) as f64 / (PERMUTATIONS + 1) as f64);
    }
    let hits = hits(rule, rows);
    Some(Common { rule, hits, p })
}

/// Returns the sentence on one cause.
fn sentence(
    ended: &[&Trial],
    failed: usize,
    cause: &str,
    rows: &[usize],
    common: Option<(Common<'_>, f64)>,
) -> Insight {
    let count = rows.len();
    let of = if count == failed {
        format!("{} of {} failed", count, trials(ended.len()))
    } else {
        format!("{count} of {failed} failures")
    };
    let mut text = format!("{of}: {cause}");
    let mut numbers = json!({
        "cause": cause, "failures": count, "failures_of_all_causes": failed, "ended": ended.len(),
    });
    if let Some((Common { rule, hits, .. }, p)) = common {
        let share = if hits == count {
            "all".to_owned()
        } else {
            format!("{hits} of them")
        };
        text = format!(
            "{text}, {share} with {} ({} of the {} with it, {} of the {} without it)",
            rule.text,
            hits,
            trials(rule.count),
            count - hits,
            ended.len() - rule.count,
        );
        if let Some(object) = numbers.as_object_mut() {
            object.extend([
                ("rule".to_owned(), json!(rule.text.replace('`', ""))),
                ("parameter".to_owned(), json!(rule.parameter)),
                ("with_rule".to_owned(), json!([hits, rule.count])),
                (
                    "without_rule".to_owned(),
                    json!([count - hits, ended.len() - rule.count]),
                ),
                ("p".to_owned(), json!(p)),
            ]);
        }
    }
    text.push('.');
    Insight::new(Subject::Failures, "failures", text, numbers)
        .with_trials(rows.iter().map(|row| ended[*row]))
}

#[cfg(test)]
mod tests {
    use super::rules;
    use crate::plots::axis::Axis;

    /// Returns the rules on a choice that has each of its values once.
    fn rules_of_choice(labels: &[&str]) -> Vec<String> {
        let axis = Axis {
            name: "batch".to_owned(),
            log: false,
            labels: labels.iter().map(ToString::to_string).collect(),
            min: 0.0,
            max: labels.len() as f64 - 1.0,
            values: (0..labels.len()).map(|index| Some(index as f64)).collect(),
        };
        let rules = rules(&[axis]).into_iter();
        rules
            .map(|rule| format!("{} {}", rule.text, rule.count))
            .collect()
    }

    #[test]
    fn a_choice_among_ascending_numbers_has_thresholds() {
        assert_eq!(
            rules_of_choice(&["32", "64", "128"]),
            [
                "`batch` = 32 1",
                "`batch` = 64 1",
                "`batch` = 128 1",
                "`batch` ≥ 64 2",
                "`batch` ≤ 64 2"
            ]
        );
        // The order is not that of the numbers.
        assert_eq!(rules_of_choice(&["64", "32", "128"]).len(), 3);
        assert_eq!(rules_of_choice(&["a", "b", "c"]).len(), 3);
    }
}
