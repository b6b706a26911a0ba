//! Values in the grammar of Hydra's command-line overrides.

use swath_model::space::Value;

/// Formats a value in Hydra's override grammar. Texts are quoted where Hydra would read another
/// type.
pub(super) fn value(value: &Value) -> String {
    match value {
        Value::Text(text) if is_plain_in_hydra(text) => text.to_string(),
        Value::Text(text) => hydra_quoted(text),
        Value::List(items) => {
            format!(
                "[{}]",
                items.iter().map(self::value).collect::<Vec<_>>().join(",")
            )
        }
        other => other.to_string(),
    }
}

/// Returns whether Hydra reads an unquoted text as the same text.
fn is_plain_in_hydra(text: &str) -> bool {
    // Hydra allows `_` between the digits of a number.
    let is_number = text.replace('_', "").parse::<f64>().is_ok();
    let is_word = ["true", "false", "null"].contains(&text.to_ascii_lowercase().as_str());
    !text.is_empty() && !is_number && !is_word && text.chars().all(is_plain_char_in_hydra)
}

fn is_plain_char_in_hydra(c: char) -> bool {
    c.is_ascii_alphanumeric() || "_-./+@%?|".contains(c)
}

/// Puts a text into single quotes in Hydra's grammar.
///
/// A backslash stands for itself, except in a run of backslashes before a single quote. There each
/// backslash is doubled, and the quote gets one more. The end of the text counts as such a quote.
fn hydra_quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('\'');
    let mut backslashes = 0;
    for char in text.chars() {
        if char == '\'' {
            quoted.extend(std::iter::repeat_n('\\', backslashes + 1));
        }
        backslashes = if char == '\\' { backslashes + 1 } else { 0 };
        quoted.push(char);
    }
    quoted.extend(std::iter::repeat_n('\\', backslashes));
    quoted.push('\'');
    quoted
}
