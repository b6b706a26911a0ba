//! The channel over which the executor asks a slot to stop its trial: an atomic with the request,
//! and a descriptor that wakes the sleeping supervisor of a program.

use super::{Exit, Launch, Stop};
use crate::platform;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use swath_model::study::{Attempt, TrialId};

/// The state that the thread of one slot shares with the executor.
///
/// A request names its attempt, so a late request cannot reach the next trial of the slot.
pub(super) struct StopLine {
    /// Trial in the upper 32 bits, attempt in the next 24, the [`StopRequest`] in the low byte.
    request: AtomicU64,
    /// Whether the trial has learned of the request.
    noticed: AtomicBool,
    /// Whether the trial is to be suspended, because the orchestrator is.
    halt: AtomicBool,
    /// Whether the trial is suspended.
    halted: AtomicBool,
    /// Wakes the supervisor of the running program; `None` while there is none.
    waker: Mutex<Option<Arc<OwnedFd>>>,
}

/// A stop request: the reason, and whether SIGKILL follows at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct StopRequest {
    pub(super) reason: Stop,
    pub(super) kill: bool,
}

impl StopRequest {
    /// Returns the exit of an attempt that got this request. A pause that became a kill leaves no
    /// reliable checkpoint and counts as an interruption.
    pub(super) fn exit(self) -> Exit {
        match (self.reason, self.kill) {
            (Stop::Pause, true) => Exit::Interrupted,
            (reason, _) => reason.exit(),
        }
    }

    fn byte(self) -> u64 {
        let reason = match self.reason {
            Stop::Pause => 1,
            Stop::Verdict => 2,
            Stop::Interrupt => 3,
            Stop::Kill => 4,
        };
        reason | u64::from(self.kill) << 3
    }

    fn from_byte(byte: u64) -> Option<Self> {
        let reason = match byte & 7 {
            1 => Stop::Pause,
            2 => Stop::Verdict,
            3 => Stop::Interrupt,
            4 => Stop::Kill,
            _ => return None,
        };
        Some(Self {
            reason,
            kill: byte & 8 != 0,
        })
    }
}

fn key(trial: TrialId, attempt: Attempt) -> u64 {
    u64::from(trial.0) << 32 | u64::from(attempt.0 & 0xff_ffff) << 8
}

/// Merges a stop request into an earlier one. The first reason stays, because it decides the exit.
fn merge(earlier: Option<StopRequest>, how: Stop) -> StopRequest {
    StopRequest {
        reason: earlier.map_or(how, |request| request.reason),
        kill: how == Stop::Kill || earlier.is_some_and(|request| request.kill),
    }
}

fn decode(request: u64, key: u64) -> Option<StopRequest> {
    if request & !0xff == key {
        StopRequest::from_byte(request & 0xff)
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
            waker: Mutex::default(),
        }
    }

    /// Asks an attempt to end. The first reason stays; a later `Kill` only makes the end immediate.
    pub(super) fn ask(&self, trial: TrialId, attempt: Attempt, how: Stop) {
        let key = key(trial, attempt);
        let changed = self
            .request
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |earlier| {
                let next = key | merge(decode(earlier, key), how).byte();
                (next != earlier).then_some(next)
            });
        // An unchanged request has woken the supervisor before.
        if changed.is_ok() {
            self.wake();
        }
    }

    /// Returns the request for this attempt, if there is one.
    pub(super) fn stop_request(&self, launch: &Launch) -> Option<StopRequest> {
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

    /// Returns the request like [`stop_request`](Self::stop_request), and notes that the trial has learned of it.
    pub(super) fn notice(&self, launch: &Launch) -> Option<StopRequest> {
        let request = self.stop_request(launch)?;
        self.noticed.store(true, Ordering::Relaxed);
        Some(request)
    }

    /// Returns the request for this attempt if the trial has learned of it.
    pub(super) fn noticed(&self, launch: &Launch) -> Option<StopRequest> {
        self.stop_request(launch)
            .filter(|_| self.noticed.load(Ordering::Relaxed))
    }

    /// Asks the slot's thread to suspend or to resume its trial.
    pub(super) fn halt(&self, halt: bool) {
        self.halt.store(halt, Ordering::Release);
        self.wake();
    }

    /// Returns whether the trial is to be suspended.
    pub(super) fn is_halt_requested(&self) -> bool {
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

    fn wake(&self) {
        let waker = self.waker.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(waker) = &*waker {
            // The counter cannot overflow: the supervisor reads it whenever it is not zero.
            rustix::io::write(waker, &1u64.to_ne_bytes()).ok();
        }
    }

    /// Returns a descriptor that becomes readable when a request arrives, until the returned value
    /// is dropped.
    pub(super) fn open_waker(&self) -> Waker<'_> {
        let waker = platform::wake_descriptor().map(Arc::new);
        let mut shared = self.waker.lock().unwrap_or_else(PoisonError::into_inner);
        shared.clone_from(&waker);
        Waker { line: self, waker }
    }
}

/// The descriptor that wakes a supervisor. It is open only while a program runs, since a slot that
/// waits for its turn needs none.
pub(super) struct Waker<'a> {
    line: &'a StopLine,
    waker: Option<Arc<OwnedFd>>,
}

impl Waker<'_> {
    /// Returns the descriptor; `None` if the kernel gave none, and then the supervisor polls.
    pub(super) fn fd(&self) -> Option<&OwnedFd> {
        self.waker.as_deref()
    }

    /// Resets the descriptor after a wake-up.
    pub(super) fn drain(&self) {
        if let Some(waker) = &self.waker {
            rustix::io::read(waker, &mut [0u8; 8]).ok();
        }
    }
}

impl Drop for Waker<'_> {
    fn drop(&mut self) {
        let shared = self.line.waker.lock();
        *shared.unwrap_or_else(PoisonError::into_inner) = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::executor::trainable::tests::launch;

    #[test]
    fn the_first_reason_stays_and_a_kill_makes_the_end_immediate() {
        let line = StopLine::new();
        line.ask(TrialId(1), Attempt(1), Stop::Verdict);
        line.ask(TrialId(1), Attempt(1), Stop::Kill);
        line.ask(TrialId(1), Attempt(1), Stop::Interrupt);
        assert_eq!(
            line.stop_request(&launch(1)),
            Some(StopRequest {
                reason: Stop::Verdict,
                kill: true
            })
        );
    }

    #[test]
    fn a_late_request_does_not_reach_the_next_trial() {
        let line = StopLine::new();
        line.ask(TrialId(1), Attempt(1), Stop::Kill);
        assert_eq!(line.stop_request(&launch(2)), None);
    }

    #[test]
    fn a_pause_that_became_a_kill_is_an_interruption() {
        assert_eq!(
            StopRequest {
                reason: Stop::Pause,
                kill: true
            }
            .exit(),
            Exit::Interrupted
        );
        assert_eq!(
            StopRequest {
                reason: Stop::Pause,
                kill: false
            }
            .exit(),
            Exit::Paused
        );
    }
}
