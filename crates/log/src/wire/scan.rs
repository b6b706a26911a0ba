//! Parses one flat JSON object. In addition to JSON, it accepts NaN and the infinities as Python, C
//! and shells write them.

use std::borrow::Cow;

/// A value of the object.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Raw<'a> {
    Null,
    Bool(bool),
    /// A JSON number: its value and its text in the line.
    Number(f64, &'a str),
    /// NaN or an infinity, which JSON cannot express.
    Special(f64),
    Text(Cow<'a, str>),
    /// A list or object as its text in the line.
    Nested(&'a str),
}

/// The reason why a line is not an object: the expected syntax, and its column in bytes from 1.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is not JSON: expected {expected} at column {column}")]
pub struct Syntax {
    expected: &'static str,
    column: usize,
}

/// Passes each key and value of the object in `line` to `each`, in order. Nothing after a syntax
/// error is passed on.
pub(super) fn object<'a>(
    line: &'a str,
    mut each: impl FnMut(Cow<'a, str>, Raw<'a>),
) -> Result<(), Syntax> {
    let mut scan = Scan { line, offset: 0 };
    scan.expect(b'{', "`{`")?;
    if !scan.take(b'}') {
        loop {
            scan.skip_blanks();
            let key = scan.text("a key in quotes")?;
            scan.expect(b':', "`:`")?;
            let value = scan.value()?;
            each(key, value);
            if !scan.take(b',') {
                break;
            }
        }
        scan.expect(b'}', "`,` or `}`")?;
    }
    scan.skip_blanks();
    if scan.offset < line.len() {
        Err(scan.error("nothing more"))
    } else {
        Ok(())
    }
}

/// Parses NaN or an infinity as any language writes them; `None` for other words.
pub fn special(word: &str) -> Option<f64> {
    let (sign, word) = match word.as_bytes() {
        [b'-', ..] => (-1.0, &word[1..]),
        [b'+', ..] => (1.0, &word[1..]),
        _ => (1.0, word),
    };
    if word.eq_ignore_ascii_case("nan") {
        Some(f64::NAN)
    } else if word.eq_ignore_ascii_case("inf") || word.eq_ignore_ascii_case("infinity") {
        Some(sign * f64::INFINITY)
    } else {
        None
    }
}

struct Scan<'a> {
    line: &'a str,
    /// The byte offset of the next character.
    offset: usize,
}

impl<'a> Scan<'a> {
    fn error(&self, expected: &'static str) -> Syntax {
        Syntax {
            expected,
            column: self.offset + 1,
        }
    }

    fn peek(&self) -> Option<u8> {
        self.line.as_bytes().get(self.offset).copied()
    }

    fn skip_blanks(&mut self) {
        while let Some(b' ' | b'\t' | b'\r' | b'\n') = self.peek() {
            self.offset += 1;
        }
    }

    fn take(&mut self, byte: u8) -> bool {
        self.skip_blanks();
        let is_next = self.peek() == Some(byte);
        self.offset += usize::from(is_next);
        is_next
    }

    fn expect(&mut self, byte: u8, expected: &'static str) -> Result<(), Syntax> {
        if self.take(byte) {
            Ok(())
        } else {
            Err(self.error(expected))
        }
    }

    fn value(&mut self) -> Result<Raw<'a>, Syntax> {
        self.skip_blanks();
        match self.peek() {
            Some(b'"') => self.text("a text").map(Raw::Text),
            Some(b'{' | b'[') => self.nested(),
            _ => self.word(),
        }
    }

    /// Parses a number or an unquoted word.
    fn word(&mut self) -> Result<Raw<'a>, Syntax> {
        let bytes = &self.line.as_bytes()[self.offset..];
        let is_part =
            |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.');
        let length = bytes
            .iter()
            .position(|byte| !is_part(byte))
            .unwrap_or(bytes.len());
        let word = &self.line[self.offset..self.offset + length];
        let raw = match word {
            "true" => Raw::Bool(true),
            "false" => Raw::Bool(false),
            "null" => Raw::Null,
            _ if is_number(word.as_bytes()) => match word.parse::<f64>() {
                Ok(number) if number.is_finite() => Raw::Number(number, word),
                // A number such as `1e999` is valid JSON but too large for a float.
                Ok(number) => Raw::Special(number),
                Err(_) => return Err(self.error("a number")),
            },
            _ => Raw::Special(special(word).ok_or_else(|| self.error("a value"))?),
        };
        self.offset += length;
        Ok(raw)
    }

    fn text(&mut self, expected: &'static str) -> Result<Cow<'a, str>, Syntax> {
        if self.peek() != Some(b'"') {
            return Err(self.error(expected));
        }
        let start = self.offset + 1;
        let bytes = &self.line.as_bytes()[start..];
        let Some(stop) = bytes
            .iter()
            .position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f))
        else {
            self.offset = self.line.len();
            return Err(self.error("`\"` to end the text"));
        };
        if bytes[stop] == b'"' {
            self.offset = start + stop + 1;
            return Ok(Cow::Borrowed(&self.line[start..start + stop]));
        }
        // Escapes are rare, so serde_json decodes them.
        let end = self.end_of_text(start)?;
        let text = serde_json::from_str(&self.line[self.offset..end])
            .map_err(|_| self.error("a text without bad escapes"))?;
        self.offset = end;
        Ok(Cow::Owned(text))
    }

    /// Returns the index after the closing quote of a text whose content begins at `start`.
    fn end_of_text(&self, start: usize) -> Result<usize, Syntax> {
        let mut escaped = false;
        for (offset, byte) in self.line.as_bytes().iter().enumerate().skip(start) {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => return Ok(offset + 1),
                _ => {}
            }
        }
        Err(Syntax {
            expected: "`\"` to end the text",
            column: self.line.len() + 1,
        })
    }

    /// Finds the end of a list or object of any depth. Its content is not checked.
    fn nested(&mut self) -> Result<Raw<'a>, Syntax> {
        let start = self.offset;
        let mut open: Vec<u8> = Vec::new();
        while let Some(byte) = self.peek() {
            match byte {
                b'"' => {
                    self.offset = self.end_of_text(self.offset + 1)?;
                    continue;
                }
                b'[' => open.push(b']'),
                b'{' => open.push(b'}'),
                b']' | b'}' if open.pop() != Some(byte) => {
                    return Err(self.error("the other bracket"));
                }
                _ => {}
            }
            self.offset += 1;
            if open.is_empty() {
                return Ok(Raw::Nested(&self.line[start..self.offset]));
            }
        }
        Err(self.error("a closing bracket"))
    }
}

/// Returns whether the word is a number by JSON's grammar.
pub fn is_number(word: &[u8]) -> bool {
    let mut rest = word.strip_prefix(b"-").unwrap_or(word);
    let integer = count_digits(rest);
    if integer == 0 || (integer > 1 && rest[0] == b'0') {
        return false;
    }
    rest = &rest[integer..];
    if let [b'.', fraction @ ..] = rest {
        let count = count_digits(fraction);
        if count == 0 {
            return false;
        }
        rest = &fraction[count..];
    }
    if let [b'e' | b'E', exponent @ ..] = rest {
        let exponent = exponent
            .strip_prefix(b"+")
            .or(exponent.strip_prefix(b"-"))
            .unwrap_or(exponent);
        return !exponent.is_empty() && count_digits(exponent) == exponent.len();
    }
    rest.is_empty()
}

fn count_digits(bytes: &[u8]) -> usize {
    let digits = bytes.iter().take_while(|byte| byte.is_ascii_digit());
    digits.count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(line: &str) -> Result<Vec<(String, Raw<'_>)>, String> {
        let mut found = Vec::new();
        object(line, |key, raw| found.push((key.into_owned(), raw)))
            .map_err(|error| error.to_string())?;
        Ok(found)
    }

    #[test]
    fn every_kind_of_value_is_read_as_it_was_written() {
        let line = r#" { "a" : 1 ,"b":-2.5e-3, "c":true,"d":null,"e":"x\"\u00e9","f":[1,{"g":"]"}],"h":{} } "#;
        let expected = [
            ("a", Raw::Number(1.0, "1")),
            ("b", Raw::Number(-2.5e-3, "-2.5e-3")),
            ("c", Raw::Bool(true)),
            ("d", Raw::Null),
            ("e", Raw::Text("x\"é".into())),
            ("f", Raw::Nested(r#"[1,{"g":"]"}]"#)),
            ("h", Raw::Nested("{}")),
        ];
        assert_eq!(
            read(line).unwrap(),
            expected.map(|(key, raw)| (key.to_owned(), raw))
        );
        assert_eq!(read("{}").unwrap(), []);
    }

    #[test]
    fn nan_and_the_infinities_are_read_as_python_c_and_awk_write_them() {
        for word in ["NaN", "nan", "-nan", "NAN"] {
            let line = format!("{{\"a\": {word}}}");
            assert!(
                matches!(read(&line).unwrap()[0].1, Raw::Special(number) if number.is_nan()),
                "{word}"
            );
        }
        let line = r#"{"a": Infinity, "b": -Infinity, "c": inf, "d": -inf, "e": 1e999}"#;
        let signs: Vec<f64> = read(line)
            .unwrap()
            .iter()
            .map(|(_, raw)| {
                if let Raw::Special(n) = raw {
                    n.signum()
                } else {
                    0.0
                }
            })
            .collect();
        assert_eq!(signs, [1.0, -1.0, 1.0, -1.0, 1.0]);
    }

    #[test]
    fn an_error_has_its_column() {
        for (line, expected) in [
            ("", "expected `{` at column 1"),
            ("hello", "expected `{` at column 1"),
            ("[1]", "expected `{` at column 1"),
            (r#"{"a": 1"#, "expected `,` or `}` at column 8"),
            (r#"{"a": 1,}"#, "expected a key in quotes at column 9"),
            (r#"{a: 1}"#, "expected a key in quotes at column 2"),
            (r#"{"a" 1}"#, "expected `:` at column 6"),
            (r#"{"a": one}"#, "expected a value at column 7"),
            (r#"{"a": 01}"#, "expected a value at column 7"),
            (r#"{"a": 'x'}"#, "expected a value at column 7"),
            (r#"{"a": "x}"#, "expected `\"` to end the text at column 10"),
            (
                r#"{"a": "\q"}"#,
                "expected a text without bad escapes at column 7",
            ),
            (r#"{"a": [1, 2}"#, "expected the other bracket at column 12"),
            (r#"{"a": [1, 2"#, "expected a closing bracket at column 12"),
            (r#"{"a": 1} {"#, "expected nothing more at column 10"),
        ] {
            assert_eq!(
                read(line).unwrap_err(),
                format!("it is not JSON: {expected}"),
                "{line}"
            );
        }
    }

    #[test]
    fn a_million_brackets_are_no_deeper_than_one() {
        let deep = format!(
            "{{\"a\": {}{}}}",
            "[".repeat(1_000_000),
            "]".repeat(1_000_000)
        );
        assert!(matches!(read(&deep).unwrap()[0].1, Raw::Nested(_)));
    }

    proptest! {
        #[test]
        fn what_serde_json_writes_is_read_alike(
            entries in proptest::collection::vec((".*", prop_oneof![
                any::<i64>().prop_map(serde_json::Value::from),
                any::<f64>().prop_map(serde_json::Value::from),
                any::<bool>().prop_map(serde_json::Value::from),
                ".*".prop_map(serde_json::Value::from),
                proptest::collection::vec(".*", 0..3).prop_map(serde_json::Value::from),
            ]), 0..6)
        ) {
            let object: serde_json::Map<_, _> = entries.into_iter().collect();
            let line = serde_json::Value::from(object.clone()).to_string();
            let found = read(&line).unwrap();
            prop_assert_eq!(found.len(), object.len());
            for ((key, raw), (wanted_key, expected)) in found.iter().zip(&object) {
                prop_assert_eq!(key, wanted_key);
                let json = expected.to_string();
                let same = match raw {
                    Raw::Null => expected.is_null(),
                    Raw::Bool(flag) => expected.as_bool() == Some(*flag),
                    Raw::Number(number, text) => expected.as_f64() == Some(*number) && json == *text,
                    Raw::Text(text) => expected.as_str() == Some(text),
                    Raw::Nested(text) => json == *text,
                    Raw::Special(_) => false,
                };
                prop_assert!(same, "{raw:?} is not {expected}");
            }
        }

        #[test]
        fn any_text_is_read_or_refused(line in r#"[{}\[\]",:\\a-fInNu0-9. -]{0,40}"#) {
            if let Ok(found) = read(&line) {
                prop_assert!(serde_json::from_str::<serde_json::Value>(&line).is_ok()
                    || found.iter().any(|(_, raw)| matches!(raw, Raw::Special(_) | Raw::Nested(_))), "{line}");
            }
        }
    }
}
