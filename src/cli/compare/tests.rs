use super::{Args, run};
use crate::cli::exit::{Code, Failure};
use crate::cli::studies::demo;
use crate::cli::{Context, output::captured};
use crate::space::Value;
use crate::study::{Event, Exit, Goal, Origin, TrialId};
use swath_model::demo::{Demo, objective, text};

fn args() -> Args {
    Args {
        pair: "seed".into(),
        test: "t".into(),
        interval: "t".into(),
        ..Args::default()
    }
}

/// Three optimizers with four seeds each. The seed shifts all three alike. One trial failed.
fn world() -> Demo {
    let mut demo = Demo::new(&["optimizer", "seed"]);
    let noise = [0.001, -0.002, 0.0, 0.002];
    for (optimizer, base) in [("adam", 0.30), ("sgd", 0.35), ("adamw", 0.301)] {
        for seed in 0..4 {
            let params = [("optimizer", text(optimizer)), ("seed", Value::Int(seed))];
            let shift = noise[(seed as usize + base.to_string().len()) % 4];
            let trial = demo.start(&params);
            demo.report(trial, &[("val_loss", 1.0), ("acc", 0.25)]);
            demo.report(
                trial,
                &[
                    ("val_loss", base + 0.05 * seed as f64 + shift),
                    ("acc", 0.5),
                ],
            );
            demo.end(trial, Exit::Done);
        }
    }
    let failed = demo.start(&[("optimizer", text("sgd")), ("seed", Value::Int(9))]);
    demo.end(failed, Exit::Done);
    demo
}

fn compare(
    demo: &Demo,
    width: Option<usize>,
    args: &Args,
) -> (Result<Code, Failure>, String, String) {
    demo::run(demo, width, |context| run(args, context))
}

fn json(args: &Args) -> serde_json::Value {
    let (result, out, _) = compare(
        &world(),
        None,
        &Args {
            json: true,
            ..args.clone()
        },
    );
    assert_eq!(result, Ok(Code::Done));
    serde_json::from_str(&out).unwrap()
}

#[test]
fn trials_that_differ_only_in_their_seed_are_one_row_and_are_paired_by_seed() {
    let (_, out, err) = compare(&world(), Some(100), &args());
    insta::assert_snapshot!(format!("{out}---\n{err}"));
}

#[test]
fn a_verdict_needs_three_trials_in_both_groups() {
    let few = Args {
        condition: Some("param.seed < 2 or optimizer == 'adam'".into()),
        by: Some("optimizer".into()),
        ..args()
    };
    let document = json(&few);
    assert_eq!(document["groups"].as_array().map(Vec::len), Some(3));
    let verdicts: Vec<_> = (0..3)
        .map(|at| document["groups"][at]["verdict"].as_str().unwrap())
        .collect();
    assert_eq!(
        verdicts
            .iter()
            .filter(|verdict| **verdict == "too few to tell")
            .count(),
        2,
        "{verdicts:?}"
    );
    let document = json(&Args {
        by: Some("optimizer".into()),
        ..args()
    });
    assert_eq!(document["groups"][2]["verdict"], "worse");
    assert_eq!(document["groups"][2]["pairs"], 4);
}

#[test]
fn without_pairs_the_noise_of_the_seeds_hides_the_difference() {
    let document = json(&Args {
        by: Some("optimizer".into()),
        unpaired: true,
        ..args()
    });
    assert_eq!(document["groups"][2]["verdict"], "not told apart");
    assert_eq!(document["groups"][2]["pairs"], serde_json::Value::Null);
}

#[test]
fn groups_are_compared_with_the_baseline_and_can_be_better() {
    let document = json(&Args {
        by: Some("optimizer".into()),
        baseline: Some("sgd".into()),
        ..args()
    });
    assert_eq!(document["groups"][0]["verdict"], "better");
    assert_eq!(
        (&document["groups"][2]["verdict"], &document["comparisons"]),
        (&"baseline".into(), &2.into())
    );
    let (result, ..) = compare(
        &world(),
        None,
        &Args {
            by: Some("optimizer".into()),
            baseline: Some("lion".into()),
            ..args()
        },
    );
    assert_eq!(result.unwrap_err().code, Code::Usage);
}

#[test]
fn columns_are_expressions_over_the_reports() {
    let cols = Some("max(val_loss), val_loss@1, count(acc) * 10, min(1, 2)".to_owned());
    let (_, out, _) = compare(
        &world(),
        None,
        &Args {
            cols,
            top: Some(1),
            csv: true,
            by: Some("optimizer".into()),
            ..args()
        },
    );
    let mut reader = csv::Reader::from_reader(out.as_bytes());
    let header = reader.headers().unwrap().clone();
    let row = reader.records().next().unwrap().unwrap();
    let cell = |name: &str| &row[header.iter().position(|found| found == name).unwrap()];
    assert_eq!(
        [
            cell("max(val_loss)"),
            cell("val_loss@1"),
            cell("count(acc) * 10"),
            cell("min(1, 2)")
        ],
        ["1.0", "1.0", "20.0", "1"]
    );
}

#[test]
fn the_best_report_is_a_column_and_a_column_without_values_is_an_error() {
    let with = |cols: &str| {
        let cols = Some(cols.to_owned());
        let by = Some("optimizer".to_owned());
        compare(
            &world(),
            None,
            &Args {
                cols,
                top: Some(1),
                csv: true,
                by,
                ..args()
            },
        )
    };
    let (_, out, _) = with("at_best(acc), first(acc), std(acc)");
    let mut reader = csv::Reader::from_reader(out.as_bytes());
    let header = reader.headers().unwrap().clone();
    let row = reader.records().next().unwrap().unwrap();
    let cell = |name: &str| &row[header.iter().position(|found| found == name).unwrap()];
    assert_eq!([cell("at_best(acc)"), cell("first(acc)")], ["0.5", "0.25"]);
    for wrong in [
        "best(acc)",
        "acc@9",
        "last(optimizer)",
        "at_best(ac)",
        "best.acc",
        "optimizer * 2",
    ] {
        assert_eq!(with(wrong).0.unwrap_err().code, Code::Usage, "{wrong}");
    }
}

#[test]
fn an_assertion_holds_or_the_exit_code_is_6() {
    let with = |text: &str| {
        compare(
            &world(),
            None,
            &Args {
                assertions: vec![text.into()],
                ..args()
            },
        )
    };
    for holds in [
        "best(val_loss) < 0.31",
        "mean(max(val_loss)) == 1 and failed == 1",
        "max(acc@2) <= 0.5",
        "min(1, count(acc)) == 1",
    ] {
        assert_eq!(with(holds).0, Ok(Code::Done), "{holds}: {}", with(holds).2);
    }
    let (result, _, err) = with("best(val_loss) < 0.2");
    assert_eq!(result, Ok(Code::Difference));
    assert!(
        err.contains("does not hold: best(val_loss) < 0.2  (best(val_loss) = 0.299 in `digits`)"),
        "{err}"
    );
    assert_eq!(
        with("best(val_loss@99) < 1").0,
        Ok(Code::Difference),
        "an assertion over an unknown value does not hold"
    );
    for wrong in [
        "best(val_loss)",
        "best(valloss) < 1",
        "val_loss < 1",
        "best(val_loss < 1",
        "mean(acc) < 'x'",
    ] {
        assert_eq!(with(wrong).0.unwrap_err().code, Code::Usage, "{wrong}");
    }
}

#[test]
fn csv_files_of_other_tools_are_compared_with_studies() {
    let logs = tempfile::tempdir().unwrap();
    demo::write(logs.path(), "digits", &world());
    let path = logs.path().join("theirs.csv");
    std::fs::write(
        &path,
        "\u{feff}seed;optimizer;val_loss\r\n0;lion;0,5\r\n1;lion;0,55\r\n2;lion;0,6\r\n3;lion\r\n",
    )
    .unwrap();
    let (out, stdout, stderr) = captured::output(None);
    let mut context = Context {
        logs: logs.path().to_owned(),
        out,
    };
    let sources = vec!["digits".to_owned(), path.display().to_string()];
    let result = run(
        &Args {
            sources,
            by: Some("study,optimizer".into()),
            csv: true,
            ..args()
        },
        &mut context,
    );
    assert_eq!(result, Ok(Code::Done), "{}", stderr.text());
    drop(context);
    let rows: Vec<String> = stdout
        .text()
        .lines()
        .map(|line| line.split(',').take(4).collect::<Vec<_>>().join(","))
        .collect();
    assert_eq!(rows[0], "study,optimizer,n,mean");
    assert!(rows[4].starts_with("theirs.csv,lion,3,0.55"), "{rows:?}");
    assert!(
        stderr
            .text()
            .contains("1 row has fewer fields than the header"),
        "{}",
        stderr.text()
    );
}

#[test]
fn studies_with_different_objectives_need_a_metric() {
    let logs = tempfile::tempdir().unwrap();
    demo::write(logs.path(), "digits", &world());
    let mut other = Demo::with(&["depth"], vec![objective("acc", Goal::Max)]);
    other.complete(&[("depth", Value::Int(3))], &[("acc", 0.9)]);
    demo::write(logs.path(), "other", &other);
    let mut context = Context {
        logs: logs.path().to_owned(),
        out: captured::output(None).0,
    };
    let sources = vec!["digits".to_owned(), "other".to_owned()];
    let failure = run(
        &Args {
            sources: sources.clone(),
            ..args()
        },
        &mut context,
    )
    .unwrap_err();
    assert!(
        failure.message.contains("different objectives"),
        "{failure:?}"
    );
    let (out, stdout, _) = captured::output(None);
    let mut context = Context {
        logs: logs.path().to_owned(),
        out,
    };
    assert_eq!(
        run(
            &Args {
                sources,
                metric: Some("acc".into()),
                ..args()
            },
            &mut context
        ),
        Ok(Code::Done)
    );
    drop(context);
    assert_eq!(stdout.text().lines().count(), 5, "{}", stdout.text());
    assert!(
        stdout.text().lines().nth(1).unwrap().starts_with("other"),
        "{}",
        stdout.text()
    );
}

#[test]
fn groups_of_one_trial_get_no_verdict() {
    let mut demo = Demo::new(&["lr"]);
    for lr in [0.1, 0.2, 0.3] {
        demo.complete(&[("lr", Value::Float(lr))], &[("val_loss", lr)]);
    }
    let (_, out, err) = compare(&demo, Some(80), &args());
    assert_eq!(
        out,
        "trial  val_loss   lr  ratio\n    1       0.1  0.1   1.00\n    2       0.2  0.2   2.00\n    3       0.3  0.3   3.00\n"
    );
    assert!(
        err.contains("differences cannot be told from noise"),
        "{err}"
    );
}

#[test]
fn escape_sequences_in_names_and_values_are_neutralised() {
    let mut demo = Demo::new(&["na\x1b[31mme"]);
    for (value, loss) in [("\x1b[2J\n", 0.1), ("b|c", 0.2)] {
        demo.complete(&[("na\x1b[31mme", text(value))], &[("val_loss", loss)]);
    }
    for md in [true, false] {
        let (_, out, err) = compare(
            &demo,
            Some(80),
            &Args {
                md,
                by: Some("na\x1b[31mme".into()),
                ..args()
            },
        );
        assert!(
            !(out.clone() + &err)
                .chars()
                .any(|char| char.is_control() && char != '\n'),
            "{out:?} {err:?}"
        );
        assert!(!md || out.contains("b\\|c"), "{out}");
    }
}

#[test]
fn a_study_without_complete_trials_and_a_misspelt_column_are_errors() {
    let mut demo = Demo::new(&["lr"]);
    let trial = demo.start(&[("lr", Value::Float(0.1))]);
    demo.report(trial, &[("val_loss", f64::NAN)]);
    demo.end(trial, Exit::Done);
    let failure = compare(&demo, None, &args()).0.unwrap_err();
    assert_eq!(
        (failure.code, failure.hints),
        (Code::NoSuccess, vec!["left out: 1 failed".to_owned()])
    );
    let failure = compare(
        &world(),
        None,
        &Args {
            by: Some("optimiser".into()),
            ..args()
        },
    )
    .0
    .unwrap_err();
    assert_eq!(failure.hints, ["did you mean `optimizer`?"]);
}

#[test]
fn removed_trials_are_left_out_without_a_note() {
    let mut demo = world();
    let trials = (5..=8).map(TrialId).collect();
    demo.event(Event::Removed { trials });
    let by = Args {
        by: Some("optimizer".into()),
        ..args()
    };
    let (_, out, err) = compare(&demo, None, &by);
    assert!(!out.contains("sgd") && out.contains("adamw"), "{out}");
    assert!(
        !err.contains("outside") && !err.contains("removed"),
        "{err}"
    );
}

#[test]
fn replicates_form_one_group_by_default_and_by_configuration() {
    let mut demo = Demo::new(&["lr"]);
    for of in 0..2 {
        for seed in 0..3 {
            let lr = [("lr", Value::Float(f64::from(of)))];
            let head = 3 * of as u32 + 1;
            let origin = if seed == 0 {
                Origin::Added
            } else {
                Origin::Replicate(TrialId(head))
            };
            let trial = demo.start_from(&lr, origin);
            demo.report(
                trial,
                &[("val_loss", f64::from(of) + f64::from(seed) * 0.1)],
            );
            demo.end(trial, Exit::Done);
        }
    }
    for by in [None, Some("configuration".to_owned())] {
        let (_, out, _) = compare(
            &demo,
            None,
            &Args {
                json: true,
                by,
                ..args()
            },
        );
        let document: serde_json::Value = serde_json::from_str(&out).unwrap();
        let sizes: Vec<_> = (0..2)
            .map(|at| document["groups"][at]["n"].clone())
            .collect();
        assert_eq!(sizes, [3, 3], "{document}");
    }
    let first = Args {
        condition: Some("replicate == 1".into()),
        ..args()
    };
    let (_, out, _) = compare(&demo, None, &Args { csv: true, ..first });
    assert_eq!(out.lines().count(), 3, "{out}");
}

#[test]
fn infeasible_trials_are_counted_and_noted() {
    let mut demo = Demo::new(&["lr"]);
    demo.constrain("latency", Some(10.0));
    for (lr, latency) in [(0.1, 5.0), (0.2, 50.0)] {
        demo.complete(
            &[("lr", Value::Float(lr))],
            &[("val_loss", lr), ("latency", latency)],
        );
    }
    let (_, _, err) = compare(&demo, None, &args());
    assert!(
        err.contains("1 complete trial breaks an outcome constraint"),
        "{err}"
    );
}

#[test]
fn a_warning_names_adaptive_samplers_only() {
    let notes = |origin: fn() -> Origin| {
        let mut demo = Demo::new(&["lr"]);
        for (lr, loss) in [(0.1, 1.0), (0.1, 1.1), (0.2, 2.0), (0.2, 2.1)] {
            let trial = demo.start_from(&[("lr", Value::Float(lr))], origin());
            demo.report(trial, &[("val_loss", loss)]);
            demo.end(trial, Exit::Done);
        }
        compare(
            &demo,
            None,
            &Args {
                by: Some("lr".into()),
                ..args()
            },
        )
        .2
    };
    assert!(!notes(|| Origin::Suggested("grid".into())).contains("warning"));
    let unknown = notes(|| Origin::Suggested("mine".into()));
    assert!(
        unknown.contains("warning: the sampler `mine` chose trials based on earlier results"),
        "{unknown}"
    );
}
