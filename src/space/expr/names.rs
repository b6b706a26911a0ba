//! The names that an expression over trials may use, also those that are no words of the language.

use super::lexer;
use std::collections::BTreeSet;

/// Names such as `lr`, `val/AR@100` and `n-estimators`.
///
/// The parser takes a name that is not a word (letters, digits, `_` and dots) as it stands where no
/// other reading is possible.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Names {
    all: BTreeSet<String>,
    /// Those that are not words, the longest first.
    odd: Vec<String>,
}

impl<S: Into<String>> FromIterator<S> for Names {
    fn from_iter<I: IntoIterator<Item = S>>(names: I) -> Self {
        let all: BTreeSet<String> = names.into_iter().map(Into::into).collect();
        let mut odd: Vec<String> = all
            .iter()
            .filter(|name| !lexer::is_word(name) && !name.is_empty())
            .cloned()
            .collect();
        odd.sort_by_key(|name| std::cmp::Reverse(name.len()));
        Self { all, odd }
    }
}

impl Names {
    /// Returns whether a name is one of these.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.all.contains(name)
    }

    /// Iterates over all names in alphabetical order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.all.iter().map(String::as_str)
    }

    /// Returns the longest name that is not a word and with which a text begins.
    pub(super) fn odd_at_start_of(&self, text: &str) -> Option<&str> {
        let in_word = |c: char| c.is_alphanumeric() || c == '_';
        let ends_there =
            |name: &str| !(name.ends_with(in_word) && text[name.len()..].starts_with(in_word));
        let mut names = self.odd.iter().map(String::as_str);
        names.find(|name| text.starts_with(*name) && ends_there(name))
    }
}
