//! The records of a trial: one type for every kind of line, with its encoder.
//!
//! Metrics are no [`Record`]. They come by the hundred thousand, so no list of their values is
//! built: [`encode_metrics`] writes them from the caller's slice, and the parser copies them from
//! the line into a row.

use super::{VERSION, row};
use crate::Point;
use serde::ser::{Serialize, SerializeMap, Serializer};
use std::path::PathBuf;
use swath_model::space::{Name, Value};
use swath_model::study::Datum;

/// The key of a report that names a model.
#[cfg(feature = "supervise")]
pub const MODEL_PATH: &str = "model_path";

/// The prefix of keys of a report that are facts about its model.
#[cfg(feature = "supervise")]
const MODEL_FACT: &str = "model_";

/// The keys that are facts about the model of a report without that prefix, too.
#[cfg(feature = "supervise")]
const PLAIN_MODEL_FACTS: [&str; 5] = ["framework", "memory", "name", "parameters", "type"];

/// Returns the facts about the model of a report, which are among the values of the report.
#[cfg(feature = "supervise")]
pub(crate) fn model_facts(values: &[(Name, Datum)]) -> Vec<(Name, Value)> {
    let fact = |(name, datum): &(Name, Datum)| {
        let fact = match name.strip_prefix(MODEL_FACT) {
            Some("path") => return None,
            Some(fact) if !fact.is_empty() => fact,
            _ if PLAIN_MODEL_FACTS.contains(&&**name) => name,
            _ => return None,
        };
        let value = match datum {
            Datum::Flag(flag) => Value::Bool(*flag),
            Datum::Number(number) if !number.0.is_finite() => return None,
            Datum::Number(number) => number_value(number.0),
            Datum::Text(text) => Value::Text(text.as_str().into()),
        };
        Some((fact.into(), value))
    };
    values.iter().filter_map(fact).collect()
}

/// A record as the trial makes it. The supervising side adds digests and stores files, and makes
/// a [`LogRecord`](swath_model::study::LogRecord) of it.
#[derive(Debug, Clone, PartialEq)]
pub enum Record {
    /// A report, whose values decide.
    Report {
        /// The values, in order.
        values: Vec<(Name, Datum)>,
    },
    /// The trial read a data set.
    Dataset {
        /// The path as the trial wrote it.
        path: PathBuf,
        /// The purpose of the data set; may be empty.
        role: String,
    },
    /// The trial wrote a model.
    Model {
        /// The path as the trial wrote it.
        path: String,
        /// The step of the model, if the record has one.
        step: Option<f64>,
        /// Whether this version is to be kept regardless of later ones.
        keep: bool,
        /// Further facts about the model.
        facts: Vec<(Name, Value)>,
    },
    /// An object or list that is to be stored as a file.
    Dict {
        /// The name of the file, which is `.json` without an extension.
        name: String,
        /// The object or list as JSON.
        json: String,
    },
    /// A text that is to be stored as a file.
    Text {
        /// The name of the file, which is `.txt` without an extension.
        name: String,
        /// The content of the file.
        text: String,
    },
    /// A file that is to be stored.
    Artifact {
        /// The path as the trial wrote it.
        path: String,
        /// The folder below `artifacts/`, if the record names one.
        folder: Option<String>,
    },
    /// A checkpoint is complete.
    Checkpoint {
        /// The resource at which it was taken, if the record has one.
        step: Option<f64>,
    },
    /// A free text.
    Note {
        /// The text.
        text: String,
    },
    /// The configuration cannot work.
    Invalid {
        /// The reason.
        why: String,
    },
    /// Final results.
    Outputs(Vec<(Name, Value)>),
    /// Parameters that the trial determined itself.
    Params(Vec<(Name, Value)>),
    /// The question whether the trial continues, after all records before this one.
    Ask {
        /// The id that the answer must have.
        id: String,
    },
    /// A record without content, such as a line that declares the version of the format.
    Nothing,
}

/// Returns a finite number as a value: a whole one as an integer.
#[cfg(feature = "supervise")]
fn number_value(number: f64) -> Value {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if number.fract() == 0.0 && number.abs() <= EXACT {
        Value::Int(number as i64)
    } else {
        Value::Float(number)
    }
}

impl Record {
    /// Returns the maximum number of records that the journal gets from the line, warnings not
    /// counted.
    #[cfg(feature = "supervise")]
    pub(crate) fn most_log_records(&self) -> u32 {
        let count = match self {
            Self::Report { values } if values.iter().any(|(name, _)| &**name == MODEL_PATH) => {
                2 + usize::from(!model_facts(values).is_empty())
            }
            Self::Report { .. } => 1,
            Self::Model { facts, .. } => 1 + usize::from(!facts.is_empty()),
            Self::Outputs(values) | Self::Params(values) => values.len(),
            Self::Ask { .. } | Self::Nothing => 0,
            _ => 1,
        };
        u32::try_from(count).unwrap_or(u32::MAX)
    }

    /// Writes the record to `line` as one line, without a line break. `rank` is the rank of the
    /// process, which its reports contain unless it is 0.
    pub(crate) fn encode(&self, line: &mut Vec<u8>, rank: u32) {
        line.clear();
        match self {
            Self::Report { values } => encode_report(line, values, rank),
            Self::Dict { name, json } => encode_dict(line, name, json),
            record => {
                serde_json::to_writer(line, &Pairs(record)).expect("a vector takes all bytes");
            }
        }
    }
}

/// The pairs of a record's line. They are written one by one, because an object of `serde_json`
/// keeps their order only with a feature that has dependencies of its own.
struct Pairs<'r>(&'r Record);

impl Serialize for Pairs<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut line = serializer.serialize_map(None)?;
        match self.0 {
            // Written by `encode` itself.
            Record::Report { .. } | Record::Dict { .. } => {}
            Record::Dataset { path, role } => {
                line.serialize_entry("kind", "dataset")?;
                line.serialize_entry("path", &path.to_string_lossy())?;
                line.serialize_entry("role", role)?;
            }
            Record::Model {
                path,
                step,
                keep,
                facts,
            } => {
                line.serialize_entry("kind", "model")?;
                line.serialize_entry("path", path)?;
                line.serialize_entry("step", step)?;
                line.serialize_entry("keep", keep)?;
                serialize_values(&mut line, facts)?;
            }
            Record::Text { name, text } => {
                line.serialize_entry("kind", "text")?;
                line.serialize_entry("name", name)?;
                line.serialize_entry("text", text)?;
            }
            Record::Artifact { path, folder } => {
                line.serialize_entry("kind", "artifact")?;
                line.serialize_entry("path", path)?;
                line.serialize_entry("type", folder)?;
            }
            Record::Checkpoint { step } => {
                line.serialize_entry("kind", "checkpoint")?;
                line.serialize_entry("step", step)?;
            }
            Record::Note { text } => {
                line.serialize_entry("kind", "note")?;
                line.serialize_entry("text", text)?;
            }
            Record::Invalid { why } => {
                line.serialize_entry("kind", "invalid")?;
                line.serialize_entry("why", why)?;
            }
            Record::Outputs(values) => serialize_results(&mut line, "output", values)?,
            Record::Params(values) => serialize_results(&mut line, "param", values)?,
            Record::Ask { id } => {
                line.serialize_entry("kind", "ask")?;
                line.serialize_entry("id", id)?;
            }
            Record::Nothing => {
                line.serialize_entry("kind", "version")?;
                line.serialize_entry("version", &VERSION)?;
            }
        }
        line.end()
    }
}

/// Writes the kind and the values of a line. A single value has the long form, in which its name
/// may be any text.
fn serialize_results<M: SerializeMap>(
    line: &mut M,
    kind: &str,
    values: &[(Name, Value)],
) -> Result<(), M::Error> {
    line.serialize_entry("kind", kind)?;
    if let [(name, value)] = values {
        line.serialize_entry("name", name)?;
        return line.serialize_entry("value", value);
    }
    serialize_values(line, values)
}

fn serialize_values<M: SerializeMap>(
    line: &mut M,
    values: &[(Name, Value)],
) -> Result<(), M::Error> {
    let mut pairs = values.iter();
    pairs.try_for_each(|(name, value)| line.serialize_entry(name, value))
}

/// Writes a report to `line`. Reports come often, so no tree is built.
fn encode_report(line: &mut Vec<u8>, values: &[(Name, Datum)], rank: u32) {
    begin_line(line, "report");
    row::report(line, values, rank);
    line.push(b'}');
}

/// Writes a stored object or list to `line`, which keeps its text.
fn encode_dict(line: &mut Vec<u8>, name: &str, json: &str) {
    begin_line(line, "dict");
    row::word(line, "name", name);
    row::begin_pair(line, "value");
    line.extend_from_slice(json.as_bytes());
    line.push(b'}');
}

/// Writes metrics of one position to `line` as one line, without a line break. `now` is in
/// microseconds since 1970.
pub(crate) fn encode_metrics(
    line: &mut Vec<u8>,
    values: &[(&str, f64)],
    point: &Point<'_>,
    rank: u32,
    now: i64,
) {
    begin_line(line, "metric");
    for (name, number) in values {
        row::number(line, name, *number);
    }
    row::position(line, point, rank);
    row::word(line, "log", point.log);
    row::begin_pair(line, "at");
    row::seconds(line, now);
    line.push(b'}');
}

/// Begins a line of a kind. The kind is written for reports too, because a value may have the name
/// `kind`.
fn begin_line(line: &mut Vec<u8>, kind: &str) {
    line.clear();
    line.extend_from_slice(b"{\"kind\": ");
    row::json_text(line, kind);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pairs_of_a_line_have_a_fixed_order() {
        let values = vec![("z".into(), Value::Int(1)), ("a".into(), Value::Float(2.0))];
        let single = vec![("any \"name\"".into(), Value::Bool(true))];
        for (record, expected) in [
            (
                Record::Model {
                    path: "m".into(),
                    step: Some(3.0),
                    keep: true,
                    facts: values.clone(),
                },
                r#"{"kind":"model","path":"m","step":3.0,"keep":true,"z":1,"a":2.0}"#,
            ),
            (
                Record::Outputs(values),
                r#"{"kind":"output","z":1,"a":2.0}"#,
            ),
            (
                Record::Params(single),
                r#"{"kind":"param","name":"any \"name\"","value":true}"#,
            ),
            (
                Record::Checkpoint { step: None },
                r#"{"kind":"checkpoint","step":null}"#,
            ),
        ] {
            let mut line = Vec::new();
            record.encode(&mut line, 0);
            assert_eq!(String::from_utf8(line).unwrap(), expected);
        }
    }
}
