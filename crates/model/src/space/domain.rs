//! Domain of one parameter, and the map between the unit interval and its values.

use super::choice::Cases;
use super::decimal::{Decimals, MAX_DIGITS};
use super::int_range::IntRange;
use super::log_grid::LogGrid;
use super::lookup::HashIndex;
use super::real_range::RealRange;
use super::{AxisKind, Value};
use crate::source::diagnostic;

/// Values of one parameter.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Domain {
    Int(IntRange),
    /// Floats on a regular grid: `count` values from `min`, `step` apart.
    Steps {
        min: f64,
        step: f64,
        count: u64,
        /// The grid in log space if the range is log-uniform.
        log: Option<LogGrid>,
    },
    Real(RealRange),
    Choice {
        values: Vec<Value>,
        cases: Cases,
        ordered: bool,
        index: HashIndex,
    },
}

/// Properties of a range apart from its bounds.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Shape {
    /// Whether the values are integers.
    pub(crate) integer: bool,
    pub(crate) log: bool,
    pub(crate) step: Option<f64>,
    pub(crate) digits: Option<i32>,
    /// Mean and standard deviation if the range has a normal distribution.
    pub(crate) normal: Option<(f64, f64)>,
}

/// Reason reason bounds and a shape do not define a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RangeError {
    #[error("the range is empty")]
    Empty,
    #[error("a logarithmic range must be above zero")]
    NotPositive,
    #[error("the step is larger than the range")]
    StepTooLarge,
    #[error("the range has too many values")]
    TooMany,
    #[error("the bounds are too large")]
    TooLarge,
    #[error("no number with so few digits lies in the range")]
    NoDecimal,
    #[error("the bounds leave nothing of the normal distribution")]
    CutAway,
}

/// Reason reason a value is not in the domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mismatch {
    /// Violated condition: `not between 1 and 4`.
    pub(crate) reason: String,
    pub(crate) hint: Option<String>,
}

/// Largest absolute bound of integers (2^53), up to which they are exact as floats.
const LARGEST_INTEGER: f64 = 9_007_199_254_740_992.0;
/// Maximum number of integers in a range (2^50) that survive the round trip through the unit cube.
const MAX_INTEGERS: f64 = 1_125_899_906_842_624.0;
/// Largest bound of a logarithmic range of integers (2^40), for the same reason.
const LARGEST_LOG_INTEGER: f64 = 1_099_511_627_776.0;
const LARGEST_REAL: f64 = 1e300;
/// Rounding of values on a grid of steps: to the significant digits that survive the round trip.
const STEP: Decimals = Decimals {
    digits: MAX_DIGITS,
    places: 400,
};

/// Clamps a coordinate to [0, 1). NaN becomes 0.5.
pub(crate) fn unit(coordinate: f64) -> f64 {
    if coordinate.is_nan() {
        0.5
    } else {
        coordinate.clamp(0.0, 1.0 - f64::EPSILON / 2.0)
    }
}

impl Domain {
    /// Makes a range between finite bounds. Only a normal range can lack a bound.
    pub(crate) fn range(
        min: Option<f64>,
        max: Option<f64>,
        shape: &Shape,
    ) -> Result<Self, RangeError> {
        if let (Some(min), Some(max)) = (min, max)
            && min > max
        {
            return Err(RangeError::Empty);
        }
        if [min, max]
            .into_iter()
            .flatten()
            .any(|bound| bound.abs() > LARGEST_REAL)
        {
            return Err(RangeError::TooLarge);
        }
        if shape.log && [min, max].into_iter().flatten().any(|bound| bound <= 0.0) {
            return Err(RangeError::NotPositive);
        }
        if let Some(normal) = shape.normal {
            return RealRange::normal(normal, (min, max), shape.log, shape.digits).map(Self::Real);
        }
        let (Some(min), Some(max)) = (min, max) else {
            return Err(RangeError::Empty);
        };
        if shape.integer {
            return int_range(min.ceil(), max.floor(), shape);
        }
        if shape.log && min < 1.0 / LARGEST_REAL {
            return Err(RangeError::TooLarge);
        }
        match shape.step {
            None => RealRange::uniform(min, max, shape.log, shape.digits).map(Self::Real),
            Some(step) if step > max - min => Err(RangeError::StepTooLarge),
            Some(step) => {
                // The margin keeps `max` on the grid despite rounding errors in the division.
                let count = ((max - min) / step + 1e-9).floor() + 1.0;
                let resolution = step / min.abs().max(max.abs());
                // A step too small relative to the bounds would vanish in rounding.
                if count > 1e9 || resolution < 1e-11 {
                    return Err(RangeError::TooMany);
                }
                let count = count as u64;
                let log = shape
                    .log
                    .then(|| LogGrid::new(min, step, count, (min, max)));
                Ok(Self::Steps {
                    min,
                    step,
                    count,
                    log,
                })
            }
        }
    }

    /// Makes a choice among values with the probabilities of `cases`.
    pub(crate) fn choice(values: Vec<Value>, cases: Cases, ordered: bool) -> Self {
        let index = HashIndex::of_values(&values);
        Self::Choice {
            values,
            cases,
            ordered,
            index,
        }
    }

    /// Returns the type of the axis that a sampler sees.
    pub(crate) fn kind(&self) -> AxisKind {
        match self {
            Self::Int(range) => AxisKind::Ordered(range.count()),
            Self::Steps { count, .. } => AxisKind::Ordered(*count),
            Self::Real(_) => AxisKind::Real,
            Self::Choice {
                values,
                ordered: true,
                ..
            } => AxisKind::Ordered(values.len() as u64),
            Self::Choice { cases, .. } => AxisKind::Choice(cases.probabilities().to_vec()),
        }
    }

    /// Returns the value at a coordinate, which is clamped to [0, 1).
    pub(crate) fn decode(&self, coordinate: f64) -> Value {
        let coordinate = unit(coordinate);
        match self {
            Self::Int(range) => Value::Int(range.decode(coordinate)),
            Self::Steps { count, log, .. } => {
                let index = match log {
                    None => ((coordinate * *count as f64) as u64).min(count - 1),
                    Some(grid) => grid.index(coordinate),
                };
                self.value_at(index).unwrap_or(Value::Bool(false))
            }
            Self::Real(range) => Value::Float(range.decode(coordinate)),
            Self::Choice { values, cases, .. } => values[cases.decode(coordinate)].clone(),
        }
    }

    /// Returns the centre of the cell of a value; 0.5 for a value of the wrong type or not among
    /// the choices.
    pub(crate) fn encode(&self, value: &Value) -> f64 {
        match (self, value) {
            (Self::Choice { cases, .. }, value) => {
                self.choice_of(value).map_or(0.5, |case| cases.encode(case))
            }
            (Self::Int(range), Value::Int(number)) => range.encode(*number),
            (
                Self::Steps {
                    min,
                    step,
                    count,
                    log,
                },
                value,
            ) => value.as_f64().map_or(0.5, |number| {
                let index = ((number - min) / step)
                    .round()
                    .clamp(0.0, (*count - 1) as f64);
                unit(match log {
                    None => (index + 0.5) / *count as f64,
                    Some(grid) => grid.centre(index as u64),
                })
            }),
            (Self::Real(range), value) => value.as_f64().map_or(0.5, |number| range.encode(number)),
            (Self::Int(_), _) => 0.5,
        }
    }

    /// Returns the value with this index in a finite domain; `None` for a real range or an index
    /// out of range.
    pub(crate) fn value_at(&self, index: u64) -> Option<Value> {
        match self {
            Self::Int(range) => (index < range.count()).then(|| Value::Int(range.value_at(index))),
            Self::Steps {
                min, step, count, ..
            } => (index < *count).then(|| Value::Float(STEP.nearest(min + step * index as f64))),
            Self::Real(_) => None,
            Self::Choice { values, .. } => values.get(usize::try_from(index).ok()?).cloned(),
        }
    }

    /// Returns the number of possible values; `None` for a real range.
    pub(crate) fn count(&self) -> Option<u64> {
        match self {
            Self::Int(range) => Some(range.count()),
            Self::Steps { count, .. } => Some(*count),
            Self::Real(_) => None,
            Self::Choice { values, cases, .. } => Some(
                (0..values.len())
                    .filter(|case| cases.is_possible(*case))
                    .count() as u64,
            ),
        }
    }

    /// Returns whether a value is in the domain, with exactly its type and digits.
    pub(crate) fn contains(&self, value: &Value) -> bool {
        match (self, value) {
            (Self::Int(range), Value::Int(number)) => range.contains(*number),
            (Self::Steps { .. }, Value::Float(_)) => self.decode(self.encode(value)) == *value,
            (Self::Real(range), Value::Float(number)) => range.contains(*number),
            (Self::Choice { cases, .. }, value) => self
                .choice_of(value)
                .is_some_and(|case| cases.is_possible(case)),
            _ => false,
        }
    }

    /// Returns whether a value is in the domain. Floats may have more digits than are kept, because
    /// values recorded by other tools are not rounded.
    pub(crate) fn admits(&self, value: &Value) -> bool {
        match (self, value) {
            (Self::Real(range), Value::Float(number)) => range.spans(*number),
            _ => self.contains(value),
        }
    }

    /// Converts a value recorded by another tool to the type of this domain, if it is the same
    /// number or text. Otherwise returns it unchanged.
    pub(crate) fn typed(&self, value: &Value) -> Value {
        match (self, value) {
            (Self::Real(_), Value::Int(number)) => Value::Float(*number as f64),
            (Self::Int(_), Value::Float(number))
                if number.fract() == 0.0 && number.abs() < 9e15 =>
            {
                Value::Int(*number as i64)
            }
            (Self::Choice { values, .. }, value) => self
                .same_number(value)
                .or_else(|| self.choice_of(value).map(|case| &values[case]))
                .or_else(|| {
                    let text = value.to_string();
                    values.iter().find(|choice| choice.to_string() == text)
                })
                .unwrap_or(value)
                .clone(),
            (Self::Steps { .. }, value) => self.accept(value).unwrap_or_else(|_| value.clone()),
            (_, value) => value.clone(),
        }
    }

    /// Rounds a float in the range to the kept digits. Returns any other value unchanged.
    pub(crate) fn rounded(&self, value: &Value) -> Value {
        match (self, value) {
            (Self::Real(range), Value::Float(number)) if self.admits(value) => {
                Value::Float(range.kept(*number).clamp(range.low(), range.high()))
            }
            _ => value.clone(),
        }
    }

    /// Converts a value as the user may write it (`1` for `1.0`) to a value of the domain. Returns
    /// the reason if it is not in the domain.
    pub(crate) fn accept(&self, value: &Value) -> Result<Value, Mismatch> {
        let value = match (self, value) {
            // A typed value such as 0.3 may differ from the grid point by rounding errors.
            (Self::Steps { .. }, value) => value.as_f64().map_or_else(
                || value.clone(),
                |number| {
                    let grid_point = self.decode(self.encode(&Value::Float(number)));
                    let is_close = grid_point
                        .as_f64()
                        .is_some_and(|point| (point - number).abs() <= 1e-11 * point.abs());
                    if is_close {
                        grid_point
                    } else {
                        Value::Float(number)
                    }
                },
            ),
            (Self::Real(_), Value::Int(number)) => Value::Float(*number as f64),
            (Self::Choice { .. }, value) => self.same_number(value).unwrap_or(value).clone(),
            (_, value) => value.clone(),
        };
        if self.contains(&value) {
            Ok(value)
        } else {
            Err(self.mismatch(&value))
        }
    }

    /// Returns the index of a choice among all; `None` if the value is not one of them.
    fn choice_of(&self, value: &Value) -> Option<usize> {
        match self {
            Self::Choice { values, index, .. } => {
                index.position(values, value, |choice| choice == value)
            }
            _ => None,
        }
    }

    /// Returns the choice that is the same number as a value, perhaps of the other number type.
    fn same_number(&self, value: &Value) -> Option<&Value> {
        match self {
            Self::Choice { values, index, .. } => index
                .position(values, value, |choice| is_same_number(choice, value))
                .map(|position| &values[position]),
            _ => None,
        }
    }

    /// Explains reason a value is not in the domain.
    fn mismatch(&self, value: &Value) -> Mismatch {
        match (self, value) {
            (Self::Choice { values, cases, .. }, value) => {
                if values
                    .iter()
                    .enumerate()
                    .any(|(case, choice)| choice == value && !cases.is_possible(case))
                {
                    return Mismatch::new("has weight 0");
                }
                let shown: Vec<_> = values.iter().take(12).map(ToString::to_string).collect();
                let more = if values.len() > 12 { ", …" } else { "" };
                let near =
                    diagnostic::nearest(&value.to_string(), shown.iter().map(String::as_str));
                let hint = near.map(|near| format!("did you mean `{near}`?"));
                Mismatch {
                    reason: format!("not one of {}{more}", shown.join(", ")),
                    hint,
                }
            }
            (Self::Int(range), Value::Int(number))
                if *number >= range.min() && *number <= range.max() =>
            {
                Mismatch::new(format!(
                    "not a multiple of {} from {}",
                    range.step(),
                    range.min()
                ))
            }
            (Self::Int(range), Value::Int(_)) => {
                Mismatch::new(format!("not between {} and {}", range.min(), range.max()))
            }
            (Self::Int(_), _) => Mismatch::new("not an integer"),
            (
                Self::Steps {
                    min, step, count, ..
                },
                Value::Float(number),
            ) => {
                let max = min + step * (*count - 1) as f64;
                let (min, step) = (Value::Float(*min), Value::Float(*step));
                if *number >= min.as_f64().unwrap_or(0.0) && *number <= max {
                    return Mismatch::new(format!("not a multiple of {step} from {min}"));
                }
                Mismatch::new(format!(
                    "not between {min} and {}",
                    Value::Float(STEP.nearest(max))
                ))
            }
            (Self::Real(range), Value::Float(number))
                if *number >= range.low() && *number <= range.high() =>
            {
                Mismatch {
                    reason: format!("more than the {} digits that are kept", range.digits()),
                    hint: Some(format!(
                        "write {}, or give the parameter `digits`",
                        Value::Float(range.kept(*number))
                    )),
                }
            }
            (Self::Real(range), Value::Float(_)) => Mismatch::new(format!(
                "not between {} and {}",
                Value::Float(range.low()),
                Value::Float(range.high())
            )),
            _ => Mismatch::new("not a number"),
        }
    }
}

impl Mismatch {
    fn new(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            hint: None,
        }
    }
}

/// Returns whether both values are numbers and equal, so that 1 and 1.0 are the same.
pub(super) fn is_same_number(a: &Value, b: &Value) -> bool {
    a.as_f64().is_some_and(|number| Some(number) == b.as_f64())
}

/// Makes a range of integers. The bounds are integers already.
fn int_range(min: f64, max: f64, shape: &Shape) -> Result<Domain, RangeError> {
    let step = shape.step.unwrap_or(1.0);
    if min > max {
        return Err(RangeError::Empty);
    }
    if min.abs() > LARGEST_INTEGER || max.abs() > LARGEST_INTEGER {
        return Err(RangeError::TooLarge);
    }
    if shape.step.is_some() && step > max - min {
        return Err(RangeError::StepTooLarge);
    }
    if (max - min) / step >= MAX_INTEGERS || (shape.log && max > LARGEST_LOG_INTEGER) {
        return Err(RangeError::TooMany);
    }
    Ok(Domain::Int(IntRange::new(
        min as i64,
        max as i64,
        step as i64,
        shape.log,
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn real(min: f64, max: f64, log: bool, digits: Option<i32>) -> Domain {
        Domain::range(
            Some(min),
            Some(max),
            &Shape {
                log,
                digits,
                ..Shape::default()
            },
        )
        .unwrap()
    }

    #[test]
    fn steps_are_exact_decimals_from_min() {
        let shape = Shape {
            step: Some(0.05),
            ..Shape::default()
        };
        let domain = Domain::range(Some(0.1), Some(0.3), &shape).unwrap();
        let values: Vec<_> = (0..domain.count().unwrap())
            .map(|index| domain.value_at(index).unwrap().to_string())
            .collect();
        assert_eq!(values, ["0.1", "0.15", "0.2", "0.25", "0.3"]);
        assert_eq!(domain.kind(), AxisKind::Ordered(5));
        assert_eq!(
            domain.accept(&Value::Float(0.1 + 0.05)),
            Ok(Value::Float(0.15))
        );
        assert_eq!(
            domain.accept(&Value::Float(0.12)).unwrap_err().reason,
            "not a multiple of 0.05 from 0.1"
        );
    }

    #[test]
    fn logarithmic_steps_are_on_the_grid_and_small_ones_come_more_often() {
        let shape = Shape {
            step: Some(0.05),
            log: true,
            ..Shape::default()
        };
        let domain = Domain::range(Some(0.05), Some(0.8), &shape).unwrap();
        assert_eq!(domain.kind(), AxisKind::Ordered(16));
        let drawn =
            [0.0, 0.25, 0.5, 0.75, 1.0].map(|coordinate| domain.decode(coordinate).to_string());
        assert_eq!(drawn, ["0.05", "0.1", "0.2", "0.4", "0.8"]);
        assert_eq!(domain.value_at(2), Some(Value::Float(0.15)));
        assert_eq!(
            domain.accept(&Value::Float(0.12)).unwrap_err().reason,
            "not a multiple of 0.05 from 0.05"
        );
    }

    #[test]
    fn the_error_for_a_value_outside_names_the_range_the_digits_or_the_nearest_choice() {
        let lr = real(1e-5, 0.1, true, None);
        assert_eq!(
            lr.accept(&Value::Int(1)).unwrap_err().reason,
            "not between 1e-5 and 0.1"
        );
        let precise = lr.accept(&Value::Float(0.001_234_567)).unwrap_err();
        assert_eq!(
            precise.hint.as_deref(),
            Some("write 0.00123457, or give the parameter `digits`")
        );
        let values = vec![Value::Text("sgd".into()), Value::Text("adam".into())];
        let choice = Domain::choice(values, Cases::uniform(2), false);
        let mismatch = choice.accept(&Value::Text("adm".into())).unwrap_err();
        assert_eq!(
            (mismatch.reason.as_str(), mismatch.hint.as_deref()),
            ("not one of sgd, adam", Some("did you mean `adam`?"))
        );
    }

    #[test]
    fn bounds_that_make_no_range_are_errors() {
        let plain = Shape::default();
        let log = Shape { log: true, ..plain };
        let step = Shape {
            step: Some(2.0),
            ..plain
        };
        let integer = Shape {
            integer: true,
            ..plain
        };
        for (min, max, shape, expected) in [
            (1.0, 0.0, plain, RangeError::Empty),
            (0.0, 1.0, log, RangeError::NotPositive),
            (0.0, 1.0, step, RangeError::StepTooLarge),
            (0.2, 0.8, integer, RangeError::Empty),
            (0.0, 9e15, integer, RangeError::TooMany),
            (0.0, 1e16, integer, RangeError::TooLarge),
        ] {
            assert_eq!(Domain::range(Some(min), Some(max), &shape), Err(expected));
        }
    }

    fn bounds() -> impl Strategy<Value = f64> {
        prop_oneof![-1e3..1e3f64, -1e9..1e9f64, -1.0..1.0f64, Just(0.0)]
    }

    fn domains() -> impl Strategy<Value = Domain> {
        let uniform = (
            bounds(),
            bounds(),
            any::<bool>(),
            proptest::option::of(1..=12i32),
        )
            .prop_map(|(a, b, log, digits)| {
                let (a, b) = if log {
                    (a.abs() + 1e-7, b.abs() + 1e-7)
                } else {
                    (a, b)
                };
                Domain::range(
                    Some(a.min(b)),
                    Some(a.max(b)),
                    &Shape {
                        log,
                        digits,
                        ..Shape::default()
                    },
                )
            });
        let wide = (-300..300i32, -300..300i32, 1..=12i32).prop_map(|(a, b, digits)| {
            let (low, high) = (10f64.powi(a.min(b)), 10f64.powi(a.max(b)));
            Domain::range(
                Some(low),
                Some(high),
                &Shape {
                    log: true,
                    digits: Some(digits),
                    ..Shape::default()
                },
            )
        });
        let normal = (
            bounds(),
            1e-3..50.0f64,
            any::<bool>(),
            proptest::option::of(1..=12i32),
        )
            .prop_map(|(mean, std, log, digits)| {
                let mean = if log { mean % 20.0 } else { mean };
                Domain::range(
                    None,
                    None,
                    &Shape {
                        log,
                        digits,
                        normal: Some((mean, std)),
                        ..Shape::default()
                    },
                )
            });
        let steps = (bounds(), 1e-3..1e3f64, 1.0..1e4f64, any::<bool>()).prop_map(
            |(min, step, count, log)| {
                let min = if log { min.abs() + 1e-7 } else { min };
                Domain::range(
                    Some(min),
                    Some(min + step * count),
                    &Shape {
                        step: Some(step),
                        log,
                        ..Shape::default()
                    },
                )
            },
        );
        let integers = (
            -1_000_000..1_000_000i64,
            0..1_000_000_000_000i64,
            any::<bool>(),
            proptest::option::of(1..100_000_000i64),
        )
            .prop_map(|(min, width, log, step)| {
                let min = if log { min.abs() + 1 } else { min };
                let step = step.map(|step| step as f64);
                Domain::range(
                    Some(min as f64),
                    Some((min + width) as f64),
                    &Shape {
                        integer: true,
                        log,
                        step,
                        ..Shape::default()
                    },
                )
            });
        let choice =
            proptest::collection::vec(0..1000u32, 1..20).prop_filter_map("all zero", |weights| {
                let values = (0..weights.len())
                    .map(|index| Value::Int(index as i64))
                    .collect();
                let weights: Vec<_> = weights.into_iter().map(f64::from).collect();
                weights
                    .iter()
                    .any(|weight| *weight > 0.0)
                    .then(|| Ok(Domain::choice(values, Cases::weighted(&weights), false)))
            });
        prop_oneof![uniform, wide, normal, steps, integers, choice]
            .prop_filter_map("no range", Result::ok)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn drawn_values_are_in_the_domain_and_survive_the_round_trip(
            domain in domains(), coordinates in proptest::collection::vec(0.0..1.0f64, 8),
        ) {
            let extremes = [0.0, 1.0 - f64::EPSILON / 2.0, f64::NAN, -1.0, 2.0];
            for coordinate in coordinates.into_iter().chain(extremes) {
                let value = domain.decode(coordinate);
                prop_assert!(domain.contains(&value), "{:?} at {}", value, coordinate);
                let centre = domain.encode(&value);
                prop_assert!((0.0..1.0).contains(&centre));
                prop_assert_eq!(domain.decode(centre), value);
            }
        }
    }
}
