//! A program as a trainable: its command, its environment, its files, and a group of processes of
//! its own.

use super::cgroups::Cgroups;
use super::guard::Guard;
use super::leaf::Leaf;
use super::output::Output;
use super::strays::{RUN, Strays};
use super::supervise::{GRACE_FOR_THE_REST, Records, Supervision, Terms, stop_file};
use super::{
    Allotment, ExecutorError, Exit, Launch, Outcome, StudyContext, Trainable, TrialContext,
    processes, usage,
};
use crate::logger::{TrialLogger, rank};
use crate::space::Name;
use crate::study::{Failure, Usage};
use regex::Regex;
use std::cell::{Cell, OnceCell};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf, absolute};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How often a program is tried again that somebody is just writing, or that another thread's child
/// still holds open.
const BUSY_TRIES: u32 = 20;

/// After a trial that was shorter, a control group would cost the next one too much: it gets one
/// when it has lived through its first nap.
const SHORT: Duration = Duration::from_millis(50);

/// Tells apart the runs of one process, so that none ends the trials of another.
static RUNS: AtomicU32 = AtomicU32::new(1);

/// Makes the command of an attempt, program first.
pub type Argv = Box<dyn Fn(&Launch) -> Vec<String> + Send + Sync>;

/// What a [`Program`] is made from.
pub struct ProgramSettings {
    /// The command. A relative path with a slash in its first word starts at the workdir, a word
    /// without is looked for on `PATH`.
    pub argv: Argv,
    /// Variables beside those that swath sets, which win.
    pub env: Vec<(String, String)>,
    /// Where it runs.
    pub workdir: PathBuf,
    /// How long it may run.
    pub trial_time: Option<Duration>,
    /// How long it has between SIGTERM and SIGKILL.
    pub grace: Duration,
    /// How often what it uses of the machine is sampled; `None`: never.
    pub system: Option<Duration>,
    /// How long `stdout.log` and `stderr.log` may become, each, in bytes.
    pub log: u64,
    /// What to look for in its output.
    pub capture: Vec<(Name, Regex)>,
    /// Whether it writes checkpoints: their folder is then made before every attempt, else only
    /// when one is to pause or go on.
    pub checkpoint: bool,
    /// The command of the [guard](super::guard::run); `None`: without one.
    pub guard: Option<Command>,
    /// What a trial may take of the machine.
    pub allotment: Allotment,
    /// A folder put at the end of the trials' PATH if there is no `swath` on it: where this very
    /// program lies.
    pub tools: Option<PathBuf>,
}

/// Runs an executable as a trial.
pub struct Program {
    argv: Argv,
    env: Vec<(String, String)>,
    workdir: PathBuf,
    terms: Terms,
    log: u64,
    capture: Vec<(Name, Regex)>,
    checkpoint: bool,
    /// What marks the processes of this run.
    run: String,
    /// The control group of the run, made with the first trial; `None` where there can be none.
    cgroups: OnceLock<Option<Cgroups>>,
    /// Whether the last trial was so short that the next one gets its group only if it is not.
    hurries: AtomicBool,
    guard: Option<Guard>,
    strays: Strays,
    nothing: File,
    allotment: Allotment,
    /// The trials' PATH, where it differs from what they would have anyway.
    longer_path: Option<OsString>,
    /// How many processes of this machine the kernel had ended for want of memory when it was last
    /// looked at.
    memory_kills: AtomicU64,
    /// The first program that was looked for on `PATH`, and where it was.
    found: OnceLock<(String, PathBuf)>,
}

/// Returns what the environment tells an attempt in folder `dir`; what has no value is not set.
#[must_use]
pub fn environment(
    study: &StudyContext,
    launch: &Launch,
    dir: &Path,
) -> Vec<(&'static str, Option<OsString>)> {
    vec![
        ("SWATH_STUDY", Some(study.name.clone().into())),
        ("SWATH_PIPELINE", Some(study.pipeline.clone().into())),
        ("SWATH_STAGE", Some(study.stage.clone().into())),
        (
            "SWATH_TRIAL",
            Some(study.stands_for.unwrap_or(launch.trial).to_string().into()),
        ),
        ("SWATH_ATTEMPT", Some(launch.attempt.to_string().into())),
        ("SWATH_TRIAL_DIR", Some(dir.into())),
        ("SWATH_PARAMS", Some(dir.join("params.json").into())),
        ("SWATH_RECORDS", Some(dir.join("records.jsonl").into())),
        ("SWATH_CHECKPOINT_DIR", Some(dir.join("checkpoints").into())),
        ("SWATH_DATA_DIR", Some(study.data_dir.join(":").into())),
        ("SWATH_SEED", Some(launch.seed.to_string().into())),
        (
            "SWATH_UNTIL",
            launch.until.map(|until| until.to_string().into()),
        ),
        ("SWATH_RESUME", launch.resume.then(|| "1".into())),
    ]
}

impl Program {
    /// Makes a trainable of a command, and this process the one that gets what its trials leave
    /// behind.
    ///
    /// # Errors
    /// If the guard cannot be started.
    pub fn new(settings: ProgramSettings) -> Result<Self, ExecutorError> {
        let ProgramSettings {
            argv,
            env,
            workdir,
            trial_time,
            grace,
            system,
            log,
            capture,
            checkpoint,
            guard,
            allotment,
            tools,
        } = settings;
        let prepare = |source| ExecutorError::Prepare { source };
        let pid = std::process::id();
        let count = RUNS.fetch_add(1, Ordering::Relaxed);
        let run = format!("{pid}-{}-{count}", processes::start_ticks(pid).unwrap_or(0));
        let path = env
            .iter()
            .find(|(name, _)| name == "PATH")
            .map(|(_, value)| OsString::from(value));
        let path = path
            .or_else(|| std::env::var_os("PATH"))
            .unwrap_or_default();
        let workdir = absolute(workdir).map_err(prepare)?;
        let longer_path = tools.and_then(|tools| with_tools(&path, tools, &workdir));
        let guard = guard
            .map(|command| Guard::start(command, &run))
            .transpose()
            .map_err(prepare)?;
        Ok(Self {
            argv,
            env,
            workdir,
            terms: Terms {
                limit: trial_time,
                grace,
                memory: allotment.memory,
                system,
            },
            allotment,
            longer_path,
            memory_kills: AtomicU64::new(usage::out_of_memory_kills()),
            log,
            capture,
            checkpoint,
            strays: Strays::new(&run),
            run,
            cgroups: OnceLock::new(),
            hurries: AtomicBool::new(false),
            guard,
            nothing: File::open("/dev/null").map_err(prepare)?,
            found: OnceLock::new(),
        })
    }

    /// Starts an attempt, or says why it cannot.
    fn spawn(&self, trial: &TrialContext, dir: &Path) -> Result<Child, String> {
        let mut words = trial.command.iter();
        let name = words.next().ok_or("the command is empty")?;
        let program = self.find(name)?;
        let log = |file| Output::open(dir, file).map_err(|error| format!("`{file}`: {error}"));
        let mut command = Command::new(&program);
        command
            .arg0(name)
            .args(words)
            .current_dir(&self.workdir)
            .process_group(0)
            .stdin(
                self.nothing
                    .try_clone()
                    .map_or_else(|_| Stdio::null(), Stdio::from),
            )
            .stdout(log("stdout.log")?)
            .stderr(log("stderr.log")?);
        self.set_environment(&mut command, trial, dir);
        let mut tries = 0;
        loop {
            match command.spawn() {
                Err(error)
                    if error.kind() == ErrorKind::ExecutableFileBusy && tries < BUSY_TRIES =>
                {
                    tries += 1;
                    std::thread::sleep(Duration::from_millis(10));
                }
                spawned => return spawned.map_err(|error| self.why_not(name, &program, &error)),
            }
        }
    }

    fn set_environment(&self, command: &mut Command, trial: &TrialContext, dir: &Path) {
        command.envs(
            self.allotment
                .variables(trial.launch.slot, |name| std::env::var_os(name).is_some()),
        );
        command
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .env(RUN, &self.run);
        if let Some(path) = &self.longer_path {
            command.env("PATH", path);
        }
        let told = environment(&trial.study, &trial.launch, dir);
        for (name, value) in told.into_iter().chain([(rank::OUTER, self.outer_ranks())]) {
            match value {
                Some(value) => command.env(name, value),
                // This process may itself run in a trial, whose variables are not for its own
                // trials.
                None => command.env_remove(name),
            };
        }
    }

    /// Returns the ranks that a trial inherits from this process or is given in the sweep file,
    /// which are not those of its own processes.
    fn outer_ranks(&self) -> Option<OsString> {
        rank::outer(|wanted| {
            let given = self.env.iter().rev().find(|(name, _)| name == wanted);
            given.map_or_else(|| std::env::var_os(wanted), |(_, value)| Some(value.into()))
        })
    }

    /// Returns the path of a program: where it is on `PATH`, or below the workdir if it has a
    /// slash.
    fn find(&self, name: &str) -> Result<PathBuf, String> {
        if name.contains('/') {
            return Ok(self.workdir.join(name));
        }
        if let Some((_, path)) = self.found.get().filter(|(known, _)| known == name) {
            return Ok(path.clone());
        }
        let given = self.env.iter().find(|(variable, _)| variable == "PATH");
        let path = given.map_or_else(
            || std::env::var_os("PATH"),
            |(_, value)| Some(OsString::from(value)),
        );
        let found = on_path(name, path.as_deref().unwrap_or_default(), &self.workdir);
        let path = found.ok_or_else(|| self.not_on_path(name))?;
        // Another slot may have been first; both found the same.
        self.found.set((name.to_owned(), path.clone())).ok();
        Ok(path)
    }

    fn not_on_path(&self, name: &str) -> String {
        if self.workdir.join(name).is_file() {
            return format!(
                "`{name}` is not on PATH; to run the file in the workdir write `./{name}`"
            );
        }
        format!(
            "`{name}` is not on PATH; install it, or write the path of a program, as in `./train.sh`"
        )
    }

    /// Says why a program could not be started and what would help.
    fn why_not(&self, name: &str, path: &Path, error: &io::Error) -> String {
        const ENOEXEC: i32 = 8;
        let workdir = self.workdir.display();
        if !self.workdir.is_dir() {
            return format!(
                "the workdir `{workdir}` does not exist or is no directory; see `workdir` in [run]"
            );
        }
        match error.kind() {
            ErrorKind::NotFound if path.exists() => format!(
                "`{name}` needs an interpreter or loader that does not exist; check its first line, `#!…`"
            ),
            ErrorKind::NotFound => format!(
                "`{name}` does not exist in `{workdir}`; check `command` in [run], or let `setup` build it"
            ),
            ErrorKind::PermissionDenied if path.is_dir() => {
                format!("`{name}` is a directory; name the program in it")
            }
            ErrorKind::PermissionDenied => {
                format!(
                    "`{name}` is not executable; `chmod +x` it, or call it by its interpreter: `sh {name}`"
                )
            }
            ErrorKind::ArgumentListTooLong => {
                format!(
                    "the command of `{name}` is too long; pass the parameters as a file with `{{params}}`"
                )
            }
            _ if error.raw_os_error() == Some(ENOEXEC) => format!(
                "`{name}` is no program for this machine; if it is a script, begin it with `#!/bin/sh` or the like"
            ),
            _ => format!("`{name}`: {error}"),
        }
    }

    /// Makes what must be there before the program is: the checkpoint folder, and no `stop` file.
    fn prepare(&self, launch: &Launch, dir: &Path) -> Result<(), String> {
        if self.checkpoint || launch.resume || launch.until.is_some() {
            let made = std::fs::create_dir_all(dir.join("checkpoints"));
            made.map_err(|error| format!("the checkpoint folder could not be made: {error}"))?;
        }
        if launch.attempt.0 > 1 {
            std::fs::remove_file(stop_file(dir)).ok();
        }
        Ok(())
    }

    fn run(
        &self,
        trial: &TrialContext,
        log: &mut TrialLogger,
        dir: &Path,
    ) -> Result<Outcome, String> {
        let resumes = trial.launch.resume;
        self.prepare(&trial.launch, dir)?;
        let records = Records::new(dir, resumes);
        let records = records.map_err(|error| format!("its records cannot be read: {error}"))?;
        let output = Output::new(dir, &self.capture, self.log, resumes);
        // Made before, so that as little time as can be lies between birth and move.
        let at_once = self.terms.memory.is_some() || !self.hurries.load(Ordering::Relaxed);
        let made = if at_once {
            self.leaf(&trial.launch, dir)
        } else {
            None
        };
        let begun = Instant::now();
        let child = self.spawn(trial, dir)?;
        let group = child.id();
        let mark = format!("SWATH_TRIAL_DIR={}", dir.display());
        let strays = || self.strays.of_trial(&mark, group);
        let take = |leaf: Option<Leaf>| leaf.filter(|leaf| leaf.take(group, strays).is_ok());
        let leaf = OnceCell::new();
        if at_once {
            leaf.get_or_init(|| take(made));
        }
        let settled = Cell::new(false);
        let settle = || {
            let place = processes::place(group);
            if let Some(guard) = &self.guard {
                guard.add(group, place.start_ticks);
            }
            trial.placed(place);
            settled.set(true);
            leaf.get_or_init(|| take(self.leaf(&trial.launch, dir)));
        };
        let seen = || leaf.get().and_then(Option::as_ref);
        let orphans = || {
            let inside = seen().map(Leaf::processes).unwrap_or_default();
            strays()
                .into_iter()
                .chain(inside.into_iter().filter(|pid| *pid != group))
                .collect()
        };
        let is_walled = seen().is_some_and(Leaf::is_walled);
        let terms = Terms {
            memory: self.terms.memory.filter(|_| !is_walled),
            ..self.terms
        };
        let supervision = Supervision::new(child, trial, log, &terms, records, output, &orphans);
        let mut outcome = supervision.run(settle);
        self.hurries
            .store(begun.elapsed() < SHORT, Ordering::Relaxed);
        if outcome.exit == Exit::Failed(Failure::Signal(SIGKILL))
            && let Some(why) = self.want_of_memory(seen())
        {
            log.warn(why);
            outcome.exit = Exit::Failed(Failure::Memory);
        }
        if !self.end_rest(&mark, leaf.into_inner().flatten(), &mut outcome) {
            log.warn("a process that the trial left behind could not be ended".to_owned());
        }
        if let Some(guard) = self.guard.as_ref().filter(|_| settled.get()) {
            guard.remove(group);
        }
        Ok(outcome)
    }
}

impl Program {
    /// Makes the control group of an attempt, where there can be one.
    fn leaf(&self, launch: &Launch, dir: &Path) -> Option<Leaf> {
        let open = || {
            let tell = |path: &Path| self.guard.iter().for_each(|guard| guard.add_cgroup(path));
            Cgroups::open(dir.parent()?, &self.run, self.terms.memory, tell)
        };
        self.cgroups.get_or_init(open).as_ref()?.leaf(launch)
    }

    /// Ends what an attempt has left, and adds to what it used; returns whether nothing is left.
    fn end_rest(&self, mark: &str, leaf: Option<Leaf>, outcome: &mut Outcome) -> bool {
        let grace = self.terms.grace.min(GRACE_FOR_THE_REST);
        let tally = leaf.map(|leaf| leaf.end(grace));
        if let Some((tally, _)) = &tally {
            let usage = &mut outcome.usage;
            // Each has what the other missed: the group what came before it was there, the leader's
            // sum who was not waited for.
            usage.cpu_seconds = usage.cpu_seconds.max(tally.cpu.as_secs_f64());
            if outcome.exit == Exit::Failed(Failure::Memory) {
                // Else it is no measure of need: files that were read count until somebody wants
                // their room.
                usage.peak_mib = usage.peak_mib.max(tally.peak as f64 / usage::MIB);
            }
        }
        // What was born before the group was there may not be in it.
        self.strays.end_of_trial(mark, grace) && tally.is_none_or(|(_, ended)| ended)
    }

    /// Returns how the kernel ended an attempt for want of memory, if it did.
    fn want_of_memory(&self, leaf: Option<&Leaf>) -> Option<String> {
        let kills = leaf.map_or(0, Leaf::out_of_memory_kills);
        if let Some(limit) = self.terms.memory.filter(|_| kills > 0) {
            // The machine's count has them too.
            self.memory_kills.fetch_add(kills, Ordering::AcqRel);
            let limit = limit.div_ceil(1 << 20);
            return Some(format!(
                "the kernel ended it as it wanted more memory: {limit} MiB is what `resources.memory` gives it"
            ));
        }
        self.memory_ran_out()
            .then(|| "the kernel ended it because the machine had no memory left".to_owned())
    }

    /// Returns whether the kernel has ended one more process for want of memory; each counts for
    /// one trial.
    fn memory_ran_out(&self) -> bool {
        let now = usage::out_of_memory_kills();
        let one_more = |seen: u64| (seen < now).then_some(seen + 1);
        self.memory_kills
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more)
            .is_ok()
    }
}

impl Trainable for Program {
    fn command(&self, launch: &Launch) -> Vec<String> {
        (self.argv)(launch)
    }

    fn train(&self, trial: &TrialContext, log: &mut TrialLogger) -> Outcome {
        let dir = match absolute(&trial.launch.dir) {
            Ok(dir) => dir,
            Err(error) => {
                return spawn_failed(format!("the trial's folder cannot be named: {error}"));
            }
        };
        let (gpus, slot) = (self.allotment.gpus.as_ref(), trial.launch.slot);
        gpus.inspect(|gpus| gpus.take(slot));
        let outcome = self.run(trial, log, &dir).unwrap_or_else(spawn_failed);
        gpus.inspect(|gpus| gpus.give_back(slot));
        outcome
    }

    fn ready(&self, slot: u32) -> Result<(), String> {
        self.allotment
            .gpus
            .as_ref()
            .map_or(Ok(()), |gpus| gpus.ready(slot))
    }

    fn close(&self) {
        let grace = self.terms.grace.min(GRACE_FOR_THE_REST);
        if let Some(Some(cgroups)) = self.cgroups.get() {
            cgroups.close(grace);
        }
        self.strays.end_of_run(grace);
    }
}

fn spawn_failed(why: String) -> Outcome {
    Outcome {
        exit: Exit::Failed(Failure::Spawn(why)),
        usage: Usage::default(),
    }
}

const SIGKILL: i32 = 9;

/// Returns `path` with the folder `tools` at its end, unless `swath` is on it already or is not in
/// that folder.
fn with_tools(path: &OsStr, tools: PathBuf, workdir: &Path) -> Option<OsString> {
    if on_path("swath", path, workdir).is_some() || !tools.join("swath").is_file() {
        return None;
    }
    std::env::join_paths(std::env::split_paths(path).chain([tools])).ok()
}

/// Looks for an executable in the directories of `path`; relative ones start at the workdir, as
/// they will for the program.
fn on_path(name: &str, path: &OsStr, workdir: &Path) -> Option<PathBuf> {
    use rustix::fs::{Access, access};
    std::env::split_paths(path)
        .map(|dir| workdir.join(dir).join(name))
        .find(|candidate| candidate.is_file() && access(candidate, Access::EXEC_OK).is_ok())
}
