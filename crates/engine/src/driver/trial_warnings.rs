//! Warnings about a trial: a resource that begins again, a checkpoint that is missing or broken. A
//! resource that begins again is recorded once per attempt.

use crate::journal::StudyDir;
use std::collections::{BTreeMap, BTreeSet};
use swath_model::space::Name;
use swath_model::study::{
    Attempt, Datum, Event, Exit, FailureClass, LogRecord, Origin, ReportSteps, Study, Trial,
    TrialId, TrialState,
};

/// Number of failures after which a trial no longer starts anew because of a checkpoint that seems
/// broken.
const MAX_FAILURES: u32 = 3;

/// The beginning of the warning about a checkpoint that cannot be used.
const BROKEN_CHECKPOINT: &str = "it resumed from its checkpoint and";

/// The state of the running attempts that the warnings need.
#[derive(Default)]
pub(super) struct TrialWarnings {
    /// By trial, the resource in the reports of the attempt; `None` once it began again.
    resources: BTreeMap<TrialId, Option<ReportSteps>>,
    /// Trials that resumed from a checkpoint and have not reported since.
    silent: BTreeSet<TrialId>,
}

impl TrialWarnings {
    /// Records the start of an attempt of `trial`, which is still as it was before. Returns a
    /// warning if the attempt should have resumed from a checkpoint and cannot.
    pub(super) fn begin(&mut self, trial: &Trial, resume: bool) -> Option<String> {
        self.resources.remove(&trial.id);
        if resume {
            self.silent.insert(trial.id);
            return None;
        }
        match (&trial.state, &trial.origin) {
            (TrialState::Paused, _) => {
                Some("its checkpoint folder is empty or gone, so it starts anew".to_owned())
            }
            (_, Origin::Cloned { from, .. }) => Some(format!(
                "the checkpoints of trial {from} are empty or gone, so it starts anew"
            )),
            _ => None,
        }
    }

    /// Examines a record before it is committed. Returns a warning about it, if any.
    pub(super) fn warning(
        &mut self,
        study: &Study,
        trial: TrialId,
        record: &LogRecord,
    ) -> Option<String> {
        let LogRecord::Report { values } = record else {
            return None;
        };
        // A report shows that the checkpoint could be loaded.
        self.silent.remove(&trial);
        self.report(trial, study.header().resource.as_ref()?, values)
    }

    /// Examines the end of an attempt before it is committed. Returns a warning if the attempt
    /// crashed after loading its checkpoint and before its first report, or ended well and the
    /// trial has no report at all. The checkpoint folder is then renamed, and the trial is to start
    /// anew.
    pub(super) fn end(
        &mut self,
        dir: &StudyDir,
        trial: &Trial,
        attempt: Attempt,
        exit: &Exit,
    ) -> Option<String> {
        self.resources.remove(&trial.id);
        let is_silent = self.silent.remove(&trial.id);
        let has_crashed =
            matches!(exit, Exit::Failed(failure) if failure.class() == FailureClass::Crash);
        // A power failure may take the reports and leave the checkpoint after the last of them,
        // from which the program has nothing more to report.
        let has_no_report = matches!(exit, Exit::Done | Exit::Paused)
            && trial.reports == 0
            && !matches!(trial.origin, Origin::Cloned { .. });
        // After several failures, or a failure after a report, the checkpoint is not to blame.
        if !is_silent || !(has_crashed || has_no_report) || trial.failures >= MAX_FAILURES {
            return None;
        }
        let flaw = match has_no_report {
            true => {
                "ended well without a report, and none is known: the checkpoint is newer than the \
                 reports that were kept"
            }
            false => "failed before its first report: the checkpoint may be broken",
        };
        let aside = dir
            .trial(trial.id)
            .join(format!("broken-checkpoints.{attempt}"));
        Some(match std::fs::rename(dir.checkpoints(trial.id), &aside) {
            Ok(()) => format!(
                "{BROKEN_CHECKPOINT} {flaw} and is now `{}`; the trial starts anew",
                aside.file_name().unwrap_or_default().to_string_lossy()
            ),
            // Without a checkpoint folder, the trial starts anew in any case.
            Err(_) => format!(
                "{BROKEN_CHECKPOINT} brought no report, and its checkpoint is gone: it starts anew"
            ),
        })
    }

    /// Records a report. Returns a warning if the resource begins again.
    fn report(
        &mut self,
        trial: TrialId,
        resource: &Name,
        values: &[(Name, Datum)],
    ) -> Option<String> {
        let entry = self.resources.entry(trial);
        let steps = entry.or_insert_with(|| Some(ReportSteps::default()));
        let (highest, value) = steps.as_mut()?.take(resource, values)?;
        *steps = None;
        Some(format!(
            "`{resource}` went back from {highest} to {value}: decisions at steps that were passed \
             are not made again, and the last value of a metric stays that of its largest step; \
             report a counter that only grows"
        ))
    }
}

/// Returns whether a record is the warning that the checkpoint of a trial cannot be used, after which
/// the trial is requeued.
pub(super) fn is_of_broken_checkpoint(record: &LogRecord) -> bool {
    matches!(record, LogRecord::Warning { text } if text.starts_with(BROKEN_CHECKPOINT))
}

/// Returns the event that requeues a trial whose checkpoint is broken. Its failure is forgiven: the
/// next attempt has no checkpoint, so that it cannot fail in this way.
pub(super) fn requeue(trial: &Trial) -> Event {
    Event::Requeued {
        trial: trial.id,
        why: "its checkpoint cannot be used: it starts anew".to_owned(),
        not_before: None,
        forgiven: trial.state == TrialState::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use swath_model::demo::Demo;
    use swath_model::space::Params;
    use swath_model::study::{Failure, Header, Metric};

    fn at_epoch(
        trial_warnings: &mut TrialWarnings,
        study: &Study,
        trial: TrialId,
        epoch: f64,
    ) -> Option<String> {
        let values = vec![("epoch".into(), Datum::Number(Metric(epoch)))];
        trial_warnings.warning(study, trial, &LogRecord::Report { values })
    }

    /// Returns a study with the resource `epoch` and one running trial.
    fn demo() -> (Demo, TrialId) {
        let mut demo = Demo::new(&[]);
        let header = Header {
            resource: Some("epoch".into()),
            ..demo.study.header().clone()
        };
        demo.event(Event::Edited {
            header,
            changes: Vec::new(),
            fill: Params::default(),
            outside: Vec::new(),
        });
        let trial = demo.start(&[]);
        (demo, trial)
    }

    #[test]
    fn a_resource_that_begins_again_gives_one_warning_per_attempt() {
        let (demo, id) = demo();
        let trial = demo.study.trial(id).unwrap();
        let dir = StudyDir::at("nowhere");
        let mut trial_warnings = TrialWarnings::default();
        assert_eq!(trial_warnings.begin(trial, false), None);
        let has_warned = [1.0, 3.0, 2.0, 3.0, 1.0, 3.0, 1.0]
            .map(|epoch| at_epoch(&mut trial_warnings, &demo.study, id, epoch).is_some());
        assert_eq!(
            has_warned,
            [false, false, false, false, true, false, false],
            "a late report is no counter that begins again"
        );
        assert_eq!(
            trial_warnings.end(&dir, trial, Attempt(1), &Exit::Done),
            None
        );
        assert_eq!(trial_warnings.begin(trial, true), None);
        assert_eq!(
            at_epoch(&mut trial_warnings, &demo.study, id, 1.0),
            None,
            "a checkpoint may be older than the last report"
        );
        assert_eq!(at_epoch(&mut trial_warnings, &demo.study, id, 2.0), None);
        let warning = at_epoch(&mut trial_warnings, &demo.study, id, 1.0).unwrap();
        assert!(warning.starts_with("`epoch` went back from 2 to 1"));
    }

    #[test]
    fn a_failure_on_a_broken_checkpoint_does_not_use_up_a_retry() {
        let (mut demo, id) = demo();
        demo.end(id, Exit::Failed(Failure::Code(1)));
        assert_eq!(demo.study.trial(id).unwrap().failures, 1);
        let requeued = requeue(demo.study.trial(id).unwrap());
        demo.event(requeued);
        assert_eq!(demo.study.trial(id).unwrap().failures, 0);
    }

    #[test]
    fn a_checkpoint_is_broken_if_the_resumed_attempt_crashes_before_its_first_report() {
        let (demo, id) = demo();
        let trial = demo.study.trial(id).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let dir = StudyDir::at(folder.path());
        let crash = Exit::Failed(Failure::Code(1));
        let mut trial_warnings = TrialWarnings::default();
        trial_warnings.begin(trial, true);
        at_epoch(&mut trial_warnings, &demo.study, id, 1.0);
        assert_eq!(trial_warnings.end(&dir, trial, Attempt(1), &crash), None);
        std::fs::create_dir_all(dir.checkpoints(id)).unwrap();
        trial_warnings.begin(trial, true);
        let warning = trial_warnings.end(&dir, trial, Attempt(2), &crash).unwrap();
        assert!(
            warning.contains("is now `broken-checkpoints.2`"),
            "{warning}"
        );
        assert!(!dir.checkpoints(id).exists());
    }

    #[test]
    fn a_trial_without_reports_starts_anew_if_its_checkpoint_left_nothing_to_report() {
        let (mut demo, id) = demo();
        let folder = tempfile::tempdir().unwrap();
        let dir = StudyDir::at(folder.path());
        std::fs::create_dir_all(dir.checkpoints(id)).unwrap();
        let mut trial_warnings = TrialWarnings::default();
        trial_warnings.begin(demo.study.trial(id).unwrap(), true);
        let trial = demo.study.trial(id).unwrap();
        let warning = trial_warnings.end(&dir, trial, Attempt(2), &Exit::Done);
        assert!(warning.is_some_and(|text| text.contains("newer than the reports")));
        assert!(!dir.checkpoints(id).exists());
        // A trial that has reported before may have nothing more to report.
        demo.report(id, &[("epoch", 4.0)]);
        let trial = demo.study.trial(id).unwrap();
        trial_warnings.begin(trial, true);
        assert_eq!(
            trial_warnings.end(&dir, trial, Attempt(3), &Exit::Done),
            None
        );
    }
}
