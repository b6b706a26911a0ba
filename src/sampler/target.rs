//! What the Gaussian process is to learn: the scores, reshaped so that the good end is spread out and outliers do no harm.

use super::history::History;
use crate::numerics::{sobol, yeo_johnson};

/// Rows of the history with the value to learn for each, mean 0 and deviation 1, smaller is better.
#[derive(Debug, Clone, Default)]
pub(super) struct Target {
    pub(super) rows: Vec<u32>,
    pub(super) y: Vec<f64>,
}

impl Target {
    /// Chooses at most `limit` rows: the best, the latest, an even sample of the rest; failed ones count as worse than 19 of 20.
    ///
    /// Several objectives become one by the augmented Chebyshev norm with weights that `mix` decides: ParEGO (Knowles, IEEE TEC 10(1), 2006).
    pub(super) fn new(history: &History, limit: usize, mix: u64) -> Self {
        let ranked = history.ranked();
        let Some(bad) = quantile_of(ranked, 0.95) else { return Self::default() };
        let mut all: Vec<(u32, f64)> = ranked.iter().map(|(score, row)| (*row, *score)).collect();
        all.extend(history.failed().iter().map(|row| (*row, bad)));
        if all.len() > limit {
            all = thin(all, limit);
        }
        all.sort_by_key(|(row, _)| *row);
        let (rows, raw): (Vec<u32>, Vec<f64>) = all.into_iter().unzip();
        let y = if history.objectives.len() > 1 { scalarise(history, &rows, mix) } else { reshape(&raw) };
        Self { rows, y }
    }

    /// Returns the rows of the lowest values, lowest first, those that keep the limits before all others.
    pub(super) fn lowest(&self, history: &History, count: usize) -> Vec<u32> {
        let mut order: Vec<usize> = (0..self.rows.len()).collect();
        let violation = |at: &usize| history.row(self.rows[*at]).violation;
        order.sort_by(|a, b| violation(a).total_cmp(&violation(b)).then(self.y[*a].total_cmp(&self.y[*b])));
        order.into_iter().take(count).map(|at| self.rows[at]).collect()
    }

    /// Returns the lowest value among the rows that keep the limits; among all if none does.
    pub(super) fn least(&self, history: &History) -> f64 {
        let least = |values: &mut dyn Iterator<Item = f64>| values.fold(f64::INFINITY, f64::min);
        let keeps = |row: u32| history.row(row).violation == 0.0;
        let pairs = self.rows.iter().zip(&self.y);
        let kept = least(&mut pairs.filter(|(row, _)| keeps(**row)).map(|(_, y)| *y));
        if kept.is_finite() { kept } else { least(&mut self.y.iter().copied()) }
    }
}

fn scalarise(history: &History, rows: &[u32], mix: u64) -> Vec<f64> {
    let count = history.objectives.len();
    let word = |at: usize| sobol::mix(sobol::mix(mix) ^ at as u64) as f64 / 2f64.powi(64);
    let weights: Vec<f64> = (0..count).map(|at| -libm::log(word(at).max(1e-12))).collect();
    let total: f64 = weights.iter().sum();
    let mut worst = vec![0.0_f64; rows.len()];
    let mut sums = vec![0.0; rows.len()];
    for (objective, weight) in weights.iter().enumerate() {
        let values: Vec<f64> =
            rows.iter().filter_map(|row| history.scores(*row).get(objective).copied()).collect();
        let bad = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let all: Vec<f64> =
            rows.iter().map(|row| history.scores(*row).get(objective).copied().unwrap_or(bad)).collect();
        let shaped = reshape(&all);
        let lowest = shaped.iter().copied().fold(f64::INFINITY, f64::min);
        for (at, y) in shaped.iter().enumerate() {
            let part = weight / total * (y - lowest);
            worst[at] = worst[at].max(part);
            sums[at] += part;
        }
    }
    reshape(&worst.iter().zip(sums).map(|(worst, sum)| worst + 0.05 * sum).collect::<Vec<_>>())
}

/// Keeps the best three eighths, the latest eighth, and every so many of the others.
fn thin(mut all: Vec<(u32, f64)>, limit: usize) -> Vec<(u32, f64)> {
    let (best, late) = (limit * 3 / 8, limit / 8);
    let mut rest = all.split_off(best.min(all.len()));
    rest.sort_by_key(|(row, _)| *row);
    let latest = rest.split_off(rest.len() - late.min(rest.len()));
    let wanted = limit - all.len() - latest.len();
    let stride = rest.len() as f64 / wanted as f64;
    all.extend((0..wanted).filter_map(|at| rest.get((at as f64 * stride) as usize).copied()));
    all.extend(latest);
    all
}

fn quantile_of(ranked: &[(f64, u32)], q: f64) -> Option<f64> {
    ranked.get(((ranked.len() as f64 - 1.0).max(0.0) * q) as usize).map(|(score, _)| *score)
}

/// Centres at the median, scales by the spread of the better half, clips the worst, then a Yeo–Johnson power, then mean 0 and deviation 1.
fn reshape(raw: &[f64]) -> Vec<f64> {
    let mut sorted = raw.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = |q: f64| sorted[((sorted.len() - 1) as f64 * q).round() as usize] / 2.0;
    let (best, middle, worst) = (at(0.0), at(0.5), at(0.95));
    let spread = [middle - at(0.1), middle - best, worst - middle].into_iter().find(|spread| *spread > 0.0);
    let Some(spread) = spread else { return vec![0.0; raw.len()] };
    let scaled: Vec<f64> =
        raw.iter().map(|y| ((y / 2.0).min(worst) - middle) / spread).map(|y| y.clamp(-1e6, 1e6)).collect();
    let lambda = yeo_johnson::likeliest(&scaled);
    standardise(scaled.iter().map(|y| yeo_johnson::transform(*y, lambda)).collect())
}

fn standardise(mut y: Vec<f64>) -> Vec<f64> {
    let n = y.len() as f64;
    let mean = y.iter().sum::<f64>() / n;
    let deviation = (y.iter().map(|y| (y - mean) * (y - mean)).sum::<f64>() / n).sqrt();
    let scale = if deviation > 1e-12 && deviation.is_finite() { 1.0 / deviation } else { 0.0 };
    y.iter_mut().for_each(|y| *y = (*y - mean) * scale);
    y
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_absurd_value_does_not_flatten_the_others() {
        let mut raw: Vec<f64> = (0..30).map(f64::from).collect();
        raw.push(1e300);
        let y = reshape(&raw);
        assert!(y.iter().all(|y| y.is_finite()));
        assert!(y[10] - y[0] > 0.5, "{y:?}");
        assert!(y.is_sorted());
    }

    #[test]
    fn equal_values_are_all_zero() {
        assert_eq!(reshape(&[3.0; 5]), vec![0.0; 5]);
    }
}
