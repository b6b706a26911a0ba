//! Literals of Python, as `repr` writes them.

use std::fmt::Write as _;
use swath_model::space::{Params, Value};

/// Returns a configuration as Python's `repr` writes a dictionary.
pub(super) fn dictionary(params: &Params) -> String {
    let items: Vec<String> = params
        .iter()
        .map(|(name, value)| format!("{}: {}", quoted(name), literal(value)))
        .collect();
    format!("{{{}}}", items.join(", "))
}

/// Returns a value as a Python literal.
fn literal(value: &Value) -> String {
    match value {
        Value::Bool(flag) => if *flag { "True" } else { "False" }.to_owned(),
        Value::Text(text) => quoted(text),
        Value::List(items) => format!(
            "[{}]",
            items.iter().map(literal).collect::<Vec<_>>().join(", ")
        ),
        Value::Int(_) | Value::Float(_) => value.to_string(),
    }
}

/// Returns a text as a Python string literal in single quotes.
fn quoted(text: &str) -> String {
    let mut quoted = "'".to_owned();
    for character in text.chars() {
        match character {
            '\'' | '\\' => quoted.extend(['\\', character]),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            other if other.is_control() => {
                let _ = write!(quoted, "\\u{:04x}", u32::from(other));
            }
            other => quoted.push(other),
        }
    }
    quoted + "'"
}

#[cfg(test)]
mod tests {
    use super::dictionary;
    use swath_model::demo::text;
    use swath_model::space::{Params, Value};

    #[test]
    fn a_configuration_is_a_literal_of_python() {
        let list = Value::List(vec![Value::Int(1), text("x")]);
        let params: Params = [
            ("lr".into(), Value::Float(1e-5)),
            ("größe".into(), text("it's\n")),
            ("on".into(), Value::Bool(true)),
            ("units".into(), list),
        ]
        .into_iter()
        .collect();
        assert_eq!(
            dictionary(&params),
            r"{'lr': 1e-5, 'größe': 'it\'s\n', 'on': True, 'units': [1, 'x']}"
        );
    }
}
