//! `[retry]`: which failures are tried again.

use super::super::Retry;
use super::texts;
use crate::source::{Diagnostic, Diagnostics, Section};
use crate::study::FailureClass;

/// The classes of failure by the names a sweep file gives them, with what they are.
pub(in crate::sweep) const CLASSES: &[(&str, FailureClass, &str)] = &[
    ("crash", FailureClass::Crash, "a status other than 0, a signal, an error or a panic"),
    ("timeout", FailureClass::Timeout, "longer than `limits.trial_time`"),
    ("memory", FailureClass::Memory, "more memory than it was given"),
    ("lost", FailureClass::Lost, "the orchestrator or the node went away"),
    ("spawn", FailureClass::Spawn, "the program could not be started"),
    ("objective", FailureClass::Objective, "ended well, but without a finite objective"),
];

/// What is tried again if `on` is not given: what another attempt may cure.
const DEFAULT: &[FailureClass] =
    &[FailureClass::Crash, FailureClass::Timeout, FailureClass::Memory, FailureClass::Lost];

pub(super) fn read(file: &mut Section, diagnostics: &mut Diagnostics) -> Retry {
    let Some(mut section) = file.take_section("retry", diagnostics) else { return Retry::default() };
    let times = section.take_count("times", 0, diagnostics).map_or(0, |(times, _)| times);
    let on = texts(&mut section, "on", diagnostics);
    section.finish(diagnostics);
    let on = match on {
        None => DEFAULT.to_vec(),
        Some(names) => names
            .into_iter()
            .filter_map(|(name, span)| {
                let found = CLASSES.iter().find(|(known, ..)| *known == name);
                if found.is_none() {
                    let message = format!("there is no class of failure `{name}`");
                    let known = CLASSES.iter().map(|(name, ..)| *name);
                    let mut error =
                        Diagnostic::error("unknown-name", message).at(span, "").did_you_mean(&name, known);
                    if error.hints.is_empty() {
                        let all: Vec<_> = CLASSES.iter().map(|(name, ..)| format!("`{name}`")).collect();
                        error = error.hint(format!("there are {}", all.join(", ")));
                    }
                    diagnostics.push(error);
                }
                found.map(|(_, class, _)| *class)
            })
            .collect(),
    };
    Retry { times: u32::try_from(times).unwrap_or(u32::MAX), on }
}
