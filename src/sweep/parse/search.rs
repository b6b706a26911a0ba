//! `[search]`: who proposes configurations, and how many.

use super::super::{Choice, kinds};
use crate::sampler::SAMPLERS;
use crate::source::{Diagnostic, Diagnostics, Section, Span, Table};

/// Trials of a sweep that says neither how many nor how long.
pub(super) const DEFAULT_TRIALS: u64 = 100;

pub(super) struct Search {
    pub(super) sampler: Choice,
    pub(super) trials: Option<u64>,
    pub(super) trials_span: Option<Span>,
}

pub(super) fn read(file: &mut Section, diagnostics: &mut Diagnostics) -> Search {
    let section = file.take_section("search", diagnostics);
    let mut section = section.unwrap_or_else(|| Section::new("search", 0..0, Table::default()));
    let (name, span) = match section.take_text("sampler", diagnostics) {
        Some((name, span)) => {
            kinds::find("sampler", SAMPLERS, &name, span.clone(), diagnostics);
            (name, span)
        }
        None => (DEFAULT.to_owned(), section.span.clone()),
    };
    let trials = section.take_count("trials", 1, diagnostics);
    let options = options(&mut section, &name, diagnostics);
    section.finish(diagnostics);
    Search {
        sampler: Choice { name, section: options, span },
        trials: trials.as_ref().map(|(trials, _)| *trials),
        trials_span: trials.map(|(_, span)| span),
    }
}

/// The sampler of a sweep that names none.
const DEFAULT: &str = "auto";

/// Takes `[search.<sampler>]`; those of other samplers are known, but have no effect.
fn options(section: &mut Section, sampler: &str, diagnostics: &mut Diagnostics) -> Section {
    let mut own = Section::new(format!("search.{sampler}"), section.span.clone(), Table::default());
    for name in SAMPLERS.iter().map(|kind| kind.name) {
        let Some(found) = section.take_section(name, diagnostics) else { continue };
        if name == sampler {
            own = found;
        } else if SAMPLERS.iter().any(|kind| kind.name == sampler) {
            let message = format!("`[search.{name}]` has no effect: the sampler is `{sampler}`");
            diagnostics.push(Diagnostic::warning("unused-section", message).at(found.span, ""));
        }
    }
    own
}
