//! Slice: the objective over each parameter, with one panel for each parameter.

use super::axis::Axis;
use super::figure::{Figure, Guide, Mark, Panel, Scale, Shape, Tone};
use super::importance::keep_important;
use super::parallel::Parallel;
use super::{Input, METRIC, Plot, WHERE, nothing, stacked};
use swath_model::study::Kind;

pub(super) const KIND: Kind<dyn Plot> = Kind {
    name: "slice",
    about: "the objective over each parameter",
    paper: None,
    options: &[METRIC, WHERE],
    capabilities: &[],
    build: |_, _, _| Some(Box::new(figure)),
};

/// Maximum number of parameters in a picture.
const MOST: usize = 16;

fn figure(inputs: &[Input<'_>]) -> Figure {
    stacked(inputs, "slice", study_figure)
}

fn study_figure(input: &Input<'_>) -> Figure {
    let mut data = Parallel::of(input);
    if data.axes.is_empty() {
        return nothing(
            input,
            "slice",
            "fewer than two complete trials with different parameters",
        );
    }
    let mut figure = Figure::new(input.title("slice"));
    figure.columns = if data.axes.len() == 1 { 1 } else { 2 };
    let note = keep_important(input, &mut data.axes, MOST);
    figure.notes.extend(note);
    let y = Scale::fitting(data.values.iter().copied());
    let best = data.ranks().iter().position(|rank| *rank == 0.0);
    let shape = if data.trials.len() > 300 {
        Shape::Speck
    } else {
        Shape::Dot
    };
    for axis in &data.axes {
        let points = (0..data.trials.len())
            .filter_map(|trial| point(&data, axis, trial))
            .collect();
        let mut marks = vec![Mark::Points(points, Tone::Usual, shape)];
        marks.extend(
            best.and_then(|best| point(&data, axis, best))
                .map(|best| Mark::Points(vec![best], Tone::Best, Shape::Dot)),
        );
        figure.panels.push(Panel {
            title: String::new(),
            x: Guide::new(&*axis.name, axis.scale()),
            y: Guide::new(&*data.metric, y.clone()),
            marks,
        });
    }
    figure.legend = vec![
        (Tone::Usual, "complete".to_owned()),
        (Tone::Best, "the best".to_owned()),
    ];
    figure
}

/// Returns the value of a trial, by its index, on an axis, and its objective.
fn point(data: &Parallel, axis: &Axis, trial: usize) -> Option<(f64, f64)> {
    let x = axis.at(axis.values[trial]?) + jitter(axis.is_choice(), data.trials[trial]);
    Some((x, data.values[trial]))
}

/// Returns an offset that spreads the trials of one category over its band. It depends only on the
/// id of the trial. 0 for a numerical parameter.
pub(super) fn jitter(choice: bool, trial: u32) -> f64 {
    let golden = (f64::from(trial) * 0.618_033_988_75).fract();
    if choice { (golden - 0.5) * 0.6 } else { 0.0 }
}
