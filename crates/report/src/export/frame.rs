//! The table of trials with typed columns.

use swath_engine::tracker::csv;
use swath_model::space::Value;
use swath_model::study::field::{Cell as FieldCell, Getter};
use swath_model::study::{Study, Trial};
use swath_table::{Cell, Column, Kind};

/// Returns the table of `trials.csv` for some trials, with a type for each column.
#[must_use]
pub fn wide(study: &Study, trials: &[&Trial]) -> Vec<Column> {
    csv::columns(study)
        .iter()
        .map(|column| typed(column, study, trials))
        .collect()
}

/// Returns a column of `trials.csv` with its type.
fn typed(column: &csv::Column, study: &Study, trials: &[&Trial]) -> Column {
    let cells = trials
        .iter()
        .map(|trial| column.cell(study, trial).map(cell));
    let cells: Vec<_> = cells.collect();
    let mut typed = Column::new(column.name(), kind(column, &cells));
    cells.into_iter().for_each(|cell| typed.push(cell));
    typed
}

fn cell(cell: FieldCell<'_>) -> Cell {
    match cell {
        FieldCell::Text(text) => Cell::Text(text.into_owned()),
        FieldCell::Count(number) | FieldCell::Seed(number) => Cell::Int(number.cast_signed()),
        FieldCell::Number(number) | FieldCell::Step(number) => Cell::Float(number),
        FieldCell::Time(time) => Cell::Int(time.as_micros()),
        FieldCell::Flag(flag) => Cell::Flag(flag),
        FieldCell::Param(Value::Bool(flag)) => Cell::Flag(*flag),
        FieldCell::Param(Value::Int(number)) => Cell::Int(*number),
        FieldCell::Param(Value::Float(number)) => Cell::Float(*number),
        FieldCell::Param(value) => Cell::Text(value.to_string()),
    }
}

/// Returns the type of a column. A field has a fixed type; any other column has the narrowest type
/// that represents all its cells.
fn kind(column: &csv::Column, cells: &[Option<Cell>]) -> Kind {
    if let csv::Column::Field(field) = column {
        return match field.getter {
            Getter::Text(_) => Kind::Text,
            Getter::Count(_) | Getter::Seed(_) => Kind::Count,
            Getter::Usage(_) | Getter::Step(_) => Kind::Float,
            Getter::Time(_) => Kind::Time,
            Getter::Flag(_) => Kind::Flag,
        };
    }
    let kinds = cells.iter().flatten().map(Cell::kind);
    let common = kinds.reduce(|one, other| match (one, other) {
        _ if one == other => one,
        (Kind::Int, Kind::Float) | (Kind::Float, Kind::Int) => Kind::Float,
        _ => Kind::Text,
    });
    common.unwrap_or(match column {
        // A parameter without a value could have every type; a metric is usually a number.
        csv::Column::Param(..) => Kind::Text,
        _ => Kind::Float,
    })
}

#[cfg(test)]
mod tests {
    use super::{cell, kind};
    use swath_engine::tracker::csv;
    use swath_model::demo::{Demo, text};
    use swath_model::space::Value;
    use swath_table::Kind;

    fn kinds(demo: &Demo, names: &[&str]) -> Vec<Kind> {
        let columns = csv::columns(&demo.study);
        let columns = names
            .iter()
            .map(|name| columns.iter().find(|column| column.name() == *name));
        columns
            .map(|column| {
                let column = column.unwrap();
                let trials = demo.study.trials().iter();
                let cells = trials.map(|trial| column.cell(&demo.study, trial).map(cell));
                kind(column, &cells.collect::<Vec<_>>())
            })
            .collect()
    }

    #[test]
    fn fields_have_fixed_types_and_other_columns_the_narrowest_that_fits() {
        let mut demo = Demo::new(&["a", "b", "c"]);
        let fields = ["trial_id", "origin", "feasible", "ended_at", "step", "seed"];
        let expected = [
            Kind::Count,
            Kind::Text,
            Kind::Flag,
            Kind::Time,
            Kind::Float,
            Kind::Count,
        ];
        assert_eq!(kinds(&demo, &fields), expected);
        assert_eq!(
            kinds(&demo, &["param.a", "metric.val_loss"]),
            [Kind::Text, Kind::Float]
        );
        demo.start(&[
            ("a", Value::Int(1)),
            ("b", Value::Bool(true)),
            ("c", Value::Int(1)),
        ]);
        demo.start(&[("a", Value::Int(2)), ("c", Value::Float(0.5))]);
        let params = ["param.a", "param.b", "param.c"];
        assert_eq!(kinds(&demo, &params), [Kind::Int, Kind::Flag, Kind::Float]);
        demo.start(&[("a", text("x"))]);
        assert_eq!(kinds(&demo, &params), [Kind::Text, Kind::Flag, Kind::Float]);
        assert_eq!(kinds(&demo, &fields), expected);
    }
}
