//! Finds brackets and quotes of a TOML document that are never closed.
//!
//! A parser notices such a mistake only where the next statement does not fit, and then again at
//! every later line. This scan finds the bracket or quote itself. The statement is then taken out
//! of the text, so that the parser reports the mistakes of the other lines only.

use super::Span;

/// A bracket or quote that is never closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unclosed {
    /// Position of the bracket or quote.
    pub(super) span: Span,
    /// Bytes of the statement in which it stands.
    pub(super) statement: Span,
}

/// Finds all statements with an unclosed bracket or quote, with the first such position of each.
pub(super) fn find(text: &str) -> Vec<Unclosed> {
    let mut found = Vec::new();
    let mut offset = 0;
    while offset < text.len() {
        let statement = Statement::scan(text, offset);
        offset = statement.end.max(offset + 1);
        found.extend(statement.unclosed());
    }
    found
}

/// Returns the text with the statements replaced by spaces. Every other byte keeps its position.
pub(super) fn without(text: &str, unclosed: &[Unclosed]) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut copied = 0;
    for Unclosed { statement, .. } in unclosed {
        kept.push_str(&text[copied..statement.start]);
        for byte in text[statement.clone()].bytes() {
            kept.push(if byte == b'\n' { '\n' } else { ' ' });
        }
        copied = statement.end;
    }
    kept + &text[copied..]
}

/// One statement: a line, and the lines after it that its brackets and quotes reach.
struct Statement {
    start: usize,
    end: usize,
    /// Brackets that are open, innermost last.
    open: Vec<(u8, usize)>,
    /// First unclosed bracket or quote.
    fault: Option<Span>,
}

impl Statement {
    /// Scans the statement that begins at `start`, the start of a line.
    fn scan(text: &str, start: usize) -> Self {
        let mut statement = Self {
            start,
            end: text.len(),
            open: Vec::new(),
            fault: None,
        };
        // The parser reports a header that is not closed once, and goes on with the next line.
        if text[start..]
            .trim_start_matches([' ', '\t'])
            .starts_with('[')
        {
            statement.end = line_end(text, start);
            return statement;
        }
        let bytes = text.as_bytes();
        let mut offset = start;
        while let Some(byte) = bytes.get(offset) {
            match byte {
                b'\n' if statement.ends_before(text, offset + 1) => {
                    statement.end = offset + 1;
                    return statement;
                }
                b'#' => offset = line_end(text, offset) - 1,
                b'"' | b'\'' => {
                    offset = statement.skip_string(text, offset);
                    continue;
                }
                b'[' | b'{' => statement.open.push((*byte, offset)),
                b']' | b'}' => statement.close(if *byte == b']' { b'[' } else { b'{' }),
                _ => {}
            }
            offset += 1;
        }
        statement
    }

    /// Returns whether the statement is over before the line that begins at `line`.
    fn ends_before(&self, text: &str, line: usize) -> bool {
        match self.open.last() {
            None => true,
            Some((bracket, _)) => {
                let rest = &text[line..line_end(text, line)];
                let before = text[self.start..line].trim_end();
                // In an inline table a key may follow a comma.
                let is_continued = before.ends_with([',', '{', '[']);
                is_header(rest) && !is_continued
                    || is_assignment(rest) && (*bracket == b'[' || !is_continued)
            }
        }
    }

    /// Closes the innermost bracket of this kind. Those within it were never closed.
    fn close(&mut self, bracket: u8) {
        let Some(index) = self.open.iter().rposition(|(open, _)| *open == bracket) else {
            return;
        };
        if let Some((_, offset)) = self.open.get(index + 1) {
            self.fault.get_or_insert(*offset..offset + 1);
        }
        self.open.truncate(index);
    }

    /// Returns the offset behind the string that begins at `quote`. A string that is never closed
    /// ends with its line.
    fn skip_string(&mut self, text: &str, quote: usize) -> usize {
        let mark = &text[quote..=quote];
        let long_mark = mark.repeat(3);
        let (mark, body) = if text[quote..].starts_with(&long_mark) {
            (&*long_mark, quote + 3)
        } else {
            (mark, quote + 1)
        };
        let is_escaped = mark.starts_with('"');
        let line = line_end(text, quote).max(body);
        let limit = if mark.len() == 3 { text.len() } else { line };
        let bytes = text.as_bytes();
        let mut offset = body;
        while offset < limit {
            if is_escaped && bytes[offset] == b'\\' {
                offset += 2;
            } else if bytes[offset..].starts_with(mark.as_bytes()) {
                // Up to two quotes may stand before the closing ones.
                let quotes = bytes[offset..]
                    .iter()
                    .take_while(|byte| **byte == bytes[quote]);
                return offset
                    + if mark.len() == 3 {
                        quotes.count().min(5)
                    } else {
                        1
                    };
            } else {
                offset += 1;
            }
        }
        self.fault.get_or_insert(quote..body);
        if mark.len() == 3 {
            // The lines of the string belong to the statement, up to the next statement.
            self.open.push((b'[', quote));
        }
        let line_start_of_break = line - usize::from(text[..line].ends_with('\n'));
        line_start_of_break.max(body)
    }

    /// Returns the fault of the statement, if it has one.
    fn unclosed(&self) -> Option<Unclosed> {
        let open = self.open.last().map(|(_, offset)| *offset..offset + 1);
        Some(Unclosed {
            span: self.fault.clone().or(open)?,
            statement: self.start..self.end,
        })
    }
}

/// Returns the offset behind the line that contains `offset`.
fn line_end(text: &str, offset: usize) -> usize {
    let end = text.as_bytes()[offset..]
        .iter()
        .position(|byte| *byte == b'\n');
    end.map_or(text.len(), |end| offset + end + 1)
}

/// Returns whether a line is the header of a table, `[name]` or `[[name]]`, and no array of values.
fn is_header(line: &str) -> bool {
    let line = line.split('#').next().unwrap_or_default().trim();
    let name = line
        .strip_prefix("[[")
        .and_then(|rest| rest.strip_suffix("]]"))
        .or_else(|| {
            line.strip_prefix('[')
                .and_then(|rest| rest.strip_suffix(']'))
        });
    name.map(str::trim).is_some_and(|name| {
        name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
            && name.chars().all(is_key_char)
            && !["true", "false", "inf", "nan"].contains(&name)
    })
}

/// Returns whether a line begins with a key without quotes and `=`.
fn is_assignment(line: &str) -> bool {
    let key = line.split_once('=').map_or("", |(key, _)| key.trim());
    !key.is_empty() && key.chars().all(|c| is_key_char(c) || c == ' ')
}

fn is_key_char(c: char) -> bool {
    c.is_alphanumeric() || "_-.".contains(c)
}
