//! The mean, step size and covariance of CMA-ES, in the notation of Hansen's tutorial (arXiv
//! 1604.00772, figure 6).

use nalgebra::{DMatrix, DVector, SymmetricEigen};

/// From this many dimensions on only variances are adapted, because a full covariance matrix is
/// expensive and slow to learn.
const SEPARABLE: usize = 40;

/// A normal distribution over ℝⁿ that adapts to ranked samples of it.
#[derive(Debug, Clone)]
pub(super) struct Evolution {
    /// The mean, of shape (n).
    m: DVector<f64>,
    /// The step size.
    sigma: f64,
    /// The covariance matrix, of shape (n, n); only its diagonal is kept up to date from
    /// [`SEPARABLE`] dimensions on.
    c: DMatrix<f64>,
    /// The eigenvectors of the covariance: C = B D² Bᵀ.
    b: DMatrix<f64>,
    /// The square roots of the eigenvalues of the covariance.
    d: DVector<f64>,
    /// The evolution path of the step size, of shape (n).
    p_sigma: DVector<f64>,
    /// The evolution path of the covariance, of shape (n).
    p_c: DVector<f64>,
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
            m: DVector::from_vec(mean),
            sigma,
            c: DMatrix::identity(n, n),
            b: DMatrix::identity(n, n),
            d: DVector::from_element(n, 1.0),
            p_sigma: DVector::zeros(n),
            p_c: DVector::zeros(n),
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
        let scaled = DVector::from_fn(n, |i, _| self.d[i] * z[i]);
        let step = if n >= SEPARABLE {
            scaled
        } else {
            &self.b * scaled
        };
        (0..n)
            .map(|i| self.m[i] + self.sigma * self.widening(i) * step[i])
            .collect()
    }

    /// Returns the factor, at least 1, by which a coordinate is widened to its minimum deviation.
    fn widening(&self, i: usize) -> f64 {
        let deviation = self.sigma * self.c[(i, i)].sqrt();
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

        let y: Vec<DVector<f64>> = samples[..mu]
            .iter()
            .map(|x| DVector::from_fn(n, |i, _| (x[i] - self.m[i]) / self.sigma))
            .collect();
        let y_w = y
            .iter()
            .zip(&w)
            .fold(DVector::zeros(n), |sum: DVector<f64>, (y, w)| sum + y * *w);
        self.m += &y_w * self.sigma;
        // The sampler reflects its samples into the cube, and the mean stays there with them.
        self.m.iter_mut().for_each(|m| *m = m.clamp(0.0, 1.0));

        let white = self.whiten(&y_w);
        self.p_sigma =
            &self.p_sigma * (1.0 - c_sigma) + white * (c_sigma * (2.0 - c_sigma) * mu_eff).sqrt();
        let norm = self.p_sigma.norm();
        self.sigma *= libm::exp(((c_sigma / d_sigma) * (norm / expected - 1.0)).min(1.0));
        let memory = (1.0 - libm::pow(1.0 - c_sigma, 2.0 * f64::from(self.generation))).sqrt();
        let short = norm / memory < (1.4 + 2.0 / (nf + 1.0)) * expected;
        let h = f64::from(u8::from(short));
        self.p_c = &self.p_c * (1.0 - c_c) + &y_w * (h * (c_c * (2.0 - c_c) * mu_eff).sqrt());
        self.adapt(&y, &w, c_1, c_mu, (1.0 - h) * c_c * (2.0 - c_c));
        self.sigma = self.sigma.clamp(1e-14, 1.0);
    }

    /// Updates the covariance and its eigendecomposition. `lost` restores the variance that a
    /// stalled path leaves out.
    fn adapt(&mut self, y: &[DVector<f64>], w: &[f64], c_1: f64, c_mu: f64, lost: f64) {
        let n = self.m.len();
        let keep = 1.0 - c_1 - c_mu + c_1 * lost;
        if n >= SEPARABLE {
            for i in 0..n {
                let spread: f64 = y.iter().zip(w).map(|(y, w)| w * y[i] * y[i]).sum();
                self.c[(i, i)] =
                    keep * self.c[(i, i)] + c_1 * self.p_c[i] * self.p_c[i] + c_mu * spread;
                self.d[i] = self.c[(i, i)].max(1e-20).sqrt();
            }
            return;
        }
        self.c *= keep;
        self.c.ger(c_1, &self.p_c, &self.p_c, 1.0);
        for (y, w) in y.iter().zip(w) {
            self.c.ger(c_mu * w, y, y, 1.0);
        }
        let Some(eigen) = SymmetricEigen::try_new(self.c.clone(), 1e-14, 10_000) else {
            return;
        };
        self.b = eigen.eigenvectors;
        self.d = eigen.eigenvalues.map(|value| value.max(1e-20).sqrt());
    }

    /// Returns C^(−½) y, of shape (n).
    fn whiten(&self, y: &DVector<f64>) -> DVector<f64> {
        if self.m.len() >= SEPARABLE {
            return y.component_div(&self.d);
        }
        &self.b * (self.b.transpose() * y).component_div(&self.d)
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
        let value = valley(evolution.m.as_slice());
        assert!(value < 1e-8, "{value}");
    }

    fn valley(x: &[f64]) -> f64 {
        (x[0] + x[1] - 0.7).powi(2) + 1e3 * (x[0] - x[1] + 0.1).powi(2)
    }
}
