//! A program as a trainable: its command line, its environment, its log files and its process
//! group.

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
use serde::{Deserialize, Serialize};
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

/// Number of retries when the program file is busy: another process is still writing it, or a child
/// of another thread still holds it open for writing.
const BUSY_TRIES: u32 = 20;

/// Run time below which creating a cgroup is too expensive. After such a short trial, the next one
/// gets a cgroup only once it has lived through its first poll interval.
const SHORT: Duration = Duration::from_millis(50);

/// Distinguishes several runs of one process, so that no run ends the trials of another.
static RUNS: AtomicU32 = AtomicU32::new(1);

/// Function that returns the command line of an attempt, program first.
pub type Argv = Box<dyn Fn(&Launch) -> Vec<String> + Send + Sync>;

/// Settings from which a [`Program`] is made.
pub struct ProgramSettings {
    /// Command line. A first word with a slash is a path, relative to the workdir; a word without a
    /// slash is searched on `PATH`.
    pub argv: Argv,
    /// Environment and limits of the program.
    pub spec: ProgramSpec,
    /// Command line of the [guard](super::guard::run); `None` to run without a guard.
    pub guard: Option<Command>,
    /// Resources of each slot.
    pub allotment: Allotment,
    /// Folder of this very executable, appended to the `PATH` of trials if no `swath` is on it.
    pub tools: Option<PathBuf>,
}

/// Environment and limits of a program: the settings that are the same on every machine. Pilots read
/// them from a file.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ProgramSpec {
    /// Additional variables of the environment. The variables that swath sets override them.
    pub env: Vec<(String, String)>,
    /// Working directory of the program.
    pub workdir: PathBuf,
    /// Longest run time of an attempt; `None` for no limit.
    pub trial_time: Option<Duration>,
    /// Grace period between SIGTERM and SIGKILL.
    pub grace: Duration,
    /// Interval between two samples of system usage; `None` for no samples.
    #[serde(default)]
    pub system: Option<Duration>,
    /// Longest length of `stdout.log` and of `stderr.log`, in bytes each.
    pub log: u64,
    /// Metrics to search in the output, each with its pattern.
    #[serde(with = "patterns")]
    pub capture: Vec<(Name, Regex)>,
    /// Whether the program writes checkpoints. If so, their folder is created before every attempt,
    /// otherwise only for attempts that may pause or that resume.
    pub checkpoint: bool,
}

/// The patterns of `[capture]` in a file: as their texts.
mod patterns {
    use crate::space::Name;
    use regex::Regex;
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(
        capture: &[(Name, Regex)],
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.collect_seq(capture.iter().map(|(name, regex)| (name, regex.as_str())))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Vec<(Name, Regex)>, D::Error> {
        let texts = Vec::<(Name, String)>::deserialize(from)?;
        let compile = |(name, text): (Name, String)| match Regex::new(&text) {
            Ok(regex) => Ok((name, regex)),
            Err(_) => Err(D::Error::custom(format!(
                "the pattern of `{name}` in [capture] cannot be used here"
            ))),
        };
        texts.into_iter().map(compile).collect()
    }
}

/// Trainable that runs a program for each trial.
pub struct Program {
    argv: Argv,
    spec: ProgramSpec,
    terms: Terms,
    /// Mark of this run in the environment of its processes, `PID-STARTTICKS-COUNT`.
    run: String,
    /// Cgroup of the run, created with the first trial; `None` if cgroups cannot be used here.
    cgroups: OnceLock<Option<Cgroups>>,
    /// Whether the last trial was so short that the next one gets no cgroup before its first poll
    /// interval is over.
    hurries: AtomicBool,
    guard: Option<Guard>,
    strays: Strays,
    nothing: File,
    allotment: Allotment,
    /// `PATH` of the trials, if it differs from the inherited one.
    longer_path: Option<OsString>,
    /// Distributed-training ranks that trials inherit from this process or from the sweep file.
    /// They do not count as ranks of the trials' own processes.
    outer_ranks: Option<OsString>,
    /// Number of out-of-memory kills of this machine that are accounted for; one more means that a
    /// trial was killed for memory.
    memory_kills: AtomicU64,
    /// Cached result of the first `PATH` search: the name and the path of the program.
    found: OnceLock<(String, PathBuf)>,
}

/// Returns the variables of the environment for an attempt with the folder `dir`. Variables without
/// a value are removed.
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
    /// Creates the trainable. Also makes this process the subreaper of its descendants and starts
    /// the guard, if there is one.
    ///
    /// # Errors
    /// Fails if the workdir cannot be made absolute, the guard cannot be started or `/dev/null`
    /// cannot be opened.
    pub fn new(settings: ProgramSettings) -> Result<Self, ExecutorError> {
        let ProgramSettings {
            argv,
            mut spec,
            guard,
            allotment,
            tools,
        } = settings;
        let prepare = |source| ExecutorError::Prepare { source };
        let pid = std::process::id();
        let count = RUNS.fetch_add(1, Ordering::Relaxed);
        let run = format!("{pid}-{}-{count}", processes::start_ticks(pid).unwrap_or(0));
        let path = spec
            .env
            .iter()
            .find(|(name, _)| name == "PATH")
            .map(|(_, value)| OsString::from(value));
        let path = path
            .or_else(|| std::env::var_os("PATH"))
            .unwrap_or_default();
        spec.workdir = absolute(spec.workdir).map_err(prepare)?;
        let longer_path = tools.and_then(|tools| with_tools(&path, tools, &spec.workdir));
        let outer_ranks = rank::outer(|wanted| {
            let given = spec.env.iter().rev().find(|(name, _)| name == wanted);
            given.map_or_else(|| std::env::var_os(wanted), |(_, value)| Some(value.into()))
        });
        let guard = guard
            .map(|command| Guard::start(command, &run))
            .transpose()
            .map_err(prepare)?;
        Ok(Self {
            argv,
            terms: Terms {
                limit: spec.trial_time,
                grace: spec.grace,
                memory: allotment.memory,
                system: spec.system,
            },
            spec,
            allotment,
            longer_path,
            outer_ranks,
            memory_kills: AtomicU64::new(usage::out_of_memory_kills()),
            strays: Strays::new(&run),
            run,
            cgroups: OnceLock::new(),
            hurries: AtomicBool::new(false),
            guard,
            nothing: File::open("/dev/null").map_err(prepare)?,
            found: OnceLock::new(),
        })
    }

    /// Starts the program of an attempt; the error says why it cannot be started.
    fn spawn(&self, trial: &TrialContext, dir: &Path) -> Result<Child, String> {
        let mut words = trial.command.iter();
        let name = words.next().ok_or("the command is empty")?;
        let program = self.find(name)?;
        let log = |file| Output::open(dir, file).map_err(|error| format!("`{file}`: {error}"));
        let mut command = Command::new(&program);
        command
            .arg0(name)
            .args(words)
            .current_dir(&self.spec.workdir)
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
            .envs(self.spec.env.iter().map(|(name, value)| (name, value)))
            .env(RUN, &self.run);
        if let Some(path) = &self.longer_path {
            command.env("PATH", path);
        }
        let told = environment(&trial.study, &trial.launch, dir);
        let outer_ranks = (rank::OUTER, self.outer_ranks.clone());
        for (name, value) in told.into_iter().chain([outer_ranks]) {
            match value {
                Some(value) => command.env(name, value),
                // This process may itself run inside a trial. The variables of that outer trial
                // must not reach its own trials.
                None => command.env_remove(name),
            };
        }
    }

    /// Returns the path of a program: below the workdir if the name has a slash, otherwise found on
    /// `PATH`.
    fn find(&self, name: &str) -> Result<PathBuf, String> {
        if name.contains('/') {
            return Ok(self.spec.workdir.join(name));
        }
        if let Some((_, path)) = self.found.get().filter(|(known, _)| known == name) {
            return Ok(path.clone());
        }
        let given = self
            .spec
            .env
            .iter()
            .find(|(variable, _)| variable == "PATH");
        let path = given.map_or_else(
            || std::env::var_os("PATH"),
            |(_, value)| Some(OsString::from(value)),
        );
        let found = on_path(
            name,
            path.as_deref().unwrap_or_default(),
            &self.spec.workdir,
        );
        let path = found.ok_or_else(|| self.not_on_path(name))?;
        // Another slot may have set it first, to the same path.
        self.found.set((name.to_owned(), path.clone())).ok();
        Ok(path)
    }

    fn not_on_path(&self, name: &str) -> String {
        if self.spec.workdir.join(name).is_file() {
            return format!(
                "`{name}` is not on PATH; to run the file in the workdir write `./{name}`"
            );
        }
        format!(
            "`{name}` is not on PATH; install it, or write the path of a program, as in `./train.sh`"
        )
    }

    /// Returns why a program could not be started, and a hint for the user.
    fn why_not(&self, name: &str, path: &Path, error: &io::Error) -> String {
        const ENOEXEC: i32 = 8;
        let workdir = self.spec.workdir.display();
        if !self.spec.workdir.is_dir() {
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

    /// Prepares the folder for an attempt: creates the checkpoint folder if needed and removes a
    /// `stop` file of earlier attempts.
    fn prepare(&self, launch: &Launch, dir: &Path) -> Result<(), String> {
        if self.spec.checkpoint || launch.resume || launch.until.is_some() {
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
        let output = Output::new(dir, &self.spec.capture, self.spec.log, resumes);
        // The cgroup is created before the program starts, to keep the time between the start and
        // the move into the cgroup short.
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
        // Without its leader a cgroup is of no use: it is dropped and so removed.
        let take = |leaf: Option<Leaf>| leaf.filter(|leaf| leaf.take(group, strays).is_ok());
        let leaf = OnceCell::new();
        if at_once {
            leaf.get_or_init(|| take(made));
        }
        let settled = Cell::new(false);
        // A trial that ends within its first poll interval needs no entry with the guard and no
        // place in the journal. After a short trial, the cgroup is delayed until then, too.
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
        // Orphans are found by their mark; those that cleared their environment are still in the
        // cgroup.
        let orphans = || {
            let inside = seen().map(Leaf::processes).unwrap_or_default();
            strays()
                .into_iter()
                .chain(inside.into_iter().filter(|pid| *pid != group))
                .collect()
        };
        let is_walled = seen().is_some_and(Leaf::is_walled);
        // If the kernel enforces the limit of the cgroup, the supervisor need not measure memory.
        let terms = Terms {
            memory: self.terms.memory.filter(|_| !is_walled),
            ..self.terms
        };
        let supervision = Supervision::new(child, trial, log, &terms, records, output, &orphans);
        let mut outcome = supervision.run(settle);
        self.hurries
            .store(begun.elapsed() < SHORT, Ordering::Relaxed);
        // This SIGKILL was not sent by swath. It may come from the kernel's out-of-memory killer.
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
    /// Creates the cgroup of an attempt; `None` if cgroups cannot be used here.
    fn leaf(&self, launch: &Launch, dir: &Path) -> Option<Leaf> {
        let open = || {
            let tell = |path: &Path| self.guard.iter().for_each(|guard| guard.add_cgroup(path));
            Cgroups::open(dir.parent()?, &self.run, self.terms.memory, tell)
        };
        self.cgroups.get_or_init(open).as_ref()?.leaf(launch)
    }

    /// Ends the processes that an attempt left behind and adds their usage to the outcome. Returns
    /// whether none is left.
    fn end_rest(&self, mark: &str, leaf: Option<Leaf>, outcome: &mut Outcome) -> bool {
        let grace = self.terms.grace.min(GRACE_FOR_THE_REST);
        let tally = leaf.map(|leaf| leaf.end(grace));
        if let Some((tally, _)) = &tally {
            let usage = &mut outcome.usage;
            // Neither count is complete: the cgroup misses processor time used before it existed;
            // rusage misses children that were never waited for. Take the larger.
            usage.cpu_seconds = usage.cpu_seconds.max(tally.cpu.as_secs_f64());
            if outcome.exit == Exit::Failed(Failure::Memory) {
                // In other cases the peak of the cgroup does not measure need: it includes the page
                // cache, which the kernel keeps until memory is short.
                usage.peak_mib = usage.peak_mib.max(tally.peak as f64 / usage::MIB);
            }
        }
        // Processes started before the move into the cgroup may not be in it.
        self.strays.end_of_trial(mark, grace) && tally.is_none_or(|(_, ended)| ended)
    }

    /// Returns the warning for an attempt that the kernel killed for lack of memory; `None` if it
    /// did not.
    fn want_of_memory(&self, leaf: Option<&Leaf>) -> Option<String> {
        let kills = leaf.map_or(0, Leaf::out_of_memory_kills);
        if let Some(limit) = self.terms.memory.filter(|_| kills > 0) {
            // The count of the machine includes the kills of this cgroup.
            self.memory_kills.fetch_add(kills, Ordering::AcqRel);
            let limit = limit.div_ceil(1 << 20);
            return Some(format!(
                "the kernel ended it as it wanted more memory: {limit} MiB is what `resources.memory` gives it"
            ));
        }
        self.memory_ran_out()
            .then(|| "the kernel ended it because the machine had no memory left".to_owned())
    }

    /// Returns whether the kernel has killed one more process for lack of memory. Each kill is
    /// attributed to one trial.
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

/// Returns `path` with the folder `tools` appended; `None` if `swath` is on `path` already or not
/// in `tools`.
fn with_tools(path: &OsStr, tools: PathBuf, workdir: &Path) -> Option<OsString> {
    if on_path("swath", path, workdir).is_some() || !tools.join("swath").is_file() {
        return None;
    }
    std::env::join_paths(std::env::split_paths(path).chain([tools])).ok()
}

/// Searches the directories of `path` for an executable. Relative directories start at the workdir,
/// as they will for the program.
fn on_path(name: &str, path: &OsStr, workdir: &Path) -> Option<PathBuf> {
    use rustix::fs::{Access, access};
    std::env::split_paths(path)
        .map(|dir| workdir.join(dir).join(name))
        .find(|candidate| candidate.is_file() && access(candidate, Access::EXEC_OK).is_ok())
}
