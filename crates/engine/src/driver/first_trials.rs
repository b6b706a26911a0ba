//! The first trials of a run, which show whether the sweep can work at all.

use super::component::Component;
use swath_model::study::{Event, Study, TrialId, TrialState};

/// Number of first trials that end the run if all of them are invalid.
const MOST_INVALID: usize = 10;

/// The first trials that this run has started.
#[derive(Debug, Default)]
pub(super) struct FirstTrials {
    started: Vec<TrialId>,
}

impl Component for FirstTrials {
    fn on(&mut self, _: &Study, event: &Event) {
        if let Event::Started { trial, .. } = event
            && self.started.len() < MOST_INVALID
            && !self.started.contains(trial)
        {
            self.started.push(*trial);
        }
    }
}

impl FirstTrials {
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
