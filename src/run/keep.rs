//! What a study keeps of the run that made it: the sweep file, the machine, the code. Earlier,
//! different versions stay beside the last one.

use super::{Options, RunError};
use crate::journal::StudyDir;
use crate::provenance::{Environment, Found, Git, Machine, variables};
use crate::source::secret::masked;
use crate::study::Timestamp;
use crate::sweep::Sweep;
use std::fs::Permissions;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Writes `sweep.toml` (without passwords), `environment.json` and `code.patch`; what they held
/// before and is different is kept as `sweep.1.toml`, `environment.1.json`, `code.1.patch`… Returns
/// the environment, which holds from the journal's entry `since` on.
pub(super) fn keep(
    dir: &StudyDir,
    sweep: &Sweep,
    options: &Options,
    machine: Machine,
    git: Option<Git>,
    since: u64,
) -> Result<Environment, RunError> {
    let sweep_text = masked(&sweep.source.text);
    replace(
        &dir.sweep_toml(),
        |version| dir.sweep_version(version),
        sweep_text.as_bytes(),
    )?;
    let patch = git
        .as_ref()
        .map(|git| git.patch.as_slice())
        .unwrap_or_default();
    let earlier_patch = |version| dir.code_patch_version(version);
    if patch.is_empty() {
        put_away(&dir.code_patch(), earlier_patch)?;
    } else {
        replace(&dir.code_patch(), earlier_patch, patch)?;
    }
    let mut environment = environment(sweep, options, machine, git, since);
    match read(dir) {
        // What is found out beside the trials is compared when it is known.
        Some(kept)
            if kept.is_same(&Environment {
                found: kept.found.clone(),
                ..environment.clone()
            }) =>
        {
            Ok(kept)
        }
        kept => {
            if kept.is_some() {
                put_away(&dir.environment(), |version| {
                    dir.environment_version(version)
                })?;
            }
            environment.found = None;
            write(&dir.environment(), &text(&environment))?;
            Ok(environment)
        }
    }
}

/// Adds what was found out beside the trials. An environment of an earlier run that held something
/// else stays as it was.
pub(super) fn complete(
    dir: &StudyDir,
    environment: &Environment,
    found: Found,
    since: u64,
) -> Result<(), RunError> {
    if environment.found.as_ref() == Some(&found) {
        return Ok(());
    }
    let mut now = Environment {
        found: Some(found),
        ..environment.clone()
    };
    if environment.found.is_some() {
        put_away(&dir.environment(), |version| {
            dir.environment_version(version)
        })?;
        (now.since, now.at) = (since, Some(Timestamp::now()));
    }
    write(&dir.environment(), &text(&now))
}

fn environment(
    sweep: &Sweep,
    options: &Options,
    machine: Machine,
    git: Option<Git>,
    since: u64,
) -> Environment {
    let workdir = options.workdir.display().to_string();
    let trials_in = options
        .workdir
        .join(sweep.run.workdir.clone().unwrap_or_default());
    // Joining nothing leaves a slash.
    let trials_in = trials_in
        .components()
        .collect::<PathBuf>()
        .display()
        .to_string();
    Environment {
        swath: env!("CARGO_PKG_VERSION").to_owned(),
        since,
        at: Some(Timestamp::now()),
        command_line: options
            .command_line
            .iter()
            .map(|word| masked(word).into_owned())
            .collect(),
        trials_in: Some(trials_in).filter(|path| *path != workdir),
        workdir,
        sweep_md5: sweep.digest.clone(),
        machine,
        git,
        variables: variables::recorded(),
        found: None,
    }
}

fn read(dir: &StudyDir) -> Option<Environment> {
    serde_json::from_slice(&std::fs::read(dir.environment()).ok()?).ok()
}

fn text(environment: &Environment) -> Vec<u8> {
    let mut text = serde_json::to_vec_pretty(environment).unwrap_or_default();
    text.push(b'\n');
    text
}

/// Writes a file; what it held before, if that was something else, is kept as its next earlier
/// version.
fn replace(path: &Path, version: impl Fn(u32) -> PathBuf, bytes: &[u8]) -> Result<(), RunError> {
    match std::fs::read(path) {
        Ok(kept) if kept == bytes => return Ok(()),
        Ok(_) => put_away(path, version)?,
        Err(_) => {}
    }
    write(path, bytes)
}

/// Makes a file its own next earlier version, if it is there.
fn put_away(path: &Path, version: impl Fn(u32) -> PathBuf) -> Result<(), RunError> {
    let free = (1..u32::MAX).map(version).find(|path| !path.exists());
    match free.map(|free| std::fs::rename(path, free)) {
        Some(Err(source)) if source.kind() != std::io::ErrorKind::NotFound => Err(RunError::Keep {
            path: path.to_owned(),
            source,
        }),
        _ => Ok(()),
    }
}

/// Writes a file so that it is there whole or not at all.
fn write(path: &Path, bytes: &[u8]) -> Result<(), RunError> {
    let folder = path.parent().map_or_else(PathBuf::new, Path::to_owned);
    let written = tempfile::Builder::new()
        .permissions(Permissions::from_mode(0o666))
        .tempfile_in(folder)
        .and_then(|mut file| {
            file.write_all(bytes)?;
            file.as_file().sync_all()?;
            file.persist(path).map_err(std::io::Error::from)
        });
    written.map(drop).map_err(|source| RunError::Keep {
        path: path.to_owned(),
        source,
    })
}
