//! Contour: the objective over two parameters, predicted by the forest of the importance plot, with
//! the trials on top.

use super::axis::Axis;
use super::figure::{Figure, Guide, Mark, Panel, Scale, Shape, Tone, bounds};
use super::importance::{Fitted, Importance};
use super::{Input, METRIC, Plot, WHERE, nothing, stacked};
use rayon::iter::{IntoParallelRefIterator, ParallelIterator};
use serde::Serialize;
use swath_model::study::{Goal, Kind};
use swath_numerics::fanova;

pub(super) const KIND: Kind<dyn Plot> = Kind {
    name: "contour",
    about: "the objective over pairs of the most important parameters, averaged over the others",
    paper: Some(
        "Hutter, Hoos and Leyton-Brown, An Efficient Approach for Assessing Hyperparameter \
         Importance, ICML 2014",
    ),
    options: &[METRIC, WHERE],
    capabilities: &[],
    build: |_, _, _| Some(Box::new(figure)),
};

/// Number of cells along a numerical parameter.
const CELLS: usize = 24;
/// Number of the most important parameters whose pairs are shown.
const TOP: usize = 4;

/// The predicted objective over two parameters.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Contour {
    /// The parameter along the x axis.
    pub x: ContourAxis,
    /// The parameter along the y axis.
    pub y: ContourAxis,
    /// The prediction of the forest for each cell, row by row along y. `None` where one of the
    /// parameters does not exist.
    pub cells: Vec<Option<f64>>,
    /// The trials: id, x, y (categories as their index) and objective.
    pub points: Vec<(u32, f64, f64, f64)>,
}

/// One parameter of a contour.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ContourAxis {
    /// The name of the parameter.
    pub name: String,
    /// Whether its scale is logarithmic.
    pub log: bool,
    /// The categories; empty for a numerical parameter.
    pub labels: Vec<String>,
    /// The edges of the cells, one more than there are cells.
    pub edges: Vec<f64>,
}

impl ContourAxis {
    fn of(axis: &Axis) -> Self {
        let edges = match axis.is_choice() {
            true => (0..=axis.labels.len()).map(|index| index as f64).collect(),
            false => (0..=CELLS)
                .map(|index| axis.value(index as f64 / CELLS as f64))
                .collect(),
        };
        Self {
            name: axis.name.clone(),
            log: axis.log,
            labels: axis.labels.clone(),
            edges,
        }
    }
}

/// Returns the contours of all pairs among the most important parameters.
#[must_use]
pub fn contours(fitted: &Fitted, importance: &Importance) -> Vec<Contour> {
    let top: Vec<usize> = importance
        .rows
        .iter()
        .take(TOP)
        .filter_map(|row| fitted.axes.iter().position(|axis| axis.name == row.name))
        .collect();
    let pairs =
        (0..top.len()).flat_map(|first| (first + 1..top.len()).map(move |second| (first, second)));
    let pairs: Vec<(usize, usize)> = pairs.collect();
    pairs
        .par_iter()
        .map(|(first, second)| contour(fitted, top[*first], top[*second]))
        .collect()
}

fn contour(fitted: &Fitted, first: usize, second: usize) -> Contour {
    let (a, b) = (&fitted.axes[first], &fitted.axes[second]);
    let (x, y) = (ContourAxis::of(a), ContourAxis::of(b));
    let size = (x.edges.len() - 1, y.edges.len() - 1);
    let results = fitted.ids.iter().zip(&fitted.target).enumerate();
    let points = results
        .filter_map(|(index, (id, value))| Some((*id, a.values[index]?, b.values[index]?, *value)));
    Contour {
        cells: fanova::surface(&fitted.forest, (first, second), size),
        points: points.collect(),
        x,
        y,
    }
}

fn figure(inputs: &[Input<'_>]) -> Figure {
    stacked(inputs, "contour", study_figure)
}

fn study_figure(input: &Input<'_>) -> Figure {
    let fitted = Fitted::of(input);
    let measured = fitted
        .as_ref()
        .and_then(|fitted| Some((fitted, Importance::of(input, fitted)?)));
    let contours = measured
        .as_ref()
        .map(|(fitted, importance)| contours(fitted, importance));
    let (Some((fitted, importance)), Some(contours)) =
        (measured, contours.filter(|contours| !contours.is_empty()))
    else {
        return nothing(
            input,
            "contour",
            "it takes at least 8 complete trials and two parameters in which they differ",
        );
    };
    let mut figure =
        Figure::new(input.title(&format!("{} over pairs of parameters", importance.metric)));
    figure.columns = if contours.len() == 1 { 1 } else { 2 };
    figure.notes.clone_from(&importance.warnings);
    let cells = contours
        .iter()
        .flat_map(|contour| contour.cells.iter().flatten().copied());
    let (low, high) = bounds(cells).unwrap_or((0.0, 1.0));
    let minimise = input
        .objective()
        .is_none_or(|objective| objective.goal == Goal::Min);
    let shades = Shades {
        low,
        high,
        minimise,
    };
    for contour in &contours {
        figure.panels.push(panel(fitted, contour, &shades));
    }
    let (better, worse) = if minimise { (low, high) } else { (high, low) };
    let short = crate::number::short;
    figure.legend = vec![
        (Tone::Heat(1.0), format!("{} (better)", short(better))),
        (Tone::Heat(0.0), short(worse)),
        (Tone::Ink, "trials".to_owned()),
    ];
    figure
}

/// The range of all predictions, which the contours of a figure share.
struct Shades {
    low: f64,
    high: f64,
    minimise: bool,
}

impl Shades {
    /// Returns the tone of a prediction. The hot end is the better one for either goal.
    fn tone(&self, value: f64) -> Tone {
        let part = if self.high > self.low {
            (value - self.low) / (self.high - self.low)
        } else {
            0.5
        };
        Tone::Heat(if self.minimise { 1.0 - part } else { part })
    }
}

fn panel(fitted: &Fitted, contour: &Contour, shades: &Shades) -> Panel {
    let width = contour.x.edges.len() - 1;
    let mut marks = Vec::new();
    for (index, cell) in contour.cells.iter().enumerate() {
        let (column, row) = (index % width, index / width);
        let Some(value) = cell else { continue };
        let (x, y) = (&contour.x.edges, &contour.y.edges);
        marks.push(Mark::Block(
            (x[column], x[column + 1]),
            (y[row], y[row + 1]),
            shades.tone(*value),
        ));
    }
    let points = contour.points.iter();
    let points = points
        .map(|(id, x, y, _)| {
            // The axes get different offsets, so that the points do not lie on a diagonal.
            (
                position(&contour.x, *x, *id),
                position(&contour.y, *y, id * 7 + 3),
            )
        })
        .collect();
    marks.push(Mark::Points(points, Tone::Ink, Shape::Speck));
    Panel {
        title: String::new(),
        x: Guide::new(&*contour.x.name, scale(fitted, &contour.x)),
        y: Guide::new(&*contour.y.name, scale(fitted, &contour.y)),
        marks,
    }
}

/// Returns the scale of a parameter of a contour.
fn scale(fitted: &Fitted, side: &ContourAxis) -> Scale {
    match fitted.axes.iter().find(|axis| axis.name == side.name) {
        Some(axis) if axis.is_choice() => Scale::Bands(side.labels.clone()),
        Some(axis) if axis.log => Scale::Log(axis.min, axis.max),
        Some(axis) => Scale::Linear(axis.min, axis.max),
        None => Scale::Bands(side.labels.clone()),
    }
}

/// Returns the position of a trial along a parameter.
fn position(side: &ContourAxis, value: f64, id: u32) -> f64 {
    if side.labels.is_empty() {
        value
    } else {
        // Points in one cell of two categories would hide each other.
        value + 0.5 + super::slice::jitter(true, id)
    }
}
