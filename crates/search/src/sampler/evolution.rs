//! The mean, step size and covariance of CMA-ES, in the notation of Hansen's tutorial (arXiv
//! 1604.00772, figure 6).

use swath_numerics::eigen::SymmetricEigen;

/// From this many dimensions on only variances are adapted, because a full covariance matrix is
/// expensive and slow to learn.
const SEPARABLE: usize = 40;

/// A normal distribution over ℝⁿ that adapts to ranked samples of it.
#[derive(Debug, Clone)]
pub(super) struct Evolution {
    /// The mean, of shape (n).
    m: Vec<f64>,
    /// The step size.
    sigma: f64,
    /// The covariance matrix, row by row, of shape (n, n); only its diagonal is kept up to date
    /// from [`SEPARABLE`] dimensions on.
    c: Vec<f64>,
    /// The eigenvectors of the covariance, in the columns of a matrix that is kept row by row:
    /// C = B D² Bᵀ.
    b: Vec<f64>,
    /// The square roots of the eigenvalues of the covariance.
    d: Vec<f64>,
    /// The evolution path of the step size, of shape (n).
    p_sigma: Vec<f64>,
    /// The evolution path of the covariance, of shape (n).
    p_c: Vec<f64>,
    /// The minimum deviation of each coordinate, of shape (n).
    floors: Vec<f64>,
    /// The population size.
    lambda: usize,
    /// Number of generations learned from.
    generation: i32,
    /// Number of consecutive generations of equal scores.
    flat: u32,
}

impl Evolution {
    /// Creates a distribution of identity covariance. `population` defaults to
    /// [`usual_population`](Self::usual_population).
    pub(super) fn new(
        mean: Vec<f64>,
        sigma: f64,
        floors: Vec<f64>,
        population: Option<usize>,
    ) -> Self {
        let n = mean.len();
        let mut new = Self {
            m: mean,
            sigma,
            c: identity(n),
            b: identity(n),
            d: vec![1.0; n],
            p_sigma: vec![0.0; n],
            p_c: vec![0.0; n],
            floors,
            lambda: 0,
            generation: 0,
            flat: 0,
        };
        new.lambda = population.unwrap_or(new.usual_population());
        new
    }

    /// Returns the number of samples per generation.
    pub(super) fn population(&self) -> usize {
        self.lambda
    }

    /// Returns the default population size, 4 + ⌊3 ln n⌋.
    pub(super) fn usual_population(&self) -> usize {
        4 + (3.0 * libm::log(self.m.len().max(1) as f64)) as usize
    }

    /// Returns the point for standard normal coordinates `z`. A coordinate whose deviation is below
    /// its minimum is widened to it.
    pub(super) fn at(&self, z: &[f64]) -> Vec<f64> {
        let n = self.m.len();
        let scaled: Vec<f64> = self.d.iter().zip(z).map(|(d, z)| d * z).collect();
        let step = if n >= SEPARABLE {
            scaled
        } else {
            self.rotate(&scaled)
        };
        (0..n)
            .map(|i| self.m[i] + self.sigma * self.widening(i) * step[i])
            .collect()
    }

    /// Returns B x, of shape (n).
    fn rotate(&self, x: &[f64]) -> Vec<f64> {
        let rows = self.b.chunks_exact(self.m.len().max(1));
        rows.map(|row| row.iter().zip(x).map(|(b, x)| b * x).sum())
            .collect()
    }

    /// Returns the variance of a coordinate, before the step size.
    fn variance(&self, i: usize) -> f64 {
        self.c[i * self.m.len() + i]
    }

    /// Returns the factor, at least 1, by which a coordinate is widened to its minimum deviation.
    fn widening(&self, i: usize) -> f64 {
        let deviation = self.sigma * self.variance(i).sqrt();
        if deviation > 0.0 {
            (self.floors[i] / deviation).max(1.0)
        } else {
            1.0
        }
    }

    /// Updates the distribution from one generation of samples, best first. `flat` says that all
    /// scores were equal.
    pub(super) fn learn(&mut self, samples: &[Vec<f64>], flat: bool) {
        let n = self.m.len();
        self.flat = if flat { self.flat + 1 } else { 0 };
        if n == 0 || samples.len() < 2 {
            return;
        }
        self.generation += 1;
        let nf = n as f64;
        let mu = samples.len() / 2;
        let raw: Vec<f64> = (0..mu)
            .map(|i| libm::log((samples.len() as f64 + 1.0) / 2.0) - libm::log(i as f64 + 1.0))
            .collect();
        let total: f64 = raw.iter().sum();
        let w: Vec<f64> = raw.iter().map(|w| w / total).collect();
        let mu_eff = 1.0 / w.iter().map(|w| w * w).sum::<f64>();
        let c_sigma = (mu_eff + 2.0) / (nf + mu_eff + 5.0);
        let d_sigma = 1.0 + c_sigma + 2.0 * (((mu_eff - 1.0) / (nf + 1.0)).sqrt() - 1.0).max(0.0);
        let c_c = (4.0 + mu_eff / nf) / (nf + 4.0 + 2.0 * mu_eff / nf);
        let mut c_1 = 2.0 / ((nf + 1.3) * (nf + 1.3) + mu_eff);
        let mut c_mu = (2.0 * (mu_eff - 2.0 + 1.0 / mu_eff) / ((nf + 2.0) * (nf + 2.0) + mu_eff))
            .min(1.0 - c_1);
        if n >= SEPARABLE {
            // Fewer parameters are learned, so the learning rates may be higher (Ros & Hansen).
            let faster = (nf + 2.0) / 3.0;
            (c_1, c_mu) = ((c_1 * faster).min(0.4), (c_mu * faster).min(0.5));
        }
        let expected = nf.sqrt() * (1.0 - 1.0 / (4.0 * nf) + 1.0 / (21.0 * nf * nf));

        let y: Vec<Vec<f64>> = samples[..mu]
            .iter()
            .map(|x| {
                let pairs = x.iter().zip(&self.m);
                pairs.map(|(x, m)| (x - m) / self.sigma).collect()
            })
            .collect();
        let y_w: Vec<f64> = (0..n)
            .map(|i| y.iter().zip(&w).map(|(y, w)| w * y[i]).sum())
            .collect();
        for (m, y) in self.m.iter_mut().zip(&y_w) {
            // The sampler reflects its samples into the cube, and the mean stays there with them.
            *m = (*m + y * self.sigma).clamp(0.0, 1.0);
        }

        let white = self.whiten(&y_w);
        let gain = (c_sigma * (2.0 - c_sigma) * mu_eff).sqrt();
        follow_path(&mut self.p_sigma, 1.0 - c_sigma, gain, &white);
        let norm = self.p_sigma.iter().map(|p| p * p).sum::<f64>().sqrt();
        self.sigma *= libm::exp(((c_sigma / d_sigma) * (norm / expected - 1.0)).min(1.0));
        let memory = (1.0 - libm::pow(1.0 - c_sigma, 2.0 * f64::from(self.generation))).sqrt();
        let short = norm / memory < (1.4 + 2.0 / (nf + 1.0)) * expected;
        let h = f64::from(u8::from(short));
        let gain = h * (c_c * (2.0 - c_c) * mu_eff).sqrt();
        follow_path(&mut self.p_c, 1.0 - c_c, gain, &y_w);
        self.adapt(&y, &w, c_1, c_mu, (1.0 - h) * c_c * (2.0 - c_c));
        self.sigma = self.sigma.clamp(1e-14, 1.0);
    }

    /// Updates the covariance and its eigendecomposition. `lost` restores the variance that a
    /// stalled path leaves out.
    fn adapt(&mut self, y: &[Vec<f64>], w: &[f64], c_1: f64, c_mu: f64, lost: f64) {
        let n = self.m.len();
        let keep = 1.0 - c_1 - c_mu + c_1 * lost;
        if n >= SEPARABLE {
            for i in 0..n {
                let spread: f64 = y.iter().zip(w).map(|(y, w)| w * y[i] * y[i]).sum();
                let learned = c_1 * self.p_c[i] * self.p_c[i] + c_mu * spread;
                self.c[i * n + i] = keep * self.c[i * n + i] + learned;
                self.d[i] = self.c[i * n + i].max(1e-20).sqrt();
            }
            return;
        }
        self.c.iter_mut().for_each(|c| *c *= keep);
        add_outer_product(&mut self.c, c_1, &self.p_c);
        for (y, w) in y.iter().zip(w) {
            add_outer_product(&mut self.c, c_mu * w, y);
        }
        let Some(eigen) = SymmetricEigen::of(&self.c, n) else {
            return;
        };
        self.b = eigen.vectors;
        self.d = eigen.values;
        self.d.iter_mut().for_each(|d| *d = d.max(1e-20).sqrt());
    }

    /// Returns C^(−½) y, of shape (n).
    fn whiten(&self, y: &[f64]) -> Vec<f64> {
        let n = self.m.len();
        if n >= SEPARABLE {
            return y.iter().zip(&self.d).map(|(y, d)| y / d).collect();
        }
        let mut white = vec![0.0; n];
        for (row, y) in self.b.chunks_exact(n).zip(y) {
            white.iter_mut().zip(row).for_each(|(w, b)| *w += b * y);
        }
        white.iter_mut().zip(&self.d).for_each(|(w, d)| *w /= d);
        self.rotate(&white)
    }

    /// Returns whether the distribution has converged: the step size is tiny, the scores are flat,
    /// or the covariance is ill-conditioned.
    pub(super) fn converged(&self) -> bool {
        let widest = self.d.iter().copied().fold(0.0, f64::max);
        let narrowest = self.d.iter().copied().fold(f64::INFINITY, f64::min);
        self.m.is_empty() && self.flat > 3
            || self.sigma * widest < 1e-9
            || self.flat > 10
            || widest / narrowest > 1e7
    }
}

fn identity(n: usize) -> Vec<f64> {
    let mut matrix = vec![0.0; n * n];
    matrix
        .iter_mut()
        .step_by(n + 1)
        .for_each(|item| *item = 1.0);
    matrix
}

/// Moves an evolution path: keeps a part of it, and adds a step.
fn follow_path(path: &mut [f64], keep: f64, gain: f64, step: &[f64]) {
    for (path, step) in path.iter_mut().zip(step) {
        *path = *path * keep + step * gain;
    }
}

/// Adds α x xᵀ to a matrix.
fn add_outer_product(matrix: &mut [f64], alpha: f64, x: &[f64]) {
    for (row, x_i) in matrix.chunks_exact_mut(x.len()).zip(x) {
        for (item, x_j) in row.iter_mut().zip(x) {
            *item += alpha * x_i * x_j;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::RngExt;
    use swath_numerics::normal;
    use swath_numerics::stream::{Purpose, stream};

    #[test]
    fn it_finds_the_bottom_of_a_narrow_rotated_valley() {
        let mut rng = stream(3, Purpose::Suggest, 0);
        let mut evolution = Evolution::new(vec![0.8, 0.9], 0.25, vec![0.0; 2], None);
        for _ in 0..150 {
            let mut samples: Vec<Vec<f64>> = (0..evolution.population())
                .map(|_| {
                    evolution
                        .at(&[0, 1]
                            .map(|_| normal::quantile(rng.random::<f64>().clamp(1e-9, 0.999))))
                })
                .collect();
            samples.sort_by(|a, b| valley(a).total_cmp(&valley(b)));
            evolution.learn(&samples, false);
        }
        let value = valley(&evolution.m);
        assert!(value < 1e-8, "{value}");
    }

    fn valley(x: &[f64]) -> f64 {
        (x[0] + x[1] - 0.7).powi(2) + 1e3 * (x[0] - x[1] + 0.1).powi(2)
    }
}
