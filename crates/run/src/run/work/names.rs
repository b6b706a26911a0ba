//! Names of files and folders that say what they hold: data, output, code, settings.

use std::ffi::OsStr;
use std::path::Path;
use swath_engine::provenance::is_code;

/// Untracked folders and files that are linked: data, packages and builds, which programs read.
pub(super) const LINKED: [&str; 9] = [
    "data",
    "dataset",
    "datasets",
    ".venv",
    "venv",
    ".env",
    "env",
    "node_modules",
    "target",
];

/// Folders to which programs write. Untracked files in them are never placed by default.
const OUTPUTS: [&str; 24] = [
    "__pycache__",
    "artifacts",
    "build",
    "checkpoint",
    "checkpoints",
    "ckpt",
    "ckpts",
    "dist",
    "lightning_logs",
    "log",
    "logs",
    "mlruns",
    "multirun",
    "out",
    "output",
    "outputs",
    "results",
    "runs",
    "saved_models",
    "target",
    "tb_logs",
    "tensorboard",
    "tmp",
    "wandb",
];

/// Endings of files that people write beside code.
const SETTINGS: [&str; 8] = ["cfg", "conf", "csv", "ini", "tsv", "txt", "yaml", "yml"];

/// Returns whether a file is code or has an ending of [`SETTINGS`].
pub(super) fn is_written_by_people(path: &Path) -> bool {
    let ending = path.extension().and_then(OsStr::to_str).unwrap_or_default();
    is_code(path) || SETTINGS.contains(&ending)
}

/// Returns whether an untracked path lies in a folder to which programs write, or in a hidden one.
pub(super) fn is_output(path: &Path) -> bool {
    path.components().any(|component| {
        let name = component.as_os_str().to_string_lossy().to_lowercase();
        OUTPUTS.contains(&&*name) || name.starts_with('.') || name.ends_with(".egg-info")
    })
}

pub(super) fn is_hidden(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default();
    name.as_encoded_bytes().starts_with(b".")
}

/// Returns whether a path is of no interest to a user: caches and settings of tools.
pub(super) fn is_noise(path: &Path) -> bool {
    path.components()
        .any(|component| component.as_os_str() == "__pycache__")
        || is_hidden(path)
}
