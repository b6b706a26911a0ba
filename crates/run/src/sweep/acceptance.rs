//! Acceptance rate of a space under its constraints, and the constraints that reject most.

use super::parse::Raw;
use rand::RngExt;
use std::collections::BTreeMap;
use swath_model::source::{Diagnostic, Key};
use swath_model::space::{AxisKind, Refusal, Space};
use swath_numerics::stream::{self, Purpose};

/// Number of draws after which a space without an accepted configuration is called empty.
const MOST_DRAWS: u32 = 20_000;
/// Largest number of cells of a space that is enumerated instead of sampled.
const WHOLE: u64 = 20_000;
/// Number of accepted draws at which the quick estimate stops.
const ENOUGH: u32 = 100;
/// Number of parameters and constraints that all draws together may evaluate. A space of thousands
/// of parameters is drawn from less often, so that its check takes no longer.
const MOST_EVALUATIONS: u64 = 10_000_000;
/// Number of draws that even the largest space gets.
const FEWEST_DRAWS: u32 = 1000;

/// Acceptance rate of a space: the share of configurations that satisfy the constraints.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Acceptance {
    /// Number of configurations tested.
    pub draws: u32,
    /// Number of tested configurations that satisfy every constraint.
    pub accepted: u32,
    /// Whether all configurations were enumerated, instead of sampled from the prior.
    pub whole: bool,
    /// Number of rejections by reason. Each configuration counts for the first constraint that
    /// rejects it.
    pub refused: BTreeMap<String, u32>,
}

impl Acceptance {
    /// Measures the rate with `draws` samples from the prior. Small discrete spaces are enumerated
    /// instead.
    #[must_use]
    pub fn measure(space: &Space, seed: u64, draws: u32) -> Self {
        // Without constraints nearly everything is accepted, so the quick estimate suffices.
        if space.constraints().next().is_none() {
            return Self::estimate(space, seed);
        }
        Self::over(space, seed, draws, u32::MAX)
    }

    /// Estimates the rate. Stops early once enough configurations are accepted, so it is fast
    /// unless the rate is low.
    pub(super) fn estimate(space: &Space, seed: u64) -> Self {
        Self::over(space, seed, MOST_DRAWS, ENOUGH)
    }

    /// Returns the share of tested configurations that are accepted, from 0 to 1.
    #[must_use]
    pub fn rate(&self) -> f64 {
        f64::from(self.accepted) / f64::from(self.draws.max(1))
    }

    /// Tests up to `draws` samples, or all configurations of a small space, until `enough` are
    /// accepted.
    fn over(space: &Space, seed: u64, draws: u32, enough: u32) -> Self {
        let mut measured = Self::default();
        if let Some(cells) = cells(space) {
            measured.whole = true;
            let mut indices = vec![0; cells.len()];
            loop {
                measured.test(
                    space,
                    &cells
                        .iter()
                        .zip(&indices)
                        .map(|(axis, index)| axis[*index])
                        .collect::<Vec<_>>(),
                );
                if !advance(&mut indices, &cells) || measured.accepted >= enough {
                    return measured;
                }
            }
        }
        let size = (space.names().len() + space.constraints().count()).max(1) as u64;
        let affordable = u32::try_from(MOST_EVALUATIONS / size).unwrap_or(u32::MAX);
        let draws = draws.min(affordable.max(FEWEST_DRAWS));
        let mut rng = stream::stream(seed, Purpose::Measure, 0);
        while measured.draws < draws && measured.accepted < enough {
            let unit: Vec<f64> = (0..space.dims()).map(|_| rng.random()).collect();
            measured.test(space, &unit);
        }
        measured
    }

    /// Tests one configuration and counts the result.
    fn test(&mut self, space: &Space, unit: &[f64]) {
        self.draws += 1;
        match space.admits(&space.decode(unit)) {
            Ok(()) => self.accepted += 1,
            Err(Refusal::Constraint(name)) => *self.refused.entry(name).or_default() += 1,
            Err(other) => *self.refused.entry(other.to_string()).or_default() += 1,
        }
    }

    /// Returns the error that the space is empty, with the constraints ordered by the number of
    /// rejections. Returns `None` if at least one configuration was accepted or none was tested.
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
            let mut constraints = raw.constraints.iter();
            error = match constraints.find(|(key, _)| is_about(name, key)) {
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

/// Returns whether a reason for a rejection is about the constraint `key`. The reason is the
/// constraint's name, or `name: error` if the constraint cannot be computed.
fn is_about(reason: &str, key: &Key) -> bool {
    reason
        .strip_prefix(&*key.name)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
}

/// Writes a number of rejected configurations in words: `all of them`, or such as `7 of them`.
fn share(count: u32, draws: u32) -> String {
    if count == draws {
        "all of them".to_owned()
    } else {
        format!("{count} of them")
    }
}

/// Returns the centre of every cell of every axis. Returns `None` if an axis is continuous or its
/// range is not known in advance, or if the space has more than [`WHOLE`] cells.
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

/// Advances a mixed-radix counter, the last axis fastest. Returns false after the last combination.
fn advance(indices: &mut [usize], cells: &[Vec<f64>]) -> bool {
    for (index, axis) in indices.iter_mut().zip(cells).rev() {
        *index += 1;
        if *index < axis.len() {
            return true;
        }
        *index = 0;
    }
    false
}
