//! The kinds of lines that are neither report nor metric.

use super::scan::Raw;
use super::{Entries, Refused, Said, VERSION, take, text_of};
use crate::space::{Name, Value};

/// What an object with `kind` is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LineKind {
    Report,
    Metric,
    Param,
    Dataset,
    Model,
    Artifact,
    Checkpoint,
    Note,
    Output,
    Version,
    Ask,
}

const KINDS: [(&str, LineKind); 11] = [
    ("report", LineKind::Report),
    ("metric", LineKind::Metric),
    ("param", LineKind::Param),
    ("dataset", LineKind::Dataset),
    ("model", LineKind::Model),
    ("artifact", LineKind::Artifact),
    ("checkpoint", LineKind::Checkpoint),
    ("note", LineKind::Note),
    ("output", LineKind::Output),
    ("version", LineKind::Version),
    ("ask", LineKind::Ask),
];

impl LineKind {
    pub(super) fn find(word: &str) -> Result<Self, Refused> {
        if let Some((_, kind)) = KINDS.iter().find(|(name, _)| *name == word) {
            return Ok(*kind);
        }
        let near = KINDS.iter().map(|(name, _)| (distance(word, name), *name)).min();
        let hint = near.filter(|(far, name)| *far <= name.len().div_ceil(3)).map(|(_, name)| name);
        let found =
            if word.len() <= 40 { word.to_owned() } else { word.chars().take(40).chain(['…']).collect() };
        Err(Refused::UnknownKind { found, hint })
    }
}

/// Returns how many letters have to be added, left out or changed to get from one word to the other; words over 40 bytes are far from all.
fn distance(a: &str, b: &str) -> usize {
    if a.len() > 40 {
        return usize::MAX;
    }
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let change = diagonal + usize::from(!x.eq_ignore_ascii_case(&y));
            diagonal = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

/// Reads a line of a kind that is neither report nor metric.
pub(super) fn other(
    kind: LineKind,
    mut entries: Entries<'_>,
    flaws: &mut Vec<String>,
) -> Result<Said, Refused> {
    let mut rest = Rest { entries: &mut entries, flaws };
    let said = match kind {
        LineKind::Report | LineKind::Metric => return Err(Refused::Empty),
        LineKind::Output => return values(entries, flaws).map(Said::Outputs),
        LineKind::Param => return values(entries, flaws).map(Said::Params),
        LineKind::Dataset => Said::Dataset {
            path: rest.needed("dataset", &["path", "data_dir"], "text")?,
            role: rest.text(&["role", "context"]).unwrap_or_default(),
        },
        LineKind::Model => Said::Model {
            path: rest.needed("model", &["path", "model_path"], "text")?,
            step: rest.number("step"),
        },
        LineKind::Artifact => {
            Said::Artifact { path: rest.needed("artifact", &["path"], "text")?, folder: rest.text(&["type"]) }
        }
        LineKind::Checkpoint => Said::Checkpoint { step: rest.number("step") },
        LineKind::Note => Said::Note { text: rest.needed("note", &["text"], "text")? },
        LineKind::Ask => Said::Ask { id: rest.needed("ask", &["id"], "text")? },
        LineKind::Version => match rest.number("version") {
            Some(version) if version > VERSION as f64 => return Err(Refused::Newer(version as u64)),
            Some(_) => Said::Nothing,
            None => return Err(Refused::Missing { kind: "version", key: "version", wanted: "number" }),
        },
    };
    for (name, _) in &entries {
        flaws.push(format!("`{name}` is left out: it means nothing here"));
    }
    Ok(said)
}

/// The keys not yet taken.
struct Rest<'r, 'a> {
    entries: &'r mut Entries<'a>,
    flaws: &'r mut Vec<String>,
}

impl Rest<'_, '_> {
    fn text(&mut self, keys: &[&str]) -> Option<String> {
        keys.iter().find_map(|key| text_of(key, take(self.entries, key)?, self.flaws))
    }

    fn needed(
        &mut self,
        kind: &'static str,
        keys: &[&'static str],
        wanted: &'static str,
    ) -> Result<String, Refused> {
        let missing = Refused::Missing { kind, key: keys[0], wanted };
        self.text(keys).filter(|text| !text.is_empty()).ok_or(missing)
    }

    fn number(&mut self, key: &str) -> Option<f64> {
        match take(self.entries, key)? {
            Raw::Number(number, _) => Some(number),
            Raw::Null => None,
            _ => {
                self.flaws.push(format!("`{key}` is left out: it is not a number"));
                None
            }
        }
    }
}

/// The values of a line that is nothing but values; `name` and `value` are the long form of one.
fn values(mut entries: Entries<'_>, flaws: &mut Vec<String>) -> Result<Vec<(Name, Value)>, Refused> {
    let named = |entries: &Entries<'_>, key: &str| entries.iter().any(|(name, _)| &**name == key);
    if entries.len() == 2 && named(&entries, "name") && named(&entries, "value") {
        if let Some(Raw::Text(name)) = take(&mut entries, "name") {
            entries[0].0 = Name::from(&*name);
        } else {
            flaws.push("`name` is left out: it is not a text".to_owned());
        }
    }
    let mut values = Vec::with_capacity(entries.len());
    for (name, raw) in entries {
        match value(raw) {
            Ok(Some(value)) => values.push((name, value)),
            Ok(None) => {}
            Err(why) => flaws.push(format!("`{name}` is left out: {why}")),
        }
    }
    if values.is_empty() { Err(Refused::Empty) } else { Ok(values) }
}

fn value(raw: Raw<'_>) -> Result<Option<Value>, &'static str> {
    Ok(Some(match raw {
        Raw::Null => return Ok(None),
        Raw::Bool(flag) => Value::Bool(flag),
        Raw::Number(number, text) => text.parse().map_or(Value::Float(number), Value::Int),
        // A value is finite: what is not is kept as its word.
        Raw::Special(number) => Value::Text(number.to_string().to_ascii_lowercase().into()),
        Raw::Text(text) => Value::Text((*text).into()),
        Raw::Nested(text) => list(text)?,
    }))
}

/// Reads a list of numbers, texts, switches and lists of them.
fn list(text: &str) -> Result<Value, &'static str> {
    if text.starts_with('{') {
        return Err("it is an object; values are numbers, texts, switches and lists of them");
    }
    serde_json::from_str(text).map_err(|_| "it is not a list of numbers, texts, switches and lists of them")
}

#[cfg(test)]
mod tests {
    use super::super::Parser;
    use super::*;

    fn read(line: &str) -> Result<Said, String> {
        Parser::default().parse(line).map_err(|error| error.to_string())
    }

    #[test]
    fn each_kind_is_read() {
        for (line, wanted) in [
            (
                r#"{"kind": "dataset", "path": "data", "role": "train"}"#,
                Said::Dataset { path: "data".into(), role: "train".into() },
            ),
            (
                r#"{"kind": "dataset", "data_dir": "d"}"#,
                Said::Dataset { path: "d".into(), role: String::new() },
            ),
            (
                r#"{"kind": "model", "model_path": "m.bin", "step": 3}"#,
                Said::Model { path: "m.bin".into(), step: Some(3.0) },
            ),
            (
                r#"{"kind": "artifact", "path": "a.png", "type": "plots"}"#,
                Said::Artifact { path: "a.png".into(), folder: Some("plots".into()) },
            ),
            (r#"{"kind": "checkpoint"}"#, Said::Checkpoint { step: None }),
            (r#"{"kind": "note", "text": "é"}"#, Said::Note { text: "é".into() }),
            (
                r#"{"kind": "output", "n": 3, "l": [1.5, "x"], "nan": NaN}"#,
                Said::Outputs(vec![
                    ("n".into(), Value::Int(3)),
                    ("l".into(), Value::List(vec![Value::Float(1.5), Value::Text("x".into())])),
                    ("nan".into(), Value::Text("nan".into())),
                ]),
            ),
            (
                r#"{"kind": "param", "name": "depth", "value": 3.0}"#,
                Said::Params(vec![("depth".into(), Value::Float(3.0))]),
            ),
            (r#"{"kind": "ask", "id": "7-1"}"#, Said::Ask { id: "7-1".into() }),
            (r#"{"kind": "version", "version": 1}"#, Said::Nothing),
        ] {
            assert_eq!(read(line), Ok(wanted), "{line}");
        }
    }

    #[test]
    fn a_line_that_means_nothing_says_what_it_lacks() {
        for (line, wanted) in [
            (r#"{"kind": "metrics", "a": 1}"#, "there is no kind `metrics`; did you mean `metric`?"),
            (r#"{"kind": "outptu", "a": 1}"#, "there is no kind `outptu`; did you mean `output`?"),
            (r#"{"kind": "Dataset", "a": 1}"#, "there is no kind `Dataset`; did you mean `dataset`?"),
            (r#"{"kind": "banana", "a": 1}"#, "there is no kind `banana`"),
            (r#"{"kind": 3}"#, "`kind` is not a text"),
            (r#"{"kind": "model", "step": 3}"#, "a model needs `path`, a text"),
            (r#"{"kind": "note"}"#, "a note needs `text`, a text"),
            (r#"{"kind": "output"}"#, "it has no value that can be kept"),
            (
                r#"{"kind": "version", "version": 2}"#,
                "it says version 2 of the records format, this swath reads up to 1; use a newer swath",
            ),
        ] {
            assert_eq!(read(line).unwrap_err(), wanted, "{line}");
        }
    }

    #[test]
    fn a_key_that_means_nothing_is_said() {
        let mut parser = Parser::default();
        parser.parse(r#"{"kind": "note", "text": "a", "colour": "red"}"#).unwrap();
        assert_eq!(parser.flaws(), ["`colour` is left out: it means nothing here"]);
    }
}
