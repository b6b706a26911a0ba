//! The attempts that an earlier run of the study started and whose end it did not record.

use super::component::Component;
use super::room::EndLeftovers;
use crate::executor::EarlierAttempt;
use crate::journal::StudyDir;
use std::collections::BTreeMap;
use std::time::Duration;
use swath_model::study::{Attempt, Event, LogRecord, Study, TrialId};

/// The earlier run, as its journal shows it.
pub(super) struct EarlierRun {
    /// By trial, the number of records of its running attempt that the journal contains.
    recorded: BTreeMap<TrialId, u64>,
    /// The trial whose report is the last entry but for warnings: the run was killed before it
    /// wrote the verdict.
    unjudged: Option<TrialId>,
    end_leftovers: EndLeftovers,
}

impl Component for EarlierRun {
    fn on(&mut self, _: &Study, event: &Event) {
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
            Event::Started { trial, .. } => drop(self.recorded.insert(*trial, 0)),
            // Some warnings come from the driver itself: the executor never sent them, so it must
            // not count them when it resumes its streams. A warning about a line is not of that kind.
            Event::Logged {
                record: LogRecord::Warning { .. },
                line_end: None,
                ..
            } => {}
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
            end_leftovers,
        }
    }

    /// Returns the trial whose last report the run did not judge before it was killed.
    pub(super) fn unjudged(&self) -> Option<TrialId> {
        self.unjudged
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

    /// Ends the surviving processes of attempts whose run was killed. Requires the lock; ends only
    /// processes that are proven to belong to the study.
    pub(super) fn end_processes(
        &self,
        dir: &StudyDir,
        study: &Study,
        orphans: &[(TrialId, Attempt)],
        grace: Duration,
    ) {
        // A setup has no entry in the journal, so its processes are searched whenever there was one.
        if orphans.is_empty() && !dir.setup_log().exists() {
            return;
        }
        let places = orphans
            .iter()
            .filter_map(|(id, _)| study.trial(*id)?.place.as_deref().cloned());
        (self.end_leftovers)(dir.root(), &places.collect::<Vec<_>>(), grace);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use swath_model::demo::Demo;

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
}
