//! `[scheduler]`: the scheduler that stops, pauses and promotes trials, and the reported key that
//! measures a trial's resource.

use super::super::{Choice, kinds};
use super::keys;
use swath_model::source::{Diagnostic, Diagnostics, Opt, Preset, Section, Table, Takes};
use swath_model::space::Name;
use swath_model::study::Kind;
use swath_search::scheduler::TrialScheduler;

/// Default scheduler.
const DEFAULT: &str = "fifo";

pub(in crate::sweep) const OPTIONS: &[Opt] = &[
    Opt::new(
        "name",
        Takes::KindOf("scheduler"),
        Preset::Text(DEFAULT),
        "which one",
    ),
    Opt::new(
        "resource",
        Takes::Text,
        Preset::Absent,
        "the reported key that counts, such as `epoch`",
    ),
];

/// Reads the section. The scheduler's own options stay in the [`Choice`].
pub(super) fn read(
    file: &mut Section,
    known: &[Kind<dyn TrialScheduler>],
    diagnostics: &mut Diagnostics,
) -> (Choice, Option<Name>) {
    let section = file.take_section("scheduler", diagnostics);
    let mut section = section.unwrap_or_else(|| Section::new("scheduler", 0..0, Table::default()));
    let name = section.take_text("name", diagnostics);
    let (name, span) = name.unwrap_or_else(|| (DEFAULT.to_owned(), section.span.clone()));
    let kind = kinds::find("scheduler", known, &name, span.clone(), diagnostics);
    if let Some(kind) = kind {
        keys::refuse_unknown_of_kind(&mut section, "scheduler", kind, known, diagnostics);
    }
    let resource = section
        .take_text("resource", diagnostics)
        .and_then(|(resource, span)| {
            if resource.is_empty() {
                diagnostics.push(Diagnostic::error("bad-name", "`resource` is empty").at(span, ""));
                return None;
            }
            Some(Name::from(resource))
        });
    (
        Choice {
            name,
            section,
            span,
            capabilities: kind.map_or(&[], |kind| kind.capabilities),
        },
        resource,
    )
}
