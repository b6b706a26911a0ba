//! One entry of the space: the names it sets, the conditions under which it is active, and the
//! origin of its values.

use super::domain::{Domain, Shape};
use super::expr::{EvalError, Expr};
use super::lookup::Rows;
use super::{Name, Value, mentions};
use std::borrow::Cow;
use std::ops::Range;

/// One entry of the space. Several entries may set the same name in branches that exclude each
/// other.
#[derive(Debug, Clone)]
pub(crate) struct Param {
    /// Key of the entry in the file, prefixed with its groups.
    pub(crate) name: Name,
    /// Names that the entry sets, as positions in [`Space`](super::Space)'s list of names: one
    /// name, or the columns of its rows.
    pub(crate) targets: Vec<usize>,
    /// Conditions under which the entry is active. All must hold.
    pub(crate) conditions: Vec<Condition>,
    pub(crate) source: ValueSource,
    /// Range of the coordinates that the entry uses; empty for constants and derived values.
    pub(crate) axes: Range<usize>,
    /// Default values, one for each target; empty without a default.
    pub(crate) default: Vec<Value>,
}

/// Condition under which an entry is active.
#[derive(Debug, Clone)]
pub(crate) enum Condition {
    /// Holds if the parameter at position `switch` has this value.
    Branch {
        switch: usize,
        name: Name,
        value: Value,
    },
    /// Holds if the expression is true.
    When(Expr),
}

/// ValueSource of the values of an entry.
#[derive(Debug, Clone)]
pub(crate) enum ValueSource {
    /// A constant.
    Fixed(Value),
    /// Computed from other parameters by an expression.
    Derived(Expr),
    /// Drawn from a range or choice; a list of draws if `repeat` is set.
    Drawn {
        range: Bounds,
        repeat: Option<Repeat>,
    },
    /// One of several rows, each of which sets all targets.
    Rows(Rows),
}

/// A domain, or the expressions from which it is computed.
#[derive(Debug, Clone)]
pub(crate) enum Bounds {
    /// The domain is known in advance: a choice, or a range between numbers.
    Known(Domain),
    /// At least one bound depends on other parameters. `widest` covers every range that the bounds
    /// can produce; it is `None` if no such range is known in advance.
    Computed {
        min: Option<Bound>,
        max: Option<Bound>,
        shape: Shape,
        widest: Option<Domain>,
    },
}

impl Bounds {
    /// Returns whether a bound depends on this parameter.
    fn needs(&self, name: &str) -> bool {
        let Self::Computed { min, max, .. } = self else {
            return false;
        };
        [min, max]
            .into_iter()
            .flatten()
            .any(|bound| matches!(bound, Bound::Expr(expr) if mentions(expr, name)))
    }
}

/// One end of a range.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Bound {
    /// A constant bound.
    Number(f64),
    /// A bound that depends on other parameters.
    Expr(Expr),
}

/// A list of independent draws, whose length is an expression with a known maximum.
#[derive(Debug, Clone)]
pub(crate) struct Repeat {
    /// Expression for the length of the list.
    pub(crate) count: Expr,
    /// Maximum length, which is the number of axes.
    pub(crate) max_count: usize,
}

/// Result of evaluating an entry in one configuration.
pub(crate) enum Evaluation<'a> {
    /// The entry is inactive.
    Absent,
    /// A constant or derived value.
    Value(Cow<'a, Value>),
    /// One draw from the domain.
    Draw(Cow<'a, Domain>),
    /// A list with this many draws from the domain.
    Draws(Cow<'a, Domain>, usize),
    /// One of the rows, with the probabilities of the cases.
    Rows(&'a Rows),
}

/// Lookup of names during the evaluation of an expression; `None` for an inactive parameter.
pub(crate) type ValueLookup<'a> = &'a dyn Fn(&str) -> Option<Value>;

impl Param {
    /// Returns the choices, with their values, in whose branches the entry is, the outermost first.
    pub(crate) fn branches(&self) -> impl Iterator<Item = (&Name, &Value)> {
        self.conditions
            .iter()
            .filter_map(|condition| match condition {
                Condition::Branch { name, value, .. } => Some((name, value)),
                Condition::When(_) => None,
            })
    }

    /// Returns whether the entry depends on another parameter: by a condition, by a bound, by its
    /// length, or by its value.
    pub(crate) fn needs(&self, other: &str) -> bool {
        let by_condition = self.conditions.iter().any(|condition| match condition {
            Condition::Branch { name, .. } => &**name == other,
            Condition::When(expr) => mentions(expr, other),
        });
        by_condition
            || match &self.source {
                ValueSource::Derived(expr) => mentions(expr, other),
                ValueSource::Drawn { range, repeat } => {
                    let by_length = repeat
                        .as_ref()
                        .is_some_and(|repeat| mentions(&repeat.count, other));
                    by_length || range.needs(other)
                }
                ValueSource::Fixed(_) | ValueSource::Rows(_) => false,
            }
    }
    /// Evaluates the entry, given the values of the entries it depends on.
    ///
    /// # Errors
    /// A message that says why the configuration is impossible: a bound, a length or a value that
    /// cannot be computed.
    pub(crate) fn evaluate<'a>(
        &'a self,
        values: &[Option<Value>],
        scope: ValueLookup<'_>,
    ) -> Result<Evaluation<'a>, String> {
        for condition in &self.conditions {
            let holds = match condition {
                Condition::Branch { switch, value, .. } => values[*switch].as_ref() == Some(value),
                Condition::When(expr) => match expr.eval(scope) {
                    Ok(value) => value == Value::Bool(true),
                    Err(EvalError::Absent(_)) => false,
                    // Like in a comparison, an inactive parameter makes the condition false.
                    Err(error) => return Err(self.failure("when", expr, &error)),
                },
            };
            if !holds {
                return Ok(Evaluation::Absent);
            }
        }
        match &self.source {
            ValueSource::Fixed(value) => Ok(Evaluation::Value(Cow::Borrowed(value))),
            ValueSource::Derived(expr) => match expr.eval(scope) {
                Ok(value) => Ok(Evaluation::Value(Cow::Owned(value))),
                // A value derived from an inactive parameter is inactive, too.
                Err(EvalError::Absent(_)) => Ok(Evaluation::Absent),
                Err(error) => Err(self.failure("expr", expr, &error)),
            },
            ValueSource::Rows(rows) => Ok(Evaluation::Rows(rows)),
            ValueSource::Drawn { range, repeat } => {
                let Some(domain) = self.domain(range, scope)? else {
                    return Ok(Evaluation::Absent);
                };
                let Some(repeat) = repeat else {
                    return Ok(Evaluation::Draw(domain));
                };
                match repeat.count.eval(scope) {
                    // There are axes for `max_count` draws only: a longer list cannot be decoded.
                    Ok(Value::Int(count))
                        if count >= 0 && count as u64 <= repeat.max_count as u64 =>
                    {
                        Ok(Evaluation::Draws(domain, count as usize))
                    }
                    Ok(other) => Err(format!("{}: `repeat` is {other}", self.name)),
                    Err(EvalError::Absent(_)) => Ok(Evaluation::Absent),
                    Err(error) => Err(self.failure("repeat", &repeat.count, &error)),
                }
            }
        }
    }

    /// Evaluates the bounds and makes the domain. Returns `None` if a bound depends on an inactive
    /// parameter.
    fn domain<'a>(
        &self,
        range: &'a Bounds,
        scope: ValueLookup<'_>,
    ) -> Result<Option<Cow<'a, Domain>>, String> {
        let (min, max, shape) = match range {
            Bounds::Known(domain) => return Ok(Some(Cow::Borrowed(domain))),
            Bounds::Computed {
                min, max, shape, ..
            } => (min, max, shape),
        };
        let mut numbers = [None, None];
        for (number, bound) in numbers.iter_mut().zip([min, max]) {
            if let Some(bound) = bound {
                let Some(evaluated) = self.bound(bound, scope)? else {
                    return Ok(None);
                };
                *number = Some(evaluated);
            }
        }
        match Domain::range(numbers[0], numbers[1], shape) {
            Ok(domain) => Ok(Some(Cow::Owned(domain))),
            Err(error) => Err(format!("{}: {error}", self.name)),
        }
    }

    /// Evaluates a bound. Returns `None` if it depends on an inactive parameter.
    fn bound(&self, bound: &Bound, scope: ValueLookup<'_>) -> Result<Option<f64>, String> {
        let expr = match bound {
            Bound::Number(number) => return Ok(Some(*number)),
            Bound::Expr(expr) => expr,
        };
        match expr.eval(scope) {
            Ok(value) => value
                .as_f64()
                .map(Some)
                .ok_or_else(|| format!("{}: the bound `{}` is {value}", self.name, expr.text())),
            Err(EvalError::Absent(_)) => Ok(None),
            Err(error) => Err(self.failure("bound", expr, &error)),
        }
    }

    fn failure(&self, role: &str, expr: &Expr, error: &EvalError) -> String {
        format!("{}: {role} = {}: {error}", self.name, expr.text())
    }

    /// Converts a value recorded by another tool to the type of this entry, or of one column of its
    /// rows. Returns `None` if the entry does not admit it.
    pub(crate) fn typed(&self, column: usize, value: &Value) -> Option<Value> {
        if let ValueSource::Rows(rows) = &self.source {
            let mut values = rows.rows.iter().map(|row| &row[column]);
            return values.find(|cell| is_alike(cell, value)).cloned();
        }
        let domain = self.widest_domain()?;
        Some(domain.typed(value)).filter(|typed| domain.admits(typed))
    }

    /// Returns the expressions that determine the values: bounds, length, derivation.
    pub(crate) fn exprs(&self) -> impl Iterator<Item = &Expr> {
        let bounds = match &self.source {
            ValueSource::Drawn {
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
        let other = match &self.source {
            ValueSource::Derived(expr) => Some(expr),
            ValueSource::Drawn { repeat, .. } => repeat.as_ref().map(|repeat| &repeat.count),
            _ => None,
        };
        bounds.chain(other)
    }

    /// Returns the domain if it is known in advance. For computed bounds this is the widest
    /// possible domain.
    pub(crate) fn widest_domain(&self) -> Option<&Domain> {
        match &self.source {
            ValueSource::Drawn {
                range: Bounds::Known(domain),
                ..
            } => Some(domain),
            ValueSource::Drawn {
                range: Bounds::Computed { widest, .. },
                ..
            } => widest.as_ref(),
            _ => None,
        }
    }
}

/// Returns whether two numbers are equal, or two other values have the same text.
fn is_alike(a: &Value, b: &Value) -> bool {
    match (a.as_f64(), b.as_f64()) {
        (Some(a), Some(b)) => a == b,
        _ => a.to_string() == b.to_string(),
    }
}

impl Condition {
    /// Returns whether the condition is certainly false, given values of which some may be unknown.
    pub(crate) fn fails(&self, values: &[Option<Value>], scope: ValueLookup<'_>) -> bool {
        match self {
            Self::Branch { switch, value, .. } => {
                values[*switch].as_ref().is_some_and(|other| other != value)
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
