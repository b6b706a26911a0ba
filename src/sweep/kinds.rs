//! Names of kinds: what this version has, what the sweep language reserves, and what is a mistake.

use crate::source::diagnostic::nearest;
use crate::source::{Diagnostic, Diagnostics, Span};
use crate::study::Kind;

/// The tracker that every study has, so that naming it changes nothing.
pub(super) const CSV: (&str, &str) = ("csv", "the table `trials.csv`; every study has it, named or not");

/// Samplers the sweep language reserves; what a registry holds wins.
pub(super) const SAMPLERS_TO_COME: &[&str] = &["auto", "grid", "sobol", "tpe", "cmaes", "gp", "nsga2"];
/// Schedulers the sweep language reserves.
pub(super) const SCHEDULERS_TO_COME: &[&str] = &[];
/// Trackers the sweep language reserves.
pub(super) const TRACKERS_TO_COME: &[&str] = &[];
/// Executors the sweep language reserves.
pub(super) const EXECUTORS_TO_COME: &[&str] = &[];

/// Keys and sections that are read and checked but that nothing carries out yet. Whoever makes one true deletes its line.
const NOT_YET: &[&str] = &["replicate", "limit", "limits.disk", "resources.gpus", "resources.memory"];

/// Reports a key that nothing carries out yet.
pub(super) fn refuse_if_not_yet(path: &str, span: Span, diagnostics: &mut Diagnostics) {
    if NOT_YET.contains(&path) {
        let message = format!("`{path}` is not available yet in this version");
        let error = Diagnostic::error("not-available", message).at(span, "would have no effect");
        diagnostics.push(error.hint("leave it out"));
    }
}

/// Finds a kind by the name a person wrote, reporting what is wrong with it.
pub(super) fn find<T: ?Sized>(
    what: &str,
    registry: &'static [Kind<T>],
    name: &str,
    span: Span,
    diagnostics: &mut Diagnostics,
) -> Option<&'static Kind<T>> {
    let found = registry.iter().find(|kind| kind.name == name);
    if found.is_none() {
        let available: Vec<_> = registry.iter().map(|kind| kind.name).collect();
        diagnostics.push(unknown(what, &available, to_come(what), name, span));
    }
    found
}

/// Returns every name of a registry, those to come after those that are there.
pub(super) fn names<T: ?Sized>(
    registry: &'static [Kind<T>],
    what: &str,
) -> impl Iterator<Item = &'static str> + use<T> {
    let there = registry.iter().map(|kind| kind.name);
    let missing = |name: &&str| !registry.iter().any(|kind| kind.name == *name);
    there.chain(to_come(what).iter().copied().filter(missing))
}

/// Returns the names of a registry that is to grow.
pub(super) fn to_come(what: &str) -> &'static [&'static str] {
    match what {
        "sampler" => SAMPLERS_TO_COME,
        "scheduler" => SCHEDULERS_TO_COME,
        "tracker" => TRACKERS_TO_COME,
        _ => EXECUTORS_TO_COME,
    }
}

fn unknown(what: &str, available: &[&str], to_come: &[&str], name: &str, span: Span) -> Diagnostic {
    let listed: Vec<_> = available.iter().map(|name| format!("`{name}`")).collect();
    let listed = match listed.as_slice() {
        [] => "available now: none".to_owned(),
        some => format!("available now: {}", some.join(", ")),
    };
    if to_come.contains(&name) {
        let message = format!("the {what} `{name}` is not available yet in this version");
        return Diagnostic::error("not-available", message).at(span, "").hint(listed);
    }
    let error = Diagnostic::error("unknown-name", format!("there is no {what} `{name}`")).at(span, "");
    match nearest(name, available.iter().chain(to_come).copied()) {
        Some(near) => error.hint(format!("did you mean `{near}`?")),
        None => error.hint(listed),
    }
}
