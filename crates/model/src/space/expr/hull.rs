//! Interval arithmetic: bounds on the result of an expression. Used for the length of lists and the
//! width of ranges.

use super::function::Function;
use super::tree::{ExprNode, NodeKind, Operator};
use crate::space::Value;

/// Lower and upper bound of a number, both included.
pub(crate) type Hull = (f64, f64);

/// Computes bounds on the result of `node`, given bounds on the names. Returns `None` if no finite
/// bounds can be derived.
pub(super) fn hull(node: &ExprNode, scope: &dyn Fn(&str) -> Option<Hull>) -> Option<Hull> {
    let bounds = match &node.kind {
        NodeKind::Literal(value) => value.as_f64().map(|number| (number, number)),
        NodeKind::Name(name) => scope(name),
        NodeKind::Negate(operand) => hull(operand, scope).map(|(low, high)| (-high, -low)),
        NodeKind::Arithmetic(operator, left, right) => {
            arithmetic(*operator, hull(left, scope)?, hull(right, scope)?)
        }
        NodeKind::Call(Function::Floor, arguments) => {
            hull(&arguments[0], scope).map(|(low, high)| (low.floor(), high.floor()))
        }
        NodeKind::Call(Function::Ceil, arguments) => {
            hull(&arguments[0], scope).map(|(low, high)| (low.ceil(), high.ceil()))
        }
        NodeKind::Call(Function::Round, arguments) if arguments.len() == 1 => {
            hull(&arguments[0], scope)
                .map(|(low, high)| (low.round_ties_even(), high.round_ties_even()))
        }
        NodeKind::Call(Function::Abs, arguments) => {
            hull(&arguments[0], scope).map(|(low, high)| {
                let least = if low <= 0.0 && high >= 0.0 {
                    0.0
                } else {
                    low.abs().min(high.abs())
                };
                (least, low.abs().max(high.abs()))
            })
        }
        NodeKind::Call(Function::Sqrt, arguments) => {
            hull(&arguments[0], scope).map(|(low, high)| (low.max(0.0).sqrt(), high.sqrt()))
        }
        NodeKind::Call(Function::Log2, arguments) => {
            hull(&arguments[0], scope).map(|(low, high)| (libm::log2(low), libm::log2(high)))
        }
        NodeKind::Call(Function::Min, arguments) if arguments.len() > 1 => {
            extreme(arguments, scope, f64::min)
        }
        NodeKind::Call(Function::Max, arguments) if arguments.len() > 1 => {
            extreme(arguments, scope, f64::max)
        }
        _ => None,
    };
    bounds.filter(|(low, high)| low.is_finite() && high.is_finite())
}

fn extreme(
    arguments: &[ExprNode],
    scope: &dyn Fn(&str) -> Option<Hull>,
    pick: fn(f64, f64) -> f64,
) -> Option<Hull> {
    let bounds: Option<Vec<_>> = arguments
        .iter()
        .map(|argument| hull(argument, scope))
        .collect();
    bounds?
        .into_iter()
        .reduce(|a, b| (pick(a.0, b.0), pick(a.1, b.1)))
}

fn arithmetic(operator: Operator, a: Hull, b: Hull) -> Option<Hull> {
    // An interval that contains zero as a divisor leaves the quotient unbounded.
    let is_divisor = b.0 > 0.0 || b.1 < 0.0;
    match operator {
        Operator::Add => Some((a.0 + b.0, a.1 + b.1)),
        Operator::Subtract => Some((a.0 - b.1, a.1 - b.0)),
        Operator::Multiply => Some(hull_of_corners(a, b, |x, y| x * y)),
        Operator::Divide => is_divisor.then(|| hull_of_corners(a, b, |x, y| x / y)),
        Operator::FloorDivide => is_divisor.then(|| hull_of_corners(a, b, |x, y| (x / y).floor())),
        Operator::Modulo => is_divisor.then(|| (b.0.min(0.0), b.1.max(0.0))),
        Operator::Power => (a.0 > 0.0).then(|| hull_of_corners(a, b, libm::pow)),
    }
}

/// Returns the bounds of a function that is monotonic in each argument, from its values at the four
/// corners.
fn hull_of_corners(a: Hull, b: Hull, f: fn(f64, f64) -> f64) -> Hull {
    let corners = [f(a.0, b.0), f(a.0, b.1), f(a.1, b.0), f(a.1, b.1)];
    (
        corners.iter().copied().fold(f64::INFINITY, f64::min),
        corners.iter().copied().fold(f64::NEG_INFINITY, f64::max),
    )
}

/// Returns whether `node` is an integer, provided that the names for which `is_integer_name`
/// returns true are.
pub(super) fn is_integer(node: &ExprNode, is_integer_name: &dyn Fn(&str) -> bool) -> bool {
    match &node.kind {
        NodeKind::Literal(value) => matches!(value, Value::Int(_)),
        NodeKind::Name(name) => is_integer_name(name),
        NodeKind::Negate(operand) => is_integer(operand, is_integer_name),
        NodeKind::Arithmetic(Operator::Divide, ..) => false,
        NodeKind::Arithmetic(_, left, right) => {
            is_integer(left, is_integer_name) && is_integer(right, is_integer_name)
        }
        NodeKind::Call(Function::Floor | Function::Ceil | Function::Len, _) => true,
        NodeKind::Call(Function::Round, arguments) => arguments.len() == 1,
        NodeKind::Call(Function::Min | Function::Max | Function::Abs, arguments) => arguments
            .iter()
            .all(|argument| is_integer(argument, is_integer_name)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use crate::space::expr::{Expr, Hull};

    fn layers(name: &str) -> Option<Hull> {
        (name == "layers").then_some((1.0, 4.0))
    }

    #[test]
    fn the_result_lies_between_the_bounds() {
        for (text, expected) in [
            ("layers", Some((1.0, 4.0))),
            ("layers * 2 - 1", Some((1.0, 7.0))),
            ("min(layers, 2)", Some((1.0, 2.0))),
            ("-layers", Some((-4.0, -1.0))),
            ("7 // layers", Some((1.0, 7.0))),
            ("2 ** layers", Some((2.0, 16.0))),
            ("1 / (layers - 2)", None),
            ("depth + 1", None),
        ] {
            assert_eq!(Expr::parse(text).unwrap().hull(&layers), expected, "{text}");
        }
    }

    #[test]
    fn a_division_is_no_integer_but_a_floor_division_is() {
        assert!(!Expr::parse("image / 2").unwrap().is_integer(&|_| true));
        assert!(Expr::parse("image // 2 + 1").unwrap().is_integer(&|_| true));
    }
}
