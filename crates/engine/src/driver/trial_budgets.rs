//! The time that running trials have used of their `trial_budget`.

use super::component::Component;
use super::{Limits, TrialBudget};
use std::collections::BTreeMap;
use std::time::Duration;
use swath_model::study::{Event, Study, Timestamp, TrialId};

/// The budget of time of each trial, and the running trials.
pub(super) struct TrialBudgets {
    budget: Option<Duration>,
    running: BTreeMap<TrialId, Correction>,
}

/// The difference between the time since the start of an attempt and the time that its trial used.
#[derive(Default)]
struct Correction {
    /// Time that earlier attempts used, from whose checkpoint this one goes on.
    earlier: Duration,
    /// Time for which the attempt was suspended with the orchestrator.
    suspended: Duration,
}

impl Component for TrialBudgets {
    fn on(&mut self, study: &Study, event: &Event) {
        match event {
            Event::Started { trial, resume, .. } if self.budget.is_some() => {
                let earlier = study
                    .trial(*trial)
                    .filter(|_| *resume)
                    .and_then(|trial| Duration::try_from_secs_f64(trial.seconds).ok());
                let correction = Correction {
                    earlier: earlier.unwrap_or_default(),
                    ..Correction::default()
                };
                self.running.insert(*trial, correction);
            }
            Event::Ended { trial, .. } => drop(self.running.remove(trial)),
            _ => {}
        }
    }
}

impl TrialBudgets {
    pub(super) fn new(limits: &Limits) -> Self {
        let budget = match limits.trial_budget {
            Some(TrialBudget::Time(time)) => Some(time),
            _ => None,
        };
        Self {
            budget,
            running: BTreeMap::new(),
        }
    }

    /// Adds a suspension of the orchestrator and its trials, which does not count.
    pub(super) fn extend(&mut self, suspension: Duration) {
        for correction in self.running.values_mut() {
            correction.suspended += suspension;
        }
    }

    /// Returns the running trials that have used up their budget, each with the reason to end it.
    pub(super) fn spent(&self, study: &Study, now: Timestamp) -> Vec<(TrialId, String)> {
        let Some(budget) = self.budget else {
            return Vec::new();
        };
        study
            .running()
            .filter(|id| {
                self.used(study, *id, now)
                    .is_some_and(|used| used >= budget)
            })
            .map(|id| {
                let seconds = budget.as_secs_f64();
                (id, format!("it ran for {seconds} s, its `trial_budget`"))
            })
            .collect()
    }

    /// Returns the time that a running trial has used.
    fn used(&self, study: &Study, id: TrialId, now: Timestamp) -> Option<Duration> {
        let since_start = now.since(study.trial(id)?.attempt_at?);
        // An attempt that an earlier run began has no correction.
        let used = match self.running.get(&id) {
            Some(correction) => {
                since_start.saturating_sub(correction.suspended) + correction.earlier
            }
            None => since_start,
        };
        Some(used)
    }
}
