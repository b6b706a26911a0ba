//! Reads a JSON text into a tree of values with their places.

use super::tree::{Entry, Node, NodeKind};
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;

/// Reads a text.
///
/// # Errors
/// The reason why the text cannot be used.
pub(super) fn parse(text: &str) -> Result<Node, String> {
    let whole: &RawValue = serde_json::from_str(text).map_err(|error| error.to_string())?;
    node(whole.get(), text).map_err(|error| error.to_string())
}

/// Reads the part `value` of a text.
fn node(value: &str, text: &str) -> serde_json::Result<Node> {
    let kind = match value.as_bytes().first() {
        Some(b'{') => NodeKind::Map {
            entries: entries(value, text)?,
            is_flow: true,
        },
        Some(b'[') => {
            let items: Vec<&RawValue> = serde_json::from_str(value)?;
            let items = items.iter().map(|item| node(item.get(), text));
            NodeKind::List(items.collect::<serde_json::Result<_>>()?)
        }
        _ => NodeKind::Scalar,
    };
    Ok(Node {
        span: span(value, text),
        kind,
        is_repeated: false,
    })
}

fn entries(value: &str, text: &str) -> serde_json::Result<Vec<Entry>> {
    let mut deserializer = serde_json::Deserializer::from_str(value);
    let pairs = deserializer.deserialize_map(Pairs)?;
    let entries = pairs.into_iter().map(|(key, value)| {
        let key_span = key_before(span(value.get(), text).start, text);
        Ok(Entry {
            key_span,
            key,
            value: node(value.get(), text)?,
        })
    });
    entries.collect()
}

/// Returns the place of the key of the value at a position.
fn key_before(value: usize, text: &str) -> std::ops::Range<usize> {
    let end = text[..value].rfind('"').map_or(value, |quote| quote + 1);
    let mut quotes = text[..end.saturating_sub(1)].rmatch_indices('"');
    let start = quotes.find(|(quote, _)| !text[..*quote].ends_with('\\'));
    start.map_or(value, |(quote, _)| quote)..end
}

/// Returns the place of a part of a text.
fn span(part: &str, text: &str) -> std::ops::Range<usize> {
    let start = part.as_ptr() as usize - text.as_ptr() as usize;
    start..start + part.len()
}

/// The entries of an object in their order.
struct Pairs;

impl<'de> Visitor<'de> for Pairs {
    type Value = Vec<(String, &'de RawValue)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut pairs = Vec::new();
        while let Some(pair) = map.next_entry()? {
            pairs.push(pair);
        }
        Ok(pairs)
    }
}
