//! Every sweep file that is shipped is one that `swath check` accepts, without a warning.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use assert_cmd::Command;
use std::fs;
use std::path::{Path, PathBuf};

fn swath() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_swath"));
    command.current_dir(env!("CARGO_MANIFEST_DIR")).env("NO_COLOR", "1");
    command
}

fn shipped() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("sweeps");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn every_shipped_sweep_is_accepted_without_a_warning() {
    for file in shipped() {
        let checked = swath().arg("check").arg("--strict").arg(&file).output().unwrap();
        let said = String::from_utf8_lossy(&checked.stderr);
        assert!(checked.status.success(), "{}:\n{said}", file.display());
    }
}

#[test]
fn every_shipped_sweep_is_refused_once_a_key_in_it_is_misspelt() {
    let folder = tempfile::tempdir().unwrap();
    for file in shipped() {
        let text = fs::read_to_string(&file).unwrap();
        let broken = folder.path().join(file.file_name().unwrap());
        fs::write(&broken, text.replacen("metric =", "metrik =", 1)).unwrap();
        swath().arg("check").arg(&broken).assert().code(2);
    }
}

#[test]
fn a_sweep_is_named_after_its_file() {
    for file in shipped() {
        let name = format!("name = \"{}\"", file.file_stem().unwrap().to_str().unwrap());
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.lines().any(|line| line == name), "{} has no line {name}", file.display());
    }
}
