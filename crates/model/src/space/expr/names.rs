//! Names that an expression over trials may use, including names that are not words of the
//! language.

use super::lexer;
use std::collections::BTreeSet;

/// A set of names such as `lr`, `val/AR@100` and `n-estimators`.
///
/// A word consists of letters, digits, `_` and dots. The parser accepts other names without
/// backticks where no other reading is possible.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Names {
    all: BTreeSet<String>,
    /// Names that are not words, the longest first, so that the longest match wins.
    non_words: Vec<String>,
}

impl<S: Into<String>> FromIterator<S> for Names {
    fn from_iter<I: IntoIterator<Item = S>>(names: I) -> Self {
        let all: BTreeSet<String> = names.into_iter().map(Into::into).collect();
        let mut non_words: Vec<String> = all
            .iter()
            .filter(|name| !lexer::is_word(name) && !name.is_empty())
            .cloned()
            .collect();
        non_words.sort_by_key(|name| std::cmp::Reverse(name.len()));
        Self { all, non_words }
    }
}

impl Names {
    /// Returns whether the set contains a name.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.all.contains(name)
    }

    /// Iterates over all names in alphabetical order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.all.iter().map(String::as_str)
    }

    /// Returns the longest name that is not a word and is a prefix of `text`. The name must not end
    /// in the middle of a word.
    pub(super) fn non_word_prefix(&self, text: &str) -> Option<&str> {
        let mut names = self.non_words.iter().map(String::as_str);
        names.find(|name| {
            let rest = text.strip_prefix(*name);
            rest.is_some_and(|rest| {
                !(name.ends_with(lexer::continues_word) && rest.starts_with(lexer::continues_word))
            })
        })
    }
}
