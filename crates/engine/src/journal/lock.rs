//! One writer per study, enforced by a kernel lock. The kernel releases it when its holder dies, so
//! there are no stale locks.

use super::{JournalError, StudyDir};
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::time::Duration;
use swath_model::study::Timestamp;

/// The right to write a study. Dropping it releases the lock.
#[derive(Debug)]
pub struct Lock {
    file: File,
}

impl Drop for Lock {
    /// Unlocks explicitly. Closing the file alone would keep the lock for a moment in a child that
    /// another thread has forked and that has not yet called `exec`.
    fn drop(&mut self) {
        let _ = self.file.unlock();
    }
}

/// The process that holds the lock of a study, as written into the lock file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The name of the machine.
    pub host: String,
    /// The id of the process on that machine.
    pub pid: u32,
    /// The name of the user.
    pub user: String,
    /// The time at which the process took the lock.
    pub since: Timestamp,
}

impl Lock {
    /// Takes the lock and writes `holder` into its file.
    ///
    /// # Errors
    /// [`JournalError::Held`], naming the holder, if another process has the lock.
    pub fn take(dir: &StudyDir, holder: &Holder) -> Result<Self, JournalError> {
        let path = dir.lock();
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(|source| JournalError::io(&path, source))?;
        match lock_patiently(&file) {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                // The holder writes its identity after it has taken the lock. If the file is not
                // complete yet, the holder is unknown.
                let mut text = String::new();
                let _ = file.read_to_string(&mut text);
                return Err(JournalError::Held {
                    study: dir.root().to_owned(),
                    holder: serde_json::from_str(&text).ok(),
                });
            }
            Err(TryLockError::Error(source)) => return Err(JournalError::io(&path, source)),
        }
        // The contents only inform other processes: the lock itself is the kernel's.
        let line = serde_json::to_vec(holder).unwrap_or_default();
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| file.write_all(&line))
            .map_err(|source| JournalError::io(&path, source))?;
        Ok(Self { file })
    }
}

/// Tries to take the lock for a tenth of a second: a reader that looks for the holder has the lock
/// itself for some microseconds.
fn lock_patiently(file: &File) -> Result<(), TryLockError> {
    for _ in 0..20 {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(5)),
            other => return other,
        }
    }
    file.try_lock()
}

/// Returns whether a process runs the study, even if its identity is unknown. A lock file that
/// cannot be locked counts as held; one that cannot be opened does not.
#[must_use]
pub fn is_held(dir: &StudyDir) -> bool {
    match File::open(dir.lock()) {
        Ok(file) => file.try_lock_shared().is_err(),
        Err(_) => false,
    }
}

/// Returns the process that runs a study; `None` if there is none or it is unknown. A shared lock
/// is used for the test, which a run tolerates.
#[must_use]
pub fn holder(dir: &StudyDir) -> Option<Holder> {
    let mut file = File::open(dir.lock()).ok()?;
    match file.try_lock_shared() {
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            file.read_to_string(&mut text).ok()?;
            serde_json::from_str(&text).ok()
        }
        // The lock was free, or its state is unknown.
        _ => None,
    }
}
