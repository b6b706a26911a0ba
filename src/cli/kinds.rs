//! `swath kinds`: every sampler, scheduler, executor and tracker that a sweep file can name.

use super::Context;
use super::exit::{Code, Failure};
use super::output::JSON_VERSION;
use crate::executor::EXECUTORS;
use crate::report::table::{Column, Table, Tone};
use crate::sampler::SAMPLERS;
use crate::scheduler::SCHEDULERS;
use crate::tracker::TRACKERS;
use serde_json::json;

/// Arguments of `swath kinds`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Runs it.
pub(crate) fn run(args: &Args, context: &mut Context) -> Result<Code, Failure> {
    let kinds = kinds();
    let out = &mut context.out;
    if args.json {
        let rows: Vec<_> = kinds
            .iter()
            .map(|(part, name, about)| json!({ "part": part, "name": name, "about": about }))
            .collect();
        out.json(&json!({ "version": JSON_VERSION, "kinds": rows }))?;
        return Ok(Code::Done);
    }
    let mut table = Table::new(vec![Tone::Usual; kinds.len()]);
    let column =
        |title: &str, cell: fn(&(&str, &str, &str)) -> String| Column::texts(title, kinds.iter().map(cell));
    table.push(column("part", |kind| kind.0.to_owned()).keep());
    table.push(column("name", |kind| kind.1.to_owned()).keep());
    table.push(column("what it is", |kind| kind.2.to_owned()).keep());
    out.stdout.write_all(table.render(None, out.paint).text.as_bytes())?;
    Ok(Code::Done)
}

fn kinds() -> Vec<(&'static str, &'static str, &'static str)> {
    let samplers = SAMPLERS.iter().map(|kind| ("sampler", kind.name, kind.about));
    let schedulers = SCHEDULERS.iter().map(|kind| ("scheduler", kind.name, kind.about));
    let executors = EXECUTORS.iter().map(|kind| ("executor", kind.name, kind.about));
    let trackers = TRACKERS.iter().map(|kind| ("tracker", kind.name, kind.about));
    samplers.chain(schedulers).chain(executors).chain(trackers).collect()
}
