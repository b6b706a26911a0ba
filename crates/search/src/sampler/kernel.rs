//! The Matérn-5/2 kernel with one lengthscale per parameter, over numbers and choices.
//!
//! Two numbers differ by their distance in the unit cube; two choices by 1 unless they are equal. A
//! number that is inactive in one of two configurations is compared at 0.5, plus a distance of
//! [`ABSENT`] along a dimension of its own. Two configurations that both lack the number agree in
//! it.

use swath_model::space::AxisKind;
use swath_numerics::exp::exp;

use super::history::{History, category};

/// Distance between an active and an inactive number, in units of the cube.
const ABSENT: f64 = 0.3;

/// One column of the rows that the kernel compares.
#[derive(Debug, Clone, Copy)]
pub(super) struct Column {
    /// The axis of the column, whose lengthscale applies.
    pub(super) axis: usize,
    /// The meaning of the numbers in the column.
    pub(super) kind: ColumnKind,
}

/// The meaning of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ColumnKind {
    /// The coordinate of a number in the unit cube.
    Number,
    /// Whether the number is active: [`ABSENT`] if it is, 0 otherwise.
    Presence,
    /// The index of the choice; −1 if the choice is inactive.
    Choice,
}

/// The encoding of configurations as rows of numbers for the kernel.
#[derive(Debug, Clone)]
pub(super) struct Columns {
    /// The columns, in the order of the axes.
    pub(super) list: Vec<Column>,
    kinds: Vec<AxisKind>,
}

impl Columns {
    /// Returns the columns for the space of a history: one per axis, and one more for a number that
    /// may be inactive.
    pub(super) fn new(history: &History) -> Self {
        let kinds: Vec<AxisKind> = history.kinds().cloned().collect();
        let mut list = Vec::new();
        for (axis, kind) in kinds.iter().enumerate() {
            let choice = matches!(kind, AxisKind::Choice(_));
            list.push(Column {
                axis,
                kind: if choice {
                    ColumnKind::Choice
                } else {
                    ColumnKind::Number
                },
            });
            if !choice && history.sometimes_absent(axis) {
                list.push(Column {
                    axis,
                    kind: ColumnKind::Presence,
                });
            }
        }
        Self { list, kinds }
    }

    /// Returns the row of a point from [`History::settle`]: one number per column.
    pub(super) fn row(&self, unit: &[f64], active: &[bool]) -> Vec<f64> {
        let numbers = self.list.iter().map(|column| {
            let active = active[column.axis];
            match (column.kind, &self.kinds[column.axis]) {
                (ColumnKind::Choice, AxisKind::Choice(weights)) if active => {
                    category(unit[column.axis], weights) as f64
                }
                (ColumnKind::Choice, _) => -1.0,
                (ColumnKind::Presence, _) => f64::from(u8::from(active)) * ABSENT,
                (ColumnKind::Number, _) => unit[column.axis],
            }
        });
        numbers.collect()
    }
}

/// Adds the weighted squared differences between four numbers `here` and each row of four columns
/// `there` to `sums`. The sums, which take most of the time if there are many columns, are read and
/// written once for the four.
#[inline]
pub(super) fn add_four_squares(
    weights: [f64; 4],
    here: [f64; 4],
    there: [&[f64]; 4],
    sums: &mut [f64],
) {
    let [a, b, c, d] = there;
    for ((((sum, a), b), c), d) in sums.iter_mut().zip(a).zip(b).zip(c).zip(d) {
        let (a, b, c, d) = (a - here[0], b - here[1], c - here[2], d - here[3]);
        let first = weights[0] * a * a + weights[1] * b * b;
        *sum += first + (weights[2] * c * c + weights[3] * d * d);
    }
}

/// Adds `weight` times the squared difference between `here` and each of `there` to `sums`. For
/// choices the squared difference is 0 or 1.
#[inline]
pub(super) fn add_squares(
    kind: ColumnKind,
    weight: f64,
    here: f64,
    there: &[f64],
    sums: &mut [f64],
) {
    if kind == ColumnKind::Choice {
        for (sum, x) in sums.iter_mut().zip(there) {
            *sum += if *x == here { 0.0 } else { weight };
        }
    } else {
        for (sum, x) in sums.iter_mut().zip(there) {
            *sum += weight * (x - here) * (x - here);
        }
    }
}

/// Returns the squared difference of two numbers of a column: 0 or 1 for choices.
#[inline]
fn squared_difference(kind: ColumnKind, x: f64, here: f64) -> f64 {
    if kind == ColumnKind::Choice {
        f64::from(u8::from(x != here))
    } else {
        (x - here) * (x - here)
    }
}

/// Returns Σ factor × squared difference between `here` and `there`. For choices the squared
/// difference is 0 or 1.
#[inline]
pub(super) fn sum_squares(kind: ColumnKind, factors: &[f64], here: f64, there: &[f64]) -> f64 {
    // Four independent sums let the compiler use vector instructions; their order is fixed, so the
    // result is the same on every machine.
    let mut sums = [0.0; 4];
    let (chunks_f, chunks_t) = (factors.chunks_exact(4), there.chunks_exact(4));
    let rest: f64 = chunks_f
        .remainder()
        .iter()
        .zip(chunks_t.remainder())
        .map(|(f, x)| f * squared_difference(kind, *x, here))
        .sum();
    for (f, x) in chunks_f.zip(chunks_t) {
        for lane in 0..4 {
            sums[lane] += f[lane] * squared_difference(kind, x[lane], here);
        }
    }
    rest + (sums[0] + sums[2]) + (sums[1] + sums[3])
}

/// Returns the correlation (1 + s + s²/3) e⁻ˢ with s = √5 r, where `square` is r², the squared
/// distance in lengthscales.
///
/// Rasmussen & Williams, *Gaussian Processes for Machine Learning*, 2006, equation 4.17.
#[inline]
pub(super) fn matern(square: f64) -> f64 {
    let s = (5.0 * square).sqrt();
    (1.0 + s + s * s * (1.0 / 3.0)) * exp(-s)
}

/// Returns minus the derivative of [`matern`] with respect to the squared distance: 5/6 (1 + s)
/// e⁻ˢ.
#[inline]
pub(super) fn matern_slope(square: f64) -> f64 {
    let s = (5.0 * square).sqrt();
    (5.0 / 6.0) * (1.0 + s) * exp(-s)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_is_the_closed_formula_of_matern_five_halves() {
        // (1 + √5 r + 5/3 r²) exp(−√5 r) at distances 0, 0.5, 1 and 3: Rasmussen & Williams (2006),
        // equation 4.17.
        for (r, expected) in [
            (0.0, 1.0),
            (0.5, 0.828_649_142_418_125_9),
            (1.0, 0.523_994_108_831_820_3),
            (3.0, 0.027_723_421_914_625_8),
        ] {
            assert!(
                (matern(r * r) - expected).abs() < 1e-9,
                "{} is not {expected}",
                matern(r * r)
            );
        }
    }

    #[test]
    fn the_slope_is_the_derivative() {
        for square in [0.01, 0.3, 2.0] {
            let by_difference = (matern(square + 1e-6) - matern(square - 1e-6)) / 2e-6;
            assert!((matern_slope(square) + by_difference).abs() < 1e-7);
        }
    }
}
