//! Tests of every kind of plot with studies of every shape.

use super::chronicle::Chronicle;
use super::curves::Curves;
use super::failures::Failures;
use super::history::History;
use super::importance::{Fitted, Importance};
use super::pareto::Pareto;
use super::rungs::{Rung, Rungs, levels_of};
use super::svg::{self, Theme};
use super::timeline::Timeline;
use super::{Input, PLOTS, draw};
use rand::RngExt as _;
use swath_model::demo::{Demo, objective, text};
use swath_model::space::{Params, Value};
use swath_model::study::kind::find;
use swath_model::study::{
    Datum, Event, Exit, Failure, Goal, Header, Limit, LogRecord, Objective, Origin, Take, TrialId,
    Verdict,
};
use swath_numerics::stream::{Purpose, stream};

fn chronicle(demo: &Demo) -> Chronicle {
    let header = demo.study.header();
    let metrics = header
        .objectives
        .iter()
        .map(|objective| objective.metric.clone())
        .collect();
    let mut chronicle = Chronicle::new(header.resource.clone(), metrics);
    demo.entries.iter().for_each(|entry| chronicle.apply(entry));
    chronicle
}

fn with<T>(demo: &Demo, act: impl FnOnce(&Input<'_>) -> T) -> T {
    let chronicle = chronicle(demo);
    act(&Input::all(&demo.study, &chronicle, None))
}

#[test]
fn curves_are_drawn_over_the_key_that_the_trials_report() {
    let mut demo = Demo::new(&[]);
    for every in [0.25, 1.0] {
        let trial = demo.start(&[]);
        for index in 0..3 {
            demo.report(
                trial,
                &[("val_loss", 0.5), ("epoch", f64::from(index) * every)],
            );
        }
    }
    with(&demo, |input| {
        let curves = Curves::of(input, 9, 9);
        assert_eq!(curves.step, "epoch");
        let steps = curves.lines.iter().map(|line| {
            let steps = line.points.iter().map(|(step, _)| *step);
            steps.collect::<Vec<f64>>()
        });
        assert!(steps.eq([[0.0, 0.25, 0.5], [0.0, 1.0, 2.0]]));
    });
}

/// Ten trials: complete ones, a stopped one, a failed one, one with a NaN objective, one running.
fn mixed() -> Demo {
    let mut demo = Demo::new(&["lr", "optimizer", "momentum", "größe"]);
    for index in 1..=10 {
        let number = f64::from(index);
        let mut params = vec![
            ("lr", Value::Float(10f64.powf(-number / 3.0))),
            ("größe", Value::Int(i64::from(index))),
        ];
        if index % 2 == 0 {
            params.extend([
                ("optimizer", text("<b>sgd</b>")),
                ("momentum", Value::Float(number / 20.0)),
            ]);
        } else {
            params.push(("optimizer", text("a\x1b[2J数")));
        }
        let trial = demo.start(&params);
        for step in 1..=index {
            demo.report(
                trial,
                &[(
                    "val_loss",
                    if index == 9 {
                        f64::NAN
                    } else {
                        number / f64::from(step)
                    },
                )],
            );
        }
        match index {
            7 => {
                demo.event(Event::Judged {
                    trial,
                    verdict: Verdict::Stop,
                    why: "hopeless".into(),
                });
                demo.end(trial, Exit::Stopped);
            }
            8 => demo.end(trial, Exit::Failed(Failure::Signal(9))),
            10 => {}
            _ => demo.end(trial, Exit::Done),
        }
    }
    demo
}

fn shapes() -> Vec<(&'static str, Demo)> {
    let mut one = Demo::new(&["lr"]);
    one.complete(&[("lr", Value::Float(0.1))], &[("val_loss", 0.5)]);
    let mut failed = Demo::new(&["lr"]);
    for _ in 0..5 {
        let trial = failed.start(&[("lr", Value::Float(0.1))]);
        failed.end(
            trial,
            Exit::Failed(Failure::Spawn("no </svg> such\nfile".into())),
        );
    }
    let mut same = Demo::new(&["lr"]);
    for index in 0..20 {
        same.complete(
            &[("lr", Value::Float(f64::from(index)))],
            &[("val_loss", 1.0)],
        );
    }
    let mut huge = Demo::new(&["x"]);
    for index in 0..20 {
        let value = [f64::MAX, f64::MIN, 1e-308, 0.0, f64::INFINITY][index % 5];
        huge.complete(
            &[("x", Value::Float([1e300, -1e300, 5e-324][index % 3]))],
            &[("val_loss", value)],
        );
    }
    let bare = Demo::with(&[], Vec::new());
    vec![
        ("none", Demo::new(&[])),
        ("one", one),
        ("failed", failed),
        ("same", same),
        ("huge", huge),
        ("bare", bare),
        ("mixed", mixed()),
    ]
}

#[test]
fn every_plot_of_every_study_is_valid_xml_or_says_why_it_is_empty() {
    for (name, demo) in shapes() {
        for kind in PLOTS {
            let figure = with(&demo, |input| draw(kind, std::slice::from_ref(input)));
            let place = format!("{} of {name}", kind.name);
            assert!(
                !figure.is_empty()
                    || figure
                        .notes
                        .iter()
                        .any(|note| note.starts_with("nothing to plot")),
                "{place}"
            );
            let svg = svg::render(&figure, Theme::Auto);
            // Coordinates and sizes must be finite. Only texts may contain such words.
            let tags: String = svg
                .split('<')
                .filter_map(|piece| piece.split('>').next())
                .collect();
            assert!(
                !tags.contains("NaN") && !tags.contains("inf"),
                "{place}: {tags}"
            );
            assert!(!svg.contains('\x1b'), "{place}: {svg}");
            assert!(
                !svg.contains("<b>") && svg.matches("</svg>").count() == 1,
                "{place}"
            );
        }
    }
}

#[test]
fn several_studies_share_a_picture() {
    let (first, second) = (mixed(), mixed());
    let (a, b) = (chronicle(&first), chronicle(&second));
    for kind in PLOTS {
        let inputs = [
            Input::all(&first.study, &a, None),
            Input::all(&second.study, &b, None),
        ];
        let alone = draw(kind, &inputs[..1]);
        let both = draw(kind, &inputs);
        let panels = if kind.name == "history" {
            1
        } else {
            2 * alone.panels.len()
        };
        assert_eq!(both.panels.len(), panels, "{}", kind.name);
    }
}

#[test]
fn the_history_has_the_value_of_each_trial() {
    let history = with(&mixed(), History::of);
    assert_eq!(history.complete, [1, 2, 3, 4, 5, 6].map(|id| (id, 1.0)));
    assert_eq!(history.partial, [(7, 1.0), (10, 1.0)]);
    assert_eq!(
        (history.failed, history.best, history.last),
        (vec![8, 9], vec![(1, 1.0)], 10)
    );
}

#[test]
fn the_outcomes_at_a_rung_add_up_to_the_trials_that_reached_it() {
    let rungs = with(&mixed(), Rungs::of).rungs;
    assert_eq!(
        rungs[0],
        Rung {
            step: 1.0,
            reached: 10,
            went_on: 9,
            complete: 1,
            ..Rung::default()
        }
    );
    let seventh = rungs.iter().find(|rung| rung.step == 7.0).unwrap();
    assert_eq!(
        (seventh.reached, seventh.stopped, seventh.went_on),
        (4, 1, 3)
    );
    let last = rungs.last().unwrap();
    assert_eq!(
        (last.step, last.reached, last.failed, last.running),
        (9.0, 2, 1, 1)
    );
}

#[test]
fn a_level_has_the_value_of_each_trial_that_reached_its_rung() {
    let demo = mixed();
    let (rungs, levels) = with(&demo, |input| (Rungs::of(input), levels_of(input)));
    for level in &levels {
        let rung = rungs.rungs.iter().find(|rung| rung.step == level.step);
        assert!(level.trials.len() <= rung.unwrap().reached, "{level:?}");
        assert_eq!(level.trials.len(), level.values.len());
        assert!(level.trials.is_sorted());
    }
    assert!(
        levels.len() > 1 && levels[0].trials.len() >= 9,
        "{levels:?}"
    );
    // Without a trial that a scheduler stopped or paused there are no rungs to compare at.
    let mut complete = Demo::new(&["x"]);
    complete.complete(&[("x", Value::Float(1.0))], &[("val_loss", 1.0)]);
    assert!(with(&complete, levels_of).is_empty());
}

#[test]
fn the_value_at_a_step_is_the_last_one_by_its_step() {
    let objective = Objective {
        metric: "val_loss".into(),
        goal: Goal::Min,
        take: Take::Last,
    };
    let mut demo = Demo::with(&[], vec![objective.clone()]);
    let trial = demo.start(&[]);
    for (epoch, loss) in [(1.0, 0.9), (3.0, 0.3), (2.0, 0.2), (4.0, 0.4)] {
        demo.report(trial, &[("epoch", epoch), ("val_loss", loss)]);
    }
    let average = Objective {
        take: Take::LastMean(2),
        ..objective.clone()
    };
    let trial = demo.study.trial(trial).unwrap();
    let values =
        [(&objective, 3.0), (&objective, 2.0), (&average, 4.0)].map(|(objective, step)| {
            with(&demo, |input| input.value_at(objective, trial, step)).unwrap()
        });
    assert_eq!(values, [0.3, 0.2, 0.35]);
}

fn run_trial(demo: &mut Demo, seconds: usize) {
    let trial = demo.start(&[]);
    (0..seconds).for_each(|_| demo.report(trial, &[("val_loss", 1.0)]));
    demo.end(trial, Exit::Done);
}

#[test]
fn the_timeline_leaves_out_time_in_which_nothing_ran() {
    let mut demo = Demo::new(&[]);
    run_trial(&mut demo, 40);
    (0..100).for_each(|_| {
        demo.event(Event::Closed {
            why: swath_model::study::Closing::Interrupted,
        });
    });
    run_trial(&mut demo, 10);
    let timeline = with(&demo, |input| Timeline::of(input, 100));
    let bars: Vec<(f64, f64)> = timeline.bars.iter().map(|bar| (bar.from, bar.to)).collect();
    assert_eq!(bars, [(0.0, 41.0), (43.5, 54.5)]);
    assert_eq!(timeline.gaps, [(41.0, 102.0)]);
}

#[test]
fn the_timeline_has_a_bar_for_each_preparation() {
    let mut demo = Demo::new(&[]);
    let tokens = demo.prepare("tokens", &["raw"], &[]);
    let trial = demo.start(&[]);
    demo.read_prepared(trial, tokens);
    demo.end(trial, Exit::Done);
    let timeline = with(&demo, |input| Timeline::of(input, 100));
    let bars = timeline.bars.iter();
    let bars: Vec<_> = bars
        .map(|bar| (bar.preparation.as_deref(), bar.trial, bar.from, bar.state))
        .collect();
    assert_eq!(
        bars,
        [
            (Some("tokens"), 0, 0.0, "prepared"),
            (None, 1, 5.0, "complete")
        ]
    );
}

#[test]
fn the_front_is_computed_over_all_objectives() {
    let mut demo = Demo::with(
        &[],
        vec![objective("loss", Goal::Min), objective("acc", Goal::Max)],
    );
    for (loss, acc) in [(0.5, 0.9), (0.3, 0.8), (0.6, 0.7)] {
        demo.complete(&[], &[("loss", loss), ("acc", acc)]);
    }
    let pareto = with(&demo, Pareto::of);
    assert_eq!((pareto.front, pareto.objectives[1].1), (vec![1, 2], false));
    assert_eq!(pareto.trials.len(), 3);
}

#[test]
fn importance_warns_if_the_trials_do_not_support_it() {
    let mut demo = Demo::new(&["a", "b"]);
    let digits_of_pi = [
        31.0, 41.0, 59.0, 26.0, 53.0, 58.0, 97.0, 93.0, 23.0, 84.0, 62.0, 64.0,
    ];
    for (index, noise) in (0..12u32).zip(digits_of_pi) {
        let params = [
            ("a", Value::Float(f64::from(index * 37 % 12))),
            ("b", Value::Float(f64::from(index * 5 % 12))),
        ];
        demo.complete(&params, &[("val_loss", noise)]);
    }
    with(&demo, |input| {
        let importance = Importance::of(input, &Fitted::of(input).unwrap()).unwrap();
        assert!(importance.warnings.len() >= 2, "{:?}", importance.warnings);
        assert!(
            importance.warnings[0].contains("12 trials are few for 2 parameters"),
            "{:?}",
            importance.warnings
        );
        assert!((importance.rows.iter().map(|row| row.share).sum::<f64>() - 1.0).abs() < 1e-9);
    });
}

#[test]
fn the_important_ones_of_many_parameters_are_drawn_and_the_others_counted() {
    let names: Vec<String> = (0..25).map(|index| format!("p{index:02}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut demo = Demo::new(&names);
    let mut random = stream(7, Purpose::Simulate, 0);
    for _ in 0..60 {
        let values: Vec<f64> = names.iter().map(|_| random.random::<f64>()).collect();
        let params = names
            .iter()
            .copied()
            .zip(values.iter().copied().map(Value::Float));
        let params: Vec<_> = params.collect();
        demo.complete(&params, &[("val_loss", values[23])]);
    }
    let chronicle = chronicle(&demo);
    for (kind, most) in [("slice", 16), ("parallel", 12), ("importance", 20)] {
        let input = Input::all(&demo.study, &chronicle, None);
        let figure = draw(find(PLOTS, kind).unwrap(), &[input]);
        let left = 25 - most;
        let note = format!("the {most} most important of 25 parameters; {left} are left out");
        assert!(figure.notes.contains(&note), "{kind}: {:?}", figure.notes);
        if kind == "slice" {
            assert_eq!(figure.panels.len(), most);
            assert_eq!(figure.panels[0].x.label, "p23");
        }
    }
}

/// Importances by Optuna 5.0.0, `get_param_importances` with `FanovaImportanceEvaluator(seed)`
/// (scikit-learn 1.9.1), on the study of this test: the mean over the seeds 0 to 9. Their standard
/// deviation is at most 0.0013.
const OPTUNA: [(&str, f64); 4] = [
    ("x", 0.88438),
    ("y", 0.07267),
    ("c", 0.04145),
    ("z", 0.00150),
];

#[test]
fn importance_agrees_with_optuna() {
    let mut demo = Demo::new(&["x", "y", "z", "c"]);
    for index in 1..=200 {
        let number = f64::from(index);
        // A low-discrepancy sequence, rounded to six decimals.
        let [x, y, z] = [0.819_172_513_4, 0.671_043_606_7, 0.549_700_477_9]
            .map(|step| ((0.5 + number * step).fract() * 1e6_f64).round() / 1e6);
        let (c, add) = [("a", 0.0), ("b", 0.4), ("c", 0.1)]
            [((number * 0.450_359_962_7).fract() * 3.0) as usize];

        let value = (x - 0.3).powi(2) * 4.0 + 0.5 * y + 0.3 * x * y + add;
        let params = [
            ("x", Value::Float(x)),
            ("y", Value::Float(y)),
            ("z", Value::Float(z)),
            ("c", text(c)),
        ];
        demo.complete(&params, &[("val_loss", value)]);
    }
    let importance = with(&demo, |input| {
        Importance::of(input, &Fitted::of(input).unwrap()).unwrap()
    });
    for (row, (name, share)) in importance.rows.iter().zip(OPTUNA) {
        assert!(
            row.name == name && (row.share - share).abs() < 0.01,
            "{name} {share}: {:?}",
            importance.rows
        );
    }
    assert_eq!(importance.warnings, [""; 0]);
}

/// Three configurations with two seeds each. The second violates an outcome constraint. A seventh
/// trial is in the trash.
fn replicated() -> Demo {
    let mut demo = Demo::new(&["lr"]);
    let limits = vec![Limit {
        metric: "latency".into(),
        max: Some(10.0),
        min: None,
    }];
    let header = Header {
        limits,
        replicate: Some(2),
        ..demo.study.header().clone()
    };
    demo.event(Event::Edited {
        header,
        changes: Vec::new(),
        fill: Params::default(),
        outside: Vec::new(),
    });
    for (index, (loss, latency)) in [(0.5, 5.0), (0.1, 50.0), (0.3, 5.0)]
        .into_iter()
        .enumerate()
    {
        let head = TrialId(2 * index as u32 + 1);
        for origin in [Origin::Added, Origin::Replicate(head)] {
            let shift = if origin == Origin::Added { 0.0 } else { 0.2 };
            let trial = demo.start_from(&[("lr", Value::Float(loss))], origin);
            demo.report(trial, &[("val_loss", loss + shift), ("latency", latency)]);
            demo.end(trial, Exit::Done);
        }
    }
    demo.complete(
        &[("lr", Value::Float(9.0))],
        &[("val_loss", 0.01), ("latency", 1.0)],
    );
    demo.event(Event::Removed {
        trials: vec![TrialId(7)],
    });
    demo
}

#[test]
fn history_shows_means_and_no_incumbent_that_violates_an_outcome_constraint() {
    let history = with(&replicated(), History::of);
    let rounded: Vec<(u32, f64)> = history
        .complete
        .iter()
        .map(|(id, value)| (*id, (value * 1e9).round() / 1e9))
        .collect();
    assert_eq!(rounded, [(1, 0.6), (3, 0.2), (5, 0.4)]);
    assert_eq!(history.breaking, [3]);
    assert_eq!(
        history.best.iter().map(|(id, _)| *id).collect::<Vec<_>>(),
        [1, 5]
    );
    assert!(history.means);
}

#[test]
fn the_history_marks_the_first_trial_after_a_restart_of_the_search() {
    let mut demo = Demo::new(&[]);
    let kind = find(PLOTS, "history").unwrap();
    for origin in [
        Origin::Suggested("auto".into()),
        Origin::Restarted {
            sampler: "auto".into(),
            why: "it had converged".into(),
        },
    ] {
        let trial = demo.start_from(&[], origin);
        demo.report(trial, &[("val_loss", 0.5)]);
        demo.end(trial, Exit::Done);
    }
    assert_eq!(with(&demo, History::of).restarts, [2]);
    let figure = with(&demo, |input| draw(kind, std::slice::from_ref(input)));
    let mut legend = figure.legend.iter().map(|(_, text)| &**text);
    assert!(legend.any(|text| text == "the search restarted"));
}

#[test]
fn trials_in_the_trash_are_in_no_plot() {
    let demo = replicated();
    with(&demo, |input| {
        assert!(input.trials.iter().all(|trial| trial.id != TrialId(7)));
    });
    let timeline = with(&demo, |input| Timeline::of(input, 100));
    assert_eq!(timeline.bars.len(), 6);
    assert_eq!(with(&demo, |input| input.complete().len()), 6);
}

#[test]
fn the_pareto_front_of_several_seeds_is_one_of_means() {
    let objectives = vec![objective("loss", Goal::Min), objective("time", Goal::Min)];
    let mut demo = Demo::with(&[], objectives);
    let header = Header {
        replicate: Some(2),
        ..demo.study.header().clone()
    };
    demo.event(Event::Edited {
        header,
        changes: Vec::new(),
        fill: Params::default(),
        outside: Vec::new(),
    });
    for (origin, loss) in [(Origin::Added, 1.0), (Origin::Replicate(TrialId(1)), 3.0)] {
        let trial = demo.start_from(&[], origin);
        demo.report(trial, &[("loss", loss), ("time", 4.0)]);
        demo.end(trial, Exit::Done);
    }
    let pareto = with(&demo, Pareto::of);
    assert_eq!(
        (pareto.trials, pareto.front),
        (vec![(1, vec![2.0, 4.0])], vec![1])
    );
}

#[test]
fn imported_trials_count_but_ran_in_no_slot() {
    let mut demo = Demo::new(&["lr"]);
    demo.complete(&[("lr", Value::Float(0.1))], &[("val_loss", 0.5)]);
    let elsewhere = demo.start_from(
        &[("lr", Value::Float(0.2))],
        Origin::Imported("a.csv".into()),
    );
    demo.report(elsewhere, &[("val_loss", 0.25)]);
    demo.end(elsewhere, Exit::Done);
    assert_eq!(with(&demo, |input| Timeline::of(input, 9).bars.len()), 1);
    assert_eq!(with(&demo, |input| Rungs::of(input).rungs[0].reached), 1);
    assert_eq!(with(&demo, History::of).best, [(1, 0.5), (2, 0.25)]);
}

#[test]
fn studies_with_different_objectives_do_not_share_an_axis() {
    let mut worlds = [
        Demo::new(&[]),
        Demo::with(&[], vec![objective("acc", Goal::Max)]),
    ];
    worlds[0].complete(&[], &[("val_loss", 0.5)]);
    worlds[1].complete(&[], &[("acc", 0.9)]);
    let chronicles: Vec<Chronicle> = worlds.iter().map(chronicle).collect();
    let inputs: Vec<Input<'_>> = worlds
        .iter()
        .zip(&chronicles)
        .map(|(demo, chronicle)| Input::all(&demo.study, chronicle, None))
        .collect();
    let history = find(PLOTS, "history").unwrap();
    let labels: Vec<String> = draw(history, &inputs)
        .panels
        .iter()
        .map(|panel| panel.y.label.clone())
        .collect();
    assert_eq!(
        labels,
        ["val_loss (less is better)", "acc (more is better)"]
    );
}

fn raised(error: &str) -> Exit {
    let ended = Box::new(Failure::Code(1));
    Exit::Failed(Failure::Raised {
        error: error.to_owned(),
        ended,
    })
}

#[test]
fn failures_are_counted_by_the_error_and_not_by_the_status() {
    let mut demo = Demo::new(&[]);
    for exit in [
        raised("ValueError: bad"),
        raised("KeyError: 'lr'"),
        raised("ValueError: bad"),
    ] {
        let trial = demo.start(&[]);
        demo.end(trial, exit);
    }
    for text in ["tensor(0.1)", "tensor(0.2)", "tensor(0.3)"] {
        let trial = demo.start(&[]);
        let values = vec![("val_loss".into(), Datum::Text(text.to_owned()))];
        demo.log(trial, LogRecord::Report { values });
        demo.end(trial, Exit::Done);
    }
    let counted = with(&demo, |input| Failures::of(input).causes);
    let counted: Vec<(&str, usize)> = counted
        .iter()
        .map(|cause| (cause.cause.as_str(), cause.attempts))
        .collect();
    let expected = [
        ("`val_loss` was a text", 3),
        ("ValueError: bad (exit status 1)", 2),
        ("KeyError: 'lr' (exit status 1)", 1),
    ];
    assert_eq!(counted, expected);
}

#[test]
fn an_objective_is_plotted_by_its_rule_with_and_without_its_name() {
    let mut demo = Demo::with(
        &[],
        vec![
            objective("val_loss", Goal::Min),
            objective("acc", Goal::Max),
        ],
    );
    let trial = demo.start(&[]);
    for (loss, acc, rows) in [(0.9, 0.1, 1.0), (0.2, 0.8, 2.0), (0.4, 0.6, 3.0)] {
        demo.report(trial, &[("val_loss", loss), ("acc", acc), ("rows", rows)]);
    }
    demo.end(trial, Exit::Done);
    let chronicle = chronicle(&demo);
    let measured = [
        None,
        Some("val_loss"),
        Some("acc"),
        Some("rows"),
        Some("gone"),
    ]
    .map(|metric| {
        let input = Input {
            metric,
            ..Input::all(&demo.study, &chronicle, None)
        };
        input.measured(&demo.study.trials()[0])
    });
    assert_eq!(measured, [Some(0.2), Some(0.2), Some(0.8), Some(3.0), None]);
}
