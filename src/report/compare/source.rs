//! Where rows come from: a study, or a CSV file.

use super::table::{At, Table, answers};
use crate::journal::reports::Report;
use crate::report::formula::{Ask, Cells, Reducer};
use crate::report::{row, summary};
use crate::sampler::SAMPLERS;
use crate::space::Value;
use crate::study::kind::{Capability, find};
use crate::study::{Datum, Goal, Metric, Objective, Origin, Study, Trial, TrialState};
use std::collections::BTreeMap;

/// A study or a file, with the name it is shown by.
pub struct Source {
    /// Its name.
    pub name: String,
    rows: Rows,
}

enum Rows {
    Study { study: Box<Study>, curves: Curves },
    Table(Table),
}

/// For each metric that is asked for, the step and value of every report of each trial.
#[derive(Debug, Default)]
pub struct Curves(BTreeMap<String, Vec<Vec<(f64, f64)>>>);

impl Curves {
    /// Begins with nothing; remembers what is reported under these names.
    #[must_use]
    pub fn of(study: &Study, names: impl IntoIterator<Item = String>) -> Self {
        Self(names.into_iter().map(|name| (name, vec![Vec::new(); study.trials().len()])).collect())
    }

    /// Takes what is needed out of a report.
    pub fn add(&mut self, report: &Report) {
        let (Some(step), Some(at)) = (report.step, (report.trial.0 as usize).checked_sub(1)) else { return };
        for (name, datum) in &report.values {
            if let Datum::Number(Metric(number)) = datum
                && let Some(curve) = self.0.get_mut(&**name).and_then(|curves| curves.get_mut(at))
            {
                curve.push((step, *number));
            }
        }
    }

    fn find(&self, trial: &Trial, name: &str) -> Option<&[(f64, f64)]> {
        Some(self.0.get(name)?.get((trial.id.0 as usize).checked_sub(1)?)?)
    }
}

impl Source {
    /// Makes a source of a study.
    #[must_use]
    pub fn study(name: String, study: Study, curves: Curves) -> Self {
        Self { name, rows: Rows::Study { study: Box::new(study), curves } }
    }

    /// Makes a source of a table.
    #[must_use]
    pub fn table(name: String, table: Table) -> Self {
        Self { name, rows: Rows::Table(table) }
    }

    /// Returns every row, without trials in the trash.
    pub fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        let count = match &self.rows {
            Rows::Study { study, .. } => study.trials().len(),
            Rows::Table(table) => table.len(),
        };
        (0..count).map(|at| Row { source: self, at }).filter(|row| !row.is_removed())
    }

    /// Returns the objectives; of a `trials.csv` only the name of the first is known.
    #[must_use]
    pub fn objectives(&self) -> &[Objective] {
        match &self.rows {
            Rows::Study { study, .. } => &study.header().objectives,
            Rows::Table(_) => &[],
        }
    }

    /// Returns the metric it is about, if it says so.
    #[must_use]
    pub fn metric(&self) -> Option<String> {
        match &self.rows {
            Rows::Study { study, .. } => {
                study.header().objectives.first().map(|objective| objective.metric.to_string())
            }
            Rows::Table(table) => table.objective().map(str::to_owned),
        }
    }

    /// Returns what can be asked for by name.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        match &self.rows {
            Rows::Study { study, .. } => row::names(study).iter().map(ToString::to_string).collect(),
            Rows::Table(table) => table.header().to_vec(),
        }
    }

    /// Returns the names of columns with numbers, for a message.
    #[must_use]
    pub fn numeric(&self) -> Vec<String> {
        match &self.rows {
            Rows::Study { study, .. } => row::metrics(study).iter().map(ToString::to_string).collect(),
            Rows::Table(table) => table.numeric().into_iter().map(str::to_owned).collect(),
        }
    }

    /// Says whether a name stands for something here.
    #[must_use]
    pub fn knows(&self, name: &str) -> bool {
        match &self.rows {
            Rows::Table(table) => table.has(name) || table.names().iter().any(|column| answers(column, name)),
            Rows::Study { .. } => {
                let bare = ["param.", "metric.", "best."].iter().find_map(|mark| name.strip_prefix(mark));
                name == "trial_id"
                    || self.names().iter().any(|known| known == name || Some(known.as_str()) == bare)
            }
        }
    }

    /// Returns the parameters, in order. A table that marks none has none: nothing tells them from what was measured.
    #[must_use]
    pub fn params(&self) -> Vec<String> {
        match &self.rows {
            Rows::Study { study, .. } => row::params(study).iter().map(ToString::to_string).collect(),
            Rows::Table(table) => table.params(),
        }
    }

    /// Returns the columns of a table that marks no parameters.
    #[must_use]
    pub fn unmarked(&self) -> Vec<String> {
        match &self.rows {
            Rows::Table(table) if table.params().is_empty() => table.names().to_vec(),
            _ => Vec::new(),
        }
    }

    /// Names the sampler or scheduler that chose configurations in view of earlier results, if one
    /// did. A sampler that swath does not have is taken for such a one.
    #[must_use]
    pub fn adaptive(&self) -> Option<String> {
        let Rows::Study { study, .. } = &self.rows else { return None };
        let independent =
            |name: &str| find(SAMPLERS, name).is_some_and(|kind| kind.can(Capability::Independent));
        study.trials().iter().find_map(|trial| match &trial.origin {
            Origin::Suggested(name) if !independent(name) => Some(format!("the sampler `{name}`")),
            Origin::Cloned { .. } => Some("the scheduler".to_owned()),
            _ => None,
        })
    }

    /// Returns how many complete trials break an outcome limit; a table says nothing of limits.
    #[must_use]
    pub fn breaking(&self) -> usize {
        let Rows::Study { study, .. } = &self.rows else { return 0 };
        study
            .trials()
            .iter()
            .filter(|trial| trial.ranks() && !summary::broken(study, trial).is_empty())
            .count()
    }

    fn goal(&self, name: &str) -> Option<Goal> {
        self.objectives().iter().find(|objective| &*objective.metric == name).map(|objective| objective.goal)
    }
}

/// One trial of a source.
#[derive(Clone, Copy)]
pub struct Row<'a> {
    /// Where it is from.
    pub source: &'a Source,
    at: usize,
}

impl Row<'_> {
    fn is_removed(&self) -> bool {
        matches!(&self.source.rows, Rows::Study { study, .. } if study.trials()[self.at].removed)
    }

    /// Returns the trial's number, of a table that has none the row's.
    #[must_use]
    pub fn label(&self) -> String {
        match &self.source.rows {
            Rows::Study { study, .. } => study.trials()[self.at].id.to_string(),
            Rows::Table(table) => table
                .value(self.at, "trial_id")
                .map_or_else(|| (self.at + 1).to_string(), |id| id.to_string()),
        }
    }

    /// Returns the word for its state, `complete` where nothing is said of it.
    #[must_use]
    pub fn state(&self) -> String {
        match &self.source.rows {
            Rows::Study { study, .. } => {
                let trial = &study.trials()[self.at];
                if trial.outside { "outside the space".to_owned() } else { trial.state.word().to_owned() }
            }
            Rows::Table(table) => match table.value(self.at, "state") {
                Some(Value::Text(word)) if is_word(&word) => word.to_string(),
                _ => TrialState::Complete.word().to_owned(),
            },
        }
    }
}

/// Says whether a word is one of ours for a state; other tools have their own, or use the name for something else.
fn is_word(word: &str) -> bool {
    ["waiting", "running", "paused", "complete", "stopped", "failed"].contains(&word)
}

impl Cells for Row<'_> {
    fn value(&self, name: &str) -> Option<Value> {
        if name == "study" {
            return Some(Value::Text(self.source.name.as_str().into()));
        }
        match &self.source.rows {
            Rows::Study { study, .. } => row::value(study, &study.trials()[self.at], name),
            Rows::Table(table) => table.value(self.at, name),
        }
    }

    fn ask(&self, ask: Ask, name: &str) -> Option<f64> {
        let (study, curves) = match &self.source.rows {
            Rows::Table(table) => return At { table, row: self.at }.ask(ask, name),
            Rows::Study { study, curves } => (study, curves),
        };
        let trial = &study.trials()[self.at];
        if let (Ask::Reduce(reducer), Some(Value::List(items))) = (ask, trial.params.get(name)) {
            let numbers: Option<Vec<f64>> = items.iter().map(Value::as_f64).collect();
            return reducer.of(&numbers?);
        }
        let tally = trial.metrics.get(name);
        match ask {
            Ask::Reduce(Reducer::Min) => tally?.min,
            Ask::Reduce(Reducer::Max) => tally?.max,
            Ask::Reduce(Reducer::Last) => Some(tally?.last.0),
            Ask::Reduce(Reducer::Count) => Some(tally.map_or(0.0, |tally| tally.count as f64)),
            Ask::Reduce(Reducer::Best) => match self.source.goal(name)? {
                Goal::Min => tally?.min,
                Goal::Max => tally?.max,
            },
            Ask::Reduce(reducer) => {
                let values: Vec<f64> = curves.find(trial, name)?.iter().map(|(_, value)| *value).collect();
                reducer.of(&values)
            }
            // The last of those at that step: a trial that went on from a checkpoint may have reported it twice.
            Ask::At(step) => {
                curves.find(trial, name)?.iter().rev().find(|(at, _)| *at == step).map(|(_, value)| *value)
            }
        }
    }
}

/// Says whether the reports themselves are needed, since the study remembers only last, smallest, largest and count.
#[must_use]
pub fn needs_reports(ask: Ask) -> bool {
    matches!(ask, Ask::At(_) | Ask::Reduce(Reducer::Mean | Reducer::Median | Reducer::Std | Reducer::First))
}
