//! Reads the metric files of a trial's folder, `metrics/<log>.json`, row by row. The log of the
//! reports is skipped, since reports are in the journal.

use super::home::failed;
use super::{TrackerError, steps};
use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::io::{BufRead, BufReader, ErrorKind};
use std::ops::Range;
use std::path::{Path, PathBuf};
use swath_log::regular;
use swath_model::source::{Diagnostic, Diagnostics, Node, NodeValue, Opt, Preset, Section, Takes};
use swath_model::space::Name;
use swath_model::study::{Attempt, Axis, Due, LogFreq, LogOnWorkers};

/// The name of the log that holds the reports.
pub const REPORTS: &str = "report";

/// Number of rows after which a tracker signals a step.
const ROWS_A_STEP: u64 = 1024;

/// Keys that locate a row instead of holding a measured value.
const LOCATING_KEYS: [&str; 5] = ["step", "batch", "context", "rank", "at"];

/// One row of metrics. Borrows from the line that it was parsed from.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricRow<'a> {
    /// The number of the row in its file, from 0. Lines that are not rows count too.
    pub number: u64,
    /// The bytes of the row in its file.
    pub bytes: Range<u64>,
    /// The time in seconds since 1970, if the row has one.
    pub at: Option<f64>,
    /// The step, batch, context, rank and time as given in the row, as far as present.
    pub location: Vec<(&'static str, Value)>,
    /// The measured values by key. Nulls, lists and objects are left out.
    pub values: Vec<(Cow<'a, str>, Datum<'a>)>,
}

impl MetricRow<'_> {
    /// Returns the locating value `key` if it is a non-negative integer.
    fn count(&self, key: &str) -> Option<u64> {
        let (_, value) = self.location.iter().find(|(name, _)| *name == key)?;
        value.as_u64().or_else(|| match value.as_f64()? {
            number if steps::is_whole(number) && number >= 0.0 => Some(number as u64),
            _ => None,
        })
    }

    /// Returns the number under `key`, among the locating keys or the measured values, if it is
    /// finite.
    #[must_use]
    pub fn finite(&self, key: &str) -> Option<f64> {
        let location = self.location.iter().find(|(name, _)| *name == key);
        let number = match location {
            Some((_, value)) => value.as_f64(),
            None => self.values.iter().find_map(|(name, datum)| match datum {
                Datum::Number(number) if name == key => Some(*number),
                _ => None,
            }),
        };
        number.filter(|number| number.is_finite())
    }
}

/// A measured value of a row.
#[derive(Debug, Clone, PartialEq)]
pub enum Datum<'a> {
    /// Occurs for numbers, NaN and the infinities included.
    Number(f64),
    /// Occurs for texts and booleans, as text.
    Text(Cow<'a, str>),
}

/// The option `log_freq`: the rows that a tracker writes, selected by their batch.
pub const LOG_FREQ: Opt = Opt::new(
    "log_freq",
    Takes::Either(&[Takes::OneOf(&["batch", "epoch"]), Takes::Count(1)]),
    Preset::Text("batch"),
    "which rows of `metrics/<log>.json` are written: every row; rows without a `batch`; or those, and rows \
     whose `batch` is a multiple of the number",
);

/// The option `log_on_workers`: the workers whose rows a tracker writes.
pub const LOG_ON_WORKERS: Opt = Opt::new(
    "log_on_workers",
    Takes::Either(&[Takes::Integer(-1), Takes::List(&Takes::Count(0))]),
    Preset::Derived("`-1`"),
    "the ranks of the workers whose rows are written; `-1` for all",
);

/// Reads the options `log_freq` and `log_on_workers`, which select the rows that a tracker writes.
/// Default: all rows of all workers.
pub fn take_due(section: &mut Section, diagnostics: &mut Diagnostics) -> Due {
    let mut due = Due::default();
    if let Some(node) = section.take("log_freq") {
        match &node.value {
            NodeValue::Text(word) if word == "batch" => due.freq = LogFreq::Batch,
            NodeValue::Text(word) if word == "epoch" => due.freq = LogFreq::Epoch,
            NodeValue::Int(every) if *every > 0 => {
                due.freq = u64::try_from(*every)
                    .ok()
                    .and_then(std::num::NonZeroU64::new)
                    .map_or(due.freq, LogFreq::Every);
            }
            _ => diagnostics.push(wrong_value(
                "log_freq",
                "`\"epoch\"`, `\"batch\"`, or a whole number from 1",
                &node,
            )),
        }
    }
    if let Some(node) = section.take("log_on_workers") {
        let ranks = match &node.value {
            NodeValue::Int(-1) => Some(LogOnWorkers::All),
            NodeValue::Array(items) => items
                .iter()
                .map(|item| rank(&item.value))
                .collect::<Option<_>>()
                .map(LogOnWorkers::Only),
            value => rank(value).map(|rank| LogOnWorkers::Only(vec![rank])),
        };
        match ranks {
            Some(ranks) => due.workers = ranks,
            None => diagnostics.push(wrong_value(
                "log_on_workers",
                "a rank, a list of ranks, or -1 for all",
                &node,
            )),
        }
    }
    due
}

fn rank(value: &NodeValue) -> Option<u32> {
    match value {
        NodeValue::Int(rank) => u32::try_from(*rank).ok(),
        _ => None,
    }
}

fn wrong_value(key: &str, expected: &str, node: &Node) -> Diagnostic {
    let message = format!("`{key}` must be {expected}");
    Diagnostic::error("wrong-value", message).at(node.span.clone(), "is something else")
}

/// Returns the folder with the files of an attempt. They are moved when a later attempt starts anew,
/// together with those of the attempts that it resumed.
#[must_use]
pub fn folder_of_attempt(trial: &Path, attempt: Attempt) -> PathBuf {
    let moved = trial.join("attempts");
    let numbers = std::fs::read_dir(&moved).into_iter().flatten();
    let numbers = numbers.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let number = numbers.filter(|number: &u32| *number >= attempt.0).min();
    number.map_or_else(|| trial.to_owned(), |number| moved.join(number.to_string()))
}

/// Calls `each` for every row in the trial's folder that `due` selects, log by log in the order of
/// their names. Rows of workers other than rank 0 belong to the log `worker_<rank>/<log>`. Lines
/// that are not rows are skipped.
///
/// # Errors
/// Returns an error if an existing file cannot be read, or the error of `each`.
pub fn each_row(
    trial: &Path,
    due: &Due,
    mut each: impl FnMut(&str, MetricRow<'_>) -> Result<(), TrackerError>,
) -> Result<(), TrackerError> {
    let folder = trial.join("metrics");
    for log in logs(&folder)? {
        each_row_of(&folder.join(format!("{log}.json")), |row| {
            // A row without a rank comes from the first worker.
            match row
                .count("rank")
                .and_then(|rank| u32::try_from(rank).ok())
                .unwrap_or(0)
            {
                rank if !due.should_log(rank, row.count("batch")) => Ok(()),
                0 => each(&log, row),
                rank => each(&format!("worker_{rank}/{log}"), row),
            }
        })?;
    }
    Ok(())
}

/// Calls `each` with the reports of a trial, as rows of the log [`REPORTS`].
///
/// # Errors
/// As [`each_row`].
pub fn each_report(
    trial: &Path,
    mut each: impl FnMut(&str, MetricRow<'_>) -> Result<(), TrackerError>,
) -> Result<(), TrackerError> {
    let path = trial.join("metrics").join(format!("{REPORTS}.json"));
    if !path.exists() {
        return Ok(());
    }
    each_row_of(&path, |row| each(REPORTS, row))
}

fn each_row_of(
    path: &Path,
    mut each: impl FnMut(MetricRow<'_>) -> Result<(), TrackerError>,
) -> Result<(), TrackerError> {
    let file = regular::open(path).map_err(failed(path))?;
    let mut reader = BufReader::with_capacity(1 << 16, file);
    let (mut line, mut ordinal, mut offset) = (Vec::new(), 0_u64, 0_u64);
    while reader.read_until(b'\n', &mut line).map_err(failed(path))? > 0 {
        let bytes = offset..offset + line.len() as u64;
        offset = bytes.end;
        if let Some(row) = row(&quoted(&line), ordinal, bytes) {
            each(row)?;
        }
        ordinal += 1;
        line.clear();
        if ordinal % ROWS_A_STEP == 0 {
            super::retry::beat()?;
        }
    }
    Ok(())
}

/// The integer steps of the rows of a trial's logs. Each log is read once beforehand, because its
/// axis and its scale depend on all of its rows.
#[derive(Debug, Default)]
pub struct LogSteps(BTreeMap<String, LogAxis>);

/// The axis of one log, and the position of its last row.
#[derive(Debug, Default)]
struct LogAxis {
    axis: Axis,
    /// Whether any row has a batch. Several rows then share a step, so all rows are numbered
    /// instead.
    batches: bool,
    /// Whether any row has a fractional position on the axis.
    fractional: bool,
    /// The position of the last row, which a row without a position repeats.
    before: Option<f64>,
}

impl LogSteps {
    /// Determines the axes of the trial's logs from the rows that `due` selects.
    ///
    /// # Errors
    /// Returns an error if an existing file cannot be read.
    pub fn read(trial: &Path, due: &Due, resource: Option<&Name>) -> Result<Self, TrackerError> {
        let mut logs = BTreeMap::<String, LogAxis>::new();
        each_row(trial, due, |log, row| {
            let log = match logs.get_mut(log) {
                Some(log) => log,
                None => logs.entry(log.to_owned()).or_default(),
            };
            // The scheduler's resource takes precedence over the usual counters, unless an earlier
            // row of the log has chosen the axis.
            if log.axis.is_number()
                && resource.is_some_and(|resource| row.finite(resource).is_some())
            {
                log.axis = Axis::of(resource);
            }
            log.batches |= row.finite("batch").is_some();
            let position = log.advance(&row);
            log.fractional |= position.is_some_and(|position| !steps::is_whole(position));
            Ok(())
        })?;
        // The rows are read again for their steps, from the first.
        logs.values_mut().for_each(|log| log.before = None);
        Ok(Self(logs))
    }

    /// Returns the exported step of the next row of `log`.
    pub fn next(&mut self, log: &str, row: &MetricRow<'_>) -> i64 {
        let number = i64::try_from(row.number).unwrap_or(i64::MAX);
        let Some(log) = self.0.get_mut(log).filter(|log| !log.batches) else {
            return number;
        };
        let position = log.advance(row);
        match log.axis.key() {
            Some(_) => steps::scaled(position.unwrap_or(0.0), log.parts()),
            None => number,
        }
    }

    /// Returns the scale of a log's axis: the exported steps per unit.
    pub fn parts(&self, log: &str) -> i64 {
        self.0.get(log).map_or(1, LogAxis::parts)
    }
}

impl LogAxis {
    /// Returns the scale of the axis: the exported steps per unit.
    fn parts(&self) -> i64 {
        if self.fractional && !self.batches {
            steps::PARTS
        } else {
            1
        }
    }

    /// Returns the position of the next row on the axis, and remembers it.
    fn advance(&mut self, row: &MetricRow<'_>) -> Option<f64> {
        self.before = self
            .axis
            .place(row.number, self.before, |key| row.finite(key));
        self.before
    }
}

/// Returns the names of the logs in a folder, sorted, without the log of the reports. A missing
/// folder has none.
fn logs(folder: &Path) -> Result<Vec<String>, TrackerError> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(folder)(error)),
    };
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut logs: Vec<_> = names
        .filter_map(|name| Some(name.strip_suffix(".json")?.to_owned()))
        .collect();
    logs.retain(|log| log != REPORTS);
    logs.sort();
    Ok(logs)
}

/// Parses a line. Returns `None` if it is not a JSON object.
fn row(line: &[u8], number: u64, bytes: Range<u64>) -> Option<MetricRow<'_>> {
    let Cells { location, values } = serde_json::from_slice(line).ok()?;
    let at = location
        .iter()
        .find(|(name, _)| *name == "at")
        .and_then(|(_, value)| value.as_f64());
    Some(MetricRow {
        number,
        bytes,
        at,
        location,
        values,
    })
}

/// A parsed row. Deserialized without an intermediate tree of values, since there may be millions
/// of rows.
struct Cells<'a> {
    location: Vec<(&'static str, Value)>,
    values: Vec<(Cow<'a, str>, Datum<'a>)>,
}

/// A key of a row, copied only if it contains an escape sequence.
#[derive(Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de> Deserialize<'de> for Cells<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Row;
        impl<'de> Visitor<'de> for Row {
            type Value = Cells<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of metrics")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Cells<'de>, A::Error> {
                let mut cells = Cells {
                    location: Vec::with_capacity(4),
                    values: Vec::with_capacity(4),
                };
                while let Some(Key(key)) = map.next_key()? {
                    let Some(key) = LOCATING_KEYS.into_iter().find(|locating| *locating == key)
                    else {
                        let Cell(datum) = map.next_value()?;
                        cells.values.extend(datum.map(|datum| (key, datum)));
                        continue;
                    };
                    let value: Value = map.next_value()?;
                    // NaN and the infinities cannot locate a row.
                    if value.as_str().is_none_or(|text| !text.starts_with(BARE)) {
                        cells.location.push((key, value));
                    }
                }
                Ok(cells)
            }
        }
        deserializer.deserialize_map(Row)
    }
}

/// A value of a row; `None` for null, lists and objects.
struct Cell<'a>(Option<Datum<'a>>);

impl<'de> Deserialize<'de> for Cell<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Single;
        impl<'de> Visitor<'de> for Single {
            type Value = Cell<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }
            fn visit_f64<E>(self, number: f64) -> Result<Self::Value, E> {
                Ok(Cell(Some(Datum::Number(number))))
            }
            fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
                Ok(Cell(Some(Datum::Number(number as f64))))
            }
            fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
                Ok(Cell(Some(Datum::Number(number as f64))))
            }
            fn visit_bool<E>(self, flag: bool) -> Result<Self::Value, E> {
                Ok(Cell(Some(Datum::Text(Cow::Borrowed(if flag {
                    "true"
                } else {
                    "false"
                })))))
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Cell(Some(datum(Cow::Borrowed(text)))))
            }
            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Cell(Some(datum(Cow::Owned(text.to_owned())))))
            }
            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Cell(None))
            }
            // Lists and objects are consumed but not kept: they are not metric values.
            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
                while items.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Cell(None))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
                while items.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Cell(None))
            }
        }
        deserializer.deserialize_any(Single)
    }
}

/// The prefix of a text that stands for NaN or an infinity, which JSON does not have. It separates
/// such a text from one that the user wrote.
const BARE: &str = "\u{1}";

/// Replaces bare `NaN`, `Infinity` and `-Infinity` outside of strings by marked texts, so that the
/// line becomes valid JSON. Lines without them are not copied.
fn quoted(line: &[u8]) -> Cow<'_, [u8]> {
    if !line.contains(&b'N') && !line.contains(&b'I') {
        return Cow::Borrowed(line);
    }
    let mut out = Vec::with_capacity(line.len() + 16);
    let (mut rest, mut is_in_string) = (line, false);
    while let Some(first) = rest.first() {
        let bare = ["NaN", "Infinity", "-Infinity"]
            .into_iter()
            .find(|word| rest.starts_with(word.as_bytes()));
        // Within a string an escape takes two bytes.
        let taken = match (is_in_string, bare, first) {
            (false, Some(word), _) => {
                out.extend_from_slice(format!("\"\\u0001{word}\"").as_bytes());
                rest = &rest[word.len()..];
                continue;
            }
            (true, _, b'\\') => rest.len().min(2),
            _ => 1,
        };
        is_in_string ^= taken == 1 && *first == b'"';
        out.extend_from_slice(&rest[..taken]);
        rest = &rest[taken..];
    }
    Cow::Owned(out)
}

/// Returns the datum for a text, or for the number that [`quoted`] turned into a text.
fn datum(text: Cow<'_, str>) -> Datum<'_> {
    match text.strip_prefix(BARE) {
        Some("NaN") => Datum::Number(f64::NAN),
        Some("Infinity") => Datum::Number(f64::INFINITY),
        Some("-Infinity") => Datum::Number(f64::NEG_INFINITY),
        _ => Datum::Text(text),
    }
}

#[cfg(test)]
mod tests {
    use super::{Datum, LogSteps, MetricRow, each_row, take_due};
    use swath_model::source::{Diagnostics, Section, Table};
    use swath_model::study::Due;

    /// Returns the batches of the rows that a tracker with these options receives, or the error in
    /// the options.
    fn batches(options: &str) -> Result<String, String> {
        let trial = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(trial.path().join("metrics")).unwrap();
        let rows: String = (0..6)
            .flat_map(|batch| {
                [0, 1].map(|rank| {
                    format!("{{\"x\": 1, \"step\": 1, \"batch\": {batch}, \"rank\": {rank}}}\n")
                })
            })
            .chain(["{\"x\": 1, \"step\": 1}\n".to_owned()])
            .collect();
        std::fs::write(trial.path().join("metrics/train.json"), rows).unwrap();
        let mut diagnostics = Diagnostics::default();
        let mut section = Section::new(
            "tracker",
            0..options.len(),
            Table::parse(options, &mut diagnostics),
        );
        let due = take_due(&mut section, &mut diagnostics);
        if let Some(first) = diagnostics.list.first() {
            return Err(first.message.clone());
        }
        let mut batches = String::new();
        each_row(trial.path(), &due, |log, row| {
            let batch = row
                .count("batch")
                .map_or("-".to_owned(), |batch| batch.to_string());
            let prefix = if log == "train" { "" } else { "w" };
            batches.extend([prefix, &batch, " "]);
            assert!(log == "train" || log == "worker_1/train");
            Ok(())
        })
        .unwrap();
        Ok(batches)
    }

    /// Returns the exported steps of the rows of a log.
    fn steps(resource: Option<&str>, rows: &[&str]) -> Vec<i64> {
        let trial = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(trial.path().join("metrics")).unwrap();
        std::fs::write(
            trial.path().join("metrics/train.json"),
            rows.join("\n") + "\n",
        )
        .unwrap();
        let (due, resource) = (Due::default(), resource.map(swath_model::space::Name::from));
        let mut axes = LogSteps::read(trial.path(), &due, resource.as_ref()).unwrap();
        let mut steps = Vec::new();
        each_row(trial.path(), &due, |log, row| {
            steps.push(axes.next(log, &row));
            Ok(())
        })
        .unwrap();
        steps
    }

    #[test]
    fn all_rows_of_a_log_are_on_one_axis() {
        let integers = [
            r#"{"x": 1, "step": 50.0}"#,
            r#"{"x": 1}"#,
            r#"{"x": 1, "step": 100}"#,
        ];
        assert_eq!(steps(None, &integers), [50, 50, 100]);
        let fractions = [r#"{"x": 1, "epoch": 1}"#, r#"{"x": NaN, "epoch": 1.25}"#];
        assert_eq!(steps(None, &fractions), [1_000_000, 1_250_000]);
        let numbered = [r#"{"x": 1}"#, r#"{"x": 2}"#];
        assert_eq!(steps(None, &numbered), [0, 1]);
        let late = [r#"{"n": 9}"#, r#"{"x": 2}"#, r#"{"x": 2, "step": 7}"#];
        assert_eq!(
            steps(None, &late),
            [0, 0, 7],
            "rows before the first step are where the axis begins"
        );
        let batches = [
            r#"{"x": 1, "step": 0, "batch": 3}"#,
            r#"{"x": 1, "step": 0.5}"#,
        ];
        assert_eq!(
            steps(None, &batches),
            [0, 1],
            "either all rows of a log are numbered, or none"
        );
        let both = [r#"{"x": 1, "step": 10, "rows": 900}"#];
        assert_eq!(
            (steps(Some("rows"), &both), steps(Some("gone"), &both)),
            (vec![900], vec![10])
        );
    }

    #[test]
    fn each_tracker_gets_the_rows_that_its_options_select() {
        assert_eq!(batches("").unwrap(), "0 w0 1 w1 2 w2 3 w3 4 w4 5 w5 - ");
        assert_eq!(
            batches("log_freq = 2\nlog_on_workers = 0").unwrap(),
            "0 2 4 - "
        );
        assert_eq!(batches("log_freq = 'epoch'").unwrap(), "- ");
        assert_eq!(
            batches("log_freq = 'batch'\nlog_on_workers = [1]").unwrap(),
            "w0 w1 w2 w3 w4 w5 "
        );
        assert_eq!(
            batches("log_freq = 5\nlog_on_workers = -1").unwrap(),
            "0 w0 5 w5 - "
        );
        for wrong in ["log_freq = 0", "log_freq = 'day'", "log_freq = true"] {
            assert!(
                batches(wrong)
                    .unwrap_err()
                    .starts_with("`log_freq` must be"),
                "{wrong}"
            );
        }
        for wrong in [
            "log_on_workers = -2",
            "log_on_workers = ['a']",
            "log_on_workers = 'all'",
        ] {
            assert!(
                batches(wrong)
                    .unwrap_err()
                    .starts_with("`log_on_workers` must be"),
                "{wrong}"
            );
        }
    }

    #[test]
    fn rows_are_read_log_by_log_with_their_location_and_with_values_that_json_lacks() {
        let trial = tempfile::tempdir().unwrap();
        let metrics = trial.path().join("metrics");
        std::fs::create_dir_all(metrics.join(".keys")).unwrap();
        let write = |log: &str, text: &str| std::fs::write(metrics.join(log), text).unwrap();
        write("report.json", "{\"a\": 1, \"at\": 1.000}\n");
        write(
            "b.json",
            "{\"x\": -Infinity, \"t\": \"NaN \\\" NaN\", \"step\": 7, \"batch\": 2, \"at\": 2.5}\nrubbish\n",
        );
        write(
            "a.json",
            "{\"x\": NaN, \"step\": 3, \"at\": 1.250}\n{\"x\": null, \"list\": [1, {}], \"on\": true}\n",
        );
        let mut rows = Vec::new();
        each_row(
            trial.path(),
            &Due::default(),
            |log,
             MetricRow {
                 number, at, values, ..
             }| {
                rows.push(format!("{log} {number} {at:?} {values:?}"));
                Ok(())
            },
        )
        .unwrap();
        let text = Datum::Text("NaN \" NaN".into());
        assert_eq!(
            rows,
            [
                "a 0 Some(1.25) [(\"x\", Number(NaN))]".to_owned(),
                "a 1 None [(\"on\", Text(\"true\"))]".to_owned(),
                format!("b 0 Some(2.5) [(\"x\", Number(-inf)), (\"t\", {text:?})]"),
            ]
        );
    }

    #[test]
    fn a_trial_without_metrics_has_no_rows() {
        each_row(std::path::Path::new("/nowhere"), &Due::default(), |_, _| {
            panic!("a row")
        })
        .unwrap();
    }
}
