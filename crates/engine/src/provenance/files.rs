//! The files that a command runs and the lock files of its dependencies, with their digests.

use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use swath_log::{DigestCache, digest};

/// Maximum size in bytes of a file that counts as part of a command.
const LARGEST: u64 = 4 << 30;

/// The names of lock files. They are searched in the trials' working directory and in its parents,
/// up to the top of the checkout.
const LOCKS: &[&str] = &[
    "Cargo.lock",
    "Manifest.toml",
    "Pipfile.lock",
    "Project.toml",
    "conda-lock.yml",
    "environment.yml",
    "package-lock.json",
    "pdm.lock",
    "pixi.lock",
    "poetry.lock",
    "renv.lock",
    "requirements.txt",
    "uv.lock",
];

/// A file and its digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pinned {
    /// The name in the command, or the name relative to the trials' working directory.
    pub name: String,
    /// The file's path.
    pub path: PathBuf,
    /// The file's md5.
    pub md5: String,
    /// Size in bytes.
    pub size: u64,
}

/// Returns the program and every other file that a command names, the program first. `find`
/// resolves the program's name to a path; `words` are the words of the command that are the same
/// for every trial.
#[must_use]
pub fn of_command(
    words: &[String],
    workdir: &Path,
    cache: Option<&DigestCache>,
    find: impl Fn(&str) -> Option<PathBuf>,
) -> Vec<Pinned> {
    let program = words
        .first()
        .and_then(|name| Some((name.clone(), find(name)?)));
    let others = words
        .iter()
        .skip(1)
        .flat_map(|word| candidates(word))
        .map(|name| (name.to_owned(), workdir.join(name)));
    let mut seen = BTreeSet::new();
    let files = program
        .into_iter()
        .chain(others)
        .filter(|(_, path)| seen.insert(path.clone()));
    files
        .filter_map(|(name, path)| pin(name, path, cache))
        .collect()
}

/// Returns the parts of a word that may name a file: the word itself and the text after its `=`.
/// Options are omitted.
pub fn candidates(word: &str) -> impl Iterator<Item = &str> {
    let value = word.split_once('=').map(|(_, value)| value);
    [Some(word), value]
        .into_iter()
        .flatten()
        .filter(|name| !name.is_empty() && !name.starts_with('-'))
}

/// Returns the lock files that apply to the trials' working directory, sorted by name. `Cargo.lock`
/// counts only for a program that cargo builds.
#[must_use]
pub fn locks(
    workdir: &Path,
    top: Option<&Path>,
    is_rust: bool,
    cache: Option<&DigestCache>,
) -> Vec<Pinned> {
    let mut locks = Vec::new();
    let above = workdir
        .ancestors()
        .skip(1)
        .take_while(|folder| top.is_some_and(|top| folder.starts_with(top)));
    for folder in std::iter::once(workdir).chain(above) {
        for name in LOCKS
            .iter()
            .filter(|name| is_rust || **name != "Cargo.lock")
        {
            // The file nearest to the trials' directory hides those of the same name above it.
            let is_hidden = locks
                .iter()
                .any(|lock: &Pinned| lock.path.file_name() == Some(OsStr::new(name)));
            if !is_hidden {
                locks.extend(pin((*name).to_owned(), folder.join(name), cache));
            }
        }
    }
    locks.sort_by(|a, b| a.name.cmp(&b.name));
    locks
}

/// Returns whether cargo builds the program: the command or the setup calls cargo, or the program
/// lies in a folder `target` beside a `Cargo.toml`.
#[must_use]
pub fn is_rust(words: &[String], setup: &[String], program: Option<&Path>) -> bool {
    calls_cargo(words)
        || calls_cargo(setup)
        || program.is_some_and(|path| path.ancestors().any(is_target_of_cargo))
}

fn calls_cargo(words: &[String]) -> bool {
    words
        .iter()
        .any(|word| Path::new(word).file_name() == Some(OsStr::new("cargo")))
}

/// Returns whether a folder is called `target` and lies beside a `Cargo.toml`.
fn is_target_of_cargo(folder: &Path) -> bool {
    folder.file_name() == Some(OsStr::new("target"))
        && folder
            .parent()
            .is_some_and(|parent| parent.join("Cargo.toml").is_file())
}

fn pin(name: String, path: PathBuf, cache: Option<&DigestCache>) -> Option<Pinned> {
    let metadata = path
        .metadata()
        .ok()
        .filter(|metadata| metadata.is_file() && metadata.len() <= LARGEST)?;
    let md5 = digest(&path, cache).ok()?.md5;
    Some(Pinned {
        name,
        path,
        md5,
        size: metadata.len(),
    })
}

/// Resolves a program's name as the executor does: a path is relative to the workdir, a plain name
/// is searched on `path`.
#[must_use]
pub fn find_program(name: &str, workdir: &Path, path: Option<&OsStr>) -> Option<PathBuf> {
    if name.contains('/') {
        return Some(workdir.join(name)).filter(|path| path.is_file());
    }
    std::env::split_paths(path?)
        .map(|dir| workdir.join(dir).join(name))
        .find(|candidate| candidate.is_file())
}

#[cfg(test)]
mod tests {
    use super::{find_program, is_rust, locks, of_command};
    use std::fs;

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(ToOwned::to_owned).collect()
    }

    #[test]
    fn the_program_its_scripts_and_its_lock_files_are_pinned() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        fs::create_dir_all(root.join("sub/target/release")).unwrap();
        for name in [
            "Cargo.lock",
            "sub/Cargo.toml",
            "sub/requirements.txt",
            "requirements.txt",
            "sub/target/release/t",
            "sub/c.json",
        ] {
            fs::write(root.join(name), name).unwrap();
        }
        let sub = root.join("sub");
        let command = words("target/release/t --config=c.json c.json --lr 1 absent.py");
        let files = of_command(&command, &sub, None, |name| find_program(name, &sub, None));
        let names: Vec<_> = files.iter().map(|file| file.name.as_str()).collect();
        assert_eq!(names, ["target/release/t", "c.json"]);
        assert_eq!(files[1].md5, super::super::git::md5_of(b"sub/c.json"));
        assert!(is_rust(&command, &[], Some(&files[0].path)) && !is_rust(&command, &[], None));
        assert!(is_rust(&[], &words("cargo build"), None));
        for (top, is_rust, expected) in [
            (Some(root), true, "Cargo.lock sub/requirements.txt"),
            (None, true, "sub/requirements.txt"),
            (Some(root), false, "sub/requirements.txt"),
        ] {
            let paths: Vec<_> = locks(&sub, top, is_rust, None)
                .into_iter()
                .map(|file| file.path.strip_prefix(root).unwrap().display().to_string())
                .collect();
            assert_eq!(paths.join(" "), expected);
        }
    }
}
