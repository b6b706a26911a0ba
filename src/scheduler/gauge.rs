//! What a trial's reports say to a scheduler: how far it is, and how good it is there.

use crate::source::{Diagnostic, Diagnostics, Opt, Preset, Section, Takes};
use crate::space::Name;
use crate::study::{Datum, Event, LogRecord, Metric, Objective, Setting, Study, TrialId};

/// The objective that trials are compared by.
pub(super) const METRIC: Opt = Opt::new(
    "metric",
    Takes::Text,
    Preset::Derived("the first objective"),
    "the objective that trials are compared by",
);

/// Reads the resource and the objective out of reports, in whatever order and grouping they come.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Gauge {
    resource: Name,
    objective: Objective,
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

/// A trial showed its objective at some resource.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Reading {
    /// The trial.
    pub(super) trial: TrialId,
    /// How much of the resource it has used.
    pub(super) at: f64,
    /// Its oriented objective there by the `take` rule; infinite if the value just reported is not finite: what has diverged is never
    /// among the best, however good it once was.
    pub(super) score: f64,
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
            let objective = setting.objectives.first()?.clone();
            return Some(Self { resource, objective, at: Vec::new() });
        };
        let known = || setting.objectives.iter().map(|objective| &*objective.metric);
        let Some(objective) = setting.objectives.iter().find(|objective| *objective.metric == *metric) else {
            let message = format!("`{metric}` is not an objective");
            diagnostics.push(
                Diagnostic::error("unknown-metric", message)
                    .at(span, "a scheduler can only judge by an objective")
                    .did_you_mean(&metric, known()),
            );
            return None;
        };
        Some(Self { resource, objective: objective.clone(), at: Vec::new() })
    }

    /// Learns from an event; a report that shows the objective gives a reading.
    pub(super) fn observe(&mut self, study: &Study, event: &Event) -> Option<Reading> {
        match event {
            Event::Created { .. } => self.at.push(None),
            Event::Started { trial, resume: false, .. } => *self.at_mut(*trial)? = None,
            Event::Logged { trial, record: LogRecord::Report { values }, .. } => {
                let number = |name: &Name| {
                    values.iter().rev().find(|(key, _)| key == name).and_then(|(_, datum)| match datum {
                        Datum::Number(Metric(number)) => Some(*number),
                        Datum::Flag(_) | Datum::Text(_) => None,
                    })
                };
                let shown = number(&self.resource).filter(|at| at.is_finite());
                let reported = number(&self.objective.metric);
                let at = self.at_mut(*trial)?;
                let before = at.map_or(0.0, |at| at.now);
                match (shown, at.as_mut()) {
                    (Some(now), Some(at)) if now == at.now => {}
                    (Some(now), _) => *at = Some(Position { now, before }),
                    (None, _) => {}
                }
                let (at, reported) = ((*at)?.now, reported?);
                let value = study.trial(*trial)?.objective(&self.objective).filter(|_| reported.is_finite());
                let score = value.and_then(|value| self.objective.score(value));
                return Some(Reading {
                    trial: *trial,
                    at,
                    score: score.map_or(f64::INFINITY, |score| score.get()),
                });
            }
            _ => {}
        }
        None
    }

    /// Says whether a trial that ended by itself has only come to where its attempt was to end: its last report, and no earlier one,
    /// reaches `until`. A program that went on beyond ended for its own reasons.
    pub(super) fn ended_at(&self, trial: TrialId, until: u64) -> bool {
        let position = (trial.0 as usize).checked_sub(1).and_then(|at| *self.at.get(at)?);
        position.is_some_and(|Position { now, before }| reaches(now, until) && !reaches(before, until))
    }

    fn at_mut(&mut self, trial: TrialId) -> Option<&mut Option<Position>> {
        self.at.get_mut((trial.0 as usize).checked_sub(1)?)
    }

    /// Says where a trial stands: `epoch 9: 0.71`.
    pub(super) fn words(&self, at: f64, score: f64) -> String {
        format!("{} {}: {}", self.resource, short(at), self.value(score))
    }

    /// Says what was needed: `needed ≤ 0.52`.
    pub(super) fn needed(&self, score: f64) -> String {
        let sign = match self.objective.goal {
            crate::study::Goal::Min => '≤',
            crate::study::Goal::Max => '≥',
        };
        format!("needed {sign} {}", self.value(score))
    }

    /// Names an amount of the resource: `epoch 9`.
    pub(super) fn place(&self, at: u64) -> String {
        format!("{} {at}", self.resource)
    }

    fn value(&self, score: f64) -> String {
        match self.objective.goal {
            _ if !score.is_finite() => "not finite".to_owned(),
            crate::study::Goal::Min => short(score),
            crate::study::Goal::Max => short(-score),
        }
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
