//! A table in typed columns.

use crate::space::Value;
use crate::study::{Study, Timestamp, Trial};
use crate::tracker::csv::{self, Cells};

/// What the cells of a column are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Texts.
    Text,
    /// Whole numbers, with a sign.
    Int,
    /// Whole numbers from 0 that may need all 64 bits.
    Count,
    /// Floating point numbers, NaN and the infinities among them.
    Float,
    /// Switches.
    Flag,
    /// Moments in UTC, in microseconds since 1970.
    Time,
}

/// The cells of a column that are there.
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    /// Texts.
    Texts(Vec<String>),
    /// Whole numbers and moments; of counts the 64 bits.
    Ints(Vec<i64>),
    /// Floating point numbers.
    Floats(Vec<f64>),
    /// Switches.
    Flags(Vec<bool>),
}

/// A column.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// What it holds.
    pub kind: Kind,
    /// The cells that are there, in order.
    pub values: Values,
    /// For each row 1 if its cell is there, else 0.
    pub there: Vec<i16>,
}

impl Column {
    /// Begins a column.
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

    /// Adds a text, to any other column nothing.
    pub fn text(&mut self, text: Option<&str>) {
        match (&mut self.values, text) {
            (Values::Texts(texts), Some(text)) => texts.push(text.to_owned()),
            _ => return self.there.push(0),
        }
        self.there.push(1);
    }

    /// Adds a floating point number.
    pub fn float(&mut self, number: Option<f64>) {
        match (&mut self.values, number) {
            (Values::Floats(numbers), Some(number)) => numbers.push(number),
            _ => return self.there.push(0),
        }
        self.there.push(1);
    }

    /// Adds a whole number.
    pub fn int(&mut self, number: Option<i64>) {
        match (&mut self.values, number) {
            (Values::Ints(numbers), Some(number)) => numbers.push(number),
            _ => return self.there.push(0),
        }
        self.there.push(1);
    }

    /// Adds a count.
    pub fn count(&mut self, number: Option<u64>) {
        self.int(number.map(u64::cast_signed));
    }

    /// Adds a moment.
    pub fn time(&mut self, time: Option<Timestamp>) {
        self.int(time.map(Timestamp::as_micros));
    }

    /// Adds a switch.
    pub fn flag(&mut self, flag: Option<bool>) {
        match (&mut self.values, flag) {
            (Values::Flags(flags), Some(flag)) => flags.push(flag),
            _ => return self.there.push(0),
        }
        self.there.push(1);
    }

    /// Empties it.
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

/// Returns the table of trials, that of `trials.csv`, with a type for each column.
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

#[derive(Debug, Clone)]
enum Cell {
    Absent,
    Text(String),
    Count(u64),
    Float(f64),
    Time(Timestamp),
    Param(Value),
}

/// Cells by column while the rows come.
struct Gathered {
    cells: Vec<Vec<Cell>>,
    next: usize,
}

impl Gathered {
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

/// Finds the type that all cells of a column have: that of its name if it is one of ours, else the
/// narrowest that holds them all.
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

fn kind(name: &str, cells: &[Cell]) -> Kind {
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
    if name.starts_with("param.") || name == "feasible" {
        return match () {
            () if nothing => Kind::Text,
            () if all(&|cell| matches!(cell, Cell::Param(Value::Bool(_)))) => Kind::Flag,
            () if all(&|cell| matches!(cell, Cell::Param(Value::Int(_)))) => Kind::Int,
            () if all(&|cell| matches!(cell, Cell::Param(Value::Int(_) | Value::Float(_)))) => {
                Kind::Float
            }
            () => Kind::Text,
        };
    }
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

/// Returns a cell as it stands in CSV.
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
