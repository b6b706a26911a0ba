//! The styles in which all parameters are passed at once, and values as arguments.

use super::hydra;
use swath_model::space::Value;

/// Style of the arguments that `{args}` and similar placeholders make.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Style {
    /// `--name=value`
    Options,
    /// As argparse usually declares options: `--name=value`, lists as `--name 1 2`, true as
    /// `--name`, false as nothing.
    Argparse,
    /// As click does: `--name=value`, lists as repeated options, `--name` or `--no-name`.
    Click,
    /// `name=value`
    Hydra,
}

impl Style {
    /// Adds the arguments of one parameter.
    pub(super) fn render(self, name: &str, value: &Value, made: &mut Vec<String>) {
        match (self, value) {
            (Self::Hydra, value) => made.push(format!("{name}={}", hydra::value(value))),
            (Self::Argparse | Self::Click, Value::Bool(true)) => made.push(format!("--{name}")),
            (Self::Argparse, Value::Bool(false)) => {}
            (Self::Click, Value::Bool(false)) => made.push(format!("--no-{name}")),
            (Self::Argparse, Value::List(items)) => {
                made.push(format!("--{name}"));
                made.extend(items.iter().map(argument_of));
            }
            (Self::Click, Value::List(items)) => {
                made.extend(items.iter().map(|item| format!("--{name}={item}")));
            }
            (_, value) => made.push(format!("--{name}={value}")),
        }
    }
}

/// Returns the elements of a list; any other value is its own only element.
pub(super) fn elements(value: &Value) -> &[Value] {
    match value {
        Value::List(items) => items,
        other => std::slice::from_ref(other),
    }
}

/// Writes a value as an argument of its own. Only at the start of an argument can a minus sign be
/// taken for an option.
pub(super) fn argument_of(value: &Value) -> String {
    match value {
        Value::Float(number) if *number < 0.0 => without_exponent(*number),
        value => value.to_string(),
    }
}

/// Writes a number without exponent: `-0.0000053` for -5.3e-6. It parses back to the same number.
///
/// Python's argparse takes an argument that begins with `-` as a value only if it looks like `-5`
/// or `-0.5`. It takes `-5.3e-6` for an unknown option.
fn without_exponent(number: f64) -> String {
    let text = number.to_string();
    if text.contains('.') {
        text
    } else {
        text + ".0"
    }
}
