//! A command line of the sweep file: words with placeholders, some of which fall away if the job
//! has no value for them.

use swath_model::source::{Diagnostic, Diagnostics, NodeValue, Section, Span, Takes};

/// The type of a command line with optional words.
pub(super) const TAKES: Takes =
    Takes::List(&Takes::Either(&[Takes::Text, Takes::List(&Takes::Text)]));

/// Placeholders that are allowed in command lines.
const PLACEHOLDERS: &[&str] = &[
    "script",
    "name",
    "log",
    "id",
    "cpus",
    "gpus",
    "memory_mib",
    "memory_bytes",
    "walltime",
    "walltime_seconds",
    "walltime_minutes",
    "extra",
];

/// A word that is replaced by the words of the option `extra`.
const EXTRA: &str = "{extra}";

/// Start of an optional part of a word, which ends with the matching `}`.
const OPTIONAL: &str = "{?";

/// The value of a placeholder.
#[derive(Debug, Clone)]
pub(super) struct Value {
    pub(super) placeholder: &'static str,
    /// `None` if the sweep file sets no such value: optional words with the placeholder fall away.
    pub(super) text: Option<String>,
    /// The text for a word that is not optional although there is no value.
    pub(super) substitute: &'static str,
}

impl Value {
    pub(super) fn known(placeholder: &'static str, text: impl Into<String>) -> Self {
        Self {
            placeholder,
            text: Some(text.into()),
            substitute: "",
        }
    }
}

/// A program and its arguments.
#[derive(Debug, Clone, Default)]
pub(super) struct CommandLine {
    elements: Vec<Words>,
    /// Position in the sweep file.
    pub(super) span: Span,
}

/// An element of a command line.
#[derive(Debug, Clone)]
enum Words {
    /// A word of its own.
    One(String),
    /// Words that are left out together if one of their placeholders has no value.
    Optional(Vec<String>),
}

impl CommandLine {
    /// Takes a command line, and reports an error if it is missing, empty or has unknown
    /// placeholders.
    pub(super) fn take(
        section: &mut Section,
        key: &'static str,
        diagnostics: &mut Diagnostics,
    ) -> Option<Self> {
        let Some(node) = section.take(key) else {
            if section.has_misspelled(key) {
                return None;
            }
            let error = Diagnostic::error(
                "missing-key",
                format!("the executor `command` needs `{key}`"),
            );
            let names = super::templates::NAMES.join(", ");
            let hint = format!("or set `template` to one of {names}");
            diagnostics.push(error.at(section.span.clone(), "").hint(hint));
            return None;
        };
        let Some(elements) = words_of(&node.value) else {
            let message = format!("`{key}` must be a list of strings, or of lists of strings");
            diagnostics.push(Diagnostic::error("wrong-type", message).at(node.span, ""));
            return None;
        };
        let has_program =
            matches!(elements.first(), Some(Words::One(program)) if !program.is_empty());
        if !has_program {
            let error = Diagnostic::error("missing-command", format!("`{key}` is empty"));
            diagnostics.push(error.at(node.span, "a program comes first"));
            return None;
        }
        let line = Self {
            elements,
            span: node.span.clone(),
        };
        let unknown = line
            .words()
            .flat_map(placeholders)
            .find(|placeholder| !PLACEHOLDERS.contains(placeholder));
        if let Some(unknown) = unknown {
            let message = format!("`{{{unknown}}}` is not a placeholder of `{key}`");
            let error = Diagnostic::error("bad-placeholder", message).at(node.span, "");
            diagnostics.push(error.did_you_mean(unknown, PLACEHOLDERS.iter().copied()));
            return None;
        }
        if line.words().any(has_open_optional) {
            let message = format!("`{key}` has a `{{?` without its `}}`");
            diagnostics.push(Diagnostic::error("bad-placeholder", message).at(node.span, ""));
            return None;
        }
        Some(line)
    }

    /// Puts further words in place of the word `{extra}`. Returns them if there is no such word.
    pub(super) fn insert_extra(
        &mut self,
        extra: Option<(Vec<String>, Span)>,
    ) -> Option<(Vec<String>, Span)> {
        let mut elements = self.elements.iter();
        let index = elements.position(|it| matches!(it, Words::One(word) if word == EXTRA));
        let Some(index) = index else {
            return extra;
        };
        let words = extra.map(|(words, _)| words).unwrap_or_default();
        self.elements
            .splice(index..=index, words.into_iter().map(Words::One));
        None
    }

    fn words(&self) -> impl Iterator<Item = &str> {
        self.elements
            .iter()
            .flat_map(|words| match words {
                Words::One(word) => std::slice::from_ref(word),
                Words::Optional(words) => words.as_slice(),
            })
            .map(String::as_str)
    }

    /// Returns whether a word contains one of these placeholders.
    pub(super) fn has_placeholder(&self, wanted: &[&str]) -> bool {
        self.words()
            .flat_map(placeholders)
            .any(|placeholder| wanted.contains(&placeholder))
    }

    /// Returns whether one of these placeholders is in a word that is passed even without a value.
    pub(super) fn always_passes(&self, wanted: &[&str]) -> bool {
        self.elements.iter().any(|words| match words {
            Words::One(word) => without_optional_parts(word, &[])
                .is_some_and(|rest| placeholders(&rest).any(|name| wanted.contains(&name))),
            Words::Optional(_) => false,
        })
    }

    /// Returns the words of the command line with these values.
    pub(super) fn fill(&self, values: &[Value]) -> Vec<String> {
        let mut filled = Vec::new();
        for words in &self.elements {
            match words {
                Words::One(word) => filled.extend(fill_word(word, values)),
                Words::Optional(words) => {
                    if words.iter().all(|word| has_all_values(word, values)) {
                        filled.extend(words.iter().filter_map(|word| fill_word(word, values)));
                    }
                }
            }
        }
        filled
    }
}

fn words_of(value: &NodeValue) -> Option<Vec<Words>> {
    let NodeValue::Array(items) = value else {
        return None;
    };
    items
        .iter()
        .map(|item| match &item.value {
            NodeValue::Text(word) => Some(Words::One(word.clone())),
            NodeValue::Array(words) => words
                .iter()
                .map(|word| match &word.value {
                    NodeValue::Text(word) => Some(word.clone()),
                    _ => None,
                })
                .collect::<Option<_>>()
                .map(Words::Optional),
            _ => None,
        })
        .collect()
}

/// Returns the placeholders in a word. Only lower-case letters and `_` form one, so that braces of
/// a shell or a pattern do not.
fn placeholders(word: &str) -> impl Iterator<Item = &str> {
    word.split('{')
        .skip(1)
        .filter_map(|part| Some(part.split_once('}')?.0))
        .filter(|name| {
            !name.is_empty()
                && name
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte == b'_')
        })
}

/// Returns the word with its placeholders replaced, without the optional parts that have no value;
/// `None` if nothing but such parts was in the word.
fn fill_word(word: &str, values: &[Value]) -> Option<String> {
    let word = without_optional_parts(word, values)?;
    Some(values.iter().fold(word, |word, value| {
        let text = value.text.as_deref().unwrap_or(value.substitute);
        word.replace(&format!("{{{}}}", value.placeholder), text)
    }))
}

fn has_all_values(word: &str, values: &[Value]) -> bool {
    // A part that is optional by itself does not take the whole word away.
    let required = without_optional_parts(word, &[]).unwrap_or_default();
    placeholders(&required).all(|name| has_value(name, values))
}

fn has_value(placeholder: &str, values: &[Value]) -> bool {
    values
        .iter()
        .any(|value| value.placeholder == placeholder && value.text.is_some())
}

/// Returns the word with each optional part replaced by its text if all its placeholders have
/// values, and by nothing otherwise; `None` if this leaves nothing of the word.
fn without_optional_parts(word: &str, values: &[Value]) -> Option<String> {
    let mut kept = String::new();
    let mut rest = word;
    while let Some(start) = rest.find(OPTIONAL) {
        let inside = &rest[start + OPTIONAL.len()..];
        let Some(length) = matching_brace(inside) else {
            break;
        };
        kept.push_str(&rest[..start]);
        let part = &inside[..length];
        if placeholders(part).all(|name| has_value(name, values)) {
            kept.push_str(part);
        }
        rest = &inside[length + 1..];
    }
    kept.push_str(rest);
    (!kept.is_empty() || word.is_empty()).then_some(kept)
}

fn has_open_optional(word: &str) -> bool {
    word.match_indices(OPTIONAL)
        .any(|(start, _)| matching_brace(&word[start + OPTIONAL.len()..]).is_none())
}

/// Returns the offset of the `}` that closes a brace opened before the text.
fn matching_brace(text: &str) -> Option<usize> {
    let mut depth = 0_u32;
    for (offset, byte) in text.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' if depth == 0 => return Some(offset),
            b'}' => depth -= 1,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use swath_model::source::Table;

    fn take(text: &str) -> (Option<CommandLine>, Vec<String>) {
        let mut diagnostics = Diagnostics::default();
        let table = Table::parse(text, &mut diagnostics);
        let mut section = Section::new("executor", 0..0, table);
        let line = CommandLine::take(&mut section, "submit", &mut diagnostics);
        let messages = diagnostics.list.into_iter().map(|it| it.message).collect();
        (line, messages)
    }

    fn values(gpus: Option<&str>, walltime: Option<&str>) -> Vec<Value> {
        vec![
            Value::known("cpus", "4"),
            Value {
                placeholder: "gpus",
                text: gpus.map(str::to_owned),
                substitute: "0",
            },
            Value {
                placeholder: "walltime",
                text: walltime.map(str::to_owned),
                substitute: "24:00:00",
            },
        ]
    }

    #[test]
    fn optional_words_and_parts_fall_away_without_a_value_and_stay_with_one() {
        let text = "submit = ['qsub', ['-l', 'ngpus={gpus}'], '-l', \
                    'select=1:ncpus={cpus}{?:ngpus={gpus}}{?:w={walltime}}', '{?--gpus={gpus}}']";
        let line = take(text).0.unwrap();
        assert_eq!(
            line.fill(&values(None, None)),
            ["qsub", "-l", "select=1:ncpus=4"]
        );
        assert_eq!(
            line.fill(&values(Some("2"), None)),
            [
                "qsub",
                "-l",
                "ngpus=2",
                "-l",
                "select=1:ncpus=4:ngpus=2",
                "--gpus=2"
            ]
        );
        assert_eq!(
            line.fill(&values(None, Some("1:00"))),
            ["qsub", "-l", "select=1:ncpus=4:w=1:00"]
        );
    }

    #[test]
    fn a_word_that_is_not_optional_gets_a_substitute_and_empty_words_stay() {
        let line = take("submit = ['s', '--gpus={gpus}', '', '{walltime}']")
            .0
            .unwrap();
        assert_eq!(
            line.fill(&values(None, None)),
            ["s", "--gpus=0", "", "24:00:00"]
        );
        assert!(line.always_passes(&["walltime"]));
        assert!(!line.always_passes(&["cpus"]));
        let optional = take("submit = ['s', ['{walltime}'], 'x{?{gpus}}']")
            .0
            .unwrap();
        assert!(!optional.always_passes(&["walltime", "gpus"]));
        assert!(optional.has_placeholder(&["gpus"]));
    }

    #[test]
    fn braces_of_a_shell_are_no_placeholders_and_an_open_optional_part_is_an_error() {
        let line = take("submit = ['sh', '-c', 'x=${A:-1}; { echo; }']")
            .0
            .unwrap();
        assert_eq!(
            line.fill(&values(None, None)),
            ["sh", "-c", "x=${A:-1}; { echo; }"]
        );
        for (text, message) in [
            (
                "submit = ['s', 'a{?:b={gpus}']",
                "`submit` has a `{?` without its `}`",
            ),
            ("submit = [['s']]", "`submit` is empty"),
            (
                "submit = ['s', [3]]",
                "`submit` must be a list of strings, or of lists of strings",
            ),
            (
                "submit = ['s', ['{gpu}']]",
                "`{gpu}` is not a placeholder of `submit`",
            ),
        ] {
            let (line, messages) = take(text);
            assert!(line.is_none(), "{text}");
            assert_eq!(messages, [message], "{text}");
        }
    }
}
