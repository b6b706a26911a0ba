//! `swath why TRIAL`: why a trial is where it is, told from the journal.

use super::Context;
use super::exit::{Code, Failure};
use super::studies::Which;
use crate::driver::race::Race;
use crate::journal::Journal;
use crate::report::text::plain;
use crate::report::{number, summary};
use crate::study::{
    Closing, Event, Exit, LogRecord, Origin, Study, Timestamp, Trial, TrialId, TrialState, Verdict,
};
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
    let study = &found.study;
    let out = &mut context.out;
    writeln!(
        out.stdout,
        "trial {} is {}: {}",
        trial.id,
        trial.state.word(),
        plain(&reason(found.study.closed(), trial))
    )?;
    for broken in summary::broken(study, trial) {
        writeln!(out.stdout, "  it breaks an outcome constraint: {}", plain(&broken))?;
    }
    if let Some(line) = raced(study, study.head(trial.id)) {
        writeln!(out.stdout, "  {}", plain(&line))?;
    }
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
    let outside = match (trial.removed, trial.outside) {
        (true, _) => "; it was removed and counts for nothing (`swath rm --restore`)",
        (false, true) if trial.state == TrialState::Waiting => {
            return "it no longer fits the sweep file's space, so it is not started and counts for nothing"
                .to_owned();
        }
        (false, true) => "; it no longer fits the sweep file's space and counts for nothing",
        _ => "",
    };
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

/// Says how a configuration stands in the race, if it runs with several seeds.
fn raced(study: &Study, head: TrialId) -> Option<String> {
    let wanted = study.header().replicate? as usize;
    let standing = study.standing(head)?;
    let so_far = format!("{} of {wanted} seeds of configuration {head} are complete", standing.seeds);
    let race = Race::of(study).filter(|race| standing.seeds < wanted && race.drops(study, head));
    Some(match (race, standing.scores.first()) {
        (Some(race), Some(mean)) => format!(
            "{so_far}; it gets no more: its mean is worse than that of {} by {}, more than {} of noise",
            race.leader,
            number::short(mean - race.mean),
            number::short(race.margin(standing.seeds)),
        ),
        _ => so_far,
    })
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
