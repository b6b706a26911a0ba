//! An expression with its position in the file.

use super::wrong_type;
use crate::source::{Diagnostic, Diagnostics, Node, NodeValue, Span};
use crate::space::expr::{Expr, ExprError};
use std::ops::Range;

/// An expression with its position in the file.
#[derive(Clone)]
pub(super) struct SourceExpr {
    pub(super) parsed: Expr,
    span: Span,
    /// Offset of the expression's text in the file. `None` if the text is written with escapes, so
    /// that offsets in it do not correspond to the file.
    start: Option<usize>,
}

impl SourceExpr {
    /// Reads the expression of the option `key`. Returns `None` after reporting a mistake.
    pub(super) fn read(key: &str, node: &Node, d: &mut Diagnostics) -> Option<Self> {
        let NodeValue::Text(text) = &node.value else {
            d.push(wrong_type(key, "an expression in quotes", node));
            return None;
        };
        let start = text_start(text, node);
        match Expr::parse(text) {
            Ok(parsed) => Some(Self {
                parsed,
                span: node.span.clone(),
                start,
            }),
            Err(error) => {
                d.push(diagnostic(
                    &error,
                    span_in_file(start, &node.span, &error.span),
                    key,
                ));
                None
            }
        }
    }

    /// Makes a constant expression from an integer written at `span`.
    pub(super) fn constant(number: i64, span: &Span) -> Option<Self> {
        let parsed = Expr::parse(&number.to_string()).ok()?;
        Some(Self {
            parsed,
            span: span.clone(),
            start: None,
        })
    }

    /// Returns the span in the file of a part of the expression.
    pub(super) fn span_of(&self, part: &Range<usize>) -> Span {
        span_in_file(self.start, &self.span, part)
    }

    /// Returns the span of the whole value.
    pub(super) fn span(&self) -> Span {
        self.span.clone()
    }

    /// Makes the diagnostic for a mistake in the expression.
    pub(super) fn diagnostic(&self, error: &ExprError, key: &str) -> Diagnostic {
        diagnostic(error, self.span_of(&error.span), key)
    }
}

fn diagnostic(error: &ExprError, span: Span, key: &str) -> Diagnostic {
    let message = format!("the expression of `{key}` is invalid: {}", error.message);
    let diagnostic = Diagnostic::error("bad-expression", message).at(span, "here");
    match &error.hint {
        Some(hint) => diagnostic.hint(hint),
        None => diagnostic,
    }
}

fn span_in_file(start: Option<usize>, value: &Span, part: &Range<usize>) -> Span {
    match start {
        // An empty range at the end is widened to one byte, so that a caret appears after the text.
        Some(start) => start + part.start..start + part.end.max(part.start + 1),
        None => value.clone(),
    }
}

/// Returns the offset in the file at which the text of a string begins, behind its quotes.
fn text_start(text: &str, node: &Node) -> Option<usize> {
    [1, 3].into_iter().find_map(|quotes| {
        let inner = node
            .written
            .get(quotes..node.written.len().checked_sub(quotes)?)?;
        (inner == text).then_some(node.span.start + quotes)
    })
}
