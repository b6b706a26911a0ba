//! A TOML document as an owned tree in which every key and value keeps its span.

use super::unclosed::{self, Unclosed};
use super::{Diagnostic, Diagnostics, Span};
use std::collections::HashSet;
use std::fmt::{self, Write as _};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Maximum nesting depth of tables and arrays. Bounds every recursion over a [`Node`].
const MAX_DEPTH: usize = 64;
/// Maximum number of syntax errors reported for one document. More do not help the user.
const MAX_ERRORS: usize = 100;
/// Maximum length in bytes of a value whose spelling is kept in [`Node::written`].
const LONGEST_QUOTE: usize = 200;

/// A value with its position in the file.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Byte range of the value.
    pub span: Span,
    /// The parsed value.
    pub value: NodeValue,
    /// Spelling of the value in the file, used to quote it in messages. Empty if it is longer than
    /// 200 bytes or has no text of its own.
    pub written: Box<str>,
}

/// A parsed TOML value.
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
    /// A date or time, as written in the file.
    Datetime(String),
    /// A list.
    Array(Vec<Node>),
    /// A table, written inline or under a header.
    Table(Table),
}

/// A key with its position in the file.
#[derive(Debug, Clone, PartialEq)]
pub struct Key {
    /// The key without quotes.
    pub name: String,
    /// Byte range of the key.
    pub span: Span,
}

/// A table whose entries keep the order of the file.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Table {
    /// Keys and values in the order of the file.
    pub entries: Vec<(Key, Node)>,
    /// Whether the table is written inline, in braces, instead of under a header.
    pub inline: bool,
}

impl Table {
    /// Parses a document and adds its syntax errors, at most 100, to `diagnostics`. Returns the
    /// entries that could be read even when there are errors.
    pub fn parse(text: &str, diagnostics: &mut Diagnostics) -> Self {
        let before = diagnostics.list.len();
        if let Ok(table) = DeTable::parse(text) {
            return TreeBuilder { text, diagnostics }.table(table.get_ref(), false, 0);
        }
        let unclosed = unclosed::find(text);
        for Unclosed { span, .. } in unclosed.iter().take(MAX_ERRORS) {
            let message = format!("`{}` is never closed", &text[span.clone()]);
            diagnostics.push(Diagnostic::error("syntax", message).at(span.clone(), ""));
        }
        let readable = unclosed::without(text, &unclosed);
        let (table, errors) = DeTable::parse_recoverable(&readable);
        for error in errors.iter().take(MAX_ERRORS) {
            let span = error.span().unwrap_or(0..0);
            diagnostics.push(Diagnostic::error("syntax", error.message().to_owned()).at(span, ""));
        }
        let mut builder = TreeBuilder {
            text: &readable,
            diagnostics,
        };
        let table = builder.table(table.get_ref(), false, 0);
        keep_first_of_each_line(text, before, diagnostics);
        table
    }

    /// Returns the value of the key `name`, or `None` if the table has no such key.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Node> {
        self.entries
            .iter()
            .find(|(key, _)| key.name == name)
            .map(|(_, node)| node)
    }
}

/// Removes all but the first error of each line from the diagnostics after the first `before`. The
/// parser reports one mistake several times as it tries to go on behind it.
fn keep_first_of_each_line(text: &str, before: usize, diagnostics: &mut Diagnostics) {
    let mut lines = HashSet::new();
    let mut index = 0;
    diagnostics.list.retain(|diagnostic| {
        index += 1;
        let start = diagnostic.labels.first().map_or(0, |(span, _)| span.start);
        let before_start = text.get(..start).unwrap_or(text);
        index <= before || lines.insert(before_start.rfind('\n'))
    });
}

impl NodeValue {
    /// Returns the TOML type with its article, for messages: `an integer`, `a table`…
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

impl fmt::Display for NodeValue {
    /// Writes the value as TOML on one line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(&quoted(text)),
            Self::Int(number) => number.fmt(f),
            Self::Float(number) if number.is_nan() => f.write_str("nan"),
            Self::Float(number) => write!(f, "{number:?}"),
            Self::Bool(flag) => flag.fmt(f),
            Self::Datetime(date) => f.write_str(date),
            Self::Array(items) => {
                let items: Vec<_> = items.iter().map(|item| item.value.to_string()).collect();
                write!(f, "[{}]", items.join(", "))
            }
            Self::Table(table) => {
                let entries = table.entries.iter();
                let entries: Vec<_> = entries
                    .map(|(key, node)| format!("{} = {}", quoted(&key.name), node.value))
                    .collect();
                write!(f, "{{ {} }}", entries.join(", "))
            }
        }
    }
}

/// Returns a text as a basic string of TOML.
pub(super) fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for letter in text.chars() {
        match letter {
            '"' | '\\' => quoted.extend(['\\', letter]),
            letter if letter.is_control() => {
                let _ = write!(quoted, "\\U{:08X}", u32::from(letter));
            }
            letter => quoted.push(letter),
        }
    }
    quoted.push('"');
    quoted
}

/// Converts the tree of the `toml` crate into a [`Table`] and reports numbers that do not fit.
struct TreeBuilder<'a> {
    text: &'a str,
    diagnostics: &'a mut Diagnostics,
}

impl TreeBuilder<'_> {
    /// Converts a table with all its entries.
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

    /// Converts a value. A number that does not fit is reported and becomes 0.
    fn node(&mut self, value: &Spanned<DeValue<'_>>, depth: usize) -> Node {
        let span = value.span();
        let written = self.text.get(span.clone()).unwrap_or_default();
        // The placeholder keeps the key, so that it is not also reported as missing.
        if depth > MAX_DEPTH {
            let message = format!("this is nested more than {MAX_DEPTH} deep");
            self.diagnostics
                .push(Diagnostic::error("syntax", message).at(span.clone(), ""));
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
                    let message = "this integer does not fit in 64 bits";
                    self.diagnostics
                        .push(Diagnostic::error("syntax", message).at(span.clone(), "too large"));
                    0
                }))
            }
            DeValue::Float(digits) => {
                let parsed = digits.as_str().replace('_', "").parse();
                NodeValue::Float(parsed.unwrap_or_else(|_| {
                    let message = "this is not a floating point number";
                    self.diagnostics
                        .push(Diagnostic::error("syntax", message).at(span.clone(), ""));
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
        let [a, c] = ["a", "c"].map(|name| &table.get(name).unwrap().value);
        assert!(matches!(a, NodeValue::Table(inner) if inner.inline));
        assert!(matches!(c, NodeValue::Table(inner) if !inner.inline));
    }

    #[test]
    fn a_value_that_is_written_as_toml_is_read_as_the_same_value() {
        let text =
            "a = 'x\"\\\\\ty'\nb = [1, 2.5e300, inf]\nc = { \"d e\" = true, f = { g = \"é\" } }";
        let (table, diagnostics) = parse(text);
        assert_eq!(diagnostics, Diagnostics::default());
        for (key, node) in &table.entries {
            let (again, diagnostics) = parse(&format!("{} = {}", key.name, node.value));
            assert_eq!(diagnostics, Diagnostics::default(), "{}", node.value);
            let again = &again.get(&key.name).unwrap().value;
            assert_eq!(again.to_string(), node.value.to_string());
        }
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
    fn one_mistake_of_syntax_is_one_error_where_it_was_made() {
        let before = "[run]\ngrace = \"1s\"\n";
        let after = "\nsetup = [\"a\"]\n\n[space] # ]\nx = [1, 2]\ny = \"]\"\n";
        for (line, position) in [
            ("command = [\"python\", \"t.py\"", 10),
            ("command = [\"python\",\n  \"t.py\",\n", 10),
            ("rows = [[1, 2], [3]", 7),
            ("rows = [[1, 2], [3", 16),
            ("x = { min = 1, max = 2", 4),
            ("x = { a = [1, 2 }", 10),
            ("command = [\"a]", 11),
            ("name = \"a", 7),
            ("name = 'a", 7),
            ("name = \"\"\"a\n b", 7),
            ("name = '''a", 7),
            ("x = [1, 2]]", 10),
            ("x = { min = 1 max = 2 log = true }", 18),
            ("name \"a\"", 5),
            ("name =", 6),
            ("grace = 3", 0),
            ("x = 3 y = 2", 8),
            ("x = [adam, sgd]", 5),
            ("x = 1e", 6),
            ("[limits", 7),
        ] {
            let text = format!("{before}{line}{after}");
            let (table, diagnostics) = parse(&text);
            let spans: Vec<_> = diagnostics
                .list
                .iter()
                .map(|error| error.labels[0].0.start - before.len())
                .collect();
            assert_eq!(spans, [position], "{line}\n{diagnostics:#?}");
            if diagnostics.list[0].message.ends_with("never closed") {
                let Some(NodeValue::Table(space)) = table.get("space").map(|node| &node.value)
                else {
                    panic!("{line}: the other tables are read");
                };
                assert_eq!(space.entries.len(), 2, "{line}");
            }
        }
    }

    #[test]
    fn closed_brackets_and_quotes_are_no_mistake() {
        for text in [
            "a = [\n  \"x = [\", # [\n  'y',\n]\nb = 1",
            "a = { b = 1,\n  c = [\n[1],\n[true],\n] }",
            "a = \"\"\"\nb = [\n[c]\n\"\"\"\"\"\nd = '''\n\"'''",
            "a = \"\\\"[\"\nb = ''\nc = \"\"",
        ] {
            assert_eq!(parse(text).1, Diagnostics::default(), "{text}");
        }
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
