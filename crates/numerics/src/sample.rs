//! Statistics of samples: confidence intervals of a mean, and tests and effect sizes for the
//! difference of two means.

use super::student;

/// The size, mean and standard deviation of a sample.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// The number of values.
    pub n: usize,
    /// The arithmetic mean.
    pub mean: f64,
    /// The standard deviation with n − 1 in the denominator; 0 for a single value.
    pub std: f64,
}

/// The difference of two means with the result of a t-test.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Difference {
    /// The first mean less the second.
    pub mean: f64,
    /// The standard error of the difference.
    pub error: f64,
    /// The degrees of freedom of the test; not an integer for Welch's test.
    pub df: f64,
    /// The two-sided p-value; NaN if nothing varies and the means are equal.
    pub p: f64,
}

impl Sample {
    /// Computes the statistics of some numbers; `None` if there are none. Works in two passes, so
    /// that rounding at a large mean does not hide a small spread.
    #[must_use]
    pub fn of(numbers: &[f64]) -> Option<Self> {
        let n = numbers.len();
        if n == 0 {
            return None;
        }
        let first = numbers[0];
        let mean = first + numbers.iter().map(|number| number - first).sum::<f64>() / n as f64;
        let squares: f64 = numbers.iter().map(|number| (number - mean).powi(2)).sum();
        let std = if n > 1 {
            (squares / (n - 1) as f64).sqrt()
        } else {
            0.0
        };
        Some(Self { n, mean, std })
    }

    /// Returns the standard error of the mean.
    #[must_use]
    pub fn error(&self) -> f64 {
        self.std / (self.n as f64).sqrt()
    }

    /// Returns the sum of the squared deviations from the mean.
    fn sum_of_squares(&self) -> f64 {
        (self.n as f64 - 1.0) * self.std * self.std
    }

    /// Returns half the width of Student's confidence interval of the mean at `confidence`, from 0
    /// to 1. Returns `None` for fewer than two numbers.
    #[must_use]
    pub fn half_width(&self, confidence: f64) -> Option<f64> {
        (self.n > 1).then(|| self.error() * student::critical(confidence, self.n as f64 - 1.0))
    }
}

impl Difference {
    /// Compares the means of two independent samples whose variances may differ (Welch,
    /// *Biometrika* 34, 1947). Returns `None` if a sample has fewer than two numbers.
    #[must_use]
    pub fn welch(one: &Sample, other: &Sample) -> Option<Self> {
        if one.n < 2 || other.n < 2 {
            return None;
        }
        let (a, b) = (one.error().powi(2), other.error().powi(2));
        let error = (a + b).sqrt();
        let spread = a * a / (one.n as f64 - 1.0) + b * b / (other.n as f64 - 1.0);
        // Nothing varies: any degrees of freedom give p = 0 or NaN.
        let df = if spread > 0.0 {
            (a + b).powi(2) / spread
        } else {
            (one.n + other.n) as f64 - 2.0
        };
        Some(Self::new(one.mean - other.mean, error, df))
    }

    /// Tests whether the mean of paired differences is 0. Returns `None` for fewer than two
    /// differences.
    #[must_use]
    pub fn paired(differences: &[f64]) -> Option<Self> {
        let sample = Sample::of(differences).filter(|sample| sample.n > 1)?;
        Some(Self::new(
            sample.mean,
            sample.error(),
            sample.n as f64 - 1.0,
        ))
    }

    /// Computes the p-value of a difference.
    fn new(mean: f64, error: f64, df: f64) -> Self {
        Self {
            mean,
            error,
            df,
            p: student::two_sided(mean / error, df),
        }
    }

    /// Returns half the width of the confidence interval of the difference at `confidence`, from 0
    /// to 1.
    #[must_use]
    pub fn half_width(&self, confidence: f64) -> f64 {
        self.error * student::critical(confidence, self.df)
    }
}

/// Returns the effect size Hedges' g: the difference of two means in units of their pooled standard
/// deviation, corrected for small samples. Returns `None` if nothing varies or there are fewer than
/// three numbers in all. Hedges, *J. Educational Statistics* 6 (1981), with the usual approximation
/// of the correction.
#[must_use]
pub fn hedges(one: &Sample, other: &Sample) -> Option<f64> {
    let df = (one.n + other.n).checked_sub(2).filter(|df| *df > 0)? as f64;
    let pooled = ((one.sum_of_squares() + other.sum_of_squares()) / df).sqrt();
    let correction = 1.0 - 3.0 / (4.0 * (df + 2.0) - 9.0);
    (pooled > 0.0).then(|| (one.mean - other.mean) / pooled * correction)
}

/// Returns p-values corrected for multiple comparisons by Holm's step-down method (*Scand. J.
/// Statistics* 6, 1979), in the order of the input.
///
/// NaN stays NaN and does not count as a comparison.
#[must_use]
pub fn holm(p_values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p_values.len())
        .filter(|index| !p_values[*index].is_nan())
        .collect();
    order.sort_by(|a, b| p_values[*a].total_cmp(&p_values[*b]));
    let mut corrected = p_values.to_vec();
    let mut least: f64 = 0.0;
    for (rank, &index) in order.iter().enumerate() {
        // The corrected values must not fall where the uncorrected ones rise.
        least = least.max((p_values[index] * (order.len() - rank) as f64).min(1.0));
        corrected[index] = least;
    }
    corrected
}

#[cfg(test)]
mod tests {
    use super::{Difference, Sample, hedges, holm};

    const A: [f64; 5] = [0.412, 0.398, 0.455, 0.431, 0.404];
    const B: [f64; 5] = [0.371, 0.389, 0.362, 0.402, 0.377];
    const C: [f64; 3] = [0.44, 0.41, 0.47];

    fn assert_close(actual: f64, expected: f64) {
        assert!(
            (actual - expected).abs() < 1e-9 * expected.abs().max(1e-3),
            "{actual} is not {expected}"
        );
    }

    fn sample(numbers: &[f64]) -> Sample {
        Sample::of(numbers).unwrap()
    }

    /// `scipy.stats.t.interval(0.95, 4, mean, sem)` of SciPy 1.17.1.
    #[test]
    fn the_interval_of_a_mean_is_that_of_scipy() {
        let half = sample(&A).half_width(0.95).unwrap();
        assert_close(sample(&A).mean - half, 0.391_213_204_452_666_1);
        assert_close(sample(&A).mean + half, 0.448_786_795_547_334);
        assert_eq!(sample(&[1.0]).half_width(0.95), None);
    }

    /// `scipy.stats.ttest_ind(…, equal_var=False)` with its `confidence_interval()`, SciPy 1.17.1.
    #[test]
    fn welch_is_that_of_scipy() {
        let difference = Difference::welch(&sample(&A), &sample(&B)).unwrap();
        assert_close(difference.df, 7.016_792_554_390_491);
        assert_close(difference.p, 0.015_396_885_588_471_635);
        assert_close(
            difference.mean - difference.half_width(0.95),
            0.010_238_573_621_946_058,
        );
        let difference = Difference::welch(&sample(&A), &sample(&C)).unwrap();
        assert_close(difference.df, 3.467_519_331_788_966);
        assert_close(difference.p, 0.385_806_584_707_308_9);
        assert_close(
            difference.mean + difference.half_width(0.95),
            0.039_610_164_385_451_14,
        );
    }

    /// `scipy.stats.ttest_rel` with its `confidence_interval()`, SciPy 1.17.1.
    #[test]
    fn the_paired_test_is_that_of_scipy() {
        let differences: Vec<f64> = A.iter().zip(&B).map(|(a, b)| a - b).collect();
        let difference = Difference::paired(&differences).unwrap();
        assert_close(difference.p, 0.049_154_394_730_705_75);
        assert_close(
            difference.mean - difference.half_width(0.95),
            0.000_237_849_241_999_300_85,
        );
        assert_eq!(Difference::paired(&[1.0]), None);
    }

    /// `statsmodels.stats.meta_analysis.effectsize_smd`, statsmodels 0.15.0.
    #[test]
    fn the_effect_size_is_that_of_statsmodels() {
        assert_close(
            hedges(&sample(&A), &sample(&B)).unwrap(),
            1.817_755_643_307_59,
        );
        assert_close(
            hedges(&sample(&A), &sample(&C)).unwrap(),
            -0.677_811_967_786_046_5,
        );
        assert_eq!(hedges(&sample(&[1.0, 1.0]), &sample(&[2.0, 2.0])), None);
    }

    /// `statsmodels.stats.multitest.multipletests(…, method="holm")`, statsmodels 0.15.0.
    #[test]
    fn the_correction_for_many_comparisons_is_that_of_statsmodels() {
        assert_eq!(
            holm(&[0.01, 0.04, 0.03, 0.005, 0.5]),
            [0.04, 0.09, 0.09, 0.025, 0.5]
        );
        let corrected = holm(&[0.01, f64::NAN, 0.04]);
        assert!(corrected[1].is_nan());
        assert_eq!([corrected[0], corrected[2]], [0.02, 0.04]);
    }

    #[test]
    fn a_small_spread_beside_a_large_mean_is_kept() {
        assert_close(sample(&[1e9 + 1.0, 1e9 + 2.0, 1e9 + 3.0]).std, 1.0);
    }

    #[test]
    fn without_variance_the_p_value_is_zero_or_nan() {
        let (one, two) = (sample(&[1.0, 1.0]), sample(&[2.0, 2.0]));
        assert!(Difference::welch(&one, &two).unwrap().p.abs() < f64::MIN_POSITIVE);
        assert!(Difference::welch(&one, &one).unwrap().p.is_nan());
    }
}
