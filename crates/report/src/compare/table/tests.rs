use super::{At, Selection, Table, TableError};
use crate::formula::{Ask, Cells, Formula, Names, Reducer};
use proptest::prelude::*;

fn read(text: &str) -> Table {
    read_all(text.as_bytes()).unwrap()
}

fn read_all(bytes: &[u8]) -> Result<Table, TableError> {
    Table::read(bytes, &|_| Ok(Selection::default()))
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
fn rows_that_are_too_short_or_too_long_are_read_as_far_as_they_go_and_told() {
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
            "2 rows have fewer fields than the header: what is missing counts as absent, the first in line 3",
            "1 row has more fields than the header: what is too much is left out, the first in line 4"
        ]
    );
}

#[test]
fn columns_of_one_name_are_told_apart_and_nameless_ones_named() {
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
fn nothing_nan_numbers_switches_and_words_are_told_apart() {
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
    assert_eq!(table.value(1, "y"), Some(crate::space::Value::Bool(false)));
}

#[test]
fn a_parameter_is_found_with_its_mark_and_without() {
    let table = read(
        "trial_id,state,val_loss,param.lr,metric.val_loss,best.val_loss\n7,complete,0.5,0.1,0.6,0.4\n",
    );
    assert_eq!(
        (table.params(), table.objective()),
        (vec!["lr".to_owned()], Some("val_loss"))
    );
    assert_eq!(cell(&table, 0, "lr"), cell(&table, 0, "param.lr"));
    let row = At {
        table: &table,
        row: 0,
    };
    let ask = |reducer| row.ask(Ask::Reduce(reducer), "val_loss");
    assert_eq!(
        (ask(Reducer::Best), ask(Reducer::Last), ask(Reducer::Min)),
        (Some(0.4), Some(0.6), None)
    );
}

#[test]
fn only_the_wanted_columns_and_rows_are_kept() {
    let select = |names: &Names| {
        let condition = Formula::parse("c-1 > 2 and a == 'x'", names)?;
        Ok(Selection {
            columns: Some(["b".to_owned()].into()),
            condition: Some(condition),
        })
    };
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

#[test]
fn a_question_that_one_value_a_trial_cannot_answer_is_refused() {
    let table =
        read("trial_id,state,loss,metric.acc,at_best.acc,best.loss\n1,complete,0.5,0.8,0.9,0.5\n");
    let check = |text: &str| {
        let names = table.vocabulary();
        let formula = Formula::parse(text, &names).unwrap();
        table.check(&formula, &names).map_err(|error| error.message)
    };
    let ask = |name| {
        At {
            table: &table,
            row: 0,
        }
        .ask(Ask::AtBest, name)
    };
    assert_eq!((ask("acc"), ask("loss")), (Some(0.9), Some(0.5)));
    assert!(check("at_best(acc) + best(loss) + last(acc) > 1").is_ok());
    for wrong in ["mean(loss)", "min(loss)", "count(acc)", "best(acc)"] {
        let message = format!("`{wrong}` gives nothing: a table has one value a trial");
        assert_eq!(check(wrong), Err(message));
    }
    assert_eq!(
        check("acc@3"),
        Err("`acc@3` gives nothing: a table has one value a trial".into())
    );
    assert_eq!(check("los"), Err("no trial has a `los`".into()));
    let other = read("loss\n0.5\n");
    let check_other = |text: &str| {
        let names = other.vocabulary();
        other.check(&Formula::parse(text, &names).unwrap(), &names)
    };
    assert!(check_other("at_best(loss)").is_err() && check_other("mean(loss)").is_ok());
}

#[test]
fn what_is_no_table_is_refused() {
    let refused = |bytes: &[u8]| read_all(bytes).unwrap_err().to_string();
    assert_eq!(refused(b" \n"), TableError::Empty.to_string());
    assert!(refused(b"PAR1\x15\x04").contains("no CSV"));
    assert!(refused(b"{\"a\": 1}\n").contains("JSON"));
    assert!(refused(b"a,b\n1,\0\n").contains("bytes"));
}

#[test]
fn a_quote_that_is_never_closed_is_refused_and_stray_ones_are_not() {
    let read = |text: &str| read_all(text.as_bytes());
    let refused = read("a,b\n1,\"open\n2,3\n4,5\n").unwrap_err().to_string();
    assert_eq!(
        refused,
        "the quote that opens in line 2 or below is never closed"
    );
    assert_eq!(read("a,b\n1,5\" disk\n2,3\n").unwrap().len(), 2);
    assert_eq!(read("a,b\n1,\"two\nlines\"").unwrap().len(), 1);
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
