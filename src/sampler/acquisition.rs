//! Where the Gaussian process promises the largest expected improvement.
//!
//! The logarithm of it, as in Ament et al., 2023 (arXiv 2310.20708): the same place, and a slope everywhere. Candidates all over the cube and
//! around the best trials are screened by a bound that needs no solve; the best are moved by shrinking random steps, then, in what is
//! continuous, along the gradient.

use super::history::History;
use super::kernel::Columns;
use super::near::near;
use super::surrogate::{Posterior, Scratch};
use crate::numerics::lbfgs::{self, Effort};
use crate::numerics::normal::{ln_cdf, ln_expected_excess, ln_expected_excess_slope, ln_pdf};
use crate::space::AxisKind;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// A point and how much it promises.
#[derive(Debug, Clone)]
pub(super) struct Candidate {
    pub(super) value: f64,
    pub(super) unit: Vec<f64>,
    active: Box<[bool]>,
}

/// Part of the cube to look in.
#[derive(Debug, Clone)]
pub(super) struct Region {
    pub(super) low: Vec<f64>,
    pub(super) high: Vec<f64>,
}

pub(super) struct Search<'a> {
    pub(super) history: &'a History,
    pub(super) columns: &'a Columns,
    pub(super) posterior: &'a Posterior,
    /// The value to improve on.
    pub(super) incumbent: f64,
    /// How far each outcome limit is from being broken.
    pub(super) borders: &'a [Posterior],
    /// Nothing keeps the limits yet, so that to be found comes first.
    pub(super) only_borders: bool,
    /// Rows to look around.
    pub(super) centres: Vec<u32>,
    /// Look nowhere else.
    pub(super) region: Option<Region>,
}

const SPREAD: usize = 300;
const AROUND: usize = 100;
const KEPT: usize = 8;
const ROUNDS: i32 = 6;

impl Search<'_> {
    /// Returns promising points, the most promising first.
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
        let polished: Vec<_> =
            kept.iter().take(3).filter_map(|start| self.polish(start, &mut scratch)).collect();
        kept.extend(polished);
        kept.sort_by(|a, b| b.value.total_cmp(&a.value));
        kept
    }

    /// Draws candidates and keeps the best few, solving only for those that could be among them.
    fn screen(&self, rng: &mut ChaCha8Rng, scratch: &mut Scratch) -> Vec<Candidate> {
        let d = self.history.dims();
        let mut drawn: Vec<Candidate> = Vec::with_capacity(SPREAD + AROUND * self.centres.len());
        for at in 0..SPREAD + AROUND * self.centres.len() {
            let unit = if at < SPREAD {
                (0..d).map(|_| rng.random()).collect()
            } else {
                near(&self.history.row(self.centres[(at - SPREAD) / AROUND]).unit, rng)
            };
            let mut unit = self.confine(unit);
            let active = self.history.settle(&mut unit);
            let (mean, most) = self.posterior.glance(&self.columns.row(&unit, &active), scratch);
            drawn.push(Candidate { value: self.promise(mean, most), unit, active });
        }
        drawn.sort_by(|a, b| b.value.total_cmp(&a.value));
        let mut kept: Vec<Candidate> = Vec::new();
        for mut candidate in drawn {
            if kept.len() == KEPT && candidate.value <= kept[KEPT - 1].value {
                break;
            }
            let (mean, deviation) =
                self.posterior.at(&self.columns.row(&candidate.unit, &candidate.active), scratch);
            candidate.value =
                self.promise(mean, deviation) + self.keeps(&candidate.unit, &candidate.active, scratch);
            let place = kept.partition_point(|other| other.value >= candidate.value);
            kept.insert(place, candidate);
            kept.truncate(KEPT);
        }
        kept
    }

    fn weigh(&self, mut unit: Vec<f64>, scratch: &mut Scratch) -> Candidate {
        let active = self.history.settle(&mut unit);
        let (mean, deviation) = self.posterior.at(&self.columns.row(&unit, &active), scratch);
        let value = self.promise(mean, deviation) + self.keeps(&unit, &active, scratch);
        Candidate { value, unit, active }
    }

    /// Returns the logarithm of the probability that a point keeps all limits.
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

    fn promise(&self, mean: f64, deviation: f64) -> f64 {
        if self.only_borders {
            return 0.0;
        }
        ln_expected_excess((self.incumbent - mean) / deviation) + libm::log(deviation)
    }

    /// Follows the gradient in the continuous coordinates that exist.
    fn polish(&self, start: &Candidate, scratch: &mut Scratch) -> Option<Candidate> {
        let columns = self.posterior.columns();
        let kinds: Vec<&AxisKind> = self.history.kinds().collect();
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
            let edge =
                |at: &usize| self.region.as_ref().map_or(otherwise, |region| pick(region)[columns[*at].axis]);
            moving.iter().map(edge).collect()
        };
        let (low, high) = (bound(|region| &region.low, 0.0), bound(|region| &region.high, 1.0));
        let (mut mean, mut deviation) = (vec![0.0; columns.len()], vec![0.0; columns.len()]);
        let effort = Effort { evaluations: 24, tolerance: 1e-7 };
        lbfgs::minimise(&mut x, &low, &high, effort, |x, gradient| {
            moving.iter().zip(x).for_each(|(at, x)| row[*at] = *x);
            let (mu, sigma) = self.posterior.slopes(&row, scratch, &mut mean, &mut deviation);
            let z = (self.incumbent - mu) / sigma;
            let mut value = 0.0;
            gradient.fill(0.0);
            if !self.only_borders {
                let slope = ln_expected_excess_slope(z);
                for (slot, at) in gradient.iter_mut().zip(&moving) {
                    *slot = -(slope * (-mean[*at] - z * deviation[*at]) + deviation[*at]) / sigma;
                }
                value = -(ln_expected_excess(z) + libm::log(sigma));
            }
            for border in self.borders {
                let (mu, sigma) = border.slopes(&row, scratch, &mut mean, &mut deviation);
                let z = -mu / sigma;
                let hazard = libm::exp(ln_pdf(z) - ln_cdf(z));
                for (slot, at) in gradient.iter_mut().zip(&moving) {
                    *slot -= hazard * (-mean[*at] - z * deviation[*at]) / sigma;
                }
                value -= ln_cdf(z);
            }
            value
        });
        let mut unit = start.unit.clone();
        moving.iter().zip(&x).for_each(|(at, x)| unit[columns[*at].axis] = *x);
        Some(self.weigh(unit, scratch))
    }

    fn confine(&self, mut unit: Vec<f64>) -> Vec<f64> {
        if let Some(region) = &self.region {
            for (x, (low, high)) in unit.iter_mut().zip(region.low.iter().zip(&region.high)) {
                if *x < *low || *x > *high {
                    *x = low + (high - low) * (*x - x.floor());
                }
            }
        }
        unit
    }
}

/// Moves a random half of the coordinates by up to `reach`, and now and then draws one anew.
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
