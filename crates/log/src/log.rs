//! One call for everything that a trial can record, as in itwinai's loggers: an item, its
//! identifier, and its kind.
//!
//! The logger's own [`Due`] decides whether a metric of a batch, or of a worker, is taken at all.

use super::{LoggerError, Point, TrialLogger};
use crate::study::Due;
use serde_json::{Map, Value as Json, json};
use std::path::Path;

/// An item to log.
#[derive(Debug, Clone, PartialEq)]
pub enum Item<'a> {
    /// A number.
    Number(f64),
    /// A text.
    Text(&'a str),
    /// A file or folder.
    Path(&'a Path),
    /// Any JSON value: a scalar, a list, an object.
    Json(Json),
}

impl From<f64> for Item<'_> {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

impl<'a> From<&'a str> for Item<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(text)
    }
}

impl<'a> From<&'a Path> for Item<'a> {
    fn from(path: &'a Path) -> Self {
        Self::Path(path)
    }
}

impl From<Json> for Item<'_> {
    fn from(json: Json) -> Self {
        Self::Json(json)
    }
}

/// The kinds that have a meaning outside the logging program. Kinds that need the program's own
/// objects are refused by name.
const KINDS: [&str; 15] = [
    "metric",
    "param",
    "params",
    "dict",
    "text",
    "figure",
    "image",
    "artifact",
    "model",
    "best_model",
    "dataset",
    "optimizer",
    "flops",
    "prov_documents",
    "note",
];

impl TrialLogger {
    /// Sets the filter of [`log`](Self::log).
    #[must_use]
    pub fn with_due(mut self, due: Due) -> Self {
        self.due = due;
        self
    }

    /// Makes this the logger of the worker with this rank in a distributed trial.
    /// [`from_env`](Self::from_env) uses the rank that the launcher set: see `docs/records.md`.
    #[must_use]
    pub fn with_rank(mut self, rank: u32) -> Self {
        self.rank = rank;
        self
    }

    /// Returns whether [`log`](Self::log) takes an item of `batch`; `None` is an item of an epoch.
    #[must_use]
    pub fn should_log(&self, batch: Option<u64>) -> bool {
        self.due.should_log(self.rank, batch)
    }

    /// Logs `item` under the name `identifier` as the given `kind`, if the filter takes it; returns
    /// whether it did.
    ///
    /// `metric` and `flops` take a number; `param` any value; `params` an object; `dict` an object
    /// or list, `text` a text: both are stored as files; `figure`, `image`, `artifact`, `model`,
    /// `best_model`, `dataset` and `prov_documents` take a path; `optimizer` takes an object with
    /// `lr`, and its name is the identifier. The context of a data set is its role.
    ///
    /// # Errors
    /// If the kind cannot be recorded, does not fit the item, or the record could not be appended.
    pub fn log<'i>(
        &mut self,
        item: impl Into<Item<'i>>,
        identifier: &str,
        kind: &str,
        at: Point<'_>,
    ) -> Result<bool, LoggerError> {
        let item = item.into();
        // The item is checked before the filter, so that a mistake shows at the first call.
        let line = line(&item, identifier, kind, at)?;
        if !self.should_log(at.batch) {
            return Ok(false);
        }
        match (line, item) {
            (Some(line), _) => self.record(&line.to_string()).map(|_| true),
            (None, Item::Number(number)) => self.metric(identifier, number, at).map(|()| true),
            (None, _) => Ok(false),
        }
    }
}

/// Builds the line in the records format; `None` for a metric, which has a cheaper path.
fn line(
    item: &Item<'_>,
    identifier: &str,
    kind: &str,
    at: Point<'_>,
) -> Result<Option<Json>, LoggerError> {
    let refused = |why: String| LoggerError::Kind {
        kind: kind.to_owned(),
        why,
    };
    let wrong = |wanted: &str| refused(format!("`{identifier}` needs {wanted}"));
    let path = || match item {
        Item::Path(path) => Ok(path.to_string_lossy().into_owned()),
        Item::Text(path) => Ok((*path).to_owned()),
        _ => Err(wrong("a path")),
    };
    let value = || match item {
        Item::Number(number) => crate::log::number(*number),
        Item::Text(text) => json!(text),
        Item::Path(path) => json!(path.to_string_lossy()),
        Item::Json(json) => json.clone(),
    };
    let object = || match item {
        Item::Json(Json::Object(object)) => Ok(object.clone()),
        _ => Err(wrong("an object")),
    };
    let mut line = match kind {
        "metric" if matches!(item, Item::Number(_)) => return Ok(None),
        "flops" if matches!(item, Item::Number(_)) => json!({ "value": value() }),
        "metric" | "flops" => return Err(wrong("a number")),
        "param" => json!({ "name": identifier, "value": value() }),
        "params" => Json::Object(object()?),
        "dict" if matches!(item, Item::Json(Json::Object(_) | Json::Array(_))) => {
            json!({ "name": identifier, "value": value() })
        }
        "dict" => return Err(wrong("an object or a list")),
        "text" => match item {
            Item::Text(text) => json!({ "name": identifier, "text": text }),
            _ => return Err(wrong("a text")),
        },
        "note" => json!({ "text": path()? }),
        "figure" | "image" | "artifact" | "prov_documents" => json!({ "path": path()? }),
        "model" | "best_model" => json!({ "path": path()?, "name": identifier }),
        "dataset" => json!({ "path": path()?, "role": at.context }),
        "optimizer" => {
            let mut line = object()?;
            line.insert("name".to_owned(), json!(identifier));
            Json::Object(line)
        }
        "watch" | "torch" | "system" | "carbon" | "execution_time" => {
            // The parser of lines knows the reason.
            let why = super::wire::Parser::default().parse(&json!({ "kind": kind }).to_string());
            return Err(refused(
                why.err().map_or_else(String::new, |why| why.to_string()),
            ));
        }
        _ => {
            return Err(refused(format!(
                "there is no such kind; there are {}",
                KINDS.join(", ")
            )));
        }
    };
    let Json::Object(fields) = &mut line else {
        return Err(wrong("an object"));
    };
    place(fields, kind, at);
    fields.insert("kind".to_owned(), json!(kind));
    Ok(Some(line))
}

/// Adds the point to the line, for the kinds that have one.
fn place(fields: &mut Map<String, Json>, kind: &str, at: Point<'_>) {
    if matches!(kind, "model" | "best_model" | "flops")
        && let Some(step) = at.step
    {
        fields.insert("step".to_owned(), json!(step));
    }
    if kind == "flops" {
        for (key, word) in [("context", at.context), ("log", at.log)] {
            if !word.is_empty() {
                fields.insert(key.to_owned(), json!(word));
            }
        }
        if let Some(batch) = at.batch {
            fields.insert("batch".to_owned(), json!(batch));
        }
    }
}

/// Converts a number to JSON: NaN and the infinities become texts.
fn number(number: f64) -> Json {
    if number.is_finite() {
        json!(number)
    } else {
        json!(number.to_string().to_lowercase())
    }
}
