//! `swath stop [STUDY] [TRIALS]`: asks the process that runs a study to end, also from another
//! terminal or machine, or stops trials of the study.

use super::exit::{Code, Failure};
use super::studies::SelectionArgs;
use super::{Context, remarks};
use crate::driver::{Control, Urgency};
use crate::journal::{StudyDir, lock};
use crate::provenance::Machine;
use crate::study::{Event, TrialState};

/// Arguments of `swath stop`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
        With trials, only these are stopped, and the run goes on: a running trial gets the stop \
        signal and its `grace`, and a waiting or paused one is not continued. What a trial has \
        reported is kept. `swath retry STUDY TRIALS` lets it go on.")]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) selection: SelectionArgs,

    /// Start no more trials, and let the running ones end by themselves
    #[arg(long, conflicts_with_all = ["now", "condition"])]
    pub(crate) drain: bool,

    /// Kill the running trials at once
    #[arg(long, conflicts_with = "condition")]
    pub(crate) now: bool,

    /// Change the number of trials that run at a time, instead of stopping the run
    #[arg(long, value_name = "N", conflicts_with_all = ["drain", "now", "condition"])]
    pub(crate) jobs: Option<std::num::NonZeroUsize>,
}

/// Runs `swath stop`: stops the selected trials, or else sends a request to the process that runs
/// the study.
pub(crate) fn run(args: &Args, context: &mut Context) -> Result<Code, Failure> {
    let (dir, trials) = args.selection.split(&context.logs)?;
    let is_for_run = args.drain || args.now || args.jobs.is_some();
    match trials.first() {
        None if args.selection.condition.is_none() => stop_run(args, &dir, context),
        Some(trial) if is_for_run => Err(Failure::usage(format!(
            "`--drain`, `--now` and `--jobs` are for the whole run, but trial `{trial}` was named"
        ))
        .hint("without an option, `swath stop` stops only the named trials")),
        _ => stop_trials(args, context),
    }
}

/// Writes a control message to the study's folder. Fails with a usage error if no process holds the
/// study.
fn stop_run(args: &Args, dir: &StudyDir, context: &mut Context) -> Result<Code, Failure> {
    let shown = dir.root().display().to_string();
    let Some(holder) = lock::holder(dir) else {
        return Err(Failure::usage(format!("no process is running `{shown}`")));
    };
    let (urgency, request) = match (args.drain, args.now, args.jobs) {
        (true, ..) => (
            Some(Urgency::Drain),
            "start no more trials and end when the running ones have ended".to_owned(),
        ),
        (_, true, _) => (Some(Urgency::Kill), "kill its trials and end".to_owned()),
        (.., Some(jobs)) => (None, format!("run {jobs} trials at a time")),
        _ => (Some(Urgency::Stop), "stop its trials and end".to_owned()),
    };
    Control {
        stop: urgency,
        jobs: args.jobs.map(usize::from),
    }
    .send(dir)
    .map_err(|error| Failure::caused(Code::Tool, &error))?;
    context.out.say(format_args!(
        "asked process {} on {} to {request}",
        holder.pid, holder.host
    ));
    Ok(Code::Done)
}

/// Stops the selected trials for good: this person's decision, in the journal. Trials that have
/// ended are named in a warning.
fn stop_trials(args: &Args, context: &mut Context) -> Result<Code, Failure> {
    let selection = args.selection.read(context)?;
    let (open, ended): (Vec<_>, Vec<_>) = selection
        .trials()?
        .into_iter()
        .partition(|trial| trial.can_stop());
    // A condition also holds for trials that the user did not mean.
    let named = ended.iter().filter(|_| selection.has_selectors());
    for trial in named {
        let state = match trial.state {
            _ if trial.removed => "is in the trash",
            TrialState::Running => "is ending already",
            TrialState::Complete => "is complete",
            TrialState::Stopped => "is stopped already",
            TrialState::Invalid => "is invalid",
            _ => "has failed",
        };
        context.out.warn(format_args!(
            "trial {} {state}, so there is nothing to stop",
            trial.id
        ));
    }
    if open.is_empty() {
        return Err(match ended.is_empty() {
            true => selection.nothing(),
            false => Failure::usage("no trial was stopped"),
        });
    }
    let machine = Machine::here();
    let stops = open
        .iter()
        .map(|trial| Event::stopped_by(trial.id, &machine.user, &machine.host));
    let trials: Vec<_> = open.iter().map(|trial| trial.id).collect();
    let trials = remarks::in_words(&trials);
    let runs = open.iter().any(|trial| trial.state == TrialState::Running);
    let is_appended = remarks::deliver(&selection, stops.collect(), &mut context.out)?;
    context.out.say(match is_appended {
        true => format!("stopped {trials}"),
        false => format!("asked the process that runs the study to stop {trials}"),
    });
    if is_appended && runs {
        context.out.hint(
            "no process runs the study; a trial that goes on without one, as in a job of a cluster, \
             ends when `swath run` takes it over",
        );
    }
    Ok(Code::Done)
}

#[cfg(test)]
mod tests {
    use crate::cli::output::captured;
    use crate::cli::studies::demo;
    use crate::cli::{Context, args::Cli, dispatch};
    use crate::journal::{Lock, StudyDir, read};
    use crate::provenance::Machine;
    use crate::study::{Exit, Failure, Study, Timestamp, TrialState};
    use clap::Parser as _;
    use std::path::Path;
    use swath_model::demo::Demo;

    /// Runs a command line, and returns whether it succeeded and what it said.
    fn execute(logs: &Path, words: &[&str]) -> (bool, String) {
        let (out, _, stderr) = captured::output(None);
        let mut context = Context {
            logs: logs.to_owned(),
            out,
        };
        let cli = Cli::try_parse_from(["swath"].iter().chain(words)).unwrap();
        let result = dispatch(&cli.command, &mut context);
        if let Err(failure) = &result {
            context.out.fail(failure);
        }
        (result.is_ok(), stderr.text())
    }

    fn states(study: &Study) -> Vec<&'static str> {
        let trials = study.trials().iter();
        trials.map(|trial| trial.state.word()).collect()
    }

    /// A study with a running, a paused, a failed and a complete trial, which no process runs.
    fn written(logs: &Path) -> StudyDir {
        let mut demo = Demo::new(&[]);
        let (_, paused, failed) = (demo.start(&[]), demo.start(&[]), demo.start(&[]));
        demo.end(paused, Exit::Paused);
        demo.end(failed, Exit::Failed(Failure::Code(1)));
        demo.complete(&[], &[("val_loss", 0.5)]);
        demo::write(logs, "digits", &demo)
    }

    #[test]
    fn trials_are_stopped_in_the_journal_while_no_process_runs_the_study() {
        let logs = tempfile::tempdir().unwrap();
        let dir = written(logs.path());
        let (is_done, text) = execute(logs.path(), &["stop", "digits", "1-4"]);
        assert!(is_done && text.contains("stopped 2 trials"), "{text}");
        assert!(
            text.contains("trial 3 has failed, so there is nothing to stop"),
            "{text}"
        );
        let study = read(&dir).unwrap();
        // The first one is a decision about an attempt whose end the next run records.
        assert_eq!(states(&study), ["running", "stopped", "failed", "complete"]);
        assert!(study.trials()[0].is_stopped_by_person());
        let machine = Machine::here();
        let why = format!("asked for by {} on {} with", machine.user, machine.host);
        let (_, text) = execute(logs.path(), &["stop", "digits", "1"]);
        assert!(
            text.contains("trial 1 is stopped already, so there"),
            "{text}"
        );
        let said = study.trials()[1].why.as_deref().unwrap();
        assert!(said.starts_with(&why), "{said}");
        let table = std::fs::read_to_string(dir.trials_csv()).unwrap();
        assert!(table.contains(",stopped,"), "{table}");
    }

    #[test]
    fn a_trial_of_a_study_that_runs_is_stopped_by_its_process() {
        let logs = tempfile::tempdir().unwrap();
        let dir = written(logs.path());
        let lock = Lock::take(&dir, &Machine::here().holder(Timestamp::now())).unwrap();
        let (is_done, text) = execute(logs.path(), &["stop", "1"]);
        assert!(is_done, "{text}");
        let expected = "asked the process that runs the study to stop trial 1";
        assert!(text.contains(expected), "{text}");
        assert!(!read(&dir).unwrap().trials()[0].is_stopped_by_person());
        drop(lock);
        // The message is not lost if that process ends before it reads it.
        execute(logs.path(), &["tag", "digits", "2", "good"]);
        let study = read(&dir).unwrap();
        assert!(study.trials()[0].is_stopped_by_person());
        assert_eq!(study.trials()[1].state, TrialState::Paused);
    }

    #[test]
    fn options_of_the_whole_run_and_trials_exclude_each_other() {
        let logs = tempfile::tempdir().unwrap();
        let dir = written(logs.path());
        for words in [
            &["stop", "digits", "1", "--drain"] as &[&str],
            &["stop", "digits", "1", "--now"],
            &["stop", "digits", "1", "--jobs", "3"],
            &["stop", "digits", "4"],
            &["stop", "digits", "9"],
            &["stop", "digits"],
        ] {
            assert!(!execute(logs.path(), words).0, "{words:?}");
        }
        let before = ["running", "paused", "failed", "complete"];
        assert_eq!(states(&read(&dir).unwrap()), before);
    }
}
