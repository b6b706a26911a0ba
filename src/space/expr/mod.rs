//! The little language of `when`, bounds, derived values, constraints and `--where`.
//!
//! Numbers, strings, names, `+ - * / // % **`, chained comparisons, `and or not in`, a dozen functions, lists and indexing, with
//! Python's meaning. Closed: no I/O, no loops, no recursion, so an expression ends after as many steps as it has parts. `lexer` and
//! `parser` make the `tree`, `check` finds mistakes before anything runs, `eval` computes, `hull` bounds the result.
//!
//! A parameter that does not exist in a configuration makes every comparison with it false. A name that is not a word
//! (`weight-decay`) is written in backticks.

mod check;
mod eval;
mod function;
mod hull;
mod lexer;
mod parser;
mod tree;

pub use check::Type;
pub use eval::EvalError;
pub(crate) use hull::Hull;

use crate::space::{Name, Value};
use std::ops::Range;
use std::sync::Arc;
use tree::Node;

/// A parsed expression; keeps its text. Cloning is cheap.
#[derive(Debug, Clone)]
pub struct Expr(Arc<Parsed>);

#[derive(Debug)]
struct Parsed {
    text: String,
    root: Node,
    names: Vec<(Name, Range<usize>)>,
}

/// What is wrong with an expression, and where in its text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ExprError {
    /// The bytes of the text it is about.
    pub span: Range<usize>,
    /// What is wrong: a fragment without a full stop.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl ExprError {
    fn new(span: &Range<usize>, message: impl Into<String>) -> Self {
        Self { span: span.clone(), message: message.into(), hint: None }
    }

    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl Expr {
    /// Parses a text of at most 4096 bytes.
    ///
    /// # Errors
    /// The first mistake of syntax.
    pub fn parse(text: &str) -> Result<Self, ExprError> {
        let root = parser::parse(text)?;
        let mut names = Vec::new();
        root.visit(&mut |node| {
            if let tree::Kind::Name(name) = &node.kind {
                names.push((Arc::clone(name), node.span.clone()));
            }
        });
        Ok(Self(Arc::new(Parsed { text: text.to_owned(), root, names })))
    }

    /// Finds unknown names and operations that cannot work; returns the type of the result.
    ///
    /// # Errors
    /// The first mistake.
    pub fn check(&self, scope: &dyn Fn(&str) -> Option<Type>) -> Result<Type, ExprError> {
        check::check(&self.0.root, scope)
    }

    /// Computes the value. A comparison with a name that is absent is false.
    ///
    /// # Errors
    /// [`EvalError::Absent`] if the result itself is absent; the others if it cannot be computed.
    pub fn eval(&self, scope: &dyn Fn(&str) -> Option<Value>) -> Result<Value, EvalError> {
        eval::eval(&self.0.root, scope, eval::Absence::IsFalse)?.ok_or_else(|| {
            let absent = self.names().find(|name| scope(name).is_none());
            EvalError::Absent(absent.unwrap_or_default().into())
        })
    }

    /// Computes a truth value when some names may not be known: `None` if it depends on those (Kleene's logic).
    ///
    /// # Errors
    /// What [`eval`](Self::eval) gives, but for absence.
    pub(crate) fn holds(&self, scope: &dyn Fn(&str) -> Option<Value>) -> Result<Option<bool>, EvalError> {
        match eval::eval(&self.0.root, scope, eval::Absence::IsUnknown)? {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(flag)),
            Some(other) => Err(EvalError::WrongType(format!("`{other}` is neither true nor false"))),
        }
    }

    /// Returns numbers between which the result lies, given such numbers for the names; `None` if that cannot be told.
    pub(crate) fn hull(&self, scope: &dyn Fn(&str) -> Option<Hull>) -> Option<Hull> {
        hull::hull(&self.0.root, scope)
    }

    /// Returns whether the result is a whole number whenever the names for which `whole` holds are.
    pub(crate) fn is_whole(&self, whole: &dyn Fn(&str) -> bool) -> bool {
        hull::is_whole(&self.0.root, whole)
    }

    /// Returns the names it mentions, each once, in order of appearance.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let names = &self.0.names;
        names.iter().enumerate().filter_map(|(at, (name, _))| {
            let seen = names[..at].iter().any(|(earlier, _)| earlier == name);
            (!seen).then_some(&**name)
        })
    }

    /// Returns every mention of a name with its place in the text.
    pub(crate) fn mentions(&self) -> &[(Name, Range<usize>)] {
        &self.0.names
    }

    /// Returns every comparison for equality of a name with a constant: name, constant, place of the constant.
    pub(crate) fn equalities(&self) -> Vec<(Name, Value, Range<usize>)> {
        tree::equalities(&self.0.root)
    }

    /// Returns the text it was parsed from.
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
        assert_eq!(expr.names().collect::<Vec<_>>(), ["b", "a", "model.layers", "weight-decay"]);
    }

    proptest! {
        #[test]
        fn any_text_is_parsed_or_refused_with_a_place_in_it(text in "\\PC*") {
            if let Err(error) = Expr::parse(&text) {
                prop_assert!(error.span.end <= text.len() && error.span.start <= error.span.end);
                prop_assert!(text.is_char_boundary(error.span.start) && text.is_char_boundary(error.span.end));
            }
        }

        #[test]
        fn any_words_of_the_language_are_parsed_checked_and_computed_without_panic(
            words in proptest::collection::vec(
                proptest::sample::select(vec![
                    "1", "0", "2.5", "9223372036854775807", "1e308", "'a'", "a", "b", "c", "(", ")", "[", "]", ",", "+", "-", "*",
                    "/", "//", "%", "**", "<", "<=", "==", "!=", "in", "not", "and", "or", "min(", "round(", "log(", "len(", "sum(",
                    "true", "abs(", "sqrt(", "floor(",
                ]),
                0..14,
            ),
        ) {
            let text = words.join(" ");
            if let Ok(expr) = Expr::parse(&text) {
                let _ = expr.check(&|_| Some(Type::Any));
                let scope = |name: &str| match name {
                    "a" => Some(Value::Int(i64::MIN)),
                    "b" => Some(Value::List(vec![Value::Int(1), Value::Float(0.5)])),
                    _ => None,
                };
                let _ = expr.eval(&scope);
                let _ = expr.holds(&scope);
                let _ = expr.hull(&|_| Some((-1.0, 1.0)));
            }
        }
    }
}
