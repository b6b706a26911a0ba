//! Small studies for tests, built from the events that a run would write.

use crate::space::{Name, Params, Value};
use crate::study::preparation::OUTPUT_ROLE;
use crate::study::{
    Attempt, Datum, Entry, Event, Exit, FORMAT, Goal, Header, Limit, LogRecord, Metric, Objective,
    Origin, Preparation, PreparationChange, PreparationId, Study, Take, Timestamp, TrialId, Usage,
};

/// A study built event by event. The events are one second apart, from 2026-01-01.
pub struct Demo {
    pub study: Study,
    pub entries: Vec<Entry>,
    /// Microseconds since 1970 at the last event.
    now: i64,
}

/// Returns an objective that counts the best report of a trial.
pub fn objective(metric: &str, goal: Goal) -> Objective {
    Objective {
        metric: metric.into(),
        goal,
        take: Take::Best,
    }
}

/// Returns a text value.
pub fn text(text: &str) -> Value {
    Value::Text(text.into())
}

/// Returns the record of a model file of one byte.
#[must_use]
pub fn model_record(path: &str, md5: Option<&str>) -> LogRecord {
    LogRecord::Model {
        model_path: path.to_owned(),
        md5: md5.map(str::to_owned),
        size: 1,
        step: None,
        held: None,
        keep: false,
        doubt: None,
        partial: Vec::new(),
    }
}

impl Demo {
    /// Returns a study named `digits` that minimises `val_loss`.
    pub fn new(params: &[&str]) -> Self {
        Self::with(params, vec![objective("val_loss", Goal::Min)])
    }

    /// Returns a study named `digits` with these objectives.
    pub fn with(params: &[&str], objectives: Vec<Objective>) -> Self {
        let mut demo = Self {
            study: Study::default(),
            entries: Vec::new(),
            now: 1_767_225_600_000_000,
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

    /// Applies and stores an event one second after the last one.
    pub fn event(&mut self, event: Event) {
        self.now += 1_000_000;
        let entry = Entry {
            seq: self.study.next_seq(),
            at: Timestamp::from_micros(self.now),
            event,
            away: None,
        };
        self.study.apply(&entry).expect("the event is legal");
        self.entries.push(entry);
    }

    /// Edits the study so that its only outcome constraint is an upper bound of a metric, or so
    /// that it has none.
    pub fn constrain(&mut self, metric: &str, max: Option<f64>) {
        let limit = max.map(|max| Limit {
            metric: metric.into(),
            min: None,
            max: Some(max),
        });
        let header = Header {
            limits: limit.into_iter().collect(),
            ..self.study.header().clone()
        };
        self.event(Event::Edited {
            header,
            changes: Vec::new(),
            fill: Params::default(),
            outside: Vec::new(),
        });
    }

    /// Creates a trial with these parameters and starts its first attempt.
    pub fn start(&mut self, params: &[(&str, Value)]) -> TrialId {
        self.start_from(params, Origin::Suggested("random".into()))
    }

    /// Creates a trial of the given origin and starts its first attempt.
    pub fn start_from(&mut self, params: &[(&str, Value)], origin: Origin) -> TrialId {
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

    /// Logs a report of numbers for a running trial.
    pub fn report(&mut self, trial: TrialId, values: &[(&str, f64)]) {
        let values = values
            .iter()
            .map(|(name, value)| (Name::from(*name), Datum::Number(Metric(*value))))
            .collect();
        self.log(trial, LogRecord::Report { values });
    }

    /// Logs a record for a running trial.
    pub fn log(&mut self, trial: TrialId, record: LogRecord) {
        self.event(Event::Logged {
            trial,
            attempt: self.attempt(trial),
            record,
            line_end: None,
        });
    }

    /// Ends the current attempt of a running trial.
    pub fn end(&mut self, trial: TrialId, exit: Exit) {
        let usage = Usage {
            cpu_seconds: 0.5,
            peak_mib: 12.25,
            seconds: None,
        };
        self.event(Event::Ended {
            trial,
            attempt: self.attempt(trial),
            exit,
            usage,
        });
    }

    /// Creates a trial that starts, reports once and completes.
    pub fn complete(&mut self, params: &[(&str, Value)], values: &[(&str, f64)]) -> TrialId {
        let trial = self.start(params);
        self.report(trial, values);
        self.end(trial, Exit::Done);
        trial
    }

    /// Runs a preparation of two seconds in slot 0 that reads these data sets and outputs. Its
    /// output is the data set `prepared/NAME`, whose digest is the name.
    pub fn prepare(
        &mut self,
        name: &str,
        reads: &[&str],
        inputs: &[PreparationId],
    ) -> PreparationId {
        let preparation = self.study.next_preparation_id();
        let attempt = Attempt(1);
        let mut records: Vec<_> = reads.iter().map(|path| dataset(path, "")).collect();
        let outputs = inputs
            .iter()
            .filter_map(|input| self.study.preparation(*input));
        records.extend(outputs.filter_map(Preparation::as_input));
        let mut output = dataset(&format!("prepared/{name}"), OUTPUT_ROLE);
        if let LogRecord::Dataset { md5, .. } = &mut output {
            *md5 = Some(name.to_owned());
        }
        records.push(output);
        let mut changes = vec![
            PreparationChange::Created {
                name: name.into(),
                digest: format!("{name}-digest"),
                params: Params::default(),
                inputs: inputs.to_vec(),
            },
            PreparationChange::Started {
                attempt,
                slot: 0,
                resume: false,
            },
        ];
        let records = records.into_iter();
        changes.extend(records.map(|record| PreparationChange::Logged { attempt, record }));
        changes.push(PreparationChange::Ended {
            attempt,
            exit: Exit::Done,
            usage: Usage::default(),
        });
        for change in changes {
            self.event(Event::Preparation {
                preparation,
                change,
            });
        }
        preparation
    }

    /// Records that a running trial reads the output of a preparation.
    pub fn read_prepared(&mut self, trial: TrialId, preparation: PreparationId) {
        self.event(Event::Preparation {
            preparation,
            change: PreparationChange::Used { trial },
        });
        let read = self.study.preparation(preparation);
        if let Some(record) = read.and_then(Preparation::as_input) {
            self.log(trial, record);
        }
    }

    fn attempt(&self, trial: TrialId) -> Attempt {
        Attempt(
            self.study
                .trial(trial)
                .expect("the trial was created")
                .attempts,
        )
    }
}

/// Returns a data set whose digest is its path.
fn dataset(path: &str, role: &str) -> LogRecord {
    LogRecord::Dataset {
        data_dir: path.to_owned(),
        role: role.to_owned(),
        md5: Some(path.to_owned()),
        size: 5,
        files: 1,
        partial: Vec::new(),
    }
}
