//! `swath doctor [STUDY]`: reports the limits this machine can enforce and the health of a study,
//! and salvages a damaged journal.

use super::exit::{Code, Failure};
use super::output::JSON_VERSION;
use super::{Context, studies};
use crate::journal::{self, Lock, Salvaged, StudyDir};
use crate::provenance::Machine;
use crate::provenance::probe::{self, Finding, State};
use crate::report::text::plain;
use crate::run::{checkup, header};
use crate::source::Source;
use crate::study::{Header, Timestamp};
use crate::sweep::Sweep;
use serde_json::json;
use std::io::Write as _;

/// Arguments of `swath doctor`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Without a study, only the machine is checked. Exit code 6: a check failed."
)]
pub(crate) struct Args {
    /// The study (its name or folder)
    study: Option<String>,

    /// Rebuild the study's journal from its valid entries, and keep the damaged journal beside it
    #[arg(long, requires = "study")]
    salvage: bool,

    /// Write JSON
    #[arg(long)]
    json: bool,
}

/// Runs `swath doctor`: returns [`Code::Difference`] if any finding is bad.
pub(crate) fn run(args: &Args, context: &mut Context) -> Result<Code, Failure> {
    let dir = args
        .study
        .as_ref()
        .map(|word| studies::named(&context.logs, word))
        .transpose()?;
    let salvaged = match &dir {
        Some(dir) if args.salvage => Some(salvage(dir)?),
        _ => None,
    };
    // A salvage is about the journal, so the report on the machine is left out.
    let machine = if args.salvage {
        Vec::new()
    } else {
        probe::machine(&context.logs)
    };
    let study = dir.as_ref().map(checkup);
    if args.json {
        let document = json!({
            "version": JSON_VERSION,
            "machine": machine,
            "study": study,
            "salvaged": salvaged.as_ref().map(salvage_json),
        });
        context.out.json(&document)?;
    } else {
        if let Some(salvaged) = &salvaged {
            report_salvage(salvaged, context)?;
        }
        show(&machine, context)?;
        if let (Some(dir), Some(findings)) = (&dir, &study) {
            let separator = if machine.is_empty() { "" } else { "\n" };
            writeln!(
                context.out.stdout,
                "{separator}{}",
                plain(&dir.root().display().to_string())
            )?;
            show(findings, context)?;
        }
    }
    let has_failed = machine
        .iter()
        .chain(study.iter().flatten())
        .any(|finding| finding.state == State::Bad);
    Ok(if has_failed {
        Code::Difference
    } else {
        Code::Done
    })
}

fn show(findings: &[Finding], context: &mut Context) -> Result<(), Failure> {
    let width = findings
        .iter()
        .map(|finding| finding.what.len())
        .max()
        .unwrap_or(0);
    let out = &mut context.out;
    for Finding { what, state, says } in findings {
        let mark = match state {
            State::Good => out.paint.green("ok"),
            State::Without => out.paint.dim("--"),
            State::Bad => out.paint.red("!!"),
        };
        writeln!(out.stdout, "{mark}  {what:width$}  {}", plain(says))?;
    }
    Ok(())
}

fn salvage(dir: &StudyDir) -> Result<Salvaged, Failure> {
    let _lock = Lock::take(dir, &Machine::here().holder(Timestamp::now()))?;
    Ok(journal::salvage(dir, from_sweep(dir))?)
}

/// Returns the header that the first line of the journal must have contained, from the study's
/// sweep file. If that file cannot be parsed, the header carries the folder's name only.
fn from_sweep(dir: &StudyDir) -> Header {
    let text = std::fs::read_to_string(dir.sweep_toml()).unwrap_or_default();
    let source = Source {
        name: dir.sweep_toml().display().to_string(),
        text,
    };
    match Sweep::parse(source) {
        Ok(sweep) => header(&sweep, None, sweep.slots()),
        Err(_) => Header {
            name: dir
                .root()
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned(),
            ..Header::default()
        },
    }
}

fn report_salvage(salvaged: &Salvaged, context: &mut Context) -> Result<(), Failure> {
    let out = &mut context.out;
    if let Some(short) = &salvaged.short {
        writeln!(out.stdout, "{short}")?;
        writeln!(
            out.stdout,
            "{} entries were kept, and the study goes on from them",
            salvaged.kept
        )?;
    }
    let Some(backup) = &salvaged.backup else {
        if salvaged.short.is_some() {
            return Ok(());
        }
        out.say(format_args!(
            "the journal is intact: all {} entries are valid",
            salvaged.kept
        ));
        return Ok(());
    };
    writeln!(out.stdout, "{} entries were kept", salvaged.kept)?;
    for (line, why) in &salvaged.dropped {
        writeln!(out.stdout, "line {line} was dropped: {}", plain(why))?;
    }
    for entry in &salvaged.filled {
        writeln!(out.stdout, "added to fill a gap: {}", plain(entry))?;
    }
    out.say(format_args!(
        "the damaged journal is now `{}`",
        plain(&backup.display().to_string())
    ));
    Ok(())
}

fn salvage_json(salvaged: &Salvaged) -> serde_json::Value {
    let dropped: Vec<_> = salvaged
        .dropped
        .iter()
        .map(|(line, why)| json!({ "line": line, "why": why }))
        .collect();
    json!({
        "kept": salvaged.kept,
        "dropped": dropped,
        "filled": salvaged.filled,
        "missing": salvaged.short.map(|short| short.expected.saturating_sub(short.present)),
        "backup": salvaged.backup.as_ref().map(|path| path.display().to_string()),
    })
}
