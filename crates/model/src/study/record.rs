//! The records of a trial that the journal keeps.

use super::Metric;
use crate::space::{Name, Params, Value};
use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize};
use std::fmt;

/// A reported value: a number, which may decide, or a text or flag, which only describes.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Datum {
    /// A flag.
    Flag(bool),
    /// A number; NaN and infinities are kept.
    Number(Metric),
    /// A text.
    Text(String),
}

impl<'de> Deserialize<'de> for Datum {
    /// Reads a value by its JSON type. The derived code would copy each value first and then try
    /// one variant after another, and a journal has a million of them.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reported;
        impl Visitor<'_> for Reported {
            type Value = Datum;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number, a text or a flag")
            }
            fn visit_bool<E>(self, flag: bool) -> Result<Datum, E> {
                Ok(Datum::Flag(flag))
            }
            fn visit_f64<E>(self, number: f64) -> Result<Datum, E> {
                Ok(Datum::Number(Metric(number)))
            }
            fn visit_i64<E>(self, number: i64) -> Result<Datum, E> {
                Ok(Datum::Number(Metric(number as f64)))
            }
            fn visit_u64<E>(self, number: u64) -> Result<Datum, E> {
                Ok(Datum::Number(Metric(number as f64)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Datum, E> {
                let number = Metric::of_text(text).map(Datum::Number);
                Ok(number.unwrap_or_else(|| Datum::Text(text.to_owned())))
            }
        }
        deserializer.deserialize_any(Reported)
    }
}

/// A record that goes into the journal. Metrics do not: there may be hundreds of thousands of them,
/// so they stay in the trial's folder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogRecord {
    /// Reported values, which decide: one object per step.
    Report {
        /// The values, in the order of the trial's line.
        #[serde(with = "ordered")]
        values: Vec<(Name, Datum)>,
    },
    /// A report that came after the trial had used all of its resource. It is kept and counts for
    /// nothing.
    Beyond {
        /// The values, in the order of the trial's line.
        #[serde(with = "ordered")]
        values: Vec<(Name, Datum)>,
    },
    /// A data set that the trial read.
    Dataset {
        /// The path: relative inside the workdir, absolute outside.
        data_dir: String,
        /// The purpose of the data set: `train`, `validation`, `test`, or empty.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        role: String,
        /// The DVC digest: 32 hexadecimal digits, followed by `.dir` for a folder; `None` if the
        /// data set could not be read.
        md5: Option<String>,
        /// Total size in bytes.
        size: u64,
        /// Total number of files.
        files: u64,
        /// The parts that the digest leaves out, each with the reason: `latest: a symbolic link to
        /// nothing`.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        partial: Vec<String>,
    },
    /// A model that the trial wrote.
    Model {
        /// The path relative to the workdir.
        model_path: String,
        /// The DVC digest; `None` if there is none, for the reason in `doubt`.
        md5: Option<String>,
        /// Total size in bytes.
        size: u64,
        /// The step of the report that named the model.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        step: Option<f64>,
        /// The path of the held copy relative to the trial's folder, if a copy was made. The copy
        /// is released once a later version is recorded and this version is not the one that
        /// counts.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        held: Option<String>,
        /// Whether the trial asked to keep this version regardless of later ones.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        keep: bool,
        /// The reason why the model has no digest.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        doubt: Option<String>,
        /// The parts that the digest leaves out, each with the reason.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        partial: Vec<String>,
    },
    /// Facts about a model that was just recorded: its number of parameters, its memory, and any
    /// others that the trial gave.
    Facts {
        /// The model's path relative to the workdir.
        model_path: String,
        /// The facts. `best` is true for a model that the trial itself calls its best.
        facts: Params,
    },
    /// A parameter that the trial chose or determined itself.
    Param {
        /// The parameter's name.
        name: Name,
        /// The parameter's value.
        value: Value,
    },
    /// A file that was stored under `artifacts/`.
    Artifact {
        /// The path relative to the trial's folder.
        path: String,
        /// The DVC digest.
        md5: Option<String>,
        /// Total size in bytes.
        size: u64,
        /// The parts that were not stored, each with the reason.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        partial: Vec<String>,
    },
    /// An attempt that ended well reported no number for a metric that decides.
    Absent {
        /// The metric.
        metric: Name,
        /// The reason, worded to follow the metric's name: `was a text (..), not a number`.
        why: String,
    },
    /// A final result that is neither report nor model.
    Output {
        /// The result's name.
        name: Name,
        /// The result's value.
        value: Value,
    },
    /// A checkpoint is complete in the checkpoint folder.
    Checkpoint {
        /// The resource at which the checkpoint was taken, if the trial gave it.
        step: Option<f64>,
    },
    /// The configuration cannot work, as the trial says. Its attempt ends as invalid, in whatever
    /// way the process ends.
    Invalid {
        /// The reason.
        why: String,
    },
    /// A free text.
    Note {
        /// The text.
        text: String,
    },
    /// Part of the trial's output was wrong; the rest of it was kept.
    Warning {
        /// The problem, its place, and the remedy.
        text: String,
    },
}

/// The lines of a trial's `records.jsonl` of which the journal has records.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TakenLines {
    /// The offset behind the last one of these lines.
    pub end: u64,
    /// Number of records of this last line, warnings not counted. A line may have several, and the
    /// journal may lack the others.
    pub records: u32,
}

impl TakenLines {
    /// Adds a record of the line before the offset `end`.
    pub fn add(&mut self, end: u64, record: &LogRecord) {
        if self.end != end {
            *self = Self { end, records: 0 };
        }
        self.records += u32::from(!matches!(record, LogRecord::Warning { .. }));
    }
}

pub(super) mod ordered {
    //! Serializes a list of pairs as a JSON object and keeps the order.
    use super::{Datum, Name};
    use crate::space::intern::InternedName;
    use serde::de::{MapAccess, Visitor};
    use serde::{Deserializer, Serializer};
    use std::fmt;

    pub(in crate::study) fn serialize<S: Serializer>(
        values: &[(Name, Datum)],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_map(values.iter().map(|(name, datum)| (name, datum)))
    }

    pub(in crate::study) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<(Name, Datum)>, D::Error> {
        struct Pairs;
        impl<'de> Visitor<'de> for Pairs {
            type Value = Vec<(Name, Datum)>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of reported values")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                // Most reports have one value, and a list that grows takes room for four at once.
                let mut pairs = Vec::with_capacity(1);
                while let Some((InternedName(name), datum)) = map.next_entry()? {
                    pairs.push((name, datum));
                }
                Ok(pairs)
            }
        }
        deserializer.deserialize_map(Pairs)
    }
}
