//! `swath retry`: requeues trials that failed or were stopped.

use super::Context;
use super::exit::{Code, Failure};
use super::studies::SelectionArgs;
use crate::driver::{DriverError, amend};
use crate::provenance::Machine;
use crate::study::{Event, Origin, Timestamp, TrialState};

/// Arguments of `swath retry`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Without trials, all failed trials are retried. The next `swath run` starts them first, as further attempts."
)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) selection: SelectionArgs,
}

/// Runs `swath retry`: requeues the selected trials. Without a selection, only failed trials; a
/// stopped trial must be selected, because stopping it was a decision and not an error.
pub(crate) fn run(args: &Args, context: &mut Context) -> Result<Code, Failure> {
    let selection = args.selection.read(context)?;
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
    let now = Timestamp::now();
    amend::amend(&selection.dir, &Machine::here().holder(now), now, |_| {
        retried
            .iter()
            .map(|trial| Event::requeued(*trial, "asked for by `swath retry`"))
            .collect()
    })?;
    let count = retried.len();
    context.out.say(format_args!(
        "{count} trial{} will run again",
        if count == 1 { "" } else { "s" }
    ));
    context
        .out
        .hint("`swath run` with the sweep file starts them first");
    Ok(Code::Done)
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
