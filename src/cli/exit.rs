//! How the program ends: the one list of exit codes, and the failure that is printed before it.

use std::fmt::Display;

/// The exit codes. Scripts rely on them; they never change their meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Code {
    /// What was asked for is done.
    Done = 0,
    /// The tool itself failed: a disk is full, a journal is damaged.
    Tool = 1,
    /// Bad usage, or a sweep file that cannot be used.
    Usage = 2,
    /// The run ended and no trial succeeded.
    NoSuccess = 3,
    /// `limits.failures` was reached, or one trial after the other failed within seconds.
    FailureLimit = 4,
    /// Another `run` holds the study.
    Held = 5,
    /// A check found a difference.
    Difference = 6,
    /// The trial that asked is to end (`swath report --wait`).
    End = 10,
    /// SIGINT ended it.
    Interrupted = 130,
    /// SIGTERM, SIGHUP or SIGUSR1 ended it.
    Terminated = 143,
}

impl From<Code> for std::process::ExitCode {
    fn from(code: Code) -> Self {
        Self::from(code as u8)
    }
}

/// Why a command could not do what was asked: a message, its causes, what to do, and the exit code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    /// How the program ends.
    pub(crate) code: Code,
    /// What happened: a lower-case fragment without a full stop. Empty: nothing is printed.
    pub(crate) message: String,
    /// Why, from the nearest to the farthest.
    pub(crate) causes: Vec<String>,
    /// What to do about it.
    pub(crate) hints: Vec<String>,
    /// Text that is printed as it is, before the message: diagnostics with carets.
    pub(crate) rendered: String,
}

impl Failure {
    /// The person asked for something that cannot be.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Code::Usage, message)
    }

    /// The tool could not do its work.
    pub(crate) fn tool(message: impl Into<String>) -> Self {
        Self::new(Code::Tool, message)
    }

    /// Ends with this code and message.
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

    /// Ends with this code without a word.
    pub(crate) fn silent(code: Code) -> Self {
        Self::new(code, "")
    }

    /// Takes over an error with its chain of causes.
    pub(crate) fn caused(code: Code, error: &dyn std::error::Error) -> Self {
        let causes = std::iter::successors(error.source(), |cause| (**cause).source());
        Self {
            causes: causes.map(ToString::to_string).collect(),
            ..Self::new(code, error.to_string())
        }
    }

    /// Adds what to do about it.
    pub(crate) fn hint(mut self, hint: impl Display) -> Self {
        self.hints.push(hint.to_string());
        self
    }
}

/// Writing to standard output failed. A reader that has gone away (`| head`) is no failure.
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

impl From<crate::journal::JournalError> for Failure {
    fn from(error: crate::journal::JournalError) -> Self {
        use crate::journal::JournalError;
        match &error {
            JournalError::Held { .. } => Self::caused(Code::Held, &error)
                .hint("wait for it, stop it, or read along with `swath ls` and `swath show`"),
            JournalError::NoStudy(_) => Self::caused(Code::Usage, &error),
            JournalError::BadLine { .. } => Self::caused(Code::Tool, &error).hint(
                "`swath doctor STUDY --salvage` keeps every good entry, and the damaged journal beside it",
            ),
            full if full.is_full() => Self::caused(Code::Tool, &error)
                .hint("make room on the disk, then run again: what was recorded is kept"),
            _ => Self::caused(Code::Tool, &error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Code, Failure};

    #[test]
    fn a_reader_that_has_gone_away_is_no_failure() {
        let failure = Failure::from(std::io::Error::from(std::io::ErrorKind::BrokenPipe));
        assert_eq!(failure, Failure::silent(Code::Done));
    }

    #[test]
    fn a_full_disk_is_a_failure_of_the_tool() {
        let failure = Failure::from(std::io::Error::from(std::io::ErrorKind::StorageFull));
        assert_eq!(failure.code, Code::Tool);
    }
}
