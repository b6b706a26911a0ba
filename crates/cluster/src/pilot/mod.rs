//! Pilots: copies of this program that run trials inside the jobs of a batch system, with the same
//! pool and supervisor as on this machine.
//!
//! `fleet` is the side of the orchestrator, an executor; `work` is the pilot itself. They
//! communicate through files in the study's folder. Each file has one writer and is read by opening
//! it again: the journal of a pilot (`PILOT.jsonl`) and the orders to it (`PILOT.orders.jsonl`).
//! The protocol relies on no locks, file times or notifications, so a shared file system that shows
//! changes late only adds delay. `engine` is the interface of a batch system; Slurm and the command
//! templates are beside this folder.

mod attempt_message;
pub mod engine;
mod engine_thread;
mod environment;
mod fleet;
mod job;
mod ledger;
mod lines;
mod options;
mod script;
mod unattended;
mod wire;
mod work;

pub(super) use fleet::Fleet;
pub use job::{BuildSources, JobSignals, PilotError, PilotJob};
pub(super) use options::{OPTIONS, Options};
pub use unattended::{settle, settled};
pub use wire::{PROTOCOL, Spec};
pub use work::run;

use super::ExecutorError;
use std::path::{Path, PathBuf};

/// The folder with the files of a study's pilots.
#[derive(Debug, Clone)]
pub(super) struct PilotDir(PathBuf);

impl PilotDir {
    pub(super) fn of(study: &Path) -> Self {
        Self(study.join("pilots"))
    }

    pub(super) fn root(&self) -> &Path {
        &self.0
    }

    /// Returns the path of the ledger of batches; an intent is written before the action.
    pub(super) fn ledger(&self) -> PathBuf {
        self.0.join("fleet.jsonl")
    }

    /// Returns the path of the orchestrator's heartbeat, rewritten with a new number every few
    /// seconds.
    pub(super) fn driver(&self) -> PathBuf {
        self.0.join("driver.json")
    }

    /// Returns the path of the settings that all pilots of a batch read at their start.
    pub(super) fn spec(&self, batch: &str) -> PathBuf {
        self.0.join(format!("{batch}.json"))
    }

    /// Returns the path of the caller's environment variables, which the jobs of a batch read.
    pub(super) fn variables(&self, batch: &str) -> PathBuf {
        self.0.join(format!("{batch}.env"))
    }

    /// Returns the path of the record of a pilot's machine and environment.
    pub(super) fn environment(&self, pilot: &str) -> PathBuf {
        self.0.join(format!("{pilot}.environment.json"))
    }

    /// Returns the path of the job script of a batch.
    pub(super) fn script(&self, batch: &str) -> PathBuf {
        self.0.join(format!("{batch}.sh"))
    }

    /// Returns the path of the output of a job.
    pub(super) fn log(&self, batch: &str, index: &str) -> PathBuf {
        self.0.join(format!("{batch}.{index}.log"))
    }

    /// Returns the path of a pilot's journal.
    pub(super) fn journal(&self, pilot: &str) -> PathBuf {
        self.0.join(format!("{pilot}.jsonl"))
    }

    /// Returns the path of the orders to a pilot.
    pub(super) fn orders(&self, pilot: &str) -> PathBuf {
        self.0.join(format!("{pilot}.orders.jsonl"))
    }
}

/// Returns an error if pilots of an earlier run may still run trials of the study in this folder,
/// that is, pilots that neither said good-bye nor were given up.
#[must_use]
pub fn pilots_left(study: &Path) -> Option<ExecutorError> {
    let dir = PilotDir::of(study);
    let live = ledger::read(&dir).ok()?;
    let mut count = 0;
    for (name, batch) in &live.batches {
        for index in (0..batch.count).filter(|index| !batch.gone.contains(index)) {
            // The batch system may have restarted the job; only the journal of its last life
            // matters.
            let last_life = (1..)
                .map(|life| dir.journal(&pilot_name(name, index, life)))
                .take_while(|path| path.exists())
                .last();
            let path = last_life.unwrap_or_else(|| dir.journal(&pilot_name(name, index, 0)));
            let mut has_left = false;
            let mut journal = lines::Reader::new(path);
            while let Ok(true) = journal.read(&mut |message: wire::Message| {
                has_left |= matches!(message.kind, wire::MessageKind::Bye { .. });
            }) {}
            count += usize::from(!has_left);
        }
    }
    (count > 0).then(|| ExecutorError::PilotsLeft {
        count,
        ledger: dir.ledger(),
    })
}

/// Returns the name of a pilot, made of its batch, its index in the batch and the number of
/// restarts of its job.
pub(super) fn pilot_name(batch: &str, index: u32, restart: u32) -> String {
    if restart == 0 {
        format!("{batch}.{index}")
    } else {
        format!("{batch}.{index}r{restart}")
    }
}
