//! Reads a sweep file from disk: what is no readable text is refused with the reason.

use super::{Registry, Rejected, Sweep};
use crate::source::diagnostic::nearest;
use crate::source::{Diagnostic, Diagnostics, LARGEST, Source};
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// What some editors put at the start of a UTF-8 file.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

impl Sweep {
    /// Reads and checks a sweep file that runs a program.
    ///
    /// # Errors
    /// Everything that is wrong with it, also that it cannot be read.
    pub fn read(path: &Path) -> Result<Self, Rejected> {
        Registry::standard().read(path)
    }

    /// Reads and checks a sweep file whose trials are calls of a function: `[run] command` may be
    /// absent.
    ///
    /// # Errors
    /// Everything that is wrong with it, also that it cannot be read.
    pub fn read_for_function(path: &Path) -> Result<Self, Rejected> {
        Registry::standard().read_for_function(path)
    }

    /// Reads and checks a sweep file that runs a program, or has no `[run]` and is meant for
    /// `swath ask-tell`.
    ///
    /// # Errors
    /// Everything that is wrong with it, also that it cannot be read.
    pub fn read_for_either(path: &Path) -> Result<Self, Rejected> {
        Self::parse_for_either(load(path)?)
    }
}

/// Reads the text of a sweep file.
pub(super) fn load(path: &Path) -> Result<Source, Rejected> {
    let name = path.display().to_string();
    let mut diagnostics = Diagnostics::default();
    let source = match bytes_of(path) {
        Ok(bytes) => {
            let text = bytes
                .strip_prefix(BYTE_ORDER_MARK)
                .map(<[u8]>::to_vec)
                .unwrap_or(bytes);
            Source::from_bytes(name, text, &mut diagnostics)
        }
        Err(error) => {
            diagnostics.push(unreadable(path, &name, &error));
            Source {
                name,
                text: String::new(),
            }
        }
    };
    if diagnostics.has_errors() {
        Err(Rejected {
            source,
            diagnostics,
        })
    } else {
        Ok(source)
    }
}

/// Reads one byte more than allowed, so that a file that is too long is noticed without being read.
fn bytes_of(path: &Path) -> io::Result<Vec<u8>> {
    let metadata = path.metadata()?;
    if metadata.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    let mut bytes = Vec::new();
    File::open(path)?
        .take(LARGEST + 1)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn unreadable(path: &Path, name: &str, error: &io::Error) -> Diagnostic {
    match error.kind() {
        io::ErrorKind::NotFound => missing(path, name),
        io::ErrorKind::IsADirectory => {
            let found = sweep_files(path);
            let refused = Diagnostic::error(
                "not-a-file",
                format!("`{name}` is a folder, not a sweep file"),
            );
            match found.first() {
                Some(first) => {
                    refused.hint(format!("did you mean `{}`?", path.join(first).display()))
                }
                None => refused,
            }
        }
        _ => Diagnostic::error("unreadable", format!("cannot read `{name}`: {error}")),
    }
}

fn missing(path: &Path, name: &str) -> Diagnostic {
    let missing = Diagnostic::error("no-file", format!("there is no file `{name}`"));
    let folder = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    if !folder.is_dir() {
        return missing.hint(format!("the folder `{}` does not exist", folder.display()));
    }
    let shown = |file: &str| path.with_file_name(file).display().to_string();
    let found = sweep_files(folder);
    let word = path.file_name().unwrap_or_default().to_string_lossy();
    match nearest(&word, found.iter().map(String::as_str)) {
        Some(near) => missing.hint(format!("did you mean `{}`?", shown(near))),
        None if found.is_empty() => missing.hint("`swath init PROGRAM` writes one to start from"),
        None => {
            let some: Vec<_> = found
                .iter()
                .take(5)
                .map(|file| format!("`{}`", shown(file)))
                .collect();
            missing.hint(format!("there is {}", some.join(", ")))
        }
    }
}

fn sweep_files(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().take(10_000);
    let names = entries
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut files: Vec<_> = names
        .filter(|name| name.ends_with(".toml") && name != "Cargo.toml" && name != "pyproject.toml")
        .collect();
    files.sort();
    files
}
