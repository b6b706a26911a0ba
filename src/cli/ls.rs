//! `swath ls`: the trials of a study as a table, or all studies.

use super::Context;
use super::exit::{Code, Failure};
use super::output::JSON_VERSION;
use super::studies::{self, Which};
use crate::journal::{self, StudyDir};
use crate::report::listing::Detail;
use crate::report::table::{Column, Table, Tone};
use crate::report::text::plain;
use crate::report::{json, listing, number, rank, row, summary};
use crate::source::diagnostic::nearest;
use crate::space::Value;
use crate::study::{Goal, Study, Timestamp, Trial};
use serde_json::json;
use std::cmp::Ordering;

/// Arguments of `swath ls`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) which: Which,

    /// List all studies instead
    #[arg(long, conflicts_with_all = ["words", "condition", "sort", "cols", "count"])]
    pub(crate) studies: bool,

    /// Sort by a column, the best or smallest first; `-NAME` turns it round
    #[arg(long, value_name = "NAME", allow_hyphen_values = true)]
    pub(crate) sort: Option<String>,

    /// Show these columns: parameters, metrics, `seconds`, `step`, `best.val_loss`…
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    pub(crate) cols: Vec<String>,

    /// Show at most this many trials: the last ones, or the first after sorting
    #[arg(short = 'n', long, value_name = "N")]
    pub(crate) count: Option<usize>,

    /// Do not fit the table to the terminal
    #[arg(long)]
    pub(crate) wide: bool,

    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Runs it.
pub(crate) fn run(args: &Args, context: &mut Context) -> Result<Code, Failure> {
    if args.studies {
        return list_studies(args, context);
    }
    let found = args.which.find(context)?;
    let study = &found.study;
    let mut trials = found.trials()?;
    for name in
        args.sort.iter().map(|name| name.trim_start_matches('-')).chain(args.cols.iter().map(String::as_str))
    {
        known(study, name)?;
    }
    if let Some(by) = &args.sort {
        sort(study, &mut trials, by);
    }
    shorten(&mut trials, args);
    if args.json {
        let rows: Vec<_> = trials.iter().map(|trial| json::row(study, trial)).collect();
        context
            .out
            .json(&json!({ "version": JSON_VERSION, "study": study.header().name, "trials": rows }))?;
        return Ok(Code::Done);
    }
    let exact = args.wide || context.out.width.is_none();
    let detail = if exact { Detail::Exact } else { Detail::Brief };
    let table = match args.cols.as_slice() {
        [] => listing::trials(study, &trials, detail),
        names => listing::columns(study, &trials, names, detail),
    };
    print(&table, args, context)?;
    tell(study, context);
    Ok(Code::Done)
}

/// Prints a table and says which columns had no room.
fn print(table: &Table, args: &Args, context: &mut Context) -> Result<(), Failure> {
    let out = &mut context.out;
    let rendered = table.render(out.width.filter(|_| !args.wide), out.paint);
    out.stdout.write_all(rendered.text.as_bytes())?;
    if !rendered.hidden.is_empty() {
        let hidden = rendered.hidden.join(", ");
        let note = format!("no room for: {hidden} (`--wide` shows all, `--cols` chooses)");
        let note = out.paint_err.dim(&note);
        out.say(note);
    }
    Ok(())
}

/// Says how the study as a whole stands.
fn tell(study: &Study, context: &mut Context) {
    let best = study
        .incumbent()
        .filter(|_| study.header().objectives.len() == 1)
        .map(|best| format!("; best {}: {}", best.id, summary::standing(study, best)));
    let line = format!("{}: {}{}", study.header().name, summary::counts(study), best.unwrap_or_default());
    let line = context.out.paint_err.dim(&plain(&line));
    context.out.say(line);
}

/// Makes sure that a name stands for something.
fn known(study: &Study, name: &str) -> Result<(), Failure> {
    let plain_name =
        ["param.", "metric.", "best."].iter().find_map(|kind| name.strip_prefix(kind)).unwrap_or(name);
    let names = row::names(study);
    if name == "trial_id" || names.iter().any(|known| **known == *name || **known == *plain_name) {
        return Ok(());
    }
    let failure = Failure::usage(format!("no trial has a `{}`", plain(name)));
    Err(match nearest(name, names.iter().map(|name| &**name)) {
        Some(near) => failure.hint(format!("did you mean `{}`?", plain(near))),
        None => failure.hint(format!("there are: {}", plain(&names.join(", ")))),
    })
}

/// Sorts by a column, an objective's best value first; trials that do not have it come last.
fn sort(study: &Study, trials: &mut [&Trial], by: &str) {
    let (name, reverse) = by.strip_prefix('-').map_or((by, false), |name| (name, true));
    let max = study
        .header()
        .objectives
        .iter()
        .any(|objective| *objective.metric == *name && objective.goal == Goal::Max);
    let turned = reverse != max;
    trials.sort_by_cached_key(|trial| Key { value: row::value(study, trial, name), turned });
}

struct Key {
    value: Option<Value>,
    turned: bool,
}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> Ordering {
        let turn = |ordering: Ordering| if self.turned { ordering.reverse() } else { ordering };
        match (&self.value, &other.value) {
            (None, None) => Ordering::Equal,
            (None, Some(_)) => Ordering::Greater,
            (Some(_), None) => Ordering::Less,
            (Some(one), Some(two)) => match (one.as_f64(), two.as_f64()) {
                (Some(one), Some(two)) if one.is_nan() || two.is_nan() => one.is_nan().cmp(&two.is_nan()),
                (Some(one), Some(two)) => turn(one.total_cmp(&two)),
                _ => turn(one.to_string().cmp(&two.to_string())),
            },
        }
    }
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Key {}

fn shorten(trials: &mut Vec<&Trial>, args: &Args) {
    let Some(count) = args.count else { return };
    if args.sort.is_some() {
        trials.truncate(count);
    } else {
        trials.drain(..trials.len().saturating_sub(count));
    }
}

fn list_studies(args: &Args, context: &mut Context) -> Result<Code, Failure> {
    let mut found = Vec::new();
    for (name, _) in studies::all(&context.logs) {
        match journal::settled(&StudyDir::new(&context.logs, &name)) {
            Ok(study) => found.push((name, study)),
            Err(error) => context.out.warn(plain(&format!("`{name}` is left out: {error}"))),
        }
    }
    if args.json {
        let rows: Vec<_> = found.iter().map(|(name, study)| study_row(name, study)).collect();
        context.out.json(&json!({ "version": JSON_VERSION, "studies": rows }))?;
        return Ok(Code::Done);
    }
    if found.is_empty() {
        studies::latest(&context.logs)?;
    }
    let column = |title: &str, cell: &dyn Fn(&Study) -> String| {
        Column::texts(title, found.iter().map(|(_, study)| cell(study)).collect::<Vec<_>>())
    };
    let mut table = Table::new(vec![Tone::Usual; found.len()]);
    table.push(Column::texts("study", found.iter().map(|(name, _)| name.clone())).keep());
    table.push(column("trials", &summary::counts));
    table.push(column("best", &|study| {
        rank::best(study, 1).first().map_or_else(String::new, |best| summary::standing(study, best))
    }));
    let now = Timestamp::now();
    table.push(column("last event", &|study| {
        study.at().map_or_else(String::new, |at| format!("{} ago", number::duration(now.since(at))))
    }));
    print(&table, args, context)?;
    Ok(Code::Done)
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
    use crate::cli::exit::Code;
    use crate::cli::studies::{Which, demo};
    use crate::space::Value;
    use crate::study::{Exit, Failure as Cause};
    use crate::tracker::demo::{Demo, text};

    fn world() -> Demo {
        let mut demo = Demo::new(&["lr", "optimizer"]);
        for (lr, optimizer, loss) in [(0.1, "sgd", 0.5), (1e-5, "adam", 0.25), (0.2, "sgd", 0.75)] {
            demo.complete(&[("lr", Value::Float(lr)), ("optimizer", text(optimizer))], &[("val_loss", loss)]);
        }
        let failed = demo.start(&[("lr", Value::Float(9.0)), ("optimizer", text("sgd"))]);
        demo.end(failed, Exit::Failed(Cause::Code(1)));
        demo
    }

    fn args() -> Args {
        let which = Which { words: Vec::new(), condition: None };
        Args { which, studies: false, sort: None, cols: Vec::new(), count: None, wide: false, json: false }
    }

    fn ls(args: &Args, width: Option<usize>) -> (String, String) {
        let (result, out, err) = demo::run(&world(), width, |context| run(args, context));
        assert_eq!(result, Ok(Code::Done));
        (out, err)
    }

    fn column(args: &Args) -> Vec<String> {
        let (out, _) = ls(args, None);
        out.lines().skip(1).map(|line| line.split_whitespace().next().unwrap().to_owned()).collect()
    }

    #[test]
    fn trials_stand_in_the_order_of_their_ids_and_the_study_is_summed_up() {
        let (out, err) = ls(&args(), None);
        assert_eq!(out.lines().next(), Some("trial  state     val_loss  time    lr  optimizer  note"));
        assert_eq!(err, "digits: 4 of 20 trials: 3 complete, 1 failed; best 2: val_loss 0.25\n");
    }

    #[test]
    fn what_has_no_room_is_named() {
        let (out, err) = ls(&args(), Some(40));
        assert!(out.lines().all(|line| line.len() <= 40), "{out}");
        assert!(err.starts_with("no room for: optimizer, note"), "{err}");
    }

    #[test]
    fn sorting_puts_the_best_first_and_what_is_absent_last() {
        assert_eq!(column(&Args { sort: Some("val_loss".into()), ..args() }), ["2", "1", "3", "4"]);
        assert_eq!(column(&Args { sort: Some("-val_loss".into()), ..args() }), ["3", "1", "2", "4"]);
        assert_eq!(column(&Args { sort: Some("optimizer".into()), count: Some(2), ..args() }), ["2", "1"]);
        assert_eq!(column(&Args { count: Some(2), ..args() }), ["3", "4"]);
    }

    #[test]
    fn a_condition_leaves_out_what_does_not_fulfil_it() {
        let which =
            Which { words: Vec::new(), condition: Some("optimizer == 'sgd' and val_loss < 0.6".into()) };
        assert_eq!(column(&Args { which, ..args() }), ["1"]);
    }

    #[test]
    fn a_misspelt_column_is_told() {
        let (result, ..) = demo::run(&world(), None, |context| {
            run(&Args { sort: Some("valloss".into()), ..args() }, context)
        });
        assert_eq!(result.unwrap_err().hints, ["did you mean `val_loss`?"]);
    }

    #[test]
    fn json_has_a_version_and_whole_rows() {
        let (out, _) = ls(&Args { json: true, ..args() }, None);
        let document: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert_eq!((&document["version"], &document["study"]), (&1.into(), &"digits".into()));
        assert_eq!(document["trials"][1]["params"]["lr"], 1e-5);
    }

    #[test]
    fn studies_are_listed_with_their_best() {
        let (out, _) = ls(&Args { studies: true, ..args() }, None);
        assert!(out.contains("digits  4 of 20 trials: 3 complete, 1 failed  val_loss 0.25"), "{out}");
    }
}
