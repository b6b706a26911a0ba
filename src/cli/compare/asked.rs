//! The arguments of `swath compare`, checked against the columns of the sources.

use super::Args;
use crate::cli::exit::Failure;
use crate::report::compare::assertion::Assertion;
use crate::report::compare::{Group, Grouping, Source};
use crate::report::formula::study::unknown;
use crate::report::formula::{Formula, FormulaError, Names, split};
use crate::report::text::plain;
use crate::space::expr::Type;
use crate::study::Goal;
use std::collections::BTreeSet;

/// The parsed arguments.
pub(super) struct Asked {
    pub(super) grouping: Grouping,
    pub(super) condition: Option<Formula>,
    pub(super) cols: Vec<Formula>,
    pub(super) drop: Vec<String>,
    pub(super) sort: Option<(Formula, bool)>,
    pub(super) assertions: Vec<Assertion>,
}

/// Returns every name that is defined in at least one source.
fn vocabulary(sources: &[Source]) -> Names {
    let each = sources.iter().map(Source::vocabulary);
    each.flat_map(Names::iter).collect()
}

impl Asked {
    pub(super) fn of(args: &Args, sources: &[Source]) -> Result<Self, Failure> {
        let names = vocabulary(sources);
        let formula = |text: &str| Formula::parse(text, &names);
        let list = |list: Option<&str>| {
            list.map_or_else(Vec::new, split)
                .into_iter()
                .map(formula)
                .collect::<Result<Vec<_>, _>>()
        };
        let metric = match &args.metric {
            Some(text) => formula(text)?,
            None => formula(&default_metric(sources)?)?,
        };
        let by = list(args.by.as_deref())?;
        let cols = list(args.cols.as_deref())?;
        let condition = args.condition.as_deref().map(formula).transpose()?;
        let sort = args
            .sort
            .as_deref()
            .map(|text| sorting(text, &names, sources))
            .transpose()?;
        let mut assertions = Vec::new();
        for text in &args.assertions {
            assertions.push(Assertion::parse(text, &names)?);
        }
        let sorted = sort.iter().map(|(formula, _)| formula);
        for formula in std::iter::once(&metric)
            .chain(&by)
            .chain(&cols)
            .chain(sorted)
        {
            check_column(formula, &names, sources)?;
        }
        // An assertion over reports that no trial made fails, but it is not a usage error.
        for formula in assertions.iter().flat_map(Assertion::formulas) {
            check(formula, &names, sources, &|source| source.check(formula))?;
        }
        if let Some(condition) = &condition
            && !matches!(
                check_column(condition, &names, sources)?,
                Type::Bool | Type::Any
            )
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
            split(&args.pair).into_iter().map(str::to_owned).collect()
        };
        let grouping = Grouping {
            metric,
            goal,
            by,
            pair,
            all: args.all,
            bootstrap: args.interval == "bootstrap",
        };
        let drop = args.drop.as_deref().map_or_else(Vec::new, split);
        let drop = drop.into_iter().map(str::to_owned).collect();
        Ok(Self {
            grouping,
            condition,
            cols,
            drop,
            sort,
            assertions,
        })
    }

    /// Returns whether small or large values of a column are better, or `None` if unknown.
    pub(super) fn goal_of(&self, formula: &Formula, source: &Source) -> Option<Goal> {
        self.grouping
            .goal_of(formula)
            .or_else(|| source.goal(formula))
    }
}

/// Returns the metric that all sources share. Fails with a usage error if there is none, or if the
/// sources have different objectives.
fn default_metric(sources: &[Source]) -> Result<String, Failure> {
    let metrics: BTreeSet<String> = sources.iter().filter_map(Source::metric).collect();
    let mut metrics = metrics.into_iter();
    match (metrics.next(), metrics.next()) {
        (Some(metric), None) => match sources
            .iter()
            .find(|source| !source.vocabulary().contains(&metric))
        {
            None => Ok(metric),
            Some(source) => {
                let names = source.numeric().join(", ");
                Err(Failure::usage(format!(
                    "`{}` has no `{}`",
                    plain(&source.name),
                    plain(&metric)
                ))
                .hint(format!(
                    "name another with `--metric`: it has {}",
                    plain(&names)
                )))
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
                names => failure.hint(format!(
                    "name one with `--metric`: {}",
                    plain(&names.join(", "))
                )),
            })
        }
    }
}

/// Returns whether small or large values are better: from `--goal`, else from the objectives of the
/// studies, else from the usual meaning of the metric's name. Fails with a usage error if the
/// studies disagree or nothing decides.
fn goal(args: &Args, metric: &Formula, sources: &[Source]) -> Result<Goal, Failure> {
    match args.goal.as_deref() {
        Some("max") => return Ok(Goal::Max),
        Some(_) => return Ok(Goal::Min),
        None => {}
    }
    let goals: Vec<Goal> = sources
        .iter()
        .filter_map(|source| source.goal(metric))
        .collect();
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

/// Returns the usual goal of a metric of that name, or `None` if the name is ambiguous.
fn usual(name: &str) -> Option<Goal> {
    let name = name.to_lowercase();
    let words: Vec<&str> = name.split(|char: char| !char.is_alphanumeric()).collect();
    let is = |known: &[&str]| words.iter().any(|word| known.contains(word));
    let small = is(&[
        "loss",
        "error",
        "err",
        "mse",
        "rmse",
        "mae",
        "nll",
        "perplexity",
        "seconds",
        "time",
        "regret",
    ]);
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

/// Parses `--sort`: a column, and whether the order is descending. An objective's best value comes
/// first; other columns sort from the smallest value up.
fn sorting(text: &str, names: &Names, sources: &[Source]) -> Result<(Formula, bool), FormulaError> {
    let (text, reverse) = match text.strip_prefix('-') {
        Some(rest) if !names.contains(text) => (rest, true),
        _ => (text, false),
    };
    let formula = Formula::parse(text, names)?;
    let large = sources
        .iter()
        .any(|source| source.goal(&formula) == Some(Goal::Max));
    Ok((formula, reverse != large))
}

/// Checks that at least one source has values for a column. Returns its type there.
fn check_column(
    formula: &Formula,
    names: &Names,
    sources: &[Source],
) -> Result<Type, FormulaError> {
    let check_in = |source: &Source| {
        let result = source.check(formula)?;
        source.check_reports(formula).map(|()| result)
    };
    check(formula, names, sources, &check_in)
}

/// Checks that an expression uses defined names only and passes `check_in` in at least one source.
/// Returns the type from that source, or the error of the first source.
fn check(
    formula: &Formula,
    names: &Names,
    sources: &[Source],
    check_in: &dyn Fn(&Source) -> Result<Type, FormulaError>,
) -> Result<Type, FormulaError> {
    // With several sources, each source's own error would suggest only its own names.
    if sources.len() > 1
        && let Some(name) = formula.names().find(|name| !names.contains(name))
    {
        let (message, hint) = unknown(name, formula.text(), names);
        return Err(FormulaError::new(formula.text(), message, hint));
    }
    let mut wrong = None;
    for source in sources {
        match check_in(source) {
            Ok(result) => return Ok(result),
            Err(error) => wrong = wrong.or(Some(error)),
        }
    }
    wrong.map_or(Ok(Type::Any), Err)
}

/// Returns whether a group matches `--baseline`: by its key or, without a key, by the label or the
/// source of one of its rows.
pub(super) fn is_baseline(group: &Group<'_>, wanted: &str) -> bool {
    let number = |text: &str| text.parse::<f64>().ok();
    if group.key.is_empty() {
        return group
            .rows
            .iter()
            .any(|row| row.label() == wanted || row.source.name == wanted);
    }
    // Numbers match by value, so that `0.10` finds the group `0.1`.
    let keys = label(group);
    keys == wanted
        || (group.key.len() == 1 && number(&keys).is_some() && number(&keys) == number(wanted))
}

/// Returns the label of a group: its key, or the label of its first row if it has none.
pub(super) fn label(group: &Group<'_>) -> String {
    if group.key.is_empty() {
        return group
            .rows
            .first()
            .map_or_else(String::new, crate::report::compare::Row::label);
    }
    let words = group
        .key
        .iter()
        .map(|value| value.as_ref().map_or_else(String::new, ToString::to_string));
    words.collect::<Vec<_>>().join(",")
}
