//! One writer per study, by a lock of the kernel's: when its holder dies it is free, so a stale
//! lock cannot exist.

use super::{JournalError, StudyDir};
use crate::study::Timestamp;
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::time::Duration;

/// The right to write a study, for as long as it lives.
#[derive(Debug)]
pub struct Lock {
    file: File,
}

impl Drop for Lock {
    /// Unlocks by name. Closing the file would leave the lock for a moment to a child that another
    /// thread has forked and that has not yet become its program.
    fn drop(&mut self) {
        let _ = self.file.unlock();
    }
}

/// Who holds the lock of a study.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The machine.
    pub host: String,
    /// The process.
    pub pid: u32,
    /// The user's name.
    pub user: String,
    /// Since when.
    pub since: Timestamp,
}

impl Lock {
    /// Takes the lock.
    ///
    /// # Errors
    /// [`JournalError::Held`], naming the holder, if another process has it.
    pub fn take(dir: &StudyDir, holder: &Holder) -> Result<Self, JournalError> {
        let path = dir.lock();
        let fail = |source| JournalError::Io {
            path: path.clone(),
            source,
        };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(fail)?;
        match patiently(&file) {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                let _ = file.read_to_string(&mut text);
                return Err(JournalError::Held {
                    study: dir.root().to_owned(),
                    holder: serde_json::from_str(&text).ok(),
                });
            }
            Err(TryLockError::Error(source)) => return Err(fail(source)),
        }
        let line = serde_json::to_vec(holder).unwrap_or_default();
        file.set_len(0).map_err(fail)?;
        file.rewind().map_err(fail)?;
        file.write_all(&line).map_err(fail)?;
        Ok(Self { file })
    }
}

/// Tries for a tenth of a second: a reader that asks who holds the lock has it for some
/// microseconds itself.
fn patiently(file: &File) -> Result<(), TryLockError> {
    for _ in 0..20 {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(5)),
            other => return other,
        }
    }
    file.try_lock()
}

/// Returns whether somebody runs a study, also where it cannot be found out who. A folder that
/// cannot be locked counts as held.
#[must_use]
pub fn is_held(dir: &StudyDir) -> bool {
    match File::open(dir.lock()) {
        Ok(file) => file.try_lock_shared().is_err(),
        Err(_) => false,
    }
}

/// Returns who runs a study, `None` if nobody does. Takes nothing that a run could notice.
#[must_use]
pub fn holder(dir: &StudyDir) -> Option<Holder> {
    let mut file = File::open(dir.lock()).ok()?;
    match file.try_lock_shared() {
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            file.read_to_string(&mut text).ok()?;
            serde_json::from_str(&text).ok()
        }
        _ => None,
    }
}
