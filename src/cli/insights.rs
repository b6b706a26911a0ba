//! `swath insights`: sentences about a study with their evidence.

use super::Context;
use super::exit::{Code, Failure};
use super::output::{JSON_VERSION, Output};
use super::plot;
use crate::report::insights::{FURTHER, Insight, Insights};
use crate::report::plots::Input;
use crate::report::select::Condition;
use crate::report::text::{plain, width};
use serde_json::json;
use std::io::Write as _;
use swath_engine::journal::lock;

/// Arguments of `swath insights`.
#[derive(Debug, clap::Args)]
#[command(after_help = "docs/insights.md explains each sentence and its statistics.")]
pub(crate) struct Args {
    /// The study (a name or folder; default: the one that ran last)
    #[arg(value_name = "STUDY")]
    study: Option<String>,

    /// Only trials for which this holds: "val_loss < 0.3 and optimizer == 'sgd'"
    #[arg(long = "where", value_name = "EXPR")]
    condition: Option<String>,

    /// Estimate the gain of this many further trials, at most 200
    #[arg(long, value_name = "N", default_value_t = FURTHER, value_parser = clap::value_parser!(u32).range(1..=200))]
    further: u32,

    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// Runs `swath insights`: prints the sentences, or says that there are none.
pub(crate) fn run(args: &Args, context: &mut Context) -> Result<Code, Failure> {
    let names: Vec<String> = args.study.iter().cloned().collect();
    let views = plot::open(&names, None, context)?;
    let view = views
        .first()
        .ok_or_else(|| Failure::usage("there is no study"))?;
    let condition = args.condition.as_deref();
    let condition = condition
        .map(|text| Condition::parse(text, &view.study, &view.dir))
        .transpose()?;
    let study = view.settled();
    let mut input = Input::all(&study, &view.chronicle, view.space.as_deref());
    input.retain(condition.as_ref());
    let is_running = lock::holder(&view.dir).is_some();
    let found = Insights::of(&input, is_running, args.further);
    let out = &mut context.out;
    if args.json {
        out.json(&json!({
            "version": JSON_VERSION, "study": found.study, "level": found.level, "insights": found.insights,
        }))?;
        return Ok(Code::Done);
    }
    if found.insights.is_empty() {
        let counts = crate::report::summary::counts(&study);
        out.say(format_args!("nothing to say yet: {}", plain(&counts)));
    }
    for insight in &found.insights {
        print(insight, out)?;
    }
    Ok(Code::Done)
}

/// Prints one sentence as an item of a list, with its caution.
fn print(insight: &Insight, out: &mut Output) -> Result<(), Failure> {
    for (row, line) in wrapped(&insight.text, out.width).iter().enumerate() {
        let mark = if row == 0 { "•" } else { " " };
        writeln!(out.stdout, "{mark} {line}")?;
    }
    let caution = insight.caution.as_ref();
    let caution = caution.map(|caution| format!("caution: {caution}"));
    for line in caution.iter().flat_map(|text| wrapped(text, out.width)) {
        writeln!(out.stdout, "  {}", out.paint.dim(&line))?;
    }
    Ok(())
}

/// Breaks a text at spaces, so that its lines fit a terminal of this width behind their mark.
fn wrapped(text: &str, columns: Option<usize>) -> Vec<String> {
    let most = columns.map_or(usize::MAX, |columns| columns.saturating_sub(2).max(20));
    let mut lines: Vec<String> = vec![String::new()];
    for word in plain(text).split(' ') {
        let last = lines.len() - 1;
        let line = &mut lines[last];
        if line.is_empty() {
            line.push_str(word);
        } else if width(line) + 1 + width(word) <= most {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::{Args, run};
    use crate::cli::studies::demo;
    use crate::space::Value;
    use swath_model::demo::Demo;

    fn text(demo: &Demo, width: Option<usize>, json: bool, condition: Option<&str>) -> String {
        let args = Args {
            study: Some("digits".to_owned()),
            condition: condition.map(str::to_owned),
            further: 50,
            json,
        };
        let (result, out, err) = demo::run(demo, width, |context| run(&args, context));
        result.unwrap();
        out + &err
    }

    fn world() -> Demo {
        let mut world = Demo::new(&["lr"]);
        for (lr, loss) in [(0.1, 0.5), (0.2, 0.25), (0.3, 0.75)] {
            world.complete(&[("lr", Value::Float(lr))], &[("val_loss", loss)]);
        }
        world
    }

    #[test]
    fn each_sentence_is_an_item_that_fits_the_terminal() {
        let all = text(&world(), None, false, None);
        assert!(
            all.starts_with("• Trial 2 is best: val_loss 0.25 with lr=0.2.\n• "),
            "{all}"
        );
        let narrow = text(&world(), Some(30), false, None);
        assert!(
            narrow.lines().all(|line| line.chars().count() <= 30),
            "{narrow}"
        );
        assert!(
            narrow.starts_with("• Trial 2 is best: val_loss\n  0.25 with lr=0.2.\n"),
            "{narrow}"
        );
    }

    #[test]
    fn the_json_document_has_the_numbers_and_the_evidence_of_each_sentence() {
        let document = text(&world(), None, true, Some("lr > 0.25"));
        let document: serde_json::Value = serde_json::from_str(&document).unwrap();
        assert_eq!(
            (&document["version"], &document["study"]),
            (&1.into(), &"digits".into())
        );
        let best = &document["insights"][0];
        assert_eq!(
            (&best["kind"], &best["chart"]),
            (&"best".into(), &"history".into())
        );
        assert_eq!(
            (&best["trials"], &best["numbers"]["value"]),
            (&serde_json::json!([3]), &0.75.into())
        );
    }

    #[test]
    fn a_study_without_trials_has_nothing_to_say_but_that() {
        let world = Demo::new(&["lr"]);
        let expected = "• 20 trials of the 20 that the sweep file asks for were not started.\n";
        assert_eq!(text(&world, None, false, None), expected);
    }
}
