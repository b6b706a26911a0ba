//! A Gaussian process over rows of numbers: fits its hyperparameters and computes its posterior.
//!
//! Rasmussen & Williams, *Gaussian Processes for Machine Learning*, 2006, algorithm 2.1 and section
//! 5.4. The amplitude is profiled out. The fitted hyperparameters are one lengthscale per parameter
//! and the noise, at the maximum of their posterior density. Priors: lengthscales ~ LogNormal(ln
//! 0.3 + ½ ln d, ¾), which grow with √d as in Hvarfner, Hellsten & Nardi, 2024, arXiv 2402.02229,
//! but are shorter and tighter; noise ~ LogNormal(−6, 2).

use super::kernel::{
    Column, ColumnKind, add_four_squares, add_squares, matern, matern_slope, sum_squares,
};
use swath_numerics::cholesky::{Cholesky, LANES, Singular, dot};
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
    /// The columns that are numbers, in fours.
    fours: Vec<[usize; 4]>,
    /// The columns that are not in `fours`.
    others: Vec<usize>,
    /// One vector per column, all of the same length.
    data: Vec<Vec<f64>>,
    /// The noise of each row relative to that of one trial: 1/4 for a mean of four trials.
    shares: Vec<f64>,
}

impl Rows {
    /// Creates an empty table.
    pub(super) fn new(columns: &[Column]) -> Self {
        let (numbers, mut others): (Vec<usize>, Vec<usize>) =
            (0..columns.len()).partition(|at| columns[*at].kind != ColumnKind::Choice);
        let fours = numbers.chunks_exact(4);
        others.extend_from_slice(fours.remainder());
        Self {
            columns: columns.to_vec(),
            fours: fours
                .map(|four| [four[0], four[1], four[2], four[3]])
                .collect(),
            others,
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
        for four in &self.fours {
            let there = four.map(|at| &self.data[at][..n]);
            add_four_squares(four.map(|at| weights[at]), four.map(&row), there, squares);
        }
        for at in self.others.iter().copied() {
            let there = &self.data[at][..n];
            add_squares(self.columns[at].kind, weights[at], row(at), there, squares);
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

/// Number of rows, the first ones, that bound the deviation.
const BOUND_ROWS: usize = 64;

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
    /// A constant that is added to the mean.
    shift: f64,
}

/// Buffers that are reused between evaluations.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    /// Squared distances from each row.
    squares: Vec<f64>,
    /// Correlations with each row.
    kernel: Vec<f64>,
    /// The correlations of several points with each row.
    panel: Vec<[f64; LANES]>,
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
            shift: 0.0,
        })
    }

    /// Adds a constant to the mean everywhere.
    pub(super) fn shifted(self, shift: f64) -> Self {
        Self { shift, ..self }
    }

    /// Returns the columns of the rows.
    pub(super) fn columns(&self) -> &[Column] {
        &self.rows.columns
    }

    /// Returns the mean at a row, in time linear in the number of rows.
    pub(super) fn mean(&self, row: &[f64], scratch: &mut Scratch) -> f64 {
        self.correlate(row, scratch);
        self.shift + dot(&scratch.kernel, &self.alpha)
    }

    /// Returns the mean and the standard deviation at a row, without noise; O(n²).
    pub(super) fn at(&self, row: &[f64], scratch: &mut Scratch) -> (f64, f64) {
        self.correlate(row, scratch);
        scratch.solved.clear();
        scratch.solved.extend_from_slice(&scratch.kernel);
        self.factor.solve_lower(&mut scratch.solved);
        (
            self.shift + dot(&scratch.kernel, &self.alpha),
            self.deviation(dot(&scratch.solved, &scratch.solved)),
        )
    }

    /// Returns the standard deviation where the rows explain this share of the signal variance.
    fn deviation(&self, explained: f64) -> f64 {
        (self.signal * (1.0 - explained).max(1e-10)).sqrt()
    }

    /// Returns the same as [`at`](Self::at) for each of the rows, in much less time.
    pub(super) fn at_each(&self, rows: &[Vec<f64>], scratch: &mut Scratch) -> Vec<(f64, f64)> {
        self.moments(rows, self.rows.len(), scratch)
    }

    /// Returns the mean at each of the rows and an upper bound of the standard deviation, in time
    /// linear in the number of rows. The bound is the deviation given the first [`BOUND_ROWS`] rows
    /// alone: further rows can only reduce the variance.
    pub(super) fn bounds(&self, rows: &[Vec<f64>], scratch: &mut Scratch) -> Vec<(f64, f64)> {
        self.moments(rows, BOUND_ROWS.min(self.rows.len()), scratch)
    }

    /// Returns the mean at each of the rows, and the deviation given the first `count` rows
    /// conditioned on.
    fn moments(&self, rows: &[Vec<f64>], count: usize, scratch: &mut Scratch) -> Vec<(f64, f64)> {
        let mut moments = Vec::with_capacity(rows.len());
        for rows in rows.chunks(LANES) {
            let mut means = [0.0; LANES];
            scratch.panel.clear();
            scratch.panel.resize(count, [0.0; LANES]);
            for (lane, row) in rows.iter().enumerate() {
                means[lane] = self.mean(row, scratch);
                let correlations = scratch.panel.iter_mut().zip(&scratch.kernel);
                correlations.for_each(|(slot, correlation)| slot[lane] = *correlation);
            }
            self.factor.solve_lower_panel(&mut scratch.panel, 0);
            let mut explained = [0.0; LANES];
            for solved in &scratch.panel {
                for lane in 0..LANES {
                    explained[lane] += solved[lane] * solved[lane];
                }
            }
            let deviations = explained.map(|explained| self.deviation(explained));
            moments.extend(means.into_iter().zip(deviations).take(rows.len()));
        }
        moments
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
        self.prepare_slopes(scratch);
        for (at, slot) in mean.iter_mut().enumerate() {
            *slot = self.mean_slope(at, row, &self.alpha, scratch);
            deviation[at] = self.deviation_slope(at, row, sigma, scratch);
        }
        (mu, sigma)
    }

    /// Turns the distances and correlations of [`at`](Self::at) into what the derivatives are made
    /// of.
    fn prepare_slopes(&self, scratch: &mut Scratch) {
        self.factor.solve_upper(&mut scratch.solved);
        for square in &mut scratch.squares {
            *square = matern_slope(*square);
        }
    }

    /// Returns the derivative of the sum of `factors` times the correlations along a column; 0
    /// unless it is of numbers.
    fn mean_slope(&self, at: usize, row: &[f64], factors: &[f64], scratch: &Scratch) -> f64 {
        if self.rows.columns[at].kind != ColumnKind::Number {
            return 0.0;
        }
        let pulls = scratch.squares.iter().zip(&self.rows.data[at]).zip(factors);
        let sum: f64 = pulls
            .map(|((slope, x), factor)| slope * (x - row[at]) * factor)
            .sum();
        2.0 * self.weights[at] * sum
    }

    /// Returns the derivative of the deviation along a column.
    fn deviation_slope(&self, at: usize, row: &[f64], sigma: f64, scratch: &Scratch) -> f64 {
        -self.mean_slope(at, row, &scratch.solved, scratch) * self.signal / sigma
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

/// Sampled functions of a process, each known exactly at all rows: those observed with noise and
/// those believed. A further value of a sampled function has a mean of its own and a deviation that
/// is the same for all of them.
///
/// Sampled by Matheron's rule: a function of the prior, corrected by the data minus its own noisy
/// values (Wilson et al., *Pathwise Conditioning of Gaussian Processes*, JMLR 22, 2021). Samples
/// come in antithetic pairs.
#[derive(Debug, Clone)]
pub(super) struct SampledFunctions {
    /// The process given exact values; its mean is that of all functions.
    exact: Posterior,
    /// K⁻¹ times the values of each function at the rows.
    alphas: Vec<Vec<f64>>,
}

impl SampledFunctions {
    /// Samples `count` functions (rounded up to an even number) from the posterior given `y`, with
    /// standard normal variates of `normal`. With `count` 0 the mean is the only function. Returns
    /// `None` if the kernel matrix without noise stays indefinite.
    pub(super) fn new(
        posterior: Posterior,
        y: &[f64],
        count: usize,
        mut normal: impl FnMut() -> f64,
    ) -> Option<Self> {
        if count == 0 {
            let alphas = vec![posterior.alpha.clone()];
            return Some(Self {
                exact: posterior,
                alphas,
            });
        }
        let factor = posterior.rows.factor(&posterior.weights, 0.0)?;
        let amplitude = posterior.signal.sqrt();
        let mut alphas = Vec::new();
        for _ in 0..count.div_ceil(2) {
            // K⁻¹ times the values of a function of the prior, and those values with noise.
            let mut prior: Vec<f64> = (0..posterior.rows.len()).map(|_| normal()).collect();
            let values: Vec<f64> = (0..y.len())
                .map(|at| dot(factor.row(at), &prior[..=at]))
                .collect();
            factor.solve_upper(&mut prior);
            let shares = &posterior.rows.shares;
            let mut correction: Vec<f64> = values
                .iter()
                .zip(shares)
                .map(|(value, share)| value + (posterior.noise * share).sqrt() * normal())
                .collect();
            posterior.factor.solve_lower(&mut correction);
            posterior.factor.solve_upper(&mut correction);
            correction.resize(prior.len(), 0.0);
            let offsets = prior
                .iter()
                .zip(&correction)
                .map(|(a, b)| amplitude * (a - b));
            let pairs: Vec<(f64, f64)> = posterior.alpha.iter().copied().zip(offsets).collect();
            alphas.push(pairs.iter().map(|(mean, offset)| mean + offset).collect());
            alphas.push(pairs.iter().map(|(mean, offset)| mean - offset).collect());
        }
        let exact = Posterior {
            factor,
            noise: 0.0,
            ..posterior
        };
        Some(Self { exact, alphas })
    }

    /// Returns the number of functions.
    pub(super) fn count(&self) -> usize {
        self.alphas.len()
    }

    /// Returns the process of which the functions are samples, given exact values.
    pub(super) fn process(&self) -> &Posterior {
        &self.exact
    }

    /// Returns the mean over all functions at each row conditioned on, and the value of each
    /// function there: a list for each function.
    pub(super) fn values(&self) -> (Vec<f64>, Vec<Vec<f64>>) {
        let rows = &self.exact.rows;
        let (mut means, mut values) = (Vec::new(), vec![Vec::new(); self.count()]);
        let mut scratch = Scratch::default();
        for at in 0..rows.len() {
            let row: Vec<f64> = rows.data.iter().map(|column| column[at]).collect();
            self.exact.correlate(&row, &mut scratch);
            means.push(dot(&scratch.kernel, &self.exact.alpha));
            for (values, alpha) in values.iter_mut().zip(&self.alphas) {
                values.push(dot(&scratch.kernel, alpha));
            }
        }
        (means, values)
    }

    /// Writes the mean of a further value of each function at a row into `means`, and returns the
    /// deviation.
    pub(super) fn at(&self, row: &[f64], scratch: &mut Scratch, means: &mut [f64]) -> f64 {
        let (_, deviation) = self.exact.at(row, scratch);
        for (mean, alpha) in means.iter_mut().zip(&self.alphas) {
            *mean = dot(&scratch.kernel, alpha);
        }
        deviation
    }

    /// Adds to `gradient` the derivatives along each column of a function of the means and the
    /// deviation, whose own derivatives are `by_means` and `by_deviation`. Call it after
    /// [`at`](Self::at) for the same row and with the same `scratch`.
    pub(super) fn add_slopes(
        &self,
        row: &[f64],
        scratch: &mut Scratch,
        (deviation, by_means, by_deviation): (f64, &[f64], f64),
        gradient: &mut [f64],
    ) {
        self.exact.prepare_slopes(scratch);
        let mut factors = vec![0.0; self.exact.rows.len()];
        for (alpha, by_mean) in self.alphas.iter().zip(by_means) {
            for (factor, alpha) in factors.iter_mut().zip(alpha) {
                *factor += by_mean * alpha;
            }
        }
        for (at, slot) in gradient.iter_mut().enumerate() {
            *slot += self.exact.mean_slope(at, row, &factors, scratch)
                + by_deviation * self.exact.deviation_slope(at, row, deviation, scratch);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::RngExt;
    use swath_numerics::normal;
    use swath_numerics::stream::{Purpose, stream};

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
    fn the_posterior_at_several_points_at_once_is_that_at_each() {
        let axes = [0, 1, 2, 3, 4, 5].map(|axis| Column {
            axis,
            kind: if axis == 1 {
                ColumnKind::Choice
            } else {
                ColumnKind::Number
            },
        });
        let points: Vec<Vec<f64>> = (0..40)
            .map(|at| (1..=6).map(|axis| f64::from(at * axis % 7) / 7.0).collect())
            .collect();
        let mut rows = Rows::new(&axes);
        points[..20].iter().for_each(|row| rows.push(row));
        let y: Vec<f64> = points[..20]
            .iter()
            .map(|row| row[0] - row[2] * row[5])
            .collect();
        let posterior = Posterior::new(rows, &y, &Hyper::prior(6)).unwrap();
        let mut scratch = Scratch::default();
        let each = posterior.at_each(&points, &mut scratch);
        assert_eq!(each.len(), points.len());
        for (row, (mean, deviation)) in points.iter().zip(each) {
            let alone = posterior.at(row, &mut scratch);
            assert!((mean - alone.0).abs() < 1e-9 && (deviation - alone.1).abs() < 1e-6);
        }
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
            let at: Vec<Vec<f64>> = (0..=100).map(|at| vec![f64::from(at) / 100.0]).collect();
            for count in 1..=3 {
                let bounds = posterior.moments(&at, count, &mut scratch);
                for (row, (_, bound)) in at.iter().zip(bounds) {
                    let (_, deviation) = posterior.at(row, &mut scratch);
                    let excess = deviation - bound;
                    assert!(
                        excess < 1e-9,
                        "{order:?} {count} at {row:?}: {bound} {deviation}"
                    );
                }
            }
        }
    }

    #[test]
    fn sampled_functions_have_the_mean_and_the_variance_of_the_posterior() {
        let hyper = Hyper(vec![-1.0, -1.5]);
        let mut rows = line(&X);
        rows.push(&[0.57]);
        let observed = Posterior::new(line(&X), &Y, &hyper).unwrap();
        let posterior = Posterior::new(rows, &Y, &hyper).unwrap();
        let mut rng = stream(1, Purpose::Measure, 8);
        let normal = || normal::quantile(rng.random_range(1e-12..1.0));
        let functions = SampledFunctions::new(posterior, &Y, 4000, normal).unwrap();
        let mut scratch = Scratch::default();
        let mut means = vec![0.0; functions.count()];
        for x in [0.3, 0.5, 0.57, 0.8] {
            let (mean, deviation) = observed.at(&[x], &mut scratch);
            let own = functions.at(&[x], &mut scratch, &mut means);
            let count = means.len() as f64;
            let average = means.iter().sum::<f64>() / count;
            let spread = means.iter().map(|m| (m - average).powi(2)).sum::<f64>() / count;
            let total = (own * own + spread).sqrt();
            assert!((average - mean).abs() < 1e-9, "{x}: {average} {mean}");
            assert!(
                (total / deviation - 1.0).abs() < 0.05,
                "{x}: {total} {deviation}"
            );
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
