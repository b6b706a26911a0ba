//! The best trial, and whether its lead is more than noise.

use super::sample::Sample;
use super::{Facts, Insight, SUBJECT_LEVEL, Subject, trials};
use crate::plots::Input;
use crate::plots::axis::Axis;
use crate::{number, rank, summary};
use rayon::iter::{IntoParallelIterator, ParallelIterator};
use serde_json::json;
use swath_model::study::Trial;
use swath_numerics::student;

/// Minimum number of reports of a curve whose end shows its noise.
const FEW_REPORTS: usize = 8;
/// Minimum number of configurations whose nearest neighbours show the noise.
const FEW_NEIGHBOURS: usize = 12;
/// Maximum number of configurations among which neighbours are searched.
const MOST_NEIGHBOURS: usize = 1000;

/// An estimate of the standard deviation of one result.
struct Noise {
    deviation: f64,
    /// The critical value of a difference, in standard errors.
    critical: f64,
    /// The source of the estimate, as one word of JSON and in words.
    source: (&'static str, &'static str),
}

impl Noise {
    /// Creates an estimate with some degrees of freedom.
    fn new(deviation: f64, freedom: f64, source: (&'static str, &'static str)) -> Self {
        Self {
            deviation,
            critical: student::critical(1.0 - SUBJECT_LEVEL, freedom),
            source,
        }
    }
}

pub(super) fn insights(facts: &Facts<'_>) -> Vec<Insight> {
    let several = facts.samples.len() > 1;
    let mut insights: Vec<Insight> = incumbent(facts).into_iter().collect();
    for (index, sample) in facts.samples.iter().enumerate() {
        insights.extend(best(facts, sample, several && index > 0));
    }
    if several {
        insights.extend(front(facts));
    }
    insights
}

/// Returns the sentence on the best trial of a study whose trials are compared at a rung, where
/// another trial may lead.
fn incumbent(facts: &Facts<'_>) -> Option<Insight> {
    let [sample] = facts.samples.as_slice() else {
        return None;
    };
    sample.rung.as_ref()?;
    let trial = facts.study.incumbent().filter(|_| facts.is_whole)?;
    let value = trial.objective(sample.objective)?;
    let metric = &sample.objective.metric;
    let text = format!(
        "Trial {} is best: {metric} {}{}.",
        trial.id,
        number::short(value),
        with_params(trial)
    );
    let numbers = json!({
        "metric": **metric, "trial": trial.id.0, "value": value, "rung": null,
    });
    Some(Insight::new(Subject::Best, "history", text, numbers).with_trials([trial]))
}

/// Returns ` with lr=0.01 …`; nothing if the parameters do not fit into a sentence.
fn with_params(trial: &Trial) -> String {
    let params = summary::params(trial);
    if params.is_empty() || params.len() > 120 {
        String::new()
    } else {
        format!(" with {params}")
    }
}

/// Returns the sentence on the best configuration of one objective.
fn best(facts: &Facts<'_>, sample: &Sample<'_>, further_objective: bool) -> Option<Insight> {
    let order = sample.order();
    let first = *order.first()?;
    let trial = sample.trials[first];
    let limits = &facts.study.header().limits;
    if !sample.feasible[first] && !further_objective {
        let broken = summary::broken(facts.study, trial).join(", ");
        let text = format!(
            "No complete trial satisfies the outcome constraints; trial {} violates them least: {broken}.",
            nearest(facts, sample).unwrap_or(trial).id
        );
        let numbers = json!({"trial": trial.id.0, "feasible": 0, "complete": sample.len()});
        return Some(Insight::new(Subject::Best, "history", text, numbers).with_trials([trial]));
    }
    let value = value(sample, first);
    let metric = &sample.objective.metric;
    let among = if limits.is_empty() || sample.rung.is_some() {
        String::new()
    } else {
        let feasible = sample.feasible.iter().filter(|it| **it).count();
        format!(
            " of the {} that satisfy the outcome constraints",
            trials(feasible)
        )
    };
    let verb = if sample.rung.is_some() {
        "leads"
    } else {
        "is best"
    };
    let mut text = format!(
        "Trial {} {verb}{among}{}: {metric} {}{}",
        trial.id,
        sample.place(),
        number::short(value),
        with_params(trial)
    );
    let mut numbers = json!({
        "metric": **metric, "trial": trial.id.0, "value": value,
        "rung": sample.rung.as_ref().map(|(_, step)| *step),
    });
    let mut evidence = vec![trial];
    // Configurations that violate a constraint do not compete with the best.
    let rivals: Vec<usize> = order[1..]
        .iter()
        .copied()
        .filter(|index| sample.feasible[*index] == sample.feasible[first])
        .collect();
    if let (Some(second), Some(noise)) = (rivals.first(), noise(facts, sample)) {
        let gap = sample.scores[*second] - sample.scores[first];
        let close: Vec<usize> = rivals
            .iter()
            .copied()
            .filter(|index| {
                let margin = margin(facts, sample, &noise, first, *index);
                sample.scores[*index] - sample.scores[first] <= margin
            })
            .collect();
        let margin = margin(facts, sample, &noise, first, *second);
        let (word, source) = noise.source;
        text = if close.is_empty() {
            format!(
                "{text}; it leads the second, trial {}, by {}, which is more than the noise of {} {source}",
                sample.trials[*second].id,
                number::brief(gap),
                number::brief(margin),
            )
        } else if close.len() == rivals.len() && close.len() > 1 {
            format!(
                "{text}; none of the {} others differs from it by more than the noise {source}, so its \
                 lead may be chance",
                close.len()
            )
        } else {
            let others = if close.len() == 1 {
                "other is"
            } else {
                "others are"
            };
            format!(
                "{text}; {} {others} within the noise of {} {source}, so its lead may be chance",
                close.len(),
                number::brief(margin),
            )
        };
        evidence.extend(close.iter().map(|index| sample.trials[*index]));
        if close.is_empty() {
            evidence.push(sample.trials[*second]);
        }
        if let Some(object) = numbers.as_object_mut() {
            object.extend([
                ("second".to_owned(), json!(sample.trials[*second].id.0)),
                ("gap".to_owned(), json!(gap)),
                ("noise".to_owned(), json!(margin)),
                ("noise_from".to_owned(), json!(word)),
                ("within_noise".to_owned(), json!(close.len())),
                ("more_than_noise".to_owned(), json!(close.is_empty())),
            ]);
        }
    }
    let chart = if sample.rung.is_some() {
        "curves"
    } else {
        "history"
    };
    text.push('.');
    Some(Insight::new(Subject::Best, chart, text, numbers).with_trials(evidence))
}

/// Returns the complete configuration that violates the outcome constraints least.
fn nearest<'a>(facts: &Facts<'_>, sample: &Sample<'a>) -> Option<&'a Trial> {
    let trials = sample.trials.iter().copied();
    trials.min_by(|a, b| {
        let [a, b] = [a, b].map(|trial| facts.study.violation(trial.id));
        a.total_cmp(&b)
    })
}

/// Returns a result in the units of its metric.
fn value(sample: &Sample<'_>, index: usize) -> f64 {
    let score = swath_model::study::Score::of(sample.scores[index]);
    sample.objective.value(score)
}

/// Returns the difference that the results of two configurations must exceed to be more than noise.
fn margin(facts: &Facts<'_>, sample: &Sample<'_>, noise: &Noise, one: usize, other: usize) -> f64 {
    let [one, other] = [one, other].map(|index| seeds(facts, sample.trials[index]).len().max(1));
    let error = noise.deviation * (1.0 / one as f64 + 1.0 / other as f64).sqrt();
    noise.critical * error
}

/// Returns the trials whose mean is the result of a configuration.
fn seeds<'a>(facts: &Facts<'a>, trial: &Trial) -> Vec<&'a Trial> {
    facts.study.complete(trial.id).collect()
}

/// Estimates the noise of a result: from seeds of the same configuration, else from near neighbours
/// or from the errors of a model, whichever is smaller, since both contain more than noise. If the
/// ends of the curves show more noise, they count. The curves alone do not show the differences
/// between seeds, so alone they give no estimate.
fn noise(facts: &Facts<'_>, sample: &Sample<'_>) -> Option<Noise> {
    if let Some(noise) = of_seeds(facts, sample) {
        return Some(noise);
    }
    let neighbours = of_neighbours(facts.input, sample).filter(|it| it.deviation > 0.0);
    let model = of_model(facts, sample);
    let smaller = neighbours
        .into_iter()
        .chain(model)
        .min_by(|a, b| a.deviation.total_cmp(&b.deviation))?;
    let curves = of_curves(facts.input, sample).filter(|it| it.deviation > smaller.deviation);
    Some(curves.unwrap_or(smaller))
}

/// Returns the errors of the model in results that are left out.
fn of_model(facts: &Facts<'_>, sample: &Sample<'_>) -> Option<Noise> {
    let outlook = facts.outlook.as_ref()?;
    let first = facts.study.header().objectives.first();
    let is_modelled = sample.rung.is_none() && first == Some(sample.objective);
    is_modelled.then(|| {
        let freedom = outlook.trials as f64 / 2.0;
        let source = ("model", "about a model of the results");
        Noise::new(outlook.error, freedom, source)
    })
}

/// Pools the variance between the seeds of each configuration.
fn of_seeds(facts: &Facts<'_>, sample: &Sample<'_>) -> Option<Noise> {
    if sample.rung.is_some() {
        return None;
    }
    let (mut squares, mut freedom) = (0.0, 0.0);
    for trial in &sample.trials {
        let values: Vec<f64> = seeds(facts, trial)
            .iter()
            .filter_map(|seed| seed.objective(sample.objective))
            .collect();
        let mean = values.iter().sum::<f64>() / values.len().max(1) as f64;
        squares += values
            .iter()
            .map(|value| (value - mean).powi(2))
            .sum::<f64>();
        freedom += values.len().saturating_sub(1) as f64;
    }
    (freedom >= 3.0).then(|| {
        let deviation = (squares / freedom).sqrt();
        Noise::new(deviation, freedom, ("seeds", "between seeds"))
    })
}

/// Estimates the noise from the reports at the end of each curve, about their trend: half the mean
/// square of the differences of neighbours (von Neumann, *Annals of Mathematical Statistics* 12,
/// 1941), as the median over the trials.
fn of_curves(input: &Input<'_>, sample: &Sample<'_>) -> Option<Noise> {
    let metrics = input.chronicle.metrics();
    let metric = metrics
        .iter()
        .position(|name| *name == sample.objective.metric)?;
    let mut variances: Vec<f64> = Vec::new();
    for trial in &sample.trials {
        let curve = input.chronicle.curves.get(&trial.id);
        let values = curve.map_or(&[][..], |curve| &curve.values[metric]);
        let values: Vec<f64> = values.iter().copied().filter(|it| it.is_finite()).collect();
        if values.len() < FEW_REPORTS {
            continue;
        }
        let end = &values[values.len() - values.len().div_ceil(3).max(4)..];
        let steps: Vec<f64> = end.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let trend = steps.iter().sum::<f64>() / steps.len() as f64;
        let squares: f64 = steps.iter().map(|step| (step - trend).powi(2)).sum();
        variances.push(squares / (steps.len() as f64 - 1.0) / 2.0);
    }
    let deviation = median(&mut variances)?.sqrt();
    let freedom = 2.0 * variances.len() as f64;
    let source = ("curves", "at the ends of the curves");
    Some(Noise::new(deviation, freedom, source))
}

/// Estimates the noise from the differences between each configuration and its nearest neighbour in
/// the space (Rice, *Annals of Statistics* 12, 1984), by the median, which outliers do not move.
/// Neighbours differ by more than noise, so the estimate is rather too large.
fn of_neighbours(input: &Input<'_>, sample: &Sample<'_>) -> Option<Noise> {
    let count = sample.len();
    if !(FEW_NEIGHBOURS..=MOST_NEIGHBOURS).contains(&count) {
        return None;
    }
    let axes: Vec<Positions> = sample.axes(input).iter().map(Positions::of).collect();
    let mut differences: Vec<f64> = (0..count)
        .into_par_iter()
        .filter_map(|index| {
            let others = (0..count).filter(|other| *other != index);
            let distances = others.map(|other| (distance(&axes, index, other), other));
            let (_, nearest) = distances.min_by(|a, b| a.0.total_cmp(&b.0))?;
            Some((sample.scores[index] - sample.scores[nearest]).abs())
        })
        .collect();
    // The median of |a − b| for normal a and b of deviation 1 is 0.6745 × √2.
    let deviation = median(&mut differences)? / 0.953_87;
    let source = ("neighbours", "between near neighbours");
    Some(Noise::new(deviation, count as f64 / 3.0, source))
}

/// The positions of the configurations along an axis of the unit cube, or their categories.
struct Positions {
    is_choice: bool,
    values: Vec<Option<f64>>,
}

impl Positions {
    fn of(axis: &Axis) -> Self {
        let is_choice = axis.is_choice();
        let values = axis.values.iter().map(|value| match value {
            Some(value) if !is_choice => Some(axis.unit(*value)),
            other => *other,
        });
        Self {
            is_choice,
            values: values.collect(),
        }
    }
}

/// Returns the squared distance of two configurations in the unit cube. Different choices, and a
/// parameter that only one of them has, are 1 apart.
fn distance(axes: &[Positions], one: usize, other: usize) -> f64 {
    let parts = axes
        .iter()
        .map(|axis| match (axis.values[one], axis.values[other]) {
            (Some(a), Some(b)) if axis.is_choice => f64::from(u8::from(a != b)),
            (Some(a), Some(b)) => (a - b).powi(2),
            (None, None) => 0.0,
            _ => 1.0,
        });
    parts.sum()
}

/// Returns the median; `None` without values. Sorts them.
fn median(values: &mut [f64]) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let last = values.len().checked_sub(1)?;
    Some(f64::midpoint(values[last / 2], values[last.div_ceil(2)]))
}

/// Returns the sentence on the Pareto front.
fn front(facts: &Facts<'_>) -> Option<Insight> {
    let front = rank::pareto(facts.study);
    let all = rank::feasible(facts.study).len();
    if front.len() < 2 || !facts.is_whole {
        return None;
    }
    let text = format!(
        "{} of {} form the Pareto front: none of them is worse than another in every objective.",
        front.len(),
        trials(all)
    );
    let volume = crate::front::volume(facts.study).map(|volume| volume.volume);
    let numbers = json!({"front": front.len(), "complete": all, "hypervolume": volume});
    Some(Insight::new(Subject::Best, "pareto", text, numbers).with_trials(front))
}
