//! Every way an attempt can end.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exit {
    /// It ended by itself with status 0, or the function returned `Ok`; or it was ended after all
    /// of the resource that a trial gets.
    Done,
    /// It was paused at its resource, with a checkpoint.
    Paused,
    /// It was stopped by the scheduler's verdict.
    Stopped,
    /// The person or the system interrupted the run; the trial waits to go on.
    Interrupted,
    /// It failed.
    Failed(Failure),
    /// The orchestrator or the node went away while it ran.
    Lost,
}

/// Why an attempt failed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Failure {
    /// It could not be started: the reason.
    Spawn(String),
    /// It ended with this status.
    Code(i32),
    /// This signal ended it.
    Signal(i32),
    /// It ran longer than `limits.trial_time`.
    Timeout(Duration),
    /// It wrote this error, the last line of a traceback say, and then ended like that.
    Raised {
        /// The error in its own words.
        error: String,
        /// The status or the signal.
        ended: Box<Self>,
    },
    /// The function returned this error.
    Error(String),
    /// The function panicked with this message.
    Panic(String),
    /// The process that ran the trial elsewhere gave this reason: an ask-and-tell client, or the
    /// tool that an imported trial comes from.
    Told(String),
    /// It ended well, but this objective was never reported or was not finite.
    NoObjective(String),
    /// It used more memory than it was given.
    Memory,
}

/// The class of a failure, as `[retry] on` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureClass {
    /// A status other than 0, a signal, an error or a panic.
    Crash,
    /// Too long.
    Timeout,
    /// Too much memory.
    Memory,
    /// The orchestrator or the node went away.
    Lost,
    /// Never started.
    Spawn,
    /// Ended without a finite objective.
    Objective,
}

impl Failure {
    /// Returns the class, as `[retry] on` names it.
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
        }
    }
}

impl Failure {
    /// Returns how the process ended: without the error that it wrote before.
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
