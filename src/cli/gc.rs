//! `swath gc`: deletes files that a study no longer needs.

use super::exit::{Code, Failure};
use super::output::JSON_VERSION;
use super::{Context, studies};
use crate::cluster::pilot;
use crate::driver::gc::{self, Waste};
use crate::journal::{Lock, StudyDir};
use crate::provenance::Machine;
use crate::report::text::plain;
use crate::source::Source;
use crate::study::Timestamp;
use crate::study::kind::Capability;
use crate::sweep::units::Bytes;
use crate::sweep::{Keep, Sweep};
use serde_json::json;
use std::io::Write as _;

/// Arguments of `swath gc`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
        Removes checkpoints and private workdirs that `keep` in [run] of the sweep file does not \
        retain, held models other than the one that counts and the last one, and unfinished files \
        of crashed runs. With `--prepared` it also removes the outputs of preparations; they are \
        made again when a trial needs them. Never removes those of trials that may be resumed, or \
        with a model that the journal records and swath does not hold.")]
pub(crate) struct Args {
    /// The study (its name or folder; default: the one that ran last)
    study: Option<String>,

    /// Only show what would be removed
    #[arg(long)]
    dry_run: bool,

    /// The checkpoint policy, instead of the one in the sweep file: `best and last`
    #[arg(long, value_name = "POLICY", value_parser = Keep::parse)]
    keep: Option<Keep>,

    /// Also empty the trash, where `swath rm` puts trials
    #[arg(long)]
    trash: bool,

    /// Also delete the outputs of preparations, once no trial is left to run
    #[arg(long)]
    prepared: bool,

    /// Also remove `orphaned`, files of other studies found in the study's folder
    #[arg(long)]
    orphaned: bool,

    /// Write JSON
    #[arg(long)]
    json: bool,
}

/// Runs `swath gc`: deletes the files, or lists them with `--dry-run`. A file that cannot be
/// deleted is a warning, and the command ends with [`Code::Tool`].
pub(crate) fn run(args: &Args, context: &mut Context) -> Result<Code, Failure> {
    let dir = studies::named_or_latest(&context.logs, args.study.as_deref())?;
    // The lock is held until the end, so that no run starts while files are deleted.
    let _lock = match args.dry_run {
        true => None,
        false => Some(Lock::take(&dir, &Machine::here().holder(Timestamp::now()))?),
    };
    let study = pilot::settled(&dir)?;
    let (keep, clones) = policy(args, &dir, context);
    let mut removable = gc::waste(&dir, &study, keep, clones);
    removable.extend(gc::trash(&dir).filter(|_| args.trash));
    let orphaned = gc::orphaned(&dir);
    if let Some(orphaned) = orphaned.as_ref().filter(|_| !args.orphaned) {
        context.out.hint(plain(&format!(
            "`{}` ({}) has files of other studies that were in this folder; `--orphaned` removes it",
            orphaned.path.display(),
            rounded(orphaned.bytes)
        )));
    }
    removable.extend(orphaned.filter(|_| args.orphaned));
    if args.prepared {
        let outputs = gc::prepared(&dir, &study);
        if outputs.is_empty() && !study.preparations().is_empty() {
            context
                .out
                .say("outputs of preparations are kept while trials may need them");
        }
        removable.extend(outputs);
    }
    let mut freed = 0;
    let mut code = Code::Done;
    for waste in &removable {
        match if args.dry_run { Ok(()) } else { waste.remove() } {
            Ok(()) => {
                freed += waste.bytes;
                report(waste, args, context)?;
            }
            Err(error) => {
                code = Code::Tool;
                let text = format!("`{}` could not be removed: {error}", waste.path.display());
                context.out.warn(plain(&text));
            }
        }
    }
    if args.json {
        let rows: Vec<_> = removable
            .iter()
            .map(|waste| json!({ "path": waste.path.display().to_string(), "bytes": waste.bytes, "why": waste.why }))
            .collect();
        let document = json!({ "version": JSON_VERSION, "dry_run": args.dry_run, "freed": freed, "removed": rows });
        context.out.json(&document)?;
    }
    let outcome = if args.dry_run {
        "would be freed"
    } else {
        "freed"
    };
    context
        .out
        .say(format_args!("{} {outcome}", rounded(freed)));
    Ok(code)
}

fn report(waste: &Waste, args: &Args, context: &mut Context) -> Result<(), Failure> {
    if !args.json {
        let line = format!(
            "{:>10}  {}  ({})",
            rounded(waste.bytes).to_string(),
            waste.path.display(),
            waste.why
        );
        writeln!(context.out.stdout, "{}", plain(&line))?;
    }
    Ok(())
}

/// Returns the checkpoint policy, from the arguments or else from the study's sweep file, and
/// whether the scheduler clones trials. If the sweep file cannot be read, it is assumed to clone.
fn policy(args: &Args, dir: &StudyDir, context: &mut Context) -> (Keep, bool) {
    let text = std::fs::read_to_string(dir.sweep_toml()).unwrap_or_default();
    match Sweep::parse(Source {
        name: dir.sweep_toml().display().to_string(),
        text,
    }) {
        Ok(sweep) => (
            args.keep.unwrap_or(sweep.run.keep),
            sweep.scheduler.can(Capability::Clones),
        ),
        Err(_) => {
            if args.keep.is_none() {
                context
                    .out
                    .warn("the study's sweep file cannot be read, so all checkpoints are kept");
            }
            (args.keep.unwrap_or_default(), true)
        }
    }
}

/// Rounds a size down to whole KiB, MiB or GiB once it has at least two digits in that unit.
pub(super) fn rounded(bytes: u64) -> Bytes {
    let unit = [30, 20, 10]
        .into_iter()
        .find(|shift| bytes >= 10 << shift)
        .unwrap_or(0);
    Bytes(bytes >> unit << unit)
}
