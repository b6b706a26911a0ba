//! `[retry]`: the failures after which a trial is tried again, and the wait before.

use super::super::Retry;
use super::super::units::duration_of;
use super::keys::table;
use super::texts;
use std::time::Duration;
use swath_model::source::{
    Diagnostic, Diagnostics, NodeValue, Opt, Preset, Section, Span, Table, Takes,
};
use swath_model::study::FailureClass;

/// Classes of failure: name in the sweep file, class, description.
pub(in crate::sweep) const CLASSES: &[(&str, FailureClass, &str)] = &[
    (
        "crash",
        FailureClass::Crash,
        "a status other than 0, a signal, an error or a panic",
    ),
    (
        "timeout",
        FailureClass::Timeout,
        "longer than `limits.trial_time`",
    ),
    (
        "memory",
        FailureClass::Memory,
        "more memory than it was given",
    ),
    (
        "lost",
        FailureClass::Lost,
        "the orchestrator or the node went away",
    ),
    (
        "spawn",
        FailureClass::Spawn,
        "the program could not be started",
    ),
    (
        "objective",
        FailureClass::Objective,
        "ended well, but without a finite objective",
    ),
];

/// Default of `on`: classes of failure that another attempt may overcome.
const DEFAULT: &[&str] = &["crash", "timeout", "memory", "lost"];

/// Default of `max_backoff`, the longest wait before a further attempt (ten minutes).
const LONGEST: Duration = Duration::from_secs(600);

/// Names of [`CLASSES`], usable in a constant.
const NAMES: [&str; CLASSES.len()] = {
    let mut names = [""; CLASSES.len()];
    let mut index = 0;
    while index < CLASSES.len() {
        names[index] = CLASSES[index].0;
        index += 1;
    }
    names
};

pub(in crate::sweep) const OPTIONS: &[Opt] = &[
    Opt::new(
        "times",
        Takes::Count(0),
        Preset::Count(0),
        "how many times more",
    ),
    Opt::new(
        "on",
        Takes::List(&Takes::OneOf(&NAMES)),
        Preset::Texts(DEFAULT),
        "the classes of failure",
    ),
    Opt::new(
        "backoff",
        Takes::Either(&[Takes::Duration, Takes::Table(&Takes::Duration)]),
        Preset::Duration(Duration::ZERO),
        "how long the first repetition waits, each further one twice as long; for every class, \
         or a table by class",
    ),
    Opt::new(
        "max_backoff",
        Takes::Duration,
        Preset::Duration(LONGEST),
        "the longest wait",
    ),
];

pub(super) fn read(file: &mut Section, diagnostics: &mut Diagnostics) -> Retry {
    let Some(mut section) = table(file, "retry", diagnostics) else {
        return Retry::default();
    };
    let times = section
        .take_count("times", 0, diagnostics)
        .map_or(0, |(times, _)| times);
    let on = texts(&mut section, "on", diagnostics);
    let backoff = backoff(&mut section, diagnostics);
    let longest = section.take("max_backoff");
    let longest = longest.and_then(|node| duration_of("max_backoff", &node, diagnostics));
    let on = match on {
        None => CLASSES
            .iter()
            .filter(|(name, ..)| DEFAULT.contains(name))
            .map(|(_, class, _)| *class)
            .collect(),
        Some(names) => names
            .into_iter()
            .filter_map(|(name, span)| class(&name, &span, diagnostics))
            .collect(),
    };
    let times = u32::try_from(times).unwrap_or(u32::MAX);
    Retry {
        times,
        on,
        backoff,
        max_backoff: longest.unwrap_or(LONGEST),
    }
}

/// Finds a class of failure by its name. Reports an unknown name.
fn class(name: &str, span: &Span, diagnostics: &mut Diagnostics) -> Option<FailureClass> {
    let found = CLASSES.iter().find(|(known, ..)| *known == name);
    if found.is_none() {
        let message = format!("there is no class of failure `{name}`");
        let known = CLASSES.iter().map(|(name, ..)| *name);
        let mut error = Diagnostic::error("unknown-name", message)
            .at(span.clone(), "")
            .did_you_mean(name, known);
        if error.hints.is_empty() {
            let all: Vec<_> = CLASSES
                .iter()
                .map(|(name, ..)| format!("`{name}`"))
                .collect();
            error = error.hint(format!("there are {}", all.join(", ")));
        }
        diagnostics.push(error);
    }
    found.map(|(_, class, _)| *class)
}

/// Reads the wait before the first further attempt: one duration for all classes, or a table by
/// class.
fn backoff(section: &mut Section, diagnostics: &mut Diagnostics) -> Vec<(FailureClass, Duration)> {
    let Some(node) = section.take("backoff") else {
        return Vec::new();
    };
    let NodeValue::Table(Table { entries, .. }) = node.value else {
        let wait = duration_of("backoff", &node, diagnostics);
        return wait
            .map(|wait| CLASSES.iter().map(|(_, class, _)| (*class, wait)).collect())
            .unwrap_or_default();
    };
    let mut waits = Vec::new();
    for (key, node) in entries {
        let class = class(&key.name, &key.span, diagnostics);
        let wait = duration_of(&key.name, &node, diagnostics);
        waits.extend(class.zip(wait));
    }
    waits
}
