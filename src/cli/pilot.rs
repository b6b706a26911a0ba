//! `swath pilot`: the hidden process that runs trials inside a job of a batch system. The job
//! script starts it; users never do.

use super::exit::{Code, Failure};
use super::{Context, guard};
use crate::cluster::pilot::{self, JobSignals, PilotJob};
use crate::executor::Sources;
use crate::study::Setting;
use crate::sweep::Registry;
use std::path::PathBuf;

/// Arguments of `swath pilot`: the study's folder, the batch and the index of this pilot in it.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(long)]
    study: PathBuf,
    #[arg(long)]
    batch: String,
    #[arg(long, default_value_t = 0)]
    index: u32,
}

/// The variables in which batch systems pass the job id. The first one that is set is used.
const JOB_IDS: [&str; 8] = [
    "SLURM_ARRAY_JOB_ID",
    "SLURM_JOB_ID",
    "PBS_JOBID",
    "LSB_JOBID",
    "OAR_JOB_ID",
    "HQ_JOB_ID",
    "JOB_ID",
    "CONDOR_ID",
];

pub(super) fn run(args: &Args, context: &mut Context) -> Result<Code, Failure> {
    // All tasks of a Slurm array share one job id; the task number makes the id unique.
    let array = variable("SLURM_ARRAY_TASK_ID").map_or_else(String::new, |task| format!("_{task}"));
    let job = PilotJob {
        study: args.study.clone(),
        batch: args.batch.clone(),
        index: args.index,
        job: JOB_IDS
            .iter()
            .find_map(|name| variable(name))
            .map(|id| format!("{id}{array}")),
        node: variable("SLURMD_NODENAME"),
        began: variable("SWATH_JOB_BEGAN").and_then(|time| time.parse().ok()),
        ends: variable("SLURM_JOB_END_TIME").and_then(|time| time.parse().ok()),
    };
    let signals = JobSignals::on_signals()?;
    let ending = pilot::run(&job, guard::command(), build_sources, &signals)
        .map_err(|error| Failure::caused(Code::Tool, &error))?;
    context.out.say(format_args!("swath pilot ended: {ending}"));
    Ok(Code::Done)
}

/// Builds the sources of a sweep file, from the kinds that this program has.
fn build_sources(
    tables: &[String],
    setting: &Setting,
    output_decides: bool,
) -> Result<Sources, String> {
    Registry::standard().read_sources(tables, setting, output_decides)
}

/// Returns the value of an environment variable. An empty one counts as unset.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|text| !text.is_empty())
}
