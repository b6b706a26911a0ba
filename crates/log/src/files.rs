//! The metric files of a trial: `metrics/<log>.json` with one object per line, and
//! `metrics/.keys/<log>.yaml` with the keys of the log.
//!
//! Rows are buffered and written together: when the buffer is full, a second after the last write,
//! and on request. The rows of a records file are marked (`mark.rs`), so that none is written twice.

use super::appender::drain;
use super::mark::{Mark, cut_torn_end, first_lines};
use super::wire::push_seconds;
use super::{regular, yaml};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The log for reports.
pub(super) const REPORTS: &str = "report";
/// The log for a metric that has neither log nor context.
pub(super) const METRICS: &str = "metrics";

/// Number of buffered bytes of a log, and microseconds since the last write, after which rows are
/// written.
const FULL: usize = 1 << 16;
const SECOND: u64 = 1_000_000;
/// Maximum number of bytes that are buffered while rows cannot be written; beyond it the rows are
/// dropped.
const MOST_BUFFERED: usize = 1 << 23;
/// Maximum number of logs of a trial, and of log files that stay open.
const MOST_LOGS: usize = 1000;
const MOST_OPEN: usize = 2;
/// Maximum length of a log's name in bytes, as the message of [`check_log`] says.
const LONGEST_LOG: usize = 100;

/// Returns an error with the reason if `log` cannot be the name of a log. MLXP's Reader splits
/// names at the first dot and reserves four names.
pub(super) fn check_log(log: &str) -> Result<(), String> {
    let why = match log {
        "" => "it is empty",
        "info" | "config" | "mlxp" | "mlxpy" | "artifacts" => "it is reserved",
        REPORTS => "reports are kept there",
        _ if log.len() > LONGEST_LOG => "it has over 100 bytes",
        _ if log.contains(['/', '\\', '.']) => "it has a slash or a dot",
        _ if log.chars().any(char::is_control) => "it has control characters",
        _ => return Ok(()),
    };
    let shown: String = log.chars().take(40).collect();
    let shown = shown.escape_debug();
    Err(format!("`{shown}` cannot be the name of a log: {why}"))
}

/// The metric files of one trial.
#[derive(Debug)]
pub(super) struct MetricFiles {
    dir: PathBuf,
    logs: Vec<Log>,
    /// The index of each log by its name. Beyond the maximum, further names are not added.
    indices: HashMap<String, usize>,
    /// The index of the last row's log, a guess for the next row.
    last: usize,
    /// The indices of the logs with rows that are not written.
    dirty: Vec<usize>,
    marking: Option<Marking>,
    /// The time of the last write in microseconds since 1970; 0 before the first row.
    flushed: i64,
}

/// The state of the mark, once rows come from a records file.
#[derive(Debug)]
struct Marking {
    /// The offset behind the line whose row comes next, or came last.
    records: u64,
    /// Whether the row that comes next is that of a line.
    is_in_line: bool,
    /// Whether there is a mark on disk.
    is_written: bool,
    /// Whether the next write of rows is marked at once.
    is_urgent: bool,
    /// Whether there are lines or rows since the last mark.
    is_changed: bool,
    /// The time of the last mark, or of the first row, in microseconds since 1970.
    at: i64,
    /// The length of each log's file that no row was added to, from earlier attempts.
    lengths: BTreeMap<String, u64>,
}

#[derive(Debug)]
struct Log {
    name: String,
    file: Option<File>,
    /// The length of the file in bytes; `None` before the first write.
    length: Option<u64>,
    rows: Vec<u8>,
    /// The keys of the last row, which the next row nearly always has too.
    last_keys: Vec<Box<str>>,
    /// The lines of the keys file, and those among them that are not written yet.
    key_lines: HashSet<String>,
    new_key_lines: String,
}

impl MetricFiles {
    /// Makes the files of the trial in the folder `trial`. Nothing is created on disk before the
    /// first row is written.
    pub(super) fn new(trial: &Path) -> Self {
        Self {
            dir: trial.join("metrics"),
            logs: Vec::new(),
            indices: HashMap::new(),
            last: 0,
            dirty: Vec::new(),
            marking: None,
            flushed: 0,
        }
    }

    /// Marks the files from now on. The lines of the records file before the offset `records` have
    /// no rows, or rows that are in the files already.
    pub(super) fn begin_marks(&mut self, records: u64) -> io::Result<()> {
        // The usual trial begins without any of the files that are read below.
        let (before, existing) = match records == 0 && is_missing(&self.dir) {
            true => Default::default(),
            false => (
                Mark::read(&self.dir).unwrap_or_default(),
                Mark::of_existing(&self.dir, records)?,
            ),
        };
        // An attempt that begins anew needs no mark: without one, all files are cut to nothing and
        // all lines are read again.
        let is_resumed = records > 0 || !existing.lengths.is_empty() || before.is_some();
        let written = if is_resumed {
            existing.begin(&self.dir, before.as_ref())
        } else {
            Ok(())
        };
        self.marking = Some(Marking {
            records,
            is_in_line: false,
            is_written: is_resumed,
            is_urgent: written.is_err(),
            is_changed: false,
            at: 0,
            lengths: existing.lengths,
        });
        written
    }

    /// Marks the files at the next write of rows, whenever that is.
    pub(super) fn mark_soon(&mut self) {
        if let Some(marking) = &mut self.marking {
            marking.is_urgent = true;
        }
    }

    /// Cuts the files to their mark, and returns it. Without one, they are cut to nothing.
    pub(super) fn cut_to_mark(&mut self) -> io::Result<Option<Mark>> {
        let mark = Mark::read(&self.dir)?;
        mark.as_ref().unwrap_or(&Mark::default()).cut(&self.dir)?;
        Ok(mark)
    }

    /// Notes the offset behind the line whose row may come next; `None` if the next row comes from
    /// elsewhere.
    pub(super) fn begin_line(&mut self, line_end: Option<u64>) {
        if let Some(marking) = &mut self.marking {
            marking.is_in_line = line_end.is_some();
            marking.is_changed |= marking.is_in_line;
            marking.records = line_end.unwrap_or(marking.records);
        }
    }

    /// Appends a row to a log. `row` is the inside of a JSON object and `keys` are its keys; the
    /// time is added if the row has none.
    pub(super) fn row<'k>(
        &mut self,
        log: &str,
        row: &[u8],
        keys: impl Iterator<Item = &'k str>,
        now: i64,
    ) -> io::Result<()> {
        let index = self.index_of(log);
        self.note_source(now);
        let log = &mut self.logs[index];
        if log.rows.is_empty() {
            self.dirty.push(index);
        }
        let mut has_time = false;
        let mut count = 0;
        for key in keys {
            has_time |= key == "at";
            log.add_key(count, key);
            count += 1;
        }
        log.rows.push(b'{');
        log.rows.extend_from_slice(row);
        if !has_time {
            log.add_key(count, "at");
            log.rows.extend_from_slice(b", \"at\": ");
            push_seconds(&mut log.rows, now);
        }
        log.rows.extend_from_slice(b"}\n");
        let is_full = log.rows.len() >= FULL;
        if self.flushed == 0 {
            self.flushed = now;
            self.marking.iter_mut().for_each(|marking| marking.at = now);
        }
        if is_full || now.abs_diff(self.flushed) >= SECOND {
            self.flush(now)
        } else {
            Ok(())
        }
    }

    /// Notes whether the row that comes next is that of a line.
    fn note_source(&mut self, now: i64) {
        let Some(marking) = &mut self.marking else {
            return;
        };
        marking.is_changed = true;
        if marking.is_in_line {
            return;
        }
        marking.is_urgent = true;
        // A row from elsewhere cannot be read again, so it is never in a file without a mark. After
        // an error the next write is marked.
        if !marking.is_written && self.write_rows(now).is_ok() {
            self.write_mark(now).ok();
            self.marking
                .iter_mut()
                .for_each(|marking| marking.is_urgent = true);
        }
    }

    /// Writes all buffered rows. An error in one log does not keep the others from being written.
    pub(super) fn flush(&mut self, now: i64) -> io::Result<()> {
        self.write_rows(now)?;
        let is_due = self.marking.as_ref().is_some_and(|marking| {
            let is_old = marking.at > 0 && now.abs_diff(marking.at) >= SECOND;
            marking.is_urgent || (marking.is_changed && is_old)
        });
        if is_due { self.write_mark(now) } else { Ok(()) }
    }

    /// Writes all buffered rows and, if there is a mark, brings it up to date.
    pub(super) fn finish(&mut self, now: i64) -> io::Result<()> {
        self.write_rows(now)?;
        let has_mark = |marking: &Marking| marking.is_written || marking.is_urgent;
        if self.marking.as_ref().is_some_and(has_mark) {
            self.write_mark(now)
        } else {
            Ok(())
        }
    }

    /// Marks the offset of the last line, and the lengths of the files. All rows are written.
    fn write_mark(&mut self, now: i64) -> io::Result<()> {
        let Some(marking) = &mut self.marking else {
            return Ok(());
        };
        for log in &self.logs {
            if let Some(length) = log.length {
                marking.lengths.insert(log.name.clone(), length);
            }
        }
        let mark = Mark {
            records: marking.records,
            lengths: std::mem::take(&mut marking.lengths),
            first_lines: first_lines(&self.dir.with_file_name("records.jsonl")),
        };
        let written = mark.write(&self.dir);
        marking.lengths = mark.lengths;
        marking.at = now;
        marking.is_written |= written.is_ok();
        marking.is_urgent = written.is_err();
        marking.is_changed &= written.is_err();
        written
    }

    fn write_rows(&mut self, now: i64) -> io::Result<()> {
        self.flushed = now;
        let mut result = Ok(());
        for index in std::mem::take(&mut self.dirty) {
            let Some(log) = self.logs.get_mut(index) else {
                continue;
            };
            let written = log.write(&self.dir);
            // Logs beyond the first ones are closed after each write, so that a trial with many
            // logs does not use up the file descriptors.
            if index >= MOST_OPEN {
                log.file = None;
            }
            if log.rows.len() > MOST_BUFFERED {
                log.rows.clear();
            }
            if !log.rows.is_empty() {
                self.dirty.push(index);
            }
            result = result.and(written);
        }
        result
    }

    /// Returns the index of the log with this name, which is added if it is new.
    fn index_of(&mut self, name: &str) -> usize {
        if self.logs.get(self.last).is_some_and(|log| log.name == name) {
            return self.last;
        }
        // Beyond the maximum, further logs share the default one.
        let known = self.indices.get(name).copied();
        let is_one_more = self.logs.len() < MOST_LOGS;
        let name = if known.is_some() || is_one_more {
            name
        } else {
            METRICS
        };
        self.last = match known.or_else(|| self.indices.get(name).copied()) {
            Some(index) => index,
            None => {
                self.logs.push(Log::open(&self.dir, name));
                self.indices.insert(name.to_owned(), self.logs.len() - 1);
                self.logs.len() - 1
            }
        };
        self.last
    }
}

impl Drop for MetricFiles {
    /// Writes the rows of a trial that did not come to its end, as far as possible.
    fn drop(&mut self) {
        let _ = self.flush(self.flushed);
    }
}

impl Log {
    /// Makes a log with the keys of earlier attempts, which are in its keys file.
    fn open(dir: &Path, name: &str) -> Self {
        let keys =
            regular::read_to_string(&dir.join(format!(".keys/{name}.yaml"))).unwrap_or_default();
        Self {
            name: name.to_owned(),
            file: None,
            length: None,
            rows: Vec::new(),
            last_keys: Vec::new(),
            key_lines: keys.split_inclusive('\n').map(str::to_owned).collect(),
            new_key_lines: String::new(),
        }
    }

    /// Takes the key with this index in a row.
    fn add_key(&mut self, index: usize, key: &str) {
        if self.last_keys.get(index).is_some_and(|last| **last == *key) {
            return;
        }
        self.last_keys.truncate(index);
        self.last_keys.push(key.into());
        let line = yaml::key_line(key);
        if !self.key_lines.contains(&line) {
            self.new_key_lines.push_str(&line);
            self.key_lines.insert(line);
        }
    }

    fn write(&mut self, dir: &Path) -> io::Result<()> {
        if self.file.is_none() {
            let file = append_lines(&dir.join(format!("{}.json", self.name)))?;
            if self.length.is_none() {
                self.length = Some(file.metadata()?.len());
            }
            self.file = Some(file);
        }
        if let Some(file) = &mut self.file {
            let before = self.rows.len();
            let drained = drain(file, &mut self.rows);
            let written = (before - self.rows.len()) as u64;
            self.length = self.length.map(|length| length + written);
            drained?;
        }
        if !self.new_key_lines.is_empty() {
            append_lines(&dir.join(format!(".keys/{}.yaml", self.name)))?
                .write_all(self.new_key_lines.as_bytes())?;
            self.new_key_lines.clear();
        }
        Ok(())
    }
}

fn is_missing(path: &Path) -> bool {
    matches!(path.symlink_metadata(), Err(error) if error.kind() == io::ErrorKind::NotFound)
}

/// Opens a file for appending whole lines. After a power failure a file may end in half a line or
/// in zeros, and the next line would be a part of it: that end is cut off.
fn append_lines(path: &Path) -> io::Result<File> {
    let file = append_to(path)?;
    if file.metadata()?.len() > 0 {
        cut_torn_end(path)?;
    }
    Ok(file)
}

/// Opens a file for appending. Its folder is created only if the first attempt shows that it is
/// missing.
fn append_to(path: &Path) -> io::Result<File> {
    match (regular::append(path), path.parent()) {
        (Err(error), Some(folder)) if error.kind() == io::ErrorKind::NotFound => {
            fs::create_dir_all(folder)?;
            regular::append(path)
        }
        (result, _) => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(dir: &Path, file: &str) -> String {
        fs::read_to_string(dir.join("metrics").join(file)).unwrap()
    }

    #[test]
    fn rows_stand_alone_after_the_end_that_a_power_cut_has_left() {
        let zeros = vec![0; 10_000];
        for end in [&b"{\"loss\": 0."[..], &zeros, b""] {
            let dir = tempfile::tempdir().unwrap();
            fs::create_dir_all(dir.path().join("metrics/.keys")).unwrap();
            let earlier = [b"{\"loss\": 1}\n", end].concat();
            fs::write(dir.path().join("metrics/train.json"), earlier).unwrap();
            let keys = [b"at: ''\n", end].concat();
            fs::write(dir.path().join("metrics/.keys/train.yaml"), keys).unwrap();
            let mut files = MetricFiles::new(dir.path());
            let row = br#""loss": 2, "at": 7"#;
            files
                .row("train", row, ["loss", "at"].into_iter(), 1)
                .unwrap();
            files.finish(2).unwrap();
            let rows = "{\"loss\": 1}\n{\"loss\": 2, \"at\": 7}\n";
            assert_eq!(read(dir.path(), "train.json"), rows);
            assert_eq!(read(dir.path(), ".keys/train.yaml"), "at: ''\nloss: ''\n");
        }
    }

    #[test]
    fn rows_and_keys_are_in_the_layout_of_mlxp() {
        let dir = tempfile::tempdir().unwrap();
        let mut files = MetricFiles::new(dir.path());
        files
            .row(
                "train",
                br#""loss": 0.5, "epoch": 1"#,
                ["loss", "epoch"].into_iter(),
                1_500_000,
            )
            .unwrap();
        files
            .row(
                "val",
                br#""acc": 0.5, "at": 7"#,
                ["acc", "at"].into_iter(),
                1_600_000,
            )
            .unwrap();
        files
            .row("train", br#""no": 1"#, ["no"].into_iter(), 1_700_000)
            .unwrap();
        assert!(
            !dir.path().join("metrics").exists(),
            "nothing is written before its time"
        );
        files.flush(1_800_000).unwrap();
        assert_eq!(
            read(dir.path(), "train.json"),
            "{\"loss\": 0.5, \"epoch\": 1, \"at\": 1.500}\n{\"no\": 1, \"at\": 1.700}\n"
        );
        assert_eq!(
            read(dir.path(), ".keys/train.yaml"),
            "loss: ''\nepoch: ''\nat: ''\n'no': ''\n"
        );
        assert_eq!(read(dir.path(), "val.json"), "{\"acc\": 0.5, \"at\": 7}\n");
    }

    #[test]
    fn a_later_attempt_adds_rows_and_only_new_keys() {
        let dir = tempfile::tempdir().unwrap();
        for key in ["loss", "loss", "acc"] {
            let mut files = MetricFiles::new(dir.path());
            files
                .row(
                    "train",
                    format!("\"{key}\": 1").as_bytes(),
                    [key].into_iter(),
                    1,
                )
                .unwrap();
        }
        assert_eq!(read(dir.path(), "train.json").lines().count(), 3);
        assert_eq!(
            read(dir.path(), ".keys/train.yaml"),
            "loss: ''\nat: ''\nacc: ''\n"
        );
    }

    #[test]
    fn rows_are_written_after_a_second_and_when_they_are_many() {
        let dir = tempfile::tempdir().unwrap();
        let mut files = MetricFiles::new(dir.path());
        let mut row = |now| {
            files
                .row("m", br#""a": 1"#, ["a"].into_iter(), now)
                .unwrap();
        };
        row(5_000_000);
        row(5_900_000);
        assert!(!dir.path().join("metrics/m.json").exists());
        row(6_000_000);
        assert_eq!(read(dir.path(), "m.json").lines().count(), 3);
        for _ in 0..4000 {
            row(6_000_000);
        }
        assert!(read(dir.path(), "m.json").lines().count() > 1000);
    }

    #[test]
    fn rows_that_cannot_be_written_now_are_written_later_once() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("metrics"), "in the way").unwrap();
        let mut files = MetricFiles::new(dir.path());
        files.row("m", br#""a": 1"#, ["a"].into_iter(), 1).unwrap();
        assert!(files.flush(2).is_err());
        fs::remove_file(dir.path().join("metrics")).unwrap();
        files.flush(3).unwrap();
        drop(files);
        assert_eq!(read(dir.path(), "m.json").lines().count(), 1);
    }

    #[test]
    fn a_mark_is_written_anew_only_after_another_line_or_row() {
        let dir = tempfile::tempdir().unwrap();
        let mark = dir.path().join("metrics/.mark");
        let mut files = MetricFiles::new(dir.path());
        files.begin_marks(0).unwrap();
        let mut row = |now| files.row("m", br#""a": 1"#, ["a"].into_iter(), now);
        row(SECOND as i64).unwrap();
        files.flush(2 * SECOND as i64).unwrap();
        fs::remove_file(&mark).unwrap();
        files.flush(9 * SECOND as i64).unwrap();
        assert!(!mark.exists());
        files.begin_line(Some(9));
        files.begin_line(None);
        files.flush(10 * SECOND as i64).unwrap();
        assert!(mark.exists());
    }

    #[test]
    fn names_that_would_break_a_reader_are_refused() {
        for (log, why) in [
            ("", "`` cannot be the name of a log: it is empty"),
            (
                "a/b",
                "`a/b` cannot be the name of a log: it has a slash or a dot",
            ),
            (
                "..",
                "`..` cannot be the name of a log: it has a slash or a dot",
            ),
            ("info", "`info` cannot be the name of a log: it is reserved"),
            (
                "report",
                "`report` cannot be the name of a log: reports are kept there",
            ),
            (
                "a\0",
                "`a\\0` cannot be the name of a log: it has control characters",
            ),
        ] {
            assert_eq!(check_log(log), Err(why.to_owned()));
        }
        assert!(
            check_log(&"x".repeat(10_000))
                .unwrap_err()
                .ends_with("it has over 100 bytes")
        );
        assert!(check_log("été").is_ok());
    }
}
