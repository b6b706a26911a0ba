//! Facts about names that hold in every configuration, and checks of expressions against them.

use super::link::Linker;
use super::names;
use super::source_expr::SourceExpr;
use crate::source::{Diagnostic, Diagnostics};
use crate::space::Value;
use crate::space::expr::{Hull, Type};
use std::collections::HashSet;
use std::sync::Arc;

/// Facts about a name that hold in every configuration.
#[derive(Debug, Clone, Default)]
pub(super) struct Fact {
    /// Type of the values; `None` until an entry that sets the name was linked.
    pub(super) kind: Option<Type>,
    /// Bounds on the value; `None` if it is not a number or no bounds are known.
    pub(super) hull: Option<Hull>,
    /// Whether every value is an integer.
    pub(super) integer: bool,
    /// All possible texts of a choice, row column or constant; `None` for ranges and derived
    /// values.
    pub(super) texts: Option<Texts>,
    /// Whether an entry of this name has a reported mistake. Expressions that use the name are then
    /// not checked.
    pub(super) broken: bool,
}

/// Texts in the order of the file.
#[derive(Debug, Clone, Default)]
pub(super) struct Texts {
    listed: Vec<Arc<str>>,
    known: HashSet<Arc<str>>,
}

impl Texts {
    fn extend(&mut self, texts: impl IntoIterator<Item = Arc<str>>) {
        for text in texts {
            if self.known.insert(Arc::clone(&text)) {
                self.listed.push(text);
            }
        }
    }
}

impl Fact {
    pub(super) fn of_values(values: &[Value]) -> Self {
        let numbers: Option<Vec<f64>> = values.iter().map(Value::as_f64).collect();
        let hull = numbers.map(|numbers| {
            numbers
                .into_iter()
                .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), number| {
                    (low.min(number), high.max(number))
                })
        });
        let mut texts = Texts::default();
        texts.extend(values.iter().filter_map(|value| match value {
            Value::Text(text) => Some(Arc::clone(text)),
            _ => None,
        }));
        Self {
            kind: values.iter().map(Type::of).reduce(Type::or),
            hull,
            integer: values.iter().all(|value| matches!(value, Value::Int(_))),
            texts: Some(texts),
            broken: false,
        }
    }

    pub(super) fn of_broken() -> Self {
        Self {
            kind: Some(Type::Any),
            broken: true,
            ..Self::default()
        }
    }

    /// Merges the facts of another entry that sets the same name in another branch.
    pub(super) fn join(&mut self, other: Self) {
        let Some(kind) = self.kind else {
            *self = other;
            return;
        };
        self.kind = other.kind.map(|other| other.or(kind));
        self.hull = self
            .hull
            .zip(other.hull)
            .map(|(a, b)| (a.0.min(b.0), a.1.max(b.1)));
        self.integer &= other.integer;
        self.broken |= other.broken;
        self.texts = self.texts.take().zip(other.texts).map(|(mut a, b)| {
            a.extend(b.listed);
            a
        });
    }
}

impl Linker {
    pub(super) fn fact(&self, name: &str) -> Option<&Fact> {
        self.index.get(name).map(|slot| &self.facts[*slot])
    }

    pub(super) fn hull(&self, expr: &SourceExpr) -> Option<Hull> {
        expr.parsed.hull(&|name| self.fact(name)?.hull)
    }

    pub(super) fn is_integer(&self, expr: &SourceExpr) -> bool {
        expr.parsed
            .is_integer(&|name| self.fact(name).is_some_and(|fact| fact.integer))
    }

    /// Checks an expression and returns its type. Returns `None` after reporting a mistake, or if
    /// the expression uses a broken name.
    pub(super) fn check(
        &self,
        key: &str,
        expr: &SourceExpr,
        expected: Option<Type>,
        d: &mut Diagnostics,
    ) -> Option<Type> {
        let mut mentions = expr.parsed.mentions().iter();
        if !mentions.all(|(name, _)| self.fact(name).is_some_and(|fact| !fact.broken)) {
            return None;
        }
        let checked = expr
            .parsed
            .check(&|name| self.fact(name).map(|fact| fact.kind.unwrap_or(Type::Any)));
        let kind = match checked {
            Ok(kind) => kind,
            Err(error) => {
                names::report_once(d, expr.diagnostic(&error, key));
                return None;
            }
        };
        if let Some(expected) = expected
            && kind != expected
            && kind != Type::Any
        {
            let message = format!("`{key}` must be {expected}");
            names::report_once(
                d,
                Diagnostic::error("wrong-type", message).at(expr.span(), format!("this is {kind}")),
            );
            return None;
        }
        self.check_literals(expr, d);
        Some(kind)
    }

    /// Reports comparisons of a choice with a string that is not among its values.
    fn check_literals(&self, expr: &SourceExpr, d: &mut Diagnostics) {
        for (name, value, span) in expr.parsed.equalities() {
            let (Value::Text(text), Some(texts)) = (
                &value,
                self.fact(&name).and_then(|fact| fact.texts.as_ref()),
            ) else {
                continue;
            };
            if !texts.known.contains(text) {
                let texts: Vec<&str> = texts.listed.iter().map(|text| &**text).collect();
                let diagnostic =
                    Diagnostic::error("unknown-choice", format!("`{name}` is never `{text}`"))
                        .at(expr.span_of(&span), "not one of its choices")
                        .did_you_mean(text, texts.iter().copied());
                let listed = format!("it is one of {}", texts.join(", "));
                names::report_once(
                    d,
                    if diagnostic.hints.is_empty() {
                        diagnostic.hint(listed)
                    } else {
                        diagnostic
                    },
                );
            }
        }
    }
}
