//! Minimisation of a smooth function within a box.
//!
//! L-BFGS (Nocedal, Math. Comp. 35, 1980) over the coordinates that are free to move, projected
//! onto the box, with backtracking.

use super::cholesky::dot;
use std::collections::VecDeque;

/// Number of steps remembered to approximate the inverse Hessian.
const MEMORY: usize = 8;

/// The stopping criteria of a minimisation.
#[derive(Debug, Clone, Copy)]
pub struct Effort {
    /// Maximum number of evaluations.
    pub evaluations: usize,
    /// Stop when a step improves the value by less than this.
    pub tolerance: f64,
}

/// Minimises `f` from `x` within `low..=high` in each coordinate. Moves `x` to the best point and
/// returns the value there.
///
/// `f` writes its gradient into the second argument. A value that is not finite counts as
/// inadmissible: the step is shortened.
pub fn minimise(
    x: &mut [f64],
    low: &[f64],
    high: &[f64],
    effort: Effort,
    mut f: impl FnMut(&[f64], &mut [f64]) -> f64,
) -> f64 {
    let d = x.len();
    let mut gradient = vec![0.0; d];
    let mut value = f(x, &mut gradient);
    let mut remaining = effort.evaluations.saturating_sub(1);
    let mut memory: VecDeque<Pair> = VecDeque::new();
    let (mut trial, mut trial_gradient) = (x.to_vec(), gradient.clone());
    while remaining > 0 && value.is_finite() {
        // A coordinate at a bound whose descent direction leaves the box stays fixed in this step.
        let free: Vec<bool> = (0..d)
            .map(|i| !(x[i] <= low[i] && gradient[i] > 0.0 || x[i] >= high[i] && gradient[i] < 0.0))
            .collect();
        let mut step = direction(&gradient, &free, &memory);
        let mut slope = dot(&step, &gradient);
        // The remembered steps no longer give a descent direction: fall back to the gradient.
        if slope.is_nan() || slope >= 0.0 {
            memory.clear();
            step = direction(&gradient, &free, &memory);
            slope = dot(&step, &gradient);
        }
        if slope.is_nan() || slope > -1e-14 {
            break;
        }
        let longest = step.iter().fold(0.0_f64, |most, s| most.max(s.abs()));
        // Without curvature information the gradient has no natural length: move at most 0.3.
        let mut rate = if memory.is_empty() {
            (0.3 / longest).min(1.0)
        } else {
            1.0
        };
        let before = value;
        let mut has_moved = false;
        while remaining > 0 && rate > 1e-6 {
            for i in 0..d {
                trial[i] = (x[i] + rate * step[i]).clamp(low[i], high[i]);
            }
            let trial_value = f(&trial, &mut trial_gradient);
            remaining -= 1;
            // Armijo's condition, with the step as projected onto the box.
            let expected: f64 = (0..d).map(|i| gradient[i] * (trial[i] - x[i])).sum();
            if trial_value.is_finite() && trial_value <= value + 1e-4 * expected {
                value = trial_value;
                has_moved = true;
                break;
            }
            rate *= 0.35;
        }
        if !has_moved {
            break;
        }
        memory.push_back(Pair::new(x, &trial, &gradient, &trial_gradient));
        // A pair without positive curvature would make the approximation indefinite.
        if memory.back().is_some_and(|pair| pair.curvature <= 1e-12) {
            memory.pop_back();
        }
        if memory.len() > MEMORY {
            memory.pop_front();
        }
        x.copy_from_slice(&trial);
        gradient.copy_from_slice(&trial_gradient);
        if before - value < effort.tolerance {
            break;
        }
    }
    value
}

/// One step in the memory.
struct Pair {
    /// The change of the point.
    step: Vec<f64>,
    /// The change of the gradient over the step.
    gradient_change: Vec<f64>,
    /// The scalar product of the two.
    curvature: f64,
}

impl Pair {
    fn new(from: &[f64], to: &[f64], gradient_from: &[f64], gradient_to: &[f64]) -> Self {
        let step: Vec<f64> = to.iter().zip(from).map(|(a, b)| a - b).collect();
        let gradient_change: Vec<f64> = gradient_to
            .iter()
            .zip(gradient_from)
            .map(|(a, b)| a - b)
            .collect();
        let curvature = dot(&step, &gradient_change);
        Self {
            step,
            gradient_change,
            curvature,
        }
    }
}

/// Returns the descent direction by the two-loop recursion, 0 in coordinates that are not free.
fn direction(gradient: &[f64], free: &[bool], memory: &VecDeque<Pair>) -> Vec<f64> {
    let mut q = masked(gradient, free);
    let mut factors = Vec::with_capacity(memory.len());
    for pair in memory.iter().rev() {
        let factor = dot(&pair.step, &q) / pair.curvature;
        q.iter_mut()
            .zip(&pair.gradient_change)
            .for_each(|(q, gradient_change)| *q -= factor * gradient_change);
        factors.push(factor);
    }
    if let Some(last) = memory.back() {
        let scale = last.curvature / dot(&last.gradient_change, &last.gradient_change);
        q.iter_mut().for_each(|q| *q *= scale);
    }
    for (pair, factor) in memory.iter().zip(factors.into_iter().rev()) {
        let back = dot(&pair.gradient_change, &q) / pair.curvature;
        q.iter_mut()
            .zip(&pair.step)
            .for_each(|(q, step)| *q += (factor - back) * step);
    }
    masked(&q, free).into_iter().map(|x| -x).collect()
}

/// Returns the vector with 0 in the coordinates that are not free.
fn masked(v: &[f64], free: &[bool]) -> Vec<f64> {
    v.iter()
        .zip(free)
        .map(|(x, free)| if *free { *x } else { 0.0 })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rosenbrock(x: &[f64], g: &mut [f64]) -> f64 {
        let (a, b) = (1.0 - x[0], x[1] - x[0] * x[0]);
        g[0] = -2.0 * a - 400.0 * x[0] * b;
        g[1] = 200.0 * b;
        a * a + 100.0 * b * b
    }

    const LONG: Effort = Effort {
        evaluations: 200,
        tolerance: 1e-14,
    };

    #[test]
    fn the_bottom_of_the_curved_valley_is_found() {
        let mut x = [-1.2, 1.0];
        let value = minimise(&mut x, &[-5.0; 2], &[5.0; 2], LONG, rosenbrock);
        assert!(
            value < 1e-8 && (x[0] - 1.0).abs() < 1e-3,
            "{value} at {x:?}"
        );
    }

    #[test]
    fn the_minimum_on_a_wall_of_the_box_is_found() {
        let mut x = [-1.2, 1.0];
        minimise(&mut x, &[-5.0; 2], &[0.5, 5.0], LONG, rosenbrock);
        assert!(
            (x[0] - 0.5).abs() < 1e-9 && (x[1] - 0.25).abs() < 1e-4,
            "{x:?}"
        );
    }
}
