//! Sobol's low-discrepancy sequence with Owen scrambling.
//!
//! Direction numbers: `new-joe-kuo-6`, S. Joe and F. Y. Kuo, *Constructing Sobol sequences with
//! better two-dimensional projections*, SIAM J. Sci. Comput. 30 (2008), BSD licence. `joe_kuo.bin`
//! holds the first 1,111 dimensions: per dimension the primitive polynomial and then as many
//! initial numbers as its degree, 16 bits each. Scrambling: Owen, *Randomly permuted (t,m,s)-nets
//! and (t,s)-sequences*, 1995, with a hash instead of stored random permutations. Any point costs
//! the same, and there are 2^32 points.

use std::f64;

/// The direction numbers, little-endian.
const TABLE: &[u8] = include_bytes!("joe_kuo.bin");
/// Number of binary digits of a coordinate before scrambling.
const BITS: usize = 32;

/// Number of dimensions with direction numbers. Coordinates in further dimensions are
/// pseudo-random.
pub const DIMENSIONS: usize = 1111;

/// A Sobol sequence, scrambled or not.
#[derive(Debug, Clone)]
pub struct Sobol {
    /// The direction numbers of each dimension, at most [`DIMENSIONS`].
    directions: Vec<[u32; BITS]>,
    /// d, the number of dimensions.
    dims: usize,
    /// The seed of the scrambling; `None` for the unscrambled sequence.
    seed: Option<u64>,
}

impl Sobol {
    /// Creates the sequence in `dims` dimensions, scrambled by `seed`.
    #[must_use]
    pub fn new(dims: usize, seed: u64) -> Self {
        Self {
            directions: directions(dims.min(DIMENSIONS)),
            dims,
            seed: Some(seed),
        }
    }

    /// Creates the sequence without scrambling, whose first point is the origin.
    #[must_use]
    pub fn unscrambled(dims: usize) -> Self {
        Self {
            directions: directions(dims.min(DIMENSIONS)),
            dims,
            seed: None,
        }
    }

    /// Returns point number `index`, of shape (d), in [0, 1).
    #[must_use]
    pub fn point(&self, index: u32) -> Vec<f64> {
        (0..self.dims)
            .map(|dim| self.coordinate(index, dim))
            .collect()
    }

    /// Returns one coordinate of point number `index`.
    fn coordinate(&self, index: u32, dim: usize) -> f64 {
        // There are no direction numbers for this dimension.
        let Some(directions) = self.directions.get(dim) else {
            return fraction(mix(self.seed.unwrap_or(0)
                ^ mix(dim as u64)
                ^ mix(u64::from(index) << 32)));
        };
        let mut digits = 0;
        let mut remaining = index;
        while remaining != 0 {
            digits ^= directions[remaining.trailing_zeros() as usize];
            // Clears the lowest set bit.
            remaining &= remaining - 1;
        }
        let Some(seed) = self.seed else {
            return f64::from(digits) / 2f64.powi(BITS as i32);
        };
        let key = mix(seed ^ mix(dim as u64 + 1));
        let scrambled = owen(digits, key);
        // The digits after the 32 of the net are filled by a hash, because a float has 53.
        let below = mix(key ^ u64::from(scrambled)) >> 43;
        (f64::from(scrambled) * 2f64.powi(21) + below as f64) / 2f64.powi(53)
    }
}

/// Flips each binary digit by a hash of the digits before it, which amounts to a random permutation
/// of the tree of dyadic intervals.
fn owen(digits: u32, key: u64) -> u32 {
    let mut flips = 0;
    for bit in (0..BITS as u32).rev() {
        // A leading one distinguishes prefixes of different lengths.
        let prefix = (1_u64 << (31 - bit)) | (u64::from(digits) >> bit >> 1);
        flips |= ((mix(key ^ prefix) >> 63) as u32) << bit;
    }
    digits ^ flips
}

/// Returns a hash of 64 bits: the finaliser of SplitMix64 (Steele, Lea & Flood, OOPSLA 2014).
pub fn mix(bits: u64) -> u64 {
    let mut z = bits.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// Returns a number in [0, 1) from the upper 53 bits.
fn fraction(bits: u64) -> f64 {
    (bits >> 11) as f64 / 2f64.powi(53)
}

/// Returns the direction numbers of the first `dims` dimensions, by the recurrence of their
/// primitive polynomials.
fn directions(dims: usize) -> Vec<[u32; BITS]> {
    let mut numbers = TABLE
        .chunks_exact(2)
        .map(|pair| u32::from(u16::from_le_bytes([pair[0], pair[1]])));
    (0..dims)
        .map(|dim| {
            let polynomial = numbers.next().unwrap_or(1);
            let degree = polynomial.ilog2() as usize;
            // The first dimension is the van der Corput sequence, which needs no polynomial.
            if dim == 0 {
                return std::array::from_fn(|bit| 1 << (BITS - 1 - bit));
            }
            let mut v = [0_u32; BITS];
            for (bit, (slot, m)) in v.iter_mut().zip(numbers.by_ref().take(degree)).enumerate() {
                *slot = m << (BITS - 1 - bit);
            }
            for bit in degree..BITS {
                v[bit] = v[bit - degree] ^ (v[bit - degree] >> degree);
                for back in 1..degree {
                    if polynomial >> (degree - back) & 1 == 1 {
                        v[bit] ^= v[bit - back];
                    }
                }
            }
            v
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unscrambled_sequence_is_that_of_scipy() {
        // scipy 1.17.1, stats.qmc.Sobol(1111, scramble=False, bits=32); SciPy counts in Gray code.
        let sobol = Sobol::unscrambled(1111);
        for (row, expected) in [
            (1_u32, [0.5, 0.5, 0.5, 0.5, 0.5, 0.5]),
            (2, [0.75, 0.25, 0.25, 0.75, 0.75, 0.75]),
            (5, [0.875, 0.875, 0.125, 0.125, 0.375, 0.375]),
            (
                1000,
                [
                    0.2197265625,
                    0.0966796875,
                    0.5185546875,
                    0.0693359375,
                    0.1865234375,
                    0.3701171875,
                ],
            ),
            (
                69999,
                [
                    0.10781097412109375,
                    0.6641769409179688,
                    0.9635848999023438,
                    0.09337615966796875,
                    0.5518875122070312,
                    0.26680755615234375,
                ],
            ),
        ] {
            let point = sobol.point(row ^ (row >> 1));
            assert_eq!(
                [0, 1, 2, 9, 99, 1110].map(|dim| point[dim]),
                expected,
                "row {row}"
            );
        }
    }

    #[test]
    fn scrambling_keeps_one_point_in_each_interval_far_beyond_2_to_the_16() {
        let sobol = Sobol::new(40, 7);
        for first in [0, 1 << 20] {
            for dim in [0, 1, 39] {
                let mut cells = vec![0; 256];
                for index in first..first + 256 {
                    cells[(sobol.point(index)[dim] * 256.0) as usize] += 1;
                }
                assert_eq!(cells, vec![1; 256], "dimension {dim} from {first}");
            }
        }
    }

    #[test]
    fn two_dimensions_fill_every_elementary_box() {
        let sobol = Sobol::new(2, 3);
        let mut boxes = vec![0; 64];
        for index in 0..64 {
            let point = sobol.point(index);
            boxes[(point[0] * 8.0) as usize * 8 + (point[1] * 8.0) as usize] += 1;
        }
        assert_eq!(boxes, vec![1; 64]);
    }

    #[test]
    fn seeds_differ_and_dimensions_beyond_the_table_still_have_values() {
        assert_ne!(Sobol::new(3, 1).point(0), Sobol::new(3, 2).point(0));
        let wide = Sobol::new(DIMENSIONS + 20, 1).point(5);
        assert!(wide.iter().all(|x| (0.0..1.0).contains(x)));
        assert_ne!(wide[DIMENSIONS], wide[DIMENSIONS + 1]);
    }
}
