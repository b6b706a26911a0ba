//! `[objective]`: the metrics to optimise.

use super::keys::tables;
use swath_model::source::{Diagnostic, Diagnostics, Opt, Preset, Section, Takes};
use swath_model::study::{Goal, Objective, Take};

/// Parts of metric names for which larger is better. Used only to suggest a missing goal.
const LARGER: &[&str] = &[
    "acc",
    "f1",
    "auc",
    "score",
    "reward",
    "return",
    "precision",
    "recall",
    "r2",
    "bleu",
    "map",
];

pub(in crate::sweep) const OPTIONS: &[Opt] = &[
    Opt::new("metric", Takes::Text, Preset::Required, "the reported name"),
    Opt::new(
        "goal",
        Takes::OneOf(&["min", "max"]),
        Preset::Required,
        "whether small or large values are good",
    ),
    Opt::new(
        "take",
        Takes::Either(&[
            Takes::OneOf(&["best", "last", "mean", "median"]),
            Takes::Form("last:N", "^last:[1-9][0-9]*$"),
        ]),
        Preset::Text("best"),
        "which of a trial's reports counts, or how several make one value",
    ),
    Opt::new(
        "target",
        Takes::Number,
        Preset::Absent,
        "the sweep ends when a complete trial reaches this value",
    ),
];

/// Reads the objectives, and the target of each.
pub(super) fn read(
    file: &mut Section,
    diagnostics: &mut Diagnostics,
) -> (Vec<Objective>, Vec<Option<f64>>) {
    let mut objectives: Vec<Objective> = Vec::new();
    let mut targets = Vec::new();
    for mut section in tables(file, "objective", diagnostics) {
        let span = section.span.clone();
        let metric = section.take_text("metric", diagnostics);
        let goal = goal(
            &mut section,
            metric.as_ref().map(|(name, _)| name.as_str()),
            diagnostics,
        );
        let take = take(&mut section, diagnostics);
        let target = section.take_number("target", diagnostics);
        let Some((metric, at)) = metric else {
            if section.has_misspelled("metric") {
                continue;
            }
            let error =
                Diagnostic::error("missing-metric", "an objective needs a `metric`").at(span, "");
            diagnostics.push(error.hint("name what your program reports: metric = \"val_loss\""));
            continue;
        };
        if metric.is_empty() {
            diagnostics.push(Diagnostic::error("bad-name", "`metric` is empty").at(at, ""));
        } else if objectives.iter().any(|other| *other.metric == *metric) {
            let message = format!("`{metric}` is an objective twice");
            diagnostics.push(Diagnostic::error("duplicate-objective", message).at(at, ""));
        } else {
            objectives.push(Objective {
                metric: metric.into(),
                goal,
                take,
            });
            targets.push(target.map(|(target, _)| target));
        }
    }
    (objectives, targets)
}

/// Reads the goal. Reports a missing or unknown goal and returns [`Goal::Min`] in its place.
fn goal(section: &mut Section, metric: Option<&str>, diagnostics: &mut Diagnostics) -> Goal {
    let span = section.span.clone();
    let before = diagnostics.list.len();
    match section.take_text("goal", diagnostics) {
        Some((goal, _)) if goal == "min" => return Goal::Min,
        Some((goal, _)) if goal == "max" => return Goal::Max,
        Some((goal, span)) => {
            let error = Diagnostic::error("unknown-name", format!("there is no goal `{goal}`"))
                .at(span, "");
            let meant = match goal.to_lowercase() {
                lower if lower.starts_with("max") => "did you mean `max`?",
                lower if lower.starts_with("min") => "did you mean `min`?",
                _ => "it is `min` or `max`",
            };
            diagnostics.push(error.hint(meant));
        }
        None if diagnostics.list.len() == before && !section.has_misspelled("goal") => {
            let lower = metric.unwrap_or_default().to_lowercase();
            let guess = if LARGER.iter().any(|name| lower.contains(name)) {
                "max"
            } else {
                "min"
            };
            let error =
                Diagnostic::error("missing-goal", "an objective needs a `goal`").at(span, "");
            diagnostics.push(error.hint(format!(
                "say whether small or large is good: goal = \"{guess}\""
            )));
        }
        None => {}
    }
    Goal::Min
}

/// Reads the rule that reduces a trial's reports to one value. The default is the best report.
fn take(section: &mut Section, diagnostics: &mut Diagnostics) -> Take {
    let Some((word, span)) = section.take_text("take", diagnostics) else {
        return Take::Best;
    };
    Take::parse(&word).unwrap_or_else(|| {
        let error = Diagnostic::error("unknown-name", format!("`take` cannot be `{word}`")).at(span, "");
        let rules = "it is `best`, `last`, `mean`, `median` or `last:3` (the mean of the last three) over the \
                     trial's reports";
        diagnostics.push(error.hint(rules));
        Take::Best
    })
}
