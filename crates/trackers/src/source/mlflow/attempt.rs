//! Answers the calls of the clients of one attempt, and records what they log.
//!
//! The runs live in memory: an attempt that is killed begins anew, and all that a client was
//! answered is in the records before. [`tracking`](super::tracking) has the calls about runs,
//! [`registry`](super::registry) those about models.

use super::call::{Answer, Refusal, now};
use super::files::ArtifactFiles;
use super::forward::Forwarding;
use super::recording::Recorder;
use super::runs::{Experiment, LoggedModel, RegisteredModel, Run};
use super::tracking::DEFAULT_EXPERIMENT;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;

/// The server of one attempt.
pub(super) struct AttemptServer {
    pub(super) recorder: Recorder,
    pub(super) files: ArtifactFiles,
    pub(super) experiments: Vec<Experiment>,
    /// The runs in the order of their creation.
    pub(super) runs: Vec<Run>,
    pub(super) models: Vec<LoggedModel>,
    pub(super) registry: BTreeMap<String, RegisteredModel>,
    pub(super) nested_runs: usize,
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

    /// Records the files that the clients have written, after the last process of the attempt.
    /// Waits until they and all calls are forwarded.
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

    pub(super) fn forward_files(&self, root: &Path, path: &Path) {
        if let Some(forwarding) = &self.forwarding {
            forwarding.files(root, path);
        }
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

    pub(super) fn unknown(&self) -> Refusal {
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
