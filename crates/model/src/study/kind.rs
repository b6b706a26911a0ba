//! A kind of sampler, scheduler, executor or tracker: one entry in its registry.

use super::Setting;
use crate::source::{Diagnostics, Opt, Section};
use std::fmt;

/// One entry of a registry.
///
/// The registries feed the parser, "did you mean", the generated reference and the conformance
/// suites.
pub struct Kind<T: ?Sized> {
    /// The name of the kind in a sweep file.
    pub name: &'static str,
    /// A description of half a line, for the generated reference.
    pub about: &'static str,
    /// The publication that describes the method, if there is one.
    pub paper: Option<&'static str>,
    /// The keys of the kind's own table. Other keys are refused before [`build`](Self::build) is
    /// called.
    pub options: &'static [Opt],
    /// Facts that other parts of the program act on, so that none of them compares names.
    pub capabilities: &'static [Capability],
    /// Builds an instance from its own table of the sweep file; the table is empty if the file has
    /// none. Returns `None` after reporting the errors to the diagnostics. Called by
    /// [`make`](Self::make).
    pub build: fn(Section, &Setting, &mut Diagnostics) -> Option<Box<T>>,
}

/// A fact about a kind that other parts of the program act on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Capability {
    /// A scheduler continues trials from copies of other trials' checkpoints. The checkpoints of
    /// trials that may be copied are then kept, a configuration has no replicates, and recorded
    /// curves cannot show what would have happened.
    Clones,
    /// A sampler proposes each configuration once and then ends. A sweep without `trials` then runs
    /// until all of them are proposed.
    Enumerates,
    /// A sampler proposes configurations without regard to results.
    Independent,
    /// A sampler may propose a configuration that was tried. The others propose each one once, and
    /// end when a finite space is exhausted.
    Repeats,
    /// A scheduler compares trials at rungs: at the resources `min × reductionⁿ`.
    Rungs,
    /// An executor runs trials on this machine, so its cores, memory and GPUs are divided among the
    /// slots.
    Local,
}

impl<T: ?Sized> Kind<T> {
    /// Builds an instance from its own table of the sweep file, after refusing the keys that the
    /// kind does not have. Returns `None` after reporting the errors to `diagnostics`.
    pub fn make(
        &self,
        mut section: Section,
        setting: &Setting,
        diagnostics: &mut Diagnostics,
    ) -> Option<Box<T>> {
        section.refuse_unknown(self.options, diagnostics);
        (self.build)(section, setting, diagnostics)
    }

    /// Returns whether the kind has an option of this name.
    #[must_use]
    pub fn has_option(&self, name: &str) -> bool {
        self.options.iter().any(|option| option.name == name)
    }

    /// Returns whether the kind has `capability`.
    #[must_use]
    pub fn can(&self, capability: Capability) -> bool {
        self.capabilities.contains(&capability)
    }
}

impl<T: ?Sized> Clone for Kind<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: ?Sized> Copy for Kind<T> {}

impl<T: ?Sized> fmt::Debug for Kind<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Kind").field(&self.name).finish()
    }
}

/// Finds a kind by its name; the match is exact.
#[must_use]
pub fn find<'a, T: ?Sized>(kinds: &'a [Kind<T>], name: &str) -> Option<&'a Kind<T>> {
    kinds.iter().find(|kind| kind.name == name)
}
