//! The reports that expressions need, and the values of names and questions in one trial.

use super::{Ask, Cells, Formula, Reducer};
use crate::row;
use std::collections::BTreeMap;
use swath_engine::journal::reports::{self, Report};
use swath_engine::journal::{JournalError, StudyDir};
use swath_model::space::Value;
use swath_model::study::{Datum, Goal, Metric, Study, Trial, TrialId};

/// Steps and values of all reports, by metric and trial, for the metrics that expressions ask
/// about.
///
/// The replayed study remembers the last, smallest and largest value of a metric. If an expression
/// needs no more than these, its history is empty and the journal is not read.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ReportHistory(BTreeMap<String, Vec<Curve>>);

/// Step and value of each report of a metric in one trial. Reports before the first step of the
/// trial have no step.
type Curve = Vec<(Option<f64>, f64)>;

impl ReportHistory {
    /// Reads the reports that the formulas need from the journal of a study.
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
                history.add(report);
                Ok::<(), JournalError>(())
            })?;
        }
        Ok(history)
    }

    /// Appends the values of a report to the curves of its trial.
    fn add(&mut self, report: &Report) {
        let Some(index) = index(report.trial) else {
            return;
        };
        for (name, datum) in &report.values {
            if let Datum::Number(Metric(number)) = datum
                && let Some(curve) = self
                    .0
                    .get_mut(&**name)
                    .and_then(|curves| curves.get_mut(index))
            {
                curve.push((report.step, *number));
            }
        }
    }

    /// Returns the curve of a metric; `None` if it was not read.
    fn curve(&self, trial: &Trial, name: &str) -> Option<&[(Option<f64>, f64)]> {
        Some(self.0.get(name)?.get(index(trial.id)?)?)
    }

    /// Returns every step at which any trial reported a metric. Empty if the metric was not read.
    pub(super) fn steps(&self, name: &str) -> impl Iterator<Item = f64> {
        self.0
            .get(name)
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|(step, _)| *step)
    }
}

/// Returns the index of a trial, whose ids begin with 1.
fn index(trial: TrialId) -> Option<usize> {
    (trial.0 as usize).checked_sub(1)
}

/// Returns a step for a comparison. Reports without a step come before all steps.
fn start_of(step: Option<f64>) -> f64 {
    step.unwrap_or(f64::NEG_INFINITY)
}

/// Returns whether the answer to a question needs the reports themselves.
fn needs_reports(ask: Ask) -> bool {
    let is_in_study = matches!(
        ask,
        Ask::AtBest
            | Ask::Reduce(
                Reducer::Min | Reducer::Max | Reducer::Last | Reducer::Best | Reducer::Count
            )
    );
    !is_in_study
}

/// Access to the values of one trial for an expression.
#[derive(Clone, Copy)]
pub struct TrialCells<'a> {
    /// The study of the trial.
    pub study: &'a Study,
    /// The trial whose values are accessed.
    pub trial: &'a Trial,
    /// The reports that the expressions need.
    pub history: &'a ReportHistory,
}

impl Cells for TrialCells<'_> {
    fn value(&self, name: &str) -> Option<Value> {
        row::value(self.study, self.trial, name)
    }

    fn elements(&self, name: &str) -> Option<Vec<Value>> {
        row::tags(self.study, self.trial, name)
    }

    fn ask(&self, ask: Ask, name: &str) -> Option<f64> {
        let trial = self.trial;
        // A parameter that is a list is reduced like the values of reports.
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
            Ask::Reduce(Reducer::First) => {
                // A report that comes late may be that of the first step.
                let curve = self.history.curve(trial, name)?.iter();
                let first = curve.min_by(|a, b| start_of(a.0).total_cmp(&start_of(b.0)))?;
                Some(first.1)
            }
            Ask::Reduce(reducer) => {
                let curve = self.history.curve(trial, name)?;
                reducer.of(&curve.iter().map(|(_, value)| *value).collect::<Vec<_>>())
            }
            Ask::AtBest => trial.counted.as_ref()?.number(name),
            // The last report at a step counts, because a trial that resumed from a checkpoint may
            // have reported the step twice.
            Ask::At(step) => {
                let curve = self.history.curve(trial, name)?;
                curve
                    .iter()
                    .rev()
                    .find(|(reported_at, _)| *reported_at == Some(step))
                    .map(|(_, value)| *value)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Ask, Cells, Reducer, Report, ReportHistory, TrialCells};
    use swath_model::demo::Demo;
    use swath_model::study::{Datum, Metric};

    #[test]
    fn the_first_and_the_last_value_are_those_of_the_smallest_and_the_largest_step() {
        let mut demo = Demo::new(&[]);
        let id = demo.start(&[]);
        let mut history = ReportHistory([("acc".to_owned(), vec![Vec::new()])].into());
        for (number, (epoch, acc)) in (1..).zip([(2.0, 0.2), (1.0, 0.1), (4.0, 0.4), (3.0, 0.3)]) {
            demo.report(id, &[("epoch", epoch), ("acc", acc)]);
            history.add(&Report {
                trial: id,
                attempt: 1,
                number,
                step: Some(epoch),
                at: demo.study.at().unwrap(),
                values: vec![("acc".into(), Datum::Number(Metric(acc)))],
            });
        }
        let cells = TrialCells {
            study: &demo.study,
            trial: demo.study.trial(id).unwrap(),
            history: &history,
        };
        let ends = [Reducer::First, Reducer::Last].map(|end| cells.ask(Ask::Reduce(end), "acc"));
        assert_eq!(ends, [Some(0.1), Some(0.4)]);
    }
}
