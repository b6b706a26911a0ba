//! The reference of the sweep file: every section and key once, for the documentation and for editors.
//!
//! `docs/sweep-file.md` is written by hand but for the tables between `<!-- keys: run -->` and `<!-- end -->`, which [`fill`] makes of
//! [`SECTIONS`] and the registries; [`schema`] makes a JSON schema of the same.

use super::kinds;
use super::parse::FAILURE_CLASSES;
use crate::executor::EXECUTORS;
use crate::sampler::SAMPLERS;
use crate::scheduler::SCHEDULERS;
use crate::study::Kind;
use crate::tracker::TRACKERS;
use serde_json::{Map, Value, json};
use std::fmt::Write as _;

/// A table of the sweep file.
pub struct SectionReference {
    /// Its name; empty for the top of the file.
    pub name: &'static str,
    /// Whether it can be there several times, as `[[name]]`.
    pub many: bool,
    /// What it is for.
    pub about: &'static str,
    /// Its keys.
    pub keys: &'static [KeyReference],
    /// Whether it takes further keys: those of a kind, or the user's own.
    pub open: bool,
}

/// A key of a table.
pub struct KeyReference {
    /// Its name.
    pub name: &'static str,
    /// What it can be set to.
    pub takes: Takes,
    /// What it is if it is left out; empty if it must be there or is then simply absent.
    pub default: &'static str,
    /// What it does.
    pub about: &'static str,
}

/// What a key can be set to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Takes {
    /// A string.
    Text,
    /// A list of strings.
    Texts,
    /// A string or a list of strings.
    OneOrMore,
    /// `true` or `false`.
    Switch,
    /// A whole number of at least this.
    Count(u64),
    /// A number.
    Number,
    /// Such as `1h30m`; plain numbers are seconds.
    Duration,
    /// Such as `8 GiB`; plain numbers are bytes.
    Size,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// A list of classes of failure.
    Failures,
    /// Names with strings.
    Variables,
    /// A duration, or durations by class of failure.
    Waits,
    /// A kind of this registry.
    KindOf(&'static str),
}

const fn key(name: &'static str, takes: Takes, default: &'static str, about: &'static str) -> KeyReference {
    KeyReference { name, takes, default, about }
}

const fn section(name: &'static str, about: &'static str, keys: &'static [KeyReference]) -> SectionReference {
    SectionReference { name, many: false, about, keys, open: false }
}

/// Every table but `[space]` and `[constraints]`, in the order of the documentation.
pub const SECTIONS: &[SectionReference] = &[
    section(
        "",
        "the top of the file",
        &[
            key(
                "name",
                Takes::Text,
                "the file's name without `.toml`",
                "names the study; it is the folder `logs/<name>/`",
            ),
            key("pipeline", Takes::Text, "`name`", "what the study is part of; recorded with every trial"),
            key("stage", Takes::Text, "`tune`", "which part of the pipeline it is"),
            key("seed", Takes::Count(0), "`0`", "everything random derives from it"),
        ],
    ),
    section(
        "run",
        "what a trial runs",
        &[
            key("command", Takes::Texts, "", "the program and its arguments, with placeholders; required"),
            key("data_dir", Takes::OneOrMore, "", "data sets: hashed and recorded when a trial starts"),
            key("setup", Takes::Texts, "", "a command that runs once, before the first trial"),
            key("env", Takes::Variables, "", "environment variables for trials and setup"),
            key("workdir", Takes::Text, "where `swath` is called", "where trials and setup run"),
            key(
                "code",
                Takes::OneOf(&["snapshot", "clone", "clean"]),
                "`snapshot`",
                "run in the folder as it is and keep what is uncommitted; in a clone of its commit; or only if nothing is uncommitted",
            ),
            key(
                "system",
                Takes::Duration,
                "`10s`",
                "time between two samples of what a trial uses of the machine, `0s` for none",
            ),
            key(
                "grace",
                Takes::Duration,
                "`10s`",
                "time between SIGTERM and SIGKILL when a trial is stopped",
            ),
            key(
                "checkpoint",
                Takes::Switch,
                "`false`",
                "whether the program can go on from `SWATH_CHECKPOINT_DIR`",
            ),
            key(
                "keep",
                Takes::Text,
                "`all`",
                "whose checkpoints are kept once trials have ended: `all`, `complete`, `best`, `best:5`, `last`, `none`, and with `and` \
                 between them, as in `best and last`",
            ),
            key(
                "models",
                Takes::OneOf(&["hold", "refer"]),
                "`hold`",
                "hold the bytes of the model that counts and of the last one, or only refer to their files",
            ),
            key(
                "models_budget",
                Takes::Size,
                "`1 GiB`",
                "space that copies of models may take in the study's folder; beyond it models are only referred to",
            ),
        ],
    ),
    SectionReference {
        name: "objective",
        many: true,
        about: "what is optimised",
        keys: &[
            key("metric", Takes::Text, "", "the reported name; required"),
            key("goal", Takes::OneOf(&["min", "max"]), "", "whether small or large is good; required"),
            key("take", Takes::OneOf(&["best", "last"]), "`best`", "which of a trial's reports counts"),
        ],
        open: false,
    },
    SectionReference {
        name: "limit",
        many: true,
        about: "what a good answer must also keep: `max`, `min` or both for the last value of a metric",
        keys: &[
            key("metric", Takes::Text, "", "the reported name; required"),
            key("max", Takes::Number, "", "the largest value allowed"),
            key("min", Takes::Number, "", "the least value allowed"),
        ],
        open: false,
    },
    SectionReference {
        name: "search",
        many: false,
        about: "who proposes configurations, and how many",
        keys: &[
            key(
                "sampler",
                Takes::KindOf("sampler"),
                "`auto` if there, else `random`",
                "who proposes configurations",
            ),
            key(
                "trials",
                Takes::Count(1),
                "the whole grid; with `limits.time`, until then; else `100`",
                "how many trials in all, however often `run` is called",
            ),
        ],
        open: true,
    },
    SectionReference {
        name: "scheduler",
        many: false,
        about: "who paces trials and stops the hopeless ones",
        keys: &[
            key("name", Takes::KindOf("scheduler"), "`fifo`", "which one"),
            key("resource", Takes::Text, "", "the reported key that counts, such as `epoch`"),
        ],
        open: true,
    },
    section(
        "resources",
        "what a trial takes of the machine",
        &[
            key(
                "jobs",
                Takes::Count(1),
                "what `cpus`, `gpus` and `memory` leave room for",
                "trials at a time",
            ),
            key("cpus", Takes::Count(1), "`1`", "cores of each trial"),
            key(
                "gpus",
                Takes::Number,
                "",
                "GPUs of each trial, which no other trial sees; `0.5` shares a device",
            ),
            key(
                "memory",
                Takes::Size,
                "",
                "memory of each trial, all its processes together; who takes more is ended",
            ),
        ],
    ),
    SectionReference {
        name: "executor",
        many: false,
        about: "where trials run",
        keys: &[key("name", Takes::KindOf("executor"), "`pool`", "which one")],
        open: true,
    },
    section(
        "limits",
        "when to give up",
        &[
            key("time", Takes::Duration, "", "of the whole sweep"),
            key("trial_time", Takes::Duration, "", "of one attempt of a trial"),
            key("failures", Takes::Count(1), "", "failed trials after which the sweep ends"),
            key(
                "quick_failures",
                Takes::Count(0),
                "`5`",
                "trials in a row that fail within ten seconds without their objective: a slot is then paused, or the sweep ends; `0`: never",
            ),
            key("disk", Takes::Size, "", "space the study's folder may take; beyond it no trial is started"),
            key(
                "log",
                Takes::Size,
                "`64 MiB`",
                "kept of each output stream of a trial: its head and its tail",
            ),
        ],
    ),
    section(
        "retry",
        "which failures are tried again",
        &[
            key("times", Takes::Count(0), "`0`", "how many times more"),
            key("on", Takes::Failures, "`crash`, `timeout`, `memory`, `lost`", "the classes of failure"),
            key(
                "backoff",
                Takes::Waits,
                "none",
                "how long the first repetition waits, each further one twice as long; for every class, or a table by class",
            ),
            key("max_backoff", Takes::Duration, "`10m`", "the longest wait"),
        ],
    ),
    section(
        "replicate",
        "the same configuration with several seeds, ranked by the mean",
        &[key(
            "seeds",
            Takes::Count(1),
            "",
            "how many; each is a trial of its own and counts towards `trials`",
        )],
    ),
    SectionReference {
        name: "capture",
        many: false,
        about: "programs that only print: a reported name, and a regular expression whose first group is its value",
        keys: &[],
        open: true,
    },
    SectionReference {
        name: "tracker",
        many: true,
        about: "where events are also written",
        keys: &[key("name", Takes::KindOf("tracker"), "", "which one; required")],
        open: true,
    },
];

/// Replaces every block between `<!-- keys: … -->` or `<!-- kinds: … -->` and `<!-- end -->` by its table.
#[must_use]
pub fn fill(text: &str) -> String {
    let mut filled = String::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let _ = writeln!(filled, "{line}");
        let Some(table) = directive(line) else { continue };
        let _ = writeln!(filled, "{table}<!-- end -->");
        let _ = lines.find(|line| *line == "<!-- end -->");
    }
    filled
}

fn directive(line: &str) -> Option<String> {
    let (what, name) = line.strip_prefix("<!-- ")?.strip_suffix(" -->")?.split_once(": ")?;
    match what {
        "keys" => SECTIONS.iter().find(|section| section.name == name.trim_matches('-')).map(keys_table),
        "kinds" => Some(kinds_table(&kinds_of(name))),
        "failures" => Some(kinds_table(
            &FAILURE_CLASSES.iter().map(|(name, _, about)| (*name, *about)).collect::<Vec<_>>(),
        )),
        _ => None,
    }
}

fn keys_table(section: &SectionReference) -> String {
    let mut table = "| key | takes | default | |\n|---|---|---|---|\n".to_owned();
    for key in section.keys {
        let _ =
            writeln!(table, "| `{}` | {} | {} | {} |", key.name, takes(key.takes), key.default, key.about);
    }
    table
}

fn takes(takes: Takes) -> String {
    match takes {
        Takes::Text => "string".to_owned(),
        Takes::Texts => "list of strings".to_owned(),
        Takes::OneOrMore => "string or list of strings".to_owned(),
        Takes::Switch => "`true`, `false`".to_owned(),
        Takes::Count(least) => format!("whole number ≥ {least}"),
        Takes::Number => "number".to_owned(),
        Takes::Duration => "duration".to_owned(),
        Takes::Size => "size".to_owned(),
        Takes::OneOf(words) => words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", "),
        Takes::Failures => "list of classes, below".to_owned(),
        Takes::Variables => "table of strings".to_owned(),
        Takes::Waits => "duration, or table of durations".to_owned(),
        Takes::KindOf(_) => "a name, below".to_owned(),
    }
}

fn kinds_table(kinds: &[(&str, &str)]) -> String {
    let mut table = "| name | |\n|---|---|\n".to_owned();
    for (name, about) in kinds {
        let _ = writeln!(table, "| `{name}` | {about} |");
    }
    table
}

/// Returns the names of a registry with what they are.
fn kinds_of(what: &str) -> Vec<(&'static str, &'static str)> {
    fn of<T: ?Sized>(registry: &'static [Kind<T>]) -> Vec<(&'static str, &'static str)> {
        registry.iter().map(|kind| (kind.name, kind.about)).collect()
    }
    let mut there = match what {
        "sampler" => of(SAMPLERS),
        "scheduler" => of(SCHEDULERS),
        "tracker" => of(TRACKERS),
        _ => of(EXECUTORS),
    };
    if what == "tracker" && !there.iter().any(|(name, _)| *name == kinds::CSV.0) {
        there.insert(0, kinds::CSV);
    }
    there
}

/// Returns a JSON schema of the sweep file, for editors.
#[must_use]
pub fn schema() -> Value {
    let mut properties = Map::new();
    for section in SECTIONS {
        let keys = section.keys.iter().map(|key| (key.name.to_owned(), key_schema(key)));
        if section.name.is_empty() {
            properties.extend(keys);
            continue;
        }
        let mut keys: Map<_, _> = keys.collect();
        if section.name == "search" {
            let options = SAMPLERS.iter().map(|kind| {
                let about = format!("options of the sampler `{}`: {}", kind.name, kind.about);
                (kind.name.to_owned(), json!({ "type": "object", "description": about }))
            });
            keys.extend(options);
        }
        let mut table = json!({ "type": "object", "description": section.about, "properties": keys });
        table["additionalProperties"] = Value::Bool(section.open && section.name != "search");
        let table = if section.many {
            json!({ "description": section.about, "anyOf": [table, { "type": "array", "items": table }] })
        } else {
            table
        };
        properties.insert(section.name.to_owned(), table);
    }
    properties.insert("space".to_owned(), space_schema());
    properties.insert(
        "constraints".to_owned(),
        json!({
            "type": "object",
            "description": "expressions that every configuration satisfies",
            "additionalProperties": { "type": "string" },
        }),
    );
    properties.insert(
        "point".to_owned(),
        json!({
            "type": "array",
            "description": "configurations to try first; names left out are drawn",
            "items": { "type": "object" },
        }),
    );
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "swath sweep file",
        "type": "object",
        "properties": properties,
        "required": ["space"],
        "additionalProperties": false,
    })
}

fn key_schema(key: &KeyReference) -> Value {
    let about = match key.default {
        "" => key.about.to_owned(),
        default => format!("{} (default: {default})", key.about),
    };
    let mut schema = match key.takes {
        Takes::Text => json!({ "type": "string" }),
        Takes::Texts => json!({ "type": "array", "items": { "type": "string" } }),
        Takes::OneOrMore => json!({ "type": ["string", "array"], "items": { "type": "string" } }),
        Takes::Switch => json!({ "type": "boolean" }),
        Takes::Count(least) => json!({ "type": "integer", "minimum": least }),
        Takes::Number => json!({ "type": "number" }),
        Takes::Duration | Takes::Size => json!({ "type": ["string", "number"] }),
        Takes::OneOf(words) => json!({ "enum": words }),
        Takes::Failures => {
            let names: Vec<_> = FAILURE_CLASSES.iter().map(|(name, ..)| *name).collect();
            json!({ "type": "array", "items": { "enum": names } })
        }
        Takes::Variables => {
            json!({ "type": "object", "additionalProperties": { "type": ["string", "number", "boolean"] } })
        }
        Takes::Waits => json!({ "type": ["string", "number", "object"] }),
        Takes::KindOf(what) => {
            let there = kinds_of(what).into_iter();
            json!({ "enum": there.map(|(name, _)| name).collect::<Vec<_>>() })
        }
    };
    schema["description"] = Value::String(about);
    schema
}

fn space_schema() -> Value {
    let bound = |about: &str| json!({ "type": ["number", "string"], "description": about });
    let keys = json!({
        "min": bound("the least value, or an expression"),
        "max": bound("the largest value, included for integers, or an expression"),
        "log": { "type": "boolean", "description": "uniform in the logarithm" },
        "step": { "type": "number", "description": "a grid inside the range, from `min`" },
        "digits": { "type": "integer", "minimum": 1, "description": "significant digits kept (default: 6)" },
        "mean": { "type": "number", "description": "of a normal distribution" },
        "std": { "type": "number", "description": "of a normal distribution" },
        "choice": { "type": "array", "description": "the values to choose from" },
        "weights": { "type": "array", "items": { "type": "number" }, "description": "how likely each choice is" },
        "ordered": { "type": "boolean", "description": "whether neighbouring choices are alike" },
        "value": { "description": "a constant, also an array" },
        "expr": { "type": "string", "description": "computed from other parameters and recorded, never searched" },
        "rows": { "type": "array", "items": { "type": "object" }, "description": "one row sets several names" },
        "when": { "type": "string", "description": "exists only if this expression is true" },
        "repeat": { "type": ["string", "integer"], "description": "a list of that many independent draws" },
        "default": { "description": "first value to try; given to trials that lack it" },
    });
    json!({
        "type": "object",
        "description": "the parameters: a constant, a list of choices, a range, or a table of these",
        "additionalProperties": {
            "anyOf": [
                { "type": ["string", "number", "boolean", "array"] },
                { "type": "object", "properties": keys },
            ],
        },
    })
}

#[cfg(test)]
mod tests;
