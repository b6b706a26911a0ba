//! The acquisition value of two or three objectives: log noisy expected hypervolume improvement.
//!
//! Each objective has a Gaussian process of its own. A candidate is worth the hypervolume that it
//! is expected to add to the Pareto front (Emmerich, Giannakoglou & Naujoks, IEEE TEC 10(4), 2006).
//! With noise the front itself is uncertain, and so is the result of a pending trial. The values at
//! all trials, complete or pending, are therefore sampled together, each sample has a front of its
//! own, and the improvements are averaged (Daulton, Balandat & Bakshy, *Parallel Bayesian
//! Optimization of Multiple Noisy Objectives with Expected Hypervolume Improvement*, NeurIPS 2021).
//! Given a sample, the expectation over the candidate's value has a closed form over the boxes of
//! the undominated region, because the objectives are independent. Its logarithm (Ament et al.,
//! NeurIPS 2023) has useful slopes where the improvement is tiny.

use super::acquisition::Acquisition;
use super::surrogate::{SampledFunctions, Scratch};
use swath_numerics::hypervolume::undominated_cells;
use swath_numerics::normal;
use swath_numerics::pareto::dominates;

/// The most objectives for which the undominated region is divided into boxes.
pub(super) const MOST_OBJECTIVES: usize = 3;

/// Improvements below this are taken for it, so that the logarithm is finite.
const LEAST_GAIN: f64 = 1e-300;

/// Distance of the reference point beyond the worst value, relative to the range: Ishibuchi et al.,
/// *How to Specify a Reference Point in Hypervolume Calculation*, Evolutionary Computation 26(3),
/// 2018.
const BEYOND_WORST: f64 = 0.1;

/// The points beyond which the reference point lies. Neither suits every front, so both alternate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reference {
    /// Beyond the estimated front, as BoTorch infers it. The gaps and the approach of the front
    /// count, but not what lies beyond its ends.
    BeyondFront,
    /// Beyond all trials. The ends of the front count most, which completes a front of which a part
    /// has not been found, and wastes trials on the ends of one that is complete.
    BeyondAll,
}

/// The acquisition value of several objectives.
pub(super) struct HypervolumeImprovement {
    /// The sampled functions of each objective, of the same number.
    objectives: Vec<SampledFunctions>,
    /// The undominated region of the mean values.
    mean_region: Region,
    /// The undominated region of each sample; empty if the mean is the only one.
    regions: Vec<Region>,
    /// The members of the front of the mean values, by row of the processes.
    front: Vec<usize>,
}

impl HypervolumeImprovement {
    /// Creates the acquisition value. `is_eligible` tells which rows of the processes may be on the
    /// front; at least one must be.
    pub(super) fn new(
        objectives: Vec<SampledFunctions>,
        is_eligible: &[bool],
        reference: Reference,
    ) -> Self {
        let (means, samples): (Vec<Vec<f64>>, Vec<Vec<Vec<f64>>>) =
            objectives.iter().map(SampledFunctions::values).unzip();
        let eligible: Vec<usize> = (0..is_eligible.len())
            .filter(|at| is_eligible[*at])
            .collect();
        let points = points(&means, &eligible);
        let front: Vec<usize> = (0..points.len())
            .filter(|at| !points.iter().any(|other| dominates(other, &points[*at])))
            .collect();
        let ends: Vec<&Vec<f64>> = match (reference, front.len()) {
            // A front of one trial has no range.
            (Reference::BeyondFront, 2..) => front.iter().map(|at| &points[*at]).collect(),
            _ => points.iter().collect(),
        };
        let reference = reference_point(&ends);
        let count = objectives.first().map_or(0, SampledFunctions::count);
        // With a single function that is the mean.
        let regions = (0..count).filter(|_| count > 1).map(|sample| {
            let values: Vec<&Vec<f64>> = samples.iter().map(|own| &own[sample]).collect();
            Region::new(&self::points(&values, &eligible), &reference)
        });
        Self {
            regions: regions.collect(),
            mean_region: Region::new(&points, &reference),
            front: front.into_iter().map(|at| eligible[at]).collect(),
            objectives,
        }
    }

    /// Returns the members of the front of the mean values, by row of the processes.
    pub(super) fn front(&self) -> &[usize] {
        &self.front
    }

    /// Returns whether a row is within `distance` of a trial for all processes.
    pub(super) fn is_known(&self, row: &[f64], distance: f64) -> bool {
        let mut scratch = Scratch::default();
        let mut processes = self.objectives.iter().map(SampledFunctions::process);
        processes.all(|process| process.nearest(row, &mut scratch) <= distance * distance)
    }

    /// Returns the regions over which the value is averaged.
    fn regions(&self) -> &[Region] {
        match self.regions.is_empty() {
            true => std::slice::from_ref(&self.mean_region),
            false => &self.regions,
        }
    }
}

/// Returns the points of these rows, from the values of each objective.
fn points(values: &[impl AsRef<[f64]>], rows: &[usize]) -> Vec<Vec<f64>> {
    let rows = rows.iter();
    rows.map(|row| values.iter().map(|own| own.as_ref()[*row]).collect())
        .collect()
}

/// Returns the reference point, beyond the worst of the points in each objective.
fn reference_point(points: &[&Vec<f64>]) -> Vec<f64> {
    let count = points.first().map_or(0, |point| point.len());
    (0..count)
        .map(|objective| {
            let (low, high) = range(points.iter().map(|point| point[objective]));
            high + BEYOND_WORST * (high - low).max(1e-3)
        })
        .collect()
}

fn range(values: impl Iterator<Item = f64>) -> (f64, f64) {
    values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
        (low.min(value), high.max(value))
    })
}

/// The region that no point of a front dominates, as boxes.
struct Region {
    /// The edges of the boxes in each objective, except −∞.
    edges: Vec<Vec<f64>>,
    /// The numbers of the lower and the upper edge of each box in each objective. Number 0 is −∞,
    /// number 1 is the first of `edges`.
    boxes: Vec<[(usize, usize); MOST_OBJECTIVES]>,
}

impl Region {
    fn new(points: &[Vec<f64>], reference: &[f64]) -> Self {
        let cells = undominated_cells(points, reference);
        let edges: Vec<Vec<f64>> = (0..reference.len())
            .map(|objective| {
                let both = cells
                    .iter()
                    .flat_map(|cell| [cell.low[objective], cell.high[objective]]);
                let mut edges: Vec<f64> = both.filter(|edge| edge.is_finite()).collect();
                edges.sort_by(f64::total_cmp);
                edges.dedup();
                edges
            })
            .collect();
        let boxes = cells
            .iter()
            .map(|cell| {
                std::array::from_fn(|at| {
                    let edges = edges.get(at).map_or(&[][..], Vec::as_slice);
                    (
                        edge_number(edges, cell.low[at]),
                        edge_number(edges, cell.high[at]),
                    )
                })
            })
            .collect();
        Self { edges, boxes }
    }

    /// Returns the expected improvement of a candidate with these means and deviations. `buffer` is
    /// for use in between.
    fn value(&self, means: &[f64], deviations: &[f64], buffer: &mut Vec<[f64; 3]>) -> f64 {
        let starts = self.fill(means, deviations, buffer);
        let boxes = self.boxes.iter();
        boxes
            .map(|edges| {
                let sides = (0..self.edges.len()).map(|at| {
                    let (low, high) = edges[at];
                    buffer[starts[at] + high][0] - buffer[starts[at] + low][0]
                });
                sides.product::<f64>()
            })
            .sum()
    }

    /// Returns the same as [`value`](Self::value) with its derivatives by each mean and deviation.
    fn gain(&self, means: &[f64], deviations: &[f64], buffer: &mut Vec<[f64; 3]>) -> Gain {
        let starts = self.fill(means, deviations, buffer);
        let count = self.edges.len();
        let mut gain = Gain::default();
        for edges in &self.boxes {
            let mut sides = [[1.0, 0.0, 0.0]; MOST_OBJECTIVES];
            for at in 0..count {
                let (low, high) = (
                    buffer[starts[at] + edges[at].0],
                    buffer[starts[at] + edges[at].1],
                );
                sides[at] = [high[0] - low[0], high[1] - low[1], high[2] - low[2]];
            }
            gain.value += sides[0][0] * sides[1][0] * sides[2][0];
            for at in 0..count {
                let others = sides[(at + 1) % 3][0] * sides[(at + 2) % 3][0];
                gain.by_mean[at] += others * sides[at][1];
                gain.by_deviation[at] += others * sides[at][2];
            }
        }
        gain
    }

    /// Writes for each edge, of one objective after the other, the expected distance below it and
    /// the derivatives of that by mean and deviation. Returns where each objective starts.
    fn fill(
        &self,
        means: &[f64],
        deviations: &[f64],
        buffer: &mut Vec<[f64; 3]>,
    ) -> [usize; MOST_OBJECTIVES] {
        buffer.clear();
        let mut starts = [0; MOST_OBJECTIVES];
        for (objective, edges) in self.edges.iter().enumerate() {
            starts[objective] = buffer.len();
            let (mean, deviation) = (means[objective], deviations[objective]);
            buffer.push([0.0; 3]);
            buffer.extend(edges.iter().map(|edge| {
                let (excess, density, below) = normal::expected_excess((edge - mean) / deviation);
                [deviation * excess, -below, density]
            }));
        }
        starts
    }
}

/// Returns how many edges are at most `edge`, which is one of them or −∞.
fn edge_number(edges: &[f64], edge: f64) -> usize {
    edges.partition_point(|other| *other <= edge)
}

/// An expected improvement with its derivatives by the mean and the deviation of each objective.
#[derive(Debug, Default)]
struct Gain {
    value: f64,
    by_mean: [f64; MOST_OBJECTIVES],
    by_deviation: [f64; MOST_OBJECTIVES],
}

impl Acquisition for HypervolumeImprovement {
    fn estimates(&self, rows: &[Vec<f64>], scratch: &mut Scratch) -> Vec<f64> {
        let mut means = vec![[0.0; MOST_OBJECTIVES]; rows.len()];
        let mut deviations = means.clone();
        for (at, objective) in self.objectives.iter().enumerate() {
            let bounds = objective.process().bounds(rows, scratch);
            for (row, (mean, bound)) in bounds.into_iter().enumerate() {
                (means[row][at], deviations[row][at]) = (mean, bound);
            }
        }
        let mut buffer = Vec::new();
        let moments = means.iter().zip(&deviations);
        moments
            .map(|(means, deviations)| {
                let value = self.mean_region.value(means, deviations, &mut buffer);
                libm::log(value.max(LEAST_GAIN))
            })
            .collect()
    }

    fn values(&self, rows: &[Vec<f64>], scratch: &mut Scratch) -> Vec<f64> {
        let mut buffer = Vec::new();
        rows.iter()
            .map(|row| {
                let (means, deviations) = self.predictions(row, std::slice::from_mut(scratch));
                let gains = self.regions().iter().zip(&means);
                let total: f64 = gains
                    .map(|(region, means)| region.value(means, &deviations, &mut buffer))
                    .sum();
                libm::log((total / means.len() as f64).max(LEAST_GAIN))
            })
            .collect()
    }

    fn add_slopes(&self, row: &[f64], _: &mut Scratch, gradient: &mut [f64]) -> f64 {
        let mut scratch: Vec<Scratch> = Vec::new();
        scratch.resize_with(self.objectives.len(), Scratch::default);
        let (means, deviations) = self.predictions(row, &mut scratch);
        let mut buffer = Vec::new();
        let gains: Vec<Gain> = self
            .regions()
            .iter()
            .zip(&means)
            .map(|(region, means)| region.gain(means, &deviations, &mut buffer))
            .collect();
        let total: f64 = gains.iter().map(|gain| gain.value).sum();
        if total > LEAST_GAIN {
            for (at, objective) in self.objectives.iter().enumerate() {
                let by_means: Vec<f64> =
                    gains.iter().map(|gain| gain.by_mean[at] / total).collect();
                let by_deviation: f64 = gains.iter().map(|gain| gain.by_deviation[at]).sum();
                let slopes = (deviations[at], &*by_means, by_deviation / total);
                objective.add_slopes(row, &mut scratch[at], slopes, gradient);
            }
        }
        libm::log((total / means.len() as f64).max(LEAST_GAIN))
    }
}

impl HypervolumeImprovement {
    /// Returns the means of all objectives under each sample, and the deviations. Objective `n`
    /// uses `scratch[n]`, or the last one.
    fn predictions(
        &self,
        row: &[f64],
        scratch: &mut [Scratch],
    ) -> (Vec<[f64; MOST_OBJECTIVES]>, [f64; MOST_OBJECTIVES]) {
        let mut means = vec![[0.0; MOST_OBJECTIVES]; self.regions().len()];
        let mut deviations = [0.0; MOST_OBJECTIVES];
        let mut own = vec![0.0; means.len()];
        let last = scratch.len() - 1;
        for (at, objective) in self.objectives.iter().enumerate() {
            deviations[at] = objective.at(row, &mut scratch[at.min(last)], &mut own);
            for (means, mean) in means.iter_mut().zip(&own) {
                means[at] = *mean;
            }
        }
        (means, deviations)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sampler::kernel::{Column, ColumnKind};
    use crate::sampler::surrogate::{Hyper, Posterior, Rows};
    use rand::RngExt;
    use swath_numerics::hypervolume::hypervolume;
    use swath_numerics::sobol::Sobol;
    use swath_numerics::stream::{Purpose, stream};

    fn value_at(improvement: &HypervolumeImprovement, row: &[f64]) -> f64 {
        improvement.values(&[row.to_vec()], &mut Scratch::default())[0]
    }

    /// Points of a staircase in two objectives and of a shell in three.
    fn front(count: usize) -> Vec<Vec<f64>> {
        let sequence = Sobol::new(count, 9);
        (0..12)
            .map(|at| {
                let point = sequence.point(at);
                let length = point.iter().map(|x| x * x).sum::<f64>().sqrt();
                point.iter().map(|x| 1.0 - 0.6 * x / length).collect()
            })
            .collect()
    }

    #[test]
    fn the_expected_improvement_is_the_mean_over_many_draws() {
        for count in [2, 3] {
            let (front, reference) = (front(count), vec![1.1; count]);
            let region = Region::new(&front, &reference);
            let (means, deviations) = ([0.6, 0.7, 0.75], [0.3, 0.2, 0.25]);
            let gain = region.gain(&means, &deviations, &mut Vec::new());
            let sequence = Sobol::new(count, 3);
            let before = hypervolume(&front, &reference);
            let mean = (0..4096)
                .map(|at| {
                    let mut points = front.clone();
                    let normals = sequence.point(at).into_iter().map(normal::quantile);
                    let point = normals.zip(means).zip(deviations);
                    points.push(point.map(|((z, mean), sigma)| mean + sigma * z).collect());
                    hypervolume(&points, &reference) - before
                })
                .sum::<f64>()
                / 4096.0;
            assert!(
                (gain.value - mean).abs() < 0.01 * mean,
                "{count}: {} {mean}",
                gain.value
            );
        }
    }

    const X: [f64; 6] = [0.05, 0.25, 0.4, 0.6, 0.8, 0.95];

    /// Two objectives along one number: distances from 0.3 and from 0.7, of which the noise has
    /// this logarithm; the last `pending` rows have no values.
    fn improvement(noise: f64, samples: usize, pending: usize) -> HypervolumeImprovement {
        improvement_to(Reference::BeyondAll, noise, samples, pending)
    }

    fn improvement_to(
        reference: Reference,
        noise: f64,
        samples: usize,
        pending: usize,
    ) -> HypervolumeImprovement {
        let mut rng = stream(1, Purpose::Measure, 4);
        let objectives = [0.3, 0.7].map(|centre| {
            let mut rows = Rows::new(&[Column {
                axis: 0,
                kind: ColumnKind::Number,
            }]);
            X.iter().for_each(|x| rows.push(&[*x]));
            let y: Vec<f64> = X[..X.len() - pending]
                .iter()
                .map(|x| (x - centre) * (x - centre))
                .collect();
            let hyper = Hyper(vec![-1.2, noise]);
            let posterior = Posterior::new(rows, &y, &hyper).unwrap();
            let normal = || normal::quantile(rng.random_range(1e-12..1.0));
            SampledFunctions::new(posterior, &y, samples, normal).unwrap()
        });
        HypervolumeImprovement::new(objectives.into(), &[true; X.len()], reference)
    }

    #[test]
    fn the_slopes_of_the_improvement_are_its_derivatives() {
        for (noise, samples) in [(-12.0, 0), (-3.0, 4)] {
            let improvement = improvement(noise, samples, 0);
            let mut scratch = Scratch::default();
            for x in [0.33, 0.5, 0.68] {
                let mut gradient = [0.0];
                let value = improvement.add_slopes(&[x], &mut scratch, &mut gradient);
                assert_eq!(value, value_at(&improvement, &[x]));
                let [above, below] = [1e-6, -1e-6].map(|step| value_at(&improvement, &[x + step]));
                let by_difference = (above - below) / 2e-6;
                assert!(
                    (gradient[0] - by_difference).abs() < 1e-4 * (1.0 + by_difference.abs()),
                    "{x}: {gradient:?} {by_difference}"
                );
            }
        }
    }

    #[test]
    fn a_reference_point_beyond_the_front_hides_what_lies_beyond_its_ends() {
        // 0.72 is better than 0.6 in the second objective, and worse in the first than any trial of
        // the front.
        let [near, far] = [Reference::BeyondFront, Reference::BeyondAll].map(|reference| {
            let improvement = improvement_to(reference, -12.0, 0, 0);
            value_at(&improvement, &[0.72]) - value_at(&improvement, &[0.5])
        });
        assert!(near < far - 1.0, "{near} {far}");
    }

    #[test]
    fn the_estimate_is_not_lower_than_the_value() {
        let improvement = improvement(-12.0, 0, 0);
        let mut scratch = Scratch::default();
        for at in 0..=50 {
            let row = [f64::from(at) / 50.0];
            let value = value_at(&improvement, &row);
            assert!(
                improvement.estimates(&[row.to_vec()], &mut scratch)[0] >= value - 1e-9,
                "{row:?}"
            );
        }
    }

    #[test]
    fn a_pending_trial_leaves_little_to_gain_beside_it() {
        // The last two rows have no values; 0.8 is one of them.
        let [with, without] = [improvement(-12.0, 8, 2), improvement(-12.0, 8, 0)]
            .map(|improvement| value_at(&improvement, &[0.5]) - value_at(&improvement, &[0.8]));
        assert!(with > 1.0 && without > 1.0, "{with} {without}");
    }
}
