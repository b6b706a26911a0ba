//! Typed columns as a Parquet file: plain or dictionary pages, not compressed, so that every reader
//! takes it.

use super::frame::{Column, Kind, Values};
use parquet::basic::{LogicalType, Repetition, TimeUnit, Type as Physical};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DoubleType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::types::Type;
use std::io::Write;
use std::sync::Arc;

/// A Parquet file while it is written.
pub struct Writer<W: Write + Send> {
    file: SerializedFileWriter<W>,
}

impl<W: Write + Send> Writer<W> {
    /// Begins a file with the columns that all its batches have.
    ///
    /// # Errors
    /// If it cannot be written.
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

    /// Writes some rows as a row group.
    ///
    /// # Errors
    /// If they cannot be written.
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

    /// Writes the footer.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn finish(self) -> Result<(), ParquetError> {
        self.file.close().map(drop)
    }
}

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
