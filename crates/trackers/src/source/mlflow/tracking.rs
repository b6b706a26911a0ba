//! Answers the calls about experiments and runs.

use super::attempt::AttemptServer;
use super::call::{Answer, Refusal, integer, list, now, read_pairs, required, text};
use super::filter;
use super::points::{Point, Points, read_number};
use super::registry::{facts, framework};
use super::runs::{Experiment, PARENT, RUN_NAME, Run, Texts};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

/// The experiment that every server has.
pub(super) const DEFAULT_EXPERIMENT: &str = "0";

/// The tag with the description of a run.
const DESCRIPTION: &str = "mlflow.note.content";

/// The most runs that one answer has.
const MOST_RUNS: usize = 50_000;

/// Experiments.
impl AttemptServer {
    pub(super) fn experiment_call(&mut self, call: &[&str], args: &Value) -> Answer {
        match call {
            ["create"] => {
                let name = required(args, "name")?;
                if self.experiments.iter().any(|other| other.name == name) {
                    return Err(Refusal::exists(format!(
                        "Experiment '{name}' already exists."
                    )));
                }
                let id = self.experiments.len().to_string();
                let experiment = self.add_experiment(&id, name);
                experiment.tags = read_pairs(args, "tags");
                Ok(json!({ "experiment_id": id }))
            }
            ["get-by-name"] => {
                let name = required(args, "experiment_name")?;
                let mut experiments = self.experiments.iter();
                match experiments.find(|experiment| experiment.name == name) {
                    Some(experiment) => Ok(json!({ "experiment": experiment.json() })),
                    None => Err(Refusal::missing(format!(
                        "Could not find experiment with name '{name}'"
                    ))),
                }
            }
            ["get"] => {
                let experiment = self.experiment(required(args, "experiment_id")?);
                Ok(json!({ "experiment": experiment.json() }))
            }
            ["search" | "list"] => {
                let experiments = self.experiments.iter().filter(|other| !other.is_deleted);
                let experiments: Vec<_> = experiments.map(Experiment::json).collect();
                Ok(json!({ "experiments": experiments }))
            }
            ["set-experiment-tag"] => {
                let (key, value) = (required(args, "key")?, text(args, "value"));
                let experiment = self.experiment(required(args, "experiment_id")?);
                experiment.tags.insert(key.to_owned(), value.to_owned());
                Ok(json!({}))
            }
            ["delete-experiment-tag"] => {
                let key = required(args, "key")?;
                let experiment = self.experiment(required(args, "experiment_id")?);
                experiment.tags.remove(key);
                Ok(json!({}))
            }
            ["update"] => {
                let name = text(args, "new_name");
                let experiment = self.experiment(required(args, "experiment_id")?);
                if !name.is_empty() {
                    name.clone_into(&mut experiment.name);
                }
                Ok(json!({}))
            }
            ["delete" | "restore"] => {
                let experiment = self.experiment(required(args, "experiment_id")?);
                experiment.is_deleted = call == ["delete"];
                Ok(json!({}))
            }
            _ => Err(self.unknown()),
        }
    }

    /// Returns the experiment with this id. One that is not known here is that of another server,
    /// which the environment of the program names.
    fn experiment(&mut self, id: &str) -> &mut Experiment {
        match self.experiments.iter().position(|other| other.id == id) {
            Some(index) => &mut self.experiments[index],
            None => self.add_experiment(id, id),
        }
    }

    pub(super) fn add_experiment(&mut self, id: &str, name: &str) -> &mut Experiment {
        self.experiments.push(Experiment {
            id: id.to_owned(),
            name: name.to_owned(),
            artifact_location: self.files.root().to_string_lossy().into_owned(),
            tags: Texts::new(),
            is_deleted: false,
        });
        let last = self.experiments.len() - 1;
        &mut self.experiments[last]
    }
}

/// Runs.
impl AttemptServer {
    pub(super) fn create_run(&mut self, args: &Value) -> Answer {
        let id = format!("{:032x}", rand::random::<u128>());
        let tags = read_pairs(args, "tags");
        let experiment = match text(args, "experiment_id") {
            "" => DEFAULT_EXPERIMENT,
            id => id,
        };
        self.experiment(experiment);
        let named = [
            text(args, "run_name"),
            tags.get(RUN_NAME).map_or("", String::as_str),
        ];
        let name = named.into_iter().find(|name| !name.is_empty());
        let name = name.map(str::to_owned);
        let index = self.add_run(&id, name, experiment, tags)?;
        let run = &mut self.runs[index];
        text(args, "user_id").clone_into(&mut run.user);
        if let Some(start) = integer(args, "start_time") {
            run.start = start;
        }
        Ok(json!({ "run": run.json() }))
    }

    /// Adds a run, and returns its index. It is nested if its tags name a parent.
    fn add_run(
        &mut self,
        id: &str,
        name: Option<String>,
        experiment: &str,
        mut tags: Texts,
    ) -> Result<usize, Refusal> {
        let number = self.runs.len() + 1;
        let name = name.unwrap_or_else(|| format!("run_{number}"));
        tags.insert(RUN_NAME.to_owned(), name.clone());
        let nested = tags.contains_key(PARENT).then(|| {
            self.nested_runs += 1;
            self.nested_runs
        });
        self.recorder.begin_run(id, &name, nested);
        for (key, value) in &tags {
            self.record_tag(id, key, value)?;
        }
        let artifact_uri = self.files.of_run(number).to_string_lossy().into_owned();
        self.runs.push(Run {
            id: id.to_owned(),
            experiment: experiment.to_owned(),
            name,
            user: String::new(),
            status: "RUNNING".to_owned(),
            start: now(),
            end: None,
            is_deleted: false,
            artifact_uri,
            params: Texts::new(),
            tags,
            metrics: BTreeMap::new(),
            inputs: Vec::new(),
            outputs: Vec::new(),
        });
        Ok(self.runs.len() - 1)
    }

    /// Returns the index of the run that a call names. A run that is not known here is continued:
    /// an earlier attempt has created it, or the environment of the program names it.
    fn run(&mut self, args: &Value) -> Result<usize, Refusal> {
        let id = match text(args, "run_id") {
            "" => required(args, "run_uuid")?,
            id => id,
        };
        if let Some(index) = self.runs.iter().position(|run| run.id == id) {
            return Ok(index);
        }
        let mut letters = id.chars();
        if id.len() > 64 || letters.any(|letter| !letter.is_ascii_alphanumeric() && letter != '-') {
            return Err(Refusal::invalid(format!("Invalid run ID: '{id}'")));
        }
        // The experiment of a continued run is the one that the program has chosen, since a client
        // refuses to continue a run of another experiment.
        let experiment = self
            .experiments
            .last()
            .map(|experiment| experiment.id.clone());
        let experiment = experiment.unwrap_or_else(|| DEFAULT_EXPERIMENT.to_owned());
        self.add_run(id, None, &experiment, Texts::new())
    }

    pub(super) fn run_call(&mut self, call: &[&str], args: &Value) -> Answer {
        let index = self.run(args)?;
        match call {
            ["get"] => return Ok(json!({ "run": self.runs[index].json() })),
            ["update"] => return self.update_run(index, args),
            ["delete" | "restore"] => self.runs[index].is_deleted = call == ["delete"],
            ["log-metric"] => self.log_metrics(index, std::slice::from_ref(args))?,
            ["log-parameter"] => self.log_params(index, std::slice::from_ref(args))?,
            ["set-tag"] => self.set_tags(index, std::slice::from_ref(args))?,
            ["delete-tag"] => {
                let key = required(args, "key")?;
                self.runs[index].tags.remove(key);
            }
            ["log-batch"] => {
                // Parameters are first: if one is refused, so is the whole call.
                self.log_params(index, list(args, "params"))?;
                self.log_metrics(index, list(args, "metrics"))?;
                self.set_tags(index, list(args, "tags"))?;
            }
            ["log-inputs"] => self.log_inputs(index, args)?,
            ["outputs"] => self.log_outputs(index, args),
            ["log-model"] => self.log_model(index, args)?,
            _ => return Err(self.unknown()),
        }
        Ok(json!({}))
    }

    fn update_run(&mut self, index: usize, args: &Value) -> Answer {
        let run = &mut self.runs[index];
        let (status, name) = (text(args, "status"), text(args, "run_name"));
        if !status.is_empty() {
            status.clone_into(&mut run.status);
        }
        if !name.is_empty() {
            name.clone_into(&mut run.name);
            run.tags.insert(RUN_NAME.to_owned(), name.to_owned());
        }
        if let Some(end) = integer(args, "end_time") {
            run.end = Some(end);
            let folder = PathBuf::from(&run.artifact_uri);
            self.record_files(&folder)?;
        }
        Ok(json!({ "run_info": self.runs[index].info() }))
    }

    fn log_metrics(&mut self, index: usize, metrics: &[Value]) -> Result<(), Refusal> {
        let mut points = Vec::with_capacity(metrics.len());
        for metric in metrics {
            let key = required(metric, "key")?;
            let value = metric.get("value").and_then(read_number);
            let value = value.ok_or_else(|| {
                Refusal::invalid(format!("the value of the metric '{key}' is no number"))
            })?;
            let point = Point {
                step: integer(metric, "step").unwrap_or(0),
                at: integer(metric, "timestamp").unwrap_or_else(now),
                value,
            };
            points.push((key.to_owned(), point));
        }
        let run = &mut self.runs[index];
        points.retain(|(key, point)| {
            let known: &mut Points = run.metrics.entry(key.clone()).or_default();
            known.add(*point)
        });
        Ok(self.recorder.points(&run.id, &points)?)
    }

    fn log_params(&mut self, index: usize, params: &[Value]) -> Result<(), Refusal> {
        let run = &mut self.runs[index];
        for param in params {
            let (key, value) = (required(param, "key")?, text(param, "value"));
            let known = run.params.get(key);
            if let Some(known) = known.filter(|known| *known != value) {
                return Err(Refusal::invalid(format!(
                    "Changing param values is not allowed. Param with key='{key}' was already \
                     logged with value='{known}' for run ID='{}'. Attempted logging new value \
                     '{value}'.",
                    run.id
                )));
            }
        }
        for param in params {
            let (key, value) = (required(param, "key")?, text(param, "value"));
            let known = run.params.insert(key.to_owned(), value.to_owned());
            if known.is_none() {
                self.recorder.param(&run.id, key, value)?;
            }
        }
        Ok(())
    }

    fn set_tags(&mut self, index: usize, tags: &[Value]) -> Result<(), Refusal> {
        for tag in tags {
            let (key, value) = (required(tag, "key")?, text(tag, "value"));
            let run = &mut self.runs[index];
            if key == RUN_NAME {
                value.clone_into(&mut run.name);
            }
            let known = run.tags.insert(key.to_owned(), value.to_owned());
            if known.as_deref() != Some(value) {
                let id = run.id.clone();
                self.record_tag(&id, key, value)?;
            }
        }
        Ok(())
    }

    /// Records a tag as a note. Those that the client sets by itself say nothing that swath does
    /// not record better.
    fn record_tag(&mut self, run: &str, key: &str, value: &str) -> io::Result<()> {
        if key == DESCRIPTION {
            return self.recorder.note(run, value.to_owned());
        }
        if key.starts_with("mlflow.") {
            return Ok(());
        }
        self.recorder.note(run, format!("{key}: {value}"))
    }

    fn log_inputs(&mut self, index: usize, args: &Value) -> Result<(), Refusal> {
        let run = &mut self.runs[index];
        for input in list(args, "datasets") {
            if run.inputs.contains(input) {
                continue;
            }
            run.inputs.push(input.clone());
            let dataset = &input["dataset"];
            let tags = read_pairs(input, "tags");
            let role = tags.get("mlflow.data.context").map_or("", String::as_str);
            match local_path(dataset) {
                Some(path) => self.recorder.dataset(&run.id, &path, role)?,
                None => {
                    let name = text(dataset, "name");
                    let kind = text(dataset, "source_type");
                    let digest = text(dataset, "digest");
                    let role = if role.is_empty() {
                        ""
                    } else {
                        &format!(" for {role}")
                    };
                    let text = format!("data set `{name}`{role}: digest {digest}, source {kind}");
                    self.recorder.note(&run.id, text)?;
                }
            }
        }
        Ok(())
    }

    fn log_outputs(&mut self, index: usize, args: &Value) {
        let run = &mut self.runs[index];
        for output in list(args, "models") {
            run.outputs.push(output.clone());
            let id = text(output, "model_id");
            let mut models = self.models.iter_mut();
            if let Some(model) = models.find(|model| model.id == id) {
                model.step = integer(output, "step");
            }
        }
    }

    /// Records a model of MLflow 2, whose files lie among the artifacts of the run.
    fn log_model(&mut self, index: usize, args: &Value) -> Result<(), Refusal> {
        let description = text(args, "model_json");
        let description: Value = serde_json::from_str(description)
            .map_err(|_| Refusal::invalid("`model_json` is no JSON"))?;
        let run = &mut self.runs[index];
        let history = run.tags.entry("mlflow.log-model.history".to_owned());
        let history = history.or_insert_with(|| "[]".to_owned());
        let mut entries: Vec<Value> = serde_json::from_str(history).unwrap_or_default();
        let path = text(&description, "artifact_path").to_owned();
        let framework = framework(&description);
        entries.push(description);
        *history = json!(entries).to_string();
        let Some(path) = inside(&run.artifact_uri, &path) else {
            return Err(Refusal::invalid(
                "`artifact_path` leaves the artifacts of the run",
            ));
        };
        self.files.note_recorded(&path);
        let name = path.file_name().map(|name| name.to_string_lossy());
        let facts = facts(&name.unwrap_or_default(), framework);
        self.recorder.model(&run.id, &path, None, facts)?;
        let root = PathBuf::from(&run.artifact_uri);
        self.forward_files(&root, &path);
        Ok(())
    }

    pub(super) fn record_files(&mut self, folder: &Path) -> io::Result<()> {
        for path in self.files.take_new(folder)? {
            self.recorder.artifact(&path)?;
            self.forward_files(folder, &path);
        }
        Ok(())
    }

    pub(super) fn search_runs(&mut self, args: &Value) -> Answer {
        let experiments: Vec<&str> = list(args, "experiment_ids")
            .iter()
            .filter_map(Value::as_str)
            .collect();
        let holds = filter::parse(text(args, "filter")).map_err(|part| {
            Refusal::invalid(format!("Invalid clause(s) in filter string: {part}"))
        })?;
        let view = text(args, "run_view_type");
        let mut runs: Vec<&Run> = self
            .runs
            .iter()
            .filter(|run| experiments.contains(&&*run.experiment))
            .filter(|run| match view {
                "ALL" => true,
                "DELETED_ONLY" => run.is_deleted,
                _ => !run.is_deleted,
            })
            .filter(|run| holds(run))
            .collect();
        // The newest run is first, as with MLflow.
        runs.reverse();
        for order in list(args, "order_by").iter().rev() {
            let order = order.as_str().unwrap_or_default();
            runs.sort_by(|a, b| filter::compare(order, a, b));
        }
        let most = integer(args, "max_results").and_then(|most| usize::try_from(most).ok());
        let runs = runs.into_iter().take(most.unwrap_or(MOST_RUNS));
        Ok(json!({ "runs": runs.map(Run::json).collect::<Vec<_>>() }))
    }

    pub(super) fn history(&mut self, args: &Value) -> Answer {
        let index = self.run(args)?;
        let key = required(args, "metric_key")?;
        let points = self.runs[index].metrics.get(key);
        let points = points.into_iter().flat_map(Points::iter);
        let points: Vec<_> = points.map(|point| point.json(key)).collect();
        Ok(json!({ "metrics": points }))
    }
}

/// Returns the path of a data set, if it is on this machine.
fn local_path(dataset: &Value) -> Option<String> {
    if text(dataset, "source_type") != "local" {
        return None;
    }
    let source: Value = serde_json::from_str(text(dataset, "source")).ok()?;
    let uri = text(&source, "uri");
    let path = uri.strip_prefix("file://").unwrap_or(uri);
    (!path.is_empty()).then(|| path.to_owned())
}

/// Returns a path inside of a folder; `None` if it leads out of it or is the folder itself.
fn inside(folder: &str, path: &str) -> Option<PathBuf> {
    let is_plain = Path::new(path)
        .components()
        .all(|part| matches!(part, std::path::Component::Normal(_)));
    (is_plain && !path.is_empty()).then(|| Path::new(folder).join(path))
}
