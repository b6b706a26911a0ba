//! The search space: the set of configurations, and the map from the unit cube onto them.
//!
//! A sampler sees only [`Axis`]es, one per dimension of the unit cube. The meaning of a coordinate
//! (logarithms, steps, branches, repeats, derived values, constraints) is decided only in this
//! module, by `Space::decode`, and inverted by `Space::encode`.
//!
//! `parse` reads a space from the tables of a sweep file and `point` reads a partial configuration.
//! `param` is one entry of the space, and `domain` the set of its values. `expr` is the language of
//! conditions, bounds and constraints. `assign` evaluates the entries in order, and `count` counts
//! configurations.

#[cfg(feature = "spaces")]
mod assign;
#[cfg(feature = "spaces")]
mod choice;
#[cfg(feature = "spaces")]
mod count;
#[cfg(feature = "spaces")]
mod decimal;
#[cfg(feature = "spaces")]
mod domain;
#[cfg(feature = "spaces")]
pub mod expr;
#[cfg(feature = "spaces")]
mod extent;
#[cfg(feature = "spaces")]
mod int_range;
pub(crate) mod intern;
#[cfg(feature = "spaces")]
mod log_grid;
#[cfg(feature = "spaces")]
mod lookup;
#[cfg(feature = "spaces")]
mod param;
#[cfg(feature = "spaces")]
mod parse;
#[cfg(feature = "spaces")]
mod point;
#[cfg(feature = "spaces")]
mod real_range;
pub mod typed;
pub mod value;

#[cfg(feature = "spaces")]
pub use extent::Extent;
pub use intern::intern;
#[cfg(feature = "spaces")]
pub use parse::options;
#[cfg(feature = "spaces")]
pub use point::Digits;
pub use typed::ParamError;
pub use value::{Name, Params, Value};

#[cfg(feature = "spaces")]
use {
    crate::source::{Diagnostics, Section},
    expr::Expr,
    param::Param,
    rand::RngExt,
    std::collections::HashMap,
    swath_numerics::stream::{self, Purpose},
};

/// One dimension of the unit cube.
#[derive(Debug, Clone, PartialEq)]
pub struct Axis {
    /// Name of the parameter that this axis sets: `units[2]` for the third draw of a repeated
    /// parameter, the key in the file for paired rows.
    pub name: Name,
    /// Type of the values along the axis.
    pub kind: AxisKind,
}

/// Type of the values along an [`Axis`].
#[derive(Debug, Clone, PartialEq)]
pub enum AxisKind {
    /// Real numbers, not restricted to a grid.
    Real,
    /// An ordered grid with this many values: integers, stepped floats, ordered choices.
    Ordered(u64),
    /// Unordered values, with the prior probability of each.
    Choice(Vec<f64>),
}

/// Reason why a configuration is not in the space.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// A parameter that is active in this configuration has no value.
    #[error("`{0}` is missing")]
    Missing(Name),
    /// A parameter that is inactive in this configuration has a value.
    #[error("`{0}` does not exist in this configuration")]
    Inactive(Name),
    /// A value is outside its range or not among its choices.
    #[error("`{name}` = {value} is outside its range")]
    Outside {
        /// Name of the parameter.
        name: Name,
        /// Rejected value.
        value: Value,
    },
    /// A constraint does not hold, or a bound or derived value cannot be computed. The text names
    /// it.
    #[error("constraint `{0}` does not hold")]
    Constraint(String),
}

/// The parameters of a sweep with their ranges, conditions and constraints.
#[cfg(feature = "spaces")]
#[derive(Debug, Clone, Default)]
pub struct Space {
    axes: Vec<Axis>,
    names: Vec<Name>,
    index: HashMap<Name, usize>,
    /// In topological order: every entry stands after the entries it depends on.
    params: Vec<Param>,
    /// For each name, the entries that set it, each with the position of the name among its
    /// targets.
    setters: Vec<Vec<(usize, usize)>>,
    constraints: Vec<(Name, Expr)>,
}

#[cfg(feature = "spaces")]
impl Space {
    /// Reads the tables `[space]` and `[constraints]`. Reports every mistake in them.
    pub fn parse(
        space: Section,
        constraints: Option<Section>,
        d: &mut Diagnostics,
    ) -> Option<Self> {
        parse::read_space(space, constraints, d)
    }

    /// Reads one `[[point]]`, a partial configuration. Values are checked against ranges,
    /// conditions and constraints as far as the given values determine them. Returns `None` after
    /// reporting a mistake.
    pub fn parse_point(
        &self,
        point: Section,
        digits: Digits,
        d: &mut Diagnostics,
    ) -> Option<Params> {
        point::parse(self, point, digits, d)
    }

    /// Returns the number of dimensions d of the unit cube.
    #[must_use]
    pub fn dims(&self) -> usize {
        self.axes.len()
    }

    /// Returns the axes in the order of the coordinates, (d).
    #[must_use]
    pub fn axes(&self) -> &[Axis] {
        &self.axes
    }

    /// Returns the name of a parameter below the choice whose branch it is in: `model.C` for a
    /// parameter `C` that exists for one value of the choice `model`, and the plain name outside of
    /// branches.
    #[must_use]
    pub fn path_in_branches(&self, name: &str, params: &Params) -> String {
        let Some((switch, group)) = self.branch(name, params) else {
            return name.to_owned();
        };
        let path = self.path_in_branches(&switch, params);
        let own = name.strip_prefix(&*group).unwrap_or(name);
        // The file may write the choice into the name itself.
        match name.starts_with(&format!("{switch}.")) {
            true => name.to_owned(),
            false => format!("{path}.{own}"),
        }
    }

    /// Returns the choice whose branch sets a parameter in this configuration, the innermost one,
    /// and the prefix of the group that the choice is in.
    fn branch(&self, name: &str, params: &Params) -> Option<(Name, String)> {
        let slot = *self.index.get(name)?;
        self.setters[slot].iter().find_map(|(param, _)| {
            let branches: Vec<(&Name, &Value)> = self.params[*param].branches().collect();
            let is_active = branches
                .iter()
                .all(|(switch, value)| params.get(switch) == Some(value));
            let (switch, _) = branches.last().filter(|_| is_active)?;
            let group = switch.rfind('.').map_or("", |dot| &switch[..=dot]);
            Some(((*switch).clone(), group.to_owned()))
        })
    }

    /// Returns whether other parameters, their bounds or the constraints depend on this one.
    #[must_use]
    pub fn is_needed_by_others(&self, name: &str) -> bool {
        let in_constraint = self
            .constraints
            .iter()
            .any(|(_, expr)| mentions(expr, name));
        in_constraint || self.params.iter().any(|param| param.needs(name))
    }

    /// Returns the names of all parameters that a configuration may have, in the order of the file.
    /// They are the parameter columns of the CSV.
    #[must_use]
    pub fn names(&self) -> Vec<Name> {
        self.names.clone()
    }

    /// Returns whether a parameter is sampled by at least one entry, neither constant nor derived.
    #[must_use]
    pub fn is_drawn(&self, name: &str) -> bool {
        self.drawn_params(name).next().is_some()
    }

    /// Converts a value recorded by another tool to the type that the parameter has in this space,
    /// wherever a range of the parameter admits it. Otherwise returns the value unchanged.
    #[must_use]
    pub fn typed(&self, name: &str, value: &Value) -> Value {
        self.drawn_params(name)
            .find_map(|(param, column)| match value {
                Value::List(items) => items
                    .iter()
                    .map(|item| param.typed(column, item))
                    .collect::<Option<_>>()
                    .map(Value::List),
                single => param.typed(column, single),
            })
            .unwrap_or_else(|| value.clone())
    }

    /// Returns the sampled entries that set a name, each with the position of the name among its
    /// targets.
    fn drawn_params(&self, name: &str) -> impl Iterator<Item = (&Param, usize)> {
        let slot = self.index.get(name).copied();
        slot.into_iter()
            .flat_map(|slot| &self.setters[slot])
            .map(|(param, column)| (&self.params[*param], *column))
            .filter(|(param, _)| !param.axes.is_empty())
    }

    /// Returns the constraints with their names, in the order of the space.
    pub fn constraints(&self) -> impl Iterator<Item = (&Name, &Expr)> {
        self.constraints.iter().map(|(name, expr)| (name, expr))
    }

    /// Maps a point, (d) coordinates in [0, 1), to a configuration. Coordinates of inactive
    /// parameters are ignored.
    ///
    /// The configuration is in the space unless a constraint rejects it.
    #[must_use]
    pub fn decode(&self, unit: &[f64]) -> Params {
        assign::draw(self, unit, &Params::default())
    }

    /// Maps a point to a configuration as [`decode`](Self::decode) does, but uses the values in
    /// `fixed` for the active parameters that have one.
    #[must_use]
    pub fn complete(&self, fixed: &Params, unit: &[f64]) -> Params {
        assign::draw(self, unit, fixed)
    }

    /// Maps a configuration to a point, the inverse of [`decode`](Self::decode): the centre of the
    /// cell that decodes to it. Coordinates of inactive parameters are 0.5.
    #[must_use]
    pub fn encode(&self, params: &Params) -> Vec<f64> {
        assign::encode(self, params)
    }

    /// Returns which axes are active in a configuration, (d).
    #[must_use]
    pub fn active(&self, params: &Params) -> Vec<bool> {
        assign::active(self, params)
    }

    /// Returns the bounds or choices of the parameter `name`; `None` if its values are derived or
    /// computed and thus not known in advance.
    #[must_use]
    pub fn extent(&self, name: &str) -> Option<Extent> {
        extent::extent(self, name)
    }

    /// Moves a point to the centre of the cell that contains it.
    #[must_use]
    pub fn snap(&self, unit: &[f64]) -> Vec<f64> {
        self.encode(&self.decode(unit))
    }

    /// Returns the centre of the cell of value number `index` on a discrete axis. Returns `None`
    /// for a real axis, an index out of range, or a range that cannot be known in advance.
    ///
    /// Cells need not be equal in size: those of logarithmic integers and of weighted choices are
    /// not.
    #[must_use]
    pub fn cell(&self, axis: usize, index: u64) -> Option<f64> {
        let param = self
            .params
            .iter()
            .find(|param| param.axes.contains(&axis))?;
        if let param::ValueSource::Rows(rows) = &param.source {
            let case = usize::try_from(index)
                .ok()
                .filter(|case| *case < rows.rows.len())?;
            return Some(rows.cases.encode(case));
        }
        let domain = param.widest_domain()?;
        domain.value_at(index).map(|value| domain.encode(&value))
    }

    /// Returns the axes in topological order: each after the axes that decide whether it is active.
    #[must_use]
    pub fn order(&self) -> Vec<usize> {
        self.params
            .iter()
            .flat_map(|param| param.axes.clone())
            .collect()
    }

    /// Checks whether a configuration is in the space.
    ///
    /// A constraint that depends on an inactive parameter does not reject the configuration.
    ///
    /// # Errors
    /// The first [`Refusal`] found.
    pub fn admits(&self, params: &Params) -> Result<(), Refusal> {
        assign::admits(self, params)
    }

    /// Returns the `default` values, a partial configuration. It is used as the first point, and to
    /// fill in parameters that older trials do not have.
    #[must_use]
    pub fn defaults(&self) -> Params {
        assign::defaults(self)
    }

    /// Returns the share of `draws` samples from the prior that satisfy the constraints; 1 if
    /// `draws` is 0.
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

    /// Returns the number of different configurations before constraints. Returns `None` if there
    /// is a real axis, if the number exceeds 2^63, or if too many parameters decide over others to
    /// count.
    #[must_use]
    pub fn size(&self) -> Option<u64> {
        count::size(self)
    }
}

/// Returns whether an expression names a parameter.
#[cfg(feature = "spaces")]
fn mentions(expr: &Expr, name: &str) -> bool {
    expr.mentions()
        .iter()
        .any(|(mention, _)| &**mention == name)
}
