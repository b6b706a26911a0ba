//! Parses the lines of a trial: into a [`Record`] or into metrics, or refuses them.
//!
//! A mistake in one part of a line is a flaw, and the other parts are kept. The parser does not
//! access the disk. Reports and metrics come by the hundred thousand, so no tree is built, and
//! names are shared between lines.

use super::name_index::NameIndex;
use super::row::plain_context;
use super::scan::{self, Raw, special};
use super::{LineKind, Names, Record, Refused, decode, row};
use crate::deciding::{AbsenceReason, DecidingMetrics};
use crate::rank;
use std::borrow::Cow;
use swath_model::space::Name;
use swath_model::study::{Datum, Metric};

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

/// Parses lines, and remembers names from one line to the next.
#[derive(Debug, Default)]
pub struct Parser {
    names: Names,
    row: Vec<u8>,
    keys: Vec<Name>,
    flaws: Vec<String>,
    name_index: NameIndex,
    deciding: DecidingMetrics,
}

pub(super) type Entries<'a> = Vec<(Name, Raw<'a>)>;

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
            LineKind::Flops(per) => {
                decode::flops_to_metric(&mut entries, per, &mut self.flaws)?;
                self.metrics(entries)
            }
            other => decode::record(other, entries, &mut self.flaws).map(Content::Record),
        }
    }

    /// Checks a report that was not read from a line, by the same rules. Returns `None` if no value
    /// can be kept.
    pub(crate) fn check_report(
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
    pub(crate) fn deciding(&mut self) -> &mut DecidingMetrics {
        &mut self.deciding
    }

    fn clear(&mut self) {
        self.row.clear();
        self.keys.clear();
        self.flaws.clear();
        self.name_index.clear();
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
        let index = self.name_index.find(entries, &name);
        match index.and_then(|index| entries.get_mut(index)) {
            None => entries.push((name, value)),
            Some((_, earlier)) => {
                self.flaws
                    .push(format!("`{name}` occurs twice; the later value counts"));
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
                    self.deciding.note(&name, || AbsenceReason::Null);
                    continue;
                }
                Raw::Nested(text) => {
                    self.deciding.note(&name, || AbsenceReason::nested(text));
                    self.flaws.push(nested_flaw(&name));
                    continue;
                }
            };
            let datum = self.deciding.read(&name, datum, &mut self.flaws);
            push_reported(&mut self.row, &name, &raw, &datum);
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
        let context = context.map(|word| match plain_context(&word) {
            plain if plain == word => word,
            plain => Cow::Owned(plain.to_owned()),
        });
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
                self.flaws.push(nested_flaw(&name));
            } else {
                self.deciding
                    .note_elsewhere(&name, || AbsenceReason::Metric);
                push_measured(&mut self.row, &name, &raw);
                self.keys.push(name);
            }
        }
        if self.keys.is_empty() {
            return Err(Refused::Empty);
        }
        let step = self.push_position_number("step", step);
        self.push_position_number("batch", batch);
        if let Some(context) = &context {
            self.push_position("context", &Raw::Text(Cow::Borrowed(context)));
        }
        let rank = self.push_position_number(rank::KEY, rank);
        self.push_time(at);
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
    fn push_position_number(&mut self, key: &str, raw: Option<Raw<'_>>) -> Option<f64> {
        match raw? {
            raw @ Raw::Number(number, _) => {
                self.push_position(key, &raw);
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

    /// Adds the time of the metrics to the row. A number that is no time in seconds within the
    /// next three thousand years is one in milliseconds, microseconds or nanoseconds.
    fn push_time(&mut self, raw: Option<Raw<'_>>) {
        const LATEST: f64 = 1e11;
        match raw {
            Some(Raw::Number(time, _)) if (LATEST..1e20).contains(&time) => {
                let mut seconds = time;
                while seconds >= LATEST {
                    seconds /= 1000.0;
                }
                self.push_position("at", &Raw::Number(seconds, &seconds.to_string()));
            }
            raw => _ = self.push_position_number("at", raw),
        }
    }

    /// Adds a key of the metrics' position to the row.
    fn push_position(&mut self, key: &str, raw: &Raw<'_>) {
        push_measured(&mut self.row, key, raw);
        self.keys.push(self.names.shared(self.keys.len(), key));
    }
}

const MISSING_VALUE: Refused = Refused::Missing {
    kind: "metric with a `name`",
    key: "value",
    expected: "number",
};

/// Removes the kind from the entries and returns it; without one the line is a report.
fn kind_of(entries: &mut Entries<'_>) -> Result<LineKind, Refused> {
    match take(entries, "kind") {
        None => Ok(LineKind::Report),
        Some(Raw::Text(word)) => LineKind::find(&word),
        Some(_) => Err(Refused::KindNotText),
    }
}

pub(super) fn take<'a>(entries: &mut Entries<'a>, key: &str) -> Option<Raw<'a>> {
    let index = entries.iter().position(|(name, _)| &**name == key)?;
    Some(entries.remove(index).1)
}

/// Returns a text. Null counts as absent, and any other value is a flaw.
pub(super) fn text_of<'a>(
    key: &str,
    raw: Raw<'a>,
    flaws: &mut Vec<String>,
) -> Option<Cow<'a, str>> {
    match raw {
        Raw::Text(text) => Some(text),
        Raw::Null => None,
        _ => {
            flaws.push(format!("`{key}` is left out: it is not a text"));
            None
        }
    }
}

fn nested_flaw(name: &str) -> String {
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
            "`{begin}…` is left out: its name has {} bytes, and the limit is {LONGEST_NAME}",
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

/// Appends the value of a report. A number of a line keeps the text that the line has for it.
fn push_reported(row: &mut Vec<u8>, name: &str, raw: &Raw<'_>, datum: &Datum) {
    row::begin_pair(row, name);
    match raw {
        Raw::Number(_, text) => row.extend_from_slice(text.as_bytes()),
        _ => row::push_datum(row, datum),
    }
}

/// Appends the value of a metric as the line has it.
fn push_measured(row: &mut Vec<u8>, name: &str, raw: &Raw<'_>) {
    row::begin_pair(row, name);
    match raw {
        Raw::Null | Raw::Nested(_) => row.extend_from_slice(b"null"),
        Raw::Bool(flag) => row::push_flag(row, *flag),
        Raw::Number(_, text) => row.extend_from_slice(text.as_bytes()),
        Raw::Special(number) => row::json_number(row, *number),
        Raw::Text(text) => match special(text) {
            Some(number) => row::json_number(row, number),
            None => row::json_text(row, text),
        },
    }
}

#[cfg(test)]
mod tests;
