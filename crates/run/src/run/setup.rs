//! The command in `[run] setup`, which runs once before the first trial.

use std::io::Write;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};

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
}

/// Runs the command and waits for its end. Both of its output streams go to standard error, because
/// standard output carries data only. An empty command is a success.
pub(super) fn run(
    command: &[String],
    env: &[(String, String)],
    workdir: &Path,
) -> Result<(), SetupError> {
    let [program, arguments @ ..] = command else {
        return Ok(());
    };
    let line = command.join(" ");
    let stderr = std::io::stderr();
    let _ = stderr.lock().flush();
    let streams = rustix::io::dup(&stderr)
        .map(Stdio::from)
        .map_err(|error| start_failed(&line, error.into()))?;
    let status = Command::new(program)
        .args(arguments)
        .envs(env.iter().map(|(name, value)| (name, value)))
        .current_dir(workdir)
        .stdin(Stdio::null())
        .stdout(streams)
        .status()
        .map_err(|error| start_failed(&line, error))?;
    if status.success() {
        Ok(())
    } else {
        Err(SetupError::Failed {
            command: line,
            status,
        })
    }
}

fn start_failed(command: &str, source: std::io::Error) -> SetupError {
    SetupError::Start {
        command: command.to_owned(),
        source,
    }
}
