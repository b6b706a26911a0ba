//! Repetitions: the program of an ended trial runs once more, outside of the study, and its records
//! are compared with those of the trial.
//!
//! A repetition runs in the slot of its trial, after the end of the trial was reported and before
//! the slot is free. It has the trial's parameters and seed, and a folder of its own. Nothing of it
//! reaches the driver.

use super::Exit;
use serde_json::Value;
use std::collections::BTreeSet;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use swath_log::regular;
use swath_model::space::Name;
use swath_model::study::LogRecord;

/// Longest `records.jsonl` that is compared, in bytes.
const LONGEST_RECORDS: usize = 16 << 20;

/// Beginning of the notes that say why a program was not forked.
pub(super) const COLD: &str = "cold: ";

/// The way in which a program is started once more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repetition {
    /// As any other program.
    Cold,
    /// Forked from its host.
    Forked,
}

/// The records of a running attempt, as its thread and its sink share them.
#[derive(Debug, Clone, Default)]
pub(super) struct RecordCopies(Arc<Mutex<Vec<LogRecord>>>);

impl RecordCopies {
    pub(super) fn push(&self, record: LogRecord) {
        let mut records = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        records.push(record);
    }

    /// Returns why the program was not forked, if it was to be.
    pub(super) fn cold_start(&self) -> Option<String> {
        let records = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        records.iter().find_map(|record| match record {
            LogRecord::Note { text } => text.strip_prefix(COLD).map(str::to_owned),
            _ => None,
        })
    }

    fn take(&self) -> Vec<LogRecord> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The end of an attempt and everything that it recorded, in the form in which attempts are
/// compared.
#[derive(Debug, Clone, PartialEq)]
pub struct Evidence {
    exit: Exit,
    records: Vec<Value>,
}

/// The reason why a repetition proves nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotRepeated {
    /// It was cut off, or its records cannot be read.
    CutOff,
    /// It was to be forked and started cold, for this reason.
    Cold(String),
}

/// The result of a comparison of two attempts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Differences {
    /// Whether the attempts ended differently, or have other kinds of records.
    in_kind: bool,
    /// Paths of the values that differ in at least one record.
    values: BTreeSet<String>,
}

/// The answer to the question whether a forked program records the same as one that starts cold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It does, apart from these values, in which two cold starts differ too.
    Equal(Vec<String>),
    /// It does not; the text says where.
    Different(String),
    /// Two cold starts differ in a deciding metric or in their kinds of records; the text says
    /// where.
    Unsteady(String),
}

impl Evidence {
    /// Gathers the records of an ended attempt whose folder is `dir`. In them, `dir` is replaced by
    /// the folder of the trial, `trial`.
    ///
    /// # Errors
    /// Fails if its records cannot be read, or are too long.
    pub(super) fn gather(
        exit: Exit,
        copies: &RecordCopies,
        dir: &Path,
        trial: &Path,
    ) -> io::Result<Self> {
        let mut records: Vec<Value> = copies
            .take()
            .into_iter()
            .filter(|record| !is_of_start(record))
            .filter_map(|record| serde_json::to_value(record).ok())
            .collect();
        // Metrics are in no record of the journal.
        let lines = match regular::read(&dir.join("records.jsonl")) {
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            lines => lines?,
        };
        if lines.len() > LONGEST_RECORDS {
            return Err(ErrorKind::FileTooLarge.into());
        }
        let lines = String::from_utf8_lossy(&lines);
        records.extend(
            lines
                .lines()
                .map(read_line)
                .filter(|line| !is_question(line)),
        );
        let (from, to) = (dir.to_string_lossy(), trial.to_string_lossy());
        for record in &mut records {
            forget_copy(record);
            replace(record, &from, &to);
        }
        Ok(Self { exit, records })
    }

    fn differences(&self, other: &Self) -> Differences {
        let mut differences = Differences {
            in_kind: self.exit != other.exit || self.records.len() != other.records.len(),
            ..Differences::default()
        };
        for (one, two) in self.records.iter().zip(&other.records) {
            if kind(one) != kind(two) {
                differences.in_kind = true;
            } else if one != two {
                compare(&kind(one), one, two, &mut differences.values);
            }
        }
        differences
    }
}

/// Compares a forked repetition with its trial, which has started cold. A second cold start, which
/// is made only if the two differ, tells which values vary by themselves. The metrics `deciding`
/// must not vary.
///
/// # Errors
/// Returns the reason why there is no second cold start.
pub(super) fn judge(
    trial: &Evidence,
    forked: &Evidence,
    deciding: &[Name],
    start_cold: impl FnOnce() -> Result<Evidence, NotRepeated>,
) -> Result<Verdict, NotRepeated> {
    let differences = trial.differences(forked);
    if differences == Differences::default() {
        return Ok(Verdict::Equal(Vec::new()));
    }
    let varying = trial.differences(&start_cold()?);
    if varying.in_kind {
        return Ok(Verdict::Unsteady("their kinds of records".to_owned()));
    }
    if let Some(name) = deciding.iter().find(|name| {
        varying
            .values
            .iter()
            .any(|path| last_name(path) == &***name)
    }) {
        return Ok(Verdict::Unsteady(format!("`{name}`")));
    }
    if differences.in_kind {
        return Ok(Verdict::Different("other kinds of records".to_owned()));
    }
    let changed: Vec<&String> = differences.values.difference(&varying.values).collect();
    Ok(match changed.first() {
        Some(path) => Verdict::Different(format!("another `{}`", last_name(path))),
        None => {
            let names: BTreeSet<&str> = varying.values.iter().map(|path| last_name(path)).collect();
            Verdict::Equal(names.into_iter().map(str::to_owned).collect())
        }
    })
}

/// Returns whether a record comes from the start of the program, and not from the program.
fn is_of_start(record: &LogRecord) -> bool {
    matches!(record, LogRecord::Note { text } if text.starts_with(COLD))
}

/// Reads a line of records; one that is no JSON is compared as a text.
fn read_line(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|_| Value::String(line.to_owned()))
}

/// Returns whether a line only asks whether the trial may go on. Its id names the process.
fn is_question(line: &Value) -> bool {
    line.get("kind").is_some_and(|kind| kind == "ask")
}

/// Removes what depends on whether models are held, which repetitions do not do.
fn forget_copy(record: &mut Value) {
    if let Some(model) = record.get_mut("model").and_then(Value::as_object_mut) {
        model.remove("held");
    }
}

fn replace(value: &mut Value, from: &str, to: &str) {
    match value {
        Value::String(text) if text.contains(from) => *text = text.replace(from, to),
        Value::Array(items) => items.iter_mut().for_each(|item| replace(item, from, to)),
        Value::Object(fields) => fields
            .values_mut()
            .for_each(|field| replace(field, from, to)),
        _ => {}
    }
}

/// Returns the kind of a record with its metric, if it names one: values of different metrics are
/// not the same value.
fn kind(record: &Value) -> String {
    let Some(fields) = record.as_object() else {
        return "text".to_owned();
    };
    let (first, content) = fields
        .iter()
        .next()
        .map_or(("", record), |(key, content)| (key, content));
    let kind = record.get("kind").and_then(Value::as_str).unwrap_or(first);
    // A record of the journal holds its fields below its kind.
    let name = [record, content]
        .into_iter()
        .find_map(|fields| fields.get("name")?.as_str());
    format!("{kind} {}", name.unwrap_or_default())
}

/// Adds the paths at which two values differ. Items of a list have the path of the list.
fn compare(path: &str, one: &Value, two: &Value, differing: &mut BTreeSet<String>) {
    match (one, two) {
        (Value::Object(one), Value::Object(two)) => {
            let keys: BTreeSet<&String> = one.keys().chain(two.keys()).collect();
            for key in keys {
                let path = format!("{path}\n{key}");
                match (one.get(key), two.get(key)) {
                    (Some(one), Some(two)) => compare(&path, one, two, differing),
                    _ => _ = differing.insert(path),
                }
            }
        }
        (Value::Array(one), Value::Array(two)) if one.len() == two.len() => {
            for (one, two) in one.iter().zip(two) {
                compare(path, one, two, differing);
            }
        }
        _ if one != two => _ = differing.insert(path.to_owned()),
        _ => {}
    }
}

/// Returns the last name of a path.
fn last_name(path: &str) -> &str {
    path.rsplit('\n').next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn evidence(records: &[Value]) -> Evidence {
        Evidence {
            exit: Exit::Done,
            records: records.to_vec(),
        }
    }

    fn report(loss: f64, seconds: f64) -> Evidence {
        evidence(&[json!({"loss": loss, "seconds": seconds, "epoch": 1})])
    }

    fn verdict(trial: &Evidence, forked: &Evidence, cold: &Evidence) -> Verdict {
        let deciding = [Name::from("loss")];
        judge(trial, forked, &deciding, || Ok(cold.clone())).unwrap()
    }

    #[test]
    fn equal_records_need_no_second_cold_start() {
        let trial = report(0.5, 1.0);
        let verdict = judge(&trial, &trial.clone(), &[], || unreachable!());
        assert_eq!(verdict, Ok(Verdict::Equal(Vec::new())));
    }

    #[test]
    fn a_value_that_differs_between_two_cold_starts_is_not_compared() {
        let verdict = verdict(&report(0.5, 1.0), &report(0.5, 0.1), &report(0.5, 1.1));
        assert_eq!(verdict, Verdict::Equal(vec!["seconds".to_owned()]));
    }

    #[test]
    fn a_value_that_is_equal_in_cold_starts_and_different_in_a_fork_is_a_difference() {
        let verdict = verdict(&report(0.5, 1.0), &report(0.6, 0.1), &report(0.5, 1.1));
        assert_eq!(verdict, Verdict::Different("another `loss`".to_owned()));
    }

    #[test]
    fn a_program_whose_objective_differs_between_two_cold_starts_proves_nothing() {
        for forked in [report(0.5, 2.0), report(0.9, 2.0)] {
            let verdict = verdict(&report(0.5, 1.0), &forked, &report(0.7, 1.0));
            assert_eq!(verdict, Verdict::Unsteady("`loss`".to_owned()));
        }
    }

    #[test]
    fn another_number_or_order_of_records_is_a_difference() {
        let one = json!({"kind": "note", "text": "a"});
        let two = json!({"kind": "metric", "name": "a", "value": 1});
        let trial = evidence(&[one.clone(), two.clone()]);
        let steady = "other kinds of records".to_owned();
        for records in [vec![one.clone()], vec![two.clone(), one.clone()]] {
            assert_eq!(
                verdict(&trial, &evidence(&records), &trial),
                Verdict::Different(steady.clone())
            );
            assert!(matches!(
                verdict(&trial, &trial_with(&trial, 3), &evidence(&records)),
                Verdict::Unsteady(_)
            ));
        }
    }

    /// Returns the attempt with another value of its metric.
    fn trial_with(trial: &Evidence, value: i32) -> Evidence {
        let mut other = trial.clone();
        other.records[1]["value"] = json!(value);
        other
    }

    #[test]
    fn a_metric_that_varies_hides_no_other_metric() {
        let metrics = |time: f64, loss: f64| {
            evidence(&[
                json!({"kind": "metric", "name": "time", "value": time}),
                json!({"kind": "metric", "name": "other", "value": loss}),
            ])
        };
        let verdict = verdict(&metrics(1.0, 0.5), &metrics(2.0, 0.6), &metrics(3.0, 0.5));
        assert_eq!(verdict, Verdict::Different("another `value`".to_owned()));
    }

    #[test]
    fn the_folders_of_trial_and_repetition_and_the_notes_of_starts_make_no_difference() {
        let study = tempfile::tempdir().unwrap();
        let gathered = |name: &str, reason: &str| {
            let dir = study.path().join(name);
            std::fs::create_dir(&dir).unwrap();
            let path = dir.join("x").display().to_string();
            let line = json!({"kind": "artifact", "path": path}).to_string() + "\nno JSON\n";
            std::fs::write(dir.join("records.jsonl"), line).unwrap();
            let copies = RecordCopies::default();
            copies.push(LogRecord::Note {
                text: format!("{COLD}{reason}"),
            });
            Evidence::gather(Exit::Done, &copies, &dir, &study.path().join("3")).unwrap()
        };
        let trial = gathered("3", "its host starts");
        assert_eq!(trial.records.len(), 2);
        assert_eq!(trial, gathered("repetition", "another reason"));
    }
}
