//! The mark of a trial's metric files: the length of each file, and the offset in `records.jsonl`
//! up to which the rows of its lines are in them.
//!
//! An orchestrator may be killed after it has written rows and before the journal has a record that
//! says so. The next run cuts the metric files to the marked lengths and reads the lines after the
//! marked offset again, so that no row is lost and none counts twice.
//!
//! While files only grow, each mark that was ever made of them stays true, so a power cut that brings
//! an earlier one back does no harm. A power cut that shortens a file makes them untrue: the mark that
//! follows is therefore on the disk before anything is appended.

use super::regular;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::FileExt as _;
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
    /// and not another file in its place. Lines that cannot be compared count as equal: a power cut
    /// is more likely, and no line may count twice.
    pub(super) fn is_of_part(&self, records: &Path) -> bool {
        let first_lines = first_lines(records);
        let mut pairs = first_lines.iter().zip(&self.first_lines);
        pairs.next_back().is_none_or(|(now, then)| now == then)
    }

    /// Returns whether the files have grown, if at all, since this mark was made of them. `now` is a
    /// mark of the files as they are.
    fn is_true_of(&self, now: &Self) -> bool {
        let mut lengths = self.lengths.iter();
        self.records <= now.records
            && lengths.all(|(log, length)| now.lengths.get(log).unwrap_or(&0) >= length)
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
    /// `records`. The end of a file that a power cut tore is cut off, as the next row would do: a mark
    /// of its length would cover a part of that row.
    pub(super) fn of_existing(metrics: &Path, records: u64) -> io::Result<Self> {
        let mut lengths = BTreeMap::new();
        each_log(metrics, &mut |log, path| {
            // To a file that cannot be opened no row can be written either, which is reported then.
            let length = match cut_torn_end(path) {
                Ok(length) => length,
                Err(_) => fs::symlink_metadata(path)?.len(),
            };
            lengths.insert(log.to_owned(), length);
            Ok(())
        })?;
        let records_file = metrics.with_file_name("records.jsonl");
        Ok(Self {
            records,
            lengths,
            first_lines: first_lines(&records_file),
        })
    }

    /// Writes the first mark of the files as they are. It is on the disk when this returns, if the
    /// mark before is not true any more.
    pub(super) fn begin(&self, metrics: &Path, before: Option<&Self>) -> io::Result<()> {
        self.write(metrics)?;
        if before.is_some_and(|before| !before.is_true_of(self)) {
            // A file system that cannot sync a folder is no reason to go without a mark.
            let _ = regular::open(&metrics.join(FILE)).and_then(|mark| mark.sync_all());
            let _ = regular::open_folder(metrics).and_then(|folder| folder.sync_all());
        }
        Ok(())
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

/// Cuts off what follows the last line break of a file: half a line or zeros, which a power cut may
/// leave. Returns the length of the file.
pub(super) fn cut_torn_end(path: &Path) -> io::Result<u64> {
    let file = regular::open_with(OpenOptions::new().read(true).write(true), path)?;
    let length = file.metadata()?.len();
    let end = end_of_last_line(&file, length)?;
    if end < length {
        file.set_len(end)?;
    }
    Ok(end)
}

/// Returns the offset behind the last line break in the first `length` bytes of a file.
fn end_of_last_line(file: &File, length: u64) -> io::Result<u64> {
    let mut block = [0; 4096];
    let mut end = length;
    while end > 0 {
        let start = end.saturating_sub(block.len() as u64);
        let part = &mut block[..(end - start) as usize];
        file.read_exact_at(part, start)?;
        if let Some(last) = part.iter().rposition(|byte| *byte == b'\n') {
            return Ok(start + last as u64 + 1);
        }
        end = start;
    }
    Ok(0)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(records: u64, lengths: &[(&str, u64)]) -> Mark {
        let lengths = lengths
            .iter()
            .map(|(log, length)| ((*log).to_owned(), *length));
        Mark {
            records,
            lengths: lengths.collect(),
            first_lines: Vec::new(),
        }
    }

    #[test]
    fn a_mark_stays_true_while_files_grow_and_is_replaced_for_good_once_one_is_shorter() {
        let before = mark(100, &[("train", 50), ("val", 0)]);
        for grown in [
            mark(100, &[("train", 50)]),
            mark(150, &[("train", 70), ("val", 5), ("test", 9)]),
        ] {
            assert!(before.is_true_of(&grown), "{grown:?}");
        }
        for shortened in [
            mark(99, &[("train", 50)]),
            mark(200, &[("train", 49)]),
            mark(200, &[]),
        ] {
            assert!(!before.is_true_of(&shortened), "{shortened:?}");
        }
    }

    #[test]
    fn the_first_mark_after_a_power_cut_covers_whole_rows_only() {
        let folder = tempfile::tempdir().unwrap();
        let metrics = folder.path().join("metrics");
        fs::create_dir(&metrics).unwrap();
        let before = mark(100, &[("train", 50)]);
        before.write(&metrics).unwrap();
        fs::write(metrics.join("train.json"), "{\"a\": 1}\n{\"a\"").unwrap();
        let now = Mark::of_existing(&metrics, 100).unwrap();
        assert_eq!(now, mark(100, &[("train", 9)]));
        now.begin(&metrics, Some(&before)).unwrap();
        assert_eq!(Mark::read(&metrics).unwrap(), Some(now));
        assert_eq!(fs::read(metrics.join("train.json")).unwrap().len(), 9);
    }
}
