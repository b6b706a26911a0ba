//! Texts outside of the command: `env`, `workdir`, `setup`, `data_dir`, `prelude`.
//!
//! They know the same placeholders. Such texts often have braces of their own, as in JSON or in
//! shell scripts, so a brace that is no placeholder stays as it is. `{{lr}}` is the text `{lr}`,
//! and `${lr}` belongs to a shell.

use super::parse::is_word;
use super::piece::{Piece, fill_variables, text_of};
use super::{Fill, Names};
use swath_engine::executor::{Scope, Text};
use swath_model::source::Span;
use swath_model::source::variables::Unset;

/// A text with placeholders among other text.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct FreeText {
    pieces: Vec<Piece>,
}

/// Something between braces that looks like a placeholder and is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UnknownPlaceholder {
    /// The text between the braces.
    pub(crate) name: String,
    /// Span of the placeholder in the text.
    pub(crate) span: Span,
}

impl FreeText {
    /// Reads a text. Also returns what looks like a placeholder and is none.
    pub(crate) fn parse(text: &str, names: &Names) -> (Self, Vec<UnknownPlaceholder>) {
        let mut pieces = Vec::new();
        let mut unknown = Vec::new();
        let mut copied = 0;
        let mut from = 0;
        while let Some(distance) = text[from..].find('{') {
            let brace = from + distance;
            from = brace + 1;
            let Some(length) = text[from..].find(['{', '}']) else {
                break;
            };
            let end = from + length;
            if !text[end..].starts_with('}') || text[..brace].ends_with('$') {
                continue;
            }
            let inside = &text[from..end];
            let is_doubled = text[..brace].ends_with('{') && text[end + 1..].starts_with('}');
            match Piece::named(inside, names) {
                Some(_) if is_doubled => {
                    push_literal(&mut pieces, &text[copied..brace]);
                    push_literal(&mut pieces, &text[from..=end]);
                    copied = end + 2;
                }
                Some(piece) => {
                    push_literal(&mut pieces, &text[copied..brace]);
                    pieces.push(piece);
                    copied = end + 1;
                }
                None if is_word(inside) && !is_doubled => unknown.push(UnknownPlaceholder {
                    name: inside.to_owned(),
                    span: brace..end + 1,
                }),
                None => {}
            }
            from = copied.max(from);
        }
        push_literal(&mut pieces, &text[copied..]);
        (Self { pieces }, unknown)
    }

    /// Returns whether the text differs between trials.
    pub(crate) fn is_of_trial(&self) -> bool {
        self.first_of_trial().is_some()
    }

    /// Returns the name of the first placeholder whose value differs between trials.
    pub(crate) fn first_of_trial(&self) -> Option<&str> {
        self.pieces
            .iter()
            .find(|piece| piece.is_of_trial())
            .map(|piece| match piece {
                Piece::Param(name) | Piece::Element(name, _) => &**name,
                Piece::BuiltIn(built_in) => built_in.name,
                Piece::Prepared(_) => "prepare",
                _ => "config",
            })
    }

    /// Returns whether no value of a trial is in the text except for this built-in.
    pub(crate) fn has_only(&self, built_in: &str) -> bool {
        self.pieces
            .iter()
            .all(|piece| !piece.is_of_trial() || piece.is_built_in(built_in))
    }

    /// Returns whether the value of a placeholder is known only where the attempt starts.
    pub(crate) fn needs_slot(&self) -> bool {
        self.pieces
            .iter()
            .any(|piece| matches!(piece, Piece::BuiltIn(built_in) if built_in.scope == Scope::Slot))
    }

    /// Returns whether the text names this built-in.
    pub(crate) fn uses(&self, built_in: &str) -> bool {
        self.pieces.iter().any(|piece| piece.is_built_in(built_in))
    }

    /// Returns whether the text names this parameter, or the file with all parameters.
    pub(crate) fn receives(&self, name: &str) -> bool {
        self.pieces
            .iter()
            .any(|piece| piece.is_param(name) || piece.is_built_in("params"))
    }

    /// Returns whether the text names the configuration file with this key.
    pub(crate) fn uses_config(&self, key: &str) -> bool {
        self.pieces
            .iter()
            .any(|piece| matches!(piece, Piece::Config(other) if other == key))
    }

    /// Replaces the variables of the caller by their values.
    ///
    /// # Errors
    /// If a variable is not set and has no default.
    pub(crate) fn fill(&mut self, lookup: &dyn Fn(&str) -> Option<String>) -> Result<(), Unset> {
        fill_variables(&mut self.pieces, lookup)
    }

    /// Returns the text for an attempt; `None` if a placeholder has no value.
    #[must_use]
    pub fn render(&self, fill: &Fill<'_>) -> Option<Text> {
        text_of(&self.pieces, fill)
    }
}

/// Appends a literal. Its braces before a doubled placeholder lose one.
fn push_literal(pieces: &mut Vec<Piece>, text: &str) {
    if text.is_empty() {
        return;
    }
    match pieces.last_mut() {
        Some(Piece::Literal(last)) => last.push_str(text),
        _ => pieces.push(Piece::Literal(text.to_owned())),
    }
}
