//! Resolution of names in a study, and checks for expressions that cannot have a value there.

use super::{Ask, Formula, FormulaError, Names, Reducer, ReportHistory, TrialCells};
use crate::row;
use swath_engine::journal::{JournalError, StudyDir};
use swath_model::source::diagnostic::nearest;
use swath_model::space::Value;
use swath_model::space::expr::{EvalError, Type};
use swath_model::study::{Goal, Study};

/// Maximum number of names that a message lists.
const LISTED: usize = 40;

/// Error of an expression over a study.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// An expression is invalid.
    #[error(transparent)]
    Formula(#[from] FormulaError),
    /// The journal with the reports could not be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// Checks expressions over a study and reads the reports that they need.
///
/// # Errors
/// The first expression that cannot have a value, or the error of the journal.
pub fn read(
    dir: &StudyDir,
    study: &Study,
    names: &Names,
    formulas: &[&Formula],
) -> Result<ReportHistory, ReadError> {
    let history = ReportHistory::read(dir, study, formulas.iter().copied())?;
    for formula in formulas {
        check(formula, study, names)?;
        check_reports(formula, study, &history)?;
    }
    Ok(history)
}

/// Checks that an expression can have a value in a study. Returns the type of its result.
///
/// # Errors
/// A name that no trial has, a question that no report of this study can ever answer, or an
/// operation that cannot work.
pub fn check(formula: &Formula, study: &Study, names: &Names) -> Result<Type, FormulaError> {
    if let Some(name) = formula.names().find(|name| !names.contains(name)) {
        return Err(error(formula, unknown(name, formula.text(), names)));
    }
    for name in formula.plain_names() {
        // `best.x` and `at_best.x` are questions in the form of a name. A value in any trial shows
        // that they can be answered.
        let (kind, metric) = name.split_once('.').unwrap_or_default();
        match kind {
            "best" if !has_value(study, name) => {
                check_ask(study, Ask::Reduce(Reducer::Best), metric)
            }
            "at_best" if !has_value(study, name) => {
                check_take(study, metric).and_then(|()| check_at_best(study, metric))
            }
            _ => Ok(()),
        }
        .map_err(|mistake| error(formula, mistake))?;
    }
    for (ask, name) in formula.asks() {
        check_ask(study, ask, name).map_err(|mistake| error(formula, mistake))?;
    }
    formula.check(names, &|name| type_of(study, name))
}

/// Checks an expression against the reports so far: each of its questions has an answer in some
/// report, as soon as there are reports that could answer it, and some trial has a result.
///
/// # Errors
/// The first question that no report answers, or the reason why no trial has a result.
pub fn check_reports(
    formula: &Formula,
    study: &Study,
    history: &ReportHistory,
) -> Result<(), FormulaError> {
    for (ask, name) in formula.asks() {
        match ask {
            Ask::AtBest => check_at_best(study, name),
            Ask::At(step) => check_step(history, name, step),
            Ask::Reduce(_) => Ok(()),
        }
        .map_err(|mistake| error(formula, mistake))?;
    }
    check_results(formula, study, history).map_err(|mistake| error(formula, mistake))
}

/// Checks that an expression has a value in at least one of the trials that have all its names.
fn check_results(formula: &Formula, study: &Study, history: &ReportHistory) -> Result<(), Mistake> {
    // A single name needs no computation, so it cannot fail.
    if formula.name().is_some() {
        return Ok(());
    }
    let mut first_error = None;
    for trial in study.trials() {
        match formula.compute(&TrialCells {
            study,
            trial,
            history,
        }) {
            Ok(_) => return Ok(()),
            // A trial that lacks a name proves nothing, so only other errors count.
            Err(EvalError::Absent(_)) => {}
            Err(error) => first_error = first_error.or(Some(error)),
        }
    }
    first_error.map_or(Ok(()), |error| {
        Err((format!("has no value in any trial: {error}"), None))
    })
}

/// Message and hint of an error.
type Mistake = (String, Option<String>);

fn error(formula: &Formula, (message, hint): Mistake) -> FormulaError {
    FormulaError::new(formula.text(), message, hint)
}

/// Returns whether any trial has a value for a name.
fn has_value(study: &Study, name: &str) -> bool {
    let mut trials = study.trials().iter();
    trials.any(|trial| row::value(study, trial, name).is_some())
}

/// Returns the error for an unknown name, with the nearest known name, or a list of the names, as
/// its hint.
pub fn unknown(name: &str, text: &str, names: &Names) -> Mistake {
    let message = format!("no trial has a `{name}`");
    // The name may be a fragment of a longer one that the parser split, so its surroundings are
    // tried first.
    let nearest_name =
        nearest(surroundings(name, text), names.iter()).or_else(|| nearest(name, names.iter()));
    let hint = match nearest_name {
        Some(nearest_name) => format!("did you mean `{nearest_name}`?"),
        None => {
            let plain = names.iter().filter(|name| !is_prefixed(name)).take(LISTED);
            format!("there are: {}", plain.collect::<Vec<_>>().join(", "))
        }
    };
    (message, Some(hint))
}

/// Returns a name with its surroundings up to a blank, bracket, quote or comparison.
///
/// Each part of the misspelt `val/AR@10` is unlike every name, but the whole resembles
/// `val/AR@100`.
fn surroundings<'a>(name: &str, text: &'a str) -> &'a str {
    let Some(start) = text.find(name) else {
        return text;
    };
    let end = start + name.len();
    let from = text[..start].rfind(is_separator).map_or(0, |offset| {
        offset + text[offset..].chars().next().map_or(1, char::len_utf8)
    });
    let to = text[end..]
        .find(is_separator)
        .map_or(text.len(), |offset| end + offset);
    &text[from..to]
}

fn is_separator(char: char) -> bool {
    char.is_whitespace() || "()[]<>=!,'\"`".contains(char)
}

/// Returns whether a name has one of the prefixes that select a value.
fn is_prefixed(name: &str) -> bool {
    ["param.", "metric.", "best.", "at_best."]
        .iter()
        .any(|kind| name.starts_with(kind))
}

/// Checks that the reports of a metric can answer a question.
fn check_ask(study: &Study, ask: Ask, name: &str) -> Result<(), Mistake> {
    let trials = study.trials();

    // Any function but `best` also reduces a parameter that is a list.
    if trials
        .iter()
        .any(|trial| matches!(trial.params.get(name), Some(Value::List(_))))
        && matches!(ask, Ask::Reduce(reducer) if reducer != Reducer::Best)
    {
        return Ok(());
    }
    let is_objective = study
        .header()
        .objectives
        .iter()
        .any(|objective| *objective.metric == *name);
    if !is_objective && !trials.iter().any(|trial| trial.metrics.contains_key(name)) {
        let is_text = trials.iter().any(|trial| trial.texts.contains_key(name));
        let reason = if is_text {
            "its reports are texts"
        } else {
            "no trial reports it as a metric"
        };
        let hint = format!("write `{name}`: it has one value per trial");
        return Err((
            format!("`{}` has no value: {reason}", ask.of(name)),
            Some(hint),
        ));
    }
    match ask {
        Ask::Reduce(Reducer::Best) if row::goal(study, name).is_none() => {
            let message = format!("it is not known whether a small or a large `{name}` is good");
            let hint = format!(
                "write `min({name})` or `max({name})`, or `at_best({name})` for its value in the \
                 report that counts"
            );
            Err((message, Some(hint)))
        }
        Ask::AtBest => check_take(study, name),
        _ => Ok(()),
    }
}

/// Checks that a single report of each trial counts, by the `take` rule of the first objective.
fn check_take(study: &Study, name: &str) -> Result<(), Mistake> {
    match study.header().objectives.first() {
        None => Err(no_value_at_best(
            name,
            "without an objective no report counts",
        )),
        Some(objective) if objective.take.averages() => {
            let take = objective.take;
            Err(no_value_at_best(
                name,
                &format!("with `take = \"{take}\"` no single report counts"),
            ))
        }
        Some(_) => Ok(()),
    }
}

/// Checks that the report that counts contains the metric in some trial, as soon as any trial has
/// such a report.
fn check_at_best(study: &Study, name: &str) -> Result<(), Mistake> {
    let mut counted = study
        .trials()
        .iter()
        .filter_map(|trial| trial.counted.as_ref())
        .peekable();
    if counted.peek().is_some() && !counted.any(|counted| counted.number(name).is_some()) {
        return Err(no_value_at_best(name, "it is in no report that counts"));
    }
    Ok(())
}

/// Returns the error of an `at_best` that cannot have a value.
fn no_value_at_best(name: &str, reason: &str) -> Mistake {
    let hint = format!("write `last({name})`, `mean({name})`, `min({name})` or `max({name})`");
    (
        format!("`{}` has no value: {reason}", Ask::AtBest.of(name)),
        Some(hint),
    )
}

/// Checks that some trial reported a metric at a step, as soon as the metric was reported at all.
fn check_step(history: &ReportHistory, name: &str, step: f64) -> Result<(), Mistake> {
    match extent(history.steps(name)) {
        Some((first, last)) if !history.steps(name).any(|reported_at| reported_at == step) => {
            let message = format!("no trial reported `{name}` at step {step}");
            Err((
                message,
                Some(format!("its steps go from {first} to {last}")),
            ))
        }
        _ => Ok(()),
    }
}

/// Returns the smallest and the largest step.
fn extent(steps: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    steps.fold(None, |extent, step| match extent {
        None => Some((step, step)),
        Some((first, last)) => Some((step.min(first), step.max(last))),
    })
}

/// Returns the type of a name, if it is the same in every trial that has it, else [`Type::Any`].
fn type_of(study: &Study, name: &str) -> Type {
    let mut types = study
        .trials()
        .iter()
        .filter_map(|trial| row::value(study, trial, name));
    let first = types.next().map_or(Type::Any, |value| Type::of(&value));
    if types.all(|value| Type::of(&value) == first) {
        first
    } else {
        Type::Any
    }
}

/// Returns the goal of the objective, if the expression is nothing but that objective.
#[must_use]
pub fn goal(formula: &Formula, study: &Study) -> Option<Goal> {
    let name = match (formula.name(), formula.ask()) {
        (Some(name), _) => {
            let kinds = ["metric.", "best.", "at_best."];
            kinds
                .iter()
                .find_map(|kind| name.strip_prefix(kind))
                .unwrap_or(name)
        }
        (None, Some((Ask::Reduce(Reducer::Count | Reducer::Std), _))) | (None, None) => {
            return None;
        }
        (None, Some((_, name))) => name,
    };
    let objectives = &study.header().objectives;
    objectives
        .iter()
        .find(|objective| *objective.metric == *name)
        .map(|objective| objective.goal)
}
