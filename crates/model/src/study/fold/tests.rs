use super::super::{Closing, Goal, Objective, Origin, Place, Resource, Timestamp};
use super::*;
use crate::space::{Name, Params};
use crate::study::FailureClass;

struct World {
    study: Study,
    seq: u64,
}

impl World {
    fn new(goal: Goal, take: Take) -> Self {
        let mut world = Self {
            study: Study::default(),
            seq: 0,
        };
        let objectives = vec![Objective {
            metric: "loss".into(),
            goal,
            take,
        }];
        let header = Header {
            objectives,
            resource: Some("epoch".into()),
            ..Header::default()
        };
        world.apply(Event::Opened {
            format: super::super::FORMAT,
            header,
        });
        world
    }

    fn apply(&mut self, event: Event) {
        assert_eq!(self.try_apply(event), Ok(()));
    }

    fn try_apply(&mut self, event: Event) -> Result<(), IllegalEvent> {
        let at = Timestamp::from_micros(i64::try_from(self.seq).expect("small") * 1_000_000);
        let result = self.study.apply(&Entry {
            seq: self.seq,
            at,
            event,
            away: None,
        });
        self.seq += u64::from(result.is_ok());
        result
    }

    fn edit(&mut self, outside: Vec<TrialId>) {
        self.apply(Event::Edited {
            header: self.study.header().clone(),
            changes: Vec::new(),
            fill: Params::default(),
            outside,
        });
    }

    fn attempt(&self, id: u32) -> Attempt {
        Attempt(self.trial(id).attempts)
    }

    fn trial(&self, id: u32) -> &Trial {
        self.study
            .trial(TrialId(id))
            .expect("the trial was created")
    }

    fn exit(&self, id: u32) -> Option<Exit> {
        self.trial(id).exit.clone()
    }

    fn start(&mut self, id: u32) {
        let trial = TrialId(id);
        if self.study.trial(trial).is_none() {
            let origin = Origin::Suggested("random".into());
            self.apply(Event::Created {
                trial,
                params: Params::default(),
                origin,
                seed: 0,
            });
        }
        let attempt = Attempt(self.attempt(id).0 + 1);
        self.apply(Event::Started {
            trial,
            attempt,
            until: Some(Resource(9)),
            slot: 0,
            resume: false,
        });
    }

    fn report(&mut self, id: u32, epoch: f64, loss: f64) {
        let values = vec![
            ("epoch".into(), Datum::Number(Metric(epoch))),
            ("loss".into(), Datum::Number(Metric(loss))),
        ];
        self.log(id, LogRecord::Report { values });
    }

    fn log(&mut self, id: u32, record: LogRecord) {
        self.apply(Event::Logged {
            trial: TrialId(id),
            attempt: self.attempt(id),
            record,
            line_end: None,
        });
    }

    fn end(&mut self, id: u32, exit: Exit) -> TrialState {
        self.apply(Event::Ended {
            trial: TrialId(id),
            attempt: self.attempt(id),
            exit,
            usage: Usage::default(),
        });
        self.trial(id).state.clone()
    }
}

#[test]
fn a_trial_that_no_longer_fits_waits_for_no_slot_until_it_fits_again() {
    let mut world = World::new(Goal::Min, Take::Last);
    for id in 1..=3 {
        world.start(id);
    }
    world.end(1, Exit::Interrupted);
    world.edit(vec![TrialId(1), TrialId(2)]);
    world.end(2, Exit::Lost);
    world.end(3, Exit::Lost);
    assert_eq!(world.study.waiting().collect::<Vec<_>>(), [TrialId(3)]);
    world.apply(Event::Removed {
        trials: vec![TrialId(1)],
    });
    world.apply(Event::Restored {
        trials: vec![TrialId(1)],
    });
    assert_eq!(world.study.waiting().collect::<Vec<_>>(), [TrialId(3)]);
    world.edit(Vec::new());
    assert_eq!(world.study.waiting().count(), 3);
}

#[test]
fn a_removed_trial_does_not_count_keeps_its_id_and_can_be_restored() {
    let mut world = World::new(Goal::Min, Take::Last);
    for id in 1..=2 {
        world.start(id);
        world.report(id, 1.0, f64::from(id));
        world.end(id, Exit::Done);
    }
    let before = world.study.clone();
    let trials = vec![TrialId(1)];
    world.apply(Event::Removed {
        trials: trials.clone(),
    });
    let study = &world.study;
    let best = study.incumbent().map(|trial| trial.id);
    assert_eq!(
        (best, study.counted(), study.counts().complete),
        (Some(TrialId(2)), 1, 1)
    );
    assert_eq!(study.next_id(), TrialId(3));
    let again = world.try_apply(Event::Removed {
        trials: trials.clone(),
    });
    assert!(
        matches!(
            again,
            Err(IllegalEvent::WrongState {
                state: "removed",
                ..
            })
        ),
        "{again:?}"
    );
    world.apply(Event::Restored {
        trials: trials.clone(),
    });
    let after = &world.study;
    assert_eq!(
        (after.trials(), after.counts(), after.counted()),
        (before.trials(), before.counts(), 2)
    );
    assert_eq!(after.incumbent().map(|trial| trial.id), Some(TrialId(1)));
    assert!(world.try_apply(Event::Restored { trials }).is_err());
}

#[test]
fn a_complete_trial_that_is_requeued_has_no_result_until_it_is_complete_again() {
    let mut world = World::new(Goal::Min, Take::Last);
    for id in 1..=2 {
        world.start(id);
        world.report(id, 1.0, f64::from(id));
        world.end(id, Exit::Done);
    }
    world.apply(Event::requeued(TrialId(1), "again"));
    let study = &world.study;
    let best = study.incumbent().map(|trial| trial.id);
    assert_eq!(
        (best, study.counted(), study.counts().complete),
        (Some(TrialId(2)), 2, 1)
    );
    assert_eq!(study.waiting().collect::<Vec<_>>(), [TrialId(1)]);
    world.start(1);
    world.report(1, 1.0, 0.5);
    assert_eq!(world.end(1, Exit::Done), TrialState::Complete);
    let best = world.study.incumbent().map(|trial| trial.id);
    assert_eq!((best, world.study.counts().complete), (Some(TrialId(1)), 2));
}

#[test]
fn a_trial_is_complete_only_with_status_0_and_a_finite_objective() {
    let mut world = World::new(Goal::Min, Take::Last);
    world.start(1);
    world.report(1, 1.0, 0.5);
    assert_eq!(world.end(1, Exit::Done), TrialState::Complete);
    world.start(2);
    assert_eq!(world.end(2, Exit::Done), TrialState::Failed);
    world.start(3);
    world.report(3, 1.0, f64::NAN);
    assert_eq!(world.end(3, Exit::Done), TrialState::Failed);
    world.start(4);
    world.report(4, 1.0, 0.1);
    assert_eq!(
        world.end(4, Exit::Failed(Failure::Code(1))),
        TrialState::Failed
    );
    assert_eq!(
        world.study.incumbent().map(|trial| trial.id),
        Some(TrialId(1))
    );
}

#[test]
fn nan_is_never_best_and_take_decides_between_best_and_last() {
    for (take, expected) in [(Take::Best, 0.9), (Take::Last, 0.2)] {
        let mut world = World::new(Goal::Max, take);
        world.start(1);
        for (epoch, loss) in [(1.0, 0.9), (2.0, f64::NAN), (3.0, 0.2)] {
            world.report(1, epoch, loss);
        }
        world.end(1, Exit::Done);
        let best = world.study.incumbent().expect("one is complete");
        assert_eq!(
            best.objective(&world.study.header().objectives[0]),
            Some(expected)
        );
    }
}

#[test]
fn a_lost_trial_waits_again_and_its_next_attempt_starts_new_statistics() {
    let mut world = World::new(Goal::Min, Take::Best);
    world.start(1);
    world.report(1, 1.0, 0.1);
    assert_eq!(world.end(1, Exit::Lost), TrialState::Waiting);
    assert_eq!(world.study.waiting().collect::<Vec<_>>(), [TrialId(1)]);
    world.start(1);
    world.report(1, 1.0, 0.7);
    world.end(1, Exit::Done);
    let trial = world.study.trial(TrialId(1)).expect("it was created");
    assert_eq!(
        (
            trial.attempts,
            trial.reports,
            trial.metrics.get("loss").unwrap().min
        ),
        (2, 1, Some(0.7))
    );
}

/// Returns the last loss of the only trial.
fn last_loss(world: &World) -> f64 {
    world.trial(1).metrics.get("loss").unwrap().last.0
}

#[test]
fn the_last_value_is_that_of_the_largest_step_whenever_it_arrived() {
    let mut world = World::new(Goal::Min, Take::Last);
    world.start(1);
    for (epoch, loss, expected) in [
        (1.0, 0.9, 0.9),
        (3.0, 0.3, 0.3),
        (2.0, 0.5, 0.3),
        (3.0, 0.4, 0.4),
        (2.0, 0.6, 0.4),
    ] {
        world.report(1, epoch, loss);
        assert_eq!(last_loss(&world), expected, "epoch {epoch}");
    }
    let trial = world.trial(1);
    let epoch = trial.metrics.get("epoch").unwrap();
    assert_eq!((epoch.last.0, epoch.min, epoch.count), (3.0, Some(1.0), 5));
    assert_eq!((trial.step, trial.position), (Some(3.0), Some(2.0)));
    let counted = trial.counted.as_ref().unwrap();
    assert_eq!((counted.report, counted.step), (4, Some(3.0)));
    assert_eq!(world.end(1, Exit::Done), TrialState::Complete);
    let objective = world.study.header().objectives[0].clone();
    assert_eq!(world.trial(1).objective(&objective), Some(0.4));
}

/// Returns a report of numbers.
fn numbers(values: &[(&str, f64)]) -> LogRecord {
    let values = values.iter();
    LogRecord::Report {
        values: values
            .map(|(name, number)| ((*name).into(), Datum::Number(Metric(*number))))
            .collect(),
    }
}

#[test]
fn a_key_that_is_reported_rarely_has_an_order_of_its_own() {
    let mut world = World::new(Goal::Min, Take::Last);
    world.start(1);
    for (epoch, name, value) in [(2.0, "acc", 0.2), (9.0, "loss", 0.9), (6.0, "acc", 0.6)] {
        world.log(1, numbers(&[("epoch", epoch), (name, value)]));
    }
    for (epoch, mood) in [(6.0, "fair"), (4.0, "poor")] {
        let epoch = ("epoch".into(), Datum::Number(Metric(epoch)));
        let values = vec![epoch, text("mood", mood)];
        world.log(1, LogRecord::Report { values });
    }
    let trial = world.trial(1);
    assert_eq!(trial.metrics.get("acc").unwrap().last.0, 0.6);
    assert_eq!(trial.texts["mood"], "fair");
    assert_eq!(trial.step, Some(9.0));
}

#[test]
fn values_without_a_step_are_in_the_order_of_their_arrival() {
    let mut world = World::new(Goal::Min, Take::Last);
    world.start(1);
    // A value without a step comes after all that arrived before it, and before later epochs.
    for (epoch, loss, expected) in [
        (None, 0.9, 0.9),
        (None, 0.8, 0.8),
        (Some(5.0), 0.5, 0.5),
        (Some(4.0), 0.4, 0.5),
        (None, 0.55, 0.55),
        (Some(3.0), 0.3, 0.55),
        (Some(6.0), 0.6, 0.6),
    ] {
        let epoch = epoch.map(|epoch| ("epoch", epoch)).into_iter();
        let values: Vec<_> = epoch.chain([("loss", loss)]).collect();
        world.log(1, numbers(&values));
        assert_eq!(last_loss(&world), expected, "{values:?}");
    }
    // It counts as one of the largest step so far, also if its key had no step before.
    world.log(1, numbers(&[("acc", 0.1)]));
    for (epoch, acc, expected) in [(5.0, 0.2, 0.1), (6.0, 0.3, 0.3)] {
        world.log(1, numbers(&[("epoch", epoch), ("acc", acc)]));
        assert_eq!(world.trial(1).metrics.get("acc").unwrap().last.0, expected);
    }
}

#[test]
fn the_last_values_of_a_later_attempt_come_after_those_of_larger_steps_before_it() {
    for resume in [false, true] {
        let mut world = World::new(Goal::Min, Take::Last);
        world.start(1);
        world.report(1, 3.0, 0.3);
        world.end(1, Exit::Lost);
        assert_eq!(
            world.trial(1).last_steps,
            None,
            "only a running attempt has them"
        );
        world.apply(Event::Started {
            trial: TrialId(1),
            attempt: Attempt(2),
            until: None,
            slot: 0,
            resume,
        });
        assert_eq!(world.trial(1).step, resume.then_some(3.0));
        world.report(1, 2.0, 0.2);
        world.report(1, 1.0, 0.1);
        assert_eq!((last_loss(&world), world.trial(1).step), (0.2, Some(2.0)));
        world.end(1, Exit::Done);
        let counted = world.trial(1).counted.as_ref().unwrap();
        assert_eq!(
            (counted.number("loss"), counted.step),
            (Some(0.2), Some(2.0))
        );
    }
}

#[test]
fn the_mean_of_the_last_reports_is_over_the_largest_steps() {
    let mut world = World::new(Goal::Min, Take::LastMean(2));
    world.start(1);
    for (epoch, loss) in [
        (1.0, 1.0),
        (3.0, 3.0),
        (2.0, 2.0),
        (4.0, 4.0),
        (3.5, 8.0),
        (2.5, 9.0),
    ] {
        world.report(1, epoch, loss);
    }
    let objective = world.study.header().objectives[0].clone();
    assert_eq!(world.trial(1).objective(&objective), Some(6.0));
    world.end(1, Exit::Lost);
    world.apply(Event::Started {
        trial: TrialId(1),
        attempt: Attempt(2),
        until: None,
        slot: 0,
        resume: true,
    });
    for (epoch, loss) in [(3.0, 30.0), (2.0, 20.0), (2.5, 25.0)] {
        world.report(1, epoch, loss);
    }
    assert_eq!(world.trial(1).objective(&objective), Some(27.5));
}

#[test]
fn steps_on_another_axis_are_not_compared() {
    let mut world = World::new(Goal::Min, Take::Last);
    world.start(1);
    world.report(1, 100.0, 0.1);
    let header = Header {
        resource: Some("rows".into()),
        ..world.study.header().clone()
    };
    world.apply(Event::Edited {
        header,
        changes: Vec::new(),
        fill: Params::default(),
        outside: Vec::new(),
    });
    for (rows, loss) in [(7.0, 0.7), (5.0, 0.5)] {
        world.log(1, numbers(&[("rows", rows), ("loss", loss)]));
    }
    assert_eq!((last_loss(&world), world.trial(1).step), (0.7, Some(7.0)));
}

#[test]
fn the_steps_of_the_last_values_survive_json() {
    let mut world = World::new(Goal::Min, Take::LastMean(2));
    world.start(1);
    world.report(1, 5.0, 0.5);
    let text = serde_json::to_string(&world.study).unwrap();
    let read: Study = serde_json::from_str(&text).unwrap();
    assert_eq!(read, world.study);
    world.study = read;
    world.report(1, 4.0, 0.4);
    assert_eq!(last_loss(&world), 0.5);
}

#[test]
fn the_seconds_of_several_attempts_are_added_without_rounding_errors() {
    let mut world = World::new(Goal::Min, Take::Best);
    world.start(1);
    for used in [0.1, 0.2] {
        let usage = Usage {
            cpu_seconds: used,
            ..Usage::default()
        };
        world.apply(Event::Ended {
            trial: TrialId(1),
            attempt: world.attempt(1),
            exit: Exit::Lost,
            usage,
        });
        world.start(1);
    }
    let trial = world.study.trial(TrialId(1)).expect("it was created");
    assert_eq!((trial.usage.cpu_seconds, trial.seconds), (0.3, 2.0));
}

/// The microseconds of a time.
fn micros(time: Option<Timestamp>) -> Option<i64> {
    time.map(Timestamp::as_micros)
}

#[test]
fn an_attempt_lasts_as_long_as_its_machine_measured_whenever_its_end_was_read() {
    let second = 1_000_000;
    let mut world = World::new(Goal::Min, Take::Best);
    world.start(1);
    let ordered = micros(world.trial(1).attempt_at).unwrap();
    let mut place = Place {
        host: "n1".into(),
        pid: None,
        start_ticks: None,
        boot_id: None,
        job: None,
        since: Some(Timestamp::from_micros(ordered + second / 4)),
    };
    let placed = |place: &Place, attempt| Event::Placed {
        trial: TrialId(1),
        attempt,
        place: place.clone(),
    };
    let ended = |seconds, exit, attempt| Event::Ended {
        trial: TrialId(1),
        attempt,
        exit,
        usage: Usage::of_seconds(seconds),
    };
    world.apply(placed(&place, Attempt(1)));
    // The orchestrator is away until long after the end.
    for _ in 0..50 {
        world.log(1, LogRecord::Warning { text: "w".into() });
    }
    world.apply(ended(0.5, Exit::Interrupted, Attempt(1)));
    let trial = world.trial(1);
    assert_eq!(trial.seconds, 0.5);
    assert_eq!(micros(trial.started_at), Some(ordered + second / 4));
    assert_eq!(micros(trial.ended_at), Some(ordered + second * 3 / 4));
    // The clock of the next machine is years behind: the order of the events is kept all the same.
    world.start(1);
    let ordered = micros(world.trial(1).attempt_at).unwrap();
    place.since = Some(Timestamp::from_micros(1));
    world.apply(placed(&place, Attempt(2)));
    assert_eq!(micros(world.trial(1).attempt_at), Some(ordered));
    world.report(1, 1.0, 0.5);
    world.apply(ended(3600.0, Exit::Done, Attempt(2)));
    let trial = world.trial(1);
    assert_eq!(trial.seconds, 3600.5);
    assert_eq!(trial.ended_at, world.study.at());
}

#[test]
fn the_verdict_decides_how_an_attempt_ends_whatever_the_exit_of_its_process() {
    for exit in [
        Exit::Done,
        Exit::Stopped,
        Exit::Lost,
        Exit::Failed(Failure::Signal(15)),
    ] {
        let mut world = World::new(Goal::Min, Take::Best);
        world.start(1);
        world.report(1, 3.0, 0.1);
        world.apply(Event::Judged {
            trial: TrialId(1),
            verdict: Verdict::Stop,
            why: "rank 8 of 9".into(),
        });
        assert_eq!(world.end(1, exit), TrialState::Stopped);
        assert_eq!(world.study.incumbent(), None);
        assert_eq!(world.study.counts().stopped, 1);
    }
}

#[test]
fn the_earlier_of_equally_good_trials_stays_the_incumbent() {
    let mut world = World::new(Goal::Min, Take::Best);
    world.start(1);
    world.start(2);
    for id in [2, 1] {
        world.report(id, 1.0, 0.5);
        world.end(id, Exit::Done);
    }
    assert_eq!(
        world.study.incumbent().map(|trial| trial.id),
        Some(TrialId(1))
    );
}

#[test]
fn an_illegal_event_is_refused_and_changes_nothing() {
    let mut world = World::new(Goal::Min, Take::Best);
    world.start(1);
    let before = world.study.clone();
    let stale = Event::Ended {
        trial: TrialId(1),
        attempt: Attempt(2),
        exit: Exit::Done,
        usage: Usage::default(),
    };
    let refused = [
        (
            stale,
            "attempt 2 of trial 1 is out of order: expected attempt 1",
        ),
        (
            Event::requeued(TrialId(1), ""),
            "trial 1 cannot be requeued: its state is `running`",
        ),
        (Event::requeued(TrialId(7), ""), "trial 7 does not exist"),
        (
            Event::Created {
                trial: TrialId(3),
                params: Params::default(),
                origin: Origin::Added,
                seed: 0,
            },
            "trial 3 is created out of order: expected trial 2",
        ),
        (
            Event::Opened {
                format: 1,
                header: Header::default(),
            },
            "the study must be opened exactly once, by the first entry",
        ),
    ];
    for (event, message) in refused {
        assert_eq!(
            world.try_apply(event).map_err(|error| error.to_string()),
            Err(message.to_owned())
        );
        assert_eq!(world.study, before);
    }
    world.apply(Event::Closed {
        why: Closing::Finished,
    });
}

#[test]
fn an_edit_excludes_trials_and_fills_new_parameters() {
    let mut world = World::new(Goal::Min, Take::Best);
    for (id, loss) in [(1, 0.1), (2, 0.2)] {
        world.start(id);
        world.report(id, 1.0, loss);
        world.end(id, Exit::Done);
    }
    let header = world.study.header().clone();
    let fill: Params = [("depth".into(), crate::space::Value::Int(3))]
        .into_iter()
        .collect();
    world.apply(Event::Edited {
        header,
        changes: vec![],
        fill,
        outside: vec![TrialId(1)],
    });
    assert_eq!(
        world.study.incumbent().map(|trial| trial.id),
        Some(TrialId(2))
    );
    assert_eq!(world.study.counted(), 1);
    let trial = world.study.trial(TrialId(2)).expect("it was created");
    assert_eq!(
        trial.params.get("depth"),
        Some(&crate::space::Value::Int(3))
    );
}

#[test]
fn an_entry_survives_a_round_trip_through_json() {
    let values = vec![
        ("loss".into(), Datum::Number(Metric(f64::NEG_INFINITY))),
        ("note".into(), Datum::Text("n/a".into())),
        ("ok".into(), Datum::Flag(true)),
        ("x".into(), Datum::Number(Metric(0.1 + 0.2))),
    ];
    let record = LogRecord::Report { values };
    let event = Event::Logged {
        trial: TrialId(1),
        attempt: Attempt(1),
        record,
        line_end: None,
    };
    let entry = Entry {
        seq: 7,
        at: Timestamp::from_micros(1_700_000_000_123_456),
        event,
        away: None,
    };
    let text = serde_json::to_string(&entry).expect("it can be written");
    let expected = concat!(
        r#"{"seq":7,"at":"2023-11-14T22:13:20.123456Z","event":{"logged":{"trial":1,"attempt":1,"record":"#,
        r#"{"report":{"values":{"loss":"-inf","note":"n/a","ok":true,"x":0.30000000000000004}}}}}}"#
    );
    assert_eq!(text, expected);
    assert_eq!(
        serde_json::from_str::<Entry>(&text).expect("it can be read"),
        entry
    );
}

fn text(name: &str, text: &str) -> (Name, Datum) {
    (name.into(), Datum::Text(text.to_owned()))
}

#[test]
fn a_trial_without_its_objective_fails_with_the_reason() {
    let absent = LogRecord::Absent {
        metric: "loss".into(),
        why: "was `null`, not a number".into(),
    };
    let other = LogRecord::Absent {
        metric: "acc".into(),
        why: "was `null`, not a number".into(),
    };
    for (records, expected) in [
        (vec![], "`loss` was never reported"),
        (
            vec![LogRecord::Report {
                values: vec![text("Loss", "x"), text("epoch", "y")],
            }],
            "`loss` was never reported; the reports have `Loss`, `epoch`",
        ),
        (
            vec![LogRecord::Report {
                values: vec![text("loss", "tensor(0.33)")],
            }],
            "`loss` was a text (`tensor(0.33)`), not a number: print `.item()`",
        ),
        (vec![absent, other], "`loss` was `null`, not a number"),
    ] {
        let mut world = World::new(Goal::Min, Take::Best);
        world.start(1);
        for record in records {
            world.log(1, record);
        }
        assert_eq!(world.end(1, Exit::Done), TrialState::Failed);
        assert_eq!(
            world.exit(1),
            Some(Exit::Failed(Failure::NoObjective(expected.to_owned())))
        );
    }
}

#[test]
fn a_constrained_metric_that_was_a_text_is_not_called_unreported() {
    let limit = super::super::Limit {
        metric: "mib".into(),
        min: None,
        max: Some(2.0),
    };
    let mut world = World::new(Goal::Min, Take::Best);
    world.start(1);
    let values = vec![("mib".into(), Datum::Text("3 MiB".into()))];
    world.log(1, LogRecord::Report { values });
    let expected =
        "mib was a text (`3 MiB`), not a number: report the number alone; the limit is mib <= 2";
    assert_eq!(world.trial(1).violations(&[limit]), [expected]);
}

#[test]
fn failures_of_every_journal_version_are_read_back() {
    let ended = Box::new(Failure::Code(1));
    for failure in [
        Failure::Code(3),
        Failure::Raised {
            error: "ValueError: bad".into(),
            ended,
        },
        Failure::Told("diverged".into()),
    ] {
        let text =
            serde_json::to_string(&Exit::Failed(failure.clone())).expect("it can be written");
        assert_eq!(
            serde_json::from_str::<Exit>(&text).expect("it can be read"),
            Exit::Failed(failure)
        );
    }
    let ended = Box::new(Failure::Signal(6));
    let raised = Failure::Raised {
        error: "no data".into(),
        ended,
    };
    assert_eq!(raised.to_string(), "no data (killed by signal 6 (SIGABRT))");
    assert_eq!(
        (raised.class(), raised.ended()),
        (FailureClass::Crash, &Failure::Signal(6))
    );
}

#[test]
fn the_reason_of_a_missing_mean_names_the_value_that_is_not_finite() {
    let mut world = World::new(Goal::Min, Take::Mean);
    world.start(1);
    for (fold, loss) in [(1.0, 0.5), (2.0, f64::NAN), (3.0, 0.5)] {
        world.report(1, fold, loss);
    }
    assert_eq!(world.end(1, Exit::Done), TrialState::Failed);
    let why = "`loss` was reported, but is NaN in one of the reports that count";
    assert_eq!(
        world.exit(1),
        Some(Exit::Failed(Failure::NoObjective(why.to_owned())))
    );
}

#[test]
fn the_time_between_two_runs_is_not_used_time() {
    let mut study = Study::default();
    let mut used_after = |second: i64, event: Event, away: Option<u64>| {
        let at = Timestamp::from_micros(second * 1_000_000);
        let entry = Entry {
            seq: study.next_seq(),
            at,
            event,
            away,
        };
        study.apply(&entry).expect("a legal event");
        study.used().as_secs()
    };
    let header = Header::default();
    let format = super::super::FORMAT;
    let closed = Event::Closed {
        why: Closing::Interrupted,
    };
    assert_eq!(
        used_after(
            100,
            Event::Opened {
                format,
                header: header.clone()
            },
            None
        ),
        0
    );
    assert_eq!(
        used_after(107, slot_paused(0), Some(5_000_000)),
        2,
        "setup took five seconds"
    );
    assert_eq!(used_after(110, closed.clone(), None), 5);
    // A second run that is killed, and a third that begins with an edit.
    assert_eq!(used_after(1000, slot_paused(1), Some(889_000_000)), 6);
    assert_eq!(used_after(1004, slot_paused(2), None), 10);
    let edited = Event::Edited {
        header,
        changes: Vec::new(),
        fill: Params::default(),
        outside: Vec::new(),
    };
    assert_eq!(used_after(5000, edited.clone(), Some(3_996_000_000)), 10);
    assert_eq!(used_after(5003, closed, None), 13);
    // Journals of an earlier version do not mark where a run begins.
    assert_eq!(used_after(9000, edited, None), 13);
}

fn slot_paused(slot: u32) -> Event {
    Event::SlotPaused {
        slot,
        why: String::new(),
    }
}

#[test]
fn a_trial_that_says_its_configuration_cannot_work_is_invalid_however_its_process_ends() {
    for exit in [
        Exit::Done,
        Exit::Failed(Failure::Code(1)),
        Exit::Lost,
        Exit::Interrupted,
    ] {
        let mut world = World::new(Goal::Min, Take::Best);
        world.start(1);
        world.report(1, 1.0, 0.5);
        let why = "too deep".to_owned();
        world.log(1, LogRecord::Invalid { why });
        assert_eq!(world.end(1, exit.clone()), TrialState::Invalid, "{exit:?}");
        let failure = Failure::Invalid("too deep".into());
        assert_eq!(world.exit(1), Some(Exit::Failed(failure)));
        assert_eq!(
            (world.trial(1).failures, world.study.counts().invalid),
            (0, 1)
        );
        // A user may run it again, for example after a correction of the program.
        world.apply(Event::requeued(TrialId(1), "again"));
        world.start(1);
        world.report(1, 1.0, 0.5);
        assert_eq!(world.end(1, Exit::Done), TrialState::Complete);
        assert_eq!(world.study.counts().invalid, 0);
    }
}

#[test]
fn invalid_trials_and_further_seeds_may_be_left_out_of_the_total() {
    for exempts_invalid in [false, true] {
        let mut world = World::new(Goal::Min, Take::Best);
        let header = Header {
            exempts_invalid,
            ..world.study.header().clone()
        };
        world.apply(Event::Edited {
            header,
            changes: Vec::new(),
            fill: Params::default(),
            outside: Vec::new(),
        });
        for id in 1..=3 {
            world.start(id);
        }
        world.end(1, Exit::Failed(Failure::Invalid("too deep".into())));
        world.report(2, 1.0, 0.5);
        world.end(2, Exit::Done);
        let valid = 2;
        let counted = valid + u64::from(!exempts_invalid);
        assert_eq!(world.study.counted(), counted);
        world.apply(Event::Created {
            trial: TrialId(4),
            params: Params::default(),
            origin: Origin::Rerun(TrialId(2)),
            seed: 7,
        });
        assert_eq!(world.study.counted(), counted);
        assert_eq!(world.study.configuration(TrialId(4)), TrialId(2));
        world.apply(Event::requeued(TrialId(1), "again"));
        assert_eq!(world.study.counted(), 3);
    }
}
