//! `swath recapture`: reads the kept outputs of trials again, with a corrected sweep file.

use super::exit::{Code, Failure};
use super::progress::{Progress, Style};
use super::sweeps::{Accepts, SweepArgs};
use super::{Context, output::Output, studies};
use crate::cluster::pilot;
use crate::driver::{Outcome, Recaptured};
use crate::executor::Share;
use crate::journal::StudyDir;
use crate::provenance::environments;
use crate::report::select::Selector;
use crate::report::summary;
use crate::report::text::plain;
use crate::run::Options;
use crate::study::{Exit, Failure as Cause, Study, TrialId, TrialState};
use crate::sweep::Sweep;
use std::path::{Path, PathBuf};

/// Read the kept outputs again, with corrected patterns or names, without training again
#[derive(Debug, clap::Args)]
#[command(after_help = "\
        First correct `[capture]` or `[objective]` in the sweep file. Trials that ended with \
        status 0 and without their objective get their reports from the kept stdout.log and \
        stderr.log and from their records. The study gets further events; nothing is removed from \
        it.")]
pub(crate) struct Args {
    /// The corrected sweep file, or the study that it made
    #[arg(value_name = "SWEEP|STUDY")]
    study: PathBuf,

    /// The trials (default: all that ended without their objective): `12`, `3-9`, `failed`…; and
    /// values in place of those in the sweep file: `"capture.loss='Loss: (.*)'"`
    #[arg(value_name = "TRIALS|KEY=VALUE")]
    words: Vec<String>,
}

/// Runs `swath recapture`.
pub(crate) fn run(args: &Args, context: &mut Context) -> Result<Code, Failure> {
    let (overrides, trials) = args
        .words
        .iter()
        .cloned()
        .partition(|word| word.contains('='));
    let (mut sweep, workdir) = read_sweep(&args.study, overrides, context)?;
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
    let trials = selected(&trials, opened.study())?;
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

/// Returns the trials to read again: those that `words` select.
fn selected(words: &[String], study: &Study) -> Result<Vec<TrialId>, Failure> {
    if !words.is_empty() {
        let trials = Selector::parse(&words.join(","))?.select(study)?;
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

/// Reads the given sweep file; for a study, the one with which it was run last, which may have been
/// corrected since, with the values of that call. Returns the sweep and the folder in which its
/// trials run.
fn read_sweep(
    given: &Path,
    overrides: Vec<String>,
    context: &mut Context,
) -> Result<(Sweep, PathBuf), Failure> {
    let own = SweepArgs {
        sweep: given.to_owned(),
        overrides,
    };
    if given.is_file() {
        return own.read(Accepts::Either, false, context);
    }
    let dir = studies::named(&context.logs, &given.to_string_lossy())?;
    let Some((workdir, sweep, mut values)) = last_call(&dir) else {
        return own.read(Accepts::Either, false, context);
    };
    values.extend(own.overrides.iter().cloned());
    let last = SweepArgs {
        sweep,
        overrides: values,
    };
    let (sweep, _) = last.read(Accepts::Either, false, context)?;
    let name = dir.root().file_name().unwrap_or_default();
    if sweep.name != name.to_string_lossy() {
        // The study was copied or renamed, or the file is another sweep now.
        return own.read(Accepts::Either, false, context);
    }
    context.logs = dir.root().parent().unwrap_or(Path::new(".")).to_owned();
    Ok((sweep, workdir))
}

/// Returns the folder in which the last call with a sweep file was made for a study, the sweep
/// file, and the values that the call set; `None` if the file is gone, or the study had none.
fn last_call(dir: &StudyDir) -> Option<(PathBuf, PathBuf, Vec<String>)> {
    let environments = environments(dir);
    environments.iter().rev().find_map(|environment| {
        let workdir = PathBuf::from(&environment.workdir);
        let words = environment.command_line.iter().skip(1);
        let (values, words): (Vec<&String>, Vec<&String>) =
            words.partition(|word| word.contains('=') && !word.starts_with('-'));
        let mut paths = words.into_iter().map(|word| workdir.join(word));
        let sweep = paths.find(|path| is_sweep_file(path))?;
        Some((workdir, sweep, values.into_iter().cloned().collect()))
    })
}

fn is_sweep_file(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == "toml") && path.is_file()
}
