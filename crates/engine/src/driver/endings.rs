//! The requests to end that running trials were sent.

use super::component::Component;
use crate::executor::Stop;
use std::collections::BTreeMap;
use swath_log::Directive;
use swath_model::study::{Event, Study, TrialId, Verdict};

/// Running trials that were asked to end, and how. They are not judged again, and asked again only
/// with more urgency.
#[derive(Default)]
pub(super) struct Endings(BTreeMap<TrialId, Stop>);

impl Component for Endings {
    fn on(&mut self, _: &Study, event: &Event) {
        if let Event::Ended { trial, .. } = event {
            self.0.remove(trial);
        }
    }
}

impl Endings {
    /// Returns whether a trial was asked to end.
    pub(super) fn contains(&self, trial: TrialId) -> bool {
        self.0.contains_key(&trial)
    }

    /// Records a request. Returns whether it is to be sent: the trial was not asked before, or with
    /// less urgency.
    pub(super) fn ask(&mut self, trial: TrialId, how: Stop) -> bool {
        let is_new = self.0.get(&trial).is_none_or(|earlier| *earlier < how);
        if is_new {
            self.0.insert(trial, how);
        }
        is_new
    }

    /// Returns the answer to a trial that asks whether it may continue, with the reason.
    pub(super) fn answer(&self, study: &Study, trial: TrialId) -> (Directive, String) {
        let Some(how) = self.0.get(&trial) else {
            return (Directive::Continue, String::new());
        };
        let why = match how {
            Stop::Interrupt | Stop::Kill => Some("the run was interrupted".to_owned()),
            Stop::Pause | Stop::Verdict => study.trial(trial).and_then(|trial| trial.why.clone()),
        };
        (how.directive(), why.unwrap_or_default())
    }
}

/// Returns the request to end that a verdict calls for; `None` if the trial may continue.
pub(super) fn stop_for(verdict: Verdict) -> Option<Stop> {
    match verdict {
        Verdict::Continue => None,
        Verdict::Pause => Some(Stop::Pause),
        Verdict::Stop | Verdict::Complete => Some(Stop::Verdict),
    }
}

/// Returns the running trials whose last verdict ends them, each with the request to send.
pub(super) fn judged_to_end(study: &Study) -> Vec<(TrialId, Stop)> {
    study
        .running()
        .filter_map(|id| Some((id, stop_for(study.trial(id)?.verdict?)?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use swath_model::demo::Demo;

    #[test]
    fn a_trial_is_asked_again_only_with_more_urgency() {
        let mut demo = Demo::new(&[]);
        let trial = demo.start(&[]);
        let mut endings = Endings::default();
        assert_eq!(endings.answer(&demo.study, trial).0, Directive::Continue);
        assert!(endings.ask(trial, Stop::Interrupt));
        assert!(!endings.ask(trial, Stop::Interrupt) && !endings.ask(trial, Stop::Pause));
        let answer = (Directive::Stop, "the run was interrupted".to_owned());
        assert_eq!(endings.answer(&demo.study, trial), answer);
        assert!(endings.ask(trial, Stop::Kill));
    }
}
