//! `swath stop [STUDY]`: asks the process that runs a study to end, also from another terminal or
//! machine.

use super::exit::{Code, Failure};
use super::{Context, studies};
use crate::driver::{Control, Urgency};
use crate::journal::lock;

/// Arguments of `swath stop`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The study (its name or folder; default: the one that ran last)
    study: Option<String>,

    /// Start no more trials, and let the running ones end by themselves
    #[arg(long, conflicts_with = "now")]
    drain: bool,

    /// Kill the running trials at once
    #[arg(long)]
    now: bool,

    /// Change the number of trials that run at a time, instead of stopping the run
    #[arg(long, value_name = "N", conflicts_with_all = ["drain", "now"])]
    jobs: Option<std::num::NonZeroUsize>,
}

/// Runs `swath stop`: writes a control message to the study's folder. Fails with a usage error if
/// no process holds the study.
pub(crate) fn run(args: &Args, context: &mut Context) -> Result<Code, Failure> {
    let dir = match &args.study {
        Some(word) => studies::named(&context.logs, word)?,
        None => studies::latest(&context.logs)?,
    };
    let shown = dir.root().display().to_string();
    let Some(holder) = lock::holder(&dir) else {
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
    .send(&dir)
    .map_err(|error| Failure::caused(Code::Tool, &error))?;
    context.out.say(format_args!(
        "asked process {} on {} to {request}",
        holder.pid, holder.host
    ));
    Ok(Code::Done)
}
