//! Syntax tree of an expression.

use super::Expr;
use super::function::Function;
use super::reducer::{Ask, Reducer};
use crate::space::{Name, Value};
use std::ops::Range;

/// A node of the syntax tree with its byte range in the text.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) span: Range<usize>,
    /// Height of the tree below this node; 0 for a leaf. Bounds every recursion over the tree.
    pub(super) depth: usize,
    pub(super) kind: Kind,
}

#[derive(Debug)]
pub(super) enum Kind {
    Literal(Value),
    Name(Name),
    List(Vec<Node>),
    Not(Box<Node>),
    Negate(Box<Node>),
    /// `and` over two or more operands.
    All(Vec<Node>),
    /// `or` over two or more operands.
    Any(Vec<Node>),
    Arithmetic(Operator, Box<Node>, Box<Node>),
    /// `a < b <= c`: the first operand, then pairs of an operator and an operand. Each operator
    /// compares with the operand before it.
    Compare(Box<Node>, Vec<(Comparison, Node)>),
    Call(Function, Vec<Node>),
    Index(Box<Node>, Box<Node>),
    /// `min(val_loss)`, `val_loss@10`: a number computed from the reports of one trial.
    Reports(Ask, Name),
    /// `mean(lr * 10)`: a number computed from the values of the inner expression in several
    /// trials.
    Trials(Reducer, Expr),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
    FloorDivide,
    Modulo,
    Power,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    Unequal,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    In,
    NotIn,
}

impl Node {
    /// Calls `each` for this node and all its descendants, parents first and from left to right.
    pub(super) fn visit<'a>(&'a self, each: &mut dyn FnMut(&'a Self)) {
        each(self);
        for child in self.children() {
            child.visit(each);
        }
    }

    /// Returns the direct children.
    pub(super) fn children(&self) -> Vec<&Self> {
        match &self.kind {
            Kind::Literal(_) | Kind::Name(_) | Kind::Reports(..) | Kind::Trials(..) => Vec::new(),
            Kind::Not(one) | Kind::Negate(one) => vec![one],
            Kind::Arithmetic(_, left, right) | Kind::Index(left, right) => vec![left, right],
            Kind::List(many) | Kind::All(many) | Kind::Any(many) | Kind::Call(_, many) => {
                many.iter().collect()
            }
            Kind::Compare(first, rest) => std::iter::once(&**first)
                .chain(rest.iter().map(|(_, operand)| operand))
                .collect(),
        }
    }
}

/// Returns every `name == constant`, `name != constant` and `name in [constants]` in the tree.
pub(super) fn equalities(root: &Node) -> Vec<(Name, Value, Range<usize>)> {
    let mut found = Vec::new();
    root.visit(&mut |node| {
        let Kind::Compare(first, rest) = &node.kind else {
            return;
        };
        let mut left = &**first;
        for (comparison, right) in rest {
            match (comparison, &left.kind, &right.kind) {
                (
                    Comparison::Equal | Comparison::Unequal,
                    Kind::Name(name),
                    Kind::Literal(value),
                ) => {
                    found.push((name.clone(), value.clone(), right.span.clone()));
                }
                (
                    Comparison::Equal | Comparison::Unequal,
                    Kind::Literal(value),
                    Kind::Name(name),
                ) => {
                    found.push((name.clone(), value.clone(), left.span.clone()));
                }
                (Comparison::In | Comparison::NotIn, Kind::Name(name), Kind::List(items)) => {
                    for item in items {
                        if let Kind::Literal(value) = &item.kind {
                            found.push((name.clone(), value.clone(), item.span.clone()));
                        }
                    }
                }
                _ => {}
            }
            left = right;
        }
    });
    found
}
