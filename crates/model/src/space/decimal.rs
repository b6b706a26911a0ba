//! Floats rounded to short decimals, so that the stored value is exactly the printed one.

/// A set of decimals: bounded number of significant digits and of places after the point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Decimals {
    /// Number of significant digits, 1 to [`MAX_DIGITS`].
    pub(crate) digits: i32,
    /// Number of places after the point; negative for multiples of ten, a hundred and so on.
    pub(crate) places: i32,
}

/// Maximum number of significant digits that survive the round trip through the unit cube.
pub(crate) const MAX_DIGITS: i32 = 12;

/// Powers of ten that a float represents exactly.
const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
];

impl Decimals {
    /// Returns the decimal nearest to a finite number.
    ///
    /// For ordinary magnitudes an exact integer is divided or multiplied by an exact power of ten.
    /// The result is therefore correctly rounded and equal to its shortest decimal form. Other
    /// magnitudes are rounded by formatting and parsing.
    pub(crate) fn nearest(self, number: f64) -> f64 {
        if number == 0.0 {
            return 0.0;
        }
        let scale = self.scale(number);
        let rounded = match scale {
            0..=22 => (number * POWERS[scale as usize]).round() / POWERS[scale as usize],
            -22..0 => (number / POWERS[-scale as usize]).round() * POWERS[-scale as usize],
            // The formatted text of a float always parses.
            23.. => format!("{number:.0$}", scale as usize)
                .parse()
                .unwrap_or(number),
            _ => format!("{number:.0$e}", self.digits as usize - 1)
                .parse()
                .unwrap_or(number),
        };
        rounded + 0.0 // never -0.0
    }

    /// Returns the smallest decimal that is at least `number`.
    pub(crate) fn above(self, number: f64) -> f64 {
        let near = self.nearest(number);
        if near >= number {
            near
        } else {
            self.nearest(near + self.unit(number))
        }
    }

    /// Returns the largest decimal that is at most `number`.
    pub(crate) fn below(self, number: f64) -> f64 {
        -self.above(-number) + 0.0
    }

    fn scale(self, number: f64) -> i32 {
        (self.digits - 1 - exponent(number)).min(self.places)
    }

    fn unit(self, number: f64) -> f64 {
        libm::exp10(f64::from(-self.scale(number)))
    }
}

/// Returns the decimal exponent of a number: 0 for 1 to 9.99, -3 for 0.00123. It is 0 for zero.
pub(crate) fn exponent(number: f64) -> i32 {
    let size = number.abs();
    if (1.0..1e22).contains(&size) {
        return POWERS.partition_point(|power| *power <= size) as i32 - 1;
    }
    if size == 0.0 {
        return 0;
    }
    libm::floor(libm::log10(size)) as i32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SIX: Decimals = Decimals {
        digits: 6,
        places: 400,
    };

    #[test]
    fn six_digits_are_kept_and_print_as_they_are() {
        for (number, printed) in [
            (0.1 + 0.2, "0.3"),
            (1.0 / 3.0, "0.333333"),
            (2e-5 / 3.0, "6.66667e-6"),
            (123_456_789.0, "123457000.0"),
            (-0.000_999_999_9, "-0.001"),
            (1.5e-300, "1.5e-300"),
            (1.234_567_89e200, "1.23457e200"),
            (-0.0, "0.0"),
        ] {
            assert_eq!(format!("{:?}", SIX.nearest(number)), printed);
        }
        assert_eq!(
            Decimals {
                digits: 6,
                places: 2
            }
            .nearest(0.123_456),
            0.12
        );
        assert_eq!(
            Decimals {
                digits: 12,
                places: -2
            }
            .nearest(12_345.0),
            12_300.0
        );
    }

    #[test]
    fn neighbours_lie_on_either_side() {
        let three = Decimals {
            digits: 3,
            places: 400,
        };
        assert_eq!((three.below(0.12345), three.above(0.12345)), (0.123, 0.124));
        assert_eq!(
            (three.below(-0.12345), three.above(-0.12345)),
            (-0.124, -0.123)
        );
        assert_eq!((three.below(0.5), three.above(0.5)), (0.5, 0.5));
    }

    proptest! {
        #[test]
        fn a_decimal_is_its_own_nearest_and_has_no_more_digits(
            mantissa in -10.0..10.0f64, power in -300..300i32, digits in 1..=MAX_DIGITS,
        ) {
            let decimals = Decimals { digits, places: 400 };
            let near = decimals.nearest(mantissa * 10f64.powi(power));
            prop_assert_eq!(decimals.nearest(near), near);
            let printed = format!("{near:e}");
            let mantissa = printed.split('e').next().unwrap_or_default();
            let count = mantissa.chars().filter(char::is_ascii_digit).count();
            prop_assert!(count <= digits as usize, "{} has {} digits", printed, count);
        }
    }
}
