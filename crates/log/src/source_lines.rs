//! Appends the records that a source has translated to a trial's `records.jsonl`.
//!
//! A source reads what a program writes for another tool. Each of its records is one line, which
//! names the source and the place that the record comes from:
//!
//! ```json
//! {"kind":"source","source":"files","from":"metrics.csv","item":3,"mark":"9f…","record":{"loss":0.5}}
//! ```
//!
//! The line is followed, recorded and counted like any other, so a kill neither loses nor doubles
//! it. `item` and `mark` tell a source that begins again how far its earlier lines reach.

use crate::Point;
use crate::appender::drain;
use crate::regular;
use crate::wire::{Record, encode_metrics, json_text};
use serde::Deserialize;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

/// The number of buffered bytes after which lines are written.
const FULL: usize = 1 << 16;

/// The beginning of each line of a source, by which it is found again.
const BEGINNING: &str = "{\"kind\":\"source\",\"source\":";

/// The place of a record that comes from nowhere in particular.
const NOWHERE: SourcePlace<'_> = SourcePlace {
    from: "",
    item: None,
};

/// The place that a record comes from.
#[derive(Debug, Clone, Copy)]
pub struct SourcePlace<'a> {
    /// The file, or whatever the program wrote to, as people know it.
    pub from: &'a str,
    /// The number of the record's item in that place, from 1, and a mark of all items up to it.
    /// `None` if the source never reads the place again.
    pub item: Option<(u64, u64)>,
}

/// A line that a source has written.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct SourceLine {
    /// The name of the source.
    pub source: String,
    /// The place that the record comes from.
    from: String,
    #[serde(default)]
    item: u64,
    #[serde(default)]
    mark: String,
    /// Further places that the record comes from.
    #[serde(default)]
    also: Vec<EarlierPlace>,
    #[serde(default)]
    record: serde_json::Map<String, serde_json::Value>,
}

/// A further place of a line.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct EarlierPlace {
    from: String,
    #[serde(default)]
    item: u64,
    #[serde(default)]
    mark: String,
}

impl SourceLine {
    /// Returns the names of the values of the record.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        const POSITION: [&str; 5] = ["kind", "at", "log", "context", "batch"];
        let names = self.record.keys().map(String::as_str);
        names.filter(|name| !POSITION.contains(name))
    }

    /// Returns the places that the record comes from.
    pub fn places(&self) -> impl Iterator<Item = SourcePlace<'_>> {
        let first = place(&self.from, self.item, &self.mark);
        let further = self.also.iter();
        let further = further.map(|also| place(&also.from, also.item, &also.mark));
        std::iter::once(first).chain(further)
    }
}

fn place<'a>(from: &'a str, item: u64, mark: &str) -> SourcePlace<'a> {
    let mark = u64::from_str_radix(mark, 16);
    let item = mark.ok().filter(|_| item > 0).map(|mark| (item, mark));
    SourcePlace { from, item }
}

/// Appends the lines of one source. Lines are buffered until [`flush`](Self::flush).
#[derive(Debug)]
pub struct SourceLines {
    path: PathBuf,
    file: File,
    source: &'static str,
    record: Vec<u8>,
    lines: Vec<u8>,
}

impl SourceLines {
    /// Opens the records of the trial whose folder is `trial`, for the source of this name. Call it
    /// while no program of the trial runs: a line that was cut by a kill is ended.
    ///
    /// # Errors
    /// If the file cannot be opened.
    pub fn open(trial: &Path, source: &'static str) -> io::Result<Self> {
        let path = trial.join("records.jsonl");
        let mut file = regular::append(&path)?;
        if ends_within_a_line(&path)? {
            file.write_all(b"\n")?;
        }
        Ok(Self {
            path,
            file,
            source,
            record: Vec::new(),
            lines: Vec::new(),
        })
    }

    /// Adds a record that comes from these places, at least one.
    ///
    /// # Errors
    /// If the lines before it cannot be written. The record is kept, and written later.
    pub fn record(&mut self, places: &[SourcePlace<'_>], record: &Record) -> io::Result<()> {
        record.encode(&mut self.record, 0);
        self.line(places)
    }

    /// Adds metrics, which were measured at a time in microseconds since 1970.
    ///
    /// # Errors
    /// As [`record`](Self::record).
    pub fn metrics(
        &mut self,
        places: &[SourcePlace<'_>],
        values: &[(&str, f64)],
        point: &Point<'_>,
        at: i64,
    ) -> io::Result<()> {
        encode_metrics(&mut self.record, values, point, 0, at);
        self.line(places)
    }

    fn line(&mut self, places: &[SourcePlace<'_>]) -> io::Result<()> {
        let line = &mut self.lines;
        line.extend_from_slice(BEGINNING.as_bytes());
        json_text(line, self.source);
        line.push(b',');
        let (first, further) = places.split_first().unwrap_or((&NOWHERE, &[]));
        first.encode(line)?;
        if !further.is_empty() {
            line.extend_from_slice(b",\"also\":[");
            for (index, place) in further.iter().enumerate() {
                line.extend_from_slice(if index == 0 { b"{" } else { b",{" });
                place.encode(line)?;
                line.push(b'}');
            }
            line.push(b']');
        }
        line.extend_from_slice(b",\"record\":");
        line.extend_from_slice(&self.record);
        line.extend_from_slice(b"}\n");
        if self.lines.len() >= FULL {
            self.flush()?;
        }
        Ok(())
    }

    /// Writes all lines.
    ///
    /// # Errors
    /// If they cannot be written. They are kept, and written by the next call.
    pub fn flush(&mut self) -> io::Result<()> {
        drain(&mut self.file, &mut self.lines)
    }

    /// Passes the places of the lines that were written before, by any source, to `each`.
    ///
    /// # Errors
    /// If the records cannot be read.
    pub fn earlier(&self, each: &mut dyn FnMut(SourceLine)) -> io::Result<()> {
        source_lines(&self.path, each)
    }
}

impl SourcePlace<'_> {
    /// Writes the place as pairs of an object.
    fn encode(&self, line: &mut Vec<u8>) -> io::Result<()> {
        line.extend_from_slice(b"\"from\":");
        json_text(line, self.from);
        if let Some((item, mark)) = self.item {
            write!(line, ",\"item\":{item},\"mark\":\"{mark:016x}\"")?;
        }
        Ok(())
    }
}

impl Drop for SourceLines {
    fn drop(&mut self) {
        let _ = self.flush();
    }
}

/// Passes the lines of sources in a records file to `each`.
///
/// # Errors
/// If the file cannot be read. A file that does not exist has none.
pub fn source_lines(path: &Path, each: &mut dyn FnMut(SourceLine)) -> io::Result<()> {
    let mut tail = crate::Tail::new(path);
    tail.finish(&mut |line| {
        if let crate::Line::Whole { bytes, .. } = line
            && bytes.starts_with(BEGINNING.as_bytes())
            && let Ok(line) = serde_json::from_slice(bytes)
        {
            each(line);
        }
    })
    .map(drop)
}

fn ends_within_a_line(path: &Path) -> io::Result<bool> {
    let mut file = regular::open(path)?;
    if file.metadata()?.len() == 0 {
        return Ok(false);
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last != *b"\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Content, Parser};
    use swath_model::study::{Datum, Metric};

    #[test]
    fn lines_have_their_places_and_a_line_that_was_cut_is_ended() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("records.jsonl");
        std::fs::write(&path, "{\"kind\":\"source\",\"source\":\"files\",\"fr").unwrap();
        let mut lines = SourceLines::open(dir.path(), "files").unwrap();
        let place = |from, item| SourcePlace { from, item };
        let values = vec![("loss".into(), Datum::Number(Metric(0.5)))];
        let places = [place("a \"b\".csv", Some((7, u64::MAX))), place("c", None)];
        let report = Record::Report { values };
        lines.record(&places, &report).unwrap();
        let point = Point::step(3);
        lines
            .metrics(&[place("d", None)], &[("lr", 0.1)], &point, 1_500_000)
            .unwrap();
        lines.flush().unwrap();
        let mut read = Vec::new();
        lines
            .earlier(&mut |line| {
                let places = line
                    .places()
                    .map(|place| (place.from.to_owned(), place.item));
                let names: Vec<_> = line.names().map(str::to_owned).collect();
                read.push((places.collect::<Vec<_>>(), names.join(" ")));
            })
            .unwrap();
        let first = vec![
            ("a \"b\".csv".to_owned(), Some((7, u64::MAX))),
            ("c".to_owned(), None),
        ];
        let second = vec![("d".to_owned(), None)];
        assert_eq!(
            read,
            [(first, "loss".to_owned()), (second, "lr step".to_owned())]
        );
        let text = std::fs::read_to_string(&path).unwrap();
        let mut parser = Parser::default();
        let contents: Vec<_> = text
            .lines()
            .map(|line| parser.parse(line).is_ok())
            .collect();
        assert_eq!(contents, [false, true, true]);
        let line = text.lines().nth(1).unwrap();
        assert_eq!(parser.parse(line), Ok(Content::Record(report)));
    }
}
