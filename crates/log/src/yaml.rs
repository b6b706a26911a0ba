//! Writes YAML 1.1 for PyYAML: a text is read back as a text, a number as a number.

use std::fmt::Write as _;
use swath_model::space::{Params, Value};

/// Words that a YAML 1.1 reader does not take for texts.
const WORDS: [&str; 10] = [
    "y", "n", "yes", "no", "on", "off", "true", "false", "null", "none",
];

/// Appends a text, plain where it is unambiguous and quoted otherwise.
pub(super) fn text(out: &mut String, text: &str) {
    if is_plain(text) {
        out.push_str(text);
    } else if text.chars().all(is_printable) {
        out.push('\'');
        for char in text.chars() {
            out.push(char);
            if char == '\'' {
                out.push('\'');
            }
        }
        out.push('\'');
    } else {
        escaped(out, text);
    }
}

/// Returns whether a text may be written without quotes: it begins like a word and contains nothing
/// that YAML reads as syntax, number or date.
fn is_plain(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_' || c == '/')
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "_/.-+".contains(c))
        && !WORDS.iter().any(|word| text.eq_ignore_ascii_case(word))
}

/// Returns whether PyYAML accepts the character unescaped inside quotes. Line breaks are excluded.
fn is_printable(c: char) -> bool {
    matches!(
        c,
        ' '..='~'
            | '\u{a0}'..='\u{2027}'
            | '\u{202a}'..='\u{d7ff}'
            | '\u{e000}'..='\u{fefe}'
            | '\u{ff00}'..='\u{fffd}'
            | '\u{10000}'..
    )
}

fn escaped(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if is_printable(c) => out.push(c),
            c => {
                let _ = write!(out, "\\U{:08X}", u32::from(c));
            }
        }
    }
    out.push('"');
}

/// Appends a number with a decimal point and, if it has an exponent, a sign in the exponent.
/// Without them YAML 1.1 reads a text.
pub(super) fn float(out: &mut String, number: f64) {
    if number.is_nan() {
        return out.push_str(".nan");
    }
    if number.is_infinite() {
        return out.push_str(if number > 0.0 { ".inf" } else { "-.inf" });
    }
    let size = number.abs();
    if size == 0.0 || (1e-4..1e16).contains(&size) {
        let _ = write!(out, "{number:?}");
        return;
    }
    let scientific = format!("{number:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    out.push_str(digits);
    if !digits.contains('.') {
        out.push_str(".0");
    }
    out.push('e');
    out.push(if exponent.starts_with('-') { '-' } else { '+' });
    let _ = write!(out, "{:0>2}", exponent.trim_start_matches('-'));
}

/// Appends a parameter's value; lists in brackets.
pub(super) fn value(out: &mut String, value: &Value) {
    match value {
        Value::Bool(flag) => out.push_str(if *flag { "true" } else { "false" }),
        Value::Int(number) => out.push_str(&number.to_string()),
        Value::Float(number) => float(out, *number),
        Value::Text(words) => text(out, words),
        Value::List(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                out.push_str(if index == 0 { "" } else { ", " });
                self::value(out, item);
            }
            out.push(']');
        }
    }
}

/// Returns a mapping of the parameters, with groups (`model.layers`) nested.
///
/// If a group and a parameter have the same name, the names of that group keep their dots. A reader
/// that flattens the mapping sees the same names either way.
pub(super) fn params(params: &Params) -> String {
    let mut out = String::new();
    let entries: Vec<(Vec<&str>, &Value)> = params
        .iter()
        .map(|(name, value)| {
            (
                if is_below_parameter(name, params) {
                    vec![&**name]
                } else {
                    name.split('.').collect()
                },
                value,
            )
        })
        .collect();
    if entries.is_empty() {
        out.push_str("{}\n");
    }
    mapping(&mut out, 0, &entries);
    out
}

/// Returns whether one of the groups of `name` is a parameter itself.
fn is_below_parameter(name: &str, params: &Params) -> bool {
    name.match_indices('.')
        .any(|(dot, _)| params.get(&name[..dot]).is_some())
}

/// Writes the entries, whose paths agree above `depth`, in the order in which each key first
/// appears.
fn mapping(out: &mut String, depth: usize, entries: &[(Vec<&str>, &Value)]) {
    let mut done: Vec<&str> = Vec::new();
    for (path, leaf) in entries {
        let key = path[depth];
        if done.contains(&key) {
            continue;
        }
        done.push(key);
        out.extend(std::iter::repeat_n("  ", depth));
        text(out, key);
        if path.len() == depth + 1 {
            out.push_str(": ");
            value(out, leaf);
            out.push('\n');
            continue;
        }
        out.push_str(":\n");
        let inside: Vec<(Vec<&str>, &Value)> = entries
            .iter()
            .filter(|(path, _)| path[depth] == key && path.len() > depth + 1)
            .cloned()
            .collect();
        mapping(out, depth + 1, &inside);
    }
}

/// Returns the line of a keys file that declares a metric.
pub(super) fn key_line(key: &str) -> String {
    let mut line = String::new();
    text(&mut line, key);
    line.push_str(": ''\n");
    line
}

/// Makes parameters for tests elsewhere in this module.
#[cfg(test)]
pub(super) fn named(entries: &[(&str, Value)]) -> Params {
    entries
        .iter()
        .map(|(name, value)| (swath_model::space::Name::from(*name), value.clone()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(write: impl FnOnce(&mut String)) -> String {
        let mut out = String::new();
        write(&mut out);
        out
    }

    #[test]
    fn floats_carry_a_dot_and_a_signed_exponent() {
        let shown: Vec<String> = [
            1e-5,
            1.0,
            0.001,
            1.5e-7,
            1e16,
            -2.5e300,
            0.0,
            f64::NAN,
            f64::INFINITY,
            f64::NEG_INFINITY,
        ]
        .map(|number| of(|out| float(out, number)))
        .into();
        let expected = [
            "1.0e-05",
            "1.0",
            "0.001",
            "1.5e-07",
            "1.0e+16",
            "-2.5e+300",
            "0.0",
            ".nan",
            ".inf",
            "-.inf",
        ];
        assert_eq!(shown, expected);
    }

    #[test]
    fn texts_that_yaml_would_read_as_something_else_are_quoted() {
        let shown: Vec<String> = [
            "adam",
            "yes",
            "1e-5",
            "",
            "a: b",
            "it's",
            "two\nlines",
            "é",
            "2025-01-01",
            "~",
            "- a",
            "\u{feff}",
        ]
        .map(|words| of(|out| text(out, words)))
        .into();
        let expected = [
            "adam",
            "'yes'",
            "'1e-5'",
            "''",
            "'a: b'",
            "'it''s'",
            "\"two\\nlines\"",
            "'é'",
            "'2025-01-01'",
            "'~'",
            "'- a'",
            "\"\\U0000FEFF\"",
        ];
        assert_eq!(shown, expected);
    }

    #[test]
    fn groups_are_nested_and_a_group_that_is_also_a_parameter_stays_dotted() {
        let params = named(&[
            ("model.layers", Value::Int(2)),
            ("lr", Value::Float(1e-5)),
            ("model.act", Value::Text("relu".into())),
            ("opt", Value::Text("sgd".into())),
            ("opt.momentum", Value::Float(0.9)),
            (
                "units",
                Value::List(vec![Value::Int(1), Value::Text("a, b".into())]),
            ),
        ]);
        let expected = "model:\n  layers: 2\n  act: relu\nlr: 1.0e-05\nopt: sgd\n\
                        opt.momentum: 0.9\nunits: [1, 'a, b']\n";
        assert_eq!(super::params(&params), expected);
        assert_eq!(super::params(&Params::default()), "{}\n");
    }
}
