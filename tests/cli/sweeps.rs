//! Checks that `swath check` accepts every shipped sweep file without a warning.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

#[path = "../../examples/kinds/src/kinds.rs"]
mod kinds;

use assert_cmd::Command;
use std::fs;
use std::path::{Path, PathBuf};
use swath::run::{self, Options};
use swath::study::TrialState;
use swath::sweep::Registry;

fn swath() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_swath"));
    command
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("NO_COLOR", "1");
    command
}

fn shipped() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("sweeps");
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files
}

#[test]
fn every_shipped_sweep_is_accepted_without_a_warning() {
    for file in shipped() {
        let checked = swath()
            .arg("check")
            .arg("--strict")
            .arg(&file)
            .output()
            .unwrap();
        let message = String::from_utf8_lossy(&checked.stderr);
        assert!(checked.status.success(), "{}:\n{message}", file.display());
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
        assert!(
            text.lines().any(|line| line == name),
            "{} has no line {name}",
            file.display()
        );
    }
}

#[test]
fn a_sweep_runs_with_kinds_that_another_crate_adds() {
    let registry = Registry::standard()
        .sampler(kinds::HALTON)
        .scheduler(kinds::CEILING)
        .executor(kinds::NICE)
        .tracker(kinds::DIARY);
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/kinds/sweep.toml");
    let folder = tempfile::tempdir().unwrap();
    let sweep = registry.read(&file).unwrap();
    let options = Options {
        logs: folder.path().join("logs"),
        workdir: folder.path().to_owned(),
        ..Options::default()
    };
    let study = run::programs(&sweep, options).unwrap();
    let x = |at: usize| {
        study.trials()[at]
            .params
            .get("x")
            .and_then(swath::space::Value::as_f64)
            .unwrap()
    };
    assert_eq!(
        [x(0), x(1)],
        [0.125, 0.625],
        "points 4 and 5 in base 2: the sampler skips three"
    );
    for (at, trial) in study.trials().iter().enumerate() {
        let expected = if x(at) > 0.8 {
            TrialState::Stopped
        } else {
            TrialState::Complete
        };
        assert_eq!(
            trial.state,
            expected,
            "the scheduler stops above 0.8: {}",
            x(at)
        );
    }
    assert!((0..8).any(|at| x(at) > 0.8), "one is above");
    let diary = fs::read_to_string(folder.path().join("logs/kinds/diary.txt")).unwrap();
    assert_eq!(diary.lines().count(), 8, "{diary}");
}
