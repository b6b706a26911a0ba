//! `[limits]`: when to give up.

use super::super::Limits;
use crate::source::units::{duration_of, size_of};
use crate::source::{Diagnostic, Diagnostics, Section};
use std::time::Duration;

pub(super) fn read(file: &mut Section, diagnostics: &mut Diagnostics) -> Limits {
    let mut limits = Limits::default();
    let Some(mut section) = file.take_section("limits", diagnostics) else { return limits };
    limits.time = time(&mut section, "time", diagnostics);
    limits.trial_time = time(&mut section, "trial_time", diagnostics);
    limits.failures = section.take_count("failures", 1, diagnostics).map(|(count, _)| count);
    if let Some((count, _)) = section.take_count("quick_failures", 0, diagnostics) {
        limits.quick_failures = u32::try_from(count).ok().filter(|count| *count > 0);
    }
    if let Some(node) = section.take("disk") {
        limits.disk = size_of("disk", &node, diagnostics);
    }
    if let Some(bytes) = section.take("log").and_then(|node| size_of("log", &node, diagnostics)) {
        limits.log = bytes;
    }
    section.finish(diagnostics);
    limits
}

fn time(section: &mut Section, key: &'static str, diagnostics: &mut Diagnostics) -> Option<Duration> {
    let node = section.take(key)?;
    let time = duration_of(key, &node, diagnostics)?;
    if time.is_zero() {
        let error =
            Diagnostic::error("too-small", format!("`{key}` leaves no time at all")).at(node.span, "");
        diagnostics.push(error.hint("leave it out for no limit"));
        return None;
    }
    Some(time)
}
