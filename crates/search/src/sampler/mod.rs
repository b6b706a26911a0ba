//! Samplers propose configurations through an ask-and-tell interface.
//!
//! A sampler changes its state only in [`Sampler::observe`]. [`Sampler::suggest`] is a pure
//! function of the events observed so far, the seed and the trial id. Every proposal is therefore
//! reproducible (`swath replay`), and a resumed study continues exactly as an uninterrupted one. A
//! sampler works in the unit cube ([`Space::axes`]) and never sees the range of a parameter. To add
//! a sampler, create a file here with its `KIND` and add a line to [`SAMPLERS`]; another crate
//! registers its own `Kind`.
//!
//! Three building blocks serve samplers of other crates too. [`Seen`] is the set of configurations
//! that a study has, [`Ask::draw_unseen`] draws one that it does not have, and [`History`] has each
//! trial as a point of the unit cube with its score:
//!
//! ```
//! use rand::RngExt;
//! use swath_model::space::Params;
//! use swath_model::study::{Event, Study};
//! use swath_search::sampler::{Ask, History, Sampler};
//!
//! /// Searches around the incumbent.
//! struct Near(History);
//!
//! impl Sampler for Near {
//!     fn observe(&mut self, study: &Study, event: &Event) {
//!         self.0.observe(study, event);
//!     }
//!
//!     fn suggest(&self, ask: &Ask<'_>) -> Option<Params> {
//!         let mut rng = ask.rng();
//!         let incumbent = self.0.incumbent().map(|row| &self.0.row(row).unit);
//!         ask.draw_unseen(self.0.seen(), || {
//!             (0..ask.space.dims())
//!                 .map(|axis| {
//!                     let center = incumbent.map_or(0.5, |unit| unit[axis]);
//!                     (center + rng.random_range(-0.1..0.1f64)).clamp(0.0, 0.999)
//!                 })
//!                 .collect()
//!         })
//!     }
//! }
//! ```

use rand_chacha::ChaCha8Rng;
use swath_model::space::{Params, Space};
use swath_model::study::{Event, Kind, SearchError, Study, TrialId};
use swath_numerics::stream::{self, Purpose};

mod acquisition;
mod archive;
mod auto;
mod cmaes;
mod constraint_models;
mod curve_model;
mod evolution;
mod failure_models;
mod gp;
mod grid;
mod history;
mod hypervolume_improvement;
mod initial_design;
mod kernel;
mod lattice;
mod luck;
mod nsga2;
mod outlook;
mod parzen;
mod perturbation;
mod program;
mod quadratic;
mod random;
mod seen;
mod sobol;
mod split;
mod surrogate;
mod tpe;
mod training_set;

pub(crate) use curve_model::CurveModel;
pub use failure_models::failure_risks;
pub use history::{History, Outcome, Row};
pub use lattice::configurations;
pub use luck::LuckyBest;
pub use outlook::{Gain, Outlook};
pub use seen::Seen;

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
    program::KIND,
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
    /// left to propose: a finished grid, or a finite space of which every configuration was tried.
    fn suggest(&self, ask: &Ask<'_>) -> Option<Params>;

    /// Returns the reason in words if the proposal for [`Ask::trial`] is the first one after a
    /// restart of the search. Like [`suggest`](Self::suggest), a pure function of the events
    /// observed so far.
    /// The reason is recorded as [`Origin::Restarted`](swath_model::study::Origin::Restarted). The
    /// default is `None`: the search never restarts.
    fn restart(&self, ask: &Ask<'_>) -> Option<String> {
        let _ = ask;
        None
    }

    /// Returns the reason why this sampler cannot propose any more. The driver checks it after each
    /// query; it then starts no trial, lets the running ones end by themselves, and returns the
    /// error. The default is `None`: the proposals are always valid.
    fn failure(&self) -> Option<SearchError> {
        None
    }
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

/// Maximum number of points that the constraints may refuse for one proposal.
const MAX_REFUSALS: usize = 1000;

/// Maximum number of further configurations that [`Ask::draw_unseen`] draws if the first one was
/// tried before.
const MAX_REPETITIONS: usize = 200;

impl Ask<'_> {
    /// Returns the random stream of this proposal. It depends on the seed and the trial id only.
    #[must_use]
    pub fn rng(&self) -> ChaCha8Rng {
        stream::stream(self.seed, Purpose::Suggest, u64::from(self.trial.0))
    }

    /// Draws configurations until one satisfies the constraints of the space. `point` returns a
    /// point of the unit cube each time: [`Space::dims`] coordinates in [0, 1).
    ///
    /// Returns `None` after 1000 refused points.
    pub fn draw(&self, mut point: impl FnMut() -> Vec<f64>) -> Option<Params> {
        (0..MAX_REFUSALS)
            .map(|_| self.space.decode(&point()))
            .find(|params| self.space.admits(params).is_ok())
    }

    /// Draws a configuration like [`draw`](Self::draw) that is not in `seen`.
    ///
    /// If 201 draws in a row were tried before, the configurations of a finite space are searched in
    /// order: `None` says that all of them were tried. In an infinite space, or one too large to be
    /// searched, a repetition is returned then. Returns `None` too if the constraints refuse 1000
    /// points in a row and the search in order finds nothing.
    pub fn draw_unseen(&self, seen: &Seen, mut point: impl FnMut() -> Vec<f64>) -> Option<Params> {
        let first = self.draw(&mut point);
        if let Some(params) = &first {
            if !seen.has(params) {
                return first;
            }
            let unseen = (0..MAX_REPETITIONS)
                .filter_map(|_| self.draw(&mut point))
                .find(|params| !seen.has(params));
            if unseen.is_some() {
                return unseen;
            }
        }
        seen.untried_or(first)
    }
}
