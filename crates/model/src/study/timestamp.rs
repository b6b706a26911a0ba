//! Points in time, as the journal and the exports store them.

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::time::Duration;

/// A point in time in UTC, with microsecond resolution; RFC 3339 in JSON and CSV.
///
/// Stored as microseconds since 1970: a trial has four of them, and a study may have 100,000
/// trials.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// Reads the wall clock. Only the outermost layers call this; all others receive the time as an
    /// argument.
    #[must_use]
    pub fn now() -> Self {
        Self::from_micros(jiff::Timestamp::now().as_microsecond())
    }

    /// Converts microseconds since 1970. Out-of-range numbers are clamped.
    #[must_use]
    pub fn from_micros(micros: i64) -> Self {
        let (first, last) = (jiff::Timestamp::MIN, jiff::Timestamp::MAX);
        Self(micros.clamp(first.as_microsecond(), last.as_microsecond()))
    }

    /// Reads the form in which times are written: `2026-11-29T12:54:57.4426Z`, with at most six
    /// decimals. `None` for any other form of a time, and for a text that is none.
    #[must_use]
    pub fn of_text(text: &[u8]) -> Option<Self> {
        let (date_and_time, rest) = text.split_at_checked(19)?;
        let separators = [4, 7, 10, 13, 16].map(|index| date_and_time[index]);
        if separators != *b"--T::" {
            return None;
        }
        let [month, day, hour, minute, second] =
            [5, 8, 11, 14, 17].map(|start| number(&date_and_time[start..start + 2]));
        let year = number(&date_and_time[..4])?;
        let (month, day) = (month?, day?);
        let (hour, minute, second) = (hour?, minute?, second?);
        let is_valid = (1..=12).contains(&month)
            && (1..=days_of_month(year, month)).contains(&day)
            && hour < 24
            && minute < 60
            && second < 60;
        if !is_valid {
            return None;
        }
        let micros = match rest.strip_suffix(b"Z")? {
            [] => 0,
            [b'.', decimals @ ..] if (1..=6).contains(&decimals.len()) => {
                number(decimals)? * 10_i64.pow(6 - decimals.len() as u32)
            }
            _ => return None,
        };
        let hours = days_since_1970(year, month, day) * 24 + hour;
        Some(Self(
            ((hours * 60 + minute) * 60 + second) * 1_000_000 + micros,
        ))
    }

    /// Returns the microseconds since 1970; negative before it.
    #[must_use]
    pub fn as_micros(self) -> i64 {
        self.0
    }

    /// Returns the time that lies `wait` after this one.
    #[must_use]
    pub fn after(self, wait: Duration) -> Self {
        let wait = i64::try_from(wait.as_micros()).unwrap_or(i64::MAX);
        Self::from_micros(self.as_micros().saturating_add(wait))
    }

    /// Returns the time this many seconds earlier.
    #[must_use]
    pub fn before(self, seconds: f64) -> Self {
        let wait = Duration::try_from_secs_f64(seconds).unwrap_or_default();
        let wait = i64::try_from(wait.as_micros()).unwrap_or(i64::MAX);
        Self::from_micros(self.as_micros().saturating_sub(wait))
    }

    /// Returns the time since `earlier`, or zero if the clock went backwards.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.as_micros() - earlier.as_micros()).unwrap_or(0))
    }
}

/// Reads a number that has only digits, at most six.
fn number(digits: &[u8]) -> Option<i64> {
    let (mut number, mut is_number) = (0, true);
    // Without a branch for each digit: a journal has a time in each line.
    for byte in digits {
        let digit = byte.wrapping_sub(b'0');
        is_number &= digit < 10;
        number = number * 10 + i64::from(digit);
    }
    is_number.then_some(number)
}

fn days_of_month(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Returns the days from 1970 to a date of the Gregorian calendar, of a year that is not negative.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    // Years begin with March, so that the leap day is the last one.
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    year * 365 + leap_days + (153 * month + 2) / 5 + day - 1 - 719_468
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Only times that have this form are stored.
        let time = jiff::Timestamp::from_microsecond(self.0).map_err(|_| fmt::Error)?;
        time.fmt(f)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Timestamp;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a timestamp")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Timestamp, E> {
                // A journal has one time for each line, so the usual form has a shorter way.
                if let Some(time) = Timestamp::of_text(text.as_bytes()) {
                    return Ok(time);
                }
                let time: jiff::Timestamp = text.parse().map_err(E::custom)?;
                Ok(Timestamp(time.as_microsecond()))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

#[cfg(test)]
mod tests {
    use super::Timestamp;

    /// Reads a time as the general parser of times does.
    fn of_jiff(text: &str) -> Option<Timestamp> {
        let time: jiff::Timestamp = text.parse().ok()?;
        Some(Timestamp(time.as_microsecond()))
    }

    #[test]
    fn the_usual_form_of_a_time_is_read_as_the_general_parser_reads_it() {
        for micros in [
            0,
            1,
            999_999,
            1_000_000,
            120_000,
            -1,
            -1_000_001,
            86_400_000_000,
        ] {
            // Every month of some centuries, the days around its end included.
            for days in (-700_000..100_000).step_by(29) {
                let time = Timestamp::from_micros(micros + days * 86_400_000_000);
                let text = time.to_string();
                assert_eq!(Timestamp::of_text(text.as_bytes()), Some(time), "{text}");
                assert_eq!(of_jiff(&text), Some(time), "{text}");
            }
        }
    }

    #[test]
    fn a_date_that_does_not_exist_and_any_other_form_are_left_to_the_general_parser() {
        for text in [
            "",
            "2026-11-29",
            "2026-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-00-01T00:00:00Z",
            "2026-01-00T00:00:00Z",
            "2026-01-01T24:00:00Z",
            "2026-01-01T00:60:00Z",
            "2026-01-01T00:00:60Z",
            "2026-01-01T00:00:00.Z",
            "2026-01-01T00:00:00.1234567Z",
            "2026-01-01T00:00:00",
            "2026-01-01T00:00:00+01:00",
            "2026-01-01t00:00:00z",
            "2026-01-01 00:00:00Z",
            "-026-01-01T00:00:00Z",
            "20 6-01-01T00:00:00Z",
            "2026-01-01T00:00:00.1 Z",
        ] {
            assert_eq!(Timestamp::of_text(text.as_bytes()), None, "{text}");
        }
        for text in ["2000-02-29T00:00:00Z", "2026-12-31T23:59:59.5Z"] {
            assert_eq!(Timestamp::of_text(text.as_bytes()), of_jiff(text), "{text}");
        }
        let other: Timestamp = serde_json::from_str("\"2026-01-01T01:00:00.5+01:00\"").unwrap();
        assert_eq!(other.to_string(), "2026-01-01T00:00:00.5Z");
        assert!(serde_json::from_str::<Timestamp>("\"2026-02-29T00:00:00Z\"").is_err());
    }
}
