//! Runs a sampler against a function without the driver: one trial at a time, no processes, no
//! journal.

use std::sync::Arc;
use swath::sampler::{Ask, SAMPLERS, Sampler};
use swath::source::{Diagnostics, Section, Table};
use swath::space::{Params, Space};
use swath::study::{
    Attempt, Datum, Entry, Event, Exit, FORMAT, Goal, Header, LogRecord, Metric, Objective, Origin,
    Setting, Study, Take, Timestamp, TrialId, Usage, kind,
};

/// Parses a `[space]` table. Panics if it has errors.
pub(crate) fn space(text: &str) -> Arc<Space> {
    constrained(text, "")
}

/// Parses a `[space]` and a `[constraints]` table. Panics if they have errors.
pub(crate) fn constrained(text: &str, constraints: &str) -> Arc<Space> {
    let mut diagnostics = Diagnostics::default();
    let [space, constraints] =
        [("space", text), ("constraints", constraints)].map(|(path, text)| {
            Section::new(path, 0..text.len(), Table::parse(text, &mut diagnostics))
        });
    let space = Space::parse(space, Some(constraints), &mut diagnostics);
    Arc::new(space.unwrap_or_else(|| panic!("{diagnostics:?}")))
}

/// A study in memory with its sampler and the entries so far.
pub(crate) struct Game {
    pub(crate) setting: Setting,
    pub(crate) study: Study,
    pub(crate) sampler: Box<dyn Sampler>,
    pub(crate) name: String,
    pub(crate) entries: Vec<Entry>,
}

impl Game {
    pub(crate) fn new(
        name: &str,
        space: Arc<Space>,
        objectives: usize,
        seed: u64,
        trials: u64,
    ) -> Option<Self> {
        let objectives: Vec<_> = (0..objectives)
            .map(|at| Objective {
                metric: format!("f{at}").as_str().into(),
                goal: Goal::Min,
                take: Take::Best,
            })
            .collect();
        let setting = Setting {
            space,
            objectives,
            seed,
            trials: Some(trials),
            slots: 1,
            resource: None,
            checkpoint: false,
            dir: None,
        };
        let mut diagnostics = Diagnostics::default();
        let options = match name {
            "program" => format!(
                "command = ['python3', '{}/examples/sampler.py']",
                env!("CARGO_MANIFEST_DIR")
            ),
            _ => String::new(),
        };
        let table = Table::parse(&options, &mut diagnostics);
        let section = Section::new(format!("search.{name}"), 0..options.len(), table);
        let sampler = kind::find(SAMPLERS, name)?.make(section, &setting, &mut diagnostics)?;
        let mut game = Self {
            setting,
            study: Study::default(),
            sampler,
            name: name.to_owned(),
            entries: Vec::new(),
        };
        let header = Header {
            objectives: game.setting.objectives.clone(),
            seed,
            ..Header::default()
        };
        game.commit(Event::Opened {
            format: FORMAT,
            header,
        });
        Some(game)
    }

    pub(crate) fn commit(&mut self, event: Event) {
        let seq = self.study.next_seq();
        let entry = Entry {
            seq,
            at: Timestamp::from_micros(seq as i64),
            event,
            away: None,
        };
        self.study.apply(&entry).expect("the game keeps the rules");
        self.sampler.observe(&self.study, &entry.event);
        self.entries.push(entry);
    }

    pub(crate) fn ask(&self) -> Option<Params> {
        let ask = Ask {
            space: &self.setting.space,
            study: &self.study,
            trial: self.study.next_id(),
            seed: self.setting.seed,
        };
        self.sampler.suggest(&ask)
    }

    pub(crate) fn start(&mut self, params: Params) -> TrialId {
        let trial = self.study.next_id();
        let origin = Origin::Suggested(self.name.clone());
        self.commit(Event::Created {
            trial,
            params,
            origin,
            seed: 0,
        });
        self.commit(Event::Started {
            trial,
            attempt: Attempt(1),
            until: None,
            slot: 0,
            resume: false,
        });
        trial
    }

    pub(crate) fn report(&mut self, trial: TrialId, values: &[f64]) {
        let names = self
            .setting
            .objectives
            .iter()
            .map(|objective| objective.metric.clone());
        let values = names
            .zip(values)
            .map(|(name, value)| (name, Datum::Number(Metric(*value))))
            .collect();
        let record = LogRecord::Report { values };
        self.commit(Event::Logged {
            trial,
            attempt: Attempt(1),
            record,
            line_end: None,
        });
    }

    pub(crate) fn tell(&mut self, trial: TrialId, values: &[f64]) {
        self.report(trial, values);
        self.commit(Event::Ended {
            trial,
            attempt: Attempt(1),
            exit: Exit::Done,
            usage: Usage::default(),
        });
    }
}
