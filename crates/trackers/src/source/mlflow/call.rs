//! The parts of calls and answers that all of the server shares: reading the pairs of a call, and
//! refusing it.

use super::points::read_integer;
use super::runs::Texts;
use serde_json::Value;
use std::io;
use std::time::{SystemTime, UNIX_EPOCH};

/// An answer that refuses a call.
#[derive(Debug, PartialEq)]
pub(super) struct Refusal {
    /// The HTTP status.
    pub(super) status: u16,
    /// MLflow's name of the error.
    pub(super) code: &'static str,
    /// The reason, for people.
    pub(super) message: String,
}

impl Refusal {
    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self {
            status: 400,
            code: "INVALID_PARAMETER_VALUE",
            message: message.into(),
        }
    }

    pub(super) fn missing(message: impl Into<String>) -> Self {
        Self {
            status: 404,
            code: "RESOURCE_DOES_NOT_EXIST",
            message: message.into(),
        }
    }

    pub(super) fn exists(message: impl Into<String>) -> Self {
        Self {
            status: 400,
            code: "RESOURCE_ALREADY_EXISTS",
            message: message.into(),
        }
    }
}

/// A client repeats a call that could not be recorded, because this status is a temporary one.
impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        Self {
            status: 503,
            code: "TEMPORARILY_UNAVAILABLE",
            message: format!("swath could not record the call: {error}"),
        }
    }
}

pub(super) type Answer = Result<Value, Refusal>;

/// Returns the text of a pair; empty without one.
pub(super) fn text<'a>(args: &'a Value, key: &str) -> &'a str {
    args.get(key).and_then(Value::as_str).unwrap_or_default()
}

pub(super) fn required<'a>(args: &'a Value, key: &str) -> Result<&'a str, Refusal> {
    match text(args, key) {
        "" => Err(Refusal::invalid(format!(
            "Missing value for required parameter '{key}'."
        ))),
        text => Ok(text),
    }
}

pub(super) fn integer(args: &Value, key: &str) -> Option<i64> {
    args.get(key).and_then(read_integer)
}

pub(super) fn list<'a>(args: &'a Value, key: &str) -> &'a [Value] {
    let list = args.get(key).and_then(Value::as_array);
    list.map_or(&[], Vec::as_slice)
}

/// Reads MLflow's list of keys and values.
pub(super) fn read_pairs(args: &Value, key: &str) -> Texts {
    let pairs = list(args, key).iter();
    pairs
        .map(|pair| (text(pair, "key").to_owned(), text(pair, "value").to_owned()))
        .filter(|(key, _)| !key.is_empty())
        .collect()
}

/// Returns the time in milliseconds since 1970.
pub(super) fn now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| i64::try_from(now.as_millis()).unwrap_or(i64::MAX))
}
