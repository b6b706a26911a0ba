//! A sweep file that cannot be used, with all its diagnostics.

use super::Sweep;
use std::fmt::{self, Write as _};
use swath_model::source::{Diagnostics, Level, Source, render};

/// Maximum number of diagnostics shown. More of them usually have one cause.
const SHOWN: usize = 50;

/// A sweep file that cannot be used.
#[derive(Debug, Clone)]
pub struct Rejected {
    /// Name and text of the file.
    pub source: Source,
    /// All diagnostics, errors and warnings.
    pub diagnostics: Diagnostics,
}

impl Rejected {
    /// Renders the diagnostics with the source lines they point at, and a last line that counts
    /// them.
    #[must_use]
    pub fn render(&self, colour: bool) -> String {
        let mut text = remarks(&self.source, &self.diagnostics, colour);
        let _ = writeln!(text, "{}", self.summary());
        text
    }

    /// Returns the last line of the rendered diagnostics, which counts them.
    #[must_use]
    pub fn summary(&self) -> String {
        format!(
            "error: sweep file `{}` has {}",
            self.source.name,
            self.count()
        )
    }

    /// Renders the diagnostics with the source lines they point at. At most 50 are shown.
    #[must_use]
    pub fn remarks(&self, colour: bool) -> String {
        remarks(&self.source, &self.diagnostics, colour)
    }

    /// Returns the diagnostics as a JSON array, each with its lines and columns.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        json(&self.source, &self.diagnostics)
    }

    fn count(&self) -> String {
        let total = self.diagnostics.list.len();
        let errors = self.diagnostics.list.iter();
        let errors = errors.filter(|it| it.level == Level::Error).count();
        match (errors, total - errors) {
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

fn counted(count: usize, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{plural}")
}

/// Renders diagnostics in the order of the file, errors and warnings mixed, with an empty line
/// after each. Diagnostics without a label come first.
fn remarks(source: &Source, diagnostics: &Diagnostics, colour: bool) -> String {
    let mut list: Vec<_> = diagnostics.list.iter().collect();
    list.sort_by_key(|it| it.labels.first().map_or(0, |(span, _)| span.start));
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

/// Returns at most 50 diagnostics as a JSON array.
fn json(source: &Source, diagnostics: &Diagnostics) -> serde_json::Value {
    diagnostics
        .list
        .iter()
        .take(SHOWN)
        .map(|diagnostic| render::json(source, diagnostic))
        .collect()
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.render(false).trim_end())
    }
}

impl std::error::Error for Rejected {}

impl Sweep {
    /// Renders the warnings with the source lines they point at.
    #[must_use]
    pub fn remarks(&self, colour: bool) -> String {
        remarks(&self.source, &self.warnings, colour)
    }
}
