//! Rung survival: how many trials came to each step at which some ended, and what became of them
//! there.

use super::figure::{Figure, Guide, Mark, Panel, Scale, Side, Tone};
use super::{Input, Kind, nothing, stacked};
use crate::report::number;
use crate::study::TrialState;
use serde::Serialize;

pub(super) const KIND: Kind = Kind {
    name: "rungs",
    about: "how many trials came to each rung, and what became of them there",
    figure,
};

/// How many rungs are told apart.
const MOST: usize = 24;

/// The rungs of a study.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Rungs {
    /// What counts the steps.
    pub step: String,
    /// From the lowest.
    pub rungs: Vec<Rung>,
}

/// A step at which trials ended. What became of those that came to it adds up to `reached`.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Rung {
    /// The step.
    pub step: f64,
    /// How many came to it.
    pub reached: usize,
    /// How many went on.
    pub went_on: usize,
    /// How many are complete here.
    pub complete: usize,
    /// How many were stopped here.
    pub stopped: usize,
    /// How many wait here for a promotion.
    pub paused: usize,
    /// How many failed here.
    pub failed: usize,
    /// How many are here now.
    pub running: usize,
}

impl Rungs {
    /// Collects them. Steps that lie close together share a rung.
    #[must_use]
    pub fn of(input: &Input<'_>) -> Self {
        let last = |trial: &crate::study::TrialId| {
            let curve = input.chronicle.curves.get(trial)?;
            curve
                .steps
                .iter()
                .copied()
                .filter(|step| step.is_finite())
                .reduce(f64::max)
        };
        let ends: Vec<(f64, &TrialState)> = input
            .ran()
            .filter(|trial| trial.attempts > 0)
            .map(|trial| (last(&trial.id).or(trial.step).unwrap_or(0.0), &trial.state))
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
                    break;
                }
                rung.reached += 1;
            }
            let Some(rung) = rungs.iter_mut().rev().find(|rung| rung.step <= step) else {
                continue;
            };
            match state {
                TrialState::Complete => rung.complete += 1,
                TrialState::Stopped => rung.stopped += 1,
                TrialState::Paused | TrialState::Waiting => rung.paused += 1,
                TrialState::Failed => rung.failed += 1,
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

/// Returns the steps at which trials ended, or some of them if they are many.
fn levels(ends: &[(f64, &TrialState)]) -> Vec<f64> {
    // Where something still runs is no rung yet, unless nothing else is known.
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
    if let (Some(lowest), Some(first)) = (lowest, levels.first_mut()) {
        *first = first.min(lowest);
    }
    levels
}

/// What became of trials at a rung: its name, its colour and how many there are.
type Part = (&'static str, Tone, fn(&Rung) -> usize);

fn figure(inputs: &[Input<'_>]) -> Figure {
    stacked(inputs, "rung survival", one)
}

fn one(input: &Input<'_>) -> Figure {
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
    for (at, rung) in data.rungs.iter().enumerate() {
        let mut from = 0.0;
        for (_, tone, count) in parts {
            let to = from + count(rung) as f64;
            if to > from {
                marks.push(Mark::Block(
                    (from, to),
                    (at as f64 + 0.15, at as f64 + 0.85),
                    tone,
                ));
            }
            from = to;
        }
        marks.push(Mark::Text(
            (from, at as f64 + 0.5),
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
