//! `swath repro TRIAL`: repeats one trial exactly, in its own study, and compares the results.

use super::Context;
use super::exit::{Code, Failure};
use super::output::JSON_VERSION;
use super::studies::Which;
use super::{guard, tail};
use crate::driver::{Interrupt, Urgency};
use crate::provenance::Record;
use crate::report::facts::{Section, Subject, facts, pairs};
use crate::report::summary;
use crate::report::text::plain;
use crate::run::Options;
use crate::run::rerun::{
    Compared, Difference, Prepared, Request, RerunError, Tolerance, compare, prepare,
};
use crate::study::{Exit, Trial, TrialId};
use crate::sweep::Registry;
use serde_json::json;
use std::io::Write as _;
use std::path::PathBuf;

/// The maximum number of differences to print.
const SHOWN: usize = 20;
/// The number of log lines to print if the repetition failed.
const LAST_WORDS: usize = 12;

/// Arguments of `swath repro`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The code is checked out anew (commit and uncommitted changes), the data is hashed first, and the repetition is kept as the \
study `STUDY-repro-TRIAL`; the original is only read. Exit code 6: a result differs."
)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) which: Which,

    /// The largest relative difference of two numbers that count as equal
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    pub(crate) rtol: f64,

    /// A value that is not compared; times never are
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
            "`--rtol` must be a number from 0 up, such as 1e-6",
        ));
    }
    let found = args.which.find(context)?;
    // Without a selection the study must have exactly one trial: a wrong guess could run for hours.
    let trial = found.trial(|study| study.trials().last().filter(|_| study.trials().len() == 1))?;
    let options = Options {
        logs: context.logs.clone(),
        workdir: std::env::current_dir()?,
        jobs: Some(1),
        gpus: super::run::gpus(None),
        time: None,
        command_line: std::env::args().collect(),
    };
    let registry = Registry::standard();
    let request = Request {
        registry: &registry,
        dir: &found.dir,
        study: &found.study,
        trial,
        project: args.workdir.as_deref(),
        anyway: args.anyway,
    };
    let Prepared {
        mut opened,
        notices,
        cut,
    } = prepare(&request, options).map_err(|error| refused(error, trial))?;
    for notice in notices {
        context.out.warn(plain(&notice));
    }
    let dir = opened.dir().clone();
    let name = found.study.header().name.clone();
    context.out.say(format_args!(
        "trial {} of `{}` runs again in {}",
        trial.id,
        plain(&name),
        dir.root().display()
    ));
    let interrupt = Interrupt::on_signals()?;
    opened.setup()?;
    opened.record(drop)?;
    let mut pool = opened.programs(guard::command())?;
    opened.run(&mut *pool, &interrupt)?;
    drop(pool);
    if interrupt.urgency() > Urgency::None {
        context.out.say("interrupted, nothing was compared");
        return Ok(super::run::interrupted(&interrupt));
    }
    let again = opened.study().trials().first().cloned();
    drop(opened);
    let tolerance = Tolerance {
        rtol: args.rtol,
        ignore: args.ignore.iter().cloned().collect(),
    };
    let compared = compare((&found.dir, trial.id), (&dir, TrialId(1)), cut, &tolerance)?;
    let document = json!({
        "version": JSON_VERSION, "study": name, "trial": trial.id, "repetition": dir.root().display().to_string(),
        "same": compared.differences.is_empty(), "rtol": args.rtol, "compared": compared,
    });
    std::fs::write(dir.repro(), format!("{document:#}\n"))?;
    if args.json {
        context.out.json(&document)?;
    } else {
        tell(&compared, trial, context)?;
        if let Some(again) = again
            .as_ref()
            .filter(|again| matches!(again.exit, Some(Exit::Failed(_))))
        {
            last_words(again, &dir.trial(again.id), context);
        }
        tell_environment(&found, &request, &dir, context)?;
    }
    Ok(if compared.differences.is_empty() {
        Code::Done
    } else {
        Code::Difference
    })
}

fn refused(error: RerunError, trial: &Trial) -> Failure {
    match error {
        RerunError::Changed { problems, .. } => {
            let mut failure = Failure::new(
                Code::Difference,
                format!(
                    "data or code are not what they were when trial {} ran, so nothing was started",
                    trial.id
                ),
            );
            failure.causes = problems.iter().map(|problem| plain(problem).into_owned()).collect();
            failure.hint("`--anyway` runs it nevertheless; `swath verify` tells more")
        }
        RerunError::Journal(error) => error.into(),
        RerunError::Run(error) => error.into(),
        RerunError::Version(crate::run::VersionError::Rejected(rejected)) => {
            super::sweeps::rejected(&rejected, false)
        }
        error @ (RerunError::NotStarted(_) | RerunError::Function(_)) => Failure::caused(Code::Usage, &error),
        error @ RerunError::Cloned { .. } => Failure::caused(Code::Usage, &error).hint(
            "repeat that one; population-based training goes on from whatever its parent had at the time",
        ),
        other => Failure::caused(Code::Tool, &other),
    }
}

fn tell(compared: &Compared, trial: &Trial, context: &mut Context) -> Result<(), Failure> {
    let out = &mut context.out;
    for Difference {
        what,
        recorded,
        now,
    } in compared.differences.iter().take(SHOWN)
    {
        let shown = |value: &Option<String>| value.clone().unwrap_or_else(|| "nothing".to_owned());
        writeln!(
            out.stdout,
            "{}",
            plain(&format!(
                "{what}: was {}, is {}",
                shown(recorded),
                shown(now)
            ))
        )?;
    }
    let count = compared.differences.len();
    if count > SHOWN {
        out.say(format_args!("and {} more", count - SHOWN));
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
        let apart = if compared.largest > 0.0 {
            format!(", at most {:.1e} apart", compared.largest)
        } else {
            String::new()
        };
        out.say(format_args!(
            "trial {} came out the same: {values} values in {reports} reports, metrics and files{apart}",
            trial.id
        ));
    } else {
        out.say(format_args!(
            "trial {} came out differently: {count} of {values} values",
            trial.id
        ));
        if compared.largest > 0.0 {
            out.hint(format_args!(
                "numbers are at most {:.1e} apart; `--rtol` tolerates that",
                compared.largest
            ));
        }
    }
    Ok(())
}

fn last_words(again: &Trial, folder: &std::path::Path, context: &mut Context) {
    if let Some(cause) = summary::cause(again.exit.as_ref()) {
        context
            .out
            .say(format_args!("the repetition failed: {}", plain(&cause)));
    }
    for line in tail::last_words(folder, LAST_WORDS).1 {
        context.out.say(format_args!("  {line}"));
    }
}

/// Prints the differences in machine, variables and packages between the two runs, which may
/// explain different results.
fn tell_environment(
    found: &super::studies::Found,
    request: &Request<'_>,
    dir: &crate::journal::StudyDir,
    context: &mut Context,
) -> Result<(), Failure> {
    let (before, after) = (Record::of(&found.dir)?, Record::of(dir)?);
    let of = |record: &Record, id: TrialId| {
        let environment = record.environment(id);
        facts(&Subject {
            study: request.study,
            trial: request.trial,
            made: record.made(id),
            environment,
            patch: &[],
        })
    };
    let pairs = pairs(&of(&before, request.trial.id), &of(&after, TrialId(1)));
    // A repetition has its own command line, folder and search path by design.
    let told = ["command line", "folder", "$PATH"];
    let differs = |section: Section| {
        let pairs = pairs
            .iter()
            .filter(|pair| pair.section == section && pair.a != pair.b);
        pairs
            .filter(|pair| !told.contains(&pair.name.as_str()))
            .collect::<Vec<_>>()
    };
    let changed = [differs(Section::Environment), differs(Section::Packages)].concat();
    for pair in changed.iter().take(SHOWN) {
        let shown = |value: &Option<String>| value.clone().unwrap_or_else(|| "nothing".to_owned());
        let text = format!(
            "another environment: {} was {}, is {}",
            pair.name,
            shown(&pair.a),
            shown(&pair.b)
        );
        context.out.warn(plain(&text));
    }
    if changed.len() > SHOWN {
        context.out.say(format_args!(
            "and {} more; `swath diff` tells them",
            changed.len() - SHOWN
        ));
    }
    Ok(())
}
