//! Text with positions: the parsing layer below the sweep file.
//!
//! A [`Source`] is a named text and a [`Span`] a byte range in it. [`tree`] parses TOML into a tree
//! in which every key and value keeps its span. [`section`] reads one table of that tree key by
//! key, and [`opt`] declares the keys that a table takes. [`diagnostic`] holds errors and warnings
//! about a text, and [`render`] prints them on a terminal. [`units`] parses durations and sizes,
//! [`secret`] keeps secrets out of texts, and [`variables`] fills in `{env:NAME}`. Nothing in this
//! module knows the schema of a sweep file.

pub mod diagnostic;
pub mod opt;
pub mod render;
pub mod secret;
pub mod section;
pub mod tree;
mod unclosed;
pub mod units;
pub mod variables;

pub use diagnostic::{Diagnostic, Diagnostics, Level};
pub use opt::{Opt, Preset, Takes};
pub use section::Section;
pub use tree::{Key, Node, NodeValue, Table};

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// A byte range in a [`Source`].
pub type Span = std::ops::Range<usize>;

/// Maximum size of a sweep file in bytes (4 MiB). A larger file is reported as `too-large`.
pub const MAX_BYTES: u64 = 4 << 20;

/// A named text, usually a sweep file.
#[derive(Debug, Clone)]
pub struct Source {
    /// Name used in messages: the path as the user gave it.
    pub name: String,
    /// Complete text of the file; empty when the file could not be read.
    pub text: String,
}

impl Source {
    /// Reads a file of at most [`MAX_BYTES`] bytes. Failures are reported as errors in
    /// `diagnostics`. The text is then empty (unreadable, too large) or contains replacement
    /// characters (not UTF-8).
    pub fn read(path: &Path, diagnostics: &mut Diagnostics) -> Self {
        let name = path.display().to_string();
        match read_bytes(path) {
            Ok(bytes) => Self::from_bytes(name, bytes, diagnostics),
            Err(error) => {
                let message = format!("cannot read `{name}`: {error}");
                diagnostics.push(Diagnostic::error("unreadable", message));
                Self {
                    name,
                    text: String::new(),
                }
            }
        }
    }

    /// Makes a source from the bytes of a file. Reports the same errors as [`read`](Self::read).
    pub fn from_bytes(
        name: impl Into<String>,
        bytes: Vec<u8>,
        diagnostics: &mut Diagnostics,
    ) -> Self {
        let name = name.into();
        if bytes.len() as u64 > MAX_BYTES {
            let message = format!("`{name}` is larger than {} MiB", MAX_BYTES >> 20);
            diagnostics
                .push(Diagnostic::error("too-large", message).hint("is this the right file?"));
            return Self {
                name,
                text: String::new(),
            };
        }
        let text = String::from_utf8(bytes).unwrap_or_else(|error| {
            let offset = error.utf8_error().valid_up_to();
            let byte = error.as_bytes()[offset];
            let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
            // The span must cover the replacement character, since labels point into the lossy
            // text.
            let diagnostic = Diagnostic::error("not-utf-8", format!("`{name}` is not UTF-8 text"))
                .at(
                    offset..offset + char::REPLACEMENT_CHARACTER.len_utf8(),
                    format!("byte 0x{byte:02x}"),
                );
            diagnostics.push(diagnostic.hint("save the file as UTF-8"));
            text
        });
        Self { name, text }
    }

    /// Returns the 1-based line and column (in characters) of a byte offset. An offset beyond the
    /// end means the end; one inside a character means the start of that character.
    #[must_use]
    pub fn position(&self, offset: usize) -> (usize, usize) {
        let mut offset = offset.min(self.text.len());
        while !self.text.is_char_boundary(offset) {
            offset -= 1;
        }
        let before = &self.text[..offset];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        (
            before.matches('\n').count() + 1,
            before[line_start..].chars().count() + 1,
        )
    }
}

/// Reads a file, at most one byte more than [`MAX_BYTES`].
fn read_bytes(path: &Path) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    // A directory can be opened on Unix, so it is rejected here.
    if file.metadata()?.is_dir() {
        return Err(io::Error::from(io::ErrorKind::IsADirectory));
    }
    let mut bytes = Vec::new();
    // One byte over the limit is enough for the caller to see that the file is too large.
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_lines_and_characters_from_one() {
        let source = Source {
            name: String::new(),
            text: "a\nüb".into(),
        };
        assert_eq!(
            [0, 2, 4, 5, 99].map(|offset| source.position(offset)),
            [(1, 1), (2, 1), (2, 2), (2, 3), (2, 3)]
        );
        assert_eq!(source.position(3), (2, 1), "within a character");
    }

    #[test]
    fn a_file_that_cannot_be_read_or_is_too_large_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let large = dir.path().join("large.toml");
        File::create(&large)
            .unwrap()
            .set_len(MAX_BYTES + 1)
            .unwrap();
        for (path, code) in [
            (dir.path().to_owned(), "unreadable"),
            (dir.path().join("missing.toml"), "unreadable"),
            (large, "too-large"),
        ] {
            let mut diagnostics = Diagnostics::default();
            assert_eq!(Source::read(&path, &mut diagnostics).text, "");
            assert_eq!(diagnostics.list[0].code, code);
        }
    }

    #[test]
    fn bytes_that_are_not_utf_8_are_pointed_at() {
        let mut diagnostics = Diagnostics::default();
        let source = Source::from_bytes("x.toml", b"a = 1\nb = \xff\n".to_vec(), &mut diagnostics);
        let (span, label) = &diagnostics.list[0].labels[0];
        assert_eq!(
            (source.position(span.start), label.as_str()),
            ((2, 5), "byte 0xff")
        );
    }
}
