//! `swath diff A B`: prints the differences between two trials of one study or of two.

use super::Context;
use super::exit::{Code, Failure};
use super::output::JSON_VERSION;
use super::studies::{Selection, SelectionArgs};
use crate::journal::StudyDir;
use crate::provenance::Record;
use crate::report::facts::{Fact, Pair, Section, Subject, facts, pairs};
use crate::report::table::{Column, RowTone, Table};
use crate::report::text::plain;
use serde_json::json;
use std::io::Write as _;

/// Arguments of `swath diff`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "A trial is `12`, `best` or `last` of the study that ran last, or `STUDY/12` of another."
)]
pub(crate) struct Args {
    /// The first trial: `12`, `best`, `digits/12`
    a: String,
    /// The second trial
    b: String,
    /// Also show equal values
    #[arg(long)]
    all: bool,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// Runs `swath diff`: prints one table per section, or one JSON document.
pub(crate) fn run(args: &Args, context: &mut Context) -> Result<Code, Failure> {
    let (a, b) = (read(&args.a, context)?, read(&args.b, context)?);
    let mut pairs = pairs(&a.facts, &b.facts);
    let total = pairs.len();
    pairs.retain(|pair| args.all || pair.a != pair.b);
    let out = &mut context.out;
    if args.json {
        let rows: Vec<_> = pairs
            .iter()
            .map(|pair| {
                json!({
                    "section": pair.section.name(), "name": pair.name, "a": pair.a, "b": pair.b,
                    "changed": pair.a != pair.b,
                })
            })
            .collect();
        out.json(&json!({ "version": JSON_VERSION, "a": a.name, "b": b.name, "facts": rows }))?;
        return Ok(Code::Done);
    }
    for section in Section::ALL {
        let rows: Vec<_> = pairs
            .iter()
            .filter(|pair| pair.section == section)
            .collect();
        if rows.is_empty() {
            continue;
        }
        writeln!(out.stdout, "{}", out.paint.bold(section.name()))?;
        let table = table(&rows, &a.name, &b.name);
        table.render(out.width, out.paint).write(&mut out.stdout)?;
    }
    if pairs.is_empty() {
        out.say(format_args!(
            "{} and {} are the same in all {total} recorded facts",
            plain(&a.name),
            plain(&b.name)
        ));
    } else if !args.all {
        out.hint(format_args!(
            "{} equal facts are hidden; `--all` shows them",
            total - pairs.len()
        ));
    }
    for side in [a, b] {
        if !side.has_environment {
            out.warn(format_args!(
                "the environment of {} was not recorded, so only its journal was compared",
                plain(&side.name)
            ));
        }
    }
    Ok(Code::Done)
}

fn table(rows: &[&Pair], a: &str, b: &str) -> Table {
    let mut table = Table::new(rows.iter().map(|pair| tone(pair)).collect());
    table.push(Column::texts("  fact", rows.iter().map(|pair| format!("  {}", pair.name))).keep());
    table.push(Column::texts(a, rows.iter().map(|pair| value_or_dash(pair.a.as_ref()))).keep());
    table.push(Column::texts(b, rows.iter().map(|pair| value_or_dash(pair.b.as_ref()))).keep());
    let change = rows.iter().map(|pair| change(pair).unwrap_or_default());
    if rows.iter().any(|pair| change_is_known(pair)) {
        table.push(Column::numbers("change", change));
    }
    table
}

fn tone(pair: &Pair) -> RowTone {
    if pair.a == pair.b {
        RowTone::Faint
    } else {
        RowTone::Usual
    }
}

fn value_or_dash(value: Option<&String>) -> String {
    value.cloned().unwrap_or_else(|| "-".to_owned())
}

fn change_is_known(pair: &Pair) -> bool {
    change(pair).is_some()
}

/// Returns the relative change in percent. `None` unless both values are finite numbers of a metric
/// or a parameter, differ, and the first is not zero.
fn change(pair: &Pair) -> Option<String> {
    // A seed is a label, so its relative change means nothing.
    let is_comparable = matches!(pair.section, Section::Metrics | Section::Parameters)
        && pair.a != pair.b
        && pair.name != "(seed)";
    let (a, b) = (finite(pair.a.as_ref())?, finite(pair.b.as_ref())?);
    (is_comparable && a != 0.0).then(|| format!("{:+.1} %", (b - a) / a.abs() * 100.0))
}

fn finite(text: Option<&String>) -> Option<f64> {
    let number = text?.parse::<f64>().ok()?;
    number.is_finite().then_some(number)
}

/// One of the two trials, with its facts.
struct Side {
    name: String,
    facts: Vec<Fact>,
    has_environment: bool,
}

fn read(word: &str, context: &Context) -> Result<Side, Failure> {
    let selection = find(word, context)?;
    let trial =
        selection.trial(|study| study.trials().last().filter(|_| study.trials().len() == 1))?;
    let record = Record::of(&selection.dir)?;
    let made = record.made(trial.id);
    let patch = patch_of(&record, trial.id);
    let environment = record.environment(trial.id);
    let subject = Subject {
        study: &selection.study,
        trial,
        made,
        environment,
        patch: &patch,
    };
    Ok(Side {
        name: format!("{}/{}", selection.study.header().name, trial.id),
        facts: facts(&subject),
        has_environment: environment.is_some(),
    })
}

/// Reads the code patch that a trial ran with. Empty if the trial had none or the file is missing.
fn patch_of(record: &Record, trial: crate::study::TrialId) -> Vec<u8> {
    let md5 = record
        .made(trial)
        .and_then(|made| made.header.code_patch.as_ref());
    md5.and_then(|md5| std::fs::read(record.patches.get(md5)?).ok())
        .unwrap_or_default()
}

/// Finds the study and the trial that a word such as `digits/12` names. A word that is itself a
/// study's folder is taken whole.
fn find(word: &str, context: &Context) -> Result<Selection, Failure> {
    let unsplit = SelectionArgs {
        words: vec![word.to_owned()],
        condition: None,
    };
    let is_study = [StudyDir::new(&context.logs, word), StudyDir::at(word)]
        .iter()
        .any(StudyDir::exists);
    match word.trim_end_matches('/').rsplit_once('/') {
        Some((study, trial)) if !is_study && !study.is_empty() => SelectionArgs {
            words: vec![study.to_owned(), trial.to_owned()],
            condition: None,
        }
        .read(context),
        _ => unsplit.read(context),
    }
}

#[cfg(test)]
mod tests {
    use super::{Args, run};
    use crate::cli::studies::demo;
    use crate::space::Value;
    use swath_model::demo::Demo;

    fn diff(a: &str, b: &str, all: bool, json: bool) -> Result<String, String> {
        let mut study = Demo::new(&["lr"]);
        study.complete(&[("lr", Value::Float(0.5))], &[("val_loss", 0.5)]);
        study.complete(&[("lr", Value::Float(0.25))], &[("val_loss", 0.25)]);
        let args = Args {
            a: a.to_owned(),
            b: b.to_owned(),
            all,
            json,
        };
        let (result, out, _) = demo::run(&study, Some(100), |context| run(&args, context));
        result.map(|_| out).map_err(|failure| failure.message)
    }

    #[test]
    fn only_differences_are_shown_without_all() {
        let shown = diff("1", "digits/2", false, false).unwrap();
        assert!(
            shown.contains("digits/1") && shown.contains("digits/2") && shown.contains("-50.0 %"),
            "{shown}"
        );
        assert!(!shown.contains("sweep file"), "{shown}");
        assert!(
            diff("1", "best", true, false)
                .unwrap()
                .contains("sweep file")
        );
        let document: serde_json::Value =
            serde_json::from_str(&diff("1", "2", false, true).unwrap()).unwrap();
        assert_eq!(document["facts"][0]["name"], "lr");
        assert_eq!(document["facts"][0]["b"], "0.25");
    }

    #[test]
    fn a_word_that_names_no_trial_or_several_is_refused() {
        assert_eq!(
            diff("1", "7", false, false).unwrap_err(),
            "there is no trial 7; the last one is 2"
        );
        assert_eq!(
            diff("digits", "1", false, false).unwrap_err(),
            "`digits` has no such trial"
        );
        assert_eq!(
            diff("1-2", "1", false, false).unwrap_err(),
            "2 trials are selected, but this command takes only one"
        );
        assert!(
            diff("nope/1", "1", false, false)
                .unwrap_err()
                .contains("there is no study `nope`")
        );
    }
}
