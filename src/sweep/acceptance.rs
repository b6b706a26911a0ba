//! How much of a space satisfies its constraints, and which constraint is to blame.

use super::parse::Raw;
use crate::numerics::stream::{self, Purpose};
use crate::source::{Diagnostic, Key};
use crate::space::{AxisKind, Refusal, Space};
use rand::RngExt;
use std::collections::BTreeMap;

/// Draws after which a space without a single accepted configuration is called empty.
const MOST_DRAWS: u32 = 20_000;
/// Spaces up to this size are looked at whole instead of drawn from.
const WHOLE: u64 = 20_000;
/// Accepted draws that settle the question when a file is only read.
const ENOUGH: u32 = 100;

/// How much of a space satisfies its constraints.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Acceptance {
    /// Configurations looked at.
    pub draws: u32,
    /// Those that satisfy every constraint.
    pub accepted: u32,
    /// Whether all configurations were looked at, rather than drawn from the prior.
    pub whole: bool,
    /// How many each reason refused, counted by the first that did.
    pub refused: BTreeMap<String, u32>,
}

impl Acceptance {
    /// Measures with a given number of draws from the prior, or by looking at every configuration
    /// where they are few.
    #[must_use]
    pub fn measure(space: &Space, seed: u64, draws: u32) -> Self {
        if space.constraints().next().is_none() {
            return Self::estimate(space, seed);
        }
        Self::over(space, seed, draws, u32::MAX)
    }

    /// Finds out whether anything is accepted, and roughly how much, with few draws if it is much.
    pub(super) fn estimate(space: &Space, seed: u64) -> Self {
        Self::over(space, seed, MOST_DRAWS, ENOUGH)
    }

    /// Returns the share that is accepted.
    #[must_use]
    pub fn rate(&self) -> f64 {
        f64::from(self.accepted) / f64::from(self.draws.max(1))
    }

    fn over(space: &Space, seed: u64, draws: u32, enough: u32) -> Self {
        let mut measured = Self::default();
        if let Some(cells) = cells(space) {
            measured.whole = true;
            let mut at = vec![0; cells.len()];
            loop {
                measured.look(
                    space,
                    &cells
                        .iter()
                        .zip(&at)
                        .map(|(axis, at)| axis[*at])
                        .collect::<Vec<_>>(),
                );
                if !advance(&mut at, &cells) || measured.accepted >= enough {
                    return measured;
                }
            }
        }
        let mut rng = stream::stream(seed, Purpose::Measure, 0);
        while measured.draws < draws && measured.accepted < enough {
            let unit: Vec<f64> = (0..space.dims()).map(|_| rng.random()).collect();
            measured.look(space, &unit);
        }
        measured
    }

    fn look(&mut self, space: &Space, unit: &[f64]) {
        self.draws += 1;
        match space.admits(&space.decode(unit)) {
            Ok(()) => self.accepted += 1,
            Err(Refusal::Constraint(name)) => *self.refused.entry(name).or_default() += 1,
            Err(other) => *self.refused.entry(other.to_string()).or_default() += 1,
        }
    }

    /// Says that the space is empty, naming what refuses most.
    pub(super) fn refusal(&self, raw: &Raw) -> Option<Diagnostic> {
        if self.accepted > 0 || self.draws == 0 {
            return None;
        }
        let message = match (self.whole, self.draws) {
            (true, 1) => "the only configuration of this space breaks a constraint".to_owned(),
            (true, all) => {
                format!(
                    "the space is empty: none of its {all} configurations satisfies the constraints"
                )
            }
            (false, all) => {
                format!(
                    "the space is empty: none of {all} configurations drawn satisfies the constraints"
                )
            }
        };
        let mut error = Diagnostic::error("empty-space", message);
        let mut blamed: Vec<_> = self.refused.iter().collect();
        blamed.sort_by(|a, b| b.1.cmp(a.1));
        for (name, count) in blamed {
            let label = format!("refuses {}", share(*count, self.draws));
            // A constraint that cannot be computed is named with the reason.
            let named = |key: &Key| {
                name.strip_prefix(&*key.name)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
            };
            let written = raw.constraints.iter().find(|(key, _)| named(key));
            error = match written {
                Some((_, node)) => error.at(node.span.clone(), label),
                None => error.hint(format!("{name}: {label}")),
            };
        }
        if error.labels.is_empty() {
            error = error.at(raw.space_span.clone(), "");
        }
        Some(error)
    }
}

/// Writes a share so that only the whole is called "all".
fn share(count: u32, draws: u32) -> String {
    if count == draws {
        "all of them".to_owned()
    } else {
        format!("{count} of them")
    }
}

/// Returns a coordinate for every cell of every axis if the whole space has few of them.
fn cells(space: &Space) -> Option<Vec<Vec<f64>>> {
    let mut total = 1_u64;
    let mut cells = Vec::new();
    for (position, axis) in space.axes().iter().enumerate() {
        let count = match &axis.kind {
            AxisKind::Real => return None,
            AxisKind::Ordered(count) => *count,
            AxisKind::Choice(weights) => weights.len() as u64,
        };
        total = total
            .checked_mul(count.max(1))
            .filter(|total| *total <= WHOLE)?;
        let centres: Option<Vec<f64>> = (0..count.max(1))
            .map(|index| space.cell(position, index))
            .collect();
        cells.push(centres?);
    }
    Some(cells)
}

/// Counts up, the last axis fastest; false after the last.
fn advance(at: &mut [usize], cells: &[Vec<f64>]) -> bool {
    for (position, axis) in at.iter_mut().zip(cells).rev() {
        *position += 1;
        if *position < axis.len() {
            return true;
        }
        *position = 0;
    }
    false
}
