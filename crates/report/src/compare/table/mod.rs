//! A CSV file of trials, written by swath or by any other program. It is read as a stream and
//! stored in 16 bytes for each cell.
//!
//! The separator (`,` `;` tab `|`) is detected in the header, the decimal mark in the first rows. A
//! byte order mark, CRLF and quotes are accepted. Rows with too few or too many fields and repeated
//! column names cause warnings, and are read as far as possible.

use crate::formula::study::unknown;
use crate::formula::{Ask, Cells, Formula, FormulaError, Names, Reducer};
use csv::{ByteRecord, ReaderBuilder};
use std::cell::Cell;
use std::collections::{BTreeSet, HashMap};
use std::io::{self, Cursor, Read};
use swath_model::space::Value;
use swath_model::space::expr::Type;

/// Number of bytes that are inspected to detect the separator and the decimal mark.
const SNIFFED: u64 = 1 << 18;
/// Texts that stand for an absent value.
const ABSENT: [&str; 6] = ["", "NA", "N/A", "n/a", "null", "NULL"];
/// Prefixes that mark a parameter, in files of swath and of other tools.
const PARAMS: [&str; 3] = ["param.", "params.", "params_"];
/// Prefixes that mark a measured value.
const METRICS: [&str; 5] = ["metric.", "metrics.", "metrics_", "best.", "at_best."];

/// A table of trials, stored by column.
#[derive(Debug, Clone, Default)]
pub struct Table {
    /// All columns of the file.
    header: Vec<String>,
    /// The columns that were kept.
    names: Vec<String>,
    columns: Vec<CsvColumn>,
    /// The kept column that each name refers to, with and without its prefix.
    indices: HashMap<String, usize>,
    rows: usize,
    /// The distinct texts of all cells.
    texts: Vec<Box<str>>,
    /// Warnings about irregular input.
    pub warnings: Vec<String>,
}

/// A column of a table.
#[derive(Debug, Clone, Default)]
struct CsvColumn {
    entries: Vec<Entry>,
    /// Whether any number was written with a decimal mark or an exponent, so that whole numbers are
    /// floats, too.
    fractional: bool,
}

/// The content of a cell.
#[derive(Debug, Clone, Copy)]
enum Entry {
    Absent,
    Number(f64),
    /// The index of a text in [`Table::texts`].
    Text(u32),
}

/// Error while reading a table.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TableError {
    /// The input could not be read.
    #[error("it could not be read")]
    Io(#[from] io::Error),
    /// The input holds nothing but blanks.
    #[error("it is empty")]
    Empty,
    /// The input is another kind of file.
    #[error("it is not a CSV file: {0}")]
    NotCsv(&'static str),
    /// A quote opens in this line or below, and the rest of the file is inside it.
    #[error("the quote that opens in line {0} or below is never closed")]
    Unclosed(u64),
    /// The CSV reader rejected the input.
    #[error("it could not be read as CSV")]
    Csv(#[from] csv::Error),
    /// The selection of columns and rows is invalid.
    #[error(transparent)]
    Formula(#[from] FormulaError),
}

/// The columns and rows of a table that are kept.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// The names of the columns, with or without their prefixes; `None` keeps all columns.
    pub columns: Option<BTreeSet<String>>,
    /// The condition that a row must fulfil; `None` keeps all rows. The columns in the condition
    /// are kept in addition.
    pub condition: Option<Formula>,
}

impl Selection {
    /// Returns whether a column is kept.
    fn takes(&self, column: &str) -> bool {
        let is_named = self
            .columns
            .as_ref()
            .is_none_or(|names| names.iter().any(|name| answers(column, name)));
        let mut conditions = self.condition.iter();
        is_named || conditions.any(|formula| formula.names().any(|name| answers(column, name)))
    }
}

/// The separator and the decimal mark of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Dialect {
    separator: u8,
    comma_is_decimal: bool,
}

impl Table {
    /// Reads a table. `select` chooses the columns and rows to keep, given the names in the header.
    ///
    /// # Errors
    /// If the input cannot be read or is not a table, or the error of `select`.
    pub fn read(
        mut input: impl Read,
        select: &dyn Fn(&Names) -> Result<Selection, FormulaError>,
    ) -> Result<Self, TableError> {
        let mut head = Vec::new();
        input.by_ref().take(SNIFFED).read_to_end(&mut head)?;
        let start = if head.starts_with(b"\xef\xbb\xbf") {
            3
        } else {
            0
        };
        let sample = &head[start..];
        if sample.iter().all(u8::is_ascii_whitespace) {
            return Err(TableError::Empty);
        }
        if sample.starts_with(b"PAR1") || sample.contains(&0) {
            return Err(TableError::NotCsv(
                "it contains bytes that do not occur in a text",
            ));
        }
        if sample.starts_with(b"{") {
            return Err(TableError::NotCsv(
                "it looks like JSON; `swath export --csv` writes a study as CSV",
            ));
        }
        let dialect = Dialect::of(sample);
        let quotes = Cell::new(0);
        let counted_input = Quotes {
            input: Cursor::new(sample.to_vec()).chain(input),
            count: &quotes,
        };
        let mut reader = ReaderBuilder::new()
            .delimiter(dialect.separator)
            .flexible(true)
            .has_headers(false)
            .from_reader(counted_input);
        let mut record = ByteRecord::new();
        if !reader.read_byte_record(&mut record)? {
            return Err(TableError::Empty);
        }
        let mut table = Self::with_header(&record);
        let selection = select(&table.vocabulary())?;
        let columns = table.lay_columns(&selection);
        let mut filling = Filling::new(table, columns, dialect);
        while reader.read_byte_record(&mut record)? {
            filling.add(&record, selection.condition.as_ref());
        }
        // Stray quotes inside fields are legal. Only an odd number of quotes, together with a last
        // record that spans lines, shows an unclosed one.
        let spans_lines = reader.position().line() > filling.line + 1;
        if spans_lines && quotes.get() % 2 == 1 {
            return Err(TableError::Unclosed(filling.line));
        }
        Ok(filling.finish())
    }

    /// Creates a table without rows. A column without a name is called by its position, and a
    /// repeated name gets a number.
    fn with_header(header: &ByteRecord) -> Self {
        let mut table = Self::default();
        let mut taken = BTreeSet::new();
        for (index, field) in header.iter().enumerate() {
            let written = String::from_utf8_lossy(field).trim().to_owned();
            let written = if written.is_empty() {
                format!("column{}", index + 1)
            } else {
                written
            };
            let mut name = written.clone();
            let mut copy = 0;
            while !taken.insert(name.clone()) {
                copy += 1;
                name = format!("{written}.{copy}");
            }
            if copy > 0 {
                table.warnings.push(format!(
                    "another column is called `{written}` too: this one is read as `{name}`"
                ));
            }
            table.header.push(name);
        }
        table
    }

    /// Creates the columns that are kept. Returns their positions in the file.
    fn lay_columns(&mut self, selection: &Selection) -> Vec<usize> {
        let columns: Vec<usize> = (0..self.header.len())
            .filter(|index| selection.takes(&self.header[*index]))
            .collect();
        self.names = columns
            .iter()
            .map(|index| self.header[*index].clone())
            .collect();
        self.columns.resize_with(columns.len(), CsvColumn::default);
        self.indices = indices(&self.names);
        columns
    }

    /// Returns all names that an expression may use: the columns of the file, with and without
    /// their prefixes.
    #[must_use]
    pub fn vocabulary(&self) -> Names {
        indices(&self.header).into_keys().collect()
    }

    /// Checks that an expression can have a value in this table. Returns the type of its result.
    ///
    /// # Errors
    /// A name that is not a column, a question about reports that a table cannot answer, or an
    /// operation that cannot work.
    pub fn check(&self, formula: &Formula, names: &Names) -> Result<Type, FormulaError> {
        if let Some(name) = formula.names().find(|name| !names.contains(name)) {
            let (message, hint) = unknown(name, formula.text(), names);
            return Err(FormulaError::new(formula.text(), message, hint));
        }
        if let Some((ask, name)) = formula
            .asks()
            .find(|(ask, name)| !self.can_answer(*ask, name))
        {
            let message = format!(
                "`{}` has no value: a table has one value per trial",
                ask.of(name)
            );
            let hint = format!("write `{name}`, or compare the study instead of its table");
            return Err(FormulaError::new(formula.text(), message, Some(hint)));
        }
        formula.check(names, &|_| Type::Any)
    }

    /// Returns whether the table can answer a question about the reports of a metric.
    ///
    /// A `trials.csv` contains the last value of each metric and the best value of an objective,
    /// neither of which is the mean or the smallest of all reports. In a table of another tool the
    /// single value of a trial counts as all its reports.
    #[must_use]
    pub fn can_answer(&self, ask: Ask, name: &str) -> bool {
        match ask {
            Ask::At(_) => false,
            Ask::AtBest => self.at_best(name).is_some(),
            Ask::Reduce(Reducer::Best) => {
                let objective = self.objective();
                objective.is_none_or(|objective| objective == name)
                    || self.has(&format!("best.{name}"))
            }
            Ask::Reduce(Reducer::Last) => true,
            Ask::Reduce(_) => self.objective().is_none(),
        }
    }

    /// Returns the column with the values of a metric in the reports that count. A `trials.csv` has
    /// such columns, and its column of the objective contains these values, too. `None` if the
    /// table has neither.
    fn at_best(&self, name: &str) -> Option<String> {
        let marked = format!("at_best.{name}");
        if self.has(&marked) {
            Some(marked)
        } else {
            self.objective()
                .filter(|objective| *objective == name)
                .map(str::to_owned)
        }
    }

    /// Returns the number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows
    }

    /// Returns whether the table has no rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Returns the names of all columns of the file, in order.
    #[must_use]
    pub fn header(&self) -> &[String] {
        &self.header
    }

    /// Returns the names of the kept columns, in order.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Returns the value of a cell. The prefix of a name, as in `param.lr`, is optional.
    #[must_use]
    pub fn value(&self, row: usize, name: &str) -> Option<Value> {
        self.columns
            .get(*self.indices.get(name)?)?
            .value(row, &self.texts)
    }

    /// Returns whether a kept column has that name, with or without its prefix.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.indices.contains_key(name)
    }

    /// Returns the names of the parameters, without their prefixes. Empty if no column is marked as
    /// a parameter.
    #[must_use]
    pub fn params(&self) -> Vec<String> {
        let params = self
            .names
            .iter()
            .filter_map(|name| PARAMS.iter().find_map(|mark| name.strip_prefix(mark)));
        params.map(str::to_owned).collect()
    }

    /// Returns the first objective of a `trials.csv`: the column after `trial_id` and `state`.
    /// `None` for other tables.
    #[must_use]
    pub fn objective(&self) -> Option<&str> {
        let state = self.header.iter().position(|name| name == "state")?;
        let is_of_swath = state > 0 && self.header[state - 1] == "trial_id";
        let next = self.header.get(state + 1).filter(|_| is_of_swath)?;
        // Without an objective the next column is that of a parameter or metric, whose prefix has a
        // dot.
        (!next.contains('.')).then_some(next)
    }

    /// Returns the kept columns with a number in at least one row.
    #[must_use]
    pub fn numeric(&self) -> Vec<&str> {
        let pairs = self.names.iter().zip(&self.columns);
        pairs
            .filter(|(_, column)| column.has_number())
            .map(|(name, _)| name.as_str())
            .collect()
    }
}

impl CsvColumn {
    fn has_number(&self) -> bool {
        let mut entries = self.entries.iter();
        entries.any(|entry| matches!(entry, Entry::Number(_)))
    }

    /// Returns the value of a cell; `None` if it is absent.
    fn value(&self, row: usize, texts: &[Box<str>]) -> Option<Value> {
        Some(match *self.entries.get(row)? {
            Entry::Absent => return None,
            Entry::Text(code) => match &**texts.get(code as usize)? {
                "true" | "True" => Value::Bool(true),
                "false" | "False" => Value::Bool(false),
                text => Value::Text(text.into()),
            },
            // Above 9e15 a float does not represent every integer.
            Entry::Number(number)
                if !self.fractional && number.fract() == 0.0 && number.abs() < 9e15 =>
            {
                Value::Int(number as i64)
            }
            Entry::Number(number) => Value::Float(number),
        })
    }
}

/// A reader that counts the quotes passing through it.
struct Quotes<'a, R> {
    input: R,
    count: &'a Cell<u64>,
}

impl<R: Read> Read for Quotes<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.input.read(buffer)?;
        let quotes = buffer[..length]
            .iter()
            .filter(|byte| **byte == b'"')
            .count();
        self.count.set(self.count.get() + quotes as u64);
        Ok(length)
    }
}

/// A table while it is being read.
struct Filling {
    table: Table,
    /// The positions in the file of the kept columns.
    kept: Vec<usize>,
    /// Number of columns in the header.
    width: usize,
    dialect: Dialect,
    /// The index in `texts` of each distinct text.
    codes: HashMap<Box<str>, u32>,
    /// Rows with fewer fields than the header.
    short: Irregular,
    /// Rows with more fields than the header.
    long: Irregular,
    /// Line of the last record, from 1.
    line: u64,
}

/// Number of irregular rows, and the line of the first.
#[derive(Default)]
struct Irregular {
    rows: u64,
    first: u64,
}

impl Filling {
    fn new(table: Table, kept: Vec<usize>, dialect: Dialect) -> Self {
        let (short, long) = (Irregular::default(), Irregular::default());
        let width = table.header.len();
        Self {
            table,
            kept,
            width,
            dialect,
            codes: HashMap::new(),
            short,
            long,
            line: 1,
        }
    }

    /// Appends a row, unless it does not fulfil the condition.
    fn add(&mut self, record: &ByteRecord, condition: Option<&Formula>) {
        self.line = record.position().map_or(self.line + 1, csv::Position::line);
        if record.len() < self.width {
            self.short.count(self.line);
        } else if record.len() > self.width {
            self.long.count(self.line);
        }
        for (column, index) in self.table.columns.iter_mut().zip(&self.kept) {
            let entry = match record.get(*index).map(String::from_utf8_lossy) {
                None => Entry::Absent,
                Some(text) => encode(
                    text.trim(),
                    self.dialect,
                    column,
                    &mut self.codes,
                    &mut self.table.texts,
                ),
            };
            column.entries.push(entry);
        }
        let row = self.table.rows;
        self.table.rows += 1;
        // The condition reads the cells of the table, so the row is appended before it is checked.
        if condition.is_some_and(|formula| {
            !formula.holds(&TableRow {
                table: &self.table,
                row,
            })
        }) {
            self.table.rows -= 1;
            for column in &mut self.table.columns {
                column.entries.pop();
            }
        }
    }

    /// Returns the table, with a warning for each kind of irregular rows.
    fn finish(mut self) -> Table {
        if self.line == 1 {
            self.table
                .warnings
                .push("there is no row below the header".to_owned());
        }
        let warnings = &mut self.table.warnings;
        self.short.warn(
            warnings,
            "fewer fields than the header: missing fields count as absent",
        );
        self.long.warn(
            warnings,
            "more fields than the header: the extra fields are ignored",
        );
        self.table
    }
}

impl Irregular {
    /// Adds a warning, unless there are no such rows. `problem` completes "a row has …".
    fn warn(&self, warnings: &mut Vec<String>, problem: &str) {
        let Self { rows, first } = self;
        if *rows > 0 {
            let plural = if *rows == 1 { "row has" } else { "rows have" };
            warnings.push(format!(
                "{rows} {plural} {problem}, the first in line {first}"
            ));
        }
    }

    fn count(&mut self, line: u64) {
        self.first = if self.rows == 0 { line } else { self.first };
        self.rows += 1;
    }
}

/// One row of a table, as the values of an expression.
pub(crate) struct TableRow<'a> {
    pub(crate) table: &'a Table,
    pub(crate) row: usize,
}

impl TableRow<'_> {
    fn number(&self, name: &str) -> Option<f64> {
        self.table.value(self.row, name)?.as_f64()
    }
}

impl Cells for TableRow<'_> {
    fn value(&self, name: &str) -> Option<Value> {
        self.table.value(self.row, name)
    }

    /// A table of another tool has one value for each trial, which is the first, last, smallest and
    /// largest report at once. In a `trials.csv` the columns `best.x`, `metric.x` and `at_best.x`
    /// provide the answers.
    fn ask(&self, ask: Ask, name: &str) -> Option<f64> {
        if !self.table.can_answer(ask, name) {
            return None;
        }
        match ask {
            Ask::At(_) => None,
            Ask::AtBest => self.number(&self.table.at_best(name)?),
            Ask::Reduce(Reducer::Best) => self
                .number(&format!("best.{name}"))
                .or_else(|| self.number(name)),
            Ask::Reduce(Reducer::Last) => self
                .number(&format!("metric.{name}"))
                .or_else(|| self.number(name)),
            Ask::Reduce(reducer) => reducer.of(&[self.number(name)?]),
        }
    }
}

/// Returns whether a name refers to a column, with or without its prefix.
pub(crate) fn answers(column: &str, name: &str) -> bool {
    let mut marks = PARAMS.iter().chain(&METRICS);
    column == name || marks.any(|mark| column.strip_prefix(mark) == Some(name))
}

/// Returns the column that each name refers to. A name without its prefix refers to the first such
/// column, unless another column has exactly this name.
fn indices(names: &[String]) -> HashMap<String, usize> {
    let mut indices: HashMap<String, usize> = names
        .iter()
        .enumerate()
        .map(|(index, name)| (name.clone(), index))
        .collect();
    for mark in PARAMS.iter().chain(&METRICS) {
        for (index, name) in names.iter().enumerate() {
            if let Some(bare) = name.strip_prefix(mark) {
                indices.entry(bare.to_owned()).or_insert(index);
            }
        }
    }
    // `trial` is the built-in name of the id in expressions.
    if let Some(index) = indices.get("trial_id").copied() {
        indices.entry("trial".to_owned()).or_insert(index);
    }
    indices
}

/// Returns the content of a cell. A new text is added to `texts`.
fn encode(
    text: &str,
    dialect: Dialect,
    column: &mut CsvColumn,
    codes: &mut HashMap<Box<str>, u32>,
    texts: &mut Vec<Box<str>>,
) -> Entry {
    if ABSENT.contains(&text) {
        return Entry::Absent;
    }
    if let Some(number) = number(text, dialect.comma_is_decimal) {
        column.fractional |= text.contains(['.', ',', 'e', 'E']);
        return Entry::Number(number);
    }
    let code = match codes.get(text) {
        Some(code) => *code,
        None => {
            let code = u32::try_from(texts.len()).unwrap_or(u32::MAX);
            texts.push(text.into());
            codes.insert(text.into(), code);
            code
        }
    };
    Entry::Text(code)
}

/// Parses a number. Words such as `infinity`, which Rust accepts as numbers, are accepted here,
/// too.
fn number(text: &str, comma_is_decimal: bool) -> Option<f64> {
    let first = text.as_bytes().first()?;
    // A cheap test of the first character spares most texts the parse.
    if !(first.is_ascii_digit()
        || matches!(first, b'+' | b'-' | b'.' | b',' | b'n' | b'N' | b'i' | b'I'))
    {
        return None;
    }
    if comma_is_decimal && text.contains(',') && !text.contains('.') {
        return text.replacen(',', ".", 1).parse().ok();
    }
    text.parse().ok()
}

impl Dialect {
    /// Detects the dialect in the first bytes of a file.
    fn of(sample: &[u8]) -> Self {
        let separator = separator(sample);
        let reader = ReaderBuilder::new()
            .delimiter(separator)
            .flexible(true)
            .from_reader(sample);
        let (mut commas, mut grouped, mut points) = (0, 0, 0);
        for record in reader.into_byte_records().take(1000).map_while(Result::ok) {
            for field in &record {
                let text = field.trim_ascii();

                let text = text.strip_prefix(b"-").unwrap_or(text);
                let mut halves = text.splitn(2, |byte| matches!(byte, b'.' | b','));
                let (Some(integer), Some(rest)) = (halves.next(), halves.next()) else {
                    continue;
                };
                let fraction = rest
                    .split(|byte| matches!(byte, b'e' | b'E'))
                    .next()
                    .unwrap_or_default();
                if !are_digits(integer) || !are_digits(fraction) {
                    continue;
                }
                // `1,234` may be a number with a separator of thousands: three digits follow the
                // comma and at most three precede it.
                if text.contains(&b',') {
                    commas += 1;
                    grouped +=
                        usize::from(fraction.len() == 3 && integer.len() <= 3 && integer != b"0");
                } else {
                    points += 1;
                }
            }
        }
        Self {
            separator,
            // The comma is the decimal mark only if no number has a point, and some number with a
            // comma cannot be one with thousands.
            comma_is_decimal: commas > grouped && points == 0,
        }
    }
}

fn are_digits(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(u8::is_ascii_digit)
}

/// Returns the most frequent separator in the header, outside quotes. Among equals the first of `,`
/// `;` tab `|` is taken.
fn separator(sample: &[u8]) -> u8 {
    let mut quoted = false;
    let mut counts = [(b',', 0), (b';', 0), (b'\t', 0), (b'|', 0)];
    for byte in sample {
        match byte {
            b'"' => quoted = !quoted,
            b'\n' if !quoted => break,
            _ if !quoted => {
                if let Some((_, count)) = counts.iter_mut().find(|(separator, _)| separator == byte)
                {
                    *count += 1;
                }
            }
            _ => {}
        }
    }
    counts
        .iter()
        .rev()
        .max_by_key(|(_, count)| *count)
        .map_or(b',', |(separator, _)| *separator)
}

#[cfg(test)]
mod tests;
