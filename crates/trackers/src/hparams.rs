//! The messages of TensorBoard's HParams plugin, whose page compares trials by their parameters and
//! metrics.
//!
//! <https://github.com/tensorflow/tensorboard/blob/master/tensorboard/plugins/hparams/plugin_data.proto>

use super::proto::Message;
use std::collections::BTreeSet;
use swath_model::space::{Name, Value};
use swath_model::study::{Study, Trial};

/// The tag of the description of the experiment.
pub(super) const EXPERIMENT: &str = "_hparams_/experiment";
/// The tag of the start of a trial.
pub(super) const START: &str = "_hparams_/session_start_info";
/// The tag of the end of a trial.
pub(super) const END: &str = "_hparams_/session_end_info";

/// The tag prefix of a trial's result.
pub(super) const RESULT: &str = "result";

/// Maximum number of distinct values of a text parameter for which the page offers a list to choose
/// from.
const MOST_VALUES: usize = 100;

/// The outcome of a trial, with the number that the plugin gives it.
#[derive(Debug, Clone, Copy)]
pub(super) enum End {
    /// Occurs when the trial was stopped, for which the plugin has no word.
    Unknown = 0,
    /// Occurs when the trial is complete.
    Success = 1,
    /// Occurs when the trial failed.
    Failure = 2,
}

/// Returns the description of the experiment: every parameter with the values that occur, the
/// results of the trials, and every reported metric, the objectives first.
pub(super) fn experiment(study: &Study) -> Message {
    let header = study.header();
    let mut params = header.params.clone();
    let mut metrics: Vec<&Name> = header
        .objectives
        .iter()
        .map(|objective| &objective.metric)
        .collect();
    let mut listed: BTreeSet<&Name> = metrics.iter().copied().collect();
    let results = results(study);
    let mut reported = BTreeSet::new();
    for trial in study.trials() {
        for (name, _) in &trial.params {
            if !params.contains(name) {
                params.push(name.clone());
            }
        }
        reported.extend(trial.metrics.keys());
    }
    metrics.extend(reported.into_iter().filter(|name| listed.insert(name)));
    Message::of(|plugin| {
        plugin.message(2, |experiment| {
            for name in &params {
                experiment.message(4, |info| param(info, study, name));
            }
            for (tag, label, about) in &results {
                experiment.message(5, |info| {
                    info.message(1, |metric| metric.text(2, tag));
                    info.text(3, label);
                    info.text(4, about);
                });
            }
            for name in metrics {
                experiment.message(5, |info| info.message(1, |metric| metric.text(2, name)));
            }
            experiment.text(6, &header.name);
        });
    })
}

/// Returns the tag, label and description of every result that at least one trial has: each
/// objective as chosen by its rule, and the step of the report that counts. They are needed because
/// the page shows the last value of a metric, never the best.
fn results(study: &Study) -> Vec<(String, String, String)> {
    let objectives = &study.header().objectives;
    let present: BTreeSet<String> = study
        .trials()
        .iter()
        .flat_map(|trial| study.result(trial))
        .map(|(name, _)| name)
        .collect();
    let values = objectives.iter().map(|objective| {
        let name = format!("objective.{}", objective.metric);
        let take = objective.take;
        let label = format!("{} ({take})", objective.metric);
        (name, label, take.describe())
    });
    let step = (
        "best_step".to_owned(),
        "best_step".to_owned(),
        "the step of the report that counts".to_owned(),
    );
    let described = values
        .chain([step])
        .filter(|(name, ..)| present.contains(name));
    described
        .map(|(name, label, about)| (format!("{RESULT}/{name}"), label, about))
        .collect()
}

/// Writes the description of a parameter, with the interval or the values that occur among all
/// trials.
fn param(info: &mut Message, study: &Study, name: &Name) {
    let values: Vec<&Value> = study
        .trials()
        .iter()
        .filter_map(|trial| trial.params.get(name))
        .collect();
    let numbers: Vec<f64> = values.iter().filter_map(|value| value.as_f64()).collect();
    info.text(1, name);
    // The page offers an interval for numbers, and a list of values for booleans and texts.
    let is_numeric = numbers.len() == values.len() && !values.is_empty();
    if is_numeric {
        info.int(4, 3);
        info.message(6, |interval| {
            interval.double(1, numbers.iter().copied().fold(f64::INFINITY, f64::min));
            interval.double(2, numbers.iter().copied().fold(f64::NEG_INFINITY, f64::max));
        });
        return;
    }
    let is_boolean =
        !values.is_empty() && values.iter().all(|value| matches!(value, Value::Bool(_)));
    info.int(4, if is_boolean { 2 } else { 1 });
    let distinct: BTreeSet<String> = values.iter().map(ToString::to_string).collect();
    // Without a list of values the page offers a pattern to match.
    if distinct.len() > MOST_VALUES {
        return;
    }
    info.message(5, |list| {
        for value in distinct {
            list.message(1, |item| match is_boolean {
                true => item.int(4, i64::from(value == "true")),
                false => item.text(3, &value),
            });
        }
    });
}

/// Returns the message for the start of a trial: its parameters, its id and the time in seconds
/// since 1970.
pub(super) fn start(trial: &Trial, time: f64) -> Message {
    Message::of(|plugin| {
        plugin.message(3, |session| {
            for (name, value) in &trial.params {
                session.message(1, |entry| {
                    entry.text(1, name);
                    entry.message(2, |item| match value {
                        Value::Bool(flag) => item.int(4, i64::from(*flag)),
                        Value::Int(number) => item.double(2, *number as f64),
                        Value::Float(number) => item.double(2, *number),
                        Value::Text(_) | Value::List(_) => item.text(3, &value.to_string()),
                    });
                });
            }
            session.text(4, &trial.id.to_string());
            session.double(5, time);
        });
    })
}

/// Returns the message for the end of a trial, at a time in seconds since 1970.
pub(super) fn end(end: End, time: f64) -> Message {
    Message::of(|plugin| {
        plugin.message(4, |session| {
            session.int(1, end as i64);
            session.double(2, time);
        });
    })
}
