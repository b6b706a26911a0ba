//! The power transformation of Yeo and Johnson (Biometrika 87, 2000), which makes a skewed sample
//! more nearly normal.

/// Returns `y` transformed with the exponent `lambda`. The transformation is increasing in `y`;
/// `lambda` = 1 is the identity.
#[must_use]
pub fn transform(y: f64, lambda: f64) -> f64 {
    if y >= 0.0 {
        power(libm::log1p(y), lambda)
    } else {
        -power(libm::log1p(-y), 2.0 - lambda)
    }
}

/// Returns (e^(λt) − 1) / λ, and t for λ = 0.
fn power(t: f64, lambda: f64) -> f64 {
    if lambda.abs() < 1e-9 {
        t
    } else {
        libm::expm1(lambda * t) / lambda
    }
}

/// Returns the maximum-likelihood exponent in [−3, 3], by golden-section search to 0.01.
#[must_use]
pub fn likeliest(y: &[f64]) -> f64 {
    let signed_logs: f64 = y.iter().map(|y| y.signum() * libm::log1p(y.abs())).sum();
    let golden = 0.618_033_988_749_894_9;
    let (mut low, mut high) = (-3.0, 3.0);
    let (mut a, mut b) = (high - golden * (high - low), low + golden * (high - low));
    let (mut at_a, mut at_b) = (
        ln_likelihood(y, signed_logs, a),
        ln_likelihood(y, signed_logs, b),
    );
    while high - low > 0.01 {
        if at_a >= at_b {
            (high, b, at_b) = (b, a, at_a);
            a = high - golden * (high - low);
            at_a = ln_likelihood(y, signed_logs, a);
        } else {
            (low, a, at_a) = (a, b, at_b);
            b = low + golden * (high - low);
            at_b = ln_likelihood(y, signed_logs, b);
        }
    }
    0.5 * (low + high)
}

/// Returns the log-likelihood of the exponent up to a constant. `signed_logs` is the sum of
/// sign(y) ln(1 + |y|), from which the Jacobian of the transformation follows.
fn ln_likelihood(y: &[f64], signed_logs: f64, lambda: f64) -> f64 {
    let n = y.len() as f64;
    let values: Vec<f64> = y.iter().map(|y| transform(*y, lambda)).collect();
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / n;
    -0.5 * n * libm::log(variance.max(1e-300)) + (lambda - 1.0) * signed_logs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_transformation_and_its_exponent_are_those_of_scipy() {
        // scipy 1.17.1, stats.yeojohnson with and without lmbda.
        for (y, lambda, expected) in [
            (2.0, 0.5, 1.464_101_615_137_754_8),
            (-2.0, 0.5, -2.797_434_948_471_087),
            (3.0, 0.0, 1.386_294_361_119_890_6),
        ] {
            assert!(
                (transform(y, lambda) - expected).abs() < 1e-14,
                "{}",
                transform(y, lambda)
            );
        }
        let skewed = [-0.9, -0.8, -0.75, -0.6, -0.5, -0.2, 0.1, 0.9, 2.0, 4.5];
        assert!(
            (likeliest(&skewed) + 0.337).abs() < 0.02,
            "{}",
            likeliest(&skewed)
        );
    }
}
