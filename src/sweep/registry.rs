//! The kinds of samplers, schedulers, executors and trackers that a sweep file can name: those of
//! swath, and those that a program adds.

use super::kinds::CSV;
use super::{Rejected, Sweep};
use crate::executor::{EXECUTORS, Site};
use crate::sampler::{SAMPLERS, Sampler};
use crate::scheduler::{SCHEDULERS, TrialScheduler};
use crate::source::{Opt, Source};
use crate::study::Kind;
use crate::study::kind::{Capability, find};
use crate::tracker::{TRACKERS, Tracker};
use std::path::Path;

/// The kinds that a sweep file can name.
///
/// `Registry::standard().sampler(MINE).read(path)` reads a sweep file that can name one more
/// sampler; `examples/kinds` adds a kind of each part. A sweep keeps the registry that it was read
/// with, so that everything that builds its parts knows the added kinds too.
#[derive(Debug, Clone)]
pub struct Registry {
    samplers: Vec<Kind<dyn Sampler>>,
    schedulers: Vec<Kind<dyn TrialScheduler>>,
    executors: Vec<Kind<dyn Site>>,
    trackers: Vec<Kind<dyn Tracker>>,
}

/// A kind of any part, without the function that makes one.
#[derive(Debug, Clone, Copy)]
pub struct Declaration {
    /// The part: `sampler`, `scheduler`, `executor` or `tracker`.
    pub part: &'static str,
    /// As [`Kind::name`].
    pub name: &'static str,
    /// As [`Kind::about`].
    pub about: &'static str,
    /// As [`Kind::paper`].
    pub paper: Option<&'static str>,
    /// As [`Kind::options`].
    pub options: &'static [Opt],
    /// As [`Kind::capabilities`].
    pub capabilities: &'static [Capability],
}

impl Registry {
    /// Returns the kinds of swath.
    #[must_use]
    pub fn standard() -> Self {
        Self {
            samplers: SAMPLERS.to_vec(),
            schedulers: SCHEDULERS.to_vec(),
            executors: EXECUTORS.to_vec(),
            trackers: TRACKERS.to_vec(),
        }
    }

    /// Adds a sampler, in place of one of the same name.
    #[must_use]
    pub fn sampler(mut self, kind: Kind<dyn Sampler>) -> Self {
        put(&mut self.samplers, kind);
        self
    }

    /// Adds a scheduler, in place of one of the same name.
    #[must_use]
    pub fn scheduler(mut self, kind: Kind<dyn TrialScheduler>) -> Self {
        put(&mut self.schedulers, kind);
        self
    }

    /// Adds an executor, in place of one of the same name.
    #[must_use]
    pub fn executor(mut self, kind: Kind<dyn Site>) -> Self {
        put(&mut self.executors, kind);
        self
    }

    /// Adds a tracker, in place of one of the same name.
    #[must_use]
    pub fn tracker(mut self, kind: Kind<dyn Tracker>) -> Self {
        put(&mut self.trackers, kind);
        self
    }

    /// Returns the samplers.
    #[must_use]
    pub fn samplers(&self) -> &[Kind<dyn Sampler>] {
        &self.samplers
    }

    /// Returns the schedulers.
    #[must_use]
    pub fn schedulers(&self) -> &[Kind<dyn TrialScheduler>] {
        &self.schedulers
    }

    /// Returns the executors.
    #[must_use]
    pub fn executors(&self) -> &[Kind<dyn Site>] {
        &self.executors
    }

    /// Returns the trackers.
    #[must_use]
    pub fn trackers(&self) -> &[Kind<dyn Tracker>] {
        &self.trackers
    }

    /// Returns the kinds of all parts, part by part, in the order of the registries.
    #[must_use]
    pub fn declarations(&self) -> Vec<Declaration> {
        let csv = find(&self.trackers, CSV.name).is_none().then_some(CSV);
        let samplers = self
            .samplers
            .iter()
            .map(|kind| declaration("sampler", kind));
        let schedulers = self
            .schedulers
            .iter()
            .map(|kind| declaration("scheduler", kind));
        let executors = self
            .executors
            .iter()
            .map(|kind| declaration("executor", kind));
        let trackers = self
            .trackers
            .iter()
            .map(|kind| declaration("tracker", kind));
        samplers
            .chain(schedulers)
            .chain(executors)
            .chain(csv)
            .chain(trackers)
            .collect()
    }

    /// Checks a sweep file that runs a program.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn parse(&self, source: Source) -> Result<Sweep, Rejected> {
        super::parse::program(source, self)
    }

    /// Checks a sweep file whose trials are calls of a function: `[run] command` may be absent.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn parse_for_function(&self, source: Source) -> Result<Sweep, Rejected> {
        super::parse::function(source, self)
    }

    /// Reads and checks a sweep file that runs a program.
    ///
    /// # Errors
    /// Everything that is wrong with it, also that it cannot be read.
    pub fn read(&self, path: &Path) -> Result<Sweep, Rejected> {
        self.parse(super::read::load(path)?)
    }

    /// Reads and checks a sweep file whose trials are calls of a function: `[run] command` may be
    /// absent.
    ///
    /// # Errors
    /// Everything that is wrong with it, also that it cannot be read.
    pub fn read_for_function(&self, path: &Path) -> Result<Sweep, Rejected> {
        self.parse_for_function(super::read::load(path)?)
    }
}

impl Default for Registry {
    fn default() -> Self {
        Self::standard()
    }
}

fn put<T: ?Sized>(kinds: &mut Vec<Kind<T>>, kind: Kind<T>) {
    match kinds.iter_mut().find(|other| other.name == kind.name) {
        Some(other) => *other = kind,
        None => kinds.push(kind),
    }
}

fn declaration<T: ?Sized>(part: &'static str, kind: &Kind<T>) -> Declaration {
    Declaration {
        part,
        name: kind.name,
        about: kind.about,
        paper: kind.paper,
        options: kind.options,
        capabilities: kind.capabilities,
    }
}
