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
/// report of the objective at the largest step. A `take` that averages reports has no counted report.
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
    /// The position of the report before the model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<f64>,
    /// The position of the report after the model, once there is one.
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
        let chosen = match &self.counted {
            // Averaging rules count no single report, so the trial's own choice decides.
            None => self.preferred_model(models.iter()),
            Some(Counted { report, .. }) => self
                .preferred_model(models.iter().filter(|placed| placed.report == *report))
                .or_else(|| last_model_before(&models, *report))
                .or(models.first()),
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

    /// Returns the last of `models` that the trial called its best, else the last one.
    fn preferred_model<'m>(
        &self,
        models: impl DoubleEndedIterator<Item = &'m Placed> + Clone,
    ) -> Option<&'m Placed> {
        let mut newest_first = models.rev();
        newest_first
            .clone()
            .find(|placed| self.is_called_best(placed.record))
            .or_else(|| newest_first.next())
    }

    /// Assigns each model to a report. A model with a step of its own belongs to the report of that
    /// step; any other model belongs to the report before it. A program that saves first and
    /// reports afterwards has a model before its first report and no more models than reports. In
    /// that case each model belongs to the report after it.
    fn placed_models(&self) -> Vec<Placed> {
        let saves_first = self.models.first().is_some_and(|model| model.after == 0)
            && self.models.len() as u64 <= self.reports;
        // Steps that match reports are on the trial's axis; others may count something else.
        let steps_are_on_axis = self.models.iter().any(|model| {
            self.own_step(model)
                .is_some_and(|step| model.is_beside(step))
        });
        self.models
            .iter()
            .map(|model| self.place_model(model, saves_first, steps_are_on_axis))
            .collect()
    }

    fn place_model(
        &self,
        model: &SavedModel,
        saves_first: bool,
        steps_are_on_axis: bool,
    ) -> Placed {
        let own_step = self.own_step(model);
        let (report, step) = match own_step {
            // A model that is recorded late, such as one whose digest is known only at the end,
            // still belongs to the report of its step.
            Some(step) if steps_are_on_axis && !model.is_beside(step) => {
                (self.report_at(step), None)
            }
            // An explicit step points at the next report only if it matches that report and not
            // the previous one.
            Some(step) if model.step != Some(step) && model.next_step == Some(step) => {
                (model.after + 1, None)
            }
            None if saves_first => (model.after + 1, model.next_step),
            _ => (model.after, model.step),
        };
        Placed {
            record: model.record as usize,
            report,
            step: own_step.or(step),
        }
    }

    /// Returns the step that the trial recorded with a model.
    fn own_step(&self, model: &SavedModel) -> Option<f64> {
        match self.records.get(model.record as usize)? {
            LogRecord::Model { step, .. } => *step,
            _ => None,
        }
    }

    /// Returns the number of the report at `step`. Only the step of the counted report is kept, so
    /// the number is 0 for all steps before it, and `u64::MAX` for all steps after it.
    fn report_at(&self, step: f64) -> u64 {
        let counted = self.counted.as_ref();
        match counted.and_then(|counted| Some((counted.report, counted.step?))) {
            Some((report, counted_step)) if counted_step == step => report,
            Some((_, counted_step)) if counted_step < step => u64::MAX,
            _ => 0,
        }
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
        let (after, step) = (self.reports, self.position);
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

    /// Updates the counted report with a report that [`Trial::reports`], [`Trial::position`] and
    /// [`Trial::metrics`] already include. `previous_best` is the value of the first objective
    /// before this report, `step` the step by which the values of this report are ordered.
    pub(super) fn count_report(
        &mut self,
        values: &[(Name, Datum)],
        objectives: &[Objective],
        previous_best: Option<f64>,
        step: Option<f64>,
    ) {
        // Models saved since the previous report now learn the step of the report after them.
        let since_last = self
            .models
            .iter_mut()
            .rev()
            .take_while(|model| model.after + 1 == self.reports);
        since_last.for_each(|model| model.next_step = self.position);
        // Only averaging rules need every value; the others work from the tally.
        for objective in objectives
            .iter()
            .filter(|objective| objective.take.averages())
        {
            if let Some(number) = number_of(values, &objective.metric) {
                self.extend_series(objective, number, step);
            }
        }
        let Some(first) = objectives.first() else {
            return;
        };
        let Some(number) = number_of(values, &first.metric) else {
            return self.extend_counted(values);
        };
        let counts = match first.take {
            Take::Last => match (step, &self.last_steps) {
                (Some(step), Some(steps)) => steps.is_last(&first.metric, step),
                _ => true,
            },
            // The comparison is strict, so that the first of several equal reports counts.
            Take::Best => first.score(number).is_some_and(|score| {
                let best = previous_best.and_then(|value| first.score(value));
                best.is_none_or(|best| score < best)
            }),
            Take::Mean | Take::Median | Take::LastMean(_) => false,
        };
        if counts {
            let values = values.to_vec();
            self.counted = Some(Counted {
                report: self.reports,
                step: self.position,
                values,
            });
        }
    }

    /// Adds a value of an objective to its series. With `last:N` the order matters, so a late value
    /// gets its place by its step.
    fn extend_series(&mut self, objective: &Objective, number: f64, step: Option<f64>) {
        let metric = &objective.metric;
        let later = match (objective.take, step, &mut self.last_steps) {
            (Take::LastMean(_), Some(step), Some(steps)) => steps.take_of_series(metric, step),
            _ => 0,
        };
        let series = self.series.entry(metric.clone()).or_default();
        series.insert(series.len().saturating_sub(later), Metric(number));
    }

    /// Adds the values of a report without the objective to the counted report if both are at the
    /// same step: a program may log the metrics of a step one by one.
    fn extend_counted(&mut self, values: &[(Name, Datum)]) {
        let Some(counted) = &mut self.counted else {
            return;
        };
        if counted.step.is_none() || counted.step != self.position {
            return;
        }
        for (name, datum) in values {
            if counted.value(name) != Some(datum) {
                counted.values.push((name.clone(), datum.clone()));
            }
        }
    }
}

impl SavedModel {
    /// Returns whether a report directly before or after the model is at `step`.
    fn is_beside(&self, step: f64) -> bool {
        self.step == Some(step) || self.next_step == Some(step)
    }
}

fn last_model_before(models: &[Placed], report: u64) -> Option<&Placed> {
    models
        .iter()
        .filter(|placed| placed.report < report)
        .max_by_key(|placed| (placed.report, placed.record))
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
        for step in steps {
            match step {
                Loss(loss) => demo.report(trial, &[("loss", *loss)]),
                Epoch(epoch, loss) => demo.report(trial, &[("epoch", *epoch), ("loss", *loss)]),
                Model(path) => demo.log(trial, model_record(path, None)),
                ModelAt(path, step) => demo.log(trial, model_record(path, Some(*step))),
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

    fn model_record(path: &str, step: Option<f64>) -> LogRecord {
        LogRecord::Model {
            model_path: path.to_owned(),
            md5: None,
            size: 0,
            step,
            held: None,
            keep: false,
            doubt: None,
            partial: Vec::new(),
        }
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
    fn the_counted_report_has_its_step_and_all_its_values() {
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
    fn values_that_are_reported_later_for_the_same_step_belong_to_the_counted_report() {
        let objective = Objective {
            metric: "loss".into(),
            goal: Goal::Min,
            take: Take::Best,
        };
        let mut demo = Demo::with(&[], vec![objective]);
        let trial = demo.start(&[]);
        for epoch in 1..=3 {
            let epoch = f64::from(epoch);
            demo.report(trial, &[("epoch", epoch), ("loss", (epoch - 2.0).abs())]);
            demo.report(trial, &[("epoch", epoch), ("acc", epoch / 10.0)]);
        }
        let trial = demo.study.trial(trial).unwrap();
        let number = |value| Some(Datum::Number(Metric(value)));
        assert_eq!(trial.at_best("acc").cloned(), number(0.2));
        assert_eq!(trial.counted.as_ref().unwrap().values.len(), 3, "one epoch");
    }

    #[test]
    fn a_result_is_feasible_if_the_counted_report_satisfies_the_constraints() {
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
            let feasible = result.into_iter().find(|(name, _)| name == "feasible");
            feasible.map(|(_, value)| value)
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
    fn an_averaging_rule_combines_the_reports_of_all_folds() {
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
