//! The ledger of submitted batches. It survives restarts of the orchestrator; an intent is written
//! before the action, one line each.

use super::PilotDir;
use super::lines::{Reader, Writer};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::io;

/// A line of `fleet.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum LedgerLine {
    /// Jobs are about to be submitted.
    Intent { batch: String, count: u32 },
    /// The batch system accepted the jobs under this id.
    Submitted { batch: String, id: String },
    /// The jobs were certainly not submitted.
    Dropped { batch: String, why: String },
    /// This pilot is finished or given up.
    Gone {
        batch: String,
        index: u32,
        why: String,
    },
}

/// The batches of a study of which pilots may still live or start.
#[derive(Debug, Default, PartialEq)]
pub(super) struct LiveBatches {
    pub(super) batches: BTreeMap<String, Batch>,
}

/// A batch of equal jobs.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Batch {
    pub(super) id: Option<String>,
    pub(super) count: u32,
    pub(super) gone: BTreeSet<u32>,
}

impl LiveBatches {
    fn apply(&mut self, line: LedgerLine) {
        match line {
            LedgerLine::Intent { batch: name, count } => {
                self.batches.insert(
                    name,
                    Batch {
                        count,
                        ..Batch::default()
                    },
                );
            }
            LedgerLine::Submitted { batch: name, id } => {
                if let Some(batch) = self.batches.get_mut(&name) {
                    batch.id = Some(id);
                }
            }
            LedgerLine::Dropped { batch: name, .. } => drop(self.batches.remove(&name)),
            LedgerLine::Gone {
                batch: name, index, ..
            } => {
                if let Some(batch) = self.batches.get_mut(&name) {
                    batch.gone.insert(index);
                    // Once all its pilots are gone a batch needs no attention at a restart.
                    if batch.gone.len() >= batch.count as usize {
                        self.batches.remove(&name);
                    }
                }
            }
        }
    }
}

/// The ledger of the study, open for appending.
pub(super) struct Ledger {
    writer: Writer,
}

impl Ledger {
    /// Opens the ledger for appending and returns the batches in it.
    pub(super) fn open(dir: &PilotDir) -> io::Result<(Self, LiveBatches)> {
        let live = read(dir)?;
        Ok((
            Self {
                writer: Writer::resume(dir.ledger())?,
            },
            live,
        ))
    }

    /// Appends a line and syncs it to the disk.
    pub(super) fn append(&mut self, line: &LedgerLine) -> io::Result<()> {
        self.writer.push(line)?;
        self.writer.sync()
    }
}

/// Reads the batches in the ledger of a study without changing it.
pub(super) fn read(dir: &PilotDir) -> io::Result<LiveBatches> {
    let mut live = LiveBatches::default();
    let mut reader = Reader::new(dir.ledger());
    // A line torn by a crash is skipped only at the second read.
    for _ in 0..2 {
        while reader.read(&mut |line| live.apply(line))? {}
    }
    Ok(live)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gone(index: u32) -> LedgerLine {
        LedgerLine::Gone {
            batch: "a".into(),
            index,
            why: String::new(),
        }
    }

    #[test]
    fn a_batch_is_live_until_all_its_pilots_are_gone_or_it_was_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let dir = PilotDir::of(folder.path());
        std::fs::create_dir(dir.root()).unwrap();
        let (mut ledger, _) = Ledger::open(&dir).unwrap();
        ledger
            .append(&LedgerLine::Intent {
                batch: "a".into(),
                count: 2,
            })
            .unwrap();
        ledger
            .append(&LedgerLine::Submitted {
                batch: "a".into(),
                id: "7".into(),
            })
            .unwrap();
        ledger
            .append(&LedgerLine::Intent {
                batch: "b".into(),
                count: 1,
            })
            .unwrap();
        ledger.append(&gone(1)).unwrap();
        let expected = Batch {
            id: Some("7".into()),
            count: 2,
            gone: BTreeSet::from([1]),
        };
        assert_eq!(read(&dir).unwrap().batches.get("a"), Some(&expected));
        ledger.append(&gone(0)).unwrap();
        ledger
            .append(&LedgerLine::Dropped {
                batch: "b".into(),
                why: String::new(),
            })
            .unwrap();
        assert_eq!(read(&dir).unwrap(), LiveBatches::default());
    }
}
