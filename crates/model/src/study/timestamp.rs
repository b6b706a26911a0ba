//! Points in time, as the journal and the exports store them.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::time::Duration;

/// A point in time in UTC, with microsecond resolution; RFC 3339 in JSON and CSV.
///
/// Stored as microseconds since 1970: a trial has four of them, and a study may have 100,000 trials.
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
        let time = jiff::Timestamp::deserialize(deserializer)?;
        Ok(Self(time.as_microsecond()))
    }
}
