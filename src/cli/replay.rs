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
    let dir = match &args.study {
        Some(word) => studies::named(&context.logs, word)?,
        None => studies::latest(&context.logs)?,
    };
    let found = recompute(&dir)?;
    if args.json {
        let differences: Vec<_> = found
            .differences
            .iter()
            .map(|one| json!({ "trial": one.trial, "recorded": one.recorded, "recomputed": one.recomputed }))
            .collect();
        context.out.json(&json!({
            "version": JSON_VERSION, "checked": found.checked, "given": found.given, "differences": differences,
        }))?;
    } else {
        tell(&found, context)?;
    }
    Ok(if found.differences.is_empty() {
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

fn tell(found: &Replayed, context: &mut Context) -> Result<(), Failure> {
    let out = &mut context.out;
    for one in &found.differences {
        writeln!(
            out.stdout,
            "trial {} differs\n  recorded    {}\n  recomputed  {}",
            one.trial, one.recorded, one.recomputed
        )?;
    }
    let same = found.checked - found.differences.len() as u64;
    writeln!(
        out.stdout,
        "{same} of {} proposals came out the same, bit for bit",
        found.checked
    )?;
    if found.given > 0 {
        out.say(format_args!(
            "{} trials were given, not proposed",
            found.given
        ));
    }
    if !found.differences.is_empty() {
        out.hint(
            "the journal, a kept sweep file or the sampler of this version of swath is not the one that ran",
        );
    }
    Ok(())
}
