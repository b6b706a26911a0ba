//! What a program prints: files that it writes itself, kept under a size, and searched for reports.

use super::{nearest, traceback};
use crate::logger::{Scrape, Stream};
use crate::space::Name;
use crate::study::Datum;
use regex::Regex;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

/// The smallest cap that is obeyed: below it there would be no room for a head, a tail and the line
/// between them.
const SMALLEST_CAP: u64 = 4096;

/// How much of the end of a file is read to find out why a trial failed.
const LAST: u64 = 4 << 20;

/// What is copied and read at a time.
const PIECE: usize = 256 * 1024;

/// The two log files of an attempt.
pub(super) struct Output {
    streams: [LogFile; 2],
    scrape: Option<Scrape>,
    cap: u64,
}

impl Output {
    /// Takes the files as they are: what is in them now, from earlier attempts, is not searched.
    pub(super) fn new(dir: &Path, capture: &[(Name, Regex)], cap: u64, resumes: bool) -> Self {
        let log = |name, stream| LogFile::new(dir.join(name), stream, resumes);
        Self {
            streams: [
                log("stdout.log", Stream::Out),
                log("stderr.log", Stream::Err),
            ],
            scrape: (!capture.is_empty()).then(|| Scrape::new(capture)),
            cap: cap.max(SMALLEST_CAP),
        }
    }

    /// Opens a new or old file for a child to append to.
    pub(super) fn open(dir: &Path, name: &str) -> io::Result<File> {
        OpenOptions::new()
            .append(true)
            .create(true)
            .open(dir.join(name))
    }

    /// Returns the files whose growth matters at once.
    pub(super) fn searched(&self) -> impl Iterator<Item = &Path> {
        self.streams
            .iter()
            .map(|log| log.path.as_path())
            .filter(|_| self.scrape.is_some())
    }

    /// Returns when the output was last written to, in nanoseconds since 1970; `None` if it is not
    /// searched.
    pub(super) fn written_at(&self) -> Option<i128> {
        self.scrape.as_ref()?;
        let written = |log: &LogFile| {
            let about = log.path.metadata().ok()?;
            Some(i128::from(about.mtime()) * 1_000_000_000 + i128::from(about.mtime_nsec()))
        };
        Some(
            self.streams
                .iter()
                .filter_map(written)
                .max()
                .unwrap_or(i128::MIN),
        )
    }

    /// Searches what was printed since the last time and hands each report to `each`.
    pub(super) fn search(&mut self, each: &mut dyn FnMut(Vec<(Name, Datum)>)) -> io::Result<()> {
        let Some(scrape) = &mut self.scrape else {
            return Ok(());
        };
        for log in &mut self.streams {
            log.read_on(&mut |bytes, stream| scrape.feed(stream, bytes, each))?;
        }
        Ok(())
    }

    /// Cuts the middle out of files that became too long; returns the names of those it cut for the
    /// first time.
    ///
    /// Belongs right after [`search`](Self::search).
    pub(super) fn trim(&mut self) -> io::Result<Vec<&'static str>> {
        let mut cut = Vec::new();
        for log in &mut self.streams {
            if log.trim(self.cap)? {
                cut.push(match log.stream {
                    Stream::Out => "stdout.log",
                    Stream::Err => "stderr.log",
                });
            }
        }
        Ok(cut)
    }

    /// Returns the error that the program wrote before it failed.
    pub(super) fn error(&self) -> Option<String> {
        let [stdout, stderr] = &self.streams;
        traceback::error(&stderr.end()).or_else(|| traceback::error_of_traceback(&stdout.end()))
    }

    /// Returns the end of what was printed, by stream.
    pub(super) fn printed(&self) -> [(&'static str, String); 2] {
        let [stdout, stderr] = &self.streams;
        [("stdout", stdout.end()), ("stderr", stderr.end())]
    }

    /// Says why nothing was reported under a name, as far as what was printed tells.
    pub(super) fn why_unreported(&self, name: &Name, printed: &[(&str, String)]) -> Option<String> {
        let clue = nearest::clue(name, printed);
        let is_captured = self
            .scrape
            .as_ref()
            .is_some_and(|scrape| scrape.is_unmatched(name));
        let found = clue.as_ref().map(|clue| clue.lines.as_str());
        let try_this = clue.as_ref().and_then(|clue| clue.expression.as_deref());
        if !is_captured {
            let add = try_this
                .map(|this| format!(": add `{this}` to `[capture]`"))
                .unwrap_or_default();
            return Some(format!("was never reported; {}{add}", found?));
        }
        let is_empty = printed.iter().all(|(_, text)| text.trim().is_empty());
        let none = if is_empty {
            "it printed nothing"
        } else {
            "no line has such a word and a number"
        };
        let try_this = try_this
            .map(|this| format!(": try `{this}`"))
            .unwrap_or_default();
        let found = found.unwrap_or(none);
        Some(format!(
            "was not found: the pattern of `[capture]` matched nothing; {found}{try_this}"
        ))
    }

    /// Searches for the last time.
    pub(super) fn finish(&mut self, each: &mut dyn FnMut(Vec<(Name, Datum)>)) -> io::Result<()> {
        let searched = self.search(each);
        if let Some(scrape) = &mut self.scrape {
            scrape.finish(each);
        }
        searched
    }
}

/// One file that a child appends to.
struct LogFile {
    path: PathBuf,
    stream: Stream,
    /// Opened when first needed: a short trial that prints nothing of interest never does.
    file: Option<File>,
    /// Where the attempt's own output begins.
    begin: u64,
    /// How far it was searched.
    seen: u64,
    /// How many bytes were cut out.
    left_out: u64,
}

impl LogFile {
    fn new(path: PathBuf, stream: Stream, resumes: bool) -> Self {
        let seen = if resumes {
            path.metadata().map_or(0, |found| found.len())
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
        }
    }

    /// Returns the end of what the attempt wrote; nothing if it cannot be read.
    fn end(&self) -> String {
        let read = || {
            let mut file = File::open(&self.path)?;
            let length = file.metadata()?.len();
            let begin = if self.begin <= length { self.begin } else { 0 };
            file.seek(SeekFrom::Start(begin.max(length.saturating_sub(LAST))))?;
            let mut bytes = Vec::new();
            file.take(LAST).read_to_end(&mut bytes)?;
            io::Result::Ok(bytes)
        };
        String::from_utf8_lossy(&read().unwrap_or_default()).into_owned()
    }

    /// Returns the file, opened for reading and for writing anywhere: one opened for appending
    /// could only append.
    fn file(&mut self) -> io::Result<&File> {
        if self.file.is_none() {
            self.file = Some(OpenOptions::new().read(true).write(true).open(&self.path)?);
        }
        self.file
            .as_ref()
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn read_on(&mut self, each: &mut dyn FnMut(&[u8], Stream)) -> io::Result<()> {
        let (mut seen, stream) = (self.seen, self.stream);
        let file = match self.file() {
            Ok(file) => file,
            // The program may have removed it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        // What the program itself cut short is searched again from its beginning.
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
    /// The first half of the cap stays, then comes a line that says what is missing, then the last
    /// quarter: so there is room for the next quarter. The child appends meanwhile; what it writes
    /// between the last look at the size and the cut is lost.
    fn trim(&mut self, cap: u64) -> io::Result<bool> {
        // The program may have removed it.
        let size = self.path.metadata().map_or(0, |found| found.len());
        if size <= cap {
            return Ok(false);
        }
        let first = self.left_out == 0;
        let (head, tail) = (cap / 2, cap / 4);
        let begin = size - tail;
        let cut_before = if first {
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
        // What was searched was searched up to `size`; what came after it is still to be.
        self.seen = to - (from - self.seen.clamp(begin, from));
        Ok(first)
    }
}

/// Returns the line that stands for what was cut out; always of the same length.
fn gap(left_out: u64, cap: u64) -> String {
    format!(
        "\n[swath: {left_out:>20} bytes left out here, the log is kept under {cap:>20} bytes by limits.log]\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn a_long_log_keeps_its_head_and_its_tail_and_says_what_is_missing() {
        let dir = tempfile::tempdir().unwrap();
        let mut child = Output::open(dir.path(), "stdout.log").unwrap();
        Output::open(dir.path(), "stderr.log").unwrap();
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
        let (said, tail) = rest.split_once("]\n").unwrap();
        assert!(
            written.starts_with(head) && written.ends_with(tail) && tail.ends_with("line 4999\n")
        );
        let left_out: usize = said.split_whitespace().next().unwrap().parse().unwrap();
        assert_eq!(head.len() + left_out + tail.len(), written.len());
    }

    #[test]
    fn what_is_cut_out_was_searched_before_and_nothing_is_searched_twice() {
        let dir = tempfile::tempdir().unwrap();
        let mut child = Output::open(dir.path(), "stdout.log").unwrap();
        Output::open(dir.path(), "stderr.log").unwrap();
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
