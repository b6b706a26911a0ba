//! Texts of `[run]` that are filled in for each trial, and the rules for the others.

use super::template::{FreeText, Names, UnknownPlaceholder};
use super::{Run, shell_lints};
use swath_model::source::variables::Unset;
use swath_model::source::{Diagnostic, Diagnostics, Source, Span};

/// Texts of `[run]`, besides the command, with placeholders whose values differ between trials.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TrialTexts {
    /// Variables of the environment.
    pub env: Vec<(String, FreeText)>,
    /// Working directory.
    pub workdir: Option<FreeText>,
    /// Data sets, all of them if one differs between trials.
    pub data_dir: Option<Vec<FreeText>>,
}

impl TrialTexts {
    /// Returns all texts.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &FreeText> {
        let env = self.env.iter().map(|(_, text)| text);
        let paths = self.data_dir.iter().flatten().chain(&self.workdir);
        env.chain(paths)
    }

    /// Replaces the variables of the caller by their values.
    pub(super) fn fill(&mut self, lookup: &dyn Fn(&str) -> Option<String>) -> Result<(), Unset> {
        let env = self.env.iter_mut().map(|(_, text)| text);
        let paths = self.data_dir.iter_mut().flatten().chain(&mut self.workdir);
        env.chain(paths).try_for_each(|text| text.fill(lookup))
    }
}

impl Run {
    /// Returns whether the parameter reaches the program: by the command, or by another text of
    /// `[run]`.
    #[must_use]
    pub fn receives(&self, name: &str) -> bool {
        self.command.receives(name) || self.of_trial.iter().any(|text| text.receives(name))
    }
}

/// A text of the sweep file, and the place at which mistakes in it are shown.
pub(super) struct Written<'a> {
    /// Name of the key, for messages.
    pub(super) key: &'a str,
    /// The text.
    pub(super) text: &'a str,
    /// Span of the text in the file.
    pub(super) span: &'a Span,
    /// The file.
    pub(super) source: &'a Source,
}

impl Written<'_> {
    /// Reads a text that may differ between trials, and warns of what looks like a placeholder and
    /// is none.
    pub(super) fn read(&self, names: &Names, diagnostics: &mut Diagnostics) -> FreeText {
        let (text, unknown) = FreeText::parse(self.text, names);
        if self.key != "setup" && self.key != "prelude" {
            shell_lints::of_text(self.text, self.span, self.source, names, diagnostics);
        }
        for placeholder in unknown {
            diagnostics.push(self.unknown(&placeholder, names));
        }
        text
    }

    /// Reads a text that is the same for all trials. The value of a trial in it is an error, for
    /// the reason `why`. `has_data` tells whether all trials have the same data sets.
    pub(super) fn read_for_all(
        &self,
        names: &Names,
        (why, has_data): (&str, bool),
        diagnostics: &mut Diagnostics,
    ) -> FreeText {
        let text = self.read(names, diagnostics);
        let is_static = has_data && text.has_only("data_dir");
        if let Some(name) = text.first_of_trial().filter(|_| !is_static) {
            let message = format!("`{{{name}}}` in `{}` has no value: {why}", self.key);
            diagnostics.push(
                Diagnostic::error("value-of-trial", message)
                    .at(self.span.clone(), "")
                    .hint(format!(
                        "let `command` do what depends on a trial, or write `{{{{{name}}}}}` for the text `{{{name}}}`"
                    )),
            );
        }
        text
    }

    fn unknown(&self, placeholder: &UnknownPlaceholder, names: &Names) -> Diagnostic {
        let name = &placeholder.name;
        let place = super::parse::within(self.source, self.span, self.text, &placeholder.span);
        let message = format!(
            "`{{{name}}}` in `{}` is no placeholder and stays as it is",
            self.key
        );
        Diagnostic::warning("unknown-placeholder", message)
            .at(place, "")
            .hint(super::template::suggestion(name, names))
    }
}
