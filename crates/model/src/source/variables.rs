//! `{env:NAME}` and `{env:NAME:-default}` in texts of a sweep file: variables of the caller.
//!
//! A sweep file that is stored or shared names a secret in this way instead of containing it.

use std::borrow::Cow;

/// A reference to a variable of the caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable {
    /// Name of the variable.
    pub name: String,
    /// Value if the variable is not set.
    pub default: Option<String>,
}

/// The variable `name` is not set, and its placeholder has no default.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the environment variable `{name}` is not set")]
pub struct Unset {
    /// Name of the variable.
    pub name: String,
}

impl Variable {
    /// Parses the inside of a placeholder, such as `env:NAME:-default`. Returns `None` if it is
    /// another placeholder.
    #[must_use]
    pub fn parse(inside: &str) -> Option<Self> {
        let rest = inside.strip_prefix("env:")?;
        let (name, default) = match rest.split_once(":-") {
            Some((name, default)) => (name, Some(default.to_owned())),
            None => (rest, None),
        };
        let is_name = name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        is_name.then(|| Self {
            name: name.to_owned(),
            default,
        })
    }

    /// Returns the value of the variable.
    ///
    /// # Errors
    /// If it is not set and has no default.
    pub fn value(&self, lookup: impl Fn(&str) -> Option<String>) -> Result<String, Unset> {
        lookup(&self.name)
            .or_else(|| self.default.clone())
            .ok_or_else(|| Unset {
                name: self.name.clone(),
            })
    }
}

/// Replaces all placeholders for variables in a text. Other braces stay as they are.
///
/// # Errors
/// If a variable is not set and has no default.
pub fn fill(text: &str, lookup: impl Fn(&str) -> Option<String>) -> Result<Cow<'_, str>, Unset> {
    let mut filled = String::new();
    let mut copied = 0;
    let mut from = 0;
    while let Some(distance) = text[from..].find("{env:") {
        let start = from + distance;
        from = start + 1;
        let Some(length) = text[start..].find('}') else {
            break;
        };
        if let Some(variable) = Variable::parse(&text[start + 1..start + length]) {
            filled.push_str(&text[copied..start]);
            filled.push_str(&variable.value(&lookup)?);
            copied = start + length + 1;
            from = copied;
        }
    }
    if copied == 0 {
        return Ok(text.into());
    }
    filled.push_str(&text[copied..]);
    Ok(filled.into())
}

/// Replaces the placeholders in each text of a command by the variables of this process.
///
/// # Errors
/// If a variable is not set and has no default.
pub fn fill_all(texts: &[String]) -> Result<Vec<String>, Unset> {
    texts
        .iter()
        .map(|text| fill(text, |name| std::env::var(name).ok()).map(Cow::into_owned))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{Unset, fill};

    #[test]
    fn variables_are_filled_in_and_other_braces_stay() {
        let lookup = |name: &str| (name == "A").then(|| "{env:B}".to_owned());
        for (text, expected) in [
            ("x{env:A}y", "x{env:B}y"),
            ("{env:B:-}{env:B:-a:-b}", "a:-b"),
            ("{\"a\": {env:1}} {env:", "{\"a\": {env:1}} {env:"),
        ] {
            assert_eq!(fill(text, lookup).unwrap(), expected);
        }
        let unset = Unset { name: "B".into() };
        assert_eq!(fill("{env:A} {env:B}", lookup), Err(unset));
    }
}
