//! `[executor]`: the executor that runs the trials.

use super::super::template::Names;
use super::super::texts::Written;
use super::super::{Choice, kinds};
use super::keys;
use swath_engine::executor::Site;
use swath_model::source::{Diagnostics, Opt, Preset, Section, Source, Table, Takes};
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

/// Checks the placeholders in the lines of shell that run before a pilot. A pilot runs many trials,
/// so the lines have no values of a trial.
pub(super) fn check_prelude(
    executor: &mut Choice,
    has_data: bool,
    source: &Source,
    names: &Names,
    diagnostics: &mut Diagnostics,
) {
    executor.section.edit_texts("prelude", &mut |text, span| {
        let written = Written {
            key: "prelude",
            text,
            span,
            source,
        };
        written.read_for_all(names, ("a job runs many trials", has_data), diagnostics);
    });
}
