//! The first trials of a run, which show whether the sweep can work at all.

use super::component::Component;
use swath_model::study::{Event, Exit, Failure, Origin, Study, Trial, TrialId, TrialState};

/// Number of first trials that end the run if all of them are invalid.
const MOST_INVALID: usize = 10;

/// The first trials that this run has started.
#[derive(Debug, Default)]
pub(super) struct FirstTrials {
    started: Vec<TrialId>,
    /// Whether a trial of the study has reported an objective.
    has_objective: bool,
    /// The trial that ended well and never reported an objective.
    silent: Option<TrialId>,
}

impl Component for FirstTrials {
    fn on(&mut self, study: &Study, event: &Event) {
        match event {
            Event::Started { trial, .. }
                if self.started.len() < MOST_INVALID && !self.started.contains(trial) =>
            {
                self.started.push(*trial);
            }
            Event::Logged { trial, .. } if !self.has_objective => {
                let trial = study.trial(*trial);
                self.has_objective = trial.is_some_and(|trial| has_objective(study, trial));
            }
            Event::Ended { trial, .. } if !self.has_objective => {
                let is_silent = study.trial(*trial).is_some_and(|trial| {
                    trial.state == TrialState::Failed
                        && matches!(trial.exit, Some(Exit::Failed(Failure::NoObjective(_))))
                });
                if is_silent {
                    self.silent.get_or_insert(*trial);
                }
            }
            Event::Requeued { trial, .. } if self.silent == Some(*trial) => self.silent = None,
            _ => {}
        }
    }
}

/// Returns whether a trial has reported a number for an objective, finite or not.
fn has_objective(study: &Study, trial: &Trial) -> bool {
    let mut objectives = study.header().objectives.iter();
    objectives.any(|objective| trial.metrics.contains_key(&objective.metric))
}

impl FirstTrials {
    /// Begins a run of the study.
    pub(super) fn begin(&mut self, study: &Study) {
        // Trials that ran elsewhere do not show that the program here reports.
        let mut own = study
            .trials()
            .iter()
            .filter(|trial| !matches!(trial.origin, Origin::Imported(_)));
        self.has_objective = own.any(|trial| has_objective(study, trial));
    }

    /// Returns the trial that ended well without its objective, while no trial has ever reported
    /// one: a wrong name or pattern would cost all trials. A trial that still runs may refute it.
    pub(super) fn silent(&self) -> Option<TrialId> {
        self.silent.filter(|_| !self.has_objective)
    }

    /// Returns whether the first ten trials are all invalid and no other trial of the study has a
    /// result. Trials are taken in the order of their start: an invalid trial ends at once, so the
    /// first ones that end may be invalid in a healthy sweep.
    pub(super) fn are_invalid(&self, study: &Study) -> bool {
        let counts = study.counts();
        self.started.len() == MOST_INVALID
            && counts.complete + counts.stopped + counts.paused == 0
            && self.started.iter().all(|id| {
                study
                    .trial(*id)
                    .is_some_and(|trial| trial.state == TrialState::Invalid)
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use swath_model::demo::Demo;
    use swath_model::study::{Exit, Failure};

    fn follow(demo: &Demo) -> FirstTrials {
        let mut first = FirstTrials::default();
        for entry in &demo.entries {
            first.on(&demo.study, &entry.event);
        }
        first
    }

    #[test]
    fn a_trial_without_objective_is_a_warning_until_one_has_reported_it() {
        let mut demo = Demo::new(&[]);
        let (silent, other) = (demo.start(&[]), demo.start(&[]));
        demo.report(silent, &[("Val-Loss", 1.0)]);
        demo.end(silent, Exit::Done);
        assert_eq!(follow(&demo).silent(), Some(silent));
        demo.report(other, &[("val_loss", f64::NAN)]);
        assert_eq!(
            follow(&demo).silent(),
            None,
            "NaN is a value of a right name"
        );
        let mut later = FirstTrials::default();
        later.begin(&demo.study);
        let trial = demo.start(&[]);
        demo.end(trial, Exit::Done);
        later.on(&demo.study, &demo.entries.last().unwrap().event);
        assert_eq!(
            later.silent(),
            None,
            "an earlier run has shown that the name is right"
        );
    }

    #[test]
    fn ten_first_trials_that_are_all_invalid_end_the_run_and_one_that_still_runs_does_not() {
        let invalid = || Exit::Failed(Failure::Invalid("too deep".to_owned()));
        let mut demo = Demo::new(&[]);
        let slow = demo.start(&[]);
        for _ in 0..9 {
            let trial = demo.start(&[]);
            demo.end(trial, invalid());
        }
        let later = demo.start(&[]);
        demo.end(later, invalid());
        assert!(!follow(&demo).are_invalid(&demo.study), "one still runs");
        demo.end(slow, invalid());
        assert!(follow(&demo).are_invalid(&demo.study));
        let trial = demo.start(&[]);
        demo.report(trial, &[("val_loss", 1.0)]);
        demo.end(trial, Exit::Done);
        assert!(!follow(&demo).are_invalid(&demo.study), "one has a result");
    }
}
