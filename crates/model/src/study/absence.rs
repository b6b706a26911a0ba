//! The reason why a trial has no number for a metric that decides.

use super::{Header, LogRecord, Trial};
use crate::space::Name;
use std::collections::BTreeSet;

/// Maximum number of reported names in the message about a metric that was never reported.
const LISTED: usize = 6;

/// Maximum number of characters that are shown of a reported text.
const SHOWN: usize = 60;

impl Header {
    /// Returns the deciding metrics in alphabetical order: the objectives, the resource and the
    /// metrics of the outcome constraints.
    #[must_use]
    pub fn deciding_metrics(&self) -> Vec<Name> {
        let objectives = self.objectives.iter().map(|objective| &objective.metric);
        let constrained = self.limits.iter().map(|limit| &limit.metric);
        let names: BTreeSet<&Name> = objectives
            .chain(&self.resource)
            .chain(constrained)
            .collect();
        names.into_iter().cloned().collect()
    }
}

impl Trial {
    /// Returns the reason why the trial has no finite number for `metric`, worded to follow the
    /// metric's name.
    #[must_use]
    pub fn absence(&self, metric: &Name) -> String {
        if let Some(tally) = self.metrics.get(metric) {
            return self.not_finite(metric, tally.last.0);
        }
        // The last attempt's own explanation is the most precise one. It comes from the logger,
        // which has seen the raw lines.
        let explanation = self.records.iter().rev().find_map(|record| match record {
            LogRecord::Absent {
                metric: absent,
                why,
            } if absent == metric => Some(why),
            _ => None,
        });
        if let Some(why) = explanation {
            return why.clone();
        }
        match self.texts.get(metric) {
            Some(text) => not_a_number(text),
            None => format!("was never reported{}", self.reported_names()),
        }
    }

    /// Returns a message about the reported value of `metric` that is not finite. `last` is its
    /// last value.
    fn not_finite(&self, metric: &Name, last: f64) -> String {
        let counted = self
            .counted
            .as_ref()
            .and_then(|counted| counted.number(metric));
        let value = counted.unwrap_or(last);
        let averaged = self
            .series
            .get(metric)
            .into_iter()
            // With an averaging rule the value itself may be finite while a report among those
            // averaged is not.
            .flatten()
            .map(|metric| metric.0);
        match averaged
            .filter(|_| value.is_finite())
            .find(|number| !number.is_finite())
        {
            Some(number) => {
                format!("was reported, but is {number} in one of the reports that count")
            }
            None => format!("was reported, but is {value}"),
        }
    }

    /// Lists the names that the trial did report, because a misspelt name is easy to see among
    /// them.
    fn reported_names(&self) -> String {
        let names: BTreeSet<&Name> = self.metrics.keys().chain(self.texts.keys()).collect();
        let shown: Vec<String> = names
            .iter()
            .take(LISTED)
            .map(|name| format!("`{name}`"))
            .collect();
        match (names.is_empty(), names.len() > LISTED) {
            (true, _) => String::new(),
            (false, true) => format!("; the reports have {}, …", shown.join(", ")),
            (false, false) => format!("; the reports have {}", shown.join(", ")),
        }
    }
}

/// Returns the message that a reported text is no number, with the remedy.
#[must_use]
pub fn not_a_number(text: &str) -> String {
    let shown = shortened(text);
    // No remedy: a flag is a deliberate value, not a number printed in the wrong form.
    if matches!(text, "true" | "false") {
        return format!("was `{shown}`, not a number");
    }
    // `tensor(0.5)` or `np.float32(0.5)` is a printed object: the name before the bracket tells how
    // to get its number.
    let type_name = text.split_once('(').map(|(name, _)| name).filter(|name| {
        !name.is_empty()
            && name
                .chars()
                .all(|c| c.is_alphanumeric() || matches!(c, '_' | '.'))
    });
    let remedy = match type_name {
        Some("tf.Tensor") => "print `.numpy()`",
        Some(_) => "print `.item()`",
        None => "report the number alone",
    };
    format!("was a text (`{shown}`), not a number: {remedy}")
}

/// Returns the beginning of a text that a program wrote, cut to one line.
#[must_use]
pub fn shortened(text: &str) -> String {
    let line = text.split(['\n', '\r']).next().unwrap_or_default();
    if line.len() == text.len() && text.chars().count() <= SHOWN {
        return text.to_owned();
    }
    line.chars().take(SHOWN).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_in_place_of_a_number_is_shown_with_the_remedy() {
        for (text, expected) in [
            (
                "tensor(0.33)",
                "was a text (`tensor(0.33)`), not a number: print `.item()`",
            ),
            (
                "np.float32(0.5)",
                "was a text (`np.float32(0.5)`), not a number: print `.item()`",
            ),
            (
                "tf.Tensor(0.5,",
                "was a text (`tf.Tensor(0.5,`), not a number: print `.numpy()`",
            ),
            (
                "71%",
                "was a text (`71%`), not a number: report the number alone",
            ),
            (
                "(1)",
                "was a text (`(1)`), not a number: report the number alone",
            ),
            ("true", "was `true`, not a number"),
        ] {
            assert_eq!(not_a_number(text), expected);
        }
        assert_eq!(shortened(&"é".repeat(80)), format!("{}…", "é".repeat(60)));
        assert_eq!(shortened("two\nlines"), "two…");
    }
}
