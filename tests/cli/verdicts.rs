//! Verdicts on trials and sweeps, tested through the binary: invalid configurations, first trials
//! without an objective, outputs that are read again, and further seeds.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::runtime::World;

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

/// A program that prints its result under another name than the sweep file expects.
const PRINTS: &str = "echo starting\necho \"Test Loss: $1\"\n";

#[test]
fn a_first_trial_without_its_objective_starts_no_other_and_its_output_can_be_read_again() {
    let capture = "[capture]\nloss = 'loss=(\\S+)'\n[resources]\njobs = 1\n";
    let world = World::new(12, capture, PRINTS);
    let said = world.run();
    assert_eq!(said.code, Some(3), "{}", said.err);
    assert_eq!(world.column("state"), ["failed"]);
    assert!(said.err.contains("stdout has `Test Loss: "), "{}", said.err);
    assert!(said.err.contains("swath recapture s"), "{}", said.err);
    assert!(said.err.contains("swath retry s"), "{}", said.err);

    world.sweep(
        12,
        "[capture]\nloss = 'Test Loss: (\\S+)'\n[resources]\njobs = 1\n",
    );
    let recaptured = world.swath(&["recapture", "s"]);
    assert_eq!(recaptured.code, Some(0), "{}", recaptured.err);
    assert!(
        recaptured.err.contains("trial 1 complete: loss 0."),
        "{}",
        recaptured.err
    );
    assert_eq!(world.column("state"), ["complete"]);
    assert_eq!(world.column("loss"), world.column("param.x"));
    let said = world.run();
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert_eq!(world.column("state"), vec!["complete"; 12]);
    assert_eq!(world.swath(&["replay", "s"]).code, Some(0));
    let metrics = world.read("logs/s/1/metrics/report.json");
    assert_eq!(metrics.lines().count(), 1, "{metrics}");
}

#[test]
fn reports_under_another_name_are_recorded_again_and_a_cut_output_is_named() {
    let script = "swath report Loss=$1 epoch=1\nyes 'a long output' | head -c 3000000\necho end\n";
    let world = World::new(
        4,
        "[resources]\njobs = 1\n[limits]\nlog = '64 KiB'\n",
        script,
    );
    let said = world.run();
    assert_eq!(said.code, Some(3), "{}", said.err);
    let sweep = world.read("s.toml").replace("\"loss\"", "\"Loss\"");
    world.write("s.toml", &sweep);
    let recaptured = world.swath(&["recapture", "s.toml"]);
    assert_eq!(recaptured.code, Some(0), "{}", recaptured.err);
    assert!(
        recaptured
            .err
            .contains("the middle of stdout.log was cut out"),
        "{}",
        recaptured.err
    );
    assert_eq!(world.column("Loss"), world.column("param.x"));
    assert_eq!(world.swath(&["replay", "s"]).code, Some(0));
}

#[test]
fn one_silent_trial_does_not_hold_up_a_sweep_in_which_another_reports() {
    let script = format!("case $SWATH_TRIAL in 1) exit 0;; esac\nsleep 0.5\n{GOOD}");
    let world = World::new(8, "[resources]\njobs = 2\n", &script);
    let said = world.run();
    assert_eq!(said.code, Some(0), "{}", said.err);
    let states = world.column("state");
    assert_eq!(
        states.iter().filter(|state| *state == "complete").count(),
        7
    );
    assert!(said.err.contains("trial 1 failed"), "{}", said.err);
}

#[test]
fn a_finished_study_without_success_is_not_done_when_it_is_run_again() {
    let script = format!("{GOOD}exit 1\n");
    let world = World::new(3, "[resources]\njobs = 1\n", &script);
    assert_eq!(world.run().code, Some(3));
    let said = world.run();
    assert_eq!(said.code, Some(3), "{}", said.err);
    assert!(said.err.contains("swath retry s"), "{}", said.err);
}

/// A program whose result has noise that depends on its seed.
const NOISY: &str = "awk -v x=$1 -v seed=$SWATH_SEED 'BEGIN { srand(seed); print \"{\\\"loss\\\": \" x + \
                     rand() / 1000 \"}\" }' >> $SWATH_RECORDS\n";

#[test]
fn the_best_configurations_run_again_with_further_seeds_and_are_compared() {
    let world = World::new(6, "[resources]\njobs = 2\n", NOISY);
    assert_eq!(world.run().code, Some(0));
    let said = world.swath(&["rerun", "s", "best:2", "--seeds", "3"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(said.out.contains("lowest mean"), "{}{}", said.out, said.err);
    assert_eq!(world.column("state"), vec!["complete"; 12]);
    let (origins, configurations) = (world.column("origin"), world.column("configuration"));
    assert_eq!(origins[6..], vec!["rerun"; 6]);
    let seeds = world.column("seed");
    assert_eq!(seeds[6..9], seeds[9..12], "further trials are pairs");
    assert_eq!(configurations[6..9], vec![configurations[6].clone(); 3]);
    assert_eq!(world.swath(&["replay", "s"]).code, Some(0));
    let again = world.run();
    assert!(
        again.err.contains("no trial is left to run"),
        "{}",
        again.err
    );
    world.sweep(8, "[resources]\njobs = 2\n");
    assert_eq!(world.run().code, Some(0));
    assert_eq!(
        world.column("state").len(),
        14,
        "further trials do not count"
    );
    assert_eq!(world.swath(&["replay", "s"]).code, Some(0));
}

#[test]
fn plan_says_how_long_the_rest_takes_and_what_it_costs() {
    let limits = "[resources]\njobs = 2\n[limits]\nprice = 'usd'\n";
    let script = "swath report loss=$1 usd=0.25\n";
    let world = World::new(4, limits, script);
    let plan = world.swath(&["plan", "s.toml"]);
    assert!(
        !plan.err.contains("about"),
        "no trial has ended: {}",
        plan.err
    );
    assert_eq!(world.run().code, Some(0));
    world.sweep(12, limits);
    let plan = world.swath(&["plan", "s.toml"]).err;
    assert!(
        plan.contains("for 8 more trials, 2 at a time: the 4 that ended took"),
        "{plan}"
    );
    assert!(plan.contains("cost: 1 so far, about 2 more"), "{plan}");
    let json = world.swath(&["plan", "s.toml", "--json"]).out;
    assert!(
        json.contains("\"remaining\":8") || json.contains("\"remaining\": 8"),
        "{json}"
    );
}
