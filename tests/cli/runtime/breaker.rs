//! Trials that fail at once: a typo consumes no configuration, a broken slot is paused, and a retry
//! waits.

use super::world::World;
use std::fs;

const GOOD: &str = "echo \"{\\\"loss\\\": $1}\" >> $SWATH_RECORDS\n";

#[test]
fn a_typo_in_the_script_ends_the_run_and_uses_up_no_point() {
    let world = World::new(
        200,
        "[resources]\njobs = 2",
        "echo 'no such option: --lr' >&2; exit 2\n",
    );
    let ended = world.run();
    assert_eq!(ended.code, Some(4), "{}", ended.err);
    let end = ended.err.split("ended because").nth(1).unwrap();
    assert!(end.contains("| no such option: --lr"), "{end}");
    assert!(
        end.contains("quick_failures = 0") && end.trim_end().ends_with("run s.toml"),
        "{end}"
    );
    let states = world.column("state");
    assert!(
        states.len() < 10 && states.iter().all(|state| state == "waiting"),
        "{states:?}"
    );
    assert!(
        world
            .swath(&["why", "s", "1"])
            .out
            .contains("failed within seconds")
    );

    world.sweep(20, "[resources]\njobs = 2");
    world.write("train.sh", GOOD);
    let again = world.run();
    assert_eq!(again.code, Some(0), "{}", again.err);
    assert_eq!(world.column("state"), vec!["complete"; 20]);
    assert_eq!(world.swath(&["replay", "s"]).code, Some(0));
}

#[test]
fn who_means_them_to_fail_can_say_so() {
    let world = World::new(
        12,
        "[limits]\nquick_failures = 0\n[resources]\njobs = 1",
        "exit 2\n",
    );
    assert_eq!(world.run().code, Some(3));
    assert_eq!(world.column("state"), vec!["failed"; 12]);
}

#[test]
fn trials_that_report_before_they_fail_are_not_at_fault() {
    let script = format!("{GOOD}exit 1\n");
    let world = World::new(12, "[resources]\njobs = 1", &script);
    assert_eq!(world.run().code, Some(3));
    assert_eq!(world.column("state"), vec!["failed"; 12]);
}

#[test]
fn a_workdir_that_is_deleted_during_the_run_costs_no_trial() {
    let script = format!("{GOOD}case $SWATH_TRIAL in 3) rm -rf ../work;; esac\n");
    let world = World::new(40, "[resources]\njobs = 1", "");
    fs::create_dir(world.path("work")).unwrap();
    world.write("work/train.sh", &script);
    let sweep = world
        .read("s.toml")
        .replace("grace =", "workdir = \"work\"\ngrace =");
    world.write("s.toml", &sweep);
    let ended = world.run();
    assert_eq!(ended.code, Some(4), "{}", ended.err);
    assert!(
        ended
            .err
            .contains("does not exist or is no directory; see `workdir` in [run]"),
        "{}",
        ended.err
    );
    let states = world.column("state");
    assert!(states.iter().all(|state| state != "failed"), "{states:?}");
    assert_eq!(
        states.iter().filter(|state| *state == "complete").count(),
        3
    );

    fs::create_dir(world.path("work")).unwrap();
    world.write("work/train.sh", GOOD);
    assert_eq!(world.run().code, Some(0));
    assert_eq!(world.column("state"), vec!["complete"; 40]);
}

/// Returns the second, with its fraction, of the time at the start of a line of a journal.
fn second_of_the_minute(line: &str) -> f64 {
    let line: serde_json::Value = serde_json::from_str(line).unwrap();
    let at = line["at"].as_str().unwrap();
    at[17..].trim_end_matches('Z').parse().unwrap()
}

#[test]
fn a_repetition_waits_longer_each_time_while_others_go_on() {
    let script = format!("case $SWATH_TRIAL.$SWATH_ATTEMPT in 1.1|1.2) exit 1;; esac\n{GOOD}");
    let more = "[retry]\ntimes = 2\nbackoff = { crash = \"400ms\" }\n[resources]\njobs = 1";
    let world = World::new(4, more, &script);
    let ended = world.run();
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    let why = world.swath(&["why", "s", "1"]).out;
    assert_eq!(why.matches("requeued until").count(), 2, "{why}");
    let ended: Vec<_> = world.column("ended_at");
    assert!(
        ended[1..].iter().all(|other| *other < ended[0]),
        "{ended:?}"
    );
    let times: Vec<f64> = world
        .read("logs/s/journal.jsonl")
        .lines()
        .filter(|line| line.contains("\"started\"") && line.contains("\"trial\":1,"))
        .map(second_of_the_minute)
        .collect();
    let gap = |from: f64, to: f64| (to - from + 60.0) % 60.0;
    assert!(
        gap(times[0], times[1]) >= 0.4 && gap(times[1], times[2]) >= 0.8,
        "{times:?}"
    );
}
