//! Writes typed columns as a Parquet file. Pages are plain or dictionary encoded and not
//! compressed, so that every reader supports them.

use super::frame::{Column, Kind, Values};
use parquet::basic::{LogicalType, Repetition, TimeUnit, Type as Physical};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DoubleType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::types::Type;
use std::io::Write;
use std::sync::Arc;

/// A Parquet file that is being written.
pub struct Writer<W: Write + Send> {
    file: SerializedFileWriter<W>,
}

impl<W: Write + Send> Writer<W> {
    /// Begins a file whose schema is that of `columns`. All batches must have the same columns.
    ///
    /// # Errors
    /// If the output cannot be written.
    pub fn new(columns: &[Column], out: W) -> Result<Self, ParquetError> {
        let fields = columns
            .iter()
            .map(|column| field(column).map(Arc::new))
            .collect::<Result<Vec<_>, _>>()?;
        let schema = Arc::new(
            Type::group_type_builder("trials")
                .with_fields(fields)
                .build()?,
        );
        let properties = WriterProperties::builder()
            .set_created_by(concat!("swath ", env!("CARGO_PKG_VERSION")).to_owned());
        Ok(Self {
            file: SerializedFileWriter::new(out, schema, Arc::new(properties.build()))?,
        })
    }

    /// Writes some rows as one row group.
    ///
    /// # Errors
    /// If the output cannot be written.
    pub fn add(&mut self, columns: &[Column]) -> Result<(), ParquetError> {
        let mut group = self.file.next_row_group()?;
        for column in columns {
            let Some(mut writer) = group.next_column()? else {
                break;
            };
            write(column, &mut writer)?;
            writer.close()?;
        }
        group.close().map(drop)
    }

    /// Writes the footer, without which the file is invalid.
    ///
    /// # Errors
    /// If the output cannot be written.
    pub fn finish(self) -> Result<(), ParquetError> {
        self.file.close().map(drop)
    }
}

/// Returns the Parquet type of a column.
fn field(column: &Column) -> Result<Type, ParquetError> {
    let (physical, logical) = match column.kind {
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
    Type::primitive_type_builder(&column.name, physical)
        .with_repetition(Repetition::OPTIONAL)
        .with_logical_type(logical)
        .build()
}

/// Writes the cells of a column; `there` holds the definition levels.
fn write(column: &Column, writer: &mut SerializedColumnWriter<'_>) -> Result<(), ParquetError> {
    let there = Some(column.there.as_slice());
    match &column.values {
        Values::Texts(texts) => {
            let bytes: Vec<ByteArray> = texts
                .iter()
                .map(|text| ByteArray::from(text.as_str()))
                .collect();
            writer
                .typed::<ByteArrayType>()
                .write_batch(&bytes, there, None)?;
        }
        Values::Ints(numbers) => drop(
            writer
                .typed::<Int64Type>()
                .write_batch(numbers, there, None)?,
        ),
        Values::Floats(numbers) => drop(
            writer
                .typed::<DoubleType>()
                .write_batch(numbers, there, None)?,
        ),
        Values::Flags(flags) => drop(writer.typed::<BoolType>().write_batch(flags, there, None)?),
    }
    Ok(())
}
