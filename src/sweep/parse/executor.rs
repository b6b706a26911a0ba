//! `[executor]`: where trials run.

use super::super::{Choice, kinds};
use crate::executor::EXECUTORS;
use crate::source::{Diagnostics, Section, Table};

/// Reads the section; what the executor itself takes stays in the [`Choice`].
pub(super) fn read(file: &mut Section, diagnostics: &mut Diagnostics) -> Choice {
    let section = file.take_section("executor", diagnostics);
    let mut section = section.unwrap_or_else(|| Section::new("executor", 0..0, Table::default()));
    match section.take_text("name", diagnostics) {
        Some((name, span)) => {
            kinds::find("executor", EXECUTORS, &name, span.clone(), diagnostics);
            Choice { name, section, span }
        }
        None => Choice { name: "pool".to_owned(), span: section.span.clone(), section },
    }
}
