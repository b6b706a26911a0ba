//! The metric files of a trial's folder, `metrics/<log>.json`, read row by row. Reports are left out: those are in the journal.

use super::TrackerError;
use super::home::failed;
use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use std::borrow::Cow;
use std::fmt;
use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind};
use std::path::Path;

/// The log of the reports.
const REPORTS: &str = "report";

/// After so many rows a tracker that reads them is known to make progress.
const ROWS_A_STEP: i64 = 1024;

/// Keys of a row that say where it stands, not what was measured.
const PLACE: [&str; 4] = ["step", "batch", "context", "at"];

/// Metrics of one moment.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct MetricRow {
    /// The step; without one, or with a batch within it, the number of the row in its log.
    pub(crate) step: i64,
    /// When, in seconds since 1970.
    pub(crate) at: Option<f64>,
    /// The step, batch, context and time as they were given.
    pub(crate) place: Vec<(String, Value)>,
    /// What was measured.
    pub(crate) values: Vec<(String, Datum)>,
}

/// A value of a row.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Datum {
    /// A number, which may be NaN.
    Number(f64),
    /// Anything else, as text.
    Text(String),
}

/// Tells every row of the trial in `trial`, log by log in the order of their names. Lines that are no rows are left out.
///
/// # Errors
/// If a file that is there cannot be read, or `each` fails.
pub(crate) fn each_row(
    trial: &Path,
    mut each: impl FnMut(&str, MetricRow) -> Result<(), TrackerError>,
) -> Result<(), TrackerError> {
    let folder = trial.join("metrics");
    for log in logs(&folder)? {
        let path = folder.join(format!("{log}.json"));
        let mut reader = BufReader::with_capacity(1 << 16, File::open(&path).map_err(failed(&path))?);
        let (mut line, mut ordinal) = (Vec::new(), 0);
        while reader.read_until(b'\n', &mut line).map_err(failed(&path))? > 0 {
            if let Some(row) = row(&line, ordinal) {
                each(&log, row)?;
            }
            ordinal += 1;
            line.clear();
            if ordinal % ROWS_A_STEP == 0 {
                super::recorder::progress();
            }
        }
    }
    Ok(())
}

fn logs(folder: &Path) -> Result<Vec<String>, TrackerError> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(folder)(error)),
    };
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut logs: Vec<_> = names.filter_map(|name| Some(name.strip_suffix(".json")?.to_owned())).collect();
    logs.retain(|log| log != REPORTS);
    logs.sort();
    Ok(logs)
}

fn row(line: &[u8], ordinal: i64) -> Option<MetricRow> {
    let Cells { place, values } = serde_json::from_slice(&quoted(line)).ok()?;
    let number = |key: &str| place.iter().find(|(name, _)| name == key).and_then(|(_, value)| value.as_f64());
    let step = match (number("step"), number("batch")) {
        (Some(step), None) => super::step::whole(step).unwrap_or(ordinal),
        _ => ordinal,
    };
    Some(MetricRow { step, at: number("at"), place, values })
}

/// A row as it is read: without a tree of values in between, since there may be millions.
struct Cells {
    place: Vec<(String, Value)>,
    values: Vec<(String, Datum)>,
}

impl<'de> Deserialize<'de> for Cells {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Row;
        impl<'de> Visitor<'de> for Row {
            type Value = Cells;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of metrics")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Cells, A::Error> {
                let mut cells = Cells { place: Vec::with_capacity(4), values: Vec::with_capacity(4) };
                while let Some(key) = map.next_key::<String>()? {
                    if !PLACE.contains(&key.as_str()) {
                        let Cell(datum) = map.next_value()?;
                        cells.values.extend(datum.map(|datum| (key, datum)));
                        continue;
                    }
                    let value: Value = map.next_value()?;
                    if value.as_str().is_none_or(|text| !text.starts_with(BARE)) {
                        cells.place.push((key, value));
                    }
                }
                Ok(cells)
            }
        }
        deserializer.deserialize_map(Row)
    }
}

/// A value of a row, nothing if it is null or no single value.
struct Cell(Option<Datum>);

impl<'de> Deserialize<'de> for Cell {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Single;
        impl<'de> Visitor<'de> for Single {
            type Value = Cell;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }
            fn visit_f64<E>(self, number: f64) -> Result<Cell, E> {
                Ok(Cell(Some(Datum::Number(number))))
            }
            fn visit_i64<E>(self, number: i64) -> Result<Cell, E> {
                Ok(Cell(Some(Datum::Number(number as f64))))
            }
            fn visit_u64<E>(self, number: u64) -> Result<Cell, E> {
                Ok(Cell(Some(Datum::Number(number as f64))))
            }
            fn visit_bool<E>(self, flag: bool) -> Result<Cell, E> {
                Ok(Cell(Some(Datum::Text(flag.to_string()))))
            }
            fn visit_str<E>(self, text: &str) -> Result<Cell, E> {
                let datum = unquoted(text).map_or_else(|| Datum::Text(text.to_owned()), Datum::Number);
                Ok(Cell(Some(datum)))
            }
            fn visit_unit<E>(self) -> Result<Cell, E> {
                Ok(Cell(None))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Cell, A::Error> {
                while items.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Cell(None))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut items: A) -> Result<Cell, A::Error> {
                while items.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Cell(None))
            }
        }
        deserializer.deserialize_any(Single)
    }
}

/// What is put in front of a number that JSON does not have, to tell it from a text that looks like it.
const BARE: &str = "\u{1}";

/// Puts bare NaN and infinities into quotes.
fn quoted(line: &[u8]) -> Cow<'_, [u8]> {
    if !line.contains(&b'N') && !line.contains(&b'I') {
        return Cow::Borrowed(line);
    }
    let mut out = Vec::with_capacity(line.len() + 16);
    let (mut rest, mut inside) = (line, false);
    while let Some(first) = rest.first() {
        let bare =
            ["NaN", "Infinity", "-Infinity"].into_iter().find(|word| rest.starts_with(word.as_bytes()));
        let taken = match (inside, bare, first) {
            (false, Some(word), _) => {
                out.extend_from_slice(format!("\"\\u0001{word}\"").as_bytes());
                rest = &rest[word.len()..];
                continue;
            }
            (true, _, b'\\') => rest.len().min(2),
            _ => 1,
        };
        inside ^= taken == 1 && *first == b'"';
        out.extend_from_slice(&rest[..taken]);
        rest = &rest[taken..];
    }
    Cow::Owned(out)
}

fn unquoted(text: &str) -> Option<f64> {
    match text.strip_prefix(BARE)? {
        "NaN" => Some(f64::NAN),
        "Infinity" => Some(f64::INFINITY),
        "-Infinity" => Some(f64::NEG_INFINITY),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{Datum, MetricRow, each_row};

    #[test]
    fn rows_come_log_by_log_with_their_steps_and_numbers_that_json_does_not_have() {
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
        each_row(trial.path(), |log, MetricRow { step, at, values, .. }| {
            rows.push(format!("{log} {step} {at:?} {values:?}"));
            Ok(())
        })
        .unwrap();
        let text = Datum::Text("NaN \" NaN".into());
        assert_eq!(
            rows,
            [
                "a 3 Some(1.25) [(\"x\", Number(NaN))]".to_owned(),
                "a 1 None [(\"on\", Text(\"true\"))]".to_owned(),
                format!("b 0 Some(2.5) [(\"x\", Number(-inf)), (\"t\", {text:?})]"),
            ]
        );
    }

    #[test]
    fn a_trial_without_metrics_has_no_rows() {
        each_row(std::path::Path::new("/nowhere"), |_, _| panic!("a row")).unwrap();
    }
}
