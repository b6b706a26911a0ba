//! Forwards records and questions to the sink in their order, and counts the warnings.

use super::label::Label;
use crate::batch::Waiting;
use crate::{Directive, Sink};
use std::cmp::Ordering;
use swath_model::study::{LogRecord, TakenLines};

/// Maximum number of warnings of one trial that are recorded. Further ones are only counted.
const MOST_WARNINGS: u64 = 100;

/// The way of records to the sink. While a model is not read yet, all records after it wait.
pub(super) struct Forwarder {
    sink: Box<dyn Sink>,
    /// The records from the first unread model on. Models are read once the last line of the batch
    /// is known.
    waiting: Vec<Waiting>,
    directive: Directive,
    warnings: u64,
    /// The offset behind the line of `records.jsonl` that the records come from; `None` for a call.
    pub(super) line_end: Option<u64>,
    repeated: Option<Repeated>,
}

/// The records that the journal has from the lines that a killed supervisor has taken in.
struct Repeated {
    taken: TakenLines,
    /// Number of records of the last taken line that are still to be made again.
    missing: u32,
}

impl Forwarder {
    pub(super) fn new(sink: Box<dyn Sink>) -> Self {
        Self {
            sink,
            waiting: Vec::new(),
            directive: Directive::Continue,
            warnings: 0,
            line_end: None,
            repeated: None,
        }
    }

    pub(super) fn record(&mut self, record: LogRecord) {
        if self.waiting.is_empty() {
            if !self.is_repeated(&record) {
                let directive = self.sink.logged_from(record, self.line_end);
                self.directive = self.directive.max(directive);
            }
        } else {
            self.waiting.push(Waiting::Record(record, self.line_end));
        }
    }

    /// Drops the records of lines that were taken in before.
    pub(super) fn skip(&mut self, taken: TakenLines) {
        self.repeated = Some(Repeated {
            taken,
            missing: taken.records,
        });
    }

    /// Returns whether the journal has a record already that is made again from its line.
    fn is_repeated(&mut self, record: &LogRecord) -> bool {
        let Some((repeated, end)) = self.repeated.as_mut().zip(self.line_end) else {
            return false;
        };
        match end.cmp(&repeated.taken.end) {
            Ordering::Less => true,
            Ordering::Greater => false,
            // A warning of this line may be in the journal or not. It is the line's first record,
            // so it most likely is.
            Ordering::Equal if matches!(record, LogRecord::Warning { .. }) => true,
            Ordering::Equal => {
                let is_repeated = repeated.missing > 0;
                repeated.missing = repeated.missing.saturating_sub(1);
                is_repeated
            }
        }
    }

    /// Forwards a question of the trial.
    pub(super) fn ask(&mut self, id: String) {
        if self.waiting.is_empty() {
            self.sink.ask(id);
        } else {
            self.waiting.push(Waiting::Question(id));
        }
    }

    pub(super) fn warn(&mut self, text: String) {
        self.warnings += 1;
        if self.warnings <= MOST_WARNINGS {
            self.record(LogRecord::Warning { text });
        }
    }

    /// Records a warning about a line or a call, if there is one.
    pub(super) fn warn_about(&mut self, label: &Label, warning: Option<String>) {
        if let Some(warning) = warning {
            self.warn(format!("{label}: {warning}"));
        }
    }

    /// Records the number of warnings that were only counted, if there are any.
    pub(super) fn count_omitted_warnings(&mut self) {
        let more = self.warnings.saturating_sub(MOST_WARNINGS);
        if more > 0 {
            let text = format!("and {more} more warnings like these");
            self.record(LogRecord::Warning { text });
        }
    }

    /// Returns the number of warnings, including those that were only counted.
    pub(super) fn warnings(&self) -> u64 {
        self.warnings
    }

    /// Returns the strictest directive so far.
    pub(super) fn directive(&self) -> Directive {
        self.directive
    }

    /// Returns the records that wait.
    pub(super) fn waiting(&mut self) -> &mut Vec<Waiting> {
        &mut self.waiting
    }
}
