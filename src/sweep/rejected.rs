//! A sweep file that cannot be used, with everything that is wrong with it.

use super::Sweep;
use crate::source::{Diagnostics, Level, Source, render};
use std::fmt::{self, Write as _};

/// How many diagnostics are shown at most: a file with more has one cause.
const SHOWN: usize = 50;

/// A sweep file that cannot be used.
#[derive(Debug, Clone)]
pub struct Rejected {
    /// The file.
    pub source: Source,
    /// Everything found, errors and warnings.
    pub diagnostics: Diagnostics,
}

impl Rejected {
    /// Renders every diagnostic with the lines it points at, and a last line that counts them.
    #[must_use]
    pub fn render(&self, colour: bool) -> String {
        let mut text = remarks(&self.source, &self.diagnostics, colour);
        let _ = writeln!(
            text,
            "error: sweep file `{}` has {}",
            self.source.name,
            self.count()
        );
        text
    }

    /// Renders every diagnostic with the lines it points at.
    #[must_use]
    pub fn remarks(&self, colour: bool) -> String {
        remarks(&self.source, &self.diagnostics, colour)
    }

    /// Returns the diagnostics as JSON, each with its line and column.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        json(&self.source, &self.diagnostics)
    }

    fn count(&self) -> String {
        let of = |level| {
            self.diagnostics
                .list
                .iter()
                .filter(|found| found.level == level)
                .count()
        };
        let counted = |count, what| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
        match (of(Level::Error), of(Level::Warning)) {
            (errors, 0) => counted(errors, "error"),
            (0, warnings) => counted(warnings, "warning"),
            (errors, warnings) => format!(
                "{}, {}",
                counted(errors, "error"),
                counted(warnings, "warning")
            ),
        }
    }
}

/// Renders diagnostics in the order of the file, errors and warnings mixed, an empty line after
/// each.
fn remarks(source: &Source, diagnostics: &Diagnostics, colour: bool) -> String {
    let mut list: Vec<_> = diagnostics.list.iter().collect();
    list.sort_by_key(|found| found.labels.first().map_or(0, |(span, _)| span.start));
    let mut text = String::new();
    for diagnostic in list.iter().take(SHOWN) {
        text.push_str(&render::text(source, diagnostic, colour));
        text.push_str("\n\n");
    }
    if list.len() > SHOWN {
        let _ = writeln!(text, "… and {} more\n", list.len() - SHOWN);
    }
    text
}

/// Returns diagnostics as a JSON array.
fn json(source: &Source, diagnostics: &Diagnostics) -> serde_json::Value {
    diagnostics
        .list
        .iter()
        .take(SHOWN)
        .map(|found| render::json(source, found))
        .collect()
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.render(false).trim_end())
    }
}

impl std::error::Error for Rejected {}

impl Sweep {
    /// Renders the warnings with the lines they point at.
    #[must_use]
    pub fn remarks(&self, colour: bool) -> String {
        remarks(&self.source, &self.warnings, colour)
    }

    /// Returns the warnings as JSON, each with its line and column.
    #[must_use]
    pub fn remarks_json(&self) -> serde_json::Value {
        json(&self.source, &self.warnings)
    }
}
