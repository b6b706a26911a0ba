//! A sweep: the checked content of a sweep file, and the parts built from it.
//!
//! [`Sweep::read`] gives plain data or *every* mistake at once, each with its place and a cure.
//! What a sampler, scheduler or tracker makes of its own table is its own business ([`Choice`]
//! carries the table to the registry's `build`); everything else is decided here. `parse` reads the
//! sections, one file each; `lints` says what is allowed but probably not meant; `reference`
//! describes it all.

mod acceptance;
mod code;
pub mod given;
pub mod keep;
mod kinds;
mod lints;
mod parse;
mod plan;
mod read;
pub mod reference;
pub mod registry;
mod rejected;
pub mod template;

pub use acceptance::Acceptance;
pub use code::Code;
pub use keep::Keep;
pub use lints::Surroundings;
pub use plan::Plan;
pub use registry::Registry;
pub use rejected::Rejected;
pub use template::{Fill, Template};

use crate::executor::{Share, Site};
use crate::logger::Models;
pub use crate::source::units;
use crate::source::{Diagnostics, Section, Source, Span};
use crate::space::{Name, Params, Space};
use crate::study::kind::Capability;
use crate::study::{FailureClass, Limit, Objective};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// A checked sweep file.
#[derive(Debug, Clone)]
pub struct Sweep {
    /// The file itself.
    pub source: Source,
    /// The MD5 of its text, in hexadecimal.
    pub digest: String,
    /// Names the study and its folder.
    pub name: String,
    /// What the study is part of.
    pub pipeline: String,
    /// Which part of the pipeline it is.
    pub stage: String,
    /// What everything random derives from.
    pub seed: u64,
    /// What a trial runs.
    pub run: Run,
    /// What is optimised; empty if trials are only recorded.
    pub objectives: Vec<Objective>,
    /// What a good answer must also keep.
    pub outcome_limits: Vec<Limit>,
    /// What is searched.
    pub space: Arc<Space>,
    /// Configurations to try first, possibly partial.
    pub points: Vec<Params>,
    /// Who proposes configurations.
    pub sampler: Choice,
    /// How many trials in all; `None` if only the sampler or a time limit ends the sweep.
    pub trials: Option<u64>,
    /// Who paces trials.
    pub scheduler: Choice,
    /// The reported key that counts, such as `epoch`.
    pub resource: Option<Name>,
    /// What a trial takes of the machine.
    pub resources: Resources,
    /// Where trials run.
    pub executor: Choice,
    /// When to give up.
    pub limits: Limits,
    /// Which failures are tried again.
    pub retry: Retry,
    /// With how many seeds each configuration runs, if with several.
    pub replicate: Option<u32>,
    /// Whether the program says that it can go on from its checkpoint folder.
    pub checkpoint: bool,
    /// What to read from the program's output, in the order of the file.
    pub capture: Vec<(Name, regex::Regex)>,
    /// Where events are also written.
    pub trackers: Vec<Choice>,
    /// What is allowed but probably not meant.
    pub warnings: Diagnostics,
    registry: Arc<Registry>,
    places: Places,
}

/// A kind of a registry with the table that configures it, which is what its `build` gets.
#[derive(Debug, Clone)]
pub struct Choice {
    /// The kind's name.
    pub name: String,
    /// Its own keys.
    pub section: Section,
    /// Where it is named; where the table stands if it is a default.
    pub span: Span,
    /// The kind's capabilities.
    pub capabilities: &'static [Capability],
}

impl Choice {
    /// Returns whether the kind has a capability.
    #[must_use]
    pub fn can(&self, capability: Capability) -> bool {
        self.capabilities.contains(&capability)
    }
}

/// What a trial runs: `[run]`.
#[derive(Debug, Clone, Default)]
pub struct Run {
    /// The program and its arguments; empty for a sweep over a function.
    pub command: Template,
    /// Data sets that are hashed and recorded when a trial starts.
    pub data_dir: Vec<String>,
    /// What runs once before the first trial; empty if nothing does.
    pub setup: Vec<String>,
    /// Added to the environment of trials and setup.
    pub env: Vec<(String, String)>,
    /// Where trials run; `None` for where `swath run` was called.
    pub workdir: Option<PathBuf>,
    /// Which version of the code trials run.
    pub code: Code,
    /// How long a trial may take to end after SIGTERM.
    pub grace: Duration,
    /// How often what a trial uses of the machine is sampled; `None`: never.
    pub system: Option<Duration>,
    /// Which checkpoints are kept.
    pub keep: Keep,
    /// Whether the bytes of models are held.
    pub models: Models,
}

/// What a trial takes of the machine: `[resources]`.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Resources {
    /// Trials at a time.
    pub jobs: Option<usize>,
    /// Cores of each trial.
    pub cpus: Option<u32>,
    /// GPUs of each trial; less than one shares a device.
    pub gpus: Option<f64>,
    /// Bytes of memory of each trial.
    pub memory: Option<u64>,
}

/// When to give up: `[limits]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Time of the whole sweep.
    pub time: Option<Duration>,
    /// Time of one attempt of a trial.
    pub trial_time: Option<Duration>,
    /// Failed trials.
    pub failures: Option<u64>,
    /// Trials in a row that fail within seconds; `None`: however many.
    pub quick_failures: Option<u32>,
    /// Bytes that the study's folder may take before no more trials are started.
    pub disk: Option<u64>,
    /// Bytes kept of each of a trial's output streams.
    pub log: u64,
}

/// Which failures are tried again: `[retry]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Retry {
    /// How many times more.
    pub times: u32,
    /// The classes of failure.
    pub on: Vec<FailureClass>,
    /// How long the first repetition waits; each further one waits twice as long.
    pub backoff: Vec<(FailureClass, Duration)>,
    /// The longest wait.
    pub max_backoff: Duration,
}

/// Where the things stand that are looked at again once the machine is known.
#[derive(Debug, Clone, Default)]
struct Places {
    command: Vec<Span>,
    data_dir: Vec<Span>,
    workdir: Span,
    setup: Option<(String, Span)>,
    trials: Option<Span>,
    space: Span,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            time: None,
            trial_time: None,
            failures: None,
            quick_failures: Some(parse::QUICK_FAILURES),
            disk: None,
            log: parse::LOG,
        }
    }
}

impl Sweep {
    /// Returns how many trials run at a time where the sweep file says they run; at least 1.
    #[must_use]
    pub fn slots(&self) -> usize {
        self.site()
            .map_or(1, |site| site.slots(&self.resources.share()))
    }

    /// Returns the kinds that the sweep file could name.
    #[must_use]
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Returns where trials run, `None` if the sweep file is wrong about it.
    #[must_use]
    pub fn site(&self) -> Option<Box<dyn Site>> {
        plan::build(
            self.registry.executors(),
            &self.executor,
            &self.setting(1),
            &mut Diagnostics::default(),
        )
    }
}

impl Resources {
    /// Returns what executors need to know of it.
    #[must_use]
    pub fn share(&self) -> Share {
        Share {
            jobs: self.jobs,
            cpus: self.cpus,
            gpus: self.gpus,
            memory: self.memory,
        }
    }
}
