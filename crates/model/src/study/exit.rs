//! The ways in which an attempt can end.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// The way an attempt ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exit {
    /// The process exited with status 0, or the function returned `Ok`; or the attempt was ended
    /// after it had used all of the trial's resource.
    Done,
    /// The attempt was paused at its resource, with a checkpoint.
    Paused,
    /// The scheduler's verdict stopped the attempt.
    Stopped,
    /// The user or the system interrupted the run; the trial waits to run again.
    Interrupted,
    /// The attempt failed.
    Failed(Failure),
    /// The orchestrator or the node went down while the attempt ran.
    Lost,
}

/// The reason why an attempt failed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Failure {
    /// The process could not be started. The text is the reason.
    Spawn(String),
    /// The process exited with this status.
    Code(i32),
    /// This signal killed the process.
    Signal(i32),
    /// The attempt ran longer than `limits.trial_time`, which is the duration here.
    Timeout(Duration),
    /// The process wrote an error message, such as the last line of a traceback, before it ended.
    Raised {
        /// The error message of the process.
        error: String,
        /// The exit status or the signal.
        ended: Box<Self>,
    },
    /// The function returned this error.
    Error(String),
    /// The function panicked with this message.
    Panic(String),
    /// The process that ran the trial elsewhere gave this reason: an ask-and-tell client, or the
    /// tool that an imported trial comes from.
    Told(String),
    /// The attempt ended well, but an objective was never reported or is not finite. The text says
    /// which one and why.
    NoObjective(String),
    /// The attempt used more memory than it was allotted.
    Memory,
    /// The program said that its configuration cannot work, with this reason: it recorded it, or
    /// ended with a status that `[run] invalid` names.
    Invalid(String),
}

/// The class of a failure, as `[retry] on` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureClass {
    /// A nonzero status, a signal, an error or a panic.
    Crash,
    /// The attempt ran longer than `limits.trial_time`.
    Timeout,
    /// The attempt used more memory than it was allotted.
    Memory,
    /// The orchestrator or the node went down.
    Lost,
    /// The process could not be started.
    Spawn,
    /// The attempt ended well without a finite objective.
    Objective,
    /// The configuration cannot work, as the program said. Such a trial is never tried again, so
    /// `[retry] on` does not take this class.
    Invalid,
}

impl Failure {
    /// Returns the class of the failure, as `[retry] on` names it.
    #[must_use]
    pub fn class(&self) -> FailureClass {
        match self {
            Self::Spawn(_) => FailureClass::Spawn,
            Self::Raised { ended, .. } => ended.class(),
            Self::Code(_) | Self::Signal(_) | Self::Error(_) | Self::Panic(_) | Self::Told(_) => {
                FailureClass::Crash
            }
            Self::Timeout(_) => FailureClass::Timeout,
            Self::NoObjective(_) => FailureClass::Objective,
            Self::Memory => FailureClass::Memory,
            Self::Invalid(_) => FailureClass::Invalid,
        }
    }
}

impl Failure {
    /// Returns the way the process ended, without the error message that it wrote before.
    #[must_use]
    pub fn ended(&self) -> &Self {
        match self {
            Self::Raised { ended, .. } => ended.ended(),
            other => other,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Spawn(why) => write!(f, "could not start: {why}"),
            Self::Code(code) => write!(f, "exit status {code}"),
            Self::Signal(signal) => write!(f, "killed by signal {signal}{}", signal_name(*signal)),
            Self::Timeout(limit) => write!(f, "ran longer than {}", seconds(*limit)),
            Self::Error(why) => write!(f, "returned an error: {why}"),
            Self::Panic(why) => write!(f, "panicked: {why}"),
            Self::Raised { error, ended } => write!(f, "{error} ({ended})"),
            Self::NoObjective(why) | Self::Told(why) => f.write_str(why),
            Self::Invalid(why) => write!(f, "invalid configuration: {why}"),
            Self::Memory => f.write_str("used more memory than it was given"),
        }
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done => f.write_str("done"),
            Self::Paused => f.write_str("paused"),
            Self::Stopped => f.write_str("stopped"),
            Self::Interrupted => f.write_str("interrupted"),
            Self::Failed(failure) => failure.fmt(f),
            Self::Lost => f.write_str("lost"),
        }
    }
}

fn signal_name(signal: i32) -> &'static str {
    match signal {
        1 => " (SIGHUP)",
        2 => " (SIGINT)",
        3 => " (SIGQUIT)",
        4 => " (SIGILL)",
        6 => " (SIGABRT)",
        7 => " (SIGBUS)",
        8 => " (SIGFPE)",
        9 => " (SIGKILL)",
        11 => " (SIGSEGV)",
        13 => " (SIGPIPE)",
        15 => " (SIGTERM)",
        24 => " (SIGXCPU)",
        25 => " (SIGXFSZ)",
        _ => "",
    }
}

fn seconds(limit: Duration) -> String {
    format!("{} s", limit.as_secs_f64())
}
