//! The line format of `docs/records.md`: the records of a trial, one JSON object per line.
//!
//! The child's end encodes records as lines, and the supervising end parses the lines.

#[cfg(feature = "supervise")]
mod decode;
mod kind;
#[cfg(feature = "supervise")]
mod name_index;
mod names;
#[cfg(feature = "supervise")]
mod parser;
mod record;
mod row;
mod scan;

pub(super) use kind::LineKind;
pub(super) use names::Names;
#[cfg(feature = "supervise")]
pub use parser::{Content, LONGEST_NAME, MetricPosition, Parser, check_name};
#[cfg(feature = "supervise")]
pub use record::MODEL_PATH;
pub use record::Record;
pub(super) use record::encode_metrics;
#[cfg(feature = "supervise")]
pub(super) use record::model_facts;
#[cfg(feature = "supervise")]
pub(crate) use row::plain_context;
pub use row::{begin_pair, json_number, json_text};
#[cfg(feature = "supervise")]
pub(super) use row::{number as push_number, position as push_position, seconds as push_seconds};
pub use scan::{Syntax, is_number, special};

use scan::Raw;
use std::borrow::Cow;

/// The version of the line format that this program reads.
pub const VERSION: u64 = 1;

/// The maximum length of a line, in bytes. Longer lines are refused with their number.
pub const LONGEST_LINE: usize = 10_000_000;

/// The reason why a whole line is omitted.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// The line is not a JSON object.
    #[error(transparent)]
    Syntax(#[from] Syntax),
    /// The line has an unknown `kind`.
    #[error("there is no kind `{kind}`{}", hint_text(*hint))]
    UnknownKind {
        /// The kind in the line, shortened to 40 characters.
        kind: String,
        /// A known kind with a similar name.
        hint: Option<&'static str>,
    },
    /// The `kind` is not a text.
    #[error("`kind` is not a text")]
    KindNotText,
    /// The line lacks a key without which it has no meaning.
    #[error("a {kind} needs `{key}`, a {expected}")]
    Missing {
        /// The line's kind.
        kind: &'static str,
        /// The missing key.
        key: &'static str,
        /// The type that its value must have.
        expected: &'static str,
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
        "it declares version {0} of the records format, and this swath reads versions up to \
         {VERSION}; use a newer swath"
    )]
    Newer(u64),
}

fn hint_text(hint: Option<&str>) -> String {
    hint.map_or_else(String::new, |hint| format!("; did you mean `{hint}`?"))
}

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
