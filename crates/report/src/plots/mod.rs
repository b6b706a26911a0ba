//! Plots of a study. Each kind of plot has a file with its data, which can be serialised, and the
//! figure that shows them.
//!
//! The HTML page draws the data. SVG, PNG and the terminal draw the [`Figure`].

pub mod axis;
pub mod chronicle;
pub mod contour;
pub mod curves;
pub mod failures;
pub mod figure;
pub mod history;
pub mod importance;
pub mod parallel;
pub mod pareto;
pub mod rungs;
pub mod slice;
pub mod svg;
#[cfg(test)]
mod tests;
pub mod timeline;

use crate::select::Condition;
use axis::Axis;
use chronicle::Chronicle;
use figure::{Figure, Tone};
use std::collections::BTreeMap;
use std::sync::Arc;
use swath_model::source::{Diagnostics, Opt, Preset, Section, Table, Takes};
use swath_model::space::Space;
use swath_model::study::{
    Kind, Metric, Objective, Origin, Setting, Study, Take, Trial, TrialId, TrialState,
};

/// A study and the selection of it that is plotted.
pub struct Input<'a> {
    /// The study that the trials belong to.
    pub study: &'a Study,
    /// The reports and attempts of the study.
    pub chronicle: &'a Chronicle,
    /// The search space of the sweep file; `None` if the file cannot be read.
    pub space: Option<&'a Space>,
    /// The trials to plot.
    pub trials: Vec<&'a Trial>,
    /// The metric to plot; `None` for the first objective.
    pub metric: Option<&'a str>,
}

/// Draws one or more studies.
pub trait Plot {
    /// Returns the figure of the studies. A plot that cannot combine studies in one panel stacks
    /// their panels.
    fn figure(&self, inputs: &[Input<'_>]) -> Figure;
}

impl<F: Fn(&[Input<'_>]) -> Figure> Plot for F {
    fn figure(&self, inputs: &[Input<'_>]) -> Figure {
        self(inputs)
    }
}

/// The option `where`: the trials of a plot.
const WHERE: Opt = Opt::new(
    "where",
    Takes::Text,
    Preset::Absent,
    "only trials for which this expression holds, such as `val_loss < 0.3`",
);

/// The option `metric` of the plots that show one metric.
const METRIC: Opt = Opt::new(
    "metric",
    Takes::Text,
    Preset::Derived("the first objective"),
    "the reported metric to plot",
);

/// All kinds of plots, in the order of the help. Their options are given on the command line, as
/// `--metric` and `--where`, and reach the plot in its [`Input`].
pub const PLOTS: &[Kind<dyn Plot>] = &[
    history::KIND,
    curves::KIND,
    parallel::KIND,
    slice::KIND,
    contour::KIND,
    importance::KIND,
    pareto::KIND,
    rungs::KIND,
    timeline::KIND,
    failures::KIND,
];

/// Draws the plot of a kind.
#[must_use]
pub fn draw(kind: &Kind<dyn Plot>, inputs: &[Input<'_>]) -> Figure {
    let header = inputs.first().map(|input| input.study.header().clone());
    let header = header.unwrap_or_default();
    // A plot reads the space, if there is one, from its input.
    let setting = Setting {
        space: Arc::default(),
        objectives: header.objectives,
        seed: header.seed,
        trials: header.trials,
        slots: header.slots as usize,
        resource: header.resource,
        checkpoint: false,
        dir: None,
    };
    let section = Section::new(kind.name, 0..0, Table::default());
    let plot = kind.make(section, &setting, &mut Diagnostics::default());
    plot.map_or_else(|| Figure::new(kind.name), |plot| plot.figure(inputs))
}

impl<'a> Input<'a> {
    /// Creates an input of all trials of a study, except those in the trash.
    #[must_use]
    pub fn all(study: &'a Study, chronicle: &'a Chronicle, space: Option<&'a Space>) -> Self {
        let trials = study
            .trials()
            .iter()
            .filter(|trial| !trial.removed)
            .collect();
        Self {
            study,
            chronicle,
            space,
            trials,
            metric: None,
        }
    }

    /// Keeps the trials that fulfil a condition, or all without one.
    pub fn retain(&mut self, condition: Option<&Condition>) {
        let study = self.study;
        self.trials
            .retain(|trial| condition.is_none_or(|condition| condition.holds(study, trial)));
    }

    /// Returns the plotted value of a trial: an objective by its `take` rule, another metric by its
    /// last value. `None` unless the value is finite.
    #[must_use]
    pub fn measured(&self, trial: &Trial) -> Option<f64> {
        match (self.objective(), self.metric) {
            (Some(objective), _) => trial.objective(objective),
            (None, Some(name)) => trial
                .metrics
                .get(name)
                .map(|tally| tally.last.0)
                .filter(|value| value.is_finite()),
            (None, None) => None,
        }
    }

    /// Returns the plotted objective: the one of the requested metric, or the first. `None` if the
    /// requested metric is not an objective.
    #[must_use]
    pub fn objective(&self) -> Option<&'a Objective> {
        let objectives = &self.study.header().objectives;
        match self.metric {
            Some(name) => objectives
                .iter()
                .find(|objective| &*objective.metric == name),
            None => objectives.first(),
        }
    }

    /// Returns the name of the plotted metric.
    #[must_use]
    pub fn label(&self) -> &str {
        let objective = self.objective().map(|objective| &*objective.metric);
        self.metric.or(objective).unwrap_or("objective")
    }

    /// Returns the complete trials with a finite value. Trials that no longer fit the space are
    /// left out.
    #[must_use]
    pub fn complete(&self) -> Vec<(&'a Trial, f64)> {
        let counts = self.trials.iter().filter(|trial| trial.ranks());
        counts
            .filter_map(|trial| Some((*trial, self.measured(trial)?)))
            .collect()
    }

    /// Returns the trials that ran in this study, that is, all but the imported ones.
    pub fn ran(&self) -> impl Iterator<Item = &'a Trial> {
        self.trials
            .iter()
            .copied()
            .filter(|trial| !matches!(trial.origin, Origin::Imported(_)))
    }

    /// Returns the result of a trial as if it had ended at `step`; `None` if it did not get that
    /// far.
    #[must_use]
    pub fn value_at(&self, objective: &Objective, trial: &Trial, step: f64) -> Option<f64> {
        let curve = self.chronicle.curves.get(&trial.id)?;
        let metrics = self.chronicle.metrics();
        let metric = metrics.iter().position(|name| *name == objective.metric)?;
        let has_reached = curve.steps.iter().any(|other| *other >= step);
        let reports = curve.steps.iter().zip(&curve.values[metric]);
        let mut reports: Vec<_> = reports
            .filter(|(at, value)| **at <= step && value.is_finite())
            .collect();
        // The last value is that of the largest step, even if another one arrived later.
        reports.sort_by(|(a, _), (b, _)| a.total_cmp(b));
        let mut values = reports.into_iter().map(|(_, value)| *value);
        let value = match objective.take {
            Take::Best => values.min_by(|a, b| {
                let [a, b] =
                    [a, b].map(|value| objective.score(*value).map_or(f64::NAN, |it| it.get()));
                a.total_cmp(&b)
            }),
            Take::Last => values.next_back(),
            take => take.average(&values.map(Metric).collect::<Vec<_>>()),
        };
        value.filter(|_| has_reached)
    }

    /// Returns the value of each configuration, by its first trial. With several seeds it is the
    /// mean over the complete trials.
    #[must_use]
    pub fn configurations(&self) -> Vec<(TrialId, f64)> {
        let mut means: BTreeMap<TrialId, (f64, f64)> = BTreeMap::new();
        for (trial, value) in self.complete() {
            let (mean, count) = means.entry(self.study.configuration(trial.id)).or_default();
            *count += 1.0;
            *mean += (value - *mean) / *count;
        }
        means
            .into_iter()
            .map(|(head, (mean, _))| (head, mean))
            .collect()
    }

    /// Returns the parameters in which the given trials differ, as axes.
    #[must_use]
    pub fn axes(&self, trials: &[&Trial]) -> Vec<Axis> {
        axis::axes(self.study, trials, self.space)
    }

    /// Returns a title: the name of the study and the subject of the plot.
    fn title(&self, subject: &str) -> String {
        format!("{}: {subject}", self.study.header().name)
    }
}

/// Returns the tone in which trials of a state are drawn.
#[must_use]
pub fn tone(state: &TrialState) -> Tone {
    match state {
        TrialState::Complete => Tone::Usual,
        TrialState::Running => Tone::Live,
        TrialState::Failed | TrialState::Invalid => Tone::Bad,
        TrialState::Stopped => Tone::Stopped,
        TrialState::Paused | TrialState::Waiting => Tone::Paused,
    }
}

/// Draws a figure of each study and stacks their panels. Each panel and note gets the name of its
/// study; equal entries of the legend appear once.
fn stacked(
    inputs: &[Input<'_>],
    title: &str,
    study_figure: impl Fn(&Input<'_>) -> Figure,
) -> Figure {
    if let [input] = inputs {
        return study_figure(input);
    }
    let mut figure = Figure::new(title);
    for input in inputs {
        let mut part = study_figure(input);
        let name = &input.study.header().name;
        for panel in &mut part.panels {
            panel.title = if panel.title.is_empty() {
                name.clone()
            } else {
                format!("{name}: {}", panel.title)
            };
        }
        figure.columns = figure.columns.max(part.columns);
        figure
            .notes
            .extend(part.notes.into_iter().map(|note| format!("{name}: {note}")));
        for entry in part.legend {
            if !figure.legend.contains(&entry) {
                figure.legend.push(entry);
            }
        }
        figure.panels.extend(part.panels);
    }
    figure
}

/// Returns a figure without panels, whose note gives the reason.
fn nothing(input: &Input<'_>, title: &str, reason: &str) -> Figure {
    let counts = crate::summary::counts(input.study);
    Figure::new(input.title(title)).note(format!("nothing to plot: {reason} ({counts})"))
}

/// Returns `most` points at even distances, including the first and the last. If there are no more
/// than `most`, or if `most` is below 2, all points are returned.
pub(crate) fn thinned<T: Clone>(points: &[T], most: usize) -> Vec<T> {
    if points.len() <= most || most < 2 {
        return points.to_vec();
    }
    let last = points.len() - 1;
    (0..most)
        .map(|index| points[index * last / (most - 1)].clone())
        .collect()
}
