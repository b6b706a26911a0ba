//! The counted report: the one report, and the one model, that a trial is judged by.
//!
//! Every table, command and tracker reads the step, the values and the model of a trial's result
//! here, so that an objective is never shown with the model of another epoch.

use super::{Datum, LogRecord, Metric, Objective, Take, Trial, record};
use crate::space::{Name, Value};
use serde::{Deserialize, Serialize};

/// The report whose first objective is the trial's result.
///
/// With `take = "best"` it is the first report with the best finite value, with `take = "last"` the
/// last report of the objective. A `take` that averages reports has no counted report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Counted {
    /// The report's number within the trial, from 1.
    pub report: u64,
    /// The report's position on the trial's axis: its resource, else its step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<f64>,
    /// All values of the report, in the order of the trial's line.
    #[serde(with = "record::ordered")]
    pub values: Vec<(Name, Datum)>,
}

impl Counted {
    /// Returns the value of `name` in this report, the later one if the report has two.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&Datum> {
        self.values
            .iter()
            .rev()
            .find(|(key, _)| **key == *name)
            .map(|(_, datum)| datum)
    }

    /// Returns the number of `name` in this report, which may be NaN; `None` for texts and flags.
    #[must_use]
    pub fn number(&self, name: &str) -> Option<f64> {
        match self.value(name)? {
            Datum::Number(Metric(number)) => Some(*number),
            Datum::Flag(_) | Datum::Text(_) => None,
        }
    }
}

/// The position of a recorded model between the reports of its trial.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SavedModel {
    /// The index of the model's record in [`Trial::records`].
    pub record: u32,
    /// Number of reports before the model.
    pub after: u64,
    /// The trial's step when the model was recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<f64>,
    /// The step of the report after the model, once there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_step: Option<f64>,
}

/// A model of a trial and the step it was saved at.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TrialModel<'a> {
    /// The index of the model's record in [`Trial::records`].
    pub record: usize,
    /// The model's path as recorded, relative to the workdir.
    pub path: &'a str,
    /// The model's DVC digest, if it has one.
    pub md5: Option<&'a str>,
    /// The step at which the model was saved, on the trial's axis.
    pub step: Option<f64>,
}

/// A model, the number of the report that it belongs to, and its step.
#[derive(Clone, Copy)]
struct Placed {
    record: usize,
    report: u64,
    step: Option<f64>,
}

impl Trial {
    /// Returns the model that belongs to the trial's result: the one saved with the counted report
    /// (of several, the one that the trial called best), else the last one before that report, else
    /// the first one after it. Without a counted report it is the model that the trial called its
    /// best, else the last one.
    #[must_use]
    pub fn model_that_counts(&self) -> Option<TrialModel<'_>> {
        let models = self.placed_models();
        let called_best = |placed: &&Placed| self.is_called_best(placed.record);
        let chosen = match &self.counted {
            // Averaging rules count no single report, so the trial's own choice decides.
            None => models.iter().rev().find(called_best).or(models.last()),
            Some(counted) => {
                let with_it = || {
                    models
                        .iter()
                        .rev()
                        .filter(|placed| placed.report == counted.report)
                };
                let before = || {
                    models
                        .iter()
                        .filter(|placed| placed.report < counted.report)
                        .max_by_key(|placed| (placed.report, placed.record))
                };
                with_it()
                    .find(called_best)
                    .or_else(|| with_it().next())
                    .or_else(before)
                    .or(models.first())
            }
        }?;
        match self.records.get(chosen.record) {
            Some(LogRecord::Model {
                model_path, md5, ..
            }) => Some(TrialModel {
                record: chosen.record,
                path: model_path,
                md5: md5.as_deref(),
                step: chosen.step,
            }),
            _ => None,
        }
    }

    /// Returns the value of a metric in the counted report.
    #[must_use]
    pub fn at_best(&self, name: &str) -> Option<&Datum> {
        self.counted.as_ref()?.value(name)
    }

    /// Assigns each model to a report. A model with a step of its own belongs to the report of that
    /// step; any other model belongs to the report before it. A program that saves first and
    /// reports afterwards has a model before its first report and no more models than reports. In
    /// that case each model belongs to the report after it.
    fn placed_models(&self) -> Vec<Placed> {
        let saves_first = self.models.first().is_some_and(|model| model.after == 0)
            && self.models.len() as u64 <= self.reports;
        let step_of = |model: &SavedModel| match self.records.get(model.record as usize)? {
            LogRecord::Model { step, .. } => *step,
            _ => None,
        };
        let is_near = |model: &SavedModel, step: f64| {
            model.step == Some(step) || model.next_step == Some(step)
        };
        // Steps that match reports are on the trial's axis; others may count something else.
        let is_on_axis =
            |model: &SavedModel| step_of(model).is_some_and(|step| is_near(model, step));
        let steps_are_on_axis = self.models.iter().any(is_on_axis);
        let placed = |model: &SavedModel| {
            let record = model.record as usize;
            let own_step = match self.records.get(record)? {
                LogRecord::Model { step, .. } => *step,
                _ => return None,
            };
            // A model that is recorded late, such as one whose digest is known only at the end,
            // still belongs to the report of its step.
            if let Some(step) = own_step.filter(|step| steps_are_on_axis && !is_near(model, *step))
            {
                let counted = self.counted.as_ref();
                let report = match counted.and_then(|counted| Some((counted.report, counted.step?)))
                {
                    Some((report, at)) if at == step => report,
                    Some((_, at)) if at < step => u64::MAX,
                    _ => 0,
                };
                return Some(Placed {
                    record,
                    report,
                    step: own_step,
                });
            }
            let belongs_to_next = match own_step {
                // An explicit step points at the next report only if it matches that report and not
                // the previous one.
                Some(step) => model.step != Some(step) && model.next_step == Some(step),
                None => saves_first,
            };
            let (report, step) = match belongs_to_next {
                true => (model.after + 1, model.next_step),
                false => (model.after, model.step),
            };
            Some(Placed {
                record,
                report,
                step: own_step.or(step),
            })
        };
        self.models.iter().filter_map(placed).collect()
    }

    /// Returns whether the facts recorded directly after a model call it the trial's best.
    fn is_called_best(&self, model: usize) -> bool {
        let after = self.records.get(model + 1..).unwrap_or_default().iter();
        let facts = after.take_while(|record| !matches!(record, LogRecord::Model { .. }));
        facts.into_iter().any(|record| match record {
            LogRecord::Facts { facts, .. } => facts.get("best") == Some(&Value::Bool(true)),
            _ => false,
        })
    }

    /// Remembers the position of a model that is about to be recorded.
    pub(super) fn note_model(&mut self) {
        let (after, step) = (self.reports, self.step);
        // `Trial::records` never gets this long; a model past `u32` would just not be a candidate.
        if let Ok(record) = u32::try_from(self.records.len()) {
            self.models.push(SavedModel {
                record,
                after,
                step,
                next_step: None,
            });
        }
    }

    /// Updates the counted report with a report that [`Trial::reports`], [`Trial::step`] and
    /// [`Trial::metrics`] already include. `before` is the value of the first objective before this
    /// report.
    pub(super) fn count_report(
        &mut self,
        values: &[(Name, Datum)],
        objectives: &[Objective],
        before: Option<f64>,
    ) {
        // Models saved since the previous report now learn the step of the report after them.
        let since_last = self
            .models
            .iter_mut()
            .rev()
            .take_while(|model| model.after + 1 == self.reports);
        since_last.for_each(|model| model.next_step = self.step);
        // Only averaging rules need every value; the others work from the tally.
        for objective in objectives
            .iter()
            .filter(|objective| objective.take.averages())
        {
            if let Some(number) = number_of(values, &objective.metric) {
                self.series
                    .entry(objective.metric.clone())
                    .or_default()
                    .push(Metric(number));
            }
        }
        let Some(first) = objectives.first() else {
            return;
        };
        let Some(number) = number_of(values, &first.metric) else {
            return;
        };
        let counts = match first.take {
            Take::Last => true,
            // The comparison is strict, so that the first of several equal reports counts.
            Take::Best => first.score(number).is_some_and(|score| {
                let best = before.and_then(|before| first.score(before));
                best.is_none_or(|best| score < best)
            }),
            Take::Mean | Take::Median | Take::LastMean(_) => false,
        };
        if counts {
            let values = values.to_vec();
            self.counted = Some(Counted {
                report: self.reports,
                step: self.step,
                values,
            });
        }
    }
}

fn number_of(values: &[(Name, Datum)], metric: &Name) -> Option<f64> {
    values
        .iter()
        .rev()
        .filter(|(name, _)| name == metric)
        .find_map(|(_, datum)| match datum {
            Datum::Number(Metric(number)) => Some(*number),
            Datum::Flag(_) | Datum::Text(_) => None,
        })
}

#[cfg(feature = "spaces")]
#[cfg(test)]
mod tests {
    use crate::demo::Demo;
    use crate::space::Value;
    use crate::study::{Datum, Exit, Goal, LogRecord, Metric, Objective, Take, Trial};

    /// A line that a trial writes in these tests: a report of the loss, or a model.
    enum Step<'a> {
        Loss(f64),
        Epoch(f64, f64),
        Model(&'a str),
        ModelAt(&'a str, f64),
        Best(&'a str),
    }
    use Step::{Best, Epoch, Loss, Model, ModelAt};

    fn trial(take: Take, steps: &[Step<'_>]) -> Trial {
        let objective = Objective {
            metric: "loss".into(),
            goal: Goal::Min,
            take,
        };
        let mut demo = Demo::with(&[], vec![objective]);
        let trial = demo.start(&[]);
        let model = |path: &str, step| {
            let model_path = path.to_owned();
            LogRecord::Model {
                model_path,
                md5: None,
                size: 0,
                step,
                held: None,
                keep: false,
                doubt: None,
                partial: Vec::new(),
            }
        };
        for step in steps {
            match step {
                Loss(loss) => demo.report(trial, &[("loss", *loss)]),
                Epoch(epoch, loss) => demo.report(trial, &[("epoch", *epoch), ("loss", *loss)]),
                Model(path) => demo.log(trial, model(path, None)),
                ModelAt(path, step) => demo.log(trial, model(path, Some(*step))),
                Best(path) => {
                    let facts = [("best".into(), Value::Bool(true))].into_iter().collect();
                    demo.log(
                        trial,
                        LogRecord::Facts {
                            model_path: (*path).into(),
                            facts,
                        },
                    );
                }
            }
        }
        demo.end(trial, Exit::Done);
        demo.study.trial(trial).unwrap().clone()
    }

    fn model(take: Take, steps: &[Step<'_>]) -> Option<(String, Option<f64>)> {
        trial(take, steps)
            .model_that_counts()
            .map(|model| (model.path.to_owned(), model.step))
    }

    fn expected(path: &str, step: f64) -> Option<(String, Option<f64>)> {
        Some((path.to_owned(), Some(step)))
    }

    #[test]
    fn the_model_that_counts_was_saved_with_the_report_that_counts() {
        let epochs = [
            Loss(f64::NAN),
            Model("1"),
            Loss(0.9),
            Model("2"),
            Loss(0.2),
            Model("3"),
            Loss(f64::NAN),
            Model("4"),
            Loss(0.4),
            Model("5"),
        ];
        assert_eq!(model(Take::Best, &epochs), expected("3", 3.0));
        assert_eq!(model(Take::Last, &epochs), expected("5", 5.0));
        assert_eq!(
            model(Take::Best, &[Loss(f64::NAN), Model("1")]),
            expected("1", 1.0)
        );
        assert_eq!(model(Take::Best, &[Loss(0.5)]), None);
    }

    #[test]
    fn without_a_model_at_that_report_the_last_one_before_it_counts() {
        let sparse = [
            Loss(0.9),
            Model("1"),
            Loss(0.5),
            Loss(0.2),
            Loss(0.4),
            Model("4"),
        ];
        assert_eq!(model(Take::Best, &sparse), expected("1", 1.0));
        let late = [Loss(0.2), Loss(0.4), Model("2")];
        assert_eq!(model(Take::Best, &late), expected("2", 2.0));
    }

    #[test]
    fn a_program_that_saves_before_it_reports_gets_the_model_of_the_same_epoch() {
        let first = [
            Model("1"),
            Loss(0.9),
            Model("2"),
            Loss(0.2),
            Model("3"),
            Loss(0.4),
        ];
        assert_eq!(model(Take::Best, &first), expected("2", 2.0));
        assert_eq!(model(Take::Last, &first), expected("3", 3.0));
        let initial = [
            Model("0"),
            Loss(0.9),
            Model("1"),
            Loss(0.2),
            Model("2"),
            Loss(0.4),
            Model("3"),
        ];
        assert_eq!(model(Take::Best, &initial), expected("2", 2.0));
    }

    #[test]
    fn a_model_with_a_step_belongs_to_the_report_of_that_step() {
        let epochs = [
            Epoch(10.0, 0.9),
            ModelAt("20", 20.0),
            Epoch(20.0, 0.2),
            ModelAt("30", 30.0),
            Epoch(30.0, 0.4),
        ];
        let mut steps = trial(Take::Best, &epochs);
        // The axis of this trial is its epoch, as with `resource = "epoch"`.
        for (saved, (step, next)) in steps.models.iter_mut().zip([(10.0, 20.0), (20.0, 30.0)]) {
            (saved.step, saved.next_step) = (Some(step), Some(next));
        }
        assert_eq!(steps.model_that_counts().unwrap().path, "20");
    }

    #[test]
    fn a_model_that_is_recorded_again_at_the_end_belongs_to_the_report_of_its_step() {
        let epochs = [
            Epoch(1.0, 0.9),
            ModelAt("1", 1.0),
            Epoch(2.0, 0.2),
            ModelAt("2", 2.0),
            Epoch(3.0, 0.4),
            ModelAt("3", 3.0),
            ModelAt("1", 1.0),
        ];
        assert_eq!(model(Take::Last, &epochs), expected("3", 3.0));
        assert_eq!(model(Take::Best, &epochs), expected("2", 2.0));
        let late = [
            Epoch(1.0, 0.9),
            ModelAt("1", 1.0),
            Epoch(2.0, 0.2),
            Epoch(3.0, 0.4),
            ModelAt("3", 3.0),
            ModelAt("2", 2.0),
        ];
        assert_eq!(model(Take::Best, &late), expected("2", 2.0));
        assert_eq!(model(Take::Last, &late), expected("3", 3.0));
    }

    #[test]
    fn of_two_models_of_one_report_the_one_called_best_counts() {
        let both = [
            Loss(0.2),
            Model("best.pt"),
            Best("best.pt"),
            Model("last.pt"),
            Loss(0.4),
            Model("last.pt"),
        ];
        assert_eq!(model(Take::Best, &both), expected("best.pt", 1.0));
        assert_eq!(model(Take::Last, &both), expected("last.pt", 2.0));
        assert_eq!(model(Take::Mean, &both), expected("best.pt", 1.0));
    }

    #[test]
    fn all_values_of_the_report_that_counts_are_known_with_its_step() {
        let objective = Objective {
            metric: "loss".into(),
            goal: Goal::Min,
            take: Take::Best,
        };
        let mut demo = Demo::with(&[], vec![objective]);
        let trial = demo.start(&[]);
        for (loss, acc) in [(0.9, 0.1), (0.2, 0.6), (0.2, 0.7), (0.5, 0.9)] {
            demo.report(trial, &[("loss", loss), ("acc", acc)]);
        }
        let trial = demo.study.trial(trial).unwrap();
        let counted = trial.counted.as_ref().unwrap();
        assert_eq!(
            (counted.report, counted.step),
            (2, Some(2.0)),
            "the first of equals"
        );
        assert_eq!(trial.at_best("acc"), Some(&Datum::Number(Metric(0.6))));
        assert_eq!(
            (trial.at_best("gone"), counted.number("loss")),
            (None, Some(0.2))
        );
    }

    #[test]
    fn the_result_says_whether_the_report_that_counts_keeps_the_constraints() {
        let objective = Objective {
            metric: "loss".into(),
            goal: Goal::Min,
            take: Take::Best,
        };
        let mut demo = Demo::with(&[], vec![objective]);
        let trial = demo.start(&[]);
        for (loss, latency) in [(0.9, 1.0), (0.2, 3.0), (0.4, 1.0)] {
            demo.report(trial, &[("loss", loss), ("latency", latency)]);
        }
        let mut feasible = |most: Option<f64>| {
            demo.constrain("latency", most);
            let result = demo.study.result(demo.study.trial(trial).unwrap());
            let found = result.into_iter().find(|(name, _)| name == "feasible");
            found.map(|(_, value)| value)
        };
        assert_eq!(
            feasible(Some(2.0)),
            Some(Value::Bool(false)),
            "at the best report it is 3"
        );
        assert_eq!(feasible(Some(3.0)), Some(Value::Bool(true)));
        assert_eq!(feasible(None), None);
    }

    #[test]
    fn mean_median_and_the_mean_of_the_last_reports_rank_folds() {
        let folds = [Loss(0.9), Loss(0.1), Loss(0.2), Loss(0.4)];
        let value = |take| {
            let objective = Objective {
                metric: "loss".into(),
                goal: Goal::Min,
                take,
            };
            trial(take, &folds).objective(&objective)
        };
        assert_eq!(value(Take::Mean), Some(0.4));
        assert_eq!(value(Take::Median), Some(0.30000000000000004));
        assert_eq!(value(Take::LastMean(3)), Some(0.23333333333333334));
        assert_eq!(value(Take::LastMean(9)), Some(0.4));
        let objective = Objective {
            metric: "loss".into(),
            goal: Goal::Min,
            take: Take::Mean,
        };
        let broken = trial(Take::Mean, &[Loss(0.5), Loss(f64::NAN), Loss(0.1)]);
        assert_eq!(
            broken.objective(&objective),
            None,
            "a fold that gave no number is not left out"
        );
        assert!(trial(Take::Mean, &folds).counted.is_none());
    }
}
