//! `swath rerun`: runs configurations of a study again with further seeds, and compares them.

use super::compare;
use super::exit::{Code, Failure};
use super::output::Output;
use super::progress::{Progress, Style};
use super::sweeps::{Accepts, SweepArgs};
use super::{Context, guard, quote};
use crate::driver::Interrupt;
use crate::report::select::Selector;
use crate::report::text::plain;
use crate::run::{Options, SetupEnd};
use crate::study::{Origin, Study, TrialId};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Run configurations again with further seeds, in the same study, and compare them
#[derive(Debug, clap::Args)]
#[command(after_help = "\
        The further trials do not count towards `trials`. The n-th further trial of every \
        configuration has the same seed, and the comparison at the end is one of these trials \
        alone: a configuration that was chosen for its result would look better than it is. The \
        program takes its seed from SWATH_SEED.")]
pub(crate) struct Args {
    /// The study, or its sweep file
    #[arg(value_name = "STUDY|SWEEP")]
    study: PathBuf,

    /// The trials whose configurations are run: `best:3`, `12`, `3-9`…
    #[arg(value_name = "TRIALS", default_value = "best:3")]
    trials: String,

    /// The number of further seeds of each configuration
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    seeds: u32,

    /// The number of trials to run at a time, instead of the sweep file's
    #[arg(long, short, value_name = "N")]
    jobs: Option<std::num::NonZeroUsize>,

    /// Show failures, the summary and the comparison only
    #[arg(long, short)]
    quiet: bool,
}

/// Runs `swath rerun`.
pub(crate) fn run(args: &Args, context: &mut Context) -> Result<Code, Failure> {
    let named = SweepArgs {
        sweep: args.study.clone(),
        overrides: Vec::new(),
    };
    let (sweep, workdir) = named.read(Accepts::Program, false, context)?;
    let options = Options {
        logs: context.logs.clone(),
        workdir,
        jobs: args.jobs.map(usize::from),
        gpus: super::run::gpus(None),
        only_reruns: true,
        command_line: std::env::args().collect(),
        ..Options::default()
    };
    let mut opened = crate::run::open(&sweep, options)?;
    let configurations = configurations(opened.study(), &args.trials)?;
    let interrupt = Interrupt::on_signals()?;
    interrupt.halt_on_signals()?;
    if opened.setup(guard::command(), &interrupt)? == SetupEnd::Interrupted {
        context
            .out
            .say("interrupted during `[run] setup`, before any trial started");
        return Ok(super::run::interrupted(&interrupt));
    }
    if let Some(name) = sweep.fixed_seed() {
        context.out.warn(format_args!(
            "`{name}` is a constant of [space], so the further trials have the same seed, unless \
             the program takes it from SWATH_SEED; in a new study, leave it out there and write \
             \"--{name}={{seed}}\" in `command`"
        ));
    }
    opened.rerun(&configurations, args.seeds)?;
    let style = match args.quiet {
        true => Style::Quiet,
        false => Style::Human,
    };
    let dir = opened.dir().clone();
    let progress = Progress::new(
        style,
        dir.clone(),
        Output::of_process(),
        opened.study(),
        opened.secrets().clone(),
    );
    let code = super::run::carry_out(
        &mut opened,
        &interrupt,
        progress,
        &resume_command(&args.study),
    )?;
    drop(opened);
    if code != Code::Done {
        return Ok(code);
    }
    compare::run(&comparison(dir.root(), &configurations), context)
}

/// Returns the first trials of the selected configurations, in the order of the selection.
fn configurations(study: &Study, text: &str) -> Result<Vec<TrialId>, Failure> {
    let mut taken = BTreeSet::new();
    let mut configurations = Vec::new();
    for trial in Selector::parse(text)?.select(study)? {
        if let Origin::Cloned { from, .. } = trial.origin {
            return Err(Failure::usage(format!(
                "trial {} began with a checkpoint of trial {from}, so its parameters alone do not repeat it",
                trial.id
            )));
        }
        let first = study.configuration(trial.id);
        if taken.insert(first) {
            configurations.push(first);
        }
    }
    if configurations.is_empty() {
        let name = plain(&study.header().name).into_owned();
        return Err(Failure::usage(format!("`{name}` has no such trial"))
            .hint(format!("`swath ls {name}` lists its trials")));
    }
    Ok(configurations)
}

/// Returns the command that runs the further trials which are left after an interruption.
fn resume_command(sweep: &Path) -> String {
    quote::line(&[
        "swath".to_owned(),
        "run".to_owned(),
        sweep.display().to_string(),
    ])
}

/// Returns the comparison of the further trials of configurations.
fn comparison(dir: &Path, configurations: &[TrialId]) -> compare::Args {
    let of_these = configurations
        .iter()
        .map(|id| format!("configuration == {id}"))
        .collect::<Vec<_>>()
        .join(" or ");
    compare::Args {
        sources: vec![dir.display().to_string()],
        condition: Some(format!("origin == 'rerun' and ({of_these})")),
        pair: "seed".to_owned(),
        test: "t".to_owned(),
        interval: "t".to_owned(),
        ..compare::Args::default()
    }
}
