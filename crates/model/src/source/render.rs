//! Diagnostics as text with carets, in the style of rustc, or as JSON.

use super::secret::masked;
use super::{Diagnostic, Level, Source, Span};
use annotate_snippets::{AnnotationKind, Group, Level as ShownLevel, Renderer, Snippet};
use serde_json::{Value, json};

/// Renders one diagnostic with the source lines its labels point at. Passwords in addresses are
/// masked. `colour` adds ANSI escapes.
#[must_use]
pub fn text(source: &Source, diagnostic: &Diagnostic, colour: bool) -> String {
    let level = match diagnostic.level {
        Level::Error => ShownLevel::ERROR,
        Level::Warning => ShownLevel::WARNING,
    };
    let title = level
        .primary_title(diagnostic.message.as_str())
        .id(diagnostic.code);
    let mut group = Group::with_title(title);
    // Masking keeps the length in bytes, so the spans remain valid.
    let masked_text = masked(&source.text);
    if !diagnostic.labels.is_empty() {
        let mut snippet = Snippet::source(&*masked_text)
            .path(source.name.as_str())
            .fold(true);
        for (index, (span, label)) in diagnostic.labels.iter().enumerate() {
            let kind = if index == 0 {
                AnnotationKind::Primary
            } else {
                AnnotationKind::Context
            };
            let annotation = kind.span(clamp_span(source, span));
            snippet = snippet.annotation(if label.is_empty() {
                annotation
            } else {
                annotation.label(label.as_str())
            });
        }
        group = group.element(snippet);
    }
    let mut groups = vec![group];
    groups.extend(
        diagnostic
            .hints
            .iter()
            .map(|hint| Group::with_title(ShownLevel::HELP.secondary_title(hint.as_str()))),
    );
    let renderer = if colour {
        Renderer::styled()
    } else {
        Renderer::plain()
    };
    renderer.render(&groups)
}

/// Renders one diagnostic as JSON. Lines and columns count from one, columns in characters.
#[must_use]
pub fn json(source: &Source, diagnostic: &Diagnostic) -> Value {
    let labels: Vec<_> = diagnostic
        .labels
        .iter()
        .map(|(span, label)| {
            let (line, column) = source.position(span.start);
            let (end_line, end_column) = source.position(span.end);
            json!({
                "line": line,
                "column": column,
                "end_line": end_line,
                "end_column": end_column,
                "label": label,
            })
        })
        .collect();
    let level = match diagnostic.level {
        Level::Error => "error",
        Level::Warning => "warning",
    };
    json!({
        "level": level,
        "code": diagnostic.code,
        "message": diagnostic.message,
        "file": source.name,
        "labels": labels,
        "hints": diagnostic.hints,
    })
}

/// Moves both ends of a span down to character boundaries inside the text.
fn clamp_span(source: &Source, span: &Span) -> Span {
    let [start, end] = [span.start, span.end].map(|offset| {
        source
            .text
            .floor_char_boundary(offset.min(source.text.len()))
    });
    start..end.max(start)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> (Source, Diagnostic) {
        let text = "name = \"mlp\"\n\n[space]\nlr     = { min = 1e-1, max = 1e-5, log = true }\n";
        let diagnostic = Diagnostic::error("empty-range", "the range of `lr` is empty")
            .at(span_of(text, "1e-1"), "`min` is 1e-1")
            .at(span_of(text, "1e-5"), "`max` is 1e-5")
            .hint("swap them: { min = 1e-5, max = 1e-1, log = true }");
        (
            Source {
                name: "sweeps/mlp.toml".into(),
                text: text.into(),
            },
            diagnostic,
        )
    }

    fn span_of(text: &str, part: &str) -> Span {
        let start = text.find(part).unwrap();
        start..start + part.len()
    }

    #[test]
    fn an_error_shows_its_lines_with_carets_and_what_to_do() {
        let (source, diagnostic) = example();
        insta::assert_snapshot!(text(&source, &diagnostic, false), @r"
        error[empty-range]: the range of `lr` is empty
         --> sweeps/mlp.toml:4:18
          |
        4 | lr     = { min = 1e-1, max = 1e-5, log = true }
          |                  ^^^^        ---- `max` is 1e-5
          |                  |
          |                  `min` is 1e-1
          |
        help: swap them: { min = 1e-5, max = 1e-1, log = true }
        ");
    }

    #[test]
    fn json_has_lines_columns_and_the_code() {
        let (source, diagnostic) = example();
        let json = json(&source, &diagnostic);
        assert_eq!(
            (
                &json["code"],
                &json["labels"][0]["line"],
                &json["labels"][0]["column"]
            ),
            (&json!("empty-range"), &json!(4), &json!(18))
        );
    }

    #[test]
    fn spans_beyond_the_text_or_within_a_character_are_moved_to_the_nearest_boundary() {
        let source = Source {
            name: "x".into(),
            text: "ü = 1".into(),
        };
        for span in [1..1, 0..1, 1..2, 5..90, 90..95] {
            assert_ne!(
                text(&source, &Diagnostic::error("x", "x").at(span, "here"), true),
                ""
            );
        }
        let empty = Source {
            name: "x".into(),
            text: String::new(),
        };
        assert_ne!(
            text(&empty, &Diagnostic::error("x", "x").at(0..3, ""), false),
            ""
        );
    }
}
