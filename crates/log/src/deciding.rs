//! The metrics that decide, and the values that a trial gave for them in place of a number.
//!
//! A quoted number counts as the number, with one warning. Any other value is remembered, so that a
//! trial without its objective fails with the reason and not with "never reported".

use crate::space::Name;
use crate::study::absence::{not_a_number, shortened};
use crate::study::{Datum, LogRecord, Metric};

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
    quotes_warned: bool,
    instead: Option<Instead>,
}

/// The last value of a deciding metric that is not a reported number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Instead {
    Text(String),
    Null,
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

impl Instead {
    /// Makes the value for a list or an object from the beginning of its text.
    pub(super) fn nested(text: &str) -> Self {
        Self::Nested(shortened(text))
    }

    /// Returns the message about the value, worded to follow the metric's name.
    fn reason(&self) -> String {
        match self {
            Self::Text(text) => not_a_number(text),
            Self::Null => "was `null`, not a number".to_owned(),
            Self::Nested(text) => format!(
                "was a list or an object (`{text}`), not a number: give each number a name of its own"
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
        let metric = |name: &Name| DecidingMetric {
            name: name.clone(),
            has_number: false,
            quotes_warned: false,
            instead: None,
        };
        let metrics: Vec<DecidingMetric> = names.iter().map(metric).collect();
        Self {
            without_number: metrics.len(),
            metrics,
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
            metric.instead = Some(Instead::Text(shortened(&text)));
            return datum;
        };
        if !std::mem::replace(&mut metric.quotes_warned, true) {
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
            self.note_elsewhere(name, || Instead::OtherRank(rank));
        }
    }

    /// Converts all values of a report, as [`read`](Self::read) does.
    pub fn read_all(&mut self, values: &mut [(Name, Datum)], flaws: &mut Vec<String>) {
        for (name, datum) in values {
            let given = std::mem::replace(datum, Datum::Flag(false));
            *datum = self.read(name, given, flaws);
        }
    }

    /// Remembers the value that a report gave for a metric in place of a number.
    pub(super) fn note(&mut self, name: &Name, instead: impl FnOnce() -> Instead) {
        if self.without_number > 0
            && let Some(metric) = self.metric(name).filter(|metric| !metric.has_number)
        {
            metric.instead = Some(instead());
        }
    }

    /// Remembers a value that is recorded outside of a report, unless there is a reason already.
    pub(super) fn note_elsewhere(&mut self, name: &Name, instead: impl FnOnce() -> Instead) {
        if self.without_number > 0
            && let Some(metric) = self.metric(name).filter(|metric| !metric.has_number)
        {
            metric.instead.get_or_insert_with(instead);
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
            .any(|metric| metric.name == *name && !metric.has_number && metric.instead.is_none())
    }

    /// Returns a record for each metric that has no number and a known reason.
    pub(super) fn absent(&self) -> Vec<LogRecord> {
        let absent = |metric: &DecidingMetric| {
            let reason = metric
                .instead
                .as_ref()
                .map(Instead::reason)
                .or_else(|| self.refusals());
            let why = reason.filter(|_| !metric.has_number)?;
            Some(LogRecord::Absent {
                metric: metric.name.clone(),
                why,
            })
        };
        self.metrics.iter().filter_map(absent).collect()
    }

    /// Returns the message that lines were refused, or `None` if there were none.
    fn refusals(&self) -> Option<String> {
        let last = self.last_refusal.as_ref()?;
        let lines = match self.refused_lines {
            1 => "a line of its records was".to_owned(),
            count => format!("{count} lines of its records were"),
        };
        Some(format!(
            "was not in what could be read; {lines} left out: {last}"
        ))
    }
}

/// Parses a number in quotes, as a JSON text or among printed punctuation.
pub(super) fn number_in_quotes(text: &str) -> Option<f64> {
    let is_around = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | ',' | ';');
    text.trim_matches(is_around).parse().ok()
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

    #[test]
    fn of_a_metric_without_a_number_the_last_report_gives_the_reason() {
        let acc: Name = "acc".into();
        let reason = |note: &dyn Fn(&mut DecidingMetrics)| {
            let mut deciding = DecidingMetrics::new(std::slice::from_ref(&acc));
            note(&mut deciding);
            match deciding.absent().pop() {
                Some(LogRecord::Absent { why, .. }) => why,
                _ => String::new(),
            }
        };
        let metric =
            |deciding: &mut DecidingMetrics| deciding.note_elsewhere(&acc, || Instead::Metric);
        assert!(reason(&metric).starts_with("was recorded as a metric"));
        let both = reason(&|deciding| {
            metric(deciding);
            deciding.note(&acc, || Instead::Null);
            metric(deciding);
        });
        assert_eq!(both, "was `null`, not a number");
        let other = reason(&|deciding| deciding.note_other_rank(std::iter::once(&acc), 3));
        assert!(
            other.starts_with("was reported by rank 3 and not by rank 0"),
            "{other}"
        );
        let refused = reason(&|deciding| deciding.note_refused("line 3: it is not JSON"));
        assert!(refused.ends_with("a line of its records was left out: line 3: it is not JSON"));
        let reported = reason(&|deciding| {
            deciding.note(&acc, || Instead::Null);
            deciding.note_numbers(&[(acc.clone(), Datum::Number(Metric(1.0)))]);
        });
        assert_eq!(reported, "", "a metric with a number needs no reason");
        assert_eq!(
            reason(&|_| ()),
            "",
            "nothing is known of one that was never reported"
        );
    }
}
