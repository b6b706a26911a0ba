//! Reads one parameter that is written as a table, and checks its combination of keys.

use super::source_expr::SourceExpr;
use super::table::{self, TableContext};
use super::{Body, Draft, DraftCondition, choice, names, range};
use crate::source::{
    Diagnostic, Diagnostics, Key, Node, NodeValue, Opt, Preset, Section, Span, Table, Takes,
    diagnostic,
};
use crate::space::real_range::DIGITS;
use crate::space::{Name, Value};
use std::collections::HashMap;

/// Type of parameter that a table describes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    Range,
    Normal,
    Choice,
    Value,
    Expr,
    Rows,
}

/// Keys that determine the family of a table, in order of precedence.
const MAIN: &[(&str, Family)] = &[
    ("choice", Family::Choice),
    ("rows", Family::Rows),
    ("value", Family::Value),
    ("expr", Family::Expr),
    ("mean", Family::Normal),
    ("std", Family::Normal),
    ("min", Family::Range),
    ("max", Family::Range),
];
pub(super) const MAIN_KEYS: &[&str] = &[
    "choice", "rows", "value", "expr", "mean", "std", "min", "max",
];

const BOUND: Takes = Takes::Either(&[Takes::Number, Takes::Text]);

/// All keys of a parameter, with the families that accept them.
const KEYS: &[(Opt, &[Family])] = &[
    (
        Opt::new(
            "choice",
            Takes::List(&Takes::Any),
            Preset::Absent,
            "the values to choose from",
        ),
        &[Family::Choice],
    ),
    (
        Opt::new(
            "rows",
            Takes::List(&Takes::Table(&Takes::Any)),
            Preset::Absent,
            "one row sets several names",
        ),
        &[Family::Rows],
    ),
    (
        Opt::new(
            "value",
            Takes::Any,
            Preset::Absent,
            "a constant, also an array",
        ),
        &[Family::Value],
    ),
    (
        Opt::new(
            "expr",
            Takes::Text,
            Preset::Absent,
            "computed from other parameters and recorded, never searched",
        ),
        &[Family::Expr],
    ),
    (
        Opt::new(
            "mean",
            Takes::Number,
            Preset::Absent,
            "of a normal distribution",
        ),
        &[Family::Normal],
    ),
    (
        Opt::new(
            "std",
            Takes::Number,
            Preset::Absent,
            "of a normal distribution",
        ),
        &[Family::Normal],
    ),
    (
        Opt::new(
            "min",
            BOUND,
            Preset::Absent,
            "the least value, or an expression",
        ),
        &[Family::Range, Family::Normal],
    ),
    (
        Opt::new(
            "max",
            BOUND,
            Preset::Absent,
            "the largest value, included for integers, or an expression",
        ),
        &[Family::Range, Family::Normal],
    ),
    (
        Opt::new(
            "log",
            Takes::Switch,
            Preset::Flag(false),
            "uniform in the logarithm",
        ),
        &[Family::Range, Family::Normal],
    ),
    (
        Opt::new(
            "digits",
            Takes::Count(1),
            Preset::Count(DIGITS as u64),
            "significant digits kept",
        ),
        &[Family::Range, Family::Normal],
    ),
    (
        Opt::new(
            "step",
            Takes::Number,
            Preset::Absent,
            "a grid inside the range, from `min`",
        ),
        &[Family::Range],
    ),
    (
        Opt::new(
            "ordered",
            Takes::Switch,
            Preset::Derived("whether the choices are ascending numbers"),
            "whether neighbouring choices are alike",
        ),
        &[Family::Choice],
    ),
    (
        Opt::new(
            "weights",
            Takes::List(&Takes::Number),
            Preset::Derived("equal"),
            "the probability of each choice or row",
        ),
        &[Family::Choice, Family::Rows],
    ),
    (
        Opt::new(
            "repeat",
            Takes::Either(&[Takes::Count(0), Takes::Text]),
            Preset::Absent,
            "a list of that many independent draws",
        ),
        &[Family::Range, Family::Normal, Family::Choice],
    ),
    (
        Opt::new(
            "default",
            Takes::Any,
            Preset::Absent,
            "the first value to try; given to imported trials that lack it",
        ),
        &[Family::Range, Family::Normal, Family::Choice, Family::Rows],
    ),
    (
        Opt::new(
            "when",
            Takes::Text,
            Preset::Absent,
            "exists only if this expression is true",
        ),
        &[
            Family::Range,
            Family::Normal,
            Family::Choice,
            Family::Value,
            Family::Expr,
            Family::Rows,
        ],
    ),
];

/// Returns the options of a parameter that is written as a table.
pub fn options() -> impl Iterator<Item = Opt> {
    KEYS.iter().map(|(option, _)| *option)
}

/// Returns the family of a table and the key that determines it; `None` for a group.
pub(super) fn family(table: &Table) -> Option<(Family, &'static str)> {
    MAIN.iter()
        .find(|(main, _)| table.get(main).is_some_and(|node| !super::is_table(node)))
        .map(|(main, family)| (*family, *main))
}

/// Returns whether a key only modifies a parameter that other keys describe, such as `log`.
pub(super) fn is_modifier(key: &str) -> bool {
    key != "when"
        && KEYS
            .iter()
            .any(|(option, families)| option.name == key && families.len() < 6)
        && !MAIN_KEYS.contains(&key)
}

/// Reads a parameter and, for a choice, its branches. Appends the drafts to `drafts`.
pub(super) fn read(
    name: Name,
    key: Key,
    (span, table): (Span, Table),
    (family, main): (Family, &'static str),
    context: &TableContext,
    drafts: &mut Vec<Draft>,
    d: &mut Diagnostics,
) {
    let main_key = table
        .entries
        .iter()
        .find(|(key, _)| key.name == main)
        .map_or(key.span.clone(), |(key, _)| key.span.clone());
    let (own, branches) = split_branches(table.entries, family, (main, &main_key), d);
    let written = range::WrittenTable {
        inline: table.inline,
        entries: own.clone(),
    };
    let path = format!("space.{name}");
    let mut section = Section::new(
        path,
        span,
        Table {
            entries: own,
            inline: table.inline,
        },
    );
    let mut draft = table::draft(name.clone(), key.span.clone(), context, Body::Broken);
    if let Some(node) = section.take("when") {
        draft
            .conditions
            .extend(SourceExpr::read("when", &node, d).map(DraftCondition::When));
    }
    let body = match family {
        Family::Value => section
            .take("value")
            .and_then(|node| choice::value_of(&name, &node, d))
            .map(Body::Fixed),
        Family::Expr => section
            .take("expr")
            .and_then(|node| SourceExpr::read("expr", &node, d))
            .map(Body::Derived),
        Family::Choice => choice::read_choice(&name, &mut section, d),
        Family::Rows => {
            choice::read_rows(&name, &context.prefix, &mut section, d).map(|(targets, body)| {
                draft.targets = targets;
                body
            })
        }
        Family::Range | Family::Normal => range::read(
            &name,
            &key,
            family == Family::Normal,
            &mut section,
            &written,
            d,
        )
        .map(Body::Range),
    };
    if family != Family::Value && family != Family::Expr {
        draft.default = section.take("default");
    }
    if matches!(family, Family::Range | Family::Normal | Family::Choice) {
        draft.repeat = section
            .take("repeat")
            .and_then(|node| read_repeat(&name, &node, d));
    }
    section.finish(d);
    let choices = match &body {
        Some(Body::Choice { values, .. }) if !branches.is_empty() => Choices::new(values),
        _ => Choices::default(),
    };
    let repeated = draft.repeat.is_some();
    let broken = body.is_none();
    draft.body = body.unwrap_or(Body::Broken);
    drafts.push(draft);
    // Branches come after the draft of the choice, since they depend on it.
    for (entry, node) in branches {
        if family != Family::Choice || repeated {
            let message = format!("`{name}` cannot have branches");
            let label = if repeated {
                "it is repeated, so there is no single choice to branch on"
            } else {
                "only a choice has branches"
            };
            d.push(Diagnostic::error("no-branch", message).at(entry.span, label));
        } else {
            read_branch(&name, &entry, node, (&choices, broken), context, drafts, d);
        }
    }
}

/// Keys of a table with their values.
type Entries = Vec<(Key, Node)>;

/// Splits the entries of a parameter into its own keys and the branches of a choice. Reports keys
/// of another family than that of the key `main`.
fn split_branches(
    entries: Entries,
    family: Family,
    (main, main_key): (&str, &Span),
    d: &mut Diagnostics,
) -> (Entries, Entries) {
    let (mut own, mut branches) = (Vec::new(), Vec::new());
    for (entry, node) in entries {
        match KEYS
            .iter()
            .find(|(option, _)| option.name == entry.name && !is_branch(&node, &entry.name))
        {
            Some((_, families)) if !families.contains(&family) => {
                let message = format!("`{}` cannot be combined with `{main}`", entry.name);
                let diagnostic = Diagnostic::error("mixed-keys", message)
                    .at(entry.span, "remove this key")
                    .at(main_key.clone(), "and this exclude each other");
                d.push(diagnostic);
            }
            None if super::is_table(&node) => branches.push((entry, node)),
            _ => own.push((entry, node)),
        }
    }
    (own, branches)
}

/// The values of a choice by their texts, which are the keys of its branches.
#[derive(Default)]
struct Choices {
    texts: Vec<String>,
    by_text: HashMap<String, Value>,
}

impl Choices {
    fn new(values: &[Value]) -> Self {
        let texts: Vec<String> = values.iter().map(ToString::to_string).collect();
        // In reverse order, the first of two values with the same text remains.
        let by_text = texts.iter().cloned().zip(values.iter().cloned()).rev();
        Self {
            by_text: by_text.collect(),
            texts,
        }
    }
}

fn is_branch(node: &Node, key: &str) -> bool {
    // Only the default of paired rows may be a table.
    super::is_table(node) && key != "default"
}

fn read_branch(
    switch: &Name,
    key: &Key,
    node: Node,
    (choices, broken): (&Choices, bool),
    context: &TableContext,
    drafts: &mut Vec<Draft>,
    d: &mut Diagnostics,
) {
    let NodeValue::Table(table) = node.value else {
        return;
    };
    let Some(value) = choices.by_text.get(&key.name) else {
        // After a mistake in the choice its values are unknown, so the branch cannot be judged.
        if !broken {
            let message = format!("`{}` is not one of the choices of `{switch}`", key.name);
            let diagnostic =
                Diagnostic::error("unknown-branch", message).at(key.span.clone(), "no such choice");
            let texts = &choices.texts;
            // After many mistakes a hint helps no more, and each compares all choices.
            if d.list.len() >= names::ENOUGH {
                d.push(diagnostic);
                return;
            }
            let near = diagnostic::nearest(&key.name, texts.iter().map(String::as_str));
            d.push(match near {
                Some(near) => diagnostic.hint(format!("did you mean `{near}`?")),
                None => diagnostic.hint(format!("the choices are {}", texts.join(", "))),
            });
        }
        return;
    };
    let mut context = context.clone();
    context.conditions.push(DraftCondition::Branch {
        switch: switch.clone(),
        value: value.clone(),
    });
    let entries = table::take_when(table, &mut context, d);
    table::read_params(entries, &context, drafts, d);
}

fn read_repeat(name: &str, node: &Node, d: &mut Diagnostics) -> Option<SourceExpr> {
    match node.value {
        NodeValue::Int(count) if count >= 0 => SourceExpr::constant(count, &node.span),
        NodeValue::Text(_) => SourceExpr::read("repeat", node, d),
        NodeValue::Int(_) => {
            let message = format!("`{name}` is repeated a negative number of times");
            d.push(
                Diagnostic::error("bad-repeat", message)
                    .at(node.span.clone(), "must be at least 0"),
            );
            None
        }
        _ => {
            d.push(super::wrong_type(
                "repeat",
                "a whole number, or an expression in quotes",
                node,
            ));
            None
        }
    }
}
