//! What a trial's reports say to a scheduler: how far it is, and how good it is there.

use super::ranking;
use crate::source::{Diagnostic, Diagnostics, Opt, Preset, Section, Takes};
use crate::space::Name;
use crate::study::{
    Datum, Event, Goal, LogRecord, Metric, Objective, Score, Setting, Study, TrialId,
};

/// The objective that trials are compared by.
pub(super) const METRIC: Opt = Opt::new(
    "metric",
    Takes::Text,
    Preset::Derived("all objectives together"),
    "the one objective that trials are compared by",
);

/// Reads the resource and the objective out of reports, in whatever order and grouping they come.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Gauge {
    resource: Name,
    /// What trials are judged by: all objectives, or the one that the scheduler names.
    objectives: Vec<Objective>,
    /// How far each trial got in its present life; a restart without checkpoint begins anew.
    at: Vec<Option<Position>>,
}

/// How far a trial is.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Position {
    /// What it reported last.
    now: f64,
    /// What it reported before that.
    before: f64,
}

/// A trial showed its objectives at some resource.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Reading {
    /// The trial.
    pub(super) trial: TrialId,
    /// How much of the resource it has used.
    pub(super) at: f64,
    /// Its oriented objectives there by their `take` rules; infinite if a value just reported is
    /// not finite: what has diverged is never among the best, however good it once was.
    pub(super) scores: Vec<f64>,
}

impl Gauge {
    /// Takes `metric` from a scheduler's section and finds out what to read.
    pub(super) fn take(
        section: &mut Section,
        setting: &Setting,
        diagnostics: &mut Diagnostics,
    ) -> Option<Self> {
        let wanted = section.take_text("metric", diagnostics);
        let Some(resource) = setting.resource.clone() else {
            let message = "the scheduler does not know which reported key counts the resource";
            diagnostics.push(
                Diagnostic::error("no-resource", message)
                    .at(section.span.clone(), "no `resource` here")
                    .hint("name the key of the reports that counts: resource = \"epoch\""),
            );
            return None;
        };
        let Some((metric, span)) = wanted else {
            let objectives = setting.objectives.clone();
            let judges = !objectives.is_empty();
            return judges.then(|| Self {
                resource,
                objectives,
                at: Vec::new(),
            });
        };
        let known = || {
            setting
                .objectives
                .iter()
                .map(|objective| &*objective.metric)
        };
        let Some(objective) = setting
            .objectives
            .iter()
            .find(|objective| *objective.metric == *metric)
        else {
            let message = format!("`{metric}` is not an objective");
            diagnostics.push(
                Diagnostic::error("unknown-metric", message)
                    .at(span, "a scheduler can only judge by an objective")
                    .did_you_mean(&metric, known()),
            );
            return None;
        };
        Some(Self {
            resource,
            objectives: vec![objective.clone()],
            at: Vec::new(),
        })
    }

    /// Returns how many objectives trials are judged by.
    pub(super) fn objectives(&self) -> usize {
        self.objectives.len()
    }

    /// Learns from an event. A report that shows an objective gives a reading, once the trial has
    /// shown all of them.
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
                let number = |name: &Name| {
                    values
                        .iter()
                        .rev()
                        .find(|(key, _)| key == name)
                        .and_then(|(_, datum)| match datum {
                            Datum::Number(Metric(number)) => Some(*number),
                            Datum::Flag(_) | Datum::Text(_) => None,
                        })
                };
                let shown = number(&self.resource).filter(|at| at.is_finite());
                let reported: Vec<f64> = self
                    .objectives
                    .iter()
                    .filter_map(|objective| number(&objective.metric))
                    .collect();
                let at = self.at_mut(*trial)?;
                let before = at.map_or(0.0, |at| at.now);
                match (shown, at.as_mut()) {
                    (Some(now), Some(at)) if now == at.now => {}
                    (Some(now), _) => *at = Some(Position { now, before }),
                    (None, _) => {}
                }
                let at = (*at)?.now;
                let found = study.trial(*trial)?;
                let is_shown =
                    |objective: &Objective| found.metrics.contains_key(&objective.metric);
                if reported.is_empty() || !self.objectives.iter().all(is_shown) {
                    return None;
                }
                let has_diverged = reported.iter().any(|value| !value.is_finite());
                let scores = found.scores(&self.objectives).filter(|_| !has_diverged);
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

    /// Says whether a trial that ended by itself has only come to where its attempt was to end: its
    /// last report, and no earlier one, reaches `until`. A program that went on beyond ended for
    /// its own reasons.
    pub(super) fn ended_at(&self, trial: TrialId, until: u64) -> bool {
        let position = (trial.0 as usize)
            .checked_sub(1)
            .and_then(|at| *self.at.get(at)?);
        position
            .is_some_and(|Position { now, before }| reaches(now, until) && !reaches(before, until))
    }

    fn at_mut(&mut self, trial: TrialId) -> Option<&mut Option<Position>> {
        self.at.get_mut((trial.0 as usize).checked_sub(1)?)
    }

    /// Says where a trial stands: `epoch 9: 0.71`, `epoch 9: loss 0.71, latency 12`.
    pub(super) fn words(&self, at: f64, scores: &[f64]) -> String {
        let values = match (&*self.objectives, scores) {
            ([objective], [score]) => value(objective, *score),
            _ if scores.iter().any(|score| !score.is_finite()) => "not finite".to_owned(),
            (objectives, scores) => {
                let named = |(objective, score): (&Objective, &f64)| {
                    format!("{} {}", objective.metric, value(objective, *score))
                };
                objectives
                    .iter()
                    .zip(scores)
                    .map(named)
                    .collect::<Vec<_>>()
                    .join(", ")
            }
        };
        format!("{} {}: {values}", self.resource, short(at))
    }

    /// Says what was needed by the only objective: `needed ≤ 0.52`.
    pub(super) fn needed(&self, score: f64) -> String {
        let Some(objective) = self.objectives.first() else {
            return String::new();
        };
        let sign = match objective.goal {
            Goal::Min => '≤',
            Goal::Max => '≥',
        };
        format!("needed {sign} {}", value(objective, score))
    }

    /// Names an amount of the resource: `epoch 9`.
    pub(super) fn place(&self, at: u64) -> String {
        format!("{} {at}", self.resource)
    }
}

fn value(objective: &Objective, score: f64) -> String {
    match objective.goal {
        _ if !score.is_finite() => "not finite".to_owned(),
        Goal::Min => short(score),
        Goal::Max => short(-score),
    }
}

/// Returns whether `at` has reached `level`, forgiving the last digits of a sum of fractions.
pub(super) fn reaches(at: f64, level: u64) -> bool {
    at * (1.0 + 1e-9) >= level as f64
}

/// Writes a number with at most four significant digits.
fn short(number: f64) -> String {
    let rounded: f64 = format!("{number:.3e}").parse().unwrap_or(number);
    if rounded.fract() == 0.0 && rounded.abs() < 1e15 {
        format!("{rounded:.0}")
    } else {
        format!("{}", crate::space::Value::Float(rounded))
    }
}
