//! `[capture]`: regular expressions that extract metrics from the program's output.

use super::within;
use regex::Regex;
use swath_model::source::{Diagnostic, Diagnostics, NodeValue, Section, Source};
use swath_model::space::Name;

pub(super) fn read(
    file: &mut Section,
    source: &Source,
    diagnostics: &mut Diagnostics,
) -> Vec<(Name, Regex)> {
    let Some(mut section) = file.take_section("capture", diagnostics) else {
        return Vec::new();
    };
    let mut captures = Vec::new();
    for (key, node) in section.take_rest() {
        let NodeValue::Text(pattern) = &node.value else {
            let message = format!("`{}` must be a regular expression", key.name);
            let label = format!("this is {}", node.value.kind());
            diagnostics.push(Diagnostic::error("wrong-type", message).at(node.span, label));
            continue;
        };
        match Regex::new(pattern) {
            Ok(regex) if regex.captures_len() < 2 => {
                let message = format!("the expression of `{}` captures nothing", key.name);
                let error = Diagnostic::error("no-group", message).at(node.span, "no parentheses");
                diagnostics.push(error.hint(format!(
                    r"put the value in parentheses: '{}=(\S+)'",
                    key.name
                )));
            }
            Ok(regex) => captures.push((Name::from(key.name), regex)),
            Err(error) => {
                let message = format!("the expression of `{}` cannot be read", key.name);
                let place = within(source, &node.span, pattern, &(0..pattern.len()));
                diagnostics.push(Diagnostic::error("bad-regex", message).at(place, reason(&error)));
            }
        }
    }
    captures
}

/// Returns the last line of the regex parser's message, which states the mistake.
fn reason(error: &regex::Error) -> String {
    let text = error.to_string();
    let last = text.lines().last().unwrap_or_default();
    last.trim_start_matches("error: ")
        .trim_end_matches('.')
        .to_owned()
}
