//! Warnings about the syntax of a shell in texts that no shell reads.

use super::template::Names;
use super::{Source, Span};
use std::path::Path;
use swath_engine::executor::BUILT_INS;
use swath_model::source::{Diagnostic, Diagnostics};

/// Programs that read the argument after `-c` as a script.
const SHELLS: &[&str] = &["sh", "bash", "dash", "zsh", "ksh", "fish", "busybox"];

/// Warns of shell syntax in the arguments of a command, unless a shell is among them.
pub(super) fn of_command(
    args: &[(String, Span)],
    source: &Source,
    names: &Names,
    diagnostics: &mut Diagnostics,
) {
    let is_shell = |(text, _): &(String, Span)| {
        let name = Path::new(text).file_name().unwrap_or_default();
        SHELLS.iter().any(|shell| name == *shell)
    };
    if args.iter().any(is_shell) {
        return;
    }
    let mut is_script = false;
    for (text, span) in args {
        // After `-c` or `-e` comes a script in a language of its own.
        if !is_script {
            of_text(text, span, source, names, diagnostics);
        }
        is_script = ["-c", "-e", "--eval", "--execute"].contains(&text.as_str());
    }
}

/// Warns of shell syntax in a text that no shell reads.
pub(super) fn of_text(
    text: &str,
    span: &Span,
    source: &Source,
    names: &Names,
    diagnostics: &mut Diagnostics,
) {
    let Some((part, hint)) = shell_syntax(text, names) else {
        return;
    };
    let place = super::parse::within(source, span, text, &part);
    let message = format!("`{}` stays as it is: no shell reads this", &text[part]);
    diagnostics.push(
        Diagnostic::warning("no-shell", message)
            .at(place, "")
            .hint(hint),
    );
}

/// Returns the first part that only a shell understands, and a hint.
fn shell_syntax(text: &str, names: &Names) -> Option<(Span, String)> {
    if let Some((span, name)) = variable_in(text) {
        return Some((span, format!("write `{}`", placeholder_of(name, names))));
    }
    let home = text
        .match_indices("~/")
        .find(|(index, _)| *index == 0 || text[..*index].ends_with(['=', ':']));
    if let Some((index, _)) = home {
        return Some((index..index + 2, "write `{env:HOME}/`".to_owned()));
    }
    let (open, _) = text.match_indices('`').next()?;
    let close = text[open + 1..].find('`')?;
    Some((
        open..open + close + 2,
        "run a shell: [\"sh\", \"-c\", \"…\"]".to_owned(),
    ))
}

/// Returns the first `$NAME` or `${NAME}` in a text.
fn variable_in(text: &str) -> Option<(Span, &str)> {
    text.match_indices('$').find_map(|(start, _)| {
        let rest = &text[start + 1..];
        let (inner, has_brace) = match rest.strip_prefix('{') {
            Some(inner) => (inner, true),
            None => (rest, false),
        };
        let length = inner
            .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
            .unwrap_or(inner.len());
        let name = &inner[..length];
        let is_closed = !has_brace || inner[length..].starts_with('}');
        let begins = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        let braces = if has_brace { 2 } else { 0 };
        (is_closed && begins).then(|| (start..start + 1 + length + braces, name))
    })
}

/// Returns the placeholder that has the value of an environment variable.
pub(super) fn placeholder_of(variable: &str, names: &Names) -> String {
    let built_in = BUILT_INS
        .iter()
        .find(|built_in| built_in.variable == variable);
    match built_in.map(|built_in| built_in.name) {
        Some(name) if names.params.iter().any(|param| &**param == name) => {
            format!("{{swath.{name}}}")
        }
        Some(name) => format!("{{{name}}}"),
        None => format!("{{env:{variable}}}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn syntax_of_a_shell_is_found_with_the_placeholder_for_it() {
        let names = Names::default();
        for (text, part, hint) in [
            ("--out=$HOME/x", "$HOME", "write `{env:HOME}`"),
            ("${SWATH_SEED}", "${SWATH_SEED}", "write `{seed}`"),
            ("--out=~/x", "~/", "write `{env:HOME}/`"),
            ("a`date`", "`date`", "run a shell: [\"sh\", \"-c\", \"…\"]"),
        ] {
            let (span, found) = shell_syntax(text, &names).expect(text);
            assert_eq!((&text[span], found.as_str()), (part, hint));
        }
        for text in ["^x$", "a~/b", "$1", "${oc.env:HOME}", "5$", "it`s", ""] {
            assert_eq!(shell_syntax(text, &names), None, "{text}");
        }
    }
}
