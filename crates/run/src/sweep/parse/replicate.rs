//! `[replicate]`: the number of seeds of each configuration.

use super::super::Choice;
use super::keys::table;
use swath_model::source::{Diagnostic, Diagnostics, Opt, Preset, Section, Takes};
use swath_model::study::kind::Capability;

/// Maximum number of seeds of a configuration. More add no information.
const MOST: u64 = 1000;

pub(in crate::sweep) const OPTIONS: &[Opt] = &[Opt::new(
    "seeds",
    Takes::Count(1),
    Preset::Absent,
    "how many; each is a trial of its own and counts towards `trials`",
)];

/// Reads the section. Returns `None` if each configuration has one seed.
pub(super) fn read(
    file: &mut Section,
    scheduler: &Choice,
    trials: Option<u64>,
    diagnostics: &mut Diagnostics,
) -> Option<u32> {
    let mut section = table(file, "replicate", diagnostics)?;
    let span = section.span.clone();
    let seeds = section.take_count("seeds", 1, diagnostics);
    let (seeds, at) = seeds?;
    if seeds > MOST {
        let error = Diagnostic::error("too-large", format!("`seeds` must be at most {MOST}"));
        diagnostics.push(error.at(at.clone(), format!("is {seeds}")));
    }
    if let Some(trials) = trials.filter(|trials| *trials < seeds) {
        let message =
            format!("{trials} trials leave no room for a configuration with {seeds} seeds");
        let error = Diagnostic::error("too-few-trials", message)
            .at(at, "each seed is a trial and counts towards `trials`");
        diagnostics.push(error.hint(format!(
            "for ten configurations: [search] trials = {}",
            10 * seeds
        )));
    }
    if seeds > 1 && scheduler.can(Capability::Clones) {
        let error = Diagnostic::error(
            "scheduler-cannot",
            format!(
                "`{}` changes configurations while they run, so they have no replicates",
                scheduler.name
            ),
        );
        diagnostics.push(
            error
                .at(span, "")
                .hint("leave out `[replicate]`, or take another scheduler"),
        );
    }
    u32::try_from(seeds.min(MOST))
        .ok()
        .filter(|seeds| *seeds > 1)
}
