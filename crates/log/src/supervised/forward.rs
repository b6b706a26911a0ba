//! Forwards records and questions to the sink in their order, and counts the warnings.

use super::label::Label;
use crate::batch::Waiting;
use crate::{Directive, Sink};
use swath_model::study::LogRecord;

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
}

impl Forwarder {
    pub(super) fn new(sink: Box<dyn Sink>) -> Self {
        Self {
            sink,
            waiting: Vec::new(),
            directive: Directive::Continue,
            warnings: 0,
        }
    }

    pub(super) fn record(&mut self, record: LogRecord) {
        if self.waiting.is_empty() {
            self.directive = self.directive.max(self.sink.logged(record));
        } else {
            self.waiting.push(Waiting::Record(record));
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
