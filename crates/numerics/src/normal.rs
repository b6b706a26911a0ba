//! The standard normal distribution: density, distribution function, their logarithms, and
//! quantiles.
//!
//! Logarithms stay accurate far in the tails, by the scaled complementary error function. The
//! quantile is Wichura's algorithm AS 241 (Applied Statistics 37(3), 1988).

use super::exp;
use std::f64::consts::{FRAC_1_SQRT_2, LN_2, SQRT_2};
use std::sync::LazyLock;

/// ln √(2π).
pub const LN_SQRT_2PI: f64 = 0.918_938_533_204_672_8;
/// 1 / √(2π).
const FRAC_1_SQRT_2PI: f64 = 0.398_942_280_401_432_7;
/// √(π/2).
const SQRT_FRAC_PI_2: f64 = 1.253_314_137_315_500_3;

/// Returns the density φ(z).
#[must_use]
pub fn pdf(z: f64) -> f64 {
    libm::exp(ln_pdf(z))
}

/// Returns ln φ(z).
#[must_use]
pub fn ln_pdf(z: f64) -> f64 {
    -0.5 * z * z - LN_SQRT_2PI
}

/// Returns Φ(z), the probability of a value up to `z`.
#[must_use]
pub fn cdf(z: f64) -> f64 {
    0.5 * libm::erfc(-z * FRAC_1_SQRT_2)
}

/// Returns ln Φ(z), without underflow far in the lower tail.
#[must_use]
pub fn ln_cdf(z: f64) -> f64 {
    if z > -5.0 {
        return libm::log1p(-0.5 * libm::erfc(z * FRAC_1_SQRT_2));
    }
    libm::log(erfcx(-z * FRAC_1_SQRT_2)) - 0.5 * z * z - LN_2
}

/// Returns exp(x²) erfc(x), the scaled complementary error function, for x ≥ 0.
///
/// Below 5 the product is computed directly, above by a continued fraction (Abramowitz & Stegun
/// 7.1.14).
#[must_use]
pub fn erfcx(x: f64) -> f64 {
    if x < 5.0 {
        return libm::exp(x * x) * libm::erfc(x);
    }
    let mut tail = x;
    for k in (1..=40).rev() {
        tail = x + 0.5 * f64::from(k) / tail;
    }
    0.564_189_583_547_756_3 / tail
}

/// Returns ln(φ(z) + z Φ(z)): the log expected improvement of a standard normal variate over −z.
///
/// Ament et al., *Unexpected Improvements to Expected Improvement*, NeurIPS 2023 (arXiv
/// 2310.20708), equation 9.
#[must_use]
pub fn ln_expected_excess(z: f64) -> f64 {
    if z > -1.0 {
        // Little cancellation on this side: the direct formula is accurate.
        return libm::log(pdf(z) + z * cdf(z));
    }
    ln_pdf(z) + libm::log(tail_ratio(-z))
}

/// Returns φ(z) + z Φ(z), φ(z) and Φ(z): the expected improvement of a standard normal variate over
/// −z and its derivatives. All are accurate to 1e-7 of their size, also in the lower tail, and 0
/// below −38. Several times as fast as the exact functions.
#[must_use]
pub fn expected_excess(z: f64) -> (f64, f64, f64) {
    let t = z.abs();
    if t >= TABLE_END {
        return (z.max(0.0), 0.0, f64::from(u8::from(z > 0.0)));
    }
    let density = FRAC_1_SQRT_2PI * exp::exp(-0.5 * t * t);
    let ratio = tabulated_tail(t);
    let (excess, below) = (density * (1.0 - t * ratio), density * ratio);
    match z > 0.0 {
        true => (z + excess, density, 1.0 - below),
        false => (excess, density, below),
    }
}

/// End of the table of tails.
const TABLE_END: f64 = 38.0;
/// Number of entries of the table for a distance of 1.
const TABLE_STEPS: f64 = 32.0;
/// Φ(−t) / φ(t) at multiples of 1 / [`TABLE_STEPS`].
static TAILS: LazyLock<Vec<f64>> = LazyLock::new(|| {
    let last = (TABLE_END * TABLE_STEPS) as usize + 1;
    let points = (0..=last).map(|at| at as f64 / TABLE_STEPS);
    let ratios = points.map(|t| SQRT_FRAC_PI_2 * erfcx(t * FRAC_1_SQRT_2));
    ratios.collect()
});

/// Returns Φ(−t) / φ(t) for t from 0 to [`TABLE_END`], by cubic Hermite interpolation. The
/// derivative of the ratio r is t r − 1.
fn tabulated_tail(t: f64) -> f64 {
    let at = (t * TABLE_STEPS) as usize;
    let (left, right) = (TAILS[at], TAILS[at + 1]);
    let (start, step) = (at as f64 / TABLE_STEPS, 1.0 / TABLE_STEPS);
    let left_slope = (start * left - 1.0) * step;
    let right_slope = ((start + step) * right - 1.0) * step;
    let u = t * TABLE_STEPS - at as f64;
    let change = right - left;
    let (second, third) = (
        3.0 * change - 2.0 * left_slope - right_slope,
        left_slope + right_slope - 2.0 * change,
    );
    left + u * (left_slope + u * (second + u * third))
}

/// Returns (φ(z) + z Φ(z)) / φ(z) at z = −t, for t ≥ 1. From 25 on the difference would cancel, so
/// an asymptotic series is used.
fn tail_ratio(t: f64) -> f64 {
    if t < 25.0 {
        return 1.0 - t * SQRT_FRAC_PI_2 * erfcx(t * FRAC_1_SQRT_2);
    }
    let u = 1.0 / (t * t);
    u * (1.0 - u * (3.0 - u * (15.0 - u * (105.0 - u * (945.0 - u * 10_395.0)))))
}

/// Returns Φ(z) / (φ(z) + z Φ(z)): the derivative of [`ln_expected_excess`].
#[must_use]
pub fn ln_expected_excess_slope(z: f64) -> f64 {
    if z > -1.0 {
        return cdf(z) / (pdf(z) + z * cdf(z));
    }
    let t = -z;
    SQRT_FRAC_PI_2 * erfcx(t * FRAC_1_SQRT_2) / tail_ratio(t)
}

/// Returns the quantile of probability `p`: the z with Φ(z) = p. Infinite at 0 and 1, NaN outside.
#[must_use]
pub fn quantile(p: f64) -> f64 {
    let q = p - 0.5;
    if q.abs() <= 0.425 {
        let r = 0.180_625 - q * q;
        return q * horner(&CENTRE_A, r) / horner(&CENTRE_B, r);
    }
    let tail = if q < 0.0 { p } else { 1.0 - p };
    if tail <= 0.0 {
        return if tail < 0.0 {
            f64::NAN
        } else {
            q.signum() * f64::INFINITY
        };
    }
    let r = libm::sqrt(-libm::log(tail));
    let size = if r <= 5.0 {
        horner(&MIDDLE_A, r - 1.6) / horner(&MIDDLE_B, r - 1.6)
    } else {
        horner(&FAR_A, r - 5.0) / horner(&FAR_B, r - 5.0)
    };
    q.signum() * size
}

/// Returns the probability of a value between `low` and `high`, for truncated kernels. Accurate in
/// both tails.
#[must_use]
pub fn mass(low: f64, high: f64) -> f64 {
    if low > 0.0 {
        // Mirrored into the lower tail, where the difference does not cancel.
        return mass(-high, -low);
    }
    0.5 * (libm::erfc(-high / SQRT_2) - libm::erfc(-low / SQRT_2))
}

/// Returns the polynomial with these coefficients, constant term first, at `x`.
fn horner(coefficients: &[f64; 8], x: f64) -> f64 {
    coefficients
        .iter()
        .rev()
        .fold(0.0, |sum, coefficient| sum * x + coefficient)
}

/// Coefficients of AS 241: numerators A and denominators B for the centre, the intermediate and the
/// far range.
const CENTRE_A: [f64; 8] = [
    3.387_132_872_796_366_5,
    133.141_667_891_784_38,
    1_971.590_950_306_551_3,
    13_731.693_765_509_46,
    45_921.953_931_549_87,
    67_265.770_927_008_7,
    33_430.575_583_588_13,
    2_509.080_928_730_122_7,
];
const CENTRE_B: [f64; 8] = [
    1.0,
    42.313_330_701_600_91,
    687.187_007_492_057_9,
    5_394.196_021_424_751,
    21_213.794_301_586_597,
    39_307.895_800_092_71,
    28_729.085_735_721_943,
    5_226.495_278_852_854,
];
const MIDDLE_A: [f64; 8] = [
    1.423_437_110_749_683_5,
    4.630_337_846_156_546,
    5.769_497_221_460_691,
    3.647_848_324_763_204_5,
    1.270_458_252_452_368_4,
    0.241_780_725_177_450_6,
    0.022_723_844_989_269_184,
    7.745_450_142_783_414e-4,
];
const MIDDLE_B: [f64; 8] = [
    1.0,
    2.053_191_626_637_759,
    1.676_384_830_183_803_8,
    0.689_767_334_985_1,
    0.148_103_976_427_480_08,
    0.015_198_666_563_616_457,
    5.475_938_084_995_345e-4,
    1.050_750_071_644_416_9e-9,
];
const FAR_A: [f64; 8] = [
    6.657_904_643_501_103,
    5.463_784_911_164_114,
    1.784_826_539_917_291_3,
    0.296_560_571_828_504_87,
    0.026_532_189_526_576_124,
    0.001_242_660_947_388_078_4,
    2.711_555_568_743_487_6e-5,
    2.010_334_399_292_288_1e-7,
];
const FAR_B: [f64; 8] = [
    1.0,
    0.599_832_206_555_888,
    0.136_929_880_922_735_8,
    0.014_875_361_290_850_615,
    7.868_691_311_456_133e-4,
    1.846_318_317_510_054_8e-5,
    1.421_511_758_316_446e-7,
    2.044_263_103_389_939_8e-15,
];

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_near(actual: f64, expected: f64) {
        assert!(
            (actual - expected).abs() <= 2e-13 * expected.abs().max(1e-300),
            "{actual:e} is not {expected:e}"
        );
    }

    #[test]
    fn the_tabulated_expected_excess_agrees_with_the_exact_functions() {
        for z in [-37.0, -24.3, -6.01, -1.53, -0.9, -0.01, 0.0, 2.2, 7.0] {
            let (excess, density, below) = expected_excess(z);
            let of_logarithm = libm::log(excess) - ln_expected_excess(z);
            assert!(of_logarithm.abs() < 1e-7, "{z}: {of_logarithm}");
            assert!((below / cdf(z) - 1.0).abs() < 1e-7, "{z}");
            assert!((density / pdf(z) - 1.0).abs() < 1e-12, "{z}");
        }
        assert_eq!(expected_excess(-40.0), (0.0, 0.0, 0.0));
        assert_eq!(expected_excess(40.0), (40.0, 0.0, 1.0));
    }

    #[test]
    fn the_distribution_and_its_logarithm_are_those_of_scipy() {
        // scipy 1.17.1, stats.norm.cdf and logcdf.
        for (z, p, ln_p) in [
            (-10.0, 7.61985302416047e-24, -53.23128515051248),
            (-5.0, 2.866515718791933e-07, -15.064998393988727),
            (-1.0, 0.15865525393145707, -1.8410216450092634),
            (0.5, 0.6914624612740131, -0.36894641528865635),
            (3.0, 0.9986501019683699, -0.0013508099647481925),
        ] {
            assert_near(cdf(z), p);
            assert_near(ln_cdf(z), ln_p);
        }
        assert_near(ln_cdf(-40.0), -804.6084420137539);
        assert_near(ln_cdf(8.0), -6.220960574271742e-16);
    }

    #[test]
    fn the_quantile_is_that_of_scipy_and_inverts_the_distribution() {
        for (p, z) in [
            (1e-300, -37.0470962993612),
            (1e-10, -6.361340902404056),
            (0.001, -3.090232306167813),
            (0.025, -1.9599639845400545),
            (0.3, -0.5244005127080409),
            (0.975, 1.959963984540054),
            (0.999999999, 5.997807019601637),
        ] {
            assert_near(quantile(p), z);
        }
        assert_near(cdf(quantile(0.123)), 0.123);
        assert_eq!(
            (quantile(0.0), quantile(1.0)),
            (f64::NEG_INFINITY, f64::INFINITY)
        );
        assert!(quantile(-0.1).is_nan());
    }

    #[test]
    fn the_scaled_error_function_is_that_of_scipy() {
        for (x, expected) in [
            (0.5, 0.6156903441929258),
            (1.0, 0.427583576155807),
            (5.0, 0.11070463773306861),
            (10.0, 0.05614099274382259),
            (1e4, 5.641895807268084e-05),
        ] {
            assert_near(erfcx(x), expected);
        }
    }

    #[test]
    fn the_expected_excess_is_right_where_it_is_astronomically_small() {
        // mpmath, 60 digits.
        for (z, expected) in [
            (-200.0, -20011.515648259739),
            (-30.0, -457.724653760598),
            (-13.0, -90.56623466202204),
            (-11.5, -71.95074449949851),
            (-5.0, -16.74430116266099),
            (-1.0, -2.4851210257126413),
            (0.0, -0.9189385332046727),
            (4.0, 1.3862961474329033),
        ] {
            assert_near(ln_expected_excess(z), expected);
        }
        for z in [-50.0, -12.5, -3.0, -0.5, 2.0] {
            let by_difference =
                (ln_expected_excess(z + 1e-5) - ln_expected_excess(z - 1e-5)) / 2e-5;
            assert!(
                (ln_expected_excess_slope(z) / by_difference - 1.0).abs() < 1e-6,
                "at {z}"
            );
        }
    }

    #[test]
    fn the_mass_of_a_range_keeps_its_digits_in_both_tails() {
        assert_near(mass(-1.0, 1.0), 0.6826894921370859);
        assert_near(mass(-11.0, -10.0), mass(10.0, 11.0));
        assert!(mass(10.0, 11.0) > 0.0);
    }
}
