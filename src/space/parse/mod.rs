//! From the tables `[space]` and `[constraints]` to a [`Space`].
//!
//! First every entry is read on its own into a [`Draft`] (`table`, `entry`, `range`, `choice`),
//! then `link` looks at them together: names, types, order of dependencies. Whatever is wrong is
//! reported and reading goes on, so that all mistakes are found at once.

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
pub(crate) use entry::options;

use super::choice::Cases;
use super::{Name, Space, Value};
use crate::source::{Diagnostic, Diagnostics, Level, Node, NodeValue, Section, Span};
use quote::Quote;
use range::RangeDraft;

/// More parameters than this nobody writes.
const MOST_PARAMS: usize = 10_000;

/// Reads a whole space.
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

/// Sorts remarks by the place they are about.
pub(super) fn in_order_of_the_file(remarks: &mut [Diagnostic]) {
    remarks.sort_by_key(|remark| remark.labels.first().map_or(0, |(span, _)| span.start));
}

/// An entry of the space as it is read, before it is known what the names in it are.
struct Draft {
    name: Name,
    /// Where its key stands.
    key: Span,
    /// The names it sets, each with its place.
    targets: Vec<(Name, Span)>,
    conditions: Vec<Wish>,
    body: Body,
    repeat: Option<Quote>,
    default: Option<Node>,
}

/// When a draft exists.
#[derive(Clone)]
enum Wish {
    Branch { switch: Name, value: Value },
    When(Quote),
}

/// Where the values of a draft come from.
enum Body {
    /// Something was wrong and has been reported.
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
