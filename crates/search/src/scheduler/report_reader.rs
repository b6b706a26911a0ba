//! Reads the progress of a trial out of its reports: the resource used and the scores there.

use super::{ranking, reported_number};
use swath_model::source::{Diagnostic, Diagnostics, Opt, Preset, Section, Takes};
use swath_model::space::Name;
use swath_model::study::{Event, Goal, LogRecord, Objective, Score, Setting, Study, TrialId};

/// The option `metric`: the only objective to compare trials by.
pub(super) const METRIC: Opt = Opt::new(
    "metric",
    Takes::Text,
    Preset::Derived("all objectives together"),
    "the one objective that trials are compared by",
);

/// Extracts resource and objectives from reports, in whatever order and grouping they arrive.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ReportReader {
    /// The reported key that counts the resource.
    resource: Name,
    /// The objectives that trials are judged by: all, or the one named by the option `metric`.
    objectives: Vec<Objective>,
    /// The position of each trial since its last start from zero; `None` before its first report of
    /// the resource.
    at: Vec<Option<Position>>,
}

/// The last two resources that a trial reached.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Position {
    /// The resource reached: the step of the trial.
    now: f64,
    /// The different resource reached before that; 0 if there was none.
    before: f64,
}

/// The scores of a trial at some resource.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Reading {
    /// The trial that reported.
    pub(super) trial: TrialId,
    /// The resource used so far.
    pub(super) at: f64,
    /// The oriented objectives by their `take` rules (smaller is better). All are infinite if a
    /// value just reported is not finite: a diverged trial is never among the best, however good it
    /// was before.
    pub(super) scores: Vec<f64>,
}

impl ReportReader {
    /// Takes the option `metric` from the section of a scheduler. Returns `None`, with a
    /// diagnostic, without a resource or for an unknown metric, and also if the study has no
    /// objective.
    pub(super) fn take(
        section: &mut Section,
        setting: &Setting,
        diagnostics: &mut Diagnostics,
    ) -> Option<Self> {
        let metric = section.take_text("metric", diagnostics);
        let Some(resource) = setting.resource.clone() else {
            let message = "the scheduler does not know which reported key counts the resource";
            diagnostics.push(
                Diagnostic::error("no-resource", message)
                    .at(section.span.clone(), "no `resource` here")
                    .hint("name the key of the reports that counts: resource = \"epoch\""),
            );
            return None;
        };
        let Some((metric, span)) = metric else {
            let objectives = setting.objectives.clone();
            let judges = !objectives.is_empty();
            return judges.then(|| Self {
                resource,
                objectives,
                at: Vec::new(),
            });
        };
        let Some(objective) = setting
            .objectives
            .iter()
            .find(|objective| *objective.metric == *metric)
        else {
            let names = setting.objectives.iter();
            let names = names.map(|objective| &*objective.metric);
            let message = format!("`{metric}` is not an objective");
            diagnostics.push(
                Diagnostic::error("unknown-metric", message)
                    .at(span, "a scheduler can only judge by an objective")
                    .did_you_mean(&metric, names),
            );
            return None;
        };
        Some(Self {
            resource,
            objectives: vec![objective.clone()],
            at: Vec::new(),
        })
    }

    /// Returns the number of objectives that trials are judged by.
    pub(super) fn objectives(&self) -> usize {
        self.objectives.len()
    }

    /// Updates the position from an event. Returns a reading for a report with at least one
    /// objective, once the trial has reported the resource and all objectives.
    pub(super) fn observe(&mut self, study: &Study, event: &Event) -> Option<Reading> {
        match event {
            Event::Created { .. } => self.at.push(None),
            Event::Started {
                trial,
                resume: false,
                ..
            } => *self.at_mut(*trial)? = None,
            Event::Logged {
                trial,
                record: LogRecord::Report { values },
                ..
            } => {
                let state = study.trial(*trial)?;
                let reported: Vec<f64> = self
                    .objectives
                    .iter()
                    .filter_map(|objective| reported_number(values, &objective.metric))
                    .collect();
                let at = self.at_mut(*trial)?;
                let before = at.map_or(0.0, |at| at.now);
                // The same resource again (another metric of the same step) is no progress, and
                // neither is a report that comes late.
                match (state.step, at.as_mut()) {
                    (Some(now), Some(at)) if now == at.now => {}
                    (Some(now), _) => *at = Some(Position { now, before }),
                    (None, _) => {}
                }
                let at = (*at)?.now;
                let mut objectives = self.objectives.iter();
                let has_all =
                    objectives.all(|objective| state.metrics.contains_key(&objective.metric));
                if reported.is_empty() || !has_all {
                    return None;
                }
                let has_diverged = reported.iter().any(|value| !value.is_finite());
                let scores = state.scores(&self.objectives).filter(|_| !has_diverged);
                let scores = scores.map(|scores| scores.into_iter().map(Score::get).collect());
                let scores = scores.unwrap_or_else(|| ranking::diverged(self.objectives.len()));
                return Some(Reading {
                    trial: *trial,
                    at,
                    scores,
                });
            }
            _ => {}
        }
        None
    }

    /// Returns whether a trial that exited by itself stopped where its attempt was to end: its last
    /// report reaches `until` and the one before does not. A program that continued beyond `until`
    /// ended for reasons of its own.
    pub(super) fn ended_at(&self, trial: TrialId, until: u64) -> bool {
        let position = (trial.0 as usize)
            .checked_sub(1)
            .and_then(|at| *self.at.get(at)?);
        position
            .is_some_and(|Position { now, before }| reaches(now, until) && !reaches(before, until))
    }

    /// Returns the position of a trial for changes; `None` for an unknown trial.
    fn at_mut(&mut self, trial: TrialId) -> Option<&mut Option<Position>> {
        self.at.get_mut((trial.0 as usize).checked_sub(1)?)
    }

    /// Returns the progress of a trial in words: `epoch 9: 0.71`, `epoch 9: loss 0.71, latency 12`.
    pub(super) fn describe(&self, at: f64, scores: &[f64]) -> String {
        let values = match (&*self.objectives, scores) {
            ([objective], [score]) => value(objective, *score),
            _ if scores.iter().any(|score| !score.is_finite()) => "not finite".to_owned(),
            (objectives, scores) => {
                let pairs = objectives.iter().zip(scores);
                let named = pairs.map(|(objective, score)| {
                    format!("{} {}", objective.metric, value(objective, *score))
                });
                named.collect::<Vec<_>>().join(", ")
            }
        };
        format!("{} {}: {values}", self.resource, short(at))
    }

    /// Returns the needed value of the first objective in words: `needed ≤ 0.52`. Empty without an
    /// objective.
    pub(super) fn describe_bound(&self, score: f64) -> String {
        let Some(objective) = self.objectives.first() else {
            return String::new();
        };
        let sign = match objective.goal {
            Goal::Min => '≤',
            Goal::Max => '≥',
        };
        format!("needed {sign} {}", value(objective, score))
    }

    /// Returns a resource in words: `epoch 9`.
    pub(super) fn describe_resource(&self, at: u64) -> String {
        format!("{} {at}", self.resource)
    }
}

/// Returns an oriented score as the user's value, in words.
fn value(objective: &Objective, score: f64) -> String {
    match objective.goal {
        _ if !score.is_finite() => "not finite".to_owned(),
        Goal::Min => short(score),
        Goal::Max => short(-score),
    }
}

/// Returns whether `at` has reached `level`. A relative tolerance of 1e-9 allows for rounding in
/// sums of fractions.
pub(super) fn reaches(at: f64, level: u64) -> bool {
    at * (1.0 + 1e-9) >= level as f64
}

/// Returns a number with at most four significant digits.
fn short(number: f64) -> String {
    let rounded: f64 = format!("{number:.3e}").parse().unwrap_or(number);
    if rounded.fract() == 0.0 && rounded.abs() < 1e15 {
        format!("{rounded:.0}")
    } else {
        format!("{}", swath_model::space::Value::Float(rounded))
    }
}
