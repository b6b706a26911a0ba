//! `[limits]`: budgets after which the sweep or a trial ends.

use super::super::Limits;
use super::keys::table;
use std::time::Duration;
use swath_model::source::units::{duration_of, size_of};
use swath_model::source::{Diagnostic, Diagnostics, Opt, Preset, Section, Takes};

pub(in crate::sweep) const OPTIONS: &[Opt] = &[
    Opt::new(
        "time",
        Takes::Duration,
        Preset::Absent,
        "of the whole sweep: all its runs together, without the time between them",
    ),
    Opt::new(
        "trial_time",
        Takes::Duration,
        Preset::Absent,
        "of one attempt of a trial",
    ),
    Opt::new(
        "failures",
        Takes::Count(1),
        Preset::Absent,
        "failed trials of one run after which it ends",
    ),
    Opt::new(
        "quick_failures",
        Takes::Count(0),
        Preset::Count(Limits::QUICK_FAILURES as u64),
        "trials in a row that fail within ten seconds without their objective: a slot is then paused, or the \
         sweep ends; `0`: never",
    ),
    Opt::new(
        "disk",
        Takes::Size,
        Preset::Absent,
        "space the study's folder may take; beyond it no trial is started",
    ),
    Opt::new(
        "log",
        Takes::Size,
        Preset::Size(Limits::LOG),
        "kept of each output stream of a trial: its head and its tail",
    ),
];

pub(super) fn read(file: &mut Section, diagnostics: &mut Diagnostics) -> Limits {
    let mut limits = Limits::default();
    let Some(mut section) = table(file, "limits", diagnostics) else {
        return limits;
    };
    limits.time = time(&mut section, "time", diagnostics);
    limits.trial_time = time(&mut section, "trial_time", diagnostics);
    limits.failures = section
        .take_count("failures", 1, diagnostics)
        .map(|(count, _)| count);
    if let Some((count, _)) = section.take_count("quick_failures", 0, diagnostics) {
        limits.quick_failures = u32::try_from(count).ok().filter(|count| *count > 0);
    }
    if let Some(node) = section.take("disk") {
        limits.disk = size_of("disk", &node, diagnostics);
    }
    if let Some(bytes) = section
        .take("log")
        .and_then(|node| size_of("log", &node, diagnostics))
    {
        limits.log = bytes;
    }
    limits
}

fn time(
    section: &mut Section,
    key: &'static str,
    diagnostics: &mut Diagnostics,
) -> Option<Duration> {
    let node = section.take(key)?;
    let time = duration_of(key, &node, diagnostics)?;
    if time.is_zero() {
        let error = Diagnostic::error("too-small", format!("`{key}` leaves no time at all"))
            .at(node.span, "");
        diagnostics.push(error.hint("leave it out for no limit"));
        return None;
    }
    Some(time)
}
