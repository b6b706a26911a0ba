use super::*;

#[test]
fn choices_own_their_share_of_the_interval() {
    assert_eq!(category(0.7, &[0.5, 0.0, 0.5]), 2);
    assert_eq!(category(1.0, &[0.5, 0.5, 0.0]), 1);
    assert_eq!(centre(2, &[0.25, 0.25, 0.5]), 0.75);
}

#[test]
fn points_snap_to_where_their_configuration_is_encoded() {
    let text = "a = { min = 1, max = 9, log = true }\nb = [\"x\", \"y\", \"z\"]\nc = { min = 0.0, max = 1.0, step = 0.25 }\n";
    let mut diagnostics = swath_model::source::Diagnostics::default();
    let table = swath_model::source::Table::parse(text, &mut diagnostics);
    let section = swath_model::source::Section::new("space", 0..0, table);
    let space = Arc::new(Space::parse(section, None, &mut diagnostics).unwrap());
    let setting = Setting {
        space: space.clone(),
        objectives: Vec::new(),
        seed: 0,
        trials: None,
        slots: 1,
        resource: None,
        checkpoint: false,
        dir: None,
    };
    let history = History::new(&setting);
    for at in 0..200 {
        let unit = swath_numerics::sobol::Sobol::new(3, 1).point(at);
        let mut snapped = unit.clone();
        history.snap(&mut snapped);
        for (actual, expected) in snapped.iter().zip(space.snap(&unit)) {
            assert!(
                (actual - expected).abs() < 1e-9,
                "{unit:?} snaps to {snapped:?}"
            );
        }
    }
}

#[test]
fn a_paused_trial_gets_the_final_score_of_trials_with_its_rank() {
    use swath_model::study::{
        Attempt, Datum, Entry, Exit, FORMAT, Goal, Header, LogRecord, Metric, Objective, Take,
        Timestamp, TrialId, Usage, Verdict,
    };
    let mut diagnostics = swath_model::source::Diagnostics::default();
    let table =
        swath_model::source::Table::parse("x = { min = 0.0, max = 1.0 }\n", &mut diagnostics);
    let section = swath_model::source::Section::new("space", 0..0, table);
    let space = Arc::new(Space::parse(section, None, &mut diagnostics).unwrap());
    let objectives = vec![Objective {
        metric: "loss".into(),
        goal: Goal::Min,
        take: Take::Last,
    }];
    let setting = Setting {
        space,
        objectives: objectives.clone(),
        seed: 0,
        trials: None,
        slots: 1,
        resource: Some("epoch".into()),
        checkpoint: true,
        dir: None,
    };
    let mut history = History::new(&setting);
    let mut study = Study::default();
    let mut tell = |event: Event| {
        let entry = Entry {
            seq: study.next_seq(),
            at: Timestamp::from_micros(0),
            event,
            away: None,
        };
        study.apply(&entry).unwrap();
        history.observe(&study, &entry.event);
    };
    let header = Header {
        objectives,
        resource: Some("epoch".into()),
        ..Header::default()
    };
    tell(Event::Opened {
        format: FORMAT,
        header,
    });
    let attempt = Attempt(1);
    // Four trials that report 1.1 to 1.4 first and end at 0.1 to 0.4, and one that is paused at
    // 1.25.
    for (id, first) in [(1, 1.1), (2, 1.2), (3, 1.3), (4, 1.4), (5, 1.25)] {
        let trial = TrialId(id);
        let params = [("x".into(), swath_model::space::Value::Float(first - 1.0))]
            .into_iter()
            .collect();
        tell(Event::Created {
            trial,
            params,
            origin: Origin::Added,
            seed: 0,
        });
        tell(Event::Started {
            trial,
            attempt,
            until: None,
            slot: 0,
            resume: false,
        });
        let report = |epoch: f64, loss: f64| {
            let number = |value| Datum::Number(Metric(value));
            let values = vec![
                ("epoch".into(), number(epoch)),
                ("loss".into(), number(loss)),
            ];
            Event::Logged {
                trial,
                attempt,
                record: LogRecord::Report { values },
                line_end: None,
            }
        };
        tell(report(1.0, first));
        if id == 5 {
            tell(Event::Judged {
                trial,
                verdict: Verdict::Pause,
                why: "rung".into(),
            });
            tell(Event::Ended {
                trial,
                attempt,
                exit: Exit::Paused,
                usage: Usage::default(),
            });
        } else {
            tell(report(2.0, first - 1.0));
            tell(Event::Ended {
                trial,
                attempt,
                exit: Exit::Done,
                usage: Usage::default(),
            });
        }
    }
    assert_eq!(history.pending().count(), 0);
    let guess = history.row(4).score().unwrap();
    assert!(
        (guess - 0.3).abs() < 1e-9,
        "the third of its rung became 0.3, not {guess}"
    );
}

#[test]
fn the_value_at_which_a_trial_was_judged_stays_on_its_curve() {
    use swath_model::demo::Demo;
    use swath_model::space::Value;
    use swath_model::study::Verdict;
    let mut demo = Demo::new(&["x", "y"]);
    let trial = demo.start(&[("x", Value::Float(0.5)), ("y", Value::Float(0.5))]);
    for (epoch, loss) in [(10.0, 1.0), (11.0, 0.8), (12.0, 0.7), (13.0, 0.6)] {
        demo.report(trial, &[("epoch", epoch), ("val_loss", loss)]);
        if epoch == 11.0 {
            demo.event(Event::Judged {
                trial,
                verdict: Verdict::Continue,
                why: "rung".into(),
            });
        }
    }
    let setting =
        super::super::outlook::tests::setting(&demo, &super::super::outlook::tests::square());
    let mut history = History::new(&setting);
    let mut study = Study::default();
    for entry in &demo.entries {
        study.apply(entry).unwrap();
        history.observe(&study, &entry.event);
    }
    assert_eq!(history.row(0).value_at(11.0), Some(0.8));
    assert_eq!(
        history.row(0).value_at(12.0),
        Some(0.8),
        "between two points"
    );
    assert_eq!(history.furthest(), 13.0);
}
