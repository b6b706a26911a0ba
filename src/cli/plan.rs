//! `swath plan SWEEP`: prints the trials that `run` would start next, without starting any.

use super::exit::{Code, Failure};
use super::output::JSON_VERSION;
use super::sweeps::{Accepts, SweepArgs};
use super::{Context, quote};
use crate::driver::prepare::Assignment;
use crate::journal::StudyDir;
use crate::report::number;
use crate::report::text::plain;
use crate::run::{Bound, Estimate, Options, Outlook, Planned};
use crate::study::kind::Capability;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::io::Write as _;

/// Arguments of `swath plan`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    sweep: SweepArgs,

    /// The number of trials to show
    #[arg(short = 'n', long, value_name = "N", default_value_t = 5)]
    count: u16,

    /// Also show the environment variables of each trial
    #[arg(long)]
    env: bool,

    /// Refuse a sweep file that has warnings
    #[arg(long)]
    strict: bool,

    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// Runs `swath plan`: prints up to `count` trials as text, or as one JSON document.
pub(crate) fn run(args: &Args, context: &mut Context) -> Result<Code, Failure> {
    let (sweep, workdir) = args.sweep.read(Accepts::Either, args.strict, context)?;
    // A sweep without a command is for `swath ask-tell`, which runs one trial at a time by default.
    let client_jobs = sweep
        .run
        .command
        .is_empty()
        .then(|| sweep.resources.jobs.unwrap_or(1));
    let options = Options {
        gpus: super::run::gpus(None),
        logs: context.logs.clone(),
        workdir,
        jobs: client_jobs,
        time: None,
        ..Options::default()
    };
    let Outlook {
        attempts: planned,
        estimate,
        bound,
    } = crate::run::plan(&sweep, &options, usize::from(args.count))?;
    if args.json {
        let trials: Vec<_> = planned.iter().map(document).collect();
        context.out.json(&json!({
            "version": JSON_VERSION,
            "study": sweep.name,
            "trials": trials,
            "estimate": estimate,
            "bound": bound,
        }))?;
        return Ok(Code::Done);
    }
    let dir = StudyDir::new(&context.logs, &sweep.name);
    let mut shown = BTreeSet::new();
    for trial in &planned {
        for assignment in &trial.needs {
            if shown.insert(&assignment.digest) {
                show_preparation(assignment, &dir, context)?;
            }
        }
        show(trial, args.env, context)?;
    }
    let slots = client_jobs.unwrap_or_else(|| sweep.slots());
    if planned.is_empty() {
        context.out.say("no trial is left to run");
    } else if planned.len() > slots && !sweep.sampler.can(Capability::Independent) {
        // Later proposals depend on the results of the first ones, unless the sampler proposes each
        // trial independently.
        context.out.hint(format_args!(
            "trials after the first {slots} depend on results, so they may differ from these"
        ));
    }
    if let Some(estimate) = estimate {
        context.out.say(outlook(&estimate, slots));
    } else if let Some(bound) = bound.filter(|bound| bound.trials > 0) {
        context.out.say(longest(&bound, slots));
    }
    Ok(Code::Done)
}

/// Prints a preparation before the first trial that needs it.
fn show_preparation(
    assignment: &Assignment,
    dir: &StudyDir,
    context: &mut Context,
) -> Result<(), Failure> {
    let is_there = match dir.prepared(&assignment.digest).exists() {
        true => ", is there",
        false => "",
    };
    let params = assignment.params.iter();
    let params = params.map(|(name, value)| format!("{name}={value}"));
    let (name, digest) = (&assignment.name, &assignment.digest);
    let out = &mut context.out.stdout;
    writeln!(out, "prepare {} ({digest}){is_there}", plain(name))?;
    let params = params.collect::<Vec<_>>().join("  ");
    if !params.is_empty() {
        writeln!(out, "  {}", plain(&params))?;
    }
    Ok(())
}

/// Returns what the rest of the sweep will take, as one line.
fn outlook(estimate: &Estimate, slots: usize) -> String {
    let each = format!(
        "the {} that ended took {} each on average",
        estimate.ended,
        number::seconds(estimate.seconds_per_trial)
    );
    let time = match (estimate.remaining, estimate.seconds) {
        (Some(0), _) => match estimate.ended_by {
            Some(key) => format!("`{key}` under [limits] leaves no further trial; {each}"),
            None => format!("no trial remains; {each}"),
        },
        (Some(remaining), Some(seconds)) => format!(
            "about {} for {remaining} more trials, {slots} at a time{}: {each}",
            number::seconds(seconds),
            match estimate.ended_by {
                Some(key) => format!(", then `{key}` under [limits] is used up"),
                None => String::new(),
            }
        ),
        _ => each,
    };
    let uses = [("cost", estimate.cost), ("GPU hours", estimate.gpu_hours)];
    let uses = uses.into_iter().filter_map(|(name, amount)| {
        let amount = amount?;
        let rest = amount.remaining.map_or_else(String::new, |rest| {
            format!(", about {} more", number::short(rest))
        });
        Some(format!(
            "; {name}: {} so far{rest}",
            number::short(amount.so_far)
        ))
    });
    time + &uses.collect::<String>()
}

/// Returns the most that the sweep takes before any of its trials has ended, as one line.
fn longest(bound: &Bound, slots: usize) -> String {
    let mut text = format!(
        "at most {} for {} trials, {slots} at a time, besides preparations and retries: \
         `{}` under [limits] allows each {}",
        number::seconds(bound.seconds),
        bound.trials,
        bound.key,
        number::seconds(bound.seconds_per_trial)
    );
    for (name, amount) in [("cost", bound.cost), ("GPU hours", bound.gpu_hours)] {
        if let Some(amount) = amount {
            text.push_str("; ");
            text.push_str(name);
            text.push_str(": at most ");
            text.push_str(&number::short(amount));
        }
    }
    text
}

fn show(planned: &Planned, env: bool, context: &mut Context) -> Result<(), Failure> {
    let launch = &planned.launch;
    let out = &mut context.out.stdout;
    let again = if launch.attempt.0 > 1 {
        format!(", attempt {}", launch.attempt)
    } else {
        String::new()
    };
    let until = launch
        .until
        .map(|until| format!(", until {until}"))
        .unwrap_or_default();
    writeln!(out, "trial {}{again}{until}", launch.trial)?;
    let params = launch
        .params
        .iter()
        .map(|(name, value)| format!("{name}={value}"));
    writeln!(out, "  {}", plain(&params.collect::<Vec<_>>().join("  ")))?;
    if !planned.command.is_empty() {
        writeln!(out, "  $ {}", plain(&quote::line(&planned.command)))?;
    }
    if env {
        for (name, value) in &planned.environment {
            writeln!(out, "  {}={}", plain(name), plain(value))?;
        }
    }
    Ok(())
}

fn document(planned: &Planned) -> Value {
    let launch = &planned.launch;
    let environment: Map<_, _> = planned
        .environment
        .iter()
        .map(|(name, value)| (name.clone(), json!(value)))
        .collect();
    json!({
        "trial": launch.trial,
        "attempt": launch.attempt,
        "params": launch.params,
        "seed": launch.seed,
        "until": launch.until,
        "resume": launch.resume,
        "command": planned.command,
        "environment": environment,
        "preparations": planned.needs.iter().map(|assignment| {
            let Assignment { name, digest, params, .. } = assignment;
            json!({ "name": name, "digest": digest, "params": params })
        }).collect::<Vec<_>>(),
    })
}
