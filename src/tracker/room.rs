//! A full disk under a tracker that takes in an entry: it waits, on the thread of the trackers,
//! until there is room.
//!
//! A sync that finds no room is simply made again later. An entry cannot be taken in twice, so
//! there each write is made again by itself.

use super::TrackerError;
use std::cell::Cell;
use std::io;
use std::thread;
use std::time::Duration;

/// How often is looked whether there is room again.
pub(super) const BETWEEN_LOOKS: Duration = Duration::from_millis(200);

thread_local! {
    /// Whether this thread may wait.
    static PATIENT: Cell<bool> = const { Cell::new(false) };
}

/// Returns whether an error says that there is no room: neither on the disk nor in a quota.
pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

/// Does `act`, in which a write that finds no room waits for it.
pub(super) fn patiently<T>(act: impl FnOnce() -> T) -> T {
    PATIENT.set(true);
    let done = act();
    PATIENT.set(false);
    done
}

/// Writes. Where there is no room it is done again until there is, if this thread may wait for
/// that.
///
/// # Errors
/// Those of `write`.
pub(super) fn when_there_is_room<T>(
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

    /// Writes to a disk that is full twice.
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
