//! Who runs a study, for pilots and for a second orchestrator on another machine.
//!
//! The study's lock keeps two orchestrators apart on one machine, and on shared file systems that
//! know locks. On those that do not, a second one sees here that the number of the first still
//! changes. Nobody compares clocks: only whether the file's content changes counts.

use super::super::PilotDir;
use super::super::wire::Beat;
use crate::executor::{ExecutorError, processes};
use std::io::{Read, Write};
use std::time::{Duration, Instant};

/// That it is us who run the study.
pub(super) struct Presence {
    mine: Beat,
    every: Duration,
    last: Instant,
}

impl Presence {
    /// Waits to see whether somebody on another machine runs the study; else takes its place.
    pub(super) fn take(dir: &PilotDir, every: Duration) -> Result<Self, ExecutorError> {
        let place = processes::place(std::process::id());
        let found = read(dir);
        if let Some(other) = found.filter(|other| !other.closed && other.host != place.host) {
            let begun = Instant::now();
            while begun.elapsed() < every * 3 {
                std::thread::sleep(Duration::from_millis(200).min(every));
                match read(dir) {
                    Some(now) if now != other && !now.closed => return Err(taken(&now)),
                    _ => {}
                }
            }
        }
        let mine = Beat {
            host: place.host,
            pid: std::process::id(),
            nonce: nonce(),
            count: 0,
            closed: false,
        };
        let presence = Self {
            mine,
            every,
            last: Instant::now(),
        };
        presence.write(dir)?;
        Ok(presence)
    }

    /// Writes another number now and then, unless somebody else has taken the study over.
    pub(super) fn beat(&mut self, dir: &PilotDir) -> Result<(), ExecutorError> {
        if self.last.elapsed() < self.every {
            return Ok(());
        }
        self.last = Instant::now();
        if let Some(other) = read(dir).filter(|other| other.nonce != self.mine.nonce) {
            return Err(taken(&other));
        }
        self.mine.count += 1;
        // A disk that is full for a while is no reason to end.
        self.write(dir).ok();
        Ok(())
    }

    /// Says that nobody runs the study any more.
    pub(super) fn close(&mut self, dir: &PilotDir) {
        self.mine.closed = true;
        self.write(dir).ok();
    }

    fn write(&self, dir: &PilotDir) -> Result<(), ExecutorError> {
        let written = || {
            let mut file = tempfile::Builder::new()
                .prefix(".driver")
                .tempfile_in(dir.root())?;
            file.write_all(&serde_json::to_vec(&self.mine)?)?;
            file.persist(dir.driver())?;
            Ok(())
        };
        written().map_err(|source| ExecutorError::Pilots { source })
    }
}

fn read(dir: &PilotDir) -> Option<Beat> {
    serde_json::from_slice(&std::fs::read(dir.driver()).ok()?).ok()
}

fn taken(other: &Beat) -> ExecutorError {
    ExecutorError::TakenOver {
        host: other.host.clone(),
        pid: other.pid,
    }
}

/// Returns eight hexadecimal digits that nobody else has.
pub(super) fn nonce() -> String {
    let mut bytes = [0; 4];
    let read = std::fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes));
    if read.is_err() {
        let now = crate::study::Timestamp::now().as_micros().unsigned_abs();
        bytes = ((now as u32) ^ std::process::id().rotate_left(16)).to_ne_bytes();
    }
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dir(folder: &tempfile::TempDir) -> PilotDir {
        let dir = PilotDir::of(folder.path());
        std::fs::create_dir(dir.root()).unwrap();
        dir
    }

    #[test]
    fn one_whose_place_was_taken_notices_and_ends() {
        let folder = tempfile::tempdir().unwrap();
        let dir = dir(&folder);
        let mut first = Presence::take(&dir, Duration::from_millis(1)).unwrap();
        std::thread::sleep(Duration::from_millis(2));
        assert!(first.beat(&dir).is_ok());
        let _second = Presence::take(&dir, Duration::from_millis(1)).unwrap();
        std::thread::sleep(Duration::from_millis(2));
        assert!(matches!(
            first.beat(&dir),
            Err(ExecutorError::TakenOver { .. })
        ));
    }

    #[test]
    fn a_study_that_lives_on_another_machine_is_not_taken() {
        let folder = tempfile::tempdir().unwrap();
        let dir = dir(&folder);
        let other = |count| Beat {
            host: "elsewhere".into(),
            pid: 1,
            nonce: "x".into(),
            count,
            closed: false,
        };
        std::fs::write(dir.driver(), serde_json::to_vec(&other(1)).unwrap()).unwrap();
        let path = dir.driver();
        let lives = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(30));
            std::fs::write(path, serde_json::to_vec(&other(2)).unwrap()).unwrap();
        });
        assert!(Presence::take(&dir, Duration::from_millis(100)).is_err());
        lives.join().unwrap();
        assert!(Presence::take(&dir, Duration::from_millis(10)).is_ok());
    }
}
