//! `swath replay [STUDY]`: recomputes every proposal of a study from its journal, and compares the
//! results bit for bit.

use super::exit::{Code, Failure};
use super::output::JSON_VERSION;
use super::{Context, studies};
use crate::driver::replay::{ReplayError, Replayed, replay};
use crate::journal::StudyDir;
use crate::run::{VersionError, Versions};
use crate::sweep::Registry;
use serde_json::json;
use std::io::Write as _;

/// Arguments of `swath replay`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The study (its name or folder; default: the one that ran last)
    study: Option<String>,

    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// Runs `swath replay`: returns [`Code::Difference`] if any proposal differs.
pub(crate) fn run(args: &Args, context: &mut Context) -> Result<Code, Failure> {
    let dir = studies::named_or_latest(&context.logs, args.study.as_deref())?;
    let replayed = recompute(&dir)?;
    if args.json {
        let differences: Vec<_> = replayed
            .differences
            .iter()
            .map(|difference| json!({ "trial": difference.trial, "recorded": difference.recorded, "recomputed": difference.recomputed }))
            .collect();
        context.out.json(&json!({
            "version": JSON_VERSION, "checked": replayed.checked, "given": replayed.given, "differences": differences,
        }))?;
    } else {
        print(&replayed, context)?;
    }
    Ok(if replayed.differences.is_empty() {
        Code::Done
    } else {
        Code::Difference
    })
}

fn recompute(dir: &StudyDir) -> Result<Replayed, Failure> {
    let versions = Versions::of(&Registry::standard(), dir);
    replay(dir, |header| versions.parts(header)).map_err(|error| match error {
        ReplayError::Journal(journal) => journal.into(),
        ReplayError::Build(VersionError::Rejected(rejected)) => {
            super::sweeps::rejected(&rejected, false)
        }
        ReplayError::Search(failure) => failure.into(),
        other => Failure::caused(Code::Tool, &other),
    })
}

fn print(replayed: &Replayed, context: &mut Context) -> Result<(), Failure> {
    let out = &mut context.out;
    for difference in &replayed.differences {
        writeln!(
            out.stdout,
            "trial {} differs\n  recorded    {}\n  recomputed  {}",
            difference.trial, difference.recorded, difference.recomputed
        )?;
    }
    let identical = replayed.checked - replayed.differences.len() as u64;
    writeln!(
        out.stdout,
        "{identical} of {} proposals are identical, bit for bit",
        replayed.checked
    )?;
    if replayed.given > 0 {
        out.say(format_args!(
            "{} trials did not come from the sampler",
            replayed.given
        ));
    }
    if !replayed.differences.is_empty() {
        out.hint(
            "the journal, a kept sweep file, or the sampler in this version of swath differs from the one that ran",
        );
    }
    Ok(())
}
