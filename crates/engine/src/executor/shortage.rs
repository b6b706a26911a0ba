//! The machine lacks something that every attempt needs to start: descriptors, processes or memory.
//!
//! That is not the trial's fault. The attempt waits in its slot and is tried again until the machine
//! has what it needs, as the run waits while the disk is full. No attempt and no retry is used up.

use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Intervals between two tries: the first one, and the longest. Each is twice as long as the one
/// before.
pub(super) const FIRST_WAIT: Duration = Duration::from_millis(50);
pub(super) const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// Something that the machine lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shortage {
    /// This process has as many open files as it may have.
    Descriptors,
    /// All processes of the machine together have as many open files as they may have.
    DescriptorsOfMachine,
    /// The user or the control group has as many processes as it may have.
    Processes,
    /// There is no memory for another process.
    Memory,
}

impl Shortage {
    /// Returns the shortage that an error of the operating system shows; `None` if it shows none.
    pub(crate) fn of(error: &io::Error) -> Option<Self> {
        match Errno::from_io_error(error)? {
            Errno::MFILE => Some(Self::Descriptors),
            Errno::NFILE => Some(Self::DescriptorsOfMachine),
            Errno::AGAIN => Some(Self::Processes),
            Errno::NOMEM => Some(Self::Memory),
            _ => None,
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Descriptors => {
                "open files: this process may have no more of them (see `ulimit -n`)"
            }
            Self::DescriptorsOfMachine => "open files: the machine may have no more of them",
            Self::Processes => {
                "processes: no more may be started (see `ulimit -u` and `pids.max` of the control group)"
            }
            Self::Memory => "memory for another process",
        }
    }
}

/// Returns whether a file can be opened.
pub(super) fn has_descriptors() -> bool {
    // Other errors say nothing about descriptors.
    !File::open("/dev/null").is_err_and(|error| Shortage::of(&error).is_some())
}

/// The waits of all slots of a pool, and the messages about them.
#[derive(Debug, Default)]
pub(super) struct Waits {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Number of attempts that wait.
    waiting: usize,
    messages: Vec<String>,
}

impl Waits {
    /// Adds a message.
    pub(super) fn tell(&self, message: String) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.messages.push(message);
    }

    /// Adds an attempt that begins to wait. The first one is announced.
    pub(super) fn begin(&self, shortage: Shortage) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.waiting == 0 {
            state.messages.push(format!(
                "the machine is short of {}; trials wait for it, nothing is lost, and they start by \
                 themselves",
                shortage.words()
            ));
        }
        state.waiting += 1;
    }

    /// Removes an attempt that waits no longer.
    pub(super) fn end(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.waiting = state.waiting.saturating_sub(1);
        if state.waiting == 0 {
            state
                .messages
                .push("the machine has what it was short of: trials start again".to_owned());
        }
    }

    /// Returns the messages since the last call.
    pub(super) fn take_messages(&self) -> Vec<String> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut state.messages)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_errors_of_the_machine_are_shortages() {
        for (errno, expected) in [
            (Errno::MFILE, Some(Shortage::Descriptors)),
            (Errno::NFILE, Some(Shortage::DescriptorsOfMachine)),
            (Errno::AGAIN, Some(Shortage::Processes)),
            (Errno::NOMEM, Some(Shortage::Memory)),
            (Errno::NOENT, None),
            (Errno::NOSPC, None),
            (Errno::TOOBIG, None),
        ] {
            assert_eq!(Shortage::of(&errno.into()), expected, "{errno}");
        }
        assert_eq!(Shortage::of(&io::Error::other("no errno")), None);
    }

    #[test]
    fn many_waiting_attempts_are_announced_once() {
        let waits = Waits::default();
        waits.begin(Shortage::Descriptors);
        waits.begin(Shortage::Processes);
        waits.end();
        assert_eq!(waits.take_messages().len(), 1);
        waits.end();
        assert_eq!(waits.take_messages().len(), 1);
    }
}
