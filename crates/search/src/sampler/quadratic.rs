//! A local quadratic model of the objective around the incumbent, for numbers without noise: the
//! last decades of a smooth valley need few trials with it. It takes part only while it predicts the
//! nearest trials, each left out, and its share of the proposals follows its successes.
//!
//! As in Powell's methods (*The BOBYQA Algorithm for Bound Constrained Optimization without
//! Derivatives*, Cambridge NA2009/06), a quadratic is fitted to the nearest trials and minimised
//! within a trust region. Where there are fewer trials than coefficients, a normal prior on the
//! coefficients decides. A trial counts less the further away it is: the error of a quadratic grows
//! with the third power of the distance.

use super::Ask;
use super::history::History;
use super::surrogate::Hyper;
use rand::RngExt;
use swath_model::space::{AxisKind, Params};
use swath_numerics::cholesky::{Cholesky, dot};
use swath_numerics::lbfgs::{self, Effort};

/// Half the side of a new trust region, in units of the cube.
const RADIUS_START: f64 = 0.1;
/// Largest half side.
const RADIUS_MAX: f64 = 0.4;
/// Half side below which the search has converged; it then continues with a new region.
const RADIUS_MIN: f64 = 1e-4;
/// Variance of the constant under the prior, relative to that of a slope.
const CONSTANT_VARIANCE: f64 = 10.0;
/// Variance of the error at the incumbent, relative to that of a slope.
const LEAST_ERROR: f64 = 1e-7;
/// Variance of the error at the edge of the trust region.
const EDGE_ERROR: f64 = 1e-2;
/// Maximum number of trials that the model is fitted to.
const MODEL_ROWS: usize = 120;
/// Number of random points from which the quadratic is minimised besides the incumbent.
const STARTS: usize = 3;

/// Largest share of the proposals that the model makes.
const MAX_SHARE: f64 = 0.5;
/// Least share of the proposals while the model fits.
const MIN_SHARE: f64 = 0.02;
/// Rate of success that a new trust region starts with.
const RATE_START: f64 = 0.3;
/// Factor by which the rate of success decays with each trial of the model that ends.
const RATE_DECAY: f64 = 0.75;
/// Share of the variance among the nearest trials that the model must explain in each one that is
/// left out.
const EXPLAINED: f64 = 0.9;
/// Maximum number of dimensions: the coefficients are many more than the trials beyond.
const MAX_DIMS: usize = 40;

/// The local quadratic model, its trust region, and how often it succeeds.
#[derive(Debug)]
pub(super) struct LocalQuadratic {
    /// Half the side of the box, before it is stretched by the lengthscales.
    radius: f64,
    /// The share of the model's trials that improved on the incumbent; recent ones weigh most.
    rate: f64,
    /// The incumbent around which the model was fitted last.
    incumbent: Option<u32>,
    /// The model, if it predicts the trials near the incumbent.
    model: Option<Local>,
}

/// A quadratic around an incumbent.
#[derive(Debug)]
struct Local {
    /// The axes that vary.
    axes: Vec<usize>,
    /// Half the side of the trust region along each of them.
    halves: Vec<f64>,
    quadratic: Quadratic,
}

/// A quadratic c + g·v + ½ vᵀHv without its constant.
#[derive(Debug)]
struct Quadratic {
    gradient: Vec<f64>,
    /// The rows of H, of shape (k, k).
    hessian: Vec<Vec<f64>>,
}

impl LocalQuadratic {
    /// Creates a trust region of the initial size.
    pub(super) fn new() -> Self {
        Self {
            radius: RADIUS_START,
            rate: RATE_START,
            incumbent: None,
            model: None,
        }
    }

    /// Returns the share of the proposals that the model is to make; 0 if it does not fit.
    pub(super) fn share(&self) -> f64 {
        match self.model {
            Some(_) => (MAX_SHARE * self.rate).max(MIN_SHARE),
            None => 0.0,
        }
    }

    /// Resizes the trust region after a trial of this model has ended.
    pub(super) fn learn(&mut self, has_improved: bool) {
        self.rate *= RATE_DECAY;
        if has_improved {
            self.rate += 1.0 - RATE_DECAY;
            self.radius = (2.0 * self.radius).min(RADIUS_MAX);
        } else {
            self.radius *= 0.5;
        }
        if self.radius < RADIUS_MIN {
            self.radius = RADIUS_START;
        }
    }

    /// Fits the model again after a trial has ended.
    pub(super) fn refit(&mut self, history: &History, hyper: &Hyper) {
        self.model = None;
        let Some(at) = history.incumbent().filter(|_| is_suitable(history)) else {
            return;
        };
        let dims = history.dims();
        let incumbent = history.row(at);
        let axes: Vec<usize> = (0..dims).filter(|axis| incumbent.active[*axis]).collect();
        if let Some(last) = self.incumbent.filter(|last| *last != at) {
            let halves = self.half_sides(&axes, hyper);
            let last = history.row(last);
            let has_jumped = axes
                .iter()
                .zip(&halves)
                .any(|(axis, half)| (last.unit[*axis] - incumbent.unit[*axis]).abs() > 2.0 * half);
            if has_jumped {
                (self.radius, self.rate) = (RADIUS_START, RATE_START);
            }
        }
        self.incumbent = Some(at);
        let halves = self.half_sides(&axes, hyper);
        let Some((points, y)) = nearest_rows(history, &axes, &halves) else {
            return;
        };
        self.model = fit(&points, &y)
            .filter(|(_, explained)| *explained > EXPLAINED)
            .map(|(quadratic, _)| Local {
                axes,
                halves,
                quadratic,
            });
    }

    /// Returns the minimum of the quadratic model within the trust region. `None` if there is no
    /// model of this incumbent, or the point was tried or refused.
    pub(super) fn propose(&self, history: &History, ask: &Ask<'_>) -> Option<Params> {
        let local = self.model.as_ref()?;
        let at = history
            .incumbent()
            .filter(|at| self.incumbent == Some(*at))?;
        let incumbent = history.row(at);
        let (low, high): (Vec<f64>, Vec<f64>) = local
            .axes
            .iter()
            .zip(&local.halves)
            .map(|(axis, half)| {
                let x = incumbent.unit[*axis];
                ((-x / half).max(-1.0), ((1.0 - x) / half).min(1.0))
            })
            .unzip();
        let mut rng = ask.rng();
        let mut best = (0.0, Vec::new());
        for start in 0..=STARTS {
            let mut step: Vec<f64> = low
                .iter()
                .zip(&high)
                .map(|(low, high)| match start {
                    0 => 0.0,
                    _ => low + (high - low) * rng.random::<f64>(),
                })
                .collect();
            let value = local.quadratic.minimise(&mut step, &low, &high);
            if value < best.0 {
                best = (value, step);
            }
        }
        let mut unit = incumbent.unit.to_vec();
        for ((axis, half), step) in local.axes.iter().zip(&local.halves).zip(&best.1) {
            unit[*axis] = incumbent.unit[*axis] + half * step;
        }
        history.snap(&mut unit);
        history.untried(&unit)
    }

    /// Returns half the side of the trust region along each axis: longer along axes with a large
    /// lengthscale.
    fn half_sides(&self, axes: &[usize], hyper: &Hyper) -> Vec<f64> {
        let lengths: Vec<f64> = hyper.lengths().collect();
        let logarithms = axes.iter().map(|axis| libm::log(lengths[*axis]));
        let mean = libm::exp(logarithms.sum::<f64>() / axes.len().max(1) as f64);
        axes.iter()
            .map(|axis| self.radius * (lengths[*axis] / mean).clamp(0.2, 5.0))
            .collect()
    }
}

/// Returns whether a quadratic can describe the objective: a single one over a few numbers. With
/// choices too few trials share those of the incumbent, and the model does not see constraints.
fn is_suitable(history: &History) -> bool {
    let mut kinds = history.kinds();
    let has_choices = kinds.any(|kind| matches!(kind, AxisKind::Choice(_)));
    let is_single = history.objectives.len() == 1 && history.constraint_count() == 0;
    !has_choices && is_single && history.dims() <= MAX_DIMS
}

/// Returns the trials nearest to the incumbent, as steps from it in units of the trust region, and
/// their scores minus that of the incumbent. `None` if they are fewer than the
/// coefficients of a plane and one more.
fn nearest_rows(
    history: &History,
    axes: &[usize],
    halves: &[f64],
) -> Option<(Vec<Vec<f64>>, Vec<f64>)> {
    let at = history.incumbent()?;
    let incumbent = history.row(at);
    let base = *history.scores(at).first()?;
    let mut rows: Vec<(f64, Vec<f64>, f64)> = history
        .ranked()
        .iter()
        .filter_map(|(score, row)| {
            let row = history.row(*row);
            let difference = score - base;
            if row.active != incumbent.active || !difference.is_finite() {
                return None;
            }
            let step: Vec<f64> = axes
                .iter()
                .zip(halves)
                .map(|(axis, half)| (row.unit[*axis] - incumbent.unit[*axis]) / half)
                .collect();
            Some((dot(&step, &step), step, difference))
        })
        .collect();
    rows.sort_by(|a, b| a.0.total_cmp(&b.0));
    let k = axes.len();
    rows.truncate(((k + 1) * (k + 2) / 2 + k).min(MODEL_ROWS));
    if k == 0 || rows.len() < k + 2 {
        return None;
    }
    Some(rows.into_iter().map(|(_, step, y)| (step, y)).unzip())
}

/// Returns the mean of the quadratic's coefficients given the points, nearest first, and the share
/// of the variance among the nearest that is explained by the fit without each of them.
fn fit(points: &[Vec<f64>], y: &[f64]) -> Option<(Quadratic, f64)> {
    let k = points[0].len();
    let factor = Cholesky::factor(points.len(), |i, row| {
        for (slot, other) in row.iter_mut().zip(points) {
            let product = dot(&points[i], other);
            *slot = CONSTANT_VARIANCE + product + 0.5 * product * product;
        }
        let square = dot(&points[i], &points[i]) / k as f64;
        row[i] += LEAST_ERROR + EDGE_ERROR * square.powi(3);
    })
    .ok()?;
    let mut alpha = y.to_vec();
    factor.solve_lower(&mut alpha);
    factor.solve_upper(&mut alpha);
    let mut quadratic = Quadratic {
        gradient: vec![0.0; k],
        hessian: vec![vec![0.0; k]; k],
    };
    for (alpha, point) in alpha.iter().zip(points) {
        for i in 0..k {
            quadratic.gradient[i] += alpha * point[i];
            for j in 0..k {
                quadratic.hessian[i][j] += alpha * point[i] * point[j];
            }
        }
    }
    let near = (k + 2).max(points.len() / 2);
    let mean = y[..near].iter().sum::<f64>() / near as f64;
    let squares: f64 = y[..near].iter().map(|y| (y - mean).powi(2)).sum();
    let inverse = factor.inverse();
    // Section 5.4.2 of Rasmussen & Williams, *Gaussian Processes for Machine Learning*, 2006.
    let errors: f64 = (0..near)
        .map(|i| (alpha[i] / inverse[i * (i + 1) / 2 + i]).powi(2))
        .sum();
    Some((quadratic, 1.0 - errors / squares))
}

impl Quadratic {
    /// Minimises the quadratic within a box from `step` on, and returns the value reached.
    fn minimise(&self, step: &mut [f64], low: &[f64], high: &[f64]) -> f64 {
        // In units of the largest coefficient, since the tolerances are absolute.
        let coefficients = self.hessian.iter().flatten().chain(&self.gradient);
        let scale = coefficients.fold(f64::MIN_POSITIVE, |most, x| most.max(x.abs()));
        let effort = Effort {
            evaluations: 60,
            tolerance: 1e-10,
        };
        lbfgs::minimise(step, low, high, effort, |v, gradient| {
            let mut value = 0.0;
            for (i, slot) in gradient.iter_mut().enumerate() {
                let bend = dot(&self.hessian[i], v);
                *slot = (self.gradient[i] + bend) / scale;
                value += (self.gradient[i] + 0.5 * bend) * v[i] / scale;
            }
            value
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns points on a spiral around 0, the nearest first.
    fn spiral() -> Vec<Vec<f64>> {
        let turns = (0..12).map(|at| {
            let (angle, radius) = (f64::from(at) * 2.4, 0.3 + 0.05 * f64::from(at));
            vec![radius * libm::cos(angle), radius * libm::sin(angle)]
        });
        std::iter::once(vec![0.0, 0.0]).chain(turns).collect()
    }

    fn valley(x: &[f64]) -> f64 {
        (x[0] - 0.3).powi(2) + 5.0 * (x[1] + 0.2 + x[0]).powi(2)
    }

    #[test]
    fn the_model_of_a_quadratic_has_its_minimum() {
        let points = spiral();
        let y: Vec<f64> = points.iter().map(|x| valley(x)).collect();
        let (quadratic, explained) = fit(&points, &y).unwrap();
        let mut step = vec![0.0; 2];
        quadratic.minimise(&mut step, &[-1.0; 2], &[1.0; 2]);
        assert!(valley(&step) < 1e-3, "{step:?}");
        assert!(explained > EXPLAINED, "{explained}");
    }

    #[test]
    fn a_quadratic_does_not_explain_plateaus() {
        let points = spiral();
        let y: Vec<f64> = points
            .iter()
            .map(|x| (4.0 * x[0]).round().abs() + (4.0 * x[1]).round().abs() % 2.0)
            .collect();
        let (_, explained) = fit(&points, &y).unwrap();
        assert!(explained < EXPLAINED, "{explained}");
    }

    #[test]
    fn the_share_of_a_model_without_success_falls_to_the_least_one() {
        let mut local = LocalQuadratic::new();
        assert_eq!(local.share(), 0.0);
        let points = spiral();
        let y: Vec<f64> = points.iter().map(|x| valley(x)).collect();
        local.model = fit(&points, &y).map(|(quadratic, _)| Local {
            axes: vec![0, 1],
            halves: vec![0.1; 2],
            quadratic,
        });
        let first = local.share();
        local.learn(true);
        assert!(local.share() > first && local.radius > RADIUS_START);
        (0..12).for_each(|_| local.learn(false));
        assert_eq!(local.share(), MIN_SHARE);
    }
}
