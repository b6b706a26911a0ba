//! Removes checkpoints, private working directories and kept models that the policy no longer keeps,
//! while the study runs.

use super::component::Component;
use super::{has_entries, holding};
use crate::journal::StudyDir;
use crate::keep::{self, Keep};
use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use swath_model::study::{Event, Study, Trial, TrialId};

/// The existing checkpoints, and the removals in progress.
pub(super) struct Tidy {
    dir: StudyDir,
    policy: Keep,
    /// Whether the scheduler may start a trial from the checkpoint of another.
    clones: bool,
    /// Trials with folders that the policy governs.
    kept: BTreeSet<TrialId>,
    /// Trials with a model that would be lost with these folders.
    models: BTreeSet<TrialId>,
    /// Whether an attempt has ended since checkpoints were last removed.
    is_due: bool,
    /// Threads that remove checkpoint folders.
    removals: Vec<JoinHandle<()>>,
}

/// Returns the folders of a trial that the policy governs, without those that do not exist or are
/// empty: its checkpoints, its private working directory, and the models that it asked to keep.
#[must_use]
pub fn governed(dir: &StudyDir, trial: &Trial) -> Vec<PathBuf> {
    let folders = [dir.checkpoints(trial.id), dir.work(trial.id)];
    folders
        .into_iter()
        .chain(holding::kept_on_request(dir, trial))
        .filter(|folder| has_entries(folder))
        .collect()
}

/// Returns the trials among `trials` that the policy must keep although it does not name them,
/// because of models that would be lost.
#[must_use]
pub fn with_models(dir: &StudyDir, study: &Study) -> BTreeSet<TrialId> {
    let mut models = keep::models(study);
    let trials = study.trials().iter();
    let unheld = trials.filter(|trial| trial.records.iter().any(keep::is_unheld_model));
    models.extend(
        unheld
            .map(|trial| trial.id)
            .filter(|id| dir.work(*id).is_dir()),
    );
    models
}

/// Renames a folder of a trial and returns the new path, from which it can be removed slowly: no
/// process ever finds half a checkpoint.
///
/// # Errors
/// If the folder cannot be renamed.
pub fn put_aside(folder: &Path) -> io::Result<PathBuf> {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    let aside = folder.with_file_name(format!(".removed-{name}"));
    // The rest of a removal that a crash interrupted.
    if aside.exists() {
        std::fs::remove_dir_all(&aside)?;
    }
    std::fs::rename(folder, &aside)?;
    Ok(aside)
}

impl Component for Tidy {
    fn on(&mut self, study: &Study, event: &Event) {
        match event {
            _ if self.policy.is_all() => {}
            // The checkpoint folder that contains a model must not be removed.
            Event::Logged { trial, record, .. } => {
                self.models.extend(keep::model(record));
                if keep::is_unheld_model(record) && self.dir.work(*trial).is_dir() {
                    self.models.insert(*trial);
                }
            }
            Event::Ended { trial, .. } => {
                let trial = study.trial(*trial);
                let kept = trial.filter(|trial| !governed(&self.dir, trial).is_empty());
                self.kept.extend(kept.map(|trial| trial.id));
                // The removal waits for the end of the round: one look at all trials is enough for
                // all attempts that end in it.
                self.is_due = true;
            }
            _ => {}
        }
    }
}

impl Tidy {
    pub(super) fn new(dir: StudyDir, policy: Keep, clones: bool) -> Self {
        Self {
            dir,
            policy,
            clones,
            kept: BTreeSet::new(),
            models: BTreeSet::new(),
            is_due: false,
            removals: Vec::new(),
        }
    }

    /// Finds the trials that have folders which the policy governs.
    pub(super) fn begin(&mut self, study: &Study) {
        if self.policy.is_all() {
            return;
        }
        let trials = study.trials().iter();
        self.kept = trials
            .filter(|trial| !governed(&self.dir, trial).is_empty())
            .map(|trial| trial.id)
            .collect();
        self.models = with_models(&self.dir, study);
    }

    /// Returns whether an attempt has ended since checkpoints were last removed.
    pub(super) fn is_due(&self) -> bool {
        self.is_due
    }

    /// Removes the checkpoints that the policy does not keep. `over`: the sweep is finished, so no
    /// checkpoint is needed for a clone. `each` is called with each trial and the folder that a
    /// thread is about to remove.
    pub(super) fn remove_expendable(
        &mut self,
        study: &Study,
        over: bool,
        mut each: impl FnMut(TrialId, &Path),
    ) {
        self.is_due = false;
        let (kept, models) = (&self.kept, &self.models);
        for id in self
            .policy
            .expendable(study, kept, models, self.clones, over)
        {
            self.kept.remove(&id);
            let folders = study.trial(id).map(|trial| governed(&self.dir, trial));
            for folder in folders.into_iter().flatten() {
                // A folder that cannot be renamed stays: that is no reason to end a run, and `swath
                // gc` reports it.
                let Ok(aside) = put_aside(&folder) else {
                    continue;
                };
                each(id, &aside);
                // Removing large checkpoints takes long: a thread does it while the loop goes on.
                let removal =
                    std::thread::Builder::new()
                        .name("tidy".to_owned())
                        .spawn(move || {
                            std::fs::remove_dir_all(aside).ok();
                        });
                self.removals.extend(removal);
            }
        }
        self.removals.retain(|removal| !removal.is_finished());
    }

    /// Waits for all removals.
    pub(super) fn finish(&mut self) {
        for removal in self.removals.drain(..) {
            removal.join().ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::gc;
    use swath_model::demo::Demo;
    use swath_model::study::{Attempt, Exit, Failure, LogRecord, Usage};

    #[test]
    fn a_complete_trial_loses_its_checkpoint_and_a_failed_one_keeps_it() {
        let folder = tempfile::tempdir().unwrap();
        let dir = StudyDir::at(folder.path());
        let mut demo = Demo::new(&[]);
        let mut tidy = Tidy::new(dir.clone(), Keep::parse("none").unwrap(), false);
        let exits = [Exit::Done, Exit::Failed(Failure::Code(1))];
        let trials = exits.map(|exit| {
            let trial = demo.start(&[]);
            demo.report(trial, &[("val_loss", 1.0)]);
            std::fs::create_dir_all(dir.checkpoints(trial).join("epoch-1")).unwrap();
            demo.event(Event::Ended {
                trial,
                attempt: Attempt(1),
                exit,
                usage: Usage::default(),
            });
            tidy.on(&demo.study, &demo.entries.last().unwrap().event);
            trial
        });
        assert!(tidy.is_due());
        let mut removed = Vec::new();
        tidy.remove_expendable(&demo.study, false, |trial, _| removed.push(trial));
        tidy.finish();
        assert_eq!(removed, [trials[0]]);
        let remain = trials.map(|trial| dir.checkpoints(trial).exists());
        assert_eq!((remain, tidy.is_due()), ([false, true], false));
    }

    #[test]
    fn the_policy_decides_about_models_that_an_ended_trial_asked_to_keep() {
        let folder = tempfile::tempdir().unwrap();
        let dir = StudyDir::at(folder.path());
        let mut demo = Demo::new(&[]);
        let trial = demo.start(&[]);
        let version = |number: usize| dir.trial(trial).join(format!("held/m_{number}"));
        for (number, loss) in [0.9, 0.2, 0.5, 0.6].into_iter().enumerate() {
            demo.report(trial, &[("val_loss", loss)]);
            std::fs::create_dir_all(version(number).join("m.bin")).unwrap();
            demo.log(trial, kept_model(number));
        }
        demo.end(trial, Exit::Done);
        let best = Keep::parse("best").unwrap();
        assert_eq!(gc::waste(&dir, &demo.study, best, false), []);
        let none = Keep::parse("none").unwrap();
        let waste = gc::waste(&dir, &demo.study, none, false);
        let paths: Vec<_> = waste.iter().map(|waste| waste.path.clone()).collect();
        assert_eq!(
            paths,
            [version(0), version(2)],
            "1 counts, and 3 is the last"
        );
        assert!(waste[0].why.contains("keep = true"), "{}", waste[0].why);

        let mut tidy = Tidy::new(dir.clone(), none, false);
        tidy.begin(&demo.study);
        tidy.remove_expendable(&demo.study, false, |_, _| {});
        tidy.finish();
        let present = [0, 1, 2, 3].map(|number| version(number).exists());
        assert_eq!(present, [false, true, false, true]);
    }

    fn kept_model(number: usize) -> LogRecord {
        LogRecord::Model {
            model_path: "m.bin".into(),
            md5: Some(format!("{number:032}")),
            size: 1,
            step: None,
            held: Some(format!("held/m_{number}/m.bin")),
            keep: true,
            doubt: None,
            partial: Vec::new(),
        }
    }
}
