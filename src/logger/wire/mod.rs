//! The lines of `docs/records.md`: what a trial says, one JSON object a line.
//!
//! Here a line becomes something [`Said`] or a refusal; whatever is wrong with a part of it is a flaw, and the other parts are kept. Nothing is
//! looked up on disk here. Reports and metrics come by the hundred thousand: no tree is built, and names are shared between lines.

mod kind;
mod names;
mod scan;

pub use scan::Syntax;
#[cfg(feature = "cli")]
pub(crate) use scan::is_number;
pub(crate) use scan::special;

use crate::space::{Name, Value};
use crate::study::{Datum, Metric};
use kind::LineKind;
use names::Names;
use scan::Raw;
use std::borrow::Cow;

/// The version of the line format that is read here.
pub const VERSION: u64 = 1;

/// The longest name of a value, in bytes.
pub const LONGEST_NAME: usize = 250;

/// The most values of one line.
pub const MOST_VALUES: usize = 1000;

/// What a line says.
#[derive(Debug, Clone, PartialEq)]
pub enum Said {
    /// What decides.
    Report {
        /// The values, in order.
        values: Vec<(Name, Datum)>,
    },
    /// What describes. Its values are a row of [`Parser::row`].
    Metrics {
        /// The log it is to go to, if it says so.
        log: Option<String>,
        /// What it was measured on.
        context: Option<String>,
    },
    /// A data set was read.
    Dataset {
        /// Where it is.
        path: String,
        /// What for; may be empty.
        role: String,
    },
    /// A model was written.
    Model {
        /// Where it is.
        path: String,
        /// At which step.
        step: Option<f64>,
    },
    /// A file is to be stored.
    Artifact {
        /// Where it is.
        path: String,
        /// The folder of `artifacts/` it goes to, if the line says so.
        folder: Option<String>,
    },
    /// A checkpoint is complete.
    Checkpoint {
        /// At which step.
        step: Option<f64>,
    },
    /// A free text.
    Note {
        /// The text.
        text: String,
    },
    /// Final results.
    Outputs(Vec<(Name, Value)>),
    /// Parameters the trial found out itself.
    Params(Vec<(Name, Value)>),
    /// A question: may the trial go on, after all that stands before this?
    Ask {
        /// What the answer is to be called by.
        id: String,
    },
    /// Nothing: a blank line, or one that says which version it is written in.
    Nothing,
}

/// Why a line is left out as a whole.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It is not a JSON object.
    #[error(transparent)]
    Syntax(#[from] Syntax),
    /// Its `kind` is none.
    #[error("there is no kind `{found}`{}", .hint.map_or_else(String::new, |hint| format!("; did you mean `{hint}`?")))]
    UnknownKind {
        /// What it says.
        found: String,
        /// What it may have meant.
        hint: Option<&'static str>,
    },
    /// Its `kind` is not a text.
    #[error("`kind` is not a text")]
    KindOfKind,
    /// A key is missing without which it means nothing.
    #[error("a {kind} needs `{key}`, a {wanted}")]
    Missing {
        /// The line's kind.
        kind: &'static str,
        /// The key.
        key: &'static str,
        /// What it must be.
        wanted: &'static str,
    },
    /// No value is left.
    #[error("it has no value that can be kept")]
    Empty,
    /// It is written in a later version of the format.
    #[error("it says version {0} of the records format, this swath reads up to {VERSION}; use a newer swath")]
    Newer(u64),
}

/// Reads lines, remembering names from one to the next.
#[derive(Debug, Default)]
pub struct Parser {
    names: Names,
    row: Vec<u8>,
    keys: Vec<Name>,
    flaws: Vec<String>,
}

type Entries<'a> = Vec<(Name, Raw<'a>)>;

impl Parser {
    /// Reads one line. Flaws of parts of it are in [`flaws`](Self::flaws) afterwards.
    ///
    /// # Errors
    /// [`Refused`] if nothing of the line can be kept.
    pub fn parse(&mut self, line: &str) -> Result<Said, Refused> {
        self.row.clear();
        self.keys.clear();
        self.flaws.clear();
        let line = line.trim_start_matches('\u{feff}').trim_ascii();
        if line.is_empty() {
            return Ok(Said::Nothing);
        }
        let mut entries: Entries<'_> = Vec::with_capacity(8);
        scan::object(line, |key, raw| self.enter(&mut entries, key, raw))?;
        match kind_of(&mut entries)? {
            LineKind::Report => self.report(entries),
            LineKind::Metric => self.metrics(entries),
            other => kind::other(other, entries, &mut self.flaws),
        }
    }

    /// Returns the values of the last line as the inside of a JSON object, `"loss": 0.5, "step": 3`; of reports and metrics only.
    #[must_use]
    pub fn row(&self) -> &[u8] {
        &self.row
    }

    /// Returns the keys of [`row`](Self::row).
    #[must_use]
    pub fn keys(&self) -> &[Name] {
        &self.keys
    }

    /// Returns what was wrong with parts of the last line that were left out or changed.
    #[must_use]
    pub fn flaws(&self) -> &[String] {
        &self.flaws
    }

    /// Returns the shared form of a name, `at` being its place in the line, a guess at which name it will be.
    pub fn name(&mut self, at: usize, name: &str) -> Name {
        self.names.shared(at, name)
    }

    fn enter<'a>(&mut self, entries: &mut Entries<'a>, key: Cow<'a, str>, raw: Raw<'a>) {
        if let Err(problem) = check_name(&key) {
            return self.flaws.push(problem);
        }
        if entries.len() == MOST_VALUES {
            return self
                .flaws
                .push(format!("`{key}` is left out: {MOST_VALUES} values are the most of one line"));
        }
        let name = self.names.shared(entries.len(), &key);
        match entries.iter_mut().find(|(found, _)| *found == name) {
            None => entries.push((name, raw)),
            Some((_, old)) => {
                self.flaws.push(format!("`{name}` is there twice; the later one counts"));
                *old = raw;
            }
        }
    }

    fn report(&mut self, entries: Entries<'_>) -> Result<Said, Refused> {
        let mut values = Vec::with_capacity(entries.len());
        for (name, raw) in entries {
            let datum = match raw {
                Raw::Bool(flag) => Datum::Flag(flag),
                Raw::Number(number, _) | Raw::Special(number) => Datum::Number(Metric(number)),
                Raw::Text(ref text) => special(text).map_or_else(
                    || Datum::Text(text.clone().into_owned()),
                    |number| Datum::Number(Metric(number)),
                ),
                Raw::Null => continue,
                Raw::Nested(_) => {
                    self.flaws.push(nested(&name));
                    continue;
                }
            };
            pair(&mut self.row, &name, &raw);
            self.keys.push(name.clone());
            values.push((name, datum));
        }
        if values.is_empty() { Err(Refused::Empty) } else { Ok(Said::Report { values }) }
    }

    fn metrics(&mut self, mut entries: Entries<'_>) -> Result<Said, Refused> {
        let mut word = |key: &str| take(&mut entries, key).and_then(|raw| text_of(key, raw, &mut self.flaws));
        let (log, context, one) = (word("log"), word("context"), word("name"));
        let mut place = ["step", "batch", "context", "at"].map(|key| (key, take(&mut entries, key)));
        place[2].1 = context.clone().map(|context| Raw::Text(context.into()));
        if let Some(name) = one {
            // The form with `name` and `value`: the name is a key like any other.
            let value = take(&mut entries, "value").ok_or(MISSING_VALUE)?;
            match check_name(&name) {
                Ok(()) => entries.insert(0, (self.names.shared(0, &name), value)),
                Err(problem) => self.flaws.push(problem),
            }
        }
        for (name, raw) in entries {
            if matches!(raw, Raw::Nested(_)) {
                self.flaws.push(nested(&name));
            } else {
                pair(&mut self.row, &name, &raw);
                self.keys.push(name);
            }
        }
        if self.keys.is_empty() {
            return Err(Refused::Empty);
        }
        for (key, raw) in place {
            match raw {
                Some(raw @ Raw::Text(_)) if key == "context" => self.place(key, &raw),
                Some(raw @ Raw::Number(..)) => self.place(key, &raw),
                None | Some(Raw::Null) => {}
                Some(_) => self.flaws.push(format!("`{key}` is left out: it is not a number")),
            }
        }
        Ok(Said::Metrics { log, context })
    }

    /// Adds to the row where the metrics belong.
    fn place(&mut self, key: &str, raw: &Raw<'_>) {
        pair(&mut self.row, key, raw);
        self.keys.push(self.names.shared(self.keys.len(), key));
    }
}

const MISSING_VALUE: Refused =
    Refused::Missing { kind: "metric with a `name`", key: "value", wanted: "number" };

/// Takes the line's kind out of it; without one it is a report.
fn kind_of(entries: &mut Entries<'_>) -> Result<LineKind, Refused> {
    match take(entries, "kind") {
        None => Ok(LineKind::Report),
        Some(Raw::Text(word)) => LineKind::find(&word),
        Some(_) => Err(Refused::KindOfKind),
    }
}

fn take<'a>(entries: &mut Entries<'a>, key: &str) -> Option<Raw<'a>> {
    let at = entries.iter().position(|(name, _)| &**name == key)?;
    Some(entries.remove(at).1)
}

/// Returns a text; anything else is a flaw, null is absent.
fn text_of(key: &str, raw: Raw<'_>, flaws: &mut Vec<String>) -> Option<String> {
    match raw {
        Raw::Text(text) => Some(text.into_owned()),
        Raw::Null => None,
        _ => {
            flaws.push(format!("`{key}` is left out: it is not a text"));
            None
        }
    }
}

fn nested(name: &str) -> String {
    format!("`{name}` is left out: it is a list or an object; values are numbers, texts and switches")
}

/// Says why a name cannot be one.
pub(crate) fn check_name(name: &str) -> Result<(), String> {
    if name.is_empty() {
        return Err("a value is left out: its name is empty".to_owned());
    }
    if name.len() > LONGEST_NAME {
        let begin: String = name.chars().take(20).collect();
        return Err(format!(
            "`{begin}…` is left out: its name has {} bytes, {LONGEST_NAME} are the most",
            name.len()
        ));
    }
    if name.chars().any(char::is_control) {
        return Err(format!("`{}` is left out: its name has control characters", name.escape_debug()));
    }
    Ok(())
}

/// Appends a key and its value to the inside of a JSON object, in the form of Python's `json.dumps`.
fn pair(row: &mut Vec<u8>, name: &str, raw: &Raw<'_>) {
    begin_pair(row, name);
    match raw {
        Raw::Null | Raw::Nested(_) => row.extend_from_slice(b"null"),
        Raw::Bool(flag) => row.extend_from_slice(if *flag { b"true" } else { b"false" }),
        Raw::Number(_, text) => row.extend_from_slice(text.as_bytes()),
        Raw::Special(number) => json_number(row, *number),
        Raw::Text(text) => match special(text) {
            Some(number) => json_number(row, number),
            None => json_text(row, text),
        },
    }
}

/// Appends `, "name": ` to a row, without the comma at its beginning.
pub(crate) fn begin_pair(row: &mut Vec<u8>, name: &str) {
    if !row.is_empty() {
        row.extend_from_slice(b", ");
    }
    json_text(row, name);
    row.extend_from_slice(b": ");
}

/// Appends a number in shortest round-trip form; NaN and the infinities as Python writes and reads them.
pub(crate) fn json_number(row: &mut Vec<u8>, number: f64) {
    if number.is_finite() {
        serde_json::to_writer(row, &number).expect("a vector takes all bytes");
    } else if number.is_nan() {
        row.extend_from_slice(b"NaN");
    } else {
        row.extend_from_slice(if number > 0.0 { b"Infinity" } else { b"-Infinity" });
    }
}

/// Appends a text in quotes, ASCII only, so that no reader's default encoding matters.
pub(crate) fn json_text(row: &mut Vec<u8>, text: &str) {
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\') {
        row.push(b'"');
        row.extend_from_slice(text.as_bytes());
        row.push(b'"');
        return;
    }
    row.push(b'"');
    for unit in text.encode_utf16() {
        match u8::try_from(unit) {
            Ok(byte @ (b'"' | b'\\')) => row.extend_from_slice(&[b'\\', byte]),
            Ok(byte @ b' '..=b'~') => row.push(byte),
            _ => row.extend_from_slice(format!("\\u{unit:04x}").as_bytes()),
        }
    }
    row.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn number(name: &str, value: f64) -> (Name, Datum) {
        (name.into(), Datum::Number(Metric(value)))
    }

    fn text(name: &str, value: &str) -> (Name, Datum) {
        (name.into(), Datum::Text(value.into()))
    }

    /// What the line says, its row, and its flaws.
    fn read(line: &str) -> (Result<Said, String>, String, Vec<String>) {
        let mut parser = Parser::default();
        let said = parser.parse(line).map_err(|error| error.to_string());
        (said, String::from_utf8(parser.row().to_vec()).unwrap(), parser.flaws().to_vec())
    }

    fn report(values: &[(Name, Datum)]) -> Result<Said, String> {
        Ok(Said::Report { values: values.to_vec() })
    }

    #[test]
    fn a_plain_object_is_a_report_with_its_values_in_order() {
        let line =
            r#"{"epoch": 3, "val_loss": 0.41, "ok": true, "model_path": "models/m3.bin", "none": null}"#;
        let (said, row, flaws) = read(line);
        let ok = ("ok".into(), Datum::Flag(true));
        let wanted =
            [number("epoch", 3.0), number("val_loss", 0.41), ok, text("model_path", "models/m3.bin")];
        assert_eq!(said, report(&wanted));
        assert_eq!(row, r#""epoch": 3, "val_loss": 0.41, "ok": true, "model_path": "models/m3.bin""#);
        assert!(flaws.is_empty());
        assert_eq!(read(r#"{"kind": "report", "a": 1}"#).0, report(&[number("a", 1.0)]));
    }

    #[test]
    fn nan_in_any_spelling_is_a_number() {
        let (said, row, _) = read(r#"{"a": NaN, "b": "nan", "c": "-Infinity", "d": 1e999}"#);
        let Ok(Said::Report { values }) = said else { panic!() };
        assert!(values.iter().all(|(_, datum)| matches!(datum, Datum::Number(Metric(n)) if !n.is_finite())));
        assert_eq!(row, r#""a": NaN, "b": NaN, "c": -Infinity, "d": Infinity"#);
    }

    #[test]
    fn of_a_key_that_is_there_twice_the_later_counts_as_for_every_json_reader() {
        let (said, row, flaws) = read(r#"{"a": 1, "b": 2, "a": 3}"#);
        assert_eq!(said, report(&[number("a", 3.0), number("b", 2.0)]));
        assert_eq!(row, r#""a": 3, "b": 2"#);
        assert_eq!(flaws, ["`a` is there twice; the later one counts"]);
    }

    #[test]
    fn a_bad_part_is_left_out_and_the_rest_is_kept() {
        let line = format!(r#"{{"hist": [1, 2], "": 1, "{}": 2, "a\n": 3, "loss": 0.5}}"#, "n".repeat(300));
        let (said, _, flaws) = read(&line);
        assert_eq!(said, report(&[number("loss", 0.5)]));
        let wanted = [
            "a value is left out: its name is empty",
            "`nnnnnnnnnnnnnnnnnnnn…` is left out: its name has 300 bytes, 250 are the most",
            "`a\\n` is left out: its name has control characters",
            "`hist` is left out: it is a list or an object; values are numbers, texts and switches",
        ];
        assert_eq!(flaws, wanted);
        assert_eq!(read(r#"{"a": {}}"#).0.unwrap_err(), "it has no value that can be kept");
    }

    #[test]
    fn a_metric_is_a_row_with_its_place() {
        let line = r#"{"kind": "metric", "loss": 0.5, "acc": 1, "step": 3, "batch": 7, "context": "train", "log": "t"}"#;
        let (said, row, flaws) = read(line);
        assert_eq!(said, Ok(Said::Metrics { log: Some("t".into()), context: Some("train".into()) }));
        assert_eq!(row, r#""loss": 0.5, "acc": 1, "step": 3, "batch": 7, "context": "train""#);
        assert!(flaws.is_empty());
        let (said, row, flaws) = read(r#"{"kind": "metric", "name": "loss", "value": NaN, "step": "three"}"#);
        assert_eq!(said, Ok(Said::Metrics { log: None, context: None }));
        assert_eq!((&*row, &*flaws[0]), (r#""loss": NaN"#, "`step` is left out: it is not a number"));
        let missing = read(r#"{"kind": "metric", "name": "loss"}"#).0.unwrap_err();
        assert_eq!(missing, "a metric with a `name` needs `value`, a number");
    }

    #[test]
    fn a_thousand_values_are_the_most() {
        let many: Vec<String> = (0..1002).map(|n| format!("\"k{n}\": {n}")).collect();
        let (said, _, flaws) = read(&format!("{{{}}}", many.join(",")));
        assert!(matches!(said, Ok(Said::Report { values }) if values.len() == 1000));
        assert_eq!(flaws.len(), 2);
    }

    #[test]
    fn blank_lines_say_nothing() {
        assert_eq!(read("").0, Ok(Said::Nothing));
        assert_eq!(read(" \r").0, Ok(Said::Nothing));
        assert_eq!(read("\u{feff}{\"a\": 1}").0, report(&[number("a", 1.0)]));
    }

    proptest! {
        #[test]
        fn no_line_panics_and_a_row_is_always_json(line in r#"\{("(kind|step|log|name|value|a|path)": ?("(metric|dataset|outptu|note|x)"|NaN|[0-9]{1,3}|\[1\]|true|null),?){0,6}\}?"#) {
            let (_, row, _) = read(&line);
            let json = format!("{{{}}}", row.replace("NaN", "null"));
            prop_assert!(serde_json::from_str::<serde_json::Value>(&json).is_ok(), "{json}");
        }

        #[test]
        fn any_text_is_read_or_refused(line in ".*") {
            let _ = read(&line);
        }

        #[test]
        fn a_written_report_is_read_back(values in proptest::collection::vec(("[a-zé_./ -]{1,12}", any::<f64>()), 1..8)) {
            let mut row = Vec::new();
            let mut wanted: Vec<(String, f64)> = Vec::new();
            for (name, value) in values {
                if wanted.iter().all(|(found, _)| *found != name) && name != "kind" {
                    begin_pair(&mut row, &name);
                    json_number(&mut row, value);
                    wanted.push((name, value));
                }
            }
            prop_assume!(!wanted.is_empty());
            let (said, again, flaws) = read(&format!("{{{}}}", String::from_utf8(row.clone()).unwrap()));
            let Ok(Said::Report { values }) = said else { panic!() };
            for ((name, datum), (wanted_name, wanted)) in values.iter().zip(&wanted) {
                prop_assert_eq!(&**name, wanted_name);
                prop_assert!(matches!(datum, Datum::Number(Metric(n)) if n.to_bits() == wanted.to_bits() || n.is_nan() && wanted.is_nan()));
            }
            prop_assert_eq!(again.as_bytes(), &row[..]);
            prop_assert!(flaws.is_empty());
        }
    }
}
