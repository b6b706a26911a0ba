use super::{Column, Csv, MOST_METRICS, columns, too_many_metrics_warning, write};
use crate::tracker::Tracker;
use proptest::prelude::*;
use swath_model::demo::{Demo, model_record, objective, text};
use swath_model::space::Value;
use swath_model::study::{Datum, Exit, Failure, Goal, LogRecord, Metric};

fn table(demo: &Demo) -> String {
    let mut bytes = Vec::new();
    write(&demo.study, &mut bytes).unwrap();
    String::from_utf8(bytes).unwrap()
}

fn cell(demo: &Demo, row: usize, column: &str) -> String {
    let csv = table(demo);
    let mut reader = ::csv::Reader::from_reader(csv.as_bytes());
    let index = reader
        .headers()
        .unwrap()
        .iter()
        .position(|name| name == column)
        .unwrap();
    reader.records().nth(row).unwrap().unwrap()[index].to_owned()
}

#[test]
fn the_columns_are_in_the_documented_order() {
    let mut demo = Demo::new(&["lr", "optimizer"]);
    demo.complete(
        &[("lr", Value::Float(1e-5)), ("optimizer", text("sgd"))],
        &[("val_loss", 1.0), ("acc", 0.5)],
    );
    assert_eq!(
        table(&demo),
        "pipeline,stage,trial_id,state,val_loss,param.lr,param.optimizer,metric.acc,metric.val_loss,best.val_loss,step,attempts,\
         seconds,cpu_seconds,peak_mib,started_at,ended_at,exit,data_dir,data_md5,model_path,model_md5,seed,git_commit,\
         configuration,replicate,origin,at_best.acc,at_best.val_loss,best_step,model_step,note,tag,feasible\n\
         digits,train,1,complete,1.0,1e-5,sgd,0.5,1.0,1.0,1,1,2.0,0.5,12.25,2026-01-01T00:00:03Z,2026-01-01T00:00:05Z,done,,,,,7,,1,1,\
         random,0.5,1.0,1,,,,true\n"
    );
}

#[test]
fn a_study_without_trials_has_a_header() {
    assert_eq!(table(&Demo::new(&["lr"])).lines().count(), 1);
}

#[test]
fn absent_values_are_empty_cells() {
    let mut demo = Demo::new(&["lr", "momentum"]);
    demo.complete(&[("lr", Value::Float(0.1))], &[("val_loss", 1.0)]);
    demo.start(&[
        ("lr", Value::Float(0.1)),
        ("momentum", Value::Float(0.9)),
        ("gone", Value::Int(3)),
    ]);
    assert_eq!(
        [
            cell(&demo, 0, "param.momentum"),
            cell(&demo, 1, "param.momentum")
        ],
        ["", "0.9"]
    );
    assert_eq!(
        [cell(&demo, 0, "param.gone"), cell(&demo, 1, "param.gone")],
        ["", "3"]
    );
    assert_eq!(
        [
            cell(&demo, 1, "seconds"),
            cell(&demo, 1, "ended_at"),
            cell(&demo, 1, "val_loss")
        ],
        ["", "", ""]
    );
}

#[test]
fn numbers_that_are_not_finite_are_written_by_name_and_are_never_the_objective() {
    let mut demo = Demo::new(&[]);
    let trial = demo.start(&[]);
    demo.report(
        trial,
        &[
            ("val_loss", f64::NAN),
            ("a", f64::INFINITY),
            ("b", f64::NEG_INFINITY),
        ],
    );
    demo.end(trial, Exit::Done);
    assert_eq!(cell(&demo, 0, "metric.val_loss"), "nan");
    assert_eq!(
        [cell(&demo, 0, "metric.a"), cell(&demo, 0, "metric.b")],
        ["inf", "-inf"]
    );
    assert_eq!(
        [cell(&demo, 0, "val_loss"), cell(&demo, 0, "best.val_loss")],
        ["", ""]
    );
    assert_eq!(
        cell(&demo, 0, "exit"),
        "`val_loss` was reported, but is NaN"
    );
}

#[test]
fn texts_of_any_content_read_back_unchanged() {
    let contents = [
        "=1+1",
        "a,b",
        "\"q\"",
        "line\nbreak",
        "cr\rhere",
        "größe 学",
        " spaces ",
        "'",
        "-O2",
    ];
    for content in contents {
        let mut demo = Demo::new(&["p"]);
        let trial = demo.start(&[("p", text(content))]);
        let values = vec![("note".into(), Datum::Text(content.into()))];
        demo.log(trial, LogRecord::Report { values });
        demo.end(trial, Exit::Failed(Failure::Error(content.into())));
        assert_eq!(cell(&demo, 0, "param.p"), content);
        assert_eq!(cell(&demo, 0, "metric.note"), content);
        assert_eq!(
            cell(&demo, 0, "exit"),
            format!("returned an error: {content}")
        );
    }
}

#[test]
fn an_objective_with_the_name_of_a_column_gets_a_prefix() {
    let mut demo = Demo::with(&[], vec![objective("seconds", Goal::Max)]);
    demo.complete(&[], &[("seconds", 4.5)]);
    assert_eq!(cell(&demo, 0, "objective.seconds"), "4.5");
    assert_eq!(cell(&demo, 0, "seconds"), "2.0");
}

#[test]
fn data_sets_and_the_last_model_have_their_digests() {
    let mut demo = Demo::new(&[]);
    let trial = demo.start(&[]);
    for data_dir in ["data/a", "data/b", "data/a"] {
        let md5 = Some(data_dir.replace("data/", "md5 of "));
        let role = String::new();
        demo.log(
            trial,
            LogRecord::Dataset {
                data_dir: data_dir.into(),
                role,
                md5,
                size: 1,
                files: 1,
                partial: Vec::new(),
            },
        );
    }
    for model in ["m/1.bin", "m/2.bin"] {
        demo.log(trial, model_record(model, Some(&format!("md5 of {model}"))));
    }
    assert_eq!(
        [cell(&demo, 0, "data_dir"), cell(&demo, 0, "data_md5")],
        ["data/a;data/b", "md5 of a;md5 of b"]
    );
    assert_eq!(
        [cell(&demo, 0, "model_path"), cell(&demo, 0, "model_md5")],
        ["m/2.bin", "md5 of m/2.bin"]
    );
}

#[test]
fn the_row_of_a_trial_shows_the_model_and_all_metrics_of_the_report_that_counts() {
    let mut demo = Demo::new(&[]);
    let trial = demo.start(&[]);
    for (epoch, (loss, acc)) in (1..).zip([(0.9, 0.1), (0.5, 0.5), (0.2, 0.8), (0.4, 0.7)]) {
        demo.report(trial, &[("val_loss", loss), ("acc", acc)]);
        let (path, md5) = (format!("epoch-{epoch}.bin"), format!("md5 of {epoch}"));
        demo.log(trial, model_record(&path, Some(&md5)));
    }
    demo.report(trial, &[("val_loss", 0.6), ("acc", 0.9)]);
    demo.end(trial, Exit::Done);
    let row = [
        "val_loss",
        "metric.val_loss",
        "at_best.val_loss",
        "at_best.acc",
        "best_step",
    ];
    assert_eq!(
        row.map(|column| cell(&demo, 0, column)),
        ["0.2", "0.6", "0.2", "0.8", "3"]
    );
    let model = ["model_path", "model_md5", "model_step", "feasible"];
    assert_eq!(
        model.map(|column| cell(&demo, 0, column)),
        ["epoch-3.bin", "md5 of 3", "3", "true"]
    );
}

#[test]
fn a_list_is_written_as_json_and_a_boolean_as_a_word() {
    let mut demo = Demo::new(&["units", "bias"]);
    let units = Value::List(vec![Value::Int(128), Value::Float(0.5)]);
    demo.start(&[("units", units), ("bias", Value::Bool(true))]);
    assert_eq!(
        [cell(&demo, 0, "param.units"), cell(&demo, 0, "param.bias")],
        ["[128,0.5]", "true"]
    );
}

#[test]
fn the_file_is_replaced_only_after_new_entries() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trials.csv");
    let mut demo = Demo::new(&["lr"]);
    let mut csv = Csv::new(path.clone());
    csv.sync(&demo.study).unwrap();
    demo.start(&[("lr", Value::Float(0.5))]);
    std::fs::write(&path, "stale").unwrap();
    csv.sync(&demo.study).unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "stale");
    csv.record(&demo.study, &demo.entries[1]).unwrap();
    csv.sync(&demo.study).unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), table(&demo));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

proptest! {
    #[test]
    fn every_float_reads_back_as_the_same_float(number in proptest::num::f64::NORMAL | proptest::num::f64::SUBNORMAL | proptest::num::f64::ZERO) {
        let mut demo = Demo::new(&["x"]);
        let trial = demo.start(&[("x", Value::Float(number))]);
        demo.log(trial, LogRecord::Report { values: vec![("val_loss".into(), Datum::Number(Metric(number)))] });
        demo.end(trial, Exit::Done);
        for column in ["param.x", "metric.val_loss", "val_loss", "best.val_loss"] {
            let read: f64 = cell(&demo, 0, column).parse().unwrap();
            prop_assert_eq!(read.to_bits(), number.to_bits());
        }
    }
}

#[test]
fn a_million_reported_keys_make_a_thousand_columns_and_a_warning() {
    let mut demo = Demo::new(&[]);
    let trial = demo.start(&[]);
    let names: Vec<String> = (0..MOST_METRICS + 50).map(|n| format!("m{n:07}")).collect();
    let mut values: Vec<(&str, f64)> = names.iter().map(|name| (name.as_str(), 1.0)).collect();
    values.push(("val_loss", 0.5));
    demo.report(trial, &values);
    let other = demo.start(&[]);
    demo.report(other, &[("m0001049", 1.0), ("val_loss", 0.25)]);
    let names: Vec<String> = columns(&demo.study).iter().map(Column::name).collect();
    let has = |name: &str| names.iter().any(|column| column == name);
    let metrics = names
        .iter()
        .filter(|name| name.starts_with("metric."))
        .count();
    assert_eq!(metrics, MOST_METRICS);
    assert!(has("metric.val_loss"), "objectives come first");
    assert!(has("metric.m0001049"), "then keys of several trials");
    assert!(!has("metric.m0001048"));
    let warning = |id| too_many_metrics_warning(demo.study.trial(id).unwrap());
    assert!(warning(trial).is_some_and(|text| text.contains("1051 different keys")));
    assert_eq!(warning(other), None);
}
