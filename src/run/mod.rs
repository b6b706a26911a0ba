//! From a checked sweep to a closed study: what `swath run` and a program with a closure share.
//!
//! [`open`] takes the study's lock, keeps the sweep file and what the machine was, and absorbs the
//! journal; [`Opened::setup`] runs `[run] setup` once; [`Opened::run`] drives the trials in a pool.

pub mod ask_tell;
mod checkup;
mod code;
pub mod import;
mod inquiry;
mod keep;
mod plan;
mod pool;
mod rebuild;
mod record;
pub mod rerun;
mod resources;
mod setup;
pub mod verify;
mod versions;

pub use ask_tell::{AskTell, AskTellError};
pub use checkup::checkup;
pub use code::{CodeError, check_out};
pub use plan::{Planned, plan};
pub use rebuild::{RebuildError, rebuild};
pub use resources::ResourceError;
pub use setup::SetupError;
pub use versions::{VersionError, Versions};

use crate::driver::{Driver, DriverError, Interrupt, Listener, Parts};
use crate::executor::pilot::pilots_left;
use crate::executor::{Executor, ExecutorError, Pool, Trainable};
use crate::journal::StudyDir;
use crate::provenance::{Environment, Git, Machine};
use crate::study::kind::Capability;
use crate::study::{Closing, Header, Study, Timestamp, TrialId};
use crate::sweep::{Plan, Rejected, Sweep};
use crate::tracker::Tracker;
use crate::tracker::recorder::Stale;
use code::Version;
use inquiry::Inquiry;
use resources::Shares;
use std::borrow::Cow;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

/// Where a sweep runs.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The folder of all studies.
    pub logs: PathBuf,
    /// Where the run was called, and where trials run unless the sweep file says otherwise.
    pub workdir: PathBuf,
    /// How many trials at a time; `None`: as the sweep file says.
    pub jobs: Option<usize>,
    /// The GPUs to use, as their driver calls them; `None`: all there are.
    pub gpus: Option<Vec<String>>,
    /// How long the run may take; running again continues. `None`: as long as the sweep file says.
    pub time: Option<Duration>,
    /// The command line, for the record.
    pub command_line: Vec<String>,
}

/// A study that is ours to run.
pub struct Opened<'a> {
    sweep: Cow<'a, Sweep>,
    options: Options,
    environment: Environment,
    notice: Option<String>,
    /// The trial of another study that the trial of this one repeats.
    stands_for: Option<TrialId>,
    dir: StudyDir,
    driver: Driver<'a>,
    shares: Shares,
    trackers: Vec<(String, Box<dyn Tracker>)>,
}

/// Why a sweep could not be run to its end.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A part of the sweep file cannot be built.
    #[error("the sweep file was rejected")]
    Rejected(Box<Rejected>),
    /// The machine cannot give what the trials want.
    #[error(transparent)]
    Resources(#[from] ResourceError),
    /// The study could not be opened or written.
    #[error(transparent)]
    Driver(#[from] DriverError),
    /// `[run] setup` failed.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// Trials cannot run the version of the code that was asked for.
    #[error(transparent)]
    Code(#[from] CodeError),
    /// The executor could not be made.
    #[error(transparent)]
    Executor(#[from] ExecutorError),
    /// A file of the study could not be written.
    #[error("`{path}` could not be written")]
    Keep {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// Opens the study of a sweep, making it if there is none.
///
/// # Errors
/// If somebody else runs it, or it cannot be read or written.
pub fn open(sweep: &Sweep, options: Options) -> Result<Opened<'_>, RunError> {
    let dir = StudyDir::new(&options.logs, &sweep.name);
    let machine = Machine::here();
    let version = Version::of(sweep, &options, &dir)?;
    let Built {
        parts,
        trackers,
        shares,
    } = build(&version, &options, &dir, &machine)?;
    if !parts.elsewhere
        && let Some(left) = pilots_left(dir.root())
    {
        return Err(left.into());
    }
    let holder = machine.holder(Timestamp::now());
    let driver = Driver::open(dir.clone(), parts, &holder, Box::new(Timestamp::now))?;
    let notice = version.make()?;
    let Version { sweep, git, .. } = version;
    let environment = keep::keep(
        &dir,
        &sweep,
        &options,
        machine,
        git,
        driver.study().next_seq(),
    )?;
    Ok(Opened {
        sweep,
        options,
        environment,
        notice,
        stands_for: None,
        dir,
        driver,
        shares,
        trackers,
    })
}

/// What a sweep becomes on this machine.
struct Built {
    parts: Parts,
    trackers: Vec<(String, Box<dyn Tracker>)>,
    shares: Shares,
}

fn build(
    version: &Version<'_>,
    options: &Options,
    dir: &StudyDir,
    machine: &Machine,
) -> Result<Built, RunError> {
    let sweep = &*version.sweep;
    let shares = resources::share(sweep, options, machine)?;
    let slots = shares.slots;
    let Plan {
        sampler,
        scheduler,
        trackers,
    } = sweep
        .build(slots, Some(dir.root()))
        .map_err(|rejected| RunError::Rejected(Box::new(rejected)))?;
    let parts = Parts {
        header: header(sweep, version.git.as_ref(), slots),
        space: sweep.space.clone(),
        points: points(sweep),
        sampler_name: sweep.sampler.name.clone(),
        sampler,
        scheduler,
        limits: crate::driver::Limits {
            time: sweep.limits.time,
            run_time: options.time,
            failures: sweep.limits.failures,
            disk: sweep.limits.disk,
            quick_failures: sweep.limits.quick_failures,
        },
        retry: crate::driver::Retry {
            times: sweep.retry.times,
            on: sweep.retry.on.clone(),
            backoff: sweep.retry.backoff.clone(),
            max_backoff: sweep.retry.max_backoff,
        },
        workdir: options
            .workdir
            .join(sweep.run.workdir.clone().unwrap_or_default()),
        keep: sweep.run.keep,
        models: sweep.run.models,
        clones: sweep.scheduler.can(Capability::Clones),
        grace: sweep.run.grace,
        elsewhere: sweep.site().is_some_and(|site| site.outlives()),
    };
    Ok(Built {
        parts,
        trackers,
        shares,
    })
}

impl<'a> Opened<'a> {
    /// Returns the study's folder.
    #[must_use]
    pub fn dir(&self) -> &StudyDir {
        &self.dir
    }

    /// Returns what is known of the study.
    #[must_use]
    pub fn study(&self) -> &Study {
        self.driver.study()
    }

    /// Returns what a person should know of the code that trials run.
    #[must_use]
    pub fn notice(&self) -> Option<&str> {
        self.notice.as_deref()
    }

    /// Returns whether there is nothing left to run.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.driver.is_finished()
    }

    /// Returns how long all runs of the study have taken so far.
    #[must_use]
    pub fn used(&self) -> Duration {
        self.driver.used()
    }

    /// Returns whether `limits.time` is used up, so that a run would start nothing.
    #[must_use]
    pub fn is_out_of_time(&self) -> bool {
        self.driver.is_out_of_time()
    }

    /// Tells `listener` of everything from now on.
    pub fn listen(&mut self, listener: Box<dyn Listener + 'a>) {
        self.driver.listen(listener);
    }

    /// Returns where trials run.
    #[must_use]
    pub fn workdir(&self) -> PathBuf {
        self.options
            .workdir
            .join(self.sweep.run.workdir.clone().unwrap_or_default())
    }

    /// Runs `[run] setup`, if there is one. Its output goes where `swath`'s standard error goes.
    ///
    /// # Errors
    /// If it cannot be started or fails.
    pub fn setup(&self) -> Result<(), RunError> {
        Ok(setup::run(
            &self.sweep.run.setup,
            &self.sweep.run.env,
            &self.workdir(),
        )?)
    }

    /// Starts to keep `trials.csv` and what other trackers write. Each that becomes stale is told
    /// once to `stale`.
    ///
    /// # Errors
    /// If no thread can be started.
    pub fn record(&mut self, stale: impl FnMut(Stale) + 'a) -> Result<(), RunError> {
        let trackers = std::mem::take(&mut self.trackers);
        let recording = record::Recording::start(
            &self.dir,
            self.study().next_seq(),
            trackers,
            Box::new(stale),
        );
        let recording = recording.map_err(|source| RunError::Keep {
            path: self.dir.trackers(),
            source,
        })?;
        self.driver.listen(Box::new(recording));
        Ok(())
    }

    /// Lets the trackers of a study that is finished write what they could not while it ran: a
    /// server may have been away.
    ///
    /// # Errors
    /// If no thread can be started.
    pub fn catch_up(&mut self, stale: impl FnMut(Stale)) -> Result<(), RunError> {
        let trackers = std::mem::take(&mut self.trackers);
        if trackers.is_empty() {
            return Ok(());
        }
        let late = record::catch_up(&self.dir, self.study(), trackers);
        let late = late.map_err(|source| RunError::Keep {
            path: self.dir.trackers(),
            source,
        })?;
        late.into_iter().for_each(stale);
        Ok(())
    }

    /// Makes the executor that runs the sweep's command. `guard` is the command of the process that
    /// ends the trials if theirs is killed.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn programs(&self, guard: Option<Command>) -> Result<Box<dyn Executor>, RunError> {
        let called = self.options.workdir.clone();
        let work = pool::work(
            &self.sweep,
            &self.dir,
            called,
            self.workdir(),
            &self.shares,
            self.stands_for,
            guard,
        );
        // A trial that is run again is so here, wherever it ran.
        let site = match self.stands_for {
            Some(_) => Some(crate::executor::here()),
            None => self.sweep.site(),
        };
        Ok(site.ok_or(ExecutorError::NoSite)?.open(work)?)
    }

    /// Makes a pool that runs a function.
    ///
    /// # Errors
    /// If its threads cannot be started.
    pub fn functions(&self, trainable: Arc<dyn Trainable>) -> Result<Pool, RunError> {
        Ok(pool::functions(
            &self.sweep,
            &self.dir,
            self.workdir(),
            self.shares.slots,
            trainable,
        )?)
    }

    /// Runs trials until there is nothing left to do or somebody interrupts.
    ///
    /// # Errors
    /// If the journal or the executor fails; the study can then be run again.
    pub fn run(
        &mut self,
        executor: &mut dyn Executor,
        interrupt: &Interrupt,
    ) -> Result<Closing, RunError> {
        let since = self.study().next_seq();
        let inquiry = Inquiry::begin(
            &self.dir,
            &self.sweep,
            &self.options,
            &self.environment,
            since,
        );
        let closing = self.driver.run(executor, interrupt)?;
        inquiry.end();
        Ok(closing)
    }
}

/// Returns the points to try first: those of the sweep file, then the one that the `default`s make.
#[must_use]
pub fn points(sweep: &Sweep) -> Vec<crate::space::Params> {
    let defaults = sweep.space.defaults();
    let mut points = sweep.points.clone();
    if !defaults.is_empty() && !points.contains(&defaults) {
        points.push(defaults);
    }
    points
}

/// Returns what readers of the journal need to know of a sweep.
#[must_use]
pub fn header(sweep: &Sweep, git: Option<&Git>, slots: usize) -> Header {
    Header {
        swath: env!("CARGO_PKG_VERSION").to_owned(),
        name: sweep.name.clone(),
        pipeline: sweep.pipeline.clone(),
        stage: sweep.stage.clone(),
        seed: sweep.seed,
        sweep: sweep.digest.clone(),
        objectives: sweep.objectives.clone(),
        params: sweep.space.names(),
        trials: sweep.trials,
        slots: u32::try_from(slots).unwrap_or(u32::MAX),
        resource: sweep.resource.clone(),
        limits: sweep.outcome_limits.clone(),
        replicate: sweep.replicate,
        git_commit: git.map(Git::describe),
        code_patch: git.and_then(|git| git.patch_md5.clone()),
    }
}

/// Runs a sweep whose trials are programs, without a word: for programs that use swath as a
/// library, with kinds of their own for example. `[run] setup` runs first.
///
/// # Errors
/// As [`open`], [`Opened::setup`] and [`Opened::run`].
pub fn programs(sweep: &Sweep, options: Options) -> Result<Study, RunError> {
    let mut opened = open(sweep, options)?;
    opened.setup()?;
    opened.record(drop)?;
    let mut executor = opened.programs(None)?;
    opened.run(&mut *executor, &Interrupt::default())?;
    Ok(opened.study().clone())
}

/// Runs a sweep with a function as its trainable, without a word: for programs that use swath as a
/// library.
///
/// # Errors
/// As [`open`] and [`Opened::run`].
pub fn closure<F>(sweep: &Sweep, options: Options, function: F) -> Result<Study, RunError>
where
    F: Fn(
            &crate::executor::TrialContext,
            &mut crate::logger::TrialLogger,
        ) -> Result<(), crate::executor::TrialError>
        + Send
        + Sync
        + 'static,
{
    let mut opened = open(sweep, options)?;
    opened.record(drop)?;
    let mut pool = opened.functions(Arc::new(crate::executor::Closure(function)))?;
    opened.run(&mut pool, &Interrupt::default())?;
    Ok(opened.study().clone())
}
