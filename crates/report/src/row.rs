//! Names and their values in a trial: the vocabulary of `--where`, `--sort` and `--cols`.
//!
//! A name is resolved in this order: some fields of every trial (`OWN`), parameters, reported
//! metrics (an objective by its `take` rule, other metrics by their last value), the other
//! [`TRIAL_FIELDS`], which a name of the user's own hides. The prefixes in `param.x`, `metric.x`,
//! `best.x` and `at_best.x` select one of these values explicitly, as in the header of
//! `trials.csv`.

use std::collections::BTreeSet;
use swath_model::space::expr::Names;
use swath_model::space::{Name, Value};
use swath_model::study::field::Field;
use swath_model::study::{Datum, Goal, Objective, Study, TRIAL_FIELDS, Trial};

/// Fields that take precedence over parameters and metrics of the same name. A field that is added
/// later does not, since a sweep file may use its name already.
const OWN: [&str; 9] = [
    "trial",
    "state",
    "seconds",
    "step",
    "attempts",
    "exit",
    "seed",
    "cpu_seconds",
    "peak_mib",
];

/// Returns the fields of a trial in the order of [`TRIAL_FIELDS`]: those of [`OWN`] or the others,
/// which a parameter or a metric of the same name hides.
fn fields(takes_precedence: bool) -> impl Iterator<Item = &'static Field> {
    TRIAL_FIELDS
        .iter()
        .filter(move |field| OWN.contains(&field.key()) == takes_precedence)
}

/// Returns the field with that name, if it is one of [`OWN`] or one of the others, as asked.
fn field(takes_precedence: bool, name: &str) -> Option<&'static Field> {
    let key = if name == "trial_id" { "trial" } else { name };
    // Called for each cell of a table, so most names are settled by the short list.
    if OWN.contains(&key) != takes_precedence {
        return None;
    }
    TRIAL_FIELDS.iter().find(|field| field.key() == key)
}

/// Returns the value of `name` in a trial; `None` if the trial has none.
#[must_use]
pub fn value(study: &Study, trial: &Trial, name: &str) -> Option<Value> {
    if let Some(field) = field(true, name) {
        return Some(field.value(study, trial)?.into_value());
    }
    let param = trial.params.get(name).cloned();
    param
        .or_else(|| metric(study, trial, name))
        .or_else(|| prefixed(study, trial, name))
        .or_else(|| other_field(study, trial, name))
}

/// Returns the value of a name with a prefix, such as `param.lr`.
fn prefixed(study: &Study, trial: &Trial, name: &str) -> Option<Value> {
    let (prefix, name) = name.split_once('.')?;
    match prefix {
        "param" => trial.params.get(name).cloned(),
        "metric" => last(trial, name),
        "best" => best(study, trial, name),
        "at_best" => at_best(trial, name),
        _ => None,
    }
}

/// Returns the value of a field that takes no precedence over names of the user's own.
fn other_field(study: &Study, trial: &Trial, name: &str) -> Option<Value> {
    let field = field(false, name).filter(|_| !is_own(study, name))?;
    Some(field.value(study, trial)?.into_value())
}

/// Returns whether a parameter or an objective has that name. Such a name hides the built-in column
/// even in a trial that has no value for it.
fn is_own(study: &Study, name: &str) -> bool {
    let header = study.header();
    header.params.iter().any(|param| **param == *name) || objective(study, name).is_some()
}

/// Returns the tags of a trial if `name` means them, and not a parameter or metric of that name.
#[must_use]
pub fn tags(study: &Study, trial: &Trial, name: &str) -> Option<Vec<Value>> {
    if name != "tag" || is_own(study, name) || metric(study, trial, name).is_some() {
        return None;
    }
    let tags = study.tags(trial.id);
    Some(tags.map(|tag| Value::Text(tag.into())).collect())
}

/// Returns the value of a metric: an objective by its `take` rule, any other metric by its last
/// report.
fn metric(study: &Study, trial: &Trial, name: &str) -> Option<Value> {
    match objective(study, name) {
        Some(objective) => trial.objective(objective).map(Value::Float),
        None => last(trial, name),
    }
}

/// Returns the last reported value of a metric, number or text.
fn last(trial: &Trial, name: &str) -> Option<Value> {
    let number = trial
        .metrics
        .get(name)
        .map(|tally| Value::Float(tally.last.0));
    number.or_else(|| {
        trial
            .texts
            .get(name)
            .map(|text| Value::Text(text.as_str().into()))
    })
}

/// Returns the direction in which a metric is good. For an objective this is its goal. For any
/// other metric with exactly one outcome constraint, which bounds it on one side only, small values
/// are good below a maximum and large values above a minimum. `None` otherwise.
#[must_use]
pub fn goal(study: &Study, name: &str) -> Option<Goal> {
    if let Some(objective) = objective(study, name) {
        return Some(objective.goal);
    }
    let mut limits = study
        .header()
        .limits
        .iter()
        .filter(|limit| *limit.metric == *name);
    match (limits.next(), limits.next()) {
        (Some(limit), None) => match (limit.min, limit.max) {
            (None, Some(_)) => Some(Goal::Min),
            (Some(_), None) => Some(Goal::Max),
            _ => None,
        },
        _ => None,
    }
}

/// Returns the smallest or largest reported value of a metric, as its goal demands. `None` if the
/// goal is unknown.
fn best(study: &Study, trial: &Trial, name: &str) -> Option<Value> {
    let tally = trial.metrics.get(name)?;
    let best = match goal(study, name)? {
        Goal::Min => tally.min,
        Goal::Max => tally.max,
    };
    best.map(Value::Float)
}

/// Returns the value of a metric in the report that counts, that is, the one that the `take` rule
/// of the first objective selects. `None` if no single report counts or if that report lacks the
/// metric.
pub fn at_best(trial: &Trial, name: &str) -> Option<Value> {
    Some(match trial.at_best(name)? {
        Datum::Number(number) => Value::Float(number.0),
        Datum::Flag(flag) => Value::Bool(*flag),
        Datum::Text(text) => Value::Text(text.as_str().into()),
    })
}

/// Returns the objective with that metric.
fn objective<'a>(study: &'a Study, name: &str) -> Option<&'a Objective> {
    study
        .header()
        .objectives
        .iter()
        .find(|objective| &*objective.metric == name)
}

/// Returns every parameter that any trial of the study has: those of the sweep file in its order,
/// then all others.
#[must_use]
pub fn params(study: &Study) -> Vec<Name> {
    let mut names = study.header().params.clone();
    let mut listed: BTreeSet<Name> = names.iter().cloned().collect();
    for name in names_of_trials(study, |trial| trial.params.iter().map(|(name, _)| name)) {
        if listed.insert(name.clone()) {
            names.push(name.clone());
        }
    }
    names
}

/// Returns every reported key of the study, numbers and texts, in alphabetical order. Objectives
/// are included even before the first report.
#[must_use]
pub fn metrics(study: &Study) -> BTreeSet<Name> {
    let mut names: BTreeSet<Name> = study
        .header()
        .objectives
        .iter()
        .map(|objective| objective.metric.clone())
        .collect();
    names.extend(
        names_of_trials(study, |trial| {
            trial.metrics.keys().chain(trial.texts.keys())
        })
        .cloned(),
    );
    names
}

/// Returns the names in all trials, for a caller that removes duplicates. A trial with the same
/// names as the trial before it is skipped, which saves nearly all the work.
fn names_of_trials<'a, I: Iterator<Item = &'a Name> + Clone>(
    study: &'a Study,
    names: impl Fn(&'a Trial) -> I,
) -> impl Iterator<Item = &'a Name> {
    let mut previous_names = None;
    study
        .trials()
        .iter()
        .filter_map(move |trial| {
            let own_names = names(trial);
            let is_repeated = previous_names
                .replace(own_names.clone())
                .is_some_and(|previous: I| previous.eq(own_names.clone()));
            (!is_repeated).then_some(own_names)
        })
        .flatten()
}

/// Returns every name that an expression over the trials of a study may use, with and without the
/// prefixes `param.`, `metric.`, `at_best.` and `best.`.
#[must_use]
pub fn vocabulary(study: &Study) -> Names {
    let (params, metrics) = (params(study), metrics(study));
    let plain = names(&params, &metrics)
        .into_iter()
        .map(|name| name.to_string());
    plain
        .chain(std::iter::once("trial_id".to_owned()))
        .chain(params.iter().map(|name| format!("param.{name}")))
        .chain(
            ["metric", "at_best", "best"]
                .into_iter()
                .flat_map(|prefix| metrics.iter().map(move |name| format!("{prefix}.{name}"))),
        )
        .collect()
}

/// Returns every name that an expression may use, without prefixes.
fn names(params: &[Name], metrics: &BTreeSet<Name>) -> Vec<Name> {
    let own = fields(true).map(|field| field.key().into());
    let named = params.iter().chain(metrics).cloned();
    let mut names: Vec<Name> = own.chain(named).collect();
    for field in fields(false) {
        if !names.iter().any(|taken| **taken == *field.name) {
            names.push(field.name.into());
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::{value, vocabulary};
    use swath_model::demo::Demo;
    use swath_model::space::Value;
    use swath_model::study::{Exit, TRIAL_FIELDS, Trial};

    fn text_of(demo: &Demo, trial: &Trial, name: &str) -> Option<String> {
        value(&demo.study, trial, name).map(|value| value.to_string())
    }

    #[test]
    fn a_name_resolves_to_a_parameter_a_metric_or_a_field() {
        let mut demo = Demo::new(&["lr", "acc"]);
        let trial = demo.start(&[("lr", Value::Float(0.1)), ("acc", Value::Int(3))]);
        demo.report(
            trial,
            &[("val_loss", 0.2), ("acc", 0.9), ("other", f64::NAN)],
        );
        demo.report(trial, &[("val_loss", 0.4)]);
        demo.end(trial, Exit::Done);
        let trial = demo.study.trial(trial).unwrap();

        assert_eq!(text_of(&demo, trial, "val_loss").as_deref(), Some("0.2"));
        assert_eq!(
            text_of(&demo, trial, "metric.val_loss").as_deref(),
            Some("0.4")
        );
        assert_eq!(
            text_of(&demo, trial, "best.val_loss").as_deref(),
            Some("0.2")
        );
        assert_eq!(text_of(&demo, trial, "acc").as_deref(), Some("3"));
        assert_eq!(text_of(&demo, trial, "metric.acc").as_deref(), Some("0.9"));
        assert_eq!(
            text_of(&demo, trial, "param.lr"),
            text_of(&demo, trial, "lr")
        );
        assert_eq!(text_of(&demo, trial, "state").as_deref(), Some("complete"));
        assert_eq!(text_of(&demo, trial, "nothing"), None);
        assert!(vocabulary(&demo.study).contains("other"));
    }

    #[test]
    fn every_field_of_a_trial_is_a_name_and_a_parameter_hides_it() {
        let mut demo = Demo::new(&["origin"]);
        let trial = demo.complete(&[("origin", Value::Int(3))], &[("val_loss", 0.5)]);
        let trial = demo.study.trial(trial).unwrap();

        for field in TRIAL_FIELDS {
            assert!(vocabulary(&demo.study).contains(field.key()));
        }
        assert_eq!(text_of(&demo, trial, "stage").as_deref(), Some("train"));
        assert_eq!(
            text_of(&demo, trial, "ended_at").as_deref(),
            Some("2026-01-01T00:00:05Z")
        );
        assert_eq!(
            text_of(&demo, trial, "trial"),
            text_of(&demo, trial, "trial_id")
        );
        assert_eq!(text_of(&demo, trial, "origin").as_deref(), Some("3"));
    }
}
