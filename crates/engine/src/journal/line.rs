//! A line of the journal: an entry as JSON, with a checksum as its last key.
//!
//! A flipped bit often leaves valid JSON with another number in it; the checksum detects that. The
//! value begins with the checksum of the line before, so that the lines form a chain: a line that
//! was put behind another history does not continue it. The first line has its own checksum only.
//! Lines without a checksum, and later lines with their own only, were written by earlier versions.

use serde::Deserialize;
use serde::de::IgnoredAny;
use std::io::Write as _;
use swath_model::study::{Entry, Event, Timestamp};

/// The bytes between entry and checksum, the number of hexadecimal digits of one checksum, and the
/// bytes after them.
const KEY: &[u8] = b",\"crc\":\"";
const DIGITS: usize = 8;
const END: &[u8] = b"\"}";

/// The checksum of a line, which the next line repeats. For a line without one: that of its bytes.
pub(super) type Link = u32;

/// An entry that was read from a line, and the place of the line in the chain.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) entry: Entry,
    /// The checksum of the line before, as this line repeats it; `None` in the first line and in
    /// those of earlier versions.
    pub(super) previous: Option<Link>,
    pub(super) link: Link,
}

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

/// Appends an entry and its checksum to `out` as a line that continues the line `previous`. Returns
/// the new line's checksum.
///
/// # Errors
/// Only if the entry cannot be written as JSON, which is a bug. A part of the line may then have
/// been appended to `out`; the caller has to remove it.
pub(super) fn write(
    out: &mut Vec<u8>,
    entry: &Entry,
    previous: Option<Link>,
) -> serde_json::Result<Link> {
    let start = out.len();
    serde_json::to_writer(&mut *out, entry)?;
    // Removes the closing brace, which follows the checksum instead.
    out.pop();
    let body = crc32fast::hash(&out[start..]);
    out.extend_from_slice(KEY);
    let begin = out.len();
    // Writing to a vector cannot fail.
    let _ = previous.map(|previous| write!(out, "{previous:08x}"));
    let link = continued(body, &out[begin..]);
    let _ = write!(out, "{link:08x}");
    out.extend_from_slice(END);
    out.push(b'\n');
    Ok(link)
}

/// Parses a line, given without its line break, and verifies its checksum if it has one.
///
/// # Errors
/// If the line is damaged; the reason in words.
pub(super) fn read(line: &[u8]) -> Result<Line, String> {
    let checked = verify(line)?;
    let Wire {
        seq,
        at,
        event,
        away,
        crc,
    } = serde_json::from_slice(line).map_err(|error| error.to_string())?;
    // The key is there, but not in the place where the writer puts it.
    if crc.is_some() && checked.is_none() {
        return Err("its checksum is damaged".to_owned());
    }
    let (previous, link) = checked.map_or_else(
        || (None, crc32fast::hash(line)),
        |checked| (checked.previous, checked.link),
    );
    Ok(Line {
        entry: Entry {
            seq,
            at,
            event,
            away,
        },
        previous,
        link,
    })
}

/// A line whose checksum matches.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Checked<'a> {
    /// The entry, without its closing brace.
    pub(super) body: &'a [u8],
    /// The checksum of the line before that the line repeats, if it does.
    pub(super) previous: Option<Link>,
    pub(super) link: Link,
}

/// Verifies the checksum of a line; `None` if the line has no checksum.
///
/// # Errors
/// If the checksum does not match; the reason in words.
pub(super) fn verify(line: &[u8]) -> Result<Option<Checked<'_>>, String> {
    let Some((body, previous, own)) = checksum(line) else {
        return Ok(None);
    };
    let link = continued(crc32fast::hash(body), previous);
    let repeated = if previous.is_empty() {
        Some(None)
    } else {
        number(previous).map(Some)
    };
    match repeated {
        Some(previous) if number(own) == Some(link) => Ok(Some(Checked {
            body,
            previous,
            link,
        })),
        _ => Err("its checksum does not match, so a part of it has changed".to_owned()),
    }
}

/// Returns the checksum of the line that ends at the end of `bytes`, without verifying it; `None`
/// if it has none.
pub(super) fn link_at_end(bytes: &[u8]) -> Option<Link> {
    let rest = bytes.strip_suffix(b"\n")?.strip_suffix(END)?;
    number(rest.last_chunk::<DIGITS>()?)
}

/// Returns the length of the entry at the start of `bytes`, if there is a complete one with a
/// checksum.
pub(super) fn complete_entry(bytes: &[u8]) -> Option<usize> {
    // The key may also occur in a string of the entry, so each occurrence is tried.
    // The first end at which the line is valid is the end of the entry.
    bytes
        .windows(KEY.len())
        .enumerate()
        .filter(|(_, window)| *window == KEY)
        .flat_map(|(start, _)| [1, 2].map(|count| start + KEY.len() + count * DIGITS + END.len()))
        .find(|end| {
            bytes
                .get(..*end)
                .is_some_and(|line| checksum(line).is_some() && read(line).is_ok())
        })
}

/// Splits a line into the bytes of its entry, the digits that repeat the checksum of the line
/// before (which may be none), and the digits of its own checksum.
fn checksum(line: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let rest = line.strip_suffix(END)?;
    let (rest, own) = rest.split_at_checked(rest.len().checked_sub(DIGITS)?)?;
    if let Some(body) = rest.strip_suffix(KEY) {
        return Some((body, &[], own));
    }
    let (rest, previous) = rest.split_at_checked(rest.len().checked_sub(DIGITS)?)?;
    Some((rest.strip_suffix(KEY)?, previous, own))
}

/// Returns the checksum of a line whose entry has the checksum `body`: of the entry and of the
/// digits that repeat the line before.
fn continued(body: u32, previous: &[u8]) -> Link {
    if previous.is_empty() {
        return body;
    }
    let mut hasher = crc32fast::Hasher::new_with_initial(body);
    hasher.update(previous);
    hasher.finalize()
}

/// Parses the digits of a checksum. Only the digits that the writer uses are accepted, so that
/// every flipped bit is found.
fn number(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |number: u32, digit| {
        let digit = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u32::from(digit))
    })
}
