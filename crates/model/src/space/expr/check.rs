//! Type checker: finds mistakes in expressions before anything runs.

use super::ExprError;
use super::function::Function;
use super::tree::{Comparison, ExprNode, NodeKind, Operator};
use crate::space::Value;
use std::fmt;

/// Type of an expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// An integer or a float.
    Number,
    /// A string.
    Text,
    /// `true` or `false`.
    Bool,
    /// A list of values.
    List,
    /// The type is known only after evaluation: an element of a list, or a choice of mixed values.
    Any,
}

impl Type {
    /// Returns the type of a value. Integers and floats are both numbers.
    #[must_use]
    pub fn of(value: &Value) -> Self {
        match value {
            Value::Bool(_) => Self::Bool,
            Value::Int(_) | Value::Float(_) => Self::Number,
            Value::Text(_) => Self::Text,
            Value::List(_) => Self::List,
        }
    }

    /// Returns the type that covers both types: the same type, or [`Type::Any`] if they differ.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        if self == other { self } else { Self::Any }
    }

    /// Returns whether a value of this type may have the type `expected`.
    fn fits(self, expected: Self) -> bool {
        self == expected || self == Self::Any || expected == Self::Any
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Number => "a number",
            Self::Text => "a string",
            Self::Bool => "true or false",
            Self::List => "a list",
            Self::Any => "any value",
        })
    }
}

type TypeLookup<'a> = &'a dyn Fn(&str) -> Option<Type>;

/// Returns the type of `node`, or its first mistake.
pub(super) fn check(node: &ExprNode, scope: TypeLookup<'_>) -> Result<Type, ExprError> {
    match &node.kind {
        NodeKind::Literal(value) => Ok(Type::of(value)),
        NodeKind::Name(name) => {
            scope(name).ok_or_else(|| ExprError::new(&node.span, format!("there is no `{name}`")))
        }
        NodeKind::Reports(..) | NodeKind::Trials(..) => Ok(Type::Number),
        NodeKind::List(items) => {
            for item in items {
                check(item, scope)?;
            }
            Ok(Type::List)
        }
        NodeKind::Not(operand) => {
            require(operand, Type::Bool, scope, "`not` needs true or false")?;
            Ok(Type::Bool)
        }
        NodeKind::All(operands) => {
            all_bool(operands, scope, "`and` needs true or false on both sides")
        }
        NodeKind::Any(operands) => {
            all_bool(operands, scope, "`or` needs true or false on both sides")
        }
        NodeKind::Negate(operand) => {
            require(operand, Type::Number, scope, "`-` needs a number").map(|_| Type::Number)
        }
        NodeKind::Arithmetic(operator, left, right) => arithmetic(*operator, left, right, scope),
        NodeKind::Compare(first, rest) => {
            let mut left = (&**first, check(first, scope)?);
            for (comparison, operand) in rest {
                let right = (operand, check(operand, scope)?);
                compare(*comparison, left, right)?;
                left = right;
            }
            Ok(Type::Bool)
        }
        NodeKind::Call(function, arguments) => call(*function, arguments, scope),
        NodeKind::Index(base, index) => {
            let base_type = check(base, scope)?;
            require(index, Type::Number, scope, "an index is a number")?;
            match base_type {
                Type::Text => Ok(Type::Text),
                Type::List | Type::Any => Ok(Type::Any),
                _ => Err(ExprError::new(
                    &base.span,
                    format!("only a list has elements, and this is {base_type}"),
                )),
            }
        }
    }
}

/// Checks a node and requires a type. The error message begins with `rule`.
fn require(
    node: &ExprNode,
    expected: Type,
    scope: TypeLookup<'_>,
    rule: &str,
) -> Result<Type, ExprError> {
    let actual = check(node, scope)?;
    if actual.fits(expected) {
        return Ok(actual);
    }
    Err(ExprError::new(
        &node.span,
        format!("{rule}, and this is {actual}"),
    ))
}

fn all_bool(operands: &[ExprNode], scope: TypeLookup<'_>, rule: &str) -> Result<Type, ExprError> {
    for operand in operands {
        require(operand, Type::Bool, scope, rule)?;
    }
    Ok(Type::Bool)
}

fn arithmetic(
    operator: Operator,
    left: &ExprNode,
    right: &ExprNode,
    scope: TypeLookup<'_>,
) -> Result<Type, ExprError> {
    // Between strings, `+` is concatenation.
    if operator == Operator::Add {
        match (check(left, scope)?, check(right, scope)?) {
            (Type::Text, Type::Text | Type::Any) | (Type::Any, Type::Text) => {
                return Ok(Type::Text);
            }
            (Type::Any, Type::Any) => return Ok(Type::Any),
            _ => {}
        }
    }
    require(left, Type::Number, scope, "arithmetic needs numbers")?;
    require(right, Type::Number, scope, "arithmetic needs numbers")?;
    Ok(Type::Number)
}

fn compare(
    comparison: Comparison,
    left: (&ExprNode, Type),
    right: (&ExprNode, Type),
) -> Result<(), ExprError> {
    let span = left.0.span.start..right.0.span.end;
    match comparison {
        Comparison::In | Comparison::NotIn => match right.1 {
            Type::List | Type::Any => Ok(()),
            Type::Text if left.1.fits(Type::Text) => Ok(()),
            other => Err(ExprError::new(
                &right.0.span,
                format!("`in` needs a list, and this is {other}"),
            )
            .hint("write `x in ['a', 'b']`")),
        },
        _ if !left.1.fits(right.1) => Err(ExprError::new(
            &span,
            format!("this compares {} with {}", left.1, right.1),
        )),
        Comparison::Equal | Comparison::Unequal => Ok(()),
        _ => match [left, right]
            .into_iter()
            .find(|side| matches!(side.1, Type::Bool | Type::List))
        {
            Some((node, kind)) => Err(ExprError::new(
                &node.span,
                format!("only numbers and strings have an order, and this is {kind}"),
            )),
            None => Ok(()),
        },
    }
}

fn call(
    function: Function,
    arguments: &[ExprNode],
    scope: TypeLookup<'_>,
) -> Result<Type, ExprError> {
    let name = function.name();
    match function {
        Function::Len => {
            let kind = check(&arguments[0], scope)?;
            if !matches!(kind, Type::List | Type::Text | Type::Any) {
                let message = format!("`len` needs a list or a string, and this is {kind}");
                return Err(ExprError::new(&arguments[0].span, message));
            }
        }
        Function::Sum => {
            require(&arguments[0], Type::List, scope, "`sum` needs a list")?;
        }
        Function::Min | Function::Max if arguments.len() == 1 => {
            require(
                &arguments[0],
                Type::List,
                scope,
                &format!("`{name}` needs a list or several numbers"),
            )?;
        }
        _ => {
            for argument in arguments {
                require(
                    argument,
                    Type::Number,
                    scope,
                    &format!("`{name}` needs numbers"),
                )?;
            }
        }
    }
    Ok(Type::Number)
}

#[cfg(test)]
mod tests {
    use crate::space::expr::{Expr, Type};

    fn scope(name: &str) -> Option<Type> {
        match name {
            "lr" | "layers" => Some(Type::Number),
            "optimizer" => Some(Type::Text),
            "units" => Some(Type::List),
            "nesterov" => Some(Type::Bool),
            _ => None,
        }
    }

    fn message(text: &str) -> String {
        Expr::parse(text)
            .unwrap()
            .check(&scope)
            .unwrap_err()
            .message
    }

    #[test]
    fn the_type_of_the_result_is_inferred() {
        for (text, expected) in [
            ("layers * 64 <= 4096", Type::Bool),
            ("lr * 10", Type::Number),
            ("optimizer + '_x'", Type::Text),
            ("units[0]", Type::Any),
            ("sum(units) / len(units)", Type::Number),
            ("optimizer in ['sgd', 'adam'] and not nesterov", Type::Bool),
            ("max(units) <= min(2, lr)", Type::Bool),
        ] {
            assert_eq!(
                Expr::parse(text).unwrap().check(&scope),
                Ok(expected),
                "{text}"
            );
        }
    }

    #[test]
    fn a_type_error_names_the_rule_and_the_type() {
        assert_eq!(
            message("lr == 'small'"),
            "this compares a number with a string"
        );
        assert_eq!(
            message("optimizer * 2"),
            "arithmetic needs numbers, and this is a string"
        );
        assert_eq!(
            message("lr and nesterov"),
            "`and` needs true or false on both sides, and this is a number"
        );
        assert_eq!(
            message("lr[0]"),
            "only a list has elements, and this is a number"
        );
        assert_eq!(message("momentum > 1"), "there is no `momentum`");
        assert_eq!(
            message("sqrt(optimizer)"),
            "`sqrt` needs numbers, and this is a string"
        );
        assert_eq!(
            message("nesterov < true"),
            "only numbers and strings have an order, and this is true or false"
        );
    }
}
