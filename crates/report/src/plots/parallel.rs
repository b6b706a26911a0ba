//! Parallel coordinates: a line for each trial through its parameters to its objective.

use super::axis::Axis;
use super::figure::{Figure, Guide, Mark, Panel, Scale, Side, Tone, Weight};
use super::importance::keep_important;
use super::{Input, METRIC, Plot, WHERE, nothing, stacked};
use crate::number;
use crate::text::elide;
use serde::Serialize;
use swath_model::study::{Goal, Kind, Trial};

pub(super) const KIND: Kind<dyn Plot> = Kind {
    name: "parallel",
    about: "a line for each trial through its parameters to its objective",
    paper: Some("Inselberg, The Plane with Parallel Coordinates, The Visual Computer 1, 1985"),
    options: &[METRIC, WHERE],
    capabilities: &[],
    build: |_, _, _| Some(Box::new(figure)),
};

/// Maximum number of trials in a picture.
const PICTURE: usize = 500;
/// Maximum number of axes in a picture.
const MOST_AXES: usize = 12;

/// The parameters in which the trials differ, and the objective of each trial.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Parallel {
    /// The name of the metric.
    pub metric: String,
    /// Whether small values are better.
    pub minimise: bool,
    /// The ids of the trials, in the order of the values of each axis.
    pub trials: Vec<u32>,
    /// The objective of each trial.
    pub values: Vec<f64>,
    /// The parameters in which the trials differ, in the order of the sweep file.
    pub axes: Vec<Axis>,
}

impl Parallel {
    /// Collects the complete trials of an input.
    #[must_use]
    pub fn of(input: &Input<'_>) -> Self {
        let complete = input.complete();
        let trials: Vec<&Trial> = complete.iter().map(|(trial, _)| *trial).collect();
        Self {
            metric: input.label().to_owned(),
            minimise: input
                .objective()
                .is_none_or(|objective| objective.goal == Goal::Min),
            trials: trials.iter().map(|trial| trial.id.0).collect(),
            values: complete.iter().map(|(_, value)| *value).collect(),
            axes: input.axes(&trials),
        }
    }

    /// Returns the rank of each trial among the others, from 0 for the best to 1 for the worst.
    #[must_use]
    pub fn ranks(&self) -> Vec<f64> {
        let mut order: Vec<usize> = (0..self.values.len()).collect();
        order.sort_by(|a, b| {
            let (a, b) = (self.values[*a], self.values[*b]);
            if self.minimise {
                a.total_cmp(&b)
            } else {
                (-a).total_cmp(&-b)
            }
        });
        let mut ranks = vec![0.0; order.len()];
        let last = order.len().saturating_sub(1).max(1) as f64;
        for (rank, index) in order.into_iter().enumerate() {
            ranks[index] = rank as f64 / last;
        }
        ranks
    }
}

fn figure(inputs: &[Input<'_>]) -> Figure {
    stacked(inputs, "parallel coordinates", study_figure)
}

fn study_figure(input: &Input<'_>) -> Figure {
    let mut data = Parallel::of(input);
    if data.trials.is_empty() {
        return nothing(input, "parallel coordinates", "no trial is complete");
    }
    if data.axes.is_empty() {
        return nothing(
            input,
            "parallel coordinates",
            "the complete trials have the same parameters",
        );
    }
    let mut figure = Figure::new(input.title("parallel coordinates"));
    let note = keep_important(input, &mut data.axes, MOST_AXES);
    figure.notes.extend(note);
    let axes: Vec<&Axis> = data.axes.iter().collect();
    let objective = Scale::fitting(data.values.iter().copied());
    let count = axes.len() + 1;
    let ranks = data.ranks();
    let mut order: Vec<usize> = (0..data.trials.len()).collect();
    // Better trials are drawn later, over the worse ones.
    order.sort_by(|a, b| ranks[*b].total_cmp(&ranks[*a]));
    if order.len() > PICTURE {
        figure.notes.push(format!(
            "the {PICTURE} best of {} complete trials",
            order.len()
        ));
        order = order.split_off(order.len() - PICTURE);
    }
    let mut marks = Vec::new();
    // Lines of trials without a parameter pass below its axis.
    let missing = axes
        .iter()
        .any(|axis| axis.values.iter().any(Option::is_none));
    let floor = if missing { -0.12 } else { 0.0 };
    for index in order {
        let mut line: Vec<(f64, f64)> = axes
            .iter()
            .enumerate()
            .map(|(x, axis)| {
                let height = axis.values[index].map_or(floor, |value| height(axis, value));
                (x as f64 + 0.5, height)
            })
            .collect();
        line.push((
            count as f64 - 0.5,
            objective.place(data.values[index]).unwrap_or(0.0),
        ));
        let best = ranks[index] == 0.0;
        let weight = if best { Weight::Bold } else { Weight::Thin };
        marks.push(Mark::Line(
            line,
            if best {
                Tone::Best
            } else {
                Tone::Heat(1.0 - ranks[index])
            },
            weight,
        ));
    }
    for (x, axis) in axes.iter().enumerate() {
        let x = x as f64 + 0.5;
        marks.push(Mark::Line(
            vec![(x, 0.0), (x, 1.0)],
            Tone::Ink,
            Weight::Usual,
        ));
        let ticks: Vec<(f64, String)> = if axis.is_choice() {
            let every = axis.labels.len().div_ceil(8).max(1);
            axis.labels
                .iter()
                .enumerate()
                .step_by(every)
                .map(|(index, label)| (index as f64, label.clone()))
                .collect()
        } else {
            vec![
                (axis.min, number::brief(axis.min)),
                (axis.max, number::brief(axis.max)),
            ]
        };
        for (value, text) in ticks {
            let text = elide(&text, 16).into_owned();
            marks.push(Mark::Text(
                (x, height(axis, value)),
                text,
                Side::Right,
                Tone::Ink,
            ));
        }
        if axis.values.iter().any(Option::is_none) {
            marks.push(Mark::Text(
                (x, floor),
                "absent".to_owned(),
                Side::Right,
                Tone::Faint,
            ));
        }
    }
    let x = count as f64 - 0.5;
    marks.push(Mark::Line(
        vec![(x, 0.0), (x, 1.0)],
        Tone::Ink,
        Weight::Usual,
    ));
    for (value, text) in objective.ticks(6) {
        marks.push(Mark::Text(
            (x, objective.place(value).unwrap_or(0.0)),
            text,
            Side::Right,
            Tone::Ink,
        ));
    }
    let names: Vec<String> = axes
        .iter()
        .map(|axis| axis.name.clone())
        .chain([data.metric.clone()])
        .collect();
    figure.legend = vec![
        (Tone::Best, "the best".to_owned()),
        (Tone::Heat(1.0), "better".to_owned()),
        (Tone::Heat(0.0), "worse".to_owned()),
    ];
    figure.panels.push(Panel {
        title: String::new(),
        x: Guide::new("", Scale::Bands(names)),
        y: Guide::new("", Scale::Blank(floor - 0.04, 1.04)),
        marks,
    });
    figure
}

/// Returns the height of a value on its axis, from 0 to 1. Categories have a margin above and
/// below.
fn height(axis: &Axis, value: f64) -> f64 {
    if axis.is_choice() {
        (value + 0.5) / axis.labels.len() as f64
    } else {
        axis.unit(value)
    }
}
