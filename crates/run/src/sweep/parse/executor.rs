//! `[executor]`: the executor that runs the trials.

use super::super::{Choice, kinds};
use super::keys;
use swath_engine::executor::Site;
use swath_model::source::{Diagnostics, Opt, Preset, Section, Table, Takes};
use swath_model::study::Kind;

/// Executor of a sweep that names none.
const DEFAULT: &str = "pool";

pub(in crate::sweep) const OPTIONS: &[Opt] = &[Opt::new(
    "name",
    Takes::KindOf("executor"),
    Preset::Text(DEFAULT),
    "which one",
)];

/// Reads the section. The executor's own options stay in the [`Choice`].
pub(super) fn read(
    file: &mut Section,
    known: &[Kind<dyn Site>],
    diagnostics: &mut Diagnostics,
) -> Choice {
    let section = file.take_section("executor", diagnostics);
    let mut section = section.unwrap_or_else(|| Section::new("executor", 0..0, Table::default()));
    let name = section.take_text("name", diagnostics);
    let (name, span) = name.unwrap_or_else(|| (DEFAULT.to_owned(), section.span.clone()));
    let kind = kinds::find("executor", known, &name, span.clone(), diagnostics);
    if let Some(kind) = kind {
        keys::refuse_unknown_of_kind(&mut section, "executor", kind, known, diagnostics);
    }
    Choice {
        name,
        section,
        span,
        capabilities: kind.map_or(&[], |kind| kind.capabilities),
    }
}
