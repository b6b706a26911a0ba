//! The provenance section of `swath show`: code, command, machine and interpreter of a trial.

use super::exit::Failure;
use super::output::Output;
use crate::provenance::variables::STEERING;
use crate::provenance::{Environment, Pinned, Record};
use crate::report::number;
use crate::report::text::plain;
use crate::study::TrialId;
use serde_json::{Value, json};
use std::fmt::Display;

/// Writes the provenance section. Writes nothing if the study has no record of the trial's
/// environment.
pub(super) fn show(out: &mut Output, record: &Record, trial: TrialId) -> Result<(), Failure> {
    let (Some(made), Some(environment)) = (record.made(trial), record.environment(trial)) else {
        return Ok(());
    };
    writeln!(out.stdout, "\n{}", out.paint.bold("provenance"))?;
    line(out, "run by", &environment.command_line.join(" "))?;
    line(out, "in", &environment.trials_in())?;
    line(out, "sweep file", &format!("md5 {}", made.header.sweep))?;
    line(out, "code", &code(environment))?;
    if let Some(git) = &environment.git {
        line(out, "origin", &git.remote.as_deref().unwrap_or_default())?;
        line(out, "left out", &git.left_out.join(", "))?;
    }
    if let Some(md5) = &made.header.code_patch {
        let path = record
            .patches
            .get(md5)
            .map(|path| path.display().to_string());
        line(
            out,
            "changes",
            &path.unwrap_or_else(|| format!("lost: there is no patch with md5 {md5}")),
        )?;
    }
    line(out, "machine", &machine(environment))?;
    let Some(probe) = &environment.found else {
        return Ok(());
    };
    for gpu in &probe.gpus {
        let memory = gpu
            .memory
            .map(|bytes| format!(", {}", number::bytes(bytes)))
            .unwrap_or_default();
        let driver = gpu
            .driver
            .as_ref()
            .map(|driver| format!(", driver {driver}"))
            .unwrap_or_default();
        line(out, "gpu", &format!("{}{memory}{driver}", gpu.name))?;
    }
    for file in &probe.files {
        line(out, "file", &pinned_file(file))?;
    }
    for file in &probe.locks {
        line(out, "lock file", &pinned_file(file))?;
    }
    if let Some(python) = &probe.python {
        let (count, kind) = (python.packages.len(), &python.environment);
        line(
            out,
            "python",
            &format!(
                "{} ({kind}, {count} packages)  {}",
                python.version, python.executable
            ),
        )?;
    }
    let variables = environment
        .variables
        .iter()
        .filter(|(name, _)| STEERING.contains(&name.as_str()));
    line(
        out,
        "variables",
        &variables
            .map(|(name, value)| format!("{name}={value}"))
            .collect::<Vec<_>>()
            .join(" "),
    )
}

/// Writes an indented line `name   text`. Writes nothing if the text is empty.
fn line(out: &mut Output, name: &str, text: &dyn Display) -> Result<(), Failure> {
    let text = text.to_string();
    if text.is_empty() {
        return Ok(());
    }
    let name = out.paint.dim(&format!("{name:<10}"));
    Ok(writeln!(out.stdout, "  {name} {}", plain(&text))?)
}

fn pinned_file(file: &Pinned) -> String {
    let size = number::bytes(file.size);
    format!("{}  {size}, md5 {}", file.name, file.md5)
}

/// Returns the provenance of a trial as JSON, or `None` if no record of it exists.
pub(super) fn json(record: &Record, trial: TrialId) -> Option<Value> {
    let made = record.made(trial)?;
    Some(json!({
        "sweep_md5": made.header.sweep, "git_commit": made.header.git_commit, "code_patch_md5": made.header.code_patch,
        "code_patch": made.header.code_patch.as_ref().and_then(|md5| record.patches.get(md5)?.to_str()),
        "environment": record.environment(trial),
    }))
}

fn code(environment: &Environment) -> String {
    let Some(git) = &environment.git else {
        return "not in a git repository".to_owned();
    };
    let branch = git
        .branch
        .as_ref()
        .map(|branch| format!(" on {branch}"))
        .unwrap_or_default();
    let dirty = if git.dirty {
        ", with uncommitted changes"
    } else {
        ""
    };
    format!("{}{branch}{dirty}", git.commit)
}

fn machine(environment: &Environment) -> String {
    let machine = &environment.machine;
    let cpu = machine.cpu.clone().unwrap_or_else(|| machine.arch.clone());
    let memory = machine
        .memory
        .map(|bytes| format!(", {}", number::bytes(bytes)))
        .unwrap_or_default();
    format!(
        "{}@{}, {}, {} × {cpu}{memory}",
        machine.user, machine.host, machine.os, machine.cpus
    )
}
