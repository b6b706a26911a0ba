//! Diagnostics as text with carets, the way rustc shows them, or as JSON.

use super::{Diagnostic, Level, Source};
use annotate_snippets::{AnnotationKind, Group, Level as Shown, Renderer, Snippet};

/// Renders one diagnostic with the lines it points at.
#[must_use]
pub fn text(source: &Source, diagnostic: &Diagnostic, colour: bool) -> String {
    let level = match diagnostic.level {
        Level::Error => Shown::ERROR,
        Level::Warning => Shown::WARNING,
    };
    let title = level.primary_title(diagnostic.message.as_str()).id(diagnostic.code);
    let mut group = Group::with_title(title);
    if !diagnostic.labels.is_empty() {
        let mut snippet = Snippet::source(source.text.as_str()).path(source.name.as_str()).fold(true);
        for (at, (span, label)) in diagnostic.labels.iter().enumerate() {
            let kind = if at == 0 { AnnotationKind::Primary } else { AnnotationKind::Context };
            let end = span.end.min(source.text.len());
            let annotation = kind.span(span.start.min(end)..end);
            snippet = snippet.annotation(if label.is_empty() {
                annotation
            } else {
                annotation.label(label.as_str())
            });
        }
        group = group.element(snippet);
    }
    for hint in &diagnostic.hints {
        group = group.element(Shown::HELP.message(hint.as_str()));
    }
    let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
    renderer.render(&[group])
}
