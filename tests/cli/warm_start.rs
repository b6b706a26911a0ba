//! Trials from other sources or from a user: `swath import` and `swath add`, tested through the
//! binary.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::command::Ended;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const SWATH: &str = env!("CARGO_BIN_EXE_swath");

const SPACE: &str = "[space]\nx = { min = 0.0, max = 1.0 }\nk = [\"a\", \"b\"]\nn = { min = 1, max = 8, default = 3 }\n";

/// Writes a sweep whose trials report what `script` prints for `x`, `k` and `n` as $1, $2 and $3.
fn sweep(dir: &Path, trials: u32, script: &str, more: &str) {
    let text = format!(
        "name = \"s\"\n{more}\n[objective]\nmetric = \"loss\"\ngoal = \"min\"\n[search]\nsampler = \"tpe\"\ntrials = {trials}\n[resources]\njobs = 1\n[run]\ncommand = [\"sh\", \"-c\", '''{script}''', \"{SWATH}\", \"{{x}}\", \"{{k}}\", \"{{n}}\"]\n{SPACE}"
    );
    fs::write(dir.join("s.toml"), text).unwrap();
}

const REPORT: &str = "$0 report loss=$1 latency=$3";

fn output(dir: &Path, args: &[&str]) -> std::process::Output {
    Command::new(SWATH)
        .args(args)
        .current_dir(dir)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// Runs a command that must succeed and returns its standard output and error.
fn swath(dir: &Path, args: &[&str]) -> (String, String) {
    let Ended { code, out, err } = Ended::of(output(dir, args));
    assert_eq!(code, Some(0), "{args:?}: {err}");
    (out, err)
}

/// Runs a command that must be refused and returns its message.
fn refused(dir: &Path, args: &[&str]) -> String {
    let out = output(dir, args);
    let message = String::from_utf8(out.stderr).unwrap();
    assert_eq!(out.status.code(), Some(2), "{args:?}: {message}");
    message
}

fn column(dir: &Path, name: &str) -> Vec<String> {
    let (csv, _) = swath(dir, &["export", "s"]);
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    let at = reader
        .headers()
        .unwrap()
        .iter()
        .position(|found| found == name)
        .unwrap();
    reader
        .records()
        .map(|record| record.unwrap()[at].to_owned())
        .collect()
}

#[test]
fn a_plain_table_is_imported_by_its_columns_once_and_never_counted() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    sweep(dir, 4, REPORT, "");
    fs::write(
        dir.join("old.csv"),
        "rate,k,n,val,comment\n0.125,a,1,0.5,x\n0.123456789012,b,,0.25,y\n7.5,a,2,0.1,z\n0.5,a,2,nan,\n",
    )
    .unwrap();
    let map = [
        "import", "s.toml", "old.csv", "--map", "x=rate", "--map", "loss=val",
    ];
    let message = swath(dir, &map).1;
    assert!(
        message.contains("imported 4 trials") && message.contains("`x` = 7.5 is outside its range"),
        "{message}"
    );
    assert_eq!(
        column(dir, "param.x"),
        ["0.125", "0.123456789012", "7.5", "0.5"]
    );
    assert_eq!(
        column(dir, "param.n"),
        ["1", "3", "2", "2"],
        "the missing one is the default"
    );
    assert_eq!(column(dir, "loss"), ["0.5", "0.25", "0.1", ""]);
    assert_eq!(
        column(dir, "state"),
        ["complete", "complete", "complete", "failed"]
    );
    assert!(swath(dir, &map).1.contains("4 trials were imported before"));
    assert!(
        swath(dir, &["best", "s"])
            .0
            .starts_with("trial 2: loss 0.25"),
        "the one outside is not best"
    );
    let (_, run) = swath(dir, &["run", "s.toml"]);
    assert!(
        run.contains("4 trials and 3 imported: 6 complete, 1 failed; 1 outside the space"),
        "{run}"
    );
    assert_eq!(
        column(dir, "origin")
            .iter()
            .filter(|origin| *origin == "old.csv")
            .count(),
        4
    );
    assert!(swath(dir, &["replay", "s"]).0.starts_with("4 of 4"));
}

#[test]
fn our_own_table_comes_back_value_for_value() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    sweep(dir, 5, REPORT, "");
    swath(dir, &["run", "s.toml"]);
    fs::rename(dir.join("logs/s/trials.csv"), dir.join("trials.csv")).unwrap();
    let before = (
        column(dir, "param.x"),
        column(dir, "loss"),
        column(dir, "metric.latency"),
    );
    fs::remove_dir_all(dir.join("logs")).unwrap();
    swath(dir, &["import", "s.toml", "trials.csv"]);
    assert_eq!(
        (
            column(dir, "param.x"),
            column(dir, "loss"),
            column(dir, "metric.latency")
        ),
        before
    );
}

#[test]
fn what_cannot_be_imported_is_said_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    sweep(dir, 4, REPORT, "");
    for (text, wanted) in [
        ("a,b\n1,2\n", "--map loss=COLUMN"),
        ("loss,y\n1,2\n", "--map lr=COLUMN"),
        ("loss,x\n1\n", "is not a table"),
        ("loss,x\ngood,0.5\n", "row 2"),
        ("{\"op_code\":9}\n{\"op_code\":5}\n", "line 2"),
        ("{}", "no study"),
        ("\u{0}\u{1}", "no column"),
        ("", "no column"),
        (
            "SQLite format 3\0 and then nothing",
            "not an Optuna database",
        ),
    ] {
        fs::write(dir.join("bad"), text).unwrap();
        let message = refused(dir, &["import", "s.toml", "bad"]);
        assert!(message.contains(wanted), "{text:?}: {message}");
    }
    refused(dir, &["import", "s.toml", "missing"]);
    assert!(column(dir, "trial_id").is_empty(), "nothing was taken in");
}

#[test]
fn only_regular_files_are_imported() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    sweep(dir, 4, REPORT, "");
    fs::create_dir(dir.join("folder")).unwrap();
    assert!(
        Command::new("mkfifo")
            .arg(dir.join("pipe"))
            .status()
            .unwrap()
            .success()
    );
    for (path, kind) in [
        ("folder", "a folder"),
        ("pipe", "a pipe"),
        ("/dev/zero", "a device"),
    ] {
        let started = Instant::now();
        let message = refused(dir, &["import", "s.toml", path]);
        assert!(
            message.contains(&format!("is {kind}, not a file")),
            "{message}"
        );
        assert!(
            message.contains("write its contents into a file"),
            "{message}"
        );
        assert!(started.elapsed() < Duration::from_secs(20));
    }
}

#[test]
fn a_table_that_is_too_large_for_one_write_is_imported_with_its_misfits_marked() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    sweep(dir, 4, REPORT, "");
    // Each text is 40 kB long, so that the events of 500 trials are more than one write.
    let long = "y".repeat(40_000);
    let rows: String = (0..500)
        .map(|row| format!("0.{row:03},0.{row:03},{}\n", ["a", &long][row % 2]))
        .collect();
    fs::write(dir.join("large.csv"), format!("\u{feff}loss,x,k\n{rows}")).unwrap();
    let (_, message) = swath(dir, &["import", "s.toml", "large.csv"]);
    assert!(message.contains("imported 500 trials"), "{message}");
    let (_, message) = swath(dir, &["import", "s.toml", "large.csv"]);
    assert!(
        message.contains("500 trials were imported before"),
        "{message}"
    );
    let (_, run) = swath(dir, &["run", "s.toml"]);
    assert!(run.contains("250 outside the space"), "{run}");
    fs::write(dir.join("later.csv"), "loss,x,k\n0.5,0.25,a\nbad,0.5,a\n").unwrap();
    refused(dir, &["import", "s.toml", "later.csv"]);
    assert_eq!(column(dir, "trial_id").len(), 504, "nothing was imported");
}

#[test]
fn configurations_are_added_to_a_study_that_runs_and_to_one_that_does_not() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    sweep(dir, 4, &format!("sleep 0.4; {REPORT}"), "");
    let mut run = Command::new(SWATH)
        .args(["run", "s.toml", "-q"])
        .current_dir(dir)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let patience = Instant::now() + Duration::from_secs(20);
    while !dir.join("logs/s/1").exists() && Instant::now() < patience {
        std::thread::sleep(Duration::from_millis(10));
    }
    let (_, message) = swath(dir, &["add", "s", "x=0.875", "k=b", "n=7"]);
    assert!(message.contains("to run next"), "{message}");
    assert!(run.wait().unwrap().success());
    let origins = column(dir, "origin");
    let at = origins.iter().position(|origin| origin == "added").unwrap();
    assert!(
        at > 0 && at < 3,
        "it runs before what the sampler proposes: {origins:?}"
    );
    assert_eq!(column(dir, "param.x")[at], "0.875");
    assert_eq!(origins.len(), 4, "it counts towards the total");
    assert!(
        refused(dir, &["add", "s", "x=0.875", "k=b", "n=7"])
            .contains("already has this configuration")
    );
    assert!(refused(dir, &["add", "s", "x=2.0"]).contains("not between"));
    assert!(refused(dir, &["add", "s", "y=2.0"]).contains("there is no parameter `y`"));
    fs::write(
        dir.join("points.toml"),
        "[[point]]\nx = 0.5\nk = \"a\"\n[[point]]\nx = 0.25\n",
    )
    .unwrap();
    assert!(
        swath(dir, &["add", "s", "--toml", "points.toml"])
            .1
            .contains("added trial 6: x=0.25")
    );
    swath(dir, &["run", "s.toml"]);
    assert_eq!(column(dir, "state"), vec!["complete"; 6]);
    assert!(swath(dir, &["replay", "s"]).0.starts_with("3 of 3"));
}

#[test]
fn a_trial_that_breaks_a_limit_is_complete_but_never_best() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    sweep(
        dir,
        12,
        REPORT,
        "[[outcome_constraint]]\nmetric = \"latency\"\nmax = 4",
    );
    swath(dir, &["run", "s.toml"]);
    let numbers = |name| -> Vec<f64> {
        column(dir, name)
            .iter()
            .map(|cell| cell.parse().unwrap())
            .collect()
    };
    let (loss, latency) = (numbers("loss"), numbers("metric.latency"));
    let least = |keeps: &dyn Fn(f64) -> bool| {
        loss.iter()
            .zip(&latency)
            .filter(|(_, latency)| keeps(**latency))
            .map(|(loss, _)| *loss)
            .fold(9.0, f64::min)
    };
    let (kept, broken) = (
        least(&|latency| latency <= 4.0),
        least(&|latency| latency > 4.0),
    );
    let (best, _) = swath(dir, &["best", "s", "--json"]);
    let best: serde_json::Value = serde_json::from_str(&best).unwrap();
    assert_eq!(best["best"][0]["objectives"]["loss"], kept);
    assert!(
        broken < 9.0,
        "no trial broke the limit, so nothing was tested"
    );
    let at = latency.iter().position(|latency| *latency > 4.0).unwrap() + 1;
    let (why, _) = swath(dir, &["why", "s", &at.to_string()]);
    assert!(
        why.contains("breaks an outcome constraint") && why.contains("latency <= 4"),
        "{why}"
    );
    assert!(swath(dir, &["show", "s"]).0.contains("latency <= 4"));
    assert!(swath(dir, &["replay", "s"]).0.starts_with("12 of 12"));
}

#[test]
fn replicates_share_a_configuration_and_a_hopeless_one_gets_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    // The seed changes the loss by at most 0.01, so larger differences are not noise.
    let script = "$0 report loss=$(awk -v x=$1 -v s=$SWATH_SEED 'BEGIN {{ print x + (s % 100) / 10000 }}') latency=$3";
    sweep(dir, 30, script, "[replicate]\nseeds = 3");
    swath(dir, &["run", "s.toml"]);
    let (heads, replicates) = (column(dir, "configuration"), column(dir, "replicate"));
    let (xs, seeds, loss) = (
        column(dir, "param.x"),
        column(dir, "seed"),
        column(dir, "loss"),
    );
    let mut means: Vec<(f64, usize, String)> = Vec::new();
    let mut heads_in_order: Vec<&String> = heads.iter().collect();
    heads_in_order.dedup();
    for head in heads_in_order {
        let members: Vec<usize> = (0..heads.len()).filter(|at| heads[*at] == *head).collect();
        assert!(
            members.iter().all(|at| xs[*at] == xs[members[0]]),
            "one configuration"
        );
        let different: std::collections::BTreeSet<&String> =
            members.iter().map(|at| &seeds[*at]).collect();
        assert_eq!(different.len(), members.len(), "different seeds");
        assert_eq!(
            replicates[*members.last().unwrap()],
            members.len().to_string()
        );
        let mean = members
            .iter()
            .map(|at| loss[*at].parse::<f64>().unwrap())
            .sum::<f64>()
            / members.len() as f64;
        means.push((mean, members.len(), head.clone()));
    }
    let count = loss.len();
    assert!(
        (28..=30).contains(&count),
        "every seed counts towards the total: {count}"
    );
    assert!(
        means.iter().any(|(_, count, _)| *count == 3)
            && means.iter().any(|(_, count, _)| *count == 1),
        "{means:?}"
    );
    assert!(
        means.len() > 10,
        "the race leaves room for more configurations: {means:?}"
    );
    let proven = means
        .iter()
        .filter(|(_, count, _)| *count == 3)
        .min_by(|a, b| a.0.total_cmp(&b.0))
        .unwrap();
    let (best, _) = swath(dir, &["best", "s"]);
    assert!(
        best.starts_with(&format!("trial {}: loss ", proven.2))
            && best.contains("±")
            && best.contains("(3 seeds)"),
        "{best}"
    );
    let dropped = means.iter().find(|(_, count, _)| *count == 1).unwrap();
    let (why, _) = swath(dir, &["why", "s", &dropped.2]);
    assert!(why.contains("no more seeds will run"), "{why}");
    assert!(
        swath(dir, &["replay", "s"])
            .0
            .starts_with(&format!("{count} of {count}"))
    );
}

#[test]
fn a_new_study_begins_with_the_best_configurations_of_an_earlier_one_that_its_space_admits() {
    let dir = tempfile::tempdir().unwrap();
    sweep(dir.path(), 8, REPORT, "");
    swath(dir.path(), &["run", "s.toml", "--quiet"]);
    let mut earlier: Vec<f64> = column(dir.path(), "loss")
        .iter()
        .map(|loss| loss.parse().unwrap())
        .collect();
    earlier.sort_by(f64::total_cmp);

    // A parameter more, and a range that excludes the very best trial.
    let text = fs::read_to_string(dir.path().join("s.toml")).unwrap();
    let lowest = (earlier[0] + earlier[1]) / 2.0;
    let text = text
        .replace("name = \"s\"", "name = \"t\"")
        .replace("x = { min = 0.0,", &format!("x = {{ min = {lowest},"))
        + "m = { min = 1, max = 4 }\n";
    fs::write(dir.path().join("t.toml"), &text).unwrap();
    let run = ["run", "t.toml", "--learn-from", "s"];
    let (_, stderr) = swath(dir.path(), &run);
    assert!(stderr.contains("learned from `s`"), "{stderr}");
    let (table, _) = swath(dir.path(), &["export", "t"]);
    let mut reader = csv::Reader::from_reader(table.as_bytes());
    let headers = reader.headers().unwrap().clone();
    let at = |name: &str| headers.iter().position(|header| header == name).unwrap();
    let rows: Vec<(f64, String)> = reader
        .records()
        .map(Result::unwrap)
        .map(|row| {
            (
                row[at("loss")].parse().unwrap(),
                row[at("origin")].to_owned(),
            )
        })
        .collect();
    assert_eq!(rows.len(), 8);
    for (row, loss) in rows.iter().zip(&earlier[1..4]) {
        assert_eq!((row.0, row.1.as_str()), (*loss, "added"));
    }
    assert_ne!(rows[3].1, "added");
    // The proposals after them can be computed again from the journal.
    swath(dir.path(), &["replay", "t"]);

    // Another objective says nothing about this one.
    let other = text
        .replace("name = \"t\"", "name = \"u\"")
        .replace("metric = \"loss\"", "metric = \"latency\"");
    fs::write(dir.path().join("u.toml"), other).unwrap();
    let (_, stderr) = swath(dir.path(), &["run", "u.toml", "--learn-from", "s"]);
    assert!(stderr.contains("nothing is learned from `s`"), "{stderr}");
    let unknown = refused(dir.path(), &["run", "u.toml", "--learn-from", "nowhere"]);
    assert!(unknown.contains("nowhere"), "{unknown}");
}
