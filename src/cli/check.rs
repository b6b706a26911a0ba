//! `swath check`: reports everything that a sweep file defines, without starting a trial.

use super::Context;
use super::exit::{Code, Failure};
use super::output::JSON_VERSION;
use super::sweeps::{Accepts, SweepArgs};
use crate::driver::prepare::prepared_folders;
use crate::executor::Launch;
use crate::journal::StudyDir;
use crate::report::text::plain;
use crate::run::{Options, WorkError, work_plan};
use crate::space::{Name, Params};
use crate::study::{Goal, Objective, TrialId};
use crate::sweep::units::{Bytes, HumanDuration};
use crate::sweep::{Acceptance, Preparation, PreparationPlan, Sweep, TrialBudget};
use serde_json::{Value, json};
use std::io::Write as _;
use std::path::Path;

/// Arguments of `swath check`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    sweep: SweepArgs,

    /// Refuse a sweep file that has warnings
    #[arg(long)]
    strict: bool,

    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// The number of random draws that estimate the acceptance rate of the constraints.
const DRAWS: u32 = 10_000;

/// Returns the preparations of a sweep as a run needs them.
fn plans(sweep: &Sweep) -> Vec<PreparationPlan> {
    let preparations = sweep.preparations.iter();
    preparations
        .map(|preparation| preparation.plan.clone())
        .collect()
}

/// Returns the name of a preparation and what makes its output another one.
fn describe_preparation(preparation: &Preparation) -> String {
    let plan = &preparation.plan;
    let inputs = plan.inputs.iter();
    let inputs = inputs.map(|input| format!("{{prepare.{input}}}"));
    let depends = plan.depends.iter().map(ToString::to_string);
    let depends: Vec<_> = depends.chain(inputs).collect();
    match depends.as_slice() {
        [] => format!("{}, once", plan.name),
        _ => format!("{}, once for each {}", plan.name, depends.join(", ")),
    }
}

/// Returns the files that stand in private working directories, in words.
fn describe_workdir(
    sweep: &Sweep,
    called: &Path,
    context: &Context,
) -> Result<Option<String>, WorkError> {
    let options = Options {
        logs: context.logs.clone(),
        workdir: called.to_owned(),
        ..Options::default()
    };
    let plan = work_plan(sweep, &options)?;
    Ok(plan.map(|plan| plan.summary()))
}

/// Runs `swath check`: prints a table, or one JSON document with `--json`.
pub(crate) fn run(args: &Args, context: &mut Context) -> Result<Code, Failure> {
    if args.json {
        return run_json(args, context);
    }
    let (sweep, workdir) = args.sweep.read(Accepts::Either, args.strict, context)?;
    let overview = Overview::of(&sweep, &workdir, context);
    if let Err(error) = &overview.workdir {
        return Err(Failure::usage(error.to_string()).hint(error.hint()));
    }
    for (label, text) in overview.rows(&sweep) {
        writeln!(context.out.stdout, "{label:<12} {}", plain(&text))?;
    }
    Ok(Code::Done)
}

fn run_json(args: &Args, context: &mut Context) -> Result<Code, Failure> {
    let located = args.sweep.read_quietly(Accepts::Either, context)?;
    let Ok(sweep) = &located.sweep else {
        let diagnostics = located.diagnostics();
        let document = json!({ "version": JSON_VERSION, "ok": false, "diagnostics": diagnostics });
        context.out.json(&document)?;
        return Ok(Code::Usage);
    };
    // A sweep file that `--strict` refuses is still described, with `ok` set to false.
    let overview = Overview::of(sweep, &located.workdir, context);
    let refused = args.strict && !sweep.warnings.list.is_empty() || overview.workdir.is_err();
    let diagnostics = located.diagnostics();
    context
        .out
        .json(&overview.json(sweep, !refused, &diagnostics))?;
    Ok(if refused { Code::Usage } else { Code::Done })
}

/// The properties of a sweep that `swath check` computes.
struct Overview {
    names: Vec<Name>,
    searched: usize,
    size: Option<u64>,
    acceptance: Acceptance,
    /// A configuration of the space, as an example for the command line.
    example: Params,
    command: Vec<String>,
    /// The private working directories of trials, in words; `None` if there are none.
    workdir: Result<Option<String>, WorkError>,
}

impl Overview {
    fn of(sweep: &Sweep, called: &Path, context: &Context) -> Self {
        let example = example(sweep);
        let dir = StudyDir::new(&context.logs, &sweep.name);
        let folder = dir.trial(TrialId(1));
        let launch = Launch {
            seed: sweep.seed,
            prepared: prepared_folders(&dir, &plans(sweep), &example),
            ..crate::sweep::launch(example.clone(), folder)
        };
        let command = crate::run::example_command(sweep, &launch, called);
        // The axes of one parameter are named `name[0]`, `name[1]` and so on, and count once.
        let mut searched: Vec<_> = sweep
            .space
            .axes()
            .iter()
            .map(|axis| axis.name.split('[').next().unwrap_or_default())
            .collect();
        searched.sort_unstable();
        searched.dedup();
        Self {
            searched: searched.len(),
            names: sweep.space.names(),
            size: sweep.space.size(),
            acceptance: Acceptance::measure(&sweep.space, sweep.seed, DRAWS),
            example,
            command,
            workdir: describe_workdir(sweep, called, context),
        }
    }

    fn rows(&self, sweep: &Sweep) -> Vec<(&'static str, String)> {
        let mut rows = vec![
            ("study", sweep.name.clone()),
            (
                "parameters",
                format!("{}, {} searched", self.names.len(), self.searched),
            ),
            ("space", self.space()),
        ];
        let trials = sweep.trials.map_or_else(
            || "no fixed number: until the grid or the time limit is used up".to_owned(),
            |n| n.to_string(),
        );
        rows.push(("trials", trials));
        if let Some(seeds) = sweep.replicate {
            let configurations = sweep.trials.map(|trials| trials / u64::from(seeds));
            let minimum = configurations.map_or_else(String::new, |count| {
                format!(": at least {count} configurations")
            });
            rows.push((
                "replicates",
                format!("{seeds} seeds each, which count as trials{minimum}"),
            ));
        }
        if !sweep.points.is_empty() {
            rows.push(("points", format!("{} to try first", sweep.points.len())));
        }
        rows.push(("sampler", sweep.sampler.name.clone()));
        rows.push(("scheduler", describe_scheduler(sweep)));
        rows.extend(
            sweep
                .objectives
                .iter()
                .map(|objective| ("objective", describe_objective(objective))),
        );
        rows.extend(
            sweep
                .outcome_limits
                .iter()
                .map(|limit| ("constraint", limit.to_string())),
        );
        rows.push((
            "executor",
            format!("{}, {} at a time", sweep.executor.name, sweep.slots()),
        ));
        if let Ok(Some(workdir)) = &self.workdir {
            rows.push(("workdir", workdir.clone()));
        }
        let limits = describe_limits(sweep);
        if !limits.is_empty() {
            rows.push(("limits", limits));
        }
        rows.extend(
            sweep
                .sources
                .iter()
                .map(|source| ("source", source.name.clone())),
        );
        rows.extend(
            sweep
                .trackers
                .iter()
                .map(|tracker| ("tracker", tracker.name.clone())),
        );
        rows.extend(
            sweep
                .preparations
                .iter()
                .map(|preparation| ("prepare", describe_preparation(preparation))),
        );
        rows.push((
            "command",
            match self.command.as_slice() {
                [] => "none: this file is for `swath ask-tell`; `swath run` needs `[run] command`"
                    .to_owned(),
                command => super::quote::line(command),
            },
        ));
        rows
    }

    fn space(&self) -> String {
        let size = match self.size {
            Some(1) => "1 configuration".to_owned(),
            Some(size) => format!("{size} configurations"),
            None => "a continuum".to_owned(),
        };
        match (
            &self.acceptance,
            self.acceptance.accepted == self.acceptance.draws,
        ) {
            (_, true) => size,
            (measured, _) if measured.whole => {
                format!("{size}, {} satisfy the constraints", measured.accepted)
            }
            (measured, _) => {
                format!(
                    "{size}, of which the constraints accept {:.2} %",
                    100.0 * measured.rate()
                )
            }
        }
    }

    fn json(&self, sweep: &Sweep, ok: bool, diagnostics: &Value) -> Value {
        let preparations: Vec<_> = sweep
            .preparations
            .iter()
            .map(|preparation| {
                let plan = &preparation.plan;
                json!({ "name": plan.name, "depends": plan.depends, "inputs": plan.inputs })
            })
            .collect();
        json!({
            "version": JSON_VERSION,
            "preparations": preparations,
            "ok": ok,
            "file": sweep.source.name,
            "study": sweep.name,
            "pipeline": sweep.pipeline,
            "stage": sweep.stage,
            "seed": sweep.seed,
            "parameters": self.names,
            "searched": self.searched,
            "size": self.size,
            "acceptance": self.acceptance.rate(),
            "trials": sweep.trials,
            "points": sweep.points,
            "sampler": sweep.sampler.name,
            "scheduler": sweep.scheduler.name,
            "objectives": sweep.objectives,
            "executor": sweep.executor.name,
            "slots": sweep.slots(),
            "sources": sweep.sources.iter().map(|source| &source.name).collect::<Vec<_>>(),
            "trackers": sweep.trackers.iter().map(|tracker| &tracker.name).collect::<Vec<_>>(),
            "example": { "params": self.example, "command": self.command },
            "diagnostics": diagnostics,
        })
    }
}

/// Returns an example configuration: the first point of the sweep file, or the defaults, completed
/// with the first of 1000 lattice points that satisfy the constraints. If none does, the first
/// completed point is returned.
fn example(sweep: &Sweep) -> Params {
    let fixed = sweep
        .points
        .first()
        .cloned()
        .unwrap_or_else(|| sweep.space.defaults());
    let dims = sweep.space.dims();
    let mut points = (0..1000)
        .map(|index| sweep.space.complete(&fixed, &lattice_point(index, dims)))
        .peekable();
    let first = points.peek().cloned().unwrap_or_default();
    points
        .find(|params| sweep.space.admits(params).is_ok())
        .unwrap_or(first)
}

/// Returns a point of a lattice in the unit cube. Multiples of the golden ratio cover each axis
/// evenly, so few points suffice.
fn lattice_point(index: u32, dims: usize) -> Vec<f64> {
    (0..dims)
        .map(|axis| (0.5 + f64::from(index) * 0.618_034 * (axis + 1) as f64).fract())
        .collect()
}

fn describe_objective(objective: &Objective) -> String {
    let goal = match objective.goal {
        Goal::Min => "smaller is better",
        Goal::Max => "larger is better",
    };
    format!(
        "{}, {goal}, {}",
        objective.metric,
        objective.take.describe()
    )
}

/// Returns the name of the scheduler, with what it chooses by itself.
fn describe_scheduler(sweep: &Sweep) -> String {
    let name = &sweep.scheduler.name;
    let plan = sweep.build(sweep.slots(), None).ok();
    match plan.as_ref().and_then(|plan| plan.scheduler.choice()) {
        Some(choice) => format!("{name}: {choice}"),
        None => name.clone(),
    }
}

fn describe_limits(sweep: &Sweep) -> String {
    let limits = &sweep.limits;
    let mut parts = Vec::new();
    parts.extend(
        limits
            .time
            .map(|time| format!("{} in all", HumanDuration(time))),
    );
    parts.extend(
        limits
            .trial_time
            .map(|time| format!("{} a trial", HumanDuration(time))),
    );
    parts.extend(limits.trial_budget.map(|budget| match budget {
        TrialBudget::Time(time) => format!("a budget of {} a trial", HumanDuration(time)),
        TrialBudget::Resource(most) => format!(
            "a budget of {} {most} a trial",
            sweep.resource.as_deref().unwrap_or_default()
        ),
    }));
    let spending = &sweep.spending;
    parts.extend(spending.cost.map(|cost| format!("a cost of {cost}")));
    parts.extend(spending.gpu_hours.map(|hours| format!("{hours} GPU hours")));
    parts.extend(
        limits
            .failures
            .map(|count| format!("{count} failed trials")),
    );
    parts.extend(
        limits
            .disk
            .map(|bytes| format!("{} free on disk", Bytes(bytes))),
    );
    parts.join(", ")
}
