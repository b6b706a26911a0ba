//! `swath simulate SWEEP --from STUDY`: replays recorded learning curves under the scheduler of a
//! sweep, to show how much it would have saved.

use super::exit::{Code, Failure};
use super::output::{JSON_VERSION, Output};
use super::sweeps::{self, Accepts, SweepArgs};
use super::{Context, studies};
use crate::journal::Journal;
use crate::numerics::stream::{Purpose, stream};
use crate::report::number::{seconds, short};
use crate::scheduler::curves::{Collector, Recording};
use crate::scheduler::simulation::{Curve, Simulation};
use crate::source::Diagnostics;
use crate::study::kind::{Capability, find};
use crate::study::{Header, Metric, Objective, Study, Take, TrialId, TrialState};
use crate::sweep::Sweep;
use rand::RngExt;
use serde_json::json;
use std::path::{Path, PathBuf};

/// Arguments of `swath simulate`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    sweep: SweepArgs,

    /// The learning curves to replay: of a study (its name or folder), or of a CSV file with a row
    /// for each trial
    #[arg(long, value_name = "STUDY|FILE")]
    from: String,

    /// The number of trials that run at a time, instead of the sweep file's
    #[arg(long, short, value_name = "N")]
    jobs: Option<std::num::NonZeroUsize>,

    /// Also try this many random orders of the trials
    #[arg(long, value_name = "N", default_value_t = 20)]
    orders: u32,

    /// Also write the learning curves to this CSV file
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// The result of one simulated study.
#[derive(Debug, Clone, PartialEq)]
struct Outcome {
    /// The resource that all trials used together.
    resource: f64,
    seconds: f64,
    /// The best trial that ran to its end, with its objective.
    best: Option<(TrialId, f64)>,
    complete: u64,
    stopped: u64,
    paused: u64,
}

/// The input of a simulation, except for the order of the trials.
struct World<'a> {
    sweep: &'a Sweep,
    objective: &'a Objective,
    recording: &'a Recording,
    slots: usize,
}

/// Runs `swath simulate`: simulates the recorded order, and `--orders` random ones.
pub(crate) fn run(args: &Args, context: &mut Context) -> Result<Code, Failure> {
    let sweep = args.sweep.read(Accepts::Program, false, context)?.0;
    let recording = recording(&sweep, &args.from, context)?;
    let (resource, objective) = axes(&sweep)?;
    if let Some(path) = &args.save {
        std::fs::write(path, recording.table(4))?;
    }
    if sweep.scheduler.can(Capability::Clones) {
        return Err(clones_refused(&sweep));
    }
    if sweep.objectives.len() > 1 {
        let metric = &objective.metric;
        context.out.warn(format_args!(
            "simulated as if `{metric}` were the only objective"
        ));
    }
    let slots = args.jobs.map_or_else(|| sweep.slots(), usize::from);
    let world = World {
        sweep: &sweep,
        objective,
        recording: &recording,
        slots,
    };
    let order: Vec<usize> = (0..recording.curves.len()).collect();
    let comparison = Comparison {
        resource,
        recorded: world.recorded(),
        simulated: world.simulate(&order)?,
        others: (0..args.orders)
            .map(|number| world.simulate(&shuffled(&order, sweep.seed, number)))
            .collect::<Result<_, _>>()?,
        world,
    };
    if args.json {
        context.out.json(&comparison.json())?;
    } else {
        comparison.print(&mut context.out)?;
    }
    Ok(Code::Done)
}

/// Returns the failure for a scheduler that copies trials.
fn clones_refused(sweep: &Sweep) -> Failure {
    let schedulers = sweep.registry().schedulers().iter();
    let others: Vec<_> = schedulers
        .filter(|kind| !kind.can(Capability::Clones))
        .map(|kind| format!("`{}`", kind.name))
        .collect();
    Failure::usage("recorded curves cannot show what changed copies of trials would have done")
        .hint(format!("simulate works for {}", others.join(", ")))
}

/// The recorded study beside the simulated ones.
struct Comparison<'a> {
    world: World<'a>,
    resource: &'a str,
    recorded: Outcome,
    /// The outcome in the recorded order of the trials.
    simulated: Outcome,
    /// The outcomes in random orders.
    others: Vec<Outcome>,
}

impl Comparison<'_> {
    /// Returns the number of random orders in which the best trial survives.
    fn survivals(&self) -> usize {
        let others = self.others.iter();
        others
            .filter(|outcome| outcome.has_best_of(&self.recorded))
            .count()
    }

    /// Returns the mean share of the recorded resource over the random orders.
    fn mean_part(&self) -> f64 {
        let parts = self
            .others
            .iter()
            .map(|other| other.part_of(&self.recorded));
        parts.sum::<f64>() / self.others.len().max(1) as f64
    }

    fn json(&self) -> serde_json::Value {
        let (world, recording) = (&self.world, self.world.recording);
        json!({
            "version": JSON_VERSION,
            "scheduler": world.sweep.scheduler.name,
            "resource": self.resource,
            "metric": world.objective.metric,
            "slots": world.slots,
            "trials": recording.curves.len(),
            "left_out": recording.left_out,
            "recorded": self.recorded.json(),
            "simulated": self.simulated.json(),
            "survived": self.simulated.has_best_of(&self.recorded),
            "orders": {
                "tried": self.others.len(),
                "survived": self.survivals(),
                "mean_part": self.mean_part(),
            },
        })
    }

    fn print(&self, out: &mut Output) -> Result<(), Failure> {
        let (recorded, simulated) = (&self.recorded, &self.simulated);
        let (world, recording) = (&self.world, self.world.recording);
        let scheduler = &world.sweep.scheduler.name;
        let (trials, slots) = (recording.curves.len(), world.slots);
        let plural = if slots == 1 { "" } else { "s" };
        writeln!(
            out.stdout,
            "{scheduler} over {trials} recorded trials, {slots} slot{plural}"
        )?;
        if recording.left_out > 0 {
            out.warn(format_args!(
                "{} trials are left out because they did not run to their end",
                recording.left_out
            ));
        }
        let rows = [
            (
                format!("total {}", self.resource),
                short(recorded.resource),
                short(simulated.resource),
            ),
            (
                "time".to_owned(),
                seconds(recorded.seconds),
                seconds(simulated.seconds),
            ),
            (
                "complete".to_owned(),
                recorded.complete.to_string(),
                simulated.complete.to_string(),
            ),
            (
                format!("best {}", world.objective.metric),
                recorded.describe_best(),
                simulated.describe_best(),
            ),
        ];
        let first = width(rows.iter().map(|(name, ..)| name));
        let second = width(rows.iter().map(|(_, recorded, _)| recorded)).max("recorded".len());
        writeln!(
            out.stdout,
            "{:first$}  {:>second$}  {scheduler}",
            "", "recorded"
        )?;
        for (name, recorded, simulated) in &rows {
            writeln!(
                out.stdout,
                "{name:first$}  {recorded:>second$}  {simulated}"
            )?;
        }
        let fate = if simulated.has_best_of(recorded) {
            "survives"
        } else {
            "would have been stopped"
        };
        let part = percent(simulated.part_of(recorded));
        writeln!(out.stdout, "{part} spent; the best trial {fate}")?;
        if !self.others.is_empty() {
            writeln!(
                out.stdout,
                "in {} other orders: {} spent on average; it survives in {} of them",
                self.others.len(),
                percent(self.mean_part()),
                self.survivals()
            )?;
        }
        Ok(())
    }
}

impl Outcome {
    fn has_best_of(&self, recorded: &Self) -> bool {
        self.best.map(|(trial, _)| trial) == recorded.best.map(|(trial, _)| trial)
    }

    /// Returns the share of the recorded resource that this outcome used.
    fn part_of(&self, recorded: &Self) -> f64 {
        self.resource / recorded.resource.max(f64::MIN_POSITIVE)
    }

    fn describe_best(&self) -> String {
        match self.best {
            Some((trial, value)) => format!("{} (trial {trial})", short(value)),
            None => "none".to_owned(),
        }
    }

    fn json(&self) -> serde_json::Value {
        json!({
            "resource": self.resource,
            "seconds": self.seconds,
            "best": self.best.map(|(_, value)| value),
            "best_trial": self.best.map(|(trial, _)| trial.0),
            "complete": self.complete,
            "stopped": self.stopped,
            "paused": self.paused,
        })
    }
}

/// Returns the width of the widest text in characters.
fn width<'a>(texts: impl Iterator<Item = &'a String>) -> usize {
    texts.map(|text| text.chars().count()).max().unwrap_or(0)
}

fn percent(part: f64) -> String {
    format!("{:.1} %", part * 100.0)
}

/// Returns the resource and the objective of a sweep. Fails with a usage error if either is
/// missing.
fn axes(sweep: &Sweep) -> Result<(&str, &Objective), Failure> {
    let resource = sweep.resource.as_deref().ok_or_else(|| {
        Failure::usage("the sweep file does not name the reported key that counts the resource")
            .hint("name it: `resource = \"epoch\"` under `[scheduler]`")
    })?;
    let kind = find(sweep.registry().schedulers(), &sweep.scheduler.name);
    let has_metric = kind.is_some_and(|kind| kind.has_option("metric"));
    let mut section = sweep.scheduler.section.clone();
    let metric = has_metric
        .then(|| section.take_text("metric", &mut Diagnostics::default()))
        .flatten();
    let mut objectives = sweep.objectives.iter();
    let objective = match metric {
        Some((metric, _)) => objectives.find(|objective| *objective.metric == *metric),
        None => objectives.next(),
    };
    let objective = objective.or(sweep.objectives.first()).ok_or_else(|| {
        Failure::usage("the sweep file has no objective")
            .hint("`[objective]` names the metric to judge by")
    })?;
    Ok((resource, objective))
}

/// Reads the learning curves from a CSV file or from the journal of a study. Fails with a usage
/// error if there are none.
fn recording(sweep: &Sweep, from: &str, context: &Context) -> Result<Recording, Failure> {
    let (resource, objective) = axes(sweep)?;
    let path = Path::new(from);
    let recording = if path.is_file() {
        let text = std::fs::read_to_string(path)?;
        Recording::parse(&text).map_err(|error| {
            Failure::usage(format!(
                "`{}` cannot be read as learning curves: {error}",
                path.display()
            ))
        })?
    } else {
        let dir = studies::named(&context.logs, from)?;
        let mut collector = Collector::new(resource.into(), objective.metric.clone());
        let mut study = Study::default();
        for entry in Journal::open(&dir)? {
            let entry = entry?;
            if study.apply(&entry).is_err() {
                return Err(Failure::usage(format!(
                    "the journal of `{from}` is damaged at entry {}",
                    entry.seq
                )));
            }
            collector.observe(&entry);
        }
        collector.finish(&study)
    };
    if recording.curves.is_empty() {
        let what = format!(
            "no trial of `{from}` ran to its end and reported `{}` over `{resource}`",
            objective.metric
        );
        return Err(
            Failure::usage(what).hint("record some without a scheduler first: `name = \"fifo\"`")
        );
    }
    Ok(recording)
}

impl World<'_> {
    /// Returns the totals of the recorded trials, all of which ran to their end.
    fn recorded(&self) -> Outcome {
        let curves = self.recording.curves.iter();
        let slot_seconds = curves
            .clone()
            .map(|(_, curve)| length(curve) * curve.pace)
            .sum::<f64>();
        let scored = curves
            .clone()
            .filter_map(|(trial, curve)| Some((*trial, self.value(curve)?)));
        Outcome {
            // Assumes that all slots are busy all the time.
            seconds: slot_seconds / self.slots as f64,
            best: scored.min_by(|a, b| self.score(a.1).total_cmp(&self.score(b.1))),
            resource: curves.map(|(_, curve)| length(curve)).sum(),
            complete: self.recording.curves.len() as u64,
            stopped: 0,
            paused: 0,
        }
    }

    /// Returns the objective of a recorded trial, or `None` if no report has a usable value.
    fn value(&self, curve: &Curve) -> Option<f64> {
        let mut scores = curve
            .points
            .iter()
            .filter_map(|(_, value)| self.objective.score(*value));
        let score = match self.objective.take {
            Take::Best => scores.min_by(|a, b| a.get().total_cmp(&b.get())),
            Take::Last => scores.next_back(),
            averaging => {
                let values: Vec<_> = curve
                    .points
                    .iter()
                    .map(|(_, value)| Metric(*value))
                    .collect();
                return averaging.average(&values);
            }
        };
        score.map(|score| self.objective.value(score))
    }

    /// Returns a value as a score, of which smaller is better. A value without a score is the
    /// worst.
    fn score(&self, value: f64) -> f64 {
        self.objective
            .score(value)
            .map_or(f64::INFINITY, |score| score.get())
    }

    /// Simulates the trials in this order under the scheduler of the sweep.
    fn simulate(&self, order: &[usize]) -> Result<Outcome, Failure> {
        let colour = false;
        // The recording has one objective only, so the scheduler must judge by that alone.
        let mut sweep = self.sweep.clone();
        sweep.objectives = vec![self.objective.clone()];
        let plan = sweep
            .build(self.slots, None)
            .map_err(|rejected| sweeps::rejected(&rejected, colour))?;
        let curves: Vec<Curve> = order
            .iter()
            .map(|index| self.recording.curves[*index].1.clone())
            .collect();
        let header = Header {
            objectives: vec![self.objective.clone()],
            resource: self.sweep.resource.clone(),
            trials: Some(curves.len() as u64),
            ..Header::default()
        };
        let simulation = Simulation::new(header, plan.scheduler, self.slots, &curves)
            .map_err(|_| internal_error())?;
        let mut simulation = simulation.with_checkpoints(self.sweep.checkpoint);
        simulation.run(|_| false).map_err(|_| internal_error())?;
        if let Some(failure) = simulation.scheduler().failure() {
            return Err(failure.into());
        }
        let study = &simulation.study;
        let counts = study.counts();
        let best = study
            .incumbent()
            .filter(|trial| trial.state == TrialState::Complete)
            .and_then(|trial| {
                // Trials of the simulation are numbered by their place in `order`.
                let recorded = self.recording.curves[order[trial.id.0 as usize - 1]].0;
                Some((recorded, trial.objective(self.objective)?))
            });
        Ok(Outcome {
            resource: simulation.spent,
            seconds: simulation.seconds,
            best,
            complete: counts.complete,
            stopped: counts.stopped,
            paused: counts.paused,
        })
    }
}

/// Returns the resource at the end of a learning curve.
fn length(curve: &Curve) -> f64 {
    curve.points.last().map_or(0.0, |(resource, _)| *resource)
}

fn internal_error() -> Failure {
    Failure::tool("internal error: the scheduler requested an impossible step")
}

/// Returns a random permutation by the Fisher-Yates method. Its random stream depends on `seed` and
/// `number` only.
fn shuffled(order: &[usize], seed: u64, number: u32) -> Vec<usize> {
    let mut rng = stream(seed, Purpose::Simulate, u64::from(number));
    let mut order = order.to_vec();
    for index in (1..order.len()).rev() {
        order.swap(index, rng.random_range(0..=index));
    }
    order
}

#[cfg(test)]
mod tests {
    use super::{Args, SweepArgs, run};
    use crate::cli::Context;
    use crate::cli::exit::{Code, Failure};
    use crate::cli::output::captured;

    /// Nine trials; the last is the best, and is ahead from the start.
    const CURVES: &str = "trial,seconds,1,3,9
1,1,0.9,0.8,0.5\n2,1,0.8,0.7,0.6\n3,1,0.95,0.9,0.9\n4,1,1.5,1.5,1.5\n5,1,1.6,1.6,1.6\n6,1,1.7,1.7,1.7
7,1,1.8,1.8,1.8\n8,1,1.9,1.9,1.9\n9,1,0.1,0.1,0.05\n";

    fn simulate(scheduler: &str, curves: &str, json: bool) -> Result<String, Failure> {
        let folder = tempfile::tempdir().unwrap();
        let (sweep, from) = (
            folder.path().join("sweep.toml"),
            folder.path().join("curves.csv"),
        );
        let text = format!(
            "[run]\ncommand = [\"true\", \"{{args}}\"]\ncheckpoint = true\n[objective]\nmetric = \"loss\"\ngoal = \"min\"\n\
             [search]\ntrials = 9\nsampler = \"random\"\n[resources]\njobs = 1\n[scheduler]\n{scheduler}\n\
             [space]\nx = {{ min = 0.0, max = 1.0 }}\n"
        );
        std::fs::write(&sweep, text).unwrap();
        std::fs::write(&from, curves).unwrap();
        let (out, stdout, _) = captured::output(None);
        let mut context = Context {
            logs: folder.path().join("logs"),
            out,
        };
        let from = from.display().to_string();
        run(
            &Args {
                sweep: SweepArgs {
                    sweep,
                    overrides: Vec::new(),
                },
                from,
                jobs: None,
                orders: 3,
                save: None,
                json,
            },
            &mut context,
        )?;
        Ok(stdout.text())
    }

    fn stopped(scheduler: &str) -> u64 {
        let text = simulate(scheduler, CURVES, true).unwrap();
        let document: serde_json::Value = serde_json::from_str(&text).unwrap();
        document["simulated"]["stopped"].as_u64().unwrap()
    }

    fn refusal(scheduler: &str, curves: &str) -> String {
        let failure = simulate(scheduler, curves, false).unwrap_err();
        assert_eq!(failure.code, Code::Usage);
        failure.message
    }

    #[test]
    fn a_scheduler_without_the_option_metric_is_simulated_by_the_first_objective() {
        let program = format!(
            "name = \"program\"\nresource = \"epoch\"\n\
             command = [\"python3\", \"{}/examples/scheduler.py\", \"1.2\"]",
            env!("CARGO_MANIFEST_DIR")
        );
        assert_eq!(stopped("name = \"fifo\"\nresource = \"epoch\"\nmax = 9"), 0);
        assert!(stopped(&program) >= 5);
    }

    #[test]
    fn the_output_shows_the_saving_and_whether_the_best_trial_survives() {
        let stopping =
            "name = \"asha\"\nresource = \"epoch\"\nmin = 1\nmax = 9\nmode = \"stopping\"";
        let text = simulate(stopping, CURVES, false).unwrap();
        let expected = "asha over 9 recorded trials, 1 slot
                   recorded  asha
total epoch              81  33
time                 1m 21s  33s
complete                  9  3
best loss    0.05 (trial 9)  0.05 (trial 9)
40.7 % spent; the best trial survives
";
        assert!(text.starts_with(expected), "{text}");
    }

    #[test]
    fn the_json_output_has_the_same_numbers() {
        let promotion = "name = \"asha\"\nresource = \"epoch\"\nmin = 1\nmax = 9";
        let text = simulate(promotion, CURVES, true).unwrap();
        let document: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(document["recorded"]["resource"], 81.0);
        assert_eq!(document["simulated"]["resource"], 21.0, "{text}");
        assert_eq!(
            (&document["survived"], &document["orders"]["tried"]),
            (&true.into(), &3.into())
        );
    }

    #[test]
    fn a_sweep_that_cannot_be_simulated_is_refused_with_the_reason() {
        let asha = "name = \"asha\"\nresource = \"epoch\"\nmax = 9";
        assert!(
            refusal(asha, "trial,seconds,1\n1,1,x\n")
                .ends_with("line 2, column 3: `x` is not a number")
        );
        assert!(refusal(asha, "trial,seconds,1\n").contains("no trial of"));
        assert!(refusal("name = \"fifo\"", CURVES).contains("does not name the reported key"));
        let pbt = "name = \"pbt\"\nresource = \"epoch\"\nmax = 9";
        assert!(refusal(pbt, CURVES).contains("recorded curves cannot show"));
    }
}
