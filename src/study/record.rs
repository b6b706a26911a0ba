//! What a trial can say that the study remembers.

use super::Metric;
use crate::space::{Name, Params, Value};
use serde::{Deserialize, Serialize};

/// A reported value: a number that may decide something, or a text or switch that describes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Datum {
    /// A switch.
    Flag(bool),
    /// A number; NaN and infinities are kept.
    Number(Metric),
    /// A text.
    Text(String),
}

/// Something a trial said that goes into the journal. Metrics (by the hundred thousand) do not:
/// they stay in the trial's folder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogRecord {
    /// What decides: one object a step, keys in the order they were given.
    Report {
        /// The values, in the order they were given.
        #[serde(with = "ordered")]
        values: Vec<(Name, Datum)>,
    },
    /// A report that came after all of the resource that a trial gets: it is kept, and counts
    /// for nothing.
    Beyond {
        /// The values, in the order they were given.
        #[serde(with = "ordered")]
        values: Vec<(Name, Datum)>,
    },
    /// A data set that was read.
    Dataset {
        /// Its path: relative inside the workdir, absolute outside.
        data_dir: String,
        /// What it was used for: `train`, `validation`, `test`, or empty.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        role: String,
        /// Its DVC digest, 32 hexadecimal digits, `.dir` behind that of a folder; `None` if it
        /// could not be read.
        md5: Option<String>,
        /// Bytes in all.
        size: u64,
        /// Files in all.
        files: u64,
        /// What of it is not part of the digest, and why: `latest: a symbolic link to nothing`.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        partial: Vec<String>,
    },
    /// A model that was written.
    Model {
        /// Its path relative to the workdir.
        model_path: String,
        /// Its DVC digest; `None` if there is none, for the reason in `doubt`.
        md5: Option<String>,
        /// Bytes in all.
        size: u64,
        /// The step of the report that named it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        step: Option<f64>,
        /// The path of its bytes relative to the trial's folder, if they were held. They are
        /// released once a later version is recorded and this one is not the one that counts.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        held: Option<String>,
        /// Whether the trial asked to keep this version whatever comes later.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        keep: bool,
        /// Why it has no digest.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        doubt: Option<String>,
        /// What of it is not part of the digest, and why.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        partial: Vec<String>,
    },
    /// What is known of a model that was just recorded: how many parameters it has, how much memory
    /// it takes, and whatever else was said of it.
    Facts {
        /// The model's path relative to the workdir.
        model_path: String,
        /// The facts; `best` is true for one that the trial itself calls its best.
        facts: Params,
    },
    /// A parameter that the trial chose or found out itself.
    Param {
        /// Its name.
        name: Name,
        /// Its value.
        value: Value,
    },
    /// A file that was stored under `artifacts/`.
    Artifact {
        /// Its path relative to the trial's folder.
        path: String,
        /// Its DVC digest.
        md5: Option<String>,
        /// Bytes in all.
        size: u64,
        /// What of it was not stored, and why.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        partial: Vec<String>,
    },
    /// An attempt that ended well gave no number under the name of a metric that decides.
    Absent {
        /// The metric.
        metric: Name,
        /// Why there is none, to follow the name: `was a text (..), not a number`.
        why: String,
    },
    /// A final result that is neither report nor model.
    Output {
        /// Its name.
        name: Name,
        /// Its value.
        value: Value,
    },
    /// A checkpoint is complete in the checkpoint folder.
    Checkpoint {
        /// The resource it stands at, if the trial said so.
        step: Option<f64>,
    },
    /// A free text.
    Note {
        /// The text.
        text: String,
    },
    /// Something was wrong with what the trial wrote; the rest of it was kept.
    Warning {
        /// What was wrong, where, and what to do.
        text: String,
    },
}

pub(super) mod ordered {
    //! A list of pairs as a JSON object, order kept.
    use super::{Datum, Name};
    use crate::space::known::Known;
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
                let mut pairs = Vec::new();
                while let Some((Known(name), datum)) = map.next_entry()? {
                    pairs.push((name, datum));
                }
                Ok(pairs)
            }
        }
        deserializer.deserialize_map(Pairs)
    }
}
