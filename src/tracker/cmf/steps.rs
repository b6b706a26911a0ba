//! The step metrics of a trial as Parquet files: its reports under `Output`, as cmf's logger for
//! Ray keeps them, and a file for each log.

use super::parquet_table::{Cell, Columns, TableWriter};
use super::rows::Names;
use crate::study::{Due, TrialId};
use crate::tracker::TrackerError;
use crate::tracker::home::failed;
use crate::tracker::metric_rows::{Datum, MetricRow, each_row};
use md5::{Digest, Md5};
use parquet::errors::ParquetError;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufReader, Read};
use std::path::Path;

/// The struct column of the reports.
const OUTPUT: &str = "Output";

/// A Parquet file that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StepFile {
    /// Where it is, from the folder of the store.
    pub(super) path: String,
    /// Its md5.
    pub(super) md5: String,
    /// Its size in bytes.
    pub(super) size: u64,
}

/// Writes the files of a trial: of `reports`, as they wait, and of what its folder has in
/// `metrics/`. Files that an earlier attempt left are removed.
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
    each_row(trial, due, |log, row| {
        let columns = match logs.get_mut(log) {
            Some(columns) => columns,
            None => logs.entry(log.to_owned()).or_default(),
        };
        cells(row).for_each(|(key, cell)| columns.see(&key, &cell));
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
        let broken = |error: ParquetError| broken(&path, error);
        match columns {
            None => output(file, reports).map_err(broken)?,
            Some(columns) => {
                let mut writer = TableWriter::new(file, columns, None).map_err(broken)?;
                each_row(trial, due, |log, row| {
                    if log == name {
                        writer.row(cells(row)).map_err(broken)
                    } else {
                        Ok(())
                    }
                })?;
                writer.finish().map_err(broken)?;
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

/// Says that a table could not be written, and whether that is for lack of room.
fn broken(path: &Path, error: ParquetError) -> TrackerError {
    match error {
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
    let rows = || {
        let lines = reports
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty());
        lines.map(|line| {
            serde_json::from_slice::<Vec<(String, serde_json::Value)>>(line).unwrap_or_default()
        })
    };
    let cells = |row: Vec<(String, serde_json::Value)>| {
        row.into_iter()
            .filter_map(|(key, value)| Some((key, super::read(value)?)))
    };
    let mut columns = Columns::default();
    rows()
        .flat_map(cells)
        .for_each(|(key, cell)| columns.see(&key, &cell));
    let mut writer = TableWriter::new(file, columns, Some(OUTPUT))?;
    for row in rows() {
        writer.row(cells(row))?;
    }
    writer.finish()
}

/// Returns what was measured at a moment, with the moment.
fn cells(row: MetricRow<'_>) -> impl Iterator<Item = (Cow<'_, str>, Cell)> {
    let values = row.values.into_iter().map(|(key, datum)| match datum {
        Datum::Number(number) => (key, Cell::Number(number)),
        Datum::Text(text) => (key, Cell::Text(text.into_owned())),
    });
    let place = row
        .place
        .into_iter()
        .map(|(key, value)| match value.as_f64() {
            Some(number) => (Cow::Borrowed(key), Cell::Number(number)),
            None => {
                let text = value
                    .as_str()
                    .map_or_else(|| value.to_string(), str::to_owned);
                (Cow::Borrowed(key), Cell::Text(text))
            }
        });
    values.chain(place)
}

fn digest(path: &Path) -> io::Result<(String, u64)> {
    let (mut hash, mut size, mut block) = (Md5::new(), 0, vec![0; 1 << 16]);
    let mut file = BufReader::with_capacity(1 << 16, fs::File::open(path)?);
    loop {
        match file.read(&mut block)? {
            0 => break,
            read => {
                hash.update(&block[..read]);
                size += read as u64;
            }
        }
    }
    Ok((super::rows::hexadecimal(&hash.finalize()), size))
}
