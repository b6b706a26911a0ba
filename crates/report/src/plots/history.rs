//! History: the objective of every trial by its id, and the incumbent over time.

use super::figure::{Figure, Guide, Mark, Panel, Scale, Shape, Tone, Weight, quantile};
use super::{Input, METRIC, Plot, WHERE, nothing, stacked, tone};
use serde::Serialize;
use std::collections::BTreeSet;
use swath_model::study::{Goal, Kind, Origin, TrialState};

pub(super) const KIND: Kind<dyn Plot> = Kind {
    name: "history",
    about: "the objective of every trial, and the best so far",
    paper: None,
    options: &[METRIC, WHERE],
    capabilities: &[],
    build: |_, _, _| Some(Box::new(figure)),
};

/// The objectives of the trials of a study.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct History {
    /// The name of the metric.
    pub metric: String,
    /// Whether small values are better.
    pub minimise: bool,
    /// Id and value of each complete trial. With several seeds, the first trial of each
    /// configuration and its mean.
    pub complete: Vec<(u32, f64)>,
    /// The ids of complete trials that violate an outcome constraint. Such a trial is never the
    /// incumbent here.
    pub breaking: Vec<u32>,
    /// Whether the values are means over several seeds.
    pub means: bool,
    /// Id and value so far of trials that are stopped, paused or running.
    pub partial: Vec<(u32, f64)>,
    /// The ids of failed trials, including those without a finite objective.
    pub failed: Vec<u32>,
    /// Id and value of each new incumbent.
    pub best: Vec<(u32, f64)>,
    /// The ids of the first trials after restarts of the sampler's search.
    pub restarts: Vec<u32>,
    /// The highest id among the trials of the plot; 0 without trials.
    pub last: u32,
}

impl History {
    /// Collects the history of the trials of an input.
    #[must_use]
    pub fn of(input: &Input<'_>) -> Self {
        let minimise = input
            .objective()
            .is_none_or(|objective| objective.goal == Goal::Min);
        let configurations = input.configurations();

        let breaking: BTreeSet<u32> = configurations
            .iter()
            .filter(|(head, _)| input.study.violation(*head) > 0.0)
            .map(|(head, _)| head.0)
            .collect();
        let complete: Vec<(u32, f64)> = configurations
            .into_iter()
            .map(|(head, value)| (head.0, value))
            .collect();
        // A configuration takes the place of its first trial, so the incumbent of a past moment may
        // include seeds that ran later.
        let mut best: Vec<(u32, f64)> = Vec::new();
        for &(id, value) in complete.iter().filter(|(id, _)| !breaking.contains(id)) {
            let better = best.last().is_none_or(|(_, best)| {
                if minimise {
                    value < *best
                } else {
                    value > *best
                }
            });
            if better {
                best.push((id, value));
            }
        }
        let partial = input.trials.iter().filter(|trial| {
            matches!(
                trial.state,
                TrialState::Stopped | TrialState::Running | TrialState::Paused
            )
        });
        let failed = input
            .trials
            .iter()
            .filter(|trial| trial.state.is_without_result());
        Self {
            metric: input.label().to_owned(),
            minimise,
            complete,
            breaking: breaking.into_iter().collect(),
            means: input.study.header().replicate.is_some(),
            partial: partial
                .filter_map(|trial| Some((trial.id.0, input.measured(trial)?)))
                .collect(),
            failed: failed.map(|trial| trial.id.0).collect(),
            best,
            restarts: input
                .trials
                .iter()
                .filter(|trial| matches!(trial.origin, Origin::Restarted { .. }))
                .map(|trial| trial.id.0)
                .collect(),
            last: input
                .trials
                .iter()
                .map(|trial| trial.id.0)
                .max()
                .unwrap_or(0),
        }
    }

    /// Returns the incumbent as a step line up to the last trial.
    fn line(&self) -> Vec<(f64, f64)> {
        let mut line: Vec<(f64, f64)> = Vec::new();
        for &(id, value) in &self.best {
            if let Some(&(_, before)) = line.last() {
                line.push((f64::from(id), before));
            }
            line.push((f64::from(id), value));
        }
        line.extend(
            self.best
                .last()
                .map(|(_, value)| (f64::from(self.last), *value)),
        );
        line
    }

    /// Returns a scale for the values, and the number of values beyond it. Outliers do not squeeze
    /// the other values: they are drawn at the edge of the scale.
    fn scale(several: &[Self]) -> (Scale, usize) {
        let mut sorted: Vec<f64> = several
            .iter()
            .flat_map(|history| history.complete.iter().chain(&history.partial))
            .map(|(_, value)| *value)
            .collect();
        sorted.sort_by(f64::total_cmp);
        let fitting = Scale::fitting(sorted.iter().copied());
        if matches!(fitting, Scale::Log(..)) {
            return (fitting, 0);
        }

        // Quartiles of fewer values say too little about outliers.
        if sorted.len() < 8 {
            return (fitting, 0);
        }
        // Values further than five interquartile ranges from the quartiles are outliers. The
        // incumbents are always inside the scale.
        let (first, third) = (quantile(&sorted, 0.25), quantile(&sorted, 0.75));
        let spread = (third - first).max(f64::MIN_POSITIVE);
        let (low, high) = (first - 5.0 * spread, third + 5.0 * spread);
        let best = several
            .iter()
            .flat_map(|history| history.best.iter().map(|(_, value)| *value));
        let inside = sorted
            .iter()
            .copied()
            .filter(|value| (low..=high).contains(value))
            .chain(best);
        let scale = Scale::around(inside);
        let beyond = sorted.iter().filter(|value| {
            !scale
                .place(**value)
                .is_some_and(|place| (0.0..=1.0).contains(&place))
        });
        let beyond = beyond.count();
        (scale, beyond)
    }
}

fn figure(inputs: &[Input<'_>]) -> Figure {
    let histories: Vec<History> = inputs.iter().map(History::of).collect();
    let Some((input, first)) = inputs.first().zip(histories.first()) else {
        return Figure::default();
    };
    if histories
        .iter()
        .all(|history| history.complete.is_empty() && history.partial.is_empty())
    {
        return nothing(input, "history", "no trial has a finite value");
    }
    if histories
        .iter()
        .any(|history| (&history.metric, history.minimise) != (&first.metric, first.minimise))
    {
        // Studies with different objectives do not share an axis.
        return stacked(inputs, "history", |input| {
            figure(std::slice::from_ref(input))
        });
    }
    let title = if inputs.len() == 1 {
        input.title("history")
    } else {
        "history".to_owned()
    };
    let mut figure = Figure::new(title);
    let last = histories
        .iter()
        .map(|history| history.last)
        .max()
        .unwrap_or(1);
    let (scale, beyond) = History::scale(&histories);

    let mut marks = Vec::new();
    for (index, history) in histories.iter().enumerate() {
        let alone = histories.len() == 1;
        let usual = if alone {
            Tone::Usual
        } else {
            Tone::Series(index)
        };
        let shape = if history.complete.len() > 400 {
            Shape::Speck
        } else {
            Shape::Dot
        };
        if let (true, Scale::Linear(low, high) | Scale::Log(low, high)) = (alone, &scale) {
            marks.extend(history.restarts.iter().map(|id| {
                let x = f64::from(*id);
                Mark::Line(vec![(x, *low), (x, *high)], Tone::Faint, Weight::Usual)
            }));
        }
        marks.push(Mark::Points(
            clipped(&history.partial, &scale),
            tone(&TrialState::Stopped),
            Shape::Speck,
        ));
        let (breaking, feasible): (Vec<_>, Vec<_>) = history
            .complete
            .iter()
            .partition(|(id, _)| history.breaking.binary_search(id).is_ok());
        marks.push(Mark::Points(
            clipped(&breaking, &scale),
            Tone::Bad,
            Shape::Speck,
        ));
        marks.push(Mark::Points(clipped(&feasible, &scale), usual, shape));
        let line = if alone { Tone::Best } else { usual };
        marks.push(Mark::Line(history.line(), line, Weight::Bold));
        // A failed trial has no value, so its cross is at the lower edge.
        let floor = match &scale {
            Scale::Linear(min, _) | Scale::Log(min, _) => *min,
            _ => 0.0,
        };
        let failed = history
            .failed
            .iter()
            .map(|id| (f64::from(*id), floor))
            .collect::<Vec<_>>();
        if alone {
            let usual = if history.means {
                "complete (mean over seeds)"
            } else {
                "complete"
            };
            figure.legend.push((Tone::Usual, usual.to_owned()));
            figure.legend.push((Tone::Best, "best so far".to_owned()));
            if !history.partial.is_empty() {
                figure
                    .legend
                    .push((Tone::Stopped, "stopped or unfinished".to_owned()));
            }
            if !breaking.is_empty() {
                figure
                    .legend
                    .push((Tone::Bad, "breaks an outcome constraint".to_owned()));
            }
            if !history.restarts.is_empty() {
                figure
                    .legend
                    .push((Tone::Faint, "the search restarted".to_owned()));
            }
            if !failed.is_empty() {
                figure.legend.push((Tone::Bad, "failed".to_owned()));
            }
        } else {
            figure
                .legend
                .push((usual, inputs[index].study.header().name.clone()));
        }
        marks.push(Mark::Points(failed, Tone::Bad, Shape::Cross));
    }
    marks.retain(|mark| !matches!(mark, Mark::Points(points, ..) if points.is_empty()));
    if beyond > 0 {
        figure.notes.push(format!(
            "{beyond} values far beyond the others are drawn at the edge"
        ));
    }
    let x = Guide::new("trial", Scale::around([1.0, f64::from(last)]));
    let label = match (&*first.metric, first.minimise) {
        (metric, true) => format!("{metric} (less is better)"),
        (metric, false) => format!("{metric} (more is better)"),
    };
    figure.panels.push(Panel {
        title: String::new(),
        x,
        y: Guide::new(label, scale),
        marks,
    });
    figure
}

/// Returns ids and values as points. A value beyond the scale is moved to its edge; a note below
/// the plot gives the number of such values.
fn clipped(values: &[(u32, f64)], scale: &Scale) -> Vec<(f64, f64)> {
    let points = values.iter().map(|(id, value)| {
        let value = match scale {
            Scale::Linear(min, max) => value.clamp(*min, *max),
            _ => *value,
        };
        (f64::from(*id), value)
    });
    points.collect()
}
