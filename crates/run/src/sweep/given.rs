//! Configurations given by the user while a study runs. They are checked like a `[[point]]`.

use super::Rejected;
use swath_model::source::{Diagnostics, Section, Source, Table};
use swath_model::space::{Digits, Params, Space, Value};

/// Reads one configuration as the lines of a `[[point]]`, or a document with one or more
/// `[[point]]` tables. Each is checked as far as its values determine it.
///
/// # Errors
/// All mistakes in the text.
pub fn given(space: &Space, source: Source, digits: Digits) -> Result<Vec<Params>, Rejected> {
    let mut diagnostics = Diagnostics::default();
    let table = Table::parse(&source.text, &mut diagnostics);
    let mut file = Section::new("", 0..source.text.len(), table);
    let points = super::parse::points_of(&mut file, &mut diagnostics);
    let read = match points {
        Some(points) => {
            file.finish(&mut diagnostics);
            points
                .into_iter()
                .filter_map(|point| space.parse_point(point, digits, &mut diagnostics))
                .collect()
        }
        // Without a `[[point]]` the whole document is one configuration.
        None => space
            .parse_point(file, digits, &mut diagnostics)
            .into_iter()
            .collect(),
    };
    if diagnostics.has_errors() {
        Err(Rejected {
            source,
            diagnostics,
        })
    } else {
        Ok(read)
    }
}

/// Formats parameters as lines of TOML that [`given`] reads. The values are TOML already.
#[must_use]
pub fn lines<'a>(params: impl IntoIterator<Item = (&'a str, String)>) -> String {
    params
        .into_iter()
        .map(|(name, value)| format!("{} = {value}\n", quoted(name)))
        .collect()
}

/// Formats a value as TOML.
#[must_use]
pub fn literal(value: &Value) -> String {
    match value {
        Value::Text(text) => quoted(text),
        Value::Float(number) => format!("{number:?}"),
        Value::List(items) => format!(
            "[{}]",
            items.iter().map(literal).collect::<Vec<_>>().join(", ")
        ),
        other => other.to_string(),
    }
}

/// Converts a value typed after `name=` to TOML. A number, boolean, list or quoted text is already
/// TOML; any other word becomes a string.
#[must_use]
pub fn word(text: &str) -> String {
    let literal = format!("x = {text}");
    // A text with a line break could contain further keys.
    if !text.contains('\n')
        && literal
            .parse::<toml::Table>()
            .is_ok_and(|table| table.len() == 1)
    {
        text.to_owned()
    } else {
        quoted(text)
    }
}

/// Formats a text as a TOML basic string. Its escapes are those of JSON, except for DEL.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text)
        .to_string()
        .replace('\u{7f}', "\\u007f")
}
