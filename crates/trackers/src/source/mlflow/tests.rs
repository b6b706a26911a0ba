//! The server of an attempt, called as MLflow's clients call it.

use super::attempt::AttemptServer;
use super::endpoint::answer;
use super::files::ArtifactFiles;
use super::forward::{Forwarding, Leftovers};
use super::recording::Recorder;
use super::{Rename, environment};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};
use swath_engine::executor::SourceAttempt;
use swath_model::space::Name;
use swath_model::study::{Attempt, TrialId};

/// An attempt of a trial whose objective is `loss`, with a server.
struct World {
    trial: tempfile::TempDir,
    server: AttemptServer,
}

fn attempt<'a>(
    dir: &'a Path,
    deciding: &'a [Name],
    resource: Option<&'a Name>,
) -> SourceAttempt<'a> {
    SourceAttempt {
        trial: TrialId(1),
        attempt: Attempt(1),
        dir,
        workdir: dir,
        is_shared: false,
        resumes: false,
        deciding,
        resource,
        env: &[],
    }
}

impl World {
    fn new() -> Self {
        Self::deciding(&["loss"], None)
    }

    fn deciding(names: &[&str], resource: Option<&str>) -> Self {
        let trial = tempfile::tempdir().unwrap();
        let server = server(trial.path(), names, resource);
        Self { trial, server }
    }

    /// Makes a call that is answered.
    fn call(&mut self, method: &str, path: &str, body: Value) -> Value {
        let (status, answer) = self.try_call(method, path, body);
        assert_eq!(status, 200, "{path}: {answer}");
        answer
    }

    fn try_call(&mut self, method: &str, path: &str, body: Value) -> (u16, Value) {
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let path = format!("api/2.0/mlflow/{path}");
        let response = answer(&mut self.server, method, &path, body.as_bytes());
        (
            response.status(),
            serde_json::from_slice(response.body()).unwrap(),
        )
    }

    fn post(&mut self, path: &str, body: Value) -> Value {
        self.call("POST", path, body)
    }

    /// Creates a run, and returns its id.
    fn run(&mut self, tags: Value) -> String {
        let body = json!({"experiment_id": "0", "run_name": "main", "tags": tags});
        let run = self.post("runs/create", body);
        run["run"]["info"]["run_id"].as_str().unwrap().to_owned()
    }

    /// Logs values of one step in one call.
    fn log(&mut self, run: &str, step: i64, values: &[(&str, f64)]) {
        let metrics: Vec<_> = values
            .iter()
            .map(
                |(key, value)| json!({"key": key, "value": value, "timestamp": 1500, "step": step}),
            )
            .collect();
        self.post("runs/log-batch", json!({"run_id": run, "metrics": metrics}));
    }

    /// Returns the records of the trial, as they are in its file.
    fn records(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.trial.path().join("records.jsonl")).unwrap();
        let lines = text.lines();
        let records =
            lines.map(|line| serde_json::from_str::<Value>(line).unwrap()["record"].take());
        records.collect()
    }
}

fn server(trial: &Path, names: &[&str], resource: Option<&str>) -> AttemptServer {
    let deciding: Vec<Name> = names.iter().map(|name| Name::from(*name)).collect();
    let resource = resource.map(Name::from);
    let attempt = attempt(trial, &deciding, resource.as_ref());
    let recorder = Recorder::begin(&attempt, Rename::default()).unwrap();
    let mut files = ArtifactFiles::begin(trial);
    for path in recorder.earlier_files().unwrap() {
        files.note_recorded(&path);
    }
    AttemptServer::new(recorder, files)
}

#[test]
fn a_step_of_the_objective_is_a_report_with_all_values_of_the_step() {
    let mut world = World::new();
    let run = world.run(json!([]));
    world.log(&run, 1, &[("train_loss", 0.9)]);
    world.log(&run, 1, &[("loss", 0.5), ("acc", 0.25)]);
    world.log(&run, 1, &[("late", 7.0)]);
    world.log(&run, 2, &[("train_loss", 0.8)]);
    assert_eq!(
        world.records(),
        [
            json!({"kind": "metric", "train_loss": 0.9, "step": 1, "at": 1.5}),
            json!({"kind": "report", "step": 1.0, "train_loss": 0.9, "loss": 0.5, "acc": 0.25}),
            json!({"kind": "report", "step": 1.0, "late": 7.0}),
            json!({"kind": "metric", "train_loss": 0.8, "step": 2, "at": 1.5}),
        ]
    );
}

#[test]
fn values_of_batches_do_not_join_the_report_of_an_epoch_of_the_same_number() {
    let mut world = World::new();
    let run = world.run(json!([]));
    for batch in 0..3 {
        world.log(&run, batch, &[("batch_loss", 0.5)]);
    }
    world.log(&run, 1, &[("loss", 0.5)]);
    assert_eq!(
        world.records()[3],
        json!({"kind": "report", "step": 1.0, "loss": 0.5})
    );
}

#[test]
fn a_call_with_several_steps_is_a_report_for_each_of_them() {
    let mut world = World::new();
    let run = world.run(json!([]));
    let metric = |step, value| json!({"key": "loss", "value": value, "timestamp": 1, "step": step});
    let metrics = [metric(0, 0.3), metric(1, 0.2), metric(1, 0.1)];
    world.post("runs/log-batch", json!({"run_id": run, "metrics": metrics}));
    let losses: Vec<_> = world
        .records()
        .iter()
        .map(|record| record["loss"].clone())
        .collect();
    assert_eq!(losses, [0.3, 0.2, 0.1]);
}

#[test]
fn the_scheduler_finds_its_resource_in_every_report() {
    let mut world = World::deciding(&["loss", "epoch"], Some("epoch"));
    let run = world.run(json!([]));
    world.log(&run, 100, &[("epoch", 3.0)]);
    world.log(&run, 100, &[("loss", 0.5)]);
    world.log(&run, 4, &[("loss", 0.4)]);
    assert_eq!(
        world.records()[1..],
        [
            json!({"kind": "report", "step": 100.0, "epoch": 3.0, "loss": 0.5}),
            json!({"kind": "report", "step": 4.0, "epoch": 4.0, "loss": 0.4}),
        ]
    );
}

#[test]
fn a_nested_run_describes_and_decides_nothing() {
    let mut world = World::new();
    let parent = world.run(json!([]));
    let nested = world.run(json!([{"key": "mlflow.parentRunId", "value": parent}]));
    world.log(&nested, 0, &[("loss", 0.1)]);
    world.post(
        "runs/log-parameter",
        json!({"run_id": nested, "key": "C", "value": "1.0"}),
    );
    world.post(
        "runs/set-tag",
        json!({"run_id": nested, "key": "fold", "value": "2"}),
    );
    assert_eq!(
        world.records(),
        [
            json!({"kind": "metric", "loss": 0.1, "step": 0, "log": "run_1", "at": 1.5}),
            json!({"kind": "param", "name": "run_1/C", "value": 1.0}),
            json!({"kind": "note", "text": "run_1: fold: 2"}),
        ]
    );
}

#[test]
fn a_point_that_is_sent_twice_is_recorded_once() {
    let mut world = World::new();
    let run = world.run(json!([]));
    world.log(&run, 0, &[("loss", 0.5)]);
    world.log(&run, 0, &[("loss", 0.5)]);
    assert_eq!(world.records().len(), 1);
}

#[test]
fn numbers_arrive_exactly_and_those_that_json_lacks_as_texts() {
    let mut world = World::new();
    let run = world.run(json!([]));
    for (step, value) in [
        json!(0.1 + 0.2),
        json!("NaN"),
        json!("-Infinity"),
        json!(1e-320),
    ]
    .into_iter()
    .enumerate()
    {
        let body =
            json!({"run_id": run, "key": "loss", "value": value, "timestamp": 1, "step": step});
        world.post("runs/log-metric", body);
    }
    let text = fs::read_to_string(world.trial.path().join("records.jsonl")).unwrap();
    let values = ["0.30000000000000004", "NaN", "-Infinity", "1e-320"];
    for (line, value) in text.lines().zip(values) {
        assert!(line.ends_with(&format!("\"loss\": {value}}}}}")), "{line}");
    }
    let path = format!("metrics/get-history?run_id={run}&metric_key=loss");
    let history = world.call("GET", &path, Value::Null);
    assert_eq!(history["metrics"][2]["value"], json!("-Infinity"));
}

#[test]
fn metrics_of_the_system_belong_to_no_report() {
    let mut world = World::new();
    let run = world.run(json!([]));
    world.log(&run, 1, &[("loss", 0.5)]);
    world.log(&run, 1, &[("system/cpu", 12.0)]);
    assert_eq!(world.records()[1]["kind"], "metric");
}

#[test]
fn metrics_named_like_keys_of_a_line_keep_their_values() {
    let mut world = World::new();
    let run = world.run(json!([]));
    world.log(&run, 3, &[("batch", 7.0), ("value", 8.0)]);
    world.log(&run, 4, &[("loss", 0.5), ("rank", 2.0), ("step", 9.0)]);
    assert_eq!(
        world.records(),
        [
            json!({"kind": "metric", "mlflow.batch": 7.0, "mlflow.value": 8.0, "step": 3, "at": 1.5}),
            json!({"kind": "report", "step": 4.0, "loss": 0.5, "mlflow.rank": 2.0, "mlflow.step": 9.0}),
        ]
    );
}

#[test]
fn parameters_have_the_types_of_their_texts_and_do_not_change() {
    let mut world = World::new();
    let run = world.run(json!([]));
    let param = |key, value| json!({"key": key, "value": value});
    let params = [
        param("depth", "3"),
        param("lr", "1e-3"),
        param("amp", "True"),
        param("fill", "nan"),
    ];
    world.post("runs/log-batch", json!({"run_id": run, "params": params}));
    world.post("runs/log-batch", json!({"run_id": run, "params": params}));
    let (status, refusal) = world.try_call(
        "POST",
        "runs/log-parameter",
        json!({"run_id": run, "key": "depth", "value": "4"}),
    );
    assert_eq!(
        (status, &refusal["error_code"]),
        (400, &json!("INVALID_PARAMETER_VALUE"))
    );
    let records = world.records();
    let values: Vec<_> = records.iter().map(|record| &record["value"]).collect();
    assert_eq!(
        values,
        [&json!(3), &json!(0.001), &json!(true), &json!("nan")]
    );
}

#[test]
fn a_model_of_mlflow_2_and_the_other_files_of_its_run_are_recorded() {
    let mut world = World::new();
    let run = world.run(json!([]));
    let path = format!("runs/get?run_uuid={run}&run_id={run}");
    let info = world.call("GET", &path, Value::Null);
    let folder = Path::new(info["run"]["info"]["artifact_uri"].as_str().unwrap()).to_owned();
    fs::create_dir_all(folder.join("model")).unwrap();
    fs::write(folder.join("model/MLmodel"), "x").unwrap();
    fs::write(folder.join("notes.txt"), "x").unwrap();
    let flavors =
        json!({"artifact_path": "model", "flavors": {"python_function": {}, "sklearn": {}}});
    world.post(
        "runs/log-model",
        json!({"run_id": run, "model_json": flavors.to_string()}),
    );
    world.post(
        "runs/update",
        json!({"run_id": run, "status": "FINISHED", "end_time": 9}),
    );
    fs::write(folder.join("late.txt"), "x").unwrap();
    world.server.finish().unwrap();
    let path = "artifacts/mlflow/run_1";
    assert_eq!(
        world.records(),
        [
            json!({"kind": "model", "path": format!("{path}/model"), "step": null, "keep": false,
                   "name": "model", "framework": "sklearn"}),
            json!({"kind": "artifact", "path": format!("{path}/notes.txt"), "type": null}),
            json!({"kind": "artifact", "path": format!("{path}/late.txt"), "type": null}),
        ]
    );
    // The next attempt knows them.
    let mut next = World {
        server: server(world.trial.path(), &["loss"], None),
        ..world
    };
    next.run(json!([]));
    next.server.finish().unwrap();
    assert_eq!(next.records().len(), 3);
}

#[test]
fn a_logged_model_of_mlflow_3_is_recorded_once_its_files_are_complete() {
    let mut world = World::new();
    let run = world.run(json!([]));
    let body = json!({"experiment_id": "0", "name": "net", "source_run_id": run});
    let model = world.post("logged-models", body);
    let info = &model["model"]["info"];
    let (id, folder) = (
        info["model_id"].as_str().unwrap(),
        info["artifact_uri"].as_str().unwrap(),
    );
    let outputs = json!({"run_id": run, "models": [{"model_id": id, "step": 3}]});
    world.post("runs/outputs", outputs);
    let text = "artifact_path: x\nflavors:\n  python_function:\n    a: 1\n  pytorch:\n    b: 2\nrun_id: y\n";
    fs::write(Path::new(folder).join("MLmodel"), text).unwrap();
    let path = format!("logged-models/{id}");
    let body = json!({"model_id": id, "status": "LOGGED_MODEL_READY"});
    world.call("PATCH", &path, body.clone());
    world.call("PATCH", &path, body);
    assert_eq!(
        world.records(),
        [
            json!({"kind": "model", "path": "artifacts/mlflow/models/net_1", "step": 3.0, "keep": false,
                "name": "net", "framework": "pytorch"})
        ]
    );
}

#[test]
fn local_data_sets_are_data_sets_and_others_are_notes() {
    let mut world = World::new();
    let run = world.run(json!([]));
    let local = json!({"name": "d", "source_type": "local", "source": "{\"uri\": \"data/x.csv\"}"});
    let code = json!({"name": "frame", "digest": "29", "source_type": "code", "source": "{}"});
    let tags = json!([{"key": "mlflow.data.context", "value": "train"}]);
    let datasets = json!([{"tags": tags, "dataset": local}, {"tags": tags, "dataset": code}]);
    world.post(
        "runs/log-inputs",
        json!({"run_id": run, "datasets": datasets}),
    );
    assert_eq!(
        world.records(),
        [
            json!({"kind": "dataset", "path": "data/x.csv", "role": "train"}),
            json!({"kind": "note", "text": "data set `frame` for train: digest 29, source code"}),
        ]
    );
}

#[test]
fn a_program_finds_its_experiment_its_runs_and_its_models() {
    let mut world = World::new();
    let path = "experiments/get-by-name?experiment_name=my+demo";
    let (status, answer) = world.try_call("GET", path, Value::Null);
    assert_eq!(
        (status, &answer["error_code"]),
        (404, &json!("RESOURCE_DOES_NOT_EXIST"))
    );
    let id = world.post("experiments/create", json!({"name": "my demo"}));
    let experiment = world.call("GET", path, Value::Null);
    assert_eq!(
        experiment["experiment"]["experiment_id"],
        id["experiment_id"]
    );
    let run = world.post("runs/create", json!({"experiment_id": id["experiment_id"]}));
    let run = run["run"]["info"]["run_id"].as_str().unwrap().to_owned();
    world.log(&run, 0, &[("loss", 0.5)]);
    let search = json!({"experiment_ids": [id["experiment_id"]], "filter": "metrics.loss < 1"});
    let runs = world.post("runs/search", search);
    assert_eq!(runs["runs"][0]["info"]["run_id"], json!(run));
    assert_eq!(runs["runs"][0]["data"]["metrics"][0]["value"], 0.5);
    world.post("registered-models/create", json!({"name": "r"}));
    let version = json!({"name": "r", "source": "x", "run_id": run});
    let version = world.post("model-versions/create", version);
    assert_eq!(version["model_version"]["version"], "1");
    world.post(
        "registered-models/alias",
        json!({"name": "r", "alias": "best", "version": "1"}),
    );
    let path = "registered-models/alias?name=r&alias=best";
    let alias = world.call("GET", path, Value::Null);
    assert_eq!(alias["model_version"]["source"], "x");
}

#[test]
fn a_run_that_an_earlier_attempt_has_created_goes_on() {
    let mut world = World::new();
    let id = "0123456789abcdef0123456789abcdef";
    let run = world.call("GET", &format!("runs/get?run_id={id}"), Value::Null);
    assert_eq!(run["run"]["info"]["run_id"], id);
    world.log(id, 5, &[("loss", 0.5)]);
    assert_eq!(world.records()[0]["kind"], "report");
    let (status, _) = world.try_call("GET", "runs/get?run_id=../x", Value::Null);
    assert_eq!(status, 400);
}

#[test]
fn calls_that_are_not_served_are_refused_and_named() {
    let mut world = World::new();
    let (status, answer) = world.try_call("POST", "traces", json!({}));
    assert_eq!(
        (status, &answer["error_code"]),
        (404, &json!("ENDPOINT_NOT_FOUND"))
    );
    let troubles = world.server.take_troubles();
    assert_eq!(troubles, ["the call `POST traces` is not served"]);
    assert!(world.server.take_troubles().is_empty());
}

#[test]
fn bad_requests_are_refused() {
    let mut world = World::new();
    let run = world.run(json!([]));
    let wrong = [
        json!({}),
        json!({"run_id": run}),
        json!({"run_id": run, "key": "a", "value": "many"}),
        json!({"run_id": run, "key": "a", "value": [1]}),
        json!({"run_id": 5}),
    ];
    for body in wrong {
        assert_eq!(world.try_call("POST", "runs/log-metric", body).0, 400);
    }
    for body in [&b"nonsense"[..], b"[1]", b"\xff", b"{\"a\": "] {
        let path = "api/2.0/mlflow/runs/log-metric";
        assert_eq!(answer(&mut world.server, "POST", path, body).status(), 400);
    }
    for path in [
        "",
        "?",
        "api/2.0/mlflow/",
        "api/2.0/mlflow/%ff?%ff=%",
        "//",
        "x?a=1&a=2&a=3",
    ] {
        assert_eq!(
            answer(&mut world.server, "GET", path, b"").status(),
            404,
            "{path}"
        );
    }
    for call in [
        "experiments",
        "runs",
        "logged-models",
        "registered-models",
        "model-versions",
    ] {
        for method in ["GET", "POST", "PATCH", "DELETE"] {
            for rest in ["", "/", "/get", "/create", "/x/y/z"] {
                let path = format!("api/2.0/mlflow/{call}{rest}");
                answer(
                    &mut world.server,
                    method,
                    &path,
                    b"{\"name\": 1, \"run_id\": null}",
                );
            }
        }
    }
}

#[test]
fn nothing_that_the_clients_send_goes_elsewhere() {
    let env = [
        ("NO_PROXY".to_owned(), "internal".to_owned()),
        ("MLFLOW_DISABLE_TELEMETRY".to_owned(), "false".to_owned()),
    ];
    let attempt = SourceAttempt {
        env: &env,
        ..attempt("/t".as_ref(), &[], None)
    };
    let variables = environment(&attempt, "http://127.0.0.1:1/token");
    let value = |name: &str| {
        let mut variables = variables.iter();
        let pair = variables.find(|(other, _)| other == name);
        pair.map(|(_, value)| value.to_str().unwrap())
    };
    assert_eq!(
        value("MLFLOW_TRACKING_URI"),
        Some("http://127.0.0.1:1/token")
    );
    assert_eq!(
        value("MLFLOW_REGISTRY_URI"),
        Some("http://127.0.0.1:1/token")
    );
    assert_eq!(value("NO_PROXY"), Some("internal,127.0.0.1,localhost"));
    assert_eq!(
        value("MLFLOW_DISABLE_TELEMETRY"),
        None,
        "the user has decided"
    );
}

/// An MLflow server for the tests of forwarding: the server of another attempt.
fn upstream() -> (
    super::endpoint::Endpoint,
    super::endpoint::Shared,
    String,
    tempfile::TempDir,
) {
    let trial = tempfile::tempdir().unwrap();
    let shared = Arc::new(Mutex::new(server(trial.path(), &["loss"], None)));
    let endpoint = super::endpoint::Endpoint::start().unwrap();
    let (_, address) = endpoint.open(Arc::clone(&shared));
    (endpoint, shared, address, trial)
}

#[test]
fn all_calls_go_on_to_the_users_server_with_its_ids() {
    let (_endpoint, shared, address, _upstream) = upstream();
    // The experiment is there already, under another id.
    super::endpoint::lock(&shared)
        .call("POST", "experiments/create", &json!({"name": "other"}))
        .unwrap();
    super::endpoint::lock(&shared)
        .call("POST", "experiments/create", &json!({"name": "demo"}))
        .unwrap();
    let trial = tempfile::tempdir().unwrap();
    let variable = |name: &str| (name == "MLFLOW_TRACKING_URI").then(|| address.clone());
    let forwarding = Forwarding::start(trial.path(), 1, variable).unwrap();
    let server = server(trial.path(), &["loss"], None).forwarding(forwarding);
    let mut world = World { trial, server };
    let experiment = world.post("experiments/create", json!({"name": "demo"}));
    let id = &experiment["experiment_id"];
    let run = world.post(
        "runs/create",
        json!({"experiment_id": id, "run_name": "main"}),
    );
    let run = run["run"]["info"]["run_id"].as_str().unwrap().to_owned();
    let nested = world.run(json!([{"key": "mlflow.parentRunId", "value": run}]));
    world.log(&run, 1, &[("loss", 0.5), ("acc", 0.25)]);
    world.log(&nested, 2, &[("loss", 0.1)]);
    let model = world.post(
        "logged-models",
        json!({"experiment_id": id, "source_run_id": run}),
    );
    let model = model["model"]["info"]["model_id"]
        .as_str()
        .unwrap()
        .to_owned();
    let ready = json!({"status": "LOGGED_MODEL_READY"});
    world.call("PATCH", &format!("logged-models/{model}"), ready);
    world.post(
        "runs/update",
        json!({"run_id": run, "status": "FINISHED", "end_time": 5}),
    );
    world.server.finish().unwrap();
    let troubles = world.server.take_troubles();
    assert!(troubles.is_empty(), "{troubles:?}");

    let ask = |call: &str, args: Value| {
        let answer = super::endpoint::lock(&shared).call("POST", call, &args);
        answer.unwrap()
    };
    let runs = ask("runs/search", json!({"experiment_ids": ["2"]}));
    let main = &runs["runs"][0];
    assert_eq!(main["info"]["run_name"], "main");
    assert_eq!(main["info"]["status"], "FINISHED");
    assert_ne!(main["info"]["run_id"], json!(run));
    let value = |index: usize| main["data"]["metrics"][index]["value"].clone();
    assert_eq!([value(0), value(1)], [json!(0.25), json!(0.5)]);
    let nested = ask("runs/search", json!({"experiment_ids": ["0"]}));
    let nested = &nested["runs"][0];
    assert_eq!(
        nested["info"]["status"], "KILLED",
        "the program did not end it"
    );
    let tags = nested["data"]["tags"].as_array().unwrap();
    let parent = tags.iter().find(|tag| tag["key"] == "mlflow.parentRunId");
    assert_eq!(parent.unwrap()["value"], main["info"]["run_id"]);
    let models = ask("logged-models/search", json!({}));
    let model = &models["models"][0]["info"];
    assert_eq!(model["status"], "LOGGED_MODEL_READY");
    assert_eq!(model["source_run_id"], main["info"]["run_id"]);
}

#[test]
fn the_next_run_forwards_what_a_killed_one_could_not() {
    let (_endpoint, shared, address, _upstream) = upstream();
    let study = tempfile::tempdir().unwrap();
    let trial = tempfile::tempdir().unwrap();
    let variable = |name: &str| (name == "MLFLOW_TRACKING_URI").then(|| address.clone());
    // Another process has the lock, so nothing of this attempt is forwarded yet.
    let spool = trial.path().join("mlflow-forward.jsonl");
    let other = fs::File::create(&spool).unwrap();
    rustix::fs::flock(&other, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let forwarding = Forwarding::start(trial.path(), 1, variable).unwrap();
    let server = server(trial.path(), &["loss"], None).forwarding(forwarding);
    let mut world = World { trial, server };
    let run = world.run(json!([]));
    world.log(&run, 1, &[("loss", 0.5)]);
    let killed = study.path().join("1");
    fs::create_dir(&killed).unwrap();
    fs::copy(&spool, killed.join("mlflow-forward.jsonl")).unwrap();
    drop(other);
    world.server.finish().unwrap();
    assert_eq!(fs::read(&spool).unwrap(), b"", "all of it is delivered");

    let (leftovers, trials) = Leftovers::deliver(study.path(), variable).unwrap().unwrap();
    assert_eq!(trials, 1);
    drop(leftovers);
    let runs = super::endpoint::lock(&shared)
        .call("POST", "runs/search", &json!({"experiment_ids": ["0"]}))
        .unwrap();
    let runs = runs["runs"].as_array().unwrap();
    assert_eq!(runs.len(), 2);
    for run in runs {
        assert_eq!(
            run["info"]["status"], "KILLED",
            "the program did not end it"
        );
        assert_eq!(run["data"]["metrics"][0]["value"], 0.5);
    }
    assert_eq!(fs::read(killed.join("mlflow-forward.jsonl")).unwrap(), b"");
    assert!(
        Leftovers::deliver(study.path(), variable)
            .unwrap()
            .is_none()
    );
}

#[test]
fn forwarding_needs_the_address_of_a_server() {
    let trial = tempfile::tempdir().unwrap();
    for address in [None, Some("sqlite:///mlflow.db"), Some("./mlruns")] {
        let variable = |_: &str| address.map(str::to_owned);
        let error = Forwarding::start(trial.path(), 1, variable).err().unwrap();
        let text = error.to_string();
        assert!(
            text.starts_with("`forward = true` needs the address"),
            "{text}"
        );
    }
}
