//! A kind of sampler, scheduler, executor or tracker: one line in its registry.

use super::Setting;
use crate::source::{Diagnostics, Section};

/// One entry of a registry.
///
/// The registries feed the parser, "did you mean", the generated reference and the conformance suites.
pub struct Kind<T: ?Sized> {
    /// How a sweep file names it.
    pub name: &'static str,
    /// What it is, in half a line.
    pub about: &'static str,
    /// Makes one from its own table of the sweep file (empty if there is none). Takes its keys from the section and calls
    /// [`Section::finish`] itself; returns `None` after reporting what is wrong.
    pub build: fn(Section, &Setting, &mut Diagnostics) -> Option<Box<T>>,
}

/// Finds a kind by name.
#[must_use]
pub fn find<'a, T: ?Sized>(kinds: &'a [Kind<T>], name: &str) -> Option<&'a Kind<T>> {
    kinds.iter().find(|kind| kind.name == name)
}
