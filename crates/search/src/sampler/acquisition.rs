//! Maximises the acquisition function of the Gaussian process.
//!
//! Log expected improvement, as in Ament et al., 2023 (arXiv 2310.20708): it has the same maximum
//! as expected improvement, but a useful gradient everywhere. Candidates all over the cube and
//! around the best trials are screened by a bound that needs no triangular solve. The best of them
//! are improved by shrinking random steps, and finally along the gradient in the continuous
//! coordinates.

use super::history::History;
use super::kernel::Columns;
use super::near::near;
use super::surrogate::{Posterior, Scratch};
use crate::numerics::lbfgs::{self, Effort};
use crate::numerics::normal::{ln_cdf, ln_expected_excess, ln_expected_excess_slope, ln_pdf};
use crate::space::AxisKind;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

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
pub(super) enum Aim {
    /// Log expected improvement on this value.
    Improvement(f64),
    /// The lower confidence bound, this many standard deviations below the mean: Srinivas et al.,
    /// *Gaussian Process Optimization in the Bandit Setting*, ICML 2010.
    LowEnd(f64),
    /// Only the probability of satisfying the outcome constraints counts. Used while no trial
    /// satisfies them.
    Limits,
}

impl Aim {
    /// Returns the acquisition value for a mean and a standard deviation; larger is better.
    fn value(self, mean: f64, deviation: f64) -> f64 {
        match self {
            Self::Improvement(on) => {
                ln_expected_excess((on - mean) / deviation) + libm::log(deviation)
            }
            Self::LowEnd(deviations) => deviations * deviation - mean,
            Self::Limits => 0.0,
        }
    }

    /// Returns the derivatives of [`value`](Self::value) with respect to mean and deviation.
    fn slopes(self, mean: f64, deviation: f64) -> (f64, f64) {
        match self {
            Self::Improvement(on) => {
                let z = (on - mean) / deviation;
                let slope = ln_expected_excess_slope(z);
                (-slope / deviation, (1.0 - slope * z) / deviation)
            }
            Self::LowEnd(deviations) => (-1.0, deviations),
            Self::Limits => (0.0, 0.0),
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
    pub(super) aim: Aim,
    /// The posterior of the excess over each outcome constraint; negative means satisfied.
    pub(super) borders: &'a [Posterior],
    /// The rows around which local candidates are drawn.
    pub(super) centres: Vec<u32>,
    /// The box that candidates are confined to, if any.
    pub(super) region: Option<Region>,
}

/// Number of candidates drawn uniformly.
const SPREAD: usize = 300;
/// Number of candidates drawn around each centre.
const AROUND: usize = 100;
/// Number of candidates kept by the screening.
const KEPT: usize = 8;
/// Number of rounds of random steps; the step size halves each round.
const ROUNDS: i32 = 6;

impl Search<'_> {
    /// Returns candidates, best first: at most [`KEPT`] that were screened and improved, and up to
    /// three that followed the gradient.
    pub(super) fn run(&self, rng: &mut ChaCha8Rng) -> Vec<Candidate> {
        let mut scratch = Scratch::default();
        let mut kept = self.screen(rng, &mut scratch);
        for round in 0..ROUNDS {
            let reach = 0.12 * libm::pow(0.5, f64::from(round));
            for at in 0..kept.len().min(4) {
                for _ in 0..6 {
                    let unit = self.confine(jitter(&kept[at].unit, reach, rng));
                    let found = self.weigh(unit, &mut scratch);
                    if found.value > kept[at].value {
                        kept[at] = found;
                    }
                }
            }
            kept.sort_by(|a, b| b.value.total_cmp(&a.value));
        }
        let polished: Vec<_> = kept
            .iter()
            .take(3)
            .filter_map(|start| self.polish(start, &mut scratch))
            .collect();
        kept.extend(polished);
        kept.sort_by(|a, b| b.value.total_cmp(&a.value));
        kept
    }

    /// Draws candidates and returns the best [`KEPT`] of them. The exact value is computed only for
    /// candidates whose upper bound could put them there.
    fn screen(&self, rng: &mut ChaCha8Rng, scratch: &mut Scratch) -> Vec<Candidate> {
        let d = self.history.dims();
        let mut drawn: Vec<Candidate> = Vec::with_capacity(SPREAD + AROUND * self.centres.len());
        for at in 0..SPREAD + AROUND * self.centres.len() {
            let unit = if at < SPREAD {
                (0..d).map(|_| rng.random()).collect()
            } else {
                near(
                    &self.history.row(self.centres[(at - SPREAD) / AROUND]).unit,
                    rng,
                )
            };
            let mut unit = self.confine(unit);
            let active = self.history.settle(&mut unit);
            let (mean, most) = self
                .posterior
                .glance(&self.columns.row(&unit, &active), scratch);
            drawn.push(Candidate {
                value: self.aim.value(mean, most),
                unit,
                active,
            });
        }
        drawn.sort_by(|a, b| b.value.total_cmp(&a.value));
        let mut kept: Vec<Candidate> = Vec::new();
        for mut candidate in drawn {
            // The candidates are sorted by their bound, and the constraint term is never positive:
            // no later candidate can be better.
            if kept.len() == KEPT && candidate.value <= kept[KEPT - 1].value {
                break;
            }
            let (mean, deviation) = self.posterior.at(
                &self.columns.row(&candidate.unit, &candidate.active),
                scratch,
            );
            candidate.value = self.aim.value(mean, deviation)
                + self.keeps(&candidate.unit, &candidate.active, scratch);
            let place = kept.partition_point(|other| other.value >= candidate.value);
            kept.insert(place, candidate);
            kept.truncate(KEPT);
        }
        kept
    }

    /// Moves a point to its configuration and returns it with its acquisition value.
    fn weigh(&self, mut unit: Vec<f64>, scratch: &mut Scratch) -> Candidate {
        let active = self.history.settle(&mut unit);
        let (mean, deviation) = self
            .posterior
            .at(&self.columns.row(&unit, &active), scratch);
        let value = self.aim.value(mean, deviation) + self.keeps(&unit, &active, scratch);
        Candidate {
            value,
            unit,
            active,
        }
    }

    /// Returns the log probability that a point satisfies all outcome constraints, taken as
    /// independent; 0 without any.
    fn keeps(&self, unit: &[f64], active: &[bool], scratch: &mut Scratch) -> f64 {
        if self.borders.is_empty() {
            return 0.0;
        }
        let row = self.columns.row(unit, active);
        let each = |border: &Posterior| {
            let (mean, deviation) = border.at(&row, scratch);
            ln_cdf(-mean / deviation)
        };
        self.borders.iter().map(each).sum()
    }

    /// Maximises the acquisition value from `start` along the gradient, over the active continuous
    /// coordinates. Returns `None` if there are none.
    fn polish(&self, start: &Candidate, scratch: &mut Scratch) -> Option<Candidate> {
        let columns = self.posterior.columns();
        let kinds: Vec<&AxisKind> = self.history.kinds().collect();
        // An integer of more than 50 values is treated as continuous; finer steps would end in the
        // same cell.
        let smooth = |axis: usize| match kinds[axis] {
            AxisKind::Real => true,
            AxisKind::Ordered(n) => *n > 50,
            AxisKind::Choice(_) => false,
        };
        let moving: Vec<usize> = (0..columns.len())
            .filter(|at| columns[*at].what == super::kernel::What::Number)
            .filter(|at| smooth(columns[*at].axis) && start.active[columns[*at].axis])
            .collect();
        if moving.is_empty() {
            return None;
        }
        let mut row = self.columns.row(&start.unit, &start.active);
        let mut x: Vec<f64> = moving.iter().map(|at| row[*at]).collect();
        let bound = |pick: fn(&Region) -> &Vec<f64>, otherwise: f64| -> Vec<f64> {
            let edge = |at: &usize| {
                self.region
                    .as_ref()
                    .map_or(otherwise, |region| pick(region)[columns[*at].axis])
            };
            moving.iter().map(edge).collect()
        };
        let (low, high) = (
            bound(|region| &region.low, 0.0),
            bound(|region| &region.high, 1.0),
        );
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
            let mut value = -self.aim.value(mu, sigma);
            let (by_mean, by_deviation) = self.aim.slopes(mu, sigma);
            for (slot, at) in gradient.iter_mut().zip(&moving) {
                *slot = -by_mean * mean[*at] - by_deviation * deviation[*at];
            }
            for border in self.borders {
                let (mu, sigma) = border.slopes(&row, scratch, &mut mean, &mut deviation);
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
        Some(self.weigh(unit, scratch))
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

/// Returns a copy of a point in which a random half of the coordinates, and always at least one,
/// moves by up to `reach`. About 4 % of the coordinates are drawn anew instead.
fn jitter(unit: &[f64], reach: f64, rng: &mut ChaCha8Rng) -> Vec<f64> {
    let always = rng.random_range(0..unit.len().max(1));
    let moved = |(at, x): (usize, &f64)| {
        let u: f64 = rng.random();
        if at != always && u < 0.5 {
            return *x;
        }
        if u > 0.96 {
            return rng.random();
        }
        (x + reach * (2.0 * rng.random::<f64>() - 1.0)).clamp(0.0, 1.0)
    };
    unit.iter().enumerate().map(moved).collect()
}

#[cfg(test)]
mod tests {
    use super::Aim;

    #[test]
    fn the_slopes_of_an_aim_are_its_derivatives() {
        for aim in [Aim::Improvement(-0.3), Aim::LowEnd(2.0), Aim::Limits] {
            for (mean, deviation) in [(0.4, 0.7), (-1.0, 0.2), (2.0, 0.05)] {
                let (by_mean, by_deviation) = aim.slopes(mean, deviation);
                let h = 1e-6;
                let along_mean =
                    (aim.value(mean + h, deviation) - aim.value(mean - h, deviation)) / (2.0 * h);
                let along_deviation =
                    (aim.value(mean, deviation + h) - aim.value(mean, deviation - h)) / (2.0 * h);
                assert!(
                    (by_mean - along_mean).abs() <= 1e-4 * (1.0 + by_mean.abs()),
                    "{aim:?} {by_mean} {along_mean}"
                );
                assert!(
                    (by_deviation - along_deviation).abs() <= 1e-4 * (1.0 + by_deviation.abs()),
                    "{aim:?} {by_deviation} {along_deviation}"
                );
            }
        }
    }
}
