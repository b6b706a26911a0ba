//! Rank tests, which assume nothing about the distribution of the numbers.
//!
//! Small samples use the exact distribution, ties included, by counting; larger ones use the normal
//! approximation.

use super::normal;

/// Maximum number of values for the exact distribution.
const COUNTED: usize = 40;

/// Returns the two-sided p-value of the Mann–Whitney test (Wilcoxon rank sum) for two independent
/// samples.
///
/// Above 40 values in total the normal approximation with corrections for ties and continuity is
/// used. NaN if a sample is empty.
#[must_use]
pub fn mann_whitney(one: &[f64], other: &[f64]) -> f64 {
    let (n, m) = (one.len(), other.len());
    if n == 0 || m == 0 {
        return f64::NAN;
    }
    let all: Vec<f64> = one.iter().chain(other).copied().collect();
    let ranks = doubled_ranks(&all);
    let sum: usize = ranks[..n].iter().sum();
    if all.len() <= COUNTED {
        return tails(&subset_sums(&ranks, n), sum);
    }
    let (n, m, total) = (n as f64, m as f64, all.len() as f64);
    let u = sum as f64 / 2.0 - n * (n + 1.0) / 2.0;
    let ties = tie_term(&all) / (total * (total - 1.0));
    let spread = (n * m / 12.0 * (total + 1.0 - ties)).sqrt();
    approximate(((u - n * m / 2.0).abs() - 0.5) / spread)
}

/// Returns the two-sided p-value of the Wilcoxon signed-rank test for paired differences.
/// Differences of 0 are left out.
///
/// Above 40 differences the normal approximation with the correction for ties is used. NaN if no
/// difference is left.
#[must_use]
pub fn wilcoxon(differences: &[f64]) -> f64 {
    let differences: Vec<f64> = differences
        .iter()
        .copied()
        .filter(|difference| *difference != 0.0)
        .collect();
    let sizes: Vec<f64> = differences
        .iter()
        .map(|difference| difference.abs())
        .collect();
    if sizes.is_empty() {
        return f64::NAN;
    }
    let ranks = doubled_ranks(&sizes);
    let positive = differences
        .iter()
        .zip(&ranks)
        .filter(|(difference, _)| **difference > 0.0);
    let sum: usize = positive.map(|(_, rank)| rank).sum();
    if sizes.len() <= COUNTED {
        // The number of subsets of the ranks with each sum: each rank is positive or not with equal
        // probability under the hypothesis.
        let mut counts = vec![0.0; ranks.iter().sum::<usize>() + 1];
        counts[0] = 1.0;
        let mut reached = 0;
        for rank in &ranks {
            reached += rank;
            for sum in (*rank..=reached).rev() {
                counts[sum] += counts[sum - rank];
            }
        }
        return tails(&counts, sum);
    }
    let n = sizes.len() as f64;
    let variance = n * (n + 1.0) * (2.0 * n + 1.0) / 24.0 - tie_term(&sizes) / 48.0;
    approximate((sum as f64 / 2.0 - n * (n + 1.0) / 4.0).abs() / variance.sqrt())
}

/// Returns by how much the numbers of `one` exceed those of `other`, with the bounds of a confidence
/// interval: the median of all pairwise differences (Hodges & Lehmann, *Annals of Mathematical
/// Statistics* 34, 1963) and the differences that the rank sum test does not refuse, by the normal
/// approximation. `None` if a sample is empty.
#[must_use]
pub fn shift(one: &[f64], other: &[f64], confidence: f64) -> Option<(f64, f64, f64)> {
    let mut differences: Vec<f64> = one
        .iter()
        .flat_map(|one| other.iter().map(move |other| one - other))
        .collect();
    differences.sort_by(f64::total_cmp);
    let last = differences.len().checked_sub(1)?;
    let (n, m) = (one.len() as f64, other.len() as f64);
    let spread = (n * m * (n + m + 1.0) / 12.0).sqrt();
    let z = normal::quantile(f64::midpoint(1.0, confidence));
    let outside = (n * m / 2.0 - z * spread).floor().max(0.0) as usize;
    let outside = outside.min(last / 2);
    let median = f64::midpoint(differences[last / 2], differences[last.div_ceil(2)]);
    Some((median, differences[outside], differences[last - outside]))
}

/// Returns the two-sided p-value of a standard normal statistic; NaN for NaN.
fn approximate(z: f64) -> f64 {
    if z.is_nan() {
        f64::NAN
    } else {
        (2.0 * normal::cdf(-z)).min(1.0)
    }
}

/// Returns twice the rank of each number. Equal numbers share the mean of their ranks, which is a
/// multiple of one half, so the doubled ranks are integers.
fn doubled_ranks(numbers: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..numbers.len()).collect();
    order.sort_by(|a, b| numbers[*a].total_cmp(&numbers[*b]));
    let mut ranks = vec![0; numbers.len()];
    let mut start = 0;
    for run in order.chunk_by(|a, b| numbers[*a] == numbers[*b]) {
        for &index in run {
            ranks[index] = 2 * start + run.len() + 1;
        }
        start += run.len();
    }
    ranks
}

/// Returns the sum of t³ − t over the groups of t equal numbers.
fn tie_term(numbers: &[f64]) -> f64 {
    let mut sorted = numbers.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
        .chunk_by(|a, b| a == b)
        .map(|run| (run.len() as f64).powi(3) - run.len() as f64)
        .sum()
}

/// Returns the number of subsets of `size` ranks for each sum.
fn subset_sums(ranks: &[usize], size: usize) -> Vec<f64> {
    let largest: usize = ranks.iter().sum();
    let mut counts = vec![vec![0.0; largest + 1]; size + 1];
    counts[0][0] = 1.0;
    for (seen, &rank) in ranks.iter().enumerate() {
        for taken in (1..=size.min(seen + 1)).rev() {
            for sum in (rank..=largest).rev() {
                counts[taken][sum] += counts[taken - 1][sum - rank];
            }
        }
    }
    counts.swap_remove(size)
}

/// Returns the two-sided p-value at `sum`: twice the smaller tail of a distribution of counts, at
/// most 1. Both tails include `sum`.
fn tails(counts: &[f64], sum: usize) -> f64 {
    let all: f64 = counts.iter().sum();
    let low: f64 = counts[..=sum].iter().sum();
    let high: f64 = counts[sum..].iter().sum();
    (2.0 * low.min(high) / all).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::{mann_whitney, shift, wilcoxon};

    const A: [f64; 5] = [0.412, 0.398, 0.455, 0.431, 0.404];
    const B: [f64; 5] = [0.371, 0.389, 0.362, 0.402, 0.377];

    fn assert_close(actual: f64, expected: f64) {
        let difference = (actual - expected).abs();
        assert!(difference < 1e-9, "{actual} is not {expected}");
    }

    fn sawtooth(factor: usize, modulus: usize, count: usize, scale: f64, shift: f64) -> Vec<f64> {
        (0..count)
            .map(|index| (index * factor % modulus) as f64 / scale + shift)
            .collect()
    }

    fn tenths(numbers: &[f64]) -> Vec<f64> {
        numbers
            .iter()
            .map(|number| format!("{number:.1}").parse().unwrap())
            .collect()
    }

    /// `scipy.stats.mannwhitneyu` of SciPy 1.17.1: `method="exact"`, with ties
    /// `PermutationMethod(n_resamples=inf)`, large samples `method="asymptotic"`.
    #[test]
    fn mann_whitney_is_that_of_scipy() {
        assert_close(mann_whitney(&A, &B), 0.015_873_015_873_015_872);
        assert_close(
            mann_whitney(&A, &[0.44, 0.41, 0.47]),
            0.392_857_142_857_142_85,
        );
        assert_close(
            mann_whitney(&[1.0, 2.0, 2.0, 3.0, 5.0], &[2.0, 4.0, 4.0, 5.0, 6.0, 7.0]),
            0.099_567_099_567_099_57,
        );
        let (x, y) = (
            sawtooth(37, 101, 30, 100.0, 0.0),
            sawtooth(53, 97, 25, 90.0, 0.1),
        );
        assert_close(mann_whitney(&x, &y), 0.326_838_015_732_951_46);
        assert_close(
            mann_whitney(&tenths(&x), &tenths(&y)),
            0.359_355_573_523_216_56,
        );
        assert!(mann_whitney(&[], &A).is_nan());
    }

    /// The median of the differences is that of NumPy.
    #[test]
    fn the_shift_is_the_median_difference_between_two_outer_ones() {
        let (median, low, high) = shift(&A, &B, 0.95).unwrap();
        assert_close(median, 0.036);
        let mut differences: Vec<f64> = A.iter().flat_map(|a| B.map(|b| a - b)).collect();
        differences.sort_by(f64::total_cmp);
        // 12.5 - 1.96 × 4.787 = 3.1 differences lie outside on each side.
        assert_close(low, differences[3]);
        assert_close(high, differences[21]);
        assert_eq!(shift(&[], &B, 0.95), None);
    }

    /// `scipy.stats.wilcoxon` of SciPy 1.17.1: `method="exact"`, with ties
    /// `PermutationMethod(n_resamples=inf)`, large samples `method="asymptotic"`.
    #[test]
    fn wilcoxon_is_that_of_scipy() {
        let differences: Vec<f64> = A.iter().zip(&B).map(|(a, b)| a - b).collect();
        assert_close(wilcoxon(&differences), 0.0625);
        assert_close(
            wilcoxon(&[1.0, -1.0, 2.0, 3.0, 0.0, 2.0, -4.0, 5.0, 5.0]),
            0.164_062_5,
        );
        let many = sawtooth(37, 101, 50, 100.0, -0.35);
        assert_close(wilcoxon(&many), 0.002_321_818_728_728_949_4);
        assert_close(wilcoxon(&tenths(&many)), 0.001_500_557_809_158_423_7);
        assert!(wilcoxon(&[0.0, 0.0]).is_nan());
    }
}
