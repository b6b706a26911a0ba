//! `[executor]`: where trials run.

use super::super::{Choice, kinds};
use crate::source::{Diagnostics, Section, Table};

pub(super) fn read(file: &mut Section, diagnostics: &mut Diagnostics) -> Choice {
    let section = file.take_section("executor", diagnostics);
    let mut section = section.unwrap_or_else(|| Section::new("executor", 0..0, Table::default()));
    let Some((name, span)) = section.take_text("name", diagnostics) else {
        section.clone().finish(diagnostics);
        return Choice { name: "pool".to_owned(), span: section.span.clone(), section };
    };
    if kinds::check_executor(&name, span.clone(), diagnostics) && name == "pool" {
        section.clone().finish(diagnostics);
    }
    Choice { name, section, span }
}
