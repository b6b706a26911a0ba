//! The only way to a terminal: a writer that shows escape sequences instead of passing them on.

use crate::report::text::{Escapes, escaped};
use std::io::{self, Write};

/// Writes text to a terminal. Every character that the terminal would interpret is shown as an
/// escape, except for line breaks, tabs and, if allowed, colours.
pub(super) struct TerminalText<W: Write> {
    to: W,
    /// Form of the escapes.
    escapes: Escapes,
    /// Whether colours pass. Text of a study never contains any, since commands escape it.
    has_colours: bool,
    /// The first bytes of a character whose rest is not written yet.
    unfinished: Vec<u8>,
}

impl<W: Write> TerminalText<W> {
    /// Returns a writer for text of swath itself, in which colours pass.
    pub(super) fn coloured(to: W) -> Self {
        Self {
            has_colours: true,
            ..Self::plain(to, Escapes::Text)
        }
    }

    /// Returns a writer for text of a study.
    pub(super) fn plain(to: W, escapes: Escapes) -> Self {
        Self {
            to,
            escapes,
            has_colours: false,
            unfinished: Vec::new(),
        }
    }

    /// Writes the escaped form of a text.
    fn put(&mut self, text: &str) -> io::Result<()> {
        let mut rest = text;
        while let Some(next) = rest.find(|char: char| char.is_ascii_control()) {
            let (before, from) = rest.split_at(next);
            let kept = self.length_to_keep(from);
            let (kept, after) = from.split_at(kept);
            self.to
                .write_all(escaped(before, self.escapes).as_bytes())?;
            if kept.is_empty() {
                let (control, after) = after.split_at(1);
                self.to
                    .write_all(escaped(control, self.escapes).as_bytes())?;
                rest = after;
            } else {
                self.to.write_all(kept.as_bytes())?;
                rest = after;
            }
        }
        self.to.write_all(escaped(rest, self.escapes).as_bytes())
    }

    /// Returns the length of the line break, tab or colour at the start of a text.
    fn length_to_keep(&self, text: &str) -> usize {
        if text.starts_with(['\n', '\t']) {
            return 1;
        }
        let Some(codes) = text.strip_prefix("\x1b[").filter(|_| self.has_colours) else {
            return 0;
        };
        let end = codes.find(|char: char| !char.is_ascii_digit() && char != ';');
        end.filter(|end| codes[*end..].starts_with('m'))
            .map_or(0, |end| "\x1b[m".len() + end)
    }
}

impl<W: Write> Write for TerminalText<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut text = std::mem::take(&mut self.unfinished);
        text.extend_from_slice(bytes);
        let mut chunks = text.utf8_chunks().peekable();
        while let Some(chunk) = chunks.next() {
            self.put(chunk.valid())?;
            let is_last = chunks.peek().is_none();
            let may_go_on = std::str::from_utf8(chunk.invalid())
                .is_err_and(|error| error.error_len().is_none());
            if is_last && may_go_on {
                self.unfinished = chunk.invalid().to_vec();
            } else if !chunk.invalid().is_empty() {
                self.to.write_all("\u{fffd}".as_bytes())?;
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::{Escapes, TerminalText};
    use std::io::Write;

    fn written(mut writer: TerminalText<&mut Vec<u8>>, parts: &[&[u8]]) {
        for part in parts {
            writer.write_all(part).unwrap();
        }
    }

    #[test]
    fn no_escape_sequence_passes_whatever_the_parts_are() {
        let parts: &[&[u8]] = &[
            b"\x1b[31mr\x1b]0;t\x07",
            b"\r\tx\n\xc2",
            b"\x9b2J\xff\xe2\x80",
            b"\xaez",
        ];
        for (escapes, expected) in [
            (
                Escapes::Text,
                "\\x1b[31mr\\x1b]0;t\\x07\\r\tx\n\\x9b2J\u{fffd}\\u{202e}z",
            ),
            (
                Escapes::Json,
                "\\u001b[31mr\\u001b]0;t\\u0007\\r\tx\n\\u009b2J\u{fffd}\\u202ez",
            ),
        ] {
            let mut shown = Vec::new();
            written(TerminalText::plain(&mut shown, escapes), parts);
            assert_eq!(String::from_utf8(shown).unwrap(), expected);
        }
    }

    #[test]
    fn only_colours_pass_in_the_text_of_swath_itself() {
        let mut shown = Vec::new();
        let parts: &[&[u8]] = &[b"\x1b[1;31merror\x1b[0m \x1b[2J \x1b[38;5;3mx\x1b["];
        written(TerminalText::coloured(&mut shown), parts);
        assert_eq!(
            String::from_utf8(shown).unwrap(),
            "\x1b[1;31merror\x1b[0m \\x1b[2J \x1b[38;5;3mx\\x1b["
        );
    }
}
