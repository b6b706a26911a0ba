//! Errors and warnings about a text: a message, labels that point into the text, and hints.

use super::Span;

/// Severity of a diagnostic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// The text can be used but is probably not meant so. `--strict` treats it as an error.
    Warning,
    /// The text cannot be used.
    Error,
}

/// One error or warning about a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// Severity.
    pub level: Level,
    /// Short stable identifier, such as `empty-range`, for searches and tests.
    pub code: &'static str,
    /// Description of the problem: a lower-case fragment without a full stop.
    pub message: String,
    /// Spans with their explanations. The first one is the primary label.
    pub labels: Vec<(Span, String)>,
    /// Suggested remedies, one sentence each.
    pub hints: Vec<String>,
}

impl Diagnostic {
    /// Makes an error without labels or hints.
    pub fn error(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            level: Level::Error,
            code,
            message: message.into(),
            labels: Vec::new(),
            hints: Vec::new(),
        }
    }

    /// Makes a warning without labels or hints.
    pub fn warning(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            level: Level::Warning,
            ..Self::error(code, message)
        }
    }

    /// Adds a label. The first call sets the primary label. An empty text shows only a caret.
    #[must_use]
    pub fn at(mut self, span: Span, label: impl Into<String>) -> Self {
        self.labels.push((span, label.into()));
        self
    }

    /// Adds a suggested remedy.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Adds the hint "did you mean" if one of the `candidates` is similar to `word`.
    #[must_use]
    pub fn did_you_mean<'a>(
        self,
        word: &str,
        candidates: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        match nearest(word, candidates) {
            Some(near) => self.hint(format!("did you mean `{near}`?")),
            None => self,
        }
    }
}

/// Returns the candidate that `word` is most likely a misspelling of, or `None` if none is
/// similar enough. The last part of a dotted name counts as similar, and so does a single typing
/// error.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower: String = word.to_lowercase().chars().take(LONGEST_WORD).collect();
    let mut best = (0.8, None);
    for candidate in candidates.into_iter().take(MAX_CANDIDATES) {
        let similarity = similarity(&lower, &candidate.to_lowercase());
        if similarity > best.0 {
            best = (similarity, Some(candidate));
        }
    }
    best.1
}

/// Maximum number of characters of a word that is compared. A longer word is no typing error, and
/// the comparison takes quadratic time.
const LONGEST_WORD: usize = 100;
/// Maximum number of candidates that are compared with one word.
const MAX_CANDIDATES: usize = 10_000;

/// Returns the similarity of two lower-case words, from 0 to 1.
fn similarity(word: &str, candidate: &str) -> f64 {
    // The user left out the groups of a dotted name.
    if candidate.rsplit('.').next() == Some(word) {
        return 0.99;
    }
    if candidate.len() > LONGEST_WORD {
        return 0.0;
    }
    // Jaro-Winkler rates one typing error in a short word below the threshold, so it is raised
    // here.
    let after_one_error = if strsim::osa_distance(word, candidate) == 1 && word.chars().count() > 2
    {
        0.9
    } else {
        0.0
    };
    strsim::jaro_winkler(word, candidate).max(after_one_error)
}

/// All diagnostics about one text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Diagnostics {
    /// Diagnostics in the order in which they were found.
    pub list: Vec<Diagnostic>,
}

impl Diagnostics {
    /// Appends a diagnostic.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        self.list.push(diagnostic);
    }

    /// Returns whether at least one diagnostic is an error.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.list
            .iter()
            .any(|diagnostic| diagnostic.level == Level::Error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typing_error_finds_the_similar_word_and_other_words_find_none() {
        let candidates = [
            "learning_rate",
            "layers",
            "momentum",
            "model.width",
            "min",
            "max",
        ];
        for (word, expected) in [
            ("learning-rate", Some("learning_rate")),
            ("layer", Some("layers")),
            ("mometnum", Some("momentum")),
            ("width", Some("model.width")),
            ("mni", Some("min")),
            ("Max", Some("max")),
            ("epochs", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, candidates), expected, "{word}");
        }
    }
}
