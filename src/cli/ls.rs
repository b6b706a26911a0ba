//! `swath ls`: prints the trials of a study as a table, or a list of all studies.

use super::Context;
use super::exit::{Code, Failure};
use super::output::JSON_VERSION;
use super::studies::{self, SelectionArgs};
use crate::cluster::pilot;
use crate::journal::StudyDir;
use crate::report::compare::ranking::Key;
use crate::report::formula::{self, Formula, FormulaError, Names, ReportHistory, TrialCells};
use crate::report::listing::{Detail, Listing};
use crate::report::table::{Column, RowTone, Table};
use crate::report::text::plain;
use crate::report::{json, listing, number, rank, row, summary};
use crate::space::Value;
use crate::study::{Goal, Study, Timestamp, Trial};
use serde_json::json;
use std::cmp::Reverse;

/// Arguments of `swath ls`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) selection: SelectionArgs,

    /// List all studies instead
    #[arg(long, conflicts_with_all = ["words", "condition", "sort", "cols", "count"])]
    pub(crate) studies: bool,

    /// Sort by a column, the best or smallest first; `-COLUMN` reverses the order (default: by the
    /// objective; `--json`: by the number of the trial)
    #[arg(long, value_name = "COLUMN", allow_hyphen_values = true)]
    pub(crate) sort: Option<String>,

    /// Show these columns: parameters, metrics, `seconds`, `at_best(val_acc)`, `val_loss@10`…
    #[arg(long, value_name = "COLUMN,…")]
    pub(crate) cols: Vec<String>,

    /// Show at most this many trials: the first of the table (`--json`: the last ones)
    #[arg(short = 'n', long, value_name = "N")]
    pub(crate) count: Option<usize>,

    /// Do not fit the table to the terminal
    #[arg(long)]
    pub(crate) wide: bool,

    /// Print JSON; with `--cols`, objects with the number of the trial and these columns
    #[arg(long)]
    pub(crate) json: bool,
}

/// Runs `swath ls`: prints a table, or one JSON document with `--json`.
pub(crate) fn run(args: &Args, context: &mut Context) -> Result<Code, Failure> {
    if args.studies {
        return list_studies(args, context);
    }
    let selection = args.selection.read(context)?;
    let study = &selection.study;
    let mut trials = selection.trials()?;
    let names = row::vocabulary(study);
    let cols = args.cols.iter().flat_map(|list| formula::split(list));
    let cols: Vec<Formula> = cols
        .map(|text| Formula::parse(text, &names))
        .collect::<Result<_, _>>()?;
    let sort = args
        .sort
        .as_deref()
        .map(|text| sorting(text, &names))
        .transpose()?;
    // Only the reports that the requested columns need are read from the journal.
    let requested: Vec<&Formula> = cols.iter().chain(sort.iter().map(|(by, _)| by)).collect();
    let history = formula::study::read(&selection.dir, study, &names, &requested)?;
    match &sort {
        Some((by, reverse)) => self::sort(study, &mut trials, by, *reverse, &history),
        None if !args.json && !selection.has_selectors() => sort_by_objective(study, &mut trials),
        None => {}
    }
    shorten(&mut trials, args);
    if args.json {
        let name = &study.header().name;
        let out = &mut context.out;
        if cols.is_empty() {
            let rows = trials.iter().map(|trial| json::row(study, trial));
            out.json(&Document::new(name, json::Array(rows)))?;
        } else {
            let rows = json::columns(study, &trials, &cols, &history);
            out.json(&Document::new(name, rows))?;
        }
        return Ok(Code::Done);
    }
    // A pipe or a file receives exact numbers; a terminal receives rounded ones that fit.
    let exact = args.wide || context.out.width.is_none();
    let detail = if exact { Detail::Exact } else { Detail::Brief };
    if cols.is_empty() {
        let listing = listing::trials(study, &trials, detail);
        print(&listing.table, args, context)?;
        print_left_out(&listing, context);
    } else {
        let table = listing::columns(study, &trials, &cols, &history, detail);
        print(&table, args, context)?;
    }
    print_summary(study, context);
    Ok(Code::Done)
}

/// The JSON document of `swath ls`.
#[derive(serde::Serialize)]
struct Document<'a, R> {
    version: u32,
    study: &'a str,
    trials: R,
}

impl<'a, R> Document<'a, R> {
    fn new(study: &'a str, trials: R) -> Self {
        Self {
            version: JSON_VERSION,
            study,
            trials,
        }
    }
}

/// Prints a table, and a note with the columns that did not fit.
fn print(table: &Table, args: &Args, context: &mut Context) -> Result<(), Failure> {
    let out = &mut context.out;
    let rendered = table.render(out.width.filter(|_| !args.wide), out.paint);
    rendered.write(&mut out.stdout)?;
    if !rendered.hidden.is_empty() {
        let hidden = rendered.hidden.join(", ");
        let note = format!("no room for: {hidden} (`--wide` shows all, `--cols` chooses)");
        let note = out.paint_err.dim(&note);
        out.say(note);
    }
    Ok(())
}

/// Prints what the columns of a brief table leave out.
fn print_left_out(listing: &Listing, context: &mut Context) {
    let same = listing.same.iter();
    let same: Vec<_> = same
        .map(|(title, value)| format!("{title} {value}"))
        .collect();
    let same = (!same.is_empty()).then(|| format!("the same in all rows: {}", same.join(", ")));
    let at_best = listing.is_at_best.then(|| {
        "metrics beside the objective are those of its report; `--cols 'last(NAME)'` has the last"
            .to_owned()
    });
    for line in same.into_iter().chain(at_best) {
        let line = context.out.paint_err.dim(&line);
        context.out.say(line);
    }
}

/// Prints the counts of the study and, for a single objective, the incumbent to standard error.
fn print_summary(study: &Study, context: &mut Context) {
    let best = study
        .incumbent()
        .filter(|_| study.header().objectives.len() == 1)
        .map(|best| format!("; best {}: {}", best.id, summary::standing(study, best)));
    let line = format!(
        "{}: {}{}{}",
        study.header().name,
        summary::counts(study),
        summary::preparations(study),
        best.unwrap_or_default()
    );
    let line = context.out.paint_err.dim(&plain(&line));
    context.out.say(line);
}

/// Parses `--sort`: a column, and whether the order is reversed. A column whose own name begins
/// with `-` is not reversed.
fn sorting(text: &str, names: &Names) -> Result<(Formula, bool), FormulaError> {
    match text.strip_prefix('-').filter(|_| !names.contains(text)) {
        Some(column) => Ok((Formula::parse(column, names)?, true)),
        None => Ok((Formula::parse(text, names)?, false)),
    }
}

/// Sorts trials by a column, with the best value of an objective first. Trials without a value come
/// last.
fn sort(
    study: &Study,
    trials: &mut [&Trial],
    by: &Formula,
    reverse: bool,
    history: &ReportHistory,
) {
    let descending = reverse != (formula::study::goal(by, study) == Some(Goal::Max));
    trials.sort_by_cached_key(|trial| Key {
        value: by.value(&TrialCells {
            study,
            trial,
            history,
        }),
        descending,
    });
}

/// Sorts trials by the first objective, the best first: first those that satisfy the outcome
/// constraints, then the others, and last the trials without a value, the latest first.
fn sort_by_objective(study: &Study, trials: &mut [&Trial]) {
    let Some(objective) = study.header().objectives.first() else {
        return;
    };
    trials.sort_by_cached_key(|trial| {
        let value = trial.objective(objective).map(Value::Float);
        let is_infeasible = study.feasibility(trial) == Some(false);
        let latest_first = value.is_none().then_some(Reverse(trial.id));
        let key = Key {
            value,
            descending: objective.goal == Goal::Max,
        };
        (latest_first, is_infeasible, key)
    });
}

fn shorten(trials: &mut Vec<&Trial>, args: &Args) {
    let Some(count) = args.count else { return };
    // In the order of the journal the newest trials are at the end.
    if args.json && args.sort.is_none() {
        trials.drain(..trials.len().saturating_sub(count));
    } else {
        trials.truncate(count);
    }
}

fn list_studies(args: &Args, context: &mut Context) -> Result<Code, Failure> {
    let mut listed = Vec::new();
    for (name, _) in studies::all(&context.logs) {
        let dir = StudyDir::new(&context.logs, &name);
        studies::warn_if_short(&dir, &mut context.out);
        match pilot::settled(&dir) {
            Ok(study) => listed.push((name, study)),
            Err(error) => context
                .out
                .warn(plain(&format!("`{name}` is left out: {error}"))),
        }
    }
    if args.json {
        let rows: Vec<_> = listed
            .iter()
            .map(|(name, study)| study_row(name, study))
            .collect();
        context
            .out
            .json(&json!({ "version": JSON_VERSION, "studies": rows }))?;
        return Ok(Code::Done);
    }
    // The error for an empty folder also tells the user how to create a study.
    if listed.is_empty() {
        studies::latest(&context.logs)?;
    }
    let mut table = Table::new(vec![RowTone::Usual; listed.len()]);
    let names = listed.iter().map(|(name, _)| name.clone());
    table.push(Column::texts("study", names).keep());
    let studies = listed.iter().map(|(_, study)| study);
    table.push(Column::texts(
        "trials",
        studies.clone().map(summary::counts),
    ));
    table.push(Column::texts("best", studies.clone().map(best_standing)));
    let now = Timestamp::now();
    let ages = studies.map(|study| {
        study.at().map_or_else(String::new, |at| {
            format!("{} ago", number::duration(now.since(at)))
        })
    });
    table.push(Column::texts("last event", ages));
    print(&table, args, context)?;
    Ok(Code::Done)
}

fn best_standing(study: &Study) -> String {
    rank::best(study, 1)
        .first()
        .map_or_else(String::new, |best| summary::standing(study, best))
}

fn study_row(name: &str, study: &Study) -> serde_json::Value {
    let counts = study.counts();
    json!({
        "study": name,
        "trials": study.trials().len(),
        "wanted": study.header().trials,
        "complete": counts.complete,
        "stopped": counts.stopped,
        "failed": counts.failed,
        "invalid": counts.invalid,
        "paused": counts.paused,
        "running": study.running_count(),
        "best": study.incumbent().map(|best| best.id),
        "breaks": study.incumbent().map_or_else(Vec::new, |best| summary::broken(study, best)),
        "at": study.at(),
    })
}

#[cfg(test)]
mod tests {
    use super::{Args, run};
    use crate::cli::exit::{Code, Failure};
    use crate::cli::studies::{SelectionArgs, demo};
    use crate::space::Value;
    use crate::study::{Exit, Failure as Cause};
    use swath_model::demo::{Demo, text};

    fn world() -> Demo {
        let mut demo = Demo::new(&["lr", "optimizer"]);
        for (lr, optimizer, loss) in [(0.1, "sgd", 0.5), (1e-5, "adam", 0.25), (0.2, "sgd", 0.75)] {
            demo.complete(
                &[("lr", Value::Float(lr)), ("optimizer", text(optimizer))],
                &[("val_loss", loss)],
            );
        }
        let failed = demo.start(&[("lr", Value::Float(9.0)), ("optimizer", text("sgd"))]);
        demo.end(failed, Exit::Failed(Cause::Code(1)));
        demo
    }

    fn args() -> Args {
        let selection = SelectionArgs {
            words: Vec::new(),
            condition: None,
        };
        Args {
            selection,
            studies: false,
            sort: None,
            cols: Vec::new(),
            count: None,
            wide: false,
            json: false,
        }
    }

    fn ls(args: &Args, width: Option<usize>) -> (String, String) {
        let (result, out, err) = demo::run(&world(), width, |context| run(args, context));
        assert_eq!(result, Ok(Code::Done));
        (out, err)
    }

    fn column(args: &Args) -> Vec<String> {
        let (out, _) = ls(args, None);
        out.lines()
            .skip(1)
            .map(|line| line.split_whitespace().next().unwrap().to_owned())
            .collect()
    }

    #[test]
    fn trials_are_sorted_by_the_objective_and_the_study_is_summed_up() {
        assert_eq!(column(&args()), ["2", "1", "3", "4"]);
        let (out, err) = ls(&args(), None);
        assert_eq!(
            out.lines().next(),
            Some("trial  state     val_loss  time    lr  optimizer  outcome")
        );
        assert_eq!(
            err,
            "digits: 4 of 20 trials: 3 complete, 1 failed; best 2: val_loss 0.25\n"
        );
    }

    #[test]
    fn what_has_no_room_is_named() {
        let (out, err) = ls(&args(), Some(40));
        assert!(out.lines().all(|line| line.len() <= 40), "{out}");
        assert!(err.starts_with("no room for: optimizer, outcome"), "{err}");
    }

    #[test]
    fn sorting_puts_the_best_first_and_what_is_absent_last() {
        assert_eq!(
            column(&Args {
                sort: Some("val_loss".into()),
                ..args()
            }),
            ["2", "1", "3", "4"]
        );
        assert_eq!(
            column(&Args {
                sort: Some("-val_loss".into()),
                ..args()
            }),
            ["3", "1", "2", "4"]
        );
        assert_eq!(
            column(&Args {
                sort: Some("optimizer".into()),
                count: Some(2),
                ..args()
            }),
            ["2", "1"]
        );
        assert_eq!(
            column(&Args {
                count: Some(2),
                ..args()
            }),
            ["2", "1"]
        );
    }

    #[test]
    fn a_condition_leaves_out_what_does_not_fulfil_it() {
        let selection = SelectionArgs {
            words: Vec::new(),
            condition: Some("optimizer == 'sgd' and val_loss < 0.6".into()),
        };
        assert_eq!(
            column(&Args {
                selection,
                ..args()
            }),
            ["1"]
        );
    }

    /// Two trials with several reports; the best report is in the middle. `latency` has an upper
    /// bound.
    fn with_reports() -> Demo {
        let mut demo = Demo::new(&["lr"]);
        demo.constrain("latency", Some(10.0));
        for offset in [0.0, 0.25] {
            let trial = demo.start(&[("lr", Value::Float(offset))]);
            for (loss, acc) in [(0.75, 0.5), (0.25, 0.75), (0.5, 1.0)] {
                let values = [
                    ("val_loss", loss + offset),
                    ("val/acc", acc - offset),
                    ("latency", 8.0 * acc),
                ];
                demo.report(trial, &values);
            }
            demo.end(trial, Exit::Done);
        }
        demo
    }

    fn ls_of(args: &Args) -> Result<String, Failure> {
        let (result, out, _) = demo::run(&with_reports(), None, |context| run(args, context));
        result.map(|_| out)
    }

    fn with_cols(cols: &str) -> Result<String, Failure> {
        ls_of(&Args {
            cols: vec![cols.into()],
            ..args()
        })
    }

    #[test]
    fn a_column_asks_the_reports_of_a_trial() {
        let out =
            with_cols("at_best(val/acc),best(val_loss),last(val_loss),mean(val_loss),val/acc@1")
                .unwrap();
        assert_eq!(
            out,
            "trial  at_best(val/acc)  best(val_loss)  last(val_loss)  mean(val_loss)  val/acc@1\n    \
             1              0.75            0.25            0.50            0.50       0.50\n    \
             2              0.50            0.50            0.75            0.75       0.25\n"
        );
        let out = with_cols("best(latency), min(lr, 0.125)").unwrap();
        assert!(
            out.lines()
                .nth(2)
                .unwrap()
                .split_whitespace()
                .eq(["2", "4", "0.125"]),
            "{out}"
        );
    }

    #[test]
    fn json_has_the_requested_columns_and_the_number_of_the_trial() {
        let cols = "at_best(val/acc), trial, origin, mean(val_loss), exit";
        let out = ls_of(&Args {
            cols: vec![cols.into()],
            count: Some(1),
            json: true,
            ..args()
        });
        let document: serde_json::Value = serde_json::from_str(&out.unwrap()).unwrap();
        let row = serde_json::json!({
            "trial": 2, "at_best(val/acc)": 0.5, "origin": "random", "mean(val_loss)": 0.75, "exit": "done",
        });
        assert_eq!(document["trials"], serde_json::json!([row]));
        assert!(
            ls_of(&Args {
                cols: vec!["los".into()],
                json: true,
                ..args()
            })
            .is_err()
        );
    }

    #[test]
    fn trials_are_sorted_by_an_expression() {
        for (sort, first) in [
            ("at_best(val/acc)", "2"),
            ("-at_best(val/acc)", "1"),
            ("mean(val_loss)", "1"),
            ("-val/acc", "1"),
        ] {
            let out = ls_of(&Args {
                sort: Some(sort.into()),
                ..args()
            })
            .unwrap();
            let row = out.lines().nth(1).unwrap();
            assert_eq!(row.split_whitespace().next(), Some(first), "{sort}");
        }
    }

    #[test]
    fn numbers_come_before_texts_in_a_column_that_has_both() {
        let mut world = Demo::new(&["x"]);
        for x in [Value::Int(10), text("1a"), Value::Int(9)] {
            world.complete(&[("x", x)], &[("val_loss", 0.5)]);
        }
        let args = Args {
            sort: Some("x".into()),
            ..args()
        };
        let (_, out, _) = demo::run(&world, None, |context| run(&args, context));
        let order: Vec<_> = (out.lines().skip(1))
            .filter_map(|row| row.split_whitespace().next())
            .collect();
        assert_eq!(order, ["3", "1", "2"]);
    }

    fn message_and_hint(cols: &str) -> (String, String) {
        let failure = with_cols(cols).unwrap_err();
        (failure.message, failure.hints.concat())
    }

    #[test]
    fn a_column_without_values_is_an_error_with_a_correction() {
        let (message, hint) = message_and_hint("best(val/acc)");
        assert!(
            message.ends_with("it is not known whether a small or a large `val/acc` is good"),
            "{message}"
        );
        assert!(
            hint.starts_with("write `min(val/acc)` or `max(val/acc)`, or `at_best(val/acc)`"),
            "{hint}"
        );
        assert_eq!(message_and_hint("best.val/acc").1, hint);
        assert_eq!(
            message_and_hint("at_best(val/ac)").1,
            "did you mean `at_best(val/acc)`?"
        );
        assert_eq!(message_and_hint("val/ac").1, "did you mean `val/acc`?");
        assert_eq!(message_and_hint("val_loss@7").1, "its steps go from 1 to 3");
        assert_eq!(
            message_and_hint("lr / 0").0,
            "`lr / 0`: has no value in any trial: division by zero"
        );
        assert_eq!(
            message_and_hint("last(lr)").1,
            "write `lr`: it has one value per trial"
        );
        assert_eq!(
            message_and_hint("'val_loss'").1,
            "quotes make a text; the name is written `val_loss`"
        );
        assert!(with_cols("metric.lr").is_err() && with_cols("param.val_loss").is_err());
    }

    #[test]
    fn a_misspelt_column_gets_a_suggestion() {
        let (result, ..) = demo::run(&world(), None, |context| {
            run(
                &Args {
                    sort: Some("valloss".into()),
                    ..args()
                },
                context,
            )
        });
        assert_eq!(result.unwrap_err().hints, ["did you mean `val_loss`?"]);
    }

    #[test]
    fn json_has_a_version_and_whole_rows() {
        let (out, _) = ls(
            &Args {
                json: true,
                ..args()
            },
            None,
        );
        let document: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert_eq!(
            (&document["version"], &document["study"]),
            (&1.into(), &"digits".into())
        );
        assert_eq!(document["trials"][1]["params"]["lr"], 1e-5);
    }

    #[test]
    fn studies_are_listed_with_their_best() {
        let (out, _) = ls(
            &Args {
                studies: true,
                ..args()
            },
            None,
        );
        assert!(
            out.contains("digits  4 of 20 trials: 3 complete, 1 failed  val_loss 0.25"),
            "{out}"
        );
    }
}
