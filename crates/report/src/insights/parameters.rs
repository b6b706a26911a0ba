//! The parameters that matter, and the ends of ranges at which the best trials lie.

use super::sample::Sample;
use super::{Facts, Insight, SUBJECT_LEVEL, Subject, listed};
use crate::number;
use crate::plots::axis::Axis;
use crate::plots::importance::{Fitted, Importance};
use serde_json::json;
use swath_model::space::{Extent, Value};
use swath_numerics::exact_test::at_least;
use swath_numerics::rank_correlation::{ranks, ratio, spearman};
use swath_numerics::rank_test::mann_whitney;
use swath_numerics::sample::holm;
use swath_numerics::student::{f_tail, two_sided};

/// Minimum number of results for a test of a parameter.
const FEW: usize = 12;
/// Maximum number of parameters whose effect is tested without that of the others.
const MOST_CORRECTED: usize = 8;
/// Maximum number of parameters that the sentence on importance names.
const MOST_NAMED: usize = 4;
/// Parts of a range, from its end, in which the best trials may lie.
const PARTS: [(f64, &str); 2] = [(0.1, "tenth"), (0.2, "fifth")];
/// Share of the best trials that must lie at the end of a range.
const MOST_OF_THE_BEST: f64 = 0.8;

/// A parameter with the p-value of its effect on one objective.
struct Effect<'s, 'a> {
    sample: &'s Sample<'a>,
    axis: Axis,
    p: f64,
}

/// Returns a sentence on the parameters that matter for each objective.
pub(super) fn importance(facts: &Facts<'_>) -> Vec<Insight> {
    let samples: Vec<Sample<'_>> = facts.samples.iter().map(Sample::thinned).collect();
    let mut effects: Vec<Effect<'_, '_>> = Vec::new();
    for sample in samples.iter().filter(|sample| sample.len() >= FEW) {
        let axes = sample.axes(facts.input);
        let first = effects.len();
        for axis in &axes {
            let p = effect(
                axis,
                &sample.scores.iter().copied().map(Some).collect::<Vec<_>>(),
            );
            let axis = axis.clone();
            effects.push(Effect { sample, axis, p });
        }
        correct(facts, &axes, &mut effects[first..]);
    }
    let corrected = holm(&effects.iter().map(|effect| effect.p).collect::<Vec<_>>());
    let several = samples.len() > 1;
    samples
        .iter()
        .filter_map(|sample| {
            let clear: Vec<(&Axis, f64)> = effects
                .iter()
                .zip(&corrected)
                .filter(|(effect, p)| std::ptr::eq(effect.sample, sample) && **p <= SUBJECT_LEVEL)
                .map(|(effect, p)| (&effect.axis, *p))
                .collect();
            important(facts, sample, &clear, several)
        })
        .collect()
}

/// Tests the most conspicuous effects once more without the part that the other parameters explain,
/// if the search adapted to earlier results. The larger p-value counts.
fn correct(facts: &Facts<'_>, axes: &[Axis], effects: &mut [Effect<'_, '_>]) {
    if facts.adaptive.is_none() {
        return;
    }
    let mut order: Vec<usize> = (0..effects.len()).collect();
    order.sort_by(|a, b| effects[*a].p.total_cmp(&effects[*b].p));
    for (rank, index) in order.into_iter().enumerate() {
        let Effect { sample, axis, p } = &mut effects[index];
        if rank >= MOST_CORRECTED {
            *p = p.max(1.0);
        } else if *p <= SUBJECT_LEVEL {
            let rest = sample.without_others(axes, index, facts);
            *p = p.max(effect(axis, &rest));
        }
    }
}

/// Returns the p-value of the hypothesis that a parameter has no effect on the results: for a choice
/// an analysis of variance of the ranks; for a number the smaller of that over quarters of its
/// values, which sees an optimum inside, and of Spearman's correlation, which sees a trend. NaN if
/// there are too few results.
fn effect(axis: &Axis, scores: &[Option<f64>]) -> f64 {
    let pairs = axis.values.iter().zip(scores);
    let (x, y): (Vec<f64>, Vec<f64>) = pairs.filter_map(|(x, y)| Some(((*x)?, (*y)?))).unzip();
    let count = x.len();
    if count < FEW {
        return f64::NAN;
    }
    if axis.is_choice() {
        return variance_of_ranks(&x, &y);
    }
    let bins = if count >= 32 { 4.0 } else { 3.0 };
    let bin = |rank: &f64| ((rank - 0.5) / count as f64 * bins).floor();
    let binned: Vec<f64> = ranks(&x).iter().map(bin).collect();
    let trend = spearman(&x, &y).map_or(f64::NAN, |correlation| {
        let freedom = count as f64 - 2.0;
        let rest = 1.0 - correlation * correlation;
        two_sided(correlation * (freedom / rest.max(1e-300)).sqrt(), freedom)
    });
    (2.0 * trend.min(variance_of_ranks(&binned, &y))).min(1.0)
}

/// Returns the p-value of an analysis of variance of the ranks of `y` over groups: the test of
/// Kruskal & Wallis with the F distribution. NaN for a single group.
fn variance_of_ranks(group: &[f64], y: &[f64]) -> f64 {
    let mut groups = group.to_vec();
    groups.sort_by(f64::total_cmp);
    groups.dedup();
    let (between, within) = (groups.len() as f64 - 1.0, (y.len() - groups.len()) as f64);
    ratio(group, y).map_or(f64::NAN, |ratio| {
        let explained = ratio * ratio;
        let f = (explained / between) / ((1.0 - explained).max(1e-300) / within);
        f_tail(f, between, within)
    })
}

/// Returns the sentence on the parameters with a clear effect.
fn important(
    facts: &Facts<'_>,
    sample: &Sample<'_>,
    clear: &[(&Axis, f64)],
    several: bool,
) -> Option<Insight> {
    let (clear_axis, _) = clear.first()?;
    let axes = sample.axes(facts.input);
    let count = axes.len();
    let fitted = Fitted::grow(axes, sample.scores.clone(), facts.study.header().seed);
    let importance = Importance::of(facts.input, &fitted);
    let rows = importance.as_ref().map_or(&[][..], |it| &it.rows[..]);
    let mut named: Vec<(&Axis, f64, f64, f64)> = clear
        .iter()
        .filter_map(|(axis, p)| {
            let row = rows.iter().find(|row| row.name == axis.name)?;
            Some((*axis, row.share, row.spread, *p))
        })
        .collect();
    named.sort_by(|a, b| b.1.total_cmp(&a.1));
    let (first, ..) = *named
        .first()
        .unwrap_or(&(clear_axis, f64::NAN, f64::NAN, 0.0));
    let shares: Vec<String> = named
        .iter()
        .take(MOST_NAMED)
        .map(|(axis, share, ..)| format!("`{}` ({:.0} %)", axis.name, share * 100.0))
        .collect();
    let order = sample.order();
    let best = &order[..best_count(order.len())];
    let region = region(first, best);
    let rest = count - named.len();
    let others = match rest {
        0 => String::new(),
        1 => "; the other parameter shows no effect beyond chance".to_owned(),
        _ => format!("; the other {rest} parameters show no effect beyond chance"),
    };
    let label = sample.label(several);
    let mut text = match named.as_slice() {
        [(axis, share, ..)] => format!(
            "`{}` matters{label}: it explains {:.0} % of the variance{others}",
            axis.name,
            share * 100.0
        ),
        _ => format!(
            "{} matter{label}, by their share of the variance{others}",
            listed(&shares)
        ),
    };
    if let Some((_, words)) = &region {
        text = format!("{text}. The {} best have {words}", best.len());
    }
    let parameters: Vec<_> = named
        .iter()
        .map(|(axis, share, spread, p)| {
            let region = self::region(axis, best).map(|(bounds, _)| bounds);
            json!({"name": axis.name, "share": share, "spread": spread, "p": p, "best": region})
        })
        .collect();
    let numbers = json!({
        "metric": *sample.objective.metric, "rung": sample.rung.as_ref().map(|(_, step)| *step),
        "trials": sample.len(), "parameters": parameters,
        "explained": fitted.forest.explained,
    });
    let weak = fitted
        .forest
        .explained
        .is_none_or(|explained| explained < 0.5);
    let caution = weak.then(|| {
        "the random forest behind the shares predicts left-out trials poorly, so they may change"
            .to_owned()
    });
    text.push('.');
    let insight = Insight::new(Subject::Importance, "importance", text, numbers);
    let evidence = best.iter().map(|index| sample.trials[*index]);
    Some(insight.with_trials(evidence).with_caution(caution))
}

/// Returns the number of trials that count as the best of some.
fn best_count(all: usize) -> usize {
    (all / 10).clamp(5, 10).min(all)
}

/// Returns the values of a parameter in the best trials, as JSON and in words.
fn region(axis: &Axis, best: &[usize]) -> Option<(serde_json::Value, String)> {
    let values: Vec<f64> = best
        .iter()
        .filter_map(|index| axis.values[*index])
        .collect();
    let (low, high) = crate::plots::figure::bounds(values.iter().copied())?;
    if axis.is_choice() {
        let mut labels: Vec<String> = Vec::new();
        for value in values {
            let label = axis.labels[value as usize].clone();
            if !labels.contains(&label) {
                labels.push(label);
            }
        }
        labels.sort();
        let words = format!("`{}` {}", axis.name, labels.join(" or "));
        return Some((json!(labels), words));
    }
    let words = format!(
        "`{}` from {} to {}",
        axis.name,
        number::brief(low),
        number::brief(high)
    );
    Some((json!([low, high]), words))
}

/// A crowd of the best trials at one end of a range.
struct Crowd<'s, 'a> {
    sample: &'s Sample<'a>,
    axis: Axis,
    /// Whether the crowd is at the lower end.
    low: bool,
    /// The part of the range, as a share and in words.
    part: (f64, &'static str),
    /// The best trials, and the number of them at the end.
    best: Vec<usize>,
    hits: usize,
    p: f64,
}

/// Returns a sentence for each end of a range at which the best trials crowd.
pub(super) fn range_ends(facts: &Facts<'_>) -> Vec<Insight> {
    let mut crowds = Vec::new();
    let samples = facts.samples.iter().filter(|sample| sample.len() >= FEW);
    for sample in samples {
        let axes = sample.axes(facts.input);
        for (index, axis) in axes.iter().enumerate() {
            if has_known_range(facts, axis) {
                crowds.extend(ends(facts, sample, &axes, index));
            }
        }
    }
    let corrected = holm(&crowds.iter().map(|crowd| crowd.p).collect::<Vec<_>>());
    let clear = crowds.iter().zip(corrected).filter(|(crowd, p)| {
        let needed = MOST_OF_THE_BEST * crowd.best.len() as f64;
        *p <= SUBJECT_LEVEL && crowd.hits as f64 >= needed
    });
    let mut insights: Vec<Insight> = Vec::new();
    let mut last: Option<(&str, &str)> = None;
    for (crowd, p) in clear {
        // The crowds of one range are in the order of their size; the smallest part says most.
        let place = (&*crowd.axis.name, &*crowd.sample.objective.metric);
        if last != Some(place) {
            insights.push(crowded(crowd, p, facts.samples.len() > 1));
            last = Some(place);
        }
    }
    insights
}

/// Returns whether the sweep file gives the range of a numeric axis.
fn has_known_range(facts: &Facts<'_>, axis: &Axis) -> bool {
    let name = axis.name.split('[').next().unwrap_or_default();
    let extent = facts.input.space.and_then(|space| space.extent(name));
    !axis.is_choice() && matches!(extent, Some(Extent::Range { .. }))
}

/// Tests both ends of the range of one parameter. The test asks whether the best trials are at the
/// end more often than trials in general (hypergeometric), or whether the results at the end are
/// better than elsewhere (Mann–Whitney): the first sees little once a sampler has moved there. Both
/// compare trials that were tried, so a sampler that prefers the end does not make it look better.
fn ends<'s, 'a>(
    facts: &Facts<'_>,
    sample: &'s Sample<'a>,
    axes: &[Axis],
    index: usize,
) -> Vec<Crowd<'s, 'a>> {
    let axis = &axes[index];
    let with_value: Vec<usize> = sample
        .order()
        .into_iter()
        .filter(|index| axis.values[*index].is_some())
        .collect();
    if with_value.len() < FEW {
        return Vec::new();
    }
    let best = &with_value[..best_count(with_value.len())];
    let mut crowds = Vec::new();
    for part in PARTS {
        for low in [true, false] {
            let inside = |index: &usize| {
                let unit = axis.values[*index].map_or(0.5, |value| axis.unit(value));
                if low {
                    unit <= part.0
                } else {
                    unit >= 1.0 - part.0
                }
            };
            let hits = best.iter().filter(|index| inside(index)).count();
            let all = with_value.iter().filter(|index| inside(index)).count();
            let crowding = at_least(hits, best.len(), all, with_value.len());
            let raw = |index: &usize| Some(sample.scores[*index]);
            let mut p = (2.0 * crowding.min(better(&with_value, &inside, &raw))).min(1.0);
            let needed = MOST_OF_THE_BEST * best.len() as f64;
            if facts.adaptive.is_some() && p <= SUBJECT_LEVEL && hits as f64 >= needed {
                let rest = sample.without_others(axes, index, facts);
                p = p.max(better(&with_value, &inside, &|index| rest[*index]));
            }
            crowds.push(Crowd {
                sample,
                axis: axis.clone(),
                low,
                part,
                best: best.to_vec(),
                hits,
                p,
            });
        }
    }
    crowds
}

/// Returns the one-sided p-value that the results inside are better than those outside; 1 with fewer
/// than three on a side.
fn better(
    all: &[usize],
    inside: &impl Fn(&usize) -> bool,
    score: &impl Fn(&usize) -> Option<f64>,
) -> f64 {
    let (inner, outer): (Vec<usize>, Vec<usize>) = all.iter().partition(|index| inside(index));
    let inner: Vec<f64> = inner.iter().filter_map(score).collect();
    let outer: Vec<f64> = outer.iter().filter_map(score).collect();
    if inner.len() < 3 || outer.len() < 3 {
        return 1.0;
    }
    let all: Vec<f64> = inner.iter().chain(&outer).copied().collect();
    let sum: f64 = ranks(&all)[..inner.len()].iter().sum();
    let expected = inner.len() as f64 * (all.len() as f64 + 1.0) / 2.0;
    let p = mann_whitney(&inner, &outer) / 2.0;
    if sum < expected { p } else { 1.0 - p }
}

/// Returns the sentence on a crowd.
fn crowded(crowd: &Crowd<'_, '_>, p: f64, several: bool) -> Insight {
    let Crowd {
        sample,
        axis,
        low,
        part: (part, word),
        best,
        hits,
        ..
    } = crowd;
    let end = if *low { axis.min } else { axis.max };
    let inner = axis.value(if *low { *part } else { 1.0 - part });
    let values: Vec<f64> = best
        .iter()
        .filter_map(|index| axis.values[*index])
        .collect();
    let at_end = values.iter().filter(|value| **value == end).count();
    let side = if *low { "lowest" } else { "highest" };
    let place = if at_end >= *hits {
        let extreme = if *low { "smallest" } else { "largest" };
        format!("have the {extreme} value, {}", number::brief(end))
    } else {
        let (from, to) = if *low { (end, inner) } else { (inner, end) };
        let [from, to] = [from, to].map(number::brief);
        format!("lie in the {side} {word} of the range, from {from} to {to}")
    };
    // Results that still improve towards the end suggest that the best value is beyond it.
    let (x, y): (Vec<f64>, Vec<f64>) = (0..sample.len())
        .filter_map(|index| {
            let value = axis.values[index]?;
            let unit = axis.unit(value);
            let distance = if *low { unit } else { 1.0 - unit };
            (distance <= *part).then_some((distance, sample.scores[index]))
        })
        .unzip();
    let trend = spearman(&x, &y);
    let widens = at_end >= *hits || trend.is_some_and(|trend| trend > 0.3 && x.len() >= 5);
    let advice = if widens {
        "; the best value may lie beyond it, so widen the range"
    } else {
        "; results there do not improve towards the end"
    };
    let count = match *hits == best.len() {
        true => format!("all {hits} best"),
        false => format!("{hits} of the {} best", best.len()),
    };
    let text = format!(
        "`{}`{}: {count} {place}{advice}.",
        axis.name,
        sample.label(several),
    );
    let numbers = json!({
        "metric": *sample.objective.metric, "rung": sample.rung.as_ref().map(|(_, step)| *step),
        "parameter": axis.name, "end": if *low { "low" } else { "high" },
        "bound": end, "share_of_range": part, "inner": inner, "hits": hits, "of": best.len(),
        "trend": trend, "widen": widens, "p": p,
    });
    let insight = Insight::new(Subject::RangeEnd, "slice", text, numbers);
    insight.with_trials(best.iter().map(|index| sample.trials[*index]))
}

/// Returns a value as text for a sentence.
pub(super) fn shown(value: &Value) -> String {
    match value.as_f64() {
        Some(number) => number::brief(number),
        None => crate::listing::shown(value),
    }
}
