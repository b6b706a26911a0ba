//! Reads a YAML text into a tree of values with their places.

use super::tree::{Entry, Node, NodeKind};
use saphyr_parser::{Event, Marker, Parser, ScalarStyle, StrInput};
use std::collections::BTreeSet;
use std::ops::Range;

/// Deepest nesting of collections. A deeper one is refused, so that no file exhausts the stack.
const DEEPEST: usize = 100;

/// Reads the only document of a text.
///
/// # Errors
/// The reason why the text cannot be used.
pub(super) fn parse(text: &str) -> Result<Node, String> {
    let mut reader = Reader {
        parser: Parser::new_from_str(text),
        text,
        bytes: text.char_indices().map(|(byte, _)| byte).collect(),
        aliases: BTreeSet::new(),
        anchors: Vec::new(),
    };
    let mut root = None;
    loop {
        match reader.next()? {
            (Event::StreamEnd, _) => break,
            (Event::DocumentStart(_), _) if root.is_some() => {
                return Err("it has several documents".to_owned());
            }
            (Event::DocumentStart(_), _) => {
                let first = reader.next()?;
                root = Some(reader.node(first, text.len(), 0)?);
            }
            _ => {}
        }
    }
    let mut root = root.unwrap_or(Node {
        span: text.len()..text.len(),
        kind: NodeKind::Scalar,
        is_repeated: false,
    });
    let aliases = reader.aliases;
    let repeated: Vec<Range<usize>> = reader
        .anchors
        .into_iter()
        .filter(|(anchor, _)| aliases.contains(anchor))
        .map(|(_, span)| span)
        .collect();
    mark_repeated(&mut root, &repeated);
    Ok(root)
}

/// Marks the values that aliases repeat, and all values in them.
fn mark_repeated(node: &mut Node, repeated: &[Range<usize>]) {
    node.is_repeated = repeated
        .iter()
        .any(|span| span.start <= node.span.start && node.span.end <= span.end);
    match &mut node.kind {
        NodeKind::Map { entries, .. } => entries
            .iter_mut()
            .for_each(|entry| mark_repeated(&mut entry.value, repeated)),
        NodeKind::List(items) => items
            .iter_mut()
            .for_each(|item| mark_repeated(item, repeated)),
        NodeKind::Scalar | NodeKind::Alias => {}
    }
}

struct Reader<'a> {
    parser: Parser<'a, StrInput<'a>>,
    text: &'a str,
    /// Byte offset of each character.
    bytes: Vec<usize>,
    /// Anchors to which an alias refers.
    aliases: BTreeSet<usize>,
    /// Anchors with the spans of their values.
    anchors: Vec<(usize, Range<usize>)>,
}

type Spanned<'a> = (Event<'a>, saphyr_parser::Span);

impl<'a> Reader<'a> {
    fn next(&mut self) -> Result<Spanned<'a>, String> {
        match self.parser.next_event() {
            Some(Ok(event)) => Ok(event),
            Some(Err(error)) => Err(format!("line {}: {}", error.marker().line(), error.info())),
            None => Ok((Event::StreamEnd, saphyr_parser::Span::default())),
        }
    }

    fn byte(&self, marker: Marker) -> usize {
        self.bytes
            .get(marker.index())
            .copied()
            .unwrap_or(self.text.len())
    }

    /// Reads a value from its first event. `place` is where a value that is written as nothing
    /// would stand.
    fn node(&mut self, first: Spanned<'a>, place: usize, depth: usize) -> Result<Node, String> {
        if depth > DEEPEST {
            return Err(format!("it is nested more than {DEEPEST} deep"));
        }
        let (event, span) = first;
        let start = self.byte(span.start);
        let (kind, span, anchor) = match event {
            Event::Scalar(value, style, anchor, _) => {
                let end = self.byte(span.end);
                let written = self.text[start..end.max(start)].trim_end().len();
                let is_block = matches!(style, ScalarStyle::Literal | ScalarStyle::Folded);
                let span = match written {
                    0 if value.is_empty() => place..place,
                    // The indicator `|` belongs to the value.
                    _ if is_block => self.after_blanks(place)..start + written,
                    _ => start..start + written,
                };
                (NodeKind::Scalar, span, anchor)
            }
            Event::Alias(anchor) => {
                self.aliases.insert(anchor);
                (NodeKind::Alias, start..self.byte(span.end), 0)
            }
            Event::SequenceStart(anchor, _) => {
                let (items, end) = self.items(depth)?;
                let span = match (self.after_properties(start), items.first(), items.last()) {
                    ('[', ..) | (_, None, _) | (_, _, None) => start..end,
                    // The list begins with the dash before its first item.
                    (_, Some(first), Some(last)) => {
                        let dash = self.text[..first.span.start].rfind('-');
                        dash.filter(|dash| *dash >= place).unwrap_or(start)..last.span.end
                    }
                };
                (NodeKind::List(items), span, anchor)
            }
            Event::MappingStart(anchor, _) => {
                let is_flow = self.after_properties(start) == '{';
                let (entries, end) = self.entries(depth)?;
                let last = entries.last().map(|entry| entry.value.span.end);
                let end = if is_flow { end } else { last.unwrap_or(end) };
                (
                    NodeKind::Map { entries, is_flow },
                    start..end.max(start),
                    anchor,
                )
            }
            other => return Err(format!("it cannot be read here: {other:?}")),
        };
        if anchor != 0 {
            self.anchors.push((anchor, span.clone()));
        }
        Ok(Node {
            span,
            kind,
            is_repeated: false,
        })
    }

    /// Reads the items of a list up to its end, and returns the end.
    fn items(&mut self, depth: usize) -> Result<(Vec<Node>, usize), String> {
        let mut items = Vec::new();
        loop {
            let next = self.next()?;
            if let (Event::SequenceEnd, span) = &next {
                return Ok((items, self.byte(span.end)));
            }
            let place = self.byte(next.1.start);
            items.push(self.node(next, place, depth + 1)?);
        }
    }

    /// Reads the entries of a map up to its end, and returns the end.
    fn entries(&mut self, depth: usize) -> Result<(Vec<Entry>, usize), String> {
        let mut entries = Vec::new();
        loop {
            let next = self.next()?;
            if let (Event::MappingEnd, span) = &next {
                return Ok((entries, self.byte(span.end)));
            }
            let place = self.byte(next.1.start);
            let key = match &next.0 {
                Event::Scalar(key, ..) => key.clone().into_owned(),
                // Nothing can be set in a map by a key that is no text.
                _ => String::new(),
            };
            let key_span = self.node(next, place, depth + 1)?.span;
            let place = self.after_colon(key_span.end);
            let first = self.next()?;
            let value = self.node(first, place, depth + 1)?;
            entries.push(Entry {
                key,
                key_span,
                value,
            });
        }
    }

    /// Returns the position behind the colon that follows a key.
    fn after_colon(&self, end: usize) -> usize {
        let rest = &self.text[end..];
        let blanks = rest.len() - rest.trim_start().len();
        match rest[blanks..].starts_with(':') {
            true => end + blanks + 1,
            false => end,
        }
    }

    /// Returns the character with which a value begins behind its anchor and tag.
    fn after_properties(&self, start: usize) -> char {
        let words = self.text[start..].split_whitespace();
        let mut values = words.filter(|word| !word.starts_with(['&', '!']));
        values
            .next()
            .and_then(|word| word.chars().next())
            .unwrap_or(' ')
    }

    fn after_blanks(&self, start: usize) -> usize {
        let rest = &self.text[start..];
        start + rest.len() - rest.trim_start_matches([' ', '\t']).len()
    }
}
