//! `[scheduler]`: who paces trials, and by which reported key.

use super::super::{Choice, kinds};
use crate::scheduler::SCHEDULERS;
use crate::source::{Diagnostic, Diagnostics, Section, Table};
use crate::space::Name;

/// Reads the section; what the scheduler itself takes stays in the [`Choice`].
pub(super) fn read(file: &mut Section, diagnostics: &mut Diagnostics) -> (Choice, Option<Name>) {
    let section = file.take_section("scheduler", diagnostics);
    let mut section = section.unwrap_or_else(|| Section::new("scheduler", 0..0, Table::default()));
    let (name, span) = match section.take_text("name", diagnostics) {
        Some((name, span)) => {
            kinds::find("scheduler", SCHEDULERS, &name, span.clone(), diagnostics);
            (name, span)
        }
        None => ("fifo".to_owned(), section.span.clone()),
    };
    let resource = section.take_text("resource", diagnostics).and_then(|(resource, span)| {
        if resource.is_empty() {
            diagnostics.push(Diagnostic::error("bad-name", "`resource` is empty").at(span, ""));
            return None;
        }
        Some(Name::from(resource))
    });
    (Choice { name, section, span }, resource)
}
