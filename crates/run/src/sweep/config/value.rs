//! Values as YAML, JSON and TOML read them.

use swath_model::space::Value;

/// Syntax of a configuration file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Syntax {
    Yaml,
    Json,
}

impl Syntax {
    /// Writes a value. The result is one line, and stands for the same value for readers of YAML
    /// 1.1, such as PyYAML, and of YAML 1.2.
    pub(super) fn value(self, value: &Value) -> String {
        match value {
            Value::Bool(flag) => flag.to_string(),
            Value::Int(number) => number.to_string(),
            Value::Float(number) => float(*number),
            Value::Text(text) if self == Self::Yaml && is_plain(text) => text.to_string(),
            Value::Text(text) => quoted(text),
            Value::List(items) => {
                let items: Vec<_> = items.iter().map(|item| self.value(item)).collect();
                format!("[{}]", items.join(", "))
            }
        }
    }

    /// Writes a key.
    pub(super) fn key(self, key: &str) -> String {
        match self {
            Self::Yaml if is_plain(key) => key.to_owned(),
            _ => quoted(key),
        }
    }
}

/// Writes a number. A reader of YAML 1.1 takes a number with an exponent for a number only if it
/// has a dot and the exponent a sign.
fn float(number: f64) -> String {
    let size = number.abs();
    if number == 0.0 || (1e-4..1e16).contains(&size) {
        return format!("{number:?}");
    }
    let text = format!("{number:e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let dot = if digits.contains('.') { "" } else { ".0" };
    let sign = if exponent.starts_with('-') { "" } else { "+" };
    format!("{digits}{dot}e{sign}{exponent}")
}

/// Writes a text in double quotes. An escaped character of JSON is one of YAML and TOML too.
fn quoted(text: &str) -> String {
    serde_json::to_string(text)
        .unwrap_or_default()
        .replace('\u{7f}', "\\u007f")
}

/// Returns whether every reader of YAML takes the text without quotes for this text.
fn is_plain(text: &str) -> bool {
    const WORDS: &[&str] = &["y", "n", "yes", "no", "on", "off", "true", "false", "null"];
    let begins = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let is_word = WORDS.contains(&text.to_ascii_lowercase().as_str());
    begins
        && !is_word
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "_-./".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_written_so_that_every_version_of_yaml_reads_it() {
        for (value, yaml) in [
            (Value::Float(1e-5), "1.0e-5"),
            (Value::Float(-5.3e-6), "-5.3e-6"),
            (Value::Float(1e20), "1.0e+20"),
            (Value::Float(0.003), "0.003"),
            (Value::Float(3.0), "3.0"),
            (Value::Text("adamw".into()), "adamw"),
            (Value::Text("yes".into()), "\"yes\""),
            (Value::Text("1e5".into()), "\"1e5\""),
            (Value::Text("a: b".into()), "\"a: b\""),
            (Value::Text("\u{7f}".into()), "\"\\u007f\""),
            (
                Value::List(vec![Value::Int(1), Value::Text("a".into())]),
                "[1, a]",
            ),
        ] {
            assert_eq!(Syntax::Yaml.value(&value), yaml);
        }
        assert_eq!(Syntax::Json.value(&Value::Text("a".into())), "\"a\"");
    }
}
