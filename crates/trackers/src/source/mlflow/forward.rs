//! Passes on what a program logs to the user's own MLflow server, with `forward = true`.
//!
//! A thread makes the calls again, in their order, with the ids that the server gives. The program
//! does not wait for it.

use super::endpoint::lock;
use crate::mlflow::access::Access;
use crate::mlflow::files::PATH;
use crate::mlflow::rest::{Address, Server, Trouble};
use percent_encoding::utf8_percent_encode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The time for which an attempt that has ended waits for a server that does not answer.
const LAST_WAIT: Duration = Duration::from_secs(30);

/// The time between two tries of a call.
const PAUSE: Duration = Duration::from_millis(500);

/// The file in the trial's folder with the ids that the server has given.
const FILE: &str = "mlflow-forward.json";

/// The variable with the address of the user's server.
const SERVER: &str = "MLFLOW_TRACKING_URI";

/// Something that the server is to get.
enum Item {
    /// A call of the program, with the answer that it got.
    Call {
        method: String,
        call: String,
        args: Value,
        answer: Value,
    },
    /// The files at a path below the artifacts of a run or model, whose folder is `root`.
    Files { root: PathBuf, path: PathBuf },
}

/// The way to the user's server for one attempt.
pub(super) struct Forwarding {
    items: Option<Sender<Item>>,
    thread: Option<JoinHandle<()>>,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    /// The time at which the attempt has ended.
    ended_at: Mutex<Option<Instant>>,
    /// The reasons why something did not reach the server, for people.
    failures: Mutex<Vec<String>>,
}

impl Forwarding {
    /// Starts to forward to the server that the environment of the program names.
    ///
    /// # Errors
    /// If it names no server.
    pub(super) fn start(
        trial: &Path,
        variable: impl Fn(&str) -> Option<String>,
    ) -> io::Result<Self> {
        let address = variable(SERVER).unwrap_or_default();
        let uses_tls = address.starts_with("https:");
        let access = Access::from_variables(uses_tls, &variable).map_err(io::Error::other)?;
        let Some(address) = Address::parse(&address, access) else {
            return Err(io::Error::other(format!(
                "`forward = true` needs the address of a server in {SERVER}, such as \
                 `http://127.0.0.1:5000`; set it in the environment or in [run] env"
            )));
        };
        let (sender, items) = channel();
        let state = Arc::new(State::default());
        let mut forwarder = Forwarder {
            server: Server::new(address),
            state: Arc::clone(&state),
            known: Known::read(&trial.join(FILE)),
            path: trial.join(FILE),
            has_given_up: false,
        };
        let thread = std::thread::Builder::new()
            .name("mlflow forward".to_owned())
            .spawn(move || forwarder.run(&items))?;
        Ok(Self {
            items: Some(sender),
            thread: Some(thread),
            state,
        })
    }

    /// Passes on a call that was answered.
    pub(super) fn call(&self, method: &str, call: &str, args: &Value, answer: &Value) {
        let last = call.rsplit('/').next().unwrap_or_default();
        let reads = method == "GET"
            || matches!(
                last,
                "get" | "search" | "list" | "get-by-name" | "get-history"
            );
        if !reads {
            self.send(Item::Call {
                method: method.to_owned(),
                call: call.to_owned(),
                args: args.clone(),
                answer: answer.clone(),
            });
        }
    }

    /// Passes on the files at a path below `root`, the artifacts of a run or model.
    pub(super) fn files(&self, root: &Path, path: &Path) {
        self.send(Item::Files {
            root: root.to_owned(),
            path: path.to_owned(),
        });
    }

    fn send(&self, item: Item) {
        if let Some(items) = &self.items {
            // The thread ends only after this sender.
            let _ = items.send(item);
        }
    }

    /// Returns the failures since the last use of this function.
    pub(super) fn take_failures(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.state.failures))
    }

    /// Waits until the server has everything, or does not answer for [`LAST_WAIT`].
    pub(super) fn finish(&mut self) {
        *lock(&self.state.ended_at) = Some(Instant::now());
        self.items = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The thread that makes the calls.
struct Forwarder {
    server: Server,
    state: Arc<State>,
    known: Known,
    /// The file of what is known, for the next attempt.
    path: PathBuf,
    /// Whether the server did not answer for [`LAST_WAIT`] after the end of the attempt.
    has_given_up: bool,
}

/// The ids of the server, by those that the program knows.
#[derive(Default, Serialize, Deserialize)]
struct Known {
    /// Ids of runs and models, and the folders of their artifacts.
    ids: BTreeMap<String, String>,
    experiments: BTreeMap<String, String>,
}

impl Known {
    fn read(path: &Path) -> Self {
        let text = fs::read(path).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }
}

impl Forwarder {
    fn run(&mut self, items: &Receiver<Item>) {
        for item in items {
            if self.has_given_up {
                continue;
            }
            let sent = match &item {
                Item::Call {
                    method,
                    call,
                    args,
                    answer,
                } => self
                    .call(method, call, args, answer)
                    .map_err(|trouble| (call.clone(), trouble)),
                Item::Files { root, path } => self
                    .upload(root, path)
                    .map_err(|trouble| (path.display().to_string(), trouble)),
            };
            if let Err((what, Trouble::Away(why) | Trouble::Refused { why, .. })) = sent {
                let mut failures = lock(&self.state.failures);
                if failures.len() < 10 {
                    failures.push(format!("`{what}` was not forwarded: {why}"));
                }
            }
        }
    }

    /// Makes a call, and notes the ids in the answer.
    fn call(
        &mut self,
        method: &str,
        call: &str,
        args: &Value,
        answer: &Value,
    ) -> Result<(), Trouble> {
        let args = self.translated(args);
        let call = self.replaced(call);
        let reply = self.retry(|server| server.call(method, &call, &args));
        match &*call {
            "experiments/create" => {
                let id = match reply {
                    Ok(reply) => reply["experiment_id"].clone(),
                    // The experiment of this name is there already.
                    Err(Trouble::Refused { status: 400, .. }) => {
                        let name = args["name"].as_str().unwrap_or_default();
                        let query = [("experiment_name", name)];
                        let reply =
                            self.retry(|server| server.get("experiments/get-by-name", &query))?;
                        reply["experiment"]["experiment_id"].clone()
                    }
                    Err(trouble) => return Err(trouble),
                };
                self.note(false, &answer["experiment_id"], &id);
                Ok(())
            }
            "runs/create" => {
                let (known, given) = (&answer["run"]["info"], &reply?["run"]["info"]);
                self.note(true, &known["run_id"], &given["run_id"]);
                self.note_root(known, given);
                Ok(())
            }
            "logged-models" => {
                let (known, given) = (&answer["model"]["info"], &reply?["model"]["info"]);
                self.note(true, &known["model_id"], &given["model_id"]);
                self.note_root(known, given);
                Ok(())
            }
            // The model of this name is there already.
            "registered-models/create" => match reply {
                Err(Trouble::Refused { status: 400, .. }) => Ok(()),
                reply => reply.map(drop),
            },
            _ => reply.map(drop),
        }
    }

    fn note_root(&mut self, known: &Value, given: &Value) {
        let (known, given) = (&known["artifact_uri"], &given["artifact_uri"]);
        self.note(true, known, given);
    }

    /// Notes what the server has given: an id of a run or model or a folder, or that of an
    /// experiment.
    fn note(&mut self, is_unique: bool, known: &Value, given: &Value) {
        let (Some(known), Some(given)) = (known.as_str(), given.as_str()) else {
            return;
        };
        let ids = match is_unique {
            true => &mut self.known.ids,
            false => &mut self.known.experiments,
        };
        ids.insert(known.to_owned(), given.to_owned());
        // Without the file, a later attempt of the trial cannot continue these runs there.
        if let Ok(text) = serde_json::to_vec(&self.known) {
            let _ = fs::write(&self.path, text);
        }
    }

    /// Uploads the files at a path. A server that does not take artifacts itself gets none.
    fn upload(&mut self, root: &Path, path: &Path) -> Result<(), Trouble> {
        let Some(location) = self.known.ids.get(&*root.to_string_lossy()).cloned() else {
            return Ok(());
        };
        let Some(location) = location.strip_prefix("mlflow-artifacts:") else {
            return Err(unforwarded(format!(
                "{} keeps artifacts at `{location}`, where swath does not write",
                self.server.base()
            )));
        };
        // The location may name the server, which does not belong to the path.
        let location = match location.strip_prefix("//") {
            Some(rest) => rest.split_once('/').map_or("", |(_, path)| path),
            None => location,
        };
        for file in files_at(path) {
            let Ok(inside) = file.strip_prefix(root) else {
                continue;
            };
            let to = format!("{}/{}", location.trim_matches('/'), inside.display());
            let to = utf8_percent_encode(&to, PATH).to_string();
            let file = File::open(&file)
                .map_err(|error| unforwarded(format!("it cannot be read: {error}")))?;
            self.retry(|server| server.put(&to, &file))?;
        }
        Ok(())
    }

    /// Returns the pairs of a call with the ids of the server.
    fn translated(&self, args: &Value) -> Value {
        let text = self.replaced(&args.to_string());
        let mut args: Value = serde_json::from_str(&text).unwrap_or_default();
        for (key, value) in args.as_object_mut().into_iter().flatten() {
            match (&**key, value) {
                ("experiment_id", id) => self.translate_experiment(id),
                ("experiment_ids", Value::Array(ids)) => {
                    ids.iter_mut().for_each(|id| self.translate_experiment(id));
                }
                _ => {}
            }
        }
        args
    }

    fn translate_experiment(&self, id: &mut Value) {
        let given = id.as_str().and_then(|id| self.known.experiments.get(id));
        if let Some(given) = given {
            *id = json!(given);
        }
    }

    /// Replaces ids in a text. They are random, so that nothing else is equal to them.
    fn replaced(&self, text: &str) -> String {
        let ids = self.known.ids.iter();
        ids.fold(text.to_owned(), |text, (known, given)| {
            text.replace(known, given)
        })
    }

    /// Repeats a call until the server answers; once the attempt has ended, for [`LAST_WAIT`].
    fn retry<T>(&mut self, call: impl Fn(&Server) -> Result<T, Trouble>) -> Result<T, Trouble> {
        loop {
            let result = call(&self.server);
            if !matches!(result, Err(Trouble::Away(_))) {
                return result;
            }
            let ended_at = *lock(&self.state.ended_at);
            if ended_at.is_some_and(|ended_at| ended_at.elapsed() >= LAST_WAIT) {
                self.has_given_up = true;
                return result;
            }
            std::thread::sleep(PAUSE);
        }
    }
}

/// Returns the trouble with something that no further try can forward.
fn unforwarded(why: String) -> Trouble {
    Trouble::Refused {
        status: 0,
        code: String::new(),
        why,
    }
}

/// Returns the regular files at a path and below it.
fn files_at(path: &Path) -> Vec<PathBuf> {
    match fs::symlink_metadata(path) {
        Ok(about) if about.is_file() => vec![path.to_owned()],
        Ok(about) if about.is_dir() => {
            let entries = fs::read_dir(path).into_iter().flatten().flatten();
            let mut files: Vec<_> = entries.flat_map(|entry| files_at(&entry.path())).collect();
            files.sort();
            files
        }
        _ => Vec::new(),
    }
}
