//! One writer per study, enforced by a kernel lock. The kernel releases it when its holder dies, so
//! there are no stale locks.

use super::{JournalError, StudyDir};
use crate::platform;
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::time::{Duration, Instant};
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

/// A holder as it is written, with what tells its process from a later one of the same id.
#[derive(Serialize, Deserialize)]
struct Written {
    #[serde(flatten)]
    holder: Holder,
    /// The start of the process in clock ticks since boot. Absent in files of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    start_ticks: Option<u64>,
    /// The kernel's id of the boot, and that of the namespace in which the process has its id: each
    /// container has one of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    boot: Option<String>,
}

impl Written {
    /// Reads the lock file. The holder writes it after it has taken the lock, so it may not be
    /// complete yet.
    fn read(file: &mut File) -> Option<Self> {
        let mut text = String::new();
        file.rewind().ok()?;
        file.read_to_string(&mut text).ok()?;
        serde_json::from_str(&text).ok()
    }

    /// Returns whether the process is known to have ended. That of another machine or container never
    /// is.
    fn has_ended(&self) -> bool {
        match (&self.boot, self.start_ticks) {
            (Some(boot), Some(_)) if boot_and_namespace().as_ref() == Some(boot) => {
                start_ticks(self.holder.pid) != self.start_ticks
            }
            _ => false,
        }
    }
}

/// Returns the kernel's id of this boot, which differs on every machine, and the namespace of this
/// process.
fn boot_and_namespace() -> Option<String> {
    let (boot, namespace) = (platform::boot_id()?, platform::process_namespace()?);
    Some(format!("{boot} {namespace}"))
}

/// Returns the start of a process; `None` if it has ended, also if its parent has not asked for its
/// status yet.
fn start_ticks(pid: u32) -> Option<u64> {
    platform::start_ticks(pid).filter(|_| !platform::is_dead(pid))
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
        match lock_patiently(&mut file) {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let study = dir.root().to_owned();
                return Err(match Written::read(&mut file) {
                    Some(written) if written.has_ended() => JournalError::HeldByEnded {
                        study,
                        pid: written.holder.pid,
                    },
                    written => JournalError::Held {
                        study,
                        holder: written.map(|written| written.holder),
                    },
                });
            }
            Err(TryLockError::Error(source)) => return Err(JournalError::io(&path, source)),
        }
        // The contents only inform other processes: the lock itself is the kernel's.
        let written = Written {
            holder: holder.clone(),
            start_ticks: start_ticks(holder.pid),
            boot: boot_and_namespace(),
        };
        let line = serde_json::to_vec(&written).unwrap_or_default();
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| file.write_all(&line))
            .map_err(|source| JournalError::io(&path, source))?;
        Ok(Self { file })
    }
}

/// The wait for a lock whose holder is alive or unknown: a reader that looks for the holder has the
/// lock itself for some microseconds.
const PATIENCE: Duration = Duration::from_millis(100);

/// The wait for a lock whose holder has ended. On a busy machine the kernel takes a while to close
/// the files of a killed process, and a child that it was about to start has them, too.
const PATIENCE_WITH_ENDED: Duration = Duration::from_secs(10);

/// Tries to take the lock until the patience with its present holder is used up.
fn lock_patiently(file: &mut File) -> Result<(), TryLockError> {
    let began = Instant::now();
    loop {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => {}
            other => return other,
        }
        let waited = began.elapsed();
        let is_over = waited >= PATIENCE
            && (waited >= PATIENCE_WITH_ENDED
                || !Written::read(file).is_some_and(|written| written.has_ended()));
        if is_over {
            return file.try_lock();
        }
        std::thread::sleep(Duration::from_millis(5));
    }
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

/// Returns the process that runs a study; `None` if there is none, it has ended, or it is unknown. A
/// shared lock is used for the test, which a run tolerates.
#[must_use]
pub fn holder(dir: &StudyDir) -> Option<Holder> {
    let mut file = File::open(dir.lock()).ok()?;
    match file.try_lock_shared() {
        Err(TryLockError::WouldBlock) => {
            let written = Written::read(&mut file)?;
            (!written.has_ended()).then_some(written.holder)
        }
        // The lock was free, or its state is unknown.
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    fn holder_of(pid: u32) -> Holder {
        Holder {
            host: "here".into(),
            pid,
            user: "me".into(),
            since: Timestamp::from_micros(0),
        }
    }

    #[test]
    fn the_lock_of_a_process_that_has_ended_is_waited_for_and_never_called_a_run() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let dir = StudyDir::at(folder.path());
        let mut child = Command::new("sleep").arg("60").spawn().expect("it starts");
        let lock = Lock::take(&dir, &holder_of(child.id())).expect("it is free");
        assert_eq!(
            super::holder(&dir).map(|holder| holder.pid),
            Some(child.id())
        );
        // Nobody has asked for its status yet, so it stays in the table of processes.
        child.kill().expect("it can be killed");
        while start_ticks(child.id()).is_some() {
            std::thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(super::holder(&dir), None);
        let began = Instant::now();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                std::thread::sleep(Duration::from_millis(400));
                drop(lock);
            });
            Lock::take(&dir, &holder_of(std::process::id())).expect("it becomes free");
        });
        assert!(began.elapsed() >= Duration::from_millis(400));
        child.wait().expect("it has ended");
    }

    #[test]
    fn the_lock_of_a_living_process_is_not_waited_for() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let dir = StudyDir::at(folder.path());
        let _lock = Lock::take(&dir, &holder_of(std::process::id())).expect("it is free");
        let began = Instant::now();
        let error = Lock::take(&dir, &holder_of(1)).expect_err("it is held");
        assert!(matches!(
            error,
            JournalError::Held {
                holder: Some(_),
                ..
            }
        ));
        assert!(began.elapsed() < PATIENCE_WITH_ENDED);
    }
}
