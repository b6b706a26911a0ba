//! Splits the trials for the Parzen estimator into good and bad ones and weighs the good ones.
//!
//! With one objective the best tenth is good, weighed by the distance to the worst of them
//! (Watanabe, 2023, arXiv 2304.11127, section 3.3). With several objectives the split follows MOTPE
//! (Ozaki et al., JAIR 73, 2022): front by front, and from the first front that does not fit as a
//! whole the subset with the largest hypervolume. Each trial is weighed by the hypervolume that it
//! alone contributes.

use super::history::History;
use swath_numerics::pareto::{contribution, fronts, scaled, widest};

/// A row and its weight.
pub(super) type WeightedRow = (u32, f64);

/// The share of the trials that are good: γ in Bergstra et al., 2011, who use 0.15. Optuna uses 0.1
/// and the same maximum.
const GOOD_SHARE: f64 = 0.1;
/// Minimum number of good trials: a density of one kernel would only repeat it.
const MIN_GOOD: usize = 2;
/// Maximum number of good trials.
const MAX_GOOD: f64 = 25.0;

/// With this many objectives hypervolume is too slow: trials are ranked by front and crowding
/// distance instead.
const MANY_OBJECTIVES: usize = 5;

/// Returns the good rows with their weights (mean 1), and all other rows with a score. A tenth of
/// the rows is good, but at least 2 and at most 25.
pub(super) fn split_scored(history: &History) -> (Vec<WeightedRow>, Vec<u32>) {
    let n = history.ranked().len();
    let least = n.min(MIN_GOOD) as f64;
    let count = ((n as f64 * GOOD_SHARE).ceil().clamp(least, MAX_GOOD) as usize).min(n);
    let several = history.objectives.len() > 1;
    let good = if several {
        best_by_hypervolume(history, count)
    } else {
        best_by_score(history, count)
    };
    let mut taken: Vec<u32> = good.iter().map(|(row, _)| *row).collect();
    taken.sort_unstable();
    let rows = history.ranked().iter().map(|(_, row)| *row);
    let rest = rows
        .filter(|row| taken.binary_search(row).is_err())
        .collect();
    (good, rest)
}

/// Returns the `count` best rows by the first objective, rows that satisfy the outcome constraints
/// first. Before they are scaled, weights fall linearly with the score from 1.3 for the first row
/// to 0.3 for the last. They are equal if the last row is not worse than the first.
fn best_by_score(history: &History, count: usize) -> Vec<WeightedRow> {
    let mut rows: Vec<u32> = history.ranked().iter().map(|(_, row)| *row).collect();
    if history.constraint_count() > 0 {
        // A stable sort: rows of the same violation stay ordered by score.
        rows.sort_by(|a, b| {
            history
                .row(*a)
                .violation
                .total_cmp(&history.row(*b).violation)
        });
    }
    rows.truncate(count);
    let scores: Vec<f64> = rows.iter().map(|row| first_score(history, *row)).collect();
    let (Some(first), Some(last)) = (scores.first(), scores.last()) else {
        return Vec::new();
    };
    let range = last - first;
    if !(range > 0.0 && range.is_finite()) {
        return with_weights(&rows, vec![1.0; rows.len()]);
    }
    // Under constraints the rows are ordered by violation first, so that a row may score worse than
    // the last one; no weight is below that of the last.
    let weights = scores
        .iter()
        .map(|score| 0.3 + ((last - score) / range).max(0.0))
        .collect();
    with_weights(&rows, weights)
}

/// Returns the first objective of a row, or 0 if it has no score.
fn first_score(history: &History, row: u32) -> f64 {
    history.scores(row).first().copied().unwrap_or(0.0)
}

/// Returns the `count` best rows over several objectives with their weights.
fn best_by_hypervolume(history: &History, count: usize) -> Vec<WeightedRow> {
    let archive = history.archive();
    let feasible = archive
        .iter()
        .take_while(|row| history.row(**row).violation == 0.0)
        .count();
    let scores: Vec<&[f64]> = archive.iter().map(|row| history.scores(*row)).collect();
    // Too few rows satisfy the constraints for a split by hypervolume, or it would be too slow:
    // take the order of the archive with equal weights.
    if feasible < count || history.objectives.len() >= MANY_OBJECTIVES {
        let rows = &archive[..count.min(archive.len())];
        return with_weights(rows, vec![1.0; rows.len()]);
    }
    let mut chosen: Vec<usize> = Vec::new();
    for front in fronts(&scores, (0..feasible).collect()) {
        let room = count - chosen.len();
        if front.len() <= room {
            chosen.extend(front);
            continue;
        }
        let points = scaled(&front.iter().map(|at| scores[*at]).collect::<Vec<_>>());
        chosen.extend(widest(&points, room).into_iter().map(|at| front[at]));
        break;
    }
    let points = scaled(&chosen.iter().map(|at| scores[*at]).collect::<Vec<_>>());
    let contributions: Vec<f64> = (0..points.len())
        .map(|at| own_contribution(&points, at))
        .collect();
    let largest = contributions.iter().copied().fold(0.0, f64::max);
    let rows: Vec<u32> = chosen.iter().map(|at| archive[*at]).collect();
    let weights = contributions
        .iter()
        .map(|volume| 0.2 + if largest > 0.0 { volume / largest } else { 0.0 })
        .collect();
    with_weights(&rows, weights)
}

/// Returns the hypervolume that only point number `at` dominates.
fn own_contribution(points: &[Vec<f64>], at: usize) -> f64 {
    let others: Vec<&Vec<f64>> = points
        .iter()
        .enumerate()
        .filter(|(other, _)| *other != at)
        .map(|(_, point)| point)
        .collect();
    contribution(&points[at], &others)
}

/// Returns rows with their weights, scaled to mean 1.
fn with_weights(rows: &[u32], weights: Vec<f64>) -> Vec<WeightedRow> {
    let mean = weights.iter().sum::<f64>() / rows.len().max(1) as f64;
    rows.iter()
        .zip(weights)
        .map(|(row, weight)| (*row, weight / mean))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use swath_model::demo::{Demo, objective};
    use swath_model::space::{Params, Space, Value};
    use swath_model::study::{Event, Goal, Limit, Setting, Study};

    #[test]
    fn no_weight_is_negative_where_a_row_of_less_violation_scores_worse() {
        let mut diagnostics = swath_model::source::Diagnostics::default();
        let table =
            swath_model::source::Table::parse("x = { min = 0.0, max = 1.0 }\n", &mut diagnostics);
        let section = swath_model::source::Section::new("space", 0..0, table);
        let space = Arc::new(Space::parse(section, None, &mut diagnostics).unwrap());
        let mut demo = Demo::with(&["x"], vec![objective("loss", Goal::Min)]);
        let mut header = demo.study.header().clone();
        header.limits = vec![Limit {
            metric: "latency".into(),
            min: None,
            max: Some(1.0),
        }];
        demo.event(Event::Edited {
            header,
            changes: Vec::new(),
            fill: Params::default(),
            outside: Vec::new(),
        });
        let first = [(2.0, 0.1), (3.0, 0.9), (4.0, 0.3)];
        for (at, (latency, loss)) in (0..30).zip(first.into_iter().chain([(9.0, 0.5); 27])) {
            let x = Value::Float(f64::from(at) / 30.0);
            demo.complete(&[("x", x)], &[("loss", loss), ("latency", latency)]);
        }
        let mut history = History::new(&Setting {
            space,
            objectives: demo.study.header().objectives.clone(),
            seed: 0,
            trials: None,
            slots: 1,
            resource: None,
            checkpoint: false,
            dir: None,
        });
        let mut study = Study::default();
        for entry in &demo.entries {
            study.apply(entry).unwrap();
            history.observe(&study, &entry.event);
        }
        let (good, _) = split_scored(&history);
        let weights: Vec<f64> = good.iter().map(|(_, weight)| *weight).collect();
        assert_eq!(weights.len(), 3);
        assert!(weights.iter().all(|weight| *weight > 0.0), "{weights:?}");
        assert!(
            weights[0] > weights[1] && weights[1] == weights[2],
            "{weights:?}"
        );
    }
}
