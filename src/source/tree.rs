//! A TOML document as an owned tree in which every key and value keeps its span.

use super::{Diagnostic, Diagnostics, Span};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Where the value stands.
    pub span: Span,
    /// What it is.
    pub value: NodeValue,
}

/// What a TOML value can be.
#[derive(Debug, Clone, PartialEq)]
pub enum NodeValue {
    /// A string.
    Text(String),
    /// A whole number.
    Int(i64),
    /// A floating point number; may be infinite or not a number.
    Float(f64),
    /// `true` or `false`.
    Bool(bool),
    /// A date or time, as written.
    Datetime(String),
    /// A list.
    Array(Vec<Node>),
    /// A table, inline or not.
    Table(Table),
}

/// A key and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Key {
    /// The key without quotes.
    pub name: String,
    /// Where it stands.
    pub span: Span,
}

/// Keys and values in the order of the file.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Table {
    /// The entries in the order of the file.
    pub entries: Vec<(Key, Node)>,
}

impl Table {
    /// Parses a document, adding every syntax error to `diagnostics`. What could be read is returned all the same.
    pub fn parse(text: &str, diagnostics: &mut Diagnostics) -> Self {
        let (table, errors) = DeTable::parse_recoverable(text);
        for error in errors {
            let span = error.span().unwrap_or(0..0);
            diagnostics.push(Diagnostic::error("syntax", error.message().to_owned()).at(span, ""));
        }
        table_of(table.get_ref(), diagnostics)
    }

    /// Returns the value of `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Node> {
        self.entries.iter().find(|(key, _)| key.name == name).map(|(_, node)| node)
    }
}

impl NodeValue {
    /// Names the type as TOML's users know it: `an integer`, `a table`…
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "a string",
            Self::Int(_) => "an integer",
            Self::Float(_) => "a float",
            Self::Bool(_) => "a boolean",
            Self::Datetime(_) => "a date",
            Self::Array(_) => "an array",
            Self::Table(_) => "a table",
        }
    }
}

fn table_of(table: &DeTable<'_>, diagnostics: &mut Diagnostics) -> Table {
    let entries = table
        .iter()
        .map(|(key, value)| {
            let key = Key { name: key.get_ref().to_string(), span: key.span() };
            (key, node_of(value, diagnostics))
        })
        .collect();
    Table { entries }
}

fn node_of(value: &Spanned<DeValue<'_>>, diagnostics: &mut Diagnostics) -> Node {
    let span = value.span();
    let value = match value.get_ref() {
        DeValue::String(text) => NodeValue::Text(text.to_string()),
        DeValue::Boolean(flag) => NodeValue::Bool(*flag),
        DeValue::Datetime(date) => NodeValue::Datetime(date.to_string()),
        DeValue::Integer(digits) => {
            let parsed = i64::from_str_radix(digits.as_str(), digits.radix());
            NodeValue::Int(parsed.unwrap_or_else(|_| {
                let what = "this integer does not fit in 64 bits";
                diagnostics.push(Diagnostic::error("syntax", what).at(span.clone(), "too large"));
                0
            }))
        }
        DeValue::Float(digits) => {
            let parsed = digits.as_str().replace('_', "").parse();
            NodeValue::Float(parsed.unwrap_or_else(|_| {
                let what = "this is not a floating point number";
                diagnostics.push(Diagnostic::error("syntax", what).at(span.clone(), ""));
                0.0
            }))
        }
        DeValue::Array(items) => {
            NodeValue::Array(items.iter().map(|item| node_of(item, diagnostics)).collect())
        }
        DeValue::Table(table) => NodeValue::Table(table_of(table, diagnostics)),
    };
    Node { span, value }
}
