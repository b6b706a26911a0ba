//! Syntax tree of an expression.

use super::Expr;
use super::function::Function;
use super::reducer::{Ask, Reducer};
use crate::space::{Name, Value};
use std::ops::Range;

/// A node of the syntax tree with its byte range in the text.
#[derive(Debug)]
pub(super) struct ExprNode {
    pub(super) span: Range<usize>,
    /// Height of the tree below this node; 0 for a leaf. Bounds every recursion over the tree.
    pub(super) depth: usize,
    pub(super) kind: NodeKind,
}

#[derive(Debug)]
pub(super) enum NodeKind {
    Literal(Value),
    Name(Name),
    List(Vec<ExprNode>),
    Not(Box<ExprNode>),
    Negate(Box<ExprNode>),
    /// `and` over two or more operands.
    All(Vec<ExprNode>),
    /// `or` over two or more operands.
    Any(Vec<ExprNode>),
    Arithmetic(Operator, Box<ExprNode>, Box<ExprNode>),
    /// `a < b <= c`: the first operand, then pairs of an operator and an operand. Each operator
    /// compares with the operand before it.
    Compare(Box<ExprNode>, Vec<(Comparison, ExprNode)>),
    Call(Function, Vec<ExprNode>),
    Index(Box<ExprNode>, Box<ExprNode>),
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

impl ExprNode {
    /// Calls `visitor` for this node and all its descendants, parents first and from left to right.
    pub(super) fn visit<'a>(&'a self, visitor: &mut dyn FnMut(&'a Self)) {
        visitor(self);
        for child in self.children() {
            child.visit(visitor);
        }
    }

    /// Returns the direct children.
    pub(super) fn children(&self) -> Vec<&Self> {
        match &self.kind {
            NodeKind::Literal(_)
            | NodeKind::Name(_)
            | NodeKind::Reports(..)
            | NodeKind::Trials(..) => Vec::new(),
            NodeKind::Not(operand) | NodeKind::Negate(operand) => vec![operand],
            NodeKind::Arithmetic(_, left, right) | NodeKind::Index(left, right) => {
                vec![left, right]
            }
            NodeKind::List(many)
            | NodeKind::All(many)
            | NodeKind::Any(many)
            | NodeKind::Call(_, many) => many.iter().collect(),
            NodeKind::Compare(first, rest) => std::iter::once(&**first)
                .chain(rest.iter().map(|(_, operand)| operand))
                .collect(),
        }
    }
}

/// Returns every `name == constant`, `name != constant` and `name in [constants]` in the tree.
pub(super) fn equalities(root: &ExprNode) -> Vec<(Name, Value, Range<usize>)> {
    let mut equalities = Vec::new();
    root.visit(&mut |node| {
        let NodeKind::Compare(first, rest) = &node.kind else {
            return;
        };
        let mut left = &**first;
        for (comparison, right) in rest {
            match (comparison, &left.kind, &right.kind) {
                (
                    Comparison::Equal | Comparison::Unequal,
                    NodeKind::Name(name),
                    NodeKind::Literal(value),
                ) => {
                    equalities.push((name.clone(), value.clone(), right.span.clone()));
                }
                (
                    Comparison::Equal | Comparison::Unequal,
                    NodeKind::Literal(value),
                    NodeKind::Name(name),
                ) => {
                    equalities.push((name.clone(), value.clone(), left.span.clone()));
                }
                (
                    Comparison::In | Comparison::NotIn,
                    NodeKind::Name(name),
                    NodeKind::List(items),
                ) => {
                    for item in items {
                        if let NodeKind::Literal(value) = &item.kind {
                            equalities.push((name.clone(), value.clone(), item.span.clone()));
                        }
                    }
                }
                _ => {}
            }
            left = right;
        }
    });
    equalities
}
