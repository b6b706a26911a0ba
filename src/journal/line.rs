//! One line of the journal: an entry as JSON, with a checksum as its last key.
//!
//! A flipped bit often leaves good JSON behind, with another number in it; the checksum tells.
//! Lines without one are of earlier versions.

use crate::study::{Entry, Event, Timestamp};
use serde::Deserialize;
use serde::de::IgnoredAny;

/// What stands between the entry and the checksum, and how long the end of a line is.
const KEY: &[u8] = b",\"crc\":\"";
const DIGITS: usize = 8;
const END: &[u8] = b"\"}";

/// An entry as it stands in a line. A key that is not known is a flipped bit, not a newer version:
/// those have a format of their own.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    seq: u64,
    at: Timestamp,
    event: Event,
    #[serde(default)]
    away: Option<u64>,
    #[serde(default)]
    crc: Option<IgnoredAny>,
}

/// Appends an entry as a line.
///
/// # Errors
/// Only if the entry cannot be written as JSON, which is a bug. What was appended of it is for the
/// caller to take away.
pub(super) fn write(out: &mut Vec<u8>, entry: &Entry) -> serde_json::Result<()> {
    let start = out.len();
    serde_json::to_writer(&mut *out, entry)?;
    out.pop();
    let crc = crc32fast::hash(&out[start..]);
    out.extend_from_slice(KEY);
    out.extend_from_slice(format!("{crc:08x}").as_bytes());
    out.extend_from_slice(END);
    out.push(b'\n');
    Ok(())
}

/// Reads a line, without its line break.
///
/// # Errors
/// What is wrong with it, in words.
pub(super) fn read(line: &[u8]) -> Result<Entry, String> {
    let verified = verify(line)?;
    let Wire {
        seq,
        at,
        event,
        away,
        crc,
    } = serde_json::from_slice(line).map_err(|error| error.to_string())?;
    if crc.is_some() && !verified {
        return Err("its checksum is damaged".to_owned());
    }
    Ok(Entry {
        seq,
        at,
        event,
        away,
    })
}

/// Makes sure that a line is as it was written; returns whether it has a checksum that says so.
///
/// # Errors
/// What is wrong with it, in words.
pub(super) fn verify(line: &[u8]) -> Result<bool, String> {
    let Some((body, written)) = checksum(line) else {
        return Ok(false);
    };
    if format!("{:08x}", crc32fast::hash(body)).as_bytes() == written {
        return Ok(true);
    }
    Err("its checksum does not fit, so a part of it has changed".to_owned())
}

/// Returns the length of the entry with which `bytes` begin, if there is a whole one with a
/// checksum.
pub(super) fn whole(bytes: &[u8]) -> Option<usize> {
    let tail = KEY.len() + DIGITS + END.len();
    let starts = bytes
        .windows(KEY.len())
        .enumerate()
        .filter(|(_, window)| *window == KEY);
    let mut ends = starts.map(|(at, _)| at + tail);
    ends.find(|end| {
        bytes
            .get(..*end)
            .is_some_and(|line| checksum(line).is_some() && read(line).is_ok())
    })
}

/// Splits a line into what the checksum is of, and its digits.
fn checksum(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let rest = line.strip_suffix(END)?;
    let (rest, digits) = rest.split_at_checked(rest.len().checked_sub(DIGITS)?)?;
    Some((rest.strip_suffix(KEY)?, digits))
}
