//! `[search]`: the sampler that proposes configurations, and the number of trials.

use super::super::{Choice, kinds};
use super::keys;
use swath_model::source::{Diagnostic, Diagnostics, Opt, Preset, Section, Span, Table, Takes};
use swath_model::study::Kind;
use swath_model::study::kind::find;
use swath_search::sampler::Sampler;

/// Default number of trials when neither a number nor a time limit is given.
pub(super) const DEFAULT_TRIALS: u64 = 100;

/// Default sampler.
const DEFAULT: &str = "auto";

pub(in crate::sweep) const OPTIONS: &[Opt] = &[
    Opt::new(
        "sampler",
        Takes::KindOf("sampler"),
        Preset::Text(DEFAULT),
        "proposes configurations",
    ),
    Opt::new(
        "trials",
        Takes::Count(1),
        Preset::Derived("the whole grid; with `limits.time`, until then; else `100`"),
        "how many trials in all, however often `run` is called",
    ),
    Opt::new(
        "patience",
        Takes::Count(1),
        Preset::Absent,
        "the sweep ends when this many trials in a row brought nothing better",
    ),
    Opt::new(
        "count_invalid",
        Takes::Switch,
        Preset::Flag(true),
        "whether trials whose program says that the configuration cannot work count towards `trials`",
    ),
];

pub(super) struct Search {
    pub(super) sampler: Choice,
    pub(super) trials: Option<u64>,
    pub(super) trials_span: Option<Span>,
    pub(super) count_invalid: bool,
    pub(super) patience: Option<u64>,
}

pub(super) fn read(
    file: &mut Section,
    known: &[Kind<dyn Sampler>],
    diagnostics: &mut Diagnostics,
) -> Search {
    let section = file.take_section("search", diagnostics);
    let mut section = section.unwrap_or_else(|| Section::new("search", 0..0, Table::default()));
    section.declare(known.iter().map(|kind| kind.name));
    keys::refuse_unknown(&mut section, "search", diagnostics);
    let name = section.take_text("sampler", diagnostics);
    let (name, span) = name.unwrap_or_else(|| (DEFAULT.to_owned(), section.span.clone()));
    let kind = kinds::find("sampler", known, &name, span.clone(), diagnostics);
    let trials = section.take_count("trials", 1, diagnostics);
    let patience = section.take_count("patience", 1, diagnostics);
    let count_invalid = section.take_bool("count_invalid", diagnostics);
    let mut options = options(&mut section, &name, known, diagnostics);
    if let Some(kind) = kind {
        keys::refuse_unknown_of_kind(&mut options, "search.", kind, known, diagnostics);
    }
    let capabilities = kind.map_or(&[][..], |kind| kind.capabilities);
    Search {
        sampler: Choice {
            name,
            section: options,
            span,
            capabilities,
        },
        trials: trials.as_ref().map(|(trials, _)| *trials),
        trials_span: trials.map(|(_, span)| span),
        patience: patience.map(|(count, _)| count),
        count_invalid: count_invalid.is_none_or(|(flag, _)| flag),
    }
}

/// Takes `[search.<sampler>]`. Tables of other samplers are valid but have no effect, which draws a
/// warning.
fn options(
    section: &mut Section,
    sampler: &str,
    known: &[Kind<dyn Sampler>],
    diagnostics: &mut Diagnostics,
) -> Section {
    let mut own = Section::new(
        format!("search.{sampler}"),
        section.span.clone(),
        Table::default(),
    );
    for name in known.iter().map(|kind| kind.name) {
        let Some(found) = section.take_section(name, diagnostics) else {
            continue;
        };
        if name == sampler {
            own = found;
        } else if find(known, sampler).is_some() {
            let message = format!("`[search.{name}]` has no effect: the sampler is `{sampler}`");
            diagnostics.push(Diagnostic::warning("unused-section", message).at(found.span, ""));
        }
    }
    own
}
