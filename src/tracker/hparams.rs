//! The messages of TensorBoard's HParams page, which compares trials by their parameters and
//! metrics.
//!
//! <https://github.com/tensorflow/tensorboard/blob/master/tensorboard/plugins/hparams/plugin_data.proto>

use super::proto::Message;
use crate::space::{Name, Value};
use crate::study::{Study, Trial};
use std::collections::BTreeSet;

pub(super) const EXPERIMENT: &str = "_hparams_/experiment";
pub(super) const START: &str = "_hparams_/session_start_info";
pub(super) const END: &str = "_hparams_/session_end_info";

/// The group of tags under which the result of a trial stands.
pub(super) const RESULT: &str = "result";

/// More different values than this are no list to choose from.
const MOST_VALUES: usize = 100;

/// How a trial ended.
#[derive(Debug, Clone, Copy)]
pub(super) enum End {
    Success = 1,
    Failure = 2,
}

/// Describes every parameter with the values that occur, the results, and the last of every
/// reported number, the objectives first.
pub(super) fn experiment(study: &Study) -> Message {
    let header = study.header();
    let mut params = header.params.clone();
    let mut metrics: Vec<&Name> = header
        .objectives
        .iter()
        .map(|objective| &objective.metric)
        .collect();
    let mut known: BTreeSet<&Name> = metrics.iter().copied().collect();
    let results = results(study);
    let mut reported = BTreeSet::new();
    for trial in study.trials() {
        let new = trial.params.iter().map(|(name, _)| name);
        let new: Vec<_> = new.filter(|name| !params.contains(name)).cloned().collect();
        params.extend(new);
        reported.extend(trial.metrics.keys());
    }
    metrics.extend(reported.into_iter().filter(|name| known.insert(name)));
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

/// Returns tag, name and description of every result that some trial has: each objective by its
/// rule, and the step it was reached at. The page shows the last value of a metric, never the best.
fn results(study: &Study) -> Vec<(String, String, String)> {
    let objectives = &study.header().objectives;
    let known: BTreeSet<String> = study
        .trials()
        .iter()
        .flat_map(|trial| trial.result(study.header()))
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
        .filter(|(name, ..)| known.contains(name));
    described
        .map(|(name, label, about)| (format!("{RESULT}/{name}"), label, about))
        .collect()
}

fn param(info: &mut Message, study: &Study, name: &Name) {
    let values: Vec<&Value> = study
        .trials()
        .iter()
        .filter_map(|trial| trial.params.get(name))
        .collect();
    let numbers: Vec<f64> = values.iter().filter_map(|value| value.as_f64()).collect();
    info.text(1, name);
    let all_numbers = numbers.len() == values.len() && !values.is_empty();
    if all_numbers {
        info.int(4, 3);
        info.message(6, |interval| {
            interval.double(1, numbers.iter().copied().fold(f64::INFINITY, f64::min));
            interval.double(2, numbers.iter().copied().fold(f64::NEG_INFINITY, f64::max));
        });
        return;
    }
    let switch = !values.is_empty() && values.iter().all(|value| matches!(value, Value::Bool(_)));
    info.int(4, if switch { 2 } else { 1 });
    let distinct: BTreeSet<String> = values.iter().map(ToString::to_string).collect();
    if distinct.len() > MOST_VALUES {
        return;
    }
    info.message(5, |list| {
        for value in distinct {
            list.message(1, |item| match switch {
                true => item.int(4, i64::from(value == "true")),
                false => item.text(3, &value),
            });
        }
    });
}

/// Describes a trial that starts.
pub(super) fn start(trial: &Trial, at: f64) -> Message {
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
            session.double(5, at);
        });
    })
}

/// Describes how a trial ended.
pub(super) fn end(end: End, at: f64) -> Message {
    Message::of(|plugin| {
        plugin.message(4, |session| {
            session.int(1, end as i64);
            session.double(2, at);
        });
    })
}
