//! Models of what breaks: for each class of failures a Gaussian process over failed and successful
//! trials, which gives the probability that a configuration fails in this way.
//!
//! A failure has a border of its own in the acquisition function instead of a bad score, which would
//! look like a cliff of the objective. Classes are told apart because their borders differ: memory
//! runs out where models are large, and a training diverges where the learning rate is high. The
//! process is fitted to 1 for a failure and 0 for a success (least-squares classification,
//! Rasmussen & Williams, *Gaussian Processes for Machine Learning*, 2006, section 6.5). Its prior
//! mean is that of a success, so that nothing is avoided far from any failure. Failures at random
//! are noise to it.

use super::history::{History, Outcome};
use super::kernel::Columns;
use super::surrogate::{Hyper, Posterior, Rows, Scratch, fit};
use std::collections::BTreeMap;
use swath_model::study::{FailureClass, Setting, Study, TrialId};
use swath_numerics::normal;

/// Evaluations of the evidence in one fit. A fit starts from the hyperparameters of the last one.
const FIT_EVALUATIONS: usize = 12;

/// Evaluations of the evidence in a fit that starts from the prior.
const FIRST_EVALUATIONS: usize = 40;

/// Maximum number of failures, and of successes, that a model learns: the latest.
const MAX_OF_A_KIND: usize = 60;

/// The value between those of a success (0) and of a failure (1).
const BORDER: f64 = 0.5;

/// The value at which a proposal counts as likely to fail as to succeed. It lies below the border,
/// because an optimum beside the border otherwise costs one failure after the other: with 0.5, in
/// one of six studies half of the proposals failed, as many as at random.
const CAUTIOUS_BORDER: f64 = 0.1;

/// The hyperparameters of the process of each class that has occurred.
#[derive(Debug, Clone, Default)]
pub(super) struct FailureModels(BTreeMap<FailureClass, Hyper>);

impl FailureModels {
    /// Fits the hyperparameters.
    pub(super) fn fit(&mut self, columns: &Columns, history: &History) {
        for class in history.failure_classes() {
            let evaluations = match self.0.contains_key(&class) {
                true => FIT_EVALUATIONS,
                false => FIRST_EVALUATIONS,
            };
            let hyper = self
                .0
                .entry(class)
                .or_insert_with(|| Hyper::prior(history.dims()));
            let (rows, y) = training_rows(columns, history, class, u32::MAX);
            // Without any success there is no border.
            if y.contains(&0.0) {
                let (loss, fitted) = fit(&rows, &y, hyper.clone(), evaluations);
                if loss.is_finite() {
                    *hyper = fitted;
                }
            }
        }
    }

    /// Returns the posterior of each class that has a border: below 0 where a proposal is accepted
    /// rather than refused.
    pub(super) fn posteriors(&self, columns: &Columns, history: &History) -> Vec<Posterior> {
        let models = self.0.iter();
        models
            .filter_map(|(class, hyper)| {
                let (rows, y) = training_rows(columns, history, *class, u32::MAX);
                Some(posterior(rows, &y, hyper)?.shifted(-CAUTIOUS_BORDER))
            })
            .collect()
    }
}

/// Conditions the process of a class; `None` without both failures and successes.
fn posterior(rows: Rows, y: &[f64], hyper: &Hyper) -> Option<Posterior> {
    if !y.contains(&0.0) || !y.contains(&1.0) {
        return None;
    }
    Some(Posterior::new(rows, y, hyper)?.shifted(-BORDER))
}

/// Returns the latest failures of a class and the latest successes before row `end`, with their
/// values. Failures of other classes say nothing about this one.
fn training_rows(
    columns: &Columns,
    history: &History,
    class: FailureClass,
    end: u32,
) -> (Rows, Vec<f64>) {
    let failures = history
        .failed()
        .iter()
        .copied()
        .filter(|row| history.row(*row).failure == Some(class));
    let successes = history.ranked().iter().map(|(_, row)| *row);
    let (failures, successes) = (latest(failures, end), latest(successes, end));
    let mut rows = Rows::new(&columns.list);
    for row in failures.iter().chain(&successes) {
        let row = history.row(*row);
        rows.push(&columns.row(&row.unit, &row.active));
    }
    let mut y = vec![1.0; failures.len()];
    y.resize(failures.len() + successes.len(), 0.0);
    (rows, y)
}

/// Returns the latest rows before `end`.
fn latest(rows: impl Iterator<Item = u32>, end: u32) -> Vec<u32> {
    let mut rows: Vec<u32> = rows.filter(|row| *row < end).collect();
    rows.sort_unstable();
    rows.drain(..rows.len().saturating_sub(MAX_OF_A_KIND));
    rows
}

/// Returns the probability that a trial fails, by class and from the likeliest on, as the trials
/// before it predict. Classes that no earlier trial has failed with are left out.
#[must_use]
pub fn failure_risks(setting: &Setting, study: &Study, trial: TrialId) -> Vec<(FailureClass, f64)> {
    let history = History::of(setting, study);
    let Some(end) = trial.0.checked_sub(1).filter(|_| history.dims() > 0) else {
        return Vec::new();
    };
    if end as usize >= study.trials().len() || history.row(end).outcome == Outcome::Outside {
        return Vec::new();
    }
    let columns = Columns::new(&history);
    let row = history.row(history.original_row(trial));
    let row = columns.row(&row.unit, &row.active);
    let mut risks: Vec<(FailureClass, f64)> = history
        .failure_classes()
        .into_iter()
        .filter_map(|class| {
            let (rows, y) = training_rows(&columns, &history, class, end);
            if !y.contains(&1.0) {
                return None;
            }
            let (_, hyper) = fit(&rows, &y, Hyper::prior(history.dims()), FIRST_EVALUATIONS);
            let (mean, deviation) = posterior(rows, &y, &hyper)?.at(&row, &mut Scratch::default());
            Some((class, normal::cdf(mean / deviation)))
        })
        .collect();
    risks.sort_by(|a, b| b.1.total_cmp(&a.1));
    risks
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use swath_model::demo::Demo;
    use swath_model::space::{Space, Value};
    use swath_model::study::{Exit, Failure};
    use swath_numerics::sobol::Sobol;

    fn setting(demo: &Demo) -> Setting {
        let text = "units = { min = 0.0, max = 1.0 }\nlr = { min = 0.0, max = 1.0 }\n";
        let mut diagnostics = swath_model::source::Diagnostics::default();
        let table = swath_model::source::Table::parse(text, &mut diagnostics);
        let section = swath_model::source::Section::new("space", 0..0, table);
        let space = Space::parse(section, None, &mut diagnostics).unwrap();
        Setting {
            space: Arc::new(space),
            objectives: demo.study.header().objectives.clone(),
            seed: 1,
            trials: None,
            slots: 1,
            resource: None,
            checkpoint: false,
            dir: None,
        }
    }

    fn params(units: f64, lr: f64) -> [(&'static str, Value); 2] {
        [("units", Value::Float(units)), ("lr", Value::Float(lr))]
    }

    /// A study of 40 trials; `failure` says how a configuration fails.
    fn study(failure: impl Fn(f64, f64) -> Option<Exit>) -> Demo {
        let mut demo = Demo::new(&["units", "lr"]);
        let points = Sobol::new(2, 3);
        for at in 0..40 {
            let point = points.point(at);
            let params = params(point[0], point[1]);
            match failure(point[0], point[1]) {
                Some(exit) => {
                    let trial = demo.start(&params);
                    demo.end(trial, exit);
                }
                None => drop(demo.complete(&params, &[("val_loss", point[1])])),
            }
        }
        demo
    }

    fn risk(demo: &mut Demo, units: f64, lr: f64, class: FailureClass) -> f64 {
        let trial = demo.start(&params(units, lr));
        let risks = failure_risks(&setting(demo), &demo.study, trial);
        let own = risks.iter().find(|(other, _)| *other == class);
        own.map_or(0.0, |(_, risk)| *risk)
    }

    #[test]
    fn each_class_of_failures_has_a_border_of_its_own() {
        let mut demo = study(|units, lr| match (units > 0.7, lr > 0.75) {
            (true, _) => Some(Exit::Failed(Failure::Memory)),
            (_, true) => Some(Exit::Failed(Failure::NoObjective("nan".into()))),
            _ => None,
        });
        let (memory, objective) = (FailureClass::Memory, FailureClass::Objective);
        assert!(risk(&mut demo, 0.85, 0.3, memory) > 0.8);
        assert!(risk(&mut demo, 0.85, 0.3, objective) < 0.2);
        assert!(risk(&mut demo, 0.2, 0.9, objective) > 0.8);
        assert!(risk(&mut demo, 0.2, 0.9, memory) < 0.2);
        assert!(risk(&mut demo, 0.2, 0.2, memory) < 0.05);
    }

    #[test]
    fn failures_at_random_are_expected_nowhere_in_particular() {
        let mut demo = study(|units, lr| {
            let draw = swath_numerics::sobol::mix(units.to_bits() ^ lr.to_bits()) % 8;
            (draw == 0).then_some(Exit::Failed(Failure::Code(1)))
        });
        for at in 0..10 {
            let at = f64::from(at) / 10.0;
            let risk = risk(&mut demo, at, 1.0 - at, FailureClass::Crash);
            assert!(risk < 0.5, "{at}: {risk}");
        }
    }

    #[test]
    fn a_program_that_could_not_start_or_was_lost_teaches_nothing() {
        let mut demo = study(|units, _| {
            (units > 0.7).then(|| Exit::Failed(Failure::Spawn("no such file".into())))
        });
        let history = History::of(&setting(&demo), &demo.study);
        assert_eq!(history.failed(), [] as [u32; 0]);
        assert_eq!(history.pending().count(), 0);
        assert!(history.failure_classes().is_empty());
        assert_eq!(risk(&mut demo, 0.9, 0.3, FailureClass::Spawn), 0.0);
    }

    #[test]
    fn the_trials_before_it_alone_decide_about_the_risk_of_a_trial() {
        let mut demo = Demo::new(&["units", "lr"]);
        let trial = demo.start(&params(0.9, 0.5));
        demo.end(trial, Exit::Failed(Failure::Memory));
        assert!(failure_risks(&setting(&demo), &demo.study, trial).is_empty());
        assert!(failure_risks(&setting(&demo), &demo.study, TrialId(99)).is_empty());
    }
}
