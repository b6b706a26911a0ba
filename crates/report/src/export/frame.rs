//! Tables with typed columns.

use crate::space::Value;
use crate::study::{Study, Timestamp, Trial};
use crate::tracker::csv::{self, Cells};

/// Type of the cells of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Texts, and cells of mixed types.
    Text,
    /// Signed integers of 64 bits.
    Int,
    /// Unsigned integers of 64 bits.
    Count,
    /// Floating point numbers, including NaN and infinities.
    Float,
    /// Booleans.
    Flag,
    /// Points in time, in microseconds since 1970 in UTC.
    Time,
}

/// The cells of a column that are present.
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    /// Values of [`Kind::Text`].
    Texts(Vec<String>),
    /// Values of [`Kind::Int`] and [`Kind::Time`], and the bits of [`Kind::Count`].
    Ints(Vec<i64>),
    /// Values of [`Kind::Float`].
    Floats(Vec<f64>),
    /// Values of [`Kind::Flag`].
    Flags(Vec<bool>),
}

/// A column with its type and cells.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// The name, as in the header of the CSV.
    pub name: String,
    /// The type of the cells.
    pub kind: Kind,
    /// The cells that are present, in the order of their rows.
    pub values: Values,
    /// One definition level for each row, as Parquet wants it: 1 if the cell is present, 0 if it is
    /// absent.
    pub there: Vec<i16>,
}

impl Column {
    /// Creates an empty column.
    #[must_use]
    pub fn new(name: String, kind: Kind) -> Self {
        let values = match kind {
            Kind::Text => Values::Texts(Vec::new()),
            Kind::Int | Kind::Count | Kind::Time => Values::Ints(Vec::new()),
            Kind::Float => Values::Floats(Vec::new()),
            Kind::Flag => Values::Flags(Vec::new()),
        };
        Self {
            name,
            kind,
            values,
            there: Vec::new(),
        }
    }

    /// Appends a text. In a column of another type the cell is absent.
    pub fn text(&mut self, text: Option<&str>) {
        match (&mut self.values, text) {
            (Values::Texts(texts), Some(text)) => texts.push(text.to_owned()),
            _ => return self.there.push(0),
        }
        self.there.push(1);
    }

    /// Appends a floating point number. In a column of another type the cell is absent.
    pub fn float(&mut self, number: Option<f64>) {
        match (&mut self.values, number) {
            (Values::Floats(numbers), Some(number)) => numbers.push(number),
            _ => return self.there.push(0),
        }
        self.there.push(1);
    }

    /// Appends a signed integer. In a column of another type the cell is absent.
    pub fn int(&mut self, number: Option<i64>) {
        match (&mut self.values, number) {
            (Values::Ints(numbers), Some(number)) => numbers.push(number),
            _ => return self.there.push(0),
        }
        self.there.push(1);
    }

    /// Appends an unsigned integer, as its 64 bits.
    pub fn count(&mut self, number: Option<u64>) {
        self.int(number.map(u64::cast_signed));
    }

    /// Appends a point in time.
    pub fn time(&mut self, time: Option<Timestamp>) {
        self.int(time.map(Timestamp::as_micros));
    }

    /// Appends a boolean. In a column of another type the cell is absent.
    pub fn flag(&mut self, flag: Option<bool>) {
        match (&mut self.values, flag) {
            (Values::Flags(flags), Some(flag)) => flags.push(flag),
            _ => return self.there.push(0),
        }
        self.there.push(1);
    }

    /// Removes all cells; the name and the type stay.
    pub fn clear(&mut self) {
        self.there.clear();
        match &mut self.values {
            Values::Texts(values) => values.clear(),
            Values::Ints(values) => values.clear(),
            Values::Floats(values) => values.clear(),
            Values::Flags(values) => values.clear(),
        }
    }
}

/// Returns the table of `trials.csv` for some trials, with a type for each column.
#[must_use]
pub fn wide<'a>(study: &Study, trials: impl IntoIterator<Item = &'a Trial>) -> Vec<Column> {
    let names = csv::header(study);
    let mut gathered = Gathered {
        cells: vec![Vec::new(); names.len()],
        next: 0,
    };
    csv::fill(study, trials, &mut gathered);
    names
        .into_iter()
        .zip(gathered.cells)
        .map(|(name, cells)| typed(name, cells))
        .collect()
}

/// A cell before the type of its column is known.
#[derive(Debug, Clone)]
enum Cell {
    Absent,
    Text(String),
    Count(u64),
    Float(f64),
    Time(Timestamp),
    Param(Value),
}

/// Collects cells by column while the rows arrive.
struct Gathered {
    cells: Vec<Vec<Cell>>,
    /// The column of the next cell.
    next: usize,
}

impl Gathered {
    /// Appends a cell to the next column; after the last column the next row begins.
    fn push(&mut self, cell: Cell) {
        if let Some(column) = self.cells.get_mut(self.next) {
            column.push(cell);
        }
        self.next = (self.next + 1) % self.cells.len().max(1);
    }
}

impl Cells for Gathered {
    fn text(&mut self, text: &str) {
        self.push(if text.is_empty() {
            Cell::Absent
        } else {
            Cell::Text(text.to_owned())
        });
    }
    fn number(&mut self, number: u64) {
        self.push(Cell::Count(number));
    }
    fn float(&mut self, number: Option<f64>) {
        self.push(number.map_or(Cell::Absent, Cell::Float));
    }
    fn step(&mut self, step: Option<f64>) {
        self.float(step);
    }
    fn time(&mut self, time: Option<Timestamp>) {
        self.push(time.map_or(Cell::Absent, Cell::Time));
    }
    fn value(&mut self, value: Option<&Value>) {
        self.push(value.map_or(Cell::Absent, |value| Cell::Param(value.clone())));
    }
}

/// Returns a column of the type that fits all its cells. Built-in columns have fixed types; for
/// others it is the narrowest type that represents all cells.
fn typed(name: String, cells: Vec<Cell>) -> Column {
    let mut column = Column::new(name, Kind::Text);
    let kind = kind(&column.name, &cells);
    if kind != Kind::Text {
        column = Column::new(column.name, kind);
    }
    for cell in cells {
        match (kind, cell) {
            (_, Cell::Absent) => column.there.push(0),
            (Kind::Text, cell) => column.text(Some(&words(cell))),
            (Kind::Float, Cell::Float(number)) => column.float(Some(number)),
            (Kind::Float, Cell::Param(value)) => column.float(value.as_f64()),
            (Kind::Int, Cell::Param(Value::Int(number))) => column.int(Some(number)),
            (Kind::Flag, Cell::Param(Value::Bool(flag))) => column.flag(Some(flag)),
            (Kind::Count, Cell::Count(number)) => column.count(Some(number)),
            (Kind::Time, Cell::Time(time)) => column.time(Some(time)),
            _ => column.there.push(0),
        }
    }
    column
}

/// Returns the type of a column.
fn kind(name: &str, cells: &[Cell]) -> Kind {
    // These columns have a fixed type, even if all their cells are absent.
    match name {
        "trial_id" | "attempts" | "seed" | "configuration" | "replicate" => return Kind::Count,
        "started_at" | "ended_at" => return Kind::Time,
        _ => {}
    }
    let all = |fits: &dyn Fn(&Cell) -> bool| {
        cells
            .iter()
            .all(|cell| matches!(cell, Cell::Absent) || fits(cell))
    };
    let nothing = all(&|_| false);
    // Only parameters and `feasible` arrive as values, which may be booleans or integers.
    if name.starts_with("param.") || name == "feasible" {
        return match () {
            // A column without any cell could have every type.
            () if nothing => Kind::Text,
            () if all(&|cell| matches!(cell, Cell::Param(Value::Bool(_)))) => Kind::Flag,
            () if all(&|cell| matches!(cell, Cell::Param(Value::Int(_)))) => Kind::Int,
            () if all(&|cell| matches!(cell, Cell::Param(Value::Int(_) | Value::Float(_)))) => {
                Kind::Float
            }
            () => Kind::Text,
        };
    }
    // A column without any cell is taken for a metric, unless it is one of these.
    let texts = [
        "pipeline",
        "stage",
        "state",
        "exit",
        "data_dir",
        "data_md5",
        "model_path",
        "model_md5",
        "git_commit",
    ];
    if texts.contains(&name) || !all(&|cell| matches!(cell, Cell::Float(_))) {
        Kind::Text
    } else {
        Kind::Float
    }
}

/// Returns a cell as it is written in CSV.
fn words(cell: Cell) -> String {
    match cell {
        Cell::Absent => String::new(),
        Cell::Text(text) => text,
        Cell::Count(number) => number.to_string(),
        Cell::Float(number) => {
            super::long::text(&crate::study::Datum::Number(crate::study::Metric(number)))
        }
        Cell::Time(time) => time.to_string(),
        Cell::Param(value) => value.to_string(),
    }
}
