//! Waiting for disk space. A tracker that records an entry while the disk is full blocks the
//! trackers' thread until there is space again.
//!
//! A sync that finds the disk full is simply repeated later. An entry cannot be recorded twice, so
//! while an entry is recorded every single write is retried by itself.

use super::TrackerError;
use std::cell::Cell;
use std::io;
use std::thread;
use std::time::Duration;

/// Interval between two attempts while the disk is full.
pub(super) const BETWEEN_LOOKS: Duration = Duration::from_millis(200);

thread_local! {
    /// Whether a write on this thread may block until there is space.
    static PATIENT: Cell<bool> = const { Cell::new(false) };
}

/// Returns whether `error` means that the disk or a quota is full.
pub fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

/// Runs `act` with retries enabled: a write inside it that finds the disk full blocks until it
/// succeeds.
pub(super) fn patiently<T>(act: impl FnOnce() -> T) -> T {
    PATIENT.set(true);
    let done = act();
    // Syncs on the same thread must not block: the recorder repeats them later.
    PATIENT.set(false);
    done
}

/// Calls `write`, and repeats it while the disk is full if this thread runs inside [`patiently`].
///
/// # Errors
/// Returns the error of `write`. A full disk is an error only outside [`patiently`].
pub fn when_there_is_room<T>(
    mut write: impl FnMut() -> Result<T, TrackerError>,
) -> Result<T, TrackerError> {
    loop {
        match write() {
            Err(error) if error.is_full() && PATIENT.get() => thread::sleep(BETWEEN_LOOKS),
            done => return done,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{TrackerError, patiently, when_there_is_room};

    /// Simulates a write that fails with a full disk `left` times and then succeeds.
    fn write(left: &mut u32) -> Result<(), TrackerError> {
        let Some(less) = left.checked_sub(1) else {
            return Ok(());
        };
        *left = less;
        Err(TrackerError::Write {
            path: "runs".into(),
            source: std::io::ErrorKind::StorageFull.into(),
        })
    }

    #[test]
    fn a_write_waits_for_room_only_where_that_holds_nobody_up() {
        let mut left = 2;
        patiently(|| when_there_is_room(|| write(&mut left))).unwrap();
        assert_eq!(left, 0);
        let mut left = 2;
        assert!(
            when_there_is_room(|| write(&mut left))
                .unwrap_err()
                .is_full()
        );
        assert_eq!(left, 1);
    }

    #[test]
    fn another_failure_is_told_at_once() {
        let broken = || Err::<(), _>(TrackerError::Other("broken".into()));
        assert_eq!(
            patiently(|| when_there_is_room(broken))
                .unwrap_err()
                .to_string(),
            "broken"
        );
    }
}
