//! A program as a trainable: its command line, its environment, its log files and its process
//! group.

use super::cgroups::Cgroups;
use super::guard::Guard;
use super::leaf::Leaf;
use super::orphans::{OrphanFinder, RUN};
use super::output::Output;
use super::supervise::{ORPHAN_GRACE, Records, Supervision, SupervisionLimits, stop_file};
use super::{
    Allotment, ExecutorError, Exit, Launch, Outcome, StudyContext, Trainable, TrialContext,
    processes, usage,
};
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
use swath_log::{TrialLogger, rank};
use swath_model::space::Name;
use swath_model::study::{Failure, Usage};

/// Number of retries when the program file is busy: another process is still writing it, or a child
/// of another thread still holds it open for writing.
const BUSY_TRIES: u32 = 20;

/// Run time below which creating a cgroup is too expensive. After such a short trial, the next one
/// gets a cgroup only once it has lived through its first poll interval.
const TOO_SHORT_FOR_CGROUP: Duration = Duration::from_millis(50);

/// The `PATH` of a process that has none, as `execvp` of the C library takes it.
const DEFAULT_PATH: &str = "/bin:/usr/bin";

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
    /// Whether the program writes checkpoints.
    pub checkpoint: bool,
}

impl ProgramSpec {
    /// Returns the `PATH` on which programs are searched: that of the sweep file, the inherited one,
    /// or the default of the system.
    fn search_path(&self) -> OsString {
        let entry = self.env.iter().find(|(name, _)| name == "PATH");
        entry
            .map(|(_, value)| OsString::from(value))
            .or_else(|| std::env::var_os("PATH"))
            .unwrap_or_else(|| DEFAULT_PATH.into())
    }

    /// Returns the distributed-training ranks that a trial inherits from this process or from the
    /// sweep file.
    fn outer_ranks(&self) -> Option<OsString> {
        rank::outer(|variable| {
            // Of several entries in the sweep file the last one counts, as it does in the
            // environment of the program.
            let entry = self.env.iter().rev().find(|(name, _)| name == variable);
            entry.map_or_else(
                || std::env::var_os(variable),
                |(_, value)| Some(value.into()),
            )
        })
    }
}

/// The patterns of `[capture]` in a file: as their texts.
mod patterns {
    use regex::Regex;
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};
    use swath_model::space::Name;

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
        texts.into_iter().map(compile).collect()
    }

    fn compile<E: Error>((name, text): (Name, String)) -> Result<(Name, Regex), E> {
        match Regex::new(&text) {
            Ok(regex) => Ok((name, regex)),
            Err(_) => Err(E::custom(format!(
                "the pattern of `{name}` in [capture] cannot be used here"
            ))),
        }
    }
}

/// Trainable that runs a program for each trial.
pub struct Program {
    argv: Argv,
    spec: ProgramSpec,
    limits: SupervisionLimits,
    /// Mark of this run in the environment of its processes, `PID-STARTTICKS-COUNT`.
    run: String,
    /// Cgroup of the run, created with the first trial; `None` if cgroups cannot be used here.
    cgroups: OnceLock<Option<Cgroups>>,
    /// Whether the last trial was so short that the next one gets no cgroup before its first poll
    /// interval is over.
    last_was_short: AtomicBool,
    guard: Option<Guard>,
    orphans: OrphanFinder,
    /// `/dev/null`, the standard input of every trial.
    dev_null: File,
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
    program_path: OnceLock<(String, PathBuf)>,
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
        let pid = std::process::id();
        let count = RUNS.fetch_add(1, Ordering::Relaxed);
        let run = format!("{pid}-{}-{count}", processes::start_ticks(pid).unwrap_or(0));
        spec.workdir = absolute(spec.workdir).map_err(prepare_error)?;
        let longer_path =
            tools.and_then(|tools| with_tools(&spec.search_path(), tools, &spec.workdir));
        let outer_ranks = spec.outer_ranks();
        let guard = guard
            .map(|command| Guard::start(command, &run))
            .transpose()
            .map_err(prepare_error)?;
        Ok(Self {
            argv,
            limits: SupervisionLimits {
                run_time: spec.trial_time,
                grace: spec.grace,
                memory: allotment.memory,
                sample_interval: spec.system,
            },
            spec,
            allotment,
            longer_path,
            outer_ranks,
            memory_kills: AtomicU64::new(usage::out_of_memory_kills()),
            orphans: OrphanFinder::new(&run),
            run,
            cgroups: OnceLock::new(),
            last_was_short: AtomicBool::new(false),
            guard,
            dev_null: File::open("/dev/null").map_err(prepare_error)?,
            program_path: OnceLock::new(),
        })
    }

    /// Starts the program of an attempt; the error says why it cannot be started.
    fn spawn(&self, trial: &TrialContext, dir: &Path) -> Result<Child, String> {
        let mut words = trial.command.iter();
        let name = words.next().ok_or("the command is empty")?;
        let program = self.find(name)?;
        let mut command = Command::new(&program);
        command
            .arg0(name)
            .args(words)
            .current_dir(&self.spec.workdir)
            .process_group(0)
            .stdin(
                self.dev_null
                    .try_clone()
                    .map_or_else(|_| Stdio::null(), Stdio::from),
            )
            .stdout(open_log(trial, dir, "stdout.log")?)
            .stderr(open_log(trial, dir, "stderr.log")?);
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
                spawned => {
                    return spawned.map_err(|error| {
                        trial.note_shortage(&error);
                        self.why_not(name, &program, &error)
                    });
                }
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
        let variables = environment(&trial.study, &trial.launch, dir);
        let outer_ranks = (rank::OUTER, self.outer_ranks.clone());
        for (name, value) in variables.into_iter().chain([outer_ranks]) {
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
        let cached = self.program_path.get();
        if let Some((_, path)) = cached.filter(|(cached_name, _)| cached_name == name) {
            return Ok(path.clone());
        }
        let path = on_path(name, &self.spec.search_path(), &self.spec.workdir)
            .ok_or_else(|| self.not_on_path(name))?;
        // Another slot may have set it first, to the same path.
        self.program_path.set((name.to_owned(), path.clone())).ok();
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

    /// Prepares the folder for an attempt: creates the checkpoint folder, which
    /// `SWATH_CHECKPOINT_DIR` names, and removes a `stop` file of earlier attempts.
    fn prepare(&self, trial: &TrialContext, dir: &Path) -> Result<(), String> {
        let launch = &trial.launch;
        std::fs::create_dir_all(dir.join("checkpoints")).map_err(|error| {
            trial.note_shortage(&error);
            format!("could not create the checkpoint folder: {error}")
        })?;
        // A first attempt has a fresh folder. Spare it the system call.
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
        self.prepare(trial, dir)?;
        let records = Records::new(dir, resumes).map_err(|error| {
            trial.note_shortage(&error);
            format!("could not read its earlier records: {error}")
        })?;
        let output = Output::new(dir, &self.spec.capture, self.spec.log, resumes);
        // The cgroup is created before the program starts, to keep the time between the start and
        // the move into the cgroup short.
        let at_once = self.limits.memory.is_some() || !self.last_was_short.load(Ordering::Relaxed);
        let leaf = if at_once {
            self.leaf(&trial.launch, dir)
        } else {
            None
        };
        let begun = Instant::now();
        let child = self.spawn(trial, dir)?;
        let processes = AttemptProcesses {
            program: self,
            trial,
            dir,
            leader: child.id(),
            mark: format!("SWATH_TRIAL_DIR={}", dir.display()),
            leaf: OnceCell::new(),
            is_registered: Cell::new(false),
        };
        if at_once {
            processes.enter(leaf);
        }
        let is_walled = processes.leaf().is_some_and(Leaf::is_walled);
        // If the kernel enforces the limit of the cgroup, the supervisor need not measure memory.
        let limits = SupervisionLimits {
            memory: self.limits.memory.filter(|_| !is_walled),
            ..self.limits
        };
        let orphans = &|| processes.orphans();
        let supervision = Supervision::new(child, trial, log, &limits, records, output, orphans);
        let mut outcome = supervision.run(|| processes.register());
        self.last_was_short
            .store(begun.elapsed() < TOO_SHORT_FOR_CGROUP, Ordering::Relaxed);
        // This SIGKILL was not sent by swath. It may come from the kernel's out-of-memory killer.
        if outcome.exit == Exit::Failed(Failure::Signal(SIGKILL))
            && let Some(warning) = self.memory_kill_warning(processes.leaf())
        {
            log.warn(warning);
            outcome.exit = Exit::Failed(Failure::Memory);
        }
        if !processes.end(&mut outcome) {
            log.warn("a process that the trial started could not be ended".to_owned());
        }
        Ok(outcome)
    }
}

/// The processes of a running attempt: its leader, the leader's descendants and the orphans among
/// them.
struct AttemptProcesses<'a> {
    program: &'a Program,
    trial: &'a TrialContext,
    dir: &'a Path,
    leader: u32,
    /// Entry in the environment of the attempt's processes that no other trial has.
    mark: String,
    /// Cgroup of the attempt once it was decided upon; `None` inside if there is none.
    leaf: OnceCell<Option<Leaf>>,
    /// Whether the guard has an entry of the process group.
    is_registered: Cell<bool>,
}

impl AttemptProcesses<'_> {
    /// Moves the attempt into its cgroup. Without its leader a cgroup is of no use: it is dropped
    /// and so removed.
    fn enter(&self, leaf: Option<Leaf>) {
        let moved = leaf.filter(|leaf| leaf.take(self.leader, || self.marked_orphans()).is_ok());
        self.leaf.set(moved).ok();
    }

    /// Registers an attempt that has lived through its first poll interval: with the guard, in the
    /// journal and, if that was delayed after a short trial, with a cgroup. A shorter attempt needs
    /// none of these.
    fn register(&self) {
        let place = processes::place(self.leader);
        if let Some(guard) = &self.program.guard {
            guard.add(self.leader, place.start_ticks);
        }
        self.trial.placed(place);
        self.is_registered.set(true);
        if self.leaf.get().is_none() {
            self.enter(self.program.leaf(&self.trial.launch, self.dir));
        }
    }

    fn leaf(&self) -> Option<&Leaf> {
        self.leaf.get().and_then(Option::as_ref)
    }

    fn marked_orphans(&self) -> Vec<u32> {
        self.program.orphans.of_trial(&self.mark, self.leader)
    }

    /// Returns the orphans of the attempt. They are found by their mark; those that cleared their
    /// environment are still in the cgroup.
    fn orphans(&self) -> Vec<u32> {
        let in_cgroup = self.leaf().map(Leaf::processes).unwrap_or_default();
        self.marked_orphans()
            .into_iter()
            .chain(in_cgroup.into_iter().filter(|pid| *pid != self.leader))
            .collect()
    }

    /// Ends the processes that outlived the leader, adds their usage to the outcome and removes the
    /// attempt from the guard. Returns whether no process is left.
    fn end(self, outcome: &mut Outcome) -> bool {
        let leaf = self.leaf.into_inner().flatten();
        let is_ended = self.program.end_rest(&self.mark, leaf, outcome);
        if let Some(guard) = self
            .program
            .guard
            .as_ref()
            .filter(|_| self.is_registered.get())
        {
            guard.remove(self.leader);
        }
        is_ended
    }
}

impl Program {
    /// Creates the cgroup of an attempt; `None` if cgroups cannot be used here.
    fn leaf(&self, launch: &Launch, dir: &Path) -> Option<Leaf> {
        self.cgroups
            .get_or_init(|| {
                Cgroups::open(dir.parent()?, &self.run, self.limits.memory, |path| {
                    self.guard.iter().for_each(|guard| guard.add_cgroup(path));
                })
            })
            .as_ref()?
            .leaf(launch)
    }

    /// Ends the processes that an attempt left behind and adds their usage to the outcome. Returns
    /// whether none is left.
    fn end_rest(&self, mark: &str, leaf: Option<Leaf>, outcome: &mut Outcome) -> bool {
        let grace = self.limits.grace.min(ORPHAN_GRACE);
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
        self.orphans.end_of_trial(mark, grace) && tally.is_none_or(|(_, ended)| ended)
    }

    /// Returns the warning for an attempt that the kernel killed for lack of memory; `None` if it
    /// did not.
    fn memory_kill_warning(&self, leaf: Option<&Leaf>) -> Option<String> {
        let kills = leaf.map_or(0, Leaf::out_of_memory_kills);
        if let Some(limit) = self.limits.memory.filter(|_| kills > 0) {
            // The count of the machine includes the kills of this cgroup.
            self.memory_kills.fetch_add(kills, Ordering::AcqRel);
            let limit = limit.div_ceil(1 << 20);
            return Some(format!(
                "the kernel killed it for lack of memory: `resources.memory` allows {limit} MiB"
            ));
        }
        self.memory_ran_out()
            .then(|| "the kernel killed it because the machine ran out of memory".to_owned())
    }

    /// Returns whether the kernel has killed one more process for lack of memory. Each kill is
    /// attributed to one trial.
    fn memory_ran_out(&self) -> bool {
        let kills = usage::out_of_memory_kills();
        self.memory_kills
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |attributed| {
                (attributed < kills).then_some(attributed + 1)
            })
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
                return spawn_failed(format!(
                    "could not make the path of the trial's folder absolute: {error}"
                ));
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
        let grace = self.limits.grace.min(ORPHAN_GRACE);
        if let Some(Some(cgroups)) = self.cgroups.get() {
            cgroups.close(grace);
        }
        self.orphans.end_of_run(grace);
    }
}

fn open_log(trial: &TrialContext, dir: &Path, file: &str) -> Result<File, String> {
    Output::open(dir, file).map_err(|error| {
        trial.note_shortage(&error);
        format!("`{file}`: {error}")
    })
}

fn prepare_error(source: io::Error) -> ExecutorError {
    ExecutorError::Prepare { source }
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
