//! Removes checkpoints that the policy no longer keeps, while the study runs.

use super::{Driver, has_entries};
use crate::journal::StudyDir;
use crate::keep;
use crate::study::{LogRecord, TrialId};
use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::thread::JoinHandle;

/// The existing checkpoints, and the removals in progress.
#[derive(Default)]
pub(super) struct Tidy {
    /// Trials whose checkpoint folder is not empty.
    kept: BTreeSet<TrialId>,
    /// Trials whose checkpoint folder contains a model.
    models: BTreeSet<TrialId>,
    /// Threads that remove checkpoint folders.
    removals: Vec<JoinHandle<()>>,
}

/// Renames the checkpoint folder of a trial and returns the new path, from which it can be removed
/// slowly: no process ever finds half a checkpoint.
///
/// # Errors
/// If the folder cannot be renamed.
pub fn put_aside(dir: &StudyDir, id: TrialId) -> io::Result<PathBuf> {
    let aside = dir.trial(id).join(".removed-checkpoints");
    // The rest of a removal that a crash interrupted.
    if aside.exists() {
        std::fs::remove_dir_all(&aside)?;
    }
    std::fs::rename(dir.checkpoints(id), &aside)?;
    Ok(aside)
}

impl Driver<'_> {
    /// Finds the trials that have checkpoints, and removes those that the policy does not keep.
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

    /// Records the model that a record names, if it does.
    pub(super) fn note_model(&mut self, record: &LogRecord) {
        self.tidy.models.extend(keep::model(record));
    }

    /// Updates the list after a trial has ended, and removes what the policy does not keep any
    /// more.
    pub(super) fn tidy_after(&mut self, id: TrialId) {
        if self.parts.keep.is_all() {
            return;
        }
        if has_entries(&self.dir.checkpoints(id)) {
            self.tidy.kept.insert(id);
        }
        self.remove_expendable(false);
    }

    /// Applies the policy for the last time, and waits for all removals. `over`: the study is
    /// finished, so no checkpoint is needed for a clone.
    pub(super) fn end_tidy(&mut self, over: bool) {
        self.remove_expendable(over);
        for removal in self.tidy.removals.drain(..) {
            removal.join().ok();
        }
    }

    /// Removes the checkpoints that the policy does not keep. `over`: the sweep is finished.
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
            // A folder that cannot be renamed stays: that is no reason to end a run, and `swath gc`
            // reports it.
            let Ok(aside) = put_aside(&self.dir, id) else {
                continue;
            };
            if let Some(size) = &mut self.size {
                size.forget(id, &aside);
            }
            // Removing large checkpoints takes long: a thread does it while the loop goes on.
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
