//! `swath init --try` runs a program once, and the file that it writes runs.

use crate::command::swath;
use std::fs;

/// A script that resumes from its folder `checkpoints`, as many trainers do.
const RESUMING: &str = r#"
import argparse, json, os
parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, default=0.1)
parser.add_argument("--epochs", type=int, default=3)
parser.add_argument("--nesterov", action="store_true")
args = parser.parse_args()
os.makedirs("checkpoints", exist_ok=True)
state = {"epoch": 0, "loss": 1.0}
if os.path.exists("checkpoints/last.json"):
    state = json.load(open("checkpoints/last.json"))
while state["epoch"] < args.epochs:
    state["epoch"] += 1
    state["loss"] *= 1 - args.lr
    json.dump(state, open("checkpoints/last.json", "w"))
    print(f"Epoch {state['epoch']}/{args.epochs} loss: {state['loss']:.4f} val loss: {state['loss'] + 1:.4f}")
"#;

#[test]
fn the_file_that_a_first_run_writes_gives_each_trial_its_own_result() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let here = folder.path();
    fs::write(here.join("train.py"), RESUMING).expect("it can be written");
    let (code, _, err) = swath(here, &["init", "--try", "train.py"]);
    assert_eq!(code, 0, "{err}");
    assert!(err.contains("it wrote checkpoints/ (1 file"), "{err}");
    assert!(
        err.contains("probably `val_loss`, which was 1.729"),
        "{err}"
    );
    let entries = fs::read_dir(here).expect("it can be read").count();
    assert_eq!(entries, 2, "the first run left something: {err}");
    let text = fs::read_to_string(here.join("train.toml")).expect("it was written");
    for line in [
        r#"metric = "val_loss"             # 1.729 with the defaults, the last of 3"#,
        r#"trial_time = "1m""#,
        r"epoch = '\bEpoch\s+",
        r"val_loss = '\bval\s+loss\s*:\s*",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    let (code, _, err) = swath(here, &["check", "--strict", "train.toml"]);
    assert_eq!(code, 0, "{err}");
    let keys = ["[scheduler]", "name =", "resource =", "max ="];
    let with_scheduler: Vec<&str> = text
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(rest) if keys.iter().any(|key| rest.starts_with(key)) => rest,
            _ => line,
        })
        .collect();
    fs::write(here.join("early.toml"), with_scheduler.join("\n")).expect("it can be written");
    let (code, out, err) = swath(here, &["check", "--strict", "early.toml"]);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("scheduler    auto"), "{out}");
    assert!(text.contains("# max = 3 "), "{text}");
}

#[test]
fn a_shell_script_is_tried_too_and_further_arguments_reach_it() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let script = "echo \"score=$1\"\necho done > model.bin\n";
    fs::write(folder.path().join("train.sh"), script).expect("it can be written");
    let args = ["init", "--try", "train.sh", "--", "0.75"];
    let (code, _, err) = swath(folder.path(), &args);
    assert_eq!(code, 0, "{err}");
    let text = fs::read_to_string(folder.path().join("train.toml")).expect("it was written");
    for line in [
        r#"command = ["sh", "train.sh", "0.75", "{args:rest}"]"#,
        r#"metric = "score"                # 0.75 with the defaults"#,
        r#"goal   = "max""#,
        r"score = '\bscore\s*=\s*([-+\w.]+)'",
        "# Each run writes model.bin (5 B).",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
}

#[test]
fn a_program_that_fails_with_its_defaults_is_shown_and_nothing_is_written() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let script = "echo 'error: --data is required' >&2\nexit 2\n";
    fs::write(folder.path().join("train.sh"), script).expect("it can be written");
    let (code, _, err) = swath(folder.path(), &["init", "--try", "train.sh"]);
    assert_eq!(code, 3, "{err}");
    for part in ["exit status 2", "--data is required", "-- --data=data.csv"] {
        assert!(err.contains(part), "{part}\n{err}");
    }
    assert!(!folder.path().join("train.toml").exists());
}

#[test]
fn a_program_that_runs_too_long_is_stopped_and_its_output_counts() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let script = "echo 'epoch 1 val_acc 0.5'\nexec sleep 600\n";
    fs::write(folder.path().join("train.sh"), script).expect("it can be written");
    let (code, _, err) = swath(folder.path(), &["init", "--try=2s", "train.sh"]);
    assert_eq!(code, 0, "{err}");
    let text = fs::read_to_string(folder.path().join("train.toml")).expect("it was written");
    assert!(text.contains(r#"metric = "val_acc""#), "{text}");
    assert!(text.contains(r#"trial_time = "1h""#), "{text}");
}
