//! The supervising end of a logger: checks the records of a trial, writes the trial's own files,
//! and forwards the records that the journal keeps.
//!
//! This file takes each record and passes it to the file of its kind: `reports`, `metrics`,
//! `models` and `stored`. `follow` reads the lines of a program, `reader` the bytes of models,
//! `forward` passes the results on in their order, and `calls` has the methods of the logger's
//! type.

mod calls;
mod follow;
mod forward;
mod label;
mod metrics;
mod models;
mod reader;
mod reports;
mod stored;

use super::batch::LastInDoubt;
use super::deciding::AbsenceReason;
use super::end::{End, Recorded};
use super::wire::{Content, LONGEST_LINE, Parser, Record, Reporter};
use super::{Answer, Directive, Line, LoggerError, Point, seal};
use forward::Forwarder;
use label::Label;
use metrics::MetricRows;
use reader::ModelReader;
use reports::{OtherRanks, ReportChecks};
use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::path::{Path, PathBuf};
use swath_model::study::{LogRecord, TakenLines};

/// The working directory of a trial and the folder of its records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dirs {
    /// The working directory of the trial. Relative paths in records start here.
    pub workdir: PathBuf,
    /// The trial's own folder, `logs/STUDY/N`.
    pub trial: PathBuf,
}

/// The lines of a records file that no supervisor has taken in, because it was killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unread {
    /// The lines of which the journal has records.
    pub taken: TakenLines,
    /// Whether the metric files are marked. If not, as in the folders of older versions, they
    /// have the rows of exactly the lines in `taken`.
    pub is_marked: bool,
}

/// The receiver of the records that the journal keeps. The executor's side forwards each record to
/// the driver as a signal.
pub trait Sink: Send {
    /// Receives a record and returns whether the trial continues.
    fn logged(&mut self, record: LogRecord) -> Directive;

    /// Receives a record with the offset behind the line of `records.jsonl` that it comes from, or
    /// `None` if it comes from elsewhere: a call within this process, or the program's output. The
    /// default ignores the offset.
    fn logged_from(&mut self, record: LogRecord, line_end: Option<u64>) -> Directive {
        let _ = line_end;
        self.logged(record)
    }

    /// Receives a question of the trial. An [`Answer`] with this `id` is to be written to the
    /// trial's folder once everything before the question is decided. The default ignores it.
    fn ask(&mut self, id: String) {
        drop(id);
    }
}

impl<F: FnMut(LogRecord) -> Directive + Send> Sink for F {
    fn logged(&mut self, record: LogRecord) -> Directive {
        self(record)
    }
}

/// The lines that a killed supervisor has taken in.
struct EarlierLines {
    /// The offset behind the last line whose row is in its metric file.
    rows: u64,
    taken: TakenLines,
    /// Parses these lines again, only to find whose reports decide.
    parser: Parser,
}

/// The supervising end of a trial's logger.
pub(super) struct Supervised {
    dirs: Dirs,
    parser: Parser,
    forwarder: Forwarder,
    recorded: Recorded,
    rows: MetricRows,
    /// The lines that an earlier supervisor has taken in; `None` while a trial runs.
    earlier: Option<EarlierLines>,
    /// The row of metrics that a call made.
    row: Vec<u8>,
    checks: ReportChecks,
    other_ranks: OtherRanks,
    /// Whether the trial waits for an answer to its last report, and whether it ever asked.
    waits: bool,
    has_asked: bool,
    reader: ModelReader,
    /// Whether a batch of lines is being read, so that a later line may name the same model.
    reads_batch: bool,
    /// Step and line end of the last record of a checkpoint that is not sealed yet.
    unsealed: Option<(Option<f64>, Option<u64>)>,
    /// Sources for which the warning was given that their reports are metrics.
    demoted: BTreeSet<String>,
    /// Model paths for which the warning about overwriting was given.
    overwritten: BTreeSet<String>,
    /// Models whose last record has no digest because they may have been overwritten, by path.
    in_doubt: BTreeMap<String, LastInDoubt>,
}

impl Supervised {
    pub(super) fn new(dirs: Dirs, sink: Box<dyn Sink>) -> Self {
        Self {
            parser: Parser::default(),
            forwarder: Forwarder::new(sink),
            recorded: Recorded::default(),
            rows: MetricRows::new(&dirs.trial),
            earlier: None,
            row: Vec::new(),
            checks: ReportChecks::default(),
            other_ranks: OtherRanks::default(),
            waits: false,
            has_asked: false,
            reader: ModelReader::new(dirs.clone()),
            reads_batch: false,
            unsealed: None,
            demoted: BTreeSet::new(),
            overwritten: BTreeSet::new(),
            in_doubt: BTreeMap::new(),
            dirs,
        }
    }

    /// Handles a line that the tail of the records file delivered.
    pub(super) fn tailed(&mut self, line: Line<'_>, now: i64) {
        let line_end = line.end();
        if let (Some(earlier), Some(end)) = (&mut self.earlier, line_end) {
            let (has_row, has_records) = (end <= earlier.rows, end < earlier.taken.end);
            if has_row && has_records {
                if let Line::Whole { bytes, .. } = line {
                    let _ = earlier.parser.parse(&String::from_utf8_lossy(bytes));
                    self.parser.set_reporter(earlier.parser.reporter().cloned());
                }
                return;
            }
            self.rows.is_row_written = has_row;
        }
        self.forwarder.line_end = line_end;
        self.rows.begin_line(line_end);
        self.line_or_gap(line, now);
        self.forwarder.line_end = None;
        self.rows.begin_line(None);
    }

    fn line_or_gap(&mut self, line: Line<'_>, now: i64) {
        match line {
            Line::Whole { number, bytes, .. } => self.line(&Label::Line(number), bytes, now),
            // The program ended without a line break, but the object is complete.
            Line::Torn { number, bytes, .. } if bytes.trim_ascii().ends_with(b"}") => {
                self.line(&Label::Line(number), bytes, now);
            }
            Line::Torn { number, .. } => self.refuse(&Label::Line(number), "it is incomplete"),
            Line::TooLong { number, bytes, .. } => {
                let why = format!("it has {bytes} bytes, and the limit is {LONGEST_LINE}");
                self.refuse(&Label::Line(number), &why);
            }
            Line::Replaced { after } => self.warn(format!(
                "`records.jsonl` was cut or replaced after line {after}; it is read from its \
                 beginning again, append to it instead"
            )),
        }
    }

    /// Handles one line of the records format.
    fn line(&mut self, label: &Label, bytes: &[u8], now: i64) {
        let text = String::from_utf8_lossy(bytes);
        let content = self.parser.parse(&text);
        let is_replaced = matches!(text, Cow::Owned(_));
        self.warn_of_flaws(label, is_replaced);
        self.warn_of_demotion(label);
        match content {
            Ok(Content::Record(record)) if self.is_recorded(&record) => {
                if let Record::Report { values } = record {
                    self.add_row(&values, now);
                }
            }
            Ok(Content::Record(record)) => self.record(record, label, now),
            Ok(Content::Metrics(position)) => self.parsed_metrics(&position, label, now),
            Err(refused) => self.refuse(label, &refused.to_string()),
        }
    }

    /// Returns whether the journal has all records that a line makes, so that none is made again.
    fn is_recorded(&self, record: &Record) -> bool {
        let Some((earlier, end)) = self.earlier.as_ref().zip(self.forwarder.line_end) else {
            return false;
        };
        match end.cmp(&earlier.taken.end) {
            Ordering::Less => true,
            Ordering::Equal => earlier.taken.records >= record.most_log_records(),
            Ordering::Greater => false,
        }
    }

    /// Handles a record. The row of a report is in the parser.
    fn record(&mut self, record: Record, label: &Label, now: i64) {
        match record {
            Record::Nothing => {}
            Record::Report { values } => {
                self.waits = false;
                self.report(values, label, now);
            }
            Record::Dataset { path, role } => self.dataset(&path, role, label),
            Record::Model {
                path,
                step,
                keep,
                facts,
            } => self.model(&path, step, keep, facts, label),
            Record::Dict { name, json } => {
                self.store_text("dict", &name, &format!("{json}\n"), label);
            }
            Record::Text { name, text } => self.store_text("text", &name, &text, label),
            Record::Artifact { path, folder } => self.artifact(&path, folder.as_deref(), label),
            Record::Checkpoint { step } => {
                self.unsealed = Some((step, self.forwarder.line_end));
                self.forward(LogRecord::Checkpoint { step });
            }
            Record::Note { text } => self.forward(LogRecord::Note { text }),
            Record::Invalid { why } => self.forward(LogRecord::Invalid { why }),
            Record::Outputs(values) => {
                for (name, value) in values {
                    self.parser
                        .deciding()
                        .note_elsewhere(&name, || AbsenceReason::Output);
                    self.forward(LogRecord::Output { name, value });
                }
            }
            Record::Params(values) => {
                for (name, value) in values {
                    self.forward(LogRecord::Param { name, value });
                }
            }
            Record::Ask { id } => {
                (self.waits, self.has_asked) = (true, true);
                self.forwarder.ask(id);
            }
        }
    }

    /// Lists the files of a checkpoint that was just recorded. Lines that an earlier supervisor has
    /// not read are too old: the files may have changed since.
    fn seal_checkpoint(&mut self) {
        if let Some((step, line_end)) = self.unsealed.take()
            && self.earlier.is_none()
            && let Err(error) = seal::seal(&self.dirs.trial, step, line_end)
        {
            self.warn(format!(
                "could not list the files of its checkpoint: {error}"
            ));
        }
    }

    /// Forwards a record to the sink, after the records before it.
    fn forward(&mut self, record: LogRecord) {
        self.forwarder.record(record);
    }

    /// Records a warning of the trial.
    pub(super) fn warn(&mut self, text: String) {
        self.forwarder.warn(text);
    }

    /// Warns about the parts of the last record that the parser omitted or changed.
    fn warn_of_flaws(&mut self, label: &Label, is_replaced: bool) {
        if !is_replaced && self.parser.flaws().is_empty() {
            return;
        }
        let replaced = is_replaced.then_some("bytes that are not UTF-8 were replaced");
        let flaws = self.parser.flaws().iter().map(String::as_str);
        let flaws: Vec<&str> = replaced.into_iter().chain(flaws).collect();
        let warning = format!("{label}: {}", flaws.join("; "));
        self.warn(warning);
    }

    /// Warns once for each source that its reports are metrics, because another one decides.
    fn warn_of_demotion(&mut self, label: &Label) {
        let Some(source) = self.parser.demoted() else {
            return;
        };
        if !self.demoted.insert(source.to_owned()) {
            return;
        }
        let reporter = match self.parser.reporter() {
            Some(Reporter::Source(other)) => format!("the source `{other}` has reported before"),
            _ => "the program reports by itself".to_owned(),
        };
        let warning = format!(
            "{label}: {reporter}, so the reports of the source `{source}` are kept as metrics"
        );
        self.warn(warning);
    }

    /// Warns that a line is omitted, and remembers that it may have contained the objective.
    fn refuse(&mut self, label: &Label, why: &str) {
        self.parser
            .deciding()
            .note_refused(&format!("{label}: {why}"));
        self.warn(format!("{label}: {why}; it is left out"));
    }
}

impl End for Supervised {
    fn put(&mut self, record: Record, rank: u32, now: i64) -> Result<(), LoggerError> {
        match record {
            Record::Report { values } => self.report_values(values, rank, now),
            record => self.record(record, &Label::Record, now),
        }
        self.seal_checkpoint();
        Ok(())
    }

    fn put_line(&mut self, line: &str, now: i64) -> Result<(), LoggerError> {
        if let Some(at) = line.find('\n') {
            return Err(LoggerError::LineBreak { at });
        }
        self.line(&Label::Record, line.as_bytes(), now);
        Ok(())
    }

    fn metrics(
        &mut self,
        values: &[(&str, f64)],
        point: &Point<'_>,
        rank: u32,
        now: i64,
    ) -> Result<(), LoggerError> {
        self.called_metrics(values, point, rank, now);
        Ok(())
    }

    /// Does nothing: each record was handled when it was put.
    fn send(&mut self, _: i64) -> Result<(), LoggerError> {
        Ok(())
    }

    fn flush(&mut self, now: i64) -> Result<(), LoggerError> {
        self.rows.flush(now, &mut self.forwarder);
        Ok(())
    }

    fn finish(&mut self, now: i64) -> Result<Recorded, LoggerError> {
        self.rows.finish(now, &mut self.forwarder);
        if self.has_asked {
            // The next attempt would remove the answer as well, so an error here does no harm.
            let _ = Answer::clear(&self.dirs.trial);
        }
        if let Some(warning) = self.other_ranks.warning(self.recorded.reports) {
            self.warn(warning);
        }
        self.forwarder.count_omitted_warnings();
        self.recorded.warnings = self.forwarder.warnings();
        Ok(self.recorded.clone())
    }

    fn warn(&mut self, text: String, _: u32, _: i64) {
        self.forwarder.warn(text);
    }

    /// Returns the strictest directive so far: a trial that was told to stop is never told to
    /// continue later.
    fn directive(&self) -> Directive {
        self.forwarder.directive()
    }

    fn trial(&self) -> &Path {
        &self.dirs.trial
    }

    fn waits(&self) -> bool {
        self.waits
    }

    fn supervised(&mut self) -> Option<&mut Supervised> {
        Some(self)
    }
}

/// Writes an error with its causes on one line.
fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
