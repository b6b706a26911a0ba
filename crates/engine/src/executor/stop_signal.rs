//! The signal that asks a program to end, and the processes that get it first: `[run] stop`.

use rustix::process::Signal;
use serde::{Deserialize, Serialize};

/// The way in which a program is asked to end.
///
/// The default lets a program write its checkpoint while the workers that it needs still live.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopSignal {
    /// Number of the signal.
    pub signal: i32,
    /// Processes that get it first.
    pub to: StopTarget,
}

/// The processes of a program that get the stop signal first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StopTarget {
    /// The main process. The rest get it when the main process has ended, or when half of the grace
    /// period is over.
    #[default]
    Main,
    /// All processes of the process group at once.
    Group,
}

impl StopTarget {
    /// The names of the variants, the default first.
    pub const NAMES: &[&str] = &["main", "group"];

    /// Returns the variant with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "main" => Some(Self::Main),
            "group" => Some(Self::Group),
            _ => None,
        }
    }
}

/// Signals that ask a program to end. Others end it at once, or mean something else.
const SIGNALS: [(&str, Signal); 6] = [
    ("SIGTERM", Signal::TERM),
    ("SIGINT", Signal::INT),
    ("SIGHUP", Signal::HUP),
    ("SIGQUIT", Signal::QUIT),
    ("SIGUSR1", Signal::USR1),
    ("SIGUSR2", Signal::USR2),
];

impl StopSignal {
    /// The names of the signals, the default first.
    pub const NAMES: &[&str] = &[
        SIGNALS[0].0,
        SIGNALS[1].0,
        SIGNALS[2].0,
        SIGNALS[3].0,
        SIGNALS[4].0,
        SIGNALS[5].0,
    ];

    /// Returns the number of the signal with this name; `None` if it is not in
    /// [`NAMES`](Self::NAMES).
    #[must_use]
    pub fn number(name: &str) -> Option<i32> {
        let entry = SIGNALS.iter().find(|(known, _)| *known == name)?;
        Some(entry.1.as_raw())
    }

    pub(super) fn signal(self) -> Signal {
        Signal::from_named_raw(self.signal).unwrap_or(Signal::TERM)
    }
}

impl Default for StopSignal {
    fn default() -> Self {
        Self {
            signal: Signal::TERM.as_raw(),
            to: StopTarget::default(),
        }
    }
}
