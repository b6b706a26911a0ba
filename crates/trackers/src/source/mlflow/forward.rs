//! Passes on what a program logs to the user's own MLflow server, with `forward = true`.
//!
//! Each call is appended to a spool in the trial's folder before the program gets its answer. A
//! thread makes the calls of the spool again, in their order, with the ids that the server gives.
//! The program does not wait for it. What a run cannot deliver, because the server is away or swath
//! is killed, stays in the spool, and the next run delivers it.

use super::call::now;
use super::endpoint::lock;
use crate::mlflow::access::Access;
use crate::mlflow::files::PATH;
use crate::mlflow::rest::{Address, Server, Trouble};
use percent_encoding::utf8_percent_encode;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The time for which an attempt that has ended waits for a server that does not answer.
const LAST_WAIT: Duration = Duration::from_secs(30);

/// The time between two tries of a call.
const PAUSE: Duration = Duration::from_millis(500);

/// The file in the trial's folder with the calls that are to be made.
const SPOOL: &str = "mlflow-forward.jsonl";

/// The file in the trial's folder with the ids that the server has given, and the part of the spool
/// that is delivered.
const FILE: &str = "mlflow-forward.json";

/// The variable with the address of the user's server.
pub(super) const SERVER: &str = "MLFLOW_TRACKING_URI";

/// The most reasons that are kept why something did not reach the server.
const MOST_FAILURES: usize = 10;

/// A line of the spool.
#[derive(Serialize, Deserialize)]
#[serde(tag = "item", rename_all = "snake_case")]
enum Item {
    /// A call of the program, with the answer that it got.
    Call {
        method: String,
        call: String,
        args: Value,
        answer: Value,
    },
    /// The files at a path below the artifacts of a run or model, whose folder is `root`.
    Files {
        attempt: u32,
        root: PathBuf,
        path: PathBuf,
    },
    /// An attempt begins. Runs that the server has as running were left by a process that was
    /// killed.
    Attempt { at: i64 },
}

/// The way to the user's server for one attempt.
pub(super) struct Forwarding {
    spool: File,
    attempt: u32,
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

impl State {
    fn add_failure(&self, failure: String) {
        let mut failures = lock(&self.failures);
        if failures.len() < MOST_FAILURES {
            failures.push(failure);
        }
    }

    /// Returns whether the attempt has ended so long ago that it waits no longer for the server.
    fn has_waited(&self) -> bool {
        let ended_at = *lock(&self.ended_at);
        ended_at.is_some_and(|ended_at| ended_at.elapsed() >= LAST_WAIT)
    }
}

/// Finds the server that the environment of the program names.
///
/// # Errors
/// If it names no server.
fn server(variable: impl Fn(&str) -> Option<String>) -> io::Result<Server> {
    let address = variable(SERVER).unwrap_or_default();
    let uses_tls = address.starts_with("https:");
    let access = Access::from_variables(uses_tls, &variable).map_err(io::Error::other)?;
    match Address::parse(&address, access) {
        Some(address) => Ok(Server::new(address)),
        None => Err(io::Error::other(format!(
            "`forward = true` needs the address of a server in {SERVER}, such as \
             `http://127.0.0.1:5000`; set it in the environment or in [run] env"
        ))),
    }
}

impl Forwarding {
    /// Starts to forward to the server that the environment of the program names, after what
    /// earlier attempts of the trial have left in its spool.
    ///
    /// # Errors
    /// If it names no server, or the spool cannot be written.
    pub(super) fn start(
        trial: &Path,
        attempt: u32,
        variable: impl Fn(&str) -> Option<String>,
    ) -> io::Result<Self> {
        let server = server(variable)?;
        let spool = open_spool(trial)?;
        let state = Arc::new(State::default());
        let mut forwarder = Forwarder {
            server,
            state: Arc::clone(&state),
            known: Known::read(trial),
            trial: trial.to_owned(),
        };
        let file = spool.try_clone()?;
        let forwarding = Self {
            spool,
            attempt,
            thread: None,
            state,
        };
        forwarding.send(&Item::Attempt { at: now() });
        let thread = std::thread::Builder::new()
            .name("mlflow forward".to_owned())
            .spawn(move || forwarder.follow(&file))?;
        Ok(Self {
            thread: Some(thread),
            ..forwarding
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
            self.send(&Item::Call {
                method: method.to_owned(),
                call: call.to_owned(),
                args: args.clone(),
                answer: answer.clone(),
            });
        }
    }

    /// Passes on the files at a path below `root`, the artifacts of a run or model.
    pub(super) fn files(&self, root: &Path, path: &Path) {
        self.send(&Item::Files {
            attempt: self.attempt,
            root: root.to_owned(),
            path: path.to_owned(),
        });
    }

    fn send(&self, item: &Item) {
        let line = serde_json::to_string(item).map_err(io::Error::from);
        let written = line.and_then(|line| (&self.spool).write_all((line + "\n").as_bytes()));
        if let Err(error) = written {
            let failure = format!(
                "a call cannot be forwarded, because `{SPOOL}` in the trial's \
                                   folder cannot be written: {error}"
            );
            self.state.add_failure(failure);
        }
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }

    /// Returns the failures since the last use of this function.
    pub(super) fn take_failures(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.state.failures))
    }

    /// Waits until the server has everything, or does not answer for [`LAST_WAIT`].
    pub(super) fn finish(&mut self) {
        *lock(&self.state.ended_at) = Some(Instant::now());
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}

/// Opens the spool of a trial to append to it. A line that a full disk has cut gets its end.
fn open_spool(trial: &Path) -> io::Result<File> {
    let mut options = File::options();
    let mut spool = options
        .create(true)
        .read(true)
        .append(true)
        .open(trial.join(SPOOL))?;
    if spool.metadata()?.len() > 0 {
        let mut last = [b'\n'];
        spool.seek(SeekFrom::End(-1))?;
        io::Read::read_exact(&mut spool, &mut last)?;
        if last != [b'\n'] {
            spool.write_all(b"\n")?;
        }
    }
    Ok(spool)
}

/// Delivers what earlier runs of a study have left in the spools of its trials.
pub(super) struct Leftovers(Option<JoinHandle<()>>);

impl Leftovers {
    /// Starts to deliver to the server that the environment of the programs names. Returns the
    /// number of trials that have something left besides; `None` if there are none.
    ///
    /// # Errors
    /// If the environment names no server.
    pub(super) fn deliver(
        study: &Path,
        variable: impl Fn(&str) -> Option<String>,
    ) -> io::Result<Option<(Self, usize)>> {
        let trials = trials_with_leftovers(study)?;
        if trials.is_empty() {
            return Ok(None);
        }
        let count = trials.len();
        let state = State::default();
        *lock(&state.ended_at) = Some(Instant::now());
        let mut forwarder = Forwarder {
            server: server(variable)?,
            state: Arc::new(state),
            known: Known::default(),
            trial: PathBuf::new(),
        };
        let thread = std::thread::Builder::new()
            .name("mlflow leftovers".to_owned())
            .spawn(move || {
                for trial in trials {
                    forwarder.trial = trial;
                    if !forwarder.deliver_leftovers() {
                        break;
                    }
                }
            })?;
        Ok(Some((Self(Some(thread)), count)))
    }
}

impl Drop for Leftovers {
    fn drop(&mut self) {
        if let Some(thread) = self.0.take() {
            let _ = thread.join();
        }
    }
}

fn trials_with_leftovers(study: &Path) -> io::Result<Vec<PathBuf>> {
    let mut trials = Vec::new();
    for entry in fs::read_dir(study)? {
        let trial = entry?.path();
        let length = fs::metadata(trial.join(SPOOL)).map_or(0, |about| about.len());
        if length > 0 && Known::read(&trial).delivered != length {
            trials.push(trial);
        }
    }
    trials.sort();
    Ok(trials)
}

/// Locks a spool, so that only one thread of all processes delivers it. A file system without locks
/// is used without.
fn try_lock(spool: &File) -> bool {
    let locked = flock(spool, FlockOperation::NonBlockingLockExclusive);
    locked != Err(rustix::io::Errno::WOULDBLOCK)
}

/// The thread that makes the calls.
struct Forwarder {
    server: Server,
    state: Arc<State>,
    known: Known,
    trial: PathBuf,
}

/// The ids of the server, by those that the program knows, and how far the spool is delivered.
#[derive(Default, Serialize, Deserialize)]
struct Known {
    /// Ids of runs and models, and the folders of their artifacts.
    ids: BTreeMap<String, String>,
    experiments: BTreeMap<String, String>,
    /// The server's ids of the runs that have not ended.
    #[serde(default)]
    open_runs: BTreeSet<String>,
    /// The bytes of the spool that are delivered.
    #[serde(default)]
    delivered: u64,
    /// The reasons why something of an earlier run did not reach the server.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    failures: Vec<String>,
}

impl Known {
    fn read(trial: &Path) -> Self {
        let text = fs::read(trial.join(FILE)).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }

    /// Writes the file anew. Without it, calls are made twice after a kill.
    fn write(&self, trial: &Path) {
        let draft = trial.join(format!(".tmp-{FILE}"));
        if let Ok(text) = serde_json::to_vec(self)
            && fs::write(&draft, text).is_ok()
        {
            let _ = fs::rename(draft, trial.join(FILE));
        }
    }
}

impl Forwarder {
    /// Delivers the spool until the attempt has ended.
    fn follow(&mut self, spool: &File) {
        while !try_lock(spool) {
            if self.state.has_waited() {
                return self.state.add_failure(format!(
                    "another process uses `{SPOOL}`; the next run forwards its calls"
                ));
            }
            std::thread::sleep(PAUSE);
        }
        // The thread that had the lock may have delivered a part.
        self.known = Known::read(&self.trial);
        loop {
            let has_ended = lock(&self.state.ended_at).is_some();
            if !self.deliver(spool) {
                return;
            }
            if has_ended {
                return self.clear(spool);
            }
            std::thread::park_timeout(PAUSE);
        }
    }

    /// Delivers the spool of a trial, unless an attempt that runs does so. Calls that the server
    /// refuses are named in the trial's file. Returns whether the server answers.
    fn deliver_leftovers(&mut self) -> bool {
        let Ok(spool) = open_spool(&self.trial) else {
            return true;
        };
        if !try_lock(&spool) {
            return true;
        }
        self.known = Known::read(&self.trial);
        let is_delivered = self.deliver(&spool) && self.end_runs(now()).is_ok();
        if is_delivered {
            self.clear(&spool);
        }
        self.known.failures = std::mem::take(&mut *lock(&self.state.failures));
        self.known.write(&self.trial);
        is_delivered
    }

    /// Delivers the lines of the spool that are complete. Returns whether the server has got all of
    /// them, or has refused them for good.
    fn deliver(&mut self, spool: &File) -> bool {
        let length = spool.metadata().map_or(0, |about| about.len());
        if self.known.delivered > length {
            // The spool was emptied, and swath was killed before it wrote the other file.
            self.known.delivered = 0;
        }
        if self.known.delivered == length {
            return true;
        }
        let mut lines = match File::open(self.trial.join(SPOOL)) {
            Ok(file) => BufReader::new(file),
            Err(_) => return false,
        };
        if lines.seek(SeekFrom::Start(self.known.delivered)).is_err() {
            return false;
        }
        let mut line = Vec::new();
        loop {
            line.clear();
            if lines.read_until(b'\n', &mut line).is_err() {
                return false;
            }
            if line.last() != Some(&b'\n') {
                return true;
            }
            if let Err(why) = self.make(&line) {
                self.state.add_failure(format!(
                    "calls wait in `{SPOOL}` in the trial's folder for the next run: {why}"
                ));
                return false;
            }
            self.known.delivered += line.len() as u64;
            self.known.write(&self.trial);
        }
    }

    /// Makes the call of a line. A call that the server refuses is a failure that is noted.
    ///
    /// # Errors
    /// The reason if the server is away, so that the call is to be made later.
    fn make(&mut self, line: &[u8]) -> Result<(), String> {
        if line.trim_ascii().is_empty() {
            return Ok(());
        }
        let Ok(item) = serde_json::from_slice(line) else {
            let failure = format!("a line of `{SPOOL}` is damaged and was not forwarded");
            self.state.add_failure(failure);
            return Ok(());
        };
        let (name, sent) = match item {
            Item::Call {
                method,
                call,
                args,
                answer,
            } => {
                let sent = self.call(&method, &call, &args, &answer);
                (call, sent)
            }
            Item::Files {
                attempt,
                root,
                path,
            } => (
                path.display().to_string(),
                self.upload(attempt, &root, &path),
            ),
            Item::Attempt { at } => ("runs/update".to_owned(), self.end_runs(at)),
        };
        match sent {
            Err(Trouble::Away(why)) => Err(why),
            Err(Trouble::Refused { why, .. }) => {
                self.state
                    .add_failure(format!("`{name}` was not forwarded: {why}"));
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    /// Ends the runs that a process left open that was killed. A program that continues one of them
    /// opens it again.
    fn end_runs(&mut self, at: i64) -> Result<(), Trouble> {
        while let Some(run) = self.known.open_runs.first().cloned() {
            let end = json!({"run_id": run, "status": "KILLED", "end_time": at});
            let sent = self.retry(|server| server.call("POST", "runs/update", &end));
            if let Err(trouble @ Trouble::Away(_)) = sent {
                return Err(trouble);
            }
            self.known.open_runs.remove(&run);
        }
        Ok(())
    }

    /// Empties the spool, all of which is delivered.
    fn clear(&mut self, spool: &File) {
        let length = spool.metadata().map_or(0, |about| about.len());
        if length == self.known.delivered && spool.set_len(0).is_ok() {
            self.known.delivered = 0;
            self.known.write(&self.trial);
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
                let run = given["run_id"].as_str().map(str::to_owned);
                self.known.open_runs.extend(run);
                self.note_root(known, given);
                Ok(())
            }
            "runs/update" => {
                reply?;
                self.note_status(&args);
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
    }

    /// Notes whether a run has ended.
    fn note_status(&mut self, args: &Value) {
        let text = |key: &str| args.get(key).and_then(Value::as_str).unwrap_or_default();
        match (text("run_id"), text("status")) {
            (_, "") => {}
            (run, "RUNNING" | "SCHEDULED") => {
                self.known.open_runs.insert(run.to_owned());
            }
            (run, _) => {
                self.known.open_runs.remove(run);
            }
        }
    }

    /// Uploads the files at a path. A server that does not take artifacts itself gets none.
    fn upload(&mut self, attempt: u32, root: &Path, path: &Path) -> Result<(), Trouble> {
        let location = self.known.ids.get(&*root.to_string_lossy()).cloned();
        let (root, path) = (self.present(attempt, root), self.present(attempt, path));
        let files = files_at(&path);
        let Some(location) = location.filter(|_| !files.is_empty()) else {
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
        for file in files {
            let Ok(inside) = file.strip_prefix(&root) else {
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

    /// Returns the present path of a file of an attempt. The files of an attempt after which the
    /// trial began anew are in its folder `attempts/`.
    fn present(&self, attempt: u32, path: &Path) -> PathBuf {
        let Ok(inside) = path.strip_prefix(&self.trial) else {
            return path.to_owned();
        };
        let entries = fs::read_dir(self.trial.join("attempts"));
        let entries = entries.into_iter().flatten().flatten();
        let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let mut later: Vec<u32> = numbers.filter(|number| *number >= attempt).collect();
        later.sort_unstable();
        let moved = later.first().map(|number| {
            let folder = self.trial.join("attempts").join(number.to_string());
            folder.join(inside)
        });
        moved
            .filter(|moved| moved.exists())
            .unwrap_or_else(|| path.to_owned())
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
            if self.state.has_waited() {
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
