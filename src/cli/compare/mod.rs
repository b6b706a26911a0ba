//! `swath compare`: compares trials of one or more studies or CSV files, and tests whether the
//! differences exceed the noise.

mod query;
mod sources;

use super::Context;
use super::exit::{Code, Failure};
use super::output::JSON_VERSION;
use crate::report::compare::{Ranking, Rules, Source, Test, Verdict, record, show};
use crate::report::listing::Detail;
use crate::report::text::plain;
use crate::study::Goal;
use query::Query;
use std::collections::BTreeSet;

/// Arguments of `swath compare`.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(after_help = "\
        A column is an expression over a trial: `lr`, `min(val_loss)`, `val_loss@10`, `last(acc) - \
        best(acc)`; over its reports there are at_best, best, last, first, min, max, mean, median, \
        std, count, and `@` for a step. docs/compare.md explains the statistics.")]
pub(crate) struct Args {
    /// Studies by name or folder, and CSV files (default: the study that ran last)
    #[arg(value_name = "STUDY|FILE")]
    pub(crate) sources: Vec<String>,

    /// Compare groups of trials that share a value of this column: a parameter, `study`, any
    /// column; separate several with commas
    #[arg(long, value_name = "COLUMN,…")]
    pub(crate) by: Option<String>,

    /// The column to compare (default: the objective)
    #[arg(long, short = 'm', value_name = "COLUMN")]
    pub(crate) metric: Option<String>,

    /// Whether small or large values are better (default: the goal of the objective)
    #[arg(long, value_name = "min|max", value_parser = ["min", "max"])]
    pub(crate) goal: Option<String>,

    /// Compare every group with the group of this value, instead of with the best one
    #[arg(long, value_name = "VALUE")]
    pub(crate) baseline: Option<String>,

    /// Only trials for which this holds: "val_loss < 0.3 and optimizer == 'sgd'"
    #[arg(long = "where", value_name = "EXPR")]
    pub(crate) condition: Option<String>,

    /// Sort by a column, the smallest first; `-COLUMN` reverses the order
    #[arg(long, value_name = "COLUMN", allow_hyphen_values = true)]
    pub(crate) sort: Option<String>,

    /// Show these columns instead of the parameters
    #[arg(long, value_name = "COLUMN,…")]
    pub(crate) cols: Option<String>,

    /// Show only this many rows, after sorting
    #[arg(long, short = 'n', value_name = "N")]
    pub(crate) top: Option<usize>,

    /// Leave these columns out
    #[arg(long, value_name = "COLUMN,…")]
    pub(crate) drop: Option<String>,

    /// The columns that pair the trials of two groups
    #[arg(long, value_name = "NAME,…", default_value = "seed")]
    pub(crate) pair: String,

    /// Never pair trials
    #[arg(long, conflicts_with = "pair")]
    pub(crate) unpaired: bool,

    /// The test of a difference: of means (Welch, paired t) or ranks (Mann-Whitney, Wilcoxon)
    #[arg(long, value_name = "t|rank", value_parser = ["t", "rank"], default_value = "t")]
    pub(crate) test: String,

    /// The interval of a mean: Student's t, or bootstrap (5 trials or more)
    #[arg(long, value_name = "t|bootstrap", value_parser = ["t", "bootstrap"], default_value = "t")]
    pub(crate) interval: String,

    /// Include trials that are not complete
    #[arg(long)]
    pub(crate) all: bool,

    /// Fail with exit code 6 unless this holds in each study or file: "best(val_loss) < 0.3"
    #[arg(long = "assert", value_name = "EXPR")]
    pub(crate) assertions: Vec<String>,

    /// Print CSV
    #[arg(long, conflicts_with_all = ["json", "md"])]
    pub(crate) csv: bool,

    /// Print JSON
    #[arg(long, conflicts_with = "md")]
    pub(crate) json: bool,

    /// Print a Markdown table
    #[arg(long)]
    pub(crate) md: bool,

    /// Do not fit the table to the terminal
    #[arg(long)]
    pub(crate) wide: bool,
}

/// Runs `swath compare`: prints the comparison, then checks the assertions. Returns
/// [`Code::Difference`] if an assertion does not hold.
pub(crate) fn run(args: &Args, context: &mut Context) -> Result<Code, Failure> {
    let loaded = sources::load(args, context)?;
    let query = Query::of(args, &loaded)?;
    let grouped = query.grouping.group(&loaded, query.condition.as_ref());
    let rules = Rules {
        goal: query.grouping.goal,
        test: if args.test == "rank" {
            Test::Rank
        } else {
            Test::T
        },
        paired: !args.unpaired,
        baseline: false,
        leads: true,
    };
    if let Some(baseline) = &args.baseline
        && !grouped
            .groups
            .iter()
            .any(|group| query::is_baseline(group, baseline))
    {
        let keys: Vec<_> = grouped.groups.iter().take(12).map(query::label).collect();
        let failure = Failure::usage(format!("there is no group `{}`", plain(baseline)));
        return Err(failure.hint(format!("the groups are: {}", plain(&keys.join(", ")))));
    }
    let mut ranking = Ranking::of(&query.grouping, &loaded, grouped, rules, &|group| {
        let baseline = args.baseline.as_ref();
        baseline.is_some_and(|baseline| query::is_baseline(group, baseline))
    });
    if ranking.groups.is_empty() {
        return Err(no_values(&ranking));
    }
    // The notes describe all groups, so they are made before the table is cut to `--top`.
    let notes = notes(&ranking, args);
    if let Some((formula, descending)) = &query.sort {
        ranking.sort_by(formula, *descending);
    }
    ranking.groups.truncate(args.top.unwrap_or(usize::MAX));
    print(&ranking, &query, args, &notes, context)?;
    check(&query, &loaded, context)
}

fn no_values(ranking: &Ranking<'_>) -> Failure {
    let failure = Failure::new(
        Code::NoSuccess,
        format!(
            "no complete trial has a `{}`",
            plain(ranking.grouping.metric.text())
        ),
    );
    if ranking.left_out.is_empty() {
        return failure.hint("no trial satisfies `--where`, or the study has no trials yet");
    }
    failure.hint(plain(&left_out(ranking)))
}

fn print(
    ranking: &Ranking<'_>,
    query: &Query,
    args: &Args,
    notes: &[String],
    context: &mut Context,
) -> Result<(), Failure> {
    let out = &mut context.out;
    if args.csv {
        record::csv(ranking, &query.cols, &mut out.stdout)?;
        return Ok(());
    }
    if args.json {
        let mut document = record::document(ranking, &query.cols, notes);
        document["version"] = JSON_VERSION.into();
        return out.json(&document);
    }
    let exact = args.wide || args.md || out.width.is_none();
    let detail = if exact { Detail::Exact } else { Detail::Brief };
    let table = show::table(
        ranking,
        &show::Shown {
            cols: &query.cols,
            drop: &query.drop,
            detail,
        },
    );
    if args.md {
        write!(out.stdout, "{}", table.markdown())?;
    } else {
        let rendered = table.render(out.width.filter(|_| !args.wide), out.paint);
        rendered.write(&mut out.stdout)?;
        if !rendered.hidden.is_empty() {
            let hidden = rendered.hidden.join(", ");
            let note = out.paint_err.dim(&format!(
                "no room for: {hidden} (`--wide` shows all, `--drop` makes room)"
            ));
            out.say(note);
        }
    }
    for note in notes {
        let note = out.paint_err.dim(&plain(note));
        out.say(note);
    }
    Ok(())
}

/// Returns the notes below the table: how to read it, and its limits.
fn notes(ranking: &Ranking<'_>, args: &Args) -> Vec<String> {
    let mut notes = Vec::new();
    let metric = ranking.grouping.metric.text();
    let lower = if ranking.rules.goal == Goal::Min {
        "lower"
    } else {
        "higher"
    };
    let shown = ranking.groups.len().min(args.top.unwrap_or(usize::MAX));
    let cut = if shown < ranking.total {
        format!(", {shown} of {} shown", ranking.total)
    } else {
        String::new()
    };
    notes.push(format!(
        "{metric}: {lower} is better{cut}{}",
        match left_out(ranking) {
            text if text.is_empty() => String::new(),
            text => format!("; {text}"),
        }
    ));
    let breaking: usize = ranking.sources.iter().map(Source::breaking).sum();
    if breaking > 0 {
        let trials = if breaking == 1 {
            "trial breaks"
        } else {
            "trials break"
        };
        notes.push(format!(
            "{breaking} complete {trials} an outcome constraint (`swath ls` shows which); they count here, but `best` ranks them last"
        ));
    }
    let repeated = ranking.is_repeated();
    if !repeated && ranking.groups.len() > 1 {
        notes.push(
            "one trial each, so differences cannot be told from noise: run each configuration with several seeds, or group trials with `--by`"
                .to_owned(),
        );
        return notes;
    }
    if !repeated {
        return notes;
    }
    notes.push(test_note(ranking));
    if ranking.count(Verdict::NoSpread) > 0 {
        notes.push(
            "no spread: all trials of a group are equal; does the program use its seed (SWATH_SEED)?"
                .to_owned(),
        );
    }
    let by = &ranking.grouping.by;
    if !by.is_empty()
        && ranking.sources.len() > 1
        && by.iter().all(|formula| formula.text() != "study")
    {
        notes.push(format!(
            "trials of {} studies or files are pooled; `--by study,…` separates them",
            ranking.sources.len()
        ));
    }
    if !by.is_empty() {
        notes.extend(adaptive_note(ranking));
    }
    notes
}

/// Returns the note about the intervals and the test.
fn test_note(ranking: &Ranking<'_>) -> String {
    let interval = if ranking.grouping.bootstrap {
        "bootstrap"
    } else {
        "t"
    };
    let groups = ranking.groups.iter();
    let mut tested = groups.clone().filter(|(_, it)| it.corrected.is_some());
    if tested.clone().next().is_none() {
        return format!(
            "±: 95 % interval ({interval}); no verdict: a test needs 3 trials or more in both groups"
        );
    }
    let paired = groups.clone().any(|(_, against)| against.pairs.is_some());
    let independent = tested.any(|(_, against)| against.pairs.is_none());
    let kind = ranking.rules.test;
    let test = match (paired, independent) {
        (true, true) => format!("{} or {}", test_name(kind, true), test_name(kind, false)),
        (paired, _) => test_name(kind, paired).to_owned(),
    };
    let plural = if ranking.family == 1 { "" } else { "s" };
    let reference = match (ranking.rules.baseline, ranking.rules.leads) {
        (true, _) => "baseline",
        (false, true) => "best mean",
        (false, false) => "reference, the best mean of 3 trials or more",
    };
    format!(
        "±: 95 % interval ({interval}); p: {test}, corrected for {} comparison{plural} (Holm); \
         g: Hedges' g; ratio and difference: relative to the {reference}",
        ranking.family
    )
}

/// Returns the note about samplers whose trials are no independent samples.
fn adaptive_note(ranking: &Ranking<'_>) -> Option<String> {
    let samplers: BTreeSet<_> = ranking
        .sources
        .iter()
        .filter_map(Source::adaptive)
        .collect();
    let names: Vec<_> = samplers.into_iter().collect();
    (!names.is_empty()).then(|| {
        format!(
            "warning: {} chose trials based on earlier results, so these groups are not \
             independent samples: treat p as a rough guide, and repeat promising configurations \
             with several seeds",
            names.join(", ")
        )
    })
}

fn test_name(test: Test, paired: bool) -> &'static str {
    match (test, paired) {
        (Test::T, false) => "Welch's t-test",
        (Test::T, true) => "the paired t-test",
        (Test::Rank, false) => "the Mann-Whitney test",
        (Test::Rank, true) => "Wilcoxon's signed-rank test",
    }
}

fn left_out(ranking: &Ranking<'_>) -> String {
    if ranking.left_out.is_empty() {
        return String::new();
    }
    let parts: Vec<_> = ranking
        .left_out
        .iter()
        .map(|(why, count)| format!("{count} {why}"))
        .collect();
    format!("left out: {}", parts.join(", "))
}

/// Checks every assertion in each source. An assertion whose value is unknown does not hold.
fn check(query: &Query, sources: &[Source], context: &mut Context) -> Result<Code, Failure> {
    let mut code = Code::Done;
    for assertion in &query.assertions {
        for source in sources {
            let outcome = assertion.check(source, query.condition.as_ref(), &|formula| {
                query.goal_of(formula, source)
            });
            let parts: Vec<_> = outcome
                .parts
                .iter()
                .map(|(name, number)| match number {
                    Some(number) => format!("{name} = {}", crate::report::number::short(*number)),
                    None => format!("{name} is unknown"),
                })
                .collect();
            let values = format!("{} in `{}`", parts.join(", "), source.name);
            if outcome.holds == Some(true) {
                context
                    .out
                    .say(plain(&format!("holds: {}  ({values})", assertion.text())));
            } else {
                code = Code::Difference;
                let label = context.out.paint_err.red("does not hold");
                context.out.say(format_args!(
                    "{label}: {}",
                    plain(&format!("{}  ({values})", assertion.text()))
                ));
            }
        }
    }
    Ok(code)
}

#[cfg(test)]
mod tests;
