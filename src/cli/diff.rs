//! `swath diff`: prints the differences between trials of one study or of several.

use super::Context;
use super::exit::{Code, Failure};
use super::output::JSON_VERSION;
use super::studies::{Selection, SelectionArgs};
use crate::journal::StudyDir;
use crate::provenance::Record;
use crate::report::facts::{Comparison, Fact, Section, Subject, compare, facts};
use crate::report::number;
use crate::report::table::{Column, RowTone, Table};
use crate::report::text::plain;
use serde_json::json;
use std::io::Write as _;

/// Arguments of `swath diff`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
        A trial is `12`, `best` or `last` of the study that ran last, or `STUDY/12` of another. \
        Changes are relative to the first trial.")]
pub(crate) struct Args {
    /// Two or more trials: `12`, `best`, `digits/12`
    #[arg(value_name = "TRIAL", required = true, num_args = 2..)]
    trials: Vec<String>,
    /// Also show equal values
    #[arg(long)]
    all: bool,
    /// Print one JSON document, with exact values
    #[arg(long)]
    json: bool,
}

/// Runs `swath diff`: prints one table per section, or one JSON document.
pub(crate) fn run(args: &Args, context: &mut Context) -> Result<Code, Failure> {
    let sides: Vec<Side> = args
        .trials
        .iter()
        .map(|word| read(word, context))
        .collect::<Result<_, _>>()?;
    let facts: Vec<&[Fact]> = sides.iter().map(|side| side.facts.as_slice()).collect();
    let mut compared = compare(&facts);
    let total = compared.len();
    compared.retain(|fact| args.all || !fact.is_equal());
    let out = &mut context.out;
    if args.json {
        out.json(&document(&sides, &compared))?;
        return Ok(Code::Done);
    }
    for section in Section::ALL {
        let rows: Vec<_> = compared
            .iter()
            .filter(|fact| fact.section == section)
            .collect();
        if rows.is_empty() {
            continue;
        }
        writeln!(out.stdout, "{}", out.paint.bold(section.name()))?;
        let table = table(&rows, &sides);
        let rendered = table.render(out.width, out.paint);
        rendered.write(&mut out.stdout)?;
        if !rendered.hidden.is_empty() {
            out.say(format_args!("no room for: {}", rendered.hidden.join(", ")));
        }
    }
    if compared.is_empty() {
        let names: Vec<_> = sides.iter().map(|side| plain(&side.name)).collect();
        out.say(format_args!(
            "{} are the same in all {total} recorded facts",
            names.join(" and ")
        ));
    } else if !args.all {
        out.hint(format_args!(
            "{} equal facts are hidden; `--all` shows them",
            total - compared.len()
        ));
    }
    for side in sides.iter().filter(|side| !side.has_environment) {
        out.warn(format_args!(
            "the environment of {} was not recorded, so only its journal was compared",
            plain(&side.name)
        ));
    }
    Ok(Code::Done)
}

/// Returns the JSON document. `a` and `b` repeat the first two trials, as earlier versions wrote
/// them.
fn document(sides: &[Side], compared: &[Comparison]) -> serde_json::Value {
    let rows = compared.iter().map(|fact| {
        json!({
            "section": fact.section.name(), "name": fact.name, "values": fact.values,
            "a": fact.values.first(), "b": fact.values.get(1), "changed": !fact.is_equal(),
        })
    });
    let names: Vec<_> = sides.iter().map(|side| &side.name).collect();
    json!({
        "version": JSON_VERSION, "trials": names, "a": names.first(), "b": names.get(1),
        "facts": rows.collect::<Vec<_>>(),
    })
}

/// Returns the table of one section, with a column for each trial. Two trials have the change of
/// numbers in a column of its own, more have it beside each value.
fn table(rows: &[&Comparison], sides: &[Side]) -> Table {
    let mut table = Table::new(rows.iter().map(|fact| tone(fact)).collect());
    table.push(Column::texts("  fact", rows.iter().map(|fact| format!("  {}", fact.name))).keep());
    let is_pair = sides.len() == 2;
    for (index, side) in sides.iter().enumerate() {
        let cells = rows.iter().map(|fact| {
            let text = shown(fact, index);
            match change(fact, index).filter(|_| !is_pair) {
                Some(change) => format!("{text} ({change})"),
                None => text,
            }
        });
        table.push(Column::texts(&side.name, cells).keep());
    }
    if is_pair && rows.iter().any(|fact| change(fact, 1).is_some()) {
        let changes = rows.iter().map(|fact| change(fact, 1).unwrap_or_default());
        table.push(Column::numbers("change", changes).keep());
    }
    table
}

fn tone(fact: &Comparison) -> RowTone {
    if fact.is_equal() {
        RowTone::Faint
    } else {
        RowTone::Usual
    }
}

/// Returns a value as it is printed: a number with five digits, unless a value that differs from it
/// would look the same.
fn shown(fact: &Comparison, index: usize) -> String {
    let Some(text) = &fact.values[index] else {
        return "-".to_owned();
    };
    let rounded = rounded(fact, text);
    let is_ambiguous = fact
        .values
        .iter()
        .flatten()
        .any(|other| other != text && self::rounded(fact, other) == rounded);
    if is_ambiguous { text.clone() } else { rounded }
}

fn rounded(fact: &Comparison, text: &str) -> String {
    match text.parse::<f64>() {
        Ok(value) if is_measured(fact) => number::short(value),
        _ => text.to_owned(),
    }
}

/// Returns whether the fact is a parameter or a metric. A seed is a label, not a number.
fn is_measured(fact: &Comparison) -> bool {
    matches!(fact.section, Section::Metrics | Section::Parameters) && fact.name != "(seed)"
}

/// Returns the relative change from the first trial in percent. `None` unless both values are
/// finite numbers of a metric or a parameter, differ, and the first is not zero.
fn change(fact: &Comparison, index: usize) -> Option<String> {
    let (first, value) = (finite(fact, 0)?, finite(fact, index)?);
    let is_known = is_measured(fact) && first != value && first != 0.0;
    is_known.then(|| format!("{:+.1} %", (value - first) / first.abs() * 100.0))
}

fn finite(fact: &Comparison, index: usize) -> Option<f64> {
    let value = fact.values[index].as_ref()?.parse::<f64>().ok()?;
    value.is_finite().then_some(value)
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
pub(super) fn patch_of(record: &Record, trial: crate::study::TrialId) -> Vec<u8> {
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
        diff_of(&[a, b], all, json)
    }

    fn diff_of(trials: &[&str], all: bool, json: bool) -> Result<String, String> {
        let mut study = Demo::new(&["lr"]);
        study.complete(&[("lr", Value::Float(0.5))], &[("val_loss", 0.5)]);
        study.complete(
            &[("lr", Value::Float(0.25))],
            &[("val_loss", 0.059_646_457_678), ("acc", 0.9)],
        );
        study.complete(
            &[("lr", Value::Float(0.250_000_001))],
            &[("val_loss", 1.0), ("acc", 0.9)],
        );
        let args = Args {
            trials: trials.iter().map(|word| (*word).to_owned()).collect(),
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
    fn numbers_are_rounded_unless_they_would_look_equal() {
        let shown = diff("1", "2", false, false).unwrap();
        assert!(shown.contains("0.059646 "), "{shown}");
        assert!(shown.contains("-88.1 %"), "{shown}");
        let shown = diff("2", "3", false, false).unwrap();
        assert!(shown.contains("0.250000001"), "{shown}");
        assert!(!shown.contains("acc"), "{shown}");
    }

    #[test]
    fn several_trials_stand_side_by_side_with_their_changes_from_the_first() {
        let shown = diff_of(&["1", "2", "3"], false, false).unwrap();
        assert!(
            shown.contains("digits/3") && shown.contains("1 (+100.0 %)"),
            "{shown}"
        );
        let document = diff_of(&["1", "2", "3"], false, true).unwrap();
        let document: serde_json::Value = serde_json::from_str(&document).unwrap();
        assert_eq!(document["trials"].as_array().map(Vec::len), Some(3));
        assert_eq!(document["facts"][0]["values"][0], "0.5");
    }

    #[test]
    fn a_word_that_names_no_trial_or_several_is_refused() {
        assert_eq!(
            diff("1", "7", false, false).unwrap_err(),
            "there is no trial 7; the last one is 3"
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
