//! Where rows come from: a study, or a CSV file.

use super::table::{At, Table};
use crate::report::formula::{self, Ask, Cells, Formula, FormulaError, History, Names, TrialCells};
use crate::report::{row, summary};
use crate::sampler::SAMPLERS;
use crate::space::Value;
use crate::space::expr::Type;
use crate::study::kind::{Capability, find};
use crate::study::{Goal, Objective, Origin, Study, TrialState};

/// A study or a file, with the name it is shown by.
pub struct Source {
    /// Its name.
    pub name: String,
    rows: Rows,
}

enum Rows {
    Study { study: Box<Study>, history: History },
    Table(Table),
}

impl Source {
    /// Makes a source of a study.
    #[must_use]
    pub fn study(name: String, study: Study, history: History) -> Self {
        Self {
            name,
            rows: Rows::Study {
                study: Box::new(study),
                history,
            },
        }
    }

    /// Makes a source of a table.
    #[must_use]
    pub fn table(name: String, table: Table) -> Self {
        Self {
            name,
            rows: Rows::Table(table),
        }
    }

    /// Returns every row, without trials in the trash.
    pub fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        let count = match &self.rows {
            Rows::Study { study, .. } => study.trials().len(),
            Rows::Table(table) => table.len(),
        };
        (0..count)
            .map(|at| Row { source: self, at })
            .filter(|row| !row.is_removed())
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
            Rows::Study { study, .. } => study
                .header()
                .objectives
                .first()
                .map(|objective| objective.metric.to_string()),
            Rows::Table(table) => table.objective().map(str::to_owned),
        }
    }

    /// Returns the names of columns with numbers, for a message.
    #[must_use]
    pub fn numeric(&self) -> Vec<String> {
        match &self.rows {
            Rows::Study { study, .. } => row::metrics(study)
                .iter()
                .map(ToString::to_string)
                .collect(),
            Rows::Table(table) => table.numeric().into_iter().map(str::to_owned).collect(),
        }
    }

    /// Returns every name that an expression may use here.
    #[must_use]
    pub fn vocabulary(&self) -> Names {
        let own: Names = match &self.rows {
            Rows::Study { study, .. } => row::vocabulary(study),
            Rows::Table(table) => table.vocabulary(),
        };
        own.iter().chain(["study"]).collect()
    }

    /// Makes sure that an expression means something here; returns the type of its result.
    ///
    /// # Errors
    /// As [`formula::study::check`].
    pub fn check(&self, formula: &Formula) -> Result<Type, FormulaError> {
        let names = self.vocabulary();
        match &self.rows {
            Rows::Study { study, .. } => formula::study::check(formula, study, &names),
            Rows::Table(table) => table.check(formula, &names),
        }
    }

    /// Makes sure that some report answers each question of an expression.
    ///
    /// # Errors
    /// As [`formula::study::check_reports`].
    pub fn check_reports(&self, formula: &Formula) -> Result<(), FormulaError> {
        match &self.rows {
            Rows::Study { study, history } => {
                formula::study::check_reports(formula, study, history)
            }
            Rows::Table(_) => Ok(()),
        }
    }

    /// Returns the parameters, in order. A table that marks none has none: nothing tells them from
    /// what was measured.
    #[must_use]
    pub fn params(&self) -> Vec<String> {
        match &self.rows {
            Rows::Study { study, .. } => {
                row::params(study).iter().map(ToString::to_string).collect()
            }
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
        let Rows::Study { study, .. } = &self.rows else {
            return None;
        };
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
        let Rows::Study { study, .. } = &self.rows else {
            return 0;
        };
        study
            .trials()
            .iter()
            .filter(|trial| trial.ranks() && !summary::broken(study, trial).is_empty())
            .count()
    }

    /// Returns the goal of the objective that an expression measures, if it does nothing else.
    #[must_use]
    pub fn goal(&self, formula: &Formula) -> Option<Goal> {
        match &self.rows {
            Rows::Study { study, .. } => formula::study::goal(formula, study),
            Rows::Table(_) => None,
        }
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
                if trial.outside {
                    "outside the space".to_owned()
                } else {
                    trial.state.word().to_owned()
                }
            }
            Rows::Table(table) => match table.value(self.at, "state") {
                Some(Value::Text(word)) if is_word(&word) => word.to_string(),
                _ => TrialState::Complete.word().to_owned(),
            },
        }
    }
}

/// Says whether a word is one of ours for a state; other tools have their own, or use the name for
/// something else.
fn is_word(word: &str) -> bool {
    [
        "waiting", "running", "paused", "complete", "stopped", "failed",
    ]
    .contains(&word)
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
        match &self.source.rows {
            Rows::Study { study, history } => TrialCells {
                study,
                trial: &study.trials()[self.at],
                history,
            }
            .ask(ask, name),
            Rows::Table(table) => At {
                table,
                row: self.at,
            }
            .ask(ask, name),
        }
    }
}
