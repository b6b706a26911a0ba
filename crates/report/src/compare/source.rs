//! Sources of rows: studies and CSV files.

use super::table::{Table, TableRow};
use crate::formula::{self, Ask, Cells, Formula, FormulaError, Names, ReportHistory, TrialCells};
use crate::{row, summary};
use swath_model::space::Value;
use swath_model::space::expr::Type;
use swath_model::study::kind::{Capability, find};
use swath_model::study::{Goal, Objective, Origin, Study, TrialState};
use swath_search::sampler::SAMPLERS;

/// A study or a table, with its display name.
pub struct Source {
    /// The display name of the source.
    pub name: String,
    rows: Rows,
    /// The names that expressions may use, collected once because that reads all trials.
    names: Names,
}

enum Rows {
    Study {
        study: Box<Study>,
        history: ReportHistory,
    },
    Table(Table),
}

impl Source {
    /// Creates a source from a study.
    #[must_use]
    pub fn study(name: String, study: Study, history: ReportHistory) -> Self {
        Self {
            name,
            names: vocabulary(&row::vocabulary(&study)),
            rows: Rows::Study {
                study: Box::new(study),
                history,
            },
        }
    }

    /// Creates a source from a table.
    #[must_use]
    pub fn table(name: String, table: Table) -> Self {
        Self {
            name,
            names: vocabulary(&table.vocabulary()),
            rows: Rows::Table(table),
        }
    }

    /// Returns all rows, without trials in the trash.
    pub fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        let count = match &self.rows {
            Rows::Study { study, .. } => study.trials().len(),
            Rows::Table(table) => table.len(),
        };
        (0..count)
            .map(|index| Row {
                source: self,
                index,
            })
            .filter(|row| !row.is_removed())
    }

    /// Returns the objectives of a study. Empty for a table: a `trials.csv` tells only the name of
    /// its first objective, not the goal.
    #[must_use]
    pub fn objectives(&self) -> &[Objective] {
        match &self.rows {
            Rows::Study { study, .. } => &study.header().objectives,
            Rows::Table(_) => &[],
        }
    }

    /// Returns the metric of the first objective. `None` if the source has no objective, or if it
    /// is a table that swath did not write.
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

    /// Returns the names of the columns with numbers, for a message.
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

    /// Returns all names that an expression over this source may use. `study` is the name of the
    /// source.
    #[must_use]
    pub fn vocabulary(&self) -> &Names {
        &self.names
    }

    /// Checks that an expression can have a value in this source. Returns the type of its result.
    ///
    /// # Errors
    /// As [`formula::study::check`].
    pub fn check(&self, formula: &Formula) -> Result<Type, FormulaError> {
        match &self.rows {
            Rows::Study { study, .. } => formula::study::check(formula, study, &self.names),
            Rows::Table(table) => table.check(formula, &self.names),
        }
    }

    /// Checks that every question of an expression about reports has an answer in some report. A
    /// table has no reports to check.
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

    /// Returns the parameters, in the order of the sweep file or of the header. Empty for a table
    /// that marks none, because nothing distinguishes its parameters from its metrics.
    #[must_use]
    pub fn params(&self) -> Vec<String> {
        match &self.rows {
            Rows::Study { study, .. } => {
                row::params(study).iter().map(ToString::to_string).collect()
            }
            Rows::Table(table) => table.params(),
        }
    }

    /// Returns all columns of a table that marks no parameters. Empty for any other source.
    #[must_use]
    pub fn unmarked(&self) -> Vec<String> {
        match &self.rows {
            Rows::Table(table) if table.params().is_empty() => table.names().to_vec(),
            _ => Vec::new(),
        }
    }

    /// Returns the name of the sampler or scheduler that chose configurations from earlier results,
    /// if there was one. Such trials are no independent samples. A sampler that swath does not know
    /// is assumed to be of this kind.
    #[must_use]
    pub fn adaptive(&self) -> Option<String> {
        let Rows::Study { study, .. } = &self.rows else {
            return None;
        };

        adaptive(study)
    }

    /// Returns the number of complete trials that violate an outcome constraint. 0 for a table,
    /// which does not record constraints.
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

    /// Returns the goal of the objective, if the expression is nothing but that objective. `None`
    /// for a table.
    #[must_use]
    pub fn goal(&self, formula: &Formula) -> Option<Goal> {
        match &self.rows {
            Rows::Study { study, .. } => formula::study::goal(formula, study),
            Rows::Table(_) => None,
        }
    }
}

/// Returns the name of the sampler or scheduler that chose configurations of a study from earlier
/// results; see [`Source::adaptive`].
#[must_use]
pub fn adaptive(study: &Study) -> Option<String> {
    study.trials().iter().find_map(|trial| {
        if let Origin::Cloned { .. } = trial.origin {
            return Some("the scheduler".to_owned());
        }
        let sampler = trial.origin.sampler();
        let adaptive = sampler.filter(|name| !is_independent(name))?;
        Some(format!("the sampler `{adaptive}`"))
    })
}

/// Returns whether a sampler is known to propose configurations regardless of earlier results.
fn is_independent(sampler: &str) -> bool {
    find(SAMPLERS, sampler).is_some_and(|kind| kind.can(Capability::Independent))
}

/// Returns the names of the columns and `study`, the name of the source.
fn vocabulary(own: &Names) -> Names {
    own.iter().chain(["study"]).collect()
}

/// One trial of a source.
#[derive(Clone, Copy)]
pub struct Row<'a> {
    /// The source of the trial.
    pub source: &'a Source,
    index: usize,
}

impl Row<'_> {
    fn is_removed(&self) -> bool {
        matches!(&self.source.rows, Rows::Study { study, .. } if study.trials()[self.index].removed)
    }

    /// Returns the id of the trial. For a table without ids it returns the number of the row, from
    /// 1.
    #[must_use]
    pub fn label(&self) -> String {
        match &self.source.rows {
            Rows::Study { study, .. } => study.trials()[self.index].id.to_string(),
            Rows::Table(table) => table
                .value(self.index, "trial_id")
                .map_or_else(|| (self.index + 1).to_string(), |id| id.to_string()),
        }
    }

    /// Returns the word for the state of the trial, `outside the space` if the trial does not
    /// count. A row of a table without a known state is `complete`.
    #[must_use]
    pub fn state(&self) -> String {
        match &self.source.rows {
            Rows::Study { study, .. } => {
                let trial = &study.trials()[self.index];
                if trial.outside {
                    "outside the space".to_owned()
                } else {
                    trial.state.word().to_owned()
                }
            }
            Rows::Table(table) => match table.value(self.index, "state") {
                Some(Value::Text(word)) if is_state(&word) => word.to_string(),
                _ => TrialState::Complete.word().to_owned(),
            },
        }
    }
}

/// Returns whether a word is a state of swath. Other tools have states of their own, or use the
/// name of the column for something else.
fn is_state(word: &str) -> bool {
    [
        "waiting", "running", "paused", "complete", "stopped", "failed", "invalid",
    ]
    .contains(&word)
}

impl Cells for Row<'_> {
    fn value(&self, name: &str) -> Option<Value> {
        if name == "study" {
            return Some(Value::Text(self.source.name.as_str().into()));
        }
        match &self.source.rows {
            Rows::Study { study, .. } => row::value(study, &study.trials()[self.index], name),
            Rows::Table(table) => table.value(self.index, name),
        }
    }

    fn elements(&self, name: &str) -> Option<Vec<Value>> {
        match &self.source.rows {
            Rows::Study { study, .. } => row::tags(study, &study.trials()[self.index], name),
            Rows::Table(_) => None,
        }
    }

    fn ask(&self, ask: Ask, name: &str) -> Option<f64> {
        match &self.source.rows {
            Rows::Study { study, history } => TrialCells {
                study,
                trial: &study.trials()[self.index],
                history,
            }
            .ask(ask, name),
            Rows::Table(table) => TableRow {
                table,
                row: self.index,
            }
            .ask(ask, name),
        }
    }
}
