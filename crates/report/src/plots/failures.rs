//! Failures: the causes of failed attempts, with their frequencies.

use super::figure::{Figure, Guide, Mark, Panel, Scale, Side, Tone};
use super::{Input, Plot, WHERE, nothing, stacked};
use crate::summary;
use crate::text::elide;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use swath_model::study::{Exit, Kind, TrialId};

pub(super) const KIND: Kind<dyn Plot> = Kind {
    name: "failures",
    about: "how attempts failed, and how often",
    paper: None,
    options: &[WHERE],
    capabilities: &[],
    build: |_, _, _| Some(Box::new(figure)),
};

/// Maximum number of causes. The rarest share the last one.
const MOST: usize = 16;

/// Number of trials that are named beside each bar.
const SHOWN_TRIALS: usize = 3;

/// The failures of a study, by cause.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Failures {
    /// The causes, the most frequent first.
    pub causes: Vec<Cause>,
    /// Number of ended attempts, including those that did not fail.
    pub of: usize,
}

/// One cause of failures.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Cause {
    /// The cause in words, cut to 80 columns.
    pub cause: String,
    /// Number of attempts with this cause.
    pub attempts: usize,
    /// The ids of their trials, at most the first 100.
    pub trials: Vec<u32>,
}

impl Failures {
    /// Counts the failed and lost attempts. An attempt that exited with 0 but reported no objective
    /// counts as failed.
    #[must_use]
    pub fn of(input: &Input<'_>) -> Self {
        let trials: BTreeMap<TrialId, _> = input.ran().map(|trial| (trial.id, trial)).collect();
        let mut causes: BTreeMap<String, (usize, BTreeSet<u32>)> = BTreeMap::new();
        let ended = input
            .chronicle
            .attempts
            .iter()
            .filter(|span| trials.contains_key(&span.trial));
        let ended: Vec<_> = ended.filter(|span| span.exit.is_some()).collect();
        let last: BTreeMap<TrialId, usize> = ended
            .iter()
            .enumerate()
            .map(|(index, span)| (span.trial, index))
            .collect();
        for (index, span) in ended.iter().enumerate() {
            // For the last attempt of a trial the study has the verdict: it may be a failure
            // although the program exited with 0.
            let verdict = trials
                .get(&span.trial)
                .filter(|_| last.get(&span.trial) == Some(&index))
                .and_then(|trial| trial.exit.as_ref());
            let exit = verdict.or(span.exit.as_ref());
            // A lost attempt is not a failure of its trial, but it is counted here.
            let lost = matches!(exit, Some(Exit::Lost)).then(|| Exit::Lost.to_string());
            if let Some(cause) = summary::kind_of_cause(exit).or(lost) {
                let (attempts, trials) = causes.entry(elide(&cause, 80).into_owned()).or_default();
                *attempts += 1;
                trials.insert(span.trial.0);
            }
        }
        let mut causes: Vec<Cause> = causes
            .into_iter()
            .map(|(cause, (attempts, trials))| Cause {
                cause,
                attempts,
                trials: trials.into_iter().take(100).collect(),
            })
            .collect();
        causes.sort_by(|a, b| b.attempts.cmp(&a.attempts).then(a.cause.cmp(&b.cause)));
        if causes.len() > MOST {
            let others = causes.split_off(MOST - 1);
            let attempts = others.iter().map(|cause| cause.attempts).sum();
            let trials = others
                .iter()
                .flat_map(|cause| cause.trials.iter().copied())
                .take(100)
                .collect();
            causes.push(Cause {
                cause: format!("{} other causes", others.len()),
                attempts,
                trials,
            });
        }
        Self {
            causes,
            of: ended.len(),
        }
    }
}

fn figure(inputs: &[Input<'_>]) -> Figure {
    stacked(inputs, "failures", study_figure)
}

fn study_figure(input: &Input<'_>) -> Figure {
    let data = Failures::of(input);
    if data.causes.is_empty() {
        return nothing(input, "failures", "no attempt has failed");
    }
    let mut figure = Figure::new(input.title("failures"));
    let failed: usize = data.causes.iter().map(|cause| cause.attempts).sum();
    figure.notes.push(format!(
        "{failed} of {} attempts failed or were lost",
        data.of
    ));
    let most = data
        .causes
        .iter()
        .map(|cause| cause.attempts)
        .max()
        .unwrap_or(1) as f64;
    let mut marks = Vec::new();
    for (row, cause) in data.causes.iter().enumerate() {
        let row = row as f64;
        marks.push(Mark::Block(
            (0.0, cause.attempts as f64),
            (row + 0.2, row + 0.8),
            Tone::Bad,
        ));
        let ids: Vec<String> = cause
            .trials
            .iter()
            .take(SHOWN_TRIALS)
            .map(ToString::to_string)
            .collect();
        let more = match cause.trials.len() > SHOWN_TRIALS {
            true => ", …",
            false => "",
        };
        let plural = if cause.trials.len() == 1 { "" } else { "s" };
        let ids = ids.join(", ");
        let text = format!("{} (trial{plural} {ids}{more})", cause.attempts);
        marks.push(Mark::Text(
            (cause.attempts as f64, row + 0.5),
            text,
            Side::Right,
            Tone::Ink,
        ));
    }
    figure.panels.push(Panel {
        title: String::new(),
        x: Guide::new("attempts", Scale::Linear(0.0, most * 2.2)),
        y: Guide::new(
            "",
            Scale::Bands(
                data.causes
                    .iter()
                    .map(|cause| cause.cause.clone())
                    .collect(),
            ),
        ),
        marks,
    });
    figure
}
