//! Writes the values of a report or of metrics: the inside of a JSON object, `"loss": 0.5, "step":
//! 3`. The lines of a trial and the trial's metric files contain the same rows.

use crate::{Point, rank};
use std::io::Write as _;
use swath_model::space::Name;
use swath_model::study::{Datum, Metric};

/// Appends the values of a report. A worker whose `rank` is not 0 adds its rank, in place of a
/// value of that name.
pub(crate) fn report(row: &mut Vec<u8>, values: &[(Name, Datum)], rank: u32) {
    for (name, datum) in values.iter().filter(|(name, _)| is_kept(name, rank)) {
        begin_pair(row, name);
        push_datum(row, datum);
    }
    if rank > 0 {
        integer(row, rank::KEY, rank.into());
    }
}

/// Returns whether a report contains the value of this name: the rank comes from the logger unless
/// it is 0.
pub(super) fn is_kept(name: &str, rank: u32) -> bool {
    rank == 0 || name != rank::KEY
}

/// Appends a time in seconds with three decimals.
pub(crate) fn seconds(row: &mut Vec<u8>, micros: i64) {
    let millis = micros.max(0) / 1000;
    write!(row, "{}.{:03}", millis / 1000, millis % 1000).expect("a vector takes all bytes");
}

/// Returns the context that prov4ml's names of contexts stand for, and any other word as it is.
#[cfg(feature = "supervise")]
pub(crate) fn plain_context(word: &str) -> &str {
    match word.strip_prefix("Context.").unwrap_or(word) {
        "TRAINING" => "train",
        "VALIDATION" => "validation",
        "TESTING" => "test",
        _ => word,
    }
}

/// Appends the position of metrics: step, batch, context and rank.
pub(crate) fn position(row: &mut Vec<u8>, point: &Point<'_>, rank: u32) {
    if let Some(step) = point.step {
        integer(row, "step", step);
    }
    if let Some(batch) = point.batch {
        integer(row, "batch", batch);
    }
    word(row, "context", point.context);
    if rank > 0 {
        integer(row, rank::KEY, rank.into());
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

/// Appends a pair with a word, unless the word is empty.
pub(super) fn word(row: &mut Vec<u8>, name: &str, word: &str) {
    if !word.is_empty() {
        begin_pair(row, name);
        json_text(row, word);
    }
}

/// Appends a pair with a number.
pub(crate) fn number(row: &mut Vec<u8>, name: &str, number: f64) {
    begin_pair(row, name);
    json_number(row, number);
}

/// Appends a pair with a whole number.
fn integer(row: &mut Vec<u8>, name: &str, number: u64) {
    begin_pair(row, name);
    serde_json::to_writer(row, &number).expect("a vector takes all bytes");
}

pub(super) fn push_datum(row: &mut Vec<u8>, datum: &Datum) {
    match datum {
        Datum::Flag(flag) => push_flag(row, *flag),
        Datum::Number(Metric(number)) => json_number(row, *number),
        Datum::Text(text) => json_text(row, text),
    }
}

pub(super) fn push_flag(row: &mut Vec<u8>, flag: bool) {
    row.extend_from_slice(if flag { b"true" } else { b"false" });
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
