//! All tables of the sweep file with their declared options.

use super::{
    executor, limits, objective, outcome_constraint, prepare, replicate, resources, retry, run,
    scheduler, search, source, tracker,
};
use swath_model::source::{Opt, Preset, Takes};

/// Description of a table of the sweep file.
pub struct SectionReference {
    /// Name of the table; empty for the top of the file.
    pub name: &'static str,
    /// Earlier name that is still accepted; empty if there is none.
    pub former: &'static str,
    /// Purpose of the table.
    pub about: &'static str,
    /// Options that the table takes.
    pub options: &'static [Opt],
    /// Number of times the table may occur.
    pub occurs: Occurs,
    /// Keys that the table takes beside its options.
    pub further: Further,
}

/// Number of times a table may occur in a sweep file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Occurs {
    /// At most once, as `[name]`.
    Once,
    /// Usually once, as `[name]`, but may be repeated as `[[name]]`.
    OnceOrMore,
    /// Any number of times, as `[[name]]`.
    Repeatedly,
}

/// Keys that a table takes beside its own options.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Further {
    /// The table takes no further keys.
    None,
    /// The table takes keys of the user's choice.
    Names,
    /// The table names a kind of this component and takes that kind's options.
    OptionsOf(&'static str),
    /// The table takes a nested table for each kind of this component, with that kind's options.
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

    /// Returns the heading of the table in Markdown, such as `[run]` or `[[tracker]]` in backticks.
    #[must_use]
    pub fn heading(&self) -> String {
        match (self.name, self.occurs) {
            ("", _) => "the top of the file".to_owned(),
            (name, Occurs::Repeatedly) => format!("`[[{name}]]`"),
            (name, _) => format!("`[{name}]`"),
        }
    }
}

/// Default of the key `stage`.
pub(super) const STAGE: &str = "tune";

/// Default of the key `seed`.
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
        "the pipeline of the study; recorded with every trial",
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

/// Tables whose keys are chosen by the user and that have a syntax of their own.
pub(super) const FREE_TABLES: &[&str] = &["space", "constraints", "point"];

/// All tables except `[space]`, `[constraints]` and `[[point]]`, in the order of the documentation.
pub const SECTIONS: &[SectionReference] = &[
    SectionReference::once("", "the top of the file", TOP),
    SectionReference::once("run", "the program that a trial runs", run::OPTIONS),
    SectionReference {
        occurs: Occurs::Repeatedly,
        ..SectionReference::once(
            "prepare",
            "work that several trials share: it runs once for each distinct assignment of the \
             parameters that it depends on",
            prepare::OPTIONS,
        )
    },
    SectionReference {
        occurs: Occurs::OnceOrMore,
        ..SectionReference::once("objective", "the metric to optimise", objective::OPTIONS)
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
        "the resources of each trial",
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
        further: Further::OptionsOf("source"),
        ..SectionReference::once(
            "source",
            "programs that log for another tool: what they write becomes reports and metrics",
            source::OPTIONS,
        )
    },
    SectionReference {
        occurs: Occurs::Repeatedly,
        further: Further::OptionsOf("tracker"),
        ..SectionReference::once("tracker", "where events are also written", tracker::OPTIONS)
    },
];
