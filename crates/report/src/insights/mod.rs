//! Insights: sentences about a study, each with the numbers and the trials that carry it.
//!
//! A sentence that claims more than a count is there only if a test carries it. The tests of one
//! subject are corrected together by Holm's method at `SUBJECT_LEVEL`, so that in a study in which
//! nothing holds, at most [`LEVEL`] of all studies get a false sentence. Trials are compared only
//! with trials that were trained as long: complete ones, or those that reached one rung
//! (`sample.rs`).

mod best;
mod choices;
mod failures;
mod gain;
mod parameters;
mod sample;
mod schedule;
#[cfg(test)]
mod tests;
mod untried;

use crate::compare;
use crate::plots::Input;
use sample::Sample;
use serde::Serialize;
use serde_json::{Map, Value};
use swath_model::study::{Study, Trial};
use swath_search::sampler::Outlook;

/// Number of further trials whose gain is estimated unless the caller asks for another number.
pub const FURTHER: u32 = 50;

/// Share of the studies in which nothing holds that may get a false sentence.
pub const LEVEL: f64 = 0.05;

/// Share of the studies in which nothing holds that may get a false sentence on one of the five
/// tested subjects: the lead of the best trial, parameters, ends of ranges, choices and failures.
const SUBJECT_LEVEL: f64 = LEVEL / 5.0;

/// The subject of a sentence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    /// The best trial, and whether its lead is more than noise.
    Best,
    /// The failures of one cause, and what their trials have in common.
    Failures,
    /// The parameters that matter.
    Importance,
    /// The best trials lie at an end of a parameter's range.
    RangeEnd,
    /// One value of a choice is better than another.
    Choice,
    /// The steps and hours that the scheduler saved.
    Saved,
    /// The time that the run will still take.
    Remaining,
    /// The expected gain of further trials.
    Gain,
    /// Values that no trial has, and trials that never started.
    Untried,
}

/// One sentence with its evidence.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Insight {
    /// The subject of the sentence.
    pub kind: Subject,
    /// The sentence.
    pub text: String,
    /// The reason to read the sentence with care, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub caution: Option<String>,
    /// The numbers of the sentence by name.
    pub numbers: Map<String, Value>,
    /// The ids of the trials that are the evidence, at most 100.
    pub trials: Vec<u32>,
    /// The kind of the plot that shows the evidence.
    pub chart: &'static str,
}

/// The sentences about a study.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Insights {
    /// The name of the study.
    pub study: String,
    /// [`LEVEL`].
    pub level: f64,
    /// The sentences, the most important subject first.
    pub insights: Vec<Insight>,
}

/// The facts that all subjects work with.
struct Facts<'a> {
    input: &'a Input<'a>,
    study: &'a Study,
    /// The comparable results of each objective.
    samples: Vec<Sample<'a>>,
    /// The sampler or scheduler that chose configurations from earlier results.
    adaptive: Option<String>,
    /// Whether the input has all trials of the study.
    is_whole: bool,
    /// Whether a run holds the study.
    is_running: bool,
    /// The model of the results, if it predicts trials that it was not fitted to.
    outlook: Option<Outlook>,
}

impl Insights {
    /// Computes the sentences about the trials of an input. `is_running` says whether a run holds
    /// the study, and `further` is the number of further trials whose gain is estimated.
    #[must_use]
    pub fn of(input: &Input<'_>, is_running: bool, further: u32) -> Self {
        let study = input.study;
        let objectives = study.header().objectives.iter();
        let all = study.trials().iter().filter(|trial| !trial.removed).count();
        let is_whole = input.trials.len() == all;
        let facts = Facts {
            input,
            study,
            samples: objectives
                .map(|objective| Sample::of(input, objective))
                .collect(),
            adaptive: compare::adaptive(study),
            is_whole,
            is_running,
            outlook: gain::model(input, is_whole, further),
        };
        let subjects = [
            best::insights,
            failures::insights,
            parameters::importance,
            parameters::range_ends,
            choices::insights,
            schedule::saved,
            schedule::remaining,
            gain::insights,
            untried::insights,
        ];
        Self {
            study: study.header().name.clone(),
            level: LEVEL,
            insights: subjects
                .iter()
                .flat_map(|subject| subject(&facts))
                .collect(),
        }
    }
}

impl Insight {
    /// Creates a sentence whose numbers are the entries of a JSON object.
    fn new(kind: Subject, chart: &'static str, text: String, numbers: Value) -> Self {
        let numbers = match numbers {
            Value::Object(numbers) => numbers,
            _ => Map::new(),
        };
        Self {
            kind,
            text,
            caution: None,
            numbers,
            trials: Vec::new(),
            chart,
        }
    }

    /// Adds the trials that are the evidence.
    fn with_trials<'t>(mut self, trials: impl IntoIterator<Item = &'t Trial>) -> Self {
        let ids = trials.into_iter().map(|trial| trial.id.0);
        self.trials = ids.take(MOST_TRIALS).collect();
        self
    }

    /// Adds a reason to read the sentence with care.
    fn with_caution(mut self, caution: Option<String>) -> Self {
        self.caution = caution;
        self
    }
}

/// Maximum number of trials that a sentence names as its evidence.
const MOST_TRIALS: usize = 100;

/// Returns words as a list: `a`, `a and b`, `a, b and c`.
fn listed(words: &[String]) -> String {
    match words {
        [] => String::new(),
        [word] => word.clone(),
        [words @ .., last] => format!("{} and {last}", words.join(", ")),
    }
}

/// Returns `1 trial`, `2 trials`.
fn trials(count: usize) -> String {
    if count == 1 {
        "1 trial".to_owned()
    } else {
        format!("{count} trials")
    }
}
