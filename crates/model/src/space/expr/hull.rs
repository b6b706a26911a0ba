//! Interval arithmetic: bounds on the result of an expression. Used for the length of lists and the
//! width of ranges.

use super::function::Function;
use super::tree::{Kind, Node, Operator};
use crate::space::Value;

/// Lower and upper bound of a number, both included.
pub(crate) type Hull = (f64, f64);

/// Computes bounds on the result of `node`, given bounds on the names. Returns `None` if no finite
/// bounds can be derived.
pub(super) fn hull(node: &Node, scope: &dyn Fn(&str) -> Option<Hull>) -> Option<Hull> {
    let of = |node: &Node| hull(node, scope);
    let bounds = match &node.kind {
        Kind::Literal(value) => value.as_f64().map(|number| (number, number)),
        Kind::Name(name) => scope(name),
        Kind::Negate(operand) => of(operand).map(|(low, high)| (-high, -low)),
        Kind::Arithmetic(operator, left, right) => arithmetic(*operator, of(left)?, of(right)?),
        Kind::Call(Function::Floor, arguments) => {
            of(&arguments[0]).map(|(low, high)| (low.floor(), high.floor()))
        }
        Kind::Call(Function::Ceil, arguments) => {
            of(&arguments[0]).map(|(low, high)| (low.ceil(), high.ceil()))
        }
        Kind::Call(Function::Round, arguments) if arguments.len() == 1 => {
            of(&arguments[0]).map(|(low, high)| (low.round_ties_even(), high.round_ties_even()))
        }
        Kind::Call(Function::Abs, arguments) => of(&arguments[0]).map(|(low, high)| {
            let least = if low <= 0.0 && high >= 0.0 {
                0.0
            } else {
                low.abs().min(high.abs())
            };
            (least, low.abs().max(high.abs()))
        }),
        Kind::Call(Function::Sqrt, arguments) => {
            of(&arguments[0]).map(|(low, high)| (low.max(0.0).sqrt(), high.sqrt()))
        }
        Kind::Call(Function::Log2, arguments) => {
            of(&arguments[0]).map(|(low, high)| (libm::log2(low), libm::log2(high)))
        }
        Kind::Call(Function::Min, arguments) if arguments.len() > 1 => {
            extreme(arguments, scope, f64::min)
        }
        Kind::Call(Function::Max, arguments) if arguments.len() > 1 => {
            extreme(arguments, scope, f64::max)
        }
        _ => None,
    };
    bounds.filter(|(low, high)| low.is_finite() && high.is_finite())
}

fn extreme(
    arguments: &[Node],
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
    let corners = |f: fn(f64, f64) -> f64| {
        let all = [f(a.0, b.0), f(a.0, b.1), f(a.1, b.0), f(a.1, b.1)];
        (
            all.iter().copied().fold(f64::INFINITY, f64::min),
            all.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        )
    };
    // An interval that contains zero as a divisor leaves the quotient unbounded.
    let divisible = b.0 > 0.0 || b.1 < 0.0;
    match operator {
        Operator::Add => Some((a.0 + b.0, a.1 + b.1)),
        Operator::Subtract => Some((a.0 - b.1, a.1 - b.0)),
        Operator::Multiply => Some(corners(|x, y| x * y)),
        Operator::Divide => divisible.then(|| corners(|x, y| x / y)),
        Operator::FloorDivide => divisible.then(|| corners(|x, y| (x / y).floor())),
        Operator::Modulo => divisible.then(|| (b.0.min(0.0), b.1.max(0.0))),
        Operator::Power => (a.0 > 0.0).then(|| corners(libm::pow)),
    }
}

/// Returns whether `node` is an integer, provided that the names for which `whole` returns true
/// are.
pub(super) fn is_whole(node: &Node, whole: &dyn Fn(&str) -> bool) -> bool {
    let all = |nodes: &[Node]| nodes.iter().all(|node| is_whole(node, whole));
    match &node.kind {
        Kind::Literal(value) => matches!(value, Value::Int(_)),
        Kind::Name(name) => whole(name),
        Kind::Negate(operand) => is_whole(operand, whole),
        Kind::Arithmetic(Operator::Divide, ..) => false,
        Kind::Arithmetic(_, left, right) => is_whole(left, whole) && is_whole(right, whole),
        Kind::Call(Function::Floor | Function::Ceil | Function::Len, _) => true,
        Kind::Call(Function::Round, arguments) => arguments.len() == 1,
        Kind::Call(Function::Min | Function::Max | Function::Abs, arguments) => all(arguments),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use crate::space::expr::Expr;

    #[test]
    fn the_result_lies_between_the_bounds() {
        let scope = |name: &str| (name == "layers").then_some((1.0, 4.0));
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
            assert_eq!(Expr::parse(text).unwrap().hull(&scope), expected, "{text}");
        }
    }

    #[test]
    fn a_division_is_not_whole_but_a_floor_division_is() {
        assert!(!Expr::parse("image / 2").unwrap().is_whole(&|_| true));
        assert!(Expr::parse("image // 2 + 1").unwrap().is_whole(&|_| true));
    }
}
