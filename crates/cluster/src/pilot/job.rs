//! The job of a pilot: its identity, the signals it receives, and the settings of its batch.

use super::wire::Spec;
use super::{PROTOCOL, PilotDir};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use swath_engine::executor::{
    Allotment, ExecutorError, GpuShares, Gpus, Invocation, Pool, Program, ProgramSettings, Share,
    Sources, StudyContext, Text,
};
use swath_engine::provenance::variables;
use swath_log::{DigestCache, ModelStore};
use swath_model::study::{Attempt, Place, Setting, TrialId};

/// The job that a pilot runs in.
#[derive(Debug, Clone)]
pub struct PilotJob {
    /// Folder of the study.
    pub study: PathBuf,
    /// Name of the batch.
    pub batch: String,
    /// Index of the job in the batch, from 0.
    pub index: u32,
    /// Id of the job in the batch system, if known.
    pub job: Option<String>,
    /// Name of the node in the batch system, if it differs from the host name.
    pub node: Option<String>,
    /// Start of the job in seconds since 1970 by this machine's clock, if known.
    pub began: Option<u64>,
    /// End of the job in the same unit, if the batch system announces it.
    pub ends: Option<u64>,
}

impl PilotJob {
    /// Adds the batch system's names of job and node to the place of a process.
    pub(super) fn in_job(&self, place: Place) -> Place {
        Place {
            job: self.job.clone(),
            host: self.node.clone().unwrap_or(place.host),
            ..place
        }
    }
}

/// Builds the sources that tables of the sweep file describe. The last argument tells that reports
/// in the output decide.
pub type BuildSources = fn(&[String], &Setting, bool) -> Result<Sources, String>;

/// Counters of the signals that a pilot has received.
#[derive(Debug, Clone, Default)]
pub struct JobSignals {
    pub(super) end: Arc<AtomicUsize>,
    /// Warnings that the walltime of the job is nearly over.
    pub(super) warned: Arc<AtomicUsize>,
    /// Warnings that the job will be killed, whatever its walltime.
    pub(super) doomed: Arc<AtomicUsize>,
}

impl JobSignals {
    /// Starts a thread that counts signals: SIGTERM, SIGINT and SIGHUP end the pilot. SIGUSR1 warns
    /// that the walltime of the job is nearly over, and SIGUSR2 (of Grid Engine) that the job will
    /// be killed.
    ///
    /// # Errors
    /// Fails if a handler cannot be installed.
    pub fn on_signals() -> std::io::Result<Self> {
        let received = Self::default();
        let counters = received.clone();
        let mut signals =
            signal_hook::iterator::Signals::new([SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2])?;
        std::thread::Builder::new()
            .name("signals".to_owned())
            .spawn(move || {
                for signal in signals.forever() {
                    let count = match signal {
                        SIGUSR1 => &counters.warned,
                        SIGUSR2 => &counters.doomed,
                        _ => &counters.end,
                    };
                    count.fetch_add(1, Ordering::SeqCst);
                }
            })?;
        Ok(received)
    }
}

/// Reasons why a pilot could not work.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PilotError {
    /// A file of the study could not be read or written.
    #[error("could not read or write `{path}`")]
    File {
        /// Path of the file.
        path: PathBuf,
        /// Error of the operating system.
        #[source]
        source: std::io::Error,
    },
    /// The orchestrator uses another version of the protocol.
    #[error(
        "this pilot is swath {ours}, but the orchestrator is swath {theirs}; install the same version on the nodes, or set `swath` in [executor]"
    )]
    Version {
        /// Version of this pilot.
        ours: &'static str,
        /// Version of the orchestrator.
        theirs: String,
    },
    /// The job has too few GPUs for its slots.
    #[error(
        "the batch system gave {count} GPUs to the job, too few for {slots} trials at a time with {per_trial} each; ask for more with `gpus` in [executor], or set `slots`"
    )]
    Gpus {
        /// Number of GPUs of the job.
        count: usize,
        /// Number of trials at the same time.
        slots: usize,
        /// GPUs requested per trial.
        per_trial: f64,
    },
    /// The sources of the sweep file cannot be built here.
    #[error("{0}; install the same version of swath on the nodes, or set `swath` in [executor]")]
    Sources(String),
    /// The pool could not be created.
    #[error(transparent)]
    Pool(#[from] ExecutorError),
}

pub(super) fn read_spec(dir: &PilotDir, job: &PilotJob) -> Result<Spec, PilotError> {
    let path = dir.spec(&job.batch);
    let value: serde_json::Value = std::fs::read(&path)
        .and_then(|bytes| Ok(serde_json::from_slice(&bytes)?))
        .map_err(|source| PilotError::File {
            path: path.clone(),
            source,
        })?;
    if value.get("protocol").and_then(serde_json::Value::as_u64) != Some(u64::from(PROTOCOL)) {
        let theirs = value
            .get("swath")
            .and_then(|text| text.as_str())
            .unwrap_or("of another kind")
            .to_owned();
        return Err(PilotError::Version {
            ours: env!("CARGO_PKG_VERSION"),
            theirs,
        });
    }
    serde_json::from_value(value).map_err(|error| PilotError::File {
        path,
        source: error.into(),
    })
}

/// Builds the sources of a batch.
pub(super) fn sources(
    spec: &Spec,
    job: &PilotJob,
    build: BuildSources,
) -> Result<Sources, PilotError> {
    let setting = Setting {
        space: Arc::default(),
        objectives: Vec::new(),
        seed: 0,
        trials: None,
        slots: spec.slots,
        resource: spec.resource.clone(),
        checkpoint: spec.program.checkpoint,
        dir: Some(job.study.clone()),
    };
    let output_decides = !spec.program.capture.is_empty();
    build(&spec.program.source_tables, &setting, output_decides).map_err(PilotError::Sources)
}

/// Returns the time that the job has left; `None` if neither walltime nor end is known.
pub(super) fn deadline(job: &PilotJob, spec: &Spec) -> Option<Duration> {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .ok()?
        .as_secs();
    let began = job.began.filter(|began| *began <= now).unwrap_or(now);
    let by_walltime = spec.walltime.map(|walltime| began + walltime.as_secs());
    let ends = [by_walltime, job.ends.filter(|ends| *ends > now)]
        .into_iter()
        .flatten()
        .min()?;
    Some(Duration::from_secs(ends.saturating_sub(now)))
}

pub(super) type Invocations = Arc<Mutex<BTreeMap<(TrialId, Attempt), Invocation<Text>>>>;

pub(super) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) fn make_pool(
    spec: &Spec,
    invocations: Invocations,
    sources: Sources,
    guard: Option<Command>,
) -> Result<Pool, PilotError> {
    let secrets = variables::secrets(&spec.program.env, &spec.secret_env);
    let program = Program::new(ProgramSettings {
        invoke: Box::new(move |launch| {
            lock(&invocations)
                .get(&(launch.trial, launch.attempt))
                .cloned()
                .unwrap_or_default()
        }),
        spec: spec.program.clone(),
        // The guard is this very program, so its folder contains `swath`.
        tools: guard
            .as_ref()
            .and_then(|guard| Some(Path::new(guard.get_program()).parent()?.to_owned())),
        guard,
        allotment: allotment(spec)?,
        sources,
    })?;
    let study = StudyContext {
        name: spec.study.clone(),
        pipeline: spec.pipeline.clone(),
        stage: spec.stage.clone(),
        workdir: spec.program.workdir.clone(),
        work_files: spec.work_files.clone().map(Arc::new),
        data_dir: spec.data_dir.clone(),
        // Each cache file has one writer, so the pilot keeps its digests in memory.
        digests: Some(Arc::new(DigestCache::default())),
        deciding: spec.deciding.clone(),
        resource: spec.resource.clone(),
        models: Arc::new(ModelStore::new(spec.models)),
        secrets,
        slots: spec.slots,
        stands_for: None,
    };
    Ok(Pool::new(Arc::new(program), spec.slots, study)?)
}

/// Returns the resources of each slot. GPUs are those that the batch system assigned to the job,
/// and no GPU is assigned to more trials than `share` allows.
fn allotment(spec: &Spec) -> Result<Allotment, PilotError> {
    let Share {
        cpus, memory, gpus, ..
    } = spec.share;
    let visible = ["CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES"]
        .into_iter()
        .find_map(|name| std::env::var(name).ok());
    let gpus = gpus
        .map(|per_trial| shares(per_trial, visible.as_deref(), spec.slots))
        .transpose()?
        .flatten();
    Ok(Allotment { cpus, memory, gpus })
}

/// Assigns the GPUs of the job to its slots. If no driver can list them, trials see the same
/// devices as the job.
fn shares(
    per_trial: f64,
    visible: Option<&str>,
    slots: usize,
) -> Result<Option<GpuShares>, PilotError> {
    let ids: Option<Vec<String>> = visible.map(|list| {
        list.split(',')
            .map(|id| id.trim().to_owned())
            .filter(|id| !id.is_empty() && id != "-1")
            .collect()
    });
    let gpus = match Gpus::find(ids.as_deref()) {
        Ok(gpus) => gpus,
        Err(error) => {
            log_line(&format!("trials see the same devices as the job: {error}"));
            return Ok(None);
        }
    };
    let count = gpus.count();
    let shares = GpuShares::new(gpus, per_trial);
    if shares.slots() < slots {
        return Err(PilotError::Gpus {
            count,
            slots,
            per_trial,
        });
    }
    Ok(Some(shares))
}

/// Writes an error to the log of the job.
pub(super) fn log_error(subject: &str, error: &std::io::Error) {
    log_line(&format!("{subject}: {error}"));
}

#[expect(
    clippy::print_stderr,
    reason = "a pilot's standard error is its job's log, and it has no other output"
)]
fn log_line(text: &str) {
    eprintln!("swath pilot: {text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_settings_of_pilots_are_one_flat_object_whose_patterns_are_texts() {
        let written = serde_json::json!({
            "protocol": PROTOCOL, "swath": "0.1.0", "study": "digits", "pipeline": "digits",
            "stage": "tune", "workdir": "/home/me", "data_dir": ["data"], "models": "refer",
            "env": [["A", "b"]], "trial_time": {"secs": 60, "nanos": 0},
            "grace": {"secs": 10, "nanos": 0}, "system": null,
            "stop": {"signal": 15, "to": "main"}, "invalid": [], "warm": "off",
            "share": {"jobs": null, "cpus": 2, "gpus": null, "memory": null},
            "log": 1000, "capture": [["loss", "loss=(.*)"]], "deciding": ["loss"],
            "resource": null, "checkpoint": true, "slots": 4, "trials_per_job": null,
            "walltime": null, "margin": {"secs": 15, "nanos": 0},
            "idle": {"secs": 60, "nanos": 0}, "orphan": {"secs": 600, "nanos": 0},
            "beat": {"secs": 10, "nanos": 0}, "look": {"secs": 1, "nanos": 0},
        });
        let spec: Spec = serde_json::from_value(written.clone()).unwrap();
        assert_eq!(spec.program.grace, Duration::from_secs(10));
        assert!(spec.program.capture[0].1.is_match("loss=1"));
        assert_eq!(serde_json::to_value(&spec).unwrap(), written);
        let mut bad = written;
        bad["capture"] = serde_json::json!([["loss", "("]]);
        let error = serde_json::from_value::<Spec>(bad).unwrap_err().to_string();
        assert!(
            error.contains("the pattern of `loss` in [capture]"),
            "{error}"
        );
    }

    fn slots(per_trial: f64, visible: &str, slots: usize) -> Result<Option<usize>, PilotError> {
        Ok(shares(per_trial, Some(visible), slots)?.map(|shares| shares.slots()))
    }

    #[test]
    fn no_device_of_a_job_is_assigned_twice() {
        assert!(matches!(
            slots(1.0, "unlisted-a, unlisted-b", 2),
            Ok(Some(2))
        ));
        assert!(matches!(slots(0.5, "unlisted-a", 2), Ok(Some(2))));
        let error = slots(1.0, "unlisted-a", 2)
            .expect_err("they are too few")
            .to_string();
        assert!(
            error.starts_with("the batch system gave 1 GPUs to the job, too few for 2 trials"),
            "{error}"
        );
        assert!(matches!(
            slots(1.0, "", 1),
            Err(PilotError::Gpus { count: 0, .. })
        ));
    }
}
