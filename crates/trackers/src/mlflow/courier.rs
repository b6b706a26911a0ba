//! Delivers operations to a server, in order.
//!
//! While the server is away, the thread of the tracker waits and tries again. The last entry that
//! the server has completely is saved in the [`Cursor`]; a later run delivers the entries after
//! that one. A call whose reply was lost is repeated: a run is searched by its tag before it is
//! created, and MLflow treats two equal metric points as one.

use super::calls::{Call, gather};
use super::cursor::{Cursor, Position};
use super::files::{PATH, artifact};
use super::model::{bytes_of, files_below};
use super::rest::{Address, Server, Trouble};
use super::rows::Offsets;
use super::runs::{ModelToRegister, Op, PARENT, Status};
use percent_encoding::utf8_percent_encode;
use serde_json::{Value, json};
use std::collections::{HashMap, VecDeque};
use std::path::{Path, PathBuf};
use swath_engine::tracker::home::failed;
use swath_engine::tracker::retry::{beat, with_backoff};
use swath_engine::tracker::{TrackerError, regular};

/// Number of operations that are gathered into calls at once.
const BATCH: usize = 1000;
/// Maximum size of an uploaded file in bytes; larger ones are left out, and named.
const LARGEST_UPLOAD: u64 = 1 << 30;
/// The folder of a registered model among the artifacts of its run.
const MODEL: &str = "model";
/// The alias of the registered version that belongs to the best trial.
const ALIAS: &str = "best";
/// MLflow's code for something that exists already.
const EXISTS: &str = "RESOURCE_ALREADY_EXISTS";
/// The tag of a registered version with the digest of the model.
const MODEL_MD5: &str = "swath.model_md5";
/// The end of the message about undelivered records.
const LATER: &str =
    "nothing is lost: the next run or export of the study delivers them from the journal";

/// The id and the artifact location of a run on the server.
#[derive(Debug, Clone)]
struct RemoteRun {
    id: String,
    artifacts: String,
}

/// The refusal of a call, as in [`Trouble::Refused`].
struct Refusal {
    status: u16,
    code: String,
    why: String,
}

/// The delivery of one study to a server.
pub(super) struct Courier {
    /// The client of the server.
    server: Server,
    /// The study folder, which contains the files to upload.
    study: PathBuf,
    /// The name of the experiment; the study's name if absent.
    experiment_name: Option<String>,
    /// The position of the study on the server, once the study is open.
    cursor: Cursor,
    /// The operations to deliver.
    ops: VecDeque<Op>,
    /// The number of the journal entry from which the last of them comes.
    last_seq: Option<u64>,
    /// The id of the experiment, once it is known.
    experiment: Option<String>,
    /// The runs found or created so far, by their number.
    runs: HashMap<u32, RemoteRun>,
    /// The name under which models are registered, if they are.
    model_name: Option<String>,
    /// The number of refused calls, and the reason for the first of them.
    refusals: (u64, String),
    /// The files that were not uploaded, with reasons.
    pub(super) left_out: Vec<String>,
}

impl Courier {
    /// Returns a delivery to the server at `address`; `study` is the study folder. No call is made
    /// before the study opens.
    pub(super) fn new(address: Address, study: PathBuf, experiment: Option<String>) -> Self {
        Self {
            server: Server::new(address),
            study,
            experiment_name: experiment,
            cursor: Cursor::default(),
            ops: VecDeque::new(),
            last_seq: None,
            experiment: None,
            runs: HashMap::new(),
            model_name: None,
            refusals: (0, String::new()),
            left_out: Vec::new(),
        }
    }

    /// Registers models under this name, if there is one.
    pub(super) fn registering(self, model_name: Option<String>) -> Self {
        Self { model_name, ..self }
    }

    /// Reads the cursor of the study. Returns the ends of the rows that the server has.
    pub(super) fn open(&mut self, uid: &str, study: &str) -> Result<Offsets, TrackerError> {
        let home = self.study.join("trackers");
        let start = Position {
            server: self.server.base().to_owned(),
            experiment: self.experiment_name.as_deref().unwrap_or(study).to_owned(),
            study: uid.to_owned(),
            ..Position::default()
        };
        self.cursor = Cursor::open(home.clone(), start).map_err(failed(&home))?;
        Ok(self.cursor.position.logs.clone())
    }

    /// Returns whether an earlier run has delivered the entry `seq`.
    pub(super) fn has_delivered(&self, seq: u64) -> bool {
        self.cursor.position.seq >= Some(seq)
    }

    /// Takes the operations of the entry `seq`. Returns whether so many wait that they should be
    /// delivered.
    pub(super) fn take(&mut self, seq: u64, ops: Vec<Op>) -> bool {
        if !ops.is_empty() {
            self.ops.extend(ops);
            self.last_seq = Some(seq);
        }
        self.ops.len() >= BATCH
    }

    /// Delivers all operations, and moves the cursor. `logs` is the end of the rows among them.
    ///
    /// # Errors
    /// If delivery has failed for good, or the run has ended and the server is away.
    pub(super) fn deliver(&mut self, logs: impl FnOnce() -> Offsets) -> Result<(), TrackerError> {
        if self.ops.is_empty() {
            return Ok(());
        }
        while !self.ops.is_empty() {
            let mut calls = gather(self.ops.drain(..self.ops.len().min(BATCH)));
            while let Some(call) = calls.pop_front() {
                match self.call_with_retries(&call)? {
                    None => {}
                    Some(refusal) => self.handle_refusal(call, refusal, &mut calls)?,
                }
                beat()?;
            }
        }
        // Only now: a run that is killed before this delivers the operations again.
        self.cursor.move_to(self.last_seq, logs());
        Ok(())
    }

    /// Returns an error if the server has refused something.
    pub(super) fn check_refusals(&self) -> Result<(), TrackerError> {
        match &self.refusals {
            (0, _) => Ok(()),
            (count, why) => {
                let plural = if *count == 1 { "" } else { "s" };
                Err(TrackerError::Other(format!(
                    "the server refused {count} record{plural}; the first reason: {why}"
                )))
            }
        }
    }

    /// Makes a call, and repeats it while the server is away. Returns the refusal if the server
    /// refuses the call.
    fn call_with_retries(&mut self, call: &Call) -> Result<Option<Refusal>, TrackerError> {
        let called = with_backoff(|| match self.call(call) {
            Ok(()) => Ok(None),
            Err(Trouble::Refused { status, code, why }) => Ok(Some(Refusal { status, code, why })),
            Err(Trouble::Away(why)) => Err(TrackerError::Away(why)),
        });
        called.map_err(|why| {
            TrackerError::Other(format!(
                "the last records were not delivered yet: {why}; {LATER}"
            ))
        })
    }

    /// Handles a refused call. Gives up if the server refuses everything. Otherwise drops as little
    /// as possible: a batch is halved until the refused item is alone.
    fn handle_refusal(
        &mut self,
        call: Call,
        refusal: Refusal,
        calls: &mut VecDeque<Call>,
    ) -> Result<(), TrackerError> {
        let Refusal { status, code, why } = refusal;
        // There is no point in continuing without MLflow's error code (the reply is not from
        // MLflow), without valid credentials, or without the run that a call should create. A
        // refused upload is never fatal.
        let is_fatal =
            code.is_empty() || matches!(call, Call::Create { .. }) || matches!(status, 401 | 403);
        if is_fatal && !matches!(call, Call::File { .. } | Call::Register { .. }) {
            return Err(TrackerError::Other(format!("{why}; {LATER}")));
        }
        let parts = match call {
            Call::Log { run, log } => log.split().map(|(first, second)| (run, first, second)),
            _ => None,
        };
        match parts {
            Some((run, first, second)) => {
                calls.push_front(Call::Log { run, log: second });
                calls.push_front(Call::Log { run, log: first });
            }
            None if self.refusals.0 == 0 => self.refusals = (1, why),
            None => self.refusals.0 += 1,
        }
        Ok(())
    }

    /// Makes a call once.
    fn call(&mut self, call: &Call) -> Result<(), Trouble> {
        match call {
            Call::Create {
                run,
                name,
                at,
                tags,
            } => self.create(*run, name, *at, tags),
            Call::Log { run, log } => {
                let remote = self.existing_run(*run)?;
                self.server
                    .post("runs/log-batch", &log.body(&remote.id))
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
                let remote = self.existing_run(*run)?;
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
                        &json!({ "run_id": remote.id, "datasets": datasets }),
                    )
                    .map(drop)
            }
            Call::File { run, trial, path } => {
                let from = self.study.join(trial.to_string()).join(path);
                self.upload(*run, &from, &artifact(path))
            }
            Call::Register { run, model } => self.register(*run, model),
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
        if self.find_run(run)?.is_some() {
            return Ok(());
        }
        let experiment = self.experiment()?;
        let mut tags: Vec<Value> = tags
            .iter()
            .map(|(key, value)| json!({ "key": key, "value": value }))
            .collect();
        if run != PARENT {
            let parent = self.existing_run(PARENT)?;
            tags.push(json!({ "key": "mlflow.parentRunId", "value": parent.id }));
        }
        let body = json!({ "experiment_id": experiment, "start_time": at, "run_name": name, "tags": tags });
        let reply = self.server.post("runs/create", &body)?;
        self.remember_run(run, &reply["run"]).map(drop)
    }

    /// Sets the status of a run, and its end time if there is one.
    fn update(&mut self, run: u32, status: Status, end: Option<i64>) -> Result<(), Trouble> {
        let remote = self.existing_run(run)?;
        let mut body = json!({ "run_id": remote.id, "status": status });
        if let Some(end) = end {
            body["end_time"] = end.into();
        }
        self.server.post("runs/update", &body).map(drop)
    }

    /// Uploads a file as the artifact `to` of a run. A file that cannot be uploaded is left out: it
    /// is not regular or too large, or the server does not proxy artifacts. A file that is gone was
    /// replaced by a later attempt.
    fn upload(&mut self, run: u32, from: &Path, to: &str) -> Result<(), Trouble> {
        let Ok(about) = std::fs::metadata(from) else {
            return Ok(());
        };
        let remote = self.existing_run(run)?;
        let why = match proxied(&remote.artifacts) {
            _ if !about.is_file() => "it is no regular file".to_owned(),
            _ if about.len() > LARGEST_UPLOAD => {
                format!(
                    "it has {} MiB, and the limit is {} MiB",
                    about.len() >> 20,
                    LARGEST_UPLOAD >> 20
                )
            }
            None => format!("the server keeps artifacts at `{}`", remote.artifacts),
            Some(root) => {
                let Ok(file) = regular::open(from) else {
                    return Ok(());
                };
                let to = format!("{root}/{to}");
                let to = utf8_percent_encode(&to, PATH).to_string();
                return self.server.put(&to, &file);
            }
        };
        self.left_out.push(format!("`{}`: {why}", from.display()));
        Ok(())
    }

    /// Registers the model of the best trial as a version with the alias `best`. A version that an
    /// earlier call or run has registered is used again.
    fn register(&mut self, run: u32, model: &ModelToRegister) -> Result<(), Trouble> {
        let Some(name) = self.model_name.clone() else {
            return Ok(());
        };
        let remote = self.existing_run(run)?;
        let Some(bytes) = bytes_of(&self.study, model) else {
            let why = "its bytes are gone or were overwritten, so it is not registered";
            self.left_out
                .push(format!("the model `{}`: {why}", model.path));
            return Ok(());
        };
        let version = match self.registered_version(&name, &remote, model)? {
            Some(version) => version,
            None => {
                let before = self.left_out.len();
                for file in files_below(&bytes) {
                    let inside = file.strip_prefix(bytes.parent().unwrap_or(&bytes));
                    let inside = inside.unwrap_or(&file).to_string_lossy();
                    self.upload(run, &file, &format!("{MODEL}/{inside}"))?;
                    beat().map_err(|why| Trouble::Away(why.to_string()))?;
                }
                if self.left_out.len() > before {
                    return Ok(());
                }
                self.create_version(&name, &remote, model)?
            }
        };
        let alias = json!({ "name": name, "alias": ALIAS, "version": version });
        self.server
            .post("registered-models/alias", &alias)
            .map(drop)
    }

    /// Returns the version of a run's model that is registered already.
    fn registered_version(
        &self,
        name: &str,
        remote: &RemoteRun,
        model: &ModelToRegister,
    ) -> Result<Option<String>, Trouble> {
        let filter = format!("run_id = '{}'", remote.id);
        let reply = self
            .server
            .get("model-versions/search", &[("filter", &filter)])?;
        let versions = reply["model_versions"].as_array().into_iter().flatten();
        let mut of_name = versions.filter(|version| version["name"] == *name);
        let same = of_name.find(|version| {
            let mut tags = version["tags"].as_array().into_iter().flatten();
            tags.any(|tag| tag["key"] == MODEL_MD5 && tag["value"].as_str() == model.md5.as_deref())
        });
        Ok(same.and_then(|version| version["version"].as_str().map(str::to_owned)))
    }

    /// Creates the registered model, unless it exists, and a version of it.
    fn create_version(
        &self,
        name: &str,
        remote: &RemoteRun,
        model: &ModelToRegister,
    ) -> Result<String, Trouble> {
        match self
            .server
            .post("registered-models/create", &json!({ "name": name }))
        {
            Err(Trouble::Refused { code, .. }) if code == EXISTS => {}
            created => _ = created?,
        }
        let tags = model.tags.iter();
        let tags: Vec<_> = tags
            .map(|(key, value)| json!({ "key": key, "value": value }))
            .collect();
        let body = json!({
            "name": name, "run_id": remote.id, "tags": tags,
            "source": format!("{}/{MODEL}", remote.artifacts.trim_end_matches('/')),
        });
        let reply = self.server.post("model-versions/create", &body)?;
        let version = reply["model_version"]["version"].as_str();
        version
            .map(str::to_owned)
            .ok_or_else(|| self.unexpected_reply())
    }

    /// Returns the id of the experiment, and creates it if it does not exist.
    fn experiment(&mut self) -> Result<String, Trouble> {
        if let Some(id) = &self.experiment {
            return Ok(id.clone());
        }
        let name = self.cursor.position.experiment.clone();
        let id = match self
            .server
            .get("experiments/get-by-name", &[("experiment_name", &name)])
        {
            Ok(reply) if reply["experiment"]["lifecycle_stage"] == "deleted" => {
                let why = format!(
                    "the experiment `{name}` was deleted on {}: restore it, or choose another one with `experiment`",
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
                    Err(Trouble::Refused { code, why, .. }) if code == EXISTS => {
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
        id.ok_or_else(|| self.unexpected_reply())
    }

    /// Returns a run that was created before. Fails if the server no longer has it.
    fn existing_run(&mut self, run: u32) -> Result<RemoteRun, Trouble> {
        if let Some(remote) = self.find_run(run)? {
            return Ok(remote);
        }
        self.cursor.remove();
        let why = format!(
            "{} no longer has a run of this study; the next run delivers everything again",
            self.server.base()
        );
        Err(Trouble::Refused {
            status: 404,
            code: String::new(),
            why,
        })
    }

    /// Searches for a run by its tag `swath.run`, since an earlier call may have created it.
    fn find_run(&mut self, run: u32) -> Result<Option<RemoteRun>, Trouble> {
        if let Some(remote) = self.runs.get(&run) {
            return Ok(Some(remote.clone()));
        }
        let filter = format!("tags.`swath.run` = '{}/{run}'", self.cursor.position.study);
        let body =
            json!({ "experiment_ids": [self.experiment()?], "filter": filter, "max_results": 1 });
        let reply = self.server.post("runs/search", &body)?;
        match reply["runs"].get(0) {
            Some(reply) => self.remember_run(run, reply).map(Some),
            None => Ok(None),
        }
    }

    /// Remembers and returns the id and the artifact location of a run from a reply.
    fn remember_run(&mut self, run: u32, reply: &Value) -> Result<RemoteRun, Trouble> {
        let info = &reply["info"];
        let Some(id) = info["run_id"].as_str() else {
            return Err(self.unexpected_reply());
        };
        let artifacts = info["artifact_uri"].as_str().unwrap_or_default();
        let remote = RemoteRun {
            id: id.to_owned(),
            artifacts: artifacts.to_owned(),
        };
        self.runs.insert(run, remote.clone());
        Ok(remote)
    }

    /// Returns the error for a reply without an expected field.
    fn unexpected_reply(&self) -> Trouble {
        Trouble::Away(format!(
            "{} sent a reply that is not from MLflow",
            self.server.base()
        ))
    }
}

/// Returns the path below which a server proxies the artifacts of a run; `None` if clients reach
/// them elsewhere.
fn proxied(artifacts: &str) -> Option<&str> {
    let root = artifacts.strip_prefix("mlflow-artifacts:")?;
    // The location may name the server, which does not belong to the path.
    let root = match root.strip_prefix("//") {
        Some(rest) => rest.split_once('/').map_or("", |(_, path)| path),
        None => root,
    };
    Some(root.trim_matches('/'))
}
