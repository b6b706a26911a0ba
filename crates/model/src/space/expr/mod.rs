//! Expression language of `when`, bounds, derived values, constraints, `--where` and columns.
//!
//! It has numbers, strings, names, `+ - * / // % **`, chained comparisons, `and or not in`, a dozen
//! functions, lists and indexing, with the meaning they have in Python. It has no I/O, no loops and
//! no recursion, so evaluation takes at most as many steps as the expression has parts. `lexer` and
//! `parser` build the `tree`. `check` finds type errors before anything runs, `eval` computes
//! values, and `hull` computes bounds on the result.
//!
//! A comparison with an inactive parameter is false. A name that is not a word (`weight-decay`) is
//! written in backticks.
//!
//! Expressions over trials can also refer to the reports of a trial: `min(val_loss)`,
//! `at_best(acc)` and `acc@10`. In these expressions the known [`Names`] need no backticks where
//! that is unambiguous.

mod check;
mod eval;
mod function;
mod hull;
mod lexer;
mod names;
mod parser;
mod reducer;
mod tree;

pub use check::Type;
pub use eval::EvalError;
pub(crate) use hull::Hull;
pub use names::Names;
pub use reducer::{Ask, Reducer};

use crate::space::{Name, Value};
use parser::Dialect;
use std::ops::Range;
use std::sync::Arc;
use tree::{ExprNode, NodeKind};

/// A parsed expression with its text. Cloning is cheap.
#[derive(Debug, Clone)]
pub struct Expr(Arc<Parsed>);

#[derive(Debug)]
struct Parsed {
    text: String,
    root: ExprNode,
    names: Vec<(Name, Range<usize>)>,
    asks: Vec<(Ask, Name)>,
    columns: Vec<(Reducer, Expr)>,
}

/// Source of the values in an expression.
pub trait Cells {
    /// Returns the value of a name, or `None` if it is absent.
    fn value(&self, name: &str) -> Option<Value>;

    /// Returns the elements of a name whose value is a set, such as the tags of a trial. A
    /// comparison with the name holds if it holds for one of them, `!=` and `not in` if they hold
    /// for all. Default: no name is a set.
    fn elements(&self, _name: &str) -> Option<Vec<Value>> {
        None
    }

    /// Returns a number computed from a metric's reports, or `None` if it is absent. Default:
    /// always absent.
    fn ask(&self, _ask: Ask, _name: &str) -> Option<f64> {
        None
    }

    /// Returns a number computed from a column over several trials, or `None` if it is absent.
    /// Default: always absent.
    fn over(&self, _reducer: Reducer, _column: &Expr) -> Option<f64> {
        None
    }
}

/// Cells that have only names, looked up by a function.
struct ByName<'a>(&'a dyn Fn(&str) -> Option<Value>);

impl Cells for ByName<'_> {
    fn value(&self, name: &str) -> Option<Value> {
        (self.0)(name)
    }
}

/// Formats a name so that it can stand in any expression. A name that contains a backtick cannot be
/// quoted and is returned unchanged.
pub fn in_back_quotes(name: &str) -> String {
    if name.contains('`') {
        name.to_owned()
    } else {
        format!("`{name}`")
    }
}

/// A mistake in an expression, with its position in the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ExprError {
    /// Byte range of the mistake in the text.
    pub span: Range<usize>,
    /// Description of the mistake: a fragment without a full stop.
    pub message: String,
    /// Suggested remedy, if there is one.
    pub hint: Option<String>,
}

impl ExprError {
    fn new(span: &Range<usize>, message: impl Into<String>) -> Self {
        Self {
            span: span.clone(),
            message: message.into(),
            hint: None,
        }
    }

    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl Expr {
    /// Parses an expression in a sweep file, at most 4096 bytes long.
    ///
    /// # Errors
    /// The first syntax error.
    pub fn parse(text: &str) -> Result<Self, ExprError> {
        parser::parse(text, Dialect::Sweep).map(|root| Self::of(text, root))
    }

    /// Parses an expression over one trial: `lr * 10`, `best(acc) - last(acc)`, `val/AR@100 > 0.2`.
    ///
    /// # Errors
    /// The first syntax error, or an ambiguous name: one of `names` that is an expression of other
    /// names, too.
    pub fn parse_over_trial(text: &str, names: &Names) -> Result<Self, ExprError> {
        parser::parse(text, Dialect::Trial(names)).map(|root| Self::of(text, root))
    }

    /// Parses an expression over several trials: `mean(acc@10) > 0.9`. The argument of a function
    /// over trials is an expression over one trial.
    ///
    /// # Errors
    /// As [`parse_over_trial`](Self::parse_over_trial).
    pub fn parse_over_trials(text: &str, names: &Names) -> Result<Self, ExprError> {
        parser::parse(text, Dialect::Trials(names)).map(|root| Self::of(text, root))
    }

    /// Makes the expression that consists of a name. Any characters are allowed in the name.
    #[must_use]
    pub fn of_name(name: &str) -> Self {
        Self::of(
            name,
            ExprNode {
                span: 0..name.len(),
                depth: 0,
                kind: NodeKind::Name(name.into()),
            },
        )
    }

    fn of(text: &str, root: ExprNode) -> Self {
        let (mut names, mut asks, mut columns) = (Vec::new(), Vec::new(), Vec::new());
        root.visit(&mut |node| match &node.kind {
            NodeKind::Name(name) => names.push((Arc::clone(name), node.span.clone())),
            NodeKind::Reports(ask, name) => asks.push((*ask, Arc::clone(name))),
            NodeKind::Trials(reducer, column) => columns.push((*reducer, column.clone())),
            _ => {}
        });
        Self(Arc::new(Parsed {
            text: text.to_owned(),
            root,
            names,
            asks,
            columns,
        }))
    }

    /// Checks names and types, and returns the type of the result. `scope` returns the type of a
    /// name, or `None` if there is no such name.
    ///
    /// # Errors
    /// The first unknown name or type error.
    pub fn check(&self, scope: &dyn Fn(&str) -> Option<Type>) -> Result<Type, ExprError> {
        check::check(&self.0.root, scope)
    }

    /// Computes the value. A comparison with an absent name is false.
    ///
    /// # Errors
    /// [`EvalError::Absent`] if the result itself is absent; the other variants if it cannot be
    /// computed.
    pub fn eval(&self, scope: &dyn Fn(&str) -> Option<Value>) -> Result<Value, EvalError> {
        self.eval_in(&ByName(scope))
    }

    /// Computes the value from cells. A comparison with an absent cell is false.
    ///
    /// # Errors
    /// As [`eval`](Self::eval).
    pub fn eval_in(&self, cells: &dyn Cells) -> Result<Value, EvalError> {
        eval::eval(&self.0.root, cells, eval::Absence::IsFalse)?.ok_or_else(|| {
            let absent = self.names().find(|name| cells.value(name).is_none());
            EvalError::Absent(absent.unwrap_or_default().into())
        })
    }

    /// Computes a truth value when some names may be unknown (Kleene's logic). Returns `None` if
    /// the result depends on unknown names.
    ///
    /// # Errors
    /// The errors of [`eval`](Self::eval) except absence, and a result that is not a boolean.
    pub(crate) fn holds(
        &self,
        scope: &dyn Fn(&str) -> Option<Value>,
    ) -> Result<Option<bool>, EvalError> {
        match eval::eval(&self.0.root, &ByName(scope), eval::Absence::IsUnknown)? {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(flag)),
            Some(other) => Err(EvalError::WrongType(format!(
                "`{other}` is neither true nor false"
            ))),
        }
    }

    /// Returns bounds on the result, given bounds on the names; `None` if no bounds can be derived.
    pub(crate) fn hull(&self, scope: &dyn Fn(&str) -> Option<Hull>) -> Option<Hull> {
        hull::hull(&self.0.root, scope)
    }

    /// Returns whether the result is an integer, provided that the names for which
    /// `is_integer_name` returns true are integers.
    pub(crate) fn is_integer(&self, is_integer_name: &dyn Fn(&str) -> bool) -> bool {
        hull::is_integer(&self.0.root, is_integer_name)
    }

    /// Returns the names in the expression, each once, in order of appearance.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let names = &self.0.names;
        names.iter().enumerate().filter_map(|(index, (name, _))| {
            let is_repeated = names[..index].iter().any(|(earlier, _)| earlier == name);
            (!is_repeated).then_some(&**name)
        })
    }

    /// Returns the references to reports of a trial, with the names of the metrics.
    pub fn asks(&self) -> impl Iterator<Item = (Ask, &str)> {
        self.0.asks.iter().map(|(ask, name)| (*ask, &**name))
    }

    /// Returns the functions over several trials, with the expression in each.
    pub fn columns(&self) -> impl Iterator<Item = (Reducer, &Self)> {
        self.0
            .columns
            .iter()
            .map(|(reducer, column)| (*reducer, column))
    }

    /// Returns the name if the expression consists of a single name.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        if let NodeKind::Name(name) = &self.0.root.kind {
            Some(name)
        } else {
            None
        }
    }

    /// Returns the reference and the metric if the expression is a single reference to reports:
    /// `min(val_loss)`.
    #[must_use]
    pub fn ask(&self) -> Option<(Ask, &str)> {
        if let NodeKind::Reports(ask, name) = &self.0.root.kind {
            Some((*ask, name))
        } else {
            None
        }
    }

    /// Returns the string literals in the expression.
    #[must_use]
    pub fn texts(&self) -> Vec<&str> {
        let mut texts = Vec::new();
        self.0.root.visit(&mut |node| {
            if let NodeKind::Literal(Value::Text(text)) = &node.kind {
                texts.push(&**text);
            }
        });
        texts
    }

    /// Returns every mention of a name with its byte range in the text.
    pub(crate) fn mentions(&self) -> &[(Name, Range<usize>)] {
        &self.0.names
    }

    /// Returns every test for equality between a name and a constant: name, constant, byte range of
    /// the constant.
    pub(crate) fn equalities(&self) -> Vec<(Name, Value, Range<usize>)> {
        tree::equalities(&self.0.root)
    }

    /// Returns the text that the expression was parsed from.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0.text
    }
}

impl PartialEq for Expr {
    fn eq(&self, other: &Self) -> bool {
        self.0.text == other.0.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_are_listed_once_in_order_of_appearance() {
        let expr = Expr::parse("b + a * b < model.layers and `weight-decay` > 0").unwrap();
        assert_eq!(
            expr.names().collect::<Vec<_>>(),
            ["b", "a", "model.layers", "weight-decay"]
        );
    }

    fn extreme_values(name: &str) -> Option<Value> {
        match name {
            "a" => Some(Value::Int(i64::MIN)),
            "b" => Some(Value::List(vec![Value::Int(1), Value::Float(0.5)])),
            _ => None,
        }
    }

    proptest! {
        #[test]
        fn any_text_is_parsed_or_refused_with_a_span_inside_it(text in "\\PC*") {
            let names = Names::from_iter(["a-b", "é@1", "a"]);
            let parsed = [
                Expr::parse(&text),
                Expr::parse_over_trial(&text, &names),
                Expr::parse_over_trials(&format!("mean( {text} ) > 1"), &names),
            ];
            for (index, parsed) in parsed.into_iter().enumerate() {
                let text = if index == 2 { format!("mean( {text} ) > 1") } else { text.clone() };
                let Err(ExprError { span, .. }) = parsed else { continue };
                prop_assert!(span.end <= text.len() && span.start <= span.end);
                prop_assert!(text.is_char_boundary(span.start) && text.is_char_boundary(span.end));
            }
        }

        #[test]
        fn any_words_of_the_language_are_parsed_checked_and_computed_without_panic(
            words in proptest::collection::vec(
                proptest::sample::select(vec![
                    "1", "0", "2.5", "9223372036854775807", "1e308", "'a'", "a", "b", "c",
                    "(", ")", "[", "]", ",", "+", "-", "*", "/", "//", "%", "**", "<", "<=",
                    "==", "!=", "in", "not", "and", "or", "min(", "round(", "log(", "len(",
                    "sum(", "true", "abs(", "sqrt(", "floor(", "mean(", "at_best(", "@", "a-b",
                ]),
                0..14,
            ),
        ) {
            let text = words.join(" ");
            let names = Names::from_iter(["a-b", "a", "b"]);
            let parsed = [
                Expr::parse(&text),
                Expr::parse_over_trial(&text, &names),
                Expr::parse_over_trials(&text, &names),
            ];
            for expr in parsed.into_iter().flatten() {
                let _ = expr.check(&|_| Some(Type::Any));
                let _ = expr.eval(&extreme_values);
                let _ = expr.holds(&extreme_values);
                let _ = expr.hull(&|_| Some((-1.0, 1.0)));
            }
        }
    }
}
