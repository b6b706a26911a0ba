//! `swath recapture`: reads the kept outputs of trials again, with a corrected sweep file.

use super::exit::{Code, Failure};
use super::progress::{Progress, Style};
use super::sweeps::{Accepts, SweepArgs};
use super::{Context, output::Output, studies};
use crate::cluster::pilot;
use crate::driver::{Outcome, Recaptured};
use crate::executor::Share;
use crate::journal::StudyDir;
use crate::provenance::Environment;
use crate::report::select::Selector;
use crate::report::summary;
use crate::report::text::plain;
use crate::run::Options;
use crate::study::{Exit, Failure as Cause, Study, TrialId, TrialState};
use crate::sweep::Sweep;
use std::path::{Path, PathBuf};

/// Read the kept outputs again, with corrected patterns or names, without training again
#[derive(Debug, clap::Args)]
#[command(
    after_help = "First correct `[capture]` or `[objective]` in the sweep file. Trials that ended with status 0 and without their objective get their reports from the kept stdout.log and stderr.log and from their records. The study gets further events; nothing is removed from it."
)]
pub(crate) struct Args {
    /// The corrected sweep file, or the study that it made
    #[arg(value_name = "SWEEP|STUDY")]
    study: PathBuf,

    /// The trials (default: all that ended without their objective): `12`, `3-9`, `failed`…
    #[arg(value_name = "TRIALS")]
    trials: Option<String>,
}

/// Runs `swath recapture`.
pub(crate) fn run(args: &Args, context: &mut Context) -> Result<Code, Failure> {
    let (path, workdir) = sweep_file(&args.study, context)?;
    let sweep_file = SweepArgs {
        sweep: path,
        overrides: Vec::new(),
    };
    let (mut sweep, _) = sweep_file.read(Accepts::Either, false, context)?;
    let dir = StudyDir::new(&context.logs, &sweep.name);
    if !dir.exists() {
        return Err(
            Failure::usage(format!("there is no study `{}`", plain(&sweep.name)))
                .hint("`swath run` with the sweep file makes it"),
        );
    }
    // No program runs, so this machine need not have what trials take. The number of trials at a
    // time is that of the study, since a different one would be recorded as a change.
    sweep.resources = Share::default();
    let jobs = pilot::settled(&dir)?.header().slots.max(1);
    let options = Options {
        logs: context.logs.clone(),
        workdir,
        jobs: usize::try_from(jobs).ok(),
        command_line: std::env::args().collect(),
        ..Options::default()
    };
    let mut opened = crate::run::open(&sweep, options)?;
    let trials = selected(args, opened.study())?;
    if trials.is_empty() {
        context
            .out
            .say("every trial that ended with status 0 has its objective, so there is nothing to read again");
        return Ok(Code::Done);
    }
    let progress = Progress::new(
        Style::Quiet,
        opened.dir().clone(),
        Output::of_process(),
        opened.study(),
        opened.secrets().clone(),
    )
    .shared();
    let display = progress.clone();
    opened.record(move |stale| display.with(|progress| progress.stale(&stale)))?;
    let recaptured = opened.recapture(&trials)?;
    for trial in &recaptured {
        context.out.say(describe(opened.study(), trial));
    }
    let recorded = recaptured
        .iter()
        .filter(|trial| trial.outcome == Outcome::Recorded)
        .count();
    context.out.say(format_args!(
        "{recorded} of {} trials have their objective now; {}",
        recaptured.len(),
        summary::counts(opened.study())
    ));
    Ok(if recorded > 0 {
        Code::Done
    } else {
        Code::NoSuccess
    })
}

/// Returns the trials to read again.
fn selected(args: &Args, study: &Study) -> Result<Vec<TrialId>, Failure> {
    if let Some(text) = &args.trials {
        let trials = Selector::parse(text)?.select(study)?;
        return Ok(trials.into_iter().map(|trial| trial.id).collect());
    }
    let silent = study.trials().iter().filter(|trial| {
        trial.state == TrialState::Failed
            && !trial.outside
            && matches!(trial.exit, Some(Exit::Failed(Cause::NoObjective(_))))
    });
    Ok(silent.map(|trial| trial.id).collect())
}

/// Returns the line about a trial.
fn describe(study: &Study, recaptured: &Recaptured) -> String {
    let id = recaptured.trial;
    let result = match (&recaptured.outcome, study.trial(id)) {
        (Outcome::Recorded, Some(trial)) => {
            format!(
                "{}: {}",
                trial.state.word(),
                summary::objectives(study, trial)
            )
        }
        (Outcome::Recorded, None) => String::new(),
        (Outcome::Unchanged(why), _) => format!("unchanged: {why}"),
    };
    let cut = match recaptured.cut.as_slice() {
        [] => String::new(),
        logs => format!(
            "; the middle of {} was cut out by `limits.log`, so values may be missing",
            logs.join(" and ")
        ),
    };
    plain(&format!("trial {id} {result}{cut}")).into_owned()
}

/// Returns the sweep file, and the folder in which trials run: the given file, or the one with which
/// the last run of a study was started.
fn sweep_file(given: &Path, context: &Context) -> Result<(PathBuf, PathBuf), Failure> {
    if given.is_file() {
        return Ok((given.to_owned(), std::env::current_dir()?));
    }
    let dir = studies::named(&context.logs, &given.to_string_lossy())?;
    last_sweep_file(&dir).ok_or_else(|| {
        Failure::usage("the sweep file with which the study was run is not there any more")
            .hint("name the sweep file instead of the study")
    })
}

/// Returns the sweep file with which the last run of a study was started, and the folder of that
/// call.
fn last_sweep_file(dir: &StudyDir) -> Option<(PathBuf, PathBuf)> {
    let text = std::fs::read(dir.environment()).ok()?;
    let environment: Environment = serde_json::from_slice(&text).ok()?;
    let workdir = PathBuf::from(&environment.workdir);
    let name = dir.root().file_name()?.to_str()?.to_owned();
    let words = environment.command_line.iter().skip(1);
    words
        .map(|word| workdir.join(word))
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "toml")
        })
        .find(|path| Sweep::read_for_either(path).is_ok_and(|sweep| sweep.name == name))
        .map(|path| (path, workdir))
}
