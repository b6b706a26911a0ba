//! Running a sweep, from the checked sweep file to the closed study. `swath run` and programs that
//! use swath as a library share this module.
//!
//! [`open`] takes the study's lock, stores the sweep file and a description of the machine, and
//! absorbs the journal; [`Opened::setup`] runs `[run] setup` once; [`Opened::run`] drives the
//! trials in an executor.

pub mod ask_tell;
mod checkup;
mod code;
mod folders;
pub mod follow;
mod hidden;
mod imports;
mod inquiry;
mod keep;
mod plan;
mod pool;
mod rebuild;
mod record;
pub mod rerun;
mod resources;
mod setup;
mod sources;
pub mod verify;
mod versions;
mod work;

pub use ask_tell::{AskTell, AskTellError};
pub use checkup::checkup;
pub use code::{CodeError, check_out};
pub use plan::{Bound, Estimate, Outlook, Planned, Use, plan};
pub use pool::{example_command, parameter_arguments};
pub use rebuild::{RebuildError, rebuild};
pub use resources::ResourceError;
pub use setup::{SetupEnd, SetupError};
pub use swath_engine::driver::{Offer, OpenTrial};
pub use versions::{VersionError, Versions};
pub use work::{WorkError, WorkPlan, default_work_plan, work_plan};

use crate::sweep::{Plan, Rejected, Sweep};
use code::Version;
use follow::{Named, Stale};
use inquiry::Inquiry;
use resources::Shares;
use sources::Implied;
use std::borrow::Cow;
use std::cell::OnceCell;
use std::path::PathBuf;
use std::process::Command;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use swath_cluster::pilot::pilots_left;
use swath_engine::driver::{
    Driver, DriverError, Goals, Interrupt, Listener, Parts, Recaptured, Spending, propose,
};
use swath_engine::executor::{Executor, ExecutorError, Pool, SourceRun, Sources, Trainable};
use swath_engine::journal::StudyDir;
use swath_engine::provenance::variables;
use swath_engine::provenance::{Environment, Git, Machine};
use swath_model::source::secret::Secrets;
use swath_model::source::variables::Unset;
use swath_model::space::Params;
use swath_model::study::kind::Capability;
use swath_model::study::{Closing, Header, Study, Timestamp, TrialId};
use swath_search::sampler::Sampler;
use swath_search::scheduler::TrialScheduler;

/// Options of a run that the sweep file does not contain.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The folder that contains all studies.
    pub logs: PathBuf,
    /// The directory in which the run was called. Trials run there unless the sweep file names
    /// another one.
    pub workdir: PathBuf,
    /// The number of trials to run at a time; `None`: as in the sweep file.
    pub jobs: Option<usize>,
    /// The GPUs to use, by the names of their driver; `None`: all of the machine.
    pub gpus: Option<Vec<String>>,
    /// The maximum duration of this run; a new run continues. `None`: no limit other than those of
    /// the sweep file.
    pub time: Option<Duration>,
    /// Whether to start no trials but the further seeds that a user asked for. The goals of the
    /// sweep do not end such a run.
    pub only_reruns: bool,
    /// The command line, to be recorded.
    pub command_line: Vec<String>,
}

/// A study whose lock this process holds, ready to run.
pub struct Opened<'a> {
    sweep: Cow<'a, Sweep>,
    options: Options,
    environment: Environment,
    notice: Option<String>,
    /// Secrets that no record shows.
    secrets: Secrets,
    /// The trial of another study that the trial of this study repeats; `None` in an ordinary
    /// study.
    stands_for: Option<TrialId>,
    dir: StudyDir,
    driver: Driver<'a>,
    shares: Shares,
    trackers: Vec<Named>,
    sources: Sources,
    /// The requests to end the run, once it has begun.
    interrupt: Rc<OnceCell<Interrupt>>,
}

/// An error that prevents a sweep from running to its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// A part of the sweep file cannot be built, for example a tracker.
    #[error("the sweep file was rejected")]
    Rejected(Box<Rejected>),
    /// The machine cannot provide the requested resources.
    #[error(transparent)]
    Resources(#[from] ResourceError),
    /// The study could not be opened or written.
    #[error(transparent)]
    Driver(#[from] DriverError),
    /// The command in `[run] setup` failed.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// A variable of the caller that the sweep file names is not set.
    #[error(transparent)]
    Unset(#[from] Unset),
    /// Trials cannot run the version of the code that `[run] code` demands.
    #[error(transparent)]
    Code(#[from] CodeError),
    /// Trials cannot have private working directories.
    #[error(transparent)]
    Work(#[from] WorkError),
    /// The executor could not be created.
    #[error(transparent)]
    Executor(#[from] ExecutorError),
    /// A file of the study, or the thread of a tracker, could not be created.
    #[error("`{path}` could not be written")]
    Keep {
        /// The path of the file or folder.
        path: PathBuf,
        /// The error of the operating system.
        #[source]
        source: std::io::Error,
    },
}

/// Opens the study of a sweep, creating it if there is none.
///
/// # Errors
/// If another process runs it, it cannot be read or written, or the machine or the code do not
/// permit a run.
pub fn open(sweep: &Sweep, options: Options) -> Result<Opened<'_>, RunError> {
    let dir = StudyDir::new(&options.logs, &sweep.name);
    let machine = Machine::here();
    let (mut sweep, secrets) = hidden::fill(Cow::Borrowed(sweep))?;
    let mut notices = Vec::new();
    match sources::implied(&sweep, &workdir(&sweep, &options)) {
        Some(Implied::Source(source)) => sweep.to_mut().sources.push(source),
        Some(Implied::LeftAlone(notice)) => notices.push(notice),
        None => {}
    }
    let version = Version::of(sweep, &options, &dir, &secrets)?;
    let Built {
        parts,
        trackers,
        sources,
        shares,
    } = build(&version, &options, &dir, &machine)?;
    // Pilots of an earlier run, under an executor that outlives its driver, may still run trials.
    if !parts.elsewhere
        && let Some(left) = pilots_left(dir.root())
    {
        return Err(left.into());
    }
    if version.sweep.run.private {
        keep::make_private(&dir)?;
    }
    let holder = machine.holder(Timestamp::now());
    let own_workdir = parts.own_workdir.clone();
    let driver = Driver::open(dir.clone(), parts, &holder, Box::new(Timestamp::now))?;
    // The clone is made only under the lock.
    notices.extend(version.make()?);
    let Version { sweep, git, .. } = version;
    let sweep = with_configs(sweep, &options)?;
    let environment = keep::keep(
        &dir,
        &sweep,
        &options,
        machine,
        (git, own_workdir),
        driver.study().next_seq(),
    )?;
    notices.extend(sources.begin_run(&SourceRun {
        study: dir.root(),
        env: &sweep.run.env,
    }));
    Ok(Opened {
        notice: (!notices.is_empty()).then(|| notices.join("\n")),
        sweep,
        options,
        environment,
        secrets,
        stands_for: None,
        dir,
        driver,
        shares,
        trackers,
        sources,
        interrupt: Rc::default(),
    })
}

/// The parts of a sweep, built for this machine.
struct Built {
    parts: Parts,
    trackers: Vec<Named>,
    sources: Sources,
    shares: Shares,
}

/// Builds the parts of a sweep for this machine.
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
        sources,
    } = sweep
        .build(slots, Some(dir.root()))
        .map_err(|rejected| RunError::Rejected(Box::new(rejected)))?;
    let header = header(sweep, version.git.as_ref(), slots);
    let plan = work_plan(sweep, options)?;
    let parts = parts(sweep, header, sampler, scheduler);
    let parts = Parts {
        run_time: options.time,
        workdir: workdir(sweep, options),
        own_workdir: plan.as_ref().map(|plan| plan.files.workdir()),
        sources: sources.clone(),
        watched: work::watched(sweep, options, plan.as_ref()),
        only_reruns: options.only_reruns,
        goals: if options.only_reruns {
            Goals::default()
        } else {
            parts.goals
        },
        ..parts
    };
    let trackers = trackers
        .into_iter()
        .map(|(name, tracker)| Named { name, tracker })
        .collect();
    Ok(Built {
        parts,
        trackers,
        sources,
        shares,
    })
}

impl<'a> Opened<'a> {
    /// Returns the study's folder.
    #[must_use]
    pub fn dir(&self) -> &StudyDir {
        &self.dir
    }

    /// Returns the secrets that no record shows.
    #[must_use]
    pub fn secrets(&self) -> &Secrets {
        &self.secrets
    }

    /// Returns the state of the study, up to the last committed event.
    #[must_use]
    pub fn study(&self) -> &Study {
        self.driver.study()
    }

    /// Returns messages about the run, one a line, if there are any: about the code that trials run
    /// (for example about uncommitted changes that a clone lacks), and about sources.
    #[must_use]
    pub fn notice(&self) -> Option<&str> {
        self.notice.as_deref()
    }

    /// Returns where reports come from, if sources are in use; for people.
    #[must_use]
    pub fn reporters(&self) -> Option<String> {
        let run = SourceRun {
            study: self.dir.root(),
            env: &self.sweep.run.env,
        };
        let sources = self.sources.about(&run);
        let sources: Vec<_> = sources
            .map(|(name, about)| format!("{about} (source `{name}`)"))
            .collect();
        if sources.is_empty() {
            return None;
        }
        let sources = sources.join(", then ");
        Some(match self.sources.output_decides() {
            true => format!(
                "reports come from the program's records, then from its output by `[capture]`; metrics \
                 from {sources}"
            ),
            false => format!("reports come from the program's records, else from {sources}"),
        })
    }

    /// Creates a trial to be run before all others. Parameters missing from `given` are drawn.
    /// Returns `None` if the space admits no such configuration, or a trial has it already.
    ///
    /// # Errors
    /// If the journal cannot be written.
    pub fn add(&mut self, given: &Params) -> Result<Option<TrialId>, RunError> {
        if propose::twin(&self.sweep.space, self.study(), given).is_some() {
            return Ok(None);
        }
        Ok(self.driver.add(given)?)
    }

    /// Returns whether a run would have nothing to do.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.driver.is_finished()
    }

    /// Returns the time used by all runs of the study so far.
    #[must_use]
    pub fn used(&self) -> Duration {
        self.driver.used()
    }

    /// Returns the reason why a run would start no trial: a budget of the sweep is used up, or a
    /// goal is reached.
    #[must_use]
    pub fn spent_budget(&self) -> Option<Closing> {
        self.driver.spent_budget()
    }

    /// Reads the outputs of trials again that ended well without an objective, with the patterns
    /// and the objectives of the sweep file, and ends this use of the study.
    ///
    /// # Errors
    /// If the journal cannot be read or written.
    pub fn recapture(&mut self, trials: &[TrialId]) -> Result<Vec<Recaptured>, RunError> {
        let recaptured = self.driver.recapture(trials, &self.sweep.capture)?;
        self.driver.leave()?;
        Ok(recaptured)
    }

    /// Creates `seeds` further trials of each of some configurations, which the next run starts.
    ///
    /// # Errors
    /// If the journal cannot be written.
    pub fn rerun(&mut self, configurations: &[TrialId], seeds: u32) -> Result<(), RunError> {
        Ok(self.driver.rerun(configurations, seeds)?)
    }

    /// Registers `listener` for all further entries and messages.
    pub fn listen(&mut self, listener: Box<dyn Listener + 'a>) {
        self.driver.listen(listener);
    }

    /// Returns the working directory of the trials.
    #[must_use]
    pub fn workdir(&self) -> PathBuf {
        workdir(&self.sweep, &self.options)
    }

    /// Runs the command in `[run] setup`, if there is one. Its output goes to `setup.log` in the
    /// study's folder and to the standard error of this process. `interrupt` and `swath stop` end
    /// it. `guard` is the command of the process that ends it if this process is killed.
    ///
    /// # Errors
    /// If the command cannot be started or fails.
    pub fn setup(
        &self,
        guard: Option<Command>,
        interrupt: &Interrupt,
    ) -> Result<SetupEnd, RunError> {
        let workdir = self.workdir();
        Ok(setup::run(
            &self.sweep,
            &self.dir,
            &workdir,
            guard,
            interrupt,
        )?)
    }

    /// Starts to write `trials.csv` and to feed the trackers of the sweep file. `stale` is called
    /// once for each tracker that has become stale.
    ///
    /// # Errors
    /// If no thread can be started.
    pub fn record(&mut self, stale: impl FnMut(Stale) + 'a) -> Result<(), RunError> {
        let trackers = std::mem::take(&mut self.trackers);
        let interrupt = Rc::clone(&self.interrupt);
        let recording = record::Recording::start(&self.dir, trackers, interrupt, Box::new(stale));
        let recording = recording.map_err(|source| RunError::Keep {
            path: self.dir.trackers(),
            source,
        })?;
        self.driver.listen(Box::new(recording));
        Ok(())
    }

    /// Lets the trackers of a finished study write the entries that they missed while it ran, for
    /// example because a server was not reachable. `stale` is called for each tracker that is stale
    /// at the end.
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

    /// Returns the executor that runs the sweep's command, and lets the driver run the preparations
    /// that trials share. `guard` is the command of the process
    /// that ends the trials if this process is killed.
    ///
    /// # Errors
    /// If the executor cannot be created.
    pub fn programs(&mut self, guard: Option<Command>) -> Result<Box<dyn Executor>, RunError> {
        let preparer = pool::preparer(
            &self.sweep,
            &self.dir,
            self.workdir(),
            &self.shares,
            guard.as_ref().map(copy_of),
        )?;
        if let Some(preparer) = preparer {
            self.driver.prepare_with(Box::new(preparer));
        }
        let called = self.options.workdir.clone();
        // The setup may have built what the command names, so the files are found only now.
        let plan = work_plan(&self.sweep, &self.options)?;
        let mut work = pool::work(
            &self.sweep,
            &self.dir,
            (called, self.workdir()),
            plan.map(|plan| plan.files),
            &self.shares,
            self.stands_for,
            guard,
        );
        work.program.sources = self.sources.clone();
        // Repeats always run on this machine, wherever the original ran.
        let site = match self.stands_for {
            Some(_) => Some(swath_engine::executor::here()),
            None => self.sweep.site(),
        };
        Ok(site.ok_or(ExecutorError::NoSite)?.open(work)?)
    }

    /// Returns a pool of threads that runs a function.
    ///
    /// # Errors
    /// If the threads cannot be started.
    pub fn functions(&self, trainable: Arc<dyn Trainable>) -> Result<Pool, RunError> {
        Ok(pool::functions(
            &self.sweep,
            &self.dir,
            self.workdir(),
            self.shares.slots,
            trainable,
        )?)
    }

    /// Runs trials until none is left to run, a limit is reached, or the run is interrupted.
    /// Returns the reason for the end.
    ///
    /// # Errors
    /// If the journal or the executor fails; the study can then be run again.
    pub fn run(
        &mut self,
        executor: &mut dyn Executor,
        interrupt: &Interrupt,
    ) -> Result<Closing, RunError> {
        let _ = self.interrupt.set(interrupt.clone());
        let since = self.study().next_seq();
        // Digests and versions are recorded while the trials run, because finding them takes long.
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

/// Returns a command with the same program and arguments.
fn copy_of(command: &Command) -> Command {
    let mut copy = Command::new(command.get_program());
    copy.args(command.get_args());
    copy
}

/// Returns the parts of a sweep with its built sampler and scheduler. The run has no limit of
/// its own, and trials run in the workdir as the sweep file writes it.
#[must_use]
pub fn parts(
    sweep: &Sweep,
    header: Header,
    sampler: Box<dyn Sampler>,
    scheduler: Box<dyn TrialScheduler>,
) -> Parts {
    Parts {
        header,
        space: Arc::clone(&sweep.space),
        points: points(sweep),
        sampler_name: sweep.sampler.name.clone(),
        sampler,
        scheduler,
        limits: sweep.limits,
        goals: Goals {
            targets: sweep.targets.clone(),
            patience: sweep.patience,
        },
        spending: Spending {
            gpus: sweep.resources.gpus.unwrap_or_default(),
            ..sweep.spending
        },
        only_reruns: false,
        run_time: None,
        retry: sweep.retry.clone(),
        preparations: sweep
            .preparations
            .iter()
            .map(|preparation| preparation.plan.clone())
            .collect(),
        workdir: sweep.run.workdir.clone().unwrap_or_default(),
        secrets: variables::secrets(&sweep.run.env, &sweep.run.secret_env),
        own_workdir: None,
        watched: None,
        sources: Sources::default(),
        keep: sweep.run.keep,
        models: sweep.run.models,
        clones: sweep.scheduler.can(Capability::Clones),
        grace: sweep.run.grace,
        elsewhere: sweep.site().is_some_and(|site| site.outlives()),
    }
}

/// Returns the points to try first: those of the sweep file, then the one made of the `default`s.
fn points(sweep: &Sweep) -> Vec<Params> {
    let defaults = sweep.space.defaults();
    let mut points = sweep.points.clone();
    if !defaults.is_empty() && !points.contains(&defaults) {
        points.push(defaults);
    }
    points
}

/// Returns the working directory of the trials.
fn workdir(sweep: &Sweep, options: &Options) -> PathBuf {
    options
        .workdir
        .join(sweep.run.workdir.clone().unwrap_or_default())
}

/// Reads the configuration files of a sweep, from the folder in which its trials run.
fn with_configs<'a>(
    mut sweep: Cow<'a, Sweep>,
    options: &Options,
) -> Result<Cow<'a, Sweep>, RunError> {
    if !sweep.run.configs.is_empty() {
        let folder = workdir(&sweep, options);
        sweep
            .to_mut()
            .read_configs(&folder)
            .map_err(|rejected| RunError::Rejected(Box::new(rejected)))?;
    }
    Ok(sweep)
}

/// Returns the facts about a sweep that readers of its journal need.
#[must_use]
pub fn header(sweep: &Sweep, git: Option<&Git>, slots: usize) -> Header {
    Header {
        swath: env!("CARGO_PKG_VERSION").to_owned(),
        // The journal gives the study its id when it begins.
        id: None,
        name: sweep.name.clone(),
        pipeline: sweep.pipeline.clone(),
        stage: sweep.stage.clone(),
        seed: sweep.seed,
        sweep: sweep.digest.clone(),
        objectives: sweep.objectives.clone(),
        params: sweep.space.names(),
        trials: sweep.trials,
        raised_from: None,
        exempts_invalid: !sweep.count_invalid,
        slots: u32::try_from(slots).unwrap_or(u32::MAX),
        resource: sweep.resource.clone(),
        limits: sweep.outcome_limits.clone(),
        price: sweep.price.clone(),
        replicate: sweep.replicate,
        git_commit: git.map(Git::describe),
        code_patch: git.and_then(|git| git.patch_md5.clone()),
    }
}

/// Runs a sweep whose trials are programs, without any output: for programs that use swath as a
/// library, for example with kinds of their own. Runs `[run] setup` first, and returns the study at
/// its end.
///
/// # Errors
/// As [`open`], [`Opened::setup`] and [`Opened::run`].
pub fn programs(sweep: &Sweep, options: Options) -> Result<Study, RunError> {
    let mut opened = open(sweep, options)?;
    let interrupt = Interrupt::default();
    if opened.setup(None, &interrupt)? == SetupEnd::Interrupted {
        return Ok(opened.study().clone());
    }
    opened.record(drop)?;
    let mut executor = opened.programs(None)?;
    opened.run(&mut *executor, &interrupt)?;
    Ok(opened.study().clone())
}

/// Runs a sweep with a function as its trainable, without any output: for programs that use swath
/// as a library. Returns the study at its end.
///
/// # Errors
/// As [`open`] and [`Opened::run`].
pub fn closure<F>(sweep: &Sweep, options: Options, function: F) -> Result<Study, RunError>
where
    F: Fn(
            &swath_engine::executor::TrialContext,
            &mut swath_log::TrialLogger,
        ) -> Result<(), swath_engine::executor::TrialError>
        + Send
        + Sync
        + 'static,
{
    let mut opened = open(sweep, options)?;
    opened.record(drop)?;
    let mut pool = opened.functions(Arc::new(swath_engine::executor::Closure(function)))?;
    opened.run(&mut pool, &Interrupt::default())?;
    Ok(opened.study().clone())
}
