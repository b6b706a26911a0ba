//! The eigenvectors and eigenvalues of a symmetric matrix.
//!
//! Householder's reduction to a tridiagonal matrix, then QL steps with implicit shifts: `tred2` and
//! `tql2` of EISPACK, after Bowdler, Martin, Reinsch & Wilkinson, *Numerische Mathematik* 11, 1968.
//! The names of the variables are those of that article.

/// Most QL steps for one eigenvalue. Usually two suffice.
const MOST_STEPS: u32 = 100;

/// The decomposition A = V diag(λ) Vᵀ of a symmetric matrix.
#[derive(Debug, Clone)]
pub struct SymmetricEigen {
    /// The eigenvalues λ, in no order; of shape (n).
    pub values: Vec<f64>,
    /// V, row by row; of shape (n, n). Column j is the eigenvector of value j, of length 1.
    pub vectors: Vec<f64>,
}

impl SymmetricEigen {
    /// Decomposes a matrix of shape (n, n), given row by row; O(n³). Returns `None` if an item is
    /// not finite, or if the steps do not converge.
    #[must_use]
    pub fn of(matrix: &[f64], n: usize) -> Option<Self> {
        if n == 0 || !matrix.iter().all(|item| item.is_finite()) {
            return None;
        }
        let mut reduction = Reduction {
            v: matrix.to_vec(),
            d: matrix[n * (n - 1)..].to_vec(),
            e: vec![0.0; n],
            n,
        };
        reduction.make_tridiagonal();
        reduction.accumulate();
        reduction.diagonalize()?;
        Some(Self {
            values: reduction.d,
            vectors: reduction.v,
        })
    }
}

/// A matrix on its way to the diagonal form.
struct Reduction {
    /// The product of the transformations, row by row.
    v: Vec<f64>,
    /// The diagonal.
    d: Vec<f64>,
    /// The items beside the diagonal.
    e: Vec<f64>,
    n: usize,
}

impl Reduction {
    /// Reduces the matrix with Householder's reflections, the last row first.
    fn make_tridiagonal(&mut self) {
        let Self { v, d, e, n } = self;
        let n = *n;
        for i in (1..n).rev() {
            let scale: f64 = d[..i].iter().map(|item| item.abs()).sum();
            let mut h = 0.0;
            if scale == 0.0 {
                e[i] = d[i - 1];
                for j in 0..i {
                    d[j] = v[(i - 1) * n + j];
                    v[i * n + j] = 0.0;
                    v[j * n + i] = 0.0;
                }
            } else {
                for item in &mut d[..i] {
                    *item /= scale;
                    h += *item * *item;
                }
                let f = d[i - 1];
                let g = if f > 0.0 { -h.sqrt() } else { h.sqrt() };
                e[i] = scale * g;
                h -= f * g;
                d[i - 1] = f - g;
                e[..i].fill(0.0);
                for j in 0..i {
                    let f = d[j];
                    v[j * n + i] = f;
                    let mut g = e[j] + v[j * n + j] * f;
                    for k in j + 1..i {
                        g += v[k * n + j] * d[k];
                        e[k] += v[k * n + j] * f;
                    }
                    e[j] = g;
                }
                let mut f = 0.0;
                for j in 0..i {
                    e[j] /= h;
                    f += e[j] * d[j];
                }
                for j in 0..i {
                    e[j] -= f / (h + h) * d[j];
                }
                for j in 0..i {
                    let (f, g) = (d[j], e[j]);
                    for k in j..i {
                        v[k * n + j] -= f * e[k] + g * d[k];
                    }
                    d[j] = v[(i - 1) * n + j];
                    v[i * n + j] = 0.0;
                }
            }
            d[i] = h;
        }
    }

    /// Multiplies the reflections, which the reduction has left in the columns of the matrix.
    fn accumulate(&mut self) {
        let Self { v, d, e, n } = self;
        let n = *n;
        for i in 0..n - 1 {
            v[(n - 1) * n + i] = v[i * n + i];
            v[i * n + i] = 1.0;
            let h = d[i + 1];
            if h != 0.0 {
                for k in 0..=i {
                    d[k] = v[k * n + i + 1] / h;
                }
                for j in 0..=i {
                    let g: f64 = (0..=i).map(|k| v[k * n + i + 1] * v[k * n + j]).sum();
                    for k in 0..=i {
                        v[k * n + j] -= g * d[k];
                    }
                }
            }
            for k in 0..=i {
                v[k * n + i + 1] = 0.0;
            }
        }
        for j in 0..n {
            d[j] = v[(n - 1) * n + j];
            v[(n - 1) * n + j] = 0.0;
        }
        v[n * n - 1] = 1.0;
        e[0] = 0.0;
    }

    /// Diagonalizes the tridiagonal matrix; `None` if that takes too many steps.
    fn diagonalize(&mut self) -> Option<()> {
        let n = self.n;
        self.e.rotate_left(1);
        let mut shift = 0.0;
        let mut largest = 0.0_f64;
        for l in 0..n {
            largest = largest.max(self.d[l].abs() + self.e[l].abs());
            let small = f64::EPSILON * largest;
            // The last item beside the diagonal is 0.
            let mut rows = l..n - 1;
            let m = rows.find(|m| self.e[*m].abs() <= small).unwrap_or(n - 1);
            let mut steps = 0;
            while m > l && (steps == 0 || self.e[l].abs() > small) {
                steps += 1;
                if steps > MOST_STEPS {
                    return None;
                }
                shift += self.ql_step(l, m);
            }
            self.d[l] += shift;
            self.e[l] = 0.0;
        }
        Some(())
    }

    /// Makes one implicit QL step in the rows `l` to `m`. Returns the shift.
    fn ql_step(&mut self, l: usize, m: usize) -> f64 {
        let Self { v, d, e, n } = self;
        let n = *n;
        let g = d[l];
        let p = (d[l + 1] - g) / (2.0 * e[l]);
        let r = if p < 0.0 {
            -libm::hypot(p, 1.0)
        } else {
            libm::hypot(p, 1.0)
        };
        d[l] = e[l] / (p + r);
        d[l + 1] = e[l] * (p + r);
        let below = d[l + 1];
        let shift = g - d[l];
        for item in &mut d[l + 2..] {
            *item -= shift;
        }
        let beside = e[l + 1];
        let mut p = d[m];
        let (mut c, mut c2, mut c3) = (1.0, 1.0, 1.0);
        let (mut s, mut s2) = (0.0, 0.0);
        for i in (l..m).rev() {
            (c3, c2, s2) = (c2, c, s);
            let (g, h) = (c * e[i], c * p);
            let r = libm::hypot(p, e[i]);
            e[i + 1] = s * r;
            s = e[i] / r;
            c = p / r;
            p = c * d[i] - s * g;
            d[i + 1] = h + s * (c * g + s * d[i]);
            for row in v.chunks_exact_mut(n) {
                let h = row[i + 1];
                row[i + 1] = s * row[i] + c * h;
                row[i] = c * row[i] - s * h;
            }
        }
        let p = -s * s2 * c3 * beside * e[l] / below;
        e[l] = s * p;
        d[l] = c * p;
        shift
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::{Purpose, stream};
    use rand::RngExt;

    /// Checks that the vectors are orthonormal and that the product is the matrix again, relative
    /// to its largest item.
    fn check(matrix: &[f64], n: usize) {
        let SymmetricEigen { values, vectors } = SymmetricEigen::of(matrix, n).unwrap();
        let largest = matrix
            .iter()
            .fold(1e-300, |most: f64, item| most.max(item.abs()));
        for i in 0..n {
            for j in 0..n {
                let columns = (0..n).map(|k| vectors[k * n + i] * vectors[k * n + j]);
                let expected = f64::from(u8::from(i == j));
                let inner: f64 = columns.sum();
                assert!(
                    (inner - expected).abs() < 1e-12,
                    "{inner} at {i}, {j} of {n}"
                );
                let terms = (0..n).map(|k| vectors[i * n + k] * values[k] * vectors[j * n + k]);
                let product: f64 = terms.sum();
                let error = (product - matrix[i * n + j]).abs() / largest;
                assert!(error < 1e-12, "{error} at {i}, {j} of {n}");
            }
        }
    }

    #[test]
    fn the_eigenvalues_of_second_differences_are_the_known_ones() {
        // 2 − 2 cos(k π / 4) for k from 1 to 3: Golub & Van Loan, section 4.8.3.
        let matrix = [2.0, -1.0, 0.0, -1.0, 2.0, -1.0, 0.0, -1.0, 2.0];
        let mut values = SymmetricEigen::of(&matrix, 3).unwrap().values;
        values.sort_by(f64::total_cmp);
        let root = 2.0_f64.sqrt();
        for (value, expected) in values.iter().zip([2.0 - root, 2.0, 2.0 + root]) {
            assert!((value - expected).abs() < 1e-14, "{value}");
        }
        check(&matrix, 3);
    }

    #[test]
    fn the_product_of_the_parts_is_the_matrix_whatever_its_shape_and_scale() {
        let mut rng = stream(1, Purpose::Suggest, 0);
        for n in [1, 2, 3, 5, 10, 39] {
            for scale in [1e-150, 1e-8, 1.0, 1e150] {
                let mut matrix = vec![0.0; n * n];
                for i in 0..n {
                    for j in 0..=i {
                        // Entries of many magnitudes, as of a covariance that is nearly singular.
                        let size = scale * 10_f64.powi(-(i32::try_from(j).unwrap() % 8));
                        let item = size * (rng.random::<f64>() - 0.5);
                        matrix[i * n + j] = item;
                        matrix[j * n + i] = item;
                    }
                }
                check(&matrix, n);
            }
        }
    }

    #[test]
    fn matrices_without_a_single_basis_have_one_too() {
        let n = 6;
        check(&vec![0.0; n * n], n);
        check(&vec![1.0; n * n], n);
        let diagonal: Vec<f64> = (0..n * n)
            .map(|at| {
                if at % (n + 1) == 0 {
                    (at / n % 3) as f64
                } else {
                    0.0
                }
            })
            .collect();
        check(&diagonal, n);
    }

    #[test]
    fn a_matrix_that_is_not_finite_has_no_decomposition() {
        assert!(SymmetricEigen::of(&[], 0).is_none());
        for bad in [f64::NAN, f64::INFINITY] {
            assert!(SymmetricEigen::of(&[1.0, bad, bad, 1.0], 2).is_none());
        }
    }
}
