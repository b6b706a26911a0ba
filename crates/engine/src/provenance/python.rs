//! The Python interpreter of a command and the packages it can import, as the interpreter itself
//! reports them.
//!
//! The result is that of `pip freeze`, but does not need pip, which environments made by uv lack.
//! For a conda environment the packages that conda installed are added. A result stays valid as
//! long as neither the interpreter nor one of its package folders changes.

use super::ask::ask;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Time limit of the interpreter's answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// Programs that only prepare the environment of the command that follows them. The interpreter is
/// then called through them.
const WRAPPERS: &[&str] = &[
    "conda",
    "env",
    "hatch",
    "mamba",
    "micromamba",
    "nice",
    "pdm",
    "pipenv",
    "pixi",
    "poetry",
    "rye",
    "taskset",
    "uv",
];

/// Prints the facts as a JSON object. The working directory is taken off the search path, because a
/// file `json.py` there would hide Python's own module.
const SCRIPT: &str = r#"
import sys
sys.path[:] = [p for p in sys.path if p not in ("", ".")]
import os
here = os.getcwd()
sys.path[:] = [p for p in sys.path if os.path.abspath(p) != here]
import json
packages, folders = {}, []
try:
    from importlib import metadata
    for d in metadata.distributions():
        name = d.metadata["Name"]
        if not name or name in packages:
            continue
        version = d.version or ""
        try:
            origin = json.loads(d.read_text("direct_url.json") or "null")
        except Exception:
            origin = None
        if origin:
            vcs = origin.get("vcs_info") or {}
            where = origin.get("url", "")
            if vcs.get("commit_id"):
                where += "@" + vcs["commit_id"]
            version += " @ " + where
        packages[name] = version
except ImportError:
    pass
folders = [p for p in sys.path if os.path.isdir(p)]
print(json.dumps({
    "executable": sys.executable, "version": sys.version.split()[0], "implementation": sys.implementation.name,
    "prefix": sys.prefix, "base_prefix": getattr(sys, "base_prefix", sys.prefix), "packages": packages, "folders": folders,
}))
"#;

/// A Python interpreter and the packages it can import.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Python {
    /// The path of the interpreter.
    pub executable: String,
    /// The version of the interpreter.
    pub version: String,
    /// The name of the implementation: `cpython`, `pypy`.
    pub implementation: String,
    /// The tool that made the environment: `conda`, `uv`, `venv`, or `system` for none.
    pub environment: String,
    /// Every installed distribution with its version. For one from a repository or folder, ` @ `
    /// and the address follow the version.
    pub packages: BTreeMap<String, String>,
    /// The packages that conda installed, with version and build.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub conda: BTreeMap<String, String>,
    /// The modification times of the interpreter and its package folders by path, as nanoseconds
    /// since 1970; while they are unchanged, so are the packages.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub state: BTreeMap<String, i64>,
}

/// The output of the script.
#[derive(Deserialize)]
struct Answer {
    executable: String,
    version: String,
    implementation: String,
    prefix: String,
    base_prefix: String,
    packages: BTreeMap<String, String>,
    folders: Vec<String>,
}

/// Returns the words that call the interpreter of a command: the words of the command up to the
/// interpreter, or those of a script's first line. `find` resolves a program's name to a path.
/// Returns `None` if no Python is involved.
#[must_use]
pub fn interpreter(
    command: &[String],
    find: impl Fn(&str) -> Option<PathBuf>,
) -> Option<Vec<String>> {
    let first = command.first()?;
    if is_python(first) {
        return Some(vec![first.clone()]);
    }
    let name = Path::new(first).file_name()?.to_str()?;
    if WRAPPERS.contains(&name) {
        let index = command.iter().position(|word| is_python(word))?;
        return Some(command[..=index].to_vec());
    }
    shebang(&find(first)?)
}

/// Returns whether a word names a Python interpreter: `python`, `/usr/bin/python3.12`, `pypy3`.
fn is_python(word: &str) -> bool {
    let name = word.rsplit('/').next().unwrap_or(word);
    let rest = name
        .strip_prefix("python")
        .or_else(|| name.strip_prefix("pypy"));
    rest.is_some_and(|rest| {
        rest.bytes()
            .all(|byte| byte == b'.' || byte.is_ascii_digit())
    })
}

/// Parses the interpreter from the first line (`#!`) of a script.
fn shebang(path: &Path) -> Option<Vec<String>> {
    let mut line = String::new();
    BufReader::new(fs::File::open(path).ok()?.take(512))
        .read_line(&mut line)
        .ok()?;
    let words: Vec<String> = line
        .strip_prefix("#!")?
        .split_whitespace()
        .map(ToOwned::to_owned)
        .collect();
    let index = words.iter().position(|word| is_python(word))?;
    Some(
        words[..=index]
            .iter()
            // `env -S` splits the text after it; the words here are split already.
            .filter(|word| *word != "-S")
            .cloned()
            .collect(),
    )
}

impl Python {
    /// Runs an interpreter, called as `command` in `workdir` with `env`, and returns its facts.
    /// `None` if it fails or takes too long. The call may take seconds.
    #[must_use]
    pub fn ask(command: &[String], workdir: &Path, env: &[(String, String)]) -> Option<Self> {
        let (program, words) = command.split_first()?;
        // A relative path would be resolved against the directory of this process.
        let program = if program.contains('/') {
            workdir.join(program)
        } else {
            program.into()
        };
        let mut query = Command::new(program);
        query.args(words).args(["-c", SCRIPT]).current_dir(workdir);
        query
            .envs(env.iter().map(|(name, value)| (name, value)))
            .env("PYTHONDONTWRITEBYTECODE", "1");
        // A look-up must neither install packages nor use the network.
        query.env("UV_NO_SYNC", "1").env("UV_OFFLINE", "1");
        let answer: Answer = serde_json::from_slice(&ask(&mut query, PATIENCE)?).ok()?;
        let watched = answer.folders.iter().chain([&answer.executable]);
        Some(Self {
            state: watched
                .filter_map(|path| Some((path.clone(), changed(path)?)))
                .collect(),
            environment: environment(&answer).to_owned(),
            conda: conda(Path::new(&answer.prefix)),
            executable: answer.executable,
            version: answer.version,
            implementation: answer.implementation,
            packages: answer
                .packages
                .into_iter()
                .map(|(name, version)| (name, without_login(&version)))
                .collect(),
        })
    }

    /// Returns whether the facts are still valid, at the cost of a few stat calls.
    #[must_use]
    pub fn is_current(&self) -> bool {
        !self.state.is_empty()
            && self
                .state
                .iter()
                .all(|(path, time)| changed(path) == Some(*time))
    }
}

/// Removes a user name and password from the address of a package.
fn without_login(version: &str) -> String {
    match version.split_once(" @ ") {
        Some((version, origin)) => {
            format!("{version} @ {}", super::git::without_credentials(origin))
        }
        None => version.to_owned(),
    }
}

fn changed(path: &str) -> Option<i64> {
    let metadata = fs::metadata(path).ok()?;
    Some(
        metadata
            .mtime()
            .wrapping_mul(1_000_000_000)
            .wrapping_add(metadata.mtime_nsec()),
    )
}

fn environment(answer: &Answer) -> &'static str {
    let prefix = Path::new(&answer.prefix);
    if prefix.join("conda-meta").is_dir() {
        "conda"
    } else if answer.prefix == answer.base_prefix {
        "system"
    } else if is_made_by_uv(prefix) {
        "uv"
    } else {
        "venv"
    }
}

fn is_made_by_uv(prefix: &Path) -> bool {
    let text = fs::read_to_string(prefix.join("pyvenv.cfg")).unwrap_or_default();
    text.lines()
        .any(|line| line.split('=').next().is_some_and(|key| key.trim() == "uv"))
}

/// Returns the packages that conda installed, from the names of its record files:
/// `name-version-build.json`.
fn conda(prefix: &Path) -> BTreeMap<String, String> {
    let Ok(entries) = fs::read_dir(prefix.join("conda-meta")) else {
        return BTreeMap::new();
    };
    entries
        .filter_map(|entry| conda_package(&entry.ok()?.file_name().into_string().ok()?))
        .collect()
}

fn conda_package(file: &str) -> Option<(String, String)> {
    let mut parts = file.strip_suffix(".json")?.rsplitn(3, '-');
    let (build, version, name) = (parts.next()?, parts.next()?, parts.next()?);
    Some((name.to_owned(), format!("{version} {build}")))
}

#[cfg(test)]
mod tests {
    use super::{Python, conda, interpreter};
    use std::fs;

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(ToOwned::to_owned).collect()
    }

    #[test]
    fn the_interpreter_of_a_command_is_found_and_other_programs_are_not() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(
            folder.path().join("torchrun"),
            "#!/opt/venv/bin/python3.11\nimport x\n",
        )
        .unwrap();
        fs::write(folder.path().join("tool"), "#!/usr/bin/env -S python3 -u\n").unwrap();
        fs::write(folder.path().join("binary"), [0x7f, b'E', b'L', b'F', 0xff]).unwrap();
        for (command, expected) in [
            ("python train.py", Some("python")),
            (
                ".venv/bin/python3.12 -m train",
                Some(".venv/bin/python3.12"),
            ),
            ("uv run python train.py", Some("uv run python")),
            (
                "conda run -n torch python train.py",
                Some("conda run -n torch python"),
            ),
            ("torchrun train.py", Some("/opt/venv/bin/python3.11")),
            ("tool x", Some("/usr/bin/env python3")),
            ("binary x", None),
            ("absent", None),
            ("mpirun -n 4 python train.py", None),
            ("python-config", None),
            ("bpython", None),
        ] {
            let found = interpreter(&words(command), |name| Some(folder.path().join(name)));
            let found = found.map(|words| words.join(" "));
            assert_eq!(found.as_deref(), expected, "{command}");
        }
        assert_eq!(interpreter(&[], |_| None), None);
    }

    #[test]
    fn packages_of_conda_are_read_from_its_record_files() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("conda-meta")).unwrap();
        for name in [
            "cuda-nvcc-12.1.105-0.json",
            "numpy-1.26.4-py311h64a7726_0.json",
            "history",
        ] {
            fs::write(folder.path().join("conda-meta").join(name), "{}").unwrap();
        }
        let packages: Vec<_> = conda(folder.path()).into_iter().collect();
        let expected = [
            ("cuda-nvcc", "12.1.105 0"),
            ("numpy", "1.26.4 py311h64a7726_0"),
        ];
        assert_eq!(
            packages,
            expected.map(|(name, version)| (name.to_owned(), version.to_owned()))
        );
    }

    #[test]
    fn the_packages_of_an_interpreter_do_not_depend_on_the_folder_it_is_called_in() {
        let folder = tempfile::tempdir().unwrap();
        let site = folder.path().join("site");
        let dist = site.join("swath_test_dist-1.5.dist-info");
        fs::create_dir_all(&dist).unwrap();
        fs::write(
            dist.join("METADATA"),
            "Metadata-Version: 2.1\nName: swath-test-dist\nVersion: 1.5\n",
        )
        .unwrap();
        let origin = r#"{"url": "https://me:secret@host/r.git", "vcs_info": {"vcs": "git", "commit_id": "abc"}}"#;
        fs::write(dist.join("direct_url.json"), origin).unwrap();
        fs::write(
            folder.path().join("json.py"),
            "raise SystemExit('not this one')",
        )
        .unwrap();
        let env = [("PYTHONPATH".to_owned(), site.display().to_string())];
        let Some(python) = Python::ask(&words("python3"), folder.path(), &env) else {
            // A machine without Python has nothing to report.
            assert!(
                std::process::Command::new("python3")
                    .arg("--version")
                    .output()
                    .is_err()
            );
            return;
        };
        assert_eq!(
            python.packages["swath-test-dist"],
            "1.5 @ https://host/r.git@abc"
        );
        assert!(python.version.starts_with('3') && python.is_current());
        fs::create_dir(site.join("another-1.0.dist-info")).unwrap();
        assert!(!python.is_current(), "a package was added");
    }
}
