//! `[[tracker]]`: where events are also written.

use super::super::{Choice, kinds};
use super::sections;
use crate::source::{Diagnostic, Diagnostics, Section};
use crate::study::kind::find;
use crate::tracker::TRACKERS;

pub(super) fn read(file: &mut Section, diagnostics: &mut Diagnostics) -> Vec<Choice> {
    let mut trackers = Vec::new();
    for mut section in sections(file, "tracker", diagnostics) {
        let before = diagnostics.list.len();
        match section.take_text("name", diagnostics) {
            Some((name, _)) if name == kinds::CSV.0 && find(TRACKERS, &name).is_none() => {
                section.finish(diagnostics);
            }
            Some((name, span)) => {
                kinds::find("tracker", TRACKERS, &name, span.clone(), diagnostics);
                trackers.push(Choice { name, section, span });
            }
            None if diagnostics.list.len() == before => {
                let error =
                    Diagnostic::error("missing-name", "a tracker needs a `name`").at(section.span, "");
                diagnostics.push(error.hint("such as name = \"csv\""));
            }
            None => {}
        }
    }
    trackers
}
