//! The metrics that decide, and the values that a trial gave for them in place of a number.
//!
//! A quoted number counts as the number, with one warning. Any other value is remembered, so that a
//! trial without its objective fails with the reason and not with "never reported".

use swath_model::space::Name;
use swath_model::study::absence::{not_a_number, shortened};
use swath_model::study::{Datum, LogRecord, Metric};

/// The deciding metrics of a study: the objectives, the resource and the metrics of the outcome
/// constraints.
#[derive(Debug, Default)]
pub struct DecidingMetrics {
    metrics: Vec<DecidingMetric>,
    /// Number of deciding metrics that were not reported as a number so far.
    without_number: usize,
    refused_lines: u64,
    last_refusal: Option<String>,
}

#[derive(Debug)]
struct DecidingMetric {
    name: Name,
    has_number: bool,
    is_warned_of_quotes: bool,
    absence: Option<AbsenceReason>,
}

impl DecidingMetric {
    fn new(name: &Name) -> Self {
        Self {
            name: name.clone(),
            has_number: false,
            is_warned_of_quotes: false,
            absence: None,
        }
    }
}

/// The reason why a deciding metric has no number, mostly the value that was recorded in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum AbsenceReason {
    /// The trial reported a text or a flag.
    Text(String),
    /// The trial reported null.
    Null,
    /// The trial reported a list or an object; the text is its beginning.
    Nested(String),
    /// The trial recorded a number as a metric, which only describes.
    Metric,
    /// The trial recorded the value as an output.
    Output,
    /// A worker with this rank, which is not 0, reported the value.
    OtherRank(u32),
    /// The trial recorded no value; the text is the reason, taken from its output.
    Unreported(String),
}

impl AbsenceReason {
    /// Makes the reason for a list or an object with this text.
    pub(super) fn nested(text: &str) -> Self {
        Self::Nested(shortened(text))
    }

    /// Returns the message, worded to follow the metric's name.
    fn message(&self) -> String {
        match self {
            Self::Text(text) => not_a_number(text),
            Self::Null => "was `null`, not a number".to_owned(),
            Self::Nested(text) => format!(
                "was a list or an object (`{text}`), not a number: give each number a name of \
                 its own"
            ),
            Self::Metric => "was recorded as a metric, which decides nothing: report it, \
                             without `\"kind\": \"metric\"`"
                .to_owned(),
            Self::Output => "was recorded as an output, which decides nothing: report it, \
                             without `\"kind\": \"output\"`"
                .to_owned(),
            Self::OtherRank(rank) => {
                format!(
                    "was reported by rank {rank} and not by rank 0, which decides: report it there"
                )
            }
            Self::Unreported(reason) => reason.clone(),
        }
    }
}

impl DecidingMetrics {
    /// Makes the deciding metrics from their names.
    pub fn new(names: &[Name]) -> Self {
        Self {
            without_number: names.len(),
            metrics: names.iter().map(DecidingMetric::new).collect(),
            ..Self::default()
        }
    }

    fn metric(&mut self, name: &Name) -> Option<&mut DecidingMetric> {
        self.metrics.iter_mut().find(|metric| metric.name == *name)
    }

    /// Converts a reported value: a quoted number becomes a number, and adds a flaw the first time.
    /// Values of metrics that do not decide are returned unchanged.
    pub(super) fn read(&mut self, name: &Name, datum: Datum, flaws: &mut Vec<String>) -> Datum {
        let text = match &datum {
            Datum::Number(_) => return datum,
            Datum::Flag(flag) => flag.to_string(),
            Datum::Text(text) => text.clone(),
        };
        let Some(metric) = self.metric(name) else {
            return datum;
        };
        let Some(number) = number_in_quotes(&text) else {
            metric.absence = Some(AbsenceReason::Text(shortened(&text)));
            return datum;
        };
        if !std::mem::replace(&mut metric.is_warned_of_quotes, true) {
            flaws.push(format!(
                "`{name}` is a number in quotes and counts as the number: write it without"
            ));
        }
        Datum::Number(Metric(number))
    }

    /// Marks the metrics for which a deciding report has a number.
    pub(super) fn note_numbers(&mut self, values: &[(Name, Datum)]) {
        if self.without_number == 0 {
            return;
        }
        for metric in self.metrics.iter_mut().filter(|metric| !metric.has_number) {
            metric.has_number = values
                .iter()
                .any(|(name, datum)| *name == metric.name && matches!(datum, Datum::Number(_)));
            self.without_number -= usize::from(metric.has_number);
        }
    }

    /// Notes the names of a report from a worker other than rank 0, which does not decide.
    pub(super) fn note_other_rank<'n>(&mut self, names: impl Iterator<Item = &'n Name>, rank: u32) {
        for name in names {
            self.note_elsewhere(name, || AbsenceReason::OtherRank(rank));
        }
    }

    /// Converts all values of a report, as `read` does.
    pub fn read_all(&mut self, values: &mut [(Name, Datum)], flaws: &mut Vec<String>) {
        for (name, datum) in values {
            let reported = std::mem::replace(datum, Datum::Flag(false));
            *datum = self.read(name, reported, flaws);
        }
    }

    /// Remembers the value that a report gave for a metric in place of a number.
    pub(super) fn note(&mut self, name: &Name, reason: impl FnOnce() -> AbsenceReason) {
        if self.without_number > 0
            && let Some(metric) = self.metric(name).filter(|metric| !metric.has_number)
        {
            metric.absence = Some(reason());
        }
    }

    /// Remembers a value that is recorded outside of a report, unless there is a reason already.
    pub(super) fn note_elsewhere(&mut self, name: &Name, reason: impl FnOnce() -> AbsenceReason) {
        if self.without_number > 0
            && let Some(metric) = self.metric(name).filter(|metric| !metric.has_number)
        {
            metric.absence.get_or_insert_with(reason);
        }
    }

    /// Remembers that a line was refused, because it may have contained a deciding metric.
    pub(super) fn note_refused(&mut self, why: &str) {
        self.refused_lines += 1;
        self.last_refusal = Some(why.to_owned());
    }

    /// Returns whether nothing was recorded for the metric, neither a number nor any other value.
    pub(super) fn is_silent(&self, name: &Name) -> bool {
        self.metrics
            .iter()
            .any(|metric| metric.name == *name && !metric.has_number && metric.absence.is_none())
    }

    /// Returns a record for each metric that has no number and a known reason.
    pub(super) fn absent(&self) -> Vec<LogRecord> {
        let metrics = self.metrics.iter();
        metrics.filter_map(|metric| self.absence(metric)).collect()
    }

    fn absence(&self, metric: &DecidingMetric) -> Option<LogRecord> {
        if metric.has_number {
            return None;
        }
        let reason = metric.absence.as_ref().map(AbsenceReason::message);
        Some(LogRecord::Absent {
            metric: metric.name.clone(),
            // A refused line may have contained the metric.
            why: reason.or_else(|| self.refusals())?,
        })
    }

    /// Returns the message that lines were refused, or `None` if there were none.
    fn refusals(&self) -> Option<String> {
        let last = self.last_refusal.as_ref()?;
        let lines = match self.refused_lines {
            1 => "a line of its records was".to_owned(),
            count => format!("{count} lines of its records were"),
        };
        Some(format!(
            "is in no line that could be read; {lines} left out: {last}"
        ))
    }
}

/// Parses a number in quotes, as a JSON text or among printed punctuation.
pub(super) fn number_in_quotes(text: &str) -> Option<f64> {
    text.trim_matches(is_quote_or_separator).parse().ok()
}

fn is_quote_or_separator(c: char) -> bool {
    c.is_whitespace() || matches!(c, '"' | '\'' | ',' | ';')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Datum {
        Datum::Text(text.to_owned())
    }

    #[test]
    fn a_number_in_quotes_is_a_number_where_it_decides_and_a_text_elsewhere() {
        let (acc, word): (Name, Name) = ("acc".into(), "word".into());
        let mut deciding = DecidingMetrics::new(std::slice::from_ref(&acc));
        let mut flaws = Vec::new();
        let number = Datum::Number(Metric(0.71));
        assert_eq!(deciding.read(&acc, text("0.71"), &mut flaws), number);
        assert_eq!(deciding.read(&acc, text("'0.71',"), &mut flaws), number);
        assert_eq!(deciding.read(&word, text("0.71"), &mut flaws), text("0.71"));
        assert_eq!(
            flaws,
            ["`acc` is a number in quotes and counts as the number: write it without"],
            "once"
        );
        assert_eq!(deciding.absent(), []);
    }

    /// Returns the reason why `acc` has no number after `note`; empty if there is none.
    fn reason(note: impl FnOnce(&mut DecidingMetrics)) -> String {
        let mut deciding = DecidingMetrics::new(&["acc".into()]);
        note(&mut deciding);
        match deciding.absent().pop() {
            Some(LogRecord::Absent { why, .. }) => why,
            _ => String::new(),
        }
    }

    #[test]
    fn the_last_report_of_a_metric_without_a_number_gives_the_reason() {
        let acc: Name = "acc".into();
        let metric = reason(|deciding| deciding.note_elsewhere(&acc, || AbsenceReason::Metric));
        assert!(metric.starts_with("was recorded as a metric"));
        let both = reason(|deciding| {
            deciding.note_elsewhere(&acc, || AbsenceReason::Metric);
            deciding.note(&acc, || AbsenceReason::Null);
            deciding.note_elsewhere(&acc, || AbsenceReason::Metric);
        });
        assert_eq!(both, "was `null`, not a number");
        let other = reason(|deciding| deciding.note_other_rank(std::iter::once(&acc), 3));
        assert!(
            other.starts_with("was reported by rank 3 and not by rank 0"),
            "{other}"
        );
        let refused = reason(|deciding| deciding.note_refused("line 3: it is not JSON"));
        assert!(refused.ends_with("a line of its records was left out: line 3: it is not JSON"));
        let reported = reason(|deciding| {
            deciding.note(&acc, || AbsenceReason::Null);
            deciding.note_numbers(&[(acc.clone(), Datum::Number(Metric(1.0)))]);
        });
        assert_eq!(reported, "", "a metric with a number needs no reason");
        assert_eq!(
            reason(|_| ()),
            "",
            "a metric that was never reported has no reason"
        );
    }
}
