use super::*;
use crate::Point;
use crate::wire::{encode_metrics, push_number, push_position};
use proptest::prelude::*;
use swath_model::space::Value;

fn number(name: &str, value: f64) -> (Name, Datum) {
    (name.into(), Datum::Number(Metric(value)))
}

fn text(name: &str, value: &str) -> (Name, Datum) {
    (name.into(), Datum::Text(value.into()))
}

/// Returns the content of a line, its row, and its flaws.
fn read(line: &str) -> (Result<Content<'_>, String>, String, Vec<String>) {
    let mut parser = Parser::default();
    let content = parser.parse(line).map_err(|error| error.to_string());
    (
        content,
        String::from_utf8(parser.row().to_vec()).unwrap(),
        parser.flaws().to_vec(),
    )
}

fn report(values: &[(Name, Datum)]) -> Result<Content<'static>, String> {
    Ok(Content::Record(Record::Report {
        values: values.to_vec(),
    }))
}

#[test]
fn a_plain_object_is_a_report_with_its_values_in_order() {
    let line = r#"{"epoch": 3, "val_loss": 0.41, "ok": true, "model_path": "models/m3.bin", "none": null}"#;
    let (content, row, flaws) = read(line);
    let ok = ("ok".into(), Datum::Flag(true));
    let expected = [
        number("epoch", 3.0),
        number("val_loss", 0.41),
        ok,
        text("model_path", "models/m3.bin"),
    ];
    assert_eq!(content, report(&expected));
    assert_eq!(
        row,
        r#""epoch": 3, "val_loss": 0.41, "ok": true, "model_path": "models/m3.bin""#
    );
    assert!(flaws.is_empty());
    assert_eq!(
        read(r#"{"kind": "report", "a": 1}"#).0,
        report(&[number("a", 1.0)])
    );
}

#[test]
fn nan_in_any_spelling_is_a_number() {
    let (content, row, _) = read(r#"{"a": NaN, "b": "nan", "c": "-Infinity", "d": 1e999}"#);
    let Ok(Content::Record(Record::Report { values })) = content else {
        panic!()
    };
    assert!(
        values
            .iter()
            .all(|(_, datum)| matches!(datum, Datum::Number(Metric(n)) if !n.is_finite()))
    );
    assert_eq!(row, r#""a": NaN, "b": NaN, "c": -Infinity, "d": Infinity"#);
}

#[test]
fn the_later_of_two_equal_keys_counts_as_for_every_json_reader() {
    let (content, row, flaws) = read(r#"{"a": 1, "b": 2, "a": 3}"#);
    assert_eq!(content, report(&[number("a", 3.0), number("b", 2.0)]));
    assert_eq!(row, r#""a": 3, "b": 2"#);
    assert_eq!(flaws, ["`a` occurs twice; the later value counts"]);
}

#[test]
fn a_bad_part_is_left_out_and_the_rest_is_kept() {
    let line = format!(
        r#"{{"hist": [1, 2], "": 1, "{}": 2, "a\n": 3, "loss": 0.5}}"#,
        "n".repeat(300)
    );
    let (content, _, flaws) = read(&line);
    assert_eq!(content, report(&[number("loss", 0.5)]));
    let expected = [
        "a value is left out: its name is empty",
        "`nnnnnnnnnnnnnnnnnnnn…` is left out: its name has 300 bytes, and the limit is 250",
        "`a\\n` is left out: its name has control characters",
        "`hist` is left out: it is a list or an object; values are numbers, texts and switches",
    ];
    assert_eq!(flaws, expected);
    assert_eq!(
        read(r#"{"a": {}}"#).0.unwrap_err(),
        "it has no value that can be kept"
    );
}

#[test]
fn the_contexts_of_prov4ml_have_the_names_of_swath() {
    for (word, expected) in [
        ("TRAINING", "train"),
        ("Context.VALIDATION", "validation"),
        ("TESTING", "test"),
        ("training", "training"),
        ("mine", "mine"),
    ] {
        let line = format!(r#"{{"kind": "metric", "loss": 0.5, "context": "{word}"}}"#);
        let (content, row, _) = read(&line);
        let Ok(Content::Metrics(position)) = content else {
            panic!("{content:?}")
        };
        assert_eq!(position.context.as_deref(), Some(expected));
        assert_eq!(row, format!(r#""loss": 0.5, "context": "{expected}""#));
    }
    let (content, ..) = read(r#"{"kind": "dataset", "path": "d", "context": "TESTING"}"#);
    let Ok(Content::Record(Record::Dataset { role, .. })) = content else {
        panic!("{content:?}")
    };
    assert_eq!(role, "test");
}

#[test]
fn a_time_in_milliseconds_microseconds_or_nanoseconds_is_recorded_in_seconds() {
    for (at, expected) in [
        ("1700000000.5", "1700000000.5"),
        ("1700000000500", "1700000000.5"),
        ("1700000000500000", "1700000000.5"),
        ("1.7000000005e18", "1700000000.5"),
        ("-5", "-5"),
    ] {
        let line = format!(r#"{{"kind": "metric", "loss": 0.5, "at": {at}}}"#);
        let (_, row, _) = read(&line);
        assert_eq!(row, format!(r#""loss": 0.5, "at": {expected}"#));
    }
}

#[test]
fn the_kinds_of_itwinai_for_operations_say_what_they_are_counted_for() {
    for (kind, name) in [
        ("flops_pb", "flops_per_batch"),
        ("flops_pe", "flops_per_epoch"),
    ] {
        let line = format!(r#"{{"kind": "{kind}", "value": 3e9}}"#);
        let (_, row, flaws) = read(&line);
        assert_eq!(row, format!(r#""{name}": 3e9"#));
        assert_eq!(flaws, [""; 0]);
    }
}

#[test]
fn a_metric_is_a_row_with_its_position() {
    let line = r#"{"kind": "metric", "loss": 0.5, "acc": 1, "step": 3, "batch": 7, "context": "train", "log": "t"}"#;
    let (content, row, flaws) = read(line);
    assert_eq!(
        content,
        Ok(Content::Metrics(MetricPosition {
            log: Some("t".into()),
            context: Some("train".into()),
            step: Some(3.0),
            rank: 0,
        }))
    );
    assert_eq!(
        row,
        r#""loss": 0.5, "acc": 1, "step": 3, "batch": 7, "context": "train""#
    );
    assert!(flaws.is_empty());
    let (content, row, flaws) =
        read(r#"{"kind": "metric", "name": "loss", "value": NaN, "step": "three"}"#);
    assert_eq!(content, Ok(Content::Metrics(MetricPosition::default())));
    assert_eq!(
        (&*row, &*flaws[0]),
        (r#""loss": NaN"#, "`step` is left out: it is not a number")
    );
    let missing = read(r#"{"kind": "metric", "name": "loss"}"#).0.unwrap_err();
    assert_eq!(missing, "a metric with a `name` needs `value`, a number");
}

fn line_of(count: usize) -> String {
    let many: Vec<String> = (0..count).map(|n| format!("\"k{n}\": {n}")).collect();
    format!("{{{}, \"loss\": 0.5}}", many.join(", "))
}

#[test]
fn the_objective_after_a_hundred_thousand_values_is_kept() {
    let line = line_of(100_000);
    let (content, _, flaws) = read(&line);
    let Ok(Content::Record(Record::Report { values })) = content else {
        panic!()
    };
    assert_eq!(
        (values.len(), values.last()),
        (100_001, Some(&number("loss", 0.5)))
    );
    assert!(flaws.is_empty());
    let twice = line_of(1000).replacen("k0", "loss", 1);
    assert_eq!(
        read(&twice).2,
        ["`loss` occurs twice; the later value counts"]
    );
}

fn parse_seconds(line: &str) -> f64 {
    let begun = std::time::Instant::now();
    Parser::default().parse(line).unwrap();
    begun.elapsed().as_secs_f64()
}

#[test]
fn the_cost_of_a_value_does_not_depend_on_the_number_of_values() {
    let (short, long) = (line_of(10_000), line_of(100_000));
    // Other work on the machine slows either down; a quadratic cost would be a hundredfold.
    let ratio = (0..10)
        .map(|_| parse_seconds(&long) / parse_seconds(&short))
        .fold(f64::INFINITY, f64::min);
    assert!(
        ratio < 30.0,
        "ten times the values took {ratio:.0} times as long"
    );
}

#[test]
fn a_number_in_quotes_is_a_number_in_the_row_where_it_decides_and_a_text_elsewhere() {
    let mut parser = Parser::default();
    *parser.deciding() = DecidingMetrics::new(&["acc".into()]);
    let line = r#"{"epoch": "3", "acc": "0.71"}"#;
    let expected = report(&[text("epoch", "3"), number("acc", 0.71)]).unwrap();
    for flaws in [1, 0] {
        assert_eq!(parser.parse(line).unwrap(), expected);
        assert_eq!(parser.row(), br#""epoch": "3", "acc": 0.71"#);
        assert_eq!(parser.flaws().len(), flaws, "the warning is given once");
    }
}

#[test]
fn blank_lines_are_no_records() {
    assert_eq!(read("").0, Ok(Content::Record(Record::Nothing)));
    assert_eq!(read(" \r").0, Ok(Content::Record(Record::Nothing)));
    assert_eq!(read("\u{feff}{\"a\": 1}").0, report(&[number("a", 1.0)]));
}

proptest! {
    #[test]
    fn no_line_panics_and_a_row_is_always_json(line in r#"\{("(kind|step|log|name|value|a|path)": ?("(metric|dataset|outptu|note|x)"|NaN|[0-9]{1,3}|\[1\]|true|null),?){0,6}\}?"#) {
        let (_, row, _) = read(&line);
        let json = format!("{{{}}}", row.replace("NaN", "null"));
        prop_assert!(serde_json::from_str::<serde_json::Value>(&json).is_ok(), "{json}");
    }

    #[test]
    fn any_text_is_read_or_refused(line in ".*") {
        let _ = read(&line);
    }

    #[test]
    fn a_written_record_is_read_back(record in any_record(), rank in 0_u32..3) {
        let mut line = Vec::new();
        record.encode(&mut line, rank);
        let line = String::from_utf8(line).unwrap();
        let (content, row, flaws) = read(&line);
        let mut expected = record;
        if let Record::Report { values } = &mut expected {
            prop_assert_eq!(&line, &format!("{{\"kind\": \"report\", {row}}}"));
            if rank > 0 {
                values.push(number("rank", rank.into()));
            }
        }
        prop_assert_eq!(content, Ok(Content::Record(expected)), "{}", line);
        prop_assert!(flaws.is_empty(), "{:?}", flaws);
    }

    #[test]
    fn written_metrics_are_read_back(value in any::<f64>(), step in any::<Option<u32>>(), rank in 0_u32..3) {
        let mut line = Vec::new();
        let mut point = Point::default().context("train").log("mine");
        point.step = step.map(u64::from);
        encode_metrics(&mut line, &[("loss", value)], &point, rank, 7);
        let line = String::from_utf8(line).unwrap();
        let (content, row, flaws) = read(&line);
        prop_assert_eq!(content, Ok(Content::Metrics(MetricPosition {
            log: Some("mine".into()),
            context: Some("train".into()),
            step: step.map(f64::from),
            rank: rank.into(),
        })));
        let mut expected = Vec::new();
        push_number(&mut expected, "loss", value);
        push_position(&mut expected, &point, rank);
        prop_assert_eq!(row, String::from_utf8(expected).unwrap() + ", \"at\": 0.000");
        prop_assert!(flaws.is_empty(), "{:?}", flaws);
    }
}

/// Makes one of the names that a value may have. `rank` and `kind` have a meaning of their own.
fn any_name() -> impl Strategy<Value = Name> {
    "[a-zé_./ -]{6,12}".prop_map(Name::from)
}

fn any_datum() -> impl Strategy<Value = Datum> {
    prop_oneof![
        any::<bool>().prop_map(Datum::Flag),
        any::<f64>().prop_map(|number| Datum::Number(Metric(number))),
        ".*".prop_map(Datum::Text),
    ]
}

fn any_value() -> impl Strategy<Value = Value> {
    let scalar = prop_oneof![
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        proptest::num::f64::NORMAL.prop_map(Value::Float),
        ".*".prop_map(|text| Value::Text(text.into())),
    ];
    scalar.prop_recursive(2, 8, 4, |inner| {
        proptest::collection::vec(inner, 0..4).prop_map(Value::List)
    })
}

/// Makes values with different names.
fn named<T: std::fmt::Debug>(
    value: impl Strategy<Value = T>,
    least: usize,
) -> impl Strategy<Value = Vec<(Name, T)>> {
    proptest::collection::btree_map(any_name(), value, least..5)
        .prop_map(|values| values.into_iter().collect())
}

fn any_step() -> impl Strategy<Value = Option<f64>> {
    proptest::option::of(proptest::num::f64::NORMAL)
}

fn any_record() -> impl Strategy<Value = Record> {
    prop_oneof![
        named(any_datum(), 1).prop_map(|values| Record::Report { values }),
        (".+", ".*").prop_map(|(path, role)| Record::Dataset {
            path: path.into(),
            role
        }),
        (".+", any_step(), any::<bool>(), named(any_value(), 0)).prop_map(
            |(path, step, keep, facts)| Record::Model {
                path,
                step,
                keep,
                facts
            }
        ),
        ("[a-z]{1,5}", named(any_value(), 0)).prop_map(|(name, values)| Record::Dict {
            name: name + ".json",
            json: serde_json::to_string(&values).unwrap(),
        }),
        ("[a-z]{1,5}", ".*").prop_map(|(name, text)| Record::Text {
            name: name + ".txt",
            text
        }),
        (".+", proptest::option::of(".*"))
            .prop_map(|(path, folder)| Record::Artifact { path, folder }),
        any_step().prop_map(|step| Record::Checkpoint { step }),
        ".+".prop_map(|text| Record::Note { text }),
        named(any_value(), 1).prop_map(Record::Outputs),
        named(any_value(), 1).prop_map(Record::Params),
        ".+".prop_map(|id| Record::Ask { id }),
        Just(Record::Nothing),
    ]
}
