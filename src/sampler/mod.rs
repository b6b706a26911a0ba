//! Samplers propose configurations: ask and tell.
//!
//! A sampler learns only in [`Sampler::observe`]; [`Sampler::suggest`] is a pure function of the
//! events observed, the seed and the trial id. That is what makes every proposal reproducible
//! (`swath replay`) and a resumed study go on as if nothing had happened. A sampler sees the unit
//! cube ([`Space::axes`]), never a range. To add one: a file here with its `KIND`, and a line in
//! [`SAMPLERS`].

use crate::numerics::stream::{self, Purpose};
use crate::space::{Params, Space};
use crate::study::{Event, Kind, Study, TrialId};
use rand_chacha::ChaCha8Rng;
use seen::Seen;

mod acquisition;
mod auto;
mod border;
mod cmaes;
mod elite;
mod evolution;
mod good;
mod gp;
mod grid;
mod history;
mod kernel;
mod near;
mod nsga2;
mod parzen;
mod random;
mod seen;
mod sobol;
mod start;
mod surrogate;
mod target;
mod tpe;

/// Every sampler a sweep file can name.
pub const SAMPLERS: &[Kind<dyn Sampler>] = &[
    random::KIND,
    grid::KIND,
    sobol::KIND,
    tpe::KIND,
    cmaes::KIND,
    gp::KIND,
    nsga2::KIND,
    auto::KIND,
];

/// Proposes configurations.
pub trait Sampler: Send {
    /// Learns from an event that the study has just absorbed. Called for every event, in order,
    /// live and on resume alike.
    fn observe(&mut self, study: &Study, event: &Event) {
        let _ = (study, event);
    }

    /// Proposes the configuration of trial [`Ask::trial`]; `None` if there is nothing left to
    /// propose.
    fn suggest(&self, ask: &Ask<'_>) -> Option<Params>;
}

/// A question to a sampler.
pub struct Ask<'a> {
    /// What is searched.
    pub space: &'a Space,
    /// What is known.
    pub study: &'a Study,
    /// The trial to propose for: the next id.
    pub trial: TrialId,
    /// The sweep's seed.
    pub seed: u64,
}

impl Ask<'_> {
    /// Returns this proposal's own stream of randomness.
    #[must_use]
    pub fn rng(&self) -> ChaCha8Rng {
        stream::stream(self.seed, Purpose::Suggest, u64::from(self.trial.0))
    }

    /// Decodes points until one satisfies the constraints, at most 1000 times; `None` if none did.
    pub fn draw(&self, mut point: impl FnMut() -> Vec<f64>) -> Option<Params> {
        (0..1000)
            .map(|_| self.space.decode(&point()))
            .find(|params| self.space.admits(params).is_ok())
    }

    /// Like [`draw`](Self::draw), but prefers what was not tried before: a repetition only if 200
    /// draws in a row were.
    fn draw_unseen(&self, seen: &Seen, mut point: impl FnMut() -> Vec<f64>) -> Option<Params> {
        let first = self.draw(&mut point)?;
        let exhausted = || {
            self.space
                .size()
                .is_some_and(|size| seen.len() as u64 >= size)
        };
        if !seen.has(&first) || exhausted() {
            return Some(first);
        }
        let again = (0..200)
            .filter_map(|_| self.draw(&mut point))
            .find(|params| !seen.has(params));
        Some(again.unwrap_or(first))
    }
}
