//! Pareto front: the objectives of all complete trials against each other, with the non-dominated
//! trials.

use super::figure::{Figure, Guide, Mark, Panel, Scale, Shape, Tone, Weight};
use super::{Input, Plot, WHERE, nothing, stacked};
use crate::rank;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use swath_model::study::{Goal, Kind};

pub(super) const KIND: Kind<dyn Plot> = Kind {
    name: "pareto",
    about: "the objectives against each other, with the Pareto front",
    paper: None,
    options: &[WHERE],
    capabilities: &[],
    build: |_, _, _| Some(Box::new(figure)),
};

/// The complete trials in the space of the objectives.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Pareto {
    /// The metric of each objective, and whether small values are better.
    pub objectives: Vec<(String, bool)>,
    /// Id and values of each trial. With several seeds, the first trial of each configuration and
    /// the means.
    pub trials: Vec<(u32, Vec<f64>)>,
    /// The ids of the trials on the front.
    pub front: Vec<u32>,
}

impl Pareto {
    /// Collects the complete trials with a value for every objective.
    #[must_use]
    pub fn of(input: &Input<'_>) -> Self {
        let objectives = &input.study.header().objectives;
        let counted = input.trials.iter().filter(|trial| trial.ranks());
        let mut means: BTreeMap<u32, (Vec<f64>, f64)> = BTreeMap::new();
        for trial in counted {
            let values: Option<Vec<f64>> = objectives
                .iter()
                .map(|objective| trial.objective(objective))
                .collect();
            let Some(values) = values else {
                continue;
            };
            let head = input.study.configuration(trial.id).0;
            let (mean, count) = means
                .entry(head)
                .or_insert_with(|| (vec![0.0; values.len()], 0.0));
            *count += 1.0;
            for (mean, value) in mean.iter_mut().zip(values) {
                *mean += (value - *mean) / *count;
            }
        }
        let front: BTreeSet<u32> = rank::pareto(input.study)
            .iter()
            .map(|trial| trial.id.0)
            .collect();
        Self {
            objectives: objectives
                .iter()
                .map(|objective| (objective.metric.to_string(), objective.goal == Goal::Min))
                .collect(),
            trials: means
                .into_iter()
                .map(|(head, (means, _))| (head, means))
                .collect(),
            front: front.into_iter().collect(),
        }
    }
}

fn figure(inputs: &[Input<'_>]) -> Figure {
    stacked(inputs, "Pareto front", study_figure)
}

fn study_figure(input: &Input<'_>) -> Figure {
    let data = Pareto::of(input);
    if data.objectives.len() < 2 {
        return nothing(input, "Pareto front", "the study has a single objective");
    }
    if data.trials.is_empty() {
        return nothing(input, "Pareto front", "no trial has all objectives");
    }
    let mut figure = Figure::new(input.title("Pareto front"));
    figure.columns = if data.objectives.len() > 2 { 2 } else { 1 };
    let best: BTreeSet<u32> = data.front.iter().copied().collect();
    for first in 0..data.objectives.len() {
        for second in first + 1..data.objectives.len() {
            figure.panels.push(panel(&data, &best, first, second));
        }
    }
    if data.objectives.len() > 2 {
        figure.notes.push(
            "the front is that of all objectives; with two of them alone, a trial on it may look \
             dominated"
                .to_owned(),
        );
    }
    figure.legend = vec![
        (Tone::Usual, "complete".to_owned()),
        (Tone::Best, format!("on the front ({})", data.front.len())),
    ];
    figure
}

fn panel(data: &Pareto, best: &BTreeSet<u32>, first: usize, second: usize) -> Panel {
    let (mut front, mut others) = (Vec::new(), Vec::new());
    for (id, values) in &data.trials {
        let points = if best.contains(id) {
            &mut front
        } else {
            &mut others
        };
        points.push((values[first], values[second]));
    }
    front.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut marks = vec![Mark::Points(others, Tone::Usual, Shape::Speck)];
    // With more than two objectives the front is not a line in the plane of two of them.
    if data.objectives.len() == 2 {
        marks.push(Mark::Line(
            steps(&front, data.objectives[first].1, data.objectives[second].1),
            Tone::Best,
            Weight::Thin,
        ));
    }
    marks.push(Mark::Points(front, Tone::Best, Shape::Dot));
    Panel {
        title: String::new(),
        x: guide(data, first),
        y: guide(data, second),
        marks,
    }
}

/// Returns the scale of an objective, with its goal in the label.
fn guide(data: &Pareto, objective: usize) -> Guide {
    let (metric, minimise) = &data.objectives[objective];
    let values = data.trials.iter().map(|(_, values)| values[objective]);
    let goal = if *minimise { "less" } else { "more" };
    Guide::new(
        format!("{metric} ({goal} is better)"),
        Scale::fitting(values),
    )
}

/// Returns the boundary of the dominated region. Between two points of the front it passes through
/// the worse value of both in each objective. `minimise_x` and `minimise_y` tell whether small
/// values are better along x and y.
fn steps(front: &[(f64, f64)], minimise_x: bool, minimise_y: bool) -> Vec<(f64, f64)> {
    let mut line = Vec::new();
    for pair in front.windows(2) {
        line.push(pair[0]);
        let (a, b) = (pair[0], pair[1]);
        let x = if minimise_x {
            f64::max(a.0, b.0)
        } else {
            f64::min(a.0, b.0)
        };
        let y = if minimise_y {
            f64::max(a.1, b.1)
        } else {
            f64::min(a.1, b.1)
        };
        line.push((x, y));
    }
    line.extend(front.last().copied());
    line
}
