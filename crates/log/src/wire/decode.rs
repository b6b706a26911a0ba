//! Makes records from the entries of a line.

use super::parser::{Entries, take, text_of};
use super::row::plain_context;
use super::scan::Raw;
use super::{LineKind, Record, Refused, VERSION};
use std::borrow::Cow;
use swath_model::space::{Name, Value};

/// Makes a record from the entries of a line. Reports are decoded by the parser itself.
pub(super) fn record(
    kind: LineKind,
    entries: Entries<'_>,
    flaws: &mut Vec<String>,
) -> Result<Record, Refused> {
    let mut fields = Fields { entries, flaws };
    let record = match kind {
        LineKind::Report | LineKind::Metric | LineKind::Flops(_) => return Err(Refused::Empty),
        LineKind::Meaningless(kind, why) => return Err(Refused::Meaningless { kind, why }),
        LineKind::Output => Record::Outputs(fields.values()?),
        LineKind::Param | LineKind::Params => Record::Params(fields.values()?),
        LineKind::Dataset => Record::Dataset {
            path: fields.required("dataset", &["path", "data_dir"])?.into(),
            role: fields
                .text(&["role", "context"])
                .map(|role| plain_context(&role).to_owned())
                .unwrap_or_default(),
        },
        LineKind::Model => fields.model()?,
        LineKind::BestModel => fields.best_model()?,
        LineKind::Optimizer => Record::Params(fields.optimizer()?),
        LineKind::Dict => Record::Dict {
            name: with_extension(fields.required("dict", &["name"])?, ".json"),
            json: fields.nested_value()?,
        },
        LineKind::Text => {
            let name = fields.required("text", &["name"])?;
            let missing = missing("text", "text", "text");
            Record::Text {
                name: with_extension(name, ".txt"),
                text: fields.text(&["text", "value"]).ok_or(missing)?,
            }
        }
        LineKind::Image => Record::Artifact {
            path: fields.required("image", &["path"])?,
            folder: Some("image".to_owned()),
        },
        LineKind::ProvDocuments => Record::Artifact {
            path: fields.required("prov_documents", &["path"])?,
            folder: Some("prov".to_owned()),
        },
        LineKind::Artifact => Record::Artifact {
            path: fields.required("artifact", &["path"])?,
            folder: fields.text(&["type"]),
        },
        LineKind::Checkpoint => Record::Checkpoint {
            step: fields.number("step"),
        },
        LineKind::Note => Record::Note {
            text: fields.required("note", &["text"])?,
        },
        // A trial that gives no reason is invalid all the same.
        LineKind::Invalid => Record::Invalid {
            why: fields
                .text(&["why", "text"])
                .filter(|why| !why.is_empty())
                .unwrap_or_else(|| "the program gave no reason".to_owned()),
        },
        LineKind::Ask => Record::Ask {
            id: fields.required("ask", &["id"])?,
        },
        LineKind::Version => fields.version()?,
    };
    fields.note_unknown();
    Ok(record)
}

fn missing(kind: &'static str, key: &'static str, expected: &'static str) -> Refused {
    Refused::Missing {
        kind,
        key,
        expected,
    }
}

fn with_extension(name: String, extension: &str) -> String {
    if name.contains('.') {
        name
    } else {
        name + extension
    }
}

/// Converts a number of floating point operations into a metric: `flops`, or `flops_per_epoch` if
/// the line has `per`, or its kind means `per`.
pub(super) fn flops_to_metric(
    entries: &mut Entries<'_>,
    per_kind: Option<&'static str>,
    flaws: &mut Vec<String>,
) -> Result<(), Refused> {
    let value = take(entries, "value")
        .filter(|raw| matches!(raw, Raw::Number(..)))
        .ok_or(missing("flops", "value", "number"))?;
    let per = take(entries, "per").and_then(|raw| text_of("per", raw, flaws));
    let per = per.or(per_kind.map(Cow::Borrowed));
    let name = per.map_or_else(|| "flops".to_owned(), |per| format!("flops_per_{per}"));
    entries.insert(0, (name.into(), value));
    Ok(())
}

/// The entries of a line that are not decoded yet.
struct Fields<'r, 'a> {
    entries: Entries<'a>,
    flaws: &'r mut Vec<String>,
}

impl Fields<'_, '_> {
    /// Takes the text of the first of these keys that the line has.
    fn text(&mut self, keys: &[&str]) -> Option<String> {
        keys.iter()
            .find_map(|key| text_of(key, take(&mut self.entries, key)?, self.flaws))
            .map(Cow::into_owned)
    }

    /// Takes a text without which the record has no meaning.
    fn required(&mut self, kind: &'static str, keys: &[&'static str]) -> Result<String, Refused> {
        self.text(keys)
            .filter(|text| !text.is_empty())
            .ok_or(missing(kind, keys[0], "text"))
    }

    fn flag(&mut self, key: &str) -> bool {
        match take(&mut self.entries, key) {
            None | Some(Raw::Null | Raw::Bool(false)) => false,
            Some(Raw::Bool(true)) => true,
            Some(_) => {
                self.flaws
                    .push(format!("`{key}` is left out: it is neither true nor false"));
                false
            }
        }
    }

    fn number(&mut self, key: &str) -> Option<f64> {
        match take(&mut self.entries, key)? {
            Raw::Number(number, _) => Some(number),
            Raw::Null => None,
            _ => {
                self.flaws
                    .push(format!("`{key}` is left out: it is not a number"));
                None
            }
        }
    }

    fn nested_value(&mut self) -> Result<String, Refused> {
        match take(&mut self.entries, "value") {
            Some(Raw::Nested(json)) => Ok(json.to_owned()),
            _ => Err(missing("dict", "value", "list or an object")),
        }
    }

    /// Takes all entries as values. The keys `name` and `value` are the long form of one value.
    fn values(&mut self) -> Result<Vec<(Name, Value)>, Refused> {
        let mut entries = std::mem::take(&mut self.entries);
        if has_long_form(&entries) {
            if let Some(Raw::Text(name)) = take(&mut entries, "name") {
                entries[0].0 = Name::from(&*name);
            } else {
                self.flaws
                    .push("`name` is left out: it is not a text".to_owned());
            }
        }
        let mut values = Vec::with_capacity(entries.len());
        for (name, raw) in entries {
            match value(raw) {
                Ok(Some(value)) => values.push((name, value)),
                Ok(None) => {}
                Err(why) => self.flaws.push(format!("`{name}` is left out: {why}")),
            }
        }
        if values.is_empty() {
            Err(Refused::Empty)
        } else {
            Ok(values)
        }
    }

    /// Takes the model. All other values of its line are facts about it.
    fn model(&mut self) -> Result<Record, Refused> {
        Ok(Record::Model {
            path: self.required("model", &["path", "model_path"])?,
            step: self.number("step"),
            keep: self.flag("keep"),
            facts: self.values().unwrap_or_default(),
        })
    }

    fn best_model(&mut self) -> Result<Record, Refused> {
        let mut record = self.model()?;
        if let Record::Model { facts, .. } = &mut record {
            facts.push(("best".into(), Value::Bool(true)));
        }
        Ok(record)
    }

    fn optimizer(&mut self) -> Result<Vec<(Name, Value)>, Refused> {
        let name = self.required("optimizer", &["name"])?;
        let mut params = vec![("optimizer_name".into(), Value::Text(name.into()))];
        for (name, value) in self.values().unwrap_or_default() {
            params.push((format!("optimizer_{name}").into(), value));
        }
        Ok(params)
    }

    fn version(&mut self) -> Result<Record, Refused> {
        match self.number("version") {
            Some(version) if version > VERSION as f64 => Err(Refused::Newer(version as u64)),
            Some(_) => Ok(Record::Nothing),
            None => Err(missing("version", "version", "number")),
        }
    }

    /// Notes a flaw for each entry that the kind does not have.
    fn note_unknown(self) {
        for (name, _) in self.entries {
            self.flaws
                .push(format!("`{name}` is left out: it means nothing here"));
        }
    }
}

/// Returns whether the entries are the `name` and the `value` of one value.
fn has_long_form(entries: &Entries<'_>) -> bool {
    entries.len() == 2
        && entries
            .iter()
            .all(|(name, _)| matches!(&**name, "name" | "value"))
}

/// Converts a value; `None` for null.
fn value(raw: Raw<'_>) -> Result<Option<Value>, &'static str> {
    Ok(Some(match raw {
        Raw::Null => return Ok(None),
        Raw::Bool(flag) => Value::Bool(flag),
        Raw::Number(number, text) => text.parse().map_or(Value::Float(number), Value::Int),
        // A value must be finite: NaN and the infinities are kept as words.
        Raw::Special(number) => Value::Text(number.to_string().to_ascii_lowercase().into()),
        Raw::Text(text) => Value::Text((*text).into()),
        Raw::Nested(text) => list(text)?,
    }))
}

/// Parses a list of numbers, texts, flags and lists of them.
fn list(text: &str) -> Result<Value, &'static str> {
    if text.starts_with('{') {
        return Err("it is an object; values are numbers, texts, switches and lists of them");
    }
    serde_json::from_str(text)
        .map_err(|_| "it is not a list of numbers, texts, switches and lists of them")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Content, Parser};

    fn read(line: &str) -> Result<Record, String> {
        match Parser::default().parse(line) {
            Ok(Content::Record(record)) => Ok(record),
            Ok(Content::Metrics(position)) => Err(format!("{position:?}")),
            Err(refused) => Err(refused.to_string()),
        }
    }

    #[test]
    fn each_kind_is_read() {
        for (line, expected) in [
            (
                r#"{"kind": "dataset", "path": "data", "role": "train"}"#,
                Record::Dataset {
                    path: "data".into(),
                    role: "train".into(),
                },
            ),
            (
                r#"{"kind": "dataset", "data_dir": "d"}"#,
                Record::Dataset {
                    path: "d".into(),
                    role: String::new(),
                },
            ),
            (
                r#"{"kind": "model", "model_path": "m.bin", "step": 3}"#,
                Record::Model {
                    path: "m.bin".into(),
                    step: Some(3.0),
                    keep: false,
                    facts: Vec::new(),
                },
            ),
            (
                r#"{"kind": "model", "path": "m.bin", "keep": true}"#,
                Record::Model {
                    path: "m.bin".into(),
                    step: None,
                    keep: true,
                    facts: Vec::new(),
                },
            ),
            (
                r#"{"kind": "artifact", "path": "a.png", "type": "plots"}"#,
                Record::Artifact {
                    path: "a.png".into(),
                    folder: Some("plots".into()),
                },
            ),
            (
                r#"{"kind": "checkpoint"}"#,
                Record::Checkpoint { step: None },
            ),
            (
                r#"{"kind": "note", "text": "é"}"#,
                Record::Note { text: "é".into() },
            ),
            (
                r#"{"kind": "output", "n": 3, "l": [1.5, "x"], "nan": NaN}"#,
                Record::Outputs(vec![
                    ("n".into(), Value::Int(3)),
                    (
                        "l".into(),
                        Value::List(vec![Value::Float(1.5), Value::Text("x".into())]),
                    ),
                    ("nan".into(), Value::Text("nan".into())),
                ]),
            ),
            (
                r#"{"kind": "param", "name": "depth", "value": 3.0}"#,
                Record::Params(vec![("depth".into(), Value::Float(3.0))]),
            ),
            (
                r#"{"kind": "ask", "id": "7-1"}"#,
                Record::Ask { id: "7-1".into() },
            ),
            (r#"{"kind": "version", "version": 1}"#, Record::Nothing),
        ] {
            assert_eq!(read(line), Ok(expected), "{line}");
        }
    }

    #[test]
    fn a_line_that_is_refused_is_an_error_with_the_reason() {
        for (line, expected) in [
            (
                r#"{"kind": "metrics", "a": 1}"#,
                "there is no kind `metrics`; did you mean `metric`?",
            ),
            (
                r#"{"kind": "outptu", "a": 1}"#,
                "there is no kind `outptu`; did you mean `output`?",
            ),
            (
                r#"{"kind": "Dataset", "a": 1}"#,
                "there is no kind `Dataset`; did you mean `dataset`?",
            ),
            (r#"{"kind": "banana", "a": 1}"#, "there is no kind `banana`"),
            (r#"{"kind": 3}"#, "`kind` is not a text"),
            (
                r#"{"kind": "model", "step": 3}"#,
                "a model needs `path`, a text",
            ),
            (r#"{"kind": "note"}"#, "a note needs `text`, a text"),
            (r#"{"kind": "output"}"#, "it has no value that can be kept"),
            (
                r#"{"kind": "version", "version": 2}"#,
                "it declares version 2 of the records format, and this swath reads versions up \
                 to 1; use a newer swath",
            ),
        ] {
            assert_eq!(read(line).unwrap_err(), expected, "{line}");
        }
    }

    #[test]
    fn an_unknown_key_is_a_flaw() {
        let mut parser = Parser::default();
        parser
            .parse(r#"{"kind": "note", "text": "a", "colour": "red"}"#)
            .unwrap();
        assert_eq!(
            parser.flaws(),
            ["`colour` is left out: it means nothing here"]
        );
    }
}
