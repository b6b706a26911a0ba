//! Parquet files: typed columns of cells that may be absent, and fields of struct columns.
//!
//! Pages are plain or dictionary encoded and not compressed, so that every reader supports them.

pub use parquet::errors::ParquetError;

use parquet::basic::{Compression, LogicalType, Repetition, TimeUnit, Type as Physical};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DataType, DoubleType, Int64Type};
use parquet::errors::Result;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::{SchemaDescriptor, Type, TypePtr};
use std::io::Write;
use std::sync::Arc;

/// The type of a column.
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

/// The value of a cell.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    /// A text.
    Text(String),
    /// An integer, a time in microseconds, or the bits of an unsigned integer.
    Int(i64),
    /// A number, NaN and the infinities included.
    Float(f64),
    /// A boolean.
    Flag(bool),
}

impl Cell {
    /// Returns the type of the column that holds only such cells.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Text(_) => Kind::Text,
            Self::Int(_) => Kind::Int,
            Self::Float(_) => Kind::Float,
            Self::Flag(_) => Kind::Flag,
        }
    }

    /// Returns the value as text, for a column with values of several types.
    fn into_text(self) -> String {
        match self {
            Self::Text(text) => text,
            Self::Int(number) => number.to_string(),
            Self::Float(number) if number.is_finite() => format!("{number:?}"),
            Self::Float(number) => number.to_string().to_lowercase(),
            Self::Flag(flag) => flag.to_string(),
        }
    }
}

/// The cells of a column that are present.
#[derive(Debug, Clone)]
enum Values {
    Texts(Vec<ByteArray>),
    Ints(Vec<i64>),
    Floats(Vec<f64>),
    Flags(Vec<bool>),
}

impl Values {
    fn none(kind: Kind) -> Self {
        match kind {
            Kind::Text => Self::Texts(Vec::new()),
            Kind::Int | Kind::Count | Kind::Time => Self::Ints(Vec::new()),
            Kind::Float => Self::Floats(Vec::new()),
            Kind::Flag => Self::Flags(Vec::new()),
        }
    }
}

/// A column with the cells of some rows.
#[derive(Debug, Clone)]
pub struct Column {
    name: String,
    kind: Kind,
    /// The struct column of which this one is a field.
    group: Option<String>,
    /// Whether the cells are encoded by a dictionary. Floats, times and counters hardly ever repeat,
    /// and the search for repetitions takes longer than to write them.
    repeats: bool,
    values: Values,
    /// One definition level for each row: the number of optional ancestors that are present.
    levels: Vec<i16>,
}

impl Column {
    /// Creates an empty column.
    #[must_use]
    pub fn new(name: impl Into<String>, kind: Kind) -> Self {
        Self {
            name: name.into(),
            kind,
            group: None,
            repeats: !matches!(kind, Kind::Float | Kind::Time),
            values: Values::none(kind),
            levels: Vec::new(),
        }
    }

    /// Makes the column a field of a struct column, which consecutive columns with the same `group`
    /// share. The struct itself is present in every row.
    #[must_use]
    pub fn within(self, group: Option<&str>) -> Self {
        Self {
            group: group.map(str::to_owned),
            ..self
        }
    }

    /// Marks the column as one without repeated values.
    #[must_use]
    pub fn without_repetitions(self) -> Self {
        Self {
            repeats: false,
            ..self
        }
    }

    /// Returns the number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.levels.len()
    }

    /// Returns whether the column has no rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.levels.is_empty()
    }

    /// Appends the cell of a row. In a column of texts every cell is converted to one; in another
    /// column a cell of a type that it cannot hold is absent.
    pub fn push(&mut self, cell: Option<Cell>) {
        let present = 1 + i16::from(self.group.is_some());
        match (&mut self.values, cell) {
            (Values::Texts(texts), Some(cell)) => texts.push(cell.into_text().into_bytes().into()),
            (Values::Ints(numbers), Some(Cell::Int(number))) => numbers.push(number),
            (Values::Floats(numbers), Some(Cell::Float(number))) => numbers.push(number),
            (Values::Floats(numbers), Some(Cell::Int(number))) => numbers.push(number as f64),
            (Values::Flags(flags), Some(Cell::Flag(flag))) => flags.push(flag),
            _ => return self.levels.push(present - 1),
        }
        self.levels.push(present);
    }

    /// Appends absent cells until the column has this many rows.
    pub fn pad(&mut self, rows: usize) {
        while self.len() < rows {
            self.push(None);
        }
    }

    /// Appends the same text until the column of texts has this many rows.
    pub fn fill(&mut self, text: &str, rows: usize) {
        if let Values::Texts(texts) = &mut self.values {
            let present = 1 + i16::from(self.group.is_some());
            // All cells share the memory of the text.
            let text = ByteArray::from(text.as_bytes().to_vec());
            texts.resize(texts.len() + rows.saturating_sub(self.levels.len()), text);
            self.levels.resize(rows.max(self.levels.len()), present);
        }
    }

    /// Takes all cells; an empty column of the same name and type stays.
    #[must_use]
    pub fn take(&mut self) -> Self {
        let empty = Self {
            values: Values::none(self.kind),
            levels: Vec::new(),
            name: self.name.clone(),
            group: self.group.clone(),
            ..*self
        };
        std::mem::replace(self, empty)
    }

    /// Removes all cells; the name and the type stay.
    pub fn clear(&mut self) {
        self.levels.clear();
        match &mut self.values {
            Values::Texts(values) => values.clear(),
            Values::Ints(values) => values.clear(),
            Values::Floats(values) => values.clear(),
            Values::Flags(values) => values.clear(),
        }
    }

    /// Returns the Parquet type of the column. All columns are optional.
    fn field(&self) -> Result<TypePtr> {
        let (physical, logical) = match self.kind {
            Kind::Text => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
            Kind::Float => (Physical::DOUBLE, None),
            Kind::Flag => (Physical::BOOLEAN, None),
            Kind::Int => (Physical::INT64, None),
            Kind::Count => (Physical::INT64, Some(LogicalType::integer(64, false))),
            Kind::Time => (
                Physical::INT64,
                Some(LogicalType::timestamp(true, TimeUnit::MICROS)),
            ),
        };
        let field = Type::primitive_type_builder(&self.name, physical)
            .with_repetition(Repetition::OPTIONAL)
            .with_logical_type(logical);
        field.build().map(Arc::new)
    }

    /// Writes the cells as the next column of a row group.
    fn write(&self, group: &mut SerializedRowGroupWriter<'_, impl Write + Send>) -> Result<()> {
        match &self.values {
            Values::Texts(texts) => write::<ByteArrayType>(group, texts, &self.levels),
            Values::Ints(numbers) => write::<Int64Type>(group, numbers, &self.levels),
            Values::Floats(numbers) => write::<DoubleType>(group, numbers, &self.levels),
            Values::Flags(flags) => write::<BoolType>(group, flags, &self.levels),
        }
    }
}

fn write<T: DataType>(
    group: &mut SerializedRowGroupWriter<'_, impl Write + Send>,
    values: &[T::T],
    levels: &[i16],
) -> Result<()> {
    let mut column = group.next_column()?.ok_or_else(|| {
        ParquetError::General("the schema has fewer columns than the table".to_owned())
    })?;
    let typed = column.typed::<T>();
    typed.write_batch(values, Some(levels), None)?;
    column.close()
}

/// A Parquet file that is being written.
pub struct TableWriter<W: Write + Send> {
    file: SerializedFileWriter<W>,
}

impl<W: Write + Send> TableWriter<W> {
    /// Begins a file with the types of `columns`, and with a key and a text in its metadata.
    ///
    /// # Errors
    /// If the output cannot be written.
    pub fn new(out: W, columns: &[Column], metadata: Option<(&str, String)>) -> Result<Self> {
        let schema = schema(columns)?;
        let metadata = metadata.map(|(key, text)| vec![KeyValue::new(key.to_owned(), text)]);
        let mut properties = WriterProperties::builder()
            .set_compression(Compression::UNCOMPRESSED)
            .set_created_by(concat!("swath ", env!("CARGO_PKG_VERSION")).to_owned())
            .set_key_value_metadata(metadata);
        let leaves = SchemaDescriptor::new(Arc::clone(&schema));
        for (leaf, column) in leaves.columns().iter().zip(columns) {
            properties =
                properties.set_column_dictionary_enabled(leaf.path().clone(), column.repeats);
        }
        Ok(Self {
            file: SerializedFileWriter::new(out, schema, Arc::new(properties.build()))?,
        })
    }

    /// Writes some rows as one row group. The columns are those that the file began with.
    ///
    /// # Errors
    /// If the output cannot be written.
    pub fn add(&mut self, columns: &[Column]) -> Result<()> {
        let mut group = self.file.next_row_group()?;
        columns
            .iter()
            .try_for_each(|column| column.write(&mut group))?;
        group.close().map(drop)
    }

    /// Writes the footer, without which the file is invalid.
    ///
    /// # Errors
    /// If the output cannot be written.
    pub fn finish(self) -> Result<()> {
        self.file.close().map(drop)
    }
}

/// Returns the schema of a file with these columns.
fn schema(columns: &[Column]) -> Result<TypePtr> {
    let mut fields = Vec::new();
    for group in columns.chunk_by(|a, b| a.group.is_some() && a.group == b.group) {
        let members = group.iter().map(Column::field);
        let members = members.collect::<Result<Vec<_>>>()?;
        match group.first().and_then(|column| column.group.as_deref()) {
            None => fields.extend(members),
            Some(name) => {
                let group = Type::group_type_builder(name).with_repetition(Repetition::OPTIONAL);
                fields.push(Arc::new(group.with_fields(members).build()?));
            }
        }
    }
    let root = Type::group_type_builder("schema").with_fields(fields);
    root.build().map(Arc::new)
}

#[cfg(test)]
mod tests {
    use super::{Cell, Column, Kind, TableWriter};
    use parquet::file::reader::{FileReader, SerializedFileReader};
    use std::io::Write;

    fn rows(columns: &[Column]) -> Vec<String> {
        let mut file = tempfile::tempfile().unwrap();
        let mut bytes = Vec::new();
        let mut writer = TableWriter::new(&mut bytes, columns, None).unwrap();
        writer.add(columns).unwrap();
        writer.finish().unwrap();
        file.write_all(&bytes).unwrap();
        let reader = SerializedFileReader::new(file).unwrap();
        let rows = reader.get_row_iter(None).unwrap();
        rows.map(|row| row.unwrap().to_string()).collect()
    }

    fn column(kind: Kind, cells: &[Option<Cell>]) -> Column {
        let mut column = Column::new("x", kind);
        cells.iter().for_each(|cell| column.push(cell.clone()));
        column
    }

    #[test]
    fn a_column_of_texts_converts_every_cell_to_text() {
        let cells = [
            Some(Cell::Float(5e-5)),
            Some(Cell::Float(f64::NEG_INFINITY)),
            Some(Cell::Int(-3)),
            Some(Cell::Flag(true)),
            None,
        ];
        assert_eq!(
            rows(&[column(Kind::Text, &cells)]),
            [
                "{x: \"5e-5\"}",
                "{x: \"-inf\"}",
                "{x: \"-3\"}",
                "{x: \"true\"}",
                "{x: null}"
            ]
        );
    }

    #[test]
    fn a_column_is_filled_with_a_text_and_its_cells_are_taken() {
        let mut x = column(Kind::Text, &[Some(Cell::Text("a".into()))]);
        x.fill("b", 3);
        x.fill("c", 2);
        let taken = x.take();
        assert_eq!(rows(&[taken]), ["{x: \"a\"}", "{x: \"b\"}", "{x: \"b\"}"]);
        assert!(x.is_empty());
        x.fill("d", 1);
        assert_eq!(rows(&[x]), ["{x: \"d\"}"]);
    }

    #[test]
    fn a_cell_that_a_column_cannot_hold_is_absent() {
        let cells = [Some(Cell::Int(2)), Some(Cell::Text("2".into()))];
        assert_eq!(
            rows(&[column(Kind::Float, &cells)]),
            ["{x: 2.0}", "{x: null}"]
        );
        assert_eq!(
            rows(&[column(Kind::Int, &[Some(Cell::Float(0.5))])]),
            ["{x: null}"]
        );
    }

    fn flag_field(name: &str, group: Option<&str>) -> Column {
        let mut column = Column::new(name, Kind::Flag).within(group);
        column.push(Some(Cell::Flag(false)));
        column.push(None);
        column
    }

    #[test]
    fn fields_of_one_group_make_a_struct() {
        let columns = [
            flag_field("a", None),
            flag_field("b", Some("g")),
            flag_field("c", Some("g")),
            flag_field("d", Some("h")),
        ];
        assert_eq!(
            rows(&columns),
            [
                "{a: false, g: {b: false, c: false}, h: {d: false}}",
                "{a: null, g: {b: null, c: null}, h: {d: null}}"
            ]
        );
    }
}
