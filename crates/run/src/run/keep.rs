//! The files that describe a run: the sweep file, the machine, the code. Earlier versions that
//! differ are kept beside the last one.

use super::{Options, RunError};
use crate::sweep::Sweep;
use std::fs::Permissions;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use swath_engine::journal::StudyDir;
use swath_engine::provenance::{Environment, Found, Git, Machine, variables};
use swath_model::study::Timestamp;

/// Writes `sweep.toml` (with secrets masked), `environment.json` and `code.patch`. Earlier contents
/// that differ are kept as `sweep.1.toml`, `environment.1.json`, `code.1.patch`… Beside the code,
/// trials may have a workdir of their own, relative to their folders. Returns the environment,
/// which is valid from the journal's entry `since` on.
pub(super) fn keep(
    dir: &StudyDir,
    sweep: &Sweep,
    options: &Options,
    machine: Machine,
    (git, own_workdir): (Option<Git>, Option<PathBuf>),
    since: u64,
) -> Result<Environment, RunError> {
    let sweep_text = sweep.stored_text();
    replace(
        &dir.sweep_toml(),
        |version| dir.sweep_version(version),
        sweep_text.as_bytes(),
    )?;
    let patch = git
        .as_ref()
        .map(|git| git.patch.as_slice())
        .unwrap_or_default();
    if patch.is_empty() {
        put_away(&dir.code_patch(), |version| dir.code_patch_version(version))?;
    } else {
        replace(
            &dir.code_patch(),
            |version| dir.code_patch_version(version),
            patch,
        )?;
    }
    let mut environment = Environment {
        own_workdir,
        ..environment(sweep, options, machine, git, since)
    };
    match read(dir) {
        // The results of the inquiry are not known yet: `complete` compares them later.
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

/// Adds the results of the inquiry to `environment.json`. If an earlier run had other results, its
/// file is kept as an earlier version.
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

/// Makes the folder of a study readable by its owner only, and creates it if it does not exist.
pub(super) fn make_private(dir: &StudyDir) -> Result<(), RunError> {
    let root = dir.root();
    let parent = root.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(parent)
        .and_then(|()| {
            // Created with this mode, the folder is never readable by others.
            match std::fs::DirBuilder::new().mode(0o700).create(root) {
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                    std::fs::set_permissions(root, Permissions::from_mode(0o700))
                }
                created => created,
            }
        })
        .map_err(|source| RunError::Keep {
            path: root.to_owned(),
            source,
        })
}

/// Returns the description of this run, without the results of the inquiry.
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
    // Joining an empty path leaves a slash at the end: collecting the components removes it.
    let trials_in = trials_in
        .components()
        .collect::<PathBuf>()
        .display()
        .to_string();
    Environment {
        swath: env!("CARGO_PKG_VERSION").to_owned(),
        since,
        at: Some(Timestamp::now()),
        command_line: variables::secrets(&sweep.run.env, &sweep.run.secret_env)
            .redact_args(&options.command_line),
        trials_in: Some(trials_in).filter(|path| *path != workdir),
        own_workdir: None,
        workdir,
        sweep_md5: sweep.digest.clone(),
        machine,
        git,
        variables: variables::recorded(),
        found: None,
    }
}

/// Returns the description of the last run, if there is a readable one.
fn read(dir: &StudyDir) -> Option<Environment> {
    serde_json::from_slice(&std::fs::read(dir.environment()).ok()?).ok()
}

/// Returns the contents of `environment.json`.
fn text(environment: &Environment) -> Vec<u8> {
    let mut text = serde_json::to_vec_pretty(environment).unwrap_or_default();
    text.push(b'\n');
    text
}

/// Writes a file. Earlier contents that differ are kept as its next earlier version.
fn replace(path: &Path, version: impl Fn(u32) -> PathBuf, bytes: &[u8]) -> Result<(), RunError> {
    match std::fs::read(path) {
        Ok(kept) if kept == bytes => return Ok(()),
        Ok(_) => put_away(path, version)?,
        Err(_) => {}
    }
    write(path, bytes)
}

/// Renames a file to its next free version number, if it exists.
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

/// Writes a file atomically, through a temporary file that is synced and renamed.
fn write(path: &Path, bytes: &[u8]) -> Result<(), RunError> {
    let folder = path.parent().map_or_else(PathBuf::new, Path::to_owned);
    let written = tempfile::Builder::new()
        // The mode of any new file; tempfile's default, 0600, would hide it from other readers.
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
