//! The search space: which configurations exist, and how the unit cube maps onto them.
//!
//! A sampler sees only [`Axis`]es, one per dimension of the unit cube; what a coordinate means
//! (logarithms, steps, branches, repeats, derived values, constraints) is decided here alone, by
//! `Space::decode`, and undone by `Space::encode`.
//!
//! `parse` makes a space of the tables of a sweep file and `point` a partial configuration; `param`
//! is one entry, `domain` the values it can have, `expr` the language of conditions, bounds and
//! constraints, `assign` goes through the entries, `count` counts.

#[cfg(feature = "engine")]
mod assign;
#[cfg(feature = "engine")]
mod choice;
#[cfg(feature = "engine")]
mod count;
#[cfg(feature = "engine")]
mod decimal;
#[cfg(feature = "engine")]
mod domain;
#[cfg(feature = "engine")]
pub mod expr;
#[cfg(feature = "engine")]
mod extent;
pub(crate) mod known;
#[cfg(feature = "engine")]
mod log_grid;
#[cfg(feature = "engine")]
mod param;
#[cfg(feature = "engine")]
mod parse;
#[cfg(feature = "engine")]
mod point;
#[cfg(feature = "engine")]
mod real;
pub mod value;
#[cfg(feature = "engine")]
mod whole;

#[cfg(feature = "engine")]
pub use extent::Extent;
#[cfg(feature = "engine")]
pub(crate) use parse::options;
#[cfg(feature = "engine")]
pub use point::Digits;
pub use value::{Name, Params, Value};

#[cfg(feature = "engine")]
use {
    crate::numerics::stream::{self, Purpose},
    crate::source::{Diagnostics, Section},
    expr::Expr,
    param::Param,
    rand::RngExt,
    std::collections::HashMap,
};

/// One dimension of the unit cube as a sampler sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct Axis {
    /// The parameter it sets; `units[2]` for the third draw of a repeated one; the key in the file
    /// for paired rows.
    pub name: Name,
    /// What its values are like.
    pub kind: AxisKind,
}

/// What the values along an [`Axis`] are like.
#[derive(Debug, Clone, PartialEq)]
pub enum AxisKind {
    /// A continuum.
    Real,
    /// An ordered grid of this many values: integers, stepped floats, ordered choices.
    Ordered(u64),
    /// Values without order; the prior probability of each.
    Choice(Vec<f64>),
}

/// Why a configuration is not in the space.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// A parameter is missing that should exist.
    #[error("`{0}` is missing")]
    Missing(Name),
    /// A parameter is given that does not exist here.
    #[error("`{0}` does not exist in this configuration")]
    Inactive(Name),
    /// A value is outside its range or not of its choices.
    #[error("`{name}` = {value} is outside its range")]
    Outside {
        /// The parameter.
        name: Name,
        /// Its value.
        value: Value,
    },
    /// A constraint does not hold, or a bound or derived value cannot be computed.
    #[error("constraint `{0}` does not hold")]
    Constraint(String),
}

/// The parameters of a sweep with their ranges, conditions and constraints.
#[cfg(feature = "engine")]
#[derive(Debug, Clone, Default)]
pub struct Space {
    axes: Vec<Axis>,
    names: Vec<Name>,
    index: HashMap<Name, usize>,
    /// Each after all that it depends on.
    params: Vec<Param>,
    constraints: Vec<(Name, Expr)>,
}

#[cfg(feature = "engine")]
impl Space {
    /// Reads the tables `[space]` and `[constraints]`; reports everything that is wrong with them.
    pub fn parse(
        space: Section,
        constraints: Option<Section>,
        d: &mut Diagnostics,
    ) -> Option<Self> {
        parse::space(space, constraints, d)
    }

    /// Reads one `[[point]]`: a partial assignment, checked against the ranges, conditions and
    /// constraints as far as it goes.
    pub fn parse_point(
        &self,
        point: Section,
        digits: Digits,
        d: &mut Diagnostics,
    ) -> Option<Params> {
        point::parse(self, point, digits, d)
    }

    /// Returns the number of dimensions of the unit cube.
    #[must_use]
    pub fn dims(&self) -> usize {
        self.axes.len()
    }

    /// Returns the axes in the order of the coordinates.
    #[must_use]
    pub fn axes(&self) -> &[Axis] {
        &self.axes
    }

    /// Returns the names of all parameters a configuration may have, in the order of the file: the
    /// columns of the CSV.
    #[must_use]
    pub fn names(&self) -> Vec<Name> {
        self.names.clone()
    }

    /// Returns whether a parameter is drawn somewhere: neither a constant nor derived.
    #[must_use]
    pub fn is_drawn(&self, name: &str) -> bool {
        let drawn = |param: &&Param| !param.axes.is_empty();
        let sets = |param: &Param| {
            param
                .targets
                .iter()
                .any(|target| &*self.names[*target] == name)
        };
        self.params.iter().filter(drawn).any(sets)
    }

    /// Gives a value that another tool recorded for a parameter the type that it has here, wherever
    /// the parameter has a range that takes it.
    #[must_use]
    pub fn typed(&self, name: &str, value: &Value) -> Value {
        let typed = |param: &Param, value: &Value| match &param.origin {
            param::Origin::Rows { rows, .. } => {
                let column = param
                    .targets
                    .iter()
                    .position(|target| &*self.names[*target] == name);
                let alike = |known: &&Value| {
                    known
                        .as_f64()
                        .zip(value.as_f64())
                        .map_or_else(|| known.to_string() == value.to_string(), |(a, b)| a == b)
                };
                column
                    .and_then(|at| rows.iter().map(|row| &row[at]).find(alike))
                    .cloned()
            }
            _ => param
                .outer()
                .map(|domain| domain.typed(value))
                .filter(|typed| param.outer().is_some_and(|domain| domain.admits(typed))),
        };
        let each = |param: &Param| match value {
            Value::List(items) => items
                .iter()
                .map(|item| typed(param, item))
                .collect::<Option<_>>()
                .map(Value::List),
            single => typed(param, single),
        };
        let sets = |param: &&Param| {
            !param.axes.is_empty()
                && param
                    .targets
                    .iter()
                    .any(|target| &*self.names[*target] == name)
        };
        self.params
            .iter()
            .filter(sets)
            .find_map(each)
            .unwrap_or_else(|| value.clone())
    }

    /// Returns the constraints with their names.
    pub fn constraints(&self) -> impl Iterator<Item = (&Name, &Expr)> {
        self.constraints.iter().map(|(name, expr)| (name, expr))
    }

    /// Makes a configuration from a point: (d) coordinates in [0, 1). Coordinates of parameters
    /// that do not exist in it are ignored.
    ///
    /// It is in the space unless a constraint refuses it.
    #[must_use]
    pub fn decode(&self, unit: &[f64]) -> Params {
        assign::draw(self, unit, &Params::default())
    }

    /// Makes a configuration as [`decode`](Self::decode) does, but with the values of `given` where
    /// they exist.
    #[must_use]
    pub fn complete(&self, given: &Params, unit: &[f64]) -> Params {
        assign::draw(self, unit, given)
    }

    /// Returns the point of a configuration, the inverse of [`decode`](Self::decode): the centre of
    /// the cell that decodes to it. Coordinates of parameters that do not exist in it are 0.5.
    #[must_use]
    pub fn encode(&self, params: &Params) -> Vec<f64> {
        assign::encode(self, params)
    }

    /// Returns which axes exist in a configuration, (d).
    #[must_use]
    pub fn active(&self, params: &Params) -> Vec<bool> {
        assign::active(self, params)
    }

    /// Returns what is known of the values of `name` beforehand: its bounds or choices; `None` for
    /// what is derived or computed.
    #[must_use]
    pub fn extent(&self, name: &str) -> Option<Extent> {
        extent::extent(self, name)
    }

    /// Moves a point to the centre of its cell.
    #[must_use]
    pub fn snap(&self, unit: &[f64]) -> Vec<f64> {
        self.encode(&self.decode(unit))
    }

    /// Returns the centre of value number `index` on an axis that is not a continuum, as far as its
    /// range is known beforehand.
    ///
    /// Cells need not be equal: those of logarithmic integers and of weighted choices are not.
    #[must_use]
    pub fn cell(&self, axis: usize, index: u64) -> Option<f64> {
        let param = self
            .params
            .iter()
            .find(|param| param.axes.contains(&axis))?;
        if let param::Origin::Rows { rows, cases } = &param.origin {
            let case = usize::try_from(index)
                .ok()
                .filter(|case| *case < rows.len())?;
            return Some(cases.encode(case));
        }
        let domain = param.outer()?;
        domain.at(index).map(|value| domain.encode(&value))
    }

    /// Returns the axes in an order in which each stands after those that decide whether it exists.
    #[must_use]
    pub fn order(&self) -> Vec<usize> {
        self.params
            .iter()
            .flat_map(|param| param.axes.clone())
            .collect()
    }

    /// Says whether a configuration is in the space.
    ///
    /// A constraint that depends on a parameter that does not exist in the configuration does not
    /// refuse it.
    ///
    /// # Errors
    /// The first [`Refusal`] found.
    pub fn admits(&self, params: &Params) -> Result<(), Refusal> {
        assign::admits(self, params)
    }

    /// Returns the `default`s: a partial assignment, for the first point and for filling older
    /// trials.
    #[must_use]
    pub fn defaults(&self) -> Params {
        assign::defaults(self)
    }

    /// Returns the share of draws from the prior that satisfy the constraints.
    #[must_use]
    pub fn acceptance(&self, seed: u64, draws: u32) -> f64 {
        let mut rng = stream::stream(seed, Purpose::Measure, 0);
        let accepted = (0..draws).filter(|_| {
            let point: Vec<f64> = (0..self.dims()).map(|_| rng.random()).collect();
            self.admits(&self.decode(&point)).is_ok()
        });
        if draws == 0 {
            1.0
        } else {
            accepted.count() as f64 / f64::from(draws)
        }
    }

    /// Returns how many different configurations there are before constraints, `None` if it is a
    /// continuum, beyond 2^63, or if too many parameters decide over others to tell.
    #[must_use]
    pub fn size(&self) -> Option<u64> {
        count::size(self)
    }
}
