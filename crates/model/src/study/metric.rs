//! A measured number whose NaN and infinities survive JSON.

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// A measured number. In JSON, NaN and the infinities are `"nan"`, `"inf"` and `"-inf"`.
///
/// NaN equals NaN, so that two studies that folded the same events are equal.
#[derive(Debug, Clone, Copy)]
pub struct Metric(pub f64);

impl PartialEq for Metric {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0 || (self.0.is_nan() && other.0.is_nan())
    }
}

impl fmt::Display for Metric {
    /// Formats the number as tables show it: in the shortest form that reads back as the same
    /// number, else `nan`, `inf` or `-inf`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            number if number.is_finite() => write!(f, "{number:?}"),
            number if number.is_nan() => f.write_str("nan"),
            number if number > 0.0 => f.write_str("inf"),
            _ => f.write_str("-inf"),
        }
    }
}

impl Serialize for Metric {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            number if number.is_finite() => serializer.serialize_f64(number),
            _ => serializer.collect_str(self),
        }
    }
}

impl Metric {
    /// Returns the number that JSON can only write as a text; `None` for any other text.
    pub(super) fn of_text(text: &str) -> Option<Self> {
        match text.to_ascii_lowercase().as_str() {
            "nan" => Some(Self(f64::NAN)),
            "inf" | "infinity" | "+inf" => Some(Self(f64::INFINITY)),
            "-inf" | "-infinity" => Some(Self(f64::NEG_INFINITY)),
            _ => None,
        }
    }
}

impl<'de> Deserialize<'de> for Metric {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Number;
        impl Visitor<'_> for Number {
            type Value = Metric;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number, \"nan\", \"inf\" or \"-inf\"")
            }
            fn visit_f64<E>(self, number: f64) -> Result<Metric, E> {
                Ok(Metric(number))
            }
            fn visit_i64<E>(self, number: i64) -> Result<Metric, E> {
                Ok(Metric(number as f64))
            }
            fn visit_u64<E>(self, number: u64) -> Result<Metric, E> {
                Ok(Metric(number as f64))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Metric, E> {
                Metric::of_text(text)
                    .ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
            }
        }
        deserializer.deserialize_any(Number)
    }
}
