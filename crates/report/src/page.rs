//! Data of the HTML page: everything that its charts and its table show of one or more studies.

use super::insights::{FURTHER, Insight, Insights};
use super::plots::contour::{Contour, contours};
use super::plots::curves::Curves;
use super::plots::failures::Failures;
use super::plots::history::History;
use super::plots::importance::{Fitted, Importance};
use super::plots::pareto::Pareto;
use super::plots::rungs::Rungs;
use super::plots::timeline::Timeline;
use super::plots::{Input, axis::Axis};
use super::{listing, number, row, summary};
use crate::select::Condition;
use crate::view::View;
use serde::Serialize;
use swath_engine::journal::{self, Shortfall, lock};
use swath_model::space::{Name, Value};
use swath_model::study::{Goal, Study, Trial};

/// Version of the data format. The page and its data are always written together.
const VERSION: u32 = 1;
/// Maximum number of curves on a page, for each metric.
const CURVES: usize = 400;
/// Approximate number of points that all curves of a metric have together.
const POINTS: usize = 40_000;
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
    objectives: Vec<(String, bool)>,
    best: Option<Best>,
    /// The sentences that the page begins with.
    insights: Vec<Insight>,
    /// Names and values of the parameters that are equal in all trials.
    same: Vec<(String, String)>,
    trials: Trials,
    history: History,
    curves: Vec<Curves>,
    importance: Option<Importance>,
    contours: Vec<Contour>,
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
    /// The first trial of each trial's configuration; `None` unless the study runs replicates.
    configuration: Option<Vec<u32>>,
    /// The rows of trials that do not count: they no longer fit the space since the sweep file was
    /// edited.
    outside: Vec<usize>,
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
        let conditions = conditions
            .iter()
            .map(Option::as_ref)
            .chain(std::iter::repeat(None));
        Self {
            version: VERSION,
            swath: env!("CARGO_PKG_VERSION"),
            studies: views
                .iter()
                .zip(conditions)
                .map(|(view, condition)| StudyPage::of(view, condition))
                .collect(),
        }
    }
}

impl StudyPage {
    fn of(view: &View, condition: Option<&Condition>) -> Self {
        // Trials of a run that died are shown as lost, as the next run will record them.
        let study = &view.settled();
        let mut input = Input::all(study, &view.chronicle, view.space.as_deref());
        input.retain(condition);
        let fitted = Fitted::of(&input);
        let importance = fitted
            .as_ref()
            .and_then(|fitted| Importance::of(&input, fitted));
        let contours = match (&fitted, &importance) {
            (Some(fitted), Some(importance)) => contours(&input, fitted, importance),
            _ => Vec::new(),
        };
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
            objectives: objectives
                .map(|objective| (objective.metric.to_string(), objective.goal == Goal::Min))
                .collect(),
            best,
            insights: Insights::of(&input, running, FURTHER).insights,
            same: same(study, &input.trials),
            trials: Trials::of(study, &input),
            history: History::of(&input),
            curves: all_curves(&input),
            importance,
            contours,
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
        (false, Some(reason)) => format!("not running: {}", summary::closing(reason)),
        (false, None) => "not running".to_owned(),
    };
    match shortfall {
        Some(shortfall) => format!("{status}; warning: the journal is not complete: {shortfall}"),
        None => status,
    }
}

/// Returns the curves of every metric in the chronicle, thinned to the size of a page.
fn all_curves(input: &Input<'_>) -> Vec<Curves> {
    // Every curve gets an equal share of the points, but at least 30 and at most 1000.
    let count = input.chronicle.curves.len().clamp(1, CURVES);
    let metrics = input.chronicle.metrics().iter();
    let metrics = metrics.map(|metric| {
        let input = Input {
            metric: Some(metric),
            trials: input.trials.clone(),
            ..*input
        };
        Curves::of(&input, CURVES, (POINTS / count).clamp(30, 1000))
    });
    metrics.filter(|curves| !curves.lines.is_empty()).collect()
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
    let note = Some(listing::note(study, trial)).filter(|note| !note.is_empty());
    note.or_else(|| trial.why.clone())
}

/// Returns the parameters in which the trials differ as axes. A single trial differs from none, so
/// all its parameters are returned.
fn axes(input: &Input<'_>) -> Vec<Axis> {
    let axes = input.axes(&input.trials);
    let [trial] = input.trials.as_slice() else {
        return axes;
    };
    trial
        .params
        .iter()
        .map(|(name, value)| constant_axis(name, value))
        .collect()
}

/// Returns the axis of a parameter with a single value.
fn constant_axis(name: &Name, value: &Value) -> Axis {
    match value.as_f64() {
        Some(number) => Axis {
            name: name.to_string(),
            log: false,
            labels: Vec::new(),
            min: number,
            max: number,
            values: vec![Some(number)],
        },
        None => Axis {
            name: name.to_string(),
            log: false,
            labels: vec![listing::shown(value)],
            min: 0.0,
            max: 0.0,
            values: vec![Some(0.0)],
        },
    }
}

/// Rounds to six significant digits: a page cannot show more, and its data stay small.
pub(super) fn brief(value: f64) -> f64 {
    number::rounded(value, 6)
}
