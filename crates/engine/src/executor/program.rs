//! A program as a trainable: its command line, its environment, its log files and its process
//! group.

mod attempt;

use super::cgroups::Cgroups;
use super::host::{Candidate, Hosts};
use super::leaf::Leaf;
use super::orphans::RUN;
use super::output::Output;
use super::port::Port;
use super::repetition::{COLD, Evidence, NotRepeated, Repetition};
use super::slot::{Order, Slot, Slots, StartError};
use super::source::{SourceAttempt, Sources, Translators};
use super::stop_line::StopRequest;
use super::supervise::{ORPHAN_GRACE, Records, Supervision, SupervisionLimits, stop_file};
use super::{
    Allotment, ExecutorError, Exit, Facts, Invocation, Launch, Outcome, StopSignal, StudyContext,
    Text, Trainable, TrialContext, environment, processes, ulimit,
};
use crate::platform;
use attempt::AttemptProcesses;
use regex::Regex;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf, absolute};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};
use swath_log::{TrialLogger, rank};
use swath_model::space::Name;
use swath_model::study::{Failure, Usage};

/// Number of slot processes in a row that may be killed under their trials. A trial that kills its
/// slot itself would otherwise run for ever.
const MOST_SLOTS_LOST: u32 = 5;

/// Run time below which creating a cgroup is too expensive, for a slot in a thread. After such a
/// short trial, the next one gets a cgroup only once it has lived through its first poll interval.
const TOO_SHORT_FOR_CGROUP: Duration = Duration::from_millis(50);

/// The `PATH` of a process that has none, as `execvp` of the C library takes it.
const DEFAULT_PATH: &str = "/bin:/usr/bin";

/// Distinguishes several runs of one process, so that no run ends the trials of another.
static RUNS: AtomicU32 = AtomicU32::new(1);

/// Function that returns what an attempt starts.
pub type Invoke = Box<dyn Fn(&Launch) -> Invocation<Text> + Send + Sync>;

/// Settings from which a [`Program`] is made.
pub struct ProgramSettings {
    /// The program that each attempt starts. A first word of its command line with a slash is a path, relative to
    /// the workdir; a word without a slash is searched on `PATH`.
    pub invoke: Invoke,
    /// Environment and limits of the program.
    pub spec: ProgramSpec,
    /// Command line of the [guard](super::guard::run); `None` to run without a guard.
    pub guard: Option<Command>,
    /// Resources of each slot.
    pub allotment: Allotment,
    /// Folder of this very executable, appended to the `PATH` of trials if no `swath` is on it.
    pub tools: Option<PathBuf>,
    /// Translate what the program writes for other tools.
    pub sources: Sources,
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
    /// Grace period between the stop signal and SIGKILL.
    pub grace: Duration,
    /// Signal that asks the program to end.
    #[serde(default)]
    pub stop: StopSignal,
    /// Interval between two samples of system usage; `None` for no samples.
    #[serde(default)]
    pub system: Option<Duration>,
    /// Longest length of `stdout.log` and of `stderr.log`, in bytes each.
    pub log: u64,
    /// Tables of the sweep file that describe the sources, for a pilot.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub source_tables: Vec<String>,
    /// Metrics to search in the output, each with its pattern.
    #[serde(with = "patterns")]
    pub capture: Vec<(Name, Regex)>,
    /// Whether the program writes checkpoints.
    pub checkpoint: bool,
    /// Exit statuses with which the program says that its configuration cannot work.
    #[serde(default)]
    pub invalid: Vec<i32>,
    /// Whether Python programs are forked from a host that has imported their packages.
    #[serde(default)]
    pub warm: Warm,
}

/// The choice whether Python programs are forked from a host that has imported their packages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Warm {
    /// All programs start cold.
    #[default]
    Off,
    /// Programs are forked once a repeated trial has recorded the same as a forked one.
    Auto,
    /// Programs are forked.
    On,
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
    invoke: Invoke,
    /// The port of the last attempt of each slot.
    ports: Mutex<BTreeMap<u32, Port>>,
    spec: ProgramSpec,
    sources: Sources,
    limits: SupervisionLimits,
    /// Mark of this run in the environment of its processes, `PID-STARTTICKS-COUNT`.
    run: String,
    /// Cgroup of the run, created with the first trial; `None` if cgroups cannot be used here.
    cgroups: OnceLock<Option<Cgroups>>,
    /// Whether the last trial was so short that the next one gets no cgroup before its first poll
    /// interval is over.
    last_was_short: AtomicBool,
    slots: Slots,
    /// Hosts of Python programs; `None` if all programs start cold.
    hosts: Option<Hosts>,
    /// The order of the last attempt of each slot, if it may be repeated.
    orders: Mutex<BTreeMap<u32, Order>>,
    /// Number of slot processes that were killed under their trials since a trial last ended.
    slots_lost: AtomicU32,
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

impl Program {
    /// Creates the trainable. Also makes this process the subreaper of its descendants and starts
    /// the guard, if there is one.
    ///
    /// # Errors
    /// Fails if the workdir cannot be made absolute or the guard cannot be started.
    pub fn new(settings: ProgramSettings) -> Result<Self, ExecutorError> {
        let ProgramSettings {
            invoke,
            mut spec,
            guard,
            allotment,
            tools,
            sources,
        } = settings;
        let run = run_mark();
        spec.workdir = absolute(spec.workdir).map_err(prepare_error)?;
        let longer_path =
            tools.and_then(|tools| with_tools(&spec.search_path(), tools, &spec.workdir));
        let outer_ranks = spec.outer_ranks();
        // Without a guard, the trials would inherit the raised limit.
        if guard.is_some() {
            ulimit::raise_files();
        }
        // Without slot processes, a forked program could not be told from this process's own.
        let has_hosts = spec.warm != Warm::Off && guard.is_some() && cfg!(target_os = "linux");
        let needs_proof = spec.warm == Warm::Auto;
        let slots = Slots::new(guard, &run).map_err(prepare_error)?;
        Ok(Self {
            invoke,
            ports: Mutex::default(),
            limits: SupervisionLimits {
                run_time: spec.trial_time,
                grace: spec.grace,
                stop: spec.stop,
                memory: allotment.memory,
                sample_interval: spec.system,
                invalid: spec.invalid.clone(),
            },
            spec,
            sources,
            allotment,
            longer_path,
            outer_ranks,
            memory_kills: AtomicU64::new(platform::out_of_memory_kills()),
            slots,
            hosts: has_hosts.then(|| Hosts::new(needs_proof)),
            orders: Mutex::default(),
            slots_lost: AtomicU32::new(0),
            run,
            cgroups: OnceLock::new(),
            last_was_short: AtomicBool::new(false),
            program_path: OnceLock::new(),
        })
    }

    /// Returns the order to start the program of an attempt; the error says why it cannot be started.
    fn order(
        &self,
        trial: &TrialContext,
        dir: &Path,
        translators: &Translators,
    ) -> Result<Order, String> {
        let argv = &trial.invocation.argv;
        let name = argv.first().ok_or("the command is empty")?;
        Ok(Order {
            program: self.find(name, self.workdir(trial))?,
            argv: argv.iter().map(OsString::from).collect(),
            env: self.environment(trial, dir, translators),
            workdir: self.workdir(trial).to_owned(),
            logs: [dir.join("stdout.log"), dir.join("stderr.log")],
            grace: self.limits.grace.min(ORPHAN_GRACE),
            mark: mark(dir),
        })
    }

    /// Offers a program to its host, if programs start warm. The error says why it starts cold.
    fn offer(
        &self,
        trial: &TrialContext,
        order: &Order,
        dir: &Path,
        slot: &mut Slot,
    ) -> Result<(), String> {
        let Some(hosts) = &self.hosts else {
            return Ok(());
        };
        if trial.repetition == Some(Repetition::Cold) {
            return Ok(());
        }
        if hosts.compares() && !self.sources.allow_repetitions() {
            return Err(
                "a source sends on what trials log, so none is repeated to compare a warm start \
                 with a cold one"
                    .to_owned(),
            );
        }
        let project = self.project(trial);
        let candidate = self.candidate(order, project.as_deref(), dir);
        let offer = hosts.offer(candidate, trial.repetition, slot.idle_reaper(), || {
            trial.stop_request().is_some()
        })?;
        slot.offer(&offer);
        Ok(())
    }

    fn candidate<'a>(
        &'a self,
        order: &'a Order,
        project: Option<&'a Path>,
        dir: &Path,
    ) -> Candidate<'a> {
        Candidate {
            order,
            project,
            slots: &self.slots,
            cgroups: self.cgroups(dir),
            run: &self.run,
        }
    }

    /// Returns the folder of the project that stands in the private workdir of a trial.
    fn project(&self, trial: &TrialContext) -> Option<PathBuf> {
        let files = trial.study.work_files.as_ref()?;
        Some(files.project.join(&files.below).components().collect())
    }

    /// Takes the order of the last attempt of a slot, if it may be repeated.
    fn take_order(&self, slot: u32) -> Option<Order> {
        let mut orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        orders.remove(&slot)
    }

    fn keep_order(&self, slot: u32, order: Order) {
        let mut orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        orders.insert(slot, order);
    }

    /// Starts the program of an attempt in a slot, and returns its process id; `None` if the slot process was killed meanwhile.
    /// The error says why the program cannot be started.
    fn start(
        &self,
        trial: &TrialContext,
        order: &Order,
        dir: &Path,
        log: &mut TrialLogger,
    ) -> Result<Option<(Slot, u32)>, String> {
        let mut slot = self
            .slots
            .take()
            .inspect_err(|error| trial.note_shortage(error))
            .map_err(|error| format!("the process of its slot could not be started: {error}"))?;
        slot.enter(self.cgroups(dir));
        let offered = self.offer(trial, order, dir, &mut slot);
        let must_end = || trial.stop_request().is_some_and(|request| request.kill);
        match slot.start(order, must_end) {
            Ok(started) => {
                if let Some(reason) = offered.err().or_else(|| slot.take_refusal()) {
                    note_cold_start(&reason, log);
                }
                Ok(Some((slot, started)))
            }
            Err(StartError::Slot(_)) => {
                // The program may have been started before.
                self.end_strays(slot.pid(), order);
                Ok(None)
            }
            Err(StartError::Log(file, error)) => {
                self.slots.give_back(slot);
                trial.note_shortage(&error);
                Err(format!("`{file}`: {error}"))
            }
            Err(StartError::Spawn(error)) => {
                self.slots.give_back(slot);
                trial.note_shortage(&error);
                let name = trial.invocation.recorded.first();
                let name = name.map_or("", String::as_str);
                Err(why_not(name, order, &error))
            }
        }
    }

    /// Ends the processes of an attempt whose slot has died.
    fn end_strays(&self, slot: Option<u32>, order: &Order) {
        self.slots.end_strays(slot);
        if let Some(hosts) = &self.hosts {
            hosts.end_strays(&order.mark);
        }
    }

    /// Gives a slot a port that differs from those of the other slots, and returns its number. A
    /// slot that needs none gives its port back.
    fn reserve_port(&self, slot: u32, is_needed: bool) -> Option<u16> {
        let port = is_needed.then(Port::reserve).flatten();
        let number = port.as_ref().map(|port| port.number);
        let mut ports = self.ports.lock().unwrap_or_else(PoisonError::into_inner);
        match port {
            Some(port) => ports.insert(slot, port),
            None => ports.remove(&slot),
        };
        number
    }

    /// Returns the port of the attempt that runs in a slot.
    fn port(&self, slot: u32) -> Option<u16> {
        let ports = self.ports.lock().unwrap_or_else(PoisonError::into_inner);
        ports.get(&slot).map(|port| port.number)
    }

    /// Returns the changes of the inherited environment for an attempt.
    fn environment(
        &self,
        trial: &TrialContext,
        dir: &Path,
        translators: &Translators,
    ) -> Vec<(OsString, Option<OsString>)> {
        let mut changes: Vec<(OsString, Option<OsString>)> = Vec::new();
        let shares = self
            .allotment
            .variables(trial.launch.slot, |name| std::env::var_os(name).is_some());
        changes.extend(
            shares
                .into_iter()
                .map(|(name, value)| (name.into(), Some(value.into()))),
        );
        let of_sweep = self.spec.env.iter();
        let of_sweep = of_sweep.chain(&trial.invocation.env);
        changes.extend(of_sweep.map(|(name, value)| (name.into(), Some(value.into()))));
        let of_sources = translators.environment().into_iter();
        changes.extend(of_sources.map(|(name, value)| (name.into(), Some(value))));
        changes.push((RUN.into(), Some(self.run.clone().into())));
        if let Some(path) = &self.longer_path {
            changes.push(("PATH".into(), Some(path.clone())));
        }
        // This process may itself run inside a trial. The variables of that outer trial must not
        // reach its own trials, so those without a value are removed.
        let of_trial = environment(&Facts {
            port: self.port(trial.launch.slot),
            ..trial.facts(dir)
        });
        changes.extend(
            of_trial
                .into_iter()
                .map(|(name, value)| (name.into(), value)),
        );
        let prepared = trial.launch.prepared_folders().into_iter();
        changes.extend(prepared.map(|prepared| {
            let variable = prepared.variable().into();
            (variable, Some(prepared.folder.into_os_string()))
        }));
        changes.push((rank::OUTER.into(), self.outer_ranks.clone()));
        changes
    }

    /// Returns the working directory of an attempt.
    fn workdir<'a>(&'a self, trial: &'a TrialContext) -> &'a Path {
        let own = trial.invocation.workdir.as_deref().map(Path::new);
        own.unwrap_or(&self.spec.workdir)
    }

    /// Returns the path of a program: below the workdir if the name has a slash, otherwise found on
    /// `PATH`. A private workdir may lack a program that the project has.
    fn find(&self, name: &str, workdir: &Path) -> Result<PathBuf, String> {
        if name.starts_with('/') {
            return Ok(name.into());
        }
        if name.contains('/') {
            let path = workdir.join(name);
            return Ok(if path.exists() {
                path
            } else {
                self.spec.workdir.join(name)
            });
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

    /// Prepares the folder for an attempt: creates the checkpoint folder, which
    /// `SWATH_CHECKPOINT_DIR` names, and removes a `stop` file of earlier attempts.
    fn prepare(&self, trial: &TrialContext, dir: &Path) -> Result<(), String> {
        let launch = &trial.launch;
        std::fs::create_dir_all(dir.join("checkpoints")).map_err(|error| {
            trial.note_shortage(&error);
            format!("could not create the checkpoint folder: {error}")
        })?;
        trial
            .invocation
            .write_files(dir, launch.resume)
            .map_err(|error| {
                trial.note_shortage(&error);
                format!("could not write the files of the trial: {error}")
            })?;
        if trial.invocation.workdir.is_some() {
            std::fs::create_dir_all(self.workdir(trial)).map_err(|error| {
                trial.note_shortage(&error);
                format!("could not create the workdir: {error}")
            })?;
        }
        // A first attempt has a fresh folder. Spare it the system call.
        if launch.attempt.0 > 1 {
            std::fs::remove_file(stop_file(dir)).ok();
        }
        Ok(())
    }

    /// Begins to translate what the program writes for other tools. A preparation reports nothing.
    fn translators(&self, trial: &TrialContext, dir: &Path) -> Result<Translators, String> {
        let launch = &trial.launch;
        if launch.preparation.is_some() {
            return Ok(Translators::default());
        }
        let of_trial = trial.invocation.env.iter();
        let env: Vec<_> = self.spec.env.iter().chain(of_trial).cloned().collect();
        let attempt = SourceAttempt {
            trial: launch.trial,
            attempt: launch.attempt,
            dir,
            workdir: self.workdir(trial),
            is_shared: trial.study.slots > 1 && trial.invocation.workdir.is_none(),
            resumes: launch.resume,
            deciding: &trial.study.deciding,
            resource: trial.study.resource.as_ref(),
            env: &env,
        };
        self.sources.begin(&attempt).map_err(|error| {
            trial.note_shortage(&error);
            error.to_string()
        })
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
        let begun = Instant::now();
        if resumes {
            set_newer_files_aside(trial, dir, log)?;
        }
        if self.sources.output_decides() {
            log.let_output_decide();
        }
        let translators = self.translators(trial, dir)?;
        let order = self.order(trial, dir, &translators)?;
        if self.compares_records() && trial.repetition.is_none() {
            self.keep_order(trial.launch.slot, order.clone());
        }
        let Some((mut slot, leader)) = self.start(trial, &order, dir, log)? else {
            let mut outcome = Outcome {
                exit: trial.stop_request().map_or(Exit::Lost, StopRequest::exit),
                usage: Usage::default(),
            };
            self.note_lost_slot(&mut outcome, log);
            return Ok(outcome);
        };
        let processes = AttemptProcesses::new(self, trial, dir, (&slot, leader), &order);
        let at_once = self.limits.memory.is_some() || !self.last_was_short.load(Ordering::Relaxed);
        if at_once {
            processes.enter();
        }
        let is_walled = processes.leaf().is_some_and(Leaf::is_walled);
        // If the kernel enforces the limit of the cgroup, the supervisor need not measure memory.
        let preparation = trial.launch.preparation.as_ref();
        let limits = SupervisionLimits {
            memory: self.limits.memory.filter(|_| !is_walled),
            run_time: preparation.map_or(self.limits.run_time, |preparation| preparation.time),
            ..self.limits.clone()
        };
        let orphans = &|| processes.orphans();
        let slot_process = slot.pid();
        let place = (&mut slot, leader);
        let supervision = Supervision::new(
            place,
            trial,
            log,
            &limits,
            (records, translators),
            output,
            orphans,
        );
        let supervised = supervision.run(
            || processes.register(),
            || self.end_strays(slot_process, &order),
        );
        let mut outcome = supervised.outcome;
        self.last_was_short
            .store(begun.elapsed() < TOO_SHORT_FOR_CGROUP, Ordering::Relaxed);
        // This SIGKILL was not sent by swath. It may come from the kernel's out-of-memory killer.
        if outcome.exit == Exit::Failed(Failure::Signal(SIGKILL))
            && let Some(warning) = self.memory_kill_warning(processes.leaf())
        {
            log.warn(warning);
            outcome.exit = Exit::Failed(Failure::Memory);
        }
        let is_ended = processes.end(&mut outcome);
        if !is_ended || supervised.rest == Some(false) {
            log.warn("a process that the trial started could not be ended".to_owned());
        }
        if supervised.rest.is_some() {
            self.slots_lost.store(0, Ordering::Relaxed);
            self.slots.give_back(slot);
        } else {
            self.note_lost_slot(&mut outcome, log);
        }
        Ok(outcome)
    }

    /// Warns that the slot process was killed. The trial waits and runs again, unless slots are
    /// killed again and again.
    fn note_lost_slot(&self, outcome: &mut Outcome, log: &mut TrialLogger) {
        log.warn("the process of its slot was killed".to_owned());
        let lost = self.slots_lost.fetch_add(1, Ordering::Relaxed) + 1;
        if outcome.exit == Exit::Lost && lost >= MOST_SLOTS_LOST {
            let why =
                format!("the processes of {lost} slots in a row were killed under their trials");
            outcome.exit = Exit::Failed(Failure::Error(why));
        }
    }
}

impl Trainable for Program {
    fn invocation(&self, launch: &Launch, study: &StudyContext) -> Invocation {
        let invocation = (self.invoke)(launch);
        let dir = absolute(&launch.dir).unwrap_or_else(|_| launch.dir.clone());
        let port = self.reserve_port(launch.slot, invocation.needs_port);
        let mut invocation = invocation.resolve(&Facts {
            study,
            launch,
            dir: &dir,
            data_dir: &study.data_dir,
            port,
        });
        if let Some(files) = &study.work_files {
            invocation.workdir = Some(dir.join(files.workdir()).to_string_lossy().into_owned());
        }
        invocation
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

    fn compares_records(&self) -> bool {
        self.hosts.as_ref().is_some_and(Hosts::compares) && self.sources.allow_repetitions()
    }

    fn claim_follow_up(&self, trial: &TrialContext, outcome: &Outcome) -> bool {
        let slot = trial.launch.slot;
        let (Some(hosts), Some(order)) = (&self.hosts, self.take_order(slot)) else {
            return false;
        };
        // A trial that was resumed would be repeated from another state.
        if outcome.exit != Exit::Done || trial.launch.resume || trial.launch.from.is_some() {
            return false;
        }
        let (dir, project) = (&trial.launch.dir, self.project(trial));
        let candidate = self.candidate(&order, project.as_deref(), dir);
        let is_claimed = hosts.claim(candidate, trial.begun.elapsed());
        if is_claimed {
            self.keep_order(slot, order);
        }
        is_claimed
    }

    fn follow_up(
        &self,
        trial: &TrialContext,
        recorded: Option<&Evidence>,
        repeat: &dyn Fn(Repetition) -> Result<Evidence, NotRepeated>,
    ) -> Option<String> {
        let (hosts, order) = (self.hosts.as_ref()?, self.take_order(trial.launch.slot)?);
        let project = self.project(trial);
        let candidate = self.candidate(&order, project.as_deref(), &trial.launch.dir);
        hosts.prove(candidate, trial, recorded, repeat)
    }

    fn close(&self) {
        let grace = self.limits.grace.min(ORPHAN_GRACE);
        if let Some(hosts) = &self.hosts {
            hosts.close();
        }
        self.slots.close();
        if let Some(Some(cgroups)) = self.cgroups.get() {
            cgroups.close(grace);
        }
        self.slots.end_unassigned(grace);
    }
}

/// Sets files aside that are newer than the last complete checkpoint, and may be half of another.
fn set_newer_files_aside(
    trial: &TrialContext,
    dir: &Path,
    log: &mut TrialLogger,
) -> Result<(), String> {
    let last = trial.launch.attempt.0.saturating_sub(1);
    let warning = swath_log::resume_from_seal(dir, last).map_err(|error| {
        trial.note_shortage(&error);
        format!("could not prepare its checkpoint folder: {error}")
    })?;
    if let Some(warning) = warning {
        log.warn(warning);
    }
    Ok(())
}

/// Records why a program was not forked from its host.
fn note_cold_start(reason: &str, log: &mut TrialLogger) {
    // A note that is lost costs nothing but itself.
    log.note(&format!("{COLD}{reason}")).ok();
}

/// Returns why a program could not be started, and a hint for the user.
fn why_not(name: &str, order: &Order, error: &io::Error) -> String {
    const ENOEXEC: i32 = 8;
    let path = &order.program;
    let workdir = order.workdir.display();
    if !order.workdir.is_dir() {
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

/// Returns the mark of another run of this process.
pub(super) fn run_mark() -> String {
    let pid = std::process::id();
    let count = RUNS.fetch_add(1, Ordering::Relaxed);
    format!("{pid}-{}-{count}", processes::start_ticks(pid).unwrap_or(0))
}

/// Returns the entry in the environment that only the processes of this trial have.
fn mark(dir: &Path) -> OsString {
    let mut mark = OsString::from("SWATH_TRIAL_DIR=");
    mark.push(dir);
    mark
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
pub(super) fn on_path(name: &str, path: &OsStr, workdir: &Path) -> Option<PathBuf> {
    use rustix::fs::{Access, access};
    std::env::split_paths(path)
        .map(|dir| workdir.join(dir).join(name))
        .find(|candidate| candidate.is_file() && access(candidate, Access::EXEC_OK).is_ok())
}
