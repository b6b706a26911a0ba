//! What a study keeps of the run that made it: the sweep file, the machine, the code.

use super::{Options, RunError};
use crate::journal::StudyDir;
use crate::provenance::{Environment, Git, Machine};
use crate::source::secret::masked;
use crate::sweep::Sweep;
use std::fs::Permissions;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Writes `sweep.toml` (without passwords; an earlier, different one is kept as `sweep.1.toml`…), `environment.json` and `code.patch`.
pub(super) fn keep(
    dir: &StudyDir,
    sweep: &Sweep,
    options: &Options,
    machine: Machine,
    git: Option<Git>,
) -> Result<(), RunError> {
    keep_sweep(dir, &masked(&sweep.source.text))?;
    if let Some(git) = git.as_ref().filter(|git| git.dirty) {
        write(&dir.code_patch(), &git.patch)?;
    }
    let environment = Environment {
        swath: env!("CARGO_PKG_VERSION").to_owned(),
        command_line: options.command_line.clone(),
        workdir: options.workdir.display().to_string(),
        machine,
        git,
    };
    let mut text = serde_json::to_vec_pretty(&environment).unwrap_or_default();
    text.push(b'\n');
    write(&dir.environment(), &text)
}

fn keep_sweep(dir: &StudyDir, text: &str) -> Result<(), RunError> {
    let path = dir.sweep_toml();
    match std::fs::read_to_string(&path) {
        Ok(kept) if kept == text => return Ok(()),
        Ok(kept) => {
            let free = (1..).map(|version| dir.sweep_version(version)).find(|path| !path.exists());
            write(&free.unwrap_or_else(|| dir.sweep_version(u32::MAX)), kept.as_bytes())?;
        }
        Err(_) => {}
    }
    write(&path, text.as_bytes())
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
    written.map(drop).map_err(|source| RunError::Keep { path: path.to_owned(), source })
}
