//! Overrides: values of a sweep file that the command line replaces, such as `search.trials=50`.
//!
//! An override changes the text of the sweep file before it is read, so that it is checked like the
//! file and is part of the text that the study stores. Mistakes in it are shown in its own text.

use super::{Rejected, given};
use swath_model::source::diagnostic::nearest;
use swath_model::source::{Diagnostic, Diagnostics, Node, NodeValue, Source, Span, Table};
use toml_edit::{DocumentMut, InlineTable, Item, Key, TableLike, Value};

/// One override.
#[derive(Debug, Clone, PartialEq)]
pub struct Override {
    /// The override as the user wrote it.
    text: String,
    /// The keys from the top of the file to the value.
    path: Vec<String>,
    /// Whether a parameter that the space does not have is added: the override begins with `+`.
    is_addition: bool,
    /// The value as TOML.
    value: String,
    /// Offset of the value in `text`.
    value_start: usize,
}

/// An override that cannot be applied to the sweep file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OverrideError {
    /// It has no key or no value.
    #[error("`{0}` is not an override of the sweep file")]
    Malformed(String),
    /// It names a key below a value that is not a table, or a table that has keys of its own.
    #[error("`{text}` cannot be applied: `{key}` is {kind}")]
    Mismatch {
        /// The override.
        text: String,
        /// The key in the sweep file.
        key: String,
        /// The type of the key's value, with its article.
        kind: &'static str,
    },
    /// It names a parameter that the space does not have.
    #[error("`{text}` cannot be applied: `[space]` has no parameter `{name}`")]
    UnknownParameter {
        /// The override.
        text: String,
        /// The name of the parameter.
        name: String,
        /// The most similar parameter.
        near: Option<String>,
    },
}

impl OverrideError {
    /// Returns a remedy.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Malformed(_) => {
                "write a key and a value: `search.trials=50` or `space.lr.max=0.3`".to_owned()
            }
            Self::Mismatch { kind, .. } if kind.contains("table") => {
                "name a key of the table, or edit the sweep file".to_owned()
            }
            Self::Mismatch { .. } => "override the whole value, or edit the sweep file".to_owned(),
            Self::UnknownParameter {
                near: Some(near), ..
            } => format!("did you mean `{near}`?"),
            Self::UnknownParameter { text, .. } => format!("`+{text}` adds it"),
        }
    }
}

impl Override {
    /// Parses an override such as `search.trials=50`. A value that is no TOML is a text.
    ///
    /// # Errors
    /// If the text has no `=`, or no key before it.
    pub fn parse(text: &str) -> Result<Self, OverrideError> {
        let malformed = OverrideError::Malformed(text.to_owned());
        let Some((written_path, value)) = text.split_once('=') else {
            return Err(malformed);
        };
        let value_start = written_path.len() + 1;
        let keys = written_path.trim().trim_start_matches('+');
        let path: Vec<String> = match Key::parse(keys) {
            Ok(keys) => keys.iter().map(|key| key.get().to_owned()).collect(),
            // Characters that a key of TOML can contain only in quotes are the shell's business.
            Err(_) => keys.split('.').map(str::to_owned).collect(),
        };
        if path.iter().any(String::is_empty) {
            return Err(malformed);
        }
        Ok(Self {
            text: text.to_owned(),
            path,
            is_addition: written_path.trim_start().starts_with('+'),
            value: given::word(value),
            value_start,
        })
    }

    /// Returns the error for a key on the way to the value whose own value is of another kind.
    fn mismatch(&self, steps: &[Step], kind: &'static str) -> OverrideError {
        let keys: Vec<&str> = steps.iter().map(|(name, _)| name.as_str()).collect();
        OverrideError::Mismatch {
            text: self.text.clone(),
            key: keys.join("."),
            kind,
        }
    }
}

/// A sweep file with overrides.
#[derive(Debug, Clone)]
pub struct Overridden {
    /// The text with the values of the overrides.
    pub source: Source,
    places: Vec<Place>,
}

/// An override, with the spans in the new text that come from it.
#[derive(Debug, Clone)]
struct Place {
    applied: Override,
    value: Span,
    /// The keys that the override added.
    added_keys: Vec<Span>,
}

/// Applies overrides to a sweep file in their order. A text that is not TOML is returned as it is:
/// reading it reports the mistakes.
///
/// # Errors
/// If an override does not fit the file.
pub fn apply(source: Source, overrides: &[Override]) -> Result<Overridden, OverrideError> {
    let places = Vec::new();
    let Ok(mut document) = source.text.parse::<DocumentMut>() else {
        return Ok(Overridden { source, places });
    };
    let mut applied = Vec::new();
    for item in overrides {
        let mut keys = Vec::new();
        set(document.as_table_mut(), false, &item.path, item, &mut keys)?;
        applied.push((item, keys));
    }
    let text = match overrides {
        [] => source.text,
        _ => document.to_string(),
    };
    let table = Table::parse(&text, &mut Diagnostics::default());
    let places = applied
        .into_iter()
        .filter_map(|(item, keys)| place(item, &keys, &table))
        .collect();
    let name = source.name;
    Ok(Overridden {
        source: Source { name, text },
        places,
    })
}

/// A key on the way to a value, and whether the override added it.
type Step = (String, bool);

/// Sets the value of an override in a table or in a table below it. Adds the keys on the way to
/// `steps`.
fn set(
    table: &mut dyn TableLike,
    is_inline: bool,
    path: &[String],
    item: &Override,
    steps: &mut Vec<Step>,
) -> Result<(), OverrideError> {
    let (key, rest) = split_key(table, path);
    let is_parameter = steps.len() == 1 && steps[0].0 == "space";
    if is_parameter && !item.is_addition && !table.contains_key(&key) {
        return Err(OverrideError::UnknownParameter {
            text: item.text.clone(),
            near: nearest(&key, table.iter().map(|(name, _)| name)).map(str::to_owned),
            name: key,
        });
    }
    steps.push((key.clone(), !table.contains_key(&key)));
    if rest.is_empty() {
        let mut value: Value = item
            .value
            .parse()
            .unwrap_or_else(|_| Value::from(item.value.as_str()));
        match table.get_mut(&key) {
            Some(Item::Value(old)) => {
                *value.decor_mut() = old.decor().clone();
                *old = value;
            }
            Some(Item::Table(_)) => return Err(item.mismatch(steps, "a table")),
            Some(Item::ArrayOfTables(_)) => return Err(item.mismatch(steps, "a list of tables")),
            _ => drop(table.insert(&key, Item::Value(value))),
        }
        return Ok(());
    }
    let empty = match is_inline {
        true => Item::Value(Value::InlineTable(InlineTable::new())),
        false => Item::Table(toml_edit::Table::new()),
    };
    let inner = table.entry(&key).or_insert(empty);
    let is_inline = inner.is_inline_table();
    let kind = match inner {
        Item::ArrayOfTables(_) => "a list of tables",
        Item::Value(Value::Array(_)) => "a list",
        _ => "a single value",
    };
    match inner.as_table_like_mut() {
        Some(inner) => set(inner, is_inline, rest, item, steps),
        None => Err(item.mismatch(steps, kind)),
    }
}

/// Splits the first key off a path. A parameter whose name has dots may be one key of the file.
fn split_key<'a>(table: &dyn TableLike, path: &'a [String]) -> (String, &'a [String]) {
    let longest = (2..=path.len()).rev().find_map(|count| {
        let joined = path[..count].join(".");
        table.contains_key(&joined).then_some((joined, count))
    });
    let (key, count) = longest.unwrap_or_else(|| (path[0].clone(), 1));
    (key, &path[count..])
}

/// Finds the value of an override, and the keys that it added, in the new text.
fn place(item: &Override, steps: &[Step], file: &Table) -> Option<Place> {
    let mut table = file;
    let mut added_keys = Vec::new();
    let (last, parents) = steps.split_last()?;
    for step in parents {
        let node = entry(table, step, &mut added_keys)?;
        let NodeValue::Table(inner) = &node.value else {
            return None;
        };
        table = inner;
    }
    let node = entry(table, last, &mut added_keys)?;
    Some(Place {
        applied: item.clone(),
        value: node.span.clone(),
        added_keys,
    })
}

/// Returns the value of a key, and adds the span of a key that the override added to `added_keys`.
fn entry<'a>(
    table: &'a Table,
    (name, is_added): &Step,
    added_keys: &mut Vec<Span>,
) -> Option<&'a Node> {
    let (key, node) = table.entries.iter().find(|(key, _)| key.name == *name)?;
    if *is_added {
        added_keys.push(key.span.clone());
    }
    Some(node)
}

impl Overridden {
    /// Returns a sweep file without overrides.
    #[must_use]
    pub fn unchanged(source: Source) -> Self {
        Self {
            source,
            places: Vec::new(),
        }
    }

    /// Splits diagnostics about the text into those about the file, which come first, and those
    /// about overrides, which point into the text of the override.
    #[must_use]
    pub fn split(&self, source: &Source, diagnostics: &Diagnostics) -> Vec<Rejected> {
        let mut of_file = Diagnostics::default();
        let mut parts = Vec::new();
        for diagnostic in &diagnostics.list {
            match self
                .places
                .iter()
                .find_map(|place| place.relocate(diagnostic))
            {
                Some(part) => parts.push(part),
                None => of_file.push(diagnostic.clone()),
            }
        }
        if !of_file.list.is_empty() {
            let source = source.clone();
            parts.insert(
                0,
                Rejected {
                    source,
                    diagnostics: of_file,
                },
            );
        }
        parts
    }
}

impl Place {
    /// Returns a diagnostic about the override with labels in its text. `None` if no label points
    /// at it.
    fn relocate(&self, diagnostic: &Diagnostic) -> Option<Rejected> {
        let labels: Vec<(Span, String)> = diagnostic
            .labels
            .iter()
            .filter_map(|(span, label)| Some((self.span_in_override(span)?, label.clone())))
            .collect();
        if labels.is_empty() {
            return None;
        }
        let mut diagnostics = Diagnostics::default();
        diagnostics.push(Diagnostic {
            labels,
            ..diagnostic.clone()
        });
        Some(Rejected {
            source: Source {
                name: "command line".to_owned(),
                text: self.applied.text.clone(),
            },
            diagnostics,
        })
    }

    fn span_in_override(&self, span: &Span) -> Option<Span> {
        let Override {
            text, value_start, ..
        } = &self.applied;
        if self.added_keys.contains(span) {
            return Some(0..value_start - 1);
        }
        if span.start < self.value.start || span.end > self.value.end {
            return None;
        }
        // A text without quotes has other offsets than the string in the file.
        if text[*value_start..] != self.applied.value {
            return Some(*value_start..text.len());
        }
        let offset = value_start.checked_sub(self.value.start);
        let shifted = match offset {
            Some(offset) => span.start + offset..span.end + offset,
            None => {
                let offset = self.value.start - value_start;
                span.start - offset..span.end - offset
            }
        };
        Some(shifted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sweep::Sweep;
    use proptest::prelude::*;

    const FILE: &str = "# about\n[run]\ncommand = [\"p\"] # the program\n\n[search]\ntrials = 5 # few\n\n\
                        [space]\nlr = { min = 1e-3, max = 1e-1, log = true } # rate\n\"a.b\" = [1, 2]\n";

    fn overridden(texts: &[&str]) -> Result<Overridden, OverrideError> {
        let overrides: Result<Vec<_>, _> = texts.iter().map(|text| Override::parse(text)).collect();
        let source = Source {
            name: "s.toml".into(),
            text: FILE.into(),
        };
        apply(source, &overrides?)
    }

    fn replaced(texts: &[&str]) -> String {
        overridden(texts).unwrap().source.text
    }

    #[test]
    fn only_the_values_change_and_comments_stay() {
        let text = replaced(&["search.trials=50", "space.lr.max=0.3", "space.a.b=[3]"]);
        let expected = FILE
            .replace("trials = 5 ", "trials = 50 ")
            .replace("max = 1e-1", "max = 0.3")
            .replace("[1, 2]", "[3]");
        assert_eq!(text, expected);
        assert_eq!(replaced(&[]), FILE);
    }

    #[test]
    fn keys_and_tables_that_the_file_lacks_are_added() {
        let text = replaced(&[
            "search.sampler=tpe",
            "limits.time=10m",
            "seed=3",
            "+space.x.choice=[1]",
            "space.lr.digits=3",
        ]);
        let table: toml::Table = text.parse().unwrap();
        assert_eq!(table["search"]["sampler"].as_str(), Some("tpe"));
        assert_eq!(table["limits"]["time"].as_str(), Some("10m"));
        assert_eq!(table["seed"].as_integer(), Some(3));
        assert_eq!(table["space"]["x"]["choice"][0].as_integer(), Some(1));
        assert_eq!(table["space"]["lr"]["digits"].as_integer(), Some(3));
    }

    #[test]
    fn an_override_that_does_not_fit_says_why() {
        for (text, message, hint) in [
            ("trials", "`trials` is not an override", "search.trials=50"),
            ("=3", "`=3` is not an override", "search.trials=50"),
            (
                "search.trials.x=3",
                "`search.trials` is a single value",
                "the whole value",
            ),
            ("search=3", "`search` is a table", "a key of the table"),
            (
                "space.lrr.max=3",
                "`[space]` has no parameter `lrr`",
                "did you mean `lr`?",
            ),
            (
                "space.zoom=3",
                "`[space]` has no parameter `zoom`",
                "`+space.zoom=3` adds it",
            ),
        ] {
            let error = overridden(&[text]).unwrap_err();
            assert!(error.to_string().contains(message), "{error}");
            assert!(error.hint().contains(hint), "{}", error.hint());
        }
    }

    /// Returns the diagnostics about overrides, rendered.
    fn told(texts: &[&str]) -> String {
        let overridden = overridden(texts).unwrap();
        let (source, diagnostics) = match Sweep::parse(overridden.source.clone()) {
            Ok(sweep) => (sweep.source, sweep.warnings),
            Err(rejected) => (rejected.source, rejected.diagnostics),
        };
        let parts = overridden.split(&source, &diagnostics);
        parts.iter().map(|part| part.remarks(false)).collect()
    }

    #[test]
    fn a_mistake_in_an_override_is_shown_in_its_own_text() {
        for (text, caret, message) in [
            (
                "search.trials=fifty",
                "              ^^^^^ this is a string",
                "`trials` must be",
            ),
            ("serach.trials=50", "^^^^^^", "unknown"),
            ("space.lr.max=1e-4", "`max` is 1e-4", "is empty"),
            ("limits.time=[1]", "            ^^^", "`time`"),
        ] {
            let shown = told(&[text]);
            for part in [caret, message, "--> command line:1:", text] {
                assert!(shown.contains(part), "{part}\n{shown}");
            }
        }
    }

    proptest! {
        #[test]
        fn no_override_makes_the_editor_panic(text in "\\PC{0,30}", path in "(space|run|a|[.\"+]){0,6}") {
            for text in [text.clone(), format!("{path}={text}")] {
                if let Ok(overridden) = overridden(&[&text]) {
                    let _ = Sweep::parse(overridden.source.clone()).map_err(|rejected| {
                        overridden.split(&rejected.source, &rejected.diagnostics)
                    });
                }
            }
        }
    }
}
