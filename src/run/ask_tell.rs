//! Ask and tell: for people who own their loop. The caller runs the trials; swath proposes, records
//! and judges.
//!
//! ```
//! use swath::driver::Offer;
//! use swath::run::{AskTell, Options};
//! use swath::source::Source;
//! use swath::sweep::Sweep;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let text = "name = 'bowl'\n[objective]\nmetric = 'loss'\ngoal = 'min'\n[search]\ntrials = 20\n[space]\nx = { min = -1.0, max = 1.0 }\n";
//! let sweep = Sweep::parse_for_function(Source { name: "bowl.toml".into(), text: text.into() })?;
//! let logs = tempfile::tempdir()?;
//! let mut study = AskTell::open(&sweep, Options::at(logs.path()))?;
//! while let Offer::Trial(asked) = study.ask()? {
//!     let x = asked.params.get("x").and_then(|value| value.as_f64()).unwrap_or(0.0);
//!     study.tell(asked.trial, &[x * x])?;
//! }
//! let best = study.study().incumbent().ok_or("no trial has ended")?;
//! assert!(best.objective(&sweep.objectives[0]).is_some_and(|loss| loss < 0.2));
//! study.close()?;
//! # Ok(())
//! # }
//! ```

use super::{Opened, Options, RunError};
use crate::driver::{Asked, DriverError, Offer};
use crate::source::Source;
use crate::space::{Digits, Name, Params};
use crate::study::{
    Closing, Datum, Exit, Failure, Metric, Study, Trial, TrialId, TrialState, Verdict,
};
use crate::sweep::{Rejected, Sweep, given};
use crate::tracker::recorder::Stale;
use std::time::{Duration, Instant};

/// How long the disk, the table and the listeners may lag behind.
const LAG: Duration = Duration::from_millis(200);

/// A study whose trials the caller runs. Whatever it returns, the kernel has already: a crash loses
/// nothing.
pub struct AskTell<'a> {
    opened: Opened<'a>,
    tended: Instant,
}

/// Why a call could not be done. The study is unchanged, and goes on, unless it is
/// [`Run`](Self::Run).
#[derive(Debug, thiserror::Error)]
pub enum AskTellError {
    /// The study cannot go on.
    #[error(transparent)]
    Run(#[from] RunError),
    /// There is no such trial.
    #[error("trial {0} does not exist")]
    NoSuchTrial(TrialId),
    /// The trial was told already, or was never asked for.
    #[error("trial {trial} is {state} and cannot be told")]
    NotOpen {
        /// The trial.
        trial: TrialId,
        /// Its state.
        state: &'static str,
        /// Whether it was ever asked for.
        asked: bool,
    },
    /// The trial cannot be complete: it has reported nothing, and no values were given.
    #[error("trial {0} has reported nothing and cannot be complete")]
    NothingReported(TrialId),
    /// The values are not one an objective.
    #[error("{given} values were given, but the sweep has {wanted} objectives")]
    Count {
        /// How many were given.
        given: usize,
        /// How many are wanted.
        wanted: usize,
    },
    /// The configuration is not in the space.
    #[error("the configuration is not in the space")]
    Refused(#[source] Box<Rejected>),
    /// No completion of the configuration satisfies the constraints.
    #[error("the constraints leave nothing of this configuration")]
    Impossible,
    /// A trial has this configuration already.
    #[error("trial {0} has this configuration already")]
    Duplicate(TrialId),
}

impl From<DriverError> for AskTellError {
    fn from(error: DriverError) -> Self {
        Self::Run(error.into())
    }
}

impl<'a> AskTell<'a> {
    /// Opens the study of a sweep, making it if there is none, and keeps its table and trackers
    /// from now on. Trials that an earlier process was asked for and not told of wait: they are
    /// handed out again first, and may still be told.
    ///
    /// # Errors
    /// If somebody else runs it, or it cannot be read or written.
    pub fn open(sweep: &'a Sweep, options: Options) -> Result<Self, RunError> {
        Self::open_recording(sweep, options, drop)
    }

    /// As [`open`](Self::open), telling of each tracker that becomes stale.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_recording(
        sweep: &'a Sweep,
        mut options: Options,
        stale: impl FnMut(Stale) + 'a,
    ) -> Result<Self, RunError> {
        options.jobs = options.jobs.or(sweep.resources.jobs).or(Some(1));
        let mut opened = super::open(sweep, options)?;
        opened.record(stale)?;
        Ok(Self {
            opened,
            tended: Instant::now(),
        })
    }

    /// Returns what is known of the study.
    #[must_use]
    pub fn study(&self) -> &Study {
        self.opened.study()
    }

    /// Returns the study's folder.
    #[must_use]
    pub fn dir(&self) -> &crate::journal::StudyDir {
        self.opened.dir()
    }

    /// Hands out the next trial.
    ///
    /// # Errors
    /// If the journal cannot be written.
    pub fn ask(&mut self) -> Result<Offer, AskTellError> {
        let offer = self.opened.driver.ask()?;
        self.tend_if_due()?;
        Ok(offer)
    }

    /// Ends a trial with the values of its objectives, in the order of the sweep file. One that is
    /// not finite makes it a failed trial.
    ///
    /// # Errors
    /// If there are not as many as objectives, or the trial is not open.
    pub fn tell(&mut self, trial: TrialId, values: &[f64]) -> Result<TrialState, AskTellError> {
        let values = self.named(values)?;
        self.end(trial, values, Exit::Done)
    }

    /// Pairs values with the objectives, in the order of the sweep file.
    ///
    /// # Errors
    /// If there are not as many.
    pub fn named(&self, values: &[f64]) -> Result<Vec<(Name, Datum)>, AskTellError> {
        let objectives = &self.opened.sweep.objectives;
        if values.len() != objectives.len() {
            return Err(AskTellError::Count {
                given: values.len(),
                wanted: objectives.len(),
            });
        }
        let pair = |(objective, value): (&crate::study::Objective, &f64)| {
            (objective.metric.clone(), Datum::Number(Metric(*value)))
        };
        Ok(objectives.iter().zip(values).map(pair).collect())
    }

    /// Ends a trial as failed, with the reason.
    ///
    /// # Errors
    /// If the trial is not open.
    pub fn fail(&mut self, trial: TrialId, why: &str) -> Result<TrialState, AskTellError> {
        self.end(
            trial,
            Vec::new(),
            Exit::Failed(Failure::Told(why.to_owned())),
        )
    }

    /// Ends a trial in any way, after a last report if `values` are given. Telling a trial that the
    /// scheduler stopped or paused changes nothing.
    ///
    /// # Errors
    /// If the trial is not open, or is to be complete and has not reported anything.
    pub fn end(
        &mut self,
        trial: TrialId,
        values: Vec<(Name, Datum)>,
        exit: Exit,
    ) -> Result<TrialState, AskTellError> {
        self.end_because(trial, values, exit, None)
    }

    /// As [`end`](Self::end), with the reason for which the trial is stopped or given back.
    ///
    /// # Errors
    /// As [`end`](Self::end).
    pub fn end_because(
        &mut self,
        trial: TrialId,
        values: Vec<(Name, Datum)>,
        exit: Exit,
        why: Option<&str>,
    ) -> Result<TrialState, AskTellError> {
        let found = self
            .study()
            .trial(trial)
            .ok_or(AskTellError::NoSuchTrial(trial))?;
        let ended_by_verdict = match found.state {
            TrialState::Stopped | TrialState::Paused => found.verdict.is_some(),
            TrialState::Complete => found.verdict == Some(Verdict::Complete),
            _ => false,
        };
        if !ended_by_verdict {
            if exit == Exit::Done && values.is_empty() && found.reports == 0 {
                return Err(AskTellError::NothingReported(trial));
            }
            self.take_up(trial)?;
            self.opened.driver.tell(trial, values, exit, why)?;
        }
        self.tend_if_due()?;
        Ok(self
            .study()
            .trial(trial)
            .map_or(TrialState::Waiting, |found| found.state.clone()))
    }

    /// Takes in a report of a trial that runs and says whether it may go on. One that may not has
    /// ended with this.
    ///
    /// # Errors
    /// If the trial is not open.
    pub fn report(
        &mut self,
        trial: TrialId,
        values: Vec<(Name, Datum)>,
    ) -> Result<Verdict, AskTellError> {
        self.take_up(trial)?;
        let verdict = self.opened.driver.report(trial, values)?;
        self.tend_if_due()?;
        Ok(verdict)
    }

    /// Puts a configuration in front of all others: the lines of a `[[point]]`. What it leaves out
    /// is drawn; floats are rounded to the digits that the sweep keeps.
    ///
    /// # Errors
    /// If it is not in the space, or, unless `again`, a trial has it already.
    pub fn add(&mut self, point: &str, again: bool) -> Result<TrialId, AskTellError> {
        let source = Source {
            name: "the configuration".to_owned(),
            text: point.to_owned(),
        };
        let space = &self.opened.sweep.space;
        let points = given::given(space, source, Digits::Rounded)
            .map_err(|error| AskTellError::Refused(Box::new(error)))?;
        let point = points.first().cloned().unwrap_or_default();
        if let Some(trial) = self.twin(&point).filter(|_| !again) {
            return Err(AskTellError::Duplicate(trial));
        }
        let added = self
            .opened
            .driver
            .add(&point)?
            .ok_or(AskTellError::Impossible)?;
        self.tend_if_due()?;
        Ok(added)
    }

    /// Returns the trial that has a configuration already, if that is given whole.
    fn twin(&self, point: &Params) -> Option<TrialId> {
        crate::driver::propose::twin(&self.opened.sweep.space, self.study(), point)
    }

    /// Brings disk and table up to date: for callers that wait long between calls.
    ///
    /// # Errors
    /// If the journal cannot be written.
    pub fn tend(&mut self) -> Result<(), AskTellError> {
        self.tended = Instant::now();
        Ok(self.opened.driver.tend()?)
    }

    /// Ends: trials that are open wait for the next process.
    ///
    /// # Errors
    /// If the journal cannot be written.
    pub fn close(mut self) -> Result<Closing, AskTellError> {
        Ok(self.opened.driver.leave()?)
    }

    fn tend_if_due(&mut self) -> Result<(), AskTellError> {
        if self.tended.elapsed() >= LAG {
            self.tend()
        } else {
            Ok(())
        }
    }

    /// Makes sure that a trial is open. One that an earlier process handed out is taken up.
    fn take_up(&mut self, trial: TrialId) -> Result<Option<Asked>, AskTellError> {
        let found = self
            .study()
            .trial(trial)
            .ok_or(AskTellError::NoSuchTrial(trial))?;
        let not_open = |found: &Trial| AskTellError::NotOpen {
            trial,
            state: found.state.word(),
            asked: found.attempts > 0,
        };
        match found.state {
            TrialState::Running => Ok(None),
            TrialState::Waiting if found.attempts > 0 => {
                Ok(Some(self.opened.driver.take_up(trial)?))
            }
            _ => Err(not_open(found)),
        }
    }
}

impl Options {
    /// Returns the options of a program that uses swath as a library: studies in `logs`, trials in
    /// the current directory.
    pub fn at(logs: impl Into<std::path::PathBuf>) -> Self {
        Self {
            logs: logs.into(),
            workdir: std::env::current_dir().unwrap_or_default(),
            jobs: None,
            gpus: None,
            time: None,
            command_line: Vec::new(),
        }
    }
}
