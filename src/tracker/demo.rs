//! Small studies for tests, made of the events that a run would have written.

use crate::space::{Name, Params, Value};
use crate::study::{
    Attempt, Datum, Entry, Event, Exit, FORMAT, Goal, Header, LogRecord, Metric, Objective, Origin,
    Study, Take, Timestamp, TrialId, Usage,
};

/// A study that is made event by event, a second apart from 2026-01-01.
pub(crate) struct Demo {
    pub(crate) study: Study,
    pub(crate) entries: Vec<Entry>,
    at: i64,
}

/// Returns an objective that takes the best report.
pub(crate) fn objective(metric: &str, goal: Goal) -> Objective {
    Objective {
        metric: metric.into(),
        goal,
        take: Take::Best,
    }
}

/// Returns a text value.
pub(crate) fn text(text: &str) -> Value {
    Value::Text(text.into())
}

impl Demo {
    /// Begins a study called `digits` that minimises `val_loss`.
    pub(crate) fn new(params: &[&str]) -> Self {
        Self::with(params, vec![objective("val_loss", Goal::Min)])
    }

    /// Begins a study with these objectives.
    pub(crate) fn with(params: &[&str], objectives: Vec<Objective>) -> Self {
        let mut demo = Self {
            study: Study::default(),
            entries: Vec::new(),
            at: 1_767_225_600_000_000,
        };
        let header = Header {
            name: "digits".into(),
            pipeline: "digits".into(),
            stage: "train".into(),
            objectives,
            params: params.iter().map(|name| Name::from(*name)).collect(),
            trials: Some(20),
            ..Header::default()
        };
        demo.event(Event::Opened {
            format: FORMAT,
            header,
        });
        demo
    }

    /// Lets something happen a second later.
    pub(crate) fn event(&mut self, event: Event) {
        self.at += 1_000_000;
        let entry = Entry {
            seq: self.study.next_seq(),
            at: Timestamp::from_micros(self.at),
            event,
            away: None,
        };
        self.study.apply(&entry).unwrap();
        self.entries.push(entry);
    }

    /// Creates and starts a trial.
    pub(crate) fn start(&mut self, params: &[(&str, Value)]) -> TrialId {
        self.start_from(params, Origin::Suggested("random".into()))
    }

    /// The same of a configuration that comes from elsewhere.
    pub(crate) fn start_from(&mut self, params: &[(&str, Value)], origin: Origin) -> TrialId {
        let trial = self.study.next_id();
        let params: Params = params
            .iter()
            .map(|(name, value)| (Name::from(*name), value.clone()))
            .collect();
        self.event(Event::Created {
            trial,
            params,
            origin,
            seed: 7,
        });
        let attempt = Attempt(1);
        self.event(Event::Started {
            trial,
            attempt,
            until: None,
            slot: 0,
            resume: false,
        });
        trial
    }

    /// Lets a running trial report numbers.
    pub(crate) fn report(&mut self, trial: TrialId, values: &[(&str, f64)]) {
        let datum =
            |(name, value): &(&str, f64)| (Name::from(*name), Datum::Number(Metric(*value)));
        self.log(
            trial,
            LogRecord::Report {
                values: values.iter().map(datum).collect(),
            },
        );
    }

    /// Lets a running trial say something.
    pub(crate) fn log(&mut self, trial: TrialId, record: LogRecord) {
        self.event(Event::Logged {
            trial,
            attempt: self.attempt(trial),
            record,
        });
    }

    /// Ends a running trial.
    pub(crate) fn end(&mut self, trial: TrialId, exit: Exit) {
        let usage = Usage {
            cpu_seconds: 0.5,
            peak_mib: 12.25,
        };
        self.event(Event::Ended {
            trial,
            attempt: self.attempt(trial),
            exit,
            usage,
        });
    }

    /// Lets a trial run from start to end with one report.
    pub(crate) fn complete(&mut self, params: &[(&str, Value)], values: &[(&str, f64)]) -> TrialId {
        let trial = self.start(params);
        self.report(trial, values);
        self.end(trial, Exit::Done);
        trial
    }

    fn attempt(&self, trial: TrialId) -> Attempt {
        Attempt(self.study.trial(trial).unwrap().attempts)
    }
}
