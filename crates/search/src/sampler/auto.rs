//! The default sampler: a mixture of samplers. The sampler that proposes a trial is chosen for each
//! trial separately, by the space, the budget and the results so far.
//!
//! | trials | proposed by |
//! |---|---|
//! | first 6–8 trials | the initial design: points spread evenly |
//! | one trial in forty | a point of the same sequence, as a guard against a wrong model |
//! | up to 400 trials, 60 dimensions, 16 slots | GP 8 : TPE 1, then by credit |
//! | beyond | TPE 3 : GP 1 : NSGA-II ½, then by credit |
//! | several objectives | GP; over 60 dimensions or 16 slots TPE 2 : GP 1 : NSGA-II 1; beyond 250 trials NSGA-II 2 : TPE 1 |
//!
//! The credit of an arm is the share of its own proposals that were among the best quarter of the
//! last 40 trials; recent proposals weigh most. No arm that takes part falls below a share of 1/50.
//! All arms read one history, so each arm learns from the proposals of the others.

use super::gp::{Model, initial_design_size};
use super::history::History;
use super::initial_design::InitialDesign;
use super::nsga2::Population;
use super::{Ask, Sampler, tpe};
use std::collections::BTreeMap;
use swath_model::space::Params;
use swath_model::study::{Event, Kind, Origin, Study};
use swath_numerics::sobol::mix;

pub(super) const KIND: Kind<dyn Sampler> = Kind {
    name: "auto",
    about: "the default: a Gaussian process, TPE and others, by the space and by their results",
    paper: None,
    options: &[],
    capabilities: &[],
    build: |_, setting, _| {
        let history = History::new(setting);
        Some(Box::new(Auto {
            design: InitialDesign::new(setting, initial_design_size(history.dims())),
            model: Model::new(&history),
            population: Population::new(30),
            credit: [0.5; ARMS.len()],
            chosen: BTreeMap::new(),
            slots: setting.slots,
            history,
        }))
    },
};

/// A source of proposals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Arm {
    /// The Gaussian process.
    GaussianProcess,
    /// The tree-structured Parzen estimator.
    Parzen,
    /// The population of NSGA-II.
    Population,
    /// A point of the Sobol sequence of the initial design.
    Sobol,
}

/// The arms that compete by credit. The index of an arm is used in `shares` and `credit`.
const ARMS: [Arm; 3] = [Arm::GaussianProcess, Arm::Parzen, Arm::Population];

/// One trial in this many is a point of the Sobol sequence.
const SOBOL_PERIOD: u64 = 40;

/// Credit that every arm has besides its own, so that a run of bad luck does not silence it.
const BASE_CREDIT: f64 = 0.1;

/// Factor by which the credit of an arm decays with each of its trials that ends.
const CREDIT_DECAY: f64 = 0.9;

/// Number of latest trials that a proposal is compared with.
const RECENT_TRIALS: usize = 40;

/// Number of trials beyond which the Gaussian process learns no more.
const MOST_MODELLED: usize = 2000;

/// Minimum share of an arm that takes part.
const FLOOR: f64 = 0.02;

/// The mixture and its arms.
struct Auto {
    history: History,
    design: InitialDesign,
    model: Model,
    population: Population,
    /// The credit of each of [`ARMS`], from 0 to 1; an exponential average, 0.5 at the start.
    credit: [f64; ARMS.len()],
    /// The arm that proposed each pending trial, by row.
    chosen: BTreeMap<u32, usize>,
    /// Number of trials that may run at the same time.
    slots: usize,
}

impl Auto {
    /// Returns the relative shares of [`ARMS`] before credit; 0 for an arm that does not take part.
    fn shares(&self) -> [f64; ARMS.len()] {
        let n = self.history.len();
        if self.history.objectives.len() > 1 {
            let crowded = self.history.dims() > 60 || self.slots > 16;
            return match (n, crowded) {
                (..=250, false) => [1.0, 0.0, 0.0],
                (..=250, true) => [1.0, 2.0, 1.0],
                _ => [0.0, 1.0, 2.0],
            };
        }
        let crowded = n > 400 || self.history.dims() > 60 || self.slots > 16;
        if crowded {
            [1.0, 3.0, 0.5]
        } else {
            [8.0, 1.0, 0.0]
        }
    }

    /// Returns the arm that proposes a trial: a function of the seed, the trial id and the history.
    fn arm(&self, seed: u64, trial: u32) -> Arm {
        let word = mix(mix(seed) ^ u64::from(trial));
        if word.is_multiple_of(SOBOL_PERIOD) {
            return Arm::Sobol;
        }
        let shares = self.shares();
        let weights: [f64; ARMS.len()] =
            std::array::from_fn(|at| shares[at] * (BASE_CREDIT + self.credit[at]));
        let total: f64 = weights.iter().sum();
        let present: f64 = shares.iter().filter(|share| **share > 0.0).count() as f64;
        let mut u = (word >> 11) as f64 / 2f64.powi(53);
        for (at, arm) in ARMS.into_iter().enumerate() {
            if shares[at] > 0.0 {
                u -= FLOOR + (1.0 - FLOOR * present) * weights[at] / total;
            }
            if u < 0.0 {
                return arm;
            }
        }
        Arm::Parzen
    }

    /// Updates the credit of the arm that proposed the trial of `row`, which has just ended.
    fn update_credit(&mut self, row: u32) {
        let Some(at) = self.chosen.remove(&row) else {
            return;
        };
        // A trial without a score counts as a bad proposal.
        let Some(score) = self.history.scores(row).first() else {
            self.credit[at] *= CREDIT_DECAY;
            return;
        };
        // So does a trial that breaks a constraint once another trial has satisfied all of them.
        if self.history.row(row).violation > 0.0
            && self
                .history
                .incumbent()
                .is_some_and(|row| self.history.row(row).violation == 0.0)
        {
            self.credit[at] *= CREDIT_DECAY;
            return;
        }
        let last = self.history.len().saturating_sub(RECENT_TRIALS) as u32;
        let recent = self
            .history
            .ranked()
            .iter()
            .filter(|(_, other)| *other >= last);
        let (mut better, mut all) = (0, 0);
        for (other, _) in recent {
            all += 1;
            better += usize::from(other < score);
        }
        let good = f64::from(u8::from(better * 4 <= all));
        self.credit[at] = CREDIT_DECAY * self.credit[at] + 0.1 * good;
    }
}

impl Sampler for Auto {
    fn observe(&mut self, study: &Study, event: &Event) {
        if let Event::Created {
            trial,
            origin: Origin::Suggested(_),
            ..
        } = event
            && self.design.is_complete(&self.history)
        {
            // The arm is computed again rather than recorded. The state is still that of the
            // proposal, because the history has not observed the event yet; the result is the same
            // in a replay.
            let arm = self.arm(study.header().seed, trial.0);
            if let Some(at) = ARMS.iter().position(|other| *other == arm) {
                self.chosen.insert(trial.0.saturating_sub(1), at);
            }
        }
        self.design.observe(&self.history, event);
        self.history.observe(study, event);
        self.population.observe(&self.history, event);
        // Beyond that many trials the hyperparameters and the trust region stay as they are.
        if self.history.len() <= MOST_MODELLED {
            self.model.observe(&self.history);
        }
        if let Event::Ended { trial, .. } = event {
            self.update_credit(self.history.original_row(*trial));
        }
    }

    fn suggest(&self, ask: &Ask<'_>) -> Option<Params> {
        if let Some(params) = self.design.suggest(&self.history) {
            return Some(params);
        }
        let params = match self.arm(ask.seed, ask.trial.0) {
            Arm::GaussianProcess => self.model.propose(&self.history, ask),
            Arm::Parzen => None,
            Arm::Population => self.population.propose(&self.history, ask),
            Arm::Sobol => self.design.reserved_point(&self.history, ask.trial.0),
        };
        params.or_else(|| tpe::propose(&self.history, ask))
    }
}
