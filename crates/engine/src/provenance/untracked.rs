//! Untracked code: git does not know it yet, but it ran, so it belongs in the patch. Data, models
//! and logs do not.

use super::git::{self, Checkout};
use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// Maximum number of files in the patch.
const MOST: usize = 200;
/// Maximum size of one file, in bytes.
const LARGEST: u64 = 256 << 10;
/// Maximum total size of the files, in bytes.
const LARGEST_SUM: u64 = 4 << 20;
/// Maximum number of omitted files that are named.
const NAMED: usize = 50;

/// The extensions of files that people write code in. Formats that programs write too (JSON, YAML,
/// text) count only if the command names the file.
const CODE: &[&str] = &[
    "R", "bash", "c", "cc", "clj", "cmake", "cpp", "cu", "cuh", "cxx", "f", "f90", "go", "h",
    "hpp", "hs", "ipynb", "java", "jl", "js", "kt", "lua", "m", "ml", "mojo", "nim", "nix", "pl",
    "proto", "py", "pyi", "pyx", "r", "rb", "rs", "scala", "sh", "swift", "toml", "ts", "zig",
];
/// Names of files that count as code whatever their extension is.
const CODE_NAMES: &[&str] = &[
    "Dockerfile",
    "Makefile",
    "requirements.txt",
    "environment.yml",
];

/// The untracked code of a checkout.
#[derive(Default)]
pub(super) struct Untracked {
    /// A copy of git's index that contains the files, so that a diff shows them; `None` if there
    /// are none.
    pub(super) index: Option<tempfile::NamedTempFile>,
    /// Code that the index does not contain.
    pub(super) left_out: Vec<String>,
}

/// Finds the untracked code of a checkout. Nothing is written to the repository.
pub(super) fn find(checkout: &Checkout, besides: &[PathBuf], named: &[PathBuf]) -> Untracked {
    let mut words: Vec<OsString> = ["ls-files", "--others", "--exclude-standard", "-z"]
        .map(OsString::from)
        .to_vec();
    words.extend(
        besides
            .iter()
            .filter_map(|folder| exclusion(checkout, folder)),
    );
    let mut command = git::git(&checkout.root, &[]);
    let Some(output) = command
        .args(&words)
        .output()
        .ok()
        .filter(|output| output.status.success())
    else {
        return Untracked::default();
    };
    let named: BTreeSet<PathBuf> = named
        .iter()
        .filter_map(|path| inside(checkout, path))
        .collect();
    let files = output
        .stdout
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty());
    let files = files.map(|name| PathBuf::from(OsString::from_vec(name.to_vec())));
    let code: Vec<PathBuf> = files
        .filter(|path| is_code(path) || named.contains(path))
        .collect();
    chosen(checkout, &code)
}

fn chosen(checkout: &Checkout, code: &[PathBuf]) -> Untracked {
    let (mut taken, mut left_out, mut sum) = (Vec::new(), Vec::new(), 0);
    for path in code {
        let about = std::fs::symlink_metadata(checkout.root.join(path));
        let size = about.map_or(u64::MAX, |about| about.len());
        if taken.len() < MOST && size <= LARGEST && sum + size <= LARGEST_SUM {
            sum += size;
            taken.push(path);
        } else {
            left_out.push(path.display().to_string());
        }
    }
    let index = if taken.is_empty() {
        None
    } else {
        index_with(checkout, &taken)
    };
    // Without an index the diff shows none of the files, so all of them are omitted.
    if index.is_none() {
        left_out.extend(taken.iter().map(|path| path.display().to_string()));
    }
    if left_out.len() > NAMED {
        let more = left_out.len() - NAMED;
        left_out.truncate(NAMED);
        left_out.push(format!("and {more} more"));
    }
    Untracked { index, left_out }
}

/// Copies the index and adds the files to the copy.
fn index_with(checkout: &Checkout, files: &[&PathBuf]) -> Option<tempfile::NamedTempFile> {
    let own = git::ask(&checkout.root, &["rev-parse", "--git-path", "index"])?;
    let own = checkout.root.join(OsStr::from_bytes(own.trim_ascii_end()));
    let index = tempfile::NamedTempFile::new().ok()?;
    std::fs::copy(&own, index.path()).ok()?;
    // The copy must be as old as the original. Git compares that time with those of the files: a
    // file written in the same instant as the index may have changed since, so git reads it.
    index
        .as_file()
        .set_modified(own.metadata().ok()?.modified().ok()?)
        .ok()?;
    let mut add = git::git(&checkout.root, &["add", "--intent-to-add", "--"]);
    add.args(files)
        .env("GIT_INDEX_FILE", index.path())
        .env("GIT_LITERAL_PATHSPECS", "1");
    add.stdout(std::process::Stdio::null());
    add.status().ok()?.success().then_some(index)
}

/// Returns the option that excludes a folder from git's search; `None` if the folder is not inside
/// the checkout.
fn exclusion(checkout: &Checkout, folder: &Path) -> Option<OsString> {
    let inside = inside(checkout, folder)?;
    let mut pattern = b"--exclude=/".to_vec();
    for byte in inside.as_os_str().as_bytes() {
        if b"*?[\\".contains(byte) {
            pattern.push(b'\\');
        }
        pattern.push(*byte);
    }
    // The top of the checkout itself is never excluded: the pattern is only `--exclude=/` then.
    (pattern.len() > 11).then(|| OsString::from_vec(pattern))
}

/// Converts a path to one relative to the top of the checkout; `None` if it lies outside.
fn inside(checkout: &Checkout, path: &Path) -> Option<PathBuf> {
    let real = path.canonicalize().ok()?;
    let root = checkout.root.canonicalize().ok()?;
    real.strip_prefix(root).ok().map(Path::to_owned)
}

/// Returns whether people write files of this name: code, and files that belong to it.
#[must_use]
pub fn is_code(path: &Path) -> bool {
    let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
    let ending = path.extension().and_then(OsStr::to_str).unwrap_or_default();
    CODE.contains(&ending) || CODE_NAMES.contains(&name)
}
