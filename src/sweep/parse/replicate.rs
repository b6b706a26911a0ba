//! `[replicate]`: the same configuration with several seeds.

use super::super::Choice;
use crate::source::{Diagnostic, Diagnostics, Section};

/// More seeds than this say nothing new.
const MOST: u64 = 1000;

/// Reads the section; `None` for one seed each.
pub(super) fn read(
    file: &mut Section,
    scheduler: &Choice,
    trials: Option<u64>,
    diagnostics: &mut Diagnostics,
) -> Option<u32> {
    let mut section = file.take_section("replicate", diagnostics)?;
    let span = section.span.clone();
    let seeds = section.take_count("seeds", 1, diagnostics);
    section.finish(diagnostics);
    let (seeds, at) = seeds?;
    if seeds > MOST {
        let error = Diagnostic::error("too-large", format!("`seeds` must be at most {MOST}"));
        diagnostics.push(error.at(at.clone(), format!("is {seeds}")));
    }
    if let Some(trials) = trials.filter(|trials| *trials < seeds) {
        let message = format!("{trials} trials leave no room for a configuration with {seeds} seeds");
        let error = Diagnostic::error("too-few-trials", message)
            .at(at, "each seed is a trial and counts towards `trials`");
        diagnostics.push(error.hint(format!("for ten configurations: [search] trials = {}", 10 * seeds)));
    }
    if seeds > 1 && scheduler.name == "pbt" {
        let error = Diagnostic::error(
            "scheduler-cannot",
            "`pbt` changes configurations while they run, so they have no replicates",
        );
        diagnostics.push(error.at(span, "").hint("leave out `[replicate]`, or take another scheduler"));
    }
    u32::try_from(seeds.min(MOST)).ok().filter(|seeds| *seeds > 1)
}
