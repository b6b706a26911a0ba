//! The methods of a logger that only its supervising end has.

use super::Supervised;
use super::label::Label;
use crate::deciding::{AbsenceReason, DecidingMetrics};
use crate::facade::now;
use crate::{
    DigestCache, Dirs, Identity, LoggerError, ModelStore, Sink, Tail, TrialLogger, Unread,
};
use std::io;
use std::path::Path;
use std::sync::Arc;
use swath_model::source::secret::Secrets;
use swath_model::space::Name;
use swath_model::study::Datum;

impl TrialLogger {
    /// Makes the logger of the supervising side, also for closures. It writes the trial's own files
    /// and forwards the other records to `sink`.
    ///
    /// # Errors
    /// None at present: files are opened when the first record needs them.
    pub fn in_process(
        identity: Identity,
        dirs: Dirs,
        sink: Box<dyn Sink>,
    ) -> Result<Self, LoggerError> {
        let end = Box::new(Supervised::new(dirs, sink));
        Ok(Self::new(identity, end, 0))
    }

    /// Uses `cache` for the digests of data sets and models. Without effect in a child.
    #[must_use]
    pub fn with_cache(mut self, cache: Arc<DigestCache>) -> Self {
        if let Some(supervised) = self.end.supervised() {
            supervised.reader.cache = Some(cache);
        }
        self
    }

    /// Sets the metrics that decide. A quoted number counts as a number for them, and any other
    /// value is remembered as the reason why the metric has no number. Without effect in a child.
    #[must_use]
    pub fn with_deciding_metrics(mut self, names: &[Name]) -> Self {
        if let Some(supervised) = self.end.supervised() {
            supervised.checks.deciding = names.to_vec();
            *supervised.parser.deciding() = DecidingMetrics::new(names);
        }
        self
    }

    /// Uses `models` to hold the bytes of models. Without a store, models are only referred to.
    /// Without effect in a child.
    #[must_use]
    pub fn with_models(mut self, models: Arc<ModelStore>) -> Self {
        if let Some(supervised) = self.end.supervised() {
            supervised.reader.store = models;
        }
        self
    }

    /// Sets the secrets that the trial's metric files do not show. Without effect in a child.
    #[must_use]
    pub fn with_secrets(mut self, secrets: Secrets) -> Self {
        if let Some(supervised) = self.end.supervised() {
            supervised.rows.secrets = secrets;
        }
        self
    }

    /// Sets the reported key that counts the scheduler's resource, if there is one. Without effect
    /// in a child.
    #[must_use]
    pub fn with_resource(mut self, resource: Option<&Name>) -> Self {
        if let Some(supervised) = self.end.supervised() {
            supervised.checks.use_resource(resource);
        }
        self
    }

    /// Returns whether this attempt has recorded nothing for a deciding metric. Always false in a
    /// child.
    pub fn is_silent(&mut self, metric: &Name) -> bool {
        let supervised = self.end.supervised();
        supervised.is_some_and(|supervised| supervised.parser.deciding().is_silent(metric))
    }

    /// Remembers the reason why a metric was not reported, as far as the trial's output tells.
    pub fn note_unreported(&mut self, metric: &Name, reason: String) {
        if let Some(supervised) = self.end.supervised() {
            let deciding = supervised.parser.deciding();
            deciding.note(metric, || AbsenceReason::Unreported(reason));
        }
    }

    /// Records why deciding metrics have no number. Called once, at the end of an attempt that
    /// ended well.
    pub fn explain_absence(&mut self) {
        if let Some(supervised) = self.end.supervised() {
            for record in supervised.parser.deciding().absent() {
                supervised.forwarder.record(record);
            }
        }
    }

    /// Records the model that a report names, before the report itself is recorded elsewhere. A
    /// model that is refused becomes a warning and is removed from the report. Without effect in a
    /// child.
    pub fn model_of_report(&mut self, values: &mut Vec<(Name, Datum)>) {
        if let Some(supervised) = self.end.supervised() {
            supervised.model_of_report(values, &Label::Report);
        }
    }

    /// Reads the lines that a program has appended to its records file since the last call, and the
    /// models that they name. Returns the number of bytes read, which is 0 in a child.
    ///
    /// Of several lines that are read together and name one model path, only the last can have the
    /// model's digest, and only if the model is not newer than the lines.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn follow(&mut self, tail: &mut Tail) -> io::Result<usize> {
        self.follow_lines(tail, false)
    }

    /// Works like [`follow`](Self::follow) for the last time, after the program has ended.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn follow_to_the_end(&mut self, tail: &mut Tail) -> io::Result<usize> {
        self.follow_lines(tail, true)
    }

    fn follow_lines(&mut self, tail: &mut Tail, ended: bool) -> io::Result<usize> {
        match self.end.supervised() {
            Some(supervised) => supervised.follow(tail, ended, now),
            None => Ok(0),
        }
    }

    /// Records the reports that `find` extracts from the output of a program. `modified` is the
    /// time of the last write to the output, in nanoseconds since 1970, taken before the search;
    /// `ended` tells whether the program has ended. Returns the result of `find`, or `None` in a
    /// child.
    pub fn take_output<T>(
        &mut self,
        modified: i128,
        ended: bool,
        find: impl FnOnce(&mut dyn FnMut(Vec<(Name, Datum)>)) -> T,
    ) -> Option<T> {
        let rank = self.rank;
        let supervised = self.end.supervised()?;
        Some(supervised.take_batch(modified, ended, |supervised| {
            find(&mut |values| supervised.report_values(values, rank, now()))
        }))
    }

    /// Prepares to [`follow`](Self::follow) the lines that `tail` has not read yet. From now on the
    /// metric files are marked, so that the run after a kill can tell which rows they have.
    pub fn begin_to_follow(&mut self, tail: &Tail) {
        if let Some(supervised) = self.end.supervised() {
            let forwarder = &mut supervised.forwarder;
            supervised.rows.begin_marks(tail.end(), forwarder);
        }
    }

    /// Records the lines of a killed attempt that its supervisor had not taken in. `modified` is the
    /// time of the last write to the file, in nanoseconds since 1970.
    ///
    /// # Errors
    /// If the records file cannot be read, or the metric files cannot be cut to their marks.
    pub fn take_unread(&mut self, path: &Path, unread: &Unread, modified: i128) -> io::Result<()> {
        match self.end.supervised() {
            Some(supervised) => supervised.take_unread(path, unread, modified, now),
            None => Ok(()),
        }
    }

    /// Returns whether the trial asked a question after its last report, so that the answer will
    /// tell it of a stop. Always false in a child.
    #[must_use]
    pub fn waits(&self) -> bool {
        self.end.waits()
    }
}
