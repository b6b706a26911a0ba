//! A sweep: the checked content of a sweep file, and the components built from it.
//!
//! [`Sweep::read`] returns plain data, or *every* mistake at once with its position and a hint. The
//! options of a sampler, scheduler, executor or tracker are checked by that component ([`Choice`]
//! carries its table to the registry's `build`). Everything else is checked here. `parse` reads the
//! sections, one file for each. `lints` warns about content that is allowed but probably not meant.
//! `reference` generates the documentation and the JSON schema.

mod acceptance;
mod code;
pub mod config;
pub mod given;

mod fill;
mod kinds;
mod lints;
pub mod overrides;
mod parse;
mod plan;
mod read;
pub mod reference;
pub mod registry;
mod rejected;
mod shell_lints;
mod stored;
mod switch_lints;
pub mod template;
mod texts;

pub use acceptance::Acceptance;
pub use code::Code;
pub use config::{ConfigFile, Configs};
pub use fill::launch;
pub use lints::{Surroundings, is_seed_name};
pub(crate) use parse::digest as digest_of;
pub use plan::Plan;
pub use read::load;
pub use registry::Registry;
pub use rejected::Rejected;
pub use swath_engine::driver::{Limits, PreparationPlan, Retry, Spending, TrialBudget};
pub use swath_engine::keep::{self, Keep};
pub use template::{Fill, FreeText, Names, Template};
pub use texts::TrialTexts;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use swath_engine::executor::{Share, Site, StopSignal, Warm};
use swath_log::Models;
pub use swath_model::source::units;
use swath_model::source::{Diagnostics, Section, Source, Span};
use swath_model::space::{Name, Params, Space};
use swath_model::study::kind::Capability;
use swath_model::study::{Limit, Objective};

/// A checked sweep file.
#[derive(Debug, Clone)]
pub struct Sweep {
    /// Name and text of the sweep file.
    pub source: Source,
    /// MD5 digest of the [stored text](Self::stored_text) in hexadecimal.
    pub digest: String,
    /// Name of the study and of its folder `logs/<name>/`. Default: the name of the file without
    /// `.toml`.
    pub name: String,
    /// Pipeline that the study is part of; recorded with every trial. Default: `name`.
    pub pipeline: String,
    /// Stage of the pipeline that the study implements. Default: `tune`.
    pub stage: String,
    /// Seed from which all random numbers derive. Default: 0.
    pub seed: u64,
    /// Program that a trial runs, and its environment.
    pub run: Run,
    /// Preparations that trials share, those that others read first.
    pub preparations: Vec<Preparation>,
    /// Objectives to optimise; empty if trials are only recorded.
    pub objectives: Vec<Objective>,
    /// The value of each objective that ends the sweep, in the order of `objectives`.
    pub targets: Vec<Option<f64>>,
    /// Outcome constraints: bounds on metrics that a good configuration satisfies.
    pub outcome_limits: Vec<Limit>,
    /// The search space.
    pub space: Arc<Space>,
    /// Configurations to try first, possibly partial: the `[[point]]` tables.
    pub points: Vec<Params>,
    /// Sampler, which proposes configurations.
    pub sampler: Choice,
    /// Number of trials in all; `None` if only the sampler or a time limit ends the sweep.
    pub trials: Option<u64>,
    /// Whether invalid trials count towards `trials`. Default: true.
    pub count_invalid: bool,
    /// Number of trials in a row that bring nothing better, after which the sweep ends.
    pub patience: Option<u64>,
    /// Scheduler, which stops, pauses and promotes trials.
    pub scheduler: Choice,
    /// Reported key that measures the resource of a trial, such as `epoch`.
    pub resource: Option<Name>,
    /// Share of the machine that each trial takes.
    pub resources: Share,
    /// Executor, which runs the trials.
    pub executor: Choice,
    /// Budgets of the sweep and of each trial.
    pub limits: Limits,
    /// Budget of money and GPU time, without the number of GPUs.
    pub spending: Spending,
    /// Reported metric that is the cost of a trial, if `price` names one.
    pub price: Option<Name>,
    /// Failures after which a trial is tried again.
    pub retry: Retry,
    /// Number of seeds of each configuration; `None` for one.
    pub replicate: Option<u32>,
    /// Whether the program can resume from its checkpoint folder.
    pub checkpoint: bool,
    /// Metrics to read from the program's output and their patterns, in the order of the file.
    pub capture: Vec<(Name, regex::Regex)>,
    /// Sources, which translate what programs write for other tools.
    pub sources: Vec<Choice>,
    /// Trackers that also record the events, apart from the CSV table of every study.
    pub trackers: Vec<Choice>,
    /// Warnings about content that is allowed but probably not meant.
    pub warnings: Diagnostics,
    /// The configuration files with their contents, once they were read.
    pub configs: Option<Arc<Configs>>,
    registry: Arc<Registry>,
    places: Places,
}

/// A kind chosen in the sweep file, with the table that configures it. The kind's `build` gets that
/// table.
#[derive(Debug, Clone)]
pub struct Choice {
    /// Name of the kind.
    pub name: String,
    /// Table with the kind's own options.
    pub section: Section,
    /// Span of the kind's name in the file, or of the table if the kind is the default.
    pub span: Span,
    /// Capabilities of the kind; empty if the kind is unknown.
    pub capabilities: &'static [Capability],
}

impl Choice {
    /// Returns whether the kind has the given capability.
    #[must_use]
    pub fn can(&self, capability: Capability) -> bool {
        self.capabilities.contains(&capability)
    }
}

/// Program that a trial runs, and its environment: `[run]`.
#[derive(Debug, Clone, Default)]
pub struct Run {
    /// Template of the program and its arguments; empty for a sweep over a function.
    pub command: Template,
    /// Paths of data sets. They are hashed and recorded when a trial starts.
    pub data_dir: Vec<String>,
    /// Command that runs once before the first trial; empty for none.
    pub setup: Vec<String>,
    /// Variables added to the environment of trials and setup.
    pub env: Vec<(String, String)>,
    /// Texts that differ between trials.
    pub of_trial: TrialTexts,
    /// Configuration files, of which each trial gets copies with its values.
    pub configs: Vec<ConfigFile>,
    /// Folder to which the paths of data sets are relative, if it is not the working directory.
    pub data_home: Option<PathBuf>,
    /// Names of variables whose values are secret, besides those whose names say so.
    pub secret_env: Vec<String>,
    /// Whether only the user may read the study's folder.
    pub private: bool,
    /// Working directory of trials and setup; `None` for the directory where `swath run` was
    /// called, or if it differs between trials.
    pub workdir: Option<PathBuf>,
    /// Files of the private working directory that each trial has; `None` if all trials run in
    /// `workdir`. The tracked files are those of `workdir`.
    pub own_workdir: Option<OwnWorkdir>,
    /// Version of the code that trials run.
    pub code: Code,
    /// Time between the stop signal and SIGKILL when a trial is stopped; 10 s unless the sweep file
    /// sets it.
    pub grace: Duration,
    /// Signal that asks a trial to end.
    pub stop: StopSignal,
    /// Interval between two samples of a trial's resource usage, at least 100 ms; `None` for no
    /// sampling. It is 10 s unless the sweep file sets it.
    pub system: Option<Duration>,
    /// Exit statuses with which the program says that its configuration cannot work.
    pub invalid: Vec<i32>,
    /// Whether Python trials are forked from a process that has imported their packages.
    pub warm: Warm,
    /// Checkpoints that are kept after trials have ended.
    pub keep: Keep,
    /// Whether the bytes of models are held in the study's folder, or only their paths recorded.
    pub models: Models,
}

/// Work that several trials share: `[[prepare]]`.
#[derive(Debug, Clone)]
pub struct Preparation {
    /// Name, dependencies and limits.
    pub plan: PreparationPlan,
    /// Template of the program and its arguments.
    pub command: Template,
    /// Words of the command as written, with their spans.
    words: Vec<(String, Span)>,
    /// Span of the table.
    span: Span,
}

/// Untracked files in private working directories: `[run] workdir = "private"`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OwnWorkdir {
    /// Folders and files that are linked; `None` for the default.
    pub link: Option<Vec<String>>,
    /// Folders and files that are copied; `None` for the default.
    pub copy: Option<Vec<String>>,
}

/// Spans of values that are checked again once the space or the machine is known.
#[derive(Debug, Clone, Default)]
struct Places {
    command: Vec<Span>,
    data_dir: Vec<Span>,
    workdir: Span,
    setup: Option<(String, Span)>,
    trials: Option<Span>,
    space: Span,
}

impl Sweep {
    /// Returns the paths of all data sets, those of preparations included, to be changed.
    pub(crate) fn data_paths_mut(&mut self) -> impl Iterator<Item = &mut String> {
        let preparations = self.preparations.iter_mut();
        let prepared = preparations.flat_map(|preparation| &mut preparation.plan.data_dir);
        self.run.data_dir.iter_mut().chain(prepared)
    }

    /// Returns the text of the sweep file as a study stores it: without secrets, and with the name
    /// of the study, so that the copy names the same study in any folder.
    #[must_use]
    pub fn stored_text(&self) -> String {
        stored::named(stored::stored(&self.source.text), &self.name)
    }

    /// Returns how many trials run at the same time on the executor of the sweep file; at least 1.
    #[must_use]
    pub fn slots(&self) -> usize {
        self.site().map_or(1, |site| site.slots(&self.resources))
    }

    /// Returns the registry that the sweep file was read with.
    #[must_use]
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Builds the executor's site. Returns `None` if the sweep file configures it wrongly.
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
