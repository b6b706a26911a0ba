//! Handles metrics, which describe the trial and go to its metric files.

use super::Supervised;
use super::label::Label;
use crate::Point;
use crate::files::{METRICS, check_log};
use crate::rank;
use crate::steps::Place;
use crate::wire::{MetricPosition, check_name, push_number, push_position};

impl Supervised {
    /// Handles metrics of a line. Their row is in the parser.
    pub(super) fn parsed_metrics(&mut self, position: &MetricPosition, label: &Label, now: i64) {
        let context = position.context.as_deref();
        let log = self.log_of(position.log.as_deref().or(context), label);
        let place = Place {
            log,
            context: context.unwrap_or_default(),
            rank: position.rank,
            step: position.step,
        };
        let first = self.parser.keys().first().map(|key| &**key);
        let warning = self.steps.look(first, &place);
        self.warn_about(label, warning);
        let keys = self.parser.keys().iter().map(|key| &**key);
        let written = self.files.row(log, self.parser.row(), keys, now);
        self.note_written(written);
    }

    /// Handles metrics that a call made.
    pub(super) fn called_metrics(
        &mut self,
        values: &[(&str, f64)],
        point: &Point<'_>,
        rank: u32,
        now: i64,
    ) {
        self.row.clear();
        let mut flaw = None;
        for (name, number) in values {
            match check_name(name) {
                Ok(()) => push_number(&mut self.row, name, *number),
                Err(problem) => flaw = Some(problem),
            }
        }
        self.warn_about(&Label::Metric, flaw);
        if self.row.is_empty() {
            return;
        }
        push_position(&mut self.row, point, rank);
        let log = [point.log, point.context]
            .into_iter()
            .find(|log| !log.is_empty());
        let log = self.log_of(log, &Label::Metric);
        let place = Place {
            log,
            context: point.context,
            rank: rank.into(),
            step: point.step.map(|step| step as f64),
        };
        let first = values.first().map(|(name, _)| *name);
        let warning = self.steps.look(first, &place);
        self.warn_about(&Label::Metric, warning);
        let keys = values
            .iter()
            .map(|(name, _)| *name)
            .filter(|name| check_name(name).is_ok())
            .chain(point.step.map(|_| "step"))
            .chain(point.batch.map(|_| "batch"))
            .chain((!point.context.is_empty()).then_some("context"))
            .chain((rank > 0).then_some(rank::KEY));
        let written = self.files.row(log, &self.row, keys, now);
        self.note_written(written);
    }

    /// Returns the log of metrics. If its name is invalid, a warning is given and the metrics go to
    /// the default log.
    fn log_of<'l>(&mut self, log: Option<&'l str>, label: &Label) -> &'l str {
        let Some(log) = log else {
            return METRICS;
        };
        if let Err(why) = check_log(log) {
            self.warn(format!("{label}: {why}; it goes to `{METRICS}`"));
            return METRICS;
        }
        log
    }
}
