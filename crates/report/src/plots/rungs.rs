//! Rung survival: for each step at which trials ended, the number of trials that reached it, and
//! their outcomes there.

use super::chronicle::Chronicle;
use super::figure::{Figure, Guide, Mark, Panel, Scale, Side, Tone};
use super::{Input, Plot, WHERE, nothing, stacked};
use crate::number;
use serde::Serialize;
use swath_model::study::{Kind, Trial, TrialId, TrialState};

pub(super) const KIND: Kind<dyn Plot> = Kind {
    name: "rungs",
    about: "the number of trials that reached each rung, stopped there or went on",
    paper: None,
    options: &[WHERE],
    capabilities: &[],
    build: |_, _, _| Some(Box::new(figure)),
};

/// Maximum number of rungs.
const MOST: usize = 24;

/// The rungs of a study.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Rungs {
    /// The label of the step axis.
    pub step: String,
    /// The rungs in ascending order.
    pub rungs: Vec<Rung>,
}

/// A step at which trials ended. The counts below `reached` add up to it.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Rung {
    /// The step of the rung.
    pub step: f64,
    /// Number of trials that reached the rung.
    pub reached: usize,
    /// Number of trials that went on to a higher step.
    pub went_on: usize,
    /// Number of trials that completed here.
    pub complete: usize,
    /// Number of trials that were stopped here.
    pub stopped: usize,
    /// Number of trials that are paused or waiting here.
    pub paused: usize,
    /// Number of trials that failed here.
    pub failed: usize,
    /// Number of trials that are running and reached no higher rung.
    pub running: usize,
}

impl Rungs {
    /// Collects the rungs. Steps that are close together share a rung if there are many.
    #[must_use]
    pub fn of(input: &Input<'_>) -> Self {
        let ends: Vec<(f64, &TrialState)> = input
            .ran()
            .filter(|trial| trial.attempts > 0)
            // The step of a trial without a curve comes from the study.
            .map(|trial| {
                let step = highest_step(input.chronicle, trial.id).or(trial.step);
                (step.unwrap_or(0.0), &trial.state)
            })
            .collect();
        let mut rungs: Vec<Rung> = levels(&ends)
            .into_iter()
            .map(|step| Rung {
                step,
                ..Rung::default()
            })
            .collect();
        for (step, state) in ends {
            for rung in &mut rungs {
                if step < rung.step {
                    // Rungs are in ascending order, so no later one was reached either.
                    break;
                }
                rung.reached += 1;
            }
            // The trial ended at the highest rung that it reached.
            let Some(rung) = rungs.iter_mut().rev().find(|rung| rung.step <= step) else {
                continue;
            };
            match state {
                TrialState::Complete => rung.complete += 1,
                TrialState::Stopped => rung.stopped += 1,
                TrialState::Paused | TrialState::Waiting => rung.paused += 1,
                TrialState::Failed | TrialState::Invalid => rung.failed += 1,
                TrialState::Running => rung.running += 1,
            }
        }
        for rung in &mut rungs {
            let here = rung.complete + rung.stopped + rung.paused + rung.failed + rung.running;
            rung.went_on = rung.reached - here;
        }
        Self {
            step: input
                .chronicle
                .axis(input.trials.iter().map(|trial| &trial.id)),
            rungs,
        }
    }
}

/// The values of an objective at one rung.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Level {
    /// The step of the rung.
    pub step: f64,
    /// The ids of the trials that reached it, in ascending order.
    pub trials: Vec<u32>,
    /// The value of each trial there.
    pub values: Vec<f64>,
}

/// Returns the values of the input's objective at each rung; nothing unless a scheduler has stopped
/// or paused trials.
#[must_use]
pub fn levels_of(input: &Input<'_>) -> Vec<Level> {
    let is_partial =
        |trial: &&Trial| matches!(trial.state, TrialState::Stopped | TrialState::Paused);
    let Some(objective) = input
        .objective()
        .filter(|_| input.trials.iter().any(is_partial))
    else {
        return Vec::new();
    };
    let level_at = |step: f64| {
        let results = input.trials.iter().filter(|trial| !trial.outside);
        let results = results.filter_map(|trial| {
            let value = input.value_at(objective, trial, step)?;
            Some((trial.id.0, number::rounded(value, 6)))
        });
        let (trials, values) = results.unzip();
        Level {
            step,
            trials,
            values,
        }
    };
    let rungs = Rungs::of(input).rungs.into_iter();
    let levels = rungs.map(|rung| level_at(rung.step));
    levels.filter(|level| !level.trials.is_empty()).collect()
}

/// Returns the highest step at which a trial reported; `None` without a curve.
fn highest_step(chronicle: &Chronicle, trial: TrialId) -> Option<f64> {
    let steps = chronicle.curves.get(&trial)?.steps.iter().copied();
    steps.filter(|step| step.is_finite()).reduce(f64::max)
}

/// Returns the steps at which trials ended, at most 24 of them.
fn levels(ends: &[(f64, &TrialState)]) -> Vec<f64> {
    // The step of a running trial is no rung yet, unless all trials are running.
    let settled = ends
        .iter()
        .filter(|(_, state)| **state != TrialState::Running);
    let mut levels: Vec<f64> = settled.map(|(step, _)| *step).collect();
    if levels.is_empty() {
        levels = ends.iter().map(|(step, _)| *step).collect();
    }
    levels.sort_by(f64::total_cmp);
    levels.dedup();
    let lowest = ends.iter().map(|(step, _)| *step).reduce(f64::min);
    let mut levels = super::thinned(&levels, MOST);
    // Every trial must be at or above the lowest rung to be counted.
    if let (Some(lowest), Some(first)) = (lowest, levels.first_mut()) {
        *first = first.min(lowest);
    }
    levels
}

/// One outcome of trials at a rung: its name, its tone, and a function that returns its count.
type Part = (&'static str, Tone, fn(&Rung) -> usize);

fn figure(inputs: &[Input<'_>]) -> Figure {
    stacked(inputs, "rung survival", study_figure)
}

fn study_figure(input: &Input<'_>) -> Figure {
    let data = Rungs::of(input);
    if data.rungs.is_empty() {
        return nothing(input, "rung survival", "no trial has started");
    }
    let mut figure = Figure::new(input.title("rung survival"));
    let parts: [Part; 6] = [
        ("went on", Tone::Series(0), |rung| rung.went_on),
        ("complete", Tone::Best, |rung| rung.complete),
        ("running", Tone::Live, |rung| rung.running),
        ("paused", Tone::Paused, |rung| rung.paused),
        ("stopped", Tone::Stopped, |rung| rung.stopped),
        ("failed", Tone::Bad, |rung| rung.failed),
    ];
    let mut marks = Vec::new();
    for (row, rung) in data.rungs.iter().enumerate() {
        let mut from = 0.0;
        for (_, tone, count) in parts {
            let to = from + count(rung) as f64;
            if to > from {
                marks.push(Mark::Block(
                    (from, to),
                    (row as f64 + 0.15, row as f64 + 0.85),
                    tone,
                ));
            }
            from = to;
        }
        marks.push(Mark::Text(
            (from, row as f64 + 0.5),
            rung.reached.to_string(),
            Side::Right,
            Tone::Ink,
        ));
    }
    let used = parts
        .iter()
        .filter(|(_, _, count)| data.rungs.iter().any(|rung| count(rung) > 0));
    figure.legend = used
        .map(|(name, tone, _)| (*tone, (*name).to_owned()))
        .collect();
    let most = data
        .rungs
        .iter()
        .map(|rung| rung.reached)
        .max()
        .unwrap_or(1);
    let labels = data
        .rungs
        .iter()
        .map(|rung| format!("{} {}", data.step, number::short(rung.step)))
        .collect();
    figure.panels.push(Panel {
        title: String::new(),
        x: Guide::new("trials", Scale::Linear(0.0, most as f64 * 1.08)),
        y: Guide::new("", Scale::Bands(labels)),
        marks,
    });
    figure
}
