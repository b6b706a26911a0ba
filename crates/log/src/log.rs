//! One call for everything that a trial can record, as in itwinai's loggers: an item, its
//! identifier, and its kind.
//!
//! The logger's own [`Due`] decides whether a metric of a batch, or of a worker, is taken at all.

use super::wire::{LineKind, Refused};
use super::{LoggerError, Point, TrialLogger};
use crate::study::Due;
use serde_json::{Value as Json, json};
use std::borrow::Cow;
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
        let mut line = match kind {
            LineKind::Metric => return self.number().map(Form::Metric),
            LineKind::Flops => json!({ "value": number_as_json(self.number()?) }),
            LineKind::Params => self.object()?,
            LineKind::Dict => self.dict()?,
            LineKind::Text => json!({ "name": self.identifier, "text": self.text()? }),
            LineKind::Note => json!({ "text": self.path()? }),
            LineKind::Image | LineKind::Artifact | LineKind::ProvDocuments => {
                json!({ "path": self.path()? })
            }
            LineKind::Model | LineKind::BestModel => {
                json!({ "path": self.path()?, "name": self.identifier })
            }
            LineKind::Dataset => json!({ "path": self.path()?, "role": self.at.context }),
            LineKind::Optimizer => {
                let mut line = self.object()?;
                line["name"] = json!(self.identifier);
                line
            }
            // Of the other kinds, `line_kind` lets only parameters pass.
            _ => json!({ "name": self.identifier, "value": self.value() }),
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
    fn needs(&self, wanted: &str) -> LoggerError {
        self.refused(format!("`{}` needs {wanted}", self.identifier))
    }

    fn number(&self) -> Result<f64, LoggerError> {
        match self.item {
            Item::Number(number) => Ok(*number),
            _ => Err(self.needs("a number")),
        }
    }

    fn text(&self) -> Result<&str, LoggerError> {
        match self.item {
            Item::Text(text) => Ok(text),
            _ => Err(self.needs("a text")),
        }
    }

    fn path(&self) -> Result<Cow<'_, str>, LoggerError> {
        match self.item {
            Item::Path(path) => Ok(path.to_string_lossy()),
            Item::Text(path) => Ok(Cow::Borrowed(path)),
            _ => Err(self.needs("a path")),
        }
    }

    fn object(&self) -> Result<Json, LoggerError> {
        match self.item {
            Item::Json(object @ Json::Object(_)) => Ok(object.clone()),
            _ => Err(self.needs("an object")),
        }
    }

    fn dict(&self) -> Result<Json, LoggerError> {
        match self.item {
            Item::Json(dict @ (Json::Object(_) | Json::Array(_))) => {
                Ok(json!({ "name": self.identifier, "value": dict }))
            }
            _ => Err(self.needs("an object or a list")),
        }
    }

    fn value(&self) -> Json {
        match self.item {
            Item::Number(number) => number_as_json(*number),
            Item::Text(text) => json!(text),
            Item::Path(path) => json!(path.to_string_lossy()),
            Item::Json(json) => json.clone(),
        }
    }

    /// Adds the position of the item, for the kinds that have one.
    fn add_position(&self, kind: LineKind, line: &mut Json) {
        let Point {
            step,
            batch,
            context,
            log,
        } = self.at;
        let is_model = matches!(kind, LineKind::Model | LineKind::BestModel);
        if let Some(step) = step.filter(|_| is_model || kind == LineKind::Flops) {
            line["step"] = json!(step);
        }
        if kind != LineKind::Flops {
            return;
        }
        for (key, word) in [("context", context), ("log", log)] {
            if !word.is_empty() {
                line[key] = json!(word);
            }
        }
        if let Some(batch) = batch {
            line["batch"] = json!(batch);
        }
    }
}

/// Converts a number to JSON: NaN and the infinities become texts.
fn number_as_json(number: f64) -> Json {
    if number.is_finite() {
        json!(number)
    } else {
        json!(number.to_string().to_lowercase())
    }
}
