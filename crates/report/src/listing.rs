//! Tables of trials: the parameters that distinguish them, and their results.

use super::formula::{Formula, ReportHistory, TrialCells};
use super::table::{Column, RowTone, Table};
use super::{number, row, summary};
use rayon::prelude::*;
use swath_model::space::{Name, Value};
use swath_model::study::{Exit, Origin, Study, Trial, TrialState};
use swath_numerics::sample::Sample;

/// Precision of the values in a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// Four significant digits for every parameter, for a terminal.
    Brief,
    /// All digits.
    Exact,
}

/// A table of trials, and what was left out of it because it does not tell them apart.
#[derive(Debug)]
pub struct Listing {
    /// The table, one row a trial.
    pub table: Table,
    /// Titles and values of the columns that are equal in all trials. Empty with [`Detail::Exact`].
    pub same: Vec<(String, String)>,
    /// Whether columns with plain names have the metrics of the report that counts. `false` with
    /// [`Detail::Exact`], where their titles say so.
    pub is_at_best: bool,
    detail: Detail,
    /// Whether equal columns are left out, and titles are short.
    is_compact: bool,
}

impl Listing {
    /// Appends a column, unless it is equal in all trials of a brief table.
    fn push(&mut self, column: Column) {
        match column.constant() {
            Some(value) if self.is_compact => {
                if !value.is_empty() {
                    self.same
                        .push((column.title().to_owned(), value.to_owned()));
                }
            }
            _ => self.table.push(column),
        }
    }
}

/// Returns a table of trials, one row a trial. The columns are id, state, objectives, time, tags,
/// the parameters that differ among the trials, the other metrics, how the trial ended if not well,
/// and its note.
#[must_use]
pub fn trials(study: &Study, trials: &[&Trial], detail: Detail) -> Listing {
    let mut listing = Listing {
        is_compact: detail == Detail::Brief,
        ..begin(study, trials, detail)
    };
    listing.push(states(trials));
    fill(&mut listing, study, trials);
    listing
}

/// Returns a table of complete trials, in the given order. It has no column for the state. If the
/// study runs replicates, it shows the mean of each objective with its confidence interval, and the
/// number of seeds.
#[must_use]
pub fn ranked(study: &Study, trials: &[&Trial], detail: Detail) -> Table {
    let mut listing = begin(study, trials, detail);
    let table = &mut listing.table;
    if study.header().replicate.is_some() {
        for objective in &study.header().objectives {
            let samples: Vec<_> = trials
                .iter()
                .map(|trial| summary::means(study, trial, objective))
                .collect();
            let means: Vec<_> = samples
                .iter()
                .map(|sample| Some(sample.as_ref()?.mean))
                .collect();
            table.push(
                Column::numbers(
                    &format!("mean {}", objective.metric),
                    number::column(&means),
                )
                .keep(),
            );
            // A single objective needs no name in the title of the interval.
            let title = match study.header().objectives.len() {
                1 => "±".to_owned(),
                _ => format!("± {}", objective.metric),
            };
            table.push(Column::numbers(&title, samples.iter().map(margin)).keep());
        }
        table.push(Column::numbers(
            "seeds",
            trials
                .iter()
                .map(|trial| study.complete(trial.id).count().to_string()),
        ));
    }
    fill(&mut listing, study, trials);
    listing.table
}

/// Returns half the width of a confidence interval; empty for too few values.
fn margin(sample: &Option<Sample>) -> String {
    sample
        .as_ref()
        .and_then(|sample| sample.half_width(summary::CONFIDENCE))
        .map_or_else(String::new, number::brief)
}

/// Appends the columns that [`trials`] and [`ranked`] share.
fn fill(listing: &mut Listing, study: &Study, trials: &[&Trial]) {
    let detail = listing.detail;
    for objective in &study.header().objectives {
        let values: Vec<_> = trials
            .iter()
            .map(|trial| trial.objective(objective))
            .collect();
        let column = Column::numbers(&objective.metric, number::column(&values)).keep();
        let column = own(&listing.table, "objective", &objective.metric, column);
        listing.table.push(column);
    }
    if study.header().replicate.is_some() {
        let configurations = trials
            .iter()
            .map(|trial| study.configuration(trial.id).to_string());
        listing
            .table
            .push(Column::numbers("configuration", configurations));
    }
    let times = trials.iter().map(|trial| time(study, trial));
    listing.table.push(Column::numbers("time", times));
    push_texts(listing, "tags", trials, |trial| {
        study.tags(trial.id).collect::<Vec<_>>().join(", ")
    });
    let outcomes: Vec<String> = trials
        .par_iter()
        .map(|trial| outcome(study, trial))
        .collect();
    let count = outcomes.iter().filter(|text| !text.is_empty()).count();
    let mut outcomes = (count > 0).then(|| Column::texts("outcome", outcomes));
    // Columns further right are left out first. If every trial has an outcome, they come before the
    // parameters so that they stay visible.
    if count == trials.len()
        && let Some(outcomes) = outcomes.take()
    {
        listing.push(outcomes);
    }
    // For ten thousand trials these columns take longest to compute, so all cores share the work.
    let names = varying(study, trials);
    let columns: Vec<Column> = names
        .par_iter()
        .map(|name| {
            let values: Vec<_> = trials.iter().map(|trial| trial.params.get(name)).collect();
            values_column(name, &values, detail)
        })
        .collect();
    for (name, column) in names.iter().zip(columns) {
        let column = own(&listing.table, "param", name, column);
        listing.table.push(column);
    }
    let metrics = others(study, trials);
    if let Some(steps) = steps(study, trials, &metrics) {
        listing.push(steps);
    }
    if trials.iter().any(|trial| trial.attempts > 1) {
        listing.push(Column::numbers(
            "attempts",
            trials.iter().map(|trial| trial.attempts.to_string()),
        ));
    }
    for column in metric_columns(trials, metrics) {
        let numbers = Column::numbers(&column.title, number::column(&column.values));
        // On a terminal the long title would leave no room for other columns.
        let is_short = listing.is_compact && !listing.table.has(&column.name);
        let numbers = match (column.is_at_best, is_short) {
            (true, true) => numbers.titled(&column.name),
            (true, false) => numbers,
            (false, _) => own(&listing.table, "metric", &column.name, numbers),
        };
        listing.is_at_best |= column.is_at_best && is_short && numbers.constant().is_none();
        listing.push(numbers);
    }
    if let Some(outcomes) = outcomes {
        listing.push(outcomes);
    }
    push_texts(listing, "note", trials, |trial| {
        study.note(trial.id).unwrap_or_default().to_owned()
    });
}

/// Appends a column of texts, if any trial has one.
fn push_texts(
    listing: &mut Listing,
    title: &str,
    trials: &[&Trial],
    text: impl Fn(&Trial) -> String,
) {
    let texts: Vec<String> = trials.iter().map(|trial| text(trial)).collect();
    if texts.iter().any(|text| !text.is_empty()) {
        listing.push(Column::texts(title, texts));
    }
}

/// Returns a column with a name of the user's own: an objective, a parameter or a metric. If another
/// column has that title already, the new one gets the name that it has in `trials.csv`, such as
/// `param.lr`.
fn own(table: &Table, kind: &str, name: &Name, column: Column) -> Column {
    if table.has(name) {
        column.titled(&format!("{kind}.{name}"))
    } else {
        column
    }
}

/// Returns a column with the last step of each trial. `None` if no trial went beyond its first
/// step, if a reported metric is the step itself, or if the study has no resource and some steps
/// come from a reported key, which is a column already.
fn steps(study: &Study, trials: &[&Trial], metrics: &[Name]) -> Option<Column> {
    let steps: Vec<_> = trials.iter().map(|trial| trial.step).collect();
    let is_past_first = steps.iter().flatten().any(|step| *step > 1.0);
    if !is_past_first || metrics.iter().any(|name| counts(name, trials)) {
        return None;
    }
    let title = match &study.header().resource {
        Some(resource) => resource,
        None if trials.iter().any(|trial| !trial.axis.is_number()) => return None,
        None => "step",
    };
    Some(Column::numbers(title, number::column(&steps)))
}

/// Returns a table of trials with the requested columns after the id.
#[must_use]
pub fn columns(
    study: &Study,
    trials: &[&Trial],
    columns: &[Formula],
    history: &ReportHistory,
    detail: Detail,
) -> Table {
    let mut table = begin(study, trials, detail).table;
    for column in columns
        .iter()
        .filter(|column| !matches!(column.text(), "trial" | "trial_id"))
    {
        let name = column.text();
        if table.has(name) {
            continue;
        }
        let values: Vec<_> = trials
            .iter()
            .map(|trial| {
                column.value(&TrialCells {
                    study,
                    trial,
                    history,
                })
            })
            .collect();
        let measured = values
            .iter()
            .flatten()
            .all(|value| matches!(value, Value::Float(_)));
        // Measured values share their decimals; parameters are shown as they were given to the
        // trial.
        if measured && !trials.iter().any(|trial| trial.params.get(name).is_some()) {
            let numbers: Vec<_> = values
                .iter()
                .map(|value| value.as_ref().and_then(Value::as_f64))
                .collect();
            table.push(Column::numbers(name, number::column(&numbers)));
        } else {
            table.push(values_column(
                name,
                &values.iter().map(Option::as_ref).collect::<Vec<_>>(),
                detail,
            ));
        }
    }
    table
}

/// Creates a table with one row for each trial and the id as its first column.
fn begin(study: &Study, trials: &[&Trial], detail: Detail) -> Listing {
    let mut table = Table::new(trials.iter().map(|trial| tone(study, trial)).collect());
    table.push(Column::numbers("trial", trials.iter().map(|trial| trial.id.to_string())).keep());
    Listing {
        table,
        same: Vec::new(),
        is_at_best: false,
        detail,
        is_compact: false,
    }
}

/// Returns the column of states.
fn states(trials: &[&Trial]) -> Column {
    Column::texts(
        "state",
        trials.iter().map(|trial| trial.state.word().to_owned()),
    )
    .keep()
}

/// Returns the tone of a trial's row.
fn tone(study: &Study, trial: &Trial) -> RowTone {
    match trial.state {
        _ if trial.outside => RowTone::Faint,
        TrialState::Complete if study.incumbent().is_some_and(|best| best.id == trial.id) => {
            RowTone::Best
        }
        TrialState::Running => RowTone::Live,
        TrialState::Failed | TrialState::Invalid => RowTone::Bad,
        TrialState::Stopped | TrialState::Waiting => RowTone::Faint,
        TrialState::Complete | TrialState::Paused => RowTone::Usual,
    }
}

/// Returns the parameters in which the trials differ, in the order of the sweep file. Returns all
/// parameters if there is only one trial.
#[must_use]
pub fn varying(study: &Study, trials: &[&Trial]) -> Vec<Name> {
    let mut names = row::params(study);
    if let [first, rest @ ..] = trials
        && !rest.is_empty()
    {
        names.retain(|name| {
            let usual = first.params.get(name);
            rest.iter().any(|trial| trial.params.get(name) != usual)
        });
    }
    names
}

/// Returns a column of values, aligned right if all of them are numbers.
pub(super) fn values_column(title: &str, values: &[Option<&Value>], detail: Detail) -> Column {
    let numeric = values
        .iter()
        .flatten()
        .all(|value| value.as_f64().is_some());
    let cells = values.iter().map(|value| match (value, detail) {
        (None, _) => String::new(),
        (Some(Value::Float(number)), Detail::Brief) => number::brief(*number),
        (Some(value), _) => shown(value),
    });
    if numeric {
        Column::numbers(title, cells)
    } else {
        Column::texts(title, cells)
    }
}

/// Returns the value of a parameter as the trial received it: `1e-5`, `adam`, `[128, 64]`.
#[must_use]
pub fn shown(value: &Value) -> String {
    match value {
        Value::Float(number) => format!("{number:?}"),
        Value::List(items) => {
            let items: Vec<_> = items.iter().map(shown).collect();
            format!("[{}]", items.join(", "))
        }
        other => other.to_string(),
    }
}

/// Returns the run time of a trial, all attempts together. For a running attempt the time counts up
/// to the last event of the study. Empty for a trial that never started or was imported.
#[must_use]
pub fn time(study: &Study, trial: &Trial) -> String {
    let running = match (&trial.state, trial.attempt_at, study.at()) {
        (TrialState::Running, Some(began), Some(now)) => now.since(began).as_secs_f64(),
        _ => 0.0,
    };
    let elsewhere = matches!(trial.origin, Origin::Imported(_));
    if trial.attempts == 0 || elsewhere {
        String::new()
    } else {
        number::seconds(trial.seconds + running)
    }
}

/// The values of a metric in a table that shows the trials' objectives.
pub(super) struct MetricColumn {
    /// The metric.
    pub(super) name: Name,
    /// The expression that gives the values: `at_best(acc)`, or the name for the last values.
    pub(super) title: String,
    /// Whether the values are those of the report that counts.
    pub(super) is_at_best: bool,
    /// A value for each trial; `None` where the trial did not report the metric.
    pub(super) values: Vec<Option<f64>>,
}

/// Returns the columns of metrics that stand beside the objectives. Where an objective is the best
/// of several reports, its neighbours are the values of the same report: last values would read as
/// one report with it. A metric that the trials' steps are read from shows how far they came.
pub(super) fn metric_columns(
    trials: &[&Trial],
    names: impl IntoIterator<Item = Name>,
) -> Vec<MetricColumn> {
    let shows_best = trials.iter().any(|trial| {
        let counted = trial.counted.as_ref();
        counted.is_some_and(|counted| counted.report != trial.reports)
    });
    names
        .into_iter()
        .map(|name| metric_column(trials, name, shows_best))
        .collect()
}

/// Returns the column of one metric. If `shows_best`, it has the values of the reports that count,
/// as far as there are any.
fn metric_column(trials: &[&Trial], name: Name, shows_best: bool) -> MetricColumn {
    let is_axis = trials.iter().any(|trial| trial.axis.key() == Some(&name));
    let at_best: Vec<_> = trials
        .iter()
        .map(|trial| trial.counted.as_ref()?.number(&name))
        .collect();
    if shows_best && !is_axis && at_best.iter().any(Option::is_some) {
        return MetricColumn {
            title: format!("at_best({name})"),
            name,
            is_at_best: true,
            values: at_best,
        };
    }
    let last_values = trials.iter().map(|trial| last_value(trial, &name));
    MetricColumn {
        title: name.to_string(),
        values: last_values.collect(),
        name,
        is_at_best: false,
    }
}

/// Returns the last reported number of a metric.
fn last_value(trial: &Trial, name: &Name) -> Option<f64> {
    trial.metrics.get(name).map(|tally| tally.last.0)
}

/// Maximum number of metrics with a column of their own. No terminal is that wide.
const MOST_METRICS: usize = 100;

/// Returns the first metrics that are neither an objective nor the resource. Keys without a number
/// in any of the trials are left out.
fn others(study: &Study, trials: &[&Trial]) -> Vec<Name> {
    let header = study.header();
    let mut names = row::metrics(study);
    names.retain(|name| {
        header.resource.as_ref() != Some(name)
            && !header
                .objectives
                .iter()
                .any(|objective| objective.metric == *name)
            && trials.iter().any(|trial| trial.metrics.contains_key(name))
    });
    names.into_iter().take(MOST_METRICS).collect()
}

/// Returns whether a metric is the step counter itself, as `epoch` often is: its last value equals
/// the step of every trial. The metric may count from 0 or from 1.
fn counts(name: &Name, trials: &[&Trial]) -> bool {
    [0.0, 1.0].into_iter().any(|offset| {
        trials
            .iter()
            .all(|trial| last_value(trial, name).map(|last| last + offset) == trial.step)
    })
}

/// Returns how a trial ended if not well, and other facts that set it apart: the pilot that runs it
/// without an orchestrator, an import, the outcome constraints it violates, or that it no longer
/// counts. Empty for a usual trial.
#[must_use]
pub fn outcome(study: &Study, trial: &Trial) -> String {
    let imported = match &trial.origin {
        Origin::Imported(from) => Some(format!("imported from {from}")),
        _ => None,
    };
    let outside = match (trial.removed, trial.outside) {
        (true, _) => Some("removed".to_owned()),
        (false, true) => Some("outside the space".to_owned()),
        (false, false) => None,
    };
    let ended = match (&trial.state, &trial.exit) {
        (TrialState::Failed | TrialState::Invalid, exit) => summary::cause(exit.as_ref()),
        (TrialState::Waiting, Some(exit @ Exit::Failed(_))) => {
            summary::cause(Some(exit)).map(|cause| format!("failed: {cause}"))
        }
        // An interrupted or lost attempt leaves its trial waiting, so the state alone does not show
        // it.
        (TrialState::Waiting, Some(exit @ (Exit::Interrupted | Exit::Lost))) => {
            Some(exit.to_string())
        }
        _ => None,
    };
    let broken = summary::broken(study, trial);
    outside
        .into_iter()
        .chain(ended)
        .chain(study.annotation(trial.id).map(str::to_owned))
        .chain(imported)
        .chain(broken)
        .collect::<Vec<_>>()
        .join(", ")
}

#[cfg(test)]
mod tests {
    use super::{Detail, Formula, ReportHistory, columns, row, shown, trials, varying};
    use crate::text::Paint;
    use swath_model::demo::{Demo, text};
    use swath_model::space::Value;
    use swath_model::study::{Event, Exit, Failure, Trial, TrialId};

    fn all(demo: &Demo) -> Vec<&Trial> {
        demo.study.trials().iter().collect()
    }

    #[test]
    fn parameters_that_differ_are_listed_with_the_causes_of_failures() {
        let mut demo = Demo::new(&["lr", "optimizer", "epochs"]);
        for (lr, optimizer, loss) in [(1e-5, "sgd", 0.5), (0.01, "adam", 0.0412345)] {
            let params = [
                ("lr", Value::Float(lr)),
                ("optimizer", text(optimizer)),
                ("epochs", Value::Int(20)),
            ];
            demo.complete(&params, &[("val_loss", loss), ("acc", 0.9)]);
        }
        let failed = demo.start(&[
            ("lr", Value::Float(1.0)),
            ("optimizer", text("sgd")),
            ("epochs", Value::Int(20)),
        ]);
        demo.end(failed, Exit::Failed(Failure::Code(3)));
        assert_eq!(
            trials(&demo.study, &all(&demo), Detail::Exact)
                .table
                .render(None, Paint::default())
                .to_string(),
            "\
trial  state     val_loss  time    lr  optimizer  acc  outcome
    1  complete   0.50000    2s  1e-5  sgd        0.9
    2  complete   0.04123    2s  0.01  adam       0.9
    3  failed                1s   1.0  sgd             exit status 3
"
        );
    }

    #[test]
    fn beside_a_best_value_the_other_metrics_are_those_of_the_same_report() {
        let mut demo = Demo::new(&[]);
        let trial = demo.start(&[]);
        for (epoch, loss, acc) in [(1.0, 0.5, 0.7), (2.0, 0.2, 0.8), (3.0, 0.4, 0.6)] {
            let values = [("epoch", epoch), ("val_loss", loss), ("acc", acc)];
            demo.report(trial, &values);
        }
        demo.end(trial, Exit::Done);
        let text = trials(&demo.study, &all(&demo), Detail::Exact)
            .table
            .render(None, Paint::default())
            .to_string();
        assert_eq!(
            text,
            "\
trial  state     val_loss  time  at_best(acc)  epoch
    1  complete       0.2    4s           0.8      3
"
        );
    }

    #[test]
    fn the_number_of_reports_is_not_shown_beside_a_metric_that_counts_them() {
        for first in [0.0, 1.0] {
            let mut demo = Demo::new(&[]);
            let trial = demo.start(&[]);
            for step in 0..3 {
                demo.report(
                    trial,
                    &[("val_loss", 0.5), ("epoch", first + f64::from(step))],
                );
            }
            demo.end(trial, Exit::Done);
            let text = trials(&demo.study, &all(&demo), Detail::Exact)
                .table
                .render(None, Paint::default())
                .to_string();
            assert!(
                text.starts_with("trial  state     val_loss  time  epoch\n"),
                "{text}"
            );
        }
    }

    #[test]
    fn titles_of_columns_are_unique_whatever_the_program_reports() {
        let mut demo = Demo::new(&["lr", "time"]);
        for lr in [0.1, 0.2] {
            let trial = demo.start(&[("lr", Value::Float(lr)), ("time", Value::Float(lr))]);
            for step in [0.0, 50.0] {
                demo.report(
                    trial,
                    &[
                        ("val_loss", lr),
                        ("step", step),
                        ("lr", lr / 2.0),
                        ("state", 7.0),
                    ],
                );
            }
            demo.end(trial, Exit::Done);
        }
        let text = trials(&demo.study, &all(&demo), Detail::Exact)
            .table
            .render(None, Paint::default())
            .to_string();
        let titles: Vec<_> = text.lines().next().unwrap().split_whitespace().collect();
        let expected = [
            "trial",
            "state",
            "val_loss",
            "time",
            "lr",
            "param.time",
            "at_best(lr)",
            "at_best(state)",
            "step",
        ];
        assert_eq!(titles, expected);
        let names = row::vocabulary(&demo.study);
        let formulas = ["lr", "lr"].map(|text| Formula::parse(text, &names).unwrap());
        let table = columns(
            &demo.study,
            &all(&demo),
            &formulas,
            &ReportHistory::default(),
            Detail::Exact,
        );
        let text = table.render(None, Paint::default()).to_string();
        assert_eq!(text.lines().next(), Some("trial   lr"));
    }

    #[test]
    fn a_single_trial_shows_all_its_parameters() {
        let mut demo = Demo::new(&["lr", "epochs"]);
        demo.start(&[("lr", Value::Float(0.1)), ("epochs", Value::Int(20))]);
        assert_eq!(varying(&demo.study, &all(&demo)).len(), 2);
        let text = trials(&demo.study, &all(&demo), Detail::Exact)
            .table
            .render(None, Paint::default())
            .to_string();
        assert_eq!(
            text,
            "trial  state    val_loss  time   lr  epochs\n    1  running              0s  0.1      20\n"
        );
    }

    #[test]
    fn a_study_without_trials_is_an_empty_table() {
        let demo = Demo::new(&["lr"]);
        assert_eq!(
            trials(&demo.study, &[], Detail::Exact)
                .table
                .render(Some(80), Paint::default())
                .to_string(),
            "trial  state  val_loss  time  lr\n"
        );
    }

    #[test]
    fn every_trial_may_have_failed_or_be_nan() {
        let mut demo = Demo::new(&["lr"]);
        for _ in 0..2 {
            let trial = demo.start(&[("lr", Value::Float(0.1))]);
            demo.report(trial, &[("val_loss", f64::NAN), ("acc", f64::INFINITY)]);
            demo.end(trial, Exit::Done);
        }
        let text = trials(&demo.study, &all(&demo), Detail::Exact)
            .table
            .render(Some(64), Paint::default())
            .to_string();
        assert!(text.contains("inf"), "{text}");
        assert!(text.contains("`val_loss` was reported, bu…"), "{text}");
    }

    #[test]
    fn the_table_shows_exactly_the_requested_columns() {
        let mut demo = Demo::new(&["lr"]);
        demo.complete(&[("lr", Value::Float(1e-5))], &[("val_loss", 0.5)]);
        let names = row::vocabulary(&demo.study);
        let formulas = [
            "lr",
            "best.val_loss",
            "at_best(val_loss) * 2",
            "seconds",
            "nothing",
        ];
        let formulas = formulas.map(|text| Formula::parse(text, &names).unwrap());
        let table = columns(
            &demo.study,
            &all(&demo),
            &formulas,
            &ReportHistory::default(),
            Detail::Exact,
        );
        let text = table.render(None, Paint::default()).to_string();
        assert_eq!(
            text,
            "trial    lr  best.val_loss  at_best(val_loss) * 2  seconds  nothing\n    1  1e-5            0.5                      1        2\n"
        );
    }

    #[test]
    fn a_brief_table_leaves_out_what_is_equal_in_all_trials_and_names_it() {
        let mut demo = Demo::new(&["lr"]);
        for lr in [0.1, 0.2] {
            let trial = demo.start(&[("lr", Value::Float(lr))]);
            for (loss, acc) in [(lr, 1.0 - lr), (0.9, 0.5)] {
                let values = [("val_loss", loss), ("acc", acc), ("images", 50_000.0)];
                demo.report(trial, &values);
            }
            demo.end(trial, Exit::Done);
        }
        let listing = trials(&demo.study, &all(&demo), Detail::Brief);
        assert_eq!(
            listing.table.render(None, Paint::default()).to_string(),
            "\
trial  val_loss  time   lr  acc
    1       0.1    3s  0.1  0.9
    2       0.2    3s  0.2  0.8
"
        );
        let same: Vec<_> = listing
            .same
            .iter()
            .map(|(title, value)| format!("{title} {value}"))
            .collect();
        assert_eq!(same, ["state complete", "step 2", "images 50000"]);
        assert!(listing.is_at_best);
    }

    #[test]
    fn tags_and_notes_are_columns_if_a_trial_has_some() {
        let mut demo = Demo::new(&["lr"]);
        for lr in [0.1, 0.2] {
            demo.complete(&[("lr", Value::Float(lr))], &[("val_loss", lr)]);
        }
        demo.event(Event::Noted {
            trial: TrialId(2),
            note: "late".to_owned(),
        });
        for tag in ["good", "base"] {
            demo.event(Event::Tagged {
                trials: vec![TrialId(1)],
                tag: tag.to_owned(),
                removed: false,
            });
        }
        let listing = trials(&demo.study, &all(&demo), Detail::Brief);
        assert_eq!(
            listing.table.render(None, Paint::default()).to_string(),
            "\
trial  val_loss  time  tags         lr  note
    1       0.1    2s  base, good  0.1
    2       0.2    2s              0.2  late
"
        );
    }

    #[test]
    fn values_are_shown_as_they_were_given() {
        let list = Value::List(vec![Value::Int(128), Value::Float(1e-5), text("a")]);
        assert_eq!(shown(&list), "[128, 1e-5, a]");
    }
}
