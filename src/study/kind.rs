//! A kind of sampler, scheduler, executor or tracker: one line in its registry.

use super::Setting;
use crate::source::{Diagnostics, Opt, Section};
use std::fmt;

/// One entry of a registry.
///
/// The registries feed the parser, "did you mean", the generated reference and the conformance
/// suites.
pub struct Kind<T: ?Sized> {
    /// How a sweep file names it.
    pub name: &'static str,
    /// What it is, in half a line.
    pub about: &'static str,
    /// The publication that describes its method.
    pub paper: Option<&'static str>,
    /// The keys that its own table takes. Other keys are refused before [`build`](Self::build) is
    /// called.
    pub options: &'static [Opt],
    /// Facts that other parts act on, so that none of them compares names.
    pub capabilities: &'static [Capability],
    /// Makes one from its own table of the sweep file (empty if there is none); returns `None`
    /// after reporting what is wrong. Called by [`make`](Self::make).
    pub build: fn(Section, &Setting, &mut Diagnostics) -> Option<Box<T>>,
}

/// A fact about a kind that other parts act on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Capability {
    /// A scheduler lets trials go on from copies of other trials' checkpoints: the checkpoints of
    /// trials that may be copied are kept, a configuration has no replicates, and recorded curves
    /// cannot show what would have happened.
    Clones,
    /// A sampler proposes each configuration once and then ends: without `trials` a sweep runs
    /// until then.
    Enumerates,
    /// A sampler proposes configurations without regard to results.
    Independent,
    /// A scheduler compares trials at the resources `min × reductionⁿ`.
    Rungs,
    /// An executor runs trials on this machine, so that its cores, memory and GPUs are shared out.
    Local,
}

impl<T: ?Sized> Kind<T> {
    /// Makes one from its own table of the sweep file, after refusing the keys that it does not
    /// take; returns `None` after reporting what is wrong.
    pub fn make(
        &self,
        mut section: Section,
        setting: &Setting,
        diagnostics: &mut Diagnostics,
    ) -> Option<Box<T>> {
        section.refuse_unknown(self.options, diagnostics);
        (self.build)(section, setting, diagnostics)
    }

    /// Returns whether it has a capability.
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

/// Finds a kind by name.
#[must_use]
pub fn find<'a, T: ?Sized>(kinds: &'a [Kind<T>], name: &str) -> Option<&'a Kind<T>> {
    kinds.iter().find(|kind| kind.name == name)
}
