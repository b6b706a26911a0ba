//! One call for everything that a trial can record, as in itwinai's loggers: an item, its
//! identifier, and its kind.
//!
//! The logger's own [`Due`] decides whether a metric of a batch, or of a worker, is taken at all.

use super::wire::{LineKind, Refused};
use super::{LoggerError, Point, TrialLogger};
use serde_json::{Value as Json, json};
use std::path::Path;
use swath_model::study::Due;

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
        let call = Call {
            item: &item,
            identifier,
            kind,
            at,
        };
        // The item is checked before the filter, so that a mistake shows at the first call.
        let form = call.form()?;
        if !self.should_log(at.batch) {
            return Ok(false);
        }
        match form {
            Form::Metric(number) => self.metric(identifier, number, at)?,
            Form::Line(line) => drop(self.record(&line.to_string())?),
        }
        Ok(true)
    }
}

/// The form in which an item is recorded.
enum Form {
    /// A metric, which is cheaper to record than a line.
    Metric(f64),
    /// A line in the records format.
    Line(Json),
}

/// One call of [`TrialLogger::log`].
struct Call<'c> {
    item: &'c Item<'c>,
    identifier: &'c str,
    kind: &'c str,
    at: Point<'c>,
}

impl Call<'_> {
    fn form(&self) -> Result<Form, LoggerError> {
        let kind = self.line_kind()?;
        let mut line = match (kind, self.item) {
            (LineKind::Metric, Item::Number(number)) => return Ok(Form::Metric(*number)),
            (LineKind::Flops(_), Item::Number(_)) => json!({ "value": self.value() }),
            (LineKind::Metric | LineKind::Flops(_), _) => return Err(self.needs("a number")),
            (LineKind::Param, _) => json!({ "name": self.identifier, "value": self.value() }),
            (LineKind::Params, Item::Json(object @ Json::Object(_))) => object.clone(),
            (LineKind::Optimizer, Item::Json(object @ Json::Object(_))) => {
                let mut line = object.clone();
                line["name"] = json!(self.identifier);
                line
            }
            (LineKind::Params | LineKind::Optimizer, _) => return Err(self.needs("an object")),
            (LineKind::Dict, Item::Json(Json::Object(_) | Json::Array(_))) => {
                json!({ "name": self.identifier, "value": self.value() })
            }
            (LineKind::Dict, _) => return Err(self.needs("an object or a list")),
            (LineKind::Text, Item::Text(text)) => json!({ "name": self.identifier, "text": text }),
            (LineKind::Text, _) => return Err(self.needs("a text")),
            (_, Item::Number(_) | Item::Json(_)) => return Err(self.needs("a path")),
            (LineKind::Note, _) => json!({ "text": self.value() }),
            (LineKind::Dataset, _) => json!({ "path": self.value(), "role": self.at.context }),
            (LineKind::Model | LineKind::BestModel, _) => {
                json!({ "path": self.value(), "name": self.identifier })
            }
            (_, Item::Text(_) | Item::Path(_)) => json!({ "path": self.value() }),
        };
        self.add_position(kind, &mut line);
        line["kind"] = json!(self.kind);
        Ok(Form::Line(line))
    }

    /// Returns the kind of the line, unless the kind has no meaning outside the program.
    fn line_kind(&self) -> Result<LineKind, LoggerError> {
        match LineKind::find(self.kind) {
            Ok(LineKind::Meaningless(kind, why)) => {
                Err(self.refused(Refused::Meaningless { kind, why }.to_string()))
            }
            Ok(kind) if kind.is_item() => Ok(kind),
            _ => {
                let kinds = LineKind::items().join(", ");
                Err(self.refused(format!("there is no such kind; there are {kinds}")))
            }
        }
    }

    fn refused(&self, why: String) -> LoggerError {
        LoggerError::Kind {
            kind: self.kind.to_owned(),
            why,
        }
    }

    /// Returns the error that the item has another type than the kind needs.
    fn needs(&self, needed_type: &str) -> LoggerError {
        self.refused(format!("`{}` needs {needed_type}", self.identifier))
    }

    /// Returns the item as JSON. NaN and the infinities become texts.
    fn value(&self) -> Json {
        match self.item {
            Item::Number(number) if number.is_finite() => json!(number),
            Item::Number(number) => json!(number.to_string().to_lowercase()),
            Item::Text(text) => json!(text),
            Item::Path(path) => json!(path.to_string_lossy()),
            Item::Json(json) => json.clone(),
        }
    }

    /// Adds the position of the item, for the kinds that have one.
    fn add_position(&self, kind: LineKind, line: &mut Json) {
        let is_flops = matches!(kind, LineKind::Flops(_));
        if let Some(step) = self.at.step
            && (is_flops || matches!(kind, LineKind::Model | LineKind::BestModel))
        {
            line["step"] = json!(step);
        }
        if let Some(batch) = self.at.batch.filter(|_| is_flops) {
            line["batch"] = json!(batch);
        }
        for (key, word) in [("context", self.at.context), ("log", self.at.log)] {
            if is_flops && !word.is_empty() {
                line[key] = json!(word);
            }
        }
    }
}
