use super::{Selection, Table, TableError, TableRow};
use crate::formula::{Ask, Cells, Formula, FormulaError, Names, Reducer};
use proptest::prelude::*;
use swath_model::space::expr::Type;

fn read(text: &str) -> Table {
    read_all(text.as_bytes()).unwrap()
}

fn read_all(bytes: &[u8]) -> Result<Table, TableError> {
    Table::read(bytes, &|_| Ok(Selection::default()))
}

fn refusal(bytes: &[u8]) -> String {
    read_all(bytes).unwrap_err().to_string()
}

fn cell(table: &Table, row: usize, name: &str) -> Option<String> {
    table.value(row, name).map(|value| value.to_string())
}

#[test]
fn a_byte_order_mark_crlf_and_quotes_are_no_part_of_the_values() {
    let table = read("\u{feff}lr,\"the note\"\r\n0.1,\"a, \"\"b\"\"\"\r\n1e-3,\"two\nlines\"\r\n");
    assert_eq!(table.names(), ["lr", "the note"]);
    assert_eq!(cell(&table, 0, "the note").as_deref(), Some("a, \"b\""));
    assert_eq!(cell(&table, 1, "lr").as_deref(), Some("0.001"));
    assert_eq!(cell(&table, 1, "the note").as_deref(), Some("two\nlines"));
}

#[test]
fn rows_that_are_too_short_or_too_long_are_read_with_a_warning() {
    let table = read("a,b,c\n1,2,3\n4\n5,6,7,8\n9\n");
    assert_eq!(
        (
            table.len(),
            cell(&table, 1, "b"),
            cell(&table, 2, "c").as_deref()
        ),
        (4, None, Some("7"))
    );
    assert_eq!(
        table.warnings,
        [
            "2 rows have fewer fields than the header: missing fields count as absent, the first in line 3",
            "1 row has more fields than the header: the extra fields are ignored, the first in line 4"
        ]
    );
}

#[test]
fn repeated_names_of_columns_get_numbers_and_nameless_columns_get_names() {
    let table = read("loss,loss,,loss\n1,2,3,4\n");
    assert_eq!(table.names(), ["loss", "loss.1", "column3", "loss.2"]);
    assert_eq!(table.warnings.len(), 2);
    assert_eq!(cell(&table, 0, "loss.2").as_deref(), Some("4"));
}

#[test]
fn other_separators_and_decimal_commas_are_found() {
    let table = read("lr;val_loss;n\n0,01;0,5;1\n0,001;0,25;2\n");
    assert_eq!(
        (
            cell(&table, 1, "lr").as_deref(),
            cell(&table, 0, "n").as_deref()
        ),
        (Some("0.001"), Some("1"))
    );
    let table = read("lr\tname\n0.5\ta;b\n");
    assert_eq!(cell(&table, 0, "name").as_deref(), Some("a;b"));
    let table = read("lr,loss\n\"0,5\",\"1,25\"\n");
    assert_eq!(cell(&table, 0, "loss").as_deref(), Some("1.25"));
}

#[test]
fn commas_between_thousands_are_not_taken_for_decimals() {
    let table = read("n;loss\n1,234;0.5\n12,345;0.25\n");
    assert_eq!(cell(&table, 0, "n").as_deref(), Some("1,234"));
    assert_eq!(table.numeric(), ["loss"]);
}

#[test]
fn a_cell_is_absent_or_a_number_a_boolean_or_a_text() {
    let table = read("x,y\n,true\nNA,False\nnan,yes\ninf,no\n-7,1\n");
    let seen: Vec<_> = (0..5).map(|row| cell(&table, row, "x")).collect();
    assert_eq!(
        seen,
        [
            None,
            None,
            Some("NaN".into()),
            Some("inf".into()),
            Some("-7".into())
        ]
    );
    assert_eq!(
        table.value(1, "y"),
        Some(swath_model::space::Value::Bool(false))
    );
}

#[test]
fn a_column_is_found_with_its_prefix_and_without() {
    let table = read(
        "trial_id,state,val_loss,param.lr,metric.val_loss,best.val_loss\n7,complete,0.5,0.1,0.6,0.4\n",
    );
    assert_eq!(
        (table.params(), table.objective()),
        (vec!["lr".to_owned()], Some("val_loss"))
    );
    assert_eq!(cell(&table, 0, "lr"), cell(&table, 0, "param.lr"));
    let row = TableRow {
        table: &table,
        row: 0,
    };
    let answers = [Reducer::Best, Reducer::Last, Reducer::Min]
        .map(|reducer| row.ask(Ask::Reduce(reducer), "val_loss"));
    assert_eq!(answers, [Some(0.4), Some(0.6), None]);
}

#[test]
fn only_the_selected_columns_and_rows_are_kept() {
    fn select(names: &Names) -> Result<Selection, FormulaError> {
        let condition = Formula::parse("c-1 > 2 and a == 'x'", names)?;
        Ok(Selection {
            columns: Some(["b".to_owned()].into()),
            condition: Some(condition),
        })
    }

    let text = "a,b,param.c-1,d\nx,1,2,0\nx,2,3,0\ny,3,4,0\nx,4,5,0\n";
    let table = Table::read(text.as_bytes(), &select).unwrap();
    assert_eq!(
        (
            table.names().len(),
            table.len(),
            cell(&table, 1, "b").as_deref()
        ),
        (3, 2, Some("4"))
    );
}

fn check(table: &Table, text: &str) -> Result<Type, String> {
    let names = table.vocabulary();
    let formula = Formula::parse(text, &names).unwrap();
    table.check(&formula, &names).map_err(|error| error.message)
}

#[test]
fn a_question_that_one_value_a_trial_cannot_answer_is_refused() {
    let table =
        read("trial_id,state,loss,metric.acc,at_best.acc,best.loss\n1,complete,0.5,0.8,0.9,0.5\n");
    let row = TableRow {
        table: &table,
        row: 0,
    };
    let answers = ["acc", "loss"].map(|name| row.ask(Ask::AtBest, name));
    assert_eq!(answers, [Some(0.9), Some(0.5)]);
    assert!(check(&table, "at_best(acc) + best(loss) + last(acc) > 1").is_ok());
    for wrong in ["mean(loss)", "min(loss)", "count(acc)", "best(acc)"] {
        let message = format!("`{wrong}` has no value: a table has one value per trial");
        assert_eq!(check(&table, wrong), Err(message));
    }
    assert_eq!(
        check(&table, "acc@3"),
        Err("`acc@3` has no value: a table has one value per trial".into())
    );
    assert_eq!(check(&table, "los"), Err("no trial has a `los`".into()));
    let other = read("loss\n0.5\n");

    assert!(check(&other, "at_best(loss)").is_err() && check(&other, "mean(loss)").is_ok());
}

#[test]
fn a_file_that_is_not_csv_is_refused() {
    assert_eq!(refusal(b" \n"), TableError::Empty.to_string());
    assert!(refusal(b"PAR1\x15\x04").contains("not a CSV file"));
    assert!(refusal(b"{\"a\": 1}\n").contains("JSON"));
    assert!(refusal(b"a,b\n1,\0\n").contains("bytes"));
}

#[test]
fn a_quote_that_is_never_closed_is_refused_and_stray_ones_are_not() {
    assert_eq!(
        refusal(b"a,b\n1,\"open\n2,3\n4,5\n"),
        "the quote that opens in line 2 or below is never closed"
    );
    assert_eq!(read("a,b\n1,5\" disk\n2,3\n").len(), 2);
    assert_eq!(read("a,b\n1,\"two\nlines\"").len(), 1);
}

#[test]
fn a_file_with_nothing_but_a_header_says_so_and_every_column_is_named() {
    let table = Table::read("a,b\n".as_bytes(), &|_| {
        Ok(Selection {
            columns: Some(["a".to_owned()].into()),
            condition: None,
        })
    })
    .unwrap();
    assert_eq!(table.warnings, ["there is no row below the header"]);
    assert_eq!(
        (table.header(), table.names()),
        (&["a".to_owned(), "b".to_owned()][..], &["a".to_owned()][..])
    );
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = read_all(&bytes);
    }

    #[test]
    fn every_number_comes_back_as_it_was(numbers in proptest::collection::vec(proptest::num::f64::NORMAL, 1..9)) {
        let text: String = numbers.iter().map(|number| format!("{number:?},x\n")).collect();
        let table = read(&format!("a,b\n{text}"));
        for (row, number) in numbers.iter().enumerate() {
            prop_assert_eq!(table.value(row, "a").and_then(|value| value.as_f64()).map(f64::to_bits), Some(number.to_bits()));
        }
    }
}
