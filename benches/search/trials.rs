//! Trials that report once, at their end.

use super::game::Game;
use swath_model::space::Params;
use swath_model::study::{Attempt, Datum, Event, Exit, LogRecord, Metric, TrialId, Usage};

impl Game {
    pub(crate) fn start(&mut self, params: Params) -> TrialId {
        let trial = self.create(params);
        self.commit(Event::Started {
            trial,
            attempt: Attempt(1),
            until: None,
            slot: 0,
            resume: false,
        });
        trial
    }

    /// Reports values of the objectives, followed by those of the limits.
    pub(crate) fn report(&mut self, trial: TrialId, values: &[f64]) {
        let header = self.study.header();
        let objectives = header.objectives.iter().map(|objective| &objective.metric);
        let limits = header.limits.iter().map(|limit| &limit.metric);
        let values = objectives
            .chain(limits)
            .zip(values)
            .map(|(name, value)| (name.clone(), Datum::Number(Metric(*value))))
            .collect();
        self.commit(Event::Logged {
            trial,
            attempt: Attempt(1),
            record: LogRecord::Report { values },
            line_end: None,
        });
    }

    pub(crate) fn tell(&mut self, trial: TrialId, values: &[f64]) {
        self.report(trial, values);
        self.end(trial, Exit::Done);
    }

    pub(crate) fn end(&mut self, trial: TrialId, exit: Exit) {
        self.commit(Event::Ended {
            trial,
            attempt: Attempt(1),
            exit,
            usage: Usage::default(),
        });
    }
}
