//! A table that is read key by key, so that the keys left over can be reported as unknown.

use super::diagnostic::nearest;
use super::tree::quoted;
use super::{Diagnostic, Diagnostics, Key, Node, NodeValue, Opt, Span, Table};

/// A table of the sweep file while it is being read.
///
/// The `take` methods remove the entries that they return. [`refuse_unknown`](Self::refuse_unknown)
/// declares the options of the table and reports all other keys, with "did you mean" over the
/// declared ones. For a table without declared options, [`finish`](Self::finish) reports the keys
/// that were never taken. A value of the wrong type is reported at once and reads as absent.
#[derive(Debug, Clone)]
pub struct Section {
    /// Dotted name of the table in messages, such as `search.tpe`; empty for the whole file.
    pub path: String,
    /// Byte range of the table in the file.
    pub span: Span,
    /// Whether the table is one of an array of tables, such as `[[tracker]]`.
    pub is_listed: bool,
    entries: Vec<(Key, Node)>,
    known_keys: Vec<&'static str>,
    /// Whether `known_keys` was declared, instead of collected from the keys that were taken.
    declared: bool,
    /// Unknown keys that were found and removed.
    refused: Vec<String>,
}

impl Section {
    /// Starts reading a table. No key is known yet.
    pub fn new(path: impl Into<String>, span: Span, table: Table) -> Self {
        Self {
            path: path.into(),
            span,
            is_listed: false,
            entries: table.entries,
            known_keys: Vec::new(),
            declared: false,
            refused: Vec::new(),
        }
    }

    /// Takes a value of any type. Returns `None` if the key is absent.
    pub fn take(&mut self, key: &'static str) -> Option<Node> {
        self.take_with_key(key).map(|(_, node)| node)
    }

    /// Takes a value of any type together with its key. Returns `None` if the key is absent.
    pub fn take_with_key(&mut self, key: &'static str) -> Option<(Key, Node)> {
        let is_known = self.known_keys.contains(&key);
        debug_assert!(
            is_known || !self.declared,
            "`[{}]` reads `{key}`: declare it as an `Opt`",
            self.path
        );
        if !is_known {
            self.known_keys.push(key);
        }
        let index = self
            .entries
            .iter()
            .position(|(entry, _)| entry.name == key)?;
        Some(self.entries.remove(index))
    }

    /// Shows each string of a list, with its span, to `edit`, which may change it. The entry stays.
    pub fn edit_texts(&mut self, key: &str, edit: &mut dyn FnMut(&mut String, &Span)) {
        let entry = self.entries.iter_mut().find(|(entry, _)| entry.name == key);
        let Some(NodeValue::Array(items)) = entry.map(|(_, node)| &mut node.value) else {
            return;
        };
        for item in items {
            if let NodeValue::Text(text) = &mut item.value {
                edit(text, &item.span);
            }
        }
    }

    /// Takes all remaining entries in the order of the file. Used for tables whose keys are chosen
    /// by the user.
    pub fn take_rest(&mut self) -> Vec<(Key, Node)> {
        std::mem::take(&mut self.entries)
    }

    /// Returns the entries that were not taken, as a TOML document.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let entries = self.entries.iter();
        let lines = entries.map(|(key, node)| format!("{} = {}\n", quoted(&key.name), node.value));
        lines.collect()
    }

    /// Takes a string. Reports a value of any other type and returns `None`.
    pub fn take_text(
        &mut self,
        key: &'static str,
        diagnostics: &mut Diagnostics,
    ) -> Option<(String, Span)> {
        let node = self.take(key)?;
        match node.value {
            NodeValue::Text(text) => Some((text, node.span)),
            other => self.report_wrong_type(key, "a string", &other, node.span, diagnostics),
        }
    }

    /// Takes a list of strings. Reports any other value or item and returns `None`.
    pub fn take_texts(
        &mut self,
        key: &'static str,
        diagnostics: &mut Diagnostics,
    ) -> Option<(Vec<String>, Span)> {
        let node = self.take(key)?;
        let NodeValue::Array(items) = node.value else {
            return self.report_wrong_type(
                key,
                "a list of strings",
                &node.value,
                node.span,
                diagnostics,
            );
        };
        let mut texts = Vec::new();
        for item in items {
            match item.value {
                NodeValue::Text(text) => texts.push(text),
                other => {
                    return self.report_wrong_type(
                        key,
                        "a list of strings",
                        &other,
                        item.span,
                        diagnostics,
                    );
                }
            }
        }
        Some((texts, node.span))
    }

    /// Takes a boolean. Reports a value of any other type and returns `None`.
    pub fn take_bool(
        &mut self,
        key: &'static str,
        diagnostics: &mut Diagnostics,
    ) -> Option<(bool, Span)> {
        let node = self.take(key)?;
        match node.value {
            NodeValue::Bool(flag) => Some((flag, node.span)),
            other => {
                self.report_wrong_type(key, "`true` or `false`", &other, node.span, diagnostics)
            }
        }
    }

    /// Takes a finite number, an integer or a float. Reports any other value and returns `None`.
    pub fn take_number(
        &mut self,
        key: &'static str,
        diagnostics: &mut Diagnostics,
    ) -> Option<(f64, Span)> {
        let node = self.take(key)?;
        match node.value {
            NodeValue::Float(number) if number.is_finite() => Some((number, node.span)),
            NodeValue::Int(number) => Some((number as f64, node.span)),
            other => self.report_wrong_type(key, "a finite number", &other, node.span, diagnostics),
        }
    }

    /// Takes a whole number of at least `least`. Reports any other value and returns `None`.
    pub fn take_count(
        &mut self,
        key: &'static str,
        least: u64,
        diagnostics: &mut Diagnostics,
    ) -> Option<(u64, Span)> {
        let node = self.take(key)?;
        let NodeValue::Int(number) = node.value else {
            return self.report_wrong_type(
                key,
                "a whole number",
                &node.value,
                node.span,
                diagnostics,
            );
        };
        match u64::try_from(number) {
            Ok(count) if count >= least => Some((count, node.span)),
            _ => {
                let message = format!("`{key}` must be at least {least}");
                diagnostics.push(
                    Diagnostic::error("too-small", message).at(node.span, format!("is {number}")),
                );
                None
            }
        }
    }

    /// Takes a table as a section of its own, whose path is this path and `key`. Reports a value of
    /// any other type and returns `None`.
    pub fn take_section(
        &mut self,
        key: &'static str,
        diagnostics: &mut Diagnostics,
    ) -> Option<Self> {
        let node = self.take(key)?;
        let path = if self.path.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.path)
        };
        match node.value {
            NodeValue::Table(table) => Some(Self::new(path, node.span, table)),
            other => self.report_wrong_type(key, "a table", &other, node.span, diagnostics),
        }
    }

    /// Adds the entries of `defaults` whose keys this table does not have. Diagnostics about them
    /// point at `span`, because their text is not in the file.
    pub fn add_defaults(&mut self, defaults: Table, span: &Span) {
        for (key, node) in defaults.entries {
            if self.entries.iter().all(|(entry, _)| entry.name != key.name) {
                let (name, span) = (key.name, span.clone());
                self.entries.push((
                    Key {
                        name,
                        span: span.clone(),
                    },
                    Node { span, ..node },
                ));
            }
        }
    }

    /// Declares the names of keys that this table takes. May be called more than once.
    pub fn declare(&mut self, names: impl IntoIterator<Item = &'static str>) {
        self.declared = true;
        for name in names {
            if !self.known_keys.contains(&name) {
                self.known_keys.push(name);
            }
        }
    }

    /// Returns the names of the keys that were declared or taken so far.
    #[must_use]
    pub fn known_keys(&self) -> &[&'static str] {
        &self.known_keys
    }

    /// Returns whether unknown keys were found. One of them may be a misspelled required key, so
    /// callers should not also report that key as missing.
    #[must_use]
    pub fn has_refused(&self) -> bool {
        !self.refused.is_empty()
    }

    /// Returns whether an unknown key was probably meant to be `key`. The error about it says so,
    /// and `key` should not also be reported as missing.
    #[must_use]
    pub fn has_misspelled(&self, key: &str) -> bool {
        self.refused
            .iter()
            .any(|refused| nearest(refused, self.known_keys.iter().copied()) == Some(key))
    }

    /// Removes the keys that are neither declared nor taken so far, and returns them.
    pub fn take_unknown(&mut self) -> Vec<Key> {
        let entries = std::mem::take(&mut self.entries);
        let (known, unknown): (Vec<_>, Vec<_>) = entries
            .into_iter()
            .partition(|(key, _)| self.known_keys.contains(&key.name.as_str()));
        self.entries = known;
        self.refused
            .extend(unknown.iter().map(|(key, _)| key.name.clone()));
        unknown.into_iter().map(|(key, _)| key).collect()
    }

    /// Declares the options of this table. Reports and removes every key that is not one of them.
    pub fn refuse_unknown(&mut self, options: &'static [Opt], diagnostics: &mut Diagnostics) {
        self.declare(options.iter().map(|option| option.name));
        for key in self.take_unknown() {
            diagnostics.push(self.unknown(&key));
        }
    }

    /// Reports every key that was not taken.
    pub fn finish(self, diagnostics: &mut Diagnostics) {
        for (key, _) in &self.entries {
            diagnostics.push(self.unknown(key));
        }
    }

    /// Returns the error for an unknown key. Its hint names the nearest known key, or lists all of
    /// them.
    #[must_use]
    pub fn unknown(&self, key: &Key) -> Diagnostic {
        let location = match (&*self.path, self.is_listed) {
            ("", _) => String::new(),
            (path, true) => format!(" in `[[{path}]]`"),
            (path, false) => format!(" in `[{path}]`"),
        };
        let message = format!("unknown key `{}`{location}", key.name);
        let diagnostic = Diagnostic::error("unknown-key", message)
            .at(key.span.clone(), "not a key of this table")
            .did_you_mean(&key.name, self.known_keys.iter().copied());
        // Without a similar name, all known names are listed.
        if diagnostic.hints.is_empty() && !self.known_keys.is_empty() {
            let names: Vec<_> = self
                .known_keys
                .iter()
                .map(|name| format!("`{name}`"))
                .collect();
            return diagnostic.hint(format!("known keys: {}", names.join(", ")));
        }
        diagnostic
    }

    /// Reports a value of the wrong type. Returns `None`.
    fn report_wrong_type<T>(
        &self,
        key: &str,
        expected: &str,
        value: &NodeValue,
        span: Span,
        diagnostics: &mut Diagnostics,
    ) -> Option<T> {
        let message = format!("`{key}` must be {expected}");
        diagnostics.push(
            Diagnostic::error("wrong-type", message).at(span, format!("this is {}", value.kind())),
        );
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(text: &str) -> Section {
        let mut diagnostics = Diagnostics::default();
        let table = Table::parse(text, &mut diagnostics);
        assert_eq!(diagnostics, Diagnostics::default());
        Section::new("limits", 0..text.len(), table)
    }

    #[test]
    fn a_key_that_was_not_taken_is_unknown_and_the_nearest_known_one_is_suggested() {
        let mut diagnostics = Diagnostics::default();
        let mut limits = section("failurs = 3\nlog = 1");
        assert_eq!(limits.take_count("failures", 1, &mut diagnostics), None);
        assert_eq!(
            limits.take_count("log", 1, &mut diagnostics),
            Some((1, 18..19))
        );
        limits.finish(&mut diagnostics);
        let expected = Diagnostic::error("unknown-key", "unknown key `failurs` in `[limits]`")
            .at(0..7, "not a key of this table")
            .hint("did you mean `failures`?");
        assert_eq!(diagnostics.list, [expected]);
    }

    #[test]
    fn a_key_that_is_not_declared_is_refused_before_anything_is_read() {
        const FAILURES: Opt = Opt::new(
            "failures",
            crate::source::Takes::Count(1),
            crate::source::Preset::Absent,
            "",
        );
        let mut diagnostics = Diagnostics::default();
        let mut limits = section("failurs = 3\nfailures = 1");
        limits.refuse_unknown(&[FAILURES], &mut diagnostics);
        let hints: Vec<_> = diagnostics
            .list
            .iter()
            .flat_map(|diagnostic| diagnostic.hints.clone())
            .collect();
        assert_eq!(hints, ["did you mean `failures`?"]);
        assert_eq!(
            limits
                .take_count("failures", 1, &mut diagnostics)
                .map(|(count, _)| count),
            Some(1)
        );
        limits.finish(&mut diagnostics);
        assert_eq!(
            diagnostics.list.len(),
            1,
            "a refused key is not reported again"
        );
    }

    #[test]
    fn a_default_counts_only_for_a_key_that_the_table_does_not_have() {
        let mut diagnostics = Diagnostics::default();
        let mut executor = section("a = 1");
        let defaults = Table::parse("a = 2\nb = 3", &mut diagnostics);
        executor.add_defaults(defaults, &(7..9));
        assert_eq!(
            executor.take_count("a", 1, &mut diagnostics),
            Some((1, 4..5))
        );
        assert_eq!(
            executor.take_count("b", 1, &mut diagnostics),
            Some((3, 7..9))
        );
    }

    #[test]
    fn a_value_of_the_wrong_type_is_reported_and_reads_as_absent() {
        let mut diagnostics = Diagnostics::default();
        let mut limits = section("a = 1\nb = 'x'\nc = nan\nd = -1\ne = 1\nf = ['x', 1]\ng = ['x']");
        assert_eq!(limits.take_text("a", &mut diagnostics), None);
        assert_eq!(limits.take_bool("b", &mut diagnostics), None);
        assert_eq!(limits.take_number("c", &mut diagnostics), None);
        assert_eq!(limits.take_count("d", 0, &mut diagnostics), None);
        assert!(limits.take_section("e", &mut diagnostics).is_none());
        assert_eq!(limits.take_texts("f", &mut diagnostics), None);
        assert_eq!(limits.take_texts("g", &mut diagnostics).unwrap().0, ["x"]);
        let messages: Vec<_> = diagnostics
            .list
            .iter()
            .map(|diagnostic| diagnostic.message.as_str())
            .collect();
        let expected = [
            "`a` must be a string",
            "`b` must be `true` or `false`",
            "`c` must be a finite number",
            "`d` must be at least 0",
            "`e` must be a table",
            "`f` must be a list of strings",
        ];
        assert_eq!(messages, expected);
    }
}
