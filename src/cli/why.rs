//! `swath why TRIAL`: why a trial is where it is, told from the journal.

use super::Context;
use super::exit::{Code, Failure};
use super::studies::Which;
use crate::journal::Journal;
use crate::report::summary;
use crate::report::text::plain;
use crate::study::{Closing, Event, Exit, LogRecord, Origin, Timestamp, Trial, TrialState, Verdict};
use std::io::Write as _;

/// Arguments of `swath why`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) which: Which,
}

/// Runs it.
pub(crate) fn run(args: &Args, context: &mut Context) -> Result<Code, Failure> {
    let found = args.which.find(context)?;
    let trial = found.trial(|study| study.trials().last())?;
    let out = &mut context.out;
    writeln!(
        out.stdout,
        "trial {} is {}: {}",
        trial.id,
        trial.state.word(),
        plain(&reason(found.study.closed(), trial))
    )?;
    for entry in Journal::open(&found.dir)? {
        let entry = entry?;
        if let Some(line) = (entry.event.trial() == Some(trial.id)).then(|| told(&entry.event)).flatten() {
            writeln!(out.stdout, "  {}  {}", entry.at, plain(&line))?;
        }
    }
    Ok(Code::Done)
}

/// Says in one line why a trial is in its state.
fn reason(closed: Option<&Closing>, trial: &Trial) -> String {
    let outside =
        if trial.outside { "; it no longer fits the sweep file's space and counts for nothing" } else { "" };
    let why = || trial.why.clone().unwrap_or_else(|| "the scheduler said no more".to_owned());
    let text = match (&trial.state, &trial.exit) {
        (TrialState::Waiting, None) => "it waits for a slot; the next `swath run` starts it".to_owned(),
        (TrialState::Waiting, Some(exit)) if closed == Some(&Closing::CircuitBreaker) => format!(
            "its last attempt was {exit}, and {}; when the cause is mended, the next `swath run` starts another",
            summary::closing(&Closing::CircuitBreaker)
        ),
        (TrialState::Waiting, Some(exit))
            if trial.not_before.is_some_and(|until| until > Timestamp::now()) =>
        {
            let until = trial.not_before.map_or_else(String::new, |until| until.to_string());
            format!("its last attempt was {exit}; it starts again after {until}")
        }
        (TrialState::Waiting, Some(exit)) => {
            format!("its last attempt was {exit}; the next `swath run` starts another")
        }
        (TrialState::Running, _) => {
            format!("attempt {} runs, or did when its run was killed", trial.attempts)
        }
        (TrialState::Paused | TrialState::Stopped, _) => why(),
        (TrialState::Complete, _) => "it exited 0 and every objective was reported and finite".to_owned(),
        (TrialState::Failed, Some(exit)) => exit.to_string(),
        (TrialState::Failed, None) => "it failed".to_owned(),
    };
    format!("{text}{outside}")
}

/// Tells an event that decided something.
fn told(event: &Event) -> Option<String> {
    Some(match event {
        Event::Created { origin, .. } => match origin {
            Origin::Suggested(sampler) => format!("proposed by `{sampler}`"),
            Origin::Point(at) => format!("given as point {}", at + 1),
            Origin::Cloned { from, why, .. } => format!("cloned from trial {from}: {why}"),
            Origin::Replicate(of) => format!("trial {of} again, with another seed"),
            Origin::Imported(from) => format!("imported from {from}"),
            Origin::Added => "added by hand".to_owned(),
        },
        Event::Started { attempt, until, resume, .. } => {
            let until = until.map(|until| format!(", until {until}")).unwrap_or_default();
            format!("attempt {attempt} started{}{until}", if *resume { " from its checkpoint" } else { "" })
        }
        Event::Judged { verdict, why, .. } => {
            let word = match verdict {
                Verdict::Continue => "goes on",
                Verdict::Pause => "is paused",
                Verdict::Stop => "is stopped",
            };
            format!("{word}: {why}")
        }
        Event::Ended { attempt, exit, .. } => match exit {
            Exit::Done => format!("attempt {attempt} ended by itself with status 0"),
            other => format!("attempt {attempt} ended: {other}"),
        },
        Event::Requeued { why, not_before, .. } => {
            let until = not_before.map_or_else(String::new, |until| format!(" until {until}"));
            format!("waits again{until}: {why}")
        }
        Event::Logged { record: LogRecord::Warning { text }, .. } => format!("warning: {text}"),
        _ => return None,
    })
}
