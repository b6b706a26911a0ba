//! `swath repro TRIAL`: repeats one trial exactly, in its own study, and compares the results.

use super::Context;
use super::exit::{Code, Failure};
use super::output::JSON_VERSION;
use super::studies::SelectionArgs;
use super::{guard, studies, tail};
use crate::driver::{Interrupt, Urgency};
use crate::journal::StudyDir;
use crate::provenance::Record;
use crate::report::facts::{self, Comparison, Fact, Section, Subject};
use crate::report::summary;
use crate::report::text::plain;
use crate::run::rerun::{
    Compared, Difference, Prepared, Request, RerunError, Tolerance, compare, prepare,
};
use crate::run::{Options, SetupEnd};
use crate::study::{Exit, Trial, TrialId};
use crate::sweep::Registry;
use serde_json::json;
use std::io::Write as _;
use std::path::PathBuf;

/// The maximum number of differences to print.
const MAX_DIFFERENCES: usize = 20;
/// The number of log lines to print if the repetition failed.
const LOG_LINES: usize = 12;

/// Arguments of `swath repro`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
        The code is checked out anew (commit and uncommitted changes), the data is hashed first, \
        and the repetition is kept as the study `STUDY-repro-TRIAL`; the original is only read. \
        Exit code 6: a result differs.")]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) selection: SelectionArgs,

    /// The largest relative difference at which two numbers count as equal
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    pub(crate) rtol: f64,

    /// A value that is not compared; times are never compared
    #[arg(long, value_name = "NAME")]
    pub(crate) ignore: Vec<String>,

    /// Run even if data or code have changed
    #[arg(long)]
    pub(crate) anyway: bool,

    /// The folder of the project, if it has moved
    #[arg(long, value_name = "DIR")]
    pub(crate) workdir: Option<PathBuf>,

    /// Print one JSON document
    #[arg(long)]
    pub(crate) json: bool,
}

/// Runs `swath repro`: prepares the repetition, runs it, compares it and keeps the comparison in
/// the new study. Returns [`Code::Difference`] if any value differs.
pub(crate) fn run(args: &Args, context: &mut Context) -> Result<Code, Failure> {
    if !(args.rtol >= 0.0 && args.rtol.is_finite()) {
        return Err(Failure::usage(
            "`--rtol` must be a number that is not negative, such as 1e-6",
        ));
    }
    let selection = args.selection.read(context)?;
    // Without a selection the study must have exactly one trial: a wrong guess could run for hours.
    let trial =
        selection.trial(|study| study.trials().last().filter(|_| study.trials().len() == 1))?;
    let options = Options {
        logs: context.logs.clone(),
        workdir: std::env::current_dir()?,
        jobs: Some(1),
        gpus: super::run::gpus(None),
        time: None,
        command_line: std::env::args().collect(),
        ..Options::default()
    };
    let registry = Registry::standard();
    let request = Request {
        registry: &registry,
        dir: &selection.dir,
        study: &selection.study,
        trial,
        project: args.workdir.as_deref(),
        anyway: args.anyway,
    };
    let Prepared {
        mut opened,
        notices,
        cut,
    } = prepare(&request, options).map_err(|error| rerun_failure(error, trial))?;
    for notice in notices {
        context.out.warn(plain(&notice));
    }
    let dir = opened.dir().clone();
    let name = selection.study.header().name.clone();
    context.out.say(format_args!(
        "running trial {} of `{}` again in {}",
        trial.id,
        plain(&name),
        dir.root().display()
    ));
    let interrupt = Interrupt::on_signals()?;
    if opened.setup(guard::command(), &interrupt)? == SetupEnd::Interrupted {
        context.out.say("interrupted during `[run] setup`");
        return Ok(super::run::interrupted(&interrupt));
    }
    opened.record(drop)?;
    let mut pool = opened.programs(guard::command())?;
    opened.run(&mut *pool, &interrupt)?;
    drop(pool);
    if interrupt.urgency() > Urgency::None {
        context.out.say("interrupted before the comparison");
        return Ok(super::run::interrupted(&interrupt));
    }
    let repetition = opened.study().trials().first().cloned();
    drop(opened);
    let tolerance = Tolerance {
        rtol: args.rtol,
        ignore: args.ignore.iter().cloned().collect(),
    };
    let compared = compare(
        (&selection.dir, trial.id),
        (&dir, TrialId(1)),
        cut,
        &tolerance,
    )?;
    let document = json!({
        "version": JSON_VERSION, "study": name, "trial": trial.id, "repetition": dir.root().display().to_string(),
        "same": compared.differences.is_empty(), "rtol": args.rtol, "compared": compared,
    });
    std::fs::write(dir.repro(), format!("{document:#}\n"))?;
    if args.json {
        context.out.json(&document)?;
    } else {
        print(&compared, trial, context)?;
        if let Some(failed) = repetition
            .as_ref()
            .filter(|trial| matches!(trial.exit, Some(Exit::Failed(_))))
        {
            print_log_tail(failed, &dir, context);
        }
        print_environment(&selection, &request, &dir, context)?;
    }
    Ok(if compared.differences.is_empty() {
        Code::Done
    } else {
        Code::Difference
    })
}

fn rerun_failure(error: RerunError, trial: &Trial) -> Failure {
    match error {
        RerunError::Changed { problems, .. } => {
            let mut failure = Failure::new(
                Code::Difference,
                format!(
                    "data or code have changed since trial {} ran, so it was not repeated",
                    trial.id
                ),
            );
            failure.causes = problems.iter().map(|problem| plain(problem).into_owned()).collect();
            failure.hint("`--anyway` repeats it all the same; `swath verify` lists the changes")
        }
        RerunError::Journal(error) => error.into(),
        RerunError::Run(error) => error.into(),
        RerunError::Version(crate::run::VersionError::Rejected(rejected)) => {
            super::sweeps::rejected(&rejected, false)
        }
        error @ (RerunError::NotStarted(_) | RerunError::Function(_)) => Failure::caused(Code::Usage, &error),
        error @ RerunError::Cloned { .. } => Failure::caused(Code::Usage, &error).hint(
            "repeat its parent instead; population-based training continues from the checkpoint that the parent had at that time",
        ),
        other => Failure::caused(Code::Tool, &other),
    }
}

fn print(compared: &Compared, trial: &Trial, context: &mut Context) -> Result<(), Failure> {
    let out = &mut context.out;
    for Difference {
        what,
        recorded,
        now,
    } in compared.differences.iter().take(MAX_DIFFERENCES)
    {
        writeln!(
            out.stdout,
            "{}",
            plain(&format!(
                "{what}: was {}, is {}",
                value_or_absent(recorded.as_ref()),
                value_or_absent(now.as_ref())
            ))
        )?;
    }
    let count = compared.differences.len();
    if count > MAX_DIFFERENCES {
        out.say(format_args!(
            "and {} more differences",
            count - MAX_DIFFERENCES
        ));
    }
    if !compared.ignored.is_empty() {
        let names: Vec<_> = compared
            .ignored
            .iter()
            .map(|name| plain(name).into_owned())
            .collect();
        out.say(format_args!("not compared: {}", names.join(", ")));
    }
    let (values, reports) = (compared.values, compared.reports);
    if count == 0 {
        let deviation = if compared.largest > 0.0 {
            format!("; numbers differ by at most {:.1e}", compared.largest)
        } else {
            String::new()
        };
        out.say(format_args!(
            "trial {} was reproduced: {values} values in {reports} reports, metrics and files are the same{deviation}",
            trial.id
        ));
    } else {
        out.say(format_args!(
            "trial {} was not reproduced: {count} of {values} values differ",
            trial.id
        ));
        if compared.largest > 0.0 {
            out.hint(format_args!(
                "numbers differ by at most {:.1e}; `--rtol` sets a tolerance",
                compared.largest
            ));
        }
    }
    Ok(())
}

fn print_log_tail(failed: &Trial, dir: &StudyDir, context: &mut Context) {
    if let Some(cause) = summary::cause(failed.exit.as_ref()) {
        context
            .out
            .say(format_args!("the repetition failed: {}", plain(&cause)));
    }
    let folder = dir.trial(failed.id);
    for line in tail::log_tail(&folder, LOG_LINES, &studies::secrets(dir)).1 {
        context.out.say(format_args!("  {line}"));
    }
}

/// Prints the differences in machine, variables and packages between the two runs, which may
/// explain different results.
fn print_environment(
    selection: &super::studies::Selection,
    request: &Request<'_>,
    dir: &crate::journal::StudyDir,
    context: &mut Context,
) -> Result<(), Failure> {
    let (before, after) = (Record::of(&selection.dir)?, Record::of(dir)?);
    let compared = facts::compare(&[
        &record_facts(&before, request, request.trial.id),
        &record_facts(&after, request, TrialId(1)),
    ]);
    let changed = [
        changes(&compared, Section::Environment),
        changes(&compared, Section::Packages),
    ]
    .concat();
    for fact in changed.iter().take(MAX_DIFFERENCES) {
        let text = format!(
            "the environment differs: {} was {}, is {}",
            fact.name,
            value_or_absent(fact.values[0].as_ref()),
            value_or_absent(fact.values[1].as_ref())
        );
        context.out.warn(plain(&text));
    }
    if changed.len() > MAX_DIFFERENCES {
        context.out.say(format_args!(
            "and {} more differences; `swath diff` lists them",
            changed.len() - MAX_DIFFERENCES
        ));
    }
    Ok(())
}

/// Returns the facts on the environment of the original or of the repetition.
fn record_facts(record: &Record, request: &Request<'_>, id: TrialId) -> Vec<Fact> {
    facts::facts(&Subject {
        study: request.study,
        trial: request.trial,
        made: record.made(id),
        environment: record.environment(id),
        patch: &[],
    })
}

/// Returns the facts of a section that differ.
fn changes(compared: &[Comparison], section: Section) -> Vec<&Comparison> {
    // A repetition has its own command line, folder and search path by design.
    const BY_DESIGN: [&str; 3] = ["command line", "folder", "$PATH"];
    compared
        .iter()
        .filter(|fact| fact.section == section && !fact.is_equal())
        .filter(|fact| !BY_DESIGN.contains(&fact.name.as_str()))
        .collect()
}

fn value_or_absent(value: Option<&String>) -> &str {
    value.map_or("absent", String::as_str)
}
