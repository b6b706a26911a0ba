//! A configuration file of the user, of which copies with other values are made. Everything else
//! stays byte for byte as it is.

use super::tree::{Lookup, Node, NodeKind};
use super::value::Syntax;
use super::{json, toml, yaml};
use std::ops::Range;
use std::path::Path;
use swath_model::space::Value;
use toml_edit::DocumentMut;

/// A parsed configuration file.
#[derive(Debug, Clone)]
pub(super) enum Document {
    Text {
        text: String,
        root: Node,
        syntax: Syntax,
    },
    Toml(Box<DocumentMut>),
}

/// A value to be set.
pub(super) struct Change<'a> {
    /// Dotted path.
    pub(super) path: &'a str,
    pub(super) value: &'a Value,
}

/// Answer to the question whether a path can be set.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// It holds a value that can be replaced.
    Value,
    /// It does not exist.
    Missing,
    /// It cannot be set; holds the reason.
    Fixed(String),
}

/// Reason why a table cannot be set.
const WHOLE_TABLE: &str = "it is a whole table";

impl Document {
    /// Parses a file by the ending of its name.
    ///
    /// # Errors
    /// The reason why it cannot be used.
    pub(super) fn parse(path: &Path, text: String) -> Result<Self, String> {
        let extension = path.extension().unwrap_or_default().to_string_lossy();
        let (root, syntax) = match extension.to_ascii_lowercase().as_str() {
            "yaml" | "yml" => (yaml::parse(&text)?, Syntax::Yaml),
            "json" => (json::parse(&text)?, Syntax::Json),
            "toml" => {
                let document: DocumentMut = text
                    .parse()
                    .map_err(|error: toml_edit::TomlError| error.to_string())?;
                return Ok(Self::Toml(Box::new(document)));
            }
            _ => return Err("its name ends in none of .yaml, .yml, .json and .toml".to_owned()),
        };
        Ok(Self::Text { text, root, syntax })
    }

    /// Returns the paths of all values.
    pub(super) fn paths(&self) -> Vec<String> {
        let mut paths = Vec::new();
        match self {
            Self::Text { root, .. } => root.paths("", &mut paths),
            Self::Toml(document) => toml::paths(document.as_item(), "", &mut paths),
        }
        paths
    }

    /// Returns the text of a value; `None` for a list or a table.
    pub(super) fn text(&self, path: &str) -> Option<String> {
        let text = match self {
            Self::Text { text, root, .. } => match root.look_up(path) {
                Lookup::Found(node) if node.kind == NodeKind::Scalar => {
                    text.get(node.span.clone())?.to_owned()
                }
                _ => return None,
            },
            Self::Toml(document) => {
                let mut item = document.as_item().clone();
                let keys = toml::keys_of(&item, path)?;
                let value = toml::value_at(&mut item, &keys)?.as_value_mut()?;
                // Its decoration is the comment behind it.
                value.decor_mut().clear();
                value.to_string()
            }
        };
        Some(text.trim().to_owned())
    }

    /// Returns whether a path can be set.
    pub(super) fn target(&self, path: &str) -> Target {
        match self {
            Self::Text { root, .. } => match root.look_up(path) {
                Lookup::Missing(node, _) if node.kind == NodeKind::Alias => {
                    Target::Fixed("it is in a table that the file repeats by an alias".to_owned())
                }
                Lookup::Missing(..) => Target::Missing,
                Lookup::Found(node) if matches!(node.kind, NodeKind::Map { .. }) => {
                    Target::Fixed(WHOLE_TABLE.to_owned())
                }
                Lookup::Found(node) if node.is_repeated => Target::Fixed(
                    "the file repeats it by an alias, so other values would change too".to_owned(),
                ),
                Lookup::Found(_) => Target::Value,
            },
            Self::Toml(document) => {
                let item = document.as_item();
                match toml::keys_of(item, path) {
                    None => Target::Missing,
                    Some(keys) => match toml::is_table(item, &keys) {
                        true => Target::Fixed(WHOLE_TABLE.to_owned()),
                        false => Target::Value,
                    },
                }
            }
        }
    }

    /// Returns the text with other values. Values whose path does not exist are added.
    ///
    /// # Errors
    /// The path that cannot be set.
    pub(super) fn with<'a>(&self, changes: &[Change<'a>]) -> Result<String, &'a str> {
        match self {
            Self::Toml(document) => {
                let mut document = (**document).clone();
                for change in changes {
                    match toml::keys_of(document.as_item(), change.path) {
                        Some(keys) => toml::value_at(document.as_item_mut(), &keys)
                            .map(|item| toml::replace(item, change.value))
                            .ok_or(change.path)?,
                        None if toml::add(&mut document, change.path, change.value) => {}
                        None => return Err(change.path),
                    }
                }
                Ok(document.to_string())
            }
            Self::Text { text, syntax, .. } => {
                // One after the other, since an added value may lie within a value added before.
                let mut text = text.clone();
                for change in changes {
                    let root = match syntax {
                        Syntax::Yaml => yaml::parse(&text),
                        Syntax::Json => json::parse(&text),
                    };
                    let root = root.map_err(|_| change.path)?;
                    let (span, new) = edit(&text, &root, *syntax, change).ok_or(change.path)?;
                    text.replace_range(span, &new);
                }
                Ok(text)
            }
        }
    }
}

/// Returns the bytes to be replaced for a change, and the text to put there; `None` if the path
/// cannot be set.
fn edit(
    text: &str,
    root: &Node,
    syntax: Syntax,
    change: &Change<'_>,
) -> Option<(Range<usize>, String)> {
    let value = syntax.value(change.value);
    match root.look_up(change.path) {
        Lookup::Found(node) if matches!(node.kind, NodeKind::Map { .. }) => None,
        // Written as nothing: the value follows the colon.
        Lookup::Found(node) if node.span.is_empty() => {
            Some((node.span.clone(), format!(" {value}")))
        }
        Lookup::Found(node) => Some((node.span.clone(), indented(text, node, value))),
        Lookup::Missing(parent, rest) => addition(text, parent, syntax, rest, &value),
    }
}

/// Indents the value of a list that begins a line where its key does, which only a list with dashes
/// may do.
fn indented(text: &str, node: &Node, value: String) -> String {
    let begins_line = text[..node.span.start]
        .rsplit('\n')
        .next()
        .is_some_and(|before| before.trim().is_empty());
    let has_dashes = text[node.span.clone()].starts_with('-');
    match matches!(node.kind, NodeKind::List(_)) && begins_line && has_dashes {
        true => format!("  {value}"),
        false => value,
    }
}

/// Returns the place and the text of a value that the file does not have yet.
fn addition(
    text: &str,
    parent: &Node,
    syntax: Syntax,
    path: &str,
    value: &str,
) -> Option<(Range<usize>, String)> {
    let mut keys: Vec<&str> = path.split('.').collect();
    let first = keys.remove(0);
    // Tables between the parent and the value are made on the same line.
    let nested = keys.iter().rev().fold(value.to_owned(), |value, key| {
        format!("{{{}: {value}}}", syntax.key(key))
    });
    let entry = format!("{}: {nested}", syntax.key(first));
    let NodeKind::Map { entries, is_flow } = &parent.kind else {
        // An empty YAML file is no table yet.
        let is_empty_file = syntax == Syntax::Yaml
            && parent.kind == NodeKind::Scalar
            && parent.span.is_empty()
            && parent.span.end == text.len();
        let line_end = if text.is_empty() || text.ends_with('\n') {
            ""
        } else {
            "\n"
        };
        return is_empty_file.then(|| (parent.span.clone(), format!("{line_end}{entry}\n")));
    };
    let Some(last) = entries.last() else {
        // Behind the opening brace.
        let inside = parent.span.start + 1;
        return Some((inside..inside, entry));
    };
    let indent = indent_of(text, entries[0].key_span.start);
    let end = last.value.span.end.max(last.key_span.end);
    match (is_flow, indent) {
        (true, None) => Some((end..end, format!(", {entry}"))),
        (true, Some(indent)) => Some((end..end, format!(",\n{indent}{entry}"))),
        (false, indent) => {
            let line_end = text[end..].find('\n').map_or(text.len(), |to| end + to);
            let indent = indent.map_or_else(
                // A map within a list begins behind its dash.
                || " ".repeat(column(text, entries[0].key_span.start)),
                str::to_owned,
            );
            Some((line_end..line_end, format!("\n{indent}{entry}")))
        }
    }
}

/// Returns the blanks before a position if it begins a line.
fn indent_of(text: &str, position: usize) -> Option<&str> {
    let start = text[..position].rfind('\n').map_or(0, |end| end + 1);
    let before = &text[start..position];
    (before.trim().is_empty() && (start > 0 || position == 0)).then_some(before)
}

/// Returns the number of characters of the line before a position.
fn column(text: &str, position: usize) -> usize {
    let start = text[..position].rfind('\n').map_or(0, |end| end + 1);
    text[start..position].chars().count()
}

#[cfg(test)]
mod tests;
