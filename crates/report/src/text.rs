//! Text for a terminal: escaping, measuring, cutting and colouring.

use std::borrow::Cow;
use std::fmt::Write;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Returns the text with every character that a terminal would interpret escaped: `\n`, `\x1b`,
/// `\u{202e}`.
///
/// All text from a trial or a sweep file passes through here before it reaches a terminal.
#[must_use]
pub fn plain(text: &str) -> Cow<'_, str> {
    escaped(text, Escapes::Text)
}

/// Form of the escapes of interpreted characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Escapes {
    /// `\x1b` and `\u{202e}`, for people.
    Text,
    /// `\u001b`, which is valid in a JSON string.
    Json,
}

/// Returns the text with every character that a terminal would interpret escaped in this form.
#[must_use]
pub fn escaped(text: &str, escapes: Escapes) -> Cow<'_, str> {
    // Nearly all texts are printable ASCII and need no decoding.
    let is_printable_ascii = text.bytes().all(|byte| (b' '..0x7f).contains(&byte));
    if is_printable_ascii || !text.chars().any(is_interpreted) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 8);
    for char in text.chars() {
        match char {
            '\n' => safe.push_str("\\n"),
            '\r' => safe.push_str("\\r"),
            '\t' => safe.push_str("\\t"),
            _ if is_interpreted(char) && escapes == Escapes::Json => {
                let _ = write!(safe, "\\u{:04x}", u32::from(char));
            }
            _ if is_interpreted(char) && u32::from(char) < 0x100 => {
                let _ = write!(safe, "\\x{:02x}", u32::from(char));
            }
            _ if is_interpreted(char) => {
                let _ = write!(safe, "\\u{{{:x}}}", u32::from(char));
            }
            _ => safe.push(char),
        }
    }
    Cow::Owned(safe)
}

/// Returns whether a terminal would interpret a character instead of showing it: control
/// characters, line separators, changes of writing direction.
fn is_interpreted(char: char) -> bool {
    char.is_control()
        || matches!(char, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// Returns a line of a program's output as it would appear on a terminal. Text that a carriage
/// return overwrote is dropped, colours are removed, tabs stay. Everything else that a terminal
/// would interpret is escaped.
#[must_use]
pub fn log_line(line: &str) -> String {
    let line = line.trim_end_matches('\r');
    let shown = line.rsplit('\r').next().unwrap_or(line);
    let mut kept = String::with_capacity(shown.len());
    let mut rest = shown;
    // A CSI sequence ends at its first byte from 0x40 to 0x7e.
    while let Some(start) = rest.find("\x1b[") {
        kept.push_str(&rest[..start]);
        let sequence = &rest[start + 2..];
        let end = sequence.find(|char: char| ('\u{40}'..='\u{7e}').contains(&char));
        rest = end.map_or("", |end| &sequence[end + 1..]);
    }
    kept.push_str(rest);
    kept.split('\t').map(plain).collect::<Vec<_>>().join("\t")
}

/// Returns the width of the text in columns of a terminal.
#[must_use]
pub fn width(text: &str) -> usize {
    if text.is_ascii() {
        text.len()
    } else {
        text.width()
    }
}

/// Cuts the text to at most `columns` columns. A text that was cut ends in `…`.
#[must_use]
pub fn elide(text: &str, columns: usize) -> Cow<'_, str> {
    if width(text) <= columns {
        return Cow::Borrowed(text);
    }
    // One column is reserved for the ellipsis.
    let mut used = 1;
    let mut kept = String::new();
    for char in text.chars() {
        used += char.width().unwrap_or(0);
        if used > columns {
            break;
        }
        kept.push(char);
    }
    if columns > 0 {
        kept.push('…');
    }
    Cow::Owned(kept)
}

/// Cuts the text to at most `columns` columns, with `…` in its middle: names often differ at their
/// ends.
#[must_use]
pub fn elide_middle(text: &str, columns: usize) -> Cow<'_, str> {
    if width(text) <= columns || columns < 3 {
        return elide(text, columns);
    }
    let tail_columns = (columns - 1) / 2;
    let mut used = 0;
    let tail = text.char_indices().rev().take_while(|(_, char)| {
        used += char.width().unwrap_or(0);
        used <= tail_columns
    });
    let start = tail.last().map_or(text.len(), |(start, _)| start);
    let head = elide(text, columns - width(&text[start..]));
    Cow::Owned(head.into_owned() + &text[start..])
}

/// A painter that colours text, or returns it unchanged if colours are off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Paint {
    /// Whether colours are on.
    pub on: bool,
}

impl Paint {
    /// Returns the text in the style of an ANSI code, or unchanged if colours are off or it is
    /// empty.
    fn wrap(self, code: &str, text: &str) -> String {
        if self.on && !text.is_empty() {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }

    /// Returns the text in bold, for emphasis.
    #[must_use]
    pub fn bold(self, text: &str) -> String {
        self.wrap("1", text)
    }

    /// Returns the text dimmed, for details.
    #[must_use]
    pub fn dim(self, text: &str) -> String {
        self.wrap("2", text)
    }

    /// Returns the text in bold red, for failures.
    #[must_use]
    pub fn red(self, text: &str) -> String {
        self.wrap("1;31", text)
    }

    /// Returns the text in green, for successes.
    #[must_use]
    pub fn green(self, text: &str) -> String {
        self.wrap("32", text)
    }

    /// Returns the text in yellow, for warnings.
    #[must_use]
    pub fn yellow(self, text: &str) -> String {
        self.wrap("33", text)
    }

    /// Returns the text in cyan, for information.
    #[must_use]
    pub fn cyan(self, text: &str) -> String {
        self.wrap("36", text)
    }
}

#[cfg(test)]
mod tests {
    use super::{elide, log_line, plain, width};

    #[test]
    fn nothing_that_a_terminal_obeys_survives() {
        assert_eq!(
            plain("\x1b]0;title\x07\u{9b}31m"),
            "\\x1b]0;title\\x07\\x9b31m"
        );
        assert_eq!(plain("a\nb\u{202e}c"), "a\\nb\\u{202e}c");
        assert_eq!(plain("größe 数"), "größe 数");
    }

    #[test]
    fn a_log_line_loses_its_colours_and_what_was_overwritten() {
        assert_eq!(log_line("\x1b[31mred\x1b[0m\tx"), "red\tx");
        assert_eq!(log_line(" 10%\r 50%\r100%\r"), "100%");
        assert_eq!(log_line("\x1b]52;c;steal\x07"), "\\x1b]52;c;steal\\x07");
        assert_eq!(log_line("cut \x1b["), "cut ");
    }

    #[test]
    fn text_is_cut_by_columns_and_not_by_bytes() {
        assert_eq!(elide("学習率の値", 6), "学習…");
        assert_eq!(width(&elide("学習率の値", 6)), 5);
        assert_eq!(elide("short", 5), "short");
        assert_eq!(elide("shorter", 5), "shor…");
        assert_eq!(elide("x", 0), "");
    }
}
