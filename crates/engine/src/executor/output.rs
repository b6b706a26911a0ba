//! The output of a program: log files that the program writes itself, kept below a size and
//! searched for metrics.

use super::{nearest, traceback};
use regex::Regex;
use rustix::fs::fcntl_setfl;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use swath_log::{Scrape, Stream, regular};
use swath_model::space::Name;
use swath_model::study::Datum;

/// Lower bound of the cap on a log. A smaller cap leaves no room for the head, the tail and the
/// line between them.
const SMALLEST_CAP: u64 = 4096;

/// Bytes at the end of a file that are read to find the reason of a failure.
const LAST: u64 = 4 << 20;

/// Bytes that are copied or read at a time.
const PIECE: usize = 256 * 1024;

/// The two log files of an attempt.
pub(super) struct Output {
    streams: [LogFile; 2],
    scrape: Option<Scrape>,
    cap: u64,
}

impl Output {
    /// Opens the logs of an attempt. If the attempt resumes, the existing output of earlier
    /// attempts is not searched.
    pub(super) fn new(dir: &Path, capture: &[(Name, Regex)], cap: u64, resumes: bool) -> Self {
        Self {
            streams: [("stdout.log", Stream::Out), ("stderr.log", Stream::Err)]
                .map(|(name, stream)| LogFile::new(dir.join(name), stream, resumes)),
            scrape: (!capture.is_empty()).then(|| Scrape::new(capture)),
            cap: cap.max(SMALLEST_CAP),
        }
    }

    /// Opens a log for a child to append to; creates it if it does not exist.
    pub(super) fn open(path: &Path) -> io::Result<File> {
        if let Some(file) = regular::create_new(OpenOptions::new().append(true), path)? {
            return Ok(file);
        }
        let file = regular::append(path)?;
        // The program inherits the file, and expects writes to wait.
        fcntl_setfl(&file, rustix::fs::OFlags::APPEND)?;
        Ok(file)
    }

    /// Opens a log to read it.
    pub(super) fn open_to_read(path: &Path) -> io::Result<File> {
        regular::open(path)
    }

    /// Returns the files whose growth should wake the supervisor: both logs if there is a pattern,
    /// otherwise none.
    pub(super) fn searched(&self) -> impl Iterator<Item = &Path> {
        self.streams
            .iter()
            .map(|log| log.path.as_path())
            .filter(|_| self.scrape.is_some())
    }

    /// Returns the files that need not be followed: both logs if there is no pattern.
    pub(super) fn unsearched(&self) -> impl Iterator<Item = &Path> {
        self.streams
            .iter()
            .map(|log| log.path.as_path())
            .filter(|_| self.scrape.is_none())
    }

    /// Returns the time of the last write to the output, in nanoseconds since 1970; `None` without
    /// patterns to search.
    pub(super) fn written_at(&self) -> Option<i128> {
        self.scrape.as_ref()?;
        let modified = self.streams.iter().filter_map(LogFile::modified).max();
        Some(modified.unwrap_or(i128::MIN))
    }

    /// Searches the output since the last call, and passes each match to `each`.
    pub(super) fn search(&mut self, each: &mut dyn FnMut(Vec<(Name, Datum)>)) -> io::Result<()> {
        let Some(scrape) = &mut self.scrape else {
            return Ok(());
        };
        for log in &mut self.streams {
            log.read_on(&mut |bytes, stream| scrape.feed(stream, bytes, each))?;
        }
        Ok(())
    }

    /// Cuts the middle out of logs that exceed the cap; returns the names of those that were cut
    /// for the first time.
    ///
    /// Call it right after [`search`](Self::search), so that no output is cut before it was
    /// searched.
    pub(super) fn trim(&mut self) -> io::Result<Vec<&'static str>> {
        let mut newly_cut = Vec::new();
        for log in &mut self.streams {
            if log.trim(self.cap)? {
                newly_cut.push(match log.stream {
                    Stream::Out => "stdout.log",
                    Stream::Err => "stderr.log",
                });
            }
        }
        Ok(newly_cut)
    }

    /// Returns whether a log had grown at the last [`trim`](Self::trim) since the one before.
    pub(super) fn has_grown(&self) -> bool {
        self.streams.iter().any(|log| log.has_grown)
    }

    /// Returns the error message that the program wrote before it failed: any form on stderr, only
    /// a traceback on stdout.
    pub(super) fn error(&self) -> Option<String> {
        let [stdout, stderr] = &self.streams;
        traceback::error(&stderr.end()).or_else(|| traceback::error_of_traceback(&stdout.end()))
    }

    /// Returns the last line that is not blank: of standard error if it has one, else of standard
    /// output.
    pub(super) fn last_line(&self) -> Option<String> {
        self.streams
            .iter()
            .rev()
            .find_map(|stream| traceback::last_line(&stream.end()))
    }

    /// Returns the end of the output of each stream, with its name.
    pub(super) fn printed(&self) -> [(&'static str, String); 2] {
        let [stdout, stderr] = &self.streams;
        [("stdout", stdout.end()), ("stderr", stderr.end())]
    }

    /// Returns the probable reason why a metric was never reported, according to the output; `None`
    /// if the output gives no clue.
    pub(super) fn why_unreported(&self, name: &Name, printed: &[(&str, String)]) -> Option<String> {
        let clue = nearest::clue(name, printed);
        let is_captured = self
            .scrape
            .as_ref()
            .is_some_and(|scrape| scrape.is_unmatched(name));
        let lines = clue.as_ref().map(|clue| clue.lines.as_str());
        let expression = clue.as_ref().and_then(|clue| clue.expression.as_deref());
        if !is_captured {
            let advice = expression
                .map(|expression| format!(": add `{expression}` to `[capture]`"))
                .unwrap_or_default();
            return Some(format!("was never reported; {}{advice}", lines?));
        }
        let is_empty = printed.iter().all(|(_, text)| text.trim().is_empty());
        let without_lines = if is_empty {
            "it printed nothing"
        } else {
            "no line has such a word and a number"
        };
        let advice = expression
            .map(|expression| format!(": try `{expression}`"))
            .unwrap_or_default();
        let lines = lines.unwrap_or(without_lines);
        Some(format!(
            "was not found: the pattern of `[capture]` matched nothing; {lines}{advice}"
        ))
    }

    /// Searches the rest of the output, including a last line without a line break.
    pub(super) fn finish(&mut self, each: &mut dyn FnMut(Vec<(Name, Datum)>)) -> io::Result<()> {
        let searched = self.search(each);
        if let Some(scrape) = &mut self.scrape {
            scrape.finish(each);
        }
        searched
    }
}

/// A log file to which a child appends.
struct LogFile {
    path: PathBuf,
    stream: Stream,
    /// Opened only when needed: a short trial without patterns to search never needs it.
    file: Option<File>,
    /// Offset at which the attempt's own output begins.
    begin: u64,
    /// Offset up to which the file was searched.
    seen: u64,
    /// Number of bytes that were cut out.
    left_out: u64,
    /// Size at the last check, and whether it was smaller at the check before.
    size: u64,
    has_grown: bool,
}

impl LogFile {
    fn new(path: PathBuf, stream: Stream, resumes: bool) -> Self {
        let seen = if resumes {
            path.metadata().map_or(0, |metadata| metadata.len())
        } else {
            0
        };
        Self {
            path,
            stream,
            file: None,
            begin: seen,
            seen,
            left_out: 0,
            size: seen,
            has_grown: false,
        }
    }

    /// Returns the end of the attempt's output, at most 4 MiB; empty if it cannot be read.
    fn end(&self) -> String {
        let bytes = self.read_end().unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn read_end(&self) -> io::Result<Vec<u8>> {
        let mut file = regular::open(&self.path)?;
        let length = file.metadata()?.len();
        // A file shorter than `begin` was truncated by the program; all of it is the attempt's own
        // output.
        let begin = if self.begin <= length { self.begin } else { 0 };
        file.seek(SeekFrom::Start(begin.max(length.saturating_sub(LAST))))?;
        let mut bytes = Vec::new();
        file.take(LAST).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Returns the time of the last write, in nanoseconds since 1970.
    fn modified(&self) -> Option<i128> {
        let metadata = self.path.metadata().ok()?;
        Some(i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec()))
    }

    /// Returns the file, opened for reading and for writing at any position, which append mode does
    /// not allow.
    fn file(&mut self) -> io::Result<&File> {
        if self.file.is_none() {
            let mut options = OpenOptions::new();
            let file = regular::open_with(options.read(true).write(true), &self.path)?;
            self.file = Some(file);
        }
        self.file
            .as_ref()
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn read_on(&mut self, each: &mut dyn FnMut(&[u8], Stream)) -> io::Result<()> {
        let (mut seen, stream) = (self.seen, self.stream);
        let file = match self.file() {
            Ok(file) => file,
            // The program may have removed the file.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        // A file that the program itself truncated is searched again from its beginning.
        if file.metadata()?.len() < seen {
            seen = 0;
        }
        let mut piece = vec![0; PIECE];
        loop {
            let count = file.read_at(&mut piece, seen)?;
            if count == 0 {
                break;
            }
            each(&piece[..count], stream);
            seen += count as u64;
        }
        self.seen = seen;
        Ok(())
    }

    /// Cuts the middle out if the file is longer than `cap`; returns whether it did so for the
    /// first time.
    ///
    /// The head is the first half of the cap. A line about the missing bytes follows, and then the
    /// tail, the last quarter of the cap; this leaves room for another quarter. The child appends
    /// at the same time: bytes that it writes between the last check of the size and the cut are
    /// lost.
    fn trim(&mut self, cap: u64) -> io::Result<bool> {
        // The program may have removed the file.
        let size = self.path.metadata().map_or(0, |metadata| metadata.len());
        self.has_grown = size > std::mem::replace(&mut self.size, size);
        if size <= cap {
            return Ok(false);
        }
        let is_first_cut = self.left_out == 0;
        let (head, tail) = (cap / 2, cap / 4);
        let begin = size - tail;
        // After the first cut the gap line stands between head and tail, and does not count as
        // output.
        let cut_before = if is_first_cut {
            head
        } else {
            head + gap(0, cap).len() as u64
        };
        self.left_out += begin - cut_before;
        let gap = gap(self.left_out, cap);
        let file = self.file()?;
        file.write_all_at(gap.as_bytes(), head)?;
        let mut to = head + gap.len() as u64;
        let mut from = begin;
        let mut piece = vec![0; PIECE];
        loop {
            let count = file.read_at(&mut piece, from)?;
            if count == 0 {
                break;
            }
            file.write_all_at(&piece[..count], to)?;
            from += count as u64;
            to += count as u64;
        }
        file.set_len(to)?;
        self.size = to;
        // Bytes up to `size` were searched before; bytes appended later are still to be searched.
        self.seen = to - (from - self.seen.clamp(begin, from));
        Ok(is_first_cut)
    }
}

/// Text in the line that replaces the cut bytes.
const GAP: &str = " bytes left out here, the log is kept under ";

/// Returns whether the middle of a log was cut out. A log that does not exist was not.
pub(super) fn is_cut(path: &Path) -> io::Result<bool> {
    match regular::read(path) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).contains(GAP)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Returns the line that replaces the cut bytes. Its length is constant, so that a later cut can
/// overwrite it.
fn gap(left_out: u64, cap: u64) -> String {
    format!("\n[swath: {left_out:>20}{GAP}{cap:>20} bytes by limits.log]\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn a_long_log_keeps_its_head_and_its_tail_and_says_what_is_missing() {
        let dir = tempfile::tempdir().unwrap();
        let mut child = Output::open(&dir.path().join("stdout.log")).unwrap();
        Output::open(&dir.path().join("stderr.log")).unwrap();
        let mut output = Output::new(dir.path(), &[], 8192, false);
        let mut written = String::new();
        let mut cuts = Vec::new();
        for number in 0..5000 {
            let line = format!("line {number}\n");
            child.write_all(line.as_bytes()).unwrap();
            written.push_str(&line);
            cuts.extend(output.trim().unwrap());
        }
        assert_eq!(cuts, ["stdout.log"]);
        let kept = std::fs::read_to_string(dir.path().join("stdout.log")).unwrap();
        assert!(kept.len() <= 8192 + 16, "{}", kept.len());
        let (head, rest) = kept.split_once("\n[swath: ").unwrap();
        let (gap, tail) = rest.split_once("]\n").unwrap();
        assert!(
            written.starts_with(head) && written.ends_with(tail) && tail.ends_with("line 4999\n")
        );
        let left_out: usize = gap.split_whitespace().next().unwrap().parse().unwrap();
        assert_eq!(head.len() + left_out + tail.len(), written.len());
    }

    #[test]
    fn output_is_searched_before_it_is_cut_and_never_twice() {
        let dir = tempfile::tempdir().unwrap();
        let mut child = Output::open(&dir.path().join("stdout.log")).unwrap();
        Output::open(&dir.path().join("stderr.log")).unwrap();
        let mut output = Output::new(dir.path(), &[], 4096, false);
        let mut read = Vec::new();
        let mut written = String::new();
        for number in 0..2000 {
            let line = format!("loss={number}\n");
            child.write_all(line.as_bytes()).unwrap();
            written.push_str(&line);
            if number % 7 == 0 {
                output.streams[0]
                    .read_on(&mut |bytes, _| read.extend_from_slice(bytes))
                    .unwrap();
                output.trim().unwrap();
            }
        }
        output.streams[0]
            .read_on(&mut |bytes, _| read.extend_from_slice(bytes))
            .unwrap();
        assert_eq!(String::from_utf8(read).unwrap(), written);
    }
}
