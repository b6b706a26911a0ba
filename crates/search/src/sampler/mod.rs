//! Samplers propose configurations through an ask-and-tell interface.
//!
//! A sampler changes its state only in [`Sampler::observe`]. [`Sampler::suggest`] is a pure
//! function of the events observed so far, the seed and the trial id. Every proposal is therefore
//! reproducible (`swath replay`), and a resumed study continues exactly as an uninterrupted one. A
//! sampler works in the unit cube ([`Space::axes`]) and never sees the range of a parameter. To add
//! a sampler, create a file here with its `KIND` and add a line to [`SAMPLERS`].

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

/// The samplers that a sweep file can name.
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

/// Proposes the configurations of new trials.
pub trait Sampler: Send {
    /// Updates the state from an event that the study has just applied. Called once for every
    /// event, in journal order, during a live run and during a replay alike. The default does
    /// nothing.
    fn observe(&mut self, study: &Study, event: &Event) {
        let _ = (study, event);
    }

    /// Returns the configuration for trial [`Ask::trial`], or `None` if the sampler has nothing
    /// left to propose (for example a finished grid).
    fn suggest(&self, ask: &Ask<'_>) -> Option<Params>;
}

/// The inputs of one call of [`Sampler::suggest`].
pub struct Ask<'a> {
    /// The search space.
    pub space: &'a Space,
    /// The state of the study after the last event.
    pub study: &'a Study,
    /// The id of the trial to propose for: the next free id.
    pub trial: TrialId,
    /// The seed of the sweep.
    pub seed: u64,
}

impl Ask<'_> {
    /// Returns the random stream of this proposal. It depends on the seed and the trial id only.
    #[must_use]
    pub fn rng(&self) -> ChaCha8Rng {
        stream::stream(self.seed, Purpose::Suggest, u64::from(self.trial.0))
    }

    /// Decodes points until one satisfies the constraints of the space. Returns `None` after 1000
    /// refused points.
    pub fn draw(&self, mut point: impl FnMut() -> Vec<f64>) -> Option<Params> {
        (0..1000)
            .map(|_| self.space.decode(&point()))
            .find(|params| self.space.admits(params).is_ok())
    }

    /// Like [`draw`](Self::draw), but prefers a configuration that no trial has. Returns a
    /// repetition only if the space is exhausted or 200 further draws in a row were repetitions.
    fn draw_unseen(&self, seen: &Seen, mut point: impl FnMut() -> Vec<f64>) -> Option<Params> {
        let first = self.draw(&mut point)?;
        // Without this check a small finite space would cost 200 draws on every proposal once each
        // of its configurations has been tried.
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
