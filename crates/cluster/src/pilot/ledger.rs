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
pub(super) enum Note {
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
pub(super) struct Known {
    pub(super) batches: BTreeMap<String, Batch>,
}

/// A batch of equal jobs.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Batch {
    pub(super) id: Option<String>,
    pub(super) count: u32,
    pub(super) gone: BTreeSet<u32>,
}

impl Known {
    fn note(&mut self, note: Note) {
        match note {
            Note::Intent { batch, count } => {
                self.batches.insert(
                    batch,
                    Batch {
                        count,
                        ..Batch::default()
                    },
                );
            }
            Note::Submitted { batch, id } => {
                if let Some(known) = self.batches.get_mut(&batch) {
                    known.id = Some(id);
                }
            }
            Note::Dropped { batch, .. } => drop(self.batches.remove(&batch)),
            Note::Gone { batch, index, .. } => {
                if let Some(known) = self.batches.get_mut(&batch) {
                    known.gone.insert(index);
                    // Once all its pilots are gone a batch needs no attention at a restart.
                    if known.gone.len() >= known.count as usize {
                        self.batches.remove(&batch);
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
    pub(super) fn open(dir: &PilotDir) -> io::Result<(Self, Known)> {
        let known = read(dir)?;
        Ok((
            Self {
                writer: Writer::resume(dir.ledger())?,
            },
            known,
        ))
    }

    /// Appends a note and syncs it to the disk.
    pub(super) fn note(&mut self, note: &Note) -> io::Result<()> {
        self.writer.push(note)?;
        self.writer.sync()
    }
}

/// Reads the batches in the ledger of a study without changing it.
pub(super) fn read(dir: &PilotDir) -> io::Result<Known> {
    let mut known = Known::default();
    let mut reader = Reader::new(dir.ledger());
    // A line torn by a crash is skipped only at the second read.
    for _ in 0..2 {
        while reader.read(&mut |note| known.note(note))? {}
    }
    Ok(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_known_until_all_its_pilots_are_gone_or_it_was_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let dir = PilotDir::of(folder.path());
        std::fs::create_dir(dir.root()).unwrap();
        let (mut ledger, _) = Ledger::open(&dir).unwrap();
        let gone = |index| Note::Gone {
            batch: "a".into(),
            index,
            why: String::new(),
        };
        ledger
            .note(&Note::Intent {
                batch: "a".into(),
                count: 2,
            })
            .unwrap();
        ledger
            .note(&Note::Submitted {
                batch: "a".into(),
                id: "7".into(),
            })
            .unwrap();
        ledger
            .note(&Note::Intent {
                batch: "b".into(),
                count: 1,
            })
            .unwrap();
        ledger.note(&gone(1)).unwrap();
        let wanted = Batch {
            id: Some("7".into()),
            count: 2,
            gone: BTreeSet::from([1]),
        };
        assert_eq!(read(&dir).unwrap().batches.get("a"), Some(&wanted));
        ledger.note(&gone(0)).unwrap();
        ledger
            .note(&Note::Dropped {
                batch: "b".into(),
                why: String::new(),
            })
            .unwrap();
        assert_eq!(read(&dir).unwrap(), Known::default());
    }
}
