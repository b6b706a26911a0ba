//! Tests of `check`, `plan`, `init` and `schema` as a user calls them.

use crate::command::swath;
use serde_json::Value;
use std::path::Path;
use tempfile::TempDir;

const SWEEP: &str = r#"
[run]
command = ["sh", "-c", 'echo "{{\"loss\": $1, \"epoch\": 1}}" >> "$SWATH_RECORDS"', "trial", "{x}"]

[objective]
metric = "loss"
goal = "min"

[search]
sampler = "random"
trials = 6

[resources]
jobs = 2

[space]
x = { min = 0.0, max = 1.0 }
kind = ["a", "b"]
"#;

fn folder(sweep: &str) -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(folder.path().join("small.toml"), sweep).expect("the folder can be written");
    folder
}

fn json(folder: &Path, args: &[&str]) -> Value {
    let (code, stdout, stderr) = swath(folder, args);
    assert_eq!(code, 0, "{stderr}");
    serde_json::from_str(&stdout).expect("it writes JSON")
}

#[test]
fn check_says_what_a_sweep_would_do() {
    let folder = folder(SWEEP);
    let (code, stdout, stderr) = swath(folder.path(), &["check", "small.toml"]);
    assert_eq!(code, 0);
    for line in [
        "study        small",
        "parameters   2, 2 searched",
        "trials       6",
        "executor     pool, 2 at a time",
    ] {
        assert!(stdout.contains(line), "{stdout}");
    }
    assert!(
        stderr.contains("the command never receives `kind`"),
        "{stderr}"
    );
    assert_eq!(
        json(folder.path(), &["check", "small.toml", "--json"])["ok"],
        true
    );
}

#[test]
fn strict_refuses_a_warning() {
    let folder = folder(SWEEP);
    for command in ["check", "plan", "run"] {
        let (code, _, stderr) = swath(folder.path(), &[command, "small.toml", "--strict"]);
        assert_eq!(code, 2, "{stderr}");
    }
    assert!(!folder.path().join("logs").exists());
}

#[test]
fn a_bad_sweep_starts_nothing_and_ends_with_2() {
    let folder = folder(&SWEEP.replace("trials", "trails"));
    for command in ["check", "plan", "run"] {
        let (code, stdout, stderr) = swath(folder.path(), &[command, "small.toml"]);
        assert_eq!((code, stdout.as_str()), (2, ""));
        assert!(stderr.contains("did you mean `trials`?"), "{stderr}");
        assert!(
            stderr
                .trim_end()
                .ends_with("error: sweep file `small.toml` has 1 error, 1 warning"),
            "{stderr}"
        );
    }
    assert!(!folder.path().join("logs").exists());
}

#[test]
fn plan_shows_the_very_trials_that_run_starts() {
    let folder = folder(SWEEP);
    let planned = json(folder.path(), &["plan", "small.toml", "-n", "6", "--json"]);
    assert!(!folder.path().join("logs").exists());
    assert_eq!(swath(folder.path(), &["run", "small.toml"]).0, 0);
    for trial in planned["trials"].as_array().unwrap() {
        let path = folder
            .path()
            .join(format!("logs/small/{}/params.json", trial["trial"]));
        let ran: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        assert_eq!(trial["params"], ran);
    }
    let (code, stdout, stderr) = swath(folder.path(), &["plan", "small.toml"]);
    assert_eq!((code, stdout.as_str()), (0, ""));
    assert!(stderr.contains("no trial is left to run"), "{stderr}");
    std::fs::write(
        folder.path().join("small.toml"),
        SWEEP.replace("trials = 6", "trials = 8"),
    )
    .unwrap();
    let more = json(folder.path(), &["plan", "small.toml", "--json"]);
    let ids: Vec<_> = more["trials"]
        .as_array()
        .unwrap()
        .iter()
        .map(|trial| trial["trial"].clone())
        .collect();
    assert_eq!(ids, [7, 8]);
}

#[test]
fn init_writes_a_sweep_that_checks_and_never_overwrites() {
    let folder = folder(SWEEP);
    std::fs::write(folder.path().join("fit.sh"), "echo loss=1").unwrap();
    assert_eq!(swath(folder.path(), &["init", "fit.sh"]).0, 0);
    let written = std::fs::read_to_string(folder.path().join("fit.toml")).unwrap();
    let (code, _, stderr) = swath(folder.path(), &["check", "fit.toml", "--strict"]);
    assert_eq!(code, 0, "{stderr}");
    let (code, _, stderr) = swath(folder.path(), &["init", "fit.sh"]);
    assert_eq!(code, 2);
    assert!(stderr.contains("already exists"), "{stderr}");
    assert_eq!(
        std::fs::read_to_string(folder.path().join("fit.toml")).unwrap(),
        written
    );
    assert_eq!(swath(folder.path(), &["init", "absent.py"]).0, 2);
}

#[test]
fn schema_is_json() {
    let folder = folder(SWEEP);
    let schema = json(folder.path(), &["schema"]);
    assert_eq!(
        schema["properties"]["run"]["properties"]["command"]["type"],
        "array"
    );
}

#[test]
fn a_sweep_over_a_finite_space_ends_as_exhausted_and_says_so_before() {
    let sweep = SWEEP
        .replace("x = { min = 0.0, max = 1.0 }", "x = [1, 2, 3]")
        .replace("trials = 6", "trials = 20");
    let folder = folder(&sweep);
    let (code, _, stderr) = swath(folder.path(), &["check", "small.toml"]);
    assert_eq!(code, 0);
    let warning = "the space has 6 configurations, and each is tried once: the sweep ends after 6 of \
                   20 trials";
    assert!(stderr.contains(warning), "{stderr}");

    let (code, _, stderr) = swath(folder.path(), &["run", "small.toml"]);
    assert_eq!(code, 0, "{stderr}");
    let reason = "the sampler has no configuration left that was not tried";
    assert!(
        stderr.contains(&format!("the run ended because {reason}")),
        "{stderr}"
    );
    assert!(stderr.contains("`[replicate]`"), "{stderr}");
    let listed = json(folder.path(), &["ls", "small", "--json"]);
    assert_eq!(listed["trials"].as_array().map(Vec::len), Some(6));
    let shown = json(folder.path(), &["show", "small", "--json"]);
    assert_eq!(shown["closed"], "exhausted");
    for command in ["show", "why"] {
        let (_, stdout, _) = swath(folder.path(), &[command, "small"]);
        assert!(stdout.contains(reason), "{command}: {stdout}");
    }
    // Running it again changes nothing, and says the same.
    let (code, _, stderr) = swath(folder.path(), &["run", "small.toml"]);
    assert_eq!(code, 0, "{stderr}");
    assert!(stderr.contains("the study is exhausted"), "{stderr}");

    // Replicates run each configuration as often as asked.
    let replicated = format!(
        "{}\n[replicate]\nseeds = 2\n",
        sweep.replace("[run]", "name = \"twice\"\n[run]")
    );
    std::fs::write(folder.path().join("twice.toml"), replicated).unwrap();
    assert_eq!(swath(folder.path(), &["run", "twice.toml"]).0, 0);
    let listed = json(folder.path(), &["ls", "twice", "--json"]);
    // The race drops configurations that are clearly worse.
    let count = listed["trials"].as_array().map_or(0, Vec::len);
    assert!((7..=12).contains(&count), "{count}");
    let shown = json(folder.path(), &["show", "twice", "--json"]);
    assert_eq!(shown["closed"], "exhausted");
}
