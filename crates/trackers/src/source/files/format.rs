//! The formats of files, and what they have in common.

use super::csv::Csv;
use super::events::Events;
use super::history::History;
use super::json::Json;
use crate::source::python::Logged;
use std::path::Path;
use swath_log::LOGGED;
use swath_model::study::{Datum, Metric};

/// Parses a file as it grows.
pub(in crate::source) trait Format: Send {
    /// Takes further bytes, and passes each item that they complete to `each`.
    fn feed(&mut self, bytes: &[u8], each: &mut dyn FnMut(Item));

    /// Passes on an item that may be complete although its end is not marked. Called when the end
    /// of the file was reached; `is_last` tells that nothing will follow, and that the program was
    /// not cut off.
    fn settle(&mut self, is_last: bool, each: &mut dyn FnMut(Item)) {
        let _ = (is_last, each);
    }

    /// Returns the first problem since the last call, without the name of the file.
    fn take_problem(&mut self) -> Option<String>;
}

/// An item of a file.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::source) struct Item {
    pub(in crate::source) content: Content,
    /// When it was logged, in microseconds since 1970; `None` if the file does not tell.
    pub(in crate::source) at: Option<i64>,
}

/// The content of an item.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::source) enum Content {
    /// Values that belong together.
    Row(Vec<(String, Datum)>),
    /// One value of a step.
    Point {
        name: String,
        step: f64,
        number: f64,
    },
}

/// The names of the formats in the sweep file.
pub(super) const FORMATS: &[&str] = &["csv", "json", "tensorboard", "wandb"];

/// Returns the parser of a file: of the named format, or by the name of the file. `None` if the
/// name tells nothing.
pub(in crate::source) fn parser(format: Option<&str>, path: &Path) -> Option<Box<dyn Format>> {
    Some(match format.or_else(|| format_of(path))? {
        "csv" => Box::new(Csv::new(point_name(path))),
        "json" => Box::<Json>::default(),
        "tensorboard" => Box::new(Events::new(run_folder(path))),
        "wandb" => Box::<History>::default(),
        LOGGED => Box::<Logged>::default(),
        _ => return None,
    })
}

/// Returns the format of a file by its name.
pub(in crate::source) fn format_of(path: &Path) -> Option<&'static str> {
    let name = path.file_name()?.to_str()?;
    if name.contains("tfevents") {
        return Some("tensorboard");
    }
    match name.rsplit_once('.')?.1.to_ascii_lowercase().as_str() {
        "csv" | "tsv" => Some("csv"),
        "json" | "jsonl" | "ndjson" => Some("json"),
        "wandb" => Some("wandb"),
        _ => None,
    }
}

/// Returns the name of the metric that a file of DVCLive is about, `plots/metrics/val/loss.tsv`;
/// `None` for other files. The header of such a file has only the last part of the name.
fn point_name(path: &Path) -> Option<String> {
    let path = path.with_extension("").to_str()?.to_owned();
    let (_, name) = path.rsplit_once("plots/metrics/")?;
    Some(name.to_owned())
}

/// Returns the folder of an event file if it names the data: Keras writes the same names to the
/// folders `train` and `validation`.
fn run_folder(path: &Path) -> Option<String> {
    let folder = path.parent()?.file_name()?.to_str()?;
    matches!(folder, "train" | "validation").then(|| folder.to_owned())
}

/// Parses a value of a text file: a number, a flag or a text; `None` if it is absent.
pub(in crate::source) fn datum(text: &str) -> Option<Datum> {
    let text = text.trim();
    Some(match text {
        "" => return None,
        "True" | "true" => Datum::Flag(true),
        "False" | "false" => Datum::Flag(false),
        _ => match text.parse() {
            Ok(number) => Datum::Number(Metric(number)),
            Err(_) => Datum::Text(text.to_owned()),
        },
    })
}

/// Extends the mark of the items before by one more.
///
/// The values of a row are taken in the order of their names, so that a table that is written anew
/// with further columns has the same marks.
pub(in crate::source) fn mark(before: u64, content: &Content) -> u64 {
    let mut hash = Fnv(before);
    match content {
        Content::Row(values) => {
            let mut values: Vec<_> = values.iter().collect();
            values.sort_by(|(a, _), (b, _)| a.cmp(b));
            for (name, datum) in values {
                hash.add(name.as_bytes());
                match datum {
                    Datum::Number(Metric(number)) => hash.add(&number.to_bits().to_le_bytes()),
                    Datum::Flag(flag) => hash.add(&[u8::from(*flag)]),
                    Datum::Text(text) => hash.add(text.as_bytes()),
                }
            }
        }
        Content::Point { name, step, number } => {
            hash.add(name.as_bytes());
            hash.add(&step.to_bits().to_le_bytes());
            hash.add(&number.to_bits().to_le_bytes());
        }
    }
    // 0 stands for a mark that is not known.
    hash.0.max(1)
}

/// The hash function FNV-1a, whose results are the same on every machine.
struct Fnv(u64);

impl Fnv {
    fn add(&mut self, bytes: &[u8]) {
        // The length keeps apart what would read the same when joined.
        for byte in bytes.iter().copied().chain([bytes.len() as u8, 0xff]) {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

/// The mark of no items.
pub(in crate::source) const NO_ITEMS: u64 = 0xcbf2_9ce4_8422_2325;

#[cfg(test)]
pub(in crate::source) mod tests {
    use super::*;

    /// Returns the items that a parser finds in pieces of a file, each as one text.
    pub(in crate::source::files) fn items(
        format: &mut dyn Format,
        pieces: &[&[u8]],
        is_last: bool,
    ) -> Vec<String> {
        let mut items = Vec::new();
        let mut each = |item: Item| items.push(shown(&item.content));
        for piece in pieces {
            format.feed(piece, &mut each);
        }
        format.settle(is_last, &mut each);
        items
    }

    pub(in crate::source) fn shown(content: &Content) -> String {
        match content {
            Content::Row(values) => {
                let values = values.iter().map(|(name, datum)| match datum {
                    Datum::Number(Metric(number)) => format!("{name}={number}"),
                    Datum::Flag(flag) => format!("{name}={flag}"),
                    Datum::Text(text) => format!("{name}={text:?}"),
                });
                values.collect::<Vec<_>>().join(" ")
            }
            Content::Point { name, step, number } => format!("{name}@{step}={number}"),
        }
    }

    #[test]
    fn a_table_with_further_columns_has_the_same_marks() {
        let number = |name: &str, number| (name.to_owned(), Datum::Number(Metric(number)));
        let row = Content::Row(vec![number("a", 1.0), number("b", 2.0)]);
        let other = Content::Row(vec![number("b", 2.0), number("a", 1.0)]);
        assert_eq!(mark(NO_ITEMS, &row), mark(NO_ITEMS, &other));
        assert_ne!(mark(mark(NO_ITEMS, &row), &row), mark(NO_ITEMS, &row));
    }

    #[test]
    fn the_format_follows_from_the_name() {
        for (path, expected) in [
            ("lightning_logs/version_0/metrics.csv", Some("csv")),
            ("runs/a/events.out.tfevents.1.host.1.0", Some("tensorboard")),
            ("wandb/run-1/run-1.wandb", Some("wandb")),
            ("ray/result.json", Some("json")),
            ("metrics.JSONL", Some("json")),
            ("model.pt", None),
        ] {
            assert_eq!(format_of(Path::new(path)), expected, "{path}");
        }
        assert_eq!(
            point_name(Path::new("/w/dvclive/plots/metrics/val/loss.tsv")).as_deref(),
            Some("val/loss")
        );
    }
}
