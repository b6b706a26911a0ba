//! `[replicate]`: the same configuration with several seeds.

use super::super::kinds::refuse_if_not_yet;
use crate::source::{Diagnostics, Section};

pub(super) fn read(file: &mut Section, diagnostics: &mut Diagnostics) -> Option<u32> {
    let mut section = file.take_section("replicate", diagnostics)?;
    refuse_if_not_yet("replicate", section.span.clone(), diagnostics);
    let seeds = section.take_count("seeds", 1, diagnostics);
    section.finish(diagnostics);
    seeds.map(|(seeds, _)| u32::try_from(seeds).unwrap_or(u32::MAX))
}
