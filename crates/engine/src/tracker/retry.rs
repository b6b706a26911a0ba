//! Retries on the thread of a tracker: a write that finds the disk full, and a call that finds its
//! server away, are repeated with growing pauses.
//!
//! Only the tracker's own thread waits. It shares a [`Heartbeat`] with the run, which uses it to end
//! the pauses at the end of the run and to see whether the tracker makes progress.

use super::TrackerError;
use std::cell::RefCell;
use std::error::Error;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// The pause after the first failure. It doubles with every further failure.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// The maximum pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// The maximum pause at the end of a run.
const LAST_PAUSE: Duration = Duration::from_secs(1);
/// Time without success after which retries end at the end of a run.
const PATIENCE: Duration = Duration::from_secs(8);

thread_local! {
    /// The heartbeat of the tracker whose thread this is; `None` in all other threads.
    static HEARTBEAT: RefCell<Option<Arc<Heartbeat>>> = const { RefCell::new(None) };
}

/// The state that the thread of a tracker shares with the run.
#[derive(Debug)]
pub struct Heartbeat {
    /// Number of steps that the tracker has made.
    beats: AtomicU64,
    /// The time at which the run ended, once it has.
    ending: OnceLock<Instant>,
    /// Whether the run no longer waits for the tracker.
    abandoned: AtomicBool,
    /// Whether a retry at the end of the run has failed for good. No further retry is made.
    exhausted: AtomicBool,
    /// The reason why the tracker waits, if it does.
    trouble: Mutex<Option<String>>,
    /// Time without success after which retries end at the end of a run.
    patience: Duration,
}

impl Default for Heartbeat {
    fn default() -> Self {
        Self::with_patience(PATIENCE)
    }
}

impl Heartbeat {
    /// Returns a heartbeat whose retries last for `patience` at the end of the run.
    #[must_use]
    pub fn with_patience(patience: Duration) -> Self {
        Self {
            beats: AtomicU64::new(0),
            ending: OnceLock::new(),
            abandoned: AtomicBool::new(false),
            exhausted: AtomicBool::new(false),
            trouble: Mutex::default(),
            patience,
        }
    }

    /// Calls `act`, with this as the heartbeat of the calling thread.
    pub fn scope<T>(self: &Arc<Self>, act: impl FnOnce() -> T) -> T {
        HEARTBEAT.set(Some(Arc::clone(self)));
        let result = act();
        HEARTBEAT.set(None);
        result
    }

    /// Returns the number of steps that the tracker has made.
    #[must_use]
    pub fn beats(&self) -> u64 {
        self.beats.load(Relaxed)
    }

    /// Tells the tracker that the run has ended. The caller has to unpark its thread.
    pub fn end(&self) {
        let _ = self.ending.set(Instant::now());
    }

    /// Returns whether the run has ended.
    #[must_use]
    pub fn is_ending(&self) -> bool {
        self.ending.get().is_some()
    }

    /// Tells the tracker to end at its next step. The caller has to unpark its thread.
    pub fn abandon(&self) {
        self.abandoned.store(true, Relaxed);
    }

    /// Returns the reason why the tracker waits, if it does.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        // A poisoned lock is used: the text is always whole.
        let trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        trouble.clone()
    }

    fn set_trouble(&self, trouble: Option<String>) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }

    /// Waits on the tracker's thread. The end of the run ends the pause, unless the thread knew of it
    /// before: `was_ending` is the value of [`is_ending`](Self::is_ending) that it last read.
    pub fn pause(&self, duration: Duration, was_ending: bool) {
        let until = Instant::now() + duration;
        while !self.abandoned.load(Relaxed) && self.is_ending() == was_ending {
            match until.checked_duration_since(Instant::now()) {
                Some(remaining) if !remaining.is_zero() => thread::park_timeout(remaining),
                _ => return,
            }
        }
    }

    /// Returns whether an action that has failed since `since` is to be tried again.
    fn may_retry(&self, since: Instant) -> bool {
        let is_over = match self.ending.get() {
            Some(ending) => since.max(*ending).elapsed() >= self.patience,
            None => false,
        };
        !is_over && !self.exhausted.load(Relaxed) && !self.abandoned.load(Relaxed)
    }
}

/// Signals a step of the tracker whose thread this is. Does nothing in other threads.
///
/// # Errors
/// If the run no longer waits for the tracker, which is then to end.
pub fn beat() -> Result<(), TrackerError> {
    HEARTBEAT.with_borrow(|heartbeat| match heartbeat {
        Some(heartbeat) if heartbeat.abandoned.load(Relaxed) => {
            Err(TrackerError::Other("the run has ended".to_owned()))
        }
        Some(heartbeat) => {
            heartbeat.beats.fetch_add(1, Relaxed);
            Ok(())
        }
        None => Ok(()),
    })
}

/// Calls `act`, and on the thread of a tracker repeats it while it fails for a reason that may pass.
///
/// # Errors
/// Returns the error of `act`: at once if it is permanent, and otherwise once the run has ended and
/// its patience is over.
pub fn with_backoff<T>(
    mut act: impl FnMut() -> Result<T, TrackerError>,
) -> Result<T, TrackerError> {
    let heartbeat = HEARTBEAT.with_borrow(Clone::clone);
    let mut pause = FIRST_PAUSE;
    let mut failing_since = None;
    loop {
        let is_ending = heartbeat.as_ref().is_some_and(|it| it.is_ending());
        let error = match act() {
            Err(error) if error.is_transient() => error,
            result => {
                if let (Some(heartbeat), Some(_)) = (&heartbeat, failing_since) {
                    heartbeat.set_trouble(None);
                }
                return result;
            }
        };
        let Some(heartbeat) = &heartbeat else {
            return Err(error);
        };
        if !heartbeat.may_retry(*failing_since.get_or_insert_with(Instant::now)) {
            // A caller may itself be an action that is retried: its patience is over, too.
            heartbeat.exhausted.store(true, Relaxed);
            return Err(error);
        }
        heartbeat.set_trouble(Some(with_causes(&error)));
        let longest = if is_ending { LAST_PAUSE } else { LONGEST_PAUSE };
        heartbeat.pause(pause.min(longest), is_ending);
        pause = pause.saturating_mul(2);
    }
}

/// Returns the text of an error with all its causes.
pub fn with_causes(error: &dyn Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| (**cause).source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// Returns whether `error` means that the disk or a quota is full.
#[must_use]
pub fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

#[cfg(test)]
mod tests {
    use super::{Heartbeat, beat, with_backoff};
    use crate::tracker::TrackerError;
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    /// Returns an action that finds the disk full `failures` times and then returns the number of
    /// its calls.
    fn write(failures: u32) -> impl FnMut() -> Result<u32, TrackerError> {
        let mut calls = 0;
        move || {
            calls += 1;
            match calls > failures {
                true => Ok(calls),
                false => Err(TrackerError::Write {
                    path: "runs".into(),
                    source: std::io::ErrorKind::StorageFull.into(),
                }),
            }
        }
    }

    #[test]
    fn a_write_waits_for_room_only_on_the_thread_of_a_tracker() {
        assert!(with_backoff(write(1)).unwrap_err().is_full());
        let heartbeat = Arc::new(Heartbeat::default());
        let calls = heartbeat.scope(|| with_backoff(write(1))).unwrap();
        assert_eq!((calls, heartbeat.trouble()), (2, None));
        assert!(with_backoff(write(1)).is_err(), "the scope has ended");
    }

    #[test]
    fn retries_end_with_the_patience_at_the_end_of_the_run_and_are_not_nested() {
        let heartbeat = Arc::new(Heartbeat::with_patience(Duration::from_millis(300)));
        heartbeat.end();
        let began = Instant::now();
        let nested = || with_backoff(|| with_backoff(write(u32::MAX)));
        assert!(heartbeat.scope(nested).unwrap_err().is_full());
        assert!(
            began.elapsed() >= Duration::from_millis(300),
            "it was retried"
        );
        assert!(began.elapsed() < Duration::from_secs(5));
    }

    #[test]
    fn a_permanent_failure_is_returned_at_once() {
        let mut calls = 0;
        let mut broken = || {
            calls += 1;
            Err::<(), _>(TrackerError::Other("broken".into()))
        };
        let heartbeat = Arc::new(Heartbeat::default());
        let error = heartbeat.scope(|| with_backoff(&mut broken)).unwrap_err();
        assert_eq!((error.to_string(), calls), ("broken".to_owned(), 1));
    }

    #[test]
    fn an_abandoned_tracker_ends_at_its_next_step() {
        let heartbeat = Arc::new(Heartbeat::default());
        assert!(heartbeat.scope(beat).is_ok());
        heartbeat.abandon();
        assert!(heartbeat.scope(beat).is_err());
        assert!(heartbeat.scope(|| with_backoff(write(1))).is_err());
        assert_eq!(heartbeat.beats(), 1);
    }
}
