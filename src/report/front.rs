//! How good a Pareto front is as a whole.

use super::{number, rank};
use crate::numerics::hypervolume::hypervolume;
use crate::study::{Score, Study};

/// More objectives than this take too long to be exact.
const MOST: usize = 3;

/// What a front dominates.
#[derive(Debug, Clone, PartialEq)]
pub struct Volume {
    /// The volume, in the product of the objectives' units.
    pub volume: f64,
    /// Up to which values of the objectives it is counted.
    pub reference: Vec<f64>,
}

/// Returns the hypervolume of the study's Pareto front, for two or three objectives.
///
/// The reference point is, in each objective, the worst value of any configuration that counts, and
/// a tenth of their range beyond. It can therefore move as trials end: two volumes can be compared
/// if their reference is the same.
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
    let bound = |at: usize| {
        let column = || all.iter().filter_map(|scores| scores.get(at).copied());
        let (best, worst) = (
            column().fold(f64::INFINITY, f64::min),
            column().fold(f64::NEG_INFINITY, f64::max),
        );
        worst + 0.1 * (worst - best)
    };
    let reference: Vec<f64> = (0..objectives.len()).map(bound).collect();
    let volume = hypervolume(&all, &reference);
    let shown = objectives
        .iter()
        .zip(&reference)
        .map(|(objective, edge)| objective.value(Score::of(*edge)));
    (volume.is_finite() && !all.is_empty()).then(|| Volume {
        volume,
        reference: shown.collect(),
    })
}

/// Says it in words: `0.83, up to loss 1.2, speed 3`.
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
    use crate::study::Goal;
    use crate::tracker::demo::{Demo, objective};

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
        // Up to (2.1, -0.1): 1.1 × 0.6 and 0.1 × 0.5 above it.
        assert_eq!(
            shown(&demo.study).as_deref(),
            Some("0.71, up to loss 2.1, acc -0.1")
        );
    }
}
