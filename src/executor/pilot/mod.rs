//! Pilots: copies of this program that run trials inside the allocations of a batch system, with
//! the same pool and supervisor as here.
//!
//! `fleet` is the orchestrator's end, an executor; `work` is the pilot itself. Between them are
//! files in the study's folder that each have one writer and are read by opening them again: a
//! pilot's journal (`PILOT.jsonl`) and the orders to it (`PILOT.orders.jsonl`). Neither locks nor
//! file times nor notifications are relied on, so that a shared file system which shows things late
//! only delays. `engine` is what a batch system has to be able to do; Slurm and the templates are
//! beside this folder.

pub mod engine;
mod fleet;
mod job;
mod ledger;
mod lines;
mod options;
mod script;
mod wire;
mod work;
mod works;

pub(super) use fleet::Fleet;
pub use job::{Berth, PilotError, Told};
pub(super) use options::{OPTIONS, Options};
pub use wire::{PROTOCOL, Spec};
pub use work::run;

use super::ExecutorError;
use std::path::{Path, PathBuf};

/// Where the files of a study's pilots are.
#[derive(Debug, Clone)]
pub(super) struct PilotDir(PathBuf);

impl PilotDir {
    pub(super) fn of(study: &Path) -> Self {
        Self(study.join("pilots"))
    }

    pub(super) fn root(&self) -> &Path {
        &self.0
    }

    /// What the orchestrator knows of its batches: intents before acts.
    pub(super) fn ledger(&self) -> PathBuf {
        self.0.join("fleet.jsonl")
    }

    /// Who runs the study, rewritten with a new number every few seconds.
    pub(super) fn driver(&self) -> PathBuf {
        self.0.join("driver.json")
    }

    /// What all pilots of a batch are told at their start.
    pub(super) fn spec(&self, batch: &str) -> PathBuf {
        self.0.join(format!("{batch}.json"))
    }

    /// The job's script.
    pub(super) fn script(&self, batch: &str) -> PathBuf {
        self.0.join(format!("{batch}.sh"))
    }

    /// What a job printed.
    pub(super) fn log(&self, batch: &str, index: &str) -> PathBuf {
        self.0.join(format!("{batch}.{index}.log"))
    }

    /// What a pilot says.
    pub(super) fn journal(&self, pilot: &str) -> PathBuf {
        self.0.join(format!("{pilot}.jsonl"))
    }

    /// What a pilot is told.
    pub(super) fn orders(&self, pilot: &str) -> PathBuf {
        self.0.join(format!("{pilot}.orders.jsonl"))
    }
}

/// Returns that pilots of an earlier run may still run trials of the study in this folder: those
/// that neither left nor were given up.
#[must_use]
pub fn pilots_left(study: &Path) -> Option<ExecutorError> {
    let dir = PilotDir::of(study);
    let known = ledger::read(&dir).ok()?;
    let mut count = 0;
    for (batch, known) in &known.batches {
        for index in (0..known.count).filter(|index| !known.gone.contains(index)) {
            let journal = |life| dir.journal(&pilot_name(batch, index, life));
            let life = (1..)
                .find(|life| !journal(*life).exists())
                .map_or(0, |next| next - 1);
            let mut left = false;
            let mut journal = lines::Reader::new(journal(life));
            while let Ok(true) = journal
                .read(&mut |said: wire::Said| left |= matches!(said.word, wire::Word::Bye { .. }))
            {
            }
            count += usize::from(!left);
        }
    }
    (count > 0).then(|| ExecutorError::PilotsLeft {
        count,
        ledger: dir.ledger(),
    })
}

/// Returns the name of a pilot: its batch, its index in it, and how often the batch system has
/// started it again.
pub(super) fn pilot_name(batch: &str, index: u32, restart: u32) -> String {
    if restart == 0 {
        format!("{batch}.{index}")
    } else {
        format!("{batch}.{index}r{restart}")
    }
}
