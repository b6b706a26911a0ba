//! Reading the lines of a journal in blocks, which other threads parse ahead of the reader.
//!
//! A line means something only behind the lines before it, so the reader gets the lines one by one
//! and in order, with the error of each bad one. Only reports are parsed ahead, which most lines are,
//! into numbers that the other threads allocate at once. The reader itself parses every other line:
//! memory that one thread allocates and another frees costs more than it saves.

use super::line::{self, Checked, Line, Link};
use super::report_line::{self, ReportHead};
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use swath_model::space::{Name, intern};
use swath_model::study::{Attempt, Datum, Entry, Event, LogRecord, Metric, TrialId};

/// Number of bytes that are read at once. The entries of a block take several times its length, and
/// should still be in the cache of a core when the reader gets them.
const BLOCK_LENGTH: u64 = 1 << 18;
/// Number of blocks that are parsed ahead of the reader. They bound the memory of a reader.
const BLOCKS_AHEAD: usize = 4;
/// Maximum number of names in a block, since each name that is not the expected one is compared with
/// all of them. Reports with further names are left to the general parser.
const MOST_NAMES: usize = 256;

/// The work that is done ahead on a line, given without its line break.
pub(super) type ParseLine = fn(&[u8], &mut Values) -> Parsed;

/// The outcome of the work on a line.
#[derive(Debug)]
pub(super) enum Parsed {
    /// The reader does not ask for the line.
    Skipped,
    /// The line is a report of the usual form.
    Report(Report),
    /// The reader parses the line.
    Other,
}

/// A line of a block: its length with the line break, and its content; `None` if it was skipped.
#[derive(Debug)]
pub(super) struct BlockLine {
    pub(super) length: usize,
    pub(super) content: Option<Result<Content, BadLine>>,
}

/// The entry of a line, and the place of the line in the chain.
#[derive(Debug)]
pub(super) enum Content {
    /// A report whose values are numbers.
    Report(Report),
    /// Any other entry.
    Entry(Box<Line>),
}

/// A report of a block, which has its values.
#[derive(Debug, Clone)]
pub(super) struct Report {
    pub(super) head: ReportHead,
    /// The places of the values in [`Values`].
    values: Range<u32>,
    pub(super) previous: Option<Link>,
    pub(super) link: Link,
}

/// A line that is no entry.
#[derive(Debug)]
pub(super) struct BadLine {
    pub(super) why: String,
    /// Whether the line has a zero byte, as a power cut leaves them.
    pub(super) has_zero: bool,
}

/// The values of the reports of a block. Each name is stored once: a million names of their own
/// would be counted by two threads in turns.
#[derive(Debug, Default)]
pub(super) struct Values {
    names: Vec<String>,
    /// The index of the name that follows if the names repeat in the same order.
    next: usize,
    numbers: Vec<(u32, f64)>,
}

impl Values {
    /// Appends a value; `None` if its name cannot be stored.
    fn push(&mut self, name: &[u8], number: f64) -> Option<()> {
        let index = match self.names.get(self.next) {
            Some(next) if next.as_bytes() == name => self.next,
            _ => self.index_of(name)?,
        };
        self.next = index + 1;
        self.numbers.push((u32::try_from(index).ok()?, number));
        Some(())
    }

    /// Returns the index of a name, which is stored if it is new; `None` if it is no text, or if
    /// there are too many.
    fn index_of(&mut self, name: &[u8]) -> Option<usize> {
        let stored = self.names.iter().position(|s| s.as_bytes() == name);
        if stored.is_some() || self.names.len() == MOST_NAMES {
            return stored;
        }
        self.names.push(str::from_utf8(name).ok()?.to_owned());
        Some(self.names.len() - 1)
    }

    fn end(&self) -> u32 {
        u32::try_from(self.numbers.len()).unwrap_or(u32::MAX)
    }
}

/// Parses a line if it is a report of the usual form.
pub(super) fn parse_line(bytes: &[u8], values: &mut Values) -> Parsed {
    let checked = line::verify(bytes).ok().flatten();
    let report = checked.and_then(|checked| report(&checked, values));
    report.map_or(Parsed::Other, Parsed::Report)
}

/// Verifies the checksum of a report, and leaves out its values.
pub(super) fn parse_head(bytes: &[u8], _: &mut Values) -> Parsed {
    let Ok(Some(checked)) = line::verify(bytes) else {
        return Parsed::Other;
    };
    let head = report_line::read_head(checked.body);
    head.map_or(Parsed::Other, |head| {
        Parsed::Report(Report {
            head,
            values: 0..0,
            previous: checked.previous,
            link: checked.link,
        })
    })
}

/// Parses a line by the general parser.
fn parse_other(bytes: &[u8]) -> Result<Content, BadLine> {
    match line::read(bytes) {
        Ok(line) => Ok(Content::Entry(Box::new(line))),
        Err(why) => Err(BadLine {
            why,
            has_zero: bytes.contains(&0),
        }),
    }
}

/// Returns the report of a line, if it has the usual form.
fn report(checked: &Checked<'_>, values: &mut Values) -> Option<Report> {
    let start = values.end();
    let mut is_stored = true;
    let head = report_line::read(checked.body, |name, number| {
        is_stored &= values.push(name, number).is_some();
    });
    let Some(head) = head.filter(|_| is_stored) else {
        values.numbers.truncate(start as usize);
        return None;
    };
    Some(Report {
        head,
        values: start..values.end(),
        previous: checked.previous,
        link: checked.link,
    })
}

/// The length of each line of a block with the outcome of the work on it, and the values.
type ParsedBlock = (Vec<(usize, Parsed)>, Values);

/// Does the work on the lines of a block, each of which has its line break.
fn parse_block(text: &[u8], parse_line: ParseLine) -> ParsedBlock {
    let mut values = Values::default();
    let mut lines = Vec::with_capacity(text.len() / 128);
    let mut start = 0;
    for end in memchr::memchr_iter(b'\n', text) {
        let parsed = parse_line(&text[start..end], &mut values);
        lines.push((end + 1 - start, parsed));
        start = end + 1;
    }
    (lines, values)
}

/// A block whose lines are being returned.
#[derive(Debug, Default)]
pub(super) struct Block {
    text: Arc<Vec<u8>>,
    /// The place of the next line in the text.
    position: usize,
    lines: std::vec::IntoIter<(usize, Parsed)>,
    names: Vec<Name>,
    numbers: Vec<(u32, f64)>,
}

impl Block {
    fn new(text: Arc<Vec<u8>>, (lines, values): ParsedBlock) -> Self {
        Self {
            text,
            position: 0,
            lines: lines.into_iter(),
            names: values.names.iter().map(|name| intern(name)).collect(),
            numbers: values.numbers,
        }
    }

    fn next_line(&mut self) -> Option<BlockLine> {
        let (length, parsed) = self.lines.next()?;
        let start = self.position;
        self.position += length;
        let content = match parsed {
            Parsed::Skipped => None,
            Parsed::Report(report) => Some(Ok(Content::Report(report))),
            Parsed::Other => Some(parse_other(&self.text[start..self.position - 1])),
        };
        Some(BlockLine { length, content })
    }

    /// Returns the names and the numbers of a report, in their order.
    pub(super) fn values(&self, report: &Report) -> impl Iterator<Item = (&Name, f64)> {
        let range = report.values.start as usize..report.values.end as usize;
        (self.numbers[range].iter()).map(|(name, number)| (&self.names[*name as usize], *number))
    }

    /// Writes the values of a report into `values`, whose names and memory are used again.
    pub(super) fn write_values(&self, report: &Report, values: &mut Vec<(Name, Datum)>) {
        values.truncate(report.values.len());
        values.reserve_exact(report.values.len() - values.len());
        for (index, (name, number)) in self.values(report).enumerate() {
            let datum = Datum::Number(Metric(number));
            match values.get_mut(index) {
                Some((stored, value)) if Arc::ptr_eq(stored, name) => *value = datum,
                Some(stored) => *stored = (name.clone(), datum),
                None => values.push((name.clone(), datum)),
            }
        }
    }

    /// Writes the entry of a report into `entry`, whose memory is used again if it is one.
    pub(super) fn write_entry(&self, report: &Report, entry: &mut Entry) {
        let ReportHead {
            seq,
            at,
            trial,
            attempt,
            line_end,
        } = report.head;
        let mut values = match &mut entry.event {
            Event::Logged {
                record: LogRecord::Report { values },
                ..
            } => std::mem::take(values),
            _ => Vec::new(),
        };
        self.write_values(report, &mut values);
        *entry = Entry {
            seq,
            at,
            event: Event::Logged {
                trial: TrialId(trial),
                attempt: Attempt(attempt),
                record: LogRecord::Report { values },
                line_end,
            },
            away: None,
        };
    }
}

/// A block that is being parsed by another thread, or waits for it.
#[derive(Debug)]
struct Pending {
    text: Arc<Vec<u8>>,
    /// Whether a thread has begun to parse the block.
    is_begun: Arc<AtomicBool>,
    parsed: Receiver<ParsedBlock>,
}

impl Pending {
    /// Hands a block to the threads of the pool.
    fn begin(text: Vec<u8>, parse_line: ParseLine) -> Self {
        let (send, parsed) = sync_channel(1);
        let pending = Self {
            text: Arc::new(text),
            is_begun: Arc::default(),
            parsed,
        };
        let (text, is_begun) = (Arc::clone(&pending.text), Arc::clone(&pending.is_begun));
        rayon::spawn(move || {
            if !is_begun.swap(true, Ordering::Relaxed) {
                // The reader may have gone away.
                let _ = send.send(parse_block(&text, parse_line));
            }
        });
        pending
    }

    /// Returns the parsed block. If no thread has begun with it, this one parses it: those of the
    /// pool may be busy, or this thread may be one of them.
    fn finish(self, parse_line: ParseLine) -> Block {
        let parsed = if self.is_begun.swap(true, Ordering::Relaxed) {
            self.parsed.recv().ok()
        } else {
            None
        };
        let parsed = parsed.unwrap_or_else(|| parse_block(&self.text, parse_line));
        Block::new(self.text, parsed)
    }
}

/// The lines of a file, parsed in blocks.
#[derive(Debug)]
pub(super) struct Blocks {
    file: File,
    /// The work on the lines of the blocks that are not read yet.
    pub(super) parse_line: ParseLine,
    /// Number of bytes that are read at once.
    pub(super) block_length: u64,
    /// Number of bytes that may still be read.
    remaining: u64,
    /// The bytes behind the last line break that was read.
    tail: Vec<u8>,
    is_at_end: bool,
    pending: VecDeque<Pending>,
    block: Block,
}

impl Blocks {
    pub(super) fn new(file: File, parse_line: ParseLine) -> Self {
        Self {
            file,
            parse_line,
            block_length: BLOCK_LENGTH,
            remaining: u64::MAX,
            tail: Vec::new(),
            is_at_end: false,
            pending: VecDeque::new(),
            block: Block::default(),
        }
    }

    /// Reads no byte behind the next `length` ones.
    pub(super) fn limit(&mut self, length: u64) {
        self.remaining = length;
    }

    /// Continues at the byte `offset`, which must be the start of a line.
    pub(super) fn seek(&mut self, offset: u64) -> io::Result<()> {
        self.tail.clear();
        self.pending.clear();
        self.block = Block::default();
        self.is_at_end = false;
        self.file.seek(SeekFrom::Start(offset)).map(drop)
    }

    /// Returns the next line; `None` at the end of the file.
    pub(super) fn next_line(&mut self) -> io::Result<Option<BlockLine>> {
        loop {
            if let Some(line) = self.block.next_line() {
                return Ok(Some(line));
            }
            let Some(block) = self.next_block()? else {
                return Ok(None);
            };
            self.block = block;
        }
    }

    /// Returns the block of the line that was returned last.
    pub(super) fn block(&self) -> &Block {
        &self.block
    }

    /// Returns the bytes behind the last line break, once the end was reached.
    pub(super) fn tail(&self) -> &[u8] {
        &self.tail
    }

    fn next_block(&mut self) -> io::Result<Option<Block>> {
        while self.pending.len() < BLOCKS_AHEAD
            && let Some(text) = self.read_lines()?
        {
            // A short journal is parsed before another thread would begin.
            if self.pending.is_empty() && self.is_at_end {
                let parsed = parse_block(&text, self.parse_line);
                return Ok(Some(Block::new(Arc::new(text), parsed)));
            }
            self.pending
                .push_back(Pending::begin(text, self.parse_line));
        }
        let next = self.pending.pop_front();
        Ok(next.map(|pending| pending.finish(self.parse_line)))
    }

    /// Reads some whole lines; `None` if no further one is in the file.
    fn read_lines(&mut self) -> io::Result<Option<Vec<u8>>> {
        while !self.is_at_end {
            let mut text = std::mem::take(&mut self.tail);
            let searched = text.len();
            let most = self.block_length.min(self.remaining);
            text.reserve(most as usize);
            let length = (&self.file).take(most).read_to_end(&mut text)? as u64;
            self.remaining -= length;
            // A file that grows has its end where a block is not full.
            self.is_at_end = length < self.block_length;
            let last = memchr::memrchr(b'\n', &text[searched..]);
            let Some(last) = last else {
                self.tail = text;
                continue;
            };
            self.tail = text.split_off(searched + last + 1);
            return Ok(Some(text));
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests;
