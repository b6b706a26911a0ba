//! A program as a trainable: its command, its environment, its files, and a group of processes of its own.

use super::guard::Guard;
use super::output::Output;
use super::strays::{RUN, Strays};
use super::supervise::{GRACE_FOR_THE_REST, Records, Supervision, Terms, stop_file};
use super::{ExecutorError, Exit, Launch, Outcome, StudyContext, Trainable, TrialContext, processes};
use crate::logger::TrialLogger;
use crate::space::Name;
use crate::study::{Failure, Usage};
use regex::Regex;
use std::cell::Cell;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf, absolute};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// How often a program is tried again that somebody is just writing, or that another thread's child still holds open.
const BUSY_TRIES: u32 = 20;

/// Tells apart the runs of one process, so that none ends the trials of another.
static RUNS: AtomicU32 = AtomicU32::new(1);

/// Makes the command of an attempt, program first.
pub type Argv = Box<dyn Fn(&Launch) -> Vec<String> + Send + Sync>;

/// What a [`Program`] is made from.
pub struct ProgramSettings {
    /// The command. A relative path with a slash in its first word starts at the workdir, a word without is looked for on `PATH`.
    pub argv: Argv,
    /// Variables beside those that swath sets, which win.
    pub env: Vec<(String, String)>,
    /// Where it runs.
    pub workdir: PathBuf,
    /// How long it may run.
    pub trial_time: Option<Duration>,
    /// How long it has between SIGTERM and SIGKILL.
    pub grace: Duration,
    /// How long `stdout.log` and `stderr.log` may become, each, in bytes.
    pub log: u64,
    /// What to look for in its output.
    pub capture: Vec<(Name, Regex)>,
    /// Whether it writes checkpoints: their folder is then made before every attempt, else only when one is to pause or go on.
    pub checkpoint: bool,
    /// The command of the [guard](super::guard::run); `None`: without one.
    pub guard: Option<Command>,
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
    guard: Option<Guard>,
    strays: Strays,
    nothing: File,
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
        ("SWATH_TRIAL", Some(study.stands_for.unwrap_or(launch.trial).to_string().into())),
        ("SWATH_ATTEMPT", Some(launch.attempt.to_string().into())),
        ("SWATH_TRIAL_DIR", Some(dir.into())),
        ("SWATH_PARAMS", Some(dir.join("params.json").into())),
        ("SWATH_RECORDS", Some(dir.join("records.jsonl").into())),
        ("SWATH_CHECKPOINT_DIR", Some(dir.join("checkpoints").into())),
        ("SWATH_DATA_DIR", Some(study.data_dir.join(":").into())),
        ("SWATH_SEED", Some(launch.seed.to_string().into())),
        ("SWATH_UNTIL", launch.until.map(|until| until.to_string().into())),
        ("SWATH_RESUME", launch.resume.then(|| "1".into())),
    ]
}

impl Program {
    /// Makes a trainable of a command, and this process the one that gets what its trials leave behind.
    ///
    /// # Errors
    /// If the guard cannot be started.
    pub fn new(settings: ProgramSettings) -> Result<Self, ExecutorError> {
        let ProgramSettings { argv, env, workdir, trial_time, grace, log, capture, checkpoint, guard } =
            settings;
        let prepare = |source| ExecutorError::Prepare { source };
        let pid = std::process::id();
        let count = RUNS.fetch_add(1, Ordering::Relaxed);
        let run = format!("{pid}-{}-{count}", processes::start_ticks(pid).unwrap_or(0));
        let guard = guard.map(|command| Guard::start(command, &run)).transpose().map_err(prepare)?;
        Ok(Self {
            argv,
            env,
            workdir: absolute(workdir).map_err(prepare)?,
            terms: Terms { limit: trial_time, grace },
            log,
            capture,
            checkpoint,
            strays: Strays::new(&run),
            run,
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
            .stdin(self.nothing.try_clone().map_or_else(|_| Stdio::null(), Stdio::from))
            .stdout(log("stdout.log")?)
            .stderr(log("stderr.log")?);
        self.set_environment(&mut command, trial, dir);
        let mut tries = 0;
        loop {
            match command.spawn() {
                Err(error) if error.kind() == ErrorKind::ExecutableFileBusy && tries < BUSY_TRIES => {
                    tries += 1;
                    std::thread::sleep(Duration::from_millis(10));
                }
                spawned => return spawned.map_err(|error| self.why_not(name, &program, &error)),
            }
        }
    }

    fn set_environment(&self, command: &mut Command, trial: &TrialContext, dir: &Path) {
        command.envs(self.env.iter().map(|(name, value)| (name, value))).env(RUN, &self.run);
        for (name, value) in environment(&trial.study, &trial.launch, dir) {
            match value {
                Some(value) => command.env(name, value),
                // This process may itself run in a trial, whose variables are not for its own trials.
                None => command.env_remove(name),
            };
        }
    }

    /// Returns the path of a program: where it is on `PATH`, or below the workdir if it has a slash.
    fn find(&self, name: &str) -> Result<PathBuf, String> {
        if name.contains('/') {
            return Ok(self.workdir.join(name));
        }
        if let Some((_, path)) = self.found.get().filter(|(known, _)| known == name) {
            return Ok(path.clone());
        }
        let given = self.env.iter().find(|(variable, _)| variable == "PATH");
        let path = given.map_or_else(|| std::env::var_os("PATH"), |(_, value)| Some(OsString::from(value)));
        let found = on_path(name, path.as_deref().unwrap_or_default(), &self.workdir);
        let path = found.ok_or_else(|| self.not_on_path(name))?;
        // Another slot may have been first; both found the same.
        self.found.set((name.to_owned(), path.clone())).ok();
        Ok(path)
    }

    fn not_on_path(&self, name: &str) -> String {
        if self.workdir.join(name).is_file() {
            return format!("`{name}` is not on PATH; to run the file in the workdir write `./{name}`");
        }
        format!("`{name}` is not on PATH; install it, or write the path of a program, as in `./train.sh`")
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

    fn run(&self, trial: &TrialContext, log: &mut TrialLogger, dir: &Path) -> Result<Outcome, String> {
        let resumes = trial.launch.resume;
        self.prepare(&trial.launch, dir)?;
        let records = Records::new(dir, resumes);
        let records = records.map_err(|error| format!("its records cannot be read: {error}"))?;
        let output = Output::new(dir, &self.capture, self.log, resumes);
        let child = self.spawn(trial, dir)?;
        let group = child.id();
        let settled = Cell::new(false);
        let settle = || {
            let place = processes::place(group);
            if let Some(guard) = &self.guard {
                guard.add(group, place.start_ticks);
            }
            trial.placed(place);
            settled.set(true);
        };
        let outcome = Supervision::new(child, trial, log, &self.terms, records, output).run(settle);
        let mark = format!("SWATH_TRIAL_DIR={}", dir.display());
        if !self.strays.end_of_trial(&mark, self.terms.grace.min(GRACE_FOR_THE_REST)) {
            log.warn("a process that the trial left behind could not be ended".to_owned());
        }
        if let Some(guard) = self.guard.as_ref().filter(|_| settled.get()) {
            guard.remove(group);
        }
        Ok(outcome)
    }
}

impl Trainable for Program {
    fn command(&self, launch: &Launch) -> Vec<String> {
        (self.argv)(launch)
    }

    fn train(&self, trial: &TrialContext, log: &mut TrialLogger) -> Outcome {
        let dir = match absolute(&trial.launch.dir) {
            Ok(dir) => dir,
            Err(error) => return spawn_failed(format!("the trial's folder cannot be named: {error}")),
        };
        self.run(trial, log, &dir).unwrap_or_else(spawn_failed)
    }

    fn close(&self) {
        self.strays.end_of_run(self.terms.grace.min(GRACE_FOR_THE_REST));
    }
}

fn spawn_failed(why: String) -> Outcome {
    Outcome { exit: Exit::Failed(Failure::Spawn(why)), usage: Usage::default() }
}

/// Looks for an executable in the directories of `path`; relative ones start at the workdir, as they will for the program.
fn on_path(name: &str, path: &OsStr, workdir: &Path) -> Option<PathBuf> {
    use rustix::fs::{Access, access};
    std::env::split_paths(path)
        .map(|dir| workdir.join(dir).join(name))
        .find(|candidate| candidate.is_file() && access(candidate, Access::EXEC_OK).is_ok())
}
