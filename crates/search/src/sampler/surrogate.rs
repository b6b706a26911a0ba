//! A Gaussian process over rows of numbers: fits its hyperparameters and computes its posterior.
//!
//! Rasmussen & Williams, *Gaussian Processes for Machine Learning*, 2006, algorithm 2.1 and section
//! 5.4. The amplitude is profiled out. The fitted hyperparameters are one lengthscale per parameter
//! and the noise, at the maximum of their posterior density. Priors: lengthscales ~ LogNormal(ln
//! 0.3 + ½ ln d, ¾), which grow with √d as in Hvarfner, Hellsten & Nardi, 2024, arXiv 2402.02229,
//! but are shorter and tighter; noise ~ LogNormal(−6, 2).

use super::kernel::{Column, ColumnKind, add_squares, matern, matern_slope, sum_squares};
use swath_numerics::cholesky::{Cholesky, Singular, dot};
use swath_numerics::lbfgs::{self, Effort};

/// The hyperparameters, of shape (d + 1): the logarithm of each lengthscale, then that of the ratio
/// of noise to signal variance.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Hyper(pub(super) Vec<f64>);

impl Hyper {
    /// Returns the mode of the prior for `d` parameters.
    pub(super) fn prior(d: usize) -> Self {
        let mut all = vec![prior_length(d); d];
        all.push(-6.0);
        Self(all)
    }

    /// Returns the lengthscale of each parameter; d items.
    pub(super) fn lengths(&self) -> impl Iterator<Item = f64> {
        self.0[..self.0.len() - 1].iter().map(|ln| libm::exp(*ln))
    }

    /// Returns for each column one over its squared lengthscale.
    fn weights(&self, columns: &[Column]) -> Vec<f64> {
        columns
            .iter()
            .map(|column| libm::exp(-2.0 * self.0[column.axis]))
            .collect()
    }

    /// Returns the ratio of noise to signal variance.
    pub(super) fn noise(&self) -> f64 {
        libm::exp(self.0[self.0.len() - 1])
    }
}

/// Returns the mean of the logarithm of a lengthscale under the prior.
fn prior_length(d: usize) -> f64 {
    libm::log(0.3) + 0.5 * libm::log(d.max(1) as f64)
}

/// Standard deviation of the logarithm of a lengthscale under the prior.
const LENGTH_SPREAD: f64 = 0.75;
/// Standard deviation of the logarithm of the noise under the prior.
const NOISE_SPREAD: f64 = 2.0;

/// Rows of numbers, stored by column.
#[derive(Debug, Clone)]
pub(super) struct Rows {
    /// The meaning of each column.
    pub(super) columns: Vec<Column>,
    /// One vector per column, all of the same length.
    data: Vec<Vec<f64>>,
    /// The noise of each row relative to that of one trial: 1/4 for a mean of four trials.
    shares: Vec<f64>,
}

impl Rows {
    /// Creates an empty table.
    pub(super) fn new(columns: &[Column]) -> Self {
        Self {
            columns: columns.to_vec(),
            data: vec![Vec::new(); columns.len()],
            shares: Vec::new(),
        }
    }

    /// Appends a row for a single trial.
    pub(super) fn push(&mut self, row: &[f64]) {
        self.push_mean(row, 1);
    }

    /// Appends a row whose value is the mean of `trials` trials.
    pub(super) fn push_mean(&mut self, row: &[f64], trials: usize) {
        self.data
            .iter_mut()
            .zip(row)
            .for_each(|(column, x)| column.push(*x));
        self.shares.push(1.0 / trials.max(1) as f64);
    }

    /// Returns the number of rows.
    pub(super) fn len(&self) -> usize {
        self.shares.len()
    }

    /// Writes the squared distance between `row` and each of the first `squares.len()` rows into
    /// `squares`.
    fn squares(&self, weights: &[f64], row: impl Fn(usize) -> f64, squares: &mut [f64]) {
        squares.fill(0.0);
        let n = squares.len();
        for (at, (column, data)) in self.columns.iter().zip(&self.data).enumerate() {
            add_squares(column.kind, weights[at], row(at), &data[..n], squares);
        }
    }

    /// Factors the kernel matrix with noise. Jitter is added in growing amounts; `None` if the
    /// matrix is still indefinite with 8e-4.
    fn factor(&self, weights: &[f64], noise: f64) -> Option<Cholesky> {
        let mut jitter = 1e-9;
        while jitter < 1e-3 {
            let factored = Cholesky::factor(self.len(), |i, row| {
                self.squares(weights, |at| self.data[at][i], row);
                row.iter_mut().for_each(|k| *k = matern(*k));
                row[i] = 1.0 + noise * self.shares[i] + jitter;
            });
            if let Ok(factor) = factored {
                return Some(factor);
            }
            jitter *= 30.0;
        }
        None
    }
}

/// Maximises the posterior density of the hyperparameters for standardised values `y`, starting
/// from `hyper`. Returns the negative log density reached (smaller is better, infinite if the start
/// was not admissible) and the hyperparameters there.
pub(super) fn fit(rows: &Rows, y: &[f64], hyper: Hyper, evaluations: usize) -> (f64, Hyper) {
    let mut theta = hyper.0;
    let d = theta.len() - 1;
    let centre = prior_length(d);
    let mut low = vec![libm::log(0.02); d];
    let mut high = vec![centre + 4.0; d];
    // The last hyperparameter is the noise.
    low.push(-16.0);
    high.push(1.0);
    let effort = Effort {
        evaluations,
        tolerance: 1e-3,
    };
    let value = lbfgs::minimise(&mut theta, &low, &high, effort, |theta, gradient| {
        evidence(rows, y, &Hyper(theta.to_vec()), gradient)
    });
    (value, Hyper(theta))
}

/// Returns the negative log posterior density of `hyper` up to a constant, and writes its gradient.
fn evidence(rows: &Rows, y: &[f64], hyper: &Hyper, gradient: &mut [f64]) -> f64 {
    gradient.fill(0.0);
    let n = rows.len();
    let d = hyper.0.len() - 1;
    let (weights, noise) = (hyper.weights(&rows.columns), hyper.noise());
    let Some(factor) = rows.factor(&weights, noise) else {
        return f64::INFINITY;
    };
    let mut alpha = y.to_vec();
    factor.solve_lower(&mut alpha);
    factor.solve_upper(&mut alpha);
    // The amplitude of maximum likelihood for these lengthscales, in closed form.
    let signal = (dot(y, &alpha) / n as f64).max(1e-12);
    let inverse = factor.inverse();
    let (mut squares, mut slopes) = (vec![0.0; n], vec![0.0; n]);
    for i in 0..n {
        let row = &inverse[i * (i + 1) / 2..][..=i];
        gradient[d] += 0.5 * noise * rows.shares[i] * (row[i] - alpha[i] * alpha[i] / signal);
        rows.squares(&weights, |at| rows.data[at][i], &mut squares[..i]);
        for j in 0..i {
            let pull = row[j] - alpha[i] * alpha[j] / signal;
            slopes[j] = 2.0 * pull * matern_slope(squares[j]);
        }
        for (at, column) in rows.columns.iter().enumerate() {
            let data = &rows.data[at];
            gradient[column.axis] +=
                weights[at] * sum_squares(column.kind, &slopes[..i], data[i], &data[..i]);
        }
    }
    let mut value = 0.5 * (n as f64 * libm::log(signal) + factor.ln_determinant());
    // The logarithm of the normal priors and its derivative.
    for (at, slot) in gradient.iter_mut().enumerate() {
        let (mean, spread) = if at < d {
            (prior_length(d), LENGTH_SPREAD)
        } else {
            (-6.0, NOISE_SPREAD)
        };
        let z = (hyper.0[at] - mean) / spread;
        value += 0.5 * z * z;
        *slot += z / spread;
    }
    value
}

/// The posterior of the process given rows and their values.
#[derive(Debug, Clone)]
pub(super) struct Posterior {
    /// The rows conditioned on, believed ones last.
    rows: Rows,
    /// One over the squared lengthscale of each column.
    weights: Vec<f64>,
    /// The factor of the kernel matrix with noise, in units of the signal variance.
    factor: Cholesky,
    /// K⁻¹ y; 0 for believed rows, whose value is the prediction and does not change the mean.
    alpha: Vec<f64>,
    /// The signal variance.
    signal: f64,
    /// The noise of one trial, in units of the signal variance.
    noise: f64,
}

/// Buffers that are reused between evaluations.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    /// Squared distances from each row.
    squares: Vec<f64>,
    /// Correlations with each row.
    kernel: Vec<f64>,
    /// The correlations after a triangular solve.
    solved: Vec<f64>,
}

impl Posterior {
    /// Conditions on the first `y.len()` rows with values `y`, and on any further rows as if the
    /// predicted value had been observed there: the "kriging believer" of Ginsbourger, Le Riche &
    /// Carraro, 2010. Returns `None` if the kernel matrix stays indefinite.
    pub(super) fn new(rows: Rows, y: &[f64], hyper: &Hyper) -> Option<Self> {
        let weights = hyper.weights(&rows.columns);
        let noise = hyper.noise();
        let factor = rows.factor(&weights, noise)?;
        // The factor of the leading rows is a leading part of the whole factor, so believed rows do
        // not take part in these solves.
        let mut alpha = y.to_vec();
        factor.solve_lower(&mut alpha);
        factor.solve_upper(&mut alpha);
        let signal = (dot(y, &alpha) / y.len().max(1) as f64).clamp(1e-9, 1e9);
        alpha.resize(rows.len(), 0.0);
        Some(Self {
            rows,
            weights,
            factor,
            alpha,
            signal,
            noise,
        })
    }

    /// Returns the columns of the rows.
    pub(super) fn columns(&self) -> &[Column] {
        &self.rows.columns
    }

    /// Returns the mean at a row and an upper bound of the standard deviation, in time linear in
    /// the number of rows. The bound is the deviation given the nearest row alone: further rows can
    /// only reduce the variance.
    pub(super) fn mean_and_bound(&self, row: &[f64], scratch: &mut Scratch) -> (f64, f64) {
        self.correlate(row, scratch);
        let nearest = scratch.kernel.iter().copied().fold(0.0, f64::max);
        let position = scratch.kernel.iter().position(|k| *k == nearest);
        let first = self.factor.row(0)[0] * self.factor.row(0)[0];
        // The diagonal of the kernel matrix differs between rows only by their noise.
        let shares = &self.rows.shares;
        let own = position.map_or(first, |at| first + self.noise * (shares[at] - shares[0]));
        let bound = 1.0 - nearest * nearest / own;
        (
            dot(&scratch.kernel, &self.alpha),
            (self.signal * bound.max(1e-10)).sqrt(),
        )
    }

    /// Returns the mean and the standard deviation at a row, without noise; O(n²).
    pub(super) fn at(&self, row: &[f64], scratch: &mut Scratch) -> (f64, f64) {
        self.correlate(row, scratch);
        scratch.solved.clear();
        scratch.solved.extend_from_slice(&scratch.kernel);
        self.factor.solve_lower(&mut scratch.solved);
        let variance = (1.0 - dot(&scratch.solved, &scratch.solved)).max(1e-10);
        (
            dot(&scratch.kernel, &self.alpha),
            (self.signal * variance).sqrt(),
        )
    }

    /// Returns the mean at a row, and its correlations with the rows conditioned on after a
    /// triangular solve, from which [`covariance`](Self::covariance) is made.
    pub(super) fn solve(&self, row: &[f64], scratch: &mut Scratch) -> (f64, Vec<f64>) {
        let (mean, _) = self.at(row, scratch);
        (mean, scratch.solved.clone())
    }

    /// Factors the joint covariance, without noise, of rows whose correlations are solved.
    pub(super) fn covariance(
        &self,
        rows: &Rows,
        solved: &[Vec<f64>],
        jitter: f64,
    ) -> Result<Cholesky, Singular> {
        Cholesky::factor(rows.len(), |i, row| {
            rows.squares(&self.weights, |at| rows.data[at][i], row);
            for (j, covariance) in row.iter_mut().enumerate() {
                let known = dot(&solved[i], &solved[j]);
                let own = if i == j { jitter } else { 0.0 };
                *covariance = self.signal * (matern(*covariance) - known + own);
            }
        })
    }

    /// Returns the standard deviation of the noise of one trial.
    pub(super) fn noise_deviation(&self) -> f64 {
        (self.signal * self.noise).sqrt()
    }

    /// Like [`at`](Self::at), and also writes the derivatives of the mean and the deviation with
    /// respect to each column. They are 0 for columns that are not numbers.
    pub(super) fn slopes(
        &self,
        row: &[f64],
        scratch: &mut Scratch,
        mean: &mut [f64],
        deviation: &mut [f64],
    ) -> (f64, f64) {
        let (mu, sigma) = self.at(row, scratch);
        self.factor.solve_upper(&mut scratch.solved);
        for square in &mut scratch.squares {
            *square = matern_slope(*square);
        }
        for (at, column) in self.rows.columns.iter().enumerate() {
            (mean[at], deviation[at]) = (0.0, 0.0);
            if column.kind != ColumnKind::Number {
                continue;
            }
            let data = &self.rows.data[at];
            let (mut m, mut v) = (0.0, 0.0);
            let factors = scratch.squares.iter().zip(&self.alpha).zip(&scratch.solved);
            for (x, ((slope, alpha), solved)) in data.iter().zip(factors) {
                let pull = slope * (x - row[at]);
                m += pull * alpha;
                v += pull * solved;
            }
            mean[at] = 2.0 * self.weights[at] * m;
            deviation[at] = -2.0 * self.weights[at] * v * self.signal / sigma;
        }
        (mu, sigma)
    }

    /// Returns the squared distance to the nearest row, in squared lengthscales.
    pub(super) fn nearest(&self, row: &[f64], scratch: &mut Scratch) -> f64 {
        self.correlate(row, scratch);
        scratch
            .squares
            .iter()
            .copied()
            .fold(f64::INFINITY, f64::min)
    }

    /// Fills `scratch` with the squared distances and correlations of a row.
    fn correlate(&self, row: &[f64], scratch: &mut Scratch) {
        scratch.squares.resize(self.rows.len(), 0.0);
        self.rows
            .squares(&self.weights, |at| row[at], &mut scratch.squares);
        scratch.kernel.clear();
        scratch
            .kernel
            .extend(scratch.squares.iter().map(|square| matern(*square)));
    }

    /// Returns the leave-one-out mean at each observed row, in closed form from the inverse
    /// (section 5.4.2); O(n³).
    #[cfg(test)]
    pub(super) fn left_out(&self, y: &[f64]) -> Vec<f64> {
        let inverse = self.factor.inverse();
        y.iter()
            .enumerate()
            .map(|(i, y)| y - self.alpha[i] / inverse[i * (i + 1) / 2 + i])
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(points: &[f64]) -> Rows {
        let mut rows = Rows::new(&[Column {
            axis: 0,
            kind: ColumnKind::Number,
        }]);
        points.iter().for_each(|x| rows.push(&[*x]));
        rows
    }

    const X: [f64; 5] = [0.1, 0.3, 0.45, 0.7, 0.95];
    const Y: [f64; 5] = [1.2, 0.1, -0.7, -1.1, 0.5];

    #[test]
    fn the_gradient_of_the_evidence_is_its_derivative() {
        let rows = line(&X);
        let theta = [-0.9, -3.0];
        let mut gradient = [0.0; 2];
        evidence(&rows, &Y, &Hyper(theta.to_vec()), &mut gradient);
        for (axis, slope) in gradient.into_iter().enumerate() {
            let [above, below] = [1e-5, -1e-5].map(|step| {
                let mut moved = theta;
                moved[axis] += step;
                evidence(&rows, &Y, &Hyper(moved.to_vec()), &mut [0.0; 2])
            });
            let by_difference = (above - below) / 2e-5;
            assert!(
                (slope - by_difference).abs() < 1e-6,
                "{slope} {by_difference}"
            );
        }
    }

    #[test]
    fn the_posterior_goes_through_the_data_and_its_slopes_are_derivatives() {
        let hyper = Hyper(vec![-1.0, -14.0]);
        let posterior = Posterior::new(line(&X), &Y, &hyper).unwrap();
        let mut scratch = Scratch::default();
        for (x, y) in X.iter().zip(Y) {
            let (mean, deviation) = posterior.at(&[*x], &mut scratch);
            assert!(
                (mean - y).abs() < 1e-4 && deviation < 0.01,
                "{mean} {y} {deviation}"
            );
        }
        let (mut mean, mut deviation) = ([0.0], [0.0]);
        posterior.slopes(&[0.6], &mut scratch, &mut mean, &mut deviation);
        let above = posterior.at(&[0.6 + 1e-6], &mut scratch);
        let below = posterior.at(&[0.6 - 1e-6], &mut scratch);
        assert!((mean[0] - (above.0 - below.0) / 2e-6).abs() < 1e-4);
        assert!((deviation[0] - (above.1 - below.1) / 2e-6).abs() < 1e-4);
    }

    #[test]
    fn a_believed_row_changes_the_deviation_and_not_the_mean() {
        let hyper = Hyper(vec![-1.0, -6.0]);
        let mut scratch = Scratch::default();
        let before = Posterior::new(line(&X), &Y, &hyper)
            .unwrap()
            .at(&[0.57], &mut scratch);
        let mut rows = line(&X);
        rows.push(&[0.58]);
        let after = Posterior::new(rows, &Y, &hyper)
            .unwrap()
            .at(&[0.57], &mut scratch);
        assert!((before.0 - after.0).abs() < 1e-12 && after.1 < 0.5 * before.1);
    }

    #[test]
    fn the_bound_of_the_deviation_holds_for_means_of_different_numbers_of_trials() {
        let hyper = Hyper(vec![-1.0, 0.0]);
        for order in [[16, 1, 4], [1, 16, 4]] {
            let mut rows = Rows::new(&[Column {
                axis: 0,
                kind: ColumnKind::Number,
            }]);
            for (x, trials) in [0.1, 0.5, 0.9].into_iter().zip(order) {
                rows.push_mean(&[x], trials);
            }
            let posterior = Posterior::new(rows, &[0.3, -1.0, 0.7], &hyper).unwrap();
            let mut scratch = Scratch::default();
            for at in 0..=100 {
                let row = [f64::from(at) / 100.0];
                let (_, bound) = posterior.mean_and_bound(&row, &mut scratch);
                let (_, deviation) = posterior.at(&row, &mut scratch);
                assert!(
                    bound >= deviation,
                    "{order:?} at {row:?}: {bound} {deviation}"
                );
            }
        }
    }

    #[test]
    fn leaving_a_row_out_equals_refitting_without_it() {
        let hyper = Hyper(vec![-1.0, -3.0]);
        let posterior = Posterior::new(line(&X), &Y, &hyper).unwrap();
        let part = Posterior::new(line(&X[1..]), &Y[1..], &hyper).unwrap();
        let (mean, _) = part.at(&[X[0]], &mut Scratch::default());
        assert!((posterior.left_out(&Y)[0] - mean).abs() < 1e-6);
    }
}
