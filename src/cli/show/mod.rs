//! `swath show`: prints an overview of a study, or all details of some trials.

mod machine;
mod records;
mod trial;

pub(super) use trial::{Subject, show_trial};

use trial::preparation_words;

use super::exit::{Code, Failure};
use super::output::{JSON_VERSION, Output};
use super::studies::{Selection, SelectionArgs};
use super::{Context, provenance};
use crate::journal::lock;
use crate::provenance::Record;
use crate::report::text::{plain, width};
use crate::report::{front, json, number, rank, summary};
use crate::study::{Goal, Study, Trial};
use serde_json::json;
use std::fmt::Display;

/// Arguments of `swath show`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) selection: SelectionArgs,

    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Runs `swath show`: prints the study without a selection, else each selected trial. Fails with a
/// usage error if the selection matches no trial.
pub(crate) fn run(args: &Args, context: &mut Context) -> Result<Code, Failure> {
    let selection = args.selection.read(context)?;
    let out = &mut context.out;
    if !selection.is_selective() {
        if args.json {
            study_json(out, &selection)?;
        } else {
            show_study(out, &selection)?;
        }
        return Ok(Code::Done);
    }
    let trials = selection.trials()?;
    if trials.is_empty() {
        return Err(selection.nothing());
    }
    if args.json {
        let record = Record::of(&selection.dir)?;
        let rows: Vec<_> = trials
            .iter()
            .map(|trial| json_row(&selection.study, &record, trial))
            .collect();
        out.json(
            &json!({ "version": JSON_VERSION, "study": selection.study.header().name, "trials": rows }),
        )?;
        return Ok(Code::Done);
    }
    let subject = Subject {
        dir: &selection.dir,
        study: &selection.study,
        record: &Record::of(&selection.dir)?,
        secrets: &selection.secrets(),
    };
    for (index, trial) in trials.iter().enumerate() {
        if index > 0 {
            writeln!(out.stdout)?;
        }
        show_trial(out, &subject, trial)?;
    }
    Ok(Code::Done)
}

/// Returns the row of a trial in `--json`, with its preparations and provenance.
pub(super) fn json_row(study: &Study, record: &Record, trial: &Trial) -> serde_json::Value {
    let mut row = serde_json::to_value(json::row(study, trial)).unwrap_or_default();
    let mut prepared = study
        .preparations_of(trial.id)
        .map(json::preparation)
        .peekable();
    if prepared.peek().is_some() {
        row["preparations"] = prepared.collect();
    }
    if let Some(provenance) = provenance::json(record, trial.id) {
        row["provenance"] = provenance;
    }
    row
}

/// The width of the names at the start of lines, with the blank behind them.
const NAMES: usize = 11;

/// Writes a line `name   text`, safe to print on a terminal, on which it is wrapped between words.
/// Writes nothing if the text is empty.
fn line(out: &mut Output, name: &str, text: impl Display) -> Result<(), Failure> {
    let text = text.to_string();
    if text.is_empty() {
        return Ok(());
    }
    let name = out.paint.dim(&format!("{:<10}", plain(name)));
    let text = plain(&text);
    let rows = match out.width {
        Some(columns) => wrapped(&text, columns.saturating_sub(NAMES).max(NAMES)),
        None => vec![text.into_owned()],
    };
    let rows = rows.join(&format!("\n{:NAMES$}", ""));
    Ok(writeln!(out.stdout, "{name} {rows}")?)
}

/// Splits a text between words into rows of at most `columns` columns. Blanks within a row stay. A
/// longer word has a row of its own.
fn wrapped(text: &str, columns: usize) -> Vec<String> {
    let mut rows = vec![String::new()];
    let mut used = 0;
    for word in text.split_inclusive(' ') {
        let needed = width(word.trim_end());
        if used > 0 && used + needed > columns {
            rows.push(String::new());
            used = 0;
        }
        if let Some(row) = rows.last_mut() {
            row.push_str(word);
        }
        used += width(word);
    }
    for row in &mut rows {
        row.truncate(row.trim_end().len());
    }
    rows
}

fn heading(out: &mut Output, text: &str) -> Result<(), Failure> {
    Ok(writeln!(out.stdout, "\n{}", out.paint.bold(text))?)
}

fn show_study(out: &mut Output, selection: &Selection) -> Result<(), Failure> {
    let (study, header) = (&selection.study, selection.study.header());
    writeln!(
        out.stdout,
        "{}  {}",
        out.paint.bold(&plain(&header.name)),
        summary::counts(study)
    )?;
    line(out, "status", status(selection))?;
    // With several objectives there is a Pareto front instead of one best trial.
    if let Some(best) = study.incumbent().filter(|_| header.objectives.len() == 1) {
        let (objectives, params) = (summary::standing(study, best), summary::first_params(best));
        line(
            out,
            "best",
            format!("trial {}: {objectives}  {params}", best.id),
        )?;
    }
    let objectives: Vec<_> = header
        .objectives
        .iter()
        .map(|objective| {
            let goal = match objective.goal {
                Goal::Min => "minimum",
                Goal::Max => "maximum",
            };
            format!(
                "{} ({goal}, {})",
                objective.metric,
                objective.take.describe()
            )
        })
        .collect();
    line(out, "objective", objectives.join(", "))?;
    let limits: Vec<_> = header.limits.iter().map(ToString::to_string).collect();
    line(out, "limits", limits.join(", "))?;
    if header.objectives.len() > 1 {
        let front = rank::pareto(study).len();
        line(
            out,
            "front",
            format!("{front} trials on the Pareto front; `swath best` lists them"),
        )?;
        line(out, "hypervolume", front::shown(study).unwrap_or_default())?;
    }
    if let Some(seeds) = header.replicate {
        line(
            out,
            "replicates",
            format!("{seeds} seeds for each configuration, ranked by their mean"),
        )?;
    }
    line(out, "parameters", header.params.join(", "))?;
    line(
        out,
        "pipeline",
        format!("{}, stage {}", header.pipeline, header.stage),
    )?;
    line(out, "seed", header.seed)?;
    line(
        out,
        "code",
        header.git_commit.as_deref().unwrap_or_default(),
    )?;
    line(
        out,
        "sweep",
        format!(
            "{} (md5 {})",
            selection.dir.sweep_toml().display(),
            header.sweep
        ),
    )?;
    for preparation in study.preparations() {
        line(
            out,
            "prepared",
            preparation_words(preparation, &selection.dir),
        )?;
    }
    line(out, "table", selection.dir.trials_csv().display())?;
    let seconds: f64 = study.trials().iter().map(|trial| trial.seconds).sum();
    let cpu: f64 = study
        .trials()
        .iter()
        .map(|trial| trial.usage.cpu_seconds)
        .sum();
    line(
        out,
        "time",
        format!(
            "trials ran {}, {} of CPU",
            number::seconds(seconds),
            number::seconds(cpu)
        ),
    )
}

fn status(selection: &Selection) -> String {
    match (lock::holder(&selection.dir), selection.study.closed()) {
        (Some(holder), _) => {
            format!(
                "running: process {} on {} since {}",
                holder.pid, holder.host, holder.since
            )
        }
        (None, Some(why)) => format!("not running: {}", summary::closing(why)),
        (None, None) if selection.study.trials().is_empty() => "not running".to_owned(),
        (None, None) if selection.study.has_annotations() => {
            "not running: the last run was killed; its pilots go on without it, and `swath run` continues"
                .to_owned()
        }
        // No process holds the study and no entry closed it, so the run was killed.
        (None, None) => "not running: the last run was killed; `swath run` continues it".to_owned(),
    }
}

fn study_json(out: &mut Output, selection: &Selection) -> Result<(), Failure> {
    let (study, counts) = (&selection.study, selection.study.counts());
    out.json(&json!({
        "version": JSON_VERSION,
        "study": study.header(),
        "dir": selection.dir.root().display().to_string(),
        "running_by": lock::holder(&selection.dir),
        "closed": study.closed(),
        "trials": study.trials().len(),
        "complete": counts.complete,
        "stopped": counts.stopped,
        "failed": counts.failed,
        "invalid": counts.invalid,
        "paused": counts.paused,
        "running": study.running_count(),
        "waiting": study.waiting().count(),
        "preparations": study.preparations().iter().map(json::preparation).collect::<Vec<_>>(),
        "best": study.incumbent().map(|best| json::row(study, best)),
        "hypervolume": front::volume(study).map(|front| json!({ "volume": front.volume, "reference": front.reference })),
    }))
}

#[cfg(test)]
mod tests {
    use super::{Args, run};
    use crate::cli::exit::{Code, Failure};
    use crate::cli::studies::{SelectionArgs, demo};
    use crate::space::Value;
    use crate::study::{Closing, Event, Exit, Failure as Cause, Goal, LogRecord, Objective, Take};
    use swath_model::demo::{Demo, model_record, objective, text};

    fn world() -> Demo {
        let mut demo = Demo::new(&["lr", "größe"]);
        let trial = demo.start(&[("lr", Value::Float(1e-5)), ("größe", text("\x1b[2J"))]);
        let md5 = Some("9e107d9d372bb6826bd81d3542a419d6".to_owned());
        let role = String::new();
        demo.log(
            trial,
            LogRecord::Dataset {
                data_dir: "data/digits".into(),
                role,
                md5: md5.clone(),
                size: 4096,
                files: 2,
                partial: Vec::new(),
            },
        );
        demo.report(trial, &[("val_loss", 0.5), ("acc", f64::NAN)]);
        demo.report(trial, &[("val_loss", 0.25)]);
        demo.log(
            trial,
            LogRecord::Model {
                model_path: "m/1.bin".into(),
                md5,
                size: 100,
                step: Some(2.0),
                held: None,
                keep: false,
                doubt: None,
                partial: Vec::new(),
            },
        );
        demo.log(
            trial,
            LogRecord::Note {
                text: "two\nlines".into(),
            },
        );
        demo.end(trial, Exit::Done);
        let failed = demo.start(&[]);
        demo.end(failed, Exit::Failed(Cause::Error("no \x07".into())));
        demo.event(Event::Closed {
            why: Closing::Interrupted,
        });
        demo
    }

    fn show(words: &[&str], json: bool) -> Result<String, Failure> {
        let selection = SelectionArgs {
            words: words.iter().map(|word| (*word).to_owned()).collect(),
            condition: None,
        };
        let (result, out, _) = demo::run(&world(), Some(80), |context| {
            run(&Args { selection, json }, context)
        });
        result.map(|code| {
            assert_eq!(code, Code::Done);
            out
        })
    }

    #[test]
    fn a_study_is_shown_at_a_glance() {
        insta::assert_snapshot!(show(&[], false).unwrap());
    }

    #[test]
    fn a_trial_is_shown_with_all_that_is_known_of_it() {
        insta::assert_snapshot!(show(&["1"], false).unwrap());
    }

    #[test]
    fn the_report_and_the_model_that_count_are_marked() {
        let mut demo = Demo::new(&[]);
        let trial = demo.start(&[]);
        for (epoch, (loss, acc)) in (1..).zip([(0.9, 0.5), (0.2, 0.625), (0.4, 0.75)]) {
            demo.report(trial, &[("val_loss", loss), ("Acc", acc)]);
            demo.log(trial, model_record(&format!("epoch-{epoch}.bin"), None));
        }
        let selection = SelectionArgs {
            words: vec!["1".into()],
            condition: None,
        };
        let (result, out, _) = demo::run(&demo, None, |context| {
            run(
                &Args {
                    selection,
                    json: false,
                },
                context,
            )
        });
        result.unwrap();
        assert!(
            out.contains(
                "3 reports, the last at step 3; report 2 at step 2 is the best and counts"
            )
        );
        assert!(
            out.lines()
                .any(|line| line.split_whitespace().take(3).eq(["Acc", "0.75", "0.625"])),
            "{out}"
        );
        let marked: Vec<_> = out.lines().filter(|line| line.contains("<-")).collect();
        assert!(
            matches!(marked[..], [line] if line.contains("epoch-2.bin") && line.contains("best"))
        );
    }

    #[test]
    fn the_last_report_is_that_of_the_largest_step() {
        let objective = Objective {
            metric: "val_loss".into(),
            goal: Goal::Min,
            take: Take::Last,
        };
        let mut demo = Demo::with(&[], vec![objective]);
        let trial = demo.start(&[]);
        for (epoch, loss) in [(1.0, 0.9), (3.0, 0.375), (2.0, 0.25)] {
            demo.report(trial, &[("epoch", epoch), ("val_loss", loss)]);
        }
        let selection = SelectionArgs {
            words: vec!["1".into()],
            condition: None,
        };
        let args = Args {
            selection,
            json: false,
        };
        let (_, out, _) = demo::run(&demo, None, |context| run(&args, context));
        assert!(
            out.contains(
                "3 reports, the last at epoch 3; report 2 at epoch 3 is the last and counts"
            ),
            "{out}"
        );
        let mut rows = out.lines().map(|line| line.split_whitespace().take(2));
        assert!(rows.any(|row| row.eq(["val_loss", "0.375"])), "{out}");
    }

    #[test]
    fn nothing_that_a_terminal_obeys_is_shown() {
        let shown = show(&["1-2"], false).unwrap();
        assert!(
            !shown.chars().any(|char| char.is_control() && char != '\n'),
            "{shown:?}"
        );
    }

    #[test]
    fn json_holds_the_records() {
        let document: serde_json::Value =
            serde_json::from_str(&show(&["1"], true).unwrap()).unwrap();
        assert_eq!(
            document["trials"][0]["records"][0]["dataset"]["data_dir"],
            "data/digits"
        );
        let document: serde_json::Value = serde_json::from_str(&show(&[], true).unwrap()).unwrap();
        assert_eq!(
            (&document["closed"], &document["best"]["trial"]),
            (&"interrupted".into(), &1.into())
        );
    }

    #[test]
    fn metrics_keep_the_case_of_their_names() {
        let demo = Demo::with(&[], vec![objective("val/AR@100", Goal::Max)]);
        let selection = SelectionArgs {
            words: Vec::new(),
            condition: None,
        };
        let (result, out, _) = demo::run(&demo, None, |context| {
            run(
                &Args {
                    selection,
                    json: false,
                },
                context,
            )
        });
        assert_eq!(result, Ok(Code::Done));
        assert!(out.contains("val/AR@100 (maximum, the best of"), "{out}");
    }

    #[test]
    fn a_long_line_is_wrapped_between_its_words() {
        let rows = super::wrapped("units, optimizer, momentum  x=1", 12);
        assert_eq!(rows, ["units,", "optimizer,", "momentum", "x=1"]);
    }

    #[test]
    fn a_selection_that_matches_no_trial_is_an_error() {
        assert_eq!(
            show(&["running"], false).unwrap_err().message,
            "`digits` has no such trial"
        );
    }
}
