//! JSON: an object on each line, or one object that is written anew again and again.

use super::format::{Content, Format, Item};
use serde_json::Value;
use swath_log::wire::special;
use swath_model::study::{Datum, Metric};

/// The longest line or document that is read, in bytes.
const LONGEST: usize = 1 << 22;

/// A file of JSON as it grows.
#[derive(Default)]
pub(super) struct Json {
    rest: Vec<u8>,
    /// Whether a line was an object of its own, so that the file is no document.
    has_lines: bool,
    number: u64,
    problem: Option<String>,
}

impl Json {
    fn problem(&mut self, why: &str) {
        self.problem.get_or_insert(why.to_owned());
    }

    /// Passes on the complete lines. A file whose first line is no object may be a document.
    fn lines(&mut self, each: &mut dyn FnMut(Item)) {
        let mut rest = std::mem::take(&mut self.rest);
        let mut begin = 0;
        while let Some(length) = rest[begin..].iter().position(|byte| *byte == b'\n') {
            let line = &rest[begin..begin + length];
            if let Some(content) = object(line) {
                self.has_lines = true;
                each(Item { content, at: None });
            } else if !line.trim_ascii().is_empty() {
                if !self.has_lines {
                    break;
                }
                self.problem(&format!(
                    "line {} is no JSON object; it is left out",
                    self.number + 1
                ));
            }
            self.number += 1;
            begin += length + 1;
        }
        rest.drain(..begin);
        self.rest = rest;
    }
}

impl Format for Json {
    fn feed(&mut self, bytes: &[u8], each: &mut dyn FnMut(Item)) {
        if self.rest.len() + bytes.len() > LONGEST {
            self.problem("a line or document is too long; it is left out");
            self.rest.clear();
            return;
        }
        self.rest.extend_from_slice(bytes);
        self.lines(each);
    }

    fn settle(&mut self, is_last: bool, each: &mut dyn FnMut(Item)) {
        let is_document = !self.has_lines && self.number == 0;
        if !is_document && !is_last {
            return;
        }
        if let Some(content) = object(&self.rest) {
            each(Item { content, at: None });
            self.rest.clear();
        }
    }

    fn take_problem(&mut self) -> Option<String> {
        self.problem.take()
    }
}

/// Parses an object. Objects in it are flattened, `train/loss`; lists and nulls are left out.
fn object(text: &[u8]) -> Option<Content> {
    let value = parse(text)?;
    let Value::Object(_) = value else { return None };
    let mut values = Vec::new();
    flatten("", &value, &mut values);
    Some(Content::Row(values))
}

/// Parses JSON with the words NaN, Infinity and -Infinity, which Python writes; they become texts.
pub(in crate::source) fn parse(text: &[u8]) -> Option<Value> {
    let text = std::str::from_utf8(text).ok()?;
    match serde_json::from_str(text) {
        Ok(value) => Some(value),
        Err(_) => serde_json::from_str(&with_quoted_specials(text)).ok(),
    }
}

pub(in crate::source) fn flatten(name: &str, value: &Value, values: &mut Vec<(String, Datum)>) {
    let datum = match value {
        Value::Object(entries) => {
            for (key, value) in entries {
                let inner = match name {
                    "" => key.clone(),
                    _ => format!("{name}/{key}"),
                };
                flatten(&inner, value, values);
            }
            return;
        }
        Value::Null | Value::Array(_) => return,
        Value::Bool(flag) => Datum::Flag(*flag),
        Value::Number(number) => Datum::Number(Metric(number.as_f64().unwrap_or(f64::NAN))),
        Value::String(text) => match special(text) {
            Some(number) => Datum::Number(Metric(number)),
            None => Datum::Text(text.clone()),
        },
    };
    values.push((name.to_owned(), datum));
}

/// Puts the words NaN, Infinity and -Infinity into quotes, where they stand outside of texts.
fn with_quoted_specials(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 8);
    let (mut is_text, mut is_escaped) = (false, false);
    let mut rest = text;
    while let Some(letter) = rest.chars().next() {
        let word = ["NaN", "-Infinity", "Infinity"]
            .into_iter()
            .find(|word| !is_text && rest.starts_with(word));
        if let Some(word) = word {
            quoted.extend(["\"", word, "\""]);
            rest = &rest[word.len()..];
            continue;
        }
        if letter == '"' && !is_escaped {
            is_text = !is_text;
        }
        is_escaped = letter == '\\' && !is_escaped;
        quoted.push(letter);
        rest = &rest[letter.len_utf8()..];
    }
    quoted
}

#[cfg(test)]
mod tests {
    use super::super::format::tests::items;
    use super::*;

    #[test]
    fn each_line_is_a_row_and_objects_in_it_are_flattened() {
        let mut json = Json::default();
        let text = b"{\"loss\": 0.5, \"config\": {\"lr\": 1e-3, \"l\": [1]}, \"n\": null}\n{\"loss\": NaN, \"t\": \"a \\\"NaN\"}\nx\n{\"lo";
        assert_eq!(
            items(&mut json, &[text, b"ss\": 1}"], false),
            ["loss=0.5 config/lr=0.001", "loss=NaN t=\"a \\\"NaN\""]
        );
        assert_eq!(
            json.take_problem().unwrap(),
            "line 3 is no JSON object; it is left out"
        );
        assert_eq!(items(&mut json, &[], true), ["loss=1"]);
    }

    #[test]
    fn a_document_is_a_row_as_soon_as_it_is_whole() {
        let mut json = Json::default();
        assert_eq!(items(&mut json, &[b"{\n  \"step\": 3,\n"], false), [""; 0]);
        assert_eq!(
            items(&mut json, &[b"  \"train\": {\"loss\": 1}\n}\n"], false),
            ["step=3 train/loss=1"]
        );
        let mut json = Json::default();
        assert_eq!(items(&mut json, &[b"{\"a\": 1}"], false), ["a=1"]);
    }
}
