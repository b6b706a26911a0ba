//! Choices: one of several values, or one of several rows.

use super::domain::unit;

/// Partition of the unit interval into one cell for each case.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Cases {
    /// Upper end of each cell, cumulative. The end of the last case with a positive weight is 1.
    ends: Vec<f64>,
    probabilities: Vec<f64>,
}

impl Cases {
    /// Makes cells of equal size. `count` must be positive.
    pub(crate) fn uniform(count: usize) -> Self {
        Self {
            ends: (1..=count).map(|end| end as f64 / count as f64).collect(),
            probabilities: vec![1.0 / count as f64; count],
        }
    }

    /// Makes cells in proportion to the weights, which must not be negative nor all zero.
    pub(crate) fn weighted(weights: &[f64]) -> Self {
        // Divided by the largest weight first, because the plain sum could overflow.
        let largest = weights.iter().copied().fold(0.0, f64::max);
        let total: f64 = weights.iter().map(|weight| weight / largest).sum();
        let probabilities: Vec<_> = weights
            .iter()
            .map(|weight| weight / largest / total)
            .collect();
        let mut sum = 0.0;
        let mut ends: Vec<_> = probabilities
            .iter()
            .map(|probability| {
                sum += probability;
                sum
            })
            .collect();
        let last = weights
            .iter()
            .rposition(|weight| *weight > 0.0)
            .unwrap_or(0);
        // Rounding may leave the last end below 1, which would give trailing cases of weight 0 a
        // cell.
        ends[last..].fill(1.0);
        Self {
            ends,
            probabilities,
        }
    }

    pub(crate) fn probabilities(&self) -> &[f64] {
        &self.probabilities
    }

    /// Returns whether a case has a positive probability.
    pub(crate) fn is_possible(&self, case: usize) -> bool {
        self.probabilities[case] > 0.0
    }

    pub(crate) fn decode(&self, coordinate: f64) -> usize {
        self.ends
            .partition_point(|end| *end <= coordinate)
            .min(self.ends.len() - 1)
    }

    pub(crate) fn encode(&self, case: usize) -> f64 {
        let start = if case == 0 { 0.0 } else { self.ends[case - 1] };
        unit(0.5 * (start + self.ends[case]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_divide_the_interval_and_zero_is_never_drawn() {
        let cases = Cases::weighted(&[1.0, 0.0, 3.0, 0.0]);
        assert_eq!(cases.probabilities(), [0.25, 0.0, 0.75, 0.0]);
        assert_eq!(
            [0.0, 0.24, 0.25, 0.999_999].map(|u| cases.decode(u)),
            [0, 0, 2, 2]
        );
        assert_eq!((cases.encode(0), cases.encode(2)), (0.125, 0.625));
    }

    #[test]
    fn every_case_of_an_uniform_division_comes_back() {
        for count in 1..200 {
            let cases = Cases::uniform(count);
            assert!((0..count).all(|case| cases.decode(cases.encode(case)) == case));
        }
    }
}
