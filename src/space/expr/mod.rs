//! The little language of `when`, bounds, derived values, constraints, `--where` and columns.
//!
//! Numbers, strings, names, `+ - * / // % **`, chained comparisons, `and or not in`, a dozen
//! functions, lists and indexing, with Python's meaning. Closed: no I/O, no loops, no recursion, so
//! an expression ends after as many steps as it has parts. `lexer` and `parser` make the `tree`,
//! `check` finds mistakes before anything runs, `eval` computes, `hull` bounds the result.
//!
//! A parameter that does not exist in a configuration makes every comparison with it false. A name
//! that is not a word (`weight-decay`) is written in backticks.
//!
//! Over trials there is more: `min(val_loss)`, `at_best(acc)` and `acc@10` ask the reports of a
//! trial, and the [`Names`] that are known need no backticks where that is unambiguous.

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
use tree::{Kind, Node};

/// A parsed expression; keeps its text. Cloning is cheap.
#[derive(Debug, Clone)]
pub struct Expr(Arc<Parsed>);

#[derive(Debug)]
struct Parsed {
    text: String,
    root: Node,
    names: Vec<(Name, Range<usize>)>,
    asks: Vec<(Ask, Name)>,
    columns: Vec<(Reducer, Expr)>,
}

/// Where an expression finds its values.
pub trait Cells {
    /// Returns what a name stands for, `None` if it is absent.
    fn value(&self, name: &str) -> Option<Value>;

    /// Returns what the reports under a name give, `None` if that is absent.
    fn ask(&self, _ask: Ask, _name: &str) -> Option<f64> {
        None
    }

    /// Returns what a column gives over several trials, `None` if that is absent.
    fn over(&self, _reducer: Reducer, _column: &Expr) -> Option<f64> {
        None
    }
}

/// Values that a function finds by their names.
struct ByName<'a>(&'a dyn Fn(&str) -> Option<Value>);

impl Cells for ByName<'_> {
    fn value(&self, name: &str) -> Option<Value> {
        (self.0)(name)
    }
}

/// Writes a name as it can stand in any expression.
pub(crate) fn in_back_quotes(name: &str) -> String {
    if name.contains('`') {
        name.to_owned()
    } else {
        format!("`{name}`")
    }
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
    /// Parses a text of at most 4096 bytes.
    ///
    /// # Errors
    /// The first mistake of syntax.
    pub fn parse(text: &str) -> Result<Self, ExprError> {
        parser::parse(text, Dialect::Sweep).map(|root| Self::of(text, root))
    }

    /// Parses an expression over one trial: `lr * 10`, `best(acc) - last(acc)`, `val/AR@100 > 0.2`.
    ///
    /// # Errors
    /// The first mistake of syntax, or a name of `names` that is an expression, too.
    pub fn parse_over_trial(text: &str, names: &Names) -> Result<Self, ExprError> {
        parser::parse(text, Dialect::Trial(names)).map(|root| Self::of(text, root))
    }

    /// Parses an expression over several trials: `mean(acc@10) > 0.9`. Within its functions stands
    /// an expression over one trial.
    ///
    /// # Errors
    /// As [`parse_over_trial`](Self::parse_over_trial).
    pub fn parse_over_trials(text: &str, names: &Names) -> Result<Self, ExprError> {
        parser::parse(text, Dialect::Trials(names)).map(|root| Self::of(text, root))
    }

    /// Makes the expression that is a name, whatever the name is made of.
    #[must_use]
    pub fn of_name(name: &str) -> Self {
        Self::of(
            name,
            Node {
                span: 0..name.len(),
                depth: 0,
                kind: Kind::Name(name.into()),
            },
        )
    }

    fn of(text: &str, root: Node) -> Self {
        let (mut names, mut asks, mut columns) = (Vec::new(), Vec::new(), Vec::new());
        root.visit(&mut |node| match &node.kind {
            Kind::Name(name) => names.push((Arc::clone(name), node.span.clone())),
            Kind::Reports(ask, name) => asks.push((*ask, Arc::clone(name))),
            Kind::Trials(reducer, column) => columns.push((*reducer, column.clone())),
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
        self.eval_in(&ByName(scope))
    }

    /// Computes the value from cells. A comparison with something that is absent is false.
    ///
    /// # Errors
    /// As [`eval`](Self::eval).
    pub fn eval_in(&self, cells: &dyn Cells) -> Result<Value, EvalError> {
        eval::eval(&self.0.root, cells, eval::Absence::IsFalse)?.ok_or_else(|| {
            let absent = self.names().find(|name| cells.value(name).is_none());
            EvalError::Absent(absent.unwrap_or_default().into())
        })
    }

    /// Computes a truth value when some names may not be known: `None` if it depends on those
    /// (Kleene's logic).
    ///
    /// # Errors
    /// What [`eval`](Self::eval) gives, but for absence.
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

    /// Returns numbers between which the result lies, given such numbers for the names; `None` if
    /// that cannot be told.
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

    /// Returns what it asks of the reports of a trial, with the names of the metrics.
    pub fn asks(&self) -> impl Iterator<Item = (Ask, &str)> {
        self.0.asks.iter().map(|(ask, name)| (*ask, &**name))
    }

    /// Returns its functions over several trials, with the expression in each.
    pub fn columns(&self) -> impl Iterator<Item = (Reducer, &Self)> {
        self.0
            .columns
            .iter()
            .map(|(reducer, column)| (*reducer, column))
    }

    /// Returns the name it is, if it is nothing but a name.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        if let Kind::Name(name) = &self.0.root.kind {
            Some(name)
        } else {
            None
        }
    }

    /// Returns the metric that it asks about, if it is nothing but that: `min(val_loss)`.
    #[must_use]
    pub fn ask(&self) -> Option<(Ask, &str)> {
        if let Kind::Reports(ask, name) = &self.0.root.kind {
            Some((*ask, name))
        } else {
            None
        }
    }

    /// Returns the texts that stand in quotes.
    #[must_use]
    pub fn texts(&self) -> Vec<&str> {
        let mut texts = Vec::new();
        self.0.root.visit(&mut |node| {
            if let Kind::Literal(Value::Text(text)) = &node.kind {
                texts.push(&**text);
            }
        });
        texts
    }

    /// Returns every mention of a name with its place in the text.
    pub(crate) fn mentions(&self) -> &[(Name, Range<usize>)] {
        &self.0.names
    }

    /// Returns every comparison for equality of a name with a constant: name, constant, place of
    /// the constant.
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
        assert_eq!(
            expr.names().collect::<Vec<_>>(),
            ["b", "a", "model.layers", "weight-decay"]
        );
    }

    proptest! {
        #[test]
        fn any_text_is_parsed_or_refused_with_a_place_in_it(text in "\\PC*") {
            let names = Names::from_iter(["a-b", "é@1", "a"]);
            let parsed = [
                Expr::parse(&text),
                Expr::parse_over_trial(&text, &names),
                Expr::parse_over_trials(&format!("mean( {text} ) > 1"), &names),
            ];
            for (at, parsed) in parsed.into_iter().enumerate() {
                let text = if at == 2 { format!("mean( {text} ) > 1") } else { text.clone() };
                let Err(ExprError { span, .. }) = parsed else { continue };
                prop_assert!(span.end <= text.len() && span.start <= span.end);
                prop_assert!(text.is_char_boundary(span.start) && text.is_char_boundary(span.end));
            }
        }

        #[test]
        fn any_words_of_the_language_are_parsed_checked_and_computed_without_panic(
            words in proptest::collection::vec(
                proptest::sample::select(vec![
                    "1", "0", "2.5", "9223372036854775807", "1e308", "'a'", "a", "b", "c", "(", ")", "[", "]", ",", "+", "-", "*",
                    "/", "//", "%", "**", "<", "<=", "==", "!=", "in", "not", "and", "or", "min(", "round(", "log(", "len(", "sum(",
                    "true", "abs(", "sqrt(", "floor(", "mean(", "at_best(", "@", "a-b",
                ]),
                0..14,
            ),
        ) {
            let text = words.join(" ");
            let names = Names::from_iter(["a-b", "a", "b"]);
            let over_trials = [Expr::parse_over_trial(&text, &names), Expr::parse_over_trials(&text, &names)];
            for expr in over_trials.into_iter().chain([Expr::parse(&text)]).flatten() {
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
