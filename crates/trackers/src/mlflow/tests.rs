//! Tests of a study against a stub HTTP server on the loopback interface that fails in prescribed
//! ways.

use super::access::Access;
use super::courier::Courier;
use super::rest::Address;
use super::rows::Rows;
use super::runs::Projection;
use super::{Mlflow, SCHEMES, Store, Target};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use swath_engine::tracker::Tracker;
use swath_engine::tracker::retry::Heartbeat;
use swath_model::demo::Demo;
use swath_model::study::{Attempt, Closing, Event, Exit, Failure, LogRecord, Study};

/// The stub's reaction to one call.
#[derive(Debug, Clone, Copy)]
enum Reaction {
    Status(u16),
    Redirect,
    Garbage,
    /// Carries out the call, but closes the connection without a reply.
    LostReply,
    /// Refuses calls whose body contains this text.
    Refuse(&'static str),
}

#[derive(Default)]
struct State {
    reactions: VecDeque<Reaction>,
    /// The calls received: method, path, authorization, body.
    calls: Vec<(String, String, String, Value)>,
    /// The runs created so far, by their tag `swath.run`.
    runs: Vec<(String, String)>,
    /// The registered versions.
    versions: Vec<Value>,
}

#[derive(Clone)]
struct Stub {
    address: String,
    state: Arc<Mutex<State>>,
}

impl Stub {
    fn start(reactions: &[Reaction]) -> Self {
        Self::listen(TcpListener::bind("127.0.0.1:0").unwrap(), reactions)
    }

    fn listen(listener: TcpListener, reactions: &[Reaction]) -> Self {
        let address = listener.local_addr().unwrap().to_string();
        let state = Arc::new(Mutex::new(State {
            reactions: reactions.iter().copied().collect(),
            ..State::default()
        }));
        let stub = Self { address, state };
        let serving = stub.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (stub, stream) = (serving.clone(), stream.unwrap());
                std::thread::spawn(move || stub.serve(stream));
            }
        });
        stub
    }

    fn uri(&self) -> String {
        format!("http://{}", self.address)
    }

    fn serve(&self, mut stream: TcpStream) {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        while let Some((head, body)) = request(&mut reader) {
            let mut parts = head
                .lines()
                .next()
                .unwrap_or_default()
                .split(' ')
                .map(str::to_owned);
            let (method, path) = (
                parts.next().unwrap_or_default(),
                parts.next().unwrap_or_default(),
            );
            let login = head.lines().find_map(|line| {
                line.to_ascii_lowercase()
                    .starts_with("authorization:")
                    .then(|| line[14..].trim().to_owned())
            });
            let value = serde_json::from_slice(&body).unwrap_or_default();
            let reaction = {
                let mut state = self.state.lock().unwrap();
                state
                    .calls
                    .push((method, path.clone(), login.unwrap_or_default(), value));
                state.reactions.pop_front()
            };
            let value: Value = serde_json::from_slice(&body).unwrap_or_default();
            let reply = match reaction {
                Some(Reaction::Status(status)) => (status, String::new(), "no".to_owned()),
                Some(Reaction::Redirect) => (
                    307,
                    "Location: http://u:p@elsewhere.example/\r\n".into(),
                    String::new(),
                ),
                Some(Reaction::Garbage) => (200, String::new(), "<html>\u{0}".to_owned()),
                Some(Reaction::Refuse(text)) if value.to_string().contains(text) => {
                    self.state
                        .lock()
                        .unwrap()
                        .reactions
                        .push_front(Reaction::Refuse(text));
                    let error = json!({ "error_code": "INVALID_PARAMETER_VALUE", "message": "no NaN allowed" });
                    (400, String::new(), error.to_string())
                }
                Some(Reaction::Refuse(text)) => {
                    self.state
                        .lock()
                        .unwrap()
                        .reactions
                        .push_front(Reaction::Refuse(text));
                    (
                        200,
                        String::new(),
                        self.carry_out(&path, &value).to_string(),
                    )
                }
                Some(Reaction::LostReply) => {
                    self.carry_out(&path, &value);
                    return;
                }
                None => (
                    200,
                    String::new(),
                    self.carry_out(&path, &value).to_string(),
                ),
            };
            let (status, headers, body) = reply;
            let head = format!(
                "HTTP/1.1 {status} x\r\n{headers}Content-Length: {}\r\n\r\n",
                body.len()
            );
            if stream
                .write_all(format!("{head}{body}").as_bytes())
                .is_err()
            {
                return;
            }
        }
    }

    fn carry_out(&self, path: &str, body: &Value) -> Value {
        let mut state = self.state.lock().unwrap();
        let call = path.strip_prefix("/api/2.0/mlflow/").unwrap_or_default();
        if call.starts_with("experiments/get-by-name") {
            return json!({ "experiment": { "experiment_id": "1", "lifecycle_stage": "active" } });
        }
        if call.starts_with("model-versions/search") {
            return json!({ "model_versions": state.versions });
        }
        match call {
            "model-versions/create" => {
                let mut version = body.clone();
                version["version"] = (state.versions.len() + 1).to_string().into();
                state.versions.push(version.clone());
                json!({ "model_version": version })
            }
            "runs/create" => {
                let tags = body["tags"].as_array().unwrap();
                let tag = tags.iter().find(|tag| tag["key"] == "swath.run").unwrap()["value"]
                    .as_str()
                    .unwrap();
                let id = format!("run{}", state.runs.len());
                state.runs.push((tag.to_owned(), id.clone()));
                json!({ "run": run_reply(&id) })
            }
            "runs/search" => {
                let filter = body["filter"].as_str().unwrap();
                let existing = state
                    .runs
                    .iter()
                    .find(|(tag, _)| filter.ends_with(&format!("'{tag}'")));
                existing.map_or(json!({}), |(_, id)| json!({ "runs": [run_reply(id)] }))
            }
            _ => json!({}),
        }
    }

    /// Returns what was logged: metrics as `key value`, parameters, and the last status of each
    /// run.
    fn logged(&self) -> Vec<String> {
        let state = self.state.lock().unwrap();
        let mut lines = Vec::new();
        for (_, path, _, body) in &state.calls {
            if path.ends_with("runs/log-batch") {
                let metrics = body["metrics"].as_array().unwrap().iter();
                lines.extend(metrics.map(|metric| {
                    format!("{} {} {}", metric["key"], metric["value"], metric["step"])
                }));
                let params = body["params"].as_array().unwrap().iter();
                lines.extend(params.map(|param| format!("{} = {}", param["key"], param["value"])));
            }
            if path.ends_with("runs/update") {
                lines.push(format!("{} {}", body["run_id"], body["status"]));
            }
        }
        lines
    }
}

fn run_reply(id: &str) -> Value {
    let artifact_uri = format!("mlflow-artifacts:/1/{id}/artifacts");
    json!({ "info": { "run_id": id, "artifact_uri": artifact_uri } })
}

fn request(reader: &mut impl BufRead) -> Option<(String, Vec<u8>)> {
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if let Some(number) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = number.trim().parse().unwrap();
        }
        if line == "\r\n" {
            break;
        }
        head.push_str(&line);
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((head, body))
}

fn demo() -> Demo {
    let mut demo = Demo::new(&["lr"]);
    let trial = demo.start(&[("lr", swath_model::demo::text("é"))]);
    demo.report(trial, &[("val_loss", f64::NAN)]);
    demo.report(trial, &[("val_loss", 0.5)]);
    demo.end(trial, Exit::Failed(Failure::Code(3)));
    demo.event(Event::Closed {
        why: Closing::Finished,
    });
    demo
}

/// The content of the server after [`demo`] is delivered.
const EXPECTED: [&str; 6] = [
    "\"lr\" = \"é\"",
    "\"run0\" \"FINISHED\"",
    "\"run1\" \"FAILED\"",
    "\"run1\" \"RUNNING\"",
    "\"val_loss\" \"NaN\" 1",
    "\"val_loss\" 0.5 2",
];

/// Returns the tracker of a study in `folder`.
fn tracker(folder: &Path, uri: &str) -> Mlflow {
    let address = Address::parse(uri, Access::default()).unwrap();
    Mlflow {
        projection: Projection::default(),
        rows: Rows::default(),
        dir: Some(folder.to_owned()),
        store: Store::Server(Box::new(Courier::new(address, folder.to_owned(), None))),
    }
}

/// Delivers the study from `folder` at the end of a run, with `patience` in milliseconds, and
/// returns the result of `close`.
fn run(demo: &Demo, folder: &Path, uri: &str, patience: u64) -> Result<(), String> {
    let heartbeat = Heartbeat::with_patience(Duration::from_millis(patience));
    heartbeat.end();
    let delivered = Arc::new(heartbeat).scope(|| {
        let (mut study, mut tracker) = (Study::default(), tracker(folder, uri));
        for entry in &demo.entries {
            study.apply(entry).unwrap();
            tracker.record(&study, entry)?;
        }
        tracker.close(&study)
    });
    delivered.map_err(|error| error.to_string())
}

/// Delivers a study whose best trial recorded a model, and registers the model as `m`.
fn register(demo: &Demo, folder: &Path, uri: &str) -> Result<(), String> {
    let heartbeat = Heartbeat::with_patience(Duration::from_secs(10));
    let delivered = Arc::new(heartbeat).scope(|| {
        let (mut study, mut tracker) = (Study::default(), tracker(folder, uri));
        tracker.projection = Projection::registering(true);
        let address = Address::parse(uri, Access::default()).unwrap();
        let courier = Courier::new(address, folder.to_owned(), None);
        tracker.store = Store::Server(Box::new(courier.registering(Some("m".to_owned()))));
        for entry in &demo.entries {
            study.apply(entry).unwrap();
            tracker.record(&study, entry)?;
        }
        tracker.close(&study)
    });
    delivered.map_err(|error| error.to_string())
}

fn with_model(held: &str) -> Demo {
    let mut demo = Demo::new(&[]);
    let trial = demo.start(&[]);
    demo.report(trial, &[("val_loss", 0.5)]);
    demo.log(
        trial,
        LogRecord::Model {
            model_path: "best.bin".into(),
            md5: Some("0123".into()),
            size: 1,
            step: None,
            held: Some(held.to_owned()),
            keep: false,
            doubt: None,
            partial: Vec::new(),
        },
    );
    demo.end(trial, Exit::Done);
    demo.event(Event::Closed {
        why: Closing::Finished,
    });
    demo
}

#[test]
fn the_model_of_the_best_trial_is_registered_once_with_the_alias_best() {
    let (stub, folder) = (Stub::start(&[]), tempfile::tempdir().unwrap());
    std::fs::create_dir_all(folder.path().join("1/held/x")).unwrap();
    std::fs::write(folder.path().join("1/held/x/best.bin"), "m").unwrap();
    let demo = with_model("held/x/best.bin");
    assert_eq!(register(&demo, folder.path(), &stub.uri()), Ok(()));
    std::fs::remove_file(folder.path().join("trackers/mlflow.cursor")).unwrap();
    assert_eq!(register(&demo, folder.path(), &stub.uri()), Ok(()));
    let state = stub.state.lock().unwrap();
    let calls = |end: &str| {
        let calls = state
            .calls
            .iter()
            .filter(|(_, path, ..)| path.ends_with(end));
        calls.map(|(.., body)| body.clone()).collect::<Vec<_>>()
    };
    let [version] = &calls("model-versions/create")[..] else {
        panic!("the second delivery finds the version of the first one")
    };
    assert_eq!(
        version["source"],
        "mlflow-artifacts:/1/run1/artifacts/model"
    );
    let tags = version["tags"].to_string();
    for tag in ["swath.objective.val_loss", "swath.model_md5", "swath.trial"] {
        assert!(tags.contains(tag), "{tags}");
    }
    let alias = json!({ "name": "m", "alias": "best", "version": "1" });
    assert_eq!(calls("registered-models/alias"), [alias.clone(), alias]);
    assert_eq!(calls("artifacts/1/run1/artifacts/model/best.bin").len(), 1);
    drop(state);
    assert!(
        stub.logged()
            .contains(&"\"best.val_loss\" 0.5 1".to_owned())
    );
}

#[test]
fn a_model_whose_bytes_are_gone_is_not_registered_and_named() {
    let (stub, folder) = (Stub::start(&[]), tempfile::tempdir().unwrap());
    let error = register(&with_model("held/x/best.bin"), folder.path(), &stub.uri()).unwrap_err();
    assert!(
        error.contains("`best.bin`") && error.contains("are gone"),
        "{error}"
    );
    assert!(stub.state.lock().unwrap().versions.is_empty());
}

#[test]
fn a_folder_is_uploaded_file_by_file_and_what_cannot_be_is_named() {
    let (stub, folder) = (Stub::start(&[]), tempfile::tempdir().unwrap());
    let artifacts = folder.path().join("1/artifacts/file/d/sub");
    std::fs::create_dir_all(&artifacts).unwrap();
    for name in ["a", "b"] {
        std::fs::write(artifacts.join(name), name).unwrap();
    }
    let large = std::fs::File::create(artifacts.join("large")).unwrap();
    // A file without blocks, which is read nowhere.
    large.set_len((1 << 30) + 1).unwrap();
    let mut demo = Demo::new(&[]);
    let trial = demo.start(&[]);
    demo.log(
        trial,
        LogRecord::Artifact {
            path: "artifacts/file/d".into(),
            md5: None,
            size: 2,
            partial: Vec::new(),
        },
    );
    demo.report(trial, &[("val_loss", 0.5)]);
    demo.end(trial, Exit::Done);
    let error = run(&demo, folder.path(), &stub.uri(), 10_000).unwrap_err();
    assert!(error.contains("d/sub/large`: it has 1024 MiB"), "{error}");
    let state = stub.state.lock().unwrap();
    let puts = state.calls.iter().filter(|(method, ..)| method == "PUT");
    let puts: Vec<_> = puts
        .map(|(_, path, ..)| path.rsplit_once("/run1/").unwrap().1)
        .collect();
    assert_eq!(puts, ["artifacts/file/d/sub/a", "artifacts/file/d/sub/b"]);
}

fn assert_delivered(stub: &Stub) {
    let mut logged = stub.logged();
    logged.retain(|line| line != "\"run1\" \"SCHEDULED\"");
    logged.sort();
    logged.dedup();
    assert_eq!(logged, EXPECTED);
}

#[test]
fn a_study_arrives_and_a_second_delivery_of_it_changes_nothing() {
    let (stub, folder) = (Stub::start(&[]), tempfile::tempdir().unwrap());
    assert_eq!(run(&demo(), folder.path(), &stub.uri(), 10_000), Ok(()));
    assert_delivered(&stub);
    let calls = stub.state.lock().unwrap().calls.len();
    assert_eq!(run(&demo(), folder.path(), &stub.uri(), 10_000), Ok(()));
    assert_eq!(
        stub.state.lock().unwrap().calls.len(),
        calls,
        "the server had everything"
    );
    std::fs::remove_file(folder.path().join("trackers/mlflow.cursor")).unwrap();
    assert_eq!(run(&demo(), folder.path(), &stub.uri(), 10_000), Ok(()));
    assert_eq!(
        stub.state.lock().unwrap().runs.len(),
        2,
        "a repeated delivery finds the runs"
    );
}

#[test]
fn calls_with_errors_garbage_and_lost_replies_are_repeated() {
    let reactions = [
        Reaction::Status(500),
        Reaction::Garbage,
        Reaction::Status(429),
        Reaction::Status(503),
    ];
    let (stub, folder) = (Stub::start(&reactions), tempfile::tempdir().unwrap());
    assert_eq!(run(&demo(), folder.path(), &stub.uri(), 20_000), Ok(()));
    assert_delivered(&stub);
    let stub = Stub::start(&[Reaction::LostReply; 3]);
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(run(&demo(), folder.path(), &stub.uri(), 20_000), Ok(()));
    assert_delivered(&stub);
    assert_eq!(stub.state.lock().unwrap().runs.len(), 2);
}

#[test]
fn an_unreachable_server_is_reported_at_the_end_and_the_next_run_delivers() {
    // Use a separate address, so that no server of another test gets the port while it is free.
    let listener = TcpListener::bind("127.0.0.77:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let (uri, folder) = (format!("http://{address}"), tempfile::tempdir().unwrap());
    let why = run(&demo(), folder.path(), &uri, 500).unwrap_err();
    assert!(
        why.contains("records were not delivered yet: http://127.0.0.77:"),
        "{why}"
    );
    assert!(why.ends_with("delivers them from the journal"), "{why}");
    let stub = Stub::listen(TcpListener::bind(address).unwrap(), &[]);
    assert_eq!(run(&demo(), folder.path(), &uri, 10_000), Ok(()));
    assert_delivered(&stub);
}

#[test]
fn the_cursor_of_an_earlier_version_is_used_and_its_spool_removed() {
    let (stub, folder) = (Stub::start(&[]), tempfile::tempdir().unwrap());
    assert_eq!(run(&demo(), folder.path(), &stub.uri(), 10_000), Ok(()));
    let trackers = folder.path().join("trackers");
    let cursor = std::fs::read_to_string(trackers.join("mlflow.cursor")).unwrap();
    let mut earlier: Value = serde_json::from_str(&cursor).unwrap();
    earlier.as_object_mut().unwrap().remove("logs");
    std::fs::remove_file(trackers.join("mlflow.cursor")).unwrap();
    std::fs::write(trackers.join("mlflow.json"), earlier.to_string()).unwrap();
    std::fs::create_dir(trackers.join("mlflow.spool")).unwrap();
    std::fs::write(trackers.join("mlflow.spool/0.jsonl"), "{\"seq\": 3").unwrap();
    let calls = stub.state.lock().unwrap().calls.len();
    let mut longer = demo();
    longer.event(Event::Closed {
        why: Closing::Interrupted,
    });
    assert_eq!(run(&longer, folder.path(), &stub.uri(), 10_000), Ok(()));
    let state = stub.state.lock().unwrap();
    let paths: Vec<_> = state.calls[calls..].iter().map(|call| &call.1).collect();
    let new = ["experiments/get-by-name", "runs/search", "runs/update"];
    assert!(
        paths
            .iter()
            .all(|path| new.iter().any(|new| path.contains(new))),
        "only the end of the study was missing: {paths:?}"
    );
    let mut kept: Vec<_> = std::fs::read_dir(&trackers)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    kept.sort();
    assert_eq!(kept, ["mlflow.cursor"]);
}

#[test]
fn a_killed_run_loses_no_row_and_the_next_run_sends_none_twice() {
    let (stub, folder) = (Stub::start(&[]), tempfile::tempdir().unwrap());
    let file = folder.path().join("1/metrics/train.json");
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    let mut demo = Demo::new(&[]);
    let trial = demo.start(&[]);
    std::fs::write(&file, "{\"acc\": 0.1, \"at\": 1}\n").unwrap();
    demo.end(trial, Exit::Interrupted);
    assert_eq!(run(&demo, folder.path(), &stub.uri(), 10_000), Ok(()));
    demo.event(Event::Started {
        trial,
        attempt: Attempt(2),
        until: None,
        slot: 0,
        resume: true,
    });
    demo.report(trial, &[("val_loss", 0.5)]);
    std::fs::write(
        &file,
        "{\"acc\": 0.1, \"at\": 1}\n{\"acc\": 0.2, \"at\": 2}\n",
    )
    .unwrap();
    demo.end(trial, Exit::Done);
    // This run is killed before it has delivered anything.
    let (mut study, mut killed) = (Study::default(), tracker(folder.path(), &stub.uri()));
    for entry in &demo.entries {
        study.apply(entry).unwrap();
        killed.record(&study, entry).unwrap();
    }
    drop(killed);
    assert_eq!(run(&demo, folder.path(), &stub.uri(), 10_000), Ok(()));
    assert_eq!(run(&demo, folder.path(), &stub.uri(), 10_000), Ok(()));
    let mut rows = stub.logged();
    rows.retain(|line| line.starts_with("\"train/acc\""));
    assert_eq!(rows, ["\"train/acc\" 0.1 0", "\"train/acc\" 0.2 1"]);
}

#[test]
fn a_redirect_is_not_followed_and_shows_no_password() {
    let (stub, folder) = (
        Stub::start(&[Reaction::Redirect]),
        tempfile::tempdir().unwrap(),
    );
    let why = run(&demo(), folder.path(), &stub.uri(), 10_000).unwrap_err();
    assert!(
        why.contains("redirects to http://elsewhere.example; set `uri` to the final address"),
        "{why}"
    );
    assert_eq!(stub.state.lock().unwrap().calls.len(), 1);
}

#[test]
fn the_password_is_sent_and_never_written_or_shown() {
    let (stub, folder) = (Stub::start(&[]), tempfile::tempdir().unwrap());
    let uri = format!("http://us%40er:se%3Acret@{}/", stub.address);
    assert_eq!(run(&demo(), folder.path(), &uri, 10_000), Ok(()));
    let calls = stub.state.lock().unwrap().calls.clone();
    // base64 of us@er:se:cret
    assert!(
        calls
            .iter()
            .all(|(_, _, login, _)| login == "Basic dXNAZXI6c2U6Y3JldA=="),
        "{calls:?}"
    );
    let kept = std::fs::read_to_string(folder.path().join("trackers/mlflow.cursor")).unwrap();
    assert!(
        !kept.contains("cret") && kept.contains(&stub.uri()),
        "{kept}"
    );
    let refusing = Stub::start(&[Reaction::Status(401)]);
    let folder = tempfile::tempdir().unwrap();
    let uri = format!("http://user:secret@{}", refusing.address);
    let why = run(&demo(), folder.path(), &uri, 10_000).unwrap_err();
    assert!(
        why.contains("check user and password") && !why.contains("secret"),
        "{why}"
    );
}

#[test]
fn only_the_item_that_a_server_refuses_is_left_out_and_reported() {
    let (stub, folder) = (
        Stub::start(&[Reaction::Refuse("\"NaN\"")]),
        tempfile::tempdir().unwrap(),
    );
    let why = run(&demo(), folder.path(), &stub.uri(), 10_000).unwrap_err();
    assert!(
        why.starts_with("the server refused 1 record; the first reason: "),
        "{why}"
    );
    assert!(why.ends_with("no NaN allowed"), "{why}");
    assert_delivered(&stub);
}

#[test]
fn only_folders_and_http_servers_are_accepted() {
    for uri in ["sqlite:///x.db", "databricks://p", "postgresql://u:p@h/d"] {
        let Err((message, hint)) = Target::parse(uri) else {
            panic!("{uri} is accepted")
        };
        assert!(!message.contains("u:p") && hint == SCHEMES, "{message}");
    }
    for uri in [
        "http://",
        "http:///x",
        "http://h?q=1",
        "http://a b/",
        "http://h:99999999/",
    ] {
        assert!(Target::parse(uri).is_err(), "{uri} is accepted");
    }
    for (uri, folder) in [
        ("mlruns", "mlruns"),
        ("file:///a%20b", "/a b"),
        ("file:x", "x"),
        ("./a:b", "./a:b"),
    ] {
        let Ok(Target::Folder(path)) = Target::parse(uri) else {
            panic!("{uri} is not a folder")
        };
        assert_eq!(path, Path::new(folder));
    }
}
