//! An expression with its position in the file.

use super::wrong_type;
use crate::source::{Diagnostic, Diagnostics, Node, NodeValue, Span};
use crate::space::expr::{Expr, ExprError};
use std::ops::Range;

/// An expression with its position in the file.
#[derive(Clone)]
pub(super) struct Quote {
    pub(super) expr: Expr,
    span: Span,
    /// Offset of the expression's text in the file. `None` if the text is written with escapes, so
    /// that offsets in it do not correspond to the file.
    start: Option<usize>,
}

impl Quote {
    /// Reads the expression of the option `key`. Returns `None` after reporting a mistake.
    pub(super) fn read(key: &str, node: &Node, d: &mut Diagnostics) -> Option<Self> {
        let NodeValue::Text(text) = &node.value else {
            d.push(wrong_type(key, "an expression in quotes", node));
            return None;
        };
        let start = start_of(text, node);
        match Expr::parse(text) {
            Ok(expr) => Some(Self {
                expr,
                span: node.span.clone(),
                start,
            }),
            Err(error) => {
                d.push(remark(&error, place(start, &node.span, &error.span), key));
                None
            }
        }
    }

    /// Makes a constant expression from an integer written at `span`.
    pub(super) fn constant(number: i64, span: &Span) -> Option<Self> {
        let expr = Expr::parse(&number.to_string()).ok()?;
        Some(Self {
            expr,
            span: span.clone(),
            start: None,
        })
    }

    /// Returns the span in the file of a part of the expression.
    pub(super) fn place(&self, part: &Range<usize>) -> Span {
        place(self.start, &self.span, part)
    }

    /// Returns the span of the whole value.
    pub(super) fn span(&self) -> Span {
        self.span.clone()
    }

    /// Makes the diagnostic for a mistake in the expression.
    pub(super) fn remark(&self, error: &ExprError, key: &str) -> Diagnostic {
        remark(error, self.place(&error.span), key)
    }
}

fn remark(error: &ExprError, span: Span, key: &str) -> Diagnostic {
    let message = format!("the expression of `{key}` does not work: {}", error.message);
    let remark = Diagnostic::error("bad-expression", message).at(span, "here");
    match &error.hint {
        Some(hint) => remark.hint(hint),
        None => remark,
    }
}

fn place(start: Option<usize>, whole: &Span, part: &Range<usize>) -> Span {
    match start {
        // An empty range at the end is widened to one byte, so that a caret appears after the text.
        Some(start) => start + part.start..start + part.end.max(part.start + 1),
        None => whole.clone(),
    }
}

fn start_of(text: &str, node: &Node) -> Option<usize> {
    [1, 3].into_iter().find_map(|quotes| {
        let inner = node
            .written
            .get(quotes..node.written.len().checked_sub(quotes)?)?;
        (inner == text).then_some(node.span.start + quotes)
    })
}
