//! A single program in a slot of its own, before or beside the trials: `[run] setup`.

use super::cgroups::Cgroups;
use super::orphans::RUN;
use super::output::Output;
use super::program::run_mark;
use super::slot::{Order, Slot, SlotEvent, Slots, StartError};
use super::supervise::ORPHAN_GRACE;
use rustix::process::Signal;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};
use swath_log::regular;

/// Interval between two looks at the log and at the requests to end.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// A program that runs once, with its output in a log.
#[derive(Debug)]
pub struct Task<'a> {
    /// Command line, program first.
    pub command: &'a [String],
    /// Additional variables of the environment.
    pub env: &'a [(String, String)],
    /// Working directory.
    pub workdir: &'a Path,
    /// Folder of the study to which the task belongs.
    pub study: &'a Path,
    /// Name of the task in its control group, and of its log in the folder of the study.
    pub name: &'a str,
    /// Time between SIGTERM and SIGKILL.
    pub grace: Duration,
}

/// A request to a running task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskRequest {
    /// SIGTERM, the grace period, then SIGKILL.
    Stop,
    /// SIGKILL at once.
    Kill,
    /// Stand still until [`Resume`](Self::Resume).
    Suspend,
    /// Go on.
    Resume,
}

/// The way a task ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskEnd {
    /// The program ended by itself.
    Exited(ExitStatus),
    /// The program was asked to end.
    Stopped,
    /// The process of its slot was killed, and the program with it.
    Lost,
}

impl Task<'_> {
    /// Runs the program until it and all that it leaves have ended. `guard` is the command of the
    /// [guard](super::guard). `next_request` is polled for requests; `output` receives what the
    /// program writes.
    ///
    /// # Errors
    /// Fails if the program cannot be started.
    pub fn run(
        &self,
        guard: Option<Command>,
        next_request: &mut dyn FnMut() -> Option<TaskRequest>,
        output: &mut dyn FnMut(&[u8]),
    ) -> io::Result<TaskEnd> {
        let study = std::path::absolute(self.study)?;
        let log = study.join(format!("{}.log", self.name));
        let run = run_mark();
        let slots = Slots::new(guard, &run)?;
        let cgroups = Cgroups::open(&study, &run, None, |path| {
            if let Some(mut guard) = slots.guard() {
                guard.add_cgroup(path);
            }
        });
        // The log holds the output of the last run of the task only.
        regular::create(&log)?;
        let order = self.order(&log, &run)?;
        let mut reader = Output::open_to_read(&log)?;
        let mut slot = slots.take()?;
        slot.enter(cgroups.as_ref());
        let must_end = || false;
        let end = match slot.start(&order, must_end) {
            Ok(_) => follow(&mut slot, self.grace, next_request, &mut || {
                pass_on(&mut reader, output);
            }),
            Err(StartError::Log(_, error) | StartError::Spawn(error)) => return Err(error),
            Err(StartError::Slot(error)) => {
                // The program may have been started before.
                slots.end_strays(slot.pid());
                return Err(error);
            }
        };
        if end == TaskEnd::Lost {
            slots.end_strays(slot.pid());
        }
        pass_on(&mut reader, output);
        drop(slot);
        if let Some(cgroups) = &cgroups {
            cgroups.close(Duration::ZERO);
        }
        slots.end_unassigned(Duration::ZERO);
        Ok(end)
    }

    fn order(&self, log: &Path, run: &str) -> io::Result<Order> {
        let program = self.command.first().ok_or(io::ErrorKind::InvalidInput)?;
        let of_sweep = self.env.iter();
        let mut env: Vec<(OsString, Option<OsString>)> = of_sweep
            .map(|(name, value)| (name.into(), Some(value.into())))
            .collect();
        env.push((RUN.into(), Some(run.into())));
        Ok(Order {
            program: PathBuf::from(program),
            argv: self.command.iter().map(OsString::from).collect(),
            env,
            workdir: std::path::absolute(self.workdir)?,
            logs: [log.to_owned(), log.to_owned()],
            grace: self.grace.min(ORPHAN_GRACE),
            mark: format!("{RUN}={run}").into(),
        })
    }
}

/// Waits until the program and all that it leaves have ended, and passes on requests to end it.
fn follow(
    slot: &mut Slot,
    grace: Duration,
    next_request: &mut dyn FnMut() -> Option<TaskRequest>,
    read: &mut dyn FnMut(),
) -> TaskEnd {
    let mut status = None;
    let mut stopped: Option<Instant> = None;
    let mut is_killed = false;
    loop {
        match slot.wait(POLL_INTERVAL) {
            Some(SlotEvent::Exited(exited, _)) => status = Some(exited),
            Some(SlotEvent::Ended(..)) => break,
            Some(SlotEvent::Gone) => return TaskEnd::Lost,
            None => {}
        }
        read();
        let request = next_request();
        match request {
            Some(TaskRequest::Suspend) => slot.signal_all(Signal::STOP),
            Some(TaskRequest::Resume) => slot.signal_all(Signal::CONT),
            Some(TaskRequest::Stop) if stopped.is_none() && status.is_none() => {
                stopped = Some(Instant::now());
                slot.signal(Signal::TERM);
                slot.signal(Signal::CONT);
            }
            _ => {}
        }
        let is_late = stopped.is_some_and(|since| since.elapsed() >= grace);
        if !is_killed && (request == Some(TaskRequest::Kill) || is_late) {
            is_killed = true;
            slot.kill();
        }
    }
    match status {
        Some(status) if stopped.is_none() && !is_killed => TaskEnd::Exited(status),
        _ => TaskEnd::Stopped,
    }
}

/// Passes on what was written to the log since the last call. Output that cannot be read stays in
/// the log.
fn pass_on(log: &mut File, output: &mut dyn FnMut(&[u8])) {
    let mut bytes = Vec::new();
    log.read_to_end(&mut bytes).ok();
    if !bytes.is_empty() {
        output(&bytes);
    }
}

#[cfg(target_os = "linux")]
#[cfg(test)]
mod tests {
    use super::*;

    fn run(
        script: &str,
        next_request: &mut dyn FnMut() -> Option<TaskRequest>,
    ) -> (TaskEnd, String) {
        let dir = tempfile::tempdir().unwrap();
        let command = ["sh".to_owned(), "-c".to_owned(), script.to_owned()];
        let task = Task {
            command: &command,
            env: &[("WORD".to_owned(), "heard".to_owned())],
            workdir: dir.path(),
            study: dir.path(),
            name: "setup",
            grace: Duration::from_millis(100),
        };
        let mut text = Vec::new();
        let end = task
            .run(None, next_request, &mut |bytes| {
                text.extend_from_slice(bytes);
            })
            .unwrap();
        let log = std::fs::read(dir.path().join("setup.log")).unwrap();
        assert_eq!(log, text);
        (end, String::from_utf8(text).unwrap())
    }

    #[test]
    fn the_output_of_a_task_is_passed_on_and_kept() {
        let (end, text) = run("echo $WORD; echo error >&2; exit 3", &mut || None);
        let TaskEnd::Exited(status) = end else {
            unreachable!("{end:?}");
        };
        assert_eq!((status.code(), &*text), (Some(3), "heard\nerror\n"));
    }

    #[test]
    fn a_task_that_ignores_sigterm_is_killed_after_the_grace_period() {
        let begun = Instant::now();
        let script = "trap '' TERM; echo ready; sleep 60 & wait; sleep 60";
        let (end, _) = run(script, &mut || Some(TaskRequest::Stop));
        assert_eq!(end, TaskEnd::Stopped);
        assert!(begun.elapsed() < Duration::from_secs(30));
    }
}
