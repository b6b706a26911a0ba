//! Writes the step metrics of a trial as Parquet files: the reports under `Output`, as cmf's logger
//! for Ray does, and one file for each log.

use super::names::{Names, hexadecimal};
use super::step_table::{Columns, StepTable};
use md5::{Digest, Md5};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufReader, Read};
use std::path::Path;
use swath_engine::tracker::home::failed;
use swath_engine::tracker::metric_rows::{Datum, MetricRow, each_row};
use swath_engine::tracker::{TrackerError, regular};
use swath_model::study::{Due, TrialId};
use swath_table::{Cell, ParquetError};

/// The name of the struct column that holds the reports.
const OUTPUT: &str = "Output";

/// A Parquet file of step metrics, after it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StepFile {
    /// The path relative to the folder of the store.
    pub(super) path: String,
    /// The MD5 of the content in hexadecimal.
    pub(super) md5: String,
    /// The size in bytes.
    pub(super) size: u64,
}

/// Writes the Parquet files of a trial, from `reports` (buffered lines of JSON) and from the metric
/// files in the trial's folder. Files of earlier attempts are removed first.
pub(super) fn write(
    root: &Path,
    (trial, due): (&Path, &Due),
    names: &Names<'_>,
    id: TrialId,
    reports: &[u8],
) -> Result<Vec<StepFile>, TrackerError> {
    let folder = format!("cmf_artifacts/{}/metrics", names.execution_uuid(id));
    let target = root.join(&folder);
    match fs::remove_dir_all(&target) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(failed(&target)(error));
        }
        _ => {}
    }
    let mut tables = Vec::new();
    if !reports.is_empty() {
        tables.push((format!("{}_metrics", names.execution(id)), None));
    }
    let mut logs: BTreeMap<String, Columns> = BTreeMap::new();
    // Determine the columns in a first pass: a Parquet file needs its schema before its rows.
    each_row(trial, due, |log, row| {
        let columns = match logs.get_mut(log) {
            Some(columns) => columns,
            None => logs.entry(log.to_owned()).or_default(),
        };
        cells(row).for_each(|(key, cell)| columns.add(&key, &cell));
        Ok(())
    })?;
    tables.extend(logs.into_iter().map(|(log, columns)| (log, Some(columns))));
    let mut files = Vec::with_capacity(tables.len());
    for (name, columns) in tables {
        let path = target.join(&name);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(failed(folder))?;
        }
        let file = fs::File::create(&path).map_err(failed(&path))?;
        match columns {
            None => output(file, reports).map_err(table_failed(&path))?,
            Some(columns) => {
                let mut writer =
                    StepTable::new(file, columns, None).map_err(table_failed(&path))?;
                each_row(trial, due, |log, row| {
                    if log == name {
                        writer.row(cells(row)).map_err(table_failed(&path))
                    } else {
                        Ok(())
                    }
                })?;
                writer.finish().map_err(table_failed(&path))?;
            }
        }
        let (md5, size) = digest(&path).map_err(failed(&path))?;
        files.push(StepFile {
            path: format!("{folder}/{name}"),
            md5,
            size,
        });
    }
    Ok(files)
}

/// Returns a function that turns the error of a table into one about `path`. I/O errors keep their
/// kind, so that a full disk is recognised.
fn table_failed(path: &Path) -> impl Fn(ParquetError) -> TrackerError {
    move |error| match error {
        ParquetError::External(cause) => match cause.downcast::<io::Error>() {
            Ok(cause) => failed(path)(*cause),
            Err(cause) => {
                TrackerError::Other(format!("could not write `{}`: {cause}", path.display()))
            }
        },
        error => TrackerError::Other(format!("could not write `{}`: {error}", path.display())),
    }
}

/// Writes the reports as a table with the struct column `Output`.
fn output(file: fs::File, reports: &[u8]) -> Result<(), ParquetError> {
    let mut columns = Columns::default();
    report_rows(reports)
        .flatten()
        .for_each(|(key, cell)| columns.add(&key, &cell));
    let mut writer = StepTable::new(file, columns, Some(OUTPUT))?;
    for row in report_rows(reports) {
        writer.row(row)?;
    }
    writer.finish()
}

/// Returns the cells of each buffered report.
fn report_rows(
    reports: &[u8],
) -> impl Iterator<Item = impl Iterator<Item = (String, Cell)> + use<>> {
    let lines = reports
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty());
    lines.map(|line| {
        serde_json::from_slice::<Vec<(String, serde_json::Value)>>(line)
            .unwrap_or_default()
            .into_iter()
            .filter_map(|(key, value)| Some((key, super::decoded(value)?)))
    })
}

/// Returns the cells of a row: the measured values, then the values that locate it.
fn cells(row: MetricRow<'_>) -> impl Iterator<Item = (Cow<'_, str>, Cell)> {
    let values = row.values.into_iter().map(|(key, datum)| match datum {
        Datum::Number(number) => (key, Cell::Float(number)),
        Datum::Text(text) => (key, Cell::Text(text.into_owned())),
    });
    let location = row
        .location
        .into_iter()
        .map(|(key, value)| match value.as_f64() {
            Some(number) => (Cow::Borrowed(key), Cell::Float(number)),
            None => {
                let text = value
                    .as_str()
                    .map_or_else(|| value.to_string(), str::to_owned);
                (Cow::Borrowed(key), Cell::Text(text))
            }
        });
    values.chain(location)
}

/// Returns the MD5 of a file in hexadecimal, and its size in bytes.
fn digest(path: &Path) -> io::Result<(String, u64)> {
    let (mut hash, mut size, mut block) = (Md5::new(), 0, vec![0; 1 << 16]);
    let mut file = BufReader::with_capacity(1 << 16, regular::open(path)?);
    loop {
        match file.read(&mut block)? {
            0 => break,
            read => {
                hash.update(&block[..read]);
                size += read as u64;
            }
        }
    }
    Ok((hexadecimal(&hash.finalize()), size))
}
