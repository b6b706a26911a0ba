//! Evaluation of expressions.

use super::Cells;
use super::function::Function;
use super::tree::{Comparison, ExprNode, NodeKind, Operator};
use crate::space::{Name, Value};
use std::cmp::Ordering;

/// Reason why an expression has no value.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum EvalError {
    /// The result is the value of an inactive parameter.
    #[error("`{0}` does not exist here")]
    Absent(Name),
    /// A divisor is zero, or zero is raised to a negative power.
    #[error("division by zero")]
    DivisionByZero,
    /// The result is infinite or not a number, for example because it is too large or the root of a
    /// negative number.
    #[error("`{0}` of these values is not a finite number")]
    NotFinite(&'static str),
    /// The index is out of range of the list or string.
    #[error("there is no element {index} in a list of {len}")]
    OutOfBounds {
        /// Requested index; negative indices count from the end.
        index: i64,
        /// Number of elements.
        len: usize,
    },
    /// A value does not have the type that an operation needs.
    #[error("{0}")]
    WrongType(String),
    /// A concatenated string exceeds 65536 bytes.
    #[error("the text is longer than 65536 bytes")]
    TooLong,
}

/// Result of a comparison with an absent value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Absence {
    /// The comparison is false.
    IsFalse,
    /// The comparison is unknown, and so is everything that depends on it.
    IsUnknown,
}

type Evaluated = Result<Option<Value>, EvalError>;

/// Computes the value of `node`; `None` if it is absent or unknown.
pub(super) fn eval(node: &ExprNode, scope: &dyn Cells, absence: Absence) -> Evaluated {
    match &node.kind {
        NodeKind::Literal(value) => Ok(Some(value.clone())),
        NodeKind::Name(name) => Ok(scope.value(name)),
        NodeKind::Reports(ask, name) => Ok(scope.ask(*ask, name).map(Value::Float)),
        NodeKind::Trials(reducer, column) => Ok(scope.over(*reducer, column).map(Value::Float)),
        NodeKind::List(items) => {
            let items: Result<Option<Vec<_>>, _> = items
                .iter()
                .map(|item| eval(item, scope, absence))
                .collect();
            Ok(items?.map(Value::List))
        }
        NodeKind::Not(operand) => {
            Ok(truth(eval(operand, scope, absence)?, absence)?.map(|flag| Value::Bool(!flag)))
        }
        NodeKind::All(operands) => connect(operands, false, scope, absence),
        NodeKind::Any(operands) => connect(operands, true, scope, absence),
        NodeKind::Negate(operand) => eval(operand, scope, absence)?
            .map(|value| negate(&value))
            .transpose(),
        NodeKind::Arithmetic(operator, left, right) => {
            match (eval(left, scope, absence)?, eval(right, scope, absence)?) {
                (Some(left), Some(right)) => arithmetic(*operator, &left, &right).map(Some),
                _ => Ok(None),
            }
        }
        NodeKind::Compare(first, rest) => {
            let result = comparisons(first, rest, scope, absence)?;
            Ok(match absence {
                Absence::IsFalse => Some(Value::Bool(result.unwrap_or(false))),
                Absence::IsUnknown => result.map(Value::Bool),
            })
        }
        NodeKind::Call(function, arguments) => {
            let arguments: Result<Option<Vec<_>>, _> = arguments
                .iter()
                .map(|argument| eval(argument, scope, absence))
                .collect();
            arguments?
                .map(|arguments| call(*function, &arguments))
                .transpose()
        }
        NodeKind::Index(base, index) => {
            match (eval(base, scope, absence)?, eval(index, scope, absence)?) {
                (Some(base), Some(index)) => element(&base, &index).map(Some),
                _ => Ok(None),
            }
        }
    }
}

/// Evaluates `and` (decided by a false operand) or `or` (decided by a true operand).
fn connect(
    operands: &[ExprNode],
    decisive: bool,
    scope: &dyn Cells,
    absence: Absence,
) -> Evaluated {
    let mut is_known = true;
    for operand in operands {
        match truth(eval(operand, scope, absence)?, absence)? {
            Some(flag) if flag == decisive => return Ok(Some(Value::Bool(decisive))),
            Some(_) => {}
            // A later operand may still decide, so evaluation continues.
            None => is_known = false,
        }
    }
    Ok(is_known.then_some(Value::Bool(!decisive)))
}

/// Converts an operand of `and`, `or` or `not` to a truth value. An absent operand is false or
/// unknown.
fn truth(value: Option<Value>, absence: Absence) -> Result<Option<bool>, EvalError> {
    match value {
        Some(Value::Bool(flag)) => Ok(Some(flag)),
        Some(other) => Err(EvalError::WrongType(format!(
            "`{other}` is neither true nor false"
        ))),
        None => Ok((absence == Absence::IsFalse).then_some(false)),
    }
}

/// Evaluates a chain of comparisons. Returns `None` if the result depends on an absent value.
fn comparisons(
    first: &ExprNode,
    rest: &[(Comparison, ExprNode)],
    scope: &dyn Cells,
    absence: Absence,
) -> Result<Option<bool>, EvalError> {
    let mut is_known = true;
    let mut left = Operand::of(first, scope, absence)?;
    for (comparison, operand) in rest {
        let right = Operand::of(operand, scope, absence)?;
        match left.compare(*comparison, &right)? {
            // A false link decides the whole chain, even after an unknown one.
            Some(false) => return Ok(Some(false)),
            Some(true) => {}
            None => is_known = false,
        }
        left = right;
    }
    Ok(is_known.then_some(true))
}

/// An operand of a comparison.
enum Operand {
    /// A value; `None` if it is absent or unknown.
    Value(Option<Value>),
    /// A set of values, which has no order and may be empty.
    Set(Vec<Value>),
}

impl Operand {
    fn of(node: &ExprNode, scope: &dyn Cells, absence: Absence) -> Result<Self, EvalError> {
        if let NodeKind::Name(name) = &node.kind
            && let Some(elements) = scope.elements(name)
        {
            return Ok(Self::Set(elements));
        }
        eval(node, scope, absence).map(Self::Value)
    }

    /// Returns whether the comparison holds; `None` if it depends on an absent value.
    fn compare(&self, comparison: Comparison, right: &Self) -> Result<Option<bool>, EvalError> {
        match (self, right) {
            (Self::Value(Some(left)), Self::Value(Some(right))) => {
                compare(comparison, left, right).map(Some)
            }
            (Self::Value(None), _) | (_, Self::Value(None)) => Ok(None),
            _ => {
                let (comparison, is_negated) = match comparison {
                    Comparison::Unequal => (Comparison::Equal, true),
                    Comparison::NotIn => (Comparison::In, true),
                    other => (other, false),
                };
                for left in self.elements() {
                    for right in right.elements() {
                        if compare(comparison, left, right)? {
                            return Ok(Some(!is_negated));
                        }
                    }
                }
                Ok(Some(is_negated))
            }
        }
    }

    /// Returns the elements of a set; a value is its only one.
    fn elements(&self) -> &[Value] {
        match self {
            Self::Value(value) => value.as_slice(),
            Self::Set(elements) => elements,
        }
    }
}

fn compare(comparison: Comparison, left: &Value, right: &Value) -> Result<bool, EvalError> {
    Ok(match comparison {
        Comparison::Equal => equal(left, right),
        Comparison::Unequal => !equal(left, right),
        Comparison::Less => order(left, right)? == Some(Ordering::Less),
        Comparison::LessEqual => {
            matches!(order(left, right)?, Some(Ordering::Less | Ordering::Equal))
        }
        Comparison::Greater => order(left, right)? == Some(Ordering::Greater),
        Comparison::GreaterEqual => matches!(
            order(left, right)?,
            Some(Ordering::Greater | Ordering::Equal)
        ),
        Comparison::In => contains(left, right)?,
        Comparison::NotIn => !contains(left, right)?,
    })
}

/// Compares for equality. Numbers are equal by value (`1 == 1.0`); values of other different types
/// are never equal.
fn equal(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Int(left), Value::Int(right)) => left == right,
        (Value::List(left), Value::List(right)) => {
            left.len() == right.len()
                && left
                    .iter()
                    .zip(right)
                    .all(|(left, right)| equal(left, right))
        }
        _ => match (left.as_f64(), right.as_f64()) {
            (Some(left), Some(right)) => left == right,
            _ => left == right,
        },
    }
}

/// Orders two numbers or two strings. Other types have no order and are an error.
fn order(left: &Value, right: &Value) -> Result<Option<Ordering>, EvalError> {
    match (left, right) {
        (Value::Int(left), Value::Int(right)) => Ok(Some(left.cmp(right))),
        (Value::Text(left), Value::Text(right)) => Ok(Some(left.cmp(right))),
        _ => Ok(number(left)?.partial_cmp(&number(right)?)),
    }
}

/// Returns whether a list has an element equal to `item`, or a string contains it.
fn contains(item: &Value, container: &Value) -> Result<bool, EvalError> {
    match (container, item) {
        (Value::List(items), item) => Ok(items.iter().any(|candidate| equal(candidate, item))),
        (Value::Text(text), Value::Text(part)) => Ok(text.contains(&**part)),
        _ => Err(EvalError::WrongType(format!("`{container}` is not a list"))),
    }
}

fn number(value: &Value) -> Result<f64, EvalError> {
    value
        .as_f64()
        .ok_or_else(|| EvalError::WrongType(format!("`{value}` is not a number")))
}

/// Rejects results that are infinite or not a number.
fn finite(result: f64, operation: &'static str) -> Result<Value, EvalError> {
    if result.is_finite() {
        Ok(Value::Float(result))
    } else {
        Err(EvalError::NotFinite(operation))
    }
}

fn negate(value: &Value) -> Result<Value, EvalError> {
    match value {
        // The negation of the smallest integer does not fit and becomes a float.
        Value::Int(number) if *number != i64::MIN => Ok(Value::Int(-number)),
        other => finite(-number(other)?, "-"),
    }
}

fn arithmetic(operator: Operator, left: &Value, right: &Value) -> Result<Value, EvalError> {
    if let (Operator::Add, Value::Text(left), Value::Text(right)) = (operator, left, right) {
        let text = if left.len() + right.len() > 65536 {
            None
        } else {
            Some(format!("{left}{right}"))
        };
        return text
            .map(|text| Value::Text(text.into()))
            .ok_or(EvalError::TooLong);
    }
    // Integer arithmetic is exact as long as the result fits.
    if let (Value::Int(left), Value::Int(right)) = (left, right)
        && let Some(exact) = integer_arithmetic(operator, *left, *right)?
    {
        return Ok(Value::Int(exact));
    }
    let (left, right) = (number(left)?, number(right)?);
    let is_zero = right == 0.0;
    match operator {
        Operator::Add => finite(left + right, "+"),
        Operator::Subtract => finite(left - right, "-"),
        Operator::Multiply => finite(left * right, "*"),
        Operator::Divide | Operator::FloorDivide | Operator::Modulo if is_zero => {
            Err(EvalError::DivisionByZero)
        }
        Operator::Divide => finite(left / right, "/"),
        Operator::FloorDivide => finite((left / right).floor(), "//"),
        Operator::Modulo => finite(left - right * (left / right).floor(), "%"),
        Operator::Power if left == 0.0 && right < 0.0 => Err(EvalError::DivisionByZero),
        Operator::Power => finite(libm::pow(left, right), "**"),
    }
}

/// Computes with integers. Returns `None` if the result is not an integer or does not fit; the
/// caller then computes with floats.
fn integer_arithmetic(operator: Operator, left: i64, right: i64) -> Result<Option<i64>, EvalError> {
    Ok(match operator {
        Operator::Add => left.checked_add(right),
        Operator::Subtract => left.checked_sub(right),
        Operator::Multiply => left.checked_mul(right),
        Operator::Divide => None,
        Operator::FloorDivide | Operator::Modulo if right == 0 => {
            return Err(EvalError::DivisionByZero);
        }
        Operator::FloorDivide => left.checked_div_euclid(right).map(|euclid| {
            // Euclidean division differs from floor division only for a negative divisor and a
            // non-zero remainder.
            if right < 0 && left.rem_euclid(right) != 0 {
                euclid - 1
            } else {
                euclid
            }
        }),
        // The remainder has the sign of the divisor, as in Python.
        Operator::Modulo => left.checked_rem(right).map(|rest| {
            if rest != 0 && (rest < 0) != (right < 0) {
                rest + right
            } else {
                rest
            }
        }),
        Operator::Power => u32::try_from(right)
            .ok()
            .and_then(|exponent| left.checked_pow(exponent)),
    })
}

fn call(function: Function, arguments: &[Value]) -> Result<Value, EvalError> {
    let first = &arguments[0];
    match function {
        Function::Min | Function::Max => {
            let items = if let (Value::List(items), 1) = (first, arguments.len()) {
                items
            } else {
                arguments
            };
            extreme(
                items,
                if function == Function::Min {
                    Ordering::Less
                } else {
                    Ordering::Greater
                },
            )
        }
        Function::Sum => {
            let Value::List(items) = first else {
                return Err(EvalError::WrongType(format!("`{first}` is not a list")));
            };
            items.iter().try_fold(Value::Int(0), |sum, item| {
                arithmetic(Operator::Add, &sum, item)
            })
        }
        Function::Len => match first {
            Value::List(items) => Ok(Value::Int(items.len() as i64)),
            Value::Text(text) => Ok(Value::Int(text.chars().count() as i64)),
            other => Err(EvalError::WrongType(format!("`{other}` has no length"))),
        },
        Function::Abs => match first {
            Value::Int(number) if *number != i64::MIN => Ok(Value::Int(number.abs())),
            other => finite(number(other)?.abs(), "abs"),
        },
        Function::Floor => to_integer(first, f64::floor),
        Function::Ceil => to_integer(first, f64::ceil),
        Function::Round => match arguments.get(1) {
            None => to_integer(first, f64::round_ties_even),
            Some(places) => round_to(number(first)?, number(places)?),
        },
        Function::Log => {
            let log = libm::log(number(first)?);
            match arguments.get(1) {
                None => finite(log, "log"),
                Some(base) => finite(log / libm::log(number(base)?), "log"),
            }
        }
        Function::Log2 => finite(libm::log2(number(first)?), "log2"),
        Function::Sqrt => finite(number(first)?.sqrt(), "sqrt"),
    }
}

/// Returns the smallest or largest number of a list.
fn extreme(items: &[Value], direction: Ordering) -> Result<Value, EvalError> {
    let Some((first, rest)) = items.split_first() else {
        return Err(EvalError::WrongType(
            "an empty list has no smallest or largest element".into(),
        ));
    };
    // Checked separately, since a single item is not compared with anything.
    number(first)?;
    let mut best = first;
    for item in rest {
        number(item)?;
        if order(item, best)? == Some(direction) {
            best = item;
        }
    }
    Ok(best.clone())
}

/// Rounds to an integer. A result beyond the range of integers stays a float.
fn to_integer(value: &Value, round: fn(f64) -> f64) -> Result<Value, EvalError> {
    if let Value::Int(_) = value {
        return Ok(value.clone());
    }
    let result = round(number(value)?);
    if result.abs() < 9e18 {
        Ok(Value::Int(result as i64))
    } else {
        finite(result, "round")
    }
}

/// Rounds to a number of decimal places, from 0 to 300.
fn round_to(number: f64, places: f64) -> Result<Value, EvalError> {
    let places = places.clamp(0.0, 300.0) as usize;
    finite(
        format!("{number:.places$}").parse().unwrap_or(number),
        "round",
    )
}

/// Returns an element of a list or a character of a string. Negative indices count from the end.
fn element(base: &Value, index: &Value) -> Result<Value, EvalError> {
    let Value::Int(index) = *index else {
        return Err(EvalError::WrongType(format!(
            "`{index}` is not a whole number"
        )));
    };
    match base {
        Value::List(items) => Ok(items[offset(index, items.len())?].clone()),
        Value::Text(text) => {
            let letters: Vec<char> = text.chars().collect();
            let letter = letters[offset(index, letters.len())?];
            Ok(Value::Text(letter.to_string().into()))
        }
        other => Err(EvalError::WrongType(format!("`{other}` has no elements"))),
    }
}

/// Converts an index, which may count from the end, to a position in a list of `len` elements.
fn offset(index: i64, len: usize) -> Result<usize, EvalError> {
    let from_start = if index < 0 { index + len as i64 } else { index };
    usize::try_from(from_start)
        .ok()
        .filter(|offset| *offset < len)
        .ok_or(EvalError::OutOfBounds { index, len })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::space::expr::Expr;

    fn scope(name: &str) -> Option<Value> {
        match name {
            "lr" => Some(Value::Float(0.5)),
            "layers" => Some(Value::Int(3)),
            "optimizer" => Some(Value::Text("sgd".into())),
            "units" => Some(Value::List(vec![Value::Int(64), Value::Int(32)])),
            _ => None,
        }
    }

    fn eval(text: &str) -> Result<Value, EvalError> {
        Expr::parse(text).unwrap().eval(&scope)
    }

    #[test]
    fn numbers_behave_as_in_python() {
        for (text, expected) in [
            ("7 // 2", Value::Int(3)),
            ("-7 // 2", Value::Int(-4)),
            ("7 // -2", Value::Int(-4)),
            ("-7 // -2", Value::Int(3)),
            ("-7 % 3", Value::Int(2)),
            ("7 % -3", Value::Int(-2)),
            ("-7.5 % 2", Value::Float(0.5)),
            ("7 / 2", Value::Float(3.5)),
            ("6 / 2", Value::Float(3.0)),
            ("2 ** 10", Value::Int(1024)),
            ("2 ** -1", Value::Float(0.5)),
            ("-2 ** 2", Value::Int(-4)),
            ("2 ** 3 ** 2", Value::Int(512)),
            ("2 + 3 * 4 - 1", Value::Int(13)),
            ("round(2.5)", Value::Int(2)),
            ("round(2.34567, 2)", Value::Float(2.35)),
            ("floor(-0.5)", Value::Int(-1)),
            ("ceil(lr)", Value::Int(1)),
            ("abs(-3)", Value::Int(3)),
            ("log2(8)", Value::Float(3.0)),
            ("log(8, 2)", Value::Float(3.0)),
            ("sqrt(9)", Value::Float(3.0)),
            ("min(3, 1.5, 2)", Value::Float(1.5)),
            ("max(units)", Value::Int(64)),
            ("sum(units)", Value::Int(96)),
            ("len(units) + len('ab')", Value::Int(4)),
            ("units[-1]", Value::Int(32)),
            (
                "9223372036854775807 + 1",
                Value::Float(9_223_372_036_854_775_808.0),
            ),
        ] {
            assert_eq!(eval(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn comparisons_chain_and_words_connect_them() {
        for text in [
            "1 < layers <= 3 != 4",
            "optimizer == 'sgd' and not lr > 1",
            "optimizer in ['sgd', \"adam\"]",
            "lr not in [1, 2] or false",
            "1 == 1.0",
            "'g' in optimizer",
            "'a' < 'b'",
            "64 in units",
        ] {
            assert_eq!(eval(text), Ok(Value::Bool(true)), "{text}");
        }
    }

    #[test]
    fn an_expression_without_a_finite_value_is_an_error() {
        assert_eq!(eval("1 / 0"), Err(EvalError::DivisionByZero));
        assert_eq!(eval("1 % 0.0"), Err(EvalError::DivisionByZero));
        assert_eq!(eval("0 ** -1"), Err(EvalError::DivisionByZero));
        assert_eq!(eval("10 ** 400"), Err(EvalError::NotFinite("**")));
        assert_eq!(eval("sqrt(-1)"), Err(EvalError::NotFinite("sqrt")));
        assert_eq!(eval("log(0)"), Err(EvalError::NotFinite("log")));
        assert_eq!(
            eval("units[2]"),
            Err(EvalError::OutOfBounds { index: 2, len: 2 })
        );
        assert_eq!(
            eval("-9223372036854775807 - 1 == (-9223372036854775807 - 1) // -1"),
            Ok(Value::Bool(false))
        );
    }

    #[test]
    fn a_comparison_with_an_absent_name_is_false() {
        assert_eq!(eval("momentum > 0.5"), Ok(Value::Bool(false)));
        assert_eq!(eval("momentum <= 0.5 or lr == 0.5"), Ok(Value::Bool(true)));
        assert_eq!(eval("not momentum * 2 > 0.5"), Ok(Value::Bool(true)));
        assert_eq!(
            eval("momentum + 1"),
            Err(EvalError::Absent("momentum".into()))
        );
    }

    #[test]
    fn a_constraint_on_an_absent_name_neither_holds_nor_fails() {
        for (text, expected) in [
            ("momentum > 0.5", None),
            ("momentum > 0.5 or lr < 1", Some(true)),
            ("momentum > 0.5 and lr > 1", Some(false)),
            ("not momentum > 0.5", None),
        ] {
            assert_eq!(
                Expr::parse(text).unwrap().holds(&scope),
                Ok(expected),
                "{text}"
            );
        }
    }
}
