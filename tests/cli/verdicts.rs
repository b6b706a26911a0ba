//! Verdicts on trials and sweeps, tested through the binary: invalid configurations, first trials
//! without an objective, outputs that are read again, and further seeds.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::runtime::world::World;

const GOOD: &str = "echo \"{\\\"loss\\\": $1}\" >> $SWATH_RECORDS\n";

#[test]
fn an_invalid_configuration_is_neither_retried_nor_a_failure_and_its_reason_is_shown() {
    let script = format!("case $1 in 0.[0-5]*) echo 'too many layers' >&2; exit 2;; esac\n{GOOD}");
    let more = "[resources]\njobs = 1\n[retry]\ntimes = 2\n[limits]\nfailures = 1\n";
    let world = World::new(30, more, &script);
    let sweep = world
        .read("s.toml")
        .replace("grace =", "invalid = [2]\ngrace =");
    world.write("s.toml", &sweep);
    let said = world.run();
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(
        said.err.contains("invalid configuration: too many layers"),
        "{}",
        said.err
    );
    let states = world.column("state");
    let invalid = states.iter().filter(|state| *state == "invalid").count();
    assert!(invalid > 8, "{states:?}");
    assert_eq!(
        states.iter().filter(|state| *state == "complete").count(),
        30 - invalid
    );
    assert!(
        world
            .column("attempts")
            .iter()
            .all(|attempts| attempts == "1")
    );
    assert!(
        world
            .swath(&["ls", "s", "invalid"])
            .out
            .contains("too many layers")
    );
    assert_eq!(world.swath(&["replay", "s"]).code, Some(0));
}

#[test]
fn a_record_says_that_a_configuration_is_invalid_and_such_trials_need_not_count() {
    let script = format!(
        "case $1 in 0.[0-3]*) echo '{{\"kind\": \"invalid\", \"why\": \"it does not fit\"}}' >> \
         $SWATH_RECORDS; exit 1;; esac\n{GOOD}"
    );
    let world = World::new(12, "[resources]\njobs = 1\n", &script);
    let sweep = world
        .read("s.toml")
        .replace("trials =", "count_invalid = false\ntrials =");
    world.write("s.toml", &sweep);
    let said = world.run();
    assert_eq!(said.code, Some(0), "{}", said.err);
    let states = world.column("state");
    assert_eq!(
        states.iter().filter(|state| *state == "complete").count(),
        12
    );
    assert!(states.iter().any(|state| state == "invalid"), "{states:?}");
    assert!(said.err.contains("it does not fit"), "{}", said.err);
    assert_eq!(world.swath(&["replay", "s"]).code, Some(0));
}

#[test]
fn ten_first_trials_that_are_all_invalid_end_the_sweep_with_their_reasons() {
    let script = "swath report kind=invalid why='the image is too small'\n";
    let world = World::new(40, "[resources]\njobs = 1\n", script);
    let said = world.run();
    assert_eq!(said.code, Some(3), "{}", said.err);
    assert_eq!(world.column("state"), vec!["invalid"; 10]);
    assert!(
        said.err
            .contains("10 × invalid configuration: the image is too small"),
        "{}",
        said.err
    );
}
