//! The kinds of lines other than reports and metrics.

use super::scan::Raw;
use super::{Entries, Refused, Said, VERSION, take, text_of};
use crate::space::{Name, Value};

/// The kind of a line.
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
    Dict,
    Text,
    Image,
    BestModel,
    Optimizer,
    Flops,
    ProvDocuments,
    Ask,
    Meaningless(&'static str, &'static str),
}

const WATCH: LineKind = LineKind::Meaningless(
    "watch",
    "following a model's gradients needs the model itself; record them as metrics, or histograms as a `dict`",
);
const TORCH: LineKind = LineKind::Meaningless(
    "torch",
    "an object of Python has no line; save it to a file and record that as `model` or `artifact`",
);
const SYSTEM: LineKind = LineKind::Meaningless(
    "system",
    "swath samples the system itself, into `metrics/system.json`; leave it out",
);
const CARBON: LineKind = LineKind::Meaningless(
    "carbon",
    "energy is sampled into `metrics/system.json` where counters are readable; record what you computed as metrics",
);
const TIME: LineKind = LineKind::Meaningless(
    "execution_time",
    "swath records when each attempt begins and ends; leave it out",
);

const KINDS: [(&str, LineKind); 25] = [
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
    ("params", LineKind::Param),
    ("dict", LineKind::Dict),
    ("text", LineKind::Text),
    ("figure", LineKind::Image),
    ("image", LineKind::Image),
    ("best_model", LineKind::BestModel),
    ("optimizer", LineKind::Optimizer),
    ("flops", LineKind::Flops),
    ("prov_documents", LineKind::ProvDocuments),
    ("watch", WATCH),
    ("torch", TORCH),
    ("system", SYSTEM),
    ("carbon", CARBON),
    ("execution_time", TIME),
    ("ask", LineKind::Ask),
];

impl LineKind {
    /// Returns whether a line of this kind carries the rank of its worker.
    pub(super) fn takes_rank(self) -> bool {
        matches!(self, Self::Report | Self::Metric | Self::Flops)
    }

    pub(super) fn find(word: &str) -> Result<Self, Refused> {
        if let Some((_, kind)) = KINDS.iter().find(|(name, _)| *name == word) {
            return Ok(*kind);
        }
        let near = KINDS
            .iter()
            .map(|(name, _)| (distance(word, name), *name))
            .min();
        let hint = near
            // A hint helps only if at most a third of the letters differ.
            .filter(|(far, name)| *far <= name.len().div_ceil(3))
            .map(|(_, name)| name);
        let found = if word.len() <= 40 {
            word.to_owned()
        } else {
            word.chars().take(40).chain(['…']).collect()
        };
        Err(Refused::UnknownKind { found, hint })
    }
}

/// Returns the edit distance between two words: the number of letters to add, remove or change. A
/// word `a` of more than 40 bytes is far from all others.
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

/// Parses a line of a kind other than report and metric.
pub(super) fn other(
    kind: LineKind,
    mut entries: Entries<'_>,
    flaws: &mut Vec<String>,
) -> Result<Said, Refused> {
    let mut rest = Rest {
        entries: &mut entries,
        flaws,
    };
    let said = match kind {
        LineKind::Report | LineKind::Metric | LineKind::Flops => return Err(Refused::Empty),
        LineKind::Meaningless(kind, why) => return Err(Refused::Meaningless { kind, why }),
        LineKind::Output => return values(entries, flaws).map(Said::Outputs),
        LineKind::Param => return values(entries, flaws).map(Said::Params),
        LineKind::Dataset => Said::Dataset {
            path: rest.needed("dataset", &["path", "data_dir"], "text")?,
            role: rest.text(&["role", "context"]).unwrap_or_default(),
        },
        LineKind::Model | LineKind::BestModel => {
            let path = rest.needed("model", &["path", "model_path"], "text")?;
            let step = rest.number("step");
            let keep = rest.flag("keep");
            let best = (kind == LineKind::BestModel).then(|| ("best".into(), Value::Bool(true)));
            // All other values of a model's line are facts about the model.
            let mut facts = if entries.is_empty() {
                Vec::new()
            } else {
                values(entries, flaws).unwrap_or_default()
            };
            facts.extend(best);
            return Ok(Said::Model {
                path,
                step,
                keep,
                facts,
            });
        }
        LineKind::Optimizer => {
            let name = rest.needed("optimizer", &["name"], "text")?;
            let mut found = vec![("optimizer_name".into(), Value::Text(name.into()))];
            let more = if entries.is_empty() {
                Vec::new()
            } else {
                values(entries, flaws).unwrap_or_default()
            };
            found.extend(
                more.into_iter()
                    .map(|(name, value)| (format!("optimizer_{name}").into(), value)),
            );
            return Ok(Said::Params(found));
        }
        LineKind::Dict => {
            let name = rest.needed("dict", &["name"], "text")?;
            let missing = Refused::Missing {
                kind: "dict",
                key: "value",
                wanted: "list or an object",
            };
            let Some(Raw::Nested(text)) = take(rest.entries, "value") else {
                return Err(missing);
            };
            let name = if name.contains('.') {
                name
            } else {
                name + ".json"
            };
            Said::Stored {
                folder: "dict",
                name,
                text: format!("{text}\n"),
            }
        }
        LineKind::Text => {
            let name = rest.needed("text", &["name"], "text")?;
            let missing = Refused::Missing {
                kind: "text",
                key: "text",
                wanted: "text",
            };
            let text = rest.text(&["text", "value"]).ok_or(missing)?;
            let name = if name.contains('.') {
                name
            } else {
                name + ".txt"
            };
            Said::Stored {
                folder: "text",
                name,
                text,
            }
        }
        LineKind::Image => Said::Artifact {
            path: rest.needed("image", &["path"], "text")?,
            folder: Some("image".to_owned()),
        },
        LineKind::ProvDocuments => Said::Artifact {
            path: rest.needed("prov_documents", &["path"], "text")?,
            folder: Some("prov".to_owned()),
        },
        LineKind::Artifact => Said::Artifact {
            path: rest.needed("artifact", &["path"], "text")?,
            folder: rest.text(&["type"]),
        },
        LineKind::Checkpoint => Said::Checkpoint {
            step: rest.number("step"),
        },
        LineKind::Note => Said::Note {
            text: rest.needed("note", &["text"], "text")?,
        },
        LineKind::Ask => Said::Ask {
            id: rest.needed("ask", &["id"], "text")?,
        },
        LineKind::Version => match rest.number("version") {
            Some(version) if version > VERSION as f64 => {
                return Err(Refused::Newer(version as u64));
            }
            Some(_) => Said::Nothing,
            None => {
                return Err(Refused::Missing {
                    kind: "version",
                    key: "version",
                    wanted: "number",
                });
            }
        },
    };
    for (name, _) in &entries {
        flaws.push(format!("`{name}` is left out: it means nothing here"));
    }
    Ok(said)
}

/// Converts a number of floating point operations into a metric: `flops`, or `flops_per_epoch` if
/// the line has `per`.
pub(super) fn flops(entries: &mut Entries<'_>, flaws: &mut Vec<String>) -> Result<(), Refused> {
    let missing = Refused::Missing {
        kind: "flops",
        key: "value",
        wanted: "number",
    };
    let value = take(entries, "value")
        .filter(|raw| matches!(raw, Raw::Number(..)))
        .ok_or(missing)?;
    let per = take(entries, "per").and_then(|raw| text_of("per", raw, flaws));
    let name = per.map_or_else(|| "flops".to_owned(), |per| format!("flops_per_{per}"));
    entries.insert(0, (name.into(), value));
    Ok(())
}

/// The entries that were not taken yet.
struct Rest<'r, 'a> {
    entries: &'r mut Entries<'a>,
    flaws: &'r mut Vec<String>,
}

impl Rest<'_, '_> {
    fn text(&mut self, keys: &[&str]) -> Option<String> {
        keys.iter()
            .find_map(|key| text_of(key, take(self.entries, key)?, self.flaws))
    }

    fn needed(
        &mut self,
        kind: &'static str,
        keys: &[&'static str],
        wanted: &'static str,
    ) -> Result<String, Refused> {
        let missing = Refused::Missing {
            kind,
            key: keys[0],
            wanted,
        };
        self.text(keys)
            .filter(|text| !text.is_empty())
            .ok_or(missing)
    }

    fn flag(&mut self, key: &str) -> bool {
        match take(self.entries, key) {
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
        match take(self.entries, key)? {
            Raw::Number(number, _) => Some(number),
            Raw::Null => None,
            _ => {
                self.flaws
                    .push(format!("`{key}` is left out: it is not a number"));
                None
            }
        }
    }
}

/// Converts the entries of a line that consists of values only. The keys `name` and `value` are the
/// long form of one value.
fn values(
    mut entries: Entries<'_>,
    flaws: &mut Vec<String>,
) -> Result<Vec<(Name, Value)>, Refused> {
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
    if values.is_empty() {
        Err(Refused::Empty)
    } else {
        Ok(values)
    }
}

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
    use super::super::Parser;
    use super::*;

    fn read(line: &str) -> Result<Said, String> {
        Parser::default()
            .parse(line)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn each_kind_is_read() {
        for (line, wanted) in [
            (
                r#"{"kind": "dataset", "path": "data", "role": "train"}"#,
                Said::Dataset {
                    path: "data".into(),
                    role: "train".into(),
                },
            ),
            (
                r#"{"kind": "dataset", "data_dir": "d"}"#,
                Said::Dataset {
                    path: "d".into(),
                    role: String::new(),
                },
            ),
            (
                r#"{"kind": "model", "model_path": "m.bin", "step": 3}"#,
                Said::Model {
                    path: "m.bin".into(),
                    step: Some(3.0),
                    keep: false,
                    facts: Vec::new(),
                },
            ),
            (
                r#"{"kind": "model", "path": "m.bin", "keep": true}"#,
                Said::Model {
                    path: "m.bin".into(),
                    step: None,
                    keep: true,
                    facts: Vec::new(),
                },
            ),
            (
                r#"{"kind": "artifact", "path": "a.png", "type": "plots"}"#,
                Said::Artifact {
                    path: "a.png".into(),
                    folder: Some("plots".into()),
                },
            ),
            (r#"{"kind": "checkpoint"}"#, Said::Checkpoint { step: None }),
            (
                r#"{"kind": "note", "text": "é"}"#,
                Said::Note { text: "é".into() },
            ),
            (
                r#"{"kind": "output", "n": 3, "l": [1.5, "x"], "nan": NaN}"#,
                Said::Outputs(vec![
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
                Said::Params(vec![("depth".into(), Value::Float(3.0))]),
            ),
            (
                r#"{"kind": "ask", "id": "7-1"}"#,
                Said::Ask { id: "7-1".into() },
            ),
            (r#"{"kind": "version", "version": 1}"#, Said::Nothing),
        ] {
            assert_eq!(read(line), Ok(wanted), "{line}");
        }
    }

    #[test]
    fn a_line_that_means_nothing_says_what_it_lacks() {
        for (line, wanted) in [
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
                "it says version 2 of the records format, this swath reads up to 1; use a newer swath",
            ),
        ] {
            assert_eq!(read(line).unwrap_err(), wanted, "{line}");
        }
    }

    #[test]
    fn a_key_that_means_nothing_is_said() {
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
