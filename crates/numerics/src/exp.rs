//! The exponential function in a form that vectorises, and sums of exponentials.
//!
//! The result is bit-identical on every machine. The method: range reduction by Cody & Waite, then
//! the Taylor polynomial of degree 13 on |r| ≤ ½ ln 2; the relative error is below 3e-16.

const LOG2_E: f64 = std::f64::consts::LOG2_E;
/// ln 2 split in two: products of the high part with an exponent are exact.
const LN_2_HIGH: f64 = 6.931_471_803_691_238e-1;
const LN_2_LOW: f64 = 1.908_214_929_270_587_7e-10;
/// 1.5 · 2^52: adding and subtracting it rounds to an integer.
const ROUND: f64 = 6_755_399_441_055_744.0;

/// Returns eˣ. Returns 0 below −708, and the value at 709 for every x above.
#[inline]
#[must_use]
pub fn exp(x: f64) -> f64 {
    let bounded = x.clamp(-708.0, 709.0);
    let shifted = bounded * LOG2_E + ROUND;
    let power = shifted - ROUND;
    let r = (bounded - power * LN_2_HIGH) - power * LN_2_LOW;
    let mut sum = 1.0 / 6_227_020_800.0;
    for factor in [
        1.0 / 479_001_600.0,
        1.0 / 39_916_800.0,
        1.0 / 3_628_800.0,
        1.0 / 362_880.0,
        1.0 / 40_320.0,
        1.0 / 5_040.0,
        1.0 / 720.0,
        1.0 / 120.0,
        1.0 / 24.0,
        1.0 / 6.0,
        0.5,
        1.0,
        1.0,
    ] {
        sum = sum * r + factor;
    }
    // The integer is in the low bits of `shifted`. Move it to the exponent of a float.
    let scale = f64::from_bits((shifted.to_bits() << 52).wrapping_add(1023 << 52));
    let value = sum * scale;
    if x < -708.0 { 0.0 } else { value }
}

/// Returns ln Σ eˣ without overflow; −∞ for no terms.
#[must_use]
pub fn ln_sum_exp(terms: &[f64]) -> f64 {
    let top = terms.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if top == f64::NEG_INFINITY {
        return top;
    }
    let mut sums = [0.0; 4];
    let chunks = terms.chunks_exact(4);
    for term in chunks.remainder() {
        sums[0] += exp(term - top);
    }
    for chunk in chunks {
        for (sum, term) in sums.iter_mut().zip(chunk) {
            *sum += exp(term - top);
        }
    }
    top + libm::log(sums.iter().sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_exponential() {
        for x in [-700.0, -30.3, -1.0, -0.1, 0.0, 1e-9, 0.5, 1.0, 20.7, 700.0] {
            assert!((exp(x) / libm::exp(x) - 1.0).abs() < 4e-16, "at {x}");
        }
        assert_eq!((exp(f64::NEG_INFINITY), exp(-800.0)), (0.0, 0.0));
    }

    #[test]
    fn sums_of_exponentials_do_not_overflow() {
        assert_eq!(ln_sum_exp(&[]), f64::NEG_INFINITY);
        let terms: Vec<f64> = (0..7).map(|_| 1000.0).collect();
        assert!((ln_sum_exp(&terms) - (1000.0 + libm::log(7.0))).abs() < 1e-12);
    }
}
