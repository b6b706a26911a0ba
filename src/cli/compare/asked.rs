//! What was asked for, checked against what the sources have.

use super::Args;
use crate::cli::exit::Failure;
use crate::report::compare::assertion::Assertion;
use crate::report::compare::{Group, Grouping, Source};
use crate::report::formula::{Formula, Reducer};
use crate::report::text::plain;
use crate::source::diagnostic::nearest;
use crate::space::expr::Type;
use crate::study::{Goal, Objective};
use std::collections::BTreeSet;

/// The arguments, understood.
pub(super) struct Asked {
    pub(super) grouping: Grouping,
    pub(super) condition: Option<Formula>,
    pub(super) cols: Vec<Formula>,
    pub(super) drop: Vec<String>,
    pub(super) sort: Option<(Formula, bool)>,
    pub(super) assertions: Vec<Assertion>,
}

/// Parses a formula that may be the name of a column.
pub(super) fn formula(text: &str, sources: &[Source]) -> Result<Formula, Failure> {
    Ok(Formula::parse(text, &|name| knows(sources, name))?)
}

fn knows(sources: &[Source], name: &str) -> bool {
    name == "study" || sources.iter().any(|source| source.knows(name))
}

/// Splits a list at commas outside brackets and quotes.
pub(super) fn split(list: Option<&str>) -> Vec<&str> {
    let Some(list) = list else { return Vec::new() };
    let (mut parts, mut start, mut depth, mut quote) = (Vec::new(), 0, 0, None);
    for (at, char) in list.char_indices() {
        match (quote, char) {
            (Some(open), _) if open == char => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"' | '`') => quote = Some(char),
            (None, '(' | '[') => depth += 1,
            (None, ')' | ']') => depth -= 1,
            (None, ',') if depth == 0 => {
                parts.push(&list[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&list[start..]);
    parts.into_iter().map(str::trim).filter(|part| !part.is_empty()).collect()
}

impl Asked {
    pub(super) fn of(args: &Args, sources: &[Source]) -> Result<Self, Failure> {
        let list = |list: Option<&str>| {
            split(list).into_iter().map(|text| formula(text, sources)).collect::<Result<Vec<_>, _>>()
        };
        let metric = match &args.metric {
            Some(text) => formula(text, sources)?,
            None => formula(&default_metric(sources)?, sources)?,
        };
        let by = list(args.by.as_deref())?;
        let cols = list(args.cols.as_deref())?;
        let condition = args.condition.as_deref().map(|text| formula(text, sources)).transpose()?;
        let sort = args.sort.as_deref().map(|text| sorting(text, sources)).transpose()?;
        let mut assertions = Vec::new();
        for text in &args.assertions {
            assertions.push(Assertion::parse(text, &|name| knows(sources, name))?);
        }
        let sorted = sort.iter().map(|(formula, _)| formula);
        let asserted = assertions.iter().flat_map(Assertion::formulas);
        for formula in
            std::iter::once(&metric).chain(&by).chain(&cols).chain(&condition).chain(sorted).chain(asserted)
        {
            check_names(formula, sources)?;
            formula.check()?;
        }
        if let Some(condition) = &condition
            && !matches!(condition.check(), Ok(Type::Bool | Type::Any))
        {
            return Err(Failure::usage(format!(
                "`--where {}` is neither true nor false",
                plain(condition.text())
            )));
        }
        let goal = goal(args, &metric, sources)?;
        let pair = if args.unpaired {
            Vec::new()
        } else {
            split(Some(&args.pair)).into_iter().map(str::to_owned).collect()
        };
        let grouping =
            Grouping { metric, goal, by, pair, all: args.all, bootstrap: args.interval == "bootstrap" };
        let drop = split(args.drop.as_deref()).into_iter().map(str::to_owned).collect();
        Ok(Self { grouping, condition, cols, drop, sort, assertions })
    }

    /// Returns whether small or large values of a column are good.
    pub(super) fn goal_of(&self, formula: &Formula, source: &Source) -> Option<Goal> {
        self.grouping.goal_of(formula).or_else(|| declared(formula, source))
    }
}

/// Returns the goal that a study gives to what a formula measures.
fn declared(formula: &Formula, source: &Source) -> Option<Goal> {
    let mut names: Vec<_> = formula.names().collect();
    names.dedup();
    let [name] = names.as_slice() else { return None };
    let is_plain =
        formula.name().is_some() || formula.text().ends_with([')', '@']) || formula.text().contains('@');
    let counts = formula.asks().any(|(ask, _)| ask == crate::report::formula::Ask::Reduce(Reducer::Count));
    let objective = source.objectives().iter().find(|objective| *objective.metric == **name)?;
    (is_plain && !counts).then_some(objective.goal)
}

/// Finds the metric that all sources are about.
fn default_metric(sources: &[Source]) -> Result<String, Failure> {
    let metrics: BTreeSet<String> = sources.iter().filter_map(Source::metric).collect();
    let mut metrics = metrics.into_iter();
    match (metrics.next(), metrics.next()) {
        (Some(metric), None) => match sources.iter().find(|source| !source.knows(&metric)) {
            None => Ok(metric),
            Some(source) => {
                let names = source.numeric().join(", ");
                Err(Failure::usage(format!("`{}` has no `{}`", plain(&source.name), plain(&metric)))
                    .hint(format!("name another with `--metric`: it has {}", plain(&names))))
            }
        },
        (Some(one), Some(other)) => Err(Failure::usage(format!(
            "the studies have different objectives, among them `{}` and `{}`",
            plain(&one),
            plain(&other)
        ))
        .hint("say with `--metric` which to compare")),
        (None, _) => {
            let names: Vec<String> = sources.iter().flat_map(Source::numeric).collect();
            let failure = Failure::usage("it is not known which column to compare");
            Err(match names.as_slice() {
                [] => failure.hint("no column holds a number"),
                names => failure.hint(format!("name one with `--metric`: {}", plain(&names.join(", ")))),
            })
        }
    }
}

/// Finds out whether small or large is good: as was said, as the studies say, or as names usually mean.
fn goal(args: &Args, metric: &Formula, sources: &[Source]) -> Result<Goal, Failure> {
    match args.goal.as_deref() {
        Some("max") => return Ok(Goal::Max),
        Some(_) => return Ok(Goal::Min),
        None => {}
    }
    let goals: Vec<Goal> = sources.iter().filter_map(|source| declared(metric, source)).collect();
    match goals.first() {
        Some(first) if goals.iter().all(|goal| goal == first) => Ok(*first),
        Some(_) => Err(Failure::usage(format!(
            "one study minimises `{}` and another maximises it",
            plain(metric.text())
        ))
        .hint("say `--goal min` or `--goal max`")),
        None => usual(metric.text()).ok_or_else(|| {
            Failure::usage(format!(
                "it is not known whether a small or a large `{}` is good",
                plain(metric.text())
            ))
            .hint("say `--goal min` or `--goal max`")
        }),
    }
}

/// Returns what is good of a metric of that name, if there can be no doubt.
fn usual(name: &str) -> Option<Goal> {
    let name = name.to_lowercase();
    let words: Vec<&str> = name.split(|char: char| !char.is_alphanumeric()).collect();
    let is = |known: &[&str]| words.iter().any(|word| known.contains(word));
    let small =
        is(&["loss", "error", "err", "mse", "rmse", "mae", "nll", "perplexity", "seconds", "time", "regret"]);
    let large = is(&[
        "acc",
        "accuracy",
        "auc",
        "f1",
        "reward",
        "return",
        "precision",
        "recall",
        "r2",
        "bleu",
        "iou",
        "map",
    ]);
    match (small, large) {
        (true, false) => Some(Goal::Min),
        (false, true) => Some(Goal::Max),
        _ => None,
    }
}

/// Understands `--sort`: an objective's best value comes first, of anything else the smallest.
fn sorting(text: &str, sources: &[Source]) -> Result<(Formula, bool), Failure> {
    let (text, reverse) = match text.strip_prefix('-') {
        Some(rest) if !knows(sources, text) => (rest, true),
        _ => (text, false),
    };
    let formula = formula(text, sources)?;
    let objective = |objective: &Objective| *objective.metric == *text && objective.goal == Goal::Max;
    let large = sources.iter().any(|source| source.objectives().iter().any(objective));
    Ok((formula, reverse != large))
}

/// Makes sure that every name stands for something somewhere.
fn check_names(formula: &Formula, sources: &[Source]) -> Result<(), Failure> {
    let Some(unknown) = formula.names().find(|name| !knows(sources, name)) else { return Ok(()) };
    let known: Vec<String> = sources.iter().flat_map(Source::names).collect();
    let failure = Failure::usage(format!("no trial has a `{}`", plain(unknown)));
    Err(match nearest(unknown, known.iter().map(String::as_str)) {
        Some(near) => failure.hint(format!("did you mean `{}`?", plain(near))),
        None => {
            let unique: BTreeSet<_> = known.iter().map(String::as_str).collect();
            let listed: Vec<_> = unique.into_iter().take(40).collect();
            failure.hint(format!("there are: {}", plain(&listed.join(", "))))
        }
    })
}

/// Says whether a group is the one that was named: by its value, or by the number of a trial.
pub(super) fn is_baseline(group: &Group<'_>, wanted: &str) -> bool {
    let number = |text: &str| text.parse::<f64>().ok();
    if group.key.is_empty() {
        return group.rows.iter().any(|row| row.label() == wanted || row.source.name == wanted);
    }
    let keys = label(group);
    keys == wanted || (group.key.len() == 1 && number(&keys).is_some() && number(&keys) == number(wanted))
}

/// Returns what a group is called.
pub(super) fn label(group: &Group<'_>) -> String {
    if group.key.is_empty() {
        return group.rows.first().map_or_else(String::new, crate::report::compare::Row::label);
    }
    let words = group.key.iter().map(|value| value.as_ref().map_or_else(String::new, ToString::to_string));
    words.collect::<Vec<_>>().join(",")
}
