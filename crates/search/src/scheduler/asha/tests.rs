use super::super::scenario::{Scenario, resumed, setting, try_build};
use super::*;
use Verdict::{Continue, Pause, Stop};
use swath_model::study::{Exit, Failure, Goal, Objective, Take};

const LADDER: &str = "min = 1\nmax = 9\nreduction = 3";

#[test]
fn in_stopping_mode_a_trial_goes_on_while_it_is_among_the_best_third() {
    let mut world = Scenario::new("asha", LADDER, &setting(false));
    let verdicts = world.arrivals(1.0, [0.9, 0.1, 0.5, 0.4, 0.3, 0.2, 0.05]);
    assert_eq!(
        verdicts,
        [Continue, Continue, Stop, Stop, Stop, Continue, Continue]
    );
    assert_eq!(world.next(), Next::Fresh);
}

#[test]
fn the_reason_of_a_stop_names_the_required_score() {
    let mut world = Scenario::new("asha", LADDER, &setting(false));
    world.arrivals(1.0, [0.12345678, 0.3, 0.2]);
    let trial = world.fresh();
    let judgement = world.report(trial, 1.0, 0.70999);
    assert_eq!(judgement.why, "epoch 1: 0.71, needed ≤ 0.1235, rank 4 of 4");
}

#[test]
fn large_is_good_when_the_goal_says_so() {
    let objectives = vec![Objective {
        metric: "loss".into(),
        goal: Goal::Max,
        take: Take::Last,
    }];
    let mut world = Scenario::new(
        "asha",
        LADDER,
        &Setting {
            objectives,
            ..setting(false)
        },
    );
    assert_eq!(
        world.arrivals(1.0, [0.1, 0.9, 0.5]),
        [Continue, Continue, Stop]
    );
    let trial = world.fresh();
    assert_eq!(
        world.report(trial, 1.0, 0.2).why,
        "epoch 1: 0.2, needed ≥ 0.9, rank 3 of 4"
    );
}

#[test]
fn the_first_at_a_rung_must_be_no_worse_than_the_median_of_the_rung_below() {
    let mut world = Scenario::new("asha", LADDER, &setting(false));
    let (good, late) = (world.fresh(), world.fresh());
    assert_eq!(world.report(good, 1.0, 0.9).verdict, Continue);
    assert_eq!(world.report(late, 1.0, 0.8).verdict, Continue);
    world.arrivals(1.0, [0.85, 0.5, 0.4, 0.3]);
    let judgement = world.report(good, 3.0, 0.9);
    assert_eq!(judgement.verdict, Stop);
    assert_eq!(
        judgement.why,
        "epoch 3: 0.9, needed ≤ 0.5 (the median at epoch 1), rank 1 of 1"
    );
    assert_eq!(
        world.report(late, 3.0, 0.45).verdict,
        Continue,
        "it is better than that"
    );
}

#[test]
fn a_score_that_is_not_a_number_is_never_among_the_best() {
    let mut world = Scenario::new("asha", LADDER, &setting(false));
    assert_eq!(
        world.arrivals(1.0, [f64::NAN, f64::INFINITY, 0.5]),
        [Stop, Stop, Continue]
    );
    let trial = world.fresh();
    world.report(trial, 0.5, 0.1);
    let judgement = world.report(trial, 1.0, f64::NAN);
    assert_eq!(
        judgement.verdict, Stop,
        "it was good once, and has diverged"
    );
    assert_eq!(
        judgement.why,
        "epoch 1: not finite, needed ≤ 0.5, rank 4 of 4"
    );
}

#[test]
fn a_rung_is_reached_at_it_or_beyond_and_once() {
    let mut world = Scenario::new("asha", LADDER, &setting(false));
    world.arrivals(5.0, [0.1, 0.2, 0.3]);
    let trial = world.fresh();
    assert_eq!(
        world.report(trial, 0.99, 9.0).verdict,
        Continue,
        "before the first rung"
    );
    assert_eq!(
        world.report(trial, 1.0, 9.0).verdict,
        Continue,
        "no trial has reached the first rung"
    );
    assert_eq!(world.report(trial, 0.5, 9.0).verdict, Continue, "backwards");
    assert_eq!(world.report(trial, 1.7, 9.0).verdict, Continue);
    assert_eq!(world.report(trial, 3.5, 0.4).verdict, Stop);
}

#[test]
fn resource_and_objective_may_come_in_separate_reports() {
    let mut world = Scenario::new("asha", LADDER, &setting(false));
    world.arrivals(1.0, [0.1, 0.2, 0.3]);
    let trial = world.fresh();
    assert_eq!(
        world.report_values(trial, &[("epoch", 1.0)]).verdict,
        Continue
    );
    assert_eq!(
        world.report_values(trial, &[("other", 1.0)]).verdict,
        Continue
    );
    assert_eq!(world.report_values(trial, &[("loss", 0.9)]).verdict, Stop);
}

#[test]
fn the_only_trial_left_is_not_stopped_when_none_has_completed() {
    let mut world = Scenario::new(
        "asha",
        LADDER,
        &Setting {
            trials: Some(4),
            ..setting(false)
        },
    );
    world.arrivals(1.0, [0.5, 0.9, 0.8]);
    world.end(TrialId(1), Exit::Failed(Failure::Memory));
    let last = world.fresh();
    let judgement = world.report(last, 1.0, 0.7);
    assert_eq!(judgement.verdict, Continue);
    assert_eq!(
        judgement.why,
        "epoch 1: 0.7, needed ≤ 0.5, rank 2 of 4, but the last trial left"
    );
}

#[test]
fn only_the_best_third_of_a_rung_is_promoted() {
    let mut world = Scenario::new("asha", LADDER, &setting(true));
    assert_eq!(world.arrivals(1.0, [0.9, 0.1]), [Pause, Pause]);
    assert_eq!(world.next(), Next::Fresh);
    assert_eq!(world.arrivals(1.0, [0.5]), [Pause]);
    let why = "epoch 1: 0.1, rank 1 of 3, goes on to epoch 3".to_owned();
    assert_eq!(
        world.next(),
        Next::Resume {
            trial: TrialId(2),
            why
        }
    );
    assert_eq!(world.until(TrialId(2)), Some(3));
    world.start(TrialId(2), true);
    assert_eq!(world.next(), Next::Fresh);
    assert_eq!(world.until(TrialId(2)), Some(3));
    assert_eq!(
        world.arrivals(1.0, [0.6, 0.7, 0.05]),
        [Pause, Pause, Continue],
        "no need to pause the best"
    );
    assert_eq!(
        world.arrivals(1.0, [0.01, 0.02]),
        [Pause, Pause],
        "the share of six is used up"
    );
}

#[test]
fn a_trial_that_ends_at_its_rung_is_paused_and_one_that_goes_on_is_complete_at_its_end() {
    let mut world = Scenario::new("asha", LADDER, &setting(true));
    world.arrivals(1.0, [0.5, 0.6]);
    let trial = world.fresh();
    assert!(
        world.finished(trial),
        "it ended before it reported anything"
    );
    assert_eq!(world.report(trial, 1.0, 0.1).verdict, Continue);
    assert!(!world.finished(trial));
    world.report(trial, 0.5, 0.1);
    assert!(!world.finished(trial), "a report came late");
    world.report(trial, 2.0, 0.1);
    assert!(world.finished(trial));
}

#[test]
fn a_promoted_trial_that_was_lost_goes_to_its_own_rung_without_being_judged_below() {
    let mut world = Scenario::new("asha", LADDER, &setting(true));
    world.arrivals(1.0, [0.1, 0.5, 0.6]);
    world.start(TrialId(1), true);
    world.report(TrialId(1), 2.0, 0.1);
    world.end(TrialId(1), Exit::Lost);
    assert_eq!(world.until(TrialId(1)), Some(3));
    world.start(TrialId(1), false);
    assert_eq!(world.report(TrialId(1), 1.0, 9.0).verdict, Continue);
    assert_eq!(world.report(TrialId(1), 3.0, 0.1).verdict, Pause);
}

#[test]
fn a_trial_that_runs_anew_has_its_new_result_and_not_two() {
    let mut world = Scenario::new("asha", LADDER, &setting(false));
    let trial = world.fresh();
    assert_eq!(world.report(trial, 1.0, 0.1).verdict, Continue);
    world.end(trial, Exit::Lost);
    world.start(trial, false);
    assert_eq!(
        world.report(trial, 1.0, 0.7).verdict,
        Continue,
        "it was judged here once"
    );
    let other = world.fresh();
    assert_eq!(
        world.report(other, 1.0, 0.5).why,
        "epoch 1: 0.5, needed ≤ 0.5, rank 1 of 2"
    );
}

#[test]
fn when_no_more_trials_can_come_the_best_is_carried_to_the_top() {
    let mut world = Scenario::new("asha", LADDER, &setting(true));
    world.arrivals(1.0, [0.5, 0.1]);
    assert_eq!(resumed(&world.next_without_room()), Some(2));
    world.start(TrialId(2), true);
    assert_eq!(world.next_without_room(), Next::Wait);
    world.report(TrialId(2), 3.0, 0.1);
    assert_eq!(resumed(&world.next_without_room()), Some(2));
    assert_eq!(world.until(TrialId(2)), Some(9));
    world.start(TrialId(2), true);
    world.report(TrialId(2), 9.0, 0.1);
    world.end(TrialId(2), Exit::Done);
    assert_eq!(world.next_without_room(), Next::Done);
}

#[test]
fn a_person_may_let_a_stopped_trial_go_on() {
    let mut world = Scenario::new("asha", LADDER, &setting(false));
    assert_eq!(world.arrivals(1.0, [0.1, 0.2]), [Continue, Stop]);
    world.happens(Event::requeued(TrialId(2), ""));
    world.start(TrialId(2), false);
    assert_eq!(world.report(TrialId(2), 1.0, 0.2).verdict, Continue);
    assert_eq!(
        world.report(TrialId(2), 3.0, 0.2).verdict,
        Continue,
        "the first of its rung"
    );
}

#[test]
fn without_checkpoints_a_promoted_trial_begins_at_zero_and_is_judged_at_its_new_rung() {
    let options = format!("{LADDER}\nmode = \"restart\"");
    let mut world = Scenario::new("asha", &options, &setting(false));
    assert_eq!(world.arrivals(1.0, [0.5, 0.9, 0.7]), [Pause, Pause, Pause]);
    assert_eq!(resumed(&world.next()), Some(1));
    let trial = TrialId(1);
    world.happens(Event::Judged {
        trial,
        verdict: Continue,
        why: "promoted".into(),
    });
    world.start(trial, false);
    assert_eq!(world.until(trial), Some(3));
    // It passes the first rung again without being judged there.
    assert_eq!(world.report(trial, 1.0, 0.5).verdict, Continue);
    assert_eq!(world.report(trial, 3.0, 0.3).verdict, Pause);
    assert_eq!(world.next(), Next::Fresh);
}

#[test]
fn auto_promotes_whether_or_not_there_are_checkpoints_and_says_so() {
    for (checkpoint, reason) in [(true, "from their checkpoints"), (false, "from zero")] {
        let mut world = Scenario::new("auto", LADDER, &setting(checkpoint));
        assert_eq!(world.arrivals(1.0, [0.5, 0.9, 0.7]), [Pause, Pause, Pause]);
        assert_eq!(resumed(&world.next()), Some(1));
        let choice = world.choice().unwrap();
        assert!(choice.contains(reason), "{choice}");
        assert!(choice.contains("predicted end"), "{choice}");
    }
    let world = Scenario::new("auto", "min = 9\nmax = 9", &setting(false));
    assert!(world.choice().unwrap().contains("to its end"));
}

#[test]
fn all_mistakes_in_the_options_are_reported() {
    let without_resource = Setting {
        resource: None,
        ..setting(false)
    };
    assert_eq!(
        messages(
            "min = 9\nmax = 3\nreduction = 1\nmode = \"stoping\"\nmetric = \"los\"\nbrakets = 1",
            &setting(false)
        ),
        [
            "unknown key `brakets` in `[scheduler]`",
            "`reduction` must be at least 2",
            "`min` is larger than `max`",
            "`stoping` is not a mode",
            "`los` is not an objective",
        ]
    );
    assert_eq!(
        messages("", &without_resource),
        [
            "the scheduler does not know how long a trial may run",
            "the scheduler does not know which reported key counts the resource",
        ]
    );
    let (built, warnings) = try_build("asha", "max = 9\nmode = \"promotion\"", &setting(false));
    assert!(built.is_some());
    assert_eq!(
        warnings,
        [
            "`mode = \"promotion\"` needs trials that can continue from a checkpoint; stopping is used"
        ]
    );
}

fn messages(options: &str, setting: &Setting) -> Vec<String> {
    try_build("asha", options, setting).1
}

/// Reports `loss` and `speed` of a trial and carries out the verdict.
fn report_both(
    world: &mut Scenario,
    trial: TrialId,
    epoch: f64,
    loss: f64,
    speed: f64,
) -> Judgement {
    world.report_values(trial, &[("epoch", epoch), ("loss", loss), ("speed", speed)])
}

fn several_objectives(checkpoint: bool) -> Scenario {
    let objectives = super::super::scenario::several();
    Scenario::new(
        "asha",
        LADDER,
        &Setting {
            objectives,
            ..setting(checkpoint)
        },
    )
}

#[test]
fn of_several_objectives_a_trial_that_no_other_dominates_is_never_stopped() {
    let mut world = several_objectives(false);
    // Each trial has a worse loss than the ones before, and is faster.
    for (loss, speed) in [
        (0.1, 1.0),
        (0.2, 2.0),
        (0.3, 3.0),
        (0.4, 4.0),
        (0.5, 5.0),
        (0.6, 6.0),
    ] {
        let trial = world.fresh();
        let judgement = report_both(&mut world, trial, 1.0, loss, speed);
        assert_eq!(judgement.verdict, Continue, "{}", judgement.why);
    }
    let trial = world.fresh();
    let judgement = report_both(&mut world, trial, 1.0, 0.15, 0.5);
    assert_eq!(
        judgement.verdict, Stop,
        "the second best loss, but a better one is also faster"
    );
    assert_eq!(
        judgement.why,
        "epoch 1: loss 0.15, speed 0.5, in front 2, needed front 1 or rank 2, rank 7 of 7"
    );
    let trial = world.fresh();
    let judgement = report_both(&mut world, trial, 1.0, 0.9, 7.0);
    assert_eq!(
        judgement.why,
        "epoch 1: loss 0.9, speed 7, dominated by none, rank 4 of 8"
    );
    let trial = world.fresh();
    assert_eq!(
        report_both(&mut world, trial, 1.0, f64::NAN, 99.0).verdict,
        Stop,
        "it has diverged"
    );
}

#[test]
fn of_several_objectives_none_is_judged_before_it_has_shown_them_all() {
    let mut world = several_objectives(false);
    for (loss, speed) in [(0.1, 3.0), (0.2, 2.0), (0.3, 1.0)] {
        let trial = world.fresh();
        report_both(&mut world, trial, 1.0, loss, speed);
    }
    let trial = world.fresh();
    assert_eq!(world.report(trial, 1.0, 0.9).verdict, Continue);
    assert_eq!(world.report_values(trial, &[("speed", 0.5)]).verdict, Stop);
}

#[test]
fn a_rung_promotes_by_fronts_and_promotes_non_dominated_trials_when_no_more_can_come() {
    let mut world = several_objectives(true);
    let scores = [
        (0.4, 6.0),
        (0.1, 1.0),
        (0.9, 9.0),
        (0.6, 1.0),
        (0.7, 0.9),
        (0.8, 0.8),
    ];
    for (loss, speed) in scores {
        let trial = world.fresh();
        report_both(&mut world, trial, 1.0, loss, speed);
    }
    // Two of six pass: the trial in the middle of the front, then one at its ends.
    for id in [1, 2] {
        assert_eq!(resumed(&world.next()), Some(id));
        world.start(TrialId(id), true);
    }
    assert_eq!(world.next(), Next::Fresh, "the rung's share is used up");
    let next = world.next_without_room();
    assert_eq!(resumed(&next), Some(3), "no other dominates it");
    world.start(TrialId(3), true);
    assert_eq!(
        resumed(&world.next_without_room()),
        None,
        "the others are dominated"
    );
}
