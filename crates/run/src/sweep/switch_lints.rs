//! Warnings about switches and lists that the program does not read in the way in which they are
//! passed.
//!
//! The source of a Python program tells: argparse's `BooleanOptionalAction` and click's
//! `--amp/--no-amp` take no value, and `type=bool` reads every text but the empty one as true.
//! `nargs` takes the elements of a list as arguments, and `multiple=True` an option for each.

use super::{Name, Sweep};
use std::path::Path;
use swath_model::source::{Diagnostic, Span};
use swath_model::space::Value;

/// Largest source that is read, in bytes.
const LARGEST: u64 = 1 << 20;

/// The way in which a Python program declares a switch or a list.
#[derive(Clone, Copy, PartialEq)]
enum Declared {
    /// `BooleanOptionalAction`, or click's `--amp/--no-amp`.
    TwoOptions,
    /// `type=bool`
    BoolOfText,
    /// `nargs="+"` and the like
    Elements,
    /// `multiple=True`
    Repeated,
}

/// Returns a warning for each switch that reaches the program with a wrong value.
pub(super) fn of_switches(sweep: &Sweep, workdir: &Path, span: &Span) -> Vec<Diagnostic> {
    let command = &sweep.run.command;
    let scripts: Vec<String> = command
        .words()
        .iter()
        .filter(|word| word.ends_with(".py"))
        .filter_map(|word| source_of(&workdir.join(word)))
        .collect();
    if scripts.is_empty() {
        return Vec::new();
    }
    let mut warnings = Vec::new();
    for name in sweep.space.names() {
        let (is_switch, is_list) = kind(sweep, &name);
        if !is_switch && !is_list {
            continue;
        }
        for (option, is_value) in command.one_sided_options(&name) {
            let declared = scripts.iter().find_map(|source| declared(source, &option));
            let is_misread = |declared: &Declared| match declared {
                Declared::TwoOptions => is_switch,
                // `--{amp}` passes no text that `type=bool` could misread.
                Declared::BoolOfText => is_switch && is_value,
                Declared::Elements | Declared::Repeated => is_list && is_value,
            };
            let declared = declared.filter(is_misread);
            warnings.extend(declared.map(|declared| warning(&name, &option, declared, span)));
        }
    }
    warnings
}

fn warning(name: &str, option: &str, declared: Declared, span: &Span) -> Diagnostic {
    let plain = option.trim_start_matches('-');
    let (message, hint) = match declared {
        Declared::TwoOptions => (
            format!("the program takes `{option}` or `--no-{plain}` for `{name}`, without a value"),
            if plain == name {
                format!("pass it as \"{{{name}:flag}}\"")
            } else {
                format!("pass it as \"{{{name}:flag={option}/--no-{plain}}}\"")
            },
        ),
        Declared::BoolOfText => (
            format!(
                "the program reads `{option}=false` as true: `type=bool` is true for every text"
            ),
            format!(
                "pass it as \"{{{name}:flag={option}=1/{option}=}}\", since only the empty text is false"
            ),
        ),
        Declared::Elements => (
            format!("the program takes the elements of `{name}` as arguments behind `{option}`"),
            format!("pass it as \"{option}\", \"{{{name}:each}}\""),
        ),
        Declared::Repeated => (
            format!("the program takes `{option}` once for each element of `{name}`"),
            format!("pass it as \"{option}\", \"{{{name}:repeat}}\""),
        ),
    };
    let code = match declared {
        Declared::TwoOptions | Declared::BoolOfText => "misread-switch",
        Declared::Elements | Declared::Repeated => "misread-list",
    };
    Diagnostic::warning(code, message)
        .at(span.clone(), "")
        .hint(hint)
}

/// Returns whether a parameter may be a boolean, and whether it may be a list.
fn kind(sweep: &Sweep, name: &Name) -> (bool, bool) {
    let space = &sweep.space;
    let mut kind = (false, false);
    for coordinate in [0.05, 0.3, 0.5, 0.7, 0.95] {
        let params = space.decode(&vec![coordinate; space.dims()]);
        match params.get(name) {
            Some(Value::Bool(_)) => kind.0 = true,
            Some(Value::List(_)) => kind.1 = true,
            _ => {}
        }
    }
    kind
}

fn source_of(path: &Path) -> Option<String> {
    let about = path.metadata().ok()?;
    (about.is_file() && about.len() <= LARGEST)
        .then(|| std::fs::read_to_string(path).ok())
        .flatten()
}

/// Returns how a source declares an option; `None` if it does not, or in another way.
fn declared(source: &str, option: &str) -> Option<Declared> {
    ['"', '\''].into_iter().find_map(|quote| {
        source
            .match_indices(&format!("{quote}{option}"))
            .find_map(|(start, found)| {
                let rest = &source[start + found.len()..];
                if rest.starts_with("/--") {
                    return Some(Declared::TwoOptions);
                }
                let rest = rest.strip_prefix(quote)?;
                let call = &rest[..end_of_call(rest)];
                let packed: String = call.chars().filter(|c| !c.is_whitespace()).collect();
                if packed.contains("BooleanOptionalAction") {
                    Some(Declared::TwoOptions)
                } else if packed.contains("type=bool,") || packed.ends_with("type=bool") {
                    Some(Declared::BoolOfText)
                } else if packed.contains("multiple=True") {
                    Some(Declared::Repeated)
                } else if packed.contains("nargs=")
                    && !packed.contains("nargs='?'")
                    && !packed.contains("nargs=\"?\"")
                {
                    Some(Declared::Elements)
                } else {
                    None
                }
            })
    })
}

/// Returns the position of the parenthesis that closes the call around a text.
fn end_of_call(text: &str) -> usize {
    let mut depth = 0;
    let closing = text.char_indices().find(|(_, c)| {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        depth < 0
    });
    closing.map_or(text.len(), |(index, _)| index)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_declaration_of_a_switch_or_a_list_is_found_in_the_source() {
        let source = "p.add_argument('--amp',\n  action=argparse.BooleanOptionalAction)\n\
                      p.add_argument(\"--fast\", default=f(1), type = bool)\n\
                      @click.option('--scale/--no-scale')\np.add_argument('--lr', type=float)\n\
                      p.add_argument('--ampere', type=bool_of)\n\
                      p.add_argument('--units', nargs='+')\n\
                      @click.option('--knots', multiple=True)";
        let is = |option| declared(source, option);
        assert!(is("--amp") == Some(Declared::TwoOptions));
        assert!(is("--fast") == Some(Declared::BoolOfText));
        assert!(is("--scale") == Some(Declared::TwoOptions));
        assert!(is("--units") == Some(Declared::Elements));
        assert!(is("--knots") == Some(Declared::Repeated));
        assert!(is("--lr").is_none() && is("--ampere").is_none() && is("--x").is_none());
    }
}
