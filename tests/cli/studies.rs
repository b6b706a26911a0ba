//! `swath run STUDY` goes on with a study from its own sweep file, and overrides of the command
//! line are part of what a study stores.

use crate::command::swath;
use std::fs;
use std::path::Path;
use tempfile::TempDir;

const SWEEP: &str = r#"# A small sweep.
[run]
command = ["sh", "train.sh", "{x}"]

[objective]
metric = "loss"
goal = "min"

[search]
sampler = "random"
trials = 2

[space]
x = { min = 0.0, max = 1.0 } # the only parameter
"#;

/// Makes a project whose script appends to `where.txt` in its working directory.
fn project() -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let script = "echo $1 >>where.txt\necho \"{\\\"loss\\\": $1}\" >>\"$SWATH_RECORDS\"\n";
    fs::write(folder.path().join("small.toml"), SWEEP).expect("it can be written");
    fs::write(folder.path().join("train.sh"), script).expect("it can be written");
    folder
}

/// Returns the number of trials in a study's table.
fn trials(study: &Path) -> usize {
    let table = fs::read_to_string(study.join("trials.csv")).expect("the study has a table");
    table.lines().count() - 1
}

#[test]
fn a_study_goes_on_by_its_name_and_by_its_folder_also_after_it_was_moved() {
    let project = project();
    let here = project.path();
    let (code, _, err) = swath(here, &["run", "small.toml"]);
    assert_eq!(code, 0, "{err}");
    let stored = fs::read_to_string(here.join("logs/small/sweep.toml")).expect("it is stored");
    assert_eq!(stored, format!("name = \"small\"\n{SWEEP}"));
    fs::remove_file(here.join("small.toml")).expect("it can be removed");
    let (code, _, err) = swath(here, &["run", "small", "search.trials=3"]);
    assert_eq!((code, trials(&here.join("logs/small"))), (0, 3), "{err}");
    // From elsewhere the trials still run in the project in which the study lies.
    let elsewhere = tempfile::tempdir().expect("a temporary folder");
    let study = here.join("logs/small").display().to_string();
    let (code, _, err) = swath(elsewhere.path(), &["run", &study, "search.trials=4"]);
    assert_eq!((code, trials(&here.join("logs/small"))), (0, 4), "{err}");
    let lines = fs::read_to_string(here.join("where.txt")).expect("it was written");
    assert_eq!(lines.lines().count(), 4);
    // A moved project goes on where it is now, under the name of the study's folder.
    let moved = elsewhere.path().join("moved");
    fs::create_dir_all(moved.join("logs")).expect("it can be created");
    fs::copy(here.join("train.sh"), moved.join("train.sh")).expect("it can be copied");
    fs::rename(here.join("logs/small"), moved.join("logs/other")).expect("it can be moved");
    let (code, _, err) = swath(&moved, &["run", "logs/other", "search.trials=5"]);
    assert_eq!((code, trials(&moved.join("logs/other"))), (0, 5), "{err}");
    assert!(err.contains("the study is now called `other`"), "{err}");
    let lines = fs::read_to_string(moved.join("where.txt")).expect("it was written");
    assert_eq!(lines.lines().count(), 1);
    let (code, _, err) = swath(&moved, &["replay", "other"]);
    assert_eq!(code, 0, "{err}");
    let (code, _, err) = swath(&moved, &["verify", "other"]);
    assert_eq!(code, 0, "{err}");
}

#[test]
fn an_older_study_whose_sweep_file_has_no_name_goes_on() {
    let project = project();
    let here = project.path();
    assert_eq!(swath(here, &["run", "small.toml"]).0, 0);
    let study = here.join("logs/small");
    fs::write(study.join("sweep.toml"), SWEEP).expect("it can be written");
    let (code, _, err) = swath(here, &["run", "small", "search.trials=3"]);
    assert_eq!((code, trials(&study)), (0, 3), "{err}");
}

#[test]
fn overrides_are_stored_and_checked_like_the_file() {
    let project = project();
    let here = project.path();
    let overrides = ["run", "small.toml", "search.trials=3", "space.x.max=0.25"];
    let (code, _, err) = swath(here, &overrides);
    assert_eq!(code, 0, "{err}");
    let stored = fs::read_to_string(here.join("logs/small/sweep.toml")).expect("it is stored");
    assert!(
        stored.contains("max = 0.25 } # the only parameter"),
        "{stored}"
    );
    assert!(stored.contains("trials = 3\n"), "{stored}");
    let (code, shown, _) = swath(here, &["plan", "small.toml", "space.x=[7]", "name=other"]);
    assert_eq!((code, shown.contains("x=7")), (0, true), "{shown}");
    for (argument, parts) in [
        (
            "search.trials=many",
            ["command line:1:15", "this is a string"],
        ),
        (
            "search.trails=3",
            ["command line:1:1", "did you mean `trials`?"],
        ),
        (
            "space.y=3",
            ["has no parameter `y`", "`+space.y=3` adds it"],
        ),
        (
            "trials",
            ["`trials` is not an override", "search.trials=50"],
        ),
    ] {
        let (code, _, err) = swath(here, &["check", "small.toml", argument]);
        assert_eq!(code, 2, "{argument}");
        for part in parts {
            assert!(err.contains(part), "{part}\n{err}");
        }
    }
    let (code, document, _) = swath(here, &["check", "--json", "small.toml", "seed=x"]);
    let document: serde_json::Value = serde_json::from_str(&document).expect("it is JSON");
    assert_eq!(
        (code, &document["diagnostics"][0]["file"]),
        (2, &"command line".into())
    );
}

#[test]
fn a_program_in_place_of_a_sweep_file_is_recognised() {
    let project = project();
    let here = project.path();
    let (code, _, err) = swath(here, &["run", "train.sh"]);
    assert_eq!(code, 2);
    assert!(
        err.contains("`train.sh` is a program, not a sweep file"),
        "{err}"
    );
    assert!(err.contains("did you mean `swath init train.sh`?"), "{err}");
    fs::rename(here.join("small.toml"), here.join("train.toml")).expect("it can be renamed");
    let (_, _, err) = swath(here, &["run", "train.sh"]);
    assert!(err.contains("did you mean `train.toml`?"), "{err}");
}

#[test]
fn logs_why_and_show_take_several_trials() {
    let project = project();
    let here = project.path();
    assert_eq!(swath(here, &["run", "small.toml", "search.trials=4"]).0, 0);
    for (command, separator) in [("show", "  complete"), ("why", " is complete: ")] {
        let (code, shown, _) = swath(here, &[command, "1", "3-4"]);
        assert_eq!(code, 0, "{command}");
        assert_eq!(shown.matches(separator).count(), 3, "{command}\n{shown}");
        assert!(
            !shown.contains(&format!("trial 2{separator}")),
            "{command}\n{shown}"
        );
    }
    let (code, _, err) = swath(here, &["logs", "small", "1-2", "4"]);
    assert_eq!(code, 0);
    assert_eq!(err.matches("has written nothing").count(), 3, "{err}");
    let (code, _, err) = swath(here, &["logs", "--follow", "1", "2"]);
    assert_eq!(code, 2);
    assert!(err.contains("`--follow` takes only one"), "{err}");
}
