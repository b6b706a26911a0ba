//! Text with positions: what a person wrote, and where.
//!
//! A [`Source`] is a named text; a [`Span`] a byte range in it. [`tree`] is a TOML document in which every key and
//! value keeps its span, [`section`] a table of it that is taken apart key by key, [`diagnostic`] what is said about
//! any of it, and [`render`] how that looks on a terminal. Nothing here knows what a sweep is.

pub mod diagnostic;
pub mod render;
pub mod section;
pub mod tree;

pub use diagnostic::{Diagnostic, Diagnostics, Level};
pub use section::Section;
pub use tree::{Key, Node, NodeValue, Table};

/// A byte range in a [`Source`].
pub type Span = std::ops::Range<usize>;

/// A named text, usually a sweep file.
#[derive(Debug, Clone)]
pub struct Source {
    /// What to call it in messages: the path as the user gave it.
    pub name: String,
    /// The whole text.
    pub text: String,
}

impl Source {
    /// Returns the 1-based line and column (in characters) of a byte offset.
    #[must_use]
    pub fn position(&self, offset: usize) -> (usize, usize) {
        let mut offset = offset.min(self.text.len());
        while !self.text.is_char_boundary(offset) {
            offset -= 1;
        }
        let before = &self.text[..offset];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
    }
}
