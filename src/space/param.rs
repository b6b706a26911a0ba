//! One entry of the space: what it sets, when it exists, and where its values come from.

use super::choice::Cases;
use super::domain::{Domain, Shape};
use super::expr::{EvalError, Expr};
use super::{Name, Value};
use std::borrow::Cow;
use std::ops::Range;

/// One entry of the space. Several may set the same name, in branches that exclude each other.
#[derive(Debug, Clone)]
pub(crate) struct Param {
    /// Its key in the file, with the groups it stands in.
    pub(crate) name: Name,
    /// The names it sets, as positions in the list of names: one, or the columns of its rows.
    pub(crate) targets: Vec<usize>,
    /// All must hold for it to exist.
    pub(crate) conditions: Vec<Condition>,
    pub(crate) origin: Origin,
    /// Its coordinates.
    pub(crate) axes: Range<usize>,
    /// The first values to try, one for each target; none without a default.
    pub(crate) default: Vec<Value>,
}

/// When something exists.
#[derive(Debug, Clone)]
pub(crate) enum Condition {
    /// A choice has taken this value.
    Branch {
        switch: usize,
        name: Name,
        value: Value,
    },
    /// An expression is true.
    When(Expr),
}

/// Where values come from.
#[derive(Debug, Clone)]
pub(crate) enum Origin {
    Fixed(Value),
    Derived(Expr),
    Drawn {
        range: Bounds,
        repeat: Option<Repeat>,
    },
    Rows {
        rows: Vec<Vec<Value>>,
        cases: Cases,
    },
}

/// A domain, or the expressions that make one.
#[derive(Debug, Clone)]
pub(crate) enum Bounds {
    Known(Domain),
    /// `outer` covers every range the bounds can make, as far as that can be told.
    Computed {
        min: Option<Bound>,
        max: Option<Bound>,
        shape: Shape,
        outer: Option<Domain>,
    },
}

/// One end of a range.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Bound {
    Number(f64),
    Expr(Expr),
}

/// How many independent draws make a list.
#[derive(Debug, Clone)]
pub(crate) struct Repeat {
    pub(crate) count: Expr,
    pub(crate) most: usize,
}

/// What an entry comes to in one configuration.
pub(crate) enum Settled<'a> {
    /// It does not exist.
    Absent,
    Value(Cow<'a, Value>),
    Draw(Cow<'a, Domain>),
    /// A list of so many draws.
    Draws(Cow<'a, Domain>, usize),
    Rows(&'a [Vec<Value>], &'a Cases),
}

/// How names are looked up while expressions are computed.
pub(crate) type Scope<'a> = &'a dyn Fn(&str) -> Option<Value>;

impl Param {
    /// Finds out what the entry comes to, given the values of what it depends on.
    ///
    /// # Errors
    /// Why the configuration is impossible: a bound, a length or a value that cannot be computed.
    pub(crate) fn settle<'a>(
        &'a self,
        values: &[Option<Value>],
        scope: Scope<'_>,
    ) -> Result<Settled<'a>, String> {
        for condition in &self.conditions {
            let holds = match condition {
                Condition::Branch { switch, value, .. } => values[*switch].as_ref() == Some(value),
                Condition::When(expr) => match expr.eval(scope) {
                    Ok(value) => value == Value::Bool(true),
                    Err(EvalError::Absent(_)) => false,
                    Err(error) => return Err(self.trouble("when", expr, &error)),
                },
            };
            if !holds {
                return Ok(Settled::Absent);
            }
        }
        match &self.origin {
            Origin::Fixed(value) => Ok(Settled::Value(Cow::Borrowed(value))),
            Origin::Derived(expr) => match expr.eval(scope) {
                Ok(value) => Ok(Settled::Value(Cow::Owned(value))),
                Err(EvalError::Absent(_)) => Ok(Settled::Absent),
                Err(error) => Err(self.trouble("expr", expr, &error)),
            },
            Origin::Rows { rows, cases } => Ok(Settled::Rows(rows, cases)),
            Origin::Drawn { range, repeat } => {
                let Some(domain) = self.domain(range, scope)? else {
                    return Ok(Settled::Absent);
                };
                let Some(repeat) = repeat else {
                    return Ok(Settled::Draw(domain));
                };
                match repeat.count.eval(scope) {
                    Ok(Value::Int(count)) if count >= 0 && count as u64 <= repeat.most as u64 => {
                        Ok(Settled::Draws(domain, count as usize))
                    }
                    Ok(other) => Err(format!("{}: `repeat` is {other}", self.name)),
                    Err(EvalError::Absent(_)) => Ok(Settled::Absent),
                    Err(error) => Err(self.trouble("repeat", &repeat.count, &error)),
                }
            }
        }
    }

    fn domain<'a>(
        &self,
        range: &'a Bounds,
        scope: Scope<'_>,
    ) -> Result<Option<Cow<'a, Domain>>, String> {
        let (min, max, shape) = match range {
            Bounds::Known(domain) => return Ok(Some(Cow::Borrowed(domain))),
            Bounds::Computed {
                min, max, shape, ..
            } => (min, max, shape),
        };
        let end = |bound: &Option<Bound>| match bound {
            None => Ok(Some(None)),
            Some(Bound::Number(number)) => Ok(Some(Some(*number))),
            Some(Bound::Expr(expr)) => match expr.eval(scope) {
                Ok(value) => match value.as_f64() {
                    Some(number) => Ok(Some(Some(number))),
                    None => Err(format!(
                        "{}: the bound `{}` is {value}",
                        self.name,
                        expr.text()
                    )),
                },
                Err(EvalError::Absent(_)) => Ok(None),
                Err(error) => Err(self.trouble("bound", expr, &error)),
            },
        };
        let (Some(min), Some(max)) = (end(min)?, end(max)?) else {
            return Ok(None);
        };
        match Domain::range(min, max, shape) {
            Ok(domain) => Ok(Some(Cow::Owned(domain))),
            Err(fault) => Err(format!("{}: {fault}", self.name)),
        }
    }

    fn trouble(&self, role: &str, expr: &Expr, error: &EvalError) -> String {
        format!("{}: {role} = {}: {error}", self.name, expr.text())
    }

    /// Returns the expressions its values come from: bounds, length, derivation.
    pub(crate) fn exprs(&self) -> impl Iterator<Item = &Expr> {
        let bounds = match &self.origin {
            Origin::Drawn {
                range: Bounds::Computed { min, max, .. },
                ..
            } => [min.as_ref(), max.as_ref()],
            _ => [None, None],
        };
        let bounds = bounds
            .into_iter()
            .flatten()
            .filter_map(|bound| match bound {
                Bound::Expr(expr) => Some(expr),
                Bound::Number(_) => None,
            });
        let other = match &self.origin {
            Origin::Derived(expr) => Some(expr),
            Origin::Drawn { repeat, .. } => repeat.as_ref().map(|repeat| &repeat.count),
            _ => None,
        };
        bounds.chain(other)
    }

    /// Returns the domain as far as it is known beforehand.
    pub(crate) fn outer(&self) -> Option<&Domain> {
        match &self.origin {
            Origin::Drawn {
                range: Bounds::Known(domain),
                ..
            } => Some(domain),
            Origin::Drawn {
                range: Bounds::Computed { outer, .. },
                ..
            } => outer.as_ref(),
            _ => None,
        }
    }
}

impl Condition {
    /// Returns whether it certainly does not hold, when some values may not be known.
    pub(crate) fn fails(&self, values: &[Option<Value>], scope: Scope<'_>) -> bool {
        match self {
            Self::Branch { switch, value, .. } => {
                values[*switch].as_ref().is_some_and(|found| found != value)
            }
            Self::When(expr) => matches!(expr.holds(scope), Ok(Some(false))),
        }
    }
}

impl std::fmt::Display for Condition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Branch {
                name,
                value: Value::Text(value),
                ..
            } => write!(f, "{name} == '{value}'"),
            Self::Branch { name, value, .. } => write!(f, "{name} == {value}"),
            Self::When(expr) => f.write_str(expr.text()),
        }
    }
}
