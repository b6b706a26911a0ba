//! To the trial, swath is an MLflow server: it answers the calls of MLflow's clients, and makes
//! records of what they log.
//!
//! [`endpoint`] reads requests and finds the attempt by the token in the path, [`attempt`] answers
//! the calls, and [`recording`] makes the records. All that a client was answered is in the records
//! before, so a kill loses nothing that the program believes to be logged.

mod attempt;
mod call;
mod endpoint;
mod files;
mod filter;
mod forward;
mod points;
mod recording;
mod registry;
mod runs;
#[cfg(test)]
mod tests;
mod tracking;

use super::rename::{RENAME, Rename};
use crate::mlflow::access::Access;
use crate::mlflow::rest::Address;
use attempt::AttemptServer;
use endpoint::{Endpoint, Shared, lock};
use files::ArtifactFiles;
use forward::{Forwarding, Leftovers, SERVER};
use recording::{NAME, Recorder};
use std::ffi::OsString;
use std::io;
use std::sync::{Arc, Mutex};
use swath_engine::executor::{RecordSource, SourceAttempt, SourceRun, Translator};
use swath_model::source::{Opt, Preset, Takes};
use swath_model::study::Kind;

pub(super) const KIND: Kind<dyn RecordSource> = Kind {
    name: NAME,
    about: "what the program logs with MLflow: to it, swath is an MLflow server on this machine",
    paper: None,
    options: &[
        Opt::new(
            "forward",
            Takes::Switch,
            Preset::Flag(false),
            "whether everything goes on to the server of the user's own `MLFLOW_TRACKING_URI` too",
        ),
        RENAME,
    ],
    capabilities: &[],
    build: |mut section, _, diagnostics| {
        let rename = Rename::take(&mut section, diagnostics);
        let forward = section.take_bool("forward", diagnostics);
        Some(Box::new(Mlflow {
            rename,
            forward: forward.is_some_and(|(forward, _)| forward),
            endpoint: Mutex::default(),
            leftovers: Mutex::default(),
        }))
    },
};

/// The variables that name the server, for clients of runs and of the registry.
const ADDRESS: [&str; 2] = ["MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"];

/// The hosts that are reached without a proxy.
const WITHOUT_PROXY: [&str; 2] = ["NO_PROXY", "no_proxy"];

/// The source. It listens from the first attempt on.
struct Mlflow {
    rename: Rename,
    forward: bool,
    endpoint: Mutex<Option<Arc<Endpoint>>>,
    /// The delivery of what earlier runs could not forward. It ends with the source.
    leftovers: Mutex<Option<Leftovers>>,
}

impl Mlflow {
    fn endpoint(&self) -> io::Result<Arc<Endpoint>> {
        let mut endpoint = lock(&self.endpoint);
        if let Some(endpoint) = &*endpoint {
            return Ok(Arc::clone(endpoint));
        }
        let started = Arc::new(Endpoint::start()?);
        *endpoint = Some(Arc::clone(&started));
        Ok(started)
    }
}

impl RecordSource for Mlflow {
    fn about(&self, run: &SourceRun<'_>) -> String {
        let logged = "what the program logs with MLflow";
        let server = run.variable(SERVER).and_then(|uri| uri.into_string().ok());
        match server.filter(|uri| !uri.is_empty()) {
            Some(uri) if self.forward => {
                let address = Address::parse(&uri, Access::default());
                let address = address.map_or_else(|| SERVER.to_owned(), |address| address.base);
                format!("{logged}, which also goes on to {address}")
            }
            Some(_) => format!(
                "{logged}, of which the server that {SERVER} names gets nothing without \
                 `forward = true`"
            ),
            None => logged.to_owned(),
        }
    }

    fn begin_run(&self, run: &SourceRun<'_>) -> Option<String> {
        if !self.forward {
            return None;
        }
        let variable = |name: &str| run.variable(name)?.into_string().ok();
        // A server that is not named is an error of each attempt.
        let (leftovers, trials) = Leftovers::deliver(run.study, variable).ok()??;
        *lock(&self.leftovers) = Some(leftovers);
        let trials = match trials {
            1 => "1 trial".to_owned(),
            count => format!("{count} trials"),
        };
        Some(format!(
            "an earlier run could not forward all that {trials} logged with MLflow; it is forwarded now"
        ))
    }

    fn begin(&self, attempt: &SourceAttempt<'_>) -> io::Result<Box<dyn Translator>> {
        let recorder = Recorder::begin(attempt, self.rename.clone())?;
        let mut files = ArtifactFiles::begin(attempt.dir);
        for path in recorder.earlier_files()? {
            files.note_recorded(&path);
        }
        let mut server = AttemptServer::new(recorder, files);
        if self.forward {
            let variable = |name: &str| attempt.variable(name)?.into_string().ok();
            server =
                server.forwarding(Forwarding::start(attempt.dir, attempt.attempt.0, variable)?);
        }
        let server: Shared = Arc::new(Mutex::new(server));
        let endpoint = self.endpoint()?;
        let (token, address) = endpoint.open(Arc::clone(&server));
        Ok(Box::new(Served {
            environment: environment(attempt, &address),
            server,
            endpoint,
            token,
        }))
    }
}

/// Returns the variables with which the clients of a program find the server, and nothing else.
fn environment(attempt: &SourceAttempt<'_>, address: &str) -> Vec<(String, OsString)> {
    let mut variables: Vec<(String, OsString)> = ADDRESS
        .iter()
        .map(|name| ((*name).to_owned(), address.into()))
        .collect();
    // MLflow reports its use to its makers unless a variable says otherwise.
    let telemetry = "MLFLOW_DISABLE_TELEMETRY";
    if attempt.variable(telemetry).is_none() {
        variables.push((telemetry.to_owned(), "true".into()));
    }
    for name in WITHOUT_PROXY {
        let mut hosts = attempt.variable(name).unwrap_or_default();
        if !hosts.is_empty() {
            hosts.push(",");
        }
        hosts.push("127.0.0.1,localhost");
        variables.push((name.to_owned(), hosts));
    }
    variables
}

/// The server of an attempt while its program runs.
struct Served {
    environment: Vec<(String, OsString)>,
    server: Shared,
    endpoint: Arc<Endpoint>,
    token: String,
}

impl Translator for Served {
    fn environment(&self) -> Vec<(String, OsString)> {
        self.environment.clone()
    }

    fn poll(&mut self) -> io::Result<()> {
        let troubles = lock(&self.server).take_troubles();
        if troubles.is_empty() {
            return Ok(());
        }
        Err(io::Error::other(troubles.join("; ")))
    }

    fn finish(&mut self, _: bool) -> io::Result<()> {
        self.endpoint.close(&self.token);
        lock(&self.server).finish()?;
        self.poll()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.endpoint.close(&self.token);
    }
}
