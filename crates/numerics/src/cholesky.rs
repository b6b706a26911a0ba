//! The Cholesky factor of a symmetric matrix that grows row by row, and the solution of linear
//! systems with it.
//!
//! Golub & Van Loan, *Matrix Computations*, 4th ed., section 4.2, by rows: every inner loop is a
//! dot product of two contiguous rows.

/// The error for a matrix that is not positive definite.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the matrix is not positive definite")]
pub struct Singular;

/// Number of vectors that are solved at once.
pub const LANES: usize = 8;

/// A lower triangular factor L with L Lᵀ = A. Its rows are packed one behind the other.
#[derive(Debug, Clone, Default)]
pub struct Cholesky {
    /// The rows up to the diagonal; n (n + 1) / 2 items.
    packed: Vec<f64>,
    /// n, the number of rows.
    order: usize,
}

impl Cholesky {
    /// Factors the matrix of `order` rows. `row(i)` writes row i up to the diagonal into its slice
    /// of length i + 1. O(n³).
    ///
    /// # Errors
    /// Returns [`Singular`] if a pivot is not positive.
    pub fn factor(order: usize, row: impl Fn(usize, &mut [f64])) -> Result<Self, Singular> {
        let mut factor = Self {
            packed: Vec::with_capacity(order * (order + 1) / 2),
            order: 0,
        };
        let mut rows = vec![vec![0.0; order]; LANES];
        let mut panel = vec![[0.0; LANES]; order];
        for base in (0..order).step_by(LANES) {
            let count = LANES.min(order - base);
            for (lane, values) in rows[..count].iter_mut().enumerate() {
                row(base + lane, &mut values[..=base + lane]);
                (0..base).for_each(|at| panel[at][lane] = values[at]);
            }
            factor.solve_lower_panel(&mut panel[..base], 0);
            for (lane, values) in rows[..count].iter_mut().enumerate() {
                (0..base).for_each(|at| values[at] = panel[at][lane]);
                factor.push(&values[..=base + lane], base)?;
            }
        }
        Ok(factor)
    }

    /// Appends a row of the matrix, up to its diagonal, of which the first `solved` values are
    /// those of the factor already; O(n²).
    fn push(&mut self, row: &[f64], solved: usize) -> Result<(), Singular> {
        let start = self.packed.len();
        self.packed.extend_from_slice(row);
        let (done, new) = self.packed.split_at_mut(start);
        for j in solved..self.order {
            let other = &done[j * (j + 1) / 2..][..=j];
            new[j] = (new[j] - dot(&new[..j], &other[..j])) / other[j];
        }
        let pivot = new[self.order] - dot(&new[..self.order], &new[..self.order]);
        if pivot.is_nan() || pivot <= 1e-14 {
            self.packed.truncate(start);
            return Err(Singular);
        }
        new[self.order] = libm::sqrt(pivot);
        self.order += 1;
        Ok(())
    }

    /// Returns row `i` of the factor, up to its diagonal; i + 1 items.
    #[must_use]
    pub fn row(&self, i: usize) -> &[f64] {
        &self.packed[i * (i + 1) / 2..][..=i]
    }

    /// Solves L v = b in place, for the leading `b.len()` rows; O(n²).
    pub fn solve_lower(&self, b: &mut [f64]) {
        for i in 0..b.len() {
            let row = self.row(i);
            b[i] = (b[i] - dot(&row[..i], &b[..i])) / row[i];
        }
    }

    /// Solves L v = b in place for [`LANES`] vectors at once, for the leading `panel.len()` rows;
    /// O(n²). The first `zeros` values of each vector are 0. Each value of the factor is read once
    /// for all vectors.
    pub fn solve_lower_panel(&self, panel: &mut [[f64; LANES]], zeros: usize) {
        for i in zeros..panel.len() {
            let row = self.row(i);
            let (solved, rest) = panel.split_at_mut(i);
            let mut sums = [0.0; LANES];
            for (factor, values) in row[zeros..i].iter().zip(&solved[zeros..]) {
                for lane in 0..LANES {
                    sums[lane] += factor * values[lane];
                }
            }
            for lane in 0..LANES {
                rest[0][lane] = (rest[0][lane] - sums[lane]) / row[i];
            }
        }
    }

    /// Solves Lᵀ v = b in place, for the leading `b.len()` rows; O(n²).
    pub fn solve_upper(&self, b: &mut [f64]) {
        for i in (0..b.len()).rev() {
            let row = self.row(i);
            b[i] /= row[i];
            let (before, here) = b.split_at_mut(i);
            axpy(before, -here[0], &row[..i]);
        }
    }

    /// Returns the logarithm of the determinant of the matrix.
    #[must_use]
    pub fn ln_determinant(&self) -> f64 {
        2.0 * (0..self.order)
            .map(|i| libm::log(self.row(i)[i]))
            .sum::<f64>()
    }

    /// Returns the lower triangle of the inverse of the matrix, packed by rows; O(n³).
    #[must_use]
    pub fn inverse(&self) -> Vec<f64> {
        let n = self.order;
        // Column j of L⁻¹ from its diagonal down, stored as row j, so that the products below read
        // contiguous memory.
        let mut columns = vec![0.0; n * n];
        let mut panel = vec![[0.0; LANES]; n];
        for base in (0..n).step_by(LANES) {
            panel[base..].fill([0.0; LANES]);
            let lanes = 0..LANES.min(n - base);
            lanes
                .clone()
                .for_each(|lane| panel[base + lane][lane] = 1.0);
            self.solve_lower_panel(&mut panel, base);
            for lane in lanes {
                let column = &mut columns[(base + lane) * n..][..n];
                let values = column.iter_mut().zip(&panel).skip(base + lane);
                values.for_each(|(slot, values)| *slot = values[lane]);
            }
        }
        let mut packed = Vec::with_capacity(self.packed.len());
        for i in 0..n {
            let tail = &columns[i * n + i..(i + 1) * n];
            packed.extend((0..=i).map(|j| dot(tail, &columns[j * n + i..(j + 1) * n])));
        }
        packed
    }
}

/// Returns the scalar product of two slices of the same length. Eight partial sums in a fixed order
/// allow vector instructions and give the same result on every machine.
#[inline]
#[must_use]
pub fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0.0; 8];
    let (chunks_a, chunks_b) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest: f64 = chunks_a
        .remainder()
        .iter()
        .zip(chunks_b.remainder())
        .map(|(x, y)| x * y)
        .sum();
    for (x, y) in chunks_a.zip(chunks_b) {
        for lane in 0..8 {
            sums[lane] += x[lane] * y[lane];
        }
    }
    rest + ((sums[0] + sums[4]) + (sums[1] + sums[5])) + ((sums[2] + sums[6]) + (sums[3] + sums[7]))
}

/// Adds `factor` times `row` to `target`.
fn axpy(target: &mut [f64], factor: f64, row: &[f64]) {
    for (slot, value) in target.iter_mut().zip(row) {
        *slot += factor * value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MATRIX: [[f64; 3]; 3] = [
        [4.0, 12.0, -16.0],
        [12.0, 37.0, -43.0],
        [-16.0, -43.0, 98.0],
    ];

    fn factor() -> Cholesky {
        Cholesky::factor(3, |i, row| row.copy_from_slice(&MATRIX[i][..=i])).unwrap()
    }

    #[test]
    fn the_factor_is_that_of_the_textbook() {
        // Wikipedia, "Cholesky decomposition", example.
        let factor = factor();
        assert_eq!(factor.row(0), [2.0]);
        assert_eq!(factor.row(1), [6.0, 1.0]);
        assert_eq!(factor.row(2), [-8.0, 5.0, 3.0]);
        assert!((factor.ln_determinant() - libm::log(36.0)).abs() < 1e-14);
    }

    #[test]
    fn solving_undoes_multiplying() {
        let factor = factor();
        let mut b: Vec<f64> = MATRIX
            .iter()
            .map(|row| dot(row, &[1.0, -2.0, 0.5]))
            .collect();
        factor.solve_lower(&mut b);
        factor.solve_upper(&mut b);
        for (actual, expected) in b.iter().zip([1.0, -2.0, 0.5]) {
            assert!((actual - expected).abs() < 1e-12);
        }
    }

    #[test]
    fn the_inverse_times_the_matrix_is_one() {
        let packed = factor().inverse();
        for i in 0..3 {
            for j in 0..3 {
                let product: f64 = MATRIX
                    .iter()
                    .enumerate()
                    .map(|(k, row)| packed[i.max(k) * (i.max(k) + 1) / 2 + i.min(k)] * row[j])
                    .sum();
                assert!((product - f64::from(u8::from(i == j))).abs() < 1e-9);
            }
        }
    }

    #[test]
    fn an_indefinite_matrix_is_refused() {
        let rows = [[4.0, 0.0], [4.0, 4.0 - 1e-13]];
        let factor = Cholesky::factor(2, |i, row| row.copy_from_slice(&rows[i][..=i]));
        assert_eq!(factor.err(), Some(Singular));
    }

    /// Returns the factor of a matrix of 21 rows: two panels and a part of one.
    fn large_factor() -> Cholesky {
        Cholesky::factor(21, |i, row| {
            for (j, value) in row.iter_mut().enumerate() {
                *value = 1.0 / (1.0 + (i - j) as f64) + if i == j { 0.1 } else { 0.0 };
            }
        })
        .unwrap()
    }

    #[test]
    fn the_factor_times_its_transpose_is_the_matrix() {
        let factor = large_factor();
        for i in 0..21 {
            for j in 0..=i {
                let product = dot(&factor.row(i)[..=j], factor.row(j));
                let expected = 1.0 / (1.0 + (i - j) as f64) + if i == j { 0.1 } else { 0.0 };
                assert!((product - expected).abs() < 1e-13, "{i} {j}");
            }
        }
    }

    #[test]
    fn each_vector_of_a_panel_is_solved_like_one_alone() {
        let factor = large_factor();
        let mut panel: Vec<[f64; LANES]> = (0..21)
            .map(|at| std::array::from_fn(|lane| f64::from(at * 7 % 5) - lane as f64))
            .collect();
        let alone: Vec<Vec<f64>> = (0..LANES)
            .map(|lane| {
                let mut b: Vec<f64> = panel.iter().map(|values| values[lane]).collect();
                factor.solve_lower(&mut b);
                b
            })
            .collect();
        factor.solve_lower_panel(&mut panel, 0);
        for (at, values) in panel.iter().enumerate() {
            for (lane, value) in values.iter().enumerate() {
                assert!((value - alone[lane][at]).abs() < 1e-12);
            }
        }
    }
}
