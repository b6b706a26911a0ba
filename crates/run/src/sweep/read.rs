//! Reads a sweep file from disk. A file that is not readable text is rejected with the reason.

use super::{Registry, Rejected, Sweep};
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use swath_model::source::diagnostic::nearest;
use swath_model::source::{Diagnostic, Diagnostics, MAX_BYTES, Source};

/// UTF-8 byte order mark, which some editors put at the start of a file.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

impl Sweep {
    /// Reads and checks a sweep file that runs a program.
    ///
    /// # Errors
    /// All mistakes in the file, or the reason why it cannot be read.
    pub fn read(path: &Path) -> Result<Self, Rejected> {
        Registry::standard().read(path)
    }

    /// Reads and checks a sweep file whose trials are calls of a function. `[run] command` may be
    /// absent.
    ///
    /// # Errors
    /// All mistakes in the file, or the reason why it cannot be read.
    pub fn read_for_function(path: &Path) -> Result<Self, Rejected> {
        Registry::standard().read_for_function(path)
    }

    /// Reads and checks a sweep file that runs a program, or that has no `[run]` and is meant for
    /// `swath ask-tell`.
    ///
    /// # Errors
    /// All mistakes in the file, or the reason why it cannot be read.
    pub fn read_for_either(path: &Path) -> Result<Self, Rejected> {
        Self::parse_for_either(load(path)?)
    }
}

/// Reads the text of a sweep file without its byte order mark.
///
/// # Errors
/// The reason why the text is unusable.
pub fn load(path: &Path) -> Result<Source, Rejected> {
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

/// Reads at most one byte more than allowed, so that a file that is too large is noticed without
/// being read as a whole.
fn bytes_of(path: &Path) -> io::Result<Vec<u8>> {
    let metadata = path.metadata()?;
    if metadata.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    let mut bytes = Vec::new();
    File::open(path)?
        .take(MAX_BYTES + 1)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Returns the error for a file that cannot be read.
fn unreadable(path: &Path, name: &str, error: &io::Error) -> Diagnostic {
    match error.kind() {
        io::ErrorKind::NotFound => missing(path, name),
        io::ErrorKind::IsADirectory => {
            let files = sweep_files(path);
            let refused = Diagnostic::error(
                "not-a-file",
                format!("`{name}` is a folder, not a sweep file"),
            );
            match files.first() {
                Some(first) => {
                    refused.hint(format!("did you mean `{}`?", path.join(first).display()))
                }
                None => refused,
            }
        }
        _ => Diagnostic::error("unreadable", format!("cannot read `{name}`: {error}")),
    }
}

/// Returns the error for a missing file, with similar or available sweep files as a hint.
fn missing(path: &Path, name: &str) -> Diagnostic {
    let missing = Diagnostic::error("no-file", format!("there is no file `{name}`"));
    let folder = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    if !folder.is_dir() {
        return missing.hint(format!("the folder `{}` does not exist", folder.display()));
    }
    let files = sweep_files(folder);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    match nearest(&name, files.iter().map(String::as_str)) {
        Some(near) => missing.hint(format!(
            "did you mean `{}`?",
            path.with_file_name(near).display()
        )),
        None if files.is_empty() => missing.hint("`swath init PROGRAM` writes one to start from"),
        None => {
            let some: Vec<_> = files
                .iter()
                .take(5)
                .map(|file| format!("`{}`", path.with_file_name(file).display()))
                .collect();
            missing.hint(format!("there is {}", some.join(", ")))
        }
    }
}

/// Returns the names of the TOML files in a folder that may be sweep files, sorted.
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
