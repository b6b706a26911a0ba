//! The results of a study that may be compared with each other: trials that were trained as long.

use super::Facts;
use crate::plots::Input;
use crate::plots::axis::{self, Axis};
use crate::plots::importance::{TREES, column};
use crate::plots::thinned;
use std::collections::BTreeMap;
use swath_model::study::{Objective, Trial, TrialId, TrialState};
use swath_numerics::forest::{Column, Forest};

/// Number of results that are enough, so that those of a lower rung are not needed.
const ENOUGH: usize = 20;
/// Maximum number of results that a forest is grown on.
const MOST_IN_FOREST: usize = 400;

/// Comparable results of one objective, one for each configuration.
#[derive(Debug, Clone)]
pub(super) struct Sample<'a> {
    /// The objective.
    pub(super) objective: &'a Objective,
    /// The first trial of each configuration.
    pub(super) trials: Vec<&'a Trial>,
    /// The oriented result of each configuration, the mean over its seeds. Smaller is better.
    pub(super) scores: Vec<f64>,
    /// Whether each configuration satisfies the outcome constraints.
    pub(super) feasible: Vec<bool>,
    /// The name of the step axis and the step at which the results were reported; `None` if they are
    /// those of complete trials.
    pub(super) rung: Option<(String, f64)>,
}

impl<'a> Sample<'a> {
    /// Collects the complete configurations. If the scheduler let too few complete, collects the
    /// results at the highest rung that enough trials reached.
    pub(super) fn of(input: &Input<'a>, objective: &'a Objective) -> Self {
        let complete = Self::means(input, objective, None, |trial| {
            trial.objective(objective).filter(|_| trial.ranks())
        });
        if complete.trials.len() >= ENOUGH || input.study.header().resource.is_none() {
            return complete;
        }
        let mut rungs = reached(input);
        rungs.retain(|(_, count)| *count > complete.trials.len());
        let enough = rungs.iter().rev().find(|(_, count)| *count >= ENOUGH);
        // The lowest rung has the most trials.
        let Some((step, _)) = enough.or(rungs.first()) else {
            return complete;
        };
        let label = input
            .chronicle
            .axis(input.trials.iter().map(|trial| &trial.id));
        Self::means(input, objective, Some((label, *step)), |trial| {
            input
                .value_at(objective, trial, *step)
                .filter(|_| !trial.outside)
        })
    }

    /// Collects the mean result of each configuration.
    fn means(
        input: &Input<'a>,
        objective: &'a Objective,
        rung: Option<(String, f64)>,
        value: impl Fn(&Trial) -> Option<f64>,
    ) -> Self {
        let mut means: BTreeMap<TrialId, (f64, f64)> = BTreeMap::new();
        for trial in &input.trials {
            let score = value(trial).and_then(|value| objective.score(value));
            if let Some(score) = score {
                let head = input.study.configuration(trial.id);
                let (mean, count) = means.entry(head).or_default();
                *count += 1.0;
                *mean += (score.get() - *mean) / *count;
            }
        }
        let mut sample = Self {
            objective,
            trials: Vec::new(),
            scores: Vec::new(),
            feasible: Vec::new(),
            rung,
        };
        for (head, (mean, _)) in means {
            let Some(trial) = input.study.trial(head) else {
                continue;
            };
            sample.trials.push(trial);
            sample.scores.push(mean);
            // A trial that is not complete may still report the constrained metric.
            let feasible = sample.rung.is_some() || input.study.violation(head) == 0.0;
            sample.feasible.push(feasible);
        }
        sample
    }

    /// Returns the number of configurations.
    pub(super) fn len(&self) -> usize {
        self.trials.len()
    }

    /// Returns ` at epoch 3` for results of a rung, and nothing for those of complete trials.
    pub(super) fn place(&self) -> String {
        let rung = self.rung.as_ref();
        rung.map_or_else(String::new, |(label, step)| {
            format!(" at {label} {}", crate::number::short(*step))
        })
    }

    /// Returns the metric with [`place`](Self::place), if there are several objectives or a rung.
    pub(super) fn label(&self, several: bool) -> String {
        if several || self.rung.is_some() {
            format!(" ({}{})", self.objective.metric, self.place())
        } else {
            String::new()
        }
    }

    /// Returns the indices of the configurations, the best first: those that satisfy the outcome
    /// constraints, then by score.
    pub(super) fn order(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.len()).collect();
        order.sort_by(|a, b| {
            let by_feasible = self.feasible[*b].cmp(&self.feasible[*a]);
            by_feasible.then(self.scores[*a].total_cmp(&self.scores[*b]))
        });
        order
    }

    /// Returns an even choice of at most 400 configurations, for a forest.
    pub(super) fn thinned(&self) -> Self {
        let all: Vec<usize> = (0..self.len()).collect();
        let kept = thinned(&all, MOST_IN_FOREST);
        Self {
            objective: self.objective,
            trials: kept.iter().map(|index| self.trials[*index]).collect(),
            scores: kept.iter().map(|index| self.scores[*index]).collect(),
            feasible: kept.iter().map(|index| self.feasible[*index]).collect(),
            rung: self.rung.clone(),
        }
    }

    /// Returns the parameters in which the configurations differ.
    pub(super) fn axes(&self, input: &Input<'_>) -> Vec<Axis> {
        axis::axes(input.study, &self.trials, input.space)
    }

    /// Returns the scores without the part that the other parameters explain: a random forest over
    /// them predicts each score from trees that were grown without it (Robinson, *Econometrica* 56,
    /// 1988, with a forest as in Chernozhukov et al., *Econometrics Journal* 21, 2018).
    ///
    /// A sampler that adapts gives good values of one parameter together with good values of the
    /// others. Without this correction an idle parameter would seem to matter.
    pub(super) fn without_others(
        &self,
        axes: &[Axis],
        axis: usize,
        facts: &Facts<'_>,
    ) -> Vec<Option<f64>> {
        let (seed, adaptive) = (facts.study.header().seed, facts.adaptive.is_some());
        let is_choice = axes[axis].is_choice();
        let others = axes.iter().enumerate().filter(|(index, other)| {
            // A parameter that exists only with some values of a choice is a part of that choice.
            *index != axis && !(is_choice && other.values.contains(&None))
        });
        let columns: Vec<Column> = others.map(|(_, other)| column(other)).collect();
        if columns.is_empty() {
            return self.scores.iter().copied().map(Some).collect();
        }
        // Between independent trials the effect of the others is learnt within each choice, as in an
        // analysis of covariance, so that the choice is no noise to the forest. In an adaptive
        // search the others get all that they can explain.
        let target = if is_choice && !adaptive {
            self.centred(&axes[axis])
        } else {
            self.scores.clone()
        };
        let forest = Forest::grow(&columns, &target, TREES / 2, seed);
        let pairs = self.scores.iter().zip(forest.out_of_bag);
        pairs.map(|(score, other)| Some(score - other?)).collect()
    }

    /// Returns the scores minus the mean of all that share the choice.
    fn centred(&self, axis: &Axis) -> Vec<f64> {
        let choice = |row: usize| axis.values[row].map(|label| label as usize);
        let mut means: BTreeMap<Option<usize>, (f64, f64)> = BTreeMap::new();
        for (row, score) in self.scores.iter().enumerate() {
            let (mean, count) = means.entry(choice(row)).or_default();
            *count += 1.0;
            *mean += (score - *mean) / *count;
        }
        let mean = |row: usize| means.get(&choice(row)).map_or(0.0, |(mean, _)| *mean);
        let scores = self.scores.iter().enumerate();
        scores.map(|(row, score)| score - mean(row)).collect()
    }
}

/// Returns the steps at which trials ended, in ascending order, each with the number of trials that
/// reached it.
fn reached(input: &Input<'_>) -> Vec<(f64, usize)> {
    let mut last: Vec<f64> = Vec::new();
    let mut ends: Vec<f64> = Vec::new();
    for trial in input.trials.iter().filter(|trial| !trial.outside) {
        let curve = input.chronicle.curves.get(&trial.id);
        let steps = curve
            .into_iter()
            .flat_map(|curve| curve.steps.iter().copied());
        let Some(step) = steps.filter(|step| step.is_finite()).reduce(f64::max) else {
            continue;
        };
        last.push(step);
        if trial.state != TrialState::Running && !trial.state.is_without_result() {
            ends.push(step);
        }
    }
    ends.sort_by(f64::total_cmp);
    ends.dedup();
    last.sort_by(f64::total_cmp);
    let count = |step: f64| last.len() - last.partition_point(|other| *other < step);
    ends.into_iter().map(|step| (step, count(step))).collect()
}
