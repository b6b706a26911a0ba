//! The command in `[run] setup`, which runs once before the first trial. It runs as a trial does:
//! in a slot, with a log, ended by the same requests and with the run.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, ExitStatus};
use swath_engine::driver::{Control, Interrupt, Urgency};
use swath_engine::executor::{Task, TaskEnd, TaskRequest};
use swath_engine::journal::StudyDir;

use crate::sweep::Sweep;

/// An error of the setup command.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SetupError {
    /// The command could not be started.
    #[error("the setup command `{command}` could not be started")]
    Start {
        /// The command as one line.
        command: String,
        /// The error of the operating system.
        #[source]
        source: std::io::Error,
    },
    /// The command ran and failed.
    #[error("the setup command `{command}` failed ({status})")]
    Failed {
        /// The command as one line.
        command: String,
        /// The exit status of the command.
        status: ExitStatus,
    },
    /// The process of its slot was killed, and the command with it.
    #[error("the setup command `{command}` was killed with the process of its slot")]
    Lost {
        /// The command as one line.
        command: String,
    },
}

/// Whether trials may follow the setup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum SetupEnd {
    /// The command succeeded, or there is none.
    Done,
    /// The run was asked to end meanwhile, so no trial may start.
    Interrupted,
}

/// Runs the command and waits for its end. Its output goes to its log and to standard error,
/// because standard output carries data only. An empty command is a success.
pub(super) fn run(
    sweep: &Sweep,
    dir: &StudyDir,
    workdir: &Path,
    guard: Option<Command>,
    interrupt: &Interrupt,
) -> Result<SetupEnd, SetupError> {
    let command = &sweep.run.setup;
    if command.is_empty() {
        return Ok(SetupEnd::Done);
    }
    let task = Task {
        command,
        env: &sweep.run.env,
        workdir,
        study: dir.root(),
        name: "setup",
        grace: sweep.run.grace,
    };
    let mut is_suspended = false;
    let mut next_request = || {
        if is_suspended {
            interrupt.suspend_process();
            is_suspended = false;
            return Some(TaskRequest::Resume);
        }
        is_suspended = interrupt.take_halt();
        if is_suspended {
            return Some(TaskRequest::Suspend);
        }
        stop_request(dir, interrupt)
    };
    let end = task
        .run(guard, &mut next_request, &mut |bytes| {
            // The log has the output too.
            let _ = std::io::stderr().lock().write_all(bytes);
        })
        .map_err(|source| SetupError::Start {
            command: command.join(" "),
            source,
        })?;
    match end {
        TaskEnd::Stopped => Ok(SetupEnd::Interrupted),
        _ if stop_request(dir, interrupt).is_some() => Ok(SetupEnd::Interrupted),
        TaskEnd::Exited(status) if status.success() => Ok(SetupEnd::Done),
        TaskEnd::Exited(status) => Err(SetupError::Failed {
            command: command.join(" "),
            status,
        }),
        TaskEnd::Lost => Err(SetupError::Lost {
            command: command.join(" "),
        }),
    }
}

/// Returns how the setup is to end, by a signal or by `swath stop`; `None` if it may go on.
fn stop_request(dir: &StudyDir, interrupt: &Interrupt) -> Option<TaskRequest> {
    let request = Control::pending(dir).and_then(|request| request.stop);
    match request.unwrap_or(Urgency::None).max(interrupt.urgency()) {
        // After a request to drain, the setup may end; the run then starts no trial.
        Urgency::None | Urgency::Drain => None,
        Urgency::Stop => Some(TaskRequest::Stop),
        Urgency::Kill => Some(TaskRequest::Kill),
    }
}
