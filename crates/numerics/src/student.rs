//! Student's t distribution and the F distribution, by means of the regularised incomplete beta
//! function.

use libm::lgamma;

/// Returns the probability that |T| is at least |t| with `df` degrees of freedom: the p-value of a
/// two-sided test. NaN if `t` is NaN or `df` is not positive.
#[must_use]
pub fn two_sided(t: f64, df: f64) -> f64 {
    if t.is_nan() || df.is_nan() || df <= 0.0 {
        return f64::NAN;
    }
    if t.is_infinite() {
        return 0.0;
    }
    // In x = df / (df + t²) a small t would be lost to rounding, so the complement is used for it.
    let square = t * t;
    if square < df {
        1.0 - beta(0.5, df / 2.0, square / (df + square))
    } else {
        beta(df / 2.0, 0.5, df / (df + square))
    }
}

/// Returns the critical value: the t that |T| stays below with probability `confidence`, at least 0
/// and below 1. 2.776 for 0.95 and 4 degrees of freedom. NaN for invalid arguments.
#[must_use]
pub fn critical(confidence: f64, df: f64) -> f64 {
    let alpha = 1.0 - confidence;
    if !(0.0..1.0).contains(&confidence) || df.is_nan() || df <= 0.0 {
        return f64::NAN;
    }
    let (mut low, mut high) = (0.0, 1.0);
    while two_sided(high, df) > alpha && high < 1e300 {
        (low, high) = (high, high * 2.0);
    }
    let mut t = 0.5 * (low + high);
    for _ in 0..200 {
        let excess = two_sided(t, df) - alpha;
        if excess > 0.0 {
            low = t;
        } else {
            high = t;
        }
        // Newton's method, with bisection whenever it leaves the bracket.
        let newton = t + excess / (2.0 * pdf(t, df));
        let next = if newton > low && newton < high {
            newton
        } else {
            0.5 * (low + high)
        };
        if (next - t).abs() <= 1e-15 * t.abs() {
            return next;
        }
        t = next;
    }
    t
}

/// Returns the probability that a number of the F distribution is at least `f`: the p-value of an
/// analysis of variance with these degrees of freedom between and within groups. NaN for invalid
/// arguments.
#[must_use]
pub fn f_tail(f: f64, between: f64, within: f64) -> f64 {
    if f.is_nan() || between.is_nan() || within.is_nan() || between <= 0.0 || within <= 0.0 {
        return f64::NAN;
    }
    if f.is_infinite() {
        return 0.0;
    }
    beta(
        within / 2.0,
        between / 2.0,
        within / (within + between * f.max(0.0)),
    )
}

/// Returns the density at `t`.
fn pdf(t: f64, df: f64) -> f64 {
    let scale =
        lgamma(0.5 * (df + 1.0)) - lgamma(0.5 * df) - 0.5 * (df * std::f64::consts::PI).ln();
    (scale - 0.5 * (df + 1.0) * (t * t / df).ln_1p()).exp()
}

/// Returns the regularised incomplete beta function I_x(a, b).
///
/// By a continued fraction with Lentz's method: Abramowitz & Stegun, *Handbook of Mathematical
/// Functions*, 26.5.8.
fn beta(a: f64, b: f64, x: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return x.clamp(0.0, 1.0);
    }
    // The fraction converges quickly only for small x; mirror larger ones.
    if x > (a + 1.0) / (a + b + 2.0) {
        return 1.0 - beta_fraction(b, a, 1.0 - x);
    }
    beta_fraction(a, b, x)
}

/// Returns I_x(a, b) by the continued fraction, without the mirroring.
fn beta_fraction(a: f64, b: f64, x: f64) -> f64 {
    let front = lgamma(a + b) - lgamma(a) - lgamma(b) + a * x.ln() + b * (-x).ln_1p();
    let mut c = 1.0;
    let mut d = 1.0 / nonzero(1.0 - (a + b) * x / (a + 1.0));
    let mut fraction = d;
    for m in 1..10_000 {
        let m = f64::from(m);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        d = 1.0 / nonzero(1.0 + even * d);
        c = nonzero(1.0 + even / c);
        fraction *= c * d;
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        d = 1.0 / nonzero(1.0 + odd * d);
        c = nonzero(1.0 + odd / c);
        fraction *= c * d;
        if (c * d - 1.0).abs() < 1e-16 {
            break;
        }
    }
    (front.exp() * fraction / a).clamp(0.0, 1.0)
}

/// Replaces values near 0 by a tiny number, because Lentz's method divides by them.
fn nonzero(value: f64) -> f64 {
    const TINY: f64 = 1e-300;
    if value.abs() < TINY { TINY } else { value }
}

#[cfg(test)]
mod tests {
    use super::{critical, f_tail, two_sided};

    /// `2 * scipy.stats.t.sf(abs(t), df)` of SciPy 1.17.1.
    #[test]
    fn p_values_are_those_of_scipy() {
        for (t, df, expected) in [
            (0.1, 1.0, 0.936_548_965_138_893),
            (2.0, 4.0, 0.116_116_523_516_815_56),
            (2.0, 4.7, 0.105_572_182_203_439_64),
            (-3.3, 9.0, 0.009_229_908_318_547_019),
            (12.0, 3.0, 0.001_245_015_800_789_336_2),
            (1e-8, 5.0, 0.999_999_992_407_866_2),
            (40.0, 200.0, 2.248_739_653_520_219_7e-97),
            (1.96, 1e6, 0.049_996_067_585_269_85),
            (300.0, 2.0, 1.111_092_592_935_521_6e-5),
        ] {
            let actual = two_sided(t, df);
            assert!(
                (actual / expected - 1.0).abs() < 1e-9,
                "{t} {df}: {actual} is not {expected}"
            );
        }
    }

    /// `scipy.stats.t.ppf(0.5 + confidence / 2, df)` of SciPy 1.17.1.
    #[test]
    fn critical_values_are_those_of_scipy() {
        for (confidence, df, expected) in [
            (0.95, 1.0, 12.706_204_736_174_694),
            (0.95, 2.0, 4.302_652_729_749_462),
            (0.95, 4.0, 2.776_445_105_197_793_4),
            (0.95, 7.3, 2.345_066_736_547_703),
            (0.95, 29.0, 2.045_229_642_132_703),
            (0.95, 1e6, 1.959_966_356_814_107),
            (0.99, 4.0, 4.604_094_871_349_992),
            (0.5, 3.0, 0.764_892_328_404_344_3),
        ] {
            let actual = critical(confidence, df);
            assert!(
                (actual / expected - 1.0).abs() < 1e-9,
                "{confidence} {df}: {actual} is not {expected}"
            );
        }
    }

    /// `scipy.stats.f.sf(f, between, within)` of SciPy 1.17.1.
    #[test]
    fn tails_of_f_are_those_of_scipy() {
        for (f, between, within, expected) in FISHER {
            let actual = f_tail(f, between, within);
            assert!(
                (actual / expected - 1.0).abs() < 1e-9,
                "{f} {between} {within}: {actual} is not {expected}"
            );
        }
        assert!(f_tail(1.0, 0.0, 3.0).is_nan());
    }

    const FISHER: [(f64, f64, f64, f64); 3] = [
        (1.5, 2.0, 9.0, 0.2740158504161701),
        (4.2, 3.0, 30.0, 0.013541284163521477),
        (40.0, 1.0, 200.0, 1.6280709103739488e-09),
    ];

    #[test]
    fn invalid_arguments_give_nan() {
        assert!(two_sided(f64::NAN, 3.0).is_nan() && two_sided(1.0, 0.0).is_nan());
        assert!(critical(0.95, 0.0).is_nan() && critical(1.5, 3.0).is_nan());
        assert!(two_sided(f64::INFINITY, 3.0).abs() < f64::MIN_POSITIVE);
    }
}
