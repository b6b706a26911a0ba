//! Every report and every attempt of a study, with slots and times, which the replayed study does
//! not keep.

use std::collections::BTreeMap;
use swath_model::space::Name;
use swath_model::study::axis;
use swath_model::study::{
    Axis, Datum, Entry, Event, Exit, LogRecord, PreparationChange, PreparationId, Timestamp,
    TrialId, Verdict,
};

/// The reports, attempts and scheduler decisions of a study.
#[derive(Debug, Clone, Default)]
pub struct Chronicle {
    resource: Option<Name>,
    /// The metrics whose values are kept.
    metrics: Vec<Name>,
    /// The reports of each trial.
    pub curves: BTreeMap<TrialId, Curve>,
    /// All attempts, in the order of their starts.
    pub attempts: Vec<Span>,
    /// All attempts of preparations, in the order of their starts, each with the name.
    pub preparations: Vec<(Name, Span)>,
    /// All decisions of the scheduler, in order.
    pub verdicts: Vec<Judgement>,
    /// The index in `attempts` of each running attempt.
    running: BTreeMap<TrialId, usize>,
    /// The names of the preparations, in the order of their numbers.
    names: Vec<Name>,
}

/// The reports of one trial since it last started anew.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Curve {
    /// The key that the steps are values of.
    pub axis: Axis,
    /// The step of each report.
    pub steps: Vec<f64>,
    /// The values of each metric, one list a metric, each as long as `steps`. NaN where a report
    /// lacks the metric.
    pub values: Vec<Vec<f64>>,
}

/// One attempt of a trial, or of a preparation.
#[derive(Debug, Clone, PartialEq)]
pub struct Span {
    /// The id of the trial, or the number of the preparation.
    pub trial: TrialId,
    /// The slot of the executor, from 0.
    pub slot: u32,
    /// The time of the start.
    pub start: Timestamp,
    /// The time of the end; `None` while the attempt runs.
    pub end: Option<Timestamp>,
    /// The exit of the attempt; `None` while it runs.
    pub exit: Option<Exit>,
}

/// A decision of the scheduler about a trial.
#[derive(Debug, Clone, PartialEq)]
pub struct Judgement {
    /// The id of the trial.
    pub trial: TrialId,
    /// The decision of the scheduler.
    pub verdict: Verdict,
    /// The step of the last report before the decision; 0 if there was none.
    pub step: f64,
    /// The reason in words.
    pub why: String,
}

impl Chronicle {
    /// Creates an empty chronicle that keeps the given metrics. The axis of all curves is
    /// `resource` if the scheduler uses one.
    #[must_use]
    pub fn new(resource: Option<Name>, metrics: Vec<Name>) -> Self {
        Self {
            resource,
            metrics,
            ..Self::default()
        }
    }

    /// Returns the metrics whose values are kept.
    #[must_use]
    pub fn metrics(&self) -> &[Name] {
        &self.metrics
    }

    /// Returns the label of the axis for the curves of some trials: the distinct keys of their
    /// axes, or `report` for curves without a key.
    #[must_use]
    pub fn axis<'a>(&self, trials: impl IntoIterator<Item = &'a TrialId>) -> String {
        let mut keys: Vec<&str> = Vec::new();
        for curve in trials
            .into_iter()
            .filter_map(|trial| self.curves.get(trial))
        {
            let key = curve.axis.key().map_or("report", |key| &**key);
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
        if keys.is_empty() {
            "report".to_owned()
        } else {
            keys.join(" / ")
        }
    }

    /// Applies one entry of the journal.
    pub fn apply(&mut self, entry: &Entry) {
        match &entry.event {
            Event::Logged {
                trial,
                record: LogRecord::Report { values },
                ..
            } => self.report(*trial, values),
            Event::Started {
                trial,
                slot,
                resume,
                ..
            } => {
                // A trial that starts anew, not from a checkpoint, repeats its reports.
                if !resume {
                    self.curves.remove(trial);
                }
                self.running.insert(*trial, self.attempts.len());
                let span = Span {
                    trial: *trial,
                    slot: *slot,
                    start: entry.at,
                    end: None,
                    exit: None,
                };
                self.attempts.push(span);
            }
            Event::Placed { trial, place, .. } => {
                if let Some(span) = self.span_of(*trial) {
                    span.start = place.started_at(span.start, entry.at);
                }
            }
            Event::Judged {
                trial,
                verdict,
                why,
            } => {
                let step = self
                    .curves
                    .get(trial)
                    .and_then(|curve| curve.steps.last().copied());
                let (trial, verdict) = (*trial, *verdict);
                self.verdicts.push(Judgement {
                    trial,
                    verdict,
                    step: step.unwrap_or(0.0),
                    why: why.clone(),
                });
            }
            Event::Ended {
                trial, exit, usage, ..
            } => {
                if let Some(span) = self.span_of(*trial) {
                    span.end = Some(usage.ended_at(span.start, entry.at));
                    span.exit = Some(exit.clone());
                }
                self.running.remove(trial);
            }
            Event::Preparation {
                preparation,
                change,
            } => self.prepare(*preparation, change, entry.at),
            _ => {}
        }
    }

    /// Applies a change of a preparation.
    fn prepare(&mut self, id: PreparationId, change: &PreparationChange, at: Timestamp) {
        match change {
            PreparationChange::Created { name, .. } => self.names.push(name.clone()),
            PreparationChange::Started { slot, .. } => {
                let index = (id.0 as usize).saturating_sub(1);
                let name = self.names.get(index).cloned().unwrap_or_default();
                let span = Span {
                    trial: TrialId(id.0),
                    slot: *slot,
                    start: at,
                    end: None,
                    exit: None,
                };
                self.preparations.push((name, span));
            }
            PreparationChange::Ended { exit, .. } => {
                let mut spans = self.preparations.iter_mut().rev();
                if let Some((_, span)) = spans.find(|(_, span)| span.trial.0 == id.0) {
                    span.end = Some(at);
                    span.exit = Some(exit.clone());
                }
            }
            _ => {}
        }
    }

    /// Returns the attempt of a trial that runs.
    fn span_of(&mut self, trial: TrialId) -> Option<&mut Span> {
        let index = *self.running.get(&trial)?;
        self.attempts.get_mut(index)
    }

    /// Appends a report to the curve of its trial.
    fn report(&mut self, trial: TrialId, values: &[(Name, Datum)]) {
        let curve = self.curves.entry(trial).or_insert_with(|| Curve {
            axis: Axis::of(self.resource.as_ref()),
            steps: Vec::new(),
            values: vec![Vec::new(); self.metrics.len()],
        });
        let was_numbered = curve.axis.is_number();
        let (count, before) = (curve.steps.len() as u64 + 1, curve.steps.last().copied());
        let step = curve
            .axis
            .place(count, before, |key| axis::number(values, key));
        if was_numbered && !curve.axis.is_number() {
            // Reports before the first counter are at the beginning of the axis, not at their
            // numbers.
            curve.steps.fill(0.0);
        }
        curve.steps.push(step.unwrap_or(0.0));
        for (kept, metric) in curve.values.iter_mut().zip(&self.metrics) {
            kept.push(last_number(values, metric));
        }
    }
}

/// Returns the last value of a metric in a report; NaN if it is absent or not a number.
fn last_number(values: &[(Name, Datum)], metric: &Name) -> f64 {
    match values.iter().rev().find(|(name, _)| name == metric) {
        Some((_, Datum::Number(number))) => number.0,
        _ => f64::NAN,
    }
}

#[cfg(test)]
mod tests {
    use super::Chronicle;
    use swath_model::demo::Demo;
    use swath_model::space::Value;
    use swath_model::study::{Datum, Exit, LogRecord, TrialId};

    #[test]
    fn a_curve_has_the_last_number_of_a_metric_in_each_report_or_nan() {
        let mut demo = Demo::new(&["lr"]);
        let trial = demo.start(&[("lr", Value::Float(0.1))]);
        demo.report(trial, &[("val_loss", 0.5), ("acc", 0.1)]);
        demo.report(trial, &[("val_loss", f64::NAN), ("größe", 2.0)]);
        let flag = ("val_loss".into(), Datum::Flag(true));
        demo.log(trial, LogRecord::Report { values: vec![flag] });
        demo.end(trial, Exit::Stopped);
        let mut chronicle = Chronicle::new(None, vec!["val_loss".into(), "größe".into()]);
        demo.entries.iter().for_each(|entry| chronicle.apply(entry));
        let curve = &chronicle.curves[&TrialId(1)];
        assert_eq!(curve.steps, [1.0, 2.0, 3.0]);
        assert_eq!((curve.values[0][0], curve.values[1][1]), (0.5, 2.0));
        assert!(curve.values[0][1].is_nan() && curve.values[0][2].is_nan());
        assert_eq!(chronicle.attempts[0].exit, Some(Exit::Stopped));
    }

    #[test]
    fn the_steps_of_a_curve_are_the_counter_that_its_trial_reports() {
        let mut demo = Demo::new(&[]);
        let [stepping, late, numbered] = [(); 3].map(|()| demo.start(&[]));
        for step in [0.0, 50.0, 100.0] {
            demo.report(
                stepping,
                &[("val_loss", 0.5), ("epoch", 1.0), ("step", step)],
            );
            demo.report(numbered, &[("val_loss", 0.5)]);
        }
        demo.report(late, &[("val_loss", 0.9)]);
        demo.report(late, &[("val_loss", 0.5), ("epoch", 0.25)]);
        demo.report(late, &[("val_loss", 0.4), ("step", 9.0)]);
        let mut chronicle = Chronicle::new(None, vec!["val_loss".into()]);
        demo.entries.iter().for_each(|entry| chronicle.apply(entry));
        assert_eq!(chronicle.curves[&stepping].steps, [0.0, 50.0, 100.0]);
        assert_eq!(chronicle.curves[&late].steps, [0.0, 0.25, 0.25]);
        assert_eq!(chronicle.curves[&numbered].steps, [1.0, 2.0, 3.0]);
        assert_eq!(chronicle.axis([&stepping]), "step");
        assert_eq!(
            chronicle.axis([&stepping, &late, &numbered]),
            "step / epoch / report"
        );
    }
}
