//! What is said about a text: a message, labels that point into it, and what to do.

use super::Span;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Worth a look; `--strict` refuses it.
    Warning,
    /// The text cannot be used.
    Error,
}

/// One remark about a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub level: Level,
    /// A short stable name, such as `empty-range`, to look up and to test.
    pub code: &'static str,
    /// What happened: a lower-case fragment without a full stop.
    pub message: String,
    /// Where, and what is there; the first is the main one.
    pub labels: Vec<(Span, String)>,
    /// What to do about it.
    pub hints: Vec<String>,
}

impl Diagnostic {
    /// Makes an error.
    pub fn error(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            level: Level::Error,
            code,
            message: message.into(),
            labels: Vec::new(),
            hints: Vec::new(),
        }
    }

    /// Makes a warning.
    pub fn warning(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            level: Level::Warning,
            ..Self::error(code, message)
        }
    }

    /// Points at a place; the first call names the main one. An empty label is only a caret.
    #[must_use]
    pub fn at(mut self, span: Span, label: impl Into<String>) -> Self {
        self.labels.push((span, label.into()));
        self
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Adds "did you mean" if something in `known` is near `word`.
    #[must_use]
    pub fn did_you_mean<'a>(self, word: &str, known: impl IntoIterator<Item = &'a str>) -> Self {
        match nearest(word, known) {
            Some(near) => self.hint(format!("did you mean `{near}`?")),
            None => self,
        }
    }
}

/// Returns the word of `known` that `word` was most likely meant to be: a slip of the fingers away,
/// or the end of a dotted name.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower: String = word.to_lowercase().chars().take(LONGEST_WORD).collect();
    let mut best = (0.8, None);
    for candidate in known.into_iter().take(MOST_WORDS) {
        let likeness = likeness(&lower, &candidate.to_lowercase());
        if likeness > best.0 {
            best = (likeness, Some(candidate));
        }
    }
    best.1
}

/// Longer words are nobody's slip, and comparing them takes quadratic time.
const LONGEST_WORD: usize = 100;
/// More words than this are not gone through for one slip.
const MOST_WORDS: usize = 10_000;

fn likeness(word: &str, candidate: &str) -> f64 {
    if candidate.rsplit('.').next() == Some(word) {
        return 0.99;
    }
    if candidate.len() > LONGEST_WORD {
        return 0.0;
    }
    let slip = if strsim::osa_distance(word, candidate) == 1 && word.chars().count() > 2 {
        0.9
    } else {
        0.0
    };
    strsim::jaro_winkler(word, candidate).max(slip)
}

/// All that is said about one text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Diagnostics {
    /// In the order they were found.
    pub list: Vec<Diagnostic>,
}

impl Diagnostics {
    /// Adds one.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        self.list.push(diagnostic);
    }

    /// Returns whether any of them is an error.
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
    fn a_slip_of_the_fingers_finds_the_word_that_was_meant() {
        let known = [
            "learning_rate",
            "layers",
            "momentum",
            "model.width",
            "min",
            "max",
        ];
        for (word, meant) in [
            ("learning-rate", Some("learning_rate")),
            ("layer", Some("layers")),
            ("mometnum", Some("momentum")),
            ("width", Some("model.width")),
            ("mni", Some("min")),
            ("Max", Some("max")),
            ("epochs", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, known), meant, "{word}");
        }
    }
}
