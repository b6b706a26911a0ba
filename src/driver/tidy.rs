//! Removing the checkpoints that the policy no longer needs, while the study runs.

use super::{Driver, has_entries};
use crate::journal::StudyDir;
use crate::study::{LogRecord, TrialId};
use crate::sweep::keep;
use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::thread::JoinHandle;

/// The checkpoints there are, and what is being removed.
#[derive(Default)]
pub(super) struct Tidy {
    kept: BTreeSet<TrialId>,
    /// Whose checkpoints are models.
    models: BTreeSet<TrialId>,
    removals: Vec<JoinHandle<()>>,
}

/// Takes a trial's checkpoints out of sight at once and returns where they are to be removed from:
/// a half-removed checkpoint is never found.
///
/// # Errors
/// If they cannot be moved.
pub fn put_aside(dir: &StudyDir, id: TrialId) -> io::Result<PathBuf> {
    let aside = dir.trial(id).join(".removed-checkpoints");
    if aside.exists() {
        std::fs::remove_dir_all(&aside)?;
    }
    std::fs::rename(dir.checkpoints(id), &aside)?;
    Ok(aside)
}

impl Driver<'_> {
    /// Finds out which trials have checkpoints.
    pub(super) fn begin_tidy(&mut self) {
        if self.parts.keep.is_all() {
            return;
        }
        let dir = &self.dir;
        let has = |id: &TrialId| has_entries(&dir.checkpoints(*id));
        self.tidy.kept = self
            .study
            .trials()
            .iter()
            .map(|trial| trial.id)
            .filter(has)
            .collect();
        self.tidy.models = keep::models(&self.study);
        self.remove_expendable(false);
    }

    /// Remembers what a record calls a model.
    pub(super) fn note_model(&mut self, record: &LogRecord) {
        self.tidy.models.extend(keep::model(record));
    }

    /// Looks again after a trial has ended.
    pub(super) fn tidy_after(&mut self, id: TrialId) {
        if self.parts.keep.is_all() {
            return;
        }
        if has_entries(&self.dir.checkpoints(id)) {
            self.tidy.kept.insert(id);
        }
        self.remove_expendable(false);
    }

    /// Looks for the last time, and waits until what is to be removed is.
    pub(super) fn end_tidy(&mut self, over: bool) {
        self.remove_expendable(over);
        for removal in self.tidy.removals.drain(..) {
            removal.join().ok();
        }
    }

    fn remove_expendable(&mut self, over: bool) {
        let gone = self.parts.keep.expendable(
            &self.study,
            &self.tidy.kept,
            &self.tidy.models,
            self.parts.clones,
            over,
        );
        for id in gone {
            self.tidy.kept.remove(&id);
            // What cannot be moved stays: a policy is no reason to end a run, and `swath gc` tells.
            let Ok(aside) = put_aside(&self.dir, id) else {
                continue;
            };
            if let Some(size) = &mut self.size {
                size.forget(id, &aside);
            }
            let removal = std::thread::Builder::new()
                .name("tidy".to_owned())
                .spawn(move || {
                    std::fs::remove_dir_all(aside).ok();
                });
            self.tidy.removals.extend(removal);
        }
        self.tidy.removals.retain(|removal| !removal.is_finished());
    }
}
