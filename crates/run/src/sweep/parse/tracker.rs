//! `[[tracker]]`: trackers that record the events beside the CSV table.

use super::super::{Choice, kinds};
use super::keys;
use swath_engine::tracker::Tracker;
use swath_model::source::{Diagnostic, Diagnostics, NodeValue, Opt, Preset, Section, Span, Takes};
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
    let mut targets: Vec<Target> = Vec::new();
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
                    let target = target_of(kind, &section);
                    if target
                        .as_ref()
                        .is_some_and(|target| targets.contains(target))
                    {
                        diagnostics.push(same_target(&name, span.clone(), kind));
                    }
                    targets.extend(target);
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

/// The options that say where a tracker writes.
const TARGET_OPTIONS: [&str; 3] = ["dir", "uri", "experiment"];

/// The kind of a tracker, and where it writes.
type Target = (&'static str, [Option<String>; 3]);

/// Returns where a tracker writes; `None` for a kind without such an option, of another crate.
fn target_of(kind: &Kind<dyn Tracker>, section: &Section) -> Option<Target> {
    TARGET_OPTIONS.iter().find(|key| kind.has_option(key))?;
    let mut section = section.clone();
    let values =
        TARGET_OPTIONS.map(
            |key| match section.take(kind.has_option(key).then_some(key)?)?.value {
                NodeValue::Text(text) => Some(text.trim_end_matches('/').to_owned()),
                _ => None,
            },
        );
    Some((kind.name, values))
}

/// Returns the error that two trackers of one kind write to the same place, where one would replace
/// the files of the other.
fn same_target(name: &str, span: Span, kind: &Kind<dyn Tracker>) -> Diagnostic {
    let hint = match kind.has_option("dir") {
        true => "give each a `dir` of its own, such as dir = \"runs/second\"",
        false => "give each a `uri` or an `experiment` of its own",
    };
    let message = format!("two trackers `{name}` write to the same place");
    Diagnostic::error("same-tracker", message)
        .at(span, "")
        .hint(hint)
}
