//! Quality of a whole Pareto front, as one number: the hypervolume.

use super::{number, rank};
use swath_model::study::{Score, Study};
use swath_numerics::hypervolume::hypervolume;

/// Maximum number of objectives. The exact computation takes too long for more.
const MOST: usize = 3;

/// Hypervolume that a Pareto front dominates.
#[derive(Debug, Clone, PartialEq)]
pub struct Volume {
    /// Volume, in the product of the units of the objectives.
    pub volume: f64,
    /// Reference point: for each objective, the value up to which the volume counts. These are
    /// values of the objectives, not oriented scores.
    pub reference: Vec<f64>,
}

/// Returns the hypervolume of the Pareto front of a study with two or three objectives. `None` for
/// any other number of objectives, without a complete configuration, or if the volume is not
/// finite.
///
/// For each objective the reference point is the worst value among the configurations of
/// [`rank::feasible`], moved outwards by a tenth of their range. It can therefore move as trials
/// end. Two volumes are comparable only if their reference points are equal.
#[must_use]
pub fn volume(study: &Study) -> Option<Volume> {
    let objectives = &study.header().objectives;
    if !(2..=MOST).contains(&objectives.len()) {
        return None;
    }
    let all: Vec<Vec<f64>> = rank::feasible(study)
        .into_iter()
        .map(|(standing, _)| standing.scores)
        .collect();
    let reference: Vec<f64> = (0..objectives.len())
        .map(|objective| bound(&all, objective))
        .collect();
    let volume = hypervolume(&all, &reference);
    // A score of a maximised objective has the opposite sign, so convert it back to a value.
    let shown = objectives
        .iter()
        .zip(&reference)
        .map(|(objective, edge)| objective.value(Score::of(*edge)));
    (volume.is_finite() && !all.is_empty()).then(|| Volume {
        volume,
        reference: shown.collect(),
    })
}

/// Returns the coordinate of the reference point along one objective.
fn bound(configurations: &[Vec<f64>], objective: usize) -> f64 {
    let scores = configurations
        .iter()
        .filter_map(|scores| scores.get(objective).copied());
    // Scores are oriented: smaller is always better, so the worst value is the maximum.
    let best = scores.clone().fold(f64::INFINITY, f64::min);
    let worst = scores.fold(f64::NEG_INFINITY, f64::max);
    worst + 0.1 * (worst - best)
}

/// Returns the volume and its reference point as text: `0.83, up to loss 1.2, speed 3`. `None` as
/// for [`volume`].
#[must_use]
pub fn shown(study: &Study) -> Option<String> {
    let Volume { volume, reference } = volume(study)?;
    let edges = study.header().objectives.iter().zip(reference);
    let edges =
        edges.map(|(objective, edge)| format!("{} {}", objective.metric, number::short(edge)));
    Some(format!(
        "{}, up to {}",
        number::short(volume),
        edges.collect::<Vec<_>>().join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use super::shown;
    use swath_model::demo::{Demo, objective};
    use swath_model::study::Goal;

    #[test]
    fn the_front_of_two_objectives_has_an_area() {
        let mut demo = Demo::with(
            &[],
            vec![objective("loss", Goal::Min), objective("acc", Goal::Max)],
        );
        assert_eq!(shown(&demo.study), None);
        for (loss, acc) in [(1.0, 0.5), (2.0, 1.0), (2.0, 0.0)] {
            demo.complete(&[], &[("loss", loss), ("acc", acc)]);
        }
        // The reference point is (2.1, -0.1). The areas above it are 1.1 × 0.6 and 0.1 × 0.5.
        assert_eq!(
            shown(&demo.study).as_deref(),
            Some("0.71, up to loss 2.1, acc -0.1")
        );
    }
}
