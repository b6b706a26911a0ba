//! The search space: which configurations exist, and how the unit cube maps onto them.
//!
//! A sampler sees only [`Axis`]es, one per dimension of the unit cube; what a coordinate means (logarithms, steps, branches, repeats,
//! derived values, constraints) is decided here alone, by [`Space::decode`], and undone by [`Space::encode`].

#[cfg(feature = "engine")]
pub mod expr;
pub mod value;

#[cfg(feature = "engine")]
use crate::source::{Diagnostics, Section};
pub use value::{Name, Params, Value};

/// One dimension of the unit cube as a sampler sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct Axis {
    /// The parameter it sets; `units[2]` for the third draw of a repeated one.
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
    /// A constraint does not hold.
    #[error("constraint `{0}` does not hold")]
    Constraint(String),
}

/// The parameters of a sweep with their ranges, conditions and constraints.
#[derive(Debug, Clone, Default)]
pub struct Space {
    axes: Vec<Axis>,
}

impl Space {
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

    /// Returns the names of all parameters a configuration may have, in the order of the file: the columns of the CSV.
    #[must_use]
    pub fn names(&self) -> Vec<Name> {
        Vec::new()
    }

    /// Makes a configuration from a point: (d) coordinates in [0, 1). Coordinates of parameters that do not exist in it are ignored.
    #[must_use]
    pub fn decode(&self, _unit: &[f64]) -> Params {
        Params::default()
    }

    /// Returns the point of a configuration, the inverse of [`decode`](Self::decode): the centre of the cell that decodes to it.
    /// Coordinates of parameters that do not exist in it are 0.5.
    #[must_use]
    pub fn encode(&self, _params: &Params) -> Vec<f64> {
        Vec::new()
    }

    /// Returns which axes exist in a configuration, (d).
    #[must_use]
    pub fn active(&self, _params: &Params) -> Vec<bool> {
        Vec::new()
    }

    /// Says whether a configuration is in the space.
    ///
    /// # Errors
    /// The first [`Refusal`] found.
    pub fn admits(&self, _params: &Params) -> Result<(), Refusal> {
        Ok(())
    }

    /// Reads the tables `[space]` and `[constraints]`; reports everything that is wrong with them.
    #[cfg(feature = "engine")]
    pub fn parse(_space: Section, _constraints: Option<Section>, _d: &mut Diagnostics) -> Option<Self> {
        None
    }

    /// Reads one `[[point]]`: a partial assignment, checked.
    #[cfg(feature = "engine")]
    pub fn parse_point(&self, _point: Section, _d: &mut Diagnostics) -> Option<Params> {
        None
    }

    /// Makes a configuration as [`decode`](Self::decode) does, but with the values of `given` where they exist.
    #[must_use]
    pub fn complete(&self, _given: &Params, unit: &[f64]) -> Params {
        self.decode(unit)
    }

    /// Moves a point to the centre of its cell.
    #[must_use]
    pub fn snap(&self, unit: &[f64]) -> Vec<f64> {
        self.encode(&self.decode(unit))
    }

    /// Returns the `default`s: a partial assignment, for the first point and for filling older trials.
    #[must_use]
    pub fn defaults(&self) -> Params {
        Params::default()
    }

    /// Returns the share of draws from the prior that satisfy the constraints.
    #[must_use]
    pub fn acceptance(&self, _seed: u64, _draws: u32) -> f64 {
        1.0
    }

    /// Returns how many different configurations there are before constraints, `None` if it is a continuum or beyond 2^63.
    #[must_use]
    pub fn size(&self) -> Option<u64> {
        None
    }
}
