//! Learning curves: the reports of each trial by step. The curve of a stopped trial ends in a mark.

use super::chronicle::{Chronicle, Curve};
use super::figure::{Figure, Guide, Mark, Panel, Scale, Shape, Tone, Weight};
use super::{Input, METRIC, Plot, WHERE, nothing, stacked, thinned, tone};
use crate::number;
use serde::Serialize;
use swath_model::study::{Goal, Kind, Trial, TrialState};

pub(super) const KIND: Kind<dyn Plot> = Kind {
    name: "curves",
    about: "learning curves; where trials were stopped is marked",
    paper: None,
    options: &[METRIC, WHERE],
    capabilities: &[],
    build: |_, _, _| Some(Box::new(figure)),
};

/// Maximum number of trials in a picture. The HTML page shows more.
const PICTURE: usize = 200;
/// Maximum number of points for each trial in a picture.
const PICTURE_POINTS: usize = 200;

/// The learning curves of a study.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Curves {
    /// The name of the metric.
    pub metric: String,
    /// The label of the step axis.
    pub step: String,
    /// One curve for each trial.
    pub lines: Vec<TrialCurve>,
    /// Number of trials with a curve. It exceeds the number of lines if some were left out.
    pub of: usize,
    /// Whether points were left out.
    pub thinned: bool,
}

/// The learning curve of one trial.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TrialCurve {
    /// The id of the trial.
    pub trial: u32,
    /// The word for the state of the trial.
    pub state: &'static str,
    /// Step and value of each report; `None` where the value is not finite. Reports without the
    /// metric are left out.
    pub points: Vec<(f64, Option<f64>)>,
}

impl Curves {
    /// Collects the curves of at most `most` trials with at most `points` points each. If there are
    /// more trials, one half of the curves are those of the best trials, the other half an even
    /// choice of the others.
    #[must_use]
    pub fn of(input: &Input<'_>, most: usize, points: usize) -> Self {
        let metric = input.label().to_owned();
        let trials: Vec<&Trial> = input
            .trials
            .iter()
            .copied()
            .filter(|trial| values(input.chronicle, trial, &metric).is_some())
            .collect();
        let mut thin = false;
        let lines = chosen(input, &trials, most)
            .into_iter()
            .filter_map(|trial| {
                let (curve, values) = values(input.chronicle, trial, &metric)?;
                let all: Vec<(f64, Option<f64>)> = curve
                    .steps
                    .iter()
                    .zip(values)
                    // NaN stands for a report without the metric. A curve of one report keeps it.
                    .filter(|(_, value)| !value.is_nan() || values.len() == 1)
                    .map(|(step, value)| {
                        (
                            *step,
                            Some(number::rounded(*value, 6)).filter(|value| value.is_finite()),
                        )
                    })
                    .collect();
                thin |= all.len() > points;
                Some(TrialCurve {
                    trial: trial.id.0,
                    state: trial.state.word(),
                    points: thinned(&all, points),
                })
            });
        let lines = lines.collect();
        let step = input.chronicle.axis(trials.iter().map(|trial| &trial.id));
        Self {
            metric,
            step,
            lines,
            of: trials.len(),
            thinned: thin,
        }
    }
}

/// Returns the curve of a trial and its values of a metric; `None` without a finite value.
fn values<'a>(
    chronicle: &'a Chronicle,
    trial: &Trial,
    metric: &str,
) -> Option<(&'a Curve, &'a [f64])> {
    let curve = chronicle.curves.get(&trial.id)?;
    let mut metrics = chronicle.metrics().iter();
    let values = curve
        .values
        .get(metrics.position(|name| **name == *metric)?)?;
    values
        .iter()
        .any(|value| value.is_finite())
        .then_some((curve, values))
}

/// Chooses at most `most` trials, in the order of their ids: all of them, or the best ones for one
/// half and an even choice of the others for the rest.
fn chosen<'a>(input: &Input<'_>, trials: &[&'a Trial], most: usize) -> Vec<&'a Trial> {
    if trials.len() <= most {
        return trials.to_vec();
    }
    let minimise = input
        .objective()
        .is_none_or(|objective| objective.goal == Goal::Min);
    let mut ranked: Vec<(f64, &Trial)> = trials
        .iter()
        .map(|trial| {
            let value = input.measured(trial).unwrap_or(f64::NAN);
            (if minimise { value } else { -value }, *trial)
        })
        .collect();
    ranked.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.id.cmp(&b.1.id)));
    let ranked: Vec<&Trial> = ranked.into_iter().map(|(_, trial)| trial).collect();
    let (best, others) = ranked.split_at(most / 2);
    let mut kept: Vec<&Trial> = best
        .iter()
        .copied()
        .chain(thinned(others, most - most / 2))
        .collect();
    kept.sort_by_key(|trial| trial.id);
    kept
}

fn figure(inputs: &[Input<'_>]) -> Figure {
    stacked(inputs, "learning curves", study_figure)
}

fn study_figure(input: &Input<'_>) -> Figure {
    let curves = Curves::of(input, PICTURE, PICTURE_POINTS);
    if curves.lines.is_empty() {
        return nothing(
            input,
            "learning curves",
            &format!("no trial has reported a finite `{}`", curves.metric),
        );
    }
    let mut figure = Figure::new(input.title("learning curves"));
    if curves.lines.len() < curves.of {
        figure.notes.push(format!(
            "{} of {} trials: the best half and a sample of the others",
            curves.lines.len(),
            curves.of
        ));
    }
    let values = curves
        .lines
        .iter()
        .flat_map(|line| line.points.iter().filter_map(|(_, value)| *value));
    let steps = curves
        .lines
        .iter()
        .flat_map(|line| line.points.iter().map(|(step, _)| *step));
    let best = input.study.incumbent().map(|trial| trial.id.0);
    let mut marks = Vec::new();
    let mut ends = [Vec::new(), Vec::new()];
    let many = curves.lines.len() > 60;
    let mut states = Vec::new();
    for line in &curves.lines {
        let points: Vec<(f64, f64)> = line
            .points
            .iter()
            .map(|(step, value)| (*step, value.unwrap_or(f64::NAN)))
            .collect();
        let state = state(line.state);
        if !states.contains(&state) && Some(line.trial) != best {
            states.push(state.clone());
        }
        let last = points
            .iter()
            .rev()
            .find(|(_, value)| value.is_finite())
            .copied();
        match state {
            TrialState::Stopped => ends[0].extend(last),
            TrialState::Failed | TrialState::Invalid => ends[1].extend(last),
            _ => {}
        }
        // A line through a single point would be invisible.
        if points.len() == 1 {
            marks.push(Mark::Points(points, tone(&state), Shape::Speck));
            continue;
        }
        let mark = if Some(line.trial) == best {
            Mark::Line(points, Tone::Best, Weight::Bold)
        } else {
            Mark::Line(
                points,
                tone(&state),
                if many { Weight::Thin } else { Weight::Usual },
            )
        };
        marks.push(mark);
    }
    // The incumbent is drawn last, over the other lines.
    marks.sort_by_key(|mark| matches!(mark, Mark::Line(_, Tone::Best, _)));
    let [stopped, failed] = ends;
    for (points, tone) in [(stopped, Tone::Stopped), (failed, Tone::Bad)] {
        if !points.is_empty() {
            marks.push(Mark::Points(points, tone, Shape::Cross));
        }
    }
    figure
        .legend
        .extend(best.map(|best| (Tone::Best, format!("trial {best}, the best"))));
    figure.legend.extend(
        states
            .iter()
            .map(|state| (tone(state), state.word().to_owned())),
    );
    figure.panels.push(Panel {
        title: String::new(),
        x: Guide::new(&*curves.step, Scale::around(steps)),
        y: Guide::new(&*curves.metric, Scale::fitting(values)),
        marks,
    });
    figure
}

fn state(word: &str) -> TrialState {
    match word {
        "complete" => TrialState::Complete,
        "running" => TrialState::Running,
        "failed" => TrialState::Failed,
        "invalid" => TrialState::Invalid,
        "stopped" => TrialState::Stopped,
        "paused" => TrialState::Paused,
        _ => TrialState::Waiting,
    }
}
