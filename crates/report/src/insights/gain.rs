//! The gain that further trials can be expected to bring.

use super::{Facts, Insight, Subject, trials};
use crate::number;
use crate::plots::Input;
use serde_json::json;
use std::sync::Arc;
use swath_model::study::{Objective, Setting};
use swath_search::sampler::{Gain, Outlook};

/// Returns the sentence on the gain of further trials, if the model carries one.
pub(super) fn insights(facts: &Facts<'_>) -> Vec<Insight> {
    outlook(facts).into_iter().collect()
}

fn outlook(facts: &Facts<'_>) -> Option<Insight> {
    let objective = facts.study.header().objectives.first()?;
    let outlook = facts.outlook.as_ref()?;
    let gain = if facts.adaptive.is_some() {
        outlook.chosen
    } else {
        outlook.drawn
    };
    // The model knows no bounds: where the whole interval lies beyond zero, it is wrong.
    let room = room(facts, objective);
    if gain.low >= room {
        return None;
    }
    let (gain, left) = (gain.at_most(room), outlook.left.at_most(room));
    let is_noise = gain.mean < outlook.noise;
    let advice = if is_noise {
        format!(
            "; that is less than the noise of one trial, {}, so further seeds of the best trials say more",
            short(outlook.noise)
        )
    } else {
        String::new()
    };
    let text = format!(
        "Another {} are expected to improve {} by {} ({} to {}); all that can still be found is about {}{advice}.",
        trials(outlook.further),
        objective.metric,
        short(gain.mean),
        short(gain.low),
        short(gain.high),
        short(left.mean.max(gain.mean)),
    );
    let parts = |gain: Gain| json!({"mean": gain.mean, "low": gain.low, "high": gain.high});
    let numbers = json!({
        "metric": *objective.metric, "further": outlook.further, "gain": parts(gain), "confidence": 0.9,
        "at_random": parts(outlook.drawn), "chosen": parts(outlook.chosen), "left": parts(left),
        "bound": outlook.bound, "noise": outlook.noise, "below_noise": is_noise,
        "explained": outlook.explained, "trials": outlook.trials,
    });
    let caution = format!(
        "a model of {} trials says so, which explains {:.0} % of the variance in trials that it was not \
         fitted to; it knows nothing of places unlike those that were tried",
        outlook.trials,
        (outlook.explained * 100.0).floor()
    );
    let best = facts.study.best(1);
    let insight = Insight::new(Subject::Gain, "history", text, numbers);
    Some(insight.with_trials(best).with_caution(Some(caution)))
}

/// Returns the distance from the best result to zero, which a metric that was never on its other side
/// is not expected to pass, such as a loss; infinite for other metrics.
fn room(facts: &Facts<'_>, objective: &Objective) -> f64 {
    let trials = facts.study.trials().iter().filter(|trial| !trial.removed);
    let results = trials.filter_map(|trial| trial.objective(objective));
    let scores = results.filter_map(|value| Some(objective.score(value)?.get()));
    let best = scores.reduce(f64::min);
    best.filter(|best| *best > 0.0).unwrap_or(f64::INFINITY)
}

fn short(value: f64) -> String {
    number::brief(number::rounded(value, 2))
}

/// Fits the model to all trials of the study. `None` for a part of them, and without a space.
pub(super) fn model(input: &Input<'_>, is_whole: bool, further: u32) -> Option<Outlook> {
    let header = input.study.header();
    let space = input.space.filter(|_| is_whole)?;
    let setting = Setting {
        space: Arc::new(space.clone()),
        objectives: header.objectives.clone(),
        seed: header.seed,
        trials: header.trials,
        slots: header.slots as usize,
        resource: header.resource.clone(),
        checkpoint: false,
        dir: None,
    };
    Outlook::of(&setting, input.study, further as usize)
}
