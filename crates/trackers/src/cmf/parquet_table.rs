//! Writes a Parquet file from rows whose keys vary: one column per key, whose type is determined
//! beforehand, with the metadata that pandas expects.
//!
//! The first column of the file is pandas' index `SequenceNumber`, from 1. The other columns follow
//! it, or are the fields of one struct column, which is how cmf's logger for Ray stores the results
//! of a trial under `Output`.

use parquet::basic::{Compression, LogicalType, Repetition, Type as Physical};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DoubleType, Int64Type};
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::{SchemaDescriptor, Type, TypePtr};
use serde_json::json;
use std::collections::HashMap;
use std::io::Write;
use std::sync::Arc;

/// The name of the column that pandas uses as the index of the rows.
const INDEX: &str = "SequenceNumber";

/// Number of cells from which on a row group is written.
const CELLS: usize = 1 << 18;

/// The value of a cell.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Cell {
    /// A number, NaN and the infinities included.
    Number(f64),
    /// A boolean.
    Flag(bool),
    /// A text.
    Text(String),
}

/// The type of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Held {
    Numbers,
    Flags,
    Texts,
}

/// The columns of a table with their types, determined from its rows.
#[derive(Debug, Default)]
pub(super) struct Columns {
    /// The columns in the order in which their keys first occur.
    names: Vec<(String, Held)>,
    /// The index of each key in `names`.
    at: HashMap<String, usize>,
}

impl Columns {
    /// Adds a column for `key` if there is none. A key with values of several types becomes a
    /// column of texts.
    pub(super) fn see(&mut self, key: &str, cell: &Cell) {
        let held = match cell {
            Cell::Number(_) => Held::Numbers,
            Cell::Flag(_) => Held::Flags,
            Cell::Text(_) => Held::Texts,
        };
        match self.at.get(key) {
            Some(at) if self.names[*at].1 != held => self.names[*at].1 = Held::Texts,
            Some(_) => {}
            None => {
                self.at.insert(key.to_owned(), self.names.len());
                self.names.push((key.to_owned(), held));
            }
        }
    }
}

/// A table under construction.
pub(super) struct TableWriter<W: Write + Send> {
    file: SerializedFileWriter<W>,
    columns: Columns,
    /// Whether the columns are fields of a struct column.
    nested: bool,
    /// The cells of the buffered rows, column by column.
    waiting: Vec<Vec<Option<Cell>>>,
    /// Number of buffered rows.
    rows: usize,
    /// Number of rows in the file.
    written: usize,
}

impl<W: Write + Send> TableWriter<W> {
    /// Begins a table with these columns. With `group`, they become the fields of a struct column
    /// of that name.
    pub(super) fn new(out: W, columns: Columns, group: Option<&str>) -> Result<Self> {
        let schema = schema(&columns, group)?;
        let mut properties = WriterProperties::builder()
            .set_compression(Compression::UNCOMPRESSED)
            .set_created_by("swath".to_owned())
            .set_key_value_metadata(Some(vec![KeyValue::new(
                "pandas".to_owned(),
                pandas(&columns, group).to_string(),
            )]));
        // Dictionary encoding only for texts: numbers hardly ever repeat, and searching for
        // repetitions takes longer than writing them.
        for column in SchemaDescriptor::new(Arc::clone(&schema)).columns() {
            let repeats = column.physical_type() == Physical::BYTE_ARRAY;
            properties = properties.set_column_dictionary_enabled(column.path().clone(), repeats);
        }
        let file = SerializedFileWriter::new(out, schema, Arc::new(properties.build()))?;
        let waiting = columns.names.iter().map(|_| Vec::new()).collect();
        Ok(Self {
            file,
            columns,
            nested: group.is_some(),
            waiting,
            rows: 0,
            written: 0,
        })
    }

    /// Adds a row. Keys without a column are left out.
    pub(super) fn row(
        &mut self,
        cells: impl Iterator<Item = (impl AsRef<str>, Cell)>,
    ) -> Result<()> {
        self.rows += 1;
        for (key, cell) in cells {
            let Some(at) = self.columns.at.get(key.as_ref()) else {
                continue;
            };
            let column = &mut self.waiting[*at];
            // Fill up the rows in which this key was absent.
            column.resize(self.rows - 1, None);
            column.push(Some(cell));
        }
        if self.rows * (self.waiting.len() + 1) < CELLS {
            Ok(())
        } else {
            self.flush()
        }
    }

    /// Writes the buffered rows and the footer of the file.
    pub(super) fn finish(mut self) -> Result<()> {
        self.flush()?;
        self.file.close().map(drop)
    }

    /// Writes the buffered rows as a row group.
    fn flush(&mut self) -> Result<()> {
        if self.rows == 0 {
            return Ok(());
        }
        let mut group = self.file.next_row_group()?;
        let index: Vec<i64> = (self.written + 1..=self.written + self.rows)
            .map(|at| at as i64)
            .collect();
        let present = vec![1; index.len()];
        write::<Int64Type>(&mut group, &index, &present)?;
        // The definition level of a present value: each optional ancestor counts. Absent values are
        // one level below.
        let there = if self.nested { 2 } else { 1 };
        for ((_, held), cells) in self.columns.names.iter().zip(&mut self.waiting) {
            cells.resize(self.rows, None);
            let level = |cell: &Option<Cell>| if cell.is_some() { there } else { there - 1 };
            let levels: Vec<i16> = cells.iter().map(level).collect();
            let values = cells.drain(..).flatten();
            match held {
                Held::Numbers => {
                    let numbers: Vec<f64> = values.filter_map(Cell::number).collect();
                    write::<DoubleType>(&mut group, &numbers, &levels)?;
                }
                Held::Flags => {
                    let flags: Vec<bool> = values.filter_map(Cell::flag).collect();
                    write::<BoolType>(&mut group, &flags, &levels)?;
                }
                Held::Texts => {
                    let texts: Vec<ByteArray> =
                        values.map(|cell| ByteArray::from(&*cell.text())).collect();
                    write::<ByteArrayType>(&mut group, &texts, &levels)?;
                }
            }
        }
        group.close()?;
        self.written += self.rows;
        self.rows = 0;
        Ok(())
    }
}

impl Cell {
    fn number(self) -> Option<f64> {
        if let Self::Number(number) = self {
            Some(number)
        } else {
            None
        }
    }

    fn flag(self) -> Option<bool> {
        if let Self::Flag(flag) = self {
            Some(flag)
        } else {
            None
        }
    }

    /// Returns the value as text, for a column with values of several types.
    fn text(self) -> String {
        match self {
            Self::Number(number) if number.is_finite() => json!(number).to_string(),
            Self::Number(number) => number.to_string().to_lowercase(),
            Self::Flag(flag) => flag.to_string(),
            Self::Text(text) => text,
        }
    }
}

/// Writes the next column of a row group. `levels` has one definition level per row; `values` has
/// only the present ones.
fn write<T: parquet::data_type::DataType>(
    group: &mut SerializedRowGroupWriter<'_, impl Write + Send>,
    values: &[T::T],
    levels: &[i16],
) -> Result<()> {
    let missing = || ParquetError::General("a column is missing in the schema".to_owned());
    let mut column = group.next_column()?.ok_or_else(missing)?;
    column
        .typed::<T>()
        .write_batch(values, Some(levels), None)?;
    column.close()
}

/// Returns the schema of the file. All columns are optional.
fn schema(columns: &Columns, group: Option<&str>) -> Result<TypePtr> {
    let optional = |name: &str, physical, logical| {
        let field =
            Type::primitive_type_builder(name, physical).with_repetition(Repetition::OPTIONAL);
        field.with_logical_type(logical).build().map(Arc::new)
    };
    let mut top = vec![optional(INDEX, Physical::INT64, None)?];
    let mut fields = Vec::with_capacity(columns.names.len());
    for (name, held) in &columns.names {
        let (physical, logical) = match held {
            Held::Numbers => (Physical::DOUBLE, None),
            Held::Flags => (Physical::BOOLEAN, None),
            Held::Texts => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
        };
        // A key may have the same name as the index column.
        let shadowed = group.is_none() && name == INDEX;
        let name = if shadowed { &format!("{name}.1") } else { name };
        fields.push(optional(name, physical, logical)?);
    }
    match group {
        Some(name) => {
            let group = Type::group_type_builder(name).with_repetition(Repetition::OPTIONAL);
            top.push(Arc::new(group.with_fields(fields).build()?));
        }
        None => top.extend(fields),
    }
    Type::group_type_builder("schema")
        .with_fields(top)
        .build()
        .map(Arc::new)
}

/// Returns the metadata that pandas stores with a table, from which it restores its index.
fn pandas(columns: &Columns, group: Option<&str>) -> serde_json::Value {
    let column = |name: &str, pandas: &str, numpy: &str| json!({ "name": name, "field_name": name, "pandas_type": pandas, "numpy_type": numpy, "metadata": null });
    let mut described = vec![column(INDEX, "int64", "int64")];
    match group {
        Some(group) => described.push(column(group, "object", "object")),
        None => {
            described.extend(columns.names.iter().filter(|(name, _)| name != INDEX).map(
                |(name, held)| match held {
                    Held::Numbers => column(name, "float64", "float64"),
                    Held::Flags => column(name, "bool", "object"),
                    Held::Texts => column(name, "unicode", "object"),
                },
            ));
        }
    }
    json!({
        "index_columns": [INDEX],
        "column_indexes": [{
            "name": null, "field_name": null, "pandas_type": "unicode", "numpy_type": "object", "metadata": { "encoding": "UTF-8" },
        }],
        "columns": described,
        "creator": { "library": "swath", "version": env!("CARGO_PKG_VERSION") },
        "pandas_version": "2.0.0",
    })
}

#[cfg(test)]
mod tests {
    use super::{Cell, Columns, TableWriter};
    use parquet::file::reader::{FileReader, SerializedFileReader};
    use std::io::Write;

    fn table(rows: &[&[(&str, Cell)]], group: Option<&str>) -> Vec<String> {
        let mut columns = Columns::default();
        for (key, cell) in rows.iter().copied().flatten() {
            columns.see(key, cell);
        }
        let mut bytes = Vec::new();
        let mut writer = TableWriter::new(&mut bytes, columns, group).unwrap();
        for row in rows {
            writer
                .row(row.iter().map(|(key, cell)| (*key, cell.clone())))
                .unwrap();
        }
        writer.finish().unwrap();
        let reader = read(&bytes);
        let rows = reader.get_row_iter(None).unwrap();
        rows.map(|row| row.unwrap().to_string()).collect()
    }

    fn read(bytes: &[u8]) -> SerializedFileReader<std::fs::File> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        SerializedFileReader::new(file).unwrap()
    }

    fn text(text: &str) -> Cell {
        Cell::Text(text.into())
    }

    #[test]
    fn keys_that_come_and_go_are_absent_where_they_are_not() {
        let rows: &[&[_]] = &[
            &[("loss", Cell::Number(0.5)), ("ok", Cell::Flag(true))],
            &[],
            &[("läuft", text("ja")), ("loss", Cell::Number(0.25))],
        ];
        assert_eq!(
            table(rows, Some("Output")),
            [
                "{SequenceNumber: 1, Output: {loss: 0.5, ok: true, läuft: null}}",
                "{SequenceNumber: 2, Output: {loss: null, ok: null, läuft: null}}",
                "{SequenceNumber: 3, Output: {loss: 0.25, ok: null, läuft: \"ja\"}}",
            ]
        );
        assert_eq!(
            table(rows, None)[2],
            "{SequenceNumber: 3, loss: 0.25, ok: null, läuft: \"ja\"}"
        );
    }

    #[test]
    fn two_kinds_of_value_under_one_key_are_texts() {
        let rows: &[&[_]] = &[
            &[("a", Cell::Number(1.5))],
            &[("a", text("x"))],
            &[("a", Cell::Flag(true))],
            &[("a", Cell::Number(f64::NAN))],
        ];
        let found: Vec<String> = table(rows, None)
            .iter()
            .map(|row| row[20..].to_owned())
            .collect();
        assert_eq!(
            found,
            ["a: \"1.5\"}", "a: \"x\"}", "a: \"true\"}", "a: \"nan\"}"]
        );
    }

    #[test]
    fn many_rows_make_several_groups_with_one_count() {
        let mut columns = Columns::default();
        columns.see("a", &Cell::Number(0.0));
        let mut bytes = Vec::new();
        let mut writer = TableWriter::new(&mut bytes, columns, None).unwrap();
        for at in 0..super::CELLS {
            writer
                .row([("a", Cell::Number(at as f64))].into_iter())
                .unwrap();
        }
        writer.finish().unwrap();
        let reader = read(&bytes);
        assert!(reader.num_row_groups() > 1);
        let last = reader
            .get_row_iter(None)
            .unwrap()
            .last()
            .unwrap()
            .unwrap()
            .to_string();
        assert_eq!(
            last,
            format!(
                "{{SequenceNumber: {0}, a: {1}.0}}",
                super::CELLS,
                super::CELLS - 1
            )
        );
    }
}
