//! `[[outcome_constraint]]`: bounds on reported metrics that a good configuration satisfies.

use super::keys::tables;
use swath_model::source::{Diagnostic, Diagnostics, Opt, Preset, Section, Takes};
use swath_model::study::{Limit, Objective};

pub(in crate::sweep) const OPTIONS: &[Opt] = &[
    Opt::new("metric", Takes::Text, Preset::Required, "the reported name"),
    Opt::new(
        "max",
        Takes::Number,
        Preset::Absent,
        "the largest value allowed",
    ),
    Opt::new(
        "min",
        Takes::Number,
        Preset::Absent,
        "the least value allowed",
    ),
];

pub(super) fn read(
    file: &mut Section,
    objectives: &[Objective],
    diagnostics: &mut Diagnostics,
) -> Vec<Limit> {
    let mut limits: Vec<Limit> = Vec::new();
    for mut section in tables(file, "outcome_constraint", diagnostics) {
        let (span, before) = (section.span.clone(), diagnostics.list.len());
        let metric = section.take_text("metric", diagnostics);
        let max = section.take_number("max", diagnostics);
        let min = section.take_number("min", diagnostics);
        // A misspelled or unreadable key may be the missing one, so nothing else is reported.
        if section.has_refused() || diagnostics.list.len() > before {
            continue;
        }
        let Some((metric, at)) = metric.filter(|(metric, _)| !metric.is_empty()) else {
            let error =
                Diagnostic::error("missing-metric", "an outcome constraint needs a `metric`")
                    .at(span, "");
            diagnostics.push(error.hint("name what your program reports: metric = \"latency\""));
            continue;
        };
        let refused = match (&min, &max) {
            (None, None) => {
                let error = Diagnostic::error(
                    "missing-bound",
                    "an outcome constraint needs a `max` or a `min`",
                )
                .at(span, "");
                Some(error.hint("such as max = 20"))
            }
            (Some((min, low)), Some((max, high))) if min > max => Some(
                Diagnostic::error(
                    "empty-range",
                    format!("no value of `{metric}` satisfies this outcome constraint"),
                )
                .at(low.clone(), format!("at least {min}"))
                .at(high.clone(), format!("at most {max}"))
                .hint("swap them"),
            ),
            _ if objectives.is_empty() => {
                let error = Diagnostic::error(
                    "constraint-without-objective",
                    "there is an outcome constraint, but no objective",
                );
                Some(
                    error
                        .at(span, "")
                        .hint("add the metric to optimise: [objective]"),
                )
            }
            _ if limits.iter().any(|other| *other.metric == *metric) => {
                let error = Diagnostic::error(
                    "duplicate-constraint",
                    format!("`{metric}` has two outcome constraints"),
                );
                Some(error.at(at, "").hint("give `min` and `max` in one"))
            }
            _ => None,
        };
        match refused {
            Some(error) => diagnostics.push(error),
            None => limits.push(Limit {
                metric: metric.into(),
                min: min.map(|(min, _)| min),
                max: max.map(|(max, _)| max),
            }),
        }
    }
    limits
}
