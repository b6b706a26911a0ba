//! The reports of trials that expressions ask for, and the values of an expression in one trial.

use super::{Ask, Cells, Formula, Reducer};
use crate::journal::reports::{self, Report};
use crate::journal::{JournalError, StudyDir};
use crate::report::row;
use crate::space::Value;
use crate::study::{Datum, Goal, Metric, Study, Trial, TrialId};
use std::collections::BTreeMap;

/// For each metric that is asked for, the step and value of every report of each trial.
///
/// The fold of a study remembers the last, smallest and largest value of a metric. An expression
/// that asks for no more needs no history, and nothing is read.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct History(BTreeMap<String, Vec<Curve>>);

/// The step and value of each report of a metric; those before the first step of the trial have
/// none.
type Curve = Vec<(Option<f64>, f64)>;

impl History {
    /// Reads what the formulas ask for from the journal of a study.
    ///
    /// # Errors
    /// If the journal cannot be read.
    pub fn read<'a>(
        dir: &StudyDir,
        study: &Study,
        formulas: impl IntoIterator<Item = &'a Formula>,
    ) -> Result<Self, JournalError> {
        let asks = formulas.into_iter().flat_map(Formula::asks);
        let names = asks
            .filter(|(ask, _)| needs_reports(*ask))
            .map(|(_, name)| name.to_owned());
        let mut history = Self(
            names
                .map(|name| (name, vec![Vec::new(); study.trials().len()]))
                .collect(),
        );
        if !history.0.is_empty() {
            reports::each(dir, study, &mut |report| {
                history.add(&report);
                Ok::<(), JournalError>(())
            })?;
        }
        Ok(history)
    }

    fn add(&mut self, report: &Report) {
        let Some(at) = place(report.trial) else {
            return;
        };
        for (name, datum) in &report.values {
            if let Datum::Number(Metric(number)) = datum
                && let Some(curve) = self
                    .0
                    .get_mut(&**name)
                    .and_then(|curves| curves.get_mut(at))
            {
                curve.push((report.step, *number));
            }
        }
    }

    fn curve(&self, trial: &Trial, name: &str) -> Option<&[(Option<f64>, f64)]> {
        Some(self.0.get(name)?.get(place(trial.id)?)?)
    }

    /// Returns every step at which a metric was reported; empty if it was not asked for.
    pub(super) fn steps(&self, name: &str) -> impl Iterator<Item = f64> {
        self.0
            .get(name)
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|(step, _)| *step)
    }
}

fn place(trial: TrialId) -> Option<usize> {
    (trial.0 as usize).checked_sub(1)
}

/// Returns whether the reports themselves are needed.
fn needs_reports(ask: Ask) -> bool {
    let is_remembered = matches!(
        ask,
        Ask::AtBest
            | Ask::Reduce(
                Reducer::Min | Reducer::Max | Reducer::Last | Reducer::Best | Reducer::Count
            )
    );
    !is_remembered
}

/// Where an expression finds the values of one trial of a study.
#[derive(Clone, Copy)]
pub struct TrialCells<'a> {
    /// The study.
    pub study: &'a Study,
    /// The trial.
    pub trial: &'a Trial,
    /// The reports that expressions ask for.
    pub history: &'a History,
}

impl Cells for TrialCells<'_> {
    fn value(&self, name: &str) -> Option<Value> {
        row::value(self.study, self.trial, name)
    }

    fn ask(&self, ask: Ask, name: &str) -> Option<f64> {
        let trial = self.trial;
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
            Ask::Reduce(Reducer::Best) => match row::goal(self.study, name)? {
                Goal::Min => tally?.min,
                Goal::Max => tally?.max,
            },
            Ask::Reduce(reducer) => {
                let curve = self.history.curve(trial, name)?;
                reducer.of(&curve.iter().map(|(_, value)| *value).collect::<Vec<_>>())
            }
            Ask::AtBest => trial.counted.as_ref()?.number(name),
            // The last of those at that step: a trial that went on from a checkpoint may have
            // reported it twice.
            Ask::At(step) => {
                let curve = self.history.curve(trial, name)?;
                curve
                    .iter()
                    .rev()
                    .find(|(at, _)| *at == Some(step))
                    .map(|(_, value)| *value)
            }
        }
    }
}
