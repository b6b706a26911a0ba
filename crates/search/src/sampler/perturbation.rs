//! Local candidates: random perturbations of a good point.
//!
//! Papenmeier, Poloczek & Nardi, 2025 (arXiv 2502.09198): in many dimensions such candidates
//! account for much of the gain of Bayesian optimisation.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use swath_numerics::normal;

/// Returns a perturbed copy of a point of the unit cube. A random share of the coordinates moves,
/// and always at least one; a tenth of the moved coordinates are drawn anew.
pub(super) fn perturb(unit: &[f64], rng: &mut ChaCha8Rng) -> Vec<f64> {
    let d = unit.len().max(1);
    let share = [1.0 / d as f64, 2.0 / d as f64, 0.5, 1.0][rng.random_range(0..4)];
    // One coordinate always moves, so that the candidate is never the point itself.
    let always = rng.random_range(0..d);
    // Log-uniform between 0.006 and 0.3: both fine and coarse steps.
    let step = 0.3 * libm::pow(0.02, rng.random::<f64>());
    let mut candidate = unit.to_vec();
    for (at, x) in candidate.iter_mut().enumerate() {
        if at == always || rng.random::<f64>() < share {
            *x = perturbed_coordinate(*x, step, rng);
        }
    }
    candidate
}

/// Returns a coordinate moved by a normal step, or drawn anew in one case of ten, so that no region
/// is out of reach.
fn perturbed_coordinate(x: f64, step: f64, rng: &mut ChaCha8Rng) -> f64 {
    if rng.random::<f64>() < 0.1 {
        return rng.random();
    }
    let z = normal::quantile(rng.random::<f64>().clamp(1e-9, 1.0 - 1e-9));
    reflect(x + step * z)
}

/// Reflects a coordinate at the ends of the unit interval until it lies inside.
fn reflect(x: f64) -> f64 {
    let folded = x.rem_euclid(2.0);
    if folded > 1.0 { 2.0 - folded } else { folded }
}
