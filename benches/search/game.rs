//! A study in memory with a sampler: no driver, no processes, no journal.

use std::sync::Arc;
use swath_model::source::{Diagnostics, Section, Table};
use swath_model::space::{Params, Space};
use swath_model::study::{
    Entry, Event, FORMAT, Goal, Header, Kind, Limit, Objective, Origin, Setting, Study, Take,
    Timestamp, TrialId, kind,
};
use swath_search::sampler::{Ask, SAMPLERS, Sampler};

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

/// Returns the setting of a study that minimises `metrics`, one trial at a time.
pub(crate) fn setting(space: Arc<Space>, metrics: &[String], seed: u64) -> Setting {
    let objectives = metrics.iter().map(|metric| Objective {
        metric: metric.as_str().into(),
        goal: Goal::Min,
        take: Take::Best,
    });
    Setting {
        space,
        objectives: objectives.collect(),
        seed,
        trials: None,
        slots: 1,
        resource: None,
        checkpoint: false,
        dir: None,
    }
}

/// Makes a sampler or a scheduler with its options as text. `None` if there is none of that name,
/// or it does not go with the setting.
pub(crate) fn make<T: ?Sized>(
    kinds: &[Kind<T>],
    name: &str,
    options: &str,
    setting: &Setting,
) -> Option<Box<T>> {
    let mut diagnostics = Diagnostics::default();
    let table = Table::parse(options, &mut diagnostics);
    let section = Section::new(format!("bench.{name}"), 0..options.len(), table);
    kind::find(kinds, name)?.make(section, setting, &mut diagnostics)
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
    /// Opens a study. `None` if there is no such sampler, or it does not go with the setting.
    pub(crate) fn open(
        name: &str,
        options: &str,
        setting: Setting,
        limits: Vec<Limit>,
    ) -> Option<Self> {
        let header = Header {
            objectives: setting.objectives.clone(),
            limits,
            seed: setting.seed,
            resource: setting.resource.clone(),
            ..Header::default()
        };
        let mut game = Self {
            sampler: make(SAMPLERS, name, options, &setting)?,
            setting,
            study: Study::default(),
            name: name.to_owned(),
            entries: Vec::new(),
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
        self.sampler.suggest(&Ask {
            space: &self.setting.space,
            study: &self.study,
            trial: self.study.next_id(),
            seed: self.setting.seed,
        })
    }

    /// Creates a trial of the sampler without starting it.
    pub(crate) fn create(&mut self, params: Params) -> TrialId {
        let trial = self.study.next_id();
        self.commit(Event::Created {
            trial,
            params,
            origin: Origin::Suggested(self.name.clone()),
            seed: 0,
        });
        trial
    }
}
