//! Measures how soon a decision reaches its process, from the report line to the process, through
//! `swath run`.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use assert_cmd::Command;
use std::fs;
use std::path::Path;

/// The documented bound on the time from a report to the decision, in milliseconds.
const PROMISED_MS: f64 = 50.0;

/// A sweep in which trial 1 is good and the others are so bad that they are stopped at their first
/// rung.
const SWEEP: &str = r#"
name = "decisions"
[run]
command = ["sh", "trial.sh", "{trial}"]
env = { SWATH = "@SWATH@" }
grace = "20s"
[objective]
metric = "loss"
goal = "min"
[search]
sampler = "random"
trials = 9
[scheduler]
name = "asha"
resource = "epoch"
min = 1
max = 27
reduction = 3
[resources]
jobs = 1
[space]
x = { min = 0.0, max = 1.0 }
"#;

/// Runs the sweep over `script` in `folder` and returns the rows of `trials.csv` as trial and
/// state.
fn run(folder: &Path, script: &str) -> Vec<(String, String)> {
    let swath = env!("CARGO_BIN_EXE_swath");
    fs::write(folder.join("sweep.toml"), SWEEP.replace("@SWATH@", swath)).unwrap();
    fs::write(folder.join("trial.sh"), script).unwrap();
    let mut command = Command::new(swath);
    command
        .current_dir(folder)
        .args(["run", "sweep.toml"])
        .timeout(std::time::Duration::from_secs(120));
    command.assert().success();
    let listed = Command::new(swath)
        .current_dir(folder)
        .args(["ls", "decisions", "--json"])
        .output()
        .unwrap();
    let listed: serde_json::Value = serde_json::from_slice(&listed.stdout).unwrap();
    let trials = listed["trials"].as_array().unwrap();
    trials
        .iter()
        .map(|trial| (text(trial, "trial"), text(trial, "state")))
        .collect()
}

/// Returns a value of a trial as text, without the quotes of JSON.
fn text(trial: &serde_json::Value, key: &str) -> String {
    trial[key]
        .as_str()
        .map_or(trial[key].to_string(), Into::into)
}

/// Returns the median duration in milliseconds from a file whose lines are pairs of nanoseconds,
/// before and after.
fn median_ms(file: &Path) -> f64 {
    let text = fs::read_to_string(file).unwrap();
    let mut took: Vec<f64> = text
        .lines()
        .map(|line| {
            let (before, after) = line.split_once(' ').unwrap();
            (after.parse::<f64>().unwrap() - before.parse::<f64>().unwrap()) / 1e6
        })
        .collect();
    took.sort_by(f64::total_cmp);
    took[took.len() / 2]
}

#[test]
fn a_program_that_waits_for_the_answer_trains_no_step_after_its_stop() {
    let _turn = super::alone();
    let folder = tempfile::tempdir().unwrap();
    let script = r#"
trap 'echo term >> terminated' TERM
for epoch in 1 2 3 4 5 6 7 8 9; do
    begun=$(date +%s%N)
    "$SWATH" report --wait epoch=$epoch loss=$1 > answer
    status=$?
    echo "$begun $(date +%s%N)" >> times
    cat answer >> "answer.$1"
    if [ $status = 10 ]; then echo "$epoch" > "ended.$1"; exit 0; fi
    [ $status = 0 ] || exit 9
done
"#;
    let states = run(folder.path(), script);
    assert_eq!(states[0].1, "complete", "{states:?}");
    for (trial, state) in &states[3..] {
        assert_eq!(state, "stopped", "trial {trial}: {states:?}");
        let ended = fs::read_to_string(folder.path().join(format!("ended.{trial}"))).unwrap();
        assert_eq!(ended.trim(), "1", "trial {trial} went on after its stop");
        let answer = fs::read_to_string(folder.path().join(format!("answer.{trial}"))).unwrap();
        assert!(answer.starts_with("stop: epoch 1: "), "{answer}");
    }
    assert!(
        !folder.path().join("terminated").exists(),
        "a program that gets the answer also gets SIGTERM"
    );
    let answer = folder.path().join("logs/decisions/9/answer");
    assert!(!answer.exists(), "the answer file remains");
    let median = median_ms(&folder.path().join("times"));
    eprintln!("report --wait: median {median:.1} ms, two processes started included");
    assert!(
        median < PROMISED_MS,
        "the median answer took {median:.1} ms"
    );
}

#[test]
fn a_stop_reaches_a_program_that_only_reports_within_50_ms() {
    let _turn = super::alone();
    let folder = tempfile::tempdir().unwrap();
    let script = r#"
trap 'now=$(date +%s%N); [ -n "$begun" ] && echo "$begun $now" >> times; exit 0' TERM
sleep 0.1
begun=$(date +%s%N)
echo "{\"epoch\": 1, \"loss\": $1}" >> "$SWATH_RECORDS"
for wait in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do sleep 0.005; done
"#;
    run(folder.path(), script);
    let times = folder.path().join("times");
    let stopped = fs::read_to_string(&times).unwrap().lines().count();
    assert!(
        stopped >= 5,
        "only {stopped} trials were stopped while they ran"
    );
    let median = median_ms(&times);
    eprintln!("SIGTERM after a report line: median {median:.1} ms over {stopped} stops");
    assert!(median < PROMISED_MS, "the median stop took {median:.1} ms");
}
