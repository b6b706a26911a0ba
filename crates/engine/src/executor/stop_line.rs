//! The channel over which the executor asks a slot to stop its trial: an atomic with the request,
//! and on Linux an eventfd that wakes the sleeping supervisor.

use super::{Exit, Launch, Stop};
use crate::study::{Attempt, TrialId};
#[cfg(target_os = "linux")]
use std::os::fd::OwnedFd;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// The state that the thread of one slot shares with the executor.
///
/// A request names its attempt, so a late request cannot reach the next trial of the slot.
pub(super) struct StopLine {
    /// Trial in the upper 32 bits, attempt in the next 24, the [`Asked`] in the low byte.
    request: AtomicU64,
    /// Whether the trial has learned of the request.
    noticed: AtomicBool,
    /// Whether the trial is to be suspended, because the orchestrator is.
    halt: AtomicBool,
    /// Whether the trial is suspended.
    halted: AtomicBool,
    #[cfg(target_os = "linux")]
    wake: Option<OwnedFd>,
}

/// A stop request: the reason, and whether SIGKILL follows at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) why: Stop,
    pub(super) kill: bool,
}

impl Asked {
    /// Returns the exit of an attempt that got this request. A pause that became a kill leaves no
    /// reliable checkpoint and counts as an interruption.
    pub(super) fn exit(self) -> Exit {
        match (self.why, self.kill) {
            (Stop::Pause, true) => Exit::Interrupted,
            (why, _) => why.exit(),
        }
    }

    fn merged(self, how: Stop) -> Self {
        Self {
            kill: self.kill || how == Stop::Kill,
            ..self
        }
    }

    fn byte(self) -> u64 {
        let why = match self.why {
            Stop::Pause => 1,
            Stop::Verdict => 2,
            Stop::Interrupt => 3,
            Stop::Kill => 4,
        };
        why | u64::from(self.kill) << 3
    }

    fn from_byte(byte: u64) -> Option<Self> {
        let why = match byte & 7 {
            1 => Stop::Pause,
            2 => Stop::Verdict,
            3 => Stop::Interrupt,
            4 => Stop::Kill,
            _ => return None,
        };
        Some(Self {
            why,
            kill: byte & 8 != 0,
        })
    }
}

fn key(trial: TrialId, attempt: Attempt) -> u64 {
    u64::from(trial.0) << 32 | u64::from(attempt.0 & 0xff_ffff) << 8
}

fn decode(request: u64, key: u64) -> Option<Asked> {
    if request & !0xff == key {
        Asked::from_byte(request & 0xff)
    } else {
        None
    }
}

impl StopLine {
    pub(super) fn new() -> Self {
        Self {
            request: AtomicU64::new(0),
            noticed: AtomicBool::new(false),
            halt: AtomicBool::new(false),
            halted: AtomicBool::new(false),
            #[cfg(target_os = "linux")]
            wake: {
                use rustix::event::{EventfdFlags, eventfd};
                eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).ok()
            },
        }
    }

    /// Asks an attempt to end. The first reason stays; a later `Kill` only makes the end immediate.
    pub(super) fn ask(&self, trial: TrialId, attempt: Attempt, how: Stop) {
        let key = key(trial, attempt);
        let merge = |request| {
            let asked = decode(request, key)
                .unwrap_or(Asked {
                    why: how,
                    kill: false,
                })
                .merged(how);
            let next = key | asked.byte();
            (next != request).then_some(next)
        };
        if self
            .request
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, merge)
            .is_ok()
        {
            self.wake();
        }
    }

    /// Returns the request for this attempt, if there is one.
    pub(super) fn asked(&self, launch: &Launch) -> Option<Asked> {
        decode(
            self.request.load(Ordering::Acquire),
            key(launch.trial, launch.attempt),
        )
    }

    /// Resets the slot for a new attempt: no trial here has learned of a request, and none is
    /// suspended.
    pub(super) fn begin(&self) {
        self.noticed.store(false, Ordering::Relaxed);
        self.note_halted(false);
    }

    /// Returns the request like [`asked`](Self::asked), and notes that the trial has learned of it.
    pub(super) fn notice(&self, launch: &Launch) -> Option<Asked> {
        let asked = self.asked(launch)?;
        self.noticed.store(true, Ordering::Relaxed);
        Some(asked)
    }

    /// Returns the request for this attempt if the trial has learned of it.
    pub(super) fn noticed(&self, launch: &Launch) -> Option<Asked> {
        self.asked(launch)
            .filter(|_| self.noticed.load(Ordering::Relaxed))
    }

    /// Asks the slot's thread to suspend or to resume its trial.
    pub(super) fn halt(&self, halt: bool) {
        self.halt.store(halt, Ordering::Release);
        self.wake();
    }

    /// Returns whether the trial is to be suspended.
    pub(super) fn is_halt_asked(&self) -> bool {
        self.halt.load(Ordering::Acquire)
    }

    /// Records whether the trial is suspended.
    pub(super) fn note_halted(&self, halted: bool) {
        self.halted.store(halted, Ordering::Release);
    }

    /// Returns whether the trial is suspended.
    pub(super) fn is_halted(&self) -> bool {
        self.halted.load(Ordering::Acquire)
    }

    #[cfg(target_os = "linux")]
    fn wake(&self) {
        if let Some(wake) = &self.wake {
            // The counter cannot overflow: the supervisor reads it whenever it is not zero.
            rustix::io::write(wake, &1u64.to_ne_bytes()).ok();
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn wake(&self) {}

    /// Returns a descriptor that becomes readable when a request arrives; `None` if the kernel gave
    /// no eventfd, and then the supervisor polls.
    #[cfg(target_os = "linux")]
    pub(super) fn waker(&self) -> Option<BorrowedFd<'_>> {
        self.wake.as_ref().map(AsFd::as_fd)
    }

    /// Resets [`waker`](Self::waker) after a wake-up.
    #[cfg(target_os = "linux")]
    pub(super) fn quiet(&self) {
        if let Some(wake) = &self.wake {
            rustix::io::read(wake, &mut [0u8; 8]).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::executor::trainable::tests::launch;

    #[test]
    fn the_first_reason_stays_and_a_kill_makes_it_sudden() {
        let line = StopLine::new();
        line.ask(TrialId(1), Attempt(1), Stop::Verdict);
        line.ask(TrialId(1), Attempt(1), Stop::Kill);
        line.ask(TrialId(1), Attempt(1), Stop::Interrupt);
        assert_eq!(
            line.asked(&launch(1)),
            Some(Asked {
                why: Stop::Verdict,
                kill: true
            })
        );
    }

    #[test]
    fn a_request_that_comes_too_late_does_not_reach_the_next_trial() {
        let line = StopLine::new();
        line.ask(TrialId(1), Attempt(1), Stop::Kill);
        assert_eq!(line.asked(&launch(2)), None);
    }

    #[test]
    fn a_pause_that_became_a_kill_is_an_interruption() {
        assert_eq!(
            Asked {
                why: Stop::Pause,
                kill: true
            }
            .exit(),
            Exit::Interrupted
        );
        assert_eq!(
            Asked {
                why: Stop::Pause,
                kill: false
            }
            .exit(),
            Exit::Paused
        );
    }
}
