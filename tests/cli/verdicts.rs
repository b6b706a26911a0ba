//! Verdicts on trials and sweeps, tested through the binary: invalid configurations, first trials
//! without an objective, outputs that are read again, and further seeds.
#![cfg(target_os = "linux")]

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
    let ended = world.run();
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert!(
        ended.err.contains("invalid configuration: too many layers"),
        "{}",
        ended.err
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
    // The trials before the last one show where configurations are invalid.
    let last = states.iter().rposition(|state| state == "invalid");
    let why = world.swath(&["why", "s", &(last.unwrap_or(0) + 1).to_string()]);
    let expected = "by the trials before it, expected to be invalid: ";
    assert!(why.out.contains(expected), "{}", why.out);
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
    let ended = world.run();
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    let states = world.column("state");
    assert_eq!(
        states.iter().filter(|state| *state == "complete").count(),
        12
    );
    assert!(states.iter().any(|state| state == "invalid"), "{states:?}");
    assert!(ended.err.contains("it does not fit"), "{}", ended.err);
    assert_eq!(world.swath(&["replay", "s"]).code, Some(0));
}

#[test]
fn ten_first_trials_that_are_all_invalid_end_the_sweep_with_their_reasons() {
    let script = "swath report kind=invalid why='the image is too small'\n";
    let world = World::new(40, "[resources]\njobs = 1\n", script);
    let ended = world.run();
    assert_eq!(ended.code, Some(3), "{}", ended.err);
    assert_eq!(world.column("state"), vec!["invalid"; 10]);
    assert!(
        ended
            .err
            .contains("10 × invalid configuration: the image is too small"),
        "{}",
        ended.err
    );
}

/// A program that prints its result under another name than the sweep file expects.
const PRINTS: &str = "echo starting\necho \"Test Loss: $1\"\n";

#[test]
fn a_first_trial_without_its_objective_starts_no_other_and_its_output_can_be_read_again() {
    let capture = "[capture]\nloss = 'loss=(\\S+)'\n[resources]\njobs = 1\n";
    let world = World::new(12, capture, PRINTS);
    let ended = world.run();
    assert_eq!(ended.code, Some(3), "{}", ended.err);
    assert_eq!(world.column("state"), ["failed"]);
    assert!(
        ended.err.contains("stdout has `Test Loss: "),
        "{}",
        ended.err
    );
    assert!(ended.err.contains("swath recapture s"), "{}", ended.err);
    assert!(ended.err.contains("swath retry s"), "{}", ended.err);

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
    let ended = world.run();
    assert_eq!(ended.code, Some(0), "{}", ended.err);
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
    let ended = world.run();
    assert_eq!(ended.code, Some(3), "{}", ended.err);
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
fn a_study_that_was_run_with_values_of_the_command_line_is_read_again_until_it_is_right() {
    let capture = "[capture]\nloss = 'loss=(\\S+)'\n[resources]\njobs = 1\n";
    let world = World::new(12, capture, PRINTS);
    let ended = world.swath(&["run", "s.toml", "search.trials=3"]);
    assert_eq!(ended.code, Some(3), "{}", ended.err);
    for pattern in ["Loss=(\\S+)", "loss (\\S+)"] {
        let capture = format!("[capture]\nloss = '{pattern}'\n[resources]\njobs = 1\n");
        world.sweep(12, &capture);
        let ended = world.swath(&["recapture", "s"]);
        assert_eq!(ended.code, Some(3), "{}", ended.err);
        assert!(ended.err.contains("0 of 1 trials"), "{}", ended.err);
    }
    let ended = world.swath(&["recapture", "s", "1", "capture.loss='Test Loss: (.*)'"]);
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert_eq!(world.column("loss"), world.column("param.x"));
    let ended = world.swath(&["run", "s"]);
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert_eq!(world.column("state"), vec!["complete"; 3]);
    assert_eq!(world.swath(&["replay", "s"]).code, Some(0));
}

#[test]
fn one_silent_trial_does_not_hold_up_a_sweep_in_which_another_reports() {
    let script = format!("case $SWATH_TRIAL in 1) exit 0;; esac\nsleep 0.5\n{GOOD}");
    let world = World::new(8, "[resources]\njobs = 2\n", &script);
    let ended = world.run();
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    let states = world.column("state");
    assert_eq!(
        states.iter().filter(|state| *state == "complete").count(),
        7
    );
    assert!(ended.err.contains("trial 1 failed"), "{}", ended.err);
}

#[test]
fn a_finished_study_without_success_is_not_done_when_it_is_run_again() {
    let script = format!("{GOOD}exit 1\n");
    let world = World::new(3, "[resources]\njobs = 1\n", &script);
    assert_eq!(world.run().code, Some(3));
    let ended = world.run();
    assert_eq!(ended.code, Some(3), "{}", ended.err);
    assert!(ended.err.contains("swath retry s"), "{}", ended.err);
}

/// A program whose result has noise that depends on its seed.
const NOISY: &str = "awk -v x=$1 -v seed=$SWATH_SEED 'BEGIN { srand(seed); print \"{\\\"loss\\\": \" x + \
                     rand() / 1000 \"}\" }' >> $SWATH_RECORDS\n";

#[test]
fn the_best_configurations_run_again_with_further_seeds_and_are_compared() {
    let world = World::new(6, "[resources]\njobs = 2\n", NOISY);
    assert_eq!(world.run().code, Some(0));
    let ended = world.swath(&["rerun", "s", "best:2", "--seeds", "3"]);
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert!(
        ended.out.contains("lowest mean"),
        "{}{}",
        ended.out,
        ended.err
    );
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
    assert!(!plan.err.contains("at most"), "{}", plan.err);
    // A bound of each trial bounds the sweep: 4 trials in 2 slots.
    let plan = world.swath(&["plan", "s.toml", "limits.trial_budget=1h", "limits.price=3"]);
    let bound = "at most 2h 00m for 4 trials, 2 at a time, besides preparations and retries: \
                 `trial_budget` under [limits] allows each 1h 00m; cost: at most 12";
    assert!(plan.err.contains(bound), "{}", plan.err);
    let plan = world.swath(&["plan", "s.toml", "limits.trial_time=1h", "limits.time=90m"]);
    assert!(
        plan.err.contains("at most 1h 30m for 4 trials"),
        "{}",
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
    // A budget that is used up before the last trial ends the sweep.
    let plan = world.swath(&["plan", "s.toml", "limits.cost=1.8"]).err;
    assert!(
        plan.contains("for 3 more trials, 2 at a time, then `cost` under [limits] is used up:"),
        "{plan}"
    );
    assert!(plan.contains("cost: 1 so far, about 0.75 more"), "{plan}");
    let plan = world.swath(&["plan", "s.toml", "limits.time=1ms"]).err;
    assert!(
        plan.contains("`time` under [limits] leaves no further trial"),
        "{plan}"
    );
}

#[test]
fn further_seeds_that_do_not_reach_the_program_are_named_before_they_run() {
    let world = World::new(4, "[resources]\njobs = 2\n", GOOD);
    let text = world.read("s.toml").replace("[space]", "[space]\nseed = 7");
    world.write("s.toml", &text);
    assert_eq!(world.run().code, Some(0));
    let ended = world.swath(&["rerun", "s", "best:2", "--seeds", "2"]);
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    let (before, _) = ended.err.split_once("started").expect(&ended.err);
    assert!(
        before.contains("`seed` is a constant of [space]"),
        "{}",
        ended.err
    );
    let checked = world.swath(&["check", "s.toml", "replicate.seeds=2"]);
    assert!(
        checked.err.contains("warning[fixed-seed]"),
        "{}",
        checked.err
    );
    let checked = world.swath(&[
        "check",
        "s.toml",
        "replicate.seeds=2",
        "run.env.S={swath.seed}",
    ]);
    assert!(!checked.err.contains("fixed-seed"), "{}", checked.err);
}

/// A program that counts its attempts, and goes on from a checkpoint if there is one.
const CONTINUES: &str = r#"
epoch=0
[ -f "$SWATH_CHECKPOINT_DIR/epoch" ] && epoch=$(cat "$SWATH_CHECKPOINT_DIR/epoch")
epoch=$((epoch + 1))
printf '{"epoch": %s, "loss": 0.%s}\n' "$epoch" "$((5 - epoch))" >> "$SWATH_RECORDS"
[ "$1" = scratch ] || echo "$epoch" > "$SWATH_CHECKPOINT_DIR/epoch"
"#;

#[test]
fn a_complete_trial_is_trained_again_under_its_id_from_its_checkpoint() {
    let world = World::new(2, "[resources]\njobs = 1\n", CONTINUES);
    assert_eq!(world.run().code, Some(0));
    assert_eq!(world.column("loss"), ["0.4", "0.4"]);
    let plain = world.swath(&["retry", "s", "2"]);
    assert!(plain.err.contains("trial 2 is complete"), "{}", plain.err);
    assert!(plain.err.contains("no trial was requeued"), "{}", plain.err);
    let refused = world.swath(&["retry", "s", "2", "--into", "1"]);
    assert_eq!(refused.code, Some(2), "{}", refused.err);

    let ended = world.swath(&["retry", "s", "--into", "2"]);
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    for part in [
        "from its checkpoint, after attempt 1",
        "trial 2 has no result",
    ] {
        assert!(ended.err.contains(part), "{}", ended.err);
    }
    assert_eq!(world.column("state"), ["complete", "waiting"]);
    let again = world.swath(&["retry", "s", "--into", "2"]);
    assert!(again.err.contains("trial 2 waits already"), "{}", again.err);

    let ended = world.run();
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert_eq!(world.column("state"), ["complete", "complete"]);
    assert_eq!(world.column("loss"), ["0.4", "0.3"]);
    assert_eq!(world.column("attempts"), ["1", "2"]);
    let why = world.swath(&["why", "s", "2"]).out;
    assert!(why.contains("swath retry --into"), "{why}");
    assert_eq!(world.swath(&["replay", "s"]).code, Some(0));
}

#[test]
fn a_trial_that_is_trained_again_without_a_checkpoint_keeps_its_earlier_files() {
    let script = CONTINUES.replace("\"$1\"", "scratch");
    let world = World::new(1, "[resources]\njobs = 1\n", &script);
    assert_eq!(world.run().code, Some(0));
    let earlier = world.read("logs/s/1/records.jsonl");
    let ended = world.swath(&["retry", "s", "--into", "1"]);
    assert!(ended.err.contains("from the beginning"), "{}", ended.err);
    assert!(ended.err.contains("logs/s/1/attempts"), "{}", ended.err);
    assert_eq!(world.run().code, Some(0));
    assert_eq!(world.read("logs/s/1/attempts/1/records.jsonl"), earlier);
    assert_eq!(world.column("loss"), ["0.4"]);
    assert_eq!(world.column("attempts"), ["2"]);
}

#[test]
fn the_result_of_a_trial_is_that_of_its_largest_step_and_of_its_newest_attempt() {
    // The reports of two epochs come in the wrong order, as from a logger with several threads.
    let script = "\
report() { echo \"{\\\"epoch\\\": $1, \\\"loss\\\": 0.$1$SWATH_ATTEMPT}\" >> $SWATH_RECORDS; }
if [ $SWATH_ATTEMPT = 1 ]; then report 1; report 5; report 4; exit 3; fi
report 1; report 3; report 2
";
    let world = World::new(1, "[retry]\ntimes = 1\n", script);
    let sweep = world
        .read("s.toml")
        .replace("goal = \"min\"", "goal = \"min\"\ntake = \"last\"");
    world.write("s.toml", &sweep);
    let ended = world.run();
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert!(
        !ended.err.contains("reported loss 3 times"),
        "{}",
        ended.err
    );
    let expected = [
        ("attempts", "2"),
        ("loss", "0.32"),
        ("metric.loss", "0.32"),
        ("metric.epoch", "3.0"),
        ("step", "3"),
        ("best_step", "3"),
    ];
    for (column, value) in expected {
        assert_eq!(world.column(column), [value], "{column}");
    }
    // A reader that folds the journal without the snapshot comes to the same.
    let with_snapshot = world.swath(&["ls", "s", "--json"]).out;
    std::fs::remove_file(world.path("logs/s/snapshot.json")).unwrap();
    assert_eq!(world.swath(&["ls", "s", "--json"]).out, with_snapshot);
}
