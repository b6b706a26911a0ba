//! The kinds of samplers, schedulers, executors and trackers that a sweep file can name. A program
//! can add kinds to the standard ones.

use super::kinds::CSV;
use super::{Rejected, Sweep};
use std::path::Path;
use swath_engine::executor::{self, Site};
use swath_engine::tracker::{self, Tracker, TrialTracker};
use swath_model::source::{Opt, Source};
use swath_model::study::Kind;
use swath_model::study::kind::{Capability, find};
use swath_search::sampler::{SAMPLERS, Sampler};
use swath_search::scheduler::{SCHEDULERS, TrialScheduler};
use swath_trackers::TRACKERS;

/// The kinds that a sweep file can name.
///
/// `Registry::standard().sampler(MINE).read(path)` reads a sweep file that can name one more
/// sampler. `examples/kinds` adds a kind of each component. A sweep keeps the registry it was read
/// with, so that its components can be built later.
#[derive(Debug, Clone)]
pub struct Registry {
    samplers: Vec<Kind<dyn Sampler>>,
    schedulers: Vec<Kind<dyn TrialScheduler>>,
    executors: Vec<Kind<dyn Site>>,
    trackers: Vec<Kind<dyn Tracker>>,
}

/// A kind of any component, without the function that builds it.
#[derive(Debug, Clone, Copy)]
pub struct Declaration {
    /// Component: `sampler`, `scheduler`, `executor`, `tracker` or `plot`.
    pub part: &'static str,
    /// Same as [`Kind::name`].
    pub name: &'static str,
    /// Same as [`Kind::about`].
    pub about: &'static str,
    /// Same as [`Kind::paper`].
    pub paper: Option<&'static str>,
    /// Same as [`Kind::options`].
    pub options: &'static [Opt],
    /// Same as [`Kind::capabilities`].
    pub capabilities: &'static [Capability],
}

impl Declaration {
    /// Returns the declaration of a kind of the component `part`.
    #[must_use]
    pub fn of<T: ?Sized>(part: &'static str, kind: &Kind<T>) -> Self {
        Self {
            part,
            name: kind.name,
            about: kind.about,
            paper: kind.paper,
            options: kind.options,
            capabilities: kind.capabilities,
        }
    }
}

impl Registry {
    /// Returns the kinds that swath provides.
    #[must_use]
    pub fn standard() -> Self {
        Self {
            samplers: SAMPLERS.to_vec(),
            schedulers: SCHEDULERS.to_vec(),
            executors: [executor::EXECUTORS, swath_cluster::EXECUTORS].concat(),
            trackers: TRACKERS.to_vec(),
        }
    }

    /// Adds a sampler. Replaces a sampler of the same name.
    #[must_use]
    pub fn sampler(mut self, kind: Kind<dyn Sampler>) -> Self {
        put(&mut self.samplers, kind);
        self
    }

    /// Adds a scheduler. Replaces a scheduler of the same name.
    #[must_use]
    pub fn scheduler(mut self, kind: Kind<dyn TrialScheduler>) -> Self {
        put(&mut self.schedulers, kind);
        self
    }

    /// Adds an executor. Replaces an executor of the same name.
    #[must_use]
    pub fn executor(mut self, kind: Kind<dyn Site>) -> Self {
        put(&mut self.executors, kind);
        self
    }

    /// Adds a tracker. Replaces a tracker of the same name.
    #[must_use]
    pub fn tracker(mut self, kind: Kind<dyn Tracker>) -> Self {
        put(&mut self.trackers, kind);
        self
    }

    /// Adds a tracker that is told reports, metrics, parameters, models and ends, under its
    /// [`NAME`](TrialTracker::NAME). Replaces a tracker of the same name.
    #[must_use]
    pub fn with_tracker<T: TrialTracker + Default + 'static>(self) -> Self {
        self.tracker(tracker::kind_of::<T>())
    }

    /// Returns the samplers in the order of registration.
    #[must_use]
    pub fn samplers(&self) -> &[Kind<dyn Sampler>] {
        &self.samplers
    }

    /// Returns the schedulers in the order of registration.
    #[must_use]
    pub fn schedulers(&self) -> &[Kind<dyn TrialScheduler>] {
        &self.schedulers
    }

    /// Returns the executors in the order of registration.
    #[must_use]
    pub fn executors(&self) -> &[Kind<dyn Site>] {
        &self.executors
    }

    /// Returns the trackers in the order of registration. `csv` is not among them unless a program
    /// adds it.
    #[must_use]
    pub fn trackers(&self) -> &[Kind<dyn Tracker>] {
        &self.trackers
    }

    /// Returns all kinds, ordered by component (samplers, schedulers, executors, trackers) and then
    /// by registration. Includes the tracker `csv`.
    #[must_use]
    pub fn declarations(&self) -> Vec<Declaration> {
        let csv = find(&self.trackers, CSV.name).is_none().then_some(CSV);
        let samplers = self.samplers.iter();
        let samplers = samplers.map(|kind| Declaration::of("sampler", kind));
        let schedulers = self.schedulers.iter();
        let schedulers = schedulers.map(|kind| Declaration::of("scheduler", kind));
        let executors = self.executors.iter();
        let executors = executors.map(|kind| Declaration::of("executor", kind));
        let trackers = self.trackers.iter();
        let trackers = trackers.map(|kind| Declaration::of("tracker", kind));
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
    /// All mistakes in the file.
    pub fn parse(&self, source: Source) -> Result<Sweep, Rejected> {
        super::parse::program(source, self)
    }

    /// Checks a sweep file whose trials are calls of a function. `[run] command` may be absent.
    ///
    /// # Errors
    /// All mistakes in the file.
    pub fn parse_for_function(&self, source: Source) -> Result<Sweep, Rejected> {
        super::parse::function(source, self)
    }

    /// Reads and checks a sweep file that runs a program.
    ///
    /// # Errors
    /// All mistakes in the file, or the reason why it cannot be read.
    pub fn read(&self, path: &Path) -> Result<Sweep, Rejected> {
        self.parse(super::read::load(path)?)
    }

    /// Reads and checks a sweep file whose trials are calls of a function. `[run] command` may be
    /// absent.
    ///
    /// # Errors
    /// All mistakes in the file, or the reason why it cannot be read.
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
