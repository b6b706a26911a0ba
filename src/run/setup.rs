//! `[run] setup`: a command that runs once, before the first trial.

use std::io::Write;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};

/// Why the setup did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// It could not be started.
    #[error("the setup command `{command}` could not be started")]
    Start {
        /// The command.
        command: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It failed.
    #[error("the setup command `{command}` failed ({status})")]
    Failed {
        /// The command.
        command: String,
        /// How.
        status: ExitStatus,
    },
}

/// Runs the command to its end. Both of its streams go to standard error: standard output carries
/// data only.
pub(super) fn run(
    command: &[String],
    env: &[(String, String)],
    workdir: &Path,
) -> Result<(), SetupError> {
    let [program, arguments @ ..] = command else {
        return Ok(());
    };
    let shown = command.join(" ");
    let start = |source| SetupError::Start {
        command: shown.clone(),
        source,
    };
    let stderr = std::io::stderr();
    let _ = stderr.lock().flush();
    let streams = rustix::io::dup(&stderr)
        .map(Stdio::from)
        .map_err(|error| start(error.into()))?;
    let status = Command::new(program)
        .args(arguments)
        .envs(env.iter().map(|(name, value)| (name, value)))
        .current_dir(workdir)
        .stdin(Stdio::null())
        .stdout(streams)
        .status()
        .map_err(start)?;
    if status.success() {
        Ok(())
    } else {
        Err(SetupError::Failed {
            command: shown,
            status,
        })
    }
}
