//! `[[source]]`: sources, which translate what programs write for other tools.

use super::super::{Choice, kinds};
use super::keys;
use swath_engine::executor::RecordSource;
use swath_model::source::{Diagnostic, Diagnostics, Opt, Preset, Section, Takes};
use swath_model::study::Kind;

pub(in crate::sweep) const OPTIONS: &[Opt] = &[Opt::new(
    "name",
    Takes::KindOf("source"),
    Preset::Required,
    "which one",
)];

pub(super) fn read(
    file: &mut Section,
    known: &[Kind<dyn RecordSource>],
    diagnostics: &mut Diagnostics,
) -> Vec<Choice> {
    let mut sources = Vec::new();
    for mut section in keys::open_tables(file, "source", diagnostics) {
        let before = diagnostics.list.len();
        let Some((name, span)) = section.take_text("name", diagnostics) else {
            if diagnostics.list.len() == before {
                let error = Diagnostic::error("missing-name", "a source needs a `name`");
                let error = error.at(section.span, "");
                diagnostics.push(error.hint("such as name = \"files\""));
            }
            continue;
        };
        let kind = kinds::find("source", known, &name, span.clone(), diagnostics);
        if let Some(kind) = kind {
            keys::refuse_unknown_of_kind(&mut section, "source", kind, known, diagnostics);
        }
        let capabilities = kind.map_or(&[][..], |kind| kind.capabilities);
        sources.push(Choice {
            name,
            section,
            span,
            capabilities,
        });
    }
    sources
}
