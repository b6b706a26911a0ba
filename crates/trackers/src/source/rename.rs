//! `rename` of a source: the names that values get in swath.

use std::borrow::Cow;
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
    pub(super) fn name<'a>(&'a self, logged: &'a str) -> Cow<'a, str> {
        Cow::Borrowed(self.0.get(logged).map_or(logged, String::as_str))
    }
}
