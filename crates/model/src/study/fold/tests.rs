use super::super::{Closing, Goal, Objective, Origin, Resource, Timestamp};
use super::*;
use crate::space::Params;
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
        world.happens(Event::Opened {
            format: super::super::FORMAT,
            header,
        });
        world
    }

    fn happens(&mut self, event: Event) {
        assert_eq!(self.tries(event), Ok(()));
    }

    fn tries(&mut self, event: Event) -> Result<(), IllegalEvent> {
        let at = Timestamp::from_micros(i64::try_from(self.seq).expect("small") * 1_000_000);
        let done = self.study.apply(&Entry {
            seq: self.seq,
            at,
            event,
            away: None,
        });
        self.seq += u64::from(done.is_ok());
        done
    }

    fn starts(&mut self, id: u32) {
        let trial = TrialId(id);
        if self.study.trial(trial).is_none() {
            let origin = Origin::Suggested("random".into());
            self.happens(Event::Created {
                trial,
                params: Params::default(),
                origin,
                seed: 0,
            });
        }
        let attempt = Attempt(self.study.trial(trial).expect("it was created").attempts + 1);
        self.happens(Event::Started {
            trial,
            attempt,
            until: Some(Resource(9)),
            slot: 0,
            resume: false,
        });
    }

    fn reports(&mut self, id: u32, epoch: f64, loss: f64) {
        let values = vec![
            ("epoch".into(), Datum::Number(Metric(epoch))),
            ("loss".into(), Datum::Number(Metric(loss))),
        ];
        let attempt = Attempt(
            self.study
                .trial(TrialId(id))
                .expect("it was created")
                .attempts,
        );
        self.happens(Event::Logged {
            trial: TrialId(id),
            attempt,
            record: LogRecord::Report { values },
        });
    }

    fn ends(&mut self, id: u32, exit: Exit) -> TrialState {
        let attempt = Attempt(
            self.study
                .trial(TrialId(id))
                .expect("it was created")
                .attempts,
        );
        self.happens(Event::Ended {
            trial: TrialId(id),
            attempt,
            exit,
            usage: Usage::default(),
        });
        self.study
            .trial(TrialId(id))
            .expect("it was created")
            .state
            .clone()
    }
}

#[test]
fn a_trial_that_no_longer_fits_does_not_wait_until_it_fits_again() {
    let mut world = World::new(Goal::Min, Take::Last);
    for id in 1..=3 {
        world.starts(id);
    }
    world.ends(1, Exit::Interrupted);
    let edit = |world: &mut World, outside: Vec<TrialId>| {
        let header = world.study.header().clone();
        world.happens(Event::Edited {
            header,
            changes: Vec::new(),
            fill: Params::default(),
            outside,
        });
    };
    edit(&mut world, vec![TrialId(1), TrialId(2)]);
    world.ends(2, Exit::Lost);
    world.ends(3, Exit::Lost);
    assert_eq!(world.study.waiting().collect::<Vec<_>>(), [TrialId(3)]);
    world.happens(Event::Removed {
        trials: vec![TrialId(1)],
    });
    world.happens(Event::Restored {
        trials: vec![TrialId(1)],
    });
    assert_eq!(world.study.waiting().collect::<Vec<_>>(), [TrialId(3)]);
    edit(&mut world, Vec::new());
    assert_eq!(world.study.waiting().count(), 3);
}

#[test]
fn a_removed_trial_counts_for_nothing_keeps_its_id_and_can_be_restored() {
    let mut world = World::new(Goal::Min, Take::Last);
    for id in 1..=2 {
        world.starts(id);
        world.reports(id, 1.0, f64::from(id));
        world.ends(id, Exit::Done);
    }
    let before = world.study.clone();
    let trials = vec![TrialId(1)];
    world.happens(Event::Removed {
        trials: trials.clone(),
    });
    let study = &world.study;
    let best = study.incumbent().map(|trial| trial.id);
    assert_eq!(
        (best, study.counted(), study.counts().complete),
        (Some(TrialId(2)), 1, 1)
    );
    assert_eq!(study.next_id(), TrialId(3));
    let again = world.tries(Event::Removed {
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
    world.happens(Event::Restored {
        trials: trials.clone(),
    });
    let after = &world.study;
    assert_eq!(
        (after.trials(), after.counts(), after.counted()),
        (before.trials(), before.counts(), 2)
    );
    assert_eq!(after.incumbent().map(|trial| trial.id), Some(TrialId(1)));
    assert!(world.tries(Event::Restored { trials }).is_err());
}

#[test]
fn a_trial_is_complete_only_with_status_0_and_a_finite_objective() {
    let mut world = World::new(Goal::Min, Take::Last);
    world.starts(1);
    world.reports(1, 1.0, 0.5);
    assert_eq!(world.ends(1, Exit::Done), TrialState::Complete);
    world.starts(2);
    assert_eq!(world.ends(2, Exit::Done), TrialState::Failed);
    world.starts(3);
    world.reports(3, 1.0, f64::NAN);
    assert_eq!(world.ends(3, Exit::Done), TrialState::Failed);
    world.starts(4);
    world.reports(4, 1.0, 0.1);
    assert_eq!(
        world.ends(4, Exit::Failed(Failure::Code(1))),
        TrialState::Failed
    );
    assert_eq!(
        world.study.incumbent().map(|trial| trial.id),
        Some(TrialId(1))
    );
}

#[test]
fn nan_is_never_best_and_take_decides_between_best_and_last() {
    for (take, wanted) in [(Take::Best, 0.9), (Take::Last, 0.2)] {
        let mut world = World::new(Goal::Max, take);
        world.starts(1);
        for (epoch, loss) in [(1.0, 0.9), (2.0, f64::NAN), (3.0, 0.2)] {
            world.reports(1, epoch, loss);
        }
        world.ends(1, Exit::Done);
        let best = world.study.incumbent().expect("one is complete");
        assert_eq!(
            best.objective(&world.study.header().objectives[0]),
            Some(wanted)
        );
    }
}

#[test]
fn a_lost_or_interrupted_trial_waits_again_and_a_new_attempt_counts_anew() {
    let mut world = World::new(Goal::Min, Take::Best);
    world.starts(1);
    world.reports(1, 1.0, 0.1);
    assert_eq!(world.ends(1, Exit::Lost), TrialState::Waiting);
    assert_eq!(world.study.waiting().collect::<Vec<_>>(), [TrialId(1)]);
    world.starts(1);
    world.reports(1, 1.0, 0.7);
    world.ends(1, Exit::Done);
    let trial = world.study.trial(TrialId(1)).expect("it was created");
    assert_eq!(
        (trial.attempts, trial.reports, trial.metrics["loss"].min),
        (2, 1, Some(0.7))
    );
}

#[test]
fn seconds_of_several_attempts_add_up_without_noise_behind_the_microsecond() {
    let mut world = World::new(Goal::Min, Take::Best);
    world.starts(1);
    for used in [0.1, 0.2] {
        let usage = Usage {
            cpu_seconds: used,
            peak_mib: 0.0,
        };
        let attempt = Attempt(
            world
                .study
                .trial(TrialId(1))
                .expect("it was created")
                .attempts,
        );
        world.happens(Event::Ended {
            trial: TrialId(1),
            attempt,
            exit: Exit::Lost,
            usage,
        });
        world.starts(1);
    }
    let trial = world.study.trial(TrialId(1)).expect("it was created");
    assert_eq!((trial.usage.cpu_seconds, trial.seconds), (0.3, 2.0));
}

#[test]
fn a_judged_attempt_ends_as_judged_however_the_process_took_it() {
    for exit in [
        Exit::Done,
        Exit::Stopped,
        Exit::Lost,
        Exit::Failed(Failure::Signal(15)),
    ] {
        let mut world = World::new(Goal::Min, Take::Best);
        world.starts(1);
        world.reports(1, 3.0, 0.1);
        world.happens(Event::Judged {
            trial: TrialId(1),
            verdict: Verdict::Stop,
            why: "rank 8 of 9".into(),
        });
        assert_eq!(world.ends(1, exit), TrialState::Stopped);
        assert_eq!(world.study.incumbent(), None);
        assert_eq!(world.study.counts().stopped, 1);
    }
}

#[test]
fn the_earlier_of_equally_good_trials_stays_the_incumbent() {
    let mut world = World::new(Goal::Min, Take::Best);
    world.starts(1);
    world.starts(2);
    for id in [2, 1] {
        world.reports(id, 1.0, 0.5);
        world.ends(id, Exit::Done);
    }
    assert_eq!(
        world.study.incumbent().map(|trial| trial.id),
        Some(TrialId(1))
    );
}

#[test]
fn what_cannot_follow_is_refused_and_changes_nothing() {
    let mut world = World::new(Goal::Min, Take::Best);
    world.starts(1);
    let before = world.study.clone();
    let stale = Event::Ended {
        trial: TrialId(1),
        attempt: Attempt(2),
        exit: Exit::Done,
        usage: Usage::default(),
    };
    let refused = [
        (stale, "trial 1 runs attempt 1, not 2"),
        (
            Event::requeued(TrialId(1), ""),
            "trial 1 is running and cannot be requeued",
        ),
        (Event::requeued(TrialId(7), ""), "trial 7 does not exist"),
        (
            Event::Created {
                trial: TrialId(3),
                params: Params::default(),
                origin: Origin::Added,
                seed: 0,
            },
            "trial 3 is created where 2 belongs",
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
            world.tries(event).map_err(|error| error.to_string()),
            Err(message.to_owned())
        );
        assert_eq!(world.study, before);
    }
    world.happens(Event::Closed {
        why: Closing::Finished,
    });
}

#[test]
fn an_edit_puts_trials_outside_and_fills_new_parameters() {
    let mut world = World::new(Goal::Min, Take::Best);
    for (id, loss) in [(1, 0.1), (2, 0.2)] {
        world.starts(id);
        world.reports(id, 1.0, loss);
        world.ends(id, Exit::Done);
    }
    let header = world.study.header().clone();
    let fill: Params = [("depth".into(), crate::space::Value::Int(3))]
        .into_iter()
        .collect();
    world.happens(Event::Edited {
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
fn every_entry_comes_back_from_json_as_it_was() {
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
    };
    let entry = Entry {
        seq: 7,
        at: Timestamp::from_micros(1_700_000_000_123_456),
        event,
        away: None,
    };
    let text = serde_json::to_string(&entry).expect("it can be written");
    let wanted = concat!(
        r#"{"seq":7,"at":"2023-11-14T22:13:20.123456Z","event":{"logged":{"trial":1,"attempt":1,"record":"#,
        r#"{"report":{"values":{"loss":"-inf","note":"n/a","ok":true,"x":0.30000000000000004}}}}}}"#
    );
    assert_eq!(text, wanted);
    assert_eq!(
        serde_json::from_str::<Entry>(&text).expect("it can be read"),
        entry
    );
}

fn told(world: &mut World, id: u32, record: LogRecord) {
    let trial = TrialId(id);
    let attempt = Attempt(world.study.trial(trial).expect("it was created").attempts);
    world.happens(Event::Logged {
        trial,
        attempt,
        record,
    });
}

#[test]
fn a_trial_without_its_objective_fails_with_the_reason() {
    let text = |name: &str, text: &str| (name.into(), Datum::Text(text.to_owned()));
    let absent = LogRecord::Absent {
        metric: "loss".into(),
        why: "was `null`, not a number".into(),
    };
    let other = LogRecord::Absent {
        metric: "acc".into(),
        why: "was `null`, not a number".into(),
    };
    for (records, wanted) in [
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
        world.starts(1);
        for record in records {
            told(&mut world, 1, record);
        }
        assert_eq!(world.ends(1, Exit::Done), TrialState::Failed);
        let exit = world
            .study
            .trial(TrialId(1))
            .and_then(|trial| trial.exit.clone());
        assert_eq!(
            exit,
            Some(Exit::Failed(Failure::NoObjective(wanted.to_owned())))
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
    world.starts(1);
    let values = vec![("mib".into(), Datum::Text("3 MiB".into()))];
    told(&mut world, 1, LogRecord::Report { values });
    let broken = world
        .study
        .trial(TrialId(1))
        .map(|trial| trial.broken(&[limit]));
    let wanted =
        "mib was a text (`3 MiB`), not a number: report the number alone; the limit is mib <= 2";
    assert_eq!(broken, Some(vec![wanted.to_owned()]));
}

#[test]
fn old_and_new_failures_are_read_back() {
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
fn of_a_mean_the_reason_names_the_value_that_is_not_finite() {
    let mut world = World::new(Goal::Min, Take::Mean);
    world.starts(1);
    for (fold, loss) in [(1.0, 0.5), (2.0, f64::NAN), (3.0, 0.5)] {
        world.reports(1, fold, loss);
    }
    assert_eq!(world.ends(1, Exit::Done), TrialState::Failed);
    let exit = world
        .study
        .trial(TrialId(1))
        .and_then(|trial| trial.exit.clone());
    let why = "`loss` was reported, but is NaN in one of the reports that count";
    assert_eq!(
        exit,
        Some(Exit::Failed(Failure::NoObjective(why.to_owned())))
    );
}

#[test]
fn the_time_of_the_runs_is_used_and_not_the_time_between_them() {
    let mut study = Study::default();
    let mut happens = |second: i64, event: Event, away: Option<u64>| {
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
    let paused = |slot| Event::SlotPaused {
        slot,
        why: String::new(),
    };
    let closed = || Event::Closed {
        why: Closing::Interrupted,
    };
    assert_eq!(
        happens(
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
        happens(107, paused(0), Some(5_000_000)),
        2,
        "setup took five seconds"
    );
    assert_eq!(happens(110, closed(), None), 5);
    // A second run that is killed, and a third that begins with an edit.
    assert_eq!(happens(1000, paused(1), Some(889_000_000)), 6);
    assert_eq!(happens(1004, paused(2), None), 10);
    let edited = Event::Edited {
        header,
        changes: Vec::new(),
        fill: Params::default(),
        outside: Vec::new(),
    };
    assert_eq!(happens(5000, edited.clone(), Some(3_996_000_000)), 10);
    assert_eq!(happens(5003, closed(), None), 13);
    // Journals of an earlier version do not mark where a run begins.
    assert_eq!(happens(9000, edited, None), 13);
}
