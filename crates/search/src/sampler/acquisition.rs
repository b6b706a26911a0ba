//! Maximises the acquisition function of the Gaussian process.
//!
//! Log expected improvement, as in Ament et al., 2023 (arXiv 2310.20708): it has the same maximum
//! as expected improvement, but a useful gradient everywhere. Candidates all over the cube and
//! around the best trials are screened by a bound that needs no triangular solve. The best of them
//! are improved by shrinking random steps, and finally along the gradient in the continuous
//! coordinates.

use super::history::History;
use super::kernel::{ColumnKind, Columns};
use super::perturbation::perturb;
use super::surrogate::{Posterior, Scratch};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use swath_model::space::AxisKind;
use swath_numerics::lbfgs::{self, Effort};
use swath_numerics::normal::{ln_cdf, ln_expected_excess, ln_expected_excess_slope, ln_pdf};

/// A candidate: a point and its acquisition value.
#[derive(Debug, Clone)]
pub(super) struct Candidate {
    /// The acquisition value plus the log probability of satisfying the outcome constraints; larger
    /// is better.
    pub(super) value: f64,
    /// The point of the unit cube, of shape (d).
    pub(super) unit: Vec<f64>,
    /// Of shape (d): whether each coordinate is active.
    active: Box<[bool]>,
}

/// An axis-parallel box within the unit cube.
#[derive(Debug, Clone)]
pub(super) struct Region {
    /// Lower edges, of shape (d).
    pub(super) low: Vec<f64>,
    /// Upper edges, of shape (d).
    pub(super) high: Vec<f64>,
}

/// The acquisition function.
#[derive(Debug, Clone, Copy)]
pub(super) enum AcquisitionFunction {
    /// Log expected improvement on this value.
    LogExpectedImprovement(f64),
    /// The lower confidence bound, this many standard deviations below the mean: Srinivas et al.,
    /// *Gaussian Process Optimization in the Bandit Setting*, ICML 2010.
    LowerConfidenceBound(f64),
    /// Only the probability of satisfying the outcome constraints counts. Used while no trial
    /// satisfies them.
    Feasibility,
}

impl AcquisitionFunction {
    /// Returns the acquisition value for a mean and a standard deviation; larger is better.
    fn value(self, mean: f64, deviation: f64) -> f64 {
        match self {
            Self::LogExpectedImprovement(on) => {
                ln_expected_excess((on - mean) / deviation) + libm::log(deviation)
            }
            Self::LowerConfidenceBound(deviations) => deviations * deviation - mean,
            Self::Feasibility => 0.0,
        }
    }

    /// Returns the derivatives of [`value`](Self::value) with respect to mean and deviation.
    fn slopes(self, mean: f64, deviation: f64) -> (f64, f64) {
        match self {
            Self::LogExpectedImprovement(on) => {
                let z = (on - mean) / deviation;
                let slope = ln_expected_excess_slope(z);
                (-slope / deviation, (1.0 - slope * z) / deviation)
            }
            Self::LowerConfidenceBound(deviations) => (-1.0, deviations),
            Self::Feasibility => (0.0, 0.0),
        }
    }
}

/// The inputs of one maximisation of the acquisition function.
pub(super) struct Search<'a> {
    /// The trials so far.
    pub(super) history: &'a History,
    /// The encoding of configurations for the kernel.
    pub(super) columns: &'a Columns,
    /// The posterior of the objective.
    pub(super) posterior: &'a Posterior,
    /// The acquisition function.
    pub(super) acquisition: AcquisitionFunction,
    /// The posterior of the excess over each outcome constraint; negative means satisfied.
    pub(super) constraints: &'a [Posterior],
    /// The rows around which local candidates are drawn.
    pub(super) centres: Vec<u32>,
    /// The box that candidates are confined to, if any.
    pub(super) region: Option<Region>,
}

// The numbers below were chosen on the tasks of `benches/search`, as a compromise between the value
// reached and the time of a proposal.

/// Number of candidates drawn uniformly.
const UNIFORM_CANDIDATES: usize = 300;
/// Number of candidates drawn around each centre.
const LOCAL_CANDIDATES: usize = 100;
/// Number of candidates kept by the screening.
const SCREENED: usize = 8;
/// Number of rounds of random steps; the step size halves each round.
const ROUNDS: i32 = 6;

impl Search<'_> {
    /// Returns candidates, best first: at most [`SCREENED`] that were screened and improved, and up to
    /// three that followed the gradient.
    pub(super) fn run(&self, rng: &mut ChaCha8Rng) -> Vec<Candidate> {
        let mut scratch = Scratch::default();
        let mut candidates = self.screen(rng, &mut scratch);
        for round in 0..ROUNDS {
            let reach = 0.12 * libm::pow(0.5, f64::from(round));
            for at in 0..candidates.len().min(4) {
                for _ in 0..6 {
                    let unit = self.confine(jitter(&candidates[at].unit, reach, rng));
                    let candidate = self.evaluate(unit, &mut scratch);
                    if candidate.value > candidates[at].value {
                        candidates[at] = candidate;
                    }
                }
            }
            candidates.sort_by(|a, b| b.value.total_cmp(&a.value));
        }
        let polished: Vec<_> = candidates
            .iter()
            .take(3)
            .filter_map(|start| self.polish(start, &mut scratch))
            .collect();
        candidates.extend(polished);
        candidates.sort_by(|a, b| b.value.total_cmp(&a.value));
        candidates
    }

    /// Draws candidates and returns the best [`SCREENED`] of them. The exact value is computed only for
    /// candidates whose upper bound could put them there.
    fn screen(&self, rng: &mut ChaCha8Rng, scratch: &mut Scratch) -> Vec<Candidate> {
        let d = self.history.dims();
        let mut drawn: Vec<Candidate> =
            Vec::with_capacity(UNIFORM_CANDIDATES + LOCAL_CANDIDATES * self.centres.len());
        for at in 0..UNIFORM_CANDIDATES + LOCAL_CANDIDATES * self.centres.len() {
            let unit = if at < UNIFORM_CANDIDATES {
                (0..d).map(|_| rng.random()).collect()
            } else {
                perturb(
                    &self
                        .history
                        .row(self.centres[(at - UNIFORM_CANDIDATES) / LOCAL_CANDIDATES])
                        .unit,
                    rng,
                )
            };
            let mut unit = self.confine(unit);
            let active = self.history.snap(&mut unit);
            let (mean, bound) = self
                .posterior
                .mean_and_bound(&self.columns.row(&unit, &active), scratch);
            drawn.push(Candidate {
                value: self.acquisition.value(mean, bound),
                unit,
                active,
            });
        }
        drawn.sort_by(|a, b| b.value.total_cmp(&a.value));
        let mut candidates: Vec<Candidate> = Vec::new();
        for mut candidate in drawn {
            // The candidates are sorted by their bound, and the constraint term is never positive:
            // no later candidate can be better.
            if candidates.len() == SCREENED && candidate.value <= candidates[SCREENED - 1].value {
                break;
            }
            let (mean, deviation) = self.posterior.at(
                &self.columns.row(&candidate.unit, &candidate.active),
                scratch,
            );
            candidate.value = self.acquisition.value(mean, deviation)
                + self.ln_feasibility(&candidate.unit, &candidate.active, scratch);
            let place = candidates.partition_point(|other| other.value >= candidate.value);
            candidates.insert(place, candidate);
            candidates.truncate(SCREENED);
        }
        candidates
    }

    /// Moves a point to its configuration and returns it with its acquisition value.
    fn evaluate(&self, mut unit: Vec<f64>, scratch: &mut Scratch) -> Candidate {
        let active = self.history.snap(&mut unit);
        let (mean, deviation) = self
            .posterior
            .at(&self.columns.row(&unit, &active), scratch);
        let value =
            self.acquisition.value(mean, deviation) + self.ln_feasibility(&unit, &active, scratch);
        Candidate {
            value,
            unit,
            active,
        }
    }

    /// Returns the log probability that a point satisfies all outcome constraints, taken as
    /// independent; 0 without any.
    fn ln_feasibility(&self, unit: &[f64], active: &[bool], scratch: &mut Scratch) -> f64 {
        if self.constraints.is_empty() {
            return 0.0;
        }
        let row = self.columns.row(unit, active);
        let mut sum = 0.0;
        for constraint in self.constraints {
            let (mean, deviation) = constraint.at(&row, scratch);
            sum += ln_cdf(-mean / deviation);
        }
        sum
    }

    /// Maximises the acquisition value from `start` along the gradient, over the active continuous
    /// coordinates. Returns `None` if there are none.
    fn polish(&self, start: &Candidate, scratch: &mut Scratch) -> Option<Candidate> {
        let columns = self.posterior.columns();
        let kinds: Vec<&AxisKind> = self.history.kinds().collect();
        let moving: Vec<usize> = (0..columns.len())
            .filter(|at| columns[*at].kind == ColumnKind::Number)
            .filter(|at| is_smooth(kinds[columns[*at].axis]) && start.active[columns[*at].axis])
            .collect();
        if moving.is_empty() {
            return None;
        }
        let mut row = self.columns.row(&start.unit, &start.active);
        let mut x: Vec<f64> = moving.iter().map(|at| row[*at]).collect();
        let (low, high): (Vec<f64>, Vec<f64>) = moving
            .iter()
            .map(|at| self.edges(columns[*at].axis))
            .unzip();
        let (mut mean, mut deviation) = (vec![0.0; columns.len()], vec![0.0; columns.len()]);
        let effort = Effort {
            evaluations: 24,
            tolerance: 1e-7,
        };
        lbfgs::minimise(&mut x, &low, &high, effort, |x, gradient| {
            moving.iter().zip(x).for_each(|(at, x)| row[*at] = *x);
            let (mu, sigma) = self
                .posterior
                .slopes(&row, scratch, &mut mean, &mut deviation);
            let mut value = -self.acquisition.value(mu, sigma);
            let (by_mean, by_deviation) = self.acquisition.slopes(mu, sigma);
            for (slot, at) in gradient.iter_mut().zip(&moving) {
                *slot = -by_mean * mean[*at] - by_deviation * deviation[*at];
            }
            for constraint in self.constraints {
                let (mu, sigma) = constraint.slopes(&row, scratch, &mut mean, &mut deviation);
                let z = -mu / sigma;
                // The derivative of ln Φ(z).
                let hazard = libm::exp(ln_pdf(z) - ln_cdf(z));
                for (slot, at) in gradient.iter_mut().zip(&moving) {
                    *slot -= hazard * (-mean[*at] - z * deviation[*at]) / sigma;
                }
                value -= ln_cdf(z);
            }
            value
        });
        let mut unit = start.unit.clone();
        moving
            .iter()
            .zip(&x)
            .for_each(|(at, x)| unit[columns[*at].axis] = *x);
        Some(self.evaluate(unit, scratch))
    }

    /// Returns the edges of the region along an axis; those of the cube without a region.
    fn edges(&self, axis: usize) -> (f64, f64) {
        match &self.region {
            Some(region) => (region.low[axis], region.high[axis]),
            None => (0.0, 1.0),
        }
    }

    /// Maps coordinates outside the region into it.
    fn confine(&self, mut unit: Vec<f64>) -> Vec<f64> {
        if let Some(region) = &self.region {
            for (x, (low, high)) in unit.iter_mut().zip(region.low.iter().zip(&region.high)) {
                if *x < *low || *x > *high {
                    // Rescaled rather than clamped, so that candidates do not pile up at the edges.
                    *x = low + (high - low) * (*x - x.floor());
                }
            }
        }
        unit
    }
}

/// Returns whether an axis has so many values that the gradient along it helps. Steps along an axis
/// of few values would mostly end in the same cell.
fn is_smooth(kind: &AxisKind) -> bool {
    match kind {
        AxisKind::Real => true,
        AxisKind::Ordered(n) => *n > 50,
        AxisKind::Choice(_) => false,
    }
}

/// Returns a copy of a point in which a random half of the coordinates, and always at least one,
/// moves by up to `reach`. About 4 % of the coordinates are drawn anew instead.
fn jitter(unit: &[f64], reach: f64, rng: &mut ChaCha8Rng) -> Vec<f64> {
    let always = rng.random_range(0..unit.len().max(1));
    let mut candidate = unit.to_vec();
    for (at, x) in candidate.iter_mut().enumerate() {
        let u: f64 = rng.random();
        if at != always && u < 0.5 {
            continue;
        }
        *x = if u > 0.96 {
            rng.random()
        } else {
            (*x + reach * (2.0 * rng.random::<f64>() - 1.0)).clamp(0.0, 1.0)
        };
    }
    candidate
}

#[cfg(test)]
mod tests {
    use super::AcquisitionFunction;

    #[test]
    fn the_slopes_of_an_acquisition_function_are_its_derivatives() {
        for acquisition in [
            AcquisitionFunction::LogExpectedImprovement(-0.3),
            AcquisitionFunction::LowerConfidenceBound(2.0),
            AcquisitionFunction::Feasibility,
        ] {
            for (mean, deviation) in [(0.4, 0.7), (-1.0, 0.2), (2.0, 0.05)] {
                let (by_mean, by_deviation) = acquisition.slopes(mean, deviation);
                let h = 1e-6;
                let along_mean = (acquisition.value(mean + h, deviation)
                    - acquisition.value(mean - h, deviation))
                    / (2.0 * h);
                let along_deviation = (acquisition.value(mean, deviation + h)
                    - acquisition.value(mean, deviation - h))
                    / (2.0 * h);
                assert!(
                    (by_mean - along_mean).abs() <= 1e-4 * (1.0 + by_mean.abs()),
                    "{acquisition:?} {by_mean} {along_mean}"
                );
                assert!(
                    (by_deviation - along_deviation).abs() <= 1e-4 * (1.0 + by_deviation.abs()),
                    "{acquisition:?} {by_deviation} {along_deviation}"
                );
            }
        }
    }
}
