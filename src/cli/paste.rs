//! Parameters in a form that a user can paste: as TOML, or as arguments of a command.

use super::quote;
use crate::report::listing;
use crate::space::{Params, Value};

/// Returns one line of TOML per parameter.
pub(super) fn toml(params: &Params) -> String {
    params
        .iter()
        .map(|(name, value)| format!("{} = {}\n", key(name), toml_value(value)))
        .collect()
}

/// Returns a dotted TOML key. Parts that are not bare keys are quoted.
fn key(name: &str) -> String {
    let parts = name.split('.').map(|part| {
        if is_bare(part) {
            part.to_owned()
        } else {
            quoted(part)
        }
    });
    parts.collect::<Vec<_>>().join(".")
}

fn is_bare(part: &str) -> bool {
    !part.is_empty()
        && part
            .chars()
            .all(|char| char.is_ascii_alphanumeric() || matches!(char, '-' | '_'))
}

fn toml_value(value: &Value) -> String {
    match value {
        Value::Text(text) => quoted(text),
        Value::List(items) => format!(
            "[{}]",
            items.iter().map(toml_value).collect::<Vec<_>>().join(", ")
        ),
        other => listing::shown(other),
    }
}

/// Returns a basic TOML string. TOML uses the escapes of JSON, and also requires one for DEL.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text)
        .to_string()
        .replace('\u{7f}', "\\u007f")
}

/// Returns `--name=value` for every parameter on one line, quoted for a shell.
pub(super) fn arguments(params: &Params) -> String {
    let arguments = params.iter().map(|(name, value)| argument(name, value));
    quote::line(&arguments.collect::<Vec<_>>())
}

fn argument(name: &str, value: &Value) -> String {
    match value {
        // The debug format keeps the decimal point of a whole number and the exponent of a small
        // one.
        Value::Float(number) => format!("--{name}={number:?}"),
        other => format!("--{name}={other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::{arguments, toml};
    use crate::space::{Name, Params, Value};
    use proptest::prelude::*;

    fn params(entries: &[(&str, Value)]) -> Params {
        entries
            .iter()
            .map(|(name, value)| (Name::from(*name), value.clone()))
            .collect()
    }

    #[test]
    fn arguments_are_quoted_for_a_shell_where_they_need_it() {
        let params = params(&[
            ("lr", Value::Float(1e-5)),
            ("s", Value::Text("it's; rm".into())),
            ("n", Value::Int(3)),
        ]);
        assert_eq!(arguments(&params), "--lr=1e-5 '--s=it'\\''s; rm' --n=3");
    }

    proptest! {
        #[test]
        fn pasted_toml_reads_back_as_the_same_values(text in any::<String>(), number in proptest::num::f64::NORMAL, int in any::<i64>()) {
            let list = Value::List(vec![Value::Int(int), Value::Text(text.as_str().into())]);
            let params = params(&[("a b", Value::Text(text.as_str().into())), ("lr", Value::Float(number)), ("l", list)]);
            let read: toml::Table = toml(&params).parse().unwrap();
            prop_assert_eq!(read["a b"].as_str(), Some(text.as_str()));
            prop_assert_eq!(read["lr"].as_float().map(f64::to_bits), Some(number.to_bits()));
            prop_assert_eq!(read["l"][0].as_integer(), Some(int));
        }
    }
}
