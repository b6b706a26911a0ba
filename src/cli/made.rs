//! The provenance section of `swath show`: code, command, machine and interpreter of a trial.

use super::exit::Failure;
use super::output::Output;
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
    let mut line = |name: &str, text: &dyn Display| -> Result<(), Failure> {
        let text = text.to_string();
        if text.is_empty() {
            return Ok(());
        }
        let name = out.paint.dim(&format!("{name:<10}"));
        Ok(writeln!(out.stdout, "  {name} {}", plain(&text))?)
    };
    line("run by", &environment.command_line.join(" "))?;
    line("in", &environment.trials_in())?;
    line("sweep file", &format!("md5 {}", made.header.sweep))?;
    line("code", &code(environment))?;
    if let Some(git) = &environment.git {
        line("origin", &git.remote.as_deref().unwrap_or_default())?;
        line("left out", &git.left_out.join(", "))?;
    }
    if let Some(md5) = &made.header.code_patch {
        let path = record
            .patches
            .get(md5)
            .map(|path| path.display().to_string());
        line(
            "changes",
            &path.unwrap_or_else(|| format!("lost: no patch with md5 {md5} is kept")),
        )?;
    }
    line("machine", &machine(environment))?;
    let Some(found) = &environment.found else {
        return Ok(());
    };
    for gpu in &found.gpus {
        let memory = gpu
            .memory
            .map(|bytes| format!(", {}", number::bytes(bytes)))
            .unwrap_or_default();
        let driver = gpu
            .driver
            .as_ref()
            .map(|driver| format!(", driver {driver}"))
            .unwrap_or_default();
        line("gpu", &format!("{}{memory}{driver}", gpu.name))?;
    }
    let pinned = |file: &Pinned| {
        format!(
            "{}  {}, md5 {}",
            file.name,
            number::bytes(file.size),
            file.md5
        )
    };
    for file in &found.files {
        line("file", &pinned(file))?;
    }
    for file in &found.locks {
        line("lock file", &pinned(file))?;
    }
    if let Some(python) = &found.python {
        let (count, kind) = (python.packages.len(), &python.environment);
        line(
            "python",
            &format!(
                "{} ({kind}, {count} packages)  {}",
                python.version, python.executable
            ),
        )?;
    }
    let steering = |(name, _): &(&String, &String)| {
        crate::provenance::variables::STEERING.contains(&name.as_str())
    };
    let variables: Vec<_> = environment.variables.iter().filter(steering).collect();
    line(
        "variables",
        &variables
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect::<Vec<_>>()
            .join(" "),
    )
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
        return "in no git repository".to_owned();
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
