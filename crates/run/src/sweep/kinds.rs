//! Lookup of kinds by name, with errors for unknown names.

use super::registry::Declaration;
use swath_model::source::diagnostic::nearest;
use swath_model::source::{Diagnostic, Diagnostics, Span};
use swath_model::study::Kind;

/// Declaration of the tracker `csv`, which every study has. Naming it in the sweep file changes
/// nothing.
pub(super) const CSV: Declaration = Declaration {
    part: "tracker",
    name: "csv",
    about: "the table `trials.csv`; every study has it, named or not",
    paper: None,
    options: &[],
    capabilities: &[],
};

/// Finds a kind by the name in the sweep file. Reports an unknown name, with the nearest known name
/// or all names as a hint.
pub(super) fn find<'a, T: ?Sized>(
    component: &str,
    kinds: &'a [Kind<T>],
    name: &str,
    span: Span,
    diagnostics: &mut Diagnostics,
) -> Option<&'a Kind<T>> {
    let kind = kinds.iter().find(|kind| kind.name == name);
    if kind.is_none() {
        let available: Vec<_> = kinds.iter().map(|kind| kind.name).collect();
        diagnostics.push(unknown(component, &available, name, span));
    }
    kind
}

fn unknown(component: &str, available: &[&str], name: &str, span: Span) -> Diagnostic {
    let listed: Vec<_> = available.iter().map(|name| format!("`{name}`")).collect();
    let listed = match listed.as_slice() {
        [] => "available now: none".to_owned(),
        some => format!("available now: {}", some.join(", ")),
    };
    let error =
        Diagnostic::error("unknown-name", format!("there is no {component} `{name}`")).at(span, "");
    match nearest(name, available.iter().copied()) {
        Some(near) => error.hint(format!("did you mean `{near}`?")),
        None => error.hint(listed),
    }
}
