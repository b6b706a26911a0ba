//! Warnings about a trial: a resource that decreases, a checkpoint that is missing or broken. A
//! decrease of the resource is recorded once per attempt.

use super::{Driver, DriverError};
use crate::space::Name;
use crate::study::{
    Attempt, Datum, Event, Exit, FailureClass, LogRecord, Metric, Origin, TrialId, TrialState,
};
use std::collections::{BTreeMap, BTreeSet};

/// Number of failures after which a trial no longer starts anew because of a checkpoint that seems
/// broken.
const TRIES: u32 = 3;

/// The state of the running attempts that the warnings need.
#[derive(Default)]
pub(super) struct Caution {
    /// By trial, the highest resource reported by the attempt; `None` once a decrease was reported.
    steps: BTreeMap<TrialId, Option<f64>>,
    /// Trials that resumed from a checkpoint and have not reported since.
    silent: BTreeSet<TrialId>,
}

impl Caution {
    /// Records the start of an attempt.
    fn began(&mut self, trial: TrialId, resume: bool) {
        self.steps.remove(&trial);
        if resume {
            self.silent.insert(trial);
        }
    }

    /// Records the end of an attempt. Returns whether it resumed from a checkpoint and never
    /// reported.
    fn ended(&mut self, trial: TrialId) -> bool {
        self.steps.remove(&trial);
        self.silent.remove(&trial)
    }

    /// Records a report. Returns a warning if the resource is lower than before.
    fn report(
        &mut self,
        trial: TrialId,
        resource: &Name,
        values: &[(Name, Datum)],
    ) -> Option<String> {
        let now = values.iter().find_map(|(name, datum)| match datum {
            Datum::Number(Metric(number)) if name == resource && number.is_finite() => {
                Some(*number)
            }
            _ => None,
        })?;
        let before = self.steps.entry(trial).or_insert(Some(now));
        let far = (*before)?;
        if now >= far {
            *before = Some(now);
            return None;
        }
        *before = None;
        Some(format!(
            "`{resource}` went back from {far} to {now}: decisions at places that were passed are not made again; report a counter that only grows"
        ))
    }
}

impl Driver<'_> {
    /// Records the start of an attempt. Commits a warning if the attempt should have resumed from a
    /// checkpoint and cannot.
    pub(super) fn caution_begin(
        &mut self,
        trial: TrialId,
        attempt: Attempt,
        resume: bool,
        was: &TrialState,
    ) -> Result<(), DriverError> {
        self.caution.began(trial, resume);
        let origin = self.study.trial(trial).map(|found| found.origin.clone());
        let text = match (resume, was, origin) {
            (false, TrialState::Paused, _) => {
                "its checkpoint folder is empty or gone, so it starts anew".to_owned()
            }
            (false, _, Some(Origin::Cloned { from, .. })) => {
                format!("the checkpoints of trial {from} are empty or gone, so it starts anew")
            }
            _ => return Ok(()),
        };
        self.commit(Event::Logged {
            trial,
            attempt,
            record: LogRecord::Warning { text },
        })
    }

    /// Examines a record before it is committed. Returns a warning about it, if any.
    pub(super) fn caution_look(&mut self, trial: TrialId, record: &LogRecord) -> Option<String> {
        let LogRecord::Report { values } = record else {
            return None;
        };
        // A report shows that the checkpoint could be loaded.
        self.caution.silent.remove(&trial);
        let resource = self.study.header().resource.as_ref()?;
        self.caution.report(trial, resource, values)
    }

    /// Examines the end of an attempt before it is committed. Returns whether the attempt crashed
    /// after loading its checkpoint and before its first report. The checkpoint folder is then
    /// renamed, so that the next attempt starts anew.
    pub(super) fn caution_end(
        &mut self,
        trial: TrialId,
        attempt: Attempt,
        exit: &Exit,
    ) -> Result<bool, DriverError> {
        let silent = self.caution.ended(trial);
        let crashed =
            matches!(exit, Exit::Failed(failure) if failure.class() == FailureClass::Crash);
        let tried = self.study.trial(trial).map_or(0, |found| found.failures);
        // After several failures, or a failure after a report, the checkpoint is not to blame.
        if !silent || !crashed || tried >= TRIES {
            return Ok(false);
        }
        let aside = self
            .dir
            .trial(trial)
            .join(format!("broken-checkpoints.{attempt}"));
        let text = match std::fs::rename(self.dir.checkpoints(trial), &aside) {
            Ok(()) => format!(
                "it went on from its checkpoint and failed before its first report: the checkpoint may be broken and is now `{}`; \
                 the trial starts anew",
                aside.file_name().unwrap_or_default().to_string_lossy()
            ),
            // Without a checkpoint folder, the trial starts anew in any case.
            Err(_) => {
                "it failed before its first report, and its checkpoint is gone: it starts anew"
                    .to_owned()
            }
        };
        self.commit(Event::Logged {
            trial,
            attempt,
            record: LogRecord::Warning { text },
        })?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resource_that_goes_back_is_told_once_in_an_attempt() {
        let mut caution = Caution::default();
        let epoch: Name = "epoch".into();
        let report = |caution: &mut Caution, at: f64| {
            caution.report(
                TrialId(1),
                &epoch,
                &[("epoch".into(), Datum::Number(Metric(at)))],
            )
        };
        caution.began(TrialId(1), false);
        let said: Vec<bool> = [1.0, 2.0, 2.0, 1.0, 3.0, 1.0]
            .iter()
            .map(|at| report(&mut caution, *at).is_some())
            .collect();
        assert_eq!(said, [false, false, false, true, false, false]);
        caution.ended(TrialId(1));
        caution.began(TrialId(1), true);
        assert_eq!(
            report(&mut caution, 1.0),
            None,
            "a checkpoint may be older than the last report"
        );
        assert!(
            report(&mut caution, 0.5)
                .is_some_and(|text| text.starts_with("`epoch` went back from 1 to 0.5"))
        );
    }
}
