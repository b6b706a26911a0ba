//! Every table of the sweep file with the options it declares.

use super::{
    executor, limits, objective, outcome_constraint, replicate, resources, retry, run, scheduler,
    search, tracker,
};
use crate::source::{Opt, Preset, Takes};

/// A table of the sweep file.
pub struct SectionReference {
    /// Its name; empty for the top of the file.
    pub name: &'static str,
    /// Its earlier name, which is still read; empty if it has none.
    pub former: &'static str,
    /// Its purpose.
    pub about: &'static str,
    /// The keys that it takes.
    pub options: &'static [Opt],
    /// How often it occurs.
    pub occurs: Occurs,
    /// The keys that it takes beside its options.
    pub further: Further,
}

/// How often a table occurs in a sweep file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Occurs {
    /// Once, as `[name]`.
    Once,
    /// Usually once, as `[name]`, and several times as `[[name]]`.
    OnceOrMore,
    /// Several times, as `[[name]]`.
    Repeatedly,
}

/// The keys that a table takes beside its own options.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Further {
    /// None.
    None,
    /// Names that the user chooses.
    Names,
    /// The options of the kind of this part that the table names.
    OptionsOf(&'static str),
    /// A table for each kind of this part, with its options.
    TablesOf(&'static str),
}

impl SectionReference {
    const fn once(name: &'static str, about: &'static str, options: &'static [Opt]) -> Self {
        Self {
            name,
            former: "",
            about,
            options,
            occurs: Occurs::Once,
            further: Further::None,
        }
    }

    /// Returns the line that begins the table, in Markdown.
    #[must_use]
    pub fn heading(&self) -> String {
        match (self.name, self.occurs) {
            ("", _) => "the top of the file".to_owned(),
            (name, Occurs::Repeatedly) => format!("`[[{name}]]`"),
            (name, _) => format!("`[{name}]`"),
        }
    }
}

/// The stage of a sweep that names none.
pub(super) const STAGE: &str = "tune";

/// The seed of a sweep that gives none.
pub(super) const SEED: u64 = 0;

const TOP: &[Opt] = &[
    Opt::new(
        "name",
        Takes::Text,
        Preset::Derived("the file's name without `.toml`"),
        "names the study; it is the folder `logs/<name>/`",
    ),
    Opt::new(
        "pipeline",
        Takes::Text,
        Preset::Derived("`name`"),
        "what the study is part of; recorded with every trial",
    ),
    Opt::new(
        "stage",
        Takes::Text,
        Preset::Text(STAGE),
        "which part of the pipeline it is",
    ),
    Opt::new(
        "seed",
        Takes::Count(0),
        Preset::Count(SEED),
        "everything random derives from it",
    ),
];

/// The tables whose keys are names that the user chooses, and that have a language of their own.
pub(super) const FREE_TABLES: &[&str] = &["space", "constraints", "point"];

/// Every table but `[space]`, `[constraints]` and `[[point]]`, in the order of the documentation.
pub const SECTIONS: &[SectionReference] = &[
    SectionReference::once("", "the top of the file", TOP),
    SectionReference::once("run", "what a trial runs", run::OPTIONS),
    SectionReference {
        occurs: Occurs::OnceOrMore,
        ..SectionReference::once("objective", "what is optimised", objective::OPTIONS)
    },
    SectionReference {
        occurs: Occurs::Repeatedly,
        former: "limit",
        ..SectionReference::once(
            "outcome_constraint",
            "a bound that a good configuration satisfies: `max`, `min` or both for the last value of \
             a metric",
            outcome_constraint::OPTIONS,
        )
    },
    SectionReference {
        further: Further::TablesOf("sampler"),
        ..SectionReference::once(
            "search",
            "the sampler that proposes configurations, and how many",
            search::OPTIONS,
        )
    },
    SectionReference {
        further: Further::OptionsOf("scheduler"),
        ..SectionReference::once(
            "scheduler",
            "the scheduler that paces trials and stops the hopeless ones",
            scheduler::OPTIONS,
        )
    },
    SectionReference::once(
        "resources",
        "what a trial takes of the machine",
        resources::OPTIONS,
    ),
    SectionReference {
        further: Further::OptionsOf("executor"),
        ..SectionReference::once("executor", "where trials run", executor::OPTIONS)
    },
    SectionReference::once("limits", "when to give up", limits::OPTIONS),
    SectionReference::once("retry", "which failures are tried again", retry::OPTIONS),
    SectionReference::once(
        "replicate",
        "the same configuration with several seeds, ranked by the mean",
        replicate::OPTIONS,
    ),
    SectionReference {
        further: Further::Names,
        ..SectionReference::once(
            "capture",
            "programs that only print: a reported name, and a regular expression whose first group \
             is its value",
            &[],
        )
    },
    SectionReference {
        occurs: Occurs::Repeatedly,
        further: Further::OptionsOf("tracker"),
        ..SectionReference::once("tracker", "where events are also written", tracker::OPTIONS)
    },
];
