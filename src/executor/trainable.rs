//! What runs inside a slot: a Rust function or a program. To everything above they are the same.

use super::stop_line::{Asked, StopLine};
use super::{Exit, Launch, Signal, What};
use crate::logger::{DigestCache, ModelStore, TrialFolder, TrialLogger};
use crate::space::{Name, Params};
use crate::study::{Failure, Place, Timestamp, TrialId, Usage};
use crossbeam_channel::Sender;
use std::error::Error;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

/// Runs one attempt from its beginning to its end, in the thread of its slot.
///
/// It may panic: that ends the trial, not the slot. It looks at [`TrialContext::stopping`] (a
/// function) or is woken (a program).
pub trait Trainable: Send + Sync {
    /// Trains, recording with `log`, and says how it ended.
    fn train(&self, trial: &TrialContext, log: &mut TrialLogger) -> Outcome;

    /// Returns the command of an attempt, to be kept in its record; empty for what runs in this
    /// process.
    fn command(&self, _launch: &Launch) -> Vec<String> {
        Vec::new()
    }

    /// Says why the next attempt in a slot cannot begin yet, after one has ended there: what it
    /// used may not be free again.
    ///
    /// # Errors
    /// The reason.
    fn ready(&self, _slot: u32) -> Result<(), String> {
        Ok(())
    }

    /// Ends what earlier attempts left behind, when there will be no more.
    fn close(&self) {}
}

/// How an attempt ended and what it used.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// How it ended.
    pub exit: Exit,
    /// What it used.
    pub usage: Usage,
}

/// What all trials of a study have in common.
#[derive(Clone, Default)]
pub struct StudyContext {
    /// The study's name.
    pub name: String,
    /// The pipeline it belongs to.
    pub pipeline: String,
    /// The stage of the pipeline.
    pub stage: String,
    /// Where trials run: `model_path` and the like are relative to it.
    pub workdir: PathBuf,
    /// Data sets that every trial reads, recorded at its start.
    pub data_dir: Vec<String>,
    /// Digests of data sets and models that are known already.
    pub digests: Option<Arc<DigestCache>>,
    /// The metrics that decide: objectives, resource and those of the outcome constraints.
    pub deciding: Vec<Name>,
    /// The reported key that counts the resource, if a scheduler uses one.
    pub resource: Option<Name>,
    /// Holds the bytes of models.
    pub models: Arc<ModelStore>,
    /// The trial of another study that the trials of this one repeat: what they are told as their
    /// number.
    pub stands_for: Option<TrialId>,
}

/// What a trial is told.
pub struct TrialContext {
    /// The attempt.
    pub launch: Launch,
    /// The study it belongs to.
    pub study: Arc<StudyContext>,
    /// The command; empty for what runs in this process.
    pub command: Vec<String>,
    pub(super) line: Arc<StopLine>,
    pub(super) signals: Sender<Signal>,
    /// Only the trial's own thread uses it; the lock lets a function share its context with threads
    /// of its own.
    pub(super) folder: Mutex<Option<TrialFolder>>,
}

impl TrialContext {
    /// Returns the configuration.
    #[must_use]
    pub fn params(&self) -> &Params {
        &self.launch.params
    }

    /// Returns the seed from which everything random in the trial is to derive.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.launch.seed
    }

    /// Returns whether the trial is to save what it needs and end.
    #[must_use]
    pub fn stopping(&self) -> bool {
        self.line.notice(&self.launch).is_some()
    }

    /// Returns what the trial was asked.
    pub(super) fn asked(&self) -> Option<Asked> {
        self.line.asked(&self.launch)
    }

    /// Says where the attempt runs, to who listens and in the trial's folder.
    ///
    /// Only of one that has run for a moment: one that is over by then needs no one who could find
    /// it.
    pub(super) fn placed(&self, place: Place) {
        self.note_running(place.pid.unwrap_or(0));
        self.send(What::Placed(place));
    }

    /// Writes in the trial's folder that it runs.
    pub(super) fn note_running(&self, pid: u32) {
        if let Some(folder) = self
            .folder
            .lock()
            .ok()
            .as_mut()
            .and_then(|folder| folder.as_mut())
        {
            // The same file is written at the end, and what goes wrong then is told.
            folder.placed(pid).ok();
        }
    }

    /// Sends a signal; if nobody listens any more, the pool is being dropped and so is the signal.
    pub(super) fn send(&self, what: What) {
        let Launch { trial, attempt, .. } = self.launch;
        self.signals
            .send(Signal {
                trial,
                attempt,
                at: Timestamp::now(),
                what,
            })
            .ok();
    }
}

/// Why a function could not train: any error, or a text.
///
/// Made by `?` from every error type, like `Box<dyn Error>`.
pub struct TrialError(Box<dyn Error + Send + Sync>);

impl<E: Into<Box<dyn Error + Send + Sync>>> From<E> for TrialError {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl fmt::Display for TrialError {
    /// Writes the error and its causes, `: ` between them.
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
/// It learns that it is to end from what `report` returns or from [`TrialContext::stopping`]. One
/// that asks neither cannot be stopped.
pub struct Closure<F>(pub F);

impl<F> Trainable for Closure<F>
where
    F: Fn(&TrialContext, &mut TrialLogger) -> Result<(), TrialError> + Send + Sync,
{
    fn train(&self, trial: &TrialContext, log: &mut TrialLogger) -> Outcome {
        let result = (self.0)(trial, log);
        let exit = match (trial.line.noticed(&trial.launch), result) {
            (Some(asked), _) => asked.exit(),
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
    use crate::study::{Attempt, TrialId};

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
            from: None,
        }
    }

    #[test]
    fn a_trial_error_tells_its_causes() {
        #[derive(Debug, thiserror::Error)]
        #[error("could not load the data")]
        struct Outer(#[source] std::io::Error);
        let error = TrialError::from(Outer(std::io::Error::other("disk on fire")));
        assert_eq!(error.to_string(), "could not load the data: disk on fire");
    }
}
