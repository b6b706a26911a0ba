//! The line format of `docs/records.md`: the records of a trial, one JSON object per line.
//!
//! The parser turns a line into a [`Record`] or into metrics, or refuses it. A mistake in one part
//! of a line is a flaw, and the other parts are kept. The parser does not access the disk. Reports
//! and metrics come by the hundred thousand, so no tree is built, and names are shared between
//! lines.

mod kind;
mod names;
mod places;
mod record;
mod row;
mod scan;

pub(super) use kind::LineKind;
pub(super) use names::Names;
pub use record::Record;
pub(super) use record::encode_metrics;
pub use row::{begin_pair, json_number, json_text};
pub(super) use row::{number as push_number, position as push_position};
pub use scan::{Syntax, is_number, special};

use super::deciding::{DecidingMetrics, Instead};
use super::rank;
use crate::space::Name;
use crate::study::{Datum, Metric};
use places::Places;
use scan::Raw;
use std::borrow::Cow;

/// The version of the line format that this program reads.
pub const VERSION: u64 = 1;

/// The maximum length of a value's name, in bytes.
pub const LONGEST_NAME: usize = 250;

/// The content of a line.
#[derive(Debug, Clone, PartialEq)]
pub enum Content<'a> {
    /// A record.
    Record(Record),
    /// Metrics, which only describe. Their values are in [`Parser::row`].
    Metrics(MetricPosition<'a>),
}

/// The position of metrics in the course of a trial, and the log that they go to.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MetricPosition<'a> {
    /// The log, if there is a name for it.
    pub log: Option<Cow<'a, str>>,
    /// The data on which the metrics were measured, if there is a name for it.
    pub context: Option<Cow<'a, str>>,
    /// The step, if there is one.
    pub step: Option<f64>,
    /// The rank of the worker that measured the metrics.
    pub rank: u64,
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
    places: Places,
    deciding: DecidingMetrics,
}

type Entries<'a> = Vec<(Name, Raw<'a>)>;

impl Parser {
    /// Parses one line. Flaws of parts of it are in [`flaws`](Self::flaws) afterwards.
    ///
    /// # Errors
    /// [`Refused`] if nothing of the line can be kept.
    pub fn parse<'a>(&mut self, line: &'a str) -> Result<Content<'a>, Refused> {
        self.clear();
        let line = line.trim_start_matches('\u{feff}').trim_ascii();
        if line.is_empty() {
            return Ok(Content::Record(Record::Nothing));
        }
        let mut entries: Entries<'_> = Vec::with_capacity(8);
        scan::object(line, |key, raw| self.enter_raw(&mut entries, &key, raw))?;
        match kind_of(&mut entries)? {
            LineKind::Report => self.report(entries),
            LineKind::Metric => self.metrics(entries),
            LineKind::Flops => {
                record::flops_to_metric(&mut entries, &mut self.flaws)?;
                self.metrics(entries)
            }
            other => Record::decode(other, entries, &mut self.flaws).map(Content::Record),
        }
    }

    /// Checks a report that was not read from a line, by the same rules. Returns `None` if no value
    /// can be kept.
    pub(super) fn check_report(
        &mut self,
        values: Vec<(Name, Datum)>,
        rank: u32,
    ) -> Option<Vec<(Name, Datum)>> {
        self.clear();
        let mut kept = Vec::with_capacity(values.len() + 1);
        for (name, datum) in values {
            match check_name(&name) {
                Ok(()) if row::is_kept(&name, rank) => {
                    let datum = self.deciding.read(&name, datum, &mut self.flaws);
                    self.enter(&mut kept, name, datum);
                }
                Ok(()) => {}
                Err(problem) => self.flaws.push(problem),
            }
        }
        if kept.is_empty() {
            return None;
        }
        row::report(&mut self.row, &kept, rank);
        if rank > 0 {
            kept.push((rank::KEY.into(), Datum::Number(Metric(rank.into()))));
        }
        Some(kept)
    }

    /// Returns the values of the last line as the inside of a JSON object, `"loss": 0.5, "step":
    /// 3`. Empty unless the line was a report or metric.
    #[must_use]
    pub fn row(&self) -> &[u8] {
        &self.row
    }

    /// Returns the keys of the [`row`](Self::row) of metrics. The keys of a report are the names
    /// of its values.
    #[must_use]
    pub fn keys(&self) -> &[Name] {
        &self.keys
    }

    /// Returns the flaws of the last line: one text for each part that was omitted or changed.
    #[must_use]
    pub fn flaws(&self) -> &[String] {
        &self.flaws
    }

    /// Returns the deciding metrics and the values that were given for them.
    pub(super) fn deciding(&mut self) -> &mut DecidingMetrics {
        &mut self.deciding
    }

    fn clear(&mut self) {
        self.row.clear();
        self.keys.clear();
        self.flaws.clear();
        self.places.clear();
    }

    fn enter_raw<'a>(&mut self, entries: &mut Entries<'a>, key: &str, raw: Raw<'a>) {
        match check_name(key) {
            Ok(()) => {
                let name = self.names.shared(entries.len(), key);
                self.enter(entries, name, raw);
            }
            Err(problem) => self.flaws.push(problem),
        }
    }

    /// Adds a value. If its name is there already, the value replaces the earlier one.
    fn enter<T>(&mut self, entries: &mut Vec<(Name, T)>, name: Name, value: T) {
        let index = self.places.find(entries, &name);
        match index.and_then(|index| entries.get_mut(index)) {
            None => entries.push((name, value)),
            Some((_, earlier)) => {
                self.flaws
                    .push(format!("`{name}` is there twice; the later one counts"));
                *earlier = value;
            }
        }
    }

    fn report(&mut self, entries: Entries<'_>) -> Result<Content<'static>, Refused> {
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
            row::reported(&mut self.row, &name, &raw, &datum);
            values.push((name, datum));
        }
        if values.is_empty() {
            Err(Refused::Empty)
        } else {
            Ok(Content::Record(Record::Report { values }))
        }
    }

    fn metrics<'a>(&mut self, mut entries: Entries<'a>) -> Result<Content<'a>, Refused> {
        let log = self.take_text(&mut entries, "log");
        let context = self.take_text(&mut entries, "context");
        let single = self.take_text(&mut entries, "name");
        let [step, batch, rank, at] =
            ["step", "batch", "rank", "at"].map(|key| take(&mut entries, key));
        if let Some(name) = single {
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
                row::measured(&mut self.row, &name, &raw);
                self.keys.push(name);
            }
        }
        if self.keys.is_empty() {
            return Err(Refused::Empty);
        }
        let step = self.place_number("step", step);
        self.place_number("batch", batch);
        if let Some(context) = &context {
            self.place("context", &Raw::Text(Cow::Borrowed(context)));
        }
        let rank = self.place_number(rank::KEY, rank);
        self.place_number("at", at);
        Ok(Content::Metrics(MetricPosition {
            log,
            context,
            step,
            rank: rank.unwrap_or_default() as u64,
        }))
    }

    fn take_text<'a>(&mut self, entries: &mut Entries<'a>, key: &str) -> Option<Cow<'a, str>> {
        text_of(key, take(entries, key)?, &mut self.flaws)
    }

    /// Adds a number of the metrics' position to the row and returns it.
    fn place_number(&mut self, key: &str, raw: Option<Raw<'_>>) -> Option<f64> {
        match raw? {
            raw @ Raw::Number(number, _) => {
                self.place(key, &raw);
                Some(number)
            }
            Raw::Null => None,
            _ => {
                self.flaws
                    .push(format!("`{key}` is left out: it is not a number"));
                None
            }
        }
    }

    /// Adds a key of the metrics' position to the row.
    fn place(&mut self, key: &str, raw: &Raw<'_>) {
        row::measured(&mut self.row, key, raw);
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
fn text_of<'a>(key: &str, raw: Raw<'a>, flaws: &mut Vec<String>) -> Option<Cow<'a, str>> {
    match raw {
        Raw::Text(text) => Some(text),
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

#[cfg(test)]
mod tests;
