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
use swath_numerics::cholesky::LANES;
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

/// An acquisition value as a function of a row of the kernel's columns; larger is better.
pub(super) trait Acquisition {
    /// Returns an estimate at each row for the screening of candidates, in time linear in the
    /// number of trials. It should not be lower than the value.
    fn estimates(&self, rows: &[Vec<f64>], scratch: &mut Scratch) -> Vec<f64>;

    /// Returns the value at each row.
    fn values(&self, rows: &[Vec<f64>], scratch: &mut Scratch) -> Vec<f64>;

    /// Returns the value at a row, and adds its derivatives along each column to `gradient`.
    fn add_slopes(&self, row: &[f64], scratch: &mut Scratch, gradient: &mut [f64]) -> f64;
}

/// The acquisition value of a single objective.
pub(super) struct SingleObjective<'a> {
    /// The posterior of the objective.
    pub(super) posterior: &'a Posterior,
    /// The acquisition function.
    pub(super) function: AcquisitionFunction,
}

impl Acquisition for SingleObjective<'_> {
    fn estimates(&self, rows: &[Vec<f64>], scratch: &mut Scratch) -> Vec<f64> {
        let bounds = self.posterior.bounds(rows, scratch).into_iter();
        bounds
            .map(|(mean, bound)| self.function.value(mean, bound))
            .collect()
    }

    fn values(&self, rows: &[Vec<f64>], scratch: &mut Scratch) -> Vec<f64> {
        let moments = self.posterior.at_each(rows, scratch).into_iter();
        moments
            .map(|(mean, deviation)| self.function.value(mean, deviation))
            .collect()
    }

    fn add_slopes(&self, row: &[f64], scratch: &mut Scratch, gradient: &mut [f64]) -> f64 {
        let (mean, deviation) =
            add_slopes(self.posterior, row, scratch, gradient, |mean, sigma| {
                self.function.slopes(mean, sigma)
            });
        self.function.value(mean, deviation)
    }
}

/// Adds to `gradient` the derivatives along each column of a function of the mean and the
/// deviation, both of which are returned. `slopes` returns the derivatives of the function.
fn add_slopes(
    posterior: &Posterior,
    row: &[f64],
    scratch: &mut Scratch,
    gradient: &mut [f64],
    slopes: impl Fn(f64, f64) -> (f64, f64),
) -> (f64, f64) {
    let (mut means, mut deviations) = (vec![0.0; row.len()], vec![0.0; row.len()]);
    let (mean, deviation) = posterior.slopes(row, scratch, &mut means, &mut deviations);
    let (by_mean, by_deviation) = slopes(mean, deviation);
    for (at, slot) in gradient.iter_mut().enumerate() {
        *slot += by_mean * means[at] + by_deviation * deviations[at];
    }
    (mean, deviation)
}

/// The inputs of one maximisation of the acquisition function.
pub(super) struct Search<'a> {
    /// The trials so far.
    pub(super) history: &'a History,
    /// The encoding of configurations for the kernel.
    pub(super) columns: &'a Columns,
    /// The acquisition value.
    pub(super) acquisition: &'a dyn Acquisition,
    /// The posterior of the excess over each outcome constraint; negative means satisfied.
    pub(super) constraints: &'a [Posterior],
    /// The rows around which local candidates are drawn.
    pub(super) centres: Vec<u32>,
    /// The box that candidates are confined to, if any.
    pub(super) region: Option<Region>,
    /// Maximum number of candidates whose value is computed in the screening.
    pub(super) most_valued: usize,
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
/// Number of the best candidates that are improved by random steps.
const LEADERS: usize = 4;
/// Number of times in a round that [`LANES`] random steps from the leaders are tried.
const STEPS: usize = 3;

impl Search<'_> {
    /// Returns candidates, best first: at most [`SCREENED`] that were screened and improved, and up
    /// to three that followed the gradient.
    pub(super) fn run(&self, rng: &mut ChaCha8Rng) -> Vec<Candidate> {
        let mut scratch = Scratch::default();
        let mut candidates = self.screen(rng, &mut scratch);
        for round in 0..ROUNDS {
            let reach = 0.12 * libm::pow(0.5, f64::from(round));
            for _ in 0..STEPS {
                let leaders = &candidates[..candidates.len().min(LEADERS)];
                let origins: Vec<usize> = (0..leaders.len()).cycle().take(LANES).collect();
                let units = origins
                    .iter()
                    .map(|origin| self.confine(jitter(&leaders[*origin].unit, reach, rng)))
                    .collect();
                for (origin, step) in origins.iter().zip(self.evaluate(units, &mut scratch)) {
                    if step.value > candidates[*origin].value {
                        candidates[*origin] = step;
                    }
                }
            }
            candidates.sort_by(|a, b| b.value.total_cmp(&a.value));
        }
        let polished = candidates
            .iter()
            .take(3)
            .filter_map(|start| self.polish(start, &mut scratch))
            .collect();
        candidates.extend(self.evaluate(polished, &mut scratch));
        candidates.sort_by(|a, b| b.value.total_cmp(&a.value));
        candidates
    }

    /// Draws candidates and returns the best [`SCREENED`] of them. The exact value is computed only
    /// for candidates whose upper bound could put them there.
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
            drawn.push(self.candidate(self.confine(unit)));
        }
        let estimates = self.acquisition.estimates(&self.rows(&drawn), scratch);
        for (candidate, estimate) in drawn.iter_mut().zip(estimates) {
            candidate.value = estimate;
        }
        drawn.sort_by(|a, b| b.value.total_cmp(&a.value));
        drawn.truncate(self.most_valued);
        let mut candidates: Vec<Candidate> = Vec::new();
        for drawn in drawn.chunks_mut(LANES) {
            // The candidates are sorted by their bound, and the constraint term is never positive:
            // no later candidate can be better.
            if candidates.len() == SCREENED && drawn[0].value <= candidates[SCREENED - 1].value {
                break;
            }
            self.set_values(drawn, scratch);
            for candidate in drawn {
                let place = candidates.partition_point(|other| other.value >= candidate.value);
                if place < SCREENED {
                    candidates.insert(place, candidate.clone());
                    candidates.truncate(SCREENED);
                }
            }
        }
        candidates
    }

    /// Moves points to their configurations and returns them with their acquisition values.
    fn evaluate(&self, units: Vec<Vec<f64>>, scratch: &mut Scratch) -> Vec<Candidate> {
        let units = units.into_iter();
        let mut candidates: Vec<Candidate> = units.map(|unit| self.candidate(unit)).collect();
        self.set_values(&mut candidates, scratch);
        candidates
    }

    /// Moves a point to its configuration and returns it without an acquisition value.
    fn candidate(&self, mut unit: Vec<f64>) -> Candidate {
        Candidate {
            value: 0.0,
            active: self.history.snap(&mut unit),
            unit,
        }
    }

    /// Returns the rows of candidates.
    fn rows(&self, candidates: &[Candidate]) -> Vec<Vec<f64>> {
        candidates
            .iter()
            .map(|candidate| self.columns.row(&candidate.unit, &candidate.active))
            .collect()
    }

    /// Sets the acquisition values of candidates, with the log probability that they satisfy all
    /// outcome constraints, taken as independent.
    fn set_values(&self, candidates: &mut [Candidate], scratch: &mut Scratch) {
        let rows = self.rows(candidates);
        let values = self.acquisition.values(&rows, scratch);
        for (candidate, value) in candidates.iter_mut().zip(values) {
            candidate.value = value;
        }
        for constraint in self.constraints {
            let moments = constraint.at_each(&rows, scratch);
            for (candidate, (mean, deviation)) in candidates.iter_mut().zip(moments) {
                candidate.value += ln_cdf(-mean / deviation);
            }
        }
    }

    /// Maximises the acquisition value from `start` along the gradient, over the active continuous
    /// coordinates, and returns the point. `None` if there are none.
    fn polish(&self, start: &Candidate, scratch: &mut Scratch) -> Option<Vec<f64>> {
        let columns = &self.columns.list;
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
        let mut slopes = vec![0.0; columns.len()];
        let effort = Effort {
            evaluations: 24,
            tolerance: 1e-7,
        };
        lbfgs::minimise(&mut x, &low, &high, effort, |x, gradient| {
            moving.iter().zip(x).for_each(|(at, x)| row[*at] = *x);
            slopes.fill(0.0);
            let mut value = self.acquisition.add_slopes(&row, scratch, &mut slopes);
            for constraint in self.constraints {
                let (mean, deviation) = add_slopes(
                    constraint,
                    &row,
                    scratch,
                    &mut slopes,
                    ln_probability_slopes,
                );
                value += ln_cdf(-mean / deviation);
            }
            for (slot, at) in gradient.iter_mut().zip(&moving) {
                *slot = -slopes[*at];
            }
            -value
        });
        let mut unit = start.unit.clone();
        moving
            .iter()
            .zip(&x)
            .for_each(|(at, x)| unit[columns[*at].axis] = *x);
        Some(unit)
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

/// Returns the derivatives of the log probability of a value below 0 with respect to the mean and
/// the deviation.
fn ln_probability_slopes(mean: f64, deviation: f64) -> (f64, f64) {
    let z = -mean / deviation;
    // The derivative of ln Φ(z).
    let hazard = libm::exp(ln_pdf(z) - ln_cdf(z));
    (-hazard / deviation, -hazard * z / deviation)
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
