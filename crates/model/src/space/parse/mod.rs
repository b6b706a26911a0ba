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
mod quote;
mod range;
mod table;
#[cfg(test)]
mod tests;

pub(super) use choice::value_of;
pub use entry::options;

use super::choice::Cases;
use super::{Name, Space, Value};
use crate::source::{Diagnostic, Diagnostics, Level, Node, NodeValue, Section, Span};
use quote::Quote;
use range::RangeDraft;

/// Maximum number of entries in a space. A larger number is a mistake.
const MOST_PARAMS: usize = 10_000;

/// Reads the complete space. Returns `None` after reporting mistakes.
pub(super) fn space(
    space: Section,
    constraints: Option<Section>,
    d: &mut Diagnostics,
) -> Option<Space> {
    let before = d.list.len();
    let drafts = table::read(space, d);
    if let Some(first_beyond) = drafts.get(MOST_PARAMS) {
        let message = format!("the space has more than {MOST_PARAMS} parameters");
        d.push(Diagnostic::error("too-many", message).at(first_beyond.key.clone(), "beyond here"));
        return None;
    }
    let constraints = constraints
        .map(|section| read_constraints(section, d))
        .unwrap_or_default();
    let space = link::link(drafts, constraints, d);
    in_order_of_the_file(&mut d.list[before..]);
    let sound = d.list[before..]
        .iter()
        .all(|found| found.level != Level::Error);
    space.filter(|_| sound)
}

/// Sorts diagnostics by the position of their primary labels.
pub(super) fn in_order_of_the_file(remarks: &mut [Diagnostic]) {
    remarks.sort_by_key(|remark| remark.labels.first().map_or(0, |(span, _)| span.start));
}

/// An entry of the space as read, before the names in it are resolved.
struct Draft {
    name: Name,
    /// Span of its key in the file.
    key: Span,
    /// Names that the entry sets, each with its span.
    targets: Vec<(Name, Span)>,
    conditions: Vec<Wish>,
    body: Body,
    repeat: Option<Quote>,
    default: Option<Node>,
}

/// Condition under which a draft is active, before its names are resolved.
#[derive(Clone)]
enum Wish {
    Branch { switch: Name, value: Value },
    When(Quote),
}

/// Origin of the values of a draft.
enum Body {
    /// The entry has a mistake that was already reported.
    Broken,
    Fixed(Value),
    Derived(Quote),
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

fn read_constraints(mut section: Section, d: &mut Diagnostics) -> Vec<(Name, Quote)> {
    let mut constraints = Vec::new();
    for (key, node) in section.take_rest() {
        if let Some(quote) = Quote::read(&key.name, &node, d) {
            constraints.push((key.name.into(), quote));
        }
    }
    constraints
}

fn wrong_type(name: &str, wanted: &str, node: &Node) -> Diagnostic {
    let message = format!("`{name}` must be {wanted}");
    Diagnostic::error("wrong-type", message)
        .at(node.span.clone(), format!("this is {}", node.value.kind()))
}

fn is_table(node: &Node) -> bool {
    matches!(node.value, NodeValue::Table(_))
}
