//! Answers the calls of the clients of one attempt, and records what they log.
//!
//! The runs live in memory: an attempt that is killed begins anew, and all that a client was
//! answered is in the records before.

use super::files::ArtifactFiles;
use super::filter;
use super::forward::Forwarding;
use super::points::{Point, Points, read_integer, read_number};
use super::recording::Recorder;
use super::runs::{Experiment, LoggedModel, PARENT, RUN_NAME, RegisteredModel, Run, Texts};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};
use swath_model::space::{Name, Value as Setting};

/// The experiment that every server has.
const DEFAULT_EXPERIMENT: &str = "0";

/// The tag with the description of a run.
const DESCRIPTION: &str = "mlflow.note.content";

/// The status of a logged model whose files are complete.
const READY: &str = "LOGGED_MODEL_READY";

/// The most runs that one answer has.
const MOST_RUNS: usize = 50_000;

/// An answer that refuses a call.
#[derive(Debug, PartialEq)]
pub(super) struct Refusal {
    /// The HTTP status.
    pub(super) status: u16,
    /// MLflow's name of the error.
    pub(super) code: &'static str,
    /// The reason, for people.
    pub(super) message: String,
}

impl Refusal {
    fn invalid(message: impl Into<String>) -> Self {
        Self {
            status: 400,
            code: "INVALID_PARAMETER_VALUE",
            message: message.into(),
        }
    }

    fn missing(message: impl Into<String>) -> Self {
        Self {
            status: 404,
            code: "RESOURCE_DOES_NOT_EXIST",
            message: message.into(),
        }
    }

    fn exists(message: impl Into<String>) -> Self {
        Self {
            status: 400,
            code: "RESOURCE_ALREADY_EXISTS",
            message: message.into(),
        }
    }
}

/// A client repeats a call that could not be recorded, because this status is a temporary one.
impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        Self {
            status: 503,
            code: "TEMPORARILY_UNAVAILABLE",
            message: format!("swath could not record the call: {error}"),
        }
    }
}

type Answer = Result<Value, Refusal>;

/// The server of one attempt.
pub(super) struct AttemptServer {
    recorder: Recorder,
    files: ArtifactFiles,
    experiments: Vec<Experiment>,
    /// The runs in the order of their creation.
    runs: Vec<Run>,
    models: Vec<LoggedModel>,
    registry: BTreeMap<String, RegisteredModel>,
    nested_runs: usize,
    /// The way to the user's own server, if the calls go on to it.
    forwarding: Option<Forwarding>,
    /// Calls that this server does not know, as the program made them.
    unknown_calls: BTreeSet<String>,
}

impl AttemptServer {
    pub(super) fn new(recorder: Recorder, files: ArtifactFiles) -> Self {
        let mut server = Self {
            recorder,
            files,
            experiments: Vec::new(),
            runs: Vec::new(),
            models: Vec::new(),
            registry: BTreeMap::new(),
            nested_runs: 0,
            forwarding: None,
            unknown_calls: BTreeSet::new(),
        };
        server.add_experiment(DEFAULT_EXPERIMENT, "Default");
        server
    }

    /// Lets all calls go on to the user's own server.
    pub(super) fn forwarding(self, forwarding: Forwarding) -> Self {
        Self {
            forwarding: Some(forwarding),
            ..self
        }
    }

    /// Answers a call. `call` is the path behind `/api/2.0/mlflow/`; `args` are the pairs of the
    /// body or the query. What the call logs is in the records when this returns.
    ///
    /// # Errors
    /// The answer that refuses the call.
    pub(super) fn call(&mut self, method: &str, call: &str, args: &Value) -> Answer {
        let answer = self.route(method, call, args)?;
        self.recorder.flush()?;
        if let Some(forwarding) = &self.forwarding {
            forwarding.call(method, call, args, &answer);
        }
        Ok(answer)
    }

    /// Returns what went wrong since the last use of this function, for people: calls that are not
    /// served, and calls that were not forwarded.
    pub(super) fn take_troubles(&mut self) -> Vec<String> {
        let unknown = std::mem::take(&mut self.unknown_calls).into_iter();
        let unknown = unknown.map(|call| format!("the call `{call}` is not served"));
        let forwarding = self.forwarding.as_ref();
        let failures = forwarding.map_or_else(Vec::new, Forwarding::take_failures);
        unknown.chain(failures).collect()
    }

    /// Records the files that the clients have written, after the last process of the attempt. Waits
    /// until they and all calls are forwarded.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        let recorded = self.record_last_files();
        let Some(mut forwarding) = self.forwarding.take() else {
            return recorded;
        };
        // A program that was ended has not ended its runs.
        for run in self.runs.iter().filter(|run| run.end.is_none()) {
            let end = json!({"run_id": run.id, "status": "KILLED", "end_time": now()});
            forwarding.call("POST", "runs/update", &end, &json!({}));
        }
        forwarding.finish();
        self.forwarding = Some(forwarding);
        recorded
    }

    fn record_last_files(&mut self) -> io::Result<()> {
        let folders: Vec<_> = self
            .runs
            .iter()
            .map(|run| run.artifact_uri.clone())
            .collect();
        for folder in folders {
            self.record_files(Path::new(&folder))?;
        }
        self.recorder.flush()
    }

    fn route(&mut self, method: &str, call: &str, args: &Value) -> Answer {
        let parts: Vec<&str> = call.split('/').collect();
        match (method, &*parts) {
            (_, ["experiments", rest @ ..]) => self.experiment_call(rest, args),
            (_, ["runs", "create"]) => self.create_run(args),
            (_, ["runs", "search"]) => self.search_runs(args),
            (_, ["runs", rest @ ..]) => self.run_call(rest, args),
            (_, ["metrics", "get-history"]) => self.history(args),
            (_, ["logged-models", rest @ ..]) => self.logged_model_call(method, rest, args),
            (_, ["registered-models", rest @ ..]) => self.registry_call(method, rest, args),
            (_, ["model-versions", rest @ ..]) => self.version_call(rest, args),
            _ => Err(self.unknown()),
        }
        .map_err(|refusal| self.note_unknown(refusal, method, call))
    }

    fn unknown(&self) -> Refusal {
        Refusal {
            status: 404,
            code: "ENDPOINT_NOT_FOUND",
            message:
                "swath, to which the program logs as to an MLflow server, does not serve this \
                      call"
                    .to_owned(),
        }
    }

    fn note_unknown(&mut self, refusal: Refusal, method: &str, call: &str) -> Refusal {
        if refusal.code == "ENDPOINT_NOT_FOUND" && self.unknown_calls.len() < 20 {
            let call: String = call.chars().take(100).collect();
            self.unknown_calls.insert(format!("{method} {call}"));
        }
        refusal
    }
}

/// Experiments.
impl AttemptServer {
    fn experiment_call(&mut self, call: &[&str], args: &Value) -> Answer {
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

    fn add_experiment(&mut self, id: &str, name: &str) -> &mut Experiment {
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
    fn create_run(&mut self, args: &Value) -> Answer {
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

    /// Returns the index of the run that a call names. A run that is not known here is continued: an
    /// earlier attempt has created it, or the environment of the program names it.
    fn run(&mut self, args: &Value) -> Result<usize, Refusal> {
        let id = match text(args, "run_id") {
            "" => required(args, "run_uuid")?,
            id => id,
        };
        if let Some(index) = self.runs.iter().position(|run| run.id == id) {
            return Ok(index);
        }
        let is_id = |letter: char| letter.is_ascii_alphanumeric() || letter == '-';
        if id.len() > 64 || !id.chars().all(is_id) {
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

    fn run_call(&mut self, call: &[&str], args: &Value) -> Answer {
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

    /// Records a tag as a note. Those that the client sets by itself say nothing that swath does not
    /// record better.
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

    fn forward_files(&self, root: &Path, path: &Path) {
        if let Some(forwarding) = &self.forwarding {
            forwarding.files(root, path);
        }
    }

    fn record_files(&mut self, folder: &Path) -> io::Result<()> {
        for path in self.files.take_new(folder)? {
            self.recorder.artifact(&path)?;
            self.forward_files(folder, &path);
        }
        Ok(())
    }

    fn search_runs(&mut self, args: &Value) -> Answer {
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

    fn history(&mut self, args: &Value) -> Answer {
        let index = self.run(args)?;
        let key = required(args, "metric_key")?;
        let points = self.runs[index].metrics.get(key);
        let points = points.into_iter().flat_map(Points::iter);
        let points: Vec<_> = points.map(|point| point.json(key)).collect();
        Ok(json!({ "metrics": points }))
    }
}

/// Logged models of MLflow 3.
impl AttemptServer {
    fn logged_model_call(&mut self, method: &str, call: &[&str], args: &Value) -> Answer {
        match (method, call) {
            ("POST", []) => {
                let name = match text(args, "name") {
                    "" => "model",
                    name => name,
                };
                let folder = self.files.of_model(name);
                // The folder is there at once, so that the next model of this name gets another.
                std::fs::create_dir_all(&folder)?;
                let model = LoggedModel {
                    id: format!("m-{:032x}", rand::random::<u128>()),
                    experiment: text(args, "experiment_id").to_owned(),
                    name: name.to_owned(),
                    kind: text(args, "model_type").to_owned(),
                    run: text(args, "source_run_id").to_owned(),
                    status: "LOGGED_MODEL_PENDING".to_owned(),
                    created: now(),
                    artifact_uri: folder.to_string_lossy().into_owned(),
                    params: read_pairs(args, "params"),
                    tags: read_pairs(args, "tags"),
                    step: None,
                    is_recorded: false,
                };
                let answer = json!({ "model": model.json() });
                self.models.push(model);
                Ok(answer)
            }
            ("POST", ["search"]) => {
                let models: Vec<_> = self.models.iter().rev().map(LoggedModel::json).collect();
                Ok(json!({ "models": models }))
            }
            (_, [id, rest @ ..]) => {
                let model = self.models.iter().position(|model| model.id == *id);
                let Some(index) = model else {
                    return Err(Refusal::missing(format!(
                        "Logged model with ID '{id}' not found."
                    )));
                };
                self.one_model_call(method, index, rest, args)
            }
            _ => Err(self.unknown()),
        }
    }

    fn one_model_call(
        &mut self,
        method: &str,
        index: usize,
        call: &[&str],
        args: &Value,
    ) -> Answer {
        let model = &mut self.models[index];
        match (method, call) {
            ("GET", []) => {}
            ("PATCH", []) => {
                text(args, "status").clone_into(&mut model.status);
                if model.status == READY && !model.is_recorded {
                    model.is_recorded = true;
                    let path = PathBuf::from(&model.artifact_uri);
                    let description = std::fs::read_to_string(path.join("MLmodel"));
                    let framework = framework_of(&description.unwrap_or_default());
                    let facts = facts(&model.name, framework);
                    self.recorder.model(&model.run, &path, model.step, facts)?;
                }
            }
            ("PATCH", ["tags"]) => model.tags.extend(read_pairs(args, "tags")),
            ("DELETE", ["tags", key]) => {
                model.tags.remove(*key);
            }
            ("POST", ["params"]) => model.params.extend(read_pairs(args, "params")),
            ("DELETE", []) => {
                self.models.remove(index);
                return Ok(json!({}));
            }
            ("GET", ["artifacts", "directories"]) => return Ok(json!({ "files": [] })),
            _ => return Err(self.unknown()),
        }
        Ok(json!({ "model": self.models[index].json() }))
    }
}

/// The registry.
impl AttemptServer {
    fn registry_call(&mut self, method: &str, call: &[&str], args: &Value) -> Answer {
        if call == ["search"] {
            let models = self.registry.iter();
            let models: Vec<_> = models.map(|(name, model)| model.json(name)).collect();
            return Ok(json!({ "registered_models": models }));
        }
        let name = required(args, "name")?;
        if call == ["create"] {
            if self.registry.contains_key(name) {
                let message = format!("Registered Model (name={name}) already exists.");
                return Err(Refusal::exists(message));
            }
            let model = RegisteredModel {
                tags: read_pairs(args, "tags"),
                description: text(args, "description").to_owned(),
                ..RegisteredModel::default()
            };
            let answer = json!({ "registered_model": model.json(name) });
            self.registry.insert(name.to_owned(), model);
            return Ok(answer);
        }
        let Some(model) = self.registry.get_mut(name) else {
            return Err(Refusal::missing(format!(
                "Registered Model with name={name} not found"
            )));
        };
        let (key, alias) = (text(args, "key"), text(args, "alias"));
        match (method, call) {
            (_, ["get"]) => {}
            (_, ["update"]) => text(args, "description").clone_into(&mut model.description),
            (_, ["set-tag"]) => {
                model
                    .tags
                    .insert(key.to_owned(), text(args, "value").to_owned());
            }
            (_, ["delete-tag"]) => {
                model.tags.remove(key);
            }
            ("POST", ["alias"]) => {
                let version = text(args, "version").to_owned();
                model.aliases.insert(alias.to_owned(), version);
            }
            ("DELETE", ["alias"]) => {
                model.aliases.remove(alias);
            }
            ("GET", ["alias"]) => {
                let version = model.aliases.get(alias);
                let mut versions = model.versions.iter();
                let version = versions.find(|other| {
                    Some(text(other, "version")) == version.map(|version| &**version)
                });
                return match version {
                    Some(version) => Ok(json!({ "model_version": version })),
                    None => Err(Refusal::missing(format!(
                        "Registered model alias {alias} not found."
                    ))),
                };
            }
            (_, ["get-latest-versions"]) => {
                let last: Vec<_> = model.versions.last().into_iter().collect();
                return Ok(json!({ "model_versions": last }));
            }
            _ => return Err(self.unknown()),
        }
        Ok(json!({ "registered_model": model.json(name) }))
    }

    fn version_call(&mut self, call: &[&str], args: &Value) -> Answer {
        if call == ["search"] {
            let models = self.registry.values();
            let versions: Vec<_> = models.flat_map(|model| &model.versions).collect();
            return Ok(json!({ "model_versions": versions }));
        }
        let name = required(args, "name")?;
        let Some(model) = self.registry.get_mut(name) else {
            return Err(Refusal::missing(format!(
                "Registered Model with name={name} not found"
            )));
        };
        if call == ["create"] {
            let run = text(args, "run_id").to_owned();
            let version = json!({
                "name": name,
                "version": (model.versions.len() + 1).to_string(),
                "creation_timestamp": now(),
                "last_updated_timestamp": now(),
                "current_stage": "None",
                "description": text(args, "description"),
                "source": text(args, "source"),
                "run_id": run,
                "status": "READY",
                "tags": list(args, "tags"),
            });
            model.versions.push(version.clone());
            let number = text(&version, "version");
            let note = format!("registered as version {number} of the model `{name}`");
            let run = match self
                .models
                .iter()
                .find(|model| model.id == text(args, "model_id"))
            {
                Some(model) => model.run.clone(),
                None => run,
            };
            self.recorder.note(&run, note)?;
            return Ok(json!({ "model_version": version }));
        }
        let number = text(args, "version");
        let mut versions = model.versions.iter_mut();
        let Some(version) = versions.find(|version| text(version, "version") == number) else {
            let message = format!("Model Version (name={name}, version={number}) not found");
            return Err(Refusal::missing(message));
        };
        match call {
            ["get"] => {}
            ["update"] => version["description"] = json!(text(args, "description")),
            ["transition-stage"] => version["current_stage"] = json!(text(args, "stage")),
            ["set-tag" | "delete-tag" | "delete"] => return Ok(json!({})),
            ["get-download-uri"] => return Ok(json!({ "artifact_uri": version["source"] })),
            _ => return Err(self.unknown()),
        }
        Ok(json!({ "model_version": version }))
    }
}

/// Returns the text of a pair; empty without one.
fn text<'a>(args: &'a Value, key: &str) -> &'a str {
    args.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn required<'a>(args: &'a Value, key: &str) -> Result<&'a str, Refusal> {
    match text(args, key) {
        "" => Err(Refusal::invalid(format!(
            "Missing value for required parameter '{key}'."
        ))),
        text => Ok(text),
    }
}

fn integer(args: &Value, key: &str) -> Option<i64> {
    args.get(key).and_then(read_integer)
}

fn list<'a>(args: &'a Value, key: &str) -> &'a [Value] {
    let list = args.get(key).and_then(Value::as_array);
    list.map_or(&[], Vec::as_slice)
}

/// Reads MLflow's list of keys and values.
fn read_pairs(args: &Value, key: &str) -> Texts {
    let pairs = list(args, key).iter();
    pairs
        .map(|pair| (text(pair, "key").to_owned(), text(pair, "value").to_owned()))
        .filter(|(key, _)| !key.is_empty())
        .collect()
}

/// Returns the time in milliseconds since 1970.
fn now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| i64::try_from(now.as_millis()).unwrap_or(i64::MAX))
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

/// Returns the framework that a description of a model names: its flavor apart from the general one.
fn framework(description: &Value) -> Option<String> {
    let flavors = description.get("flavors")?.as_object()?;
    let mut names = flavors.keys().filter(|name| *name != "python_function");
    names.next().cloned()
}

/// Returns the framework that the file `MLmodel` names.
fn framework_of(description: &str) -> Option<String> {
    let flavors = description
        .lines()
        .skip_while(|line| *line != "flavors:")
        .skip(1);
    let mut names = flavors
        .take_while(|line| line.starts_with(' '))
        .filter_map(|line| line.strip_prefix("  ")?.strip_suffix(':'))
        .filter(|name| !name.starts_with(' ') && *name != "python_function");
    names.next().map(str::to_owned)
}

fn facts(name: &str, framework: Option<String>) -> Vec<(Name, Setting)> {
    let fact = |key: &str, text: &str| (Name::from(key), Setting::Text(text.into()));
    let name = Some(fact("name", name)).filter(|_| !name.is_empty());
    let framework = framework.map(|framework| fact("framework", &framework));
    name.into_iter().chain(framework).collect()
}
