//! The metric files of a trial: `metrics/<log>.json` with one object per line, and
//! `metrics/.keys/<log>.yaml` with the keys of the log.
//!
//! Rows are buffered and written together: when the buffer is full, a second after the last write,
//! and on request.

use super::appender::drain;
use super::wire::push_seconds;
use super::yaml;
use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
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
const MOST_OPEN: usize = 16;
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
    /// The index of the last row's log, a guess for the next row.
    last: usize,
    /// The time of the last write in microseconds since 1970; 0 before the first row.
    flushed: i64,
}

#[derive(Debug)]
struct Log {
    name: String,
    file: Option<File>,
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
            last: 0,
            flushed: 0,
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
        let log = &mut self.logs[index];
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
        }
        if is_full || now.abs_diff(self.flushed) >= SECOND {
            self.flush(now)
        } else {
            Ok(())
        }
    }

    /// Writes all buffered rows. An error in one log does not keep the others from being written.
    pub(super) fn flush(&mut self, now: i64) -> io::Result<()> {
        self.flushed = now;
        let mut result = Ok(());
        for (index, log) in self
            .logs
            .iter_mut()
            .enumerate()
            .filter(|(_, log)| !log.rows.is_empty())
        {
            let written = log.write(&self.dir);
            // Logs beyond the first ones are closed after each write, so that a trial with many
            // logs does not use up the file descriptors.
            if index >= MOST_OPEN {
                log.file = None;
            }
            if log.rows.len() > MOST_BUFFERED {
                log.rows.clear();
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
        let index = self.logs.iter().position(|log| log.name == name);
        self.last = index.unwrap_or_else(|| {
            // Beyond the maximum, further logs share the default one.
            let is_one_more = self.logs.len() < MOST_LOGS;
            let log = Log::open(&self.dir, if is_one_more { name } else { METRICS });
            self.logs.push(log);
            self.logs.len() - 1
        });
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
        let keys = fs::read_to_string(dir.join(format!(".keys/{name}.yaml"))).unwrap_or_default();
        Self {
            name: name.to_owned(),
            file: None,
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
            self.file = Some(append_to(&dir.join(format!("{}.json", self.name)))?);
        }
        if let Some(file) = &mut self.file {
            drain(file, &mut self.rows)?;
        }
        if !self.new_key_lines.is_empty() {
            append_to(&dir.join(format!(".keys/{}.yaml", self.name)))?
                .write_all(self.new_key_lines.as_bytes())?;
            self.new_key_lines.clear();
        }
        Ok(())
    }
}

/// Opens a file for appending. Its folder is created only if the first attempt shows that it is
/// missing.
fn append_to(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).append(true);
    match (options.open(path), path.parent()) {
        (Err(error), Some(folder)) if error.kind() == io::ErrorKind::NotFound => {
            fs::create_dir_all(folder)?;
            options.open(path)
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
