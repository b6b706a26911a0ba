//! The list of the packages that were installed when a trial ran, as cmf records it.

use super::home::{failed, replace};
use super::names::hexadecimal;
use crate::TrackerError;
use md5::{Digest, Md5};
use std::fmt::Write as _;
use std::path::Path;
use swath_engine::provenance::{Environment, Python};

/// A file with the installed packages, one a line.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct PackageList {
    /// The path relative to the tracker's folder, `cmf_artifacts/python_env_<md5>.txt`.
    pub(super) path: String,
    pub(super) md5: String,
}

/// Returns the environment that held at the entry `seq`.
pub(super) fn environment_at(environments: &[Environment], seq: u64) -> Option<&Environment> {
    environments
        .iter()
        .rfind(|environment| environment.since <= seq)
}

/// Writes the packages of an interpreter, unless the file is there already.
pub(super) fn write(root: &Path, python: &Python) -> Result<PackageList, TrackerError> {
    let text = list(python);
    let md5 = hexadecimal(&Md5::digest(&text));
    let path = format!("cmf_artifacts/python_env_{md5}.txt");
    let file = root.join(&path);
    match file.try_exists() {
        Ok(true) => {}
        Ok(false) => replace(&file, text.as_bytes())?,
        Err(error) => return Err(failed(&file)(error)),
    }
    Ok(PackageList { path, md5 })
}

/// Returns the packages as `pip freeze` writes them. Those of conda follow with their builds.
fn list(python: &Python) -> String {
    let mut text = String::new();
    for (name, version) in &python.packages {
        let _ = match version.split_once(" @ ") {
            Some((_, address)) => writeln!(text, "{name} @ {address}"),
            None => writeln!(text, "{name}=={version}"),
        };
    }
    for (name, version) in &python.conda {
        let _ = writeln!(text, "# conda: {name} {version}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_listed_as_pip_does_and_written_once() {
        let root = tempfile::tempdir().unwrap();
        let text = r#"{"executable": "python3", "version": "3.11.7", "implementation": "cpython",
            "environment": "venv",
            "packages": {"numpy": "2.2.6", "mine": "0.1 @ file:///mine"}}"#;
        let python: Python = serde_json::from_str(text).unwrap();
        let written = write(root.path(), &python).unwrap();
        let content = std::fs::read_to_string(root.path().join(&written.path)).unwrap();
        assert_eq!(content, "mine @ file:///mine\nnumpy==2.2.6\n");
        assert_eq!(write(root.path(), &python).unwrap(), written);
    }
}
