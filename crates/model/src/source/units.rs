//! Parsing and printing of durations and sizes: `45m`, `1h30m`, `16 GiB`.

use super::{Diagnostic, Diagnostics, Node, NodeValue};
use std::fmt;
use std::time::Duration;

/// Units of time in seconds.
const TIMES: &[(&str, f64)] = &[
    ("ms", 1e-3),
    ("s", 1.0),
    ("sec", 1.0),
    ("m", 60.0),
    ("min", 60.0),
    ("h", 3600.0),
    ("d", 86_400.0),
    ("w", 604_800.0),
];

/// Units of size in bytes: decimal with `B`, binary with `iB` or with the bare letter, as in Slurm
/// and Docker.
const SIZES: &[(&str, u64)] = &[
    ("b", 1),
    ("kb", 1000),
    ("mb", 1_000_000),
    ("gb", 1_000_000_000),
    ("tb", 1_000_000_000_000),
    ("kib", 1 << 10),
    ("mib", 1 << 20),
    ("gib", 1 << 30),
    ("tib", 1 << 40),
    ("k", 1 << 10),
    ("m", 1 << 20),
    ("g", 1 << 30),
    ("t", 1 << 40),
];

/// Longest accepted duration in seconds: a hundred years, so that adding it to the present never
/// overflows.
const LONGEST: f64 = 100.0 * 366.0 * 86_400.0;

/// Reason why a text is not a duration or size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UnitError {
    /// The text is empty.
    #[error("is empty")]
    Empty,
    /// A part does not start with a number.
    #[error("`{0}` does not start with a number")]
    NoNumber(String),
    /// The unit is unknown.
    #[error("`{0}` is not a unit")]
    UnknownUnit(String),
    /// A number without a unit follows another part, as in `1h30`.
    #[error("`{0}` has no unit")]
    NoUnit(String),
    /// The value exceeds the longest duration (a hundred years) or the largest size (9e18 bytes).
    #[error("is too large")]
    TooLarge,
}

/// A duration with a `Display` that [`duration`] reads back: `1h30m`, `500ms`, `1.5s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HumanDuration(pub Duration);

/// A number of bytes with a `Display` that [`size`] reads back: `64 MiB`, `1500 B`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bytes(pub u64);

/// Parses a duration: parts such as `1h30m` in any order, or plain seconds.
///
/// # Errors
/// [`UnitError`] naming the part that cannot be read.
pub fn duration(text: &str) -> Result<Duration, UnitError> {
    let mut seconds = 0.0;
    let mut rest = text.trim();
    // A plain number needs no unit, but a number after another part does: `1h30` is an error.
    let is_plain = rest.parse::<f64>().is_ok();
    if rest.is_empty() {
        return Err(UnitError::Empty);
    }
    while !rest.is_empty() {
        let (number, unit, tail) = split_part(rest)?;
        let scale = match find_unit(TIMES, unit) {
            Some(scale) => scale,
            None if unit.is_empty() && is_plain => 1.0,
            None if unit.is_empty() => return Err(UnitError::NoUnit(rest.to_owned())),
            None => return Err(UnitError::UnknownUnit(unit.to_owned())),
        };
        seconds += number * scale;
        rest = tail;
    }
    from_seconds(seconds)
}

/// Parses a size: one number and a unit, or plain bytes. `GB` is 10⁹, `GiB` and `G` are 2³⁰.
///
/// # Errors
/// [`UnitError`] naming the part that cannot be read.
pub fn size(text: &str) -> Result<u64, UnitError> {
    let text = text.trim();
    if text.is_empty() {
        return Err(UnitError::Empty);
    }
    let (number, unit, rest) = split_part(text)?;
    if !rest.is_empty() {
        return Err(UnitError::UnknownUnit(format!("{unit}{rest}")));
    }
    let scale = match find_unit(SIZES, unit) {
        Some(scale) => scale,
        None if unit.is_empty() => 1,
        None => return Err(UnitError::UnknownUnit(unit.to_owned())),
    };
    let bytes = number * scale as f64;
    if bytes < 9e18 {
        Ok(bytes.round() as u64)
    } else {
        Err(UnitError::TooLarge)
    }
}

/// Reads a duration from the sweep file: a text, or a number of seconds. Reports an error and
/// returns `None` if it is not a duration.
pub fn duration_of(key: &str, node: &Node, diagnostics: &mut Diagnostics) -> Option<Duration> {
    let parsed = match &node.value {
        NodeValue::Text(text) => duration(text),
        NodeValue::Int(seconds) if *seconds >= 0 => from_seconds(*seconds as f64),
        NodeValue::Float(seconds) if *seconds >= 0.0 => from_seconds(*seconds),
        other => {
            return report_wrong_type(key, "a duration", other, node, DURATION_HINT, diagnostics);
        }
    };
    ok_or_report(key, "a duration", parsed, node, DURATION_HINT, diagnostics)
}

/// Reads a size from the sweep file: a text, or a whole number of bytes. Reports an error and
/// returns `None` if it is not a size.
pub fn size_of(key: &str, node: &Node, diagnostics: &mut Diagnostics) -> Option<u64> {
    let parsed = match &node.value {
        NodeValue::Text(text) => size(text),
        NodeValue::Int(bytes) if *bytes >= 0 => Ok(bytes.unsigned_abs()),
        other => return report_wrong_type(key, "a size", other, node, SIZE_HINT, diagnostics),
    };
    ok_or_report(key, "a size", parsed, node, SIZE_HINT, diagnostics)
}

const DURATION_HINT: &str =
    "write a number and a unit: `90s`, `45m`, `1h30m`, `2d`; a plain number is seconds";
const SIZE_HINT: &str =
    "write a number and a unit: `512 MiB`, `8 GiB`, `1.5 GB`; a plain number is bytes";

/// Reports a value that is neither a text nor a non-negative number.
fn report_wrong_type<T>(
    key: &str,
    expected: &str,
    value: &NodeValue,
    node: &Node,
    hint: &str,
    diagnostics: &mut Diagnostics,
) -> Option<T> {
    let label = match value {
        NodeValue::Int(_) | NodeValue::Float(_) => "cannot be negative".to_owned(),
        other => format!("this is {}", other.kind()),
    };
    report(key, expected, &label, node, hint, diagnostics)
}

/// Returns a parsed value, or reports why it could not be parsed.
fn ok_or_report<T>(
    key: &str,
    expected: &str,
    parsed: Result<T, UnitError>,
    node: &Node,
    hint: &str,
    diagnostics: &mut Diagnostics,
) -> Option<T> {
    match parsed {
        Ok(value) => Some(value),
        Err(error) => report(key, expected, &error.to_string(), node, hint, diagnostics),
    }
}

/// Reports that a value does not have the wanted form. Returns `None`.
fn report<T>(
    key: &str,
    expected: &str,
    label: &str,
    node: &Node,
    hint: &str,
    diagnostics: &mut Diagnostics,
) -> Option<T> {
    let error = Diagnostic::error("bad-unit", format!("`{key}` is not {expected}"));
    diagnostics.push(error.at(node.span.clone(), label).hint(hint));
    None
}

/// Converts seconds to a duration. Fails beyond a hundred years.
fn from_seconds(seconds: f64) -> Result<Duration, UnitError> {
    if seconds > LONGEST {
        return Err(UnitError::TooLarge);
    }
    // Rounded to the microsecond, so that 0.1 + 0.2 is 300 ms.
    Ok(Duration::from_micros((seconds * 1e6).round() as u64))
}

/// Splits the first part off a text: `1.5 h20m` into (1.5, `h`, `20m`).
fn split_part(text: &str) -> Result<(f64, &str, &str), UnitError> {
    let digits = text
        .find(|c: char| !c.is_ascii_digit() && c != '.' && c != '_')
        .unwrap_or(text.len());
    let number = text[..digits].replace('_', "");
    let number = number
        .parse::<f64>()
        .map_err(|_| UnitError::NoNumber(text.to_owned()))?;
    let rest = text[digits..].trim_start();
    let letters = rest
        .find(|c: char| c.is_ascii_digit() || c.is_whitespace())
        .unwrap_or(rest.len());
    Ok((number, &rest[..letters], rest[letters..].trim_start()))
}

/// Finds a unit by its name in any case.
fn find_unit<T: Copy>(units: &[(&str, T)], unit: &str) -> Option<T> {
    let unit = unit.to_ascii_lowercase();
    units
        .iter()
        .find(|(name, _)| *name == unit)
        .map(|(_, scale)| *scale)
}

impl fmt::Display for HumanDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        // Below one second the unit is milliseconds.
        if seconds == 0 && !self.0.is_zero() {
            return write!(f, "{}ms", self.0.as_secs_f64() * 1e3);
        }
        if self.0.subsec_nanos() != 0 {
            return write!(f, "{}s", self.0.as_secs_f64());
        }
        let parts = [
            (seconds / 3600, "h"),
            (seconds / 60 % 60, "m"),
            (seconds % 60, "s"),
        ];
        let mut is_zero = true;
        for (count, unit) in parts.into_iter().filter(|(count, _)| *count > 0) {
            write!(f, "{count}{unit}")?;
            is_zero = false;
        }
        if is_zero { f.write_str("0s") } else { Ok(()) }
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let binary = [
            ("TiB", 1_u64 << 40),
            ("GiB", 1 << 30),
            ("MiB", 1 << 20),
            ("KiB", 1 << 10),
        ];
        let decimal = [
            ("TB", 1_000_000_000_000),
            ("GB", 1_000_000_000),
            ("MB", 1_000_000),
            ("KB", 1000),
        ];
        let exact = binary
            .into_iter()
            .chain(decimal)
            .find(|(_, scale)| self.0 >= *scale && self.0.is_multiple_of(*scale));
        match exact {
            Some((unit, scale)) => write!(f, "{} {unit}", self.0 / scale),
            None => write!(f, "{} B", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn seconds(text: &str) -> Result<f64, UnitError> {
        duration(text).map(|duration| duration.as_secs_f64())
    }

    #[test]
    fn durations_are_read_as_people_write_them() {
        let cases = [
            ("45m", 2700.0),
            ("8h", 28_800.0),
            ("1h30m", 5400.0),
            ("1 h 30 min", 5400.0),
            ("90s", 90.0),
            ("500ms", 0.5),
            ("1.5h", 5400.0),
            ("2d", 172_800.0),
            ("90", 90.0),
            ("0.25", 0.25),
        ];
        for (text, expected) in cases {
            assert_eq!(seconds(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn a_bad_duration_names_the_part_that_is_wrong() {
        assert_eq!(seconds(""), Err(UnitError::Empty));
        assert_eq!(seconds("soon"), Err(UnitError::NoNumber("soon".into())));
        assert_eq!(seconds("-5s"), Err(UnitError::NoNumber("-5s".into())));
        assert_eq!(
            seconds("3 fortnights"),
            Err(UnitError::UnknownUnit("fortnights".into()))
        );
        assert_eq!(seconds("1h30"), Err(UnitError::NoUnit("30".into())));
        assert_eq!(seconds("1e300s"), Err(UnitError::UnknownUnit("e".into())));
        assert_eq!(seconds("99999999999999999999d"), Err(UnitError::TooLarge));
    }

    #[test]
    fn sizes_are_decimal_with_gb_and_binary_with_gib_or_g() {
        let cases = [
            ("16 GiB", 16 << 30),
            ("64MiB", 64 << 20),
            ("1.5 GB", 1_500_000_000),
            ("8G", 8 << 30),
            ("4096", 4096),
            ("10 kb", 10_000),
        ];
        for (text, expected) in cases {
            assert_eq!(size(text), Ok(expected), "{text}");
        }
        assert_eq!(size("8 gigs"), Err(UnitError::UnknownUnit("gigs".into())));
        assert_eq!(size("99999999 TiB"), Err(UnitError::TooLarge));
    }

    #[test]
    fn durations_and_sizes_are_shown_in_the_largest_unit_that_is_exact() {
        assert_eq!(
            HumanDuration(Duration::from_secs(5400)).to_string(),
            "1h30m"
        );
        assert_eq!(
            HumanDuration(Duration::from_millis(500)).to_string(),
            "500ms"
        );
        assert_eq!(HumanDuration(Duration::ZERO).to_string(), "0s");
        assert_eq!(Bytes(64 << 20).to_string(), "64 MiB");
        assert_eq!(Bytes(1_500_000_000).to_string(), "1500 MB");
        assert_eq!(Bytes(7).to_string(), "7 B");
    }

    proptest! {
        #[test]
        fn shown_durations_and_sizes_are_parsed_to_the_same_value(
            millis in 0_u64..100_000_000_000, bytes in 0_u64..1 << 52,
        ) {
            let shown = HumanDuration(Duration::from_millis(millis));
            prop_assert_eq!(duration(&shown.to_string()), Ok(shown.0));
            prop_assert_eq!(size(&Bytes(bytes).to_string()), Ok(bytes));
        }

        #[test]
        fn no_text_makes_the_parsers_panic(text in "\\PC{0,20}") {
            let _ = (duration(&text), size(&text));
        }
    }
}
