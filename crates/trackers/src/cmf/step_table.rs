//! A table of rows whose keys vary: one column per key, whose type is determined beforehand, with
//! the metadata that pandas expects.
//!
//! The first column of the file is pandas' index `SequenceNumber`, from 1. The other columns follow
//! it, or are the fields of one struct column, which is how cmf's logger for Ray stores the results
//! of a trial under `Output`.

use serde_json::json;
use std::collections::HashMap;
use std::io::Write;
use swath_table::{Cell, Column, Kind, ParquetError, TableWriter};

type Result<T> = std::result::Result<T, ParquetError>;

/// The name of the column that pandas uses as the index of the rows.
const INDEX: &str = "SequenceNumber";

/// Number of cells from which on a row group is written.
const CELLS: usize = 1 << 18;

/// The keys of a table with the types of their columns, determined from its rows.
#[derive(Debug, Default)]
pub(super) struct Columns {
    /// The keys in the order in which they first occur.
    kinds: Vec<(String, Kind)>,
    /// The position of each key in `kinds`.
    positions: HashMap<String, usize>,
}

impl Columns {
    /// Adds a column for `key` if there is none. A key with values of several types becomes a
    /// column of texts.
    pub(super) fn add(&mut self, key: &str, cell: &Cell) {
        match self.positions.get(key) {
            Some(index) if self.kinds[*index].1 != cell.kind() => {
                self.kinds[*index].1 = Kind::Text;
            }
            Some(_) => {}
            None => {
                self.positions.insert(key.to_owned(), self.kinds.len());
                self.kinds.push((key.to_owned(), cell.kind()));
            }
        }
    }
}

/// A table under construction.
pub(super) struct StepTable<W: Write + Send> {
    file: TableWriter<W>,
    /// The buffered rows: the index, then the columns of the keys.
    columns: Vec<Column>,
    /// The position of each key's column behind the index.
    positions: HashMap<String, usize>,
    /// Number of rows, and of those that are in the file.
    rows: usize,
    written: usize,
}

impl<W: Write + Send> StepTable<W> {
    /// Begins a table with these columns. With `group`, they become the fields of a struct column
    /// of that name.
    pub(super) fn new(out: W, columns: Columns, group: Option<&str>) -> Result<Self> {
        let metadata = ("pandas", pandas_metadata(&columns, group).to_string());
        let mut typed = vec![Column::new(INDEX, Kind::Int).without_repetitions()];
        for (name, kind) in &columns.kinds {
            // A key may have the same name as the index column.
            let is_shadowed = group.is_none() && name == INDEX;
            let suffix = if is_shadowed { ".1" } else { "" };
            typed.push(Column::new(format!("{name}{suffix}"), *kind).within(group));
        }
        Ok(Self {
            file: TableWriter::new(out, &typed, Some(metadata))?,
            columns: typed,
            positions: columns.positions,
            rows: 0,
            written: 0,
        })
    }

    /// Adds a row. Keys without a column are left out, and of a repeated key the first value
    /// counts.
    pub(super) fn row(
        &mut self,
        cells: impl Iterator<Item = (impl AsRef<str>, Cell)>,
    ) -> Result<()> {
        let before = self.rows - self.written;
        self.rows += 1;
        self.columns[0].push(Some(Cell::Int(self.rows as i64)));
        for (key, cell) in cells {
            let Some(position) = self.positions.get(key.as_ref()) else {
                continue;
            };
            let column = &mut self.columns[position + 1];
            if column.len() <= before {
                column.pad(before);
                column.push(Some(cell));
            }
        }
        if (before + 1) * self.columns.len() < CELLS {
            Ok(())
        } else {
            self.flush()
        }
    }

    /// Writes the buffered rows and the footer of the file.
    pub(super) fn finish(mut self) -> Result<()> {
        self.flush()?;
        self.file.finish()
    }

    /// Writes the buffered rows as a row group.
    fn flush(&mut self) -> Result<()> {
        let buffered = self.rows - self.written;
        if buffered == 0 {
            return Ok(());
        }
        self.columns
            .iter_mut()
            .for_each(|column| column.pad(buffered));
        self.file.add(&self.columns)?;
        self.columns.iter_mut().for_each(Column::clear);
        self.written = self.rows;
        Ok(())
    }
}

/// Returns the metadata that pandas stores with a table, from which it restores its index.
fn pandas_metadata(columns: &Columns, group: Option<&str>) -> serde_json::Value {
    let mut described = vec![pandas_column(INDEX, "int64", "int64")];
    match group {
        Some(group) => described.push(pandas_column(group, "object", "object")),
        None => {
            let others = columns.kinds.iter().filter(|(name, _)| name != INDEX);
            described.extend(others.map(|(name, kind)| match kind {
                Kind::Float => pandas_column(name, "float64", "float64"),
                Kind::Flag => pandas_column(name, "bool", "object"),
                _ => pandas_column(name, "unicode", "object"),
            }));
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

/// Returns the description of a column in the metadata, with its types in pandas and NumPy.
fn pandas_column(name: &str, pandas_type: &str, numpy_type: &str) -> serde_json::Value {
    json!({
        "name": name,
        "field_name": name,
        "pandas_type": pandas_type,
        "numpy_type": numpy_type,
        "metadata": null,
    })
}

#[cfg(test)]
mod tests {
    use super::{Cell, Columns, StepTable};
    use parquet::file::reader::{FileReader, SerializedFileReader};
    use std::io::Write;

    fn table(rows: &[&[(&str, Cell)]], group: Option<&str>) -> Vec<String> {
        let mut columns = Columns::default();
        for (key, cell) in rows.iter().copied().flatten() {
            columns.add(key, cell);
        }
        let mut bytes = Vec::new();
        let mut writer = StepTable::new(&mut bytes, columns, group).unwrap();
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
    fn a_row_without_a_key_has_an_absent_value() {
        let rows: &[&[_]] = &[
            &[("loss", Cell::Float(0.5)), ("ok", Cell::Flag(true))],
            &[],
            &[("läuft", text("ja")), ("loss", Cell::Float(0.25))],
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
    fn values_of_two_types_under_one_key_become_texts() {
        let rows: &[&[_]] = &[
            &[("a", Cell::Float(1.5))],
            &[("a", text("x"))],
            &[("a", Cell::Flag(true))],
            &[("a", Cell::Float(f64::NAN))],
        ];
        let values: Vec<String> = table(rows, None)
            .iter()
            .map(|row| row[20..].to_owned())
            .collect();
        assert_eq!(
            values,
            ["a: \"1.5\"}", "a: \"x\"}", "a: \"true\"}", "a: \"nan\"}"]
        );
    }

    #[test]
    fn many_rows_are_written_in_several_groups_and_numbered_throughout() {
        let mut columns = Columns::default();
        columns.add("a", &Cell::Float(0.0));
        let mut bytes = Vec::new();
        let mut writer = StepTable::new(&mut bytes, columns, None).unwrap();
        for at in 0..super::CELLS {
            writer
                .row([("a", Cell::Float(at as f64))].into_iter())
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
