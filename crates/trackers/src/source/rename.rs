//! `rename` of a source: the names that values get in swath.

use std::collections::BTreeMap;
use swath_model::source::{Diagnostic, Diagnostics, NodeValue, Opt, Preset, Section, Takes};

/// The option of every source.
pub(super) const RENAME: Opt = Opt::new(
    "rename",
    Takes::Table(&Takes::Text),
    Preset::Absent,
    "names in swath, by the names that the program logs: `{ \"val/loss\" = \"val_loss\" }`",
);

/// Maps the names that a program logs to names in swath.
#[derive(Debug, Clone, Default)]
pub(super) struct Rename(BTreeMap<String, String>);

impl Rename {
    /// Takes the option of a source from its table.
    pub(super) fn take(section: &mut Section, diagnostics: &mut Diagnostics) -> Self {
        let mut names = BTreeMap::new();
        let Some(mut table) = section.take_section("rename", diagnostics) else {
            return Self::default();
        };
        for (key, node) in table.take_rest() {
            match node.value {
                NodeValue::Text(name) if !name.is_empty() => {
                    names.insert(key.name, name);
                }
                other => {
                    let message = format!("the new name of `{}` must be a string", key.name);
                    let error = Diagnostic::error("wrong-type", message);
                    diagnostics.push(error.at(node.span, format!("this is {}", other.kind())));
                }
            }
        }
        Self(names)
    }

    /// Returns the name in swath of a name that the program logs.
    ///
    /// `from` is the place that logs it. Where several files have the same name, the last folder of
    /// the file tells them apart: `"validation/loss" = "val_loss"`.
    pub(super) fn name<'a>(&'a self, from: &str, logged: &'a str) -> &'a str {
        if self.0.is_empty() {
            return logged;
        }
        let folder = from.rsplit('/').nth(1).unwrap_or_default();
        let name = self.0.get(logged);
        name.or_else(|| self.0.get(&format!("{folder}/{logged}")))
            .map_or(logged, String::as_str)
    }
}
