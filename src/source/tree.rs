//! A TOML document as an owned tree in which every key and value keeps its span.

use super::{Diagnostic, Diagnostics, Span};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Tables and arrays may be nested this deep; bounds every recursion over a [`Node`].
const DEEPEST: usize = 64;
/// More syntax errors than this help nobody.
const MOST_ERRORS: usize = 100;
/// Values up to this many bytes keep their spelling.
const LONGEST_QUOTE: usize = 200;

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Where the value stands.
    pub span: Span,
    /// What it is.
    pub value: NodeValue,
    /// How it is written in the file, to be shown again as the user knows it; empty if that is long
    /// or unknown.
    pub written: Box<str>,
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
    /// Whether it is written in braces rather than under a header.
    pub inline: bool,
}

impl Table {
    /// Parses a document, adding every syntax error to `diagnostics`. What could be read is
    /// returned all the same.
    pub fn parse(text: &str, diagnostics: &mut Diagnostics) -> Self {
        let (table, errors) = DeTable::parse_recoverable(text);
        for error in errors.iter().take(MOST_ERRORS) {
            let span = error.span().unwrap_or(0..0);
            diagnostics.push(Diagnostic::error("syntax", error.message().to_owned()).at(span, ""));
        }
        Reader { text, diagnostics }.table(table.get_ref(), false, 0)
    }

    /// Returns the value of `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Node> {
        self.entries
            .iter()
            .find(|(key, _)| key.name == name)
            .map(|(_, node)| node)
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

/// Copies the parser's tree into ours.
struct Reader<'a> {
    text: &'a str,
    diagnostics: &'a mut Diagnostics,
}

impl Reader<'_> {
    fn table(&mut self, table: &DeTable<'_>, inline: bool, depth: usize) -> Table {
        let entries = table
            .iter()
            .map(|(key, value)| {
                let key = Key {
                    name: key.get_ref().to_string(),
                    span: key.span(),
                };
                (key, self.node(value, depth + 1))
            })
            .collect();
        Table { entries, inline }
    }

    fn node(&mut self, value: &Spanned<DeValue<'_>>, depth: usize) -> Node {
        let span = value.span();
        let written = self.text.get(span.clone()).unwrap_or_default();
        if depth > DEEPEST {
            let what = format!("this is nested more than {DEEPEST} deep");
            self.diagnostics
                .push(Diagnostic::error("syntax", what).at(span.clone(), ""));
            return Node {
                span,
                value: NodeValue::Bool(false),
                written: Box::default(),
            };
        }
        let inline = written.starts_with('{');
        let value = match value.get_ref() {
            DeValue::String(text) => NodeValue::Text(text.to_string()),
            DeValue::Boolean(flag) => NodeValue::Bool(*flag),
            DeValue::Datetime(date) => NodeValue::Datetime(date.to_string()),
            DeValue::Integer(digits) => {
                let parsed = i64::from_str_radix(digits.as_str(), digits.radix());
                NodeValue::Int(parsed.unwrap_or_else(|_| {
                    let what = "this integer does not fit in 64 bits";
                    self.diagnostics
                        .push(Diagnostic::error("syntax", what).at(span.clone(), "too large"));
                    0
                }))
            }
            DeValue::Float(digits) => {
                let parsed = digits.as_str().replace('_', "").parse();
                NodeValue::Float(parsed.unwrap_or_else(|_| {
                    let what = "this is not a floating point number";
                    self.diagnostics
                        .push(Diagnostic::error("syntax", what).at(span.clone(), ""));
                    0.0
                }))
            }
            DeValue::Array(items) => NodeValue::Array(
                items
                    .iter()
                    .map(|item| self.node(item, depth + 1))
                    .collect(),
            ),
            DeValue::Table(table) => NodeValue::Table(self.table(table, inline, depth)),
        };
        let written = if written.len() <= LONGEST_QUOTE {
            written.into()
        } else {
            Box::default()
        };
        Node {
            span,
            value,
            written,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> (Table, Diagnostics) {
        let mut diagnostics = Diagnostics::default();
        (Table::parse(text, &mut diagnostics), diagnostics)
    }

    #[test]
    fn order_spans_and_spelling_are_kept() {
        let (table, diagnostics) = parse("b = 1e-1\na = { x = 0x10 }\n[c]\n");
        assert_eq!(diagnostics, Diagnostics::default());
        let names: Vec<_> = table
            .entries
            .iter()
            .map(|(key, _)| key.name.as_str())
            .collect();
        assert_eq!(names, ["b", "a", "c"]);
        let b = table.get("b").unwrap();
        assert_eq!(
            (b.span.clone(), &*b.written, &b.value),
            (4..8, "1e-1", &NodeValue::Float(0.1))
        );
        let inline = |name| matches!(&table.get(name).unwrap().value, NodeValue::Table(table) if table.inline);
        assert!(inline("a") && !inline("c"));
    }

    #[test]
    fn all_syntax_errors_are_found_at_once() {
        let (table, diagnostics) = parse("a = \nb = 2\nb = 3\nc = 99999999999999999999\n");
        assert_eq!(diagnostics.list.len(), 3, "{diagnostics:#?}");
        assert_eq!(
            table.get("b").map(|node| &node.value),
            Some(&NodeValue::Int(2))
        );
    }

    #[test]
    fn nesting_is_bounded() {
        for text in [
            format!("a = {}", "[".repeat(100_000)),
            format!("a = {}", "{b=".repeat(100_000)),
            format!("{} = 1", vec!["a"; 20_000].join(".")),
            format!("[{}]", vec!["a"; 20_000].join(".")),
            format!("a = {{{} = 1}}", vec!["a"; 20_000].join(".")),
        ] {
            assert!(parse(&text).1.has_errors(), "{}", &text[..20]);
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(text in any::<String>()) {
            parse(&text);
        }
    }
}
