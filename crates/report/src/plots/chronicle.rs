//! Every report and every attempt of a study, with slots and times, which the replayed study does
//! not keep.
//!
//! Most lines of a journal are reports. They are parsed directly into numbers, without the events
//! that a replay would need.

use rayon::prelude::*;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use std::collections::BTreeMap;
use std::fmt;
use swath_model::space::Name;
use swath_model::study::axis::{self, COUNTERS};
use swath_model::study::{
    Axis, Datum, Entry, Event, Exit, LogRecord, PreparationChange, PreparationId, Timestamp,
    TrialId, Verdict,
};

/// Minimum number of bytes that one thread parses at a time.
const BLOCK: usize = 1 << 20;

/// The reports, attempts and scheduler decisions of a study.
#[derive(Debug, Clone, Default)]
pub struct Chronicle {
    resource: Option<Name>,
    /// The keys that can be the axis of a curve: the resource, else the usual counters.
    counters: Vec<Name>,
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
}

/// The numbers of one report that are kept; NaN for those that it lacks.
struct Picks {
    /// The values of [`Chronicle::counters`], in their order.
    counters: Vec<f64>,
    /// The values of [`Chronicle::metrics`], in their order.
    metrics: Vec<f64>,
}

/// A parsed line of the journal.
enum ParsedLine {
    /// A report, reduced to the numbers that are kept.
    Report(TrialId, Picks),
    /// Any other entry, and reports in an unusual form.
    Other(Box<Entry>),
}

impl Chronicle {
    /// Creates an empty chronicle that keeps the given metrics. The axis of all curves is
    /// `resource` if the scheduler uses one.
    #[must_use]
    pub fn new(resource: Option<Name>, metrics: Vec<Name>) -> Self {
        let counters = match &resource {
            Some(resource) => vec![resource.clone()],
            None => COUNTERS.map(Name::from).to_vec(),
        };
        Self {
            resource,
            counters,
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

    /// Reads whole lines of a journal. Lines that cannot be parsed are skipped; the replay of the
    /// study reports them with their position.
    pub fn read(&mut self, journal: &[u8]) {
        let parsed_blocks: Vec<Vec<ParsedLine>> = blocks(journal)
            .into_par_iter()
            .map(|block| self.parse(block))
            .collect();
        for line in parsed_blocks.into_iter().flatten() {
            match line {
                ParsedLine::Report(trial, picks) => self.report(trial, picks),
                ParsedLine::Other(entry) => self.apply(&entry),
            }
        }
    }

    /// Parses the lines of a block, in order.
    fn parse(&self, block: &[u8]) -> Vec<ParsedLine> {
        let lines = block
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty());
        lines
            .filter_map(|line| {
                self.quick(line)
                    .or_else(|| Some(ParsedLine::Other(serde_json::from_slice(line).ok()?)))
            })
            .collect()
    }

    /// Parses a report in the form that this program writes. Returns `None` for any other line.
    fn quick(&self, line: &[u8]) -> Option<ParsedLine> {
        let line = std::str::from_utf8(line).ok()?;
        let rest = &line[line.find("\"event\":")?..];
        let rest = rest.strip_prefix("\"event\":{\"logged\":{\"trial\":")?;
        let (trial, rest) = rest.split_once(",\"attempt\":")?;
        let (_, rest) = rest.split_once(",\"record\":{\"report\":{\"values\":")?;
        Some(ParsedLine::Report(
            TrialId(trial.parse().ok()?),
            self.values(rest)?,
        ))
    }

    /// Parses the object of values at the start of a text.
    fn values(&self, text: &str) -> Option<Picks> {
        PicksVisitor(self)
            .deserialize(&mut serde_json::Deserializer::from_str(text))
            .ok()
    }

    /// Applies one entry of the journal.
    pub fn apply(&mut self, entry: &Entry) {
        match &entry.event {
            Event::Logged {
                trial,
                record: LogRecord::Report { values },
                ..
            } => {
                let counters = self
                    .counters
                    .iter()
                    .map(|key| axis::number(values, key).unwrap_or(f64::NAN));
                let metrics = self.metrics.iter().map(|name| last_number(values, name));
                let picks = Picks {
                    counters: counters.collect(),
                    metrics: metrics.collect(),
                };
                self.report(*trial, picks);
            }
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
            Event::Judged { trial, verdict, .. } => {
                let step = self
                    .curves
                    .get(trial)
                    .and_then(|curve| curve.steps.last().copied());
                let (trial, verdict) = (*trial, *verdict);
                self.verdicts.push(Judgement {
                    trial,
                    verdict,
                    step: step.unwrap_or(0.0),
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
    fn report(&mut self, trial: TrialId, picks: Picks) {
        let curve = self.curves.entry(trial).or_insert_with(|| Curve {
            axis: Axis::of(self.resource.as_ref()),
            ..Curve::default()
        });
        let was_numbered = curve.axis.is_number();
        let (count, before) = (curve.steps.len() as u64 + 1, curve.steps.last().copied());
        let step = curve.axis.place(count, before, |key| {
            let index = self.counters.iter().position(|counter| **counter == *key)?;
            let number = picks.counters.get(index).copied();
            number.filter(|number| number.is_finite())
        });
        if was_numbered && !curve.axis.is_number() {
            // Reports before the first counter are at the beginning of the axis, not at their
            // numbers.
            curve.steps.fill(0.0);
        }
        curve.steps.push(step.unwrap_or(0.0));
        curve.values.resize_with(picks.metrics.len(), Vec::new);
        for (kept, value) in curve.values.iter_mut().zip(picks.metrics) {
            kept.push(value);
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

/// Splits a journal into blocks of whole lines.
fn blocks(mut journal: &[u8]) -> Vec<&[u8]> {
    let mut blocks = Vec::new();
    while journal.len() > BLOCK {
        let Some(end) = journal[BLOCK..].iter().position(|byte| *byte == b'\n') else {
            break;
        };
        let (block, rest) = journal.split_at(BLOCK + end + 1);
        blocks.push(block);
        journal = rest;
    }
    blocks.push(journal);
    blocks
}

/// Parses an object of values into [`Picks`].
struct PicksVisitor<'a>(&'a Chronicle);

impl<'de> DeserializeSeed<'de> for PicksVisitor<'_> {
    type Value = Picks;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for PicksVisitor<'_> {
    type Value = Picks;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of reported values")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut counters = vec![f64::NAN; self.0.counters.len()];
        let mut metrics = vec![f64::NAN; self.0.metrics.len()];
        while let Some(key) = map.next_key_seed(Text)? {
            let metric = self.0.metrics.iter().position(|name| **name == *key);
            let counter = self.0.counters.iter().position(|name| **name == *key);
            // Values that the chronicle does not keep are skipped without being converted.
            if metric.is_none() && counter.is_none() {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            let number = map.next_value_seed(Number)?;
            if let Some(counter) = counter {
                counters[counter] = number;
            }
            if let Some(metric) = metric {
                metrics[metric] = number;
            }
        }
        Ok(Picks { counters, metrics })
    }
}

/// Parses a key. It is borrowed unless it contains escapes.
struct Text;

impl<'de> DeserializeSeed<'de> for Text {
    type Value = std::borrow::Cow<'de, str>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Text {
    type Value = std::borrow::Cow<'de, str>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }
    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(text.into())
    }
    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(text.to_owned().into())
    }
}

/// Parses a reported value as a number; NaN for a value that is not a number.
struct Number;

impl<'de> DeserializeSeed<'de> for Number {
    type Value = f64;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<f64, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Number {
    type Value = f64;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a reported value")
    }
    fn visit_f64<E>(self, number: f64) -> Result<f64, E> {
        Ok(number)
    }
    fn visit_i64<E>(self, number: i64) -> Result<f64, E> {
        Ok(number as f64)
    }
    fn visit_u64<E>(self, number: u64) -> Result<f64, E> {
        Ok(number as f64)
    }
    fn visit_bool<E>(self, _: bool) -> Result<f64, E> {
        Ok(f64::NAN)
    }
    fn visit_str<E>(self, text: &str) -> Result<f64, E> {
        Ok(match text {
            "inf" => f64::INFINITY,
            "-inf" => f64::NEG_INFINITY,
            _ => f64::NAN,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Chronicle;
    use swath_model::demo::Demo;
    use swath_model::space::Value;
    use swath_model::study::{Datum, Exit, LogRecord, TrialId};

    fn demo() -> Demo {
        let mut demo = Demo::new(&["lr"]);
        let trial = demo.start(&[("lr", Value::Float(0.1))]);
        demo.report(trial, &[("val_loss", 0.5), ("acc", 0.1)]);
        demo.report(trial, &[("val_loss", f64::NAN), ("größe", 2.0)]);
        let note = (
            "val_loss\"}".into(),
            Datum::Text("a \"quoted\" text, \"event\":{".into()),
        );
        demo.log(
            trial,
            LogRecord::Report {
                values: vec![note, ("val_loss".into(), Datum::Flag(true))],
            },
        );
        demo.end(trial, Exit::Stopped);
        demo
    }

    #[test]
    fn reports_parsed_from_lines_equal_those_of_the_entries() {
        let demo = demo();
        let lines: String = demo
            .entries
            .iter()
            .map(|entry| serde_json::to_string(entry).unwrap() + "\n")
            .collect();
        let metrics = vec!["val_loss".into(), "größe".into()];
        let (mut read, mut applied) = (
            Chronicle::new(None, metrics.clone()),
            Chronicle::new(None, metrics.clone()),
        );
        read.read(lines.as_bytes());
        demo.entries.iter().for_each(|entry| applied.apply(entry));
        assert_eq!(format!("{read:?}"), format!("{applied:?}"));
        let curve = &read.curves[&TrialId(1)];
        assert_eq!(curve.steps, [1.0, 2.0, 3.0]);
        assert_eq!((curve.values[0][0], curve.values[1][1]), (0.5, 2.0));
        assert!(curve.values[0][1].is_nan() && curve.values[0][2].is_nan());
        assert_eq!(read.attempts[0].exit, Some(Exit::Stopped));
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
        let lines: String = demo
            .entries
            .iter()
            .map(|entry| serde_json::to_string(entry).unwrap() + "\n")
            .collect();
        let [mut read, mut applied] =
            [(); 2].map(|()| Chronicle::new(None, vec!["val_loss".into()]));
        read.read(lines.as_bytes());
        demo.entries.iter().for_each(|entry| applied.apply(entry));
        for chronicle in [read, applied] {
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

    #[test]
    fn lines_that_cannot_be_parsed_are_skipped() {
        let mut chronicle = Chronicle::new(None, vec!["x".into()]);
        chronicle.read(b"garbage\n\xff\xfe\n{\"seq\":0}\n");
        assert!(chronicle.curves.is_empty());
    }
}
