//! `[[tracker]]`: trackers that record the events beside the CSV table.

use super::super::{Choice, kinds};
use super::keys;
use swath_engine::tracker::Tracker;
use swath_model::source::{Diagnostic, Diagnostics, Opt, Preset, Section, Takes};
use swath_model::study::Kind;
use swath_model::study::kind::find;

pub(in crate::sweep) const OPTIONS: &[Opt] = &[Opt::new(
    "name",
    Takes::KindOf("tracker"),
    Preset::Required,
    "which one",
)];

pub(super) fn read(
    file: &mut Section,
    known: &[Kind<dyn Tracker>],
    diagnostics: &mut Diagnostics,
) -> Vec<Choice> {
    let mut trackers = Vec::new();
    for mut section in keys::open_tables(file, "tracker", diagnostics) {
        let before = diagnostics.list.len();
        match section.take_text("name", diagnostics) {
            // Every study has `csv`, so naming it only checks its table, unless a program replaced
            // it.
            Some((name, _)) if name == kinds::CSV.name && find(known, &name).is_none() => {
                keys::refuse_unknown(&mut section, "tracker", diagnostics);
            }
            Some((name, span)) => {
                let kind = kinds::find("tracker", known, &name, span.clone(), diagnostics);
                if let Some(kind) = kind {
                    keys::refuse_unknown_of_kind(&mut section, "tracker", kind, known, diagnostics);
                }
                let capabilities = kind.map_or(&[][..], |kind| kind.capabilities);
                trackers.push(Choice {
                    name,
                    section,
                    span,
                    capabilities,
                });
            }
            None if diagnostics.list.len() == before => {
                let error = Diagnostic::error("missing-name", "a tracker needs a `name`")
                    .at(section.span, "");
                diagnostics.push(error.hint("such as name = \"csv\""));
            }
            None => {}
        }
    }
    trackers
}
