//! The pictures of `swath top`: the learning curves of every metric, and plots of the study.

use crate::report::plots::figure::Panel;
use crate::report::plots::{self, Input, PLOTS};
use crate::report::text::plain;
use crate::report::view::View;
use crate::study::Study;
use crate::study::kind::find;

/// The first picture: the learning curves of every metric.
pub(super) const METRICS: &str = "metrics";

/// The other pictures, in the order of their keys 2, 3 and so on.
const PLOT_NAMES: [&str; 6] = [
    "history",
    "timeline",
    "failures",
    "importance",
    "rungs",
    "pareto",
];

/// Returns the names of the pictures that a study can have.
pub(super) fn names(study: &Study) -> Vec<&'static str> {
    let header = study.header();
    let others = PLOT_NAMES.into_iter().filter(|name| match *name {
        "pareto" => header.objectives.len() > 1,
        "rungs" => header.resource.is_some(),
        _ => true,
    });
    std::iter::once(METRICS).chain(others).collect()
}

/// Returns the panels of a picture, those of learning curves with the number of their metric, and
/// the notes that stand in place of panels.
pub(super) fn panels(
    picture: &str,
    view: &View,
    study: &Study,
) -> (Vec<(Option<usize>, Panel)>, Vec<String>) {
    let mut input = Input::all(study, &view.chronicle, view.space.as_deref());
    if picture != METRICS {
        let figure = find(PLOTS, picture).map(|kind| plots::draw(kind, &[input]));
        let figure = figure.unwrap_or_default();
        let panels = figure.panels.into_iter().map(|panel| (None, panel));
        return (panels.collect(), figure.notes);
    }
    let (mut panels, mut notes) = (Vec::new(), Vec::new());
    for (index, metric) in view.chronicle.metrics().iter().enumerate() {
        // The axis over itself is a diagonal.
        if index > 0
            && study
                .trials()
                .iter()
                .any(|trial| trial.axis.key() == Some(metric))
        {
            continue;
        }
        input.metric = Some(metric);
        let input = Input {
            trials: input.trials.clone(),
            ..input
        };
        let figure = find(PLOTS, "curves").map(|kind| plots::draw(kind, &[input]));
        let figure = figure.unwrap_or_default();
        panels.extend(figure.panels.into_iter().map(|panel| {
            let title = plain(metric).into_owned();
            (Some(index), Panel { title, ..panel })
        }));
        if index == 0 {
            notes = figure.notes;
        }
    }
    (panels, notes)
}
