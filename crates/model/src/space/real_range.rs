//! Ranges of floats: uniform, log-uniform, normal, log-normal.

use super::decimal::{self, Decimals, MAX_DIGITS};
use super::domain::{RangeError, unit};
use swath_numerics::normal;

/// Default number of significant digits.
pub(super) const DIGITS: i32 = 6;
/// A normal range is cut off this many standard deviations from its mean. The probability beyond is
/// about one in two million.
const DEVIATIONS: f64 = 5.0;

/// Floats between two bounds, rounded to decimals.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct RealRange {
    /// Smallest and largest decimal in the range.
    low: f64,
    high: f64,
    decimals: Decimals,
    log: bool,
    scale: Scale,
}

/// Map from the unit interval to the values, or to their logarithms.
#[derive(Debug, Clone, PartialEq)]
enum Scale {
    /// Uniform: starts at `from` and is `width` wide.
    Uniform { from: f64, width: f64 },
    /// Normal: `from` is the cumulative probability at the lower end, `width` the probability
    /// between the ends.
    Normal {
        mean: f64,
        std: f64,
        from: f64,
        width: f64,
    },
}

impl RealRange {
    /// Makes a uniform range, or a log-uniform one if `log` is set. Without `digits`, enough digits
    /// are kept for at least 1000 values if possible.
    pub(crate) fn uniform(
        min: f64,
        max: f64,
        log: bool,
        digits: Option<i32>,
    ) -> Result<Self, RangeError> {
        let (from, to) = if log {
            (libm::log(min), libm::log(max))
        } else {
            (min, max)
        };
        // 400 places are no restriction: in a log range only the significant digits matter.
        let decimals = Decimals {
            digits: digits.unwrap_or_else(|| enough_digits(min, max)),
            places: if log { 400 } else { finest(min, max) },
        };
        Self::new(
            (min, max),
            decimals,
            log,
            Scale::Uniform {
                from,
                width: to - from,
            },
        )
    }

    /// Makes a range with a normal distribution of mean and standard deviation, truncated at the
    /// bounds. If `log` is set, the logarithms have this distribution.
    pub(crate) fn normal(
        (mean, std): (f64, f64),
        (min, max): (Option<f64>, Option<f64>),
        log: bool,
        digits: Option<i32>,
    ) -> Result<Self, RangeError> {
        let [z_of_min, z_of_max] = [min, max].map(|bound| {
            let position = bound.map(|bound| if log { libm::log(bound) } else { bound });
            position.map(|position| (position - mean) / std)
        });
        let low = z_of_min.unwrap_or(-DEVIATIONS).max(-DEVIATIONS);
        let high = z_of_max.unwrap_or(DEVIATIONS).min(DEVIATIONS);
        if low > high {
            return Err(RangeError::CutAway);
        }
        let [cut_low, cut_high] = [low, high].map(|z| {
            let position = mean + z * std;
            if log { libm::exp(position) } else { position }
        });
        // A bound within the cut-off is used exactly; otherwise the range ends at the cut-off.
        let ends = (
            min.filter(|_| low > -DEVIATIONS).unwrap_or(cut_low),
            max.filter(|_| high < DEVIATIONS).unwrap_or(cut_high),
        );
        if ![ends.0, ends.1]
            .iter()
            .all(|end| end.abs() < 1e300 && (!log || *end > 1e-300))
        {
            return Err(RangeError::TooLarge);
        }
        // Five deviations from the mean, one step of the unit interval is up to 3e-10 deviations.
        // Finer decimals would not survive the round trip through it.
        let spread = decimal::exponent(std) + 1;
        let decimals = Decimals {
            digits: if log {
                digits.unwrap_or(DIGITS).min(9 - spread.max(0)).max(1)
            } else {
                digits.unwrap_or(DIGITS)
            },
            places: if log {
                400
            } else {
                finest(ends.0, ends.1).min(9 - spread)
            },
        };
        let from = normal::cdf(low);
        Self::new(
            ends,
            decimals,
            log,
            Scale::Normal {
                mean,
                std,
                from,
                width: normal::cdf(high) - from,
            },
        )
    }

    fn new(
        (min, max): (f64, f64),
        decimals: Decimals,
        log: bool,
        scale: Scale,
    ) -> Result<Self, RangeError> {
        // The ends move inward to the nearest decimals, so that rounding stays within the range.
        let (low, high) = (decimals.above(min), decimals.below(max));
        if low > high {
            Err(RangeError::NoDecimal)
        } else {
            Ok(Self {
                low,
                high,
                decimals,
                log,
                scale,
            })
        }
    }

    pub(crate) fn low(&self) -> f64 {
        self.low
    }

    pub(crate) fn high(&self) -> f64 {
        self.high
    }

    pub(crate) fn is_log(&self) -> bool {
        self.log
    }

    pub(crate) fn digits(&self) -> i32 {
        self.decimals.digits
    }

    pub(crate) fn decode(&self, coordinate: f64) -> f64 {
        let position = match &self.scale {
            Scale::Uniform { from, width } => from + coordinate * width,
            Scale::Normal {
                mean,
                std,
                from,
                width,
            } => mean + std * normal::quantile(from + coordinate * width),
        };
        let value = if self.log {
            libm::exp(position)
        } else {
            position
        };
        self.decimals
            .nearest(value.clamp(self.low, self.high))
            .clamp(self.low, self.high)
    }

    pub(crate) fn encode(&self, value: f64) -> f64 {
        let value = value.clamp(self.low, self.high);
        let position = if self.log { libm::log(value) } else { value };
        let coordinate = match &self.scale {
            Scale::Uniform { from, width } => (position - from) / width,
            Scale::Normal {
                mean,
                std,
                from,
                width,
            } => (normal::cdf((position - mean) / std) - from) / width,
        };
        unit(coordinate)
    }

    pub(crate) fn contains(&self, value: f64) -> bool {
        value >= self.low && value <= self.high && self.is_kept(value)
    }

    /// Returns whether `value` is within the bounds, regardless of its digits.
    pub(crate) fn spans(&self, value: f64) -> bool {
        value >= self.low && value <= self.high
    }

    /// Returns whether rounding to the kept digits leaves `value` unchanged.
    pub(crate) fn is_kept(&self, value: f64) -> bool {
        self.decimals.nearest(value) == value
    }

    /// Rounds a value to the kept digits.
    pub(crate) fn kept(&self, value: f64) -> f64 {
        self.decimals.nearest(value)
    }
}

/// Returns the default number of significant digits: six, or more if six would distinguish fewer
/// than a thousand values.
fn enough_digits(min: f64, max: f64) -> i32 {
    let size = decimal::exponent(min.abs().max(max.abs()));
    (DIGITS..MAX_DIGITS)
        .find(|digits| {
            let spacing = libm::exp10(f64::from(size - digits + 1));
            min == max || (max - min) / spacing >= 1000.0
        })
        .unwrap_or(MAX_DIGITS)
}

/// Returns the number of decimal places that survive the round trip through the unit cube.
fn finest(min: f64, max: f64) -> i32 {
    13 - decimal::exponent(min.abs().max(max.abs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_logarithm_is_uniform_and_six_digits_are_kept() {
        let range = RealRange::uniform(1e-5, 1e-1, true, None).unwrap();
        assert_eq!(
            [0.0, 0.25, 0.5, 0.6].map(|u| range.decode(u)),
            [1e-5, 1e-4, 1e-3, 2.51189e-3]
        );
        assert_eq!(range.encode(1e-3), 0.5);
    }

    #[test]
    fn a_narrow_range_keeps_as_many_digits_as_it_needs() {
        let range = RealRange::uniform(1.0, 1.000_01, false, None).unwrap();
        assert_eq!(range.digits(), 9);
        assert_eq!(range.decode(0.5), 1.000_005);
    }

    #[test]
    fn bounds_without_a_decimal_between_them_are_an_error() {
        assert_eq!(
            RealRange::uniform(0.123, 0.127, false, Some(2)),
            Err(RangeError::NoDecimal)
        );
        assert_eq!(
            RealRange::uniform(0.121, 0.134, false, Some(2))
                .unwrap()
                .decode(0.99),
            0.13
        );
    }

    #[test]
    fn a_normal_range_has_its_quantiles_and_is_cut_at_its_bounds() {
        let range = RealRange::normal((10.0, 2.0), (None, None), false, None).unwrap();
        assert_eq!(
            [0.5, 0.841_344_75, 0.158_655_25].map(|u| range.decode(u)),
            [10.0, 12.0, 8.0]
        );
        let cut = RealRange::normal((0.0, 1.0), (Some(0.0), None), false, None).unwrap();
        assert_eq!(
            (cut.decode(0.0), cut.decode(0.5)),
            (0.0, 0.674_489),
            "the half-normal's median, cut at 5 deviations"
        );
        assert_eq!(
            RealRange::normal((0.0, 1.0), (Some(9.0), None), false, None),
            Err(RangeError::CutAway)
        );
    }

    #[test]
    fn a_log_normal_range_has_the_exponential_of_its_mean_as_median() {
        let range = RealRange::normal((2.0, 1.0), (None, None), true, None).unwrap();
        assert_eq!(
            [0.5, 0.841_344_75].map(|u| range.decode(u)),
            [7.389_06, 20.0855]
        );
    }
}
