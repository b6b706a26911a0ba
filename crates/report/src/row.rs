//! Names and their values in a trial: the vocabulary of `--where`, `--sort` and `--cols`.
//!
//! A name is resolved in this order: built-in columns of every trial ([`OWN`]), parameters,
//! reported metrics (an objective by its `take` rule, other metrics by their last value), built-in
//! columns that a name of the user's own hides ([`LAST`]). The prefixes in `param.x`, `metric.x`,
//! `best.x` and `at_best.x` select one of these values explicitly, as in the header of
//! `trials.csv`.

use crate::space::expr::Names;
use crate::space::{Name, Value};
use crate::study::{Datum, Goal, Objective, Study, Trial};
use crate::tracker::csv;
use std::collections::BTreeSet;

/// Built-in columns that take precedence over parameters and metrics.
pub const OWN: [&str; 9] = [
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

/// Built-in columns that a parameter or a metric of the same name hides.
pub const LAST: [&str; 7] = [
    "configuration",
    "replicate",
    "origin",
    "feasible",
    "best_step",
    "model_step",
    "model_path",
];

/// Returns the value of `name` in a trial; `None` if the trial has none.
#[must_use]
pub fn value(study: &Study, trial: &Trial, name: &str) -> Option<Value> {
    own(trial, name).unwrap_or_else(|| {
        let param = || trial.params.get(name).cloned();
        let prefixed = || {
            let (kind, rest) = name.split_once('.')?;
            match kind {
                "param" => trial.params.get(rest).cloned(),
                "metric" => last(trial, rest),
                "best" => best(study, trial, rest),
                "at_best" => at_best(trial, rest),
                _ => None,
            }
        };
        param()
            .or_else(|| metric(study, trial, name))
            .or_else(prefixed)
            .or_else(|| last_resort(study, trial, name))
    })
}

/// Returns the value of a column of [`LAST`], unless a name of the user's own hides it.
fn last_resort(study: &Study, trial: &Trial, name: &str) -> Option<Value> {
    if !LAST.contains(&name) || is_own(study, name) {
        return None;
    }
    let model = || trial.model_that_counts();
    Some(match name {
        "feasible" => Value::Bool(trial.feasible(&study.header().limits)?),
        "best_step" => Value::Float(trial.counted.as_ref()?.step?),
        "model_step" => Value::Float(model()?.step?),
        "model_path" => Value::Text(model()?.path.into()),
        "configuration" => Value::Int(i64::from(study.head(trial.id).0)),
        "replicate" => Value::Int(i64::try_from(study.replicate(trial.id)).unwrap_or(i64::MAX)),
        _ => Value::Text(csv::origin(&trial.origin).into()),
    })
}

/// Returns whether a parameter or an objective has that name. Such a name hides the built-in column
/// even in a trial that has no value for it.
fn is_own(study: &Study, name: &str) -> bool {
    let header = study.header();
    header.params.iter().any(|param| **param == *name) || objective(study, name).is_some()
}

/// Returns the value of a column of [`OWN`]. The outer option is `None` if the name is not one of
/// them, the inner one if the trial has no value yet.
fn own(trial: &Trial, name: &str) -> Option<Option<Value>> {
    // Usage is summed over ended attempts, so it is absent until the trial has ended once.
    let ended = trial.ended_at.is_some();
    let number = |number: f64| ended.then_some(Value::Float(number));
    Some(match name {
        "trial" | "trial_id" => Some(Value::Int(i64::from(trial.id.0))),
        "state" => Some(Value::Text(trial.state.word().into())),
        "seconds" => number(trial.seconds),
        "step" => trial.step.map(Value::Float),
        "attempts" => Some(Value::Int(i64::from(trial.attempts))),
        "exit" => trial
            .exit
            .as_ref()
            .map(|exit| Value::Text(exit.to_string().into())),
        // A seed above the range of a signed integer is approximated by a float.
        "seed" => {
            Some(i64::try_from(trial.seed).map_or(Value::Float(trial.seed as f64), Value::Int))
        }
        "cpu_seconds" => number(trial.usage.cpu_seconds),
        "peak_mib" => number(trial.usage.peak_mib),
        _ => return None,
    })
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
    let mut known: BTreeSet<Name> = names.iter().cloned().collect();
    for name in unlike_before(study, |trial| trial.params.iter().map(|(name, _)| name)) {
        if known.insert(name.clone()) {
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
        unlike_before(study, |trial| {
            trial.metrics.keys().chain(trial.texts.keys())
        })
        .cloned(),
    );
    names
}

/// Returns the names in all trials, for a caller that removes duplicates. A trial with the same
/// names as the trial before it is skipped, which saves nearly all the work.
fn unlike_before<'a, I: Iterator<Item = &'a Name> + Clone>(
    study: &'a Study,
    names: impl Fn(&'a Trial) -> I,
) -> impl Iterator<Item = &'a Name> {
    let mut before = None;
    study
        .trials()
        .iter()
        .filter_map(move |trial| {
            let here = names(trial);
            let same = before
                .replace(here.clone())
                .is_some_and(|before: I| before.eq(here.clone()));
            (!same).then_some(here)
        })
        .flatten()
}

/// Returns every name that an expression over the trials of a study may use, with and without the
/// prefixes `param.`, `metric.`, `at_best.` and `best.`.
#[must_use]
pub fn vocabulary(study: &Study) -> Names {
    let prefixed = |kind: &'static str| move |name: &Name| format!("{kind}.{name}");
    let (params, metrics) = (params(study), metrics(study));
    let plain = names(study).into_iter().map(|name| name.to_string());
    plain
        .chain(std::iter::once("trial_id".to_owned()))
        .chain(params.iter().map(prefixed("param")))
        .chain(metrics.iter().map(prefixed("metric")))
        .chain(metrics.iter().map(prefixed("at_best")))
        .chain(metrics.iter().map(prefixed("best")))
        .collect()
}

/// Returns every name that an expression may use, without prefixes.
#[must_use]
pub fn names(study: &Study) -> Vec<Name> {
    let own = OWN.into_iter().map(Name::from);
    let mut names: Vec<Name> = own.chain(params(study)).chain(metrics(study)).collect();
    for name in LAST {
        if !names.iter().any(|known| **known == *name) {
            names.push(name.into());
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::{names, value};
    use crate::space::Value;
    use crate::study::Exit;
    use swath_model::demo::Demo;

    #[test]
    fn a_name_stands_for_parameter_metric_or_what_every_trial_has() {
        let mut demo = Demo::new(&["lr", "acc"]);
        let trial = demo.start(&[("lr", Value::Float(0.1)), ("acc", Value::Int(3))]);
        demo.report(
            trial,
            &[("val_loss", 0.2), ("acc", 0.9), ("other", f64::NAN)],
        );
        demo.report(trial, &[("val_loss", 0.4)]);
        demo.end(trial, Exit::Done);
        let trial = demo.study.trial(trial).unwrap();
        let ask = |name: &str| value(&demo.study, trial, name).map(|value| value.to_string());
        assert_eq!(ask("val_loss").as_deref(), Some("0.2"));
        assert_eq!(ask("metric.val_loss").as_deref(), Some("0.4"));
        assert_eq!(ask("best.val_loss").as_deref(), Some("0.2"));
        assert_eq!(ask("acc").as_deref(), Some("3"));
        assert_eq!(ask("metric.acc").as_deref(), Some("0.9"));
        assert_eq!(ask("param.lr"), ask("lr"));
        assert_eq!(ask("state").as_deref(), Some("complete"));
        assert_eq!(ask("nothing"), None);
        assert!(names(&demo.study).iter().any(|name| &**name == "other"));
    }
}
