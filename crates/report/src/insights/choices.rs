//! Values of a choice that differ in their results.

use super::sample::Sample;
use super::{Facts, Insight, SUBJECT_LEVEL, Subject};
use crate::number;
use crate::plots::axis::Axis;
use crate::summary::CONFIDENCE;
use serde_json::json;
use swath_numerics::rank_test::{mann_whitney, shift};
use swath_numerics::sample::holm;

/// Minimum number of results of each value.
const FEW: usize = 5;
/// Maximum number of values whose pairs are compared.
const MOST_VALUES: usize = 12;

/// Two values of a choice, the better one first.
struct Pair<'s, 'a> {
    sample: &'s Sample<'a>,
    axis: Axis,
    better: (usize, Vec<usize>),
    worse: (usize, Vec<usize>),
    /// By how much the better one leads, with the bounds of its interval.
    lead: (f64, f64, f64),
    p: f64,
}

/// Returns a sentence for each value that the best value of its choice beats.
///
/// The scores are those without the part that the other parameters explain, so that a value which
/// the sampler tried together with better values of the others does not look better itself.
pub(super) fn insights(facts: &Facts<'_>) -> Vec<Insight> {
    let samples: Vec<Sample<'_>> = facts.samples.iter().map(Sample::thinned).collect();
    let mut pairs = Vec::new();
    for sample in &samples {
        let axes = sample.axes(facts.input);
        for (index, axis) in axes.iter().enumerate() {
            if axis.is_choice() && axis.labels.len() <= MOST_VALUES {
                pairs.extend(compared(facts, sample, &axes, index));
            }
        }
    }
    let corrected = holm(&pairs.iter().map(|pair| pair.p).collect::<Vec<_>>());
    let clear = pairs.iter().zip(corrected);
    let clear: Vec<(&Pair<'_, '_>, f64)> = clear.filter(|(_, p)| *p <= SUBJECT_LEVEL).collect();
    // A value that is beaten itself is not named as a winner.
    let is_beaten = |pair: &Pair<'_, '_>| {
        clear.iter().any(|(other, _)| {
            std::ptr::eq(other.sample, pair.sample)
                && other.axis.name == pair.axis.name
                && other.worse.0 == pair.better.0
        })
    };
    clear
        .iter()
        .filter(|(pair, _)| !is_beaten(pair))
        .map(|(pair, p)| sentence(facts, pair, *p, samples.len() > 1))
        .collect()
}

/// Compares each two values of a choice.
fn compared<'s, 'a>(
    facts: &Facts<'_>,
    sample: &'s Sample<'a>,
    axes: &[Axis],
    index: usize,
) -> Vec<Pair<'s, 'a>> {
    let axis = &axes[index];
    let groups: Vec<(usize, Vec<usize>)> = (0..axis.labels.len())
        .map(|label| {
            let rows = (0..sample.len()).filter(|row| axis.values[*row] == Some(label as f64));
            (label, rows.collect::<Vec<_>>())
        })
        .filter(|(_, rows)| rows.len() >= FEW)
        .collect();
    if groups.len() < 2 {
        return Vec::new();
    }
    let rest = sample.without_others(axes, index, facts);
    let scores = |rows: &[usize]| {
        rows.iter()
            .filter_map(|row| rest[*row])
            .collect::<Vec<f64>>()
    };
    let mut pairs = Vec::new();
    for (at, one) in groups.iter().enumerate() {
        for other in &groups[at + 1..] {
            let (a, b) = (scores(&one.1), scores(&other.1));
            let p = mann_whitney(&a, &b);
            // Smaller scores are better, so a positive shift means that `other` leads.
            let Some((lead, low, high)) = shift(&a, &b, CONFIDENCE) else {
                continue;
            };
            let (better, worse, lead) = if lead > 0.0 {
                (other, one, (lead, low, high))
            } else {
                (one, other, (-lead, -high, -low))
            };
            pairs.push(Pair {
                sample,
                axis: axis.clone(),
                better: better.clone(),
                worse: worse.clone(),
                lead,
                p,
            });
        }
    }
    pairs
}

/// Returns the sentence on two values.
fn sentence(facts: &Facts<'_>, pair: &Pair<'_, '_>, p: f64, several: bool) -> Insight {
    let Pair {
        sample,
        axis,
        better,
        worse,
        lead: (lead, low, high),
        ..
    } = pair;
    let half = (high - lead).max(lead - low);
    let [winner, loser] = [better.0, worse.0].map(|label| &axis.labels[label]);
    let text = format!(
        "`{}`: {winner} beats {loser} by {} ± {} in {}{} ({} against {}).",
        axis.name,
        number::brief(number::rounded(*lead, 2)),
        number::brief(number::rounded(half, 2)),
        sample.objective.metric,
        if several || sample.rung.is_some() {
            sample.place()
        } else {
            String::new()
        },
        super::trials(better.1.len()),
        worse.1.len(),
    );
    let numbers = json!({
        "metric": *sample.objective.metric, "rung": sample.rung.as_ref().map(|(_, step)| *step),
        "parameter": axis.name, "better": winner, "worse": loser,
        "lead": lead, "low": low, "high": high, "confidence": CONFIDENCE, "p": p,
        "better_trials": better.1.len(), "worse_trials": worse.1.len(),
    });
    let caution = facts.adaptive.as_ref().map(|name| {
        format!(
            "{name} chose these trials by earlier results; the effect of the other parameters is \
             taken out by a model, which may leave a part of it"
        )
    });
    let rows = better.1.iter().chain(&worse.1);
    Insight::new(Subject::Choice, "slice", text, numbers)
        .with_trials(rows.map(|row| sample.trials[*row]))
        .with_caution(caution)
}
