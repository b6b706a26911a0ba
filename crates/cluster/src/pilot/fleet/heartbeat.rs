//! The heartbeat of the orchestrator that runs a study, for pilots and for a second orchestrator on
//! another machine.
//!
//! The lock of the study keeps two orchestrators apart on one machine, and on shared file systems
//! that support locks. On others, the second one sees here that the heartbeat number of the first
//! still changes. No clocks are compared; only a change of the file's content counts.

use super::super::PilotDir;
use super::super::wire::Beat;
use std::io::{Read, Write};
use std::time::{Duration, Instant};
use swath_engine::executor::{ExecutorError, processes};

/// The heartbeat of this process.
pub(super) struct Heartbeat {
    own: Beat,
    interval: Duration,
    last_beat: Instant,
}

impl Heartbeat {
    /// Takes over the heartbeat file of the study. If the file names another machine and is not
    /// closed, waits for three intervals first and fails if the heartbeat changes.
    pub(super) fn take(dir: &PilotDir, interval: Duration) -> Result<Self, ExecutorError> {
        let place = processes::place(std::process::id());
        let current = read(dir);
        // On the same machine the lock of the study keeps two orchestrators apart.
        if let Some(other) = current.filter(|other| !other.closed && other.host != place.host) {
            let begun = Instant::now();
            while begun.elapsed() < interval * 3 {
                std::thread::sleep(Duration::from_millis(200).min(interval));
                match read(dir) {
                    Some(now) if now != other && !now.closed => return Err(taken_over(&now)),
                    _ => {}
                }
            }
        }
        let own = Beat {
            host: place.host,
            pid: std::process::id(),
            nonce: nonce(),
            count: 0,
            closed: false,
        };
        let heartbeat = Self {
            own,
            interval,
            last_beat: Instant::now(),
        };
        heartbeat.write(dir)?;
        Ok(heartbeat)
    }

    /// Writes the next heartbeat if it is due. Fails if another process has taken over the study.
    pub(super) fn beat(&mut self, dir: &PilotDir) -> Result<(), ExecutorError> {
        if self.last_beat.elapsed() < self.interval {
            return Ok(());
        }
        self.last_beat = Instant::now();
        // Another nonce means that another orchestrator has replaced the file.
        if let Some(other) = read(dir).filter(|other| other.nonce != self.own.nonce) {
            return Err(taken_over(&other));
        }
        self.own.count += 1;
        // A disk that is full for a while is no reason to end the run.
        self.write(dir).ok();
        Ok(())
    }

    /// Marks the study as closed in the heartbeat file.
    pub(super) fn close(&mut self, dir: &PilotDir) {
        self.own.closed = true;
        self.write(dir).ok();
    }

    fn write(&self, dir: &PilotDir) -> Result<(), ExecutorError> {
        replace(dir, &self.own).map_err(|source| ExecutorError::Pilots { source })
    }
}

fn replace(dir: &PilotDir, beat: &Beat) -> std::io::Result<()> {
    let mut file = tempfile::Builder::new()
        .prefix(".driver")
        .tempfile_in(dir.root())?;
    file.write_all(&serde_json::to_vec(beat)?)?;
    file.persist(dir.driver())?;
    Ok(())
}

fn read(dir: &PilotDir) -> Option<Beat> {
    serde_json::from_slice(&std::fs::read(dir.driver()).ok()?).ok()
}

fn taken_over(other: &Beat) -> ExecutorError {
    ExecutorError::TakenOver {
        host: other.host.clone(),
        pid: other.pid,
    }
}

/// Returns eight random hexadecimal digits; from time and process id if there is no `/dev/urandom`.
pub(super) fn nonce() -> String {
    let mut bytes = [0; 4];
    let read = std::fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes));
    if read.is_err() {
        let now = swath_model::study::Timestamp::now()
            .as_micros()
            .unsigned_abs();
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
    fn an_orchestrator_whose_study_was_taken_over_fails_at_its_next_heartbeat() {
        let folder = tempfile::tempdir().unwrap();
        let dir = dir(&folder);
        let mut first = Heartbeat::take(&dir, Duration::from_millis(1)).unwrap();
        std::thread::sleep(Duration::from_millis(2));
        assert!(first.beat(&dir).is_ok());
        let _second = Heartbeat::take(&dir, Duration::from_millis(1)).unwrap();
        std::thread::sleep(Duration::from_millis(2));
        assert!(matches!(
            first.beat(&dir),
            Err(ExecutorError::TakenOver { .. })
        ));
    }

    fn other(count: u64) -> Beat {
        Beat {
            host: "elsewhere".into(),
            pid: 1,
            nonce: "x".into(),
            count,
            closed: false,
        }
    }

    #[test]
    fn a_study_that_runs_on_another_machine_is_not_taken_over() {
        let folder = tempfile::tempdir().unwrap();
        let dir = dir(&folder);
        std::fs::write(dir.driver(), serde_json::to_vec(&other(1)).unwrap()).unwrap();
        let path = dir.driver();
        let lives = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(30));
            std::fs::write(path, serde_json::to_vec(&other(2)).unwrap()).unwrap();
        });
        assert!(Heartbeat::take(&dir, Duration::from_millis(100)).is_err());
        lives.join().unwrap();
        assert!(Heartbeat::take(&dir, Duration::from_millis(10)).is_ok());
    }
}
