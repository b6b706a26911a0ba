//! `swath ask-tell`: a dialogue in JSON lines, with a program in another language, across crashes,
//! and with malformed input.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

const SWATH: &str = env!("CARGO_BIN_EXE_swath");

fn sweep(dir: &Path, more: &str) {
    let text = format!(
        "[objective]\nmetric = \"loss\"\ngoal = \"min\"\n[search]\ntrials = 30\n{more}\n[space]\nx = {{ min = -3.0, max = 3.0 }}\ny = {{ min = -3.0, max = 3.0 }}\n"
    );
    fs::write(dir.join("bowl.toml"), text).unwrap();
}

struct Talk(Child, BufReader<std::process::ChildStdout>);

impl Talk {
    fn begin(dir: &Path) -> Self {
        let mut child = Command::new(SWATH)
            .args(["ask-tell", "bowl.toml"])
            .current_dir(dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let replies = BufReader::new(child.stdout.take().unwrap());
        Self(child, replies)
    }

    fn say(&mut self, line: &str) -> Value {
        writeln!(self.0.stdin.as_mut().unwrap(), "{line}").unwrap();
        self.hear()
    }

    fn hear(&mut self) -> Value {
        let mut reply = String::new();
        self.1.read_line(&mut reply).unwrap();
        serde_json::from_str(&reply).unwrap_or_else(|_| panic!("no JSON: {reply:?}"))
    }

    fn ask(&mut self) -> Value {
        self.say(r#"{"ask": 1}"#)
    }

    fn tell(&mut self, trial: &Value, value: f64) -> Value {
        self.say(&json!({ "tell": { "trial": trial, "value": value } }).to_string())
    }

    fn end(mut self) {
        drop(self.0.stdin.take());
        assert!(self.0.wait().unwrap().success());
    }
}

fn swath(dir: &Path, args: &[&str]) -> String {
    let out = Command::new(SWATH)
        .args(args)
        .current_dir(dir)
        .output()
        .unwrap();
    assert!(
        out.status.success(),
        "{args:?}: {}",
        String::from_utf8_lossy(&out.stderr)
    );
    String::from_utf8(out.stdout).unwrap()
}

#[test]
fn the_python_client_of_the_documentation_finds_the_bottom_of_a_bowl() {
    let dir = tempfile::tempdir().unwrap();
    sweep(dir.path(), "");
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/trainables/ask_tell.py");
    let out = Command::new("python3")
        .args([program, "bowl.toml", SWATH])
        .current_dir(dir.path())
        .output()
        .unwrap();
    assert!(
        out.status.success(),
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
    let best: Value = serde_json::from_slice(&out.stdout).unwrap();
    let near = |name: &str, wanted: f64| (best[name].as_f64().unwrap() - wanted).abs() < 1.0;
    assert!(near("x", 1.0) && near("y", 0.0), "{best}");
    assert!(swath(dir.path(), &["replay"]).starts_with("30 of 30"));
    let docs = include_str!("../../docs/ask-tell.md");
    assert!(
        docs.contains(include_str!("../trainables/ask_tell.py")),
        "the documentation shows another client"
    );
}

#[test]
fn a_killed_conversation_goes_on_with_the_trials_that_were_not_told() {
    let dir = tempfile::tempdir().unwrap();
    sweep(dir.path(), "");
    let mut talk = Talk::begin(dir.path());
    let asked: Vec<Value> = (0..4).map(|_| talk.ask()).collect();
    assert_eq!(talk.tell(&asked[0]["trial"], 0.5)["state"], "complete");
    talk.0.kill().unwrap();
    talk.0.wait().unwrap();
    let mut talk = Talk::begin(dir.path());
    assert_eq!(talk.say(r#"{"open": true}"#)["open"], json!([2, 3, 4]));
    assert_eq!(
        talk.tell(&asked[2]["trial"], 0.25),
        json!({ "trial": 3, "state": "complete" })
    );
    let again = talk.ask();
    assert_eq!(
        (&again["trial"], &again["params"]),
        (&asked[1]["trial"], &asked[1]["params"])
    );
    assert_eq!(again["attempt"], 2);
    talk.end();
    let csv = swath(dir.path(), &["export"]);
    let states: Vec<&str> = csv
        .lines()
        .skip(1)
        .map(|row| row.split(',').nth(3).unwrap())
        .collect();
    assert_eq!(states, ["complete", "waiting", "complete", "waiting"]);
}

#[test]
fn a_scheduler_stops_what_is_hopeless_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    sweep(
        dir.path(),
        "[scheduler]\nname = \"asha\"\nresource = \"epoch\"\nmin = 1\nmax = 9\nreduction = 3",
    );
    let mut talk = Talk::begin(dir.path());
    let mut stopped = 0;
    for number in 0..9 {
        let trial = talk.ask()["trial"].clone();
        for epoch in 1..=9 {
            let report =
                json!({ "report": { "trial": trial, "step": epoch, "value": f64::from(number) } });
            let reply = talk.say(&report.to_string());
            if reply["verdict"] != "continue" {
                assert!(reply["why"].is_string(), "{reply}");
                stopped += 1;
                break;
            }
        }
        let told = talk
            .say(&json!({ "tell": { "trial": trial, "value": f64::from(number) } }).to_string());
        assert!(
            told["error"].is_null(),
            "telling a stopped trial is no mistake: {told}"
        );
    }
    talk.end();
    assert!(stopped >= 4, "{stopped}");
    assert!(swath(dir.path(), &["replay"]).contains("9 of 9"));
}

#[test]
fn no_line_ends_the_conversation() {
    let dir = tempfile::tempdir().unwrap();
    sweep(dir.path(), "");
    let mut talk = Talk::begin(dir.path());
    let long = format!("{{\"ask\": \"{}\"}}", "x".repeat(3 << 20));
    for nonsense in [
        "{",
        "null",
        "{\"tell\": {\"trial\": 4294967296}}",
        "\u{1}",
        "[[[[",
        long.as_str(),
        "{\"add\": {\"z\": 1}}",
    ] {
        let reply = talk.say(nonsense);
        let error = &reply["error"];
        assert!(
            error["line"].is_u64() && error["cause"].is_string(),
            "{reply}"
        );
        assert!(
            error["cure"].as_str().is_some_and(|cure| !cure.is_empty()),
            "{reply}"
        );
    }
    talk.0
        .stdin
        .as_mut()
        .unwrap()
        .write_all(b"\xff\xfe\n")
        .unwrap();
    assert!(
        talk.hear()["error"]["cause"]
            .as_str()
            .unwrap()
            .contains("UTF-8")
    );
    assert_eq!(talk.ask()["trial"], 1);
    assert_eq!(talk.say(r#"{"add": {"x": 0.5, "y": 0.5}}"#)["trial"], 2);
    assert!(
        talk.say(r#"{"add": {"x": 0.5, "y": 0.5}}"#)["error"]["cause"]
            .as_str()
            .unwrap()
            .contains("trial 2")
    );
    assert_eq!(talk.ask()["params"], json!({ "x": 0.5, "y": 0.5 }));
    // Parameters computed by a program have more digits than the sweep keeps.
    assert_eq!(
        talk.say(r#"{"add": {"x": 0.123456789012, "y": -0.1}}"#)["trial"],
        3
    );
    assert_eq!(talk.ask()["params"], json!({ "x": 0.123457, "y": -0.1 }));
    talk.end();
}

/// Runs `ask-tell` with an empty input and returns its standard output and exit code.
fn silence(dir: &Path) -> (Value, i32) {
    let out = Command::new(SWATH)
        .args(["ask-tell", "bowl.toml"])
        .current_dir(dir)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    (
        serde_json::from_slice(&out.stdout).unwrap_or_default(),
        out.status.code().unwrap(),
    )
}

#[test]
fn a_trial_that_has_reported_is_complete_without_a_value_and_one_that_has_not_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    sweep(dir.path(), "");
    let mut talk = Talk::begin(dir.path());
    let trial = talk.ask()["trial"].clone();
    for (epoch, loss) in [(1, 0.9), (2, 0.3), (3, 0.5)] {
        talk.say(
            &json!({ "report": { "trial": trial, "step": epoch, "value": loss } }).to_string(),
        );
    }
    let complete =
        |trial: &Value| json!({ "tell": { "trial": trial, "state": "complete" } }).to_string();
    assert_eq!(
        talk.say(&complete(&trial)),
        json!({ "trial": 1, "state": "complete" })
    );
    let empty = talk.ask()["trial"].clone();
    let refused = talk.say(&complete(&empty));
    assert_eq!(
        refused["error"]["cause"],
        "trial 2 has reported nothing and cannot be complete"
    );
    assert_eq!(
        talk.say(r#"{"open": true}"#)["open"],
        json!([2]),
        "nothing has changed"
    );
    let best = talk.say(r#"{"best": 1}"#)["best"][0].clone();
    assert_eq!(
        (&best["objectives"]["loss"], &best["reports"]),
        (&json!(0.3), &json!(3))
    );
    talk.end();
}

/// Returns the model records of the journal, each with its step and whether it has a digest, and
/// the facts about models.
fn models(dir: &Path) -> (Vec<(Value, bool)>, Vec<Value>) {
    let journal = fs::read_to_string(dir.join("logs/bowl/journal.jsonl")).unwrap();
    let records = journal.lines().map(|line| {
        let entry: Value = serde_json::from_str(line).unwrap();
        entry["event"]["logged"]["record"].clone()
    });
    let records: Vec<Value> = records.collect();
    let models = records.iter().filter_map(|record| record.get("model"));
    let facts = records.iter().filter_map(|record| record.get("facts"));
    (
        models
            .map(|model| (model["step"].clone(), model["md5"].is_string()))
            .collect(),
        facts.map(|facts| facts["facts"].clone()).collect(),
    )
}

#[test]
fn a_report_with_a_model_path_records_the_model_and_its_facts_also_with_the_end_of_the_trial() {
    let dir = tempfile::tempdir().unwrap();
    sweep(dir.path(), "");
    fs::write(dir.path().join("m.bin"), "m").unwrap();
    let mut talk = Talk::begin(dir.path());
    let trial = talk.ask()["trial"].clone();
    let values = json!({ "epoch": 3, "loss": 0.5, "model_path": "m.bin", "framework": "torch" });
    talk.say(&json!({ "report": { "trial": trial, "values": values } }).to_string());
    talk.say(&json!({ "tell": { "trial": trial, "state": "complete" } }).to_string());
    let offer = talk.say(r#"{"ask": 1, "folder": true}"#);
    let values = json!({ "epoch": 4, "loss": 0.4, "model_path": "m.bin", "model_layers": 2 });
    talk.say(&json!({ "tell": { "trial": offer["trial"], "values": values } }).to_string());
    let trial = talk.ask()["trial"].clone();
    let values = json!({ "epoch": 5, "loss": 0.3, "model_path": "../m.bin" });
    talk.say(&json!({ "tell": { "trial": trial, "values": values } }).to_string());
    talk.end();
    let (models, facts) = models(dir.path());
    assert_eq!(models, [(json!(3.0), true), (json!(4.0), true)]);
    assert_eq!(
        facts,
        [json!({ "framework": "torch" }), json!({ "layers": 2 })]
    );
    // The model of the second trial is the best one, and its bytes are held.
    let held = dir.path().join("logs/bowl/2/held");
    assert_eq!(fs::read_dir(held).unwrap().count(), 1);
    let best = swath(dir.path(), &["best", "bowl", "--json"]);
    assert!(
        best.contains("\"loss\": 0.3") || best.contains("\"loss\":0.3"),
        "{best}"
    );
}

#[test]
fn what_a_client_gave_up_is_told_with_its_reason() {
    let dir = tempfile::tempdir().unwrap();
    sweep(dir.path(), "");
    let mut talk = Talk::begin(dir.path());
    for (state, why) in [
        ("stopped", "diverged"),
        ("failed", "no memory"),
        ("waiting", "node is gone"),
    ] {
        let trial = talk.ask()["trial"].clone();
        talk.say(&json!({ "tell": { "trial": trial, "state": state, "why": why } }).to_string());
    }
    talk.end();
    let why = |trial| swath(dir.path(), &["why", "bowl", trial]);
    assert!(
        why("1").starts_with("trial 1 was stopped: the program that ran it gave it up: diverged\n")
    );
    assert!(
        why("2").starts_with("trial 2 failed: no memory\n"),
        "{}",
        why("2")
    );
    assert!(
        why("3").contains("the program that ran it gave it back: node is gone"),
        "{}",
        why("3")
    );
    assert!(swath(dir.path(), &["replay"]).contains("3 of 3"));
}

#[test]
fn a_value_in_quotes_counts_and_is_warned_of_once() {
    let dir = tempfile::tempdir().unwrap();
    sweep(dir.path(), "");
    let mut talk = Talk::begin(dir.path());
    talk.ask();
    for step in 1..=2 {
        talk.say(
            &json!({ "report": { "trial": 1, "step": step, "values": { "loss": "0.25" } } })
                .to_string(),
        );
    }
    assert_eq!(
        talk.say(r#"{"tell": {"trial": 1, "value": "0.5"}}"#)["state"],
        "complete"
    );
    talk.end();
    let shown = swath(dir.path(), &["show", "bowl", "1"]);
    assert!(shown.contains("loss 0.25"), "{shown}");
    assert_eq!(
        shown.matches("`loss` is a number in quotes").count(),
        1,
        "{shown}"
    );
}

#[test]
fn an_error_at_the_start_is_a_reply_too() {
    let dir = tempfile::tempdir().unwrap();
    let (reply, code) = silence(dir.path());
    assert_eq!((&reply["error"]["line"], code), (&json!(0), 2));
    assert_eq!(reply["error"]["cause"], "there is no file `bowl.toml`");
    sweep(dir.path(), "sampler = \"tpee\"");
    let (reply, code) = silence(dir.path());
    let error = &reply["error"];
    assert!(
        error["cause"].as_str().unwrap().contains("tpee") && error["cure"].is_string(),
        "{reply}"
    );
    assert_eq!(code, 2);
    sweep(dir.path(), "");
    let mut talk = Talk::begin(dir.path());
    talk.ask();
    let (reply, code) = silence(dir.path());
    assert!(
        reply["error"]["cause"]
            .as_str()
            .unwrap()
            .contains("is being run by"),
        "{reply}"
    );
    assert_eq!(code, 5);
    talk.end();
}

#[test]
fn a_sweep_without_run_is_checked_and_planned() {
    let dir = tempfile::tempdir().unwrap();
    sweep(dir.path(), "");
    assert!(swath(dir.path(), &["check", "bowl.toml", "--strict"]).contains("`swath ask-tell`"));
    let planned: Value =
        serde_json::from_str(&swath(dir.path(), &["plan", "bowl.toml", "--json"])).unwrap();
    let mut talk = Talk::begin(dir.path());
    assert_eq!(talk.ask()["params"], planned["trials"][0]["params"]);
    talk.end();
    let run = Command::new(SWATH)
        .args(["run", "bowl.toml"])
        .current_dir(dir.path())
        .output()
        .unwrap();
    assert_eq!(
        run.status.code(),
        Some(2),
        "there is nothing that it could run"
    );
}
