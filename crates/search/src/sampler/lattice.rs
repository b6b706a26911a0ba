//! The configurations of a finite space in order, and how many there are.
//!
//! The configurations are never listed: a position is one index per axis.

use std::sync::Arc;
use swath_model::space::{Axis, AxisKind, Params, Space};

/// Maximum number of configurations that are examined one by one, to count them or to find one.
const MOST_EXAMINED: usize = 100_000;

/// The positions of the points along one axis.
#[derive(Debug)]
pub(super) enum Line {
    /// The centres of this many cells of equal width, for integers and steps.
    Cells(u64),
    /// This many points from end to end, both ends included, for floats.
    Spread(u64),
    /// The centres of the shares of the choices.
    At(Vec<f64>),
}

impl Line {
    /// Returns the points of an axis. `spread` is the number of points of a float; without it a
    /// float has none.
    pub(super) fn of(axis: &Axis, spread: Option<u64>) -> Option<Self> {
        Some(match &axis.kind {
            AxisKind::Real => Self::Spread(spread?),
            AxisKind::Ordered(n) => Self::Cells((*n).max(1)),
            AxisKind::Choice(weights) => {
                let mut low = 0.0;
                let mut centres = Vec::new();
                for weight in weights {
                    // A choice of weight 0 is never proposed.
                    if *weight > 0.0 {
                        centres.push(low + weight / 2.0);
                    }
                    low += weight;
                }
                Self::At(centres)
            }
        })
    }

    /// Returns the number of points.
    pub(super) fn len(&self) -> u64 {
        match self {
            Self::Cells(n) | Self::Spread(n) => *n,
            Self::At(centres) => centres.len() as u64,
        }
    }

    /// Returns the coordinate of point number `digit` in the unit cube.
    fn coordinate(&self, space: &Space, axis: usize, digit: u64) -> f64 {
        match self {
            Self::Cells(n) => space
                .cell(axis, digit)
                .unwrap_or((digit as f64 + 0.5) / *n as f64),
            Self::Spread(1) => 0.5,
            Self::Spread(n) => (digit as f64 / (*n - 1) as f64).min(1.0 - f64::EPSILON / 2.0),
            Self::At(centres) => centres[digit as usize],
        }
    }
}

/// All combinations of the points of each axis.
#[derive(Debug)]
pub(super) struct Lattice {
    space: Arc<Space>,
    /// The points of each axis, in the order of the axes.
    lines: Vec<Line>,
    /// The order in which axes advance, parents before children: the last axis varies fastest.
    order: Vec<usize>,
}

impl Lattice {
    /// Creates the combinations of `lines`, one for each axis of the space.
    pub(super) fn new(space: Arc<Space>, lines: Vec<Line>) -> Self {
        let order = space.order();
        Self {
            space,
            lines,
            order,
        }
    }

    /// Creates the configurations of a finite space; `None` for an infinite one, or if it is too
    /// large to be counted.
    pub(super) fn of_finite(space: &Arc<Space>) -> Option<Self> {
        space.size()?;
        // A real axis of a finite space is never active: any one point will do.
        let lines = space.axes().iter().map(|axis| Line::of(axis, Some(1)));
        Some(Self::new(Arc::clone(space), lines.collect::<Option<_>>()?))
    }

    /// Returns the points of each axis.
    pub(super) fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// Returns the position of the first combination. Returns `None` if an axis has no points, as a
    /// choice whose weights are all 0.
    pub(super) fn first(&self) -> Option<Vec<u64>> {
        let has_points = self.lines.iter().all(|line| line.len() > 0);
        has_points.then(|| vec![0; self.lines.len()])
    }

    /// Returns the configuration at a position.
    pub(super) fn decode(&self, digits: &[u64]) -> Params {
        let lines = self.lines.iter().zip(digits).enumerate();
        let unit: Vec<f64> = lines
            .map(|(axis, (line, digit))| line.coordinate(&self.space, axis, *digit))
            .collect();
        self.space.decode(&unit)
    }

    /// Returns the position after `digits`, whose configuration is `params`; the last axis varies
    /// fastest. Axes that are inactive in this configuration do not advance, because their value
    /// makes no difference.
    pub(super) fn after(&self, digits: &[u64], params: &Params) -> Option<Vec<u64>> {
        let active = self.space.active(params);
        let at = self.order.iter().rposition(|axis| {
            let is_active = active.get(*axis).copied().unwrap_or(true);
            is_active && digits[*axis] + 1 < self.lines[*axis].len()
        })?;
        let mut next = digits.to_vec();
        next[self.order[at]] += 1;
        for axis in &self.order[at + 1..] {
            next[*axis] = 0;
        }
        Some(next)
    }

    /// Examines the configurations from the first on. Returns the first one that the constraints
    /// admit and `is_wanted` accepts.
    pub(super) fn find(&self, mut is_wanted: impl FnMut(&Params) -> bool) -> Search {
        let mut digits = self.first();
        for _ in 0..MOST_EXAMINED {
            let Some(here) = &digits else {
                return Search::Exhausted;
            };
            let params = self.decode(here);
            if self.space.admits(&params).is_ok() && is_wanted(&params) {
                return Search::Found(params);
            }
            digits = self.after(here, &params);
        }
        Search::Unfinished
    }
}

/// The result of [`Lattice::find`].
pub(super) enum Search {
    /// A configuration.
    Found(Params),
    /// The space has no such configuration.
    Exhausted,
    /// None of the first 100,000 configurations.
    Unfinished,
}

/// Returns the number of configurations that the constraints of a space admit, if it is below
/// `most`. Returns `None` otherwise, for an infinite space, and for one of more than 100,000
/// configurations before constraints.
#[must_use]
pub fn configurations(space: &Arc<Space>, most: u64) -> Option<u64> {
    let lattice = Lattice::of_finite(space)?;
    // Different positions can give the same configuration if a range depends on other parameters.
    let mut distinct = std::collections::HashSet::new();
    let search = lattice.find(|params| {
        distinct.insert(params.key());
        distinct.len() as u64 >= most
    });
    matches!(search, Search::Exhausted).then_some(distinct.len() as u64)
}
