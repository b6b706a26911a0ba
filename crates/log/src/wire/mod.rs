//! The line format of `docs/records.md`: the records of a trial, one JSON object per line.
//!
//! The parser turns a line into a [`Said`] or refuses it. A mistake in one part of a line is a
//! flaw, and the other parts are kept. The parser does not access the disk. Reports and metrics
//! come by the hundred thousand, so no tree is built, and names are shared between lines.

mod kind;
mod names;
mod places;
mod scan;

pub use scan::Syntax;
pub use scan::is_number;
pub use scan::special;

use super::deciding::{DecidingMetrics, Instead};
use crate::space::{Name, Value};
use crate::study::{Datum, Metric};
use kind::LineKind;
use names::Names;
pub(super) use places::Places;
use scan::Raw;
use std::borrow::Cow;

/// The version of the line format that this program reads.
pub const VERSION: u64 = 1;

/// The maximum length of a value's name, in bytes.
pub const LONGEST_NAME: usize = 250;

/// The content of a line.
#[derive(Debug, Clone, PartialEq)]
pub enum Said {
    /// A report, whose values decide.
    Report {
        /// The values, in order.
        values: Vec<(Name, Datum)>,
    },
    /// Metrics, which only describe. The values are in [`Parser::row`].
    Metrics {
        /// The log, if the line names one.
        log: Option<String>,
        /// The data on which the metrics were measured, if the line names it.
        context: Option<String>,
    },
    /// The trial read a data set.
    Dataset {
        /// The path as the trial wrote it.
        path: String,
        /// The purpose of the data set; may be empty.
        role: String,
    },
    /// The trial wrote a model.
    Model {
        /// The path as the trial wrote it.
        path: String,
        /// The step of the model, if the line has one.
        step: Option<f64>,
        /// Whether this version is to be kept regardless of later ones.
        keep: bool,
        /// Further facts about the model.
        facts: Vec<(Name, Value)>,
    },
    /// A text that is to be stored as a file.
    Stored {
        /// The folder below `artifacts/`.
        folder: &'static str,
        /// The name of the file.
        name: String,
        /// The content of the file.
        text: String,
    },
    /// A file that is to be stored.
    Artifact {
        /// The path as the trial wrote it.
        path: String,
        /// The folder below `artifacts/`, if the line names one.
        folder: Option<String>,
    },
    /// A checkpoint is complete.
    Checkpoint {
        /// The resource at which it was taken, if the line has one.
        step: Option<f64>,
    },
    /// A free text.
    Note {
        /// The text.
        text: String,
    },
    /// Final results.
    Outputs(Vec<(Name, Value)>),
    /// Parameters that the trial determined itself.
    Params(Vec<(Name, Value)>),
    /// The question whether the trial continues, after all lines before this one.
    Ask {
        /// The id that the answer must have.
        id: String,
    },
    /// A line without content: a blank one, or one that declares the version of the format.
    Nothing,
}

/// The reason why a whole line is omitted.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// The line is not a JSON object.
    #[error(transparent)]
    Syntax(#[from] Syntax),
    /// The line has an unknown `kind`.
    #[error("there is no kind `{found}`{}", .hint.map_or_else(String::new, |hint| format!("; did you mean `{hint}`?")))]
    UnknownKind {
        /// The kind in the line, shortened to 40 characters.
        found: String,
        /// A known kind with a similar name.
        hint: Option<&'static str>,
    },
    /// The `kind` is not a text.
    #[error("`kind` is not a text")]
    KindOfKind,
    /// The line lacks a key without which it has no meaning.
    #[error("a {kind} needs `{key}`, a {wanted}")]
    Missing {
        /// The line's kind.
        kind: &'static str,
        /// The missing key.
        key: &'static str,
        /// The type that its value must have.
        wanted: &'static str,
    },
    /// None of the line's values can be kept.
    #[error("it has no value that can be kept")]
    Empty,
    /// The kind has no meaning outside the program that wrote it.
    #[error("the kind `{kind}` cannot be recorded: {why}")]
    Meaningless {
        /// The line's kind.
        kind: &'static str,
        /// The reason and the remedy.
        why: &'static str,
    },
    /// The line declares a later version of the format.
    #[error(
        "it says version {0} of the records format, this swath reads up to {VERSION}; use a newer swath"
    )]
    Newer(u64),
}

/// Parses lines, and remembers names from one line to the next.
#[derive(Debug, Default)]
pub struct Parser {
    names: Names,
    row: Vec<u8>,
    keys: Vec<Name>,
    flaws: Vec<String>,
    step: Option<f64>,
    rank: u64,
    places: Places,
    deciding: DecidingMetrics,
}

type Entries<'a> = Vec<(Name, Raw<'a>)>;

impl Parser {
    /// Parses one line. Flaws of parts of it are in [`flaws`](Self::flaws) afterwards.
    ///
    /// # Errors
    /// [`Refused`] if nothing of the line can be kept.
    pub fn parse(&mut self, line: &str) -> Result<Said, Refused> {
        self.row.clear();
        self.keys.clear();
        self.flaws.clear();
        self.places.clear();
        (self.step, self.rank) = (None, 0);
        let line = line.trim_start_matches('\u{feff}').trim_ascii();
        if line.is_empty() {
            return Ok(Said::Nothing);
        }
        let mut entries: Entries<'_> = Vec::with_capacity(8);
        scan::object(line, |key, raw| self.enter(&mut entries, key, raw))?;
        match kind_of(&mut entries)? {
            LineKind::Report => self.report(entries),
            LineKind::Metric => self.metrics(entries),
            LineKind::Flops => {
                kind::flops(&mut entries, &mut self.flaws)?;
                self.metrics(entries)
            }
            other => kind::other(other, entries, &mut self.flaws),
        }
    }

    /// Returns the values of the last line as the inside of a JSON object, `"loss": 0.5, "step":
    /// 3`. Empty unless the line was a report or metric.
    #[must_use]
    pub fn row(&self) -> &[u8] {
        &self.row
    }

    /// Returns the keys of [`row`](Self::row).
    #[must_use]
    pub fn keys(&self) -> &[Name] {
        &self.keys
    }

    /// Returns the step of the last line if it was a metric that has one.
    #[must_use]
    pub fn step(&self) -> Option<f64> {
        self.step
    }

    /// Returns the rank of the worker that measured the last line's metrics; 0 if the line has
    /// none.
    #[must_use]
    pub fn rank(&self) -> u64 {
        self.rank
    }

    /// Returns the flaws of the last line: one text for each part that was omitted or changed.
    #[must_use]
    pub fn flaws(&self) -> &[String] {
        &self.flaws
    }

    /// Returns the shared copy of a name. `at` is its index in the line, which helps to guess it.
    pub fn name(&mut self, at: usize, name: &str) -> Name {
        self.names.shared(at, name)
    }

    /// Returns the deciding metrics and the values that were given for them.
    pub(super) fn deciding(&mut self) -> &mut DecidingMetrics {
        &mut self.deciding
    }

    fn enter<'a>(&mut self, entries: &mut Entries<'a>, key: Cow<'a, str>, raw: Raw<'a>) {
        if let Err(problem) = check_name(&key) {
            return self.flaws.push(problem);
        }
        let name = self.names.shared(entries.len(), &key);
        match self
            .places
            .find(entries, &name)
            .and_then(|at| entries.get_mut(at))
        {
            None => entries.push((name, raw)),
            Some((_, old)) => {
                self.flaws
                    .push(format!("`{name}` is there twice; the later one counts"));
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
                Raw::Null => {
                    self.deciding.note(&name, || Instead::Null);
                    continue;
                }
                Raw::Nested(text) => {
                    self.deciding.note(&name, || Instead::nested(text));
                    self.flaws.push(nested(&name));
                    continue;
                }
            };
            let datum = self.deciding.read(&name, datum, &mut self.flaws);
            match (&raw, &datum) {
                (Raw::Text(_), Datum::Number(Metric(number))) => {
                    begin_pair(&mut self.row, &name);
                    json_number(&mut self.row, *number);
                }
                _ => pair(&mut self.row, &name, &raw),
            }
            self.keys.push(name.clone());
            values.push((name, datum));
        }
        if values.is_empty() {
            Err(Refused::Empty)
        } else {
            Ok(Said::Report { values })
        }
    }

    fn metrics(&mut self, mut entries: Entries<'_>) -> Result<Said, Refused> {
        let mut word =
            |key: &str| take(&mut entries, key).and_then(|raw| text_of(key, raw, &mut self.flaws));
        let (log, context, one) = (word("log"), word("context"), word("name"));
        let mut place =
            ["step", "batch", "context", "rank", "at"].map(|key| (key, take(&mut entries, key)));
        place[2].1 = context.clone().map(|context| Raw::Text(context.into()));
        if let Some(name) = one {
            // The long form with `name` and `value`: the name becomes a key like any other.
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
                self.deciding.note_elsewhere(&name, || Instead::Metric);
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
                Some(raw @ Raw::Number(number, _)) => {
                    match key {
                        "step" => self.step = Some(number),
                        "rank" => self.rank = number as u64,
                        _ => {}
                    }
                    self.place(key, &raw);
                }
                None | Some(Raw::Null) => {}
                Some(_) => self
                    .flaws
                    .push(format!("`{key}` is left out: it is not a number")),
            }
        }
        Ok(Said::Metrics { log, context })
    }

    /// Adds a key of the metric's position to the row.
    fn place(&mut self, key: &str, raw: &Raw<'_>) {
        pair(&mut self.row, key, raw);
        self.keys.push(self.names.shared(self.keys.len(), key));
    }
}

const MISSING_VALUE: Refused = Refused::Missing {
    kind: "metric with a `name`",
    key: "value",
    wanted: "number",
};

/// Returns a report or metric with the rank of its process appended, unless that is 0 or the line
/// has a rank. Other lines are returned unchanged.
pub(super) fn with_rank(line: &str, rank: u32) -> Cow<'_, str> {
    let (mut takes_rank, mut is_empty) = (rank > 0, true);
    let read = scan::object(line, |key, raw| match (&*key, raw) {
        ("kind", Raw::Text(word)) => {
            takes_rank &= LineKind::find(&word).is_ok_and(LineKind::takes_rank);
        }
        ("kind" | "rank", _) => takes_rank = false,
        _ => is_empty = false,
    });
    match line.trim_end().strip_suffix('}') {
        Some(pairs) if takes_rank && !is_empty && read.is_ok() => {
            format!("{pairs}, \"rank\": {rank}}}").into()
        }
        _ => line.into(),
    }
}

/// Removes the kind from the entries and returns it; without one the line is a report.
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

/// Returns a text. Null counts as absent, and any other value is a flaw.
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
    format!(
        "`{name}` is left out: it is a list or an object; values are numbers, texts and switches"
    )
}

/// Checks a value's name.
///
/// # Errors
/// If the name is empty, too long or has control characters: the text of the flaw.
pub fn check_name(name: &str) -> Result<(), String> {
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
        return Err(format!(
            "`{}` is left out: its name has control characters",
            name.escape_debug()
        ));
    }
    Ok(())
}

/// Appends a key and its value to the inside of a JSON object, in the form of Python's
/// `json.dumps`.
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

/// Appends `, "name": ` to a row; for the first pair without the comma.
pub fn begin_pair(row: &mut Vec<u8>, name: &str) {
    if !row.is_empty() {
        row.extend_from_slice(b", ");
    }
    json_text(row, name);
    row.extend_from_slice(b": ");
}

/// Appends a number in its shortest form that reads back exactly; NaN and the infinities as Python
/// writes and reads them.
pub fn json_number(row: &mut Vec<u8>, number: f64) {
    if number.is_finite() {
        serde_json::to_writer(row, &number).expect("a vector takes all bytes");
    } else if number.is_nan() {
        row.extend_from_slice(b"NaN");
    } else {
        row.extend_from_slice(if number > 0.0 {
            b"Infinity"
        } else {
            b"-Infinity"
        });
    }
}

/// Appends a quoted text in ASCII only, so that a reader's default encoding does not matter.
pub fn json_text(row: &mut Vec<u8>, text: &str) {
    if text
        .bytes()
        .all(|byte| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\')
    {
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
mod tests;
