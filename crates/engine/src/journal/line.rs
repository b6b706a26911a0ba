//! A line of the journal: an entry as JSON, with a checksum as its last key.
//!
//! A flipped bit often leaves valid JSON with another number in it; the checksum detects that.
//! Lines without a checksum were written by earlier versions.

use serde::Deserialize;
use serde::de::IgnoredAny;
use swath_model::study::{Entry, Event, Timestamp};

/// The bytes between entry and checksum, the number of hexadecimal digits, and the bytes after
/// them.
const KEY: &[u8] = b",\"crc\":\"";
const DIGITS: usize = 8;
const END: &[u8] = b"\"}";

/// An entry as parsed from a line. An unknown key is an error, because it comes from a flipped bit:
/// newer versions of the journal have another format number.
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

/// Appends an entry and its checksum to `out` as a line.
///
/// # Errors
/// Only if the entry cannot be written as JSON, which is a bug. A part of the line may then have
/// been appended to `out`; the caller has to remove it.
pub(super) fn write(out: &mut Vec<u8>, entry: &Entry) -> serde_json::Result<()> {
    let start = out.len();
    serde_json::to_writer(&mut *out, entry)?;
    // Removes the closing brace, which follows the checksum instead.
    out.pop();
    let crc = crc32fast::hash(&out[start..]);
    out.extend_from_slice(KEY);
    out.extend_from_slice(format!("{crc:08x}").as_bytes());
    out.extend_from_slice(END);
    out.push(b'\n');
    Ok(())
}

/// Parses a line, given without its line break, and verifies its checksum if it has one.
///
/// # Errors
/// If the line is damaged; the reason in words.
pub(super) fn read(line: &[u8]) -> Result<Entry, String> {
    let is_verified = verify(line)?;
    let Wire {
        seq,
        at,
        event,
        away,
        crc,
    } = serde_json::from_slice(line).map_err(|error| error.to_string())?;
    // The key is there, but not in the place where the writer puts it.
    if crc.is_some() && !is_verified {
        return Err("its checksum is damaged".to_owned());
    }
    Ok(Entry {
        seq,
        at,
        event,
        away,
    })
}

/// Verifies the checksum of a line. Returns whether the line has one.
///
/// # Errors
/// If the checksum does not match; the reason in words.
pub(super) fn verify(line: &[u8]) -> Result<bool, String> {
    let Some((body, written)) = checksum(line) else {
        return Ok(false);
    };
    if format!("{:08x}", crc32fast::hash(body)).as_bytes() == written {
        return Ok(true);
    }
    Err("its checksum does not match, so a part of it has changed".to_owned())
}

/// Returns the length of the entry at the start of `bytes`, if there is a complete one with a
/// checksum.
pub(super) fn complete_entry(bytes: &[u8]) -> Option<usize> {
    let tail = KEY.len() + DIGITS + END.len();
    // The key may also occur in a string of the entry, so each occurrence is tried.
    // The first end at which the line is valid is the end of the entry.
    bytes
        .windows(KEY.len())
        .enumerate()
        .filter(|(_, window)| *window == KEY)
        .map(|(start, _)| start + tail)
        .find(|end| {
            bytes
                .get(..*end)
                .is_some_and(|line| checksum(line).is_some() && read(line).is_ok())
        })
}

/// Splits a line into the bytes covered by the checksum and the checksum's digits.
fn checksum(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let rest = line.strip_suffix(END)?;
    let (rest, digits) = rest.split_at_checked(rest.len().checked_sub(DIGITS)?)?;
    Some((rest.strip_suffix(KEY)?, digits))
}
