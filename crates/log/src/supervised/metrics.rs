//! Handles metrics, which describe the trial, and writes its metric files.

use super::Supervised;
use super::forward::Forwarder;
use super::label::Label;
use crate::Point;
use crate::files::{METRICS, MetricFiles, check_log};
use crate::mark::Mark;
use crate::rank;
use crate::steps::{RowPosition, Steps};
use crate::wire::{MetricPosition, check_name, plain_context, push_number, push_position};
use std::borrow::Cow;
use std::io;
use std::path::{Path, PathBuf};
use swath_model::source::secret::Secrets;

impl Supervised {
    /// Handles metrics of a line. Their row is in the parser.
    pub(super) fn parsed_metrics(
        &mut self,
        position: &MetricPosition<'_>,
        label: &Label,
        now: i64,
    ) {
        let (row, keys) = (self.parser.row(), self.parser.keys());
        let keys = keys.iter().map(|key| &**key);
        let forwarder = &mut self.forwarder;
        self.rows
            .metrics(position, row, keys, label, now, forwarder);
    }

    /// Handles metrics that a call made.
    pub(super) fn called_metrics(
        &mut self,
        values: &[(&str, f64)],
        point: &Point<'_>,
        rank: u32,
        now: i64,
    ) {
        let point = &Point {
            context: plain_context(point.context),
            ..*point
        };
        self.row.clear();
        let mut flaw = None;
        for (name, number) in values {
            match check_name(name) {
                Ok(()) => push_number(&mut self.row, name, *number),
                Err(problem) => flaw = Some(problem),
            }
        }
        let is_flawless = flaw.is_none();
        self.forwarder.warn_about(&Label::Metric, flaw);
        if self.row.is_empty() {
            return;
        }
        push_position(&mut self.row, point, rank);
        let position = MetricPosition {
            log: (!point.log.is_empty()).then_some(Cow::Borrowed(point.log)),
            context: (!point.context.is_empty()).then_some(Cow::Borrowed(point.context)),
            step: point.step.map(|step| step as f64),
            rank: rank.into(),
        };
        let keys = values
            .iter()
            .map(|(name, _)| *name)
            .filter(|name| is_flawless || check_name(name).is_ok())
            .chain(point.step.map(|_| "step"))
            .chain(point.batch.map(|_| "batch"))
            .chain(position.context.as_ref().map(|_| "context"))
            .chain((rank > 0).then_some(rank::KEY));
        let (label, forwarder) = (&Label::Metric, &mut self.forwarder);
        self.rows
            .metrics(&position, &self.row, keys, label, now, forwarder);
    }
}

/// Writes the rows of a trial's metric files.
pub(super) struct MetricRows {
    dir: PathBuf,
    files: MetricFiles,
    steps: Steps,
    /// Secrets that no row shows.
    pub(super) secrets: Secrets,
    /// Whether the warning that the files cannot be written was given.
    is_unwritable: bool,
    /// Whether the row of the current line is in its file already.
    pub(super) is_row_written: bool,
}

impl MetricRows {
    /// Makes the metric files of the trial in the folder `trial`.
    pub(super) fn new(trial: &Path) -> Self {
        Self {
            dir: trial.join("metrics"),
            files: MetricFiles::new(trial),
            steps: Steps::default(),
            secrets: Secrets::default(),
            is_unwritable: false,
            is_row_written: false,
        }
    }

    /// Marks the rows of a records file from now on (`mark.rs`), from the offset `records`.
    pub(super) fn begin_marks(&mut self, records: u64, forwarder: &mut Forwarder) {
        let marked = self.files.begin_marks(records);
        self.note(marked, forwarder);
    }

    /// Marks the files at the next write of rows, whenever that is.
    pub(super) fn mark_soon(&mut self) {
        self.files.mark_soon();
    }

    /// Cuts the files to their mark, and returns it.
    pub(super) fn cut_to_mark(&mut self) -> io::Result<Option<Mark>> {
        self.files.cut_to_mark()
    }

    /// Notes the offset behind the line whose row may come next; `None` after the last line.
    pub(super) fn begin_line(&mut self, line_end: Option<u64>) {
        self.files.begin_line(line_end);
    }

    /// Adds a row of metrics to the log that their position names. A log whose name is invalid is
    /// replaced by the default log.
    fn metrics<'k>(
        &mut self,
        position: &MetricPosition<'_>,
        row: &[u8],
        keys: impl Iterator<Item = &'k str> + Clone,
        label: &Label,
        now: i64,
        forwarder: &mut Forwarder,
    ) {
        let context = position.context.as_deref();
        let mut log = METRICS;
        if let Some(named) = position.log.as_deref().or(context) {
            match check_log(named) {
                Ok(()) => log = named,
                Err(why) => forwarder.warn(format!("{label}: {why}; it goes to `{METRICS}`")),
            }
        }
        let position = RowPosition {
            log,
            context: context.unwrap_or_default(),
            rank: position.rank,
            step: position.step,
        };
        let warning = self.steps.check(keys.clone().next(), &position);
        forwarder.warn_about(label, warning);
        self.add(log, row, keys, now, forwarder);
    }

    /// Adds a row to a log.
    pub(super) fn add<'k>(
        &mut self,
        log: &str,
        row: &[u8],
        keys: impl Iterator<Item = &'k str>,
        now: i64,
        forwarder: &mut Forwarder,
    ) {
        if self.is_row_written {
            return;
        }
        let row = self.secrets.redact_bytes(row);
        let written = self.files.row(log, &row, keys, now);
        self.note(written, forwarder);
    }

    /// Writes the rows that are in memory.
    pub(super) fn flush(&mut self, now: i64, forwarder: &mut Forwarder) {
        let written = self.files.flush(now);
        self.note(written, forwarder);
    }

    /// Writes the rows that are in memory, for the last time.
    pub(super) fn finish(&mut self, now: i64, forwarder: &mut Forwarder) {
        let written = self.files.finish(now);
        self.note(written, forwarder);
    }

    /// Warns once that the trial's own files cannot be written. The journal has the reports all the
    /// same.
    fn note(&mut self, written: io::Result<()>, forwarder: &mut Forwarder) {
        let Err(error) = written else { return };
        if !std::mem::replace(&mut self.is_unwritable, true) {
            forwarder.warn(format!(
                "could not write to `{}`, some metrics are missing there: {error}",
                self.dir.display()
            ));
        }
    }
}
