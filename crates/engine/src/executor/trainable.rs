//! The interface to the code that runs inside a slot: a Rust function or a program. Everything
//! above this file treats both alike.

use super::repetition::{Evidence, NotRepeated, RecordCopies, Repetition};
use super::shortage::Shortage;
use super::stop_line::{StopLine, StopRequest};
use super::wake_up::SignalOrCall;
use super::{Exit, Facts, Invocation, Launch, Signal, SignalKind, WorkFiles};
use crossbeam_channel::Sender;
use std::error::Error;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Instant;
use swath_log::{DigestCache, ModelStore, TrialFolder, TrialLogger};
use swath_model::source::secret::Secrets;
use swath_model::space::{Name, ParamError, Params};
use swath_model::study::{Failure, Place, Timestamp, TrialId, Usage};

/// Runs one attempt from start to end in the thread of its slot.
///
/// A panic ends the trial, not the slot. A function polls [`TrialContext::stopping`] to learn of a
/// stop request; a program is woken.
pub trait Trainable: Send + Sync {
    /// Trains, records with `log`, and returns the exit and the usage of the attempt.
    fn train(&self, trial: &TrialContext, log: &mut TrialLogger) -> Outcome;

    /// Returns what an attempt starts; without a command for a trial that runs in this process.
    fn invocation(&self, _launch: &Launch, _study: &StudyContext) -> Invocation {
        Invocation::default()
    }

    /// Checks whether the next attempt can start in a slot after one has ended there. Resources of
    /// the ended attempt, such as GPU memory, may not be free yet.
    ///
    /// # Errors
    /// Returns the reason why the slot cannot be used yet.
    fn ready(&self, _slot: u32) -> Result<(), String> {
        Ok(())
    }

    /// Returns whether the records of attempts are kept until [`follow_up`](Self::follow_up).
    fn compares_records(&self) -> bool {
        false
    }

    /// Claims a step that follows an ended attempt in its slot. Returns whether there is one.
    fn claim_follow_up(&self, _trial: &TrialContext, _outcome: &Outcome) -> bool {
        false
    }

    /// Carries out the claimed step before the slot is free. `repeat` runs the attempt once more,
    /// outside of the study. `recorded` is `None` if the records of the attempt cannot be read.
    /// Returns a message for the user.
    fn follow_up(
        &self,
        _trial: &TrialContext,
        _recorded: Option<&Evidence>,
        _repeat: &dyn Fn(Repetition) -> Result<Evidence, NotRepeated>,
    ) -> Option<String> {
        None
    }

    /// Ends the processes that earlier attempts left behind. Called when no further attempt will
    /// start.
    fn close(&self) {}
}

/// Exit and usage of an attempt.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// Exit of the attempt: done, paused, stopped, failed or interrupted.
    pub exit: Exit,
    /// Processor time and memory that it used.
    pub usage: Usage,
}

/// Values that all trials of a study share.
#[derive(Clone, Default)]
pub struct StudyContext {
    /// Name of the study.
    pub name: String,
    /// Pipeline to which the study belongs.
    pub pipeline: String,
    /// Stage of the pipeline.
    pub stage: String,
    /// Working directory of the trials; `model_path` and similar paths are relative to it.
    pub workdir: PathBuf,
    /// Files that stand in a private working directory of each trial; `None` if all trials run in
    /// `workdir`.
    pub work_files: Option<Arc<WorkFiles>>,
    /// Data sets that every trial reads; recorded at the start of each.
    pub data_dir: Vec<String>,
    /// Cache of digests of data sets and models; `None` for no cache.
    pub digests: Option<Arc<DigestCache>>,
    /// Deciding metrics: the objectives, the resource and the metrics of the outcome constraints.
    pub deciding: Vec<Name>,
    /// Reported key that counts the resource, if a scheduler uses one.
    pub resource: Option<Name>,
    /// Store for the bytes of models.
    pub models: Arc<ModelStore>,
    /// Secrets that no record shows.
    pub secrets: Secrets,
    /// Number of trials that run at the same time.
    pub slots: usize,
    /// Trial of another study that the trials of this study repeat. Programs see its number as
    /// `SWATH_TRIAL`.
    pub stands_for: Option<TrialId>,
}

/// The context that a trainable receives for one attempt.
pub struct TrialContext {
    /// The attempt to run.
    pub launch: Launch,
    /// Values shared by all trials of its study.
    pub study: Arc<StudyContext>,
    /// The program that the attempt starts; without a command for a trial that runs in this process.
    pub invocation: Invocation,
    /// The way in which an ended attempt is repeated; `None` for an attempt of the study.
    pub repetition: Option<Repetition>,
    pub(super) begun: Instant,
    /// Copies of what the attempt records; `None` if nothing compares them.
    pub(super) copies: Option<RecordCopies>,
    pub(super) line: Arc<StopLine>,
    pub(super) signals: Sender<SignalOrCall>,
    /// Used only by the trial's own thread. The lock makes the context `Sync`, so that a function
    /// can share it with its own threads.
    pub(super) folder: Mutex<Option<TrialFolder>>,
    /// The shortage of the machine that kept the attempt from starting.
    pub(super) shortage: Mutex<Option<Shortage>>,
}

impl TrialContext {
    /// Notes that the attempt could not start because of this error, if the machine is short of
    /// something. The attempt is then tried again.
    pub(super) fn note_shortage(&self, error: &io::Error) {
        if let (Some(shortage), Ok(mut noted)) = (Shortage::of(error), self.shortage.lock()) {
            *noted = Some(shortage);
        }
    }

    /// Returns the working directory of the attempt.
    #[must_use]
    pub fn workdir(&self) -> &Path {
        let own = self.invocation.workdir.as_deref().map(Path::new);
        own.unwrap_or(&self.study.workdir)
    }

    /// Returns the data sets that the trial reads.
    #[must_use]
    pub fn data_dir(&self) -> &[String] {
        let own = self.invocation.data_dir.as_deref();
        own.unwrap_or(&self.study.data_dir)
    }

    /// Returns the facts about the attempt, without a port. `dir` is the absolute path of the
    /// trial's folder.
    pub(super) fn facts<'a>(&'a self, dir: &'a Path) -> Facts<'a> {
        Facts {
            study: &self.study,
            launch: &self.launch,
            dir,
            data_dir: self.data_dir(),
            port: None,
        }
    }

    /// Returns the shortage that was noted since the last call.
    pub(super) fn take_shortage(&self) -> Option<Shortage> {
        self.shortage.lock().ok()?.take()
    }

    /// Returns the configuration of the trial.
    #[must_use]
    pub fn params(&self) -> &Params {
        &self.launch.params
    }

    /// Returns a number of the configuration; see [`Params::float`].
    ///
    /// # Errors
    /// [`ParamError`] if the parameter is absent or no number.
    pub fn float(&self, name: &str) -> Result<f64, ParamError> {
        self.params().float(name)
    }

    /// Returns a whole number of the configuration.
    ///
    /// # Errors
    /// [`ParamError`] if the parameter is absent or no integer.
    pub fn int(&self, name: &str) -> Result<i64, ParamError> {
        self.params().int(name)
    }

    /// Returns a text of the configuration.
    ///
    /// # Errors
    /// [`ParamError`] if the parameter is absent or no text.
    pub fn text(&self, name: &str) -> Result<&str, ParamError> {
        self.params().text(name)
    }

    /// Returns a switch of the configuration.
    ///
    /// # Errors
    /// [`ParamError`] if the parameter is absent or no switch.
    pub fn flag(&self, name: &str) -> Result<bool, ParamError> {
        self.params().flag(name)
    }

    /// Returns the configuration as a type of the caller; see [`Params::read`].
    ///
    /// # Errors
    /// [`ParamError`] if the parameters do not fit the type.
    pub fn config<T: serde::de::DeserializeOwned>(&self) -> Result<T, ParamError> {
        self.params().read()
    }

    /// Returns the seed from which the trial is to derive all its randomness.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.launch.seed
    }

    /// Returns whether the trial is to save its state and end.
    #[must_use]
    pub fn stopping(&self) -> bool {
        self.line.notice(&self.launch).is_some()
    }

    /// Returns the stop request for this attempt, if there is one. Does not count as telling the
    /// trial.
    pub(super) fn stop_request(&self) -> Option<StopRequest> {
        self.line.stop_request(&self.launch)
    }

    /// Sends the place where the attempt runs to the driver, and writes it to the trial's folder.
    ///
    /// Sent only once the process has lived through the first interval of its supervisor (20 ms). A
    /// shorter one need not be found after a crash.
    pub(super) fn placed(&self, place: Place) {
        self.note_running(place.pid.unwrap_or(0));
        self.send(SignalKind::Placed(place));
    }

    /// Writes to the trial's folder that the attempt runs as process `pid`.
    pub(super) fn note_running(&self, pid: u32) {
        if let Some(folder) = self
            .folder
            .lock()
            .ok()
            .as_mut()
            .and_then(|folder| folder.as_mut())
        {
            // The same file is written again at the end, and an error then is reported.
            folder.mark_running(pid).ok();
        }
    }

    /// Sends a signal to the driver. If the receiver is gone, the pool is being dropped and the
    /// signal is dropped too.
    pub(super) fn send(&self, kind: SignalKind) {
        let Launch { trial, attempt, .. } = self.launch;
        self.signals
            .send(Some(Signal {
                trial,
                attempt,
                at: Timestamp::now(),
                kind,
            }))
            .ok();
    }
}

/// The error of a function that could not train: any error type or a text.
///
/// `?` converts every error type into it, as into `Box<dyn Error>`.
pub struct TrialError(Box<dyn Error + Send + Sync>);

impl<E: Into<Box<dyn Error + Send + Sync>>> From<E> for TrialError {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl fmt::Display for TrialError {
    /// Writes the error and its causes, separated by `: `.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

impl fmt::Debug for TrialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A Rust function as a trainable.
///
/// The function learns of a stop request from the return value of `report` or from
/// [`TrialContext::stopping`]. A function that checks neither cannot be stopped.
pub struct Closure<F>(pub F);

impl<F> Trainable for Closure<F>
where
    F: Fn(&TrialContext, &mut TrialLogger) -> Result<(), TrialError> + Send + Sync,
{
    fn train(&self, trial: &TrialContext, log: &mut TrialLogger) -> Outcome {
        let result = (self.0)(trial, log);
        let exit = match (trial.line.noticed(&trial.launch), result) {
            // A function that was asked to stop counts as stopped, even if it then returned an error.
            (Some(request), _) => request.exit(),
            (None, Ok(())) => Exit::Done,
            (None, Err(error)) => Exit::Failed(Failure::Error(error.to_string())),
        };
        Outcome {
            exit,
            usage: Usage::default(),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use swath_model::study::{Attempt, TrialId};

    pub(in crate::executor) fn launch(trial: u32) -> Launch {
        Launch {
            trial: TrialId(trial),
            attempt: Attempt(1),
            params: Params::default(),
            seed: 0,
            slot: 0,
            dir: PathBuf::new(),
            until: None,
            resume: false,
            resume_step: None,
            from: None,
            prepared: Vec::new(),
            preparation: None,
        }
    }

    #[test]
    fn a_trial_error_includes_its_causes() {
        #[derive(Debug, thiserror::Error)]
        #[error("could not load the data")]
        struct Outer(#[source] std::io::Error);
        let error = TrialError::from(Outer(std::io::Error::other("disk on fire")));
        assert_eq!(error.to_string(), "could not load the data: disk on fire");
    }
}
