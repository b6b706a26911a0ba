//! The delivery thread: calls the server in order, with growing pauses while it is unavailable.

use super::calls::{Call, gather};
use super::delivery::Delivered;
use super::files::{PATH, artifact};
use super::rest::{Server, Trouble};
use super::runs::{PARENT, Status};
use super::spool::Reader;
use crossbeam_channel::{Receiver, RecvTimeoutError};
use percent_encoding::utf8_percent_encode;
use serde_json::{Value, json};
use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The pause after the first failed call. It doubles with every further failure.
const FIRST: Duration = Duration::from_millis(200);
/// The maximum pause between two attempts.
const LONGEST: Duration = Duration::from_secs(30);
/// Interval between two polls of the spool while it is empty.
const IDLE: Duration = Duration::from_secs(1);
/// Number of operations from which on no more are read from the spool at once.
const MOST: usize = 1000;
/// Maximum size of an uploaded file in bytes; larger ones are skipped.
const UPLOAD: u64 = 64 << 20;

/// The state shared between the delivery thread and the tracker that waits for it.
#[derive(Debug, Default)]
pub(super) struct News {
    /// Tells the thread to end as soon as the current call returns.
    pub(super) stop: AtomicBool,
    /// Tells the thread to end the current pause at once.
    pub(super) hurry: AtomicBool,
    /// Number of operations that the server has accepted or refused for good.
    pub(super) done: AtomicU64,
    /// Number of calls that got a reply, which tells whether there is progress.
    pub(super) made: AtomicU64,
    words: Mutex<Words>,
}

#[derive(Debug, Default)]
struct Words {
    trouble: Option<String>,
    fatal: Option<String>,
    refused: (u64, String),
}

impl News {
    /// Returns why delivery fails at present, if it does. The thread tries again.
    pub(super) fn trouble(&self) -> Option<String> {
        self.tell(|words| words.trouble.clone())
    }

    /// Returns why delivery has failed for good, if it has. The thread has ended.
    pub(super) fn fatal(&self) -> Option<String> {
        self.tell(|words| words.fatal.clone())
    }

    /// Returns the number of refused calls, and the reason for the first of them.
    pub(super) fn refused(&self) -> (u64, String) {
        self.tell(|words| words.refused.clone())
    }

    /// Calls `act` with the shared messages. A poisoned lock is used, since the messages are always
    /// consistent.
    fn tell<T>(&self, act: impl FnOnce(&mut Words) -> T) -> T {
        act(&mut self.words.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The reason why the thread interrupts delivery.
enum Halt {
    /// Occurs when the server is unavailable; delivery continues after a pause.
    Away(String),
    /// Occurs when delivery cannot succeed in this run; the thread ends.
    Fatal(String),
}

impl From<Trouble> for Halt {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Away(why) => Self::Away(why),
            Trouble::Refused { why, .. } => Self::Fatal(why),
        }
    }
}

/// The id and the artifact location of a run on the server.
#[derive(Debug, Clone)]
struct Known {
    id: String,
    artifacts: String,
}

/// The state of the delivery thread.
pub(super) struct Courier {
    /// The client of the server.
    server: Server,
    /// The spool to deliver from.
    reader: Reader,
    /// The delivery state so far.
    delivered: Delivered,
    /// The file in which the delivery state is saved.
    file: PathBuf,
    /// The study folder, which contains the files to upload.
    study: PathBuf,
    /// The state shared with the tracker.
    news: Arc<News>,
    /// Receives a message when the spool was written or the pause is to end.
    bell: Receiver<()>,
    /// The id of the experiment, once it is known.
    experiment: Option<String>,
    /// The runs found or created so far, by their number.
    runs: HashMap<u32, Known>,
    /// The calls still to be made for the operations read last.
    calls: VecDeque<Call>,
    /// The number of operations that `calls` completes, and the last entry that is then complete.
    /// `(0, None)` if there are none.
    carried: (u64, Option<u64>),
}

impl Courier {
    pub(super) fn new(
        server: Server,
        reader: Reader,
        delivered: Delivered,
        file: PathBuf,
        study: PathBuf,
        news: Arc<News>,
        bell: Receiver<()>,
    ) -> Self {
        let (experiment, runs, calls) = (None, HashMap::new(), VecDeque::new());
        Self {
            server,
            reader,
            delivered,
            file,
            study,
            news,
            bell,
            experiment,
            runs,
            calls,
            carried: (0, None),
        }
    }

    /// Delivers operations until it is stopped, the tracker is dropped, or delivery fails for good.
    pub(super) fn run(mut self) {
        let mut pause = FIRST;
        while !self.news.stop.load(Relaxed) {
            match self.deliver() {
                Ok(true) => {
                    pause = FIRST;
                    self.news.tell(|words| words.trouble = None);
                }
                Ok(false) => match self.bell.recv_timeout(IDLE) {
                    // The tracker was dropped.
                    Err(RecvTimeoutError::Disconnected) => return,
                    Ok(()) | Err(RecvTimeoutError::Timeout) => {}
                },
                Err(Halt::Away(why)) => {
                    self.news.tell(|words| words.trouble = Some(why));
                    self.rest(pause);
                    pause = (pause * 2).min(LONGEST);
                }
                Err(Halt::Fatal(why)) => {
                    self.news.tell(|words| words.fatal = Some(why));
                    return;
                }
            }
        }
    }

    /// Waits for `pause`, or until the tracker asks to hurry.
    fn rest(&self, pause: Duration) {
        let until = Instant::now() + pause;
        loop {
            let heard = self.bell.recv_deadline(until);
            if heard.is_err() || self.news.hurry.swap(false, Relaxed) {
                return;
            }
        }
    }

    /// Makes the calls for the next operations in the spool. Returns `false` if there are none or
    /// the thread is to stop. Calls that remain after a failure are made by the next call of this
    /// function.
    fn deliver(&mut self) -> Result<bool, Halt> {
        if self.calls.is_empty() {
            self.fetch()?;
        }
        let (count, seq) = self.carried;
        if count == 0 {
            return Ok(false);
        }
        while let Some(call) = self.calls.front().cloned() {
            if self.news.stop.load(Relaxed) {
                return Ok(false);
            }
            let made = self.make(&call);
            // A refusal is a reply too, and thus progress.
            if !matches!(made, Err(Trouble::Away(_))) {
                self.news.made.fetch_add(1, Relaxed);
            }
            match made {
                Ok(()) => drop(self.calls.pop_front()),
                Err(Trouble::Away(why)) => return Err(Halt::Away(why)),
                Err(Trouble::Refused { status, code, why }) => {
                    self.refused(call, status, &code, why)?;
                }
            }
        }
        self.carried = (0, None);
        if seq > self.delivered.seq {
            self.delivered.seq = seq;
            // Losing this file is harmless: the entries are only delivered again.
            let _ = self.delivered.save(&self.file);
        }
        self.news.done.fetch_add(count, Relaxed);
        Ok(true)
    }

    /// Reads operations from the spool and gathers them into calls.
    fn fetch(&mut self) -> Result<(), Halt> {
        let (mut ops, mut seq) = (Vec::new(), None);
        while ops.len() < MOST {
            let broken =
                |error| Halt::Fatal(format!("the spool of `mlflow` cannot be read: {error}"));
            let Some(batch) = self.reader.next().map_err(broken)? else {
                break;
            };
            // An entry counts as delivered only with its last part.
            seq = if batch.last { Some(batch.seq) } else { seq };
            ops.extend(batch.ops);
        }
        self.carried = (ops.len() as u64, seq);
        self.calls = gather(ops);
        Ok(())
    }

    /// Handles a refused call. Gives up if the server refuses everything. Otherwise drops as little
    /// as possible: a batch is halved until the refused item is alone.
    fn refused(&mut self, call: Call, status: u16, code: &str, why: String) -> Result<(), Halt> {
        // There is no point in continuing without MLflow's error code (the reply is not from
        // MLflow), without valid credentials, or without the run that a call should create. A
        // refused upload is never fatal.
        let hopeless =
            code.is_empty() || matches!(call, Call::Create { .. }) || matches!(status, 401 | 403);
        if hopeless && !matches!(call, Call::File { .. }) {
            return Err(Halt::Fatal(why));
        }
        self.calls.pop_front();
        let halves = match call {
            Call::Log { run, log } => log.halves().map(|(first, second)| (run, first, second)),
            _ => None,
        };
        match halves {
            Some((run, first, second)) => {
                self.calls.push_front(Call::Log { run, log: second });
                self.calls.push_front(Call::Log { run, log: first });
            }
            None => self.news.tell(|words| match &mut words.refused {
                (count @ 0, first) => (*count, *first) = (1, why),
                (count, _) => *count += 1,
            }),
        }
        Ok(())
    }

    /// Makes a call.
    fn make(&mut self, call: &Call) -> Result<(), Trouble> {
        match call {
            Call::Create {
                run,
                name,
                at,
                tags,
            } => self.create(*run, name, *at, tags),
            Call::Log { run, log } => {
                let known = self.known(*run)?;
                self.server
                    .post("runs/log-batch", &log.body(&known.id))
                    .map(drop)
            }
            Call::Update { run, status, end } => self.update(*run, *status, *end),
            Call::Dataset {
                run,
                name,
                digest,
                source,
                context,
            } => {
                let known = self.known(*run)?;
                let source = json!({ "uri": source }).to_string();
                // A data set that could not be read has no digest.
                let digest = if digest.is_empty() { "unknown" } else { digest };
                let tags = match context.as_str() {
                    "" => json!([]),
                    context => json!([{ "key": "mlflow.data.context", "value": context }]),
                };
                let dataset = json!({ "name": name, "digest": digest, "source_type": "local", "source": source });
                let datasets = json!([{ "tags": tags, "dataset": dataset }]);
                self.server
                    .post(
                        "runs/log-inputs",
                        &json!({ "run_id": known.id, "datasets": datasets }),
                    )
                    .map(drop)
            }
            Call::File { run, trial, path } => self.upload(*run, *trial, path),
        }
    }

    /// Creates a run, nested in the run of the study, unless it exists.
    fn create(
        &mut self,
        run: u32,
        name: &str,
        at: i64,
        tags: &[(String, String)],
    ) -> Result<(), Trouble> {
        // An earlier call whose reply was lost may have created the run.
        if self.find(run)?.is_some() {
            return Ok(());
        }
        let experiment = self.experiment()?;
        let mut tags: Vec<Value> = tags
            .iter()
            .map(|(key, value)| json!({ "key": key, "value": value }))
            .collect();
        if run != PARENT {
            let parent = self.known(PARENT)?;
            tags.push(json!({ "key": "mlflow.parentRunId", "value": parent.id }));
        }
        let body = json!({ "experiment_id": experiment, "start_time": at, "run_name": name, "tags": tags });
        let reply = self.server.post("runs/create", &body)?;
        self.learn(run, &reply["run"]).map(drop)
    }

    /// Sets the status of a run, and its end time if there is one.
    fn update(&mut self, run: u32, status: Status, end: Option<i64>) -> Result<(), Trouble> {
        let known = self.known(run)?;
        let mut body = json!({ "run_id": known.id, "status": status });
        if let Some(end) = end {
            body["end_time"] = end.into();
        }
        self.server.post("runs/update", &body).map(drop)
    }

    /// Uploads a file of the trial as an artifact. Skips it if it is not a regular file, is too
    /// large, or the server does not proxy artifacts.
    fn upload(&mut self, run: u32, trial: u32, path: &str) -> Result<(), Trouble> {
        let from = self.study.join(trial.to_string()).join(path);
        let small =
            std::fs::metadata(&from).is_ok_and(|file| file.is_file() && file.len() <= UPLOAD);
        let known = self.known(run)?;
        let Some(root) = known
            .artifacts
            .strip_prefix("mlflow-artifacts:")
            .filter(|_| small)
        else {
            return Ok(());
        };
        // The location may name the server, which does not belong to the path.
        let root = match root.strip_prefix("//") {
            Some(rest) => rest.split_once('/').map_or("", |(_, path)| path),
            None => root,
        };
        let Ok(bytes) = std::fs::read(&from) else {
            return Ok(());
        };
        let to = format!("{}/{}", root.trim_matches('/'), artifact(path));
        self.server
            .put(&utf8_percent_encode(&to, PATH).to_string(), &bytes)
    }

    /// Returns the id of the experiment, and creates it if it does not exist.
    fn experiment(&mut self) -> Result<String, Trouble> {
        if let Some(id) = &self.experiment {
            return Ok(id.clone());
        }
        let name = self.delivered.experiment.clone();
        let id = match self
            .server
            .get("experiments/get-by-name", &[("experiment_name", &name)])
        {
            Ok(reply) if reply["experiment"]["lifecycle_stage"] == "deleted" => {
                let why = format!(
                    "the experiment `{name}` was deleted on {}: restore it, or choose another",
                    self.server.base()
                );
                return Err(Trouble::Refused {
                    status: 400,
                    code: String::new(),
                    why,
                });
            }
            Ok(reply) => reply["experiment"]["experiment_id"]
                .as_str()
                .map(str::to_owned),
            Err(Trouble::Refused { code, .. }) if code == "RESOURCE_DOES_NOT_EXIST" => {
                match self
                    .server
                    .post("experiments/create", &json!({ "name": name }))
                {
                    Ok(reply) => reply["experiment_id"].as_str().map(str::to_owned),
                    // Another client created it in the meantime: it is found after a pause.
                    Err(Trouble::Refused { code, why, .. })
                        if code == "RESOURCE_ALREADY_EXISTS" =>
                    {
                        return Err(Trouble::Away(why));
                    }
                    Err(trouble) => return Err(trouble),
                }
            }
            Err(Trouble::Refused { status, why, .. }) => {
                return Err(Trouble::Refused {
                    status,
                    code: String::new(),
                    why,
                });
            }
            Err(trouble) => return Err(trouble),
        };
        self.experiment.clone_from(&id);
        id.ok_or_else(|| self.strange())
    }

    /// Returns a run that was created before. Fails if the server no longer has it.
    fn known(&mut self, run: u32) -> Result<Known, Trouble> {
        if let Some(known) = self.find(run)? {
            return Ok(known);
        }
        // Deleting the delivery state makes the next run deliver everything again.
        let _ = std::fs::remove_file(&self.file);
        let why = format!("{} has lost a run that it had", self.server.base());
        Err(Trouble::Refused {
            status: 404,
            code: String::new(),
            why,
        })
    }

    /// Searches for a run by its tag `swath.run`, since an earlier call may have created it.
    fn find(&mut self, run: u32) -> Result<Option<Known>, Trouble> {
        if let Some(known) = self.runs.get(&run) {
            return Ok(Some(known.clone()));
        }
        let filter = format!("tags.`swath.run` = '{}/{run}'", self.delivered.study);
        let body =
            json!({ "experiment_ids": [self.experiment()?], "filter": filter, "max_results": 1 });
        let reply = self.server.post("runs/search", &body)?;
        match reply["runs"].get(0) {
            Some(found) => self.learn(run, found).map(Some),
            None => Ok(None),
        }
    }

    /// Remembers and returns the id and the artifact location of a run from a reply.
    fn learn(&mut self, run: u32, reply: &Value) -> Result<Known, Trouble> {
        let text = |key: &str| reply["info"][key].as_str().map(str::to_owned);
        let Some(id) = text("run_id") else {
            return Err(self.strange());
        };
        let known = Known {
            id,
            artifacts: text("artifact_uri").unwrap_or_default(),
        };
        self.runs.insert(run, known.clone());
        Ok(known)
    }

    /// Returns the error for a reply without an expected field.
    fn strange(&self) -> Trouble {
        Trouble::Away(format!(
            "{} answers something that is not MLflow's",
            self.server.base()
        ))
    }
}
