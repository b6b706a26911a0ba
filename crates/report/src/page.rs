//! Data of the HTML page: everything that its charts and its table show of one or more studies.

use super::analysis::{Analysis, objective_inputs};
use super::plots::curves::Curves;
use super::plots::failures::Failures;
use super::plots::history::History;
use super::plots::pareto::Pareto;
use super::plots::rungs::{Level, Rungs, levels_of};
use super::plots::timeline::Timeline;
use super::plots::{
    Input,
    axis::{self, Axis},
};
use super::{listing, number, row, summary};
use crate::select::Condition;
use crate::view::View;
use serde::Serialize;
use std::collections::HashMap;
use std::sync::Arc;
use swath_engine::journal::{self, Shortfall, lock};
use swath_model::study::{Closing, Goal, Study, Trial, TrialState};

/// Version of the data format. The page and its data are always written together.
const VERSION: u32 = 1;
/// Maximum number of curves on a page, for each metric.
const CURVES: usize = 20_000;
/// Approximate number of points that all curves of a metric have together.
const POINTS: usize = 160_000;
/// Minimum number of points of a curve with more reports.
const FEWEST_POINTS: usize = 12;
/// Maximum number of attempts on the timeline.
const ATTEMPTS: usize = 20_000;

/// Data of a page about one or more studies.
#[derive(Debug, Clone, Serialize)]
pub struct Page {
    version: u32,
    swath: &'static str,
    studies: Vec<StudyPage>,
}

/// Data of one study.
#[derive(Debug, Clone, Serialize)]
struct StudyPage {
    name: String,
    summary: String,
    status: String,
    running: bool,
    /// While the study runs: the number of trials that have ended or are paused, and the total that
    /// the sweep file asks for.
    progress: Option<(usize, u64)>,
    objectives: Vec<(String, bool)>,
    best: Option<Best>,
    /// The insights, and importance and contours of each objective.
    analysis: Arc<Analysis>,
    /// Names and values of the parameters that are equal in all trials.
    same: Vec<(String, String)>,
    trials: Trials,
    /// The history of each objective.
    history: Vec<History>,
    /// The values of each objective at the rungs of a scheduler.
    levels: Vec<Vec<Level>>,
    curves: Vec<CurvesPage>,
    pareto: Option<Pareto>,
    rungs: Rungs,
    timeline: Timeline,
    failures: Failures,
}

/// The incumbent as text: its objectives and its parameters.
#[derive(Debug, Clone, Serialize)]
struct Best {
    trial: u32,
    objectives: String,
    params: String,
}

/// The table of trials by column; every column has one value for each trial.
#[derive(Debug, Clone, Serialize)]
struct Trials {
    id: Vec<u32>,
    state: Vec<&'static str>,
    /// One list for each objective; `None` where a trial has no finite value.
    objectives: Vec<Vec<Option<f64>>>,
    /// The parameters in which the trials differ.
    axes: Vec<Axis>,
    /// Other metrics, at most 12: the expression of the column and a finite value of each trial.
    metrics: Vec<(String, Vec<Option<f64>>)>,
    /// Run time of all attempts in seconds, rounded to milliseconds.
    seconds: Vec<f64>,
    step: Vec<Option<f64>>,
    /// A note on how the trial ended, or the reason that the scheduler gave.
    exit: Vec<Option<String>>,
    /// The tags of each trial; absent if no trial has any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<Vec<String>>,
    /// The note of each trial; absent if no trial has one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notes: Vec<Option<String>>,
    /// The first trial of each trial's configuration; `None` unless the study runs replicates.
    configuration: Option<Vec<u32>>,
    /// The rows of trials that do not count: they no longer fit the space since the sweep file was
    /// edited.
    outside: Vec<usize>,
}

/// The learning curves of one metric. Curves whose reports have the same steps share a list of
/// them.
#[derive(Debug, Clone, Serialize)]
struct CurvesPage {
    metric: String,
    step: String,
    /// Number of trials with a curve. It exceeds the number of lines if some were left out.
    of: usize,
    /// Whether points were left out.
    thinned: bool,
    /// The lists of steps.
    grids: Vec<Vec<f64>>,
    lines: Vec<Line>,
}

/// The curve of one trial.
#[derive(Debug, Clone, Serialize)]
struct Line {
    trial: u32,
    /// The index of the list with its steps.
    grid: usize,
    /// The value at each step; `None` where it is not finite.
    values: Vec<Option<f64>>,
}

impl Page {
    /// Collects the data of all trials of some studies.
    #[must_use]
    pub fn of(views: &[View]) -> Self {
        Self::only(views, &[])
    }

    /// Collects the data of the trials that fulfil the condition of their study. Conditions are
    /// matched with studies by position; a study without a condition shows all its trials.
    #[must_use]
    pub fn only(views: &[View], conditions: &[Option<Condition>]) -> Self {
        let (analyses, mut page) = rayon::join(
            || analyse(views, conditions),
            || Self::without_analyses(views, conditions),
        );
        page.set_analyses(&analyses);
        page
    }

    /// Collects the data as [`only`](Self::only) does, but for the analyses.
    #[must_use]
    pub fn without_analyses(views: &[View], conditions: &[Option<Condition>]) -> Self {
        Self {
            version: VERSION,
            swath: env!("CARGO_PKG_VERSION"),
            studies: views
                .iter()
                .zip(each_condition(conditions))
                .map(|(view, condition)| StudyPage::of(view, condition))
                .collect(),
        }
    }

    /// Adds the analyses of the studies. A study without one has none yet.
    pub fn set_analyses(&mut self, analyses: &[Arc<Analysis>]) {
        for (study, analysis) in self.studies.iter_mut().zip(analyses) {
            study.analysis = Arc::clone(analysis);
        }
    }
}

/// Analyses the trials of each study that fulfil its condition.
fn analyse(views: &[View], conditions: &[Option<Condition>]) -> Vec<Arc<Analysis>> {
    views
        .iter()
        .zip(each_condition(conditions))
        .map(|(view, condition)| Arc::new(Analysis::of(view, condition)))
        .collect()
}

/// Returns the conditions, and then no condition for the studies that have none.
fn each_condition(conditions: &[Option<Condition>]) -> impl Iterator<Item = Option<&Condition>> {
    let conditions = conditions.iter().map(Option::as_ref);
    conditions.chain(std::iter::repeat(None))
}

impl CurvesPage {
    fn of(curves: Curves) -> Self {
        let mut grids: Vec<Vec<f64>> = Vec::new();
        let mut index_of: HashMap<Vec<u64>, usize> = HashMap::new();
        let lines = curves.lines.into_iter().map(|line| {
            let (steps, values): (Vec<f64>, Vec<Option<f64>>) = line.points.into_iter().unzip();
            let key = steps.iter().map(|step| step.to_bits()).collect();
            let grid = *index_of.entry(key).or_insert_with(|| {
                grids.push(steps);
                grids.len() - 1
            });
            Line {
                trial: line.trial,
                grid,
                values,
            }
        });
        let lines = lines.collect();
        Self {
            metric: curves.metric,
            step: curves.step,
            of: curves.of,
            thinned: curves.thinned,
            grids,
            lines,
        }
    }
}

impl StudyPage {
    fn of(view: &View, condition: Option<&Condition>) -> Self {
        // Trials of a run that died are shown as lost, as the next run will record them.
        let study = &view.settled();
        let mut input = Input::all(study, &view.chronicle, view.space.as_deref());
        input.retain(condition);
        let header = study.header();
        let objectives = header.objectives.iter();
        let best = study.incumbent().map(|trial| Best {
            trial: trial.id.0,
            objectives: summary::standing(study, trial),
            params: summary::params(trial),
        });
        let running = lock::holder(&view.dir).is_some();
        Self {
            name: header.name.clone(),
            summary: summary::counts(study),
            status: status(study, running, journal::shortfall(&view.dir).as_ref()),
            running,
            progress: (study.header().trials)
                .filter(|_| running)
                .map(|planned| (settled_count(study), planned)),
            objectives: objectives
                .map(|objective| (objective.metric.to_string(), objective.goal == Goal::Min))
                .collect(),
            best,
            analysis: Arc::default(),
            same: same(study, &input.trials),
            trials: Trials::of(study, &input),
            history: objective_inputs(&input)
                .map(|input| History::of(&input))
                .collect(),
            levels: objective_inputs(&input)
                .map(|input| levels_of(&input))
                .collect(),
            curves: all_curves(&input),
            pareto: (header.objectives.len() > 1).then(|| Pareto::of(&input)),
            rungs: Rungs::of(&input),
            timeline: Timeline::of(&input, ATTEMPTS),
            failures: Failures::of(&input),
        }
    }
}

/// Returns whether a run holds the study, and if none does, why the last one ended, with a warning if
/// the journal has lost entries.
fn status(study: &Study, running: bool, shortfall: Option<&Shortfall>) -> String {
    let status = match (running, study.closed()) {
        (true, _) => "running".to_owned(),
        (false, Some(Closing::Finished)) => "finished".to_owned(),
        (false, Some(reason)) => format!("not running: {}", summary::closing(reason)),
        (false, None) => "not running".to_owned(),
    };
    match shortfall {
        Some(shortfall) => format!("{status}; warning: the journal is not complete: {shortfall}"),
        None => status,
    }
}

/// Returns the number of trials that neither wait nor run.
fn settled_count(study: &Study) -> usize {
    let trials = study.trials().iter().filter(|trial| !trial.outside);
    trials
        .filter(|trial| !matches!(trial.state, TrialState::Waiting | TrialState::Running))
        .count()
}

/// Returns the curves of every metric in the chronicle except the axis itself, thinned to the size of a page.
fn all_curves(input: &Input<'_>) -> Vec<CurvesPage> {
    // Every curve gets an equal share of the points, within bounds.
    let count = input.chronicle.curves.len().clamp(1, CURVES);
    let metrics = input.chronicle.metrics().iter();
    let metrics = metrics.map(|metric| {
        let input = Input {
            metric: Some(metric),
            trials: input.trials.clone(),
            ..*input
        };
        Curves::of(&input, CURVES, (POINTS / count).clamp(FEWEST_POINTS, 1000))
    });
    let shown = metrics.filter(|curves| !curves.lines.is_empty() && curves.metric != curves.step);
    shown.map(CurvesPage::of).collect()
}

/// Returns the parameters that have the same value in all trials; empty for fewer than two trials.
fn same(study: &Study, trials: &[&Trial]) -> Vec<(String, String)> {
    let varying = listing::varying(study, trials);
    let Some(first) = trials.first().filter(|_| trials.len() > 1) else {
        return Vec::new();
    };
    let constants = first
        .params
        .iter()
        .filter(|(name, _)| !varying.contains(name));
    constants
        .map(|(name, value)| (name.to_string(), listing::shown(value)))
        .collect()
}

impl Trials {
    fn of(study: &Study, input: &Input<'_>) -> Self {
        let trials = &input.trials;
        let objectives = &study.header().objectives;
        let names = row::metrics(study)
            .into_iter()
            .filter(|name| !objectives.iter().any(|objective| objective.metric == *name))
            .take(12);
        let metrics = listing::metric_columns(trials, names)
            .into_iter()
            .map(|column| {
                let values = column.values.into_iter().map(finite);
                (column.title, values.collect::<Vec<_>>())
            })
            .filter(|(_, values)| values.iter().any(Option::is_some))
            .collect();
        Self {
            id: trials.iter().map(|trial| trial.id.0).collect(),
            state: trials.iter().map(|trial| trial.state.word()).collect(),
            objectives: objectives
                .iter()
                .map(|objective| {
                    trials
                        .iter()
                        .map(|trial| trial.objective(objective))
                        .collect()
                })
                .collect(),
            axes: axes(input),
            metrics,
            seconds: trials.iter().map(|trial| seconds(study, trial)).collect(),
            step: trials.iter().map(|trial| trial.step).collect(),
            exit: trials.iter().map(|trial| exit(study, trial)).collect(),
            tags: unless_empty(trials, |trial| {
                study.tags(trial.id).map(str::to_owned).collect()
            }),
            notes: unless_empty(trials, |trial| study.note(trial.id).map(str::to_owned)),
            configuration: (study.header().replicate).map(|_| {
                trials
                    .iter()
                    .map(|trial| study.configuration(trial.id).0)
                    .collect()
            }),
            outside: (0..trials.len())
                .filter(|row| trials[*row].outside)
                .collect(),
        }
    }
}

/// Returns the value of each trial; an empty list if all values are the default.
fn unless_empty<T: Default + PartialEq>(trials: &[&Trial], value: impl Fn(&Trial) -> T) -> Vec<T> {
    let values: Vec<T> = trials.iter().map(|trial| value(trial)).collect();
    let has_some = values.iter().any(|value| *value != T::default());
    if has_some { values } else { Vec::new() }
}

/// Returns a rounded value; `None` unless it is finite.
fn finite(value: Option<f64>) -> Option<f64> {
    value.map(brief).filter(|value| value.is_finite())
}

/// Returns the run time of a trial up to the last event of the study; see [`Trials::seconds`].
fn seconds(study: &Study, trial: &Trial) -> f64 {
    let running = match (&trial.exit, study.at(), trial.attempt_at) {
        (None, Some(now), Some(began)) => now.since(began).as_secs_f64(),
        _ => 0.0,
    };
    (trial.seconds + running).mul_add(1000.0, 0.5).floor() / 1000.0
}

/// Returns the note on a trial; see [`Trials::exit`].
fn exit(study: &Study, trial: &Trial) -> Option<String> {
    let outcome = Some(listing::outcome(study, trial)).filter(|outcome| !outcome.is_empty());
    outcome.or_else(|| trial.why.clone())
}

/// Returns the parameters in which the trials differ as axes. A single trial differs from none, so
/// all its parameters are returned.
fn axes(input: &Input<'_>) -> Vec<Axis> {
    let axes = input.axes(&input.trials);
    let [trial] = input.trials.as_slice() else {
        return axes;
    };
    let parameters = trial.params.iter();
    parameters
        .filter_map(|(name, value)| {
            let extent = input.space.and_then(|space| space.extent(name));
            axis::of_values(name, &[Some(value)], extent.as_ref())
        })
        .collect()
}

/// Rounds to six significant digits: a page cannot show more, and its data stay small.
pub(super) fn brief(value: f64) -> f64 {
    number::rounded(value, 6)
}

#[cfg(test)]
mod tests {
    use super::{Curves, CurvesPage};
    use crate::plots::curves::TrialCurve;

    #[test]
    fn curves_with_the_same_steps_share_a_list_of_them() {
        let line = |trial, steps: &[f64]| TrialCurve {
            trial,
            state: "complete",
            points: steps
                .iter()
                .map(|step| (*step, Some(*step / 2.0)))
                .collect(),
        };
        let curves = CurvesPage::of(Curves {
            metric: "loss".to_owned(),
            step: "epoch".to_owned(),
            lines: vec![line(1, &[1.0, 2.0]), line(2, &[1.0]), line(3, &[1.0, 2.0])],
            of: 3,
            thinned: false,
        });
        assert_eq!(curves.grids, [vec![1.0, 2.0], vec![1.0]]);
        let grids: Vec<_> = curves.lines.iter().map(|line| line.grid).collect();
        assert_eq!(grids, [0, 1, 0]);
        assert_eq!(curves.lines[2].values, [Some(0.5), Some(1.0)]);
    }
}
