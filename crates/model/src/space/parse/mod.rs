//! Parses the tables `[space]` and `[constraints]` into a [`Space`].
//!
//! First every entry is read separately into a [`Draft`] (`table`, `entry`, `range`, `choice`).
//! Then `link` combines the drafts: it resolves names, checks types and sorts by dependencies.
//! Parsing continues after a mistake, so that all mistakes are reported at once.

mod choice;
mod default;
mod entry;
mod fact;
mod link;
mod names;
mod order;
mod range;
mod source_expr;
mod table;
#[cfg(test)]
mod tests;

pub(super) use choice::value_of;
pub use entry::options;

use super::choice::Cases;
use super::{Name, Space, Value};
use crate::source::{Diagnostic, Diagnostics, Level, Node, NodeValue, Section, Span};
use range::RangeDraft;
use source_expr::SourceExpr;

/// Maximum number of entries in a space. A larger number is a mistake.
const MAX_PARAMS: usize = 10_000;

/// Reads the complete space. Returns `None` after reporting mistakes.
pub(super) fn read_space(
    space: Section,
    constraints: Option<Section>,
    d: &mut Diagnostics,
) -> Option<Space> {
    let before = d.list.len();
    let drafts = table::read(space, d);
    if let Some(first_beyond) = drafts.get(MAX_PARAMS) {
        let message = format!("the space has more than {MAX_PARAMS} parameters");
        d.push(Diagnostic::error("too-many", message).at(first_beyond.key.clone(), "beyond here"));
        return None;
    }
    let constraints = constraints
        .map(|section| read_constraints(section, d))
        .unwrap_or_default();
    let space = link::link(drafts, constraints, d);
    sort_by_position(&mut d.list[before..]);
    let is_valid = d.list[before..]
        .iter()
        .all(|diagnostic| diagnostic.level != Level::Error);
    space.filter(|_| is_valid)
}

/// Sorts diagnostics by the position of their primary labels.
pub(super) fn sort_by_position(diagnostics: &mut [Diagnostic]) {
    diagnostics
        .sort_by_key(|diagnostic| diagnostic.labels.first().map_or(0, |(span, _)| span.start));
}

/// An entry of the space as read, before the names in it are resolved.
struct Draft {
    name: Name,
    /// Span of its key in the file.
    key: Span,
    /// Names that the entry sets, each with its span.
    targets: Vec<(Name, Span)>,
    conditions: Vec<DraftCondition>,
    body: Body,
    repeat: Option<SourceExpr>,
    default: Option<Node>,
}

/// Condition under which a draft is active, before its names are resolved.
#[derive(Clone)]
enum DraftCondition {
    Branch { switch: Name, value: Value },
    When(SourceExpr),
}

/// ValueSource of the values of a draft.
enum Body {
    /// The entry has a mistake that was already reported.
    Broken,
    Fixed(Value),
    Derived(SourceExpr),
    Range(RangeDraft),
    Choice {
        values: Vec<Value>,
        cases: Cases,
        ordered: bool,
    },
    Rows {
        rows: Vec<Vec<Value>>,
        cases: Cases,
    },
}

fn read_constraints(mut section: Section, d: &mut Diagnostics) -> Vec<(Name, SourceExpr)> {
    let mut constraints = Vec::new();
    for (key, node) in section.take_rest() {
        if let Some(expr) = SourceExpr::read(&key.name, &node, d) {
            constraints.push((key.name.into(), expr));
        }
    }
    constraints
}

fn wrong_type(name: &str, expected: &str, node: &Node) -> Diagnostic {
    let message = format!("`{name}` must be {expected}");
    Diagnostic::error("wrong-type", message)
        .at(node.span.clone(), format!("this is {}", node.value.kind()))
}

fn is_table(node: &Node) -> bool {
    matches!(node.value, NodeValue::Table(_))
}
