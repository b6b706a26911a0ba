//! Ask and tell, for programs that have a loop of their own. The caller runs the trials; swath
//! proposes configurations, records results and judges trials.
//!
//! ```
//! use swath_model::source::Source;
//! use swath_run::run::{AskTell, Offer, Options};
//! use swath_run::sweep::Sweep;
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

pub use super::folders::Room;
use super::folders::{End, Folders, TakenRecord};
use super::follow::Stale;
use super::{Opened, Options, RunError};
use crate::sweep::{Rejected, Sweep, given};
use std::sync::Arc;
use std::time::{Duration, Instant};
use swath_engine::driver::{DriverError, Offer, OpenTrial};
use swath_engine::executor::StudyContext;
use swath_log::DigestCache;
use swath_log::wire::MODEL_PATH;
use swath_model::source::Source;
use swath_model::space::{Digits, Name, Params};
use swath_model::study::redacted::redact_values;
use swath_model::study::{
    Attempt, Closing, Datum, Exit, Failure, LogRecord, Metric, Study, TrialId, TrialState, Verdict,
};

/// Maximum delay of the sync, the table and the listeners, if the caller makes calls.
const LAG: Duration = Duration::from_millis(200);

/// A study whose trials the caller runs. The journal is flushed before a call returns, so that a
/// crash loses nothing that was returned.
pub struct AskTell<'a> {
    opened: Opened<'a>,
    tended: Instant,
    context: StudyContext,
    folders: Folders,
}

/// An error of a call. The study is unchanged and can be used further, unless the error is
/// [`Run`](Self::Run).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AskTellError {
    /// The study cannot continue.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The study has no trial of this id.
    #[error("trial {0} does not exist")]
    NoSuchTrial(TrialId),
    /// The trial has ended already, or was never handed out.
    #[error("trial {trial} is {state} and cannot be told")]
    NotOpen {
        /// The id of the trial.
        trial: TrialId,
        /// The state of the trial, as a word.
        state: &'static str,
        /// Whether the trial was ever handed out.
        asked: bool,
    },
    /// The trial cannot be complete, because it has not reported, and no values were given.
    #[error("trial {0} has reported nothing and cannot be complete")]
    NothingReported(TrialId),
    /// The number of values differs from the number of objectives.
    #[error("{given} values were given, but the sweep has {wanted} objectives")]
    Count {
        /// The number of given values.
        given: usize,
        /// The number of objectives.
        wanted: usize,
    },
    /// The configuration is not in the search space.
    #[error("the configuration is not in the space")]
    Refused(#[source] Box<Rejected>),
    /// No completion of the configuration satisfies the constraints.
    #[error("the constraints leave nothing of this configuration")]
    Impossible,
    /// A trial has the same configuration already.
    #[error("trial {0} has this configuration already")]
    Duplicate(TrialId),
}

impl From<DriverError> for AskTellError {
    fn from(error: DriverError) -> Self {
        Self::Run(error.into())
    }
}

impl<'a> AskTell<'a> {
    /// Opens the study of a sweep, creating it if there is none, and writes its table and trackers
    /// from now on. Trials that were handed out to an earlier process and have not ended are
    /// waiting: they are handed out again first, and their results are still accepted.
    ///
    /// # Errors
    /// If another process runs it, or it cannot be read or written.
    pub fn open(sweep: &'a Sweep, options: Options) -> Result<Self, RunError> {
        Self::open_recording(sweep, options, drop)
    }

    /// Does the same as [`open`](Self::open), and calls `stale` for each tracker that becomes
    /// stale.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_recording(
        sweep: &'a Sweep,
        mut options: Options,
        stale: impl FnMut(Stale) + 'a,
    ) -> Result<Self, RunError> {
        // The caller runs the trials, by default one at a time: the size of this machine says
        // nothing.
        options.jobs = options.jobs.or(sweep.resources.jobs).or(Some(1));
        let mut opened = super::open(sweep, options)?;
        opened.record(stale)?;
        let workdir = opened.options.workdir.clone();
        let context = StudyContext {
            digests: Some(Arc::new(DigestCache::open(&opened.dir().digests()))),
            ..super::pool::context(sweep, workdir)
        };
        Ok(Self {
            opened,
            tended: Instant::now(),
            context,
            folders: Folders::default(),
        })
    }

    /// Returns the state of the study, up to the last committed event.
    #[must_use]
    pub fn study(&self) -> &Study {
        self.opened.study()
    }

    /// Returns the paths of the study.
    #[must_use]
    pub fn dir(&self) -> &swath_engine::journal::StudyDir {
        self.opened.dir()
    }

    /// Hands out the next trial, if there is one.
    ///
    /// # Errors
    /// If the journal cannot be written.
    pub fn ask(&mut self) -> Result<Offer, AskTellError> {
        let offer = self.opened.driver.ask()?;
        self.tend_if_due()?;
        Ok(offer)
    }

    /// Makes the folder of a trial that was handed out, as swath makes it for the trials that it
    /// runs itself. From then on the records that the trial's process appends there are taken in at
    /// each report, at the end of the trial, and by [`tend`](Self::tend).
    ///
    /// # Errors
    /// If the folder cannot be written.
    pub fn make_folder(&mut self, trial: &OpenTrial) -> Result<Room, AskTellError> {
        let dir = self.opened.dir().trial(trial.trial);
        let room = self.folders.begin(trial, dir.clone(), &self.context);
        room.map_err(|source| RunError::Keep { path: dir, source }.into())
    }

    /// Ends a trial with the values of its objectives, in the order of the sweep file, and returns
    /// its state. A value that is not finite makes the trial failed.
    ///
    /// # Errors
    /// If the number of values differs from the number of objectives, or the trial is not open.
    pub fn tell(&mut self, trial: TrialId, values: &[f64]) -> Result<TrialState, AskTellError> {
        let values = self.named(values)?;
        self.end(trial, values, Exit::Done)
    }

    /// Pairs values with the names of the objectives, in the order of the sweep file.
    ///
    /// # Errors
    /// If the number of values differs from the number of objectives.
    pub fn named(&self, values: &[f64]) -> Result<Vec<(Name, Datum)>, AskTellError> {
        let objectives = &self.opened.sweep.objectives;
        if values.len() != objectives.len() {
            return Err(AskTellError::Count {
                given: values.len(),
                wanted: objectives.len(),
            });
        }
        let metrics = objectives.iter().map(|objective| objective.metric.clone());
        let values = values.iter().map(|value| Datum::Number(Metric(*value)));
        Ok(metrics.zip(values).collect())
    }

    /// Ends a trial as failed, with a reason, and returns its state.
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

    /// Ends a trial with any exit, after a last report unless `values` is empty, and returns its
    /// state. For a trial that the scheduler has stopped or paused, it changes nothing.
    ///
    /// # Errors
    /// If the trial is not open, or is to be complete and has not reported.
    pub fn end(
        &mut self,
        trial: TrialId,
        values: Vec<(Name, Datum)>,
        exit: Exit,
    ) -> Result<TrialState, AskTellError> {
        self.end_because(trial, values, exit, None)
    }

    /// Does the same as [`end`](Self::end), with a reason for stopping the trial or giving it back.
    ///
    /// # Errors
    /// As [`end`](Self::end).
    pub fn end_because(
        &mut self,
        trial: TrialId,
        mut values: Vec<(Name, Datum)>,
        exit: Exit,
        why: Option<&str>,
    ) -> Result<TrialState, AskTellError> {
        let secrets = &self.opened.secrets;
        redact_values(&mut values, secrets);
        let exit = exit.redacted(secrets);
        let why = why.map(|why| secrets.redact(why).into_owned());
        let ended = self
            .study()
            .trial(trial)
            .ok_or(AskTellError::NoSuchTrial(trial))?;
        // The verdict on a report has ended the trial already: the caller's end is no error.
        let ended_by_verdict = match ended.state {
            TrialState::Stopped | TrialState::Paused => ended.verdict.is_some(),
            TrialState::Complete => ended.verdict == Some(Verdict::Complete),
            _ => false,
        };
        if !ended_by_verdict {
            if exit == Exit::Done && values.is_empty() && ended.reports == 0 {
                return Err(AskTellError::NothingReported(trial));
            }
            self.take_up(trial)?;
            self.take_model_of_report(trial, &mut values)?;
            let folder = self.take_last_records(trial)?;
            // A report among the last records may have ended the trial.
            if self.is_running(trial) {
                self.opened
                    .driver
                    .tell(trial, values, exit.clone(), why.as_deref())?;
            }
            self.complete_folder(trial, folder, &exit)?;
        }
        self.tend_if_due()?;
        Ok(self
            .study()
            .trial(trial)
            .map_or(TrialState::Waiting, |ended| ended.state.clone()))
    }

    /// Commits a report of a running trial and returns the verdict. Any verdict other than
    /// `Continue` has ended the trial.
    ///
    /// # Errors
    /// If the trial is not open.
    pub fn report(
        &mut self,
        trial: TrialId,
        mut values: Vec<(Name, Datum)>,
    ) -> Result<Verdict, AskTellError> {
        redact_values(&mut values, &self.opened.secrets);
        self.take_up(trial)?;
        self.take_model_of_report(trial, &mut values)?;
        if values.is_empty() {
            return Ok(Verdict::Continue);
        }
        let verdict = self.opened.driver.report(trial, values, None)?;
        if verdict != Verdict::Continue {
            let folder = self.take_last_records(trial)?;
            let exit = match verdict {
                Verdict::Pause => Exit::Paused,
                _ => Exit::Stopped,
            };
            self.complete_folder(trial, folder, &exit)?;
        }
        self.tend_if_due()?;
        Ok(verdict)
    }

    /// Creates a trial to be run before all others. `point` has the lines of a `[[point]]`;
    /// parameters missing from it are drawn, and floats are rounded to the digits that the sweep
    /// keeps.
    ///
    /// # Errors
    /// If the configuration is not in the space, or, unless `again`, a trial has it already.
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

    /// Returns the trial of the same configuration, if `point` determines all parameters.
    fn twin(&self, point: &Params) -> Option<TrialId> {
        swath_engine::driver::propose::twin(&self.opened.sweep.space, self.study(), point)
    }

    /// Syncs the journal and updates the table, for callers that make no call for a long time.
    ///
    /// # Errors
    /// If the journal cannot be written.
    pub fn tend(&mut self) -> Result<(), AskTellError> {
        self.tended = Instant::now();
        for trial in self.folders.trials() {
            self.take_records(trial)?;
        }
        Ok(self.opened.driver.tend()?)
    }

    /// Closes the study. Open trials wait for the next process. Returns the reason for the end.
    ///
    /// # Errors
    /// If the journal cannot be written.
    pub fn close(mut self) -> Result<Closing, AskTellError> {
        for trial in self.folders.trials() {
            let folder = self.take_last_records(trial)?;
            self.complete_folder(trial, folder, &Exit::Interrupted)?;
        }
        Ok(self.opened.driver.leave()?)
    }

    fn is_running(&self, trial: TrialId) -> bool {
        let open = self.study().trial(trial);
        open.is_some_and(|open| open.state == TrialState::Running)
    }

    /// Takes in the records that the process of a trial has appended to its folder.
    fn take_records(&mut self, trial: TrialId) -> Result<(), AskTellError> {
        let records = self.folders.records(trial);
        self.commit_records(
            trial,
            records.map_err(|source| self.unreadable(trial, source))?,
        )
    }

    /// Takes in the records of a trial so far, and the model that its next report names. The model
    /// comes before the report, which may end the trial, and has the step of the report.
    fn take_model_of_report(
        &mut self,
        trial: TrialId,
        values: &mut Vec<(Name, Datum)>,
    ) -> Result<(), AskTellError> {
        self.take_records(trial)?;
        if !values.iter().any(|(name, _)| &**name == MODEL_PATH) {
            return Ok(());
        }
        let attempt = self.study().trial(trial).map_or(0, |open| open.attempts);
        let attempt = (trial, Attempt(attempt));
        let dir = self.opened.dir().trial(trial);
        let folders = &mut self.folders;
        let records = folders.model_of_report(attempt, dir, values, &self.context);
        self.commit_records(
            trial,
            records.map_err(|source| self.unreadable(trial, source))?,
        )
    }

    /// Takes in the last records of a trial whose attempt ends.
    fn take_last_records(&mut self, trial: TrialId) -> Result<Option<End>, AskTellError> {
        let last = self.folders.last_records(trial);
        let Some((records, end)) = last.map_err(|source| self.unreadable(trial, source))? else {
            return Ok(None);
        };
        self.commit_records(trial, records)?;
        Ok(Some(end))
    }

    fn complete_folder(
        &self,
        trial: TrialId,
        folder: Option<End>,
        exit: &Exit,
    ) -> Result<(), AskTellError> {
        let Some(folder) = folder else {
            return Ok(());
        };
        let written = folder.write(exit);
        written.map_err(|source| self.unreadable(trial, source))?;
        self.opened.driver.amend_folder(trial, Some(exit));
        Ok(())
    }

    /// Commits records of a running trial. Its reports are judged; records that come after the end
    /// of the trial are dropped, as those of any attempt that has ended.
    fn commit_records(
        &mut self,
        trial: TrialId,
        records: Vec<TakenRecord>,
    ) -> Result<(), AskTellError> {
        for (record, line_end) in records {
            match record.redacted(&self.opened.secrets) {
                LogRecord::Report { values } if self.is_running(trial) => {
                    self.opened.driver.report(trial, values, line_end)?;
                }
                LogRecord::Report { .. } => {}
                record => self.opened.driver.record(trial, record, line_end)?,
            }
        }
        Ok(())
    }

    fn unreadable(&self, trial: TrialId, source: std::io::Error) -> RunError {
        let path = self.opened.dir().trial(trial);
        RunError::Keep { path, source }
    }

    fn tend_if_due(&mut self) -> Result<(), AskTellError> {
        if self.tended.elapsed() >= LAG {
            self.tend()
        } else {
            Ok(())
        }
    }

    /// Makes sure that a trial is open. Starts it again if an earlier process handed it out.
    fn take_up(&mut self, trial: TrialId) -> Result<Option<OpenTrial>, AskTellError> {
        let open = self
            .study()
            .trial(trial)
            .ok_or(AskTellError::NoSuchTrial(trial))?;
        match open.state {
            TrialState::Running => Ok(None),
            TrialState::Waiting if open.attempts > 0 => {
                Ok(Some(self.opened.driver.take_up(trial)?))
            }
            _ => Err(AskTellError::NotOpen {
                trial,
                state: open.state.word(),
                asked: open.attempts > 0,
            }),
        }
    }
}

impl Options {
    /// Returns the options for a program that uses swath as a library: the studies are in `logs`,
    /// and trials run in the current directory.
    pub fn at(logs: impl Into<std::path::PathBuf>) -> Self {
        Self {
            logs: logs.into(),
            workdir: std::env::current_dir().unwrap_or_default(),
            ..Self::default()
        }
    }
}
