//! The exit codes of the program, and the failure that it prints before it exits.

use std::fmt::Display;

/// The exit codes. Scripts rely on them, so a code never changes its meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Code {
    /// The command did what the user asked for.
    Done = 0,
    /// The program itself failed, for example because a disk is full or a journal is damaged.
    Tool = 1,
    /// The arguments are wrong, or the sweep file cannot be used.
    Usage = 2,
    /// The run ended and no trial succeeded.
    NoSuccess = 3,
    /// The run ended because `limits.failures` was reached, or because the circuit breaker opened:
    /// trial after trial failed within seconds.
    FailureLimit = 4,
    /// Another process runs the study and holds its lock.
    Held = 5,
    /// A check found a difference (`verify`, `repro`, `replay`, `compare --assert`, `doctor`).
    Difference = 6,
    /// The scheduler decided that the calling trial must end (`swath report --wait`).
    End = 10,
    /// SIGINT ended the run.
    Interrupted = 130,
    /// SIGTERM, SIGHUP or SIGUSR1 ended the run.
    Terminated = 143,
}

impl From<Code> for std::process::ExitCode {
    fn from(code: Code) -> Self {
        Self::from(code as u8)
    }
}

/// The failure of a command: a message, its causes, hints and the exit code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    /// The exit code of the program.
    pub(crate) code: Code,
    /// The message: a lower-case fragment without a full stop. If it is empty, only `rendered` is
    /// printed.
    pub(crate) message: String,
    /// The causes of the message, from the nearest to the farthest.
    pub(crate) causes: Vec<String>,
    /// Hints on what the user can do about the failure.
    pub(crate) hints: Vec<String>,
    /// Diagnostics with carets, printed as they are before the message. Empty if there are none.
    pub(crate) rendered: String,
}

impl Failure {
    /// Returns a failure with [`Code::Usage`]: the user asked for something that is not possible.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Code::Usage, message)
    }

    /// Returns a failure with [`Code::Tool`]: the program could not do its work.
    pub(crate) fn tool(message: impl Into<String>) -> Self {
        Self::new(Code::Tool, message)
    }

    /// Returns a failure with this code and message, without causes, hints and diagnostics.
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        let rendered = String::new();
        Self {
            code,
            message: message.into(),
            causes: Vec::new(),
            hints: Vec::new(),
            rendered,
        }
    }

    /// Returns a failure that sets the exit code and prints nothing.
    pub(crate) fn silent(code: Code) -> Self {
        Self::new(code, "")
    }

    /// Returns a failure with the message of `error` and its whole chain of sources as causes.
    pub(crate) fn caused(code: Code, error: &dyn std::error::Error) -> Self {
        let causes = std::iter::successors(error.source(), |cause| (**cause).source());
        Self {
            causes: causes.map(ToString::to_string).collect(),
            ..Self::new(code, error.to_string())
        }
    }

    /// Adds a hint on what the user can do about the failure.
    pub(crate) fn hint(mut self, hint: impl Display) -> Self {
        self.hints.push(hint.to_string());
        self
    }
}

/// Turns an error of writing to standard output into a failure. A closed pipe (`| head`) ends the
/// command silently with [`Code::Done`].
impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            return Self::silent(Code::Done);
        }
        Self {
            causes: vec![error.to_string()],
            ..Self::tool("could not write the output")
        }
    }
}

impl From<crate::study::SearchError> for Failure {
    fn from(error: crate::study::SearchError) -> Self {
        Self::tool(error.message).hint(error.hint)
    }
}

impl From<crate::journal::JournalError> for Failure {
    fn from(error: crate::journal::JournalError) -> Self {
        use crate::journal::JournalError;
        match &error {
            JournalError::Held { .. } => Self::caused(Code::Held, &error)
                .hint("wait for that run, end it with `swath stop`, or watch it with `swath ls` and `swath show`"),
            JournalError::HeldByEnded { .. } => Self::caused(Code::Held, &error)
                .hint("wait a moment and try again; if that does not help, a child of it still has `lock` open: `fuser` on that file names it"),
            JournalError::Short { shortfall, .. } => Self::caused(Code::Tool, &error)
                .hint("it was cut, or it is a copy that was made while the study ran; if there is a longer one, put that back")
                .hint(format!(
                    "`swath doctor STUDY --salvage` keeps the {} entries that are there, and the study goes on from them",
                    shortfall.present
                )),
            JournalError::NoStudy(_) => Self::caused(Code::Usage, &error),
            JournalError::BadLine { .. } => Self::caused(Code::Tool, &error).hint(
                "`swath doctor STUDY --salvage` rebuilds the journal from its valid entries and keeps the damaged one beside it",
            ),
            full if full.is_full() => Self::caused(Code::Tool, &error)
                .hint("free some disk space, then run again; the recorded results are kept"),
            _ => Self::caused(Code::Tool, &error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Code, Failure};

    #[test]
    fn a_closed_output_pipe_is_not_a_failure() {
        let failure = Failure::from(std::io::Error::from(std::io::ErrorKind::BrokenPipe));
        assert_eq!(failure, Failure::silent(Code::Done));
    }

    #[test]
    fn a_full_disk_is_a_failure_of_the_tool() {
        let failure = Failure::from(std::io::Error::from(std::io::ErrorKind::StorageFull));
        assert_eq!(failure.code, Code::Tool);
    }
}
