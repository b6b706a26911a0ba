//! Reading the outputs of trials again, with corrected patterns or names, without training again.
//!
//! A trial that ended well without its objective gets a further attempt, which consists of the
//! records of the journal and of what the corrected patterns find in the kept output. Everything
//! that follows the study (samplers, trackers, tables) sees an attempt like any other.

use super::{Driver, DriverError};
use crate::executor::{Reread, reread};
use crate::journal::{Journal, JournalError, StudyDir, has_own_trial};
use regex::Regex;
use std::collections::BTreeMap;
use std::sync::mpsc::{self, Sender};
use swath_log::{Directive, Dirs, Identity, TrialLogger};
use swath_model::space::Name;
use swath_model::study::{
    Attempt, Datum, Event, Exit, Failure, LogRecord, Metric, Study, Trial, TrialId, TrialState,
    Usage,
};

/// A record of the journal, and the offset behind its line in `records.jsonl`.
type Recorded = (LogRecord, Option<u64>);

/// A trial whose output was read again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recaptured {
    /// The trial.
    pub trial: TrialId,
    /// Whether it has its objectives now.
    pub outcome: Outcome,
    /// The logs whose middle was cut out, so that values in it are missing.
    pub cut: Vec<&'static str>,
}

/// The result of reading an output again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The trial has its objectives now.
    Recorded,
    /// The trial is as it was, for this reason.
    Unchanged(String),
}

impl Driver<'_> {
    /// Reads the outputs of trials again that ended well without an objective, and records those
    /// that have all objectives now. No trial may run.
    ///
    /// # Errors
    /// If the journal cannot be read or written.
    pub fn recapture(
        &mut self,
        trials: &[TrialId],
        capture: &[(Name, Regex)],
    ) -> Result<Vec<Recaptured>, DriverError> {
        let mut earlier = records_of(&self.dir, trials)?;
        let mut recaptured = Vec::new();
        for id in trials {
            let records = earlier.remove(id).unwrap_or_default();
            recaptured.push(self.recapture_trial(*id, records, capture)?);
        }
        self.journal.sync()?;
        Ok(recaptured)
    }

    fn recapture_trial(
        &mut self,
        id: TrialId,
        records: Vec<Recorded>,
        capture: &[(Name, Regex)],
    ) -> Result<Recaptured, DriverError> {
        let reread = match self.read_again(id, capture) {
            Ok(reread) => reread,
            Err(why) => {
                return Ok(Recaptured {
                    trial: id,
                    outcome: Outcome::Unchanged(why),
                    cut: Vec::new(),
                });
            }
        };
        let cut = reread.cut.clone();
        let missing = missing_objective(&self.study, &records, &reread);
        if let Some(why) = missing {
            return Ok(Recaptured {
                trial: id,
                outcome: Outcome::Unchanged(why),
                cut,
            });
        }
        let records = self.with_output(id, records, reread, capture);
        let attempt = Attempt(self.study.trial(id).map_or(1, |trial| trial.attempts + 1));
        self.commit(Event::Requeued {
            trial: id,
            why: "its output is read again with the corrected sweep file".to_owned(),
            not_before: None,
            forgiven: true,
        })?;
        self.commit(Event::Started {
            trial: id,
            attempt,
            until: None,
            slot: 0,
            resume: false,
        })?;
        for (record, line_end) in records {
            self.commit(Event::Logged {
                trial: id,
                attempt,
                record,
                line_end,
            })?;
        }
        for log in &cut {
            let text = format!("the middle of `{log}` was cut out, so values in it are missing");
            self.warn(id, attempt, text)?;
        }
        // Nothing ran, so the attempt takes no time.
        self.ended(id, attempt, Exit::Done, Usage::of_seconds(0.0))?;
        Ok(Recaptured {
            trial: id,
            outcome: Outcome::Recorded,
            cut,
        })
    }

    /// Reads the output of a trial again; the error is the reason why that cannot help.
    fn read_again(&self, id: TrialId, capture: &[(Name, Regex)]) -> Result<Reread, String> {
        let trial = self.study.trial(id).ok_or("it does not exist")?;
        if let Some(why) = refusal(trial) {
            return Err(why);
        }
        if !has_own_trial(&self.dir, &self.study, id) {
            return Err("its folder is gone".to_owned());
        }
        let objectives = &self.study.header().objectives;
        let wanted: Vec<Name> = objectives
            .iter()
            .map(|objective| objective.metric.clone())
            .collect();
        reread(&self.dir.trial(id), capture, &wanted)
            .map_err(|error| format!("its output could not be read: {error}"))
    }

    /// Puts the reports of the output in the place of those that earlier patterns found.
    fn with_output(
        &self,
        id: TrialId,
        records: Vec<Recorded>,
        reread: Reread,
        capture: &[(Name, Regex)],
    ) -> Vec<Recorded> {
        if capture.is_empty() {
            return records;
        }
        let place = records
            .iter()
            .position(is_from_output)
            .unwrap_or(records.len());
        let from_output = self
            .logged(id, reread)
            .into_iter()
            .map(|record| (record, None));
        let mut merged: Vec<Recorded> = records;
        let after = merged.split_off(place);
        merged.extend(from_output);
        merged.extend(after.into_iter().filter(|record| !is_from_output(record)));
        merged
    }

    /// Returns the records that the reports of an output make, and adds their rows to the trial's
    /// own files.
    fn logged(&self, id: TrialId, reread: Reread) -> Vec<LogRecord> {
        let header = self.study.header();
        let identity = Identity {
            study: header.name.clone(),
            pipeline: header.pipeline.clone(),
            stage: header.stage.clone(),
            trial: id,
            attempt: Attempt(self.study.trial(id).map_or(1, |trial| trial.attempts + 1)),
        };
        let dirs = Dirs {
            workdir: self.parts.workdir.clone(),
            trial: self.dir.trial(id),
        };
        let (sender, records) = mpsc::channel();
        let Ok(log) = TrialLogger::in_process(identity, dirs, collecting(sender)) else {
            return Vec::new();
        };
        let mut log = log
            .with_deciding_metrics(&header.deciding_metrics())
            .with_resource(header.resource.as_ref());
        for values in reread.reports {
            // A flaw in a report becomes a warning of the trial.
            let _ = log.report_values(values);
        }
        let _ = log.finish();
        drop(log);
        records.into_iter().collect()
    }
}

/// Returns a sink that sends each record on.
fn collecting(sender: Sender<LogRecord>) -> Box<dyn swath_log::Sink> {
    Box::new(move |record| {
        let _ = sender.send(record);
        Directive::Continue
    })
}

/// Returns the reason why a trial's output is not to be read again.
fn refusal(trial: &Trial) -> Option<String> {
    match (&trial.state, &trial.exit) {
        (TrialState::Failed, Some(Exit::Failed(Failure::NoObjective(_)))) => None,
        (TrialState::Failed, _) => Some("it failed for another reason".to_owned()),
        (TrialState::Complete, _) => Some("it is complete and keeps its result".to_owned()),
        (state, _) => Some(format!("it is {}", state.word())),
    }
}

/// Returns whether a report comes from the output, not from a line of the records file.
fn is_from_output((record, line_end): &Recorded) -> bool {
    matches!(record, LogRecord::Report { .. }) && line_end.is_none()
}

/// Returns the reason why a trial still lacks an objective, if it does.
fn missing_objective(study: &Study, records: &[Recorded], reread: &Reread) -> Option<String> {
    let recorded = records.iter().filter_map(|(record, _)| match record {
        LogRecord::Report { values } => Some(values),
        _ => None,
    });
    let reports: Vec<_> = recorded.chain(&reread.reports).collect();
    study.header().objectives.iter().find_map(|objective| {
        let metric = &objective.metric;
        let has_number = reports.iter().any(|values| {
            values.iter().any(|(name, datum)| {
                name == metric
                    && matches!(datum, Datum::Number(Metric(number)) if number.is_finite())
            })
        });
        if has_number {
            return None;
        }
        let clue = reread.clues.iter().find(|(name, _)| name == metric);
        let why = clue.map_or("was never reported", |(_, why)| why);
        Some(format!("`{metric}` {why}"))
    })
}

/// Returns the records of each trial that count: those since it last started from the beginning.
/// Reasons for missing values are left out, and texts of metrics that decide become numbers where
/// they can.
fn records_of(
    dir: &StudyDir,
    trials: &[TrialId],
) -> Result<BTreeMap<TrialId, Vec<Recorded>>, JournalError> {
    let mut records: BTreeMap<TrialId, Vec<Recorded>> =
        trials.iter().map(|id| (*id, Vec::new())).collect();
    let mut deciding = Vec::new();
    let mut journal = Journal::open(dir)?;
    while let Some(entry) = journal.next() {
        match entry?.event {
            Event::Opened { header, .. } | Event::Edited { header, .. } => {
                deciding = header.deciding_metrics();
            }
            Event::Started {
                trial,
                resume: false,
                ..
            } => {
                if let Some(records) = records.get_mut(&trial) {
                    records.clear();
                }
            }
            Event::Logged {
                trial,
                record,
                line_end,
                ..
            } if !matches!(record, LogRecord::Absent { .. }) => {
                if let Some(records) = records.get_mut(&trial) {
                    records.push((record, line_end));
                }
            }
            _ => {}
        }
    }
    for (record, _) in records.values_mut().flatten() {
        if let LogRecord::Report { values } = record {
            read_numbers(values, &deciding);
        }
    }
    Ok(records)
}

/// Reads the numbers in quotes of metrics that decide.
fn read_numbers(values: &mut [(Name, Datum)], deciding: &[Name]) {
    for (name, datum) in values {
        if let Datum::Text(text) = datum
            && deciding.contains(name)
            && let Ok(number) = text.trim().parse()
        {
            *datum = Datum::Number(Metric(number));
        }
    }
}
