//! The attempts that an earlier run of the study started and whose end it did not record.

use super::component::Component;
use super::room::EndLeftovers;
use super::trial_warnings::is_of_broken_checkpoint;
use crate::executor::EarlierAttempt;
use crate::journal::StudyDir;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};
use swath_model::study::preparation::is_input;
use swath_model::study::{
    Attempt, Event, LogRecord, Place, Study, Timestamp, Trial, TrialId, TrialState,
};

/// The earlier run, as its journal shows it.
pub(super) struct EarlierRun {
    /// By trial, the number of records of its running attempt that the journal contains.
    recorded: BTreeMap<TrialId, u64>,
    /// The trial whose report is the last entry but for warnings: the run was killed before it
    /// wrote the verdict.
    unjudged: Option<TrialId>,
    /// The trials whose checkpoint cannot be used and that were not requeued since: the run was
    /// killed before it wrote that.
    with_broken_checkpoint: BTreeSet<TrialId>,
    /// The time of the last entry.
    last_entry: Option<Timestamp>,
    end_leftovers: EndLeftovers,
}

impl Component for EarlierRun {
    fn on(&mut self, study: &Study, event: &Event) {
        self.last_entry = study.at();
        self.unjudged = match event {
            Event::Logged {
                trial,
                record: LogRecord::Report { .. } | LogRecord::Beyond { .. },
                ..
            } => Some(*trial),
            Event::Logged {
                record: LogRecord::Warning { .. },
                ..
            } => self.unjudged,
            _ => None,
        };
        match event {
            Event::Logged {
                trial,
                record,
                line_end: None,
                ..
            } if is_of_broken_checkpoint(record) => {
                self.with_broken_checkpoint.insert(*trial);
            }
            Event::Started { trial, .. } | Event::Requeued { trial, .. } => {
                self.with_broken_checkpoint.remove(trial);
            }
            _ => {}
        }
        match event {
            Event::Started { trial, .. } => drop(self.recorded.insert(*trial, 0)),
            // Some warnings come from the driver itself: the executor never sent them, so it must
            // not count them when it resumes its streams. A warning about a line is not of that kind.
            Event::Logged {
                record: LogRecord::Warning { .. },
                line_end: None,
                ..
            } => {}
            // Nor the outputs of preparations that the trial reads.
            Event::Logged {
                record,
                line_end: None,
                ..
            } if is_input(record) => {}
            Event::Logged { trial, .. } => *self.recorded.entry(*trial).or_default() += 1,
            Event::Ended { trial, .. } => drop(self.recorded.remove(trial)),
            _ => {}
        }
    }
}

impl EarlierRun {
    pub(super) fn new(end_leftovers: EndLeftovers) -> Self {
        Self {
            recorded: BTreeMap::new(),
            unjudged: None,
            with_broken_checkpoint: BTreeSet::new(),
            last_entry: None,
            end_leftovers,
        }
    }

    /// Returns the trial whose last report the run did not judge before it was killed.
    pub(super) fn unjudged(&self) -> Option<TrialId> {
        self.unjudged
    }

    /// Returns the trials that have ended on a broken checkpoint, and that the run did not requeue
    /// before it was killed.
    pub(super) fn unrequeued(&self, study: &Study) -> Vec<TrialId> {
        let trials = self.with_broken_checkpoint.iter().copied();
        trials
            .filter(|id| study.trial(*id).is_some_and(has_ended))
            .collect()
    }

    /// Returns the run time in seconds of an attempt whose run was killed, up to the last sign of
    /// either: an entry of the journal, or a line of the attempt. The next run may be days later.
    pub(super) fn run_time(&self, dir: &StudyDir, study: &Study, trial: TrialId) -> Option<f64> {
        let started = study.trial(trial)?.attempt_at?;
        let folder = dir.trial(trial);
        let written = ["records.jsonl", "stdout.log", "stderr.log"]
            .into_iter()
            .filter_map(|name| last_write(&folder.join(name)));
        let last_sign = written.chain(self.last_entry).max()?;
        Some(last_sign.since(started).as_secs_f64())
    }

    /// Returns the attempts that are still running according to the journal.
    pub(super) fn attempts(&self, study: &Study) -> Vec<EarlierAttempt> {
        study
            .running()
            .filter_map(|id| study.trial(id))
            .map(|trial| EarlierAttempt {
                trial: trial.id,
                attempt: Attempt(trial.attempts),
                slot: trial.slot.unwrap_or(0),
                recorded: self.recorded.get(&trial.id).copied().unwrap_or(0),
                is_placed: trial.place.is_some(),
            })
            .collect()
    }

    /// Ends the surviving processes of attempts whose run was killed, and removes the folders of
    /// repetitions. Requires the lock; ends only processes that are proven to belong to the study.
    pub(super) fn end_processes(
        &self,
        dir: &StudyDir,
        study: &Study,
        orphans: &[(TrialId, Attempt)],
        grace: Duration,
    ) {
        // Neither a setup nor a repetition has an entry in the journal, so their processes are
        // searched whenever there was one.
        let repetitions = dir.repetitions();
        if orphans.is_empty() && repetitions.is_empty() && !dir.setup_log().exists() {
            return;
        }
        let places = orphans
            .iter()
            .filter_map(|(id, _)| study.trial(*id)?.place.as_deref().cloned());
        (self.end_leftovers)(dir.root(), &places.collect::<Vec<_>>(), grace);
        for folder in repetitions {
            // One that cannot be removed is shown by `gc`.
            std::fs::remove_dir_all(folder).ok();
        }
    }

    /// Ends the surviving processes at these places and those whose trial folder is in `folder`.
    pub(super) fn end_processes_of(&self, folder: &Path, places: &[Place], grace: Duration) {
        (self.end_leftovers)(folder, places, grace);
    }
}

/// Returns whether the last attempt of a trial has ended, and the trial does not wait for another.
fn has_ended(trial: &Trial) -> bool {
    matches!(trial.state, TrialState::Failed | TrialState::Paused)
}

/// Returns the time of the last write to a file; `None` if it does not exist.
fn last_write(path: &Path) -> Option<Timestamp> {
    let modified = path.symlink_metadata().ok()?.modified().ok()?;
    let since_epoch = modified.duration_since(UNIX_EPOCH).ok()?;
    let micros = i64::try_from(since_epoch.as_micros()).ok()?;
    Some(Timestamp::from_micros(micros))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_run_time_of_a_killed_attempt_ends_at_its_last_sign_of_life() {
        let mut demo = Demo::new(&[]);
        let trial = demo.start(&[]);
        demo.report(trial, &[("val_loss", 1.0)]);
        let folder = tempfile::tempdir().expect("a temporary folder");
        let dir = StudyDir::at(folder.path());
        let mut earlier = EarlierRun::new(Box::new(|_, _, _| {}));
        earlier.last_entry = demo.study.at();
        let started = demo.study.trial(trial).and_then(|trial| trial.attempt_at);
        let started = started.expect("it has started");
        let until_report = demo.study.at().expect("it has entries").since(started);
        let run_time = earlier.run_time(&dir, &demo.study, trial);
        assert_eq!(run_time, Some(until_report.as_secs_f64()));
        // A line that no run has read is a later sign.
        std::fs::create_dir(dir.trial(trial)).expect("it can be created");
        let log = std::fs::File::create(dir.trial(trial).join("stdout.log"));
        let an_hour_later = started.after(Duration::from_secs(3600)).as_micros();
        let an_hour_later = UNIX_EPOCH + Duration::from_micros(an_hour_later.unsigned_abs());
        log.and_then(|log| log.set_modified(an_hour_later))
            .expect("its time can be set");
        assert_eq!(earlier.run_time(&dir, &demo.study, trial), Some(3600.0));
    }
    use crate::driver::trial_warnings::{TrialWarnings, requeue};
    use swath_model::demo::Demo;
    use swath_model::study::{Exit, Failure, Usage};

    #[test]
    fn records_of_the_running_attempt_are_counted_without_the_drivers_own_warnings() {
        let mut demo = Demo::new(&[]);
        let trial = demo.start(&[]);
        demo.report(trial, &[("val_loss", 1.0)]);
        let text = "odd".to_owned();
        demo.log(trial, LogRecord::Warning { text });
        demo.report(trial, &[("val_loss", 0.5)]);
        let mut earlier = EarlierRun::new(Box::new(|_, _, _| {}));
        for entry in &demo.entries {
            earlier.on(&demo.study, &entry.event);
        }
        let attempts = earlier.attempts(&demo.study);
        let counts: Vec<_> = attempts
            .iter()
            .map(|attempt| (attempt.trial, attempt.recorded))
            .collect();
        assert_eq!(counts, [(trial, 2)]);
    }

    #[test]
    fn a_trial_whose_broken_checkpoint_was_noted_before_the_kill_is_still_to_be_requeued() {
        let mut demo = Demo::new(&[]);
        let trial = demo.start(&[]);
        let folder = tempfile::tempdir().expect("a temporary folder");
        let dir = StudyDir::at(folder.path());
        std::fs::create_dir_all(dir.checkpoints(trial)).expect("it can be created");
        let mut trial_warnings = TrialWarnings::default();
        let running = demo.study.trial(trial).expect("it runs");
        trial_warnings.begin(running, true);
        let (attempt, exit) = (Attempt(1), Exit::Failed(Failure::Code(1)));
        let text = trial_warnings.end(&dir, running, attempt, &exit);
        let text = text.expect("the checkpoint is broken");
        demo.log(trial, LogRecord::Warning { text });
        let follow = |demo: &Demo| {
            let mut earlier = EarlierRun::new(Box::new(|_, _, _| {}));
            for entry in &demo.entries {
                earlier.on(&demo.study, &entry.event);
            }
            earlier.unrequeued(&demo.study)
        };
        assert_eq!(follow(&demo), [], "the attempt has not ended");
        let usage = Usage::default();
        demo.event(Event::Ended {
            trial,
            attempt,
            exit,
            usage,
        });
        assert_eq!(follow(&demo), [trial]);
        let requeued = requeue(demo.study.trial(trial).unwrap());
        demo.event(requeued);
        assert_eq!(follow(&demo), []);
    }
}
