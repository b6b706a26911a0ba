//! Experiments, runs and logged models of an attempt, as an MLflow client sees them.

use super::points::Points;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The tag that names the run in which a run is nested.
pub(super) const PARENT: &str = "mlflow.parentRunId";

/// The tag with the name of a run.
pub(super) const RUN_NAME: &str = "mlflow.runName";

/// The text pairs of a run: its parameters or tags.
pub(super) type Texts = BTreeMap<String, String>;

/// A run.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) id: String,
    pub(super) experiment: String,
    pub(super) name: String,
    pub(super) user: String,
    pub(super) status: String,
    pub(super) start: i64,
    pub(super) end: Option<i64>,
    pub(super) is_deleted: bool,
    pub(super) artifact_uri: String,
    pub(super) params: Texts,
    pub(super) tags: Texts,
    pub(super) metrics: BTreeMap<String, Points>,
    /// The data sets that the run has read, as the client described them.
    pub(super) inputs: Vec<Value>,
    /// The models that the run has written, as the client described them.
    pub(super) outputs: Vec<Value>,
}

impl Run {
    /// Returns the description of the run without its data.
    pub(super) fn info(&self) -> Value {
        let mut info = json!({
            "run_id": self.id,
            "run_uuid": self.id,
            "run_name": self.name,
            "experiment_id": self.experiment,
            "user_id": self.user,
            "status": self.status,
            "start_time": self.start,
            "artifact_uri": self.artifact_uri,
            "lifecycle_stage": stage(self.is_deleted),
        });
        if let Some(end) = self.end {
            info["end_time"] = json!(end);
        }
        info
    }

    /// Returns the run with its data.
    pub(super) fn json(&self) -> Value {
        let metrics = self.metrics.iter();
        let metrics = metrics.filter_map(|(key, points)| Some(points.last()?.json(key)));
        json!({
            "info": self.info(),
            "data": {
                "metrics": metrics.collect::<Vec<_>>(),
                "params": pairs(&self.params),
                "tags": pairs(&self.tags),
            },
            "inputs": { "dataset_inputs": self.inputs },
            "outputs": { "model_outputs": self.outputs },
        })
    }
}

/// An experiment. All experiments of an attempt are known to this attempt only.
#[derive(Debug)]
pub(super) struct Experiment {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) artifact_location: String,
    pub(super) tags: Texts,
    pub(super) is_deleted: bool,
}

impl Experiment {
    pub(super) fn json(&self) -> Value {
        json!({
            "experiment_id": self.id,
            "name": self.name,
            "artifact_location": self.artifact_location,
            "lifecycle_stage": stage(self.is_deleted),
            "tags": pairs(&self.tags),
        })
    }
}

/// A logged model of MLflow 3.
#[derive(Debug)]
pub(super) struct LoggedModel {
    pub(super) id: String,
    pub(super) experiment: String,
    pub(super) name: String,
    pub(super) kind: String,
    /// The run that has written it; may be empty.
    pub(super) run: String,
    pub(super) status: String,
    pub(super) created: i64,
    pub(super) artifact_uri: String,
    pub(super) params: Texts,
    pub(super) tags: Texts,
    /// The step at which a run has written it, once the run says so.
    pub(super) step: Option<i64>,
    pub(super) is_recorded: bool,
}

impl LoggedModel {
    pub(super) fn json(&self) -> Value {
        json!({
            "info": {
                "model_id": self.id,
                "experiment_id": self.experiment,
                "name": self.name,
                "model_type": self.kind,
                "source_run_id": self.run,
                "status": self.status,
                "creation_timestamp_ms": self.created,
                "last_updated_timestamp_ms": self.created,
                "artifact_uri": self.artifact_uri,
                "tags": pairs(&self.tags),
            },
            "data": { "params": pairs(&self.params) },
        })
    }
}

/// A model of the registry. The registry of an attempt is known to this attempt only.
#[derive(Debug, Default)]
pub(super) struct RegisteredModel {
    pub(super) versions: Vec<Value>,
    pub(super) aliases: Texts,
    pub(super) tags: Texts,
    pub(super) description: String,
}

impl RegisteredModel {
    pub(super) fn json(&self, name: &str) -> Value {
        let aliases = self.aliases.iter();
        let aliases = aliases.map(|(alias, version)| json!({"alias": alias, "version": version}));
        json!({
            "name": name,
            "description": self.description,
            "tags": pairs(&self.tags),
            "aliases": aliases.collect::<Vec<_>>(),
            "latest_versions": self.versions.last().into_iter().collect::<Vec<_>>(),
        })
    }
}

fn stage(is_deleted: bool) -> &'static str {
    if is_deleted { "deleted" } else { "active" }
}

/// Returns text pairs as MLflow's list of keys and values.
pub(super) fn pairs(texts: &Texts) -> Vec<Value> {
    let texts = texts.iter();
    texts
        .map(|(key, value)| json!({"key": key, "value": value}))
        .collect()
}
