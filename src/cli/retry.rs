//! `swath retry`: requeues trials that failed or were stopped, and with `--into` any trial that has
//! ended.

use super::exit::{Code, Failure};
use super::studies::{Selection, SelectionArgs};
use super::{Context, remarks};
use crate::driver::{DriverError, has_entries};
use crate::report::text::plain;
use crate::study::{Event, Origin, TrialId, TrialState};

/// Arguments of `swath retry`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
        Without trials, all failed trials are retried. The run that is active, or the next one, \
        starts them first, as further attempts.")]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) selection: SelectionArgs,

    /// Train this trial again under its id, also if it is complete: from its checkpoint, or from
    /// the beginning with the files of earlier attempts kept in `attempts/` of its folder
    #[arg(long, value_name = "TRIAL", conflicts_with = "condition")]
    pub(crate) into: Option<u32>,
}

/// Runs `swath retry`: requeues the selected trials. Without a selection, only failed trials; a
/// stopped trial must be selected, because stopping it was a decision and not an error.
pub(crate) fn run(args: &Args, context: &mut Context) -> Result<Code, Failure> {
    let selection = args.selection.read(context)?;
    if let Some(id) = args.into {
        return train_again(&selection, TrialId(id), context);
    }
    let mut retried = Vec::new();
    for trial in selection.trials()? {
        match trial.state {
            // Without a selection, a trial that cannot run again is skipped silently: the user did
            // not name it.
            _ if matches!(trial.origin, Origin::Imported(_)) && !selection.is_selective() => {}
            _ if matches!(trial.origin, Origin::Imported(_)) => {
                context.out.warn(format_args!(
                    "trial {} was imported and was not requeued",
                    trial.id
                ));
            }
            _ if trial.removed => {
                context.out.warn(format_args!(
                    "trial {} is in the trash and was not requeued",
                    trial.id
                ));
            }
            TrialState::Failed | TrialState::Invalid | TrialState::Stopped
                if trial.outside && !selection.is_selective() => {}
            TrialState::Failed | TrialState::Invalid | TrialState::Stopped if trial.outside => {
                context.out.warn(format_args!(
                    "the edited sweep file no longer admits trial {}, so it was not requeued",
                    trial.id
                ));
            }
            TrialState::Failed => retried.push(trial.id),
            TrialState::Stopped | TrialState::Invalid if selection.is_selective() => {
                retried.push(trial.id);
            }
            _ if selection.is_selective() => {
                context.out.warn(format_args!(
                    "trial {} is {} and was not requeued",
                    trial.id,
                    trial.state.word()
                ));
            }
            _ => {}
        }
    }
    if retried.is_empty() {
        context.out.say("no trial was requeued");
        return Ok(Code::Done);
    }
    let next = requeue(&selection, &retried, "asked for by `swath retry`")?;
    let count = retried.len();
    context.out.say(format_args!(
        "{count} trial{} will run again",
        if count == 1 { "" } else { "s" }
    ));
    context.out.hint(next);
    Ok(Code::Done)
}

/// Requeues one trial that has ended, whatever its result.
fn train_again(selection: &Selection, id: TrialId, context: &mut Context) -> Result<Code, Failure> {
    if selection.is_selective() {
        let message = "`--into` names the trial; name no others beside it";
        return Err(Failure::usage(message));
    }
    let Some(trial) = selection.study.trial(id) else {
        return Err(Failure::usage(format!("there is no trial {id}")));
    };
    let obstacle = match trial.state {
        _ if matches!(trial.origin, Origin::Imported(_)) => {
            Some("was imported, so it cannot run here")
        }
        _ if trial.removed => Some("is in the trash; `swath rm --restore` restores it"),
        _ if trial.outside => Some("does not fit the edited sweep file any more"),
        TrialState::Waiting => Some("waits already; `swath run` starts it"),
        TrialState::Running => Some("is running"),
        _ => None,
    };
    if let Some(obstacle) = obstacle {
        return Err(Failure::usage(format!("trial {id} {obstacle}")));
    }
    let next = requeue(selection, &[id], "asked for by `swath retry --into`")?;
    let attempts = match trial.attempts {
        1 => "attempt 1".to_owned(),
        count => format!("attempts 1 to {count}"),
    };
    let beginning = if has_entries(&selection.dir.checkpoints(id)) {
        format!("from its checkpoint, after {attempts}")
    } else {
        let folder = selection.dir.trial(id).join("attempts");
        let folder = folder.display();
        format!("from the beginning; the files of {attempts} will be in `{folder}`")
    };
    let line = format!("trial {id} will be trained again {beginning}");
    context.out.say(plain(&line));
    if trial.state == TrialState::Complete {
        let line = format!("until it ends again, trial {id} has no result");
        context.out.say(line);
    }
    context.out.hint(next);
    Ok(Code::Done)
}

/// Requeues trials, also while a process runs the study. Returns what starts them.
fn requeue(selection: &Selection, trials: &[TrialId], why: &str) -> Result<&'static str, Failure> {
    let events = trials.iter().map(|trial| Event::requeued(*trial, why));
    let is_appended = remarks::append(&selection.dir, events.collect())?.is_some();
    Ok(if is_appended {
        "`swath run` with the sweep file starts what is requeued first"
    } else {
        "the process that runs the study starts what is requeued next"
    })
}

impl From<DriverError> for Failure {
    fn from(error: DriverError) -> Self {
        match error {
            DriverError::Journal(journal) => journal.into(),
            DriverError::Search(failure) => failure.into(),
            other => Self::caused(Code::Tool, &other),
        }
    }
}
