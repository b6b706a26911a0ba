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
pub(super) struct Query {
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

impl Query {
    pub(super) fn of(args: &Args, sources: &[Source]) -> Result<Self, Failure> {
        let names = vocabulary(sources);
        let metric = match &args.metric {
            Some(text) => Formula::parse(text, &names)?,
            None => Formula::parse(&default_metric(sources)?, &names)?,
        };
        let by = parse_list(args.by.as_deref(), &names)?;
        let cols = parse_list(args.cols.as_deref(), &names)?;
        let condition = args
            .condition
            .as_deref()
            .map(|text| Formula::parse(text, &names))
            .transpose()?;
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
                "the value of `--where {}` is not true or false",
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

/// Parses expressions that are separated by commas.
fn parse_list(list: Option<&str>, names: &Names) -> Result<Vec<Formula>, FormulaError> {
    list.map_or_else(Vec::new, split)
        .into_iter()
        .map(|text| Formula::parse(text, names))
        .collect()
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
                    "name another column with `--metric`: it has {}",
                    plain(&names)
                )))
            }
        },
        (Some(one), Some(other)) => Err(Failure::usage(format!(
            "the studies have different objectives, among them `{}` and `{}`",
            plain(&one),
            plain(&other)
        ))
        .hint("name the column to compare with `--metric`")),
        (None, _) => {
            let names: Vec<String> = sources.iter().flat_map(Source::numeric).collect();
            let failure = Failure::usage("no objective says which column to compare");
            Err(match names.as_slice() {
                [] => failure.hint("no column holds a number"),
                names => failure.hint(format!(
                    "name a column with `--metric`: {}",
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
        .hint("add `--goal min` or `--goal max`")),
        None => usual_goal(metric.text()).ok_or_else(|| {
            Failure::usage(format!(
                "it is unknown whether a small or a large `{}` is better",
                plain(metric.text())
            ))
            .hint("add `--goal min` or `--goal max`")
        }),
    }
}

/// Returns the usual goal of a metric of that name, or `None` if the name is ambiguous.
fn usual_goal(name: &str) -> Option<Goal> {
    const SMALL: [&str; 11] = [
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
    ];
    const LARGE: [&str; 12] = [
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
    ];
    let name = name.to_lowercase();
    let words: Vec<&str> = name.split(|char: char| !char.is_alphanumeric()).collect();
    let has_small = words.iter().any(|word| SMALL.contains(word));
    let has_large = words.iter().any(|word| LARGE.contains(word));
    match (has_small, has_large) {
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
    check(formula, names, sources, &|source| {
        let result = source.check(formula)?;
        source.check_reports(formula).map(|()| result)
    })
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
    let mut first_error = None;
    for source in sources {
        match check_in(source) {
            Ok(result) => return Ok(result),
            Err(error) => first_error = first_error.or(Some(error)),
        }
    }
    first_error.map_or(Ok(Type::Any), Err)
}

/// Returns whether a group matches `--baseline`: by its key or, without a key, by the label or the
/// source of one of its rows.
pub(super) fn is_baseline(group: &Group<'_>, baseline: &str) -> bool {
    if group.key.is_empty() {
        return group
            .rows
            .iter()
            .any(|row| row.label() == baseline || row.source.name == baseline);
    }
    // Numbers match by value, so that `0.10` finds the group `0.1`.
    let keys = label(group);
    keys == baseline
        || (group.key.len() == 1
            && keys
                .parse::<f64>()
                .is_ok_and(|key| baseline.parse::<f64>().is_ok_and(|number| number == key)))
}

/// Returns the label of a group: its key, or the label of its first row if it has none.
pub(super) fn label(group: &Group<'_>) -> String {
    if group.key.is_empty() {
        return group
            .rows
            .first()
            .map_or_else(String::new, crate::report::compare::Row::label);
    }
    let values = group
        .key
        .iter()
        .map(|value| value.as_ref().map_or_else(String::new, ToString::to_string));
    values.collect::<Vec<_>>().join(",")
}
