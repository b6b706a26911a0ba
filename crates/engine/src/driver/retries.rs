//! The failures of a run: whether a failed trial is tried again, and how many trials have failed.

use super::Retry;
use super::breaker::is_due;
use super::component::Component;
use std::collections::BTreeSet;
use swath_model::study::{Event, Exit, Origin, Study, Timestamp, Trial, TrialId, TrialState};

/// The rule of `[retry]`, and the failures of this run.
pub(super) struct Retries {
    rule: Retry,
    /// Failed trials of this run, without those that are retried or forgiven.
    failed: BTreeSet<TrialId>,
}

impl Component for Retries {
    fn on(&mut self, study: &Study, event: &Event) {
        match event {
            Event::Ended { trial, .. } => {
                let has_failed = study
                    .trial(*trial)
                    .is_some_and(|trial| trial.state == TrialState::Failed);
                if has_failed {
                    self.failed.insert(*trial);
                }
            }
            Event::Requeued { trial, .. } => drop(self.failed.remove(trial)),
            _ => {}
        }
    }
}

impl Retries {
    pub(super) fn new(rule: Retry) -> Self {
        Self {
            rule,
            failed: BTreeSet::new(),
        }
    }

    /// Returns the number of failed trials that counts against `limits.failures`.
    pub(super) fn failures(&self) -> u64 {
        self.failed.len() as u64
    }

    /// Returns the event that requeues a failed trial; `None` if `[retry]` does not allow it.
    pub(super) fn requeue(&self, study: &Study, id: TrialId, now: Timestamp) -> Option<Event> {
        let trial = study.trial(id)?;
        let Some(Exit::Failed(failure)) = &trial.exit else {
            return None;
        };
        let is_allowed = trial.state == TrialState::Failed
            && !trial.outside
            && !matches!(trial.origin, Origin::Imported(_))
            && trial.failures <= self.rule.times
            && self.rule.on.contains(&failure.class());
        let wait = self.rule.wait(failure.class(), trial.failures);
        is_allowed.then(|| Event::Requeued {
            trial: id,
            why: format!("retry after: {failure}"),
            not_before: (!wait.is_zero()).then(|| now.after(wait)),
            forgiven: false,
        })
    }

    /// Returns whether the backoff of a waiting trial is over.
    pub(super) fn may_start(&self, trial: &Trial, now: Timestamp) -> bool {
        trial
            .not_before
            .is_none_or(|until| is_due(until, now, self.rule.max_backoff))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use swath_model::demo::Demo;
    use swath_model::study::{Attempt, Failure, FailureClass, Usage};

    /// Ends the running attempt of a trial with an exit code, and lets `retries` follow.
    fn crash(demo: &mut Demo, retries: &mut Retries, trial: TrialId) {
        let attempt = Attempt(demo.study.trial(trial).unwrap().attempts);
        demo.event(Event::Ended {
            trial,
            attempt,
            exit: Exit::Failed(Failure::Code(1)),
            usage: Usage::default(),
        });
        retries.on(&demo.study, &demo.entries.last().unwrap().event);
    }

    #[test]
    fn a_failure_counts_unless_the_trial_is_requeued() {
        let mut demo = Demo::new(&[]);
        let mut retries = Retries::new(Retry {
            times: 1,
            on: vec![FailureClass::Crash],
            backoff: vec![(FailureClass::Crash, Duration::from_secs(60))],
            max_backoff: Duration::from_secs(600),
        });
        let trial = demo.start(&[]);
        crash(&mut demo, &mut retries, trial);
        assert_eq!(retries.failures(), 1);
        let now = demo.study.at().unwrap();
        let requeued = retries.requeue(&demo.study, trial, now).unwrap();
        demo.event(requeued);
        retries.on(&demo.study, &demo.entries.last().unwrap().event);
        assert_eq!(retries.failures(), 0);
        let waiting = demo.study.trial(trial).unwrap();
        for (seconds, expected) in [(59, false), (60, true)] {
            let later = now.after(Duration::from_secs(seconds));
            assert_eq!(retries.may_start(waiting, later), expected, "{seconds}");
        }
        demo.event(Event::Started {
            trial,
            attempt: Attempt(2),
            until: None,
            slot: 0,
            resume: false,
        });
        crash(&mut demo, &mut retries, trial);
        assert_eq!(retries.requeue(&demo.study, trial, now), None, "once");
        assert_eq!(retries.failures(), 1);
    }
}
