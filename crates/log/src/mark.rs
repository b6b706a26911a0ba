//! The mark of a trial's metric files: the length of each file, and the offset in `records.jsonl`
//! up to which the rows of its lines are in them.
//!
//! An orchestrator may be killed after it has written rows and before the journal has a record that
//! says so. The next run cuts the metric files to the marked lengths and reads the lines after the
//! marked offset again, so that no row is lost and none counts twice.

use super::regular;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Read as _};
use std::path::Path;

const FILE: &str = ".mark";

/// Returns whether the metric files of a trial are marked.
#[must_use]
pub fn has_mark(trial: &Path) -> bool {
    trial.join("metrics").join(FILE).symlink_metadata().is_ok()
}

/// The content of the mark.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
    /// The offset behind the last line of `records.jsonl` whose row is written.
    pub(super) records: u64,
    /// The length of each log's file in bytes. Other logs have no rows.
    pub(super) lengths: BTreeMap<String, u64>,
    /// The checksum of `records.jsonl` up to the end of each of its first lines. Absent in marks of
    /// earlier versions.
    #[serde(default)]
    pub(super) first_lines: Vec<u32>,
}

/// Number of first lines of a records file whose checksums are marked, and of bytes that are read
/// for them.
const FIRST_LINES: usize = 64;
const FIRST_BYTES: u64 = 1 << 16;

/// Returns the checksum of the records file of a trial up to the end of each of its first lines.
pub(super) fn first_lines(records: &Path) -> Vec<u32> {
    let mut bytes = Vec::new();
    // A file that cannot be read has no lines, which the reader of the lines reports.
    if let Ok(file) = regular::open(records) {
        let _ = file.take(FIRST_BYTES).read_to_end(&mut bytes);
    }
    let mut hasher = crc32fast::Hasher::new();
    bytes
        .split_inclusive(|byte| *byte == b'\n')
        .filter(|line| line.ends_with(b"\n"))
        .take(FIRST_LINES)
        .map(|line| {
            hasher.update(line);
            hasher.clone().finalize()
        })
        .collect()
}

impl Mark {
    /// Returns whether a records file that is shorter than the one that was read is a part of it,
    /// and not another file in its place.
    pub(super) fn is_of_part(&self, records: &Path) -> bool {
        let first_lines = first_lines(records);
        let pairs = first_lines.iter().zip(&self.first_lines);
        !self.first_lines.is_empty() && pairs.last().is_none_or(|(now, then)| now == then)
    }

    /// Reads the mark in a `metrics` folder; `None` if there is none. A power failure may leave an
    /// empty file in its place, which is no mark: all rows are then made again.
    pub(super) fn read(metrics: &Path) -> io::Result<Option<Self>> {
        match regular::read(&metrics.join(FILE)) {
            Ok(json) => Ok(serde_json::from_slice(&json).ok()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Makes the mark of the files that exist, all of whose rows come from before the offset
    /// `records`.
    pub(super) fn of_existing(metrics: &Path, records: u64) -> io::Result<Self> {
        let mut lengths = BTreeMap::new();
        each_log(metrics, &mut |log, path| {
            lengths.insert(log.to_owned(), fs::symlink_metadata(path)?.len());
            Ok(())
        })?;
        let records_file = metrics.with_file_name("records.jsonl");
        Ok(Self {
            records,
            lengths,
            first_lines: first_lines(&records_file),
        })
    }

    /// Writes the mark and replaces the earlier one.
    pub(super) fn write(&self, metrics: &Path) -> io::Result<()> {
        fs::create_dir_all(metrics)?;
        // Written beside the target and renamed: half a mark would be none.
        let part = metrics.join(".mark.part");
        regular::write(&part, &serde_json::to_vec(self)?)?;
        fs::rename(part, metrics.join(FILE))
    }

    /// Cuts the files in a `metrics` folder that are longer than the mark says.
    pub(super) fn cut(&self, metrics: &Path) -> io::Result<()> {
        each_log(metrics, &mut |log, path| {
            let length = self.lengths.get(log).copied().unwrap_or(0);
            let file = regular::open_with(OpenOptions::new().write(true), path)?;
            // After a power failure a file may be shorter than it was.
            if file.metadata()?.len() > length {
                file.set_len(length)?;
            }
            Ok(())
        })
    }
}

/// Calls `each` with the name and the path of each log in a `metrics` folder.
fn each_log(metrics: &Path, each: &mut dyn FnMut(&str, &Path) -> io::Result<()>) -> io::Result<()> {
    let entries = match fs::read_dir(metrics) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let name = entry?.file_name();
        let log = name.to_str().and_then(|name| name.strip_suffix(".json"));
        // Hidden files, such as the mark, are no logs.
        if let Some(log) = log.filter(|log| !log.starts_with('.')) {
            each(log, &metrics.join(&name))?;
        }
    }
    Ok(())
}
