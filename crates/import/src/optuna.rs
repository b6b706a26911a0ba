//! Converts an Optuna study, from either kind of file, to trials of a sweep.

use super::{End, FileSelection, Foreign, ImportError, TrialSource, number, renamed};
use serde_json::Value as Json;
use std::collections::BTreeMap;
use swath_model::space::{Name, Value};
use swath_model::study::{Datum, Goal};
use swath_run::sweep::Sweep;

/// A study of Optuna.
#[derive(Debug, Default)]
pub(super) struct Study {
    pub(super) name: String,
    /// For each objective, whether it is minimised.
    pub(super) minimised: Vec<bool>,
    pub(super) trials: Vec<Trial>,
}

/// A trial of Optuna.
#[derive(Debug, Default, Clone)]
pub(super) struct Trial {
    pub(super) number: u64,
    pub(super) state: State,
    pub(super) params: Vec<(String, Value)>,
    pub(super) values: Vec<f64>,
    pub(super) intermediate: BTreeMap<i64, f64>,
    pub(super) attributes: BTreeMap<String, Json>,
    pub(super) started: Option<String>,
    pub(super) ended: Option<String>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    #[default]
    Running,
    Complete,
    Pruned,
    Failed,
    Waiting,
}

/// Returns the index of the selected study among those of a file.
pub(super) fn choose(names: &[String], selection: &FileSelection) -> Result<usize, ImportError> {
    let listed = names
        .iter()
        .map(|name| format!("`{name}`"))
        .collect::<Vec<_>>()
        .join(", ");
    match &selection.study {
        Some(name) => names
            .iter()
            .position(|candidate| candidate == name)
            .ok_or_else(|| {
                ImportError::unfit(
                    format!("the file has no study `{name}`"),
                    format!("it has {listed}"),
                )
            }),
        None if names.len() == 1 => Ok(0),
        None if names.is_empty() => Err(ImportError::unfit(
            "the file has no study",
            "is this the right file?",
        )),
        None => {
            let message = format!("the file has {} studies", names.len());
            Err(ImportError::unfit(
                message,
                format!("name one with `--study`: {listed}"),
            ))
        }
    }
}

/// Returns the value of a parameter, from Optuna's internal number and its distribution as JSON.
pub(super) fn value(internal: f64, distribution: &str) -> Option<Value> {
    let distribution: Json = serde_json::from_str(distribution).ok()?;
    let name = distribution.get("name")?.as_str()?;
    if name == "CategoricalDistribution" {
        // Optuna stores the index of the choice as a float.
        if internal < 0.0 || internal.is_nan() {
            return None;
        }
        let choices = distribution.get("attributes")?.get("choices")?;
        return choices.get(internal as usize).map(choice);
    }
    let is_integer = matches!(
        name,
        "IntDistribution" | "IntUniformDistribution" | "IntLogUniformDistribution"
    );
    Some(if is_integer {
        Value::Int(internal as i64)
    } else {
        Value::Float(internal)
    })
}

/// Returns a choice of a categorical parameter. Python's `None` has no counterpart and becomes
/// text.
fn choice(choice: &Json) -> Value {
    match choice {
        Json::Null => Value::Text("None".into()),
        other => serde_json::from_value(other.clone())
            .unwrap_or_else(|_| Value::Text(other.to_string().into())),
    }
}

/// The trials of a study of Optuna, to be converted.
pub(super) struct OptunaTrials {
    description: String,
    trials: Vec<Trial>,
    metrics: Vec<Name>,
    selection: FileSelection,
}

impl OptunaTrials {
    /// Returns the trials of a study, after checking that its objectives match the sweep's.
    pub(super) fn boxed(
        study: Study,
        path: &str,
        sweep: &Sweep,
        selection: &FileSelection,
    ) -> Result<Box<dyn TrialSource>, ImportError> {
        check_objectives(&study, sweep)?;
        let metrics = sweep
            .objectives
            .iter()
            .map(|objective| objective.metric.clone());
        Ok(Box::new(Self {
            description: format!("optuna study {} of {path}", study.name),
            trials: study.trials,
            metrics: metrics.collect(),
            selection: selection.clone(),
        }))
    }
}

impl TrialSource for OptunaTrials {
    fn description(&self) -> &str {
        &self.description
    }

    fn each(
        &mut self,
        take: &mut dyn FnMut(Foreign) -> Result<(), ImportError>,
    ) -> Result<(), ImportError> {
        for trial in &self.trials {
            take(foreign(trial, &self.metrics, &self.selection))?;
        }
        Ok(())
    }
}

fn check_objectives(study: &Study, sweep: &Sweep) -> Result<(), ImportError> {
    let objectives = &sweep.objectives;
    if objectives.len() != study.minimised.len() {
        let message = format!(
            "the Optuna study `{}` has {} objectives, the sweep has {}",
            study.name,
            study.minimised.len(),
            objectives.len()
        );
        return Err(ImportError::unfit(
            message,
            "give the sweep as many `[[objective]]`, in the order of that study",
        ));
    }
    for (objective, minimised) in objectives.iter().zip(&study.minimised) {
        if (objective.goal == Goal::Min) != *minimised {
            let (verb, goal) = if *minimised {
                ("minimises", "max")
            } else {
                ("maximises", "min")
            };
            let message = format!(
                "the Optuna study `{}` {verb} the objective that the sweep calls `{}`, whose goal is \
                 `{goal}`",
                study.name, objective.metric
            );
            return Err(ImportError::unfit(
                message,
                "only a study with the goals of the sweep can be imported",
            ));
        }
    }
    Ok(())
}

/// Converts a trial. Numeric user attributes become metrics.
fn foreign(trial: &Trial, metrics: &[Name], selection: &FileSelection) -> Foreign {
    let complete = trial.state == State::Complete;
    // A pruned trial has its last report as its value: that is no final value.
    let mut values: Vec<(Name, Datum)> = if complete {
        metrics
            .iter()
            .cloned()
            .zip(trial.values.iter().map(|value| number(*value)))
            .collect()
    } else {
        Vec::new()
    };
    for (key, attribute) in &trial.attributes {
        let name = renamed(&selection.map, key.clone());
        let is_objective = values.iter().any(|(metric, _)| **metric == *name);
        if let (Some(attribute), false) = (attribute.as_f64(), is_objective) {
            values.push((name.into(), number(attribute)));
        }
    }
    let end = match trial.state {
        State::Complete => Some(End::Complete),
        State::Pruned => Some(End::Stopped),
        State::Failed => Some(End::Failed("it failed in Optuna".to_owned())),
        State::Running | State::Waiting => None,
    };
    let when = match (&trial.started, &trial.ended) {
        (Some(started), Some(ended)) => Some(format!("from {started} to {ended}")),
        (Some(started), None) => Some(format!("from {started}")),
        _ => None,
    };
    let params = trial
        .params
        .iter()
        .map(|(name, value)| (renamed(&selection.map, name.clone()), value.clone()))
        .collect();
    let curve = trial
        .intermediate
        .iter()
        .map(|(step, value)| (*step as f64, *value))
        .collect();
    Foreign {
        id: trial.number.to_string(),
        params,
        curve,
        values,
        end,
        when,
    }
}
