//! Parses the arguments of a command. A brace that is no placeholder is an error.

use super::arg::Arg;
use super::piece::{NAMESPACE, PREPARE, Piece};
use super::style::Style;
use super::{Names, TemplateError};
use crate::sweep::shell_lints::placeholder_of;
use swath_engine::executor::{BUILT_INS, RESUME};
use swath_model::source::Span;
use swath_model::source::diagnostic::nearest;

/// Placeholders that make several arguments, or the path of a file.
pub(super) const PLACEHOLDERS: &[&str] = &[
    "args",
    "args:rest",
    "args:argparse",
    "args:click",
    "hydra",
    "hydra:rest",
    "config",
];

/// Hint for braces that are meant as such.
pub(super) const BRACES: &str = "write `{{` and `}}` for braces that are meant as such";

/// A mistake in one argument.
pub(super) struct Fault {
    span: Span,
    message: String,
    hint: Option<String>,
}

/// Parses all arguments, and reports every mistake.
pub(super) fn parse_args(args: &[String], names: &Names) -> Result<Vec<Arg>, Vec<TemplateError>> {
    let mut errors = Vec::new();
    let mut read: Vec<Arg> = Vec::new();
    for (argument, text) in args.iter().enumerate() {
        let has_option = argument > 1 && read.last().is_some_and(Arg::is_option);
        match parse_arg(text, names, has_option) {
            Ok(arg) => read.push(arg),
            Err(fault) => errors.push(TemplateError {
                argument,
                span: fault.span,
                message: fault.message,
                hint: fault.hint,
            }),
        }
    }
    if errors.is_empty() {
        Ok(read)
    } else {
        Err(errors)
    }
}

/// Parses an argument. `has_option` tells whether an option such as `--units` is before it.
fn parse_arg(text: &str, names: &Names, has_option: bool) -> Result<Arg, Fault> {
    let inside = text
        .strip_prefix('{')
        .and_then(|rest| rest.strip_suffix('}'));
    if let Some(switch) = text
        .strip_prefix("--{")
        .and_then(|rest| rest.strip_suffix('}'))
        .and_then(|name| switch(name, names))
    {
        let (name, value) = switch;
        return Ok(Arg::Flag {
            on: format!("--{name}"),
            off: None,
            value,
        });
    }
    if let Some(inside) = inside
        && let Some((name, value, form)) = form_of(inside, names)
    {
        return arg_in_form(text, name, value, form, has_option);
    }
    let of_parameters = inside
        .filter(|inside| names.param(inside).is_none())
        .map(|inside| inside.strip_prefix(NAMESPACE).unwrap_or(inside));
    // The names for `rest` are filled in once all arguments are known.
    let (style, only) = match of_parameters {
        Some("args") => (Style::Options, None),
        Some("args:rest") => (Style::Options, Some(Vec::new())),
        Some("args:argparse") => (Style::Argparse, None),
        Some("args:click") => (Style::Click, None),
        Some("hydra") => (Style::Hydra, None),
        Some("hydra:rest") => (Style::Hydra, Some(Vec::new())),
        _ => return parse_pieces(text, names).map(Arg::Text),
    };
    Ok(Arg::Each { style, only })
}

/// Returns the value of a switch and the name of its option: a parameter, or whether the attempt
/// resumes.
fn switch<'a>(name: &'a str, names: &Names) -> Option<(&'a str, Piece)> {
    match Piece::named(name, names)? {
        value @ Piece::Param(_) => Some((name, value)),
        value if value.is_built_in(RESUME) => Some((RESUME, value)),
        _ => None,
    }
}

/// Splits `{name:form}` into name, value and form; `None` if the text has no form, or if it is a
/// parameter as a whole.
fn form_of<'a>(inside: &'a str, names: &Names) -> Option<(&'a str, Piece, &'a str)> {
    if names.param(inside).is_some() {
        return None;
    }
    // The name of a parameter may have colons of its own.
    inside.rmatch_indices(':').find_map(|(colon, _)| {
        let (name, value) = switch(&inside[..colon], names)?;
        Some((name, value, &inside[colon + 1..]))
    })
}

fn arg_in_form(
    text: &str,
    name: &str,
    value: Piece,
    form: &str,
    has_option: bool,
) -> Result<Arg, Fault> {
    let words = form.strip_prefix("flag=").and_then(|on| on.split_once('/'));
    match (form, words, value) {
        ("flag", _, value) => Ok(Arg::Flag {
            on: format!("--{name}"),
            off: Some(format!("--no-{name}")),
            value,
        }),
        (_, Some((on, off)), value) => Ok(Arg::Flag {
            value,
            on: on.to_owned(),
            off: Some(off.to_owned()).filter(|off| !off.is_empty()),
        }),
        ("each", _, Piece::Param(name)) => Ok(Arg::Elements {
            name,
            repeat: false,
        }),
        ("repeat", _, Piece::Param(name)) if has_option => Ok(Arg::Elements { name, repeat: true }),
        ("repeat", _, Piece::Param(_)) => Err(Fault {
            span: 0..text.len(),
            message: format!("`{text}` has no option before it to repeat"),
            hint: Some(format!("write \"--{name}\", \"{{{name}:repeat}}\"")),
        }),
        _ => Err(Fault {
            span: 0..text.len(),
            message: format!("`{name}` has no form `{form}`"),
            hint: Some(format!(
                "there are `{{{name}}}`, `{{{name}:flag}}`, `{{{name}:flag=--on/--off}}`, \
                 `{{{name}:each}}`, `{{{name}:repeat}}` and `{{{name}[0]}}`"
            )),
        }),
    }
}

fn parse_pieces(text: &str, names: &Names) -> Result<Vec<Piece>, Fault> {
    let mut pieces = Vec::new();
    let mut literal = String::new();
    let mut start = 0;
    while let Some(distance) = text[start..].find(['{', '}']) {
        let brace = start + distance;
        literal.push_str(&text[start..brace]);
        let rest = &text[brace..];
        if rest.starts_with("{{") || rest.starts_with("}}") {
            literal.push_str(&rest[..1]);
            start = brace + 2;
            continue;
        }
        if rest.starts_with('}') {
            return Err(lone_brace(brace, "`}` closes nothing"));
        }
        let Some(end) = rest.find('}') else {
            return Err(lone_brace(brace, "`{` is never closed"));
        };
        if !literal.is_empty() {
            pieces.push(Piece::Literal(std::mem::take(&mut literal)));
        }
        let span = brace..brace + end + 1;
        let inside = &rest[1..end];
        match Piece::named(inside, names) {
            Some(piece) => pieces.push(piece),
            None if text[..brace].ends_with('$') => {
                return Err(variable_of_shell(inside, brace - 1..span.end, names));
            }
            None => {
                return Err(unknown(
                    inside,
                    span.clone(),
                    span.len() == text.len(),
                    names,
                ));
            }
        }
        start = span.end;
    }
    literal.push_str(&text[start..]);
    // An empty argument is kept.
    if !literal.is_empty() || pieces.is_empty() {
        pieces.push(Piece::Literal(literal));
    }
    Ok(pieces)
}

/// Returns the error about a brace without its counterpart.
fn lone_brace(position: usize, message: &str) -> Fault {
    Fault {
        span: position..position + 1,
        message: message.to_owned(),
        hint: Some(BRACES.to_owned()),
    }
}

/// Returns the error about `${NAME}`, which only a shell would understand.
fn variable_of_shell(name: &str, span: Span, names: &Names) -> Fault {
    let placeholder = placeholder_of(name, names);
    Fault {
        span,
        message: format!("unknown placeholder `{{{name}}}`"),
        hint: Some(format!(
            "write `{placeholder}` for the variable, or `${{{{{name}}}}}` for a shell"
        )),
    }
}

/// Returns the error about a placeholder that does not exist, or not at this place.
fn unknown(name: &str, span: Span, is_alone: bool, names: &Names) -> Fault {
    if let Some((param, _, form)) = form_of(name, names) {
        return Fault {
            span,
            message: format!("`{{{param}:{form}}}` must be an argument of its own"),
            hint: None,
        };
    }
    let plain = name.strip_prefix(NAMESPACE).unwrap_or(name);
    if let Some(preparation) = plain.strip_prefix(PREPARE) {
        return unknown_preparation(name, preparation, span, names);
    }
    if plain == "config" || plain.starts_with("config.") {
        return unknown_config(name, span, names);
    }
    if PLACEHOLDERS.contains(&plain) && !is_alone {
        let message =
            format!("`{{{name}}}` makes several arguments and must be an argument of its own");
        return Fault {
            span,
            message,
            hint: None,
        };
    }
    Fault {
        span,
        message: format!("unknown placeholder `{{{name}}}`"),
        hint: Some(suggestion(name, names)),
    }
}

/// Returns the error about a configuration file that `[run] config` does not have.
fn unknown_config(name: &str, span: Span, names: &Names) -> Fault {
    let known: Vec<String> = names.configs.iter().map(|key| config_name(key)).collect();
    Fault {
        span,
        message: format!("`{{{name}}}` names no file of `[run] config`"),
        hint: Some(if known.is_empty() {
            "add the file: [run] config = \"base.yaml\"".to_owned()
        } else {
            format!("there is {}", listed(known.iter().map(String::as_str)))
        }),
    }
}

/// Returns the error about a preparation that the sweep file does not have.
fn unknown_preparation(name: &str, preparation: &str, span: Span, names: &Names) -> Fault {
    let near = nearest(preparation, names.prepared.iter().map(|name| &**name));
    Fault {
        span,
        message: format!("`{{{name}}}` names no `[[prepare]]`"),
        hint: Some(match near {
            Some(near) => format!("did you mean `{{{PREPARE}{near}}}`?"),
            None => format!("add [[prepare]] with name = \"{preparation}\""),
        }),
    }
}

/// Returns the placeholder of a configuration file without its braces.
fn config_name(key: &str) -> String {
    match key {
        "" => "config".to_owned(),
        key => format!("config.{key}"),
    }
}

/// Returns the names of all placeholders that are no parameters.
fn built_ins<'a>() -> impl Iterator<Item = &'a str> {
    let facts = BUILT_INS.iter().map(|built_in| built_in.name);
    facts.chain(PLACEHOLDERS.iter().copied())
}

/// Returns a hint for a placeholder that does not exist.
pub(in crate::sweep) fn suggestion(name: &str, names: &Names) -> String {
    let params = names.params.iter().map(|name| &**name);
    let near = nearest(name, params).or_else(|| nearest(name, built_ins()));
    match near {
        Some(near) if is_word(name) => format!("did you mean `{{{near}}}`?"),
        _ if is_word(name) => {
            let params = names.params.iter().map(|name| &**name);
            format!("the placeholders are {}", listed(params.chain(built_ins())))
        }
        _ => BRACES.to_owned(),
    }
}

/// Returns whether the text between two braces looks like the name of a placeholder.
pub(super) fn is_word(name: &str) -> bool {
    let has_letter = name.chars().any(char::is_alphabetic);
    has_letter
        && name
            .chars()
            .all(|c| c.is_alphanumeric() || "_-.:[]".contains(c))
}

fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names
        .map(|name| format!("`{{{name}}}`"))
        .collect::<Vec<_>>()
        .join(", ")
}
