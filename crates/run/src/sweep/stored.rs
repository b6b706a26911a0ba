//! The text of a sweep file as a study stores it: without secrets.

use super::Span;
use swath_model::source::secret::{Secrets, is_secret_name, masked, placeholder, variable_of};
use swath_model::source::{Diagnostics, Node, NodeValue, Table};

/// Tables whose values are parameters or formulas, which are never redacted.
const PARAMETERS: &[&str] = &["space", "constraints", "point"];

/// Returns the text with each secret replaced by `{env:NAME}`, and logins in addresses by stars. A
/// text without secrets is returned as it is, and so is one that this function has returned.
pub(super) fn stored(text: &str) -> String {
    stored_of(text, &Table::parse(text, &mut Diagnostics::default()))
}

/// Does the same as [`stored`] for a text that is parsed already.
pub(super) fn stored_of(text: &str, table: &Table) -> String {
    let run = table.get("run").and_then(table_of);
    let env = run.and_then(|run| run.get("env")).and_then(table_of);
    let declared = run
        .and_then(|run| run.get("secret_env"))
        .map(texts_of)
        .unwrap_or_default();
    let variables = env.into_iter().flat_map(|env| &env.entries);
    let variables = variables.filter_map(|(key, node)| match &node.value {
        NodeValue::Text(value) => Some((key.name.clone(), value.clone())),
        _ => None,
    });
    let mut redaction = Redaction {
        secrets: Secrets::of_variables(variables, &declared),
        declared,
        texts: Vec::new(),
    };
    redaction.table(table, Position::Top);
    redaction.apply(text)
}

/// Adds the name of the study to a text that does not set it.
pub(super) fn named(text: String, name: &str) -> String {
    let table = Table::parse(&text, &mut Diagnostics::default());
    match (table.get("name"), serde_json::to_string(name)) {
        (None, Ok(name)) => format!("name = {name}\n{text}"),
        _ => text,
    }
}

fn table_of(node: &Node) -> Option<&Table> {
    match &node.value {
        NodeValue::Table(table) => Some(table),
        _ => None,
    }
}

/// Returns the items of a list that are texts.
fn texts_of(node: &Node) -> Vec<String> {
    let NodeValue::Array(items) = &node.value else {
        return Vec::new();
    };
    let texts = items.iter().filter_map(|item| match &item.value {
        NodeValue::Text(text) => Some(text.clone()),
        _ => None,
    });
    texts.collect()
}

/// Position of a table in the file.
#[derive(Clone, Copy, PartialEq)]
enum Position {
    Top,
    Run,
    /// `[run.env]`.
    Env,
    Parameters,
    Other,
}

impl Position {
    /// Returns the position of the table `key` in a table at this position.
    fn below(self, key: &str) -> Self {
        match (self, key) {
            (Self::Top, "run") => Self::Run,
            (Self::Run, "env") => Self::Env,
            (Self::Top, key) if PARAMETERS.contains(&key) => Self::Parameters,
            (Self::Parameters, _) => Self::Parameters,
            _ => Self::Other,
        }
    }
}

/// Replacement of a value.
enum Replacement {
    /// The value is a parameter and stays as it is.
    Parameter,
    /// Only a login in an address becomes stars.
    Masked,
    /// The new value in TOML.
    New(String),
}

/// The replacements in one sweep file.
struct Redaction {
    secrets: Secrets,
    /// Names of `secret_env`.
    declared: Vec<String>,
    /// Spans of values, with their replacements.
    texts: Vec<(Span, Replacement)>,
}

impl Redaction {
    fn table(&mut self, table: &Table, position: Position) {
        for (key, node) in &table.entries {
            self.value(&key.name, node, position);
        }
    }

    fn value(&mut self, key: &str, node: &Node, position: Position) {
        match &node.value {
            NodeValue::Table(table) => self.table(table, position.below(key)),
            NodeValue::Array(items) => self.items(key, items, position),
            NodeValue::Text(text) => {
                let redacted = self.text(key, &masked(text), position);
                self.replace(node, text, redacted, position);
            }
            _ if position == Position::Env && self.is_secret_variable(key) => {
                self.replace(node, "", placeholder(key), position);
            }
            _ => {}
        }
    }

    fn items(&mut self, key: &str, items: &[Node], position: Position) {
        let texts: Vec<String> = items
            .iter()
            .map(|item| match &item.value {
                NodeValue::Text(text) => masked(text).into_owned(),
                _ => String::new(),
            })
            .collect();
        let redacted = if position == Position::Parameters {
            texts.clone()
        } else {
            self.secrets.redact_args(&texts)
        };
        for (item, redacted) in items.iter().zip(redacted) {
            match &item.value {
                NodeValue::Text(text) => self.replace(item, text, redacted, position),
                _ => self.value(key, item, position),
            }
        }
    }

    fn text(&self, key: &str, text: &str, position: Position) -> String {
        match position {
            Position::Parameters => text.to_owned(),
            _ if text.contains("{env:") => self.secrets.redact(text).into_owned(),
            Position::Env if self.is_secret_variable(key) && !text.is_empty() => placeholder(key),
            // A key and its value are redacted like an option and its argument.
            _ => {
                let pair = self
                    .secrets
                    .redact_args(&[format!("--{key}"), text.to_owned()]);
                pair.into_iter().nth(1).unwrap_or_default()
            }
        }
    }

    fn is_secret_variable(&self, name: &str) -> bool {
        is_secret_name(name) && variable_of(name) == name
            || self.declared.iter().any(|it| it == name)
    }

    fn replace(&mut self, node: &Node, text: &str, redacted: String, position: Position) {
        let replacement = match serde_json::to_string(&redacted) {
            _ if position == Position::Parameters => Replacement::Parameter,
            Ok(value) if redacted != masked(text) => Replacement::New(value),
            _ => Replacement::Masked,
        };
        self.texts.push((node.span.clone(), replacement));
    }

    /// Returns the text with the replacements. The text between the values, such as comments, is
    /// redacted too.
    fn apply(mut self, text: &str) -> String {
        self.texts.sort_by_key(|(span, _)| span.start);
        let mut stored = String::with_capacity(text.len());
        let mut copied = 0;
        for (span, replacement) in &self.texts {
            let (Some(between), Some(value)) =
                (text.get(copied..span.start), text.get(span.clone()))
            else {
                continue;
            };
            stored.push_str(&self.secrets.redact(&masked(between)));
            match replacement {
                Replacement::Parameter => stored.push_str(value),
                Replacement::Masked => stored.push_str(&masked(value)),
                Replacement::New(value) => stored.push_str(value),
            }
            copied = span.end;
        }
        let rest = masked(text.get(copied..).unwrap_or_default());
        stored.push_str(&self.secrets.redact(&rest));
        stored
    }
}

#[cfg(test)]
mod tests {
    use super::{named, stored};

    const TOKEN: &str = "ghp_k3Fz9QwLm2Rtk3Fz9QwLm2Rtk3Fz9QwLm2Rt";

    #[test]
    fn secrets_of_a_sweep_file_become_placeholders_and_parameters_stay() {
        let text = format!(
            "# {TOKEN}\n[run]\ncommand = [\"p\", \"--token\", \"x\", \"--max_tokens=9\", \"correct horse\"]\n\
             env = {{ DB_PASSWORD = 'correct horse', PIN_TOKEN = 12, MINE = \"m\", SEED = 1 }}\n\
             secret_env = [\"MINE\"]\n[[tracker]]\nname = \"mlflow\"\nuri = \"http://me:pw@host\"\n\
             api_key = \"k\"\n[space]\nmax_tokens = [1, 2]\napi_key = [\"a\", \"{TOKEN}\"]\n"
        );
        let expected = format!(
            "# {{env:GITHUB_TOKEN}}\n[run]\ncommand = [\"p\", \"--token\", \"{{env:TOKEN}}\", \"--max_tokens=9\", \"{{env:DB_PASSWORD}}\"]\n\
             env = {{ DB_PASSWORD = \"{{env:DB_PASSWORD}}\", PIN_TOKEN = \"{{env:PIN_TOKEN}}\", MINE = \"{{env:MINE}}\", SEED = 1 }}\n\
             secret_env = [\"MINE\"]\n[[tracker]]\nname = \"mlflow\"\nuri = \"http://*****@host\"\n\
             api_key = \"{{env:API_KEY}}\"\n[space]\nmax_tokens = [1, 2]\napi_key = [\"a\", \"{TOKEN}\"]\n"
        );
        assert_eq!(stored(&text), expected);
        assert_eq!(stored(&expected), expected);
    }

    #[test]
    fn the_name_is_added_once() {
        let text = named("# about\n[space]\n".to_owned(), "a \"b\"");
        assert_eq!(text, "name = \"a \\\"b\\\"\"\n# about\n[space]\n");
        assert_eq!(named(text.clone(), "other"), text);
    }

    #[test]
    fn a_file_without_secrets_is_stored_byte_for_byte() {
        let text = "a = '''\n{env:A}'''\n[run]\nenv = { A_KEY = \"{env:B:-c}\", B = \"é\" }\n";
        assert_eq!(stored(text), text);
    }
}
