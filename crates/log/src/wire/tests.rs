use super::*;
use proptest::prelude::*;

fn number(name: &str, value: f64) -> (Name, Datum) {
    (name.into(), Datum::Number(Metric(value)))
}

fn text(name: &str, value: &str) -> (Name, Datum) {
    (name.into(), Datum::Text(value.into()))
}

/// Returns the content of a line, its row, and its flaws.
fn read(line: &str) -> (Result<Said, String>, String, Vec<String>) {
    let mut parser = Parser::default();
    let said = parser.parse(line).map_err(|error| error.to_string());
    (
        said,
        String::from_utf8(parser.row().to_vec()).unwrap(),
        parser.flaws().to_vec(),
    )
}

fn report(values: &[(Name, Datum)]) -> Result<Said, String> {
    Ok(Said::Report {
        values: values.to_vec(),
    })
}

#[test]
fn a_plain_object_is_a_report_with_its_values_in_order() {
    let line = r#"{"epoch": 3, "val_loss": 0.41, "ok": true, "model_path": "models/m3.bin", "none": null}"#;
    let (said, row, flaws) = read(line);
    let ok = ("ok".into(), Datum::Flag(true));
    let wanted = [
        number("epoch", 3.0),
        number("val_loss", 0.41),
        ok,
        text("model_path", "models/m3.bin"),
    ];
    assert_eq!(said, report(&wanted));
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
    let (said, row, _) = read(r#"{"a": NaN, "b": "nan", "c": "-Infinity", "d": 1e999}"#);
    let Ok(Said::Report { values }) = said else {
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
fn of_a_key_that_is_there_twice_the_later_counts_as_for_every_json_reader() {
    let (said, row, flaws) = read(r#"{"a": 1, "b": 2, "a": 3}"#);
    assert_eq!(said, report(&[number("a", 3.0), number("b", 2.0)]));
    assert_eq!(row, r#""a": 3, "b": 2"#);
    assert_eq!(flaws, ["`a` is there twice; the later one counts"]);
}

#[test]
fn a_bad_part_is_left_out_and_the_rest_is_kept() {
    let line = format!(
        r#"{{"hist": [1, 2], "": 1, "{}": 2, "a\n": 3, "loss": 0.5}}"#,
        "n".repeat(300)
    );
    let (said, _, flaws) = read(&line);
    assert_eq!(said, report(&[number("loss", 0.5)]));
    let wanted = [
        "a value is left out: its name is empty",
        "`nnnnnnnnnnnnnnnnnnnn…` is left out: its name has 300 bytes, 250 are the most",
        "`a\\n` is left out: its name has control characters",
        "`hist` is left out: it is a list or an object; values are numbers, texts and switches",
    ];
    assert_eq!(flaws, wanted);
    assert_eq!(
        read(r#"{"a": {}}"#).0.unwrap_err(),
        "it has no value that can be kept"
    );
}

#[test]
fn a_metric_is_a_row_with_its_place() {
    let line = r#"{"kind": "metric", "loss": 0.5, "acc": 1, "step": 3, "batch": 7, "context": "train", "log": "t"}"#;
    let (said, row, flaws) = read(line);
    assert_eq!(
        said,
        Ok(Said::Metrics {
            log: Some("t".into()),
            context: Some("train".into())
        })
    );
    assert_eq!(
        row,
        r#""loss": 0.5, "acc": 1, "step": 3, "batch": 7, "context": "train""#
    );
    assert!(flaws.is_empty());
    let (said, row, flaws) =
        read(r#"{"kind": "metric", "name": "loss", "value": NaN, "step": "three"}"#);
    assert_eq!(
        said,
        Ok(Said::Metrics {
            log: None,
            context: None
        })
    );
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
fn no_number_of_values_costs_the_objective_at_the_end_of_the_line() {
    let (said, _, flaws) = read(&line_of(100_000));
    let Ok(Said::Report { values }) = said else {
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
        ["`loss` is there twice; the later one counts"]
    );
}

#[test]
fn a_value_costs_the_same_however_many_are_on_its_line() {
    let time = |line: &str| {
        let begun = std::time::Instant::now();
        Parser::default().parse(line).unwrap();
        begun.elapsed().as_secs_f64()
    };
    let (short, long) = (line_of(10_000), line_of(100_000));
    // Other work on the machine slows either down; a quadratic cost would be a hundredfold.
    let ratio = (0..10)
        .map(|_| time(&long) / time(&short))
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
    let wanted = Said::Report {
        values: vec![text("epoch", "3"), number("acc", 0.71)],
    };
    for flaws in [1, 0] {
        assert_eq!(parser.parse(line).unwrap(), wanted);
        assert_eq!(parser.row(), br#""epoch": "3", "acc": 0.71"#);
        assert_eq!(parser.flaws().len(), flaws, "it is told once");
    }
}

#[test]
fn blank_lines_say_nothing() {
    assert_eq!(read("").0, Ok(Said::Nothing));
    assert_eq!(read(" \r").0, Ok(Said::Nothing));
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
    fn a_written_report_is_read_back(values in proptest::collection::vec(("[a-zé_./ -]{1,12}", any::<f64>()), 1..8)) {
        let mut row = Vec::new();
        let mut wanted: Vec<(String, f64)> = Vec::new();
        for (name, value) in values {
            if wanted.iter().all(|(found, _)| *found != name) && name != "kind" {
                begin_pair(&mut row, &name);
                json_number(&mut row, value);
                wanted.push((name, value));
            }
        }
        prop_assume!(!wanted.is_empty());
        let (said, again, flaws) = read(&format!("{{{}}}", String::from_utf8(row.clone()).unwrap()));
        let Ok(Said::Report { values }) = said else { panic!() };
        for ((name, datum), (wanted_name, wanted)) in values.iter().zip(&wanted) {
            prop_assert_eq!(&**name, wanted_name);
            prop_assert!(matches!(datum, Datum::Number(Metric(n)) if n.to_bits() == wanted.to_bits() || n.is_nan() && wanted.is_nan()));
        }
        prop_assert_eq!(again.as_bytes(), &row[..]);
        prop_assert!(flaws.is_empty());
    }
}
