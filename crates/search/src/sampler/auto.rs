//! The default sampler: a mixture of samplers. The sampler that proposes a trial is chosen for each
//! trial separately, by the space, the budget and the results so far.
//!
//! | trials | proposed by |
//! |---|---|
//! | first 6–8 trials | the initial design: points spread evenly |
//! | one trial in forty | a point of the same sequence, as a guard against a wrong model |
//! | numbers only, without noise, where a local quadratic model fits | that model, by its successes: 2 % to half of the trials |
//! | up to 400 trials, 60 dimensions, 64 slots | GP 8 : TPE 1, then by credit |
//! | most trials are paused below the end | TPE 4 : GP 1, then by credit |
//! | beyond | TPE 3 : GP 1 : NSGA-II ½, then by credit |
//! | several objectives | GP; over 60 dimensions or 64 slots TPE 2 : GP 1 : NSGA-II 1; beyond 250 trials NSGA-II 2 : TPE 1 |
//!
//! The credit of an arm is the share of its own proposals that were among the best quarter of the
//! last 40 trials; recent proposals weigh most. No arm that takes part falls below a share of 1/50.
//! All arms read one history, so each arm learns from the proposals of the others.

use super::gp::{Model, initial_design_size};
use super::history::{History, Outcome};
use super::initial_design::InitialDesign;
use super::nsga2::Population;
use super::quadratic::LocalQuadratic;
use super::{Ask, Sampler, tpe};
use std::collections::BTreeMap;
use swath_model::space::Params;
use swath_model::study::{Event, Kind, Setting, Study};
use swath_numerics::sobol::mix;

pub(super) const KIND: Kind<dyn Sampler> = Kind {
    name: "auto",
    about: "the default: a Gaussian process, TPE and others, by the space and by their results",
    paper: None,
    options: &[],
    capabilities: &[],
    build: |_, setting, _| Some(Box::new(Auto::new(setting))),
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
    /// The local quadratic model.
    Quadratic,
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

/// Number of trials beyond which the local quadratic model proposes no more.
const MOST_QUADRATIC: usize = 400;

/// Number of slots beyond which the Gaussian process and the quadratic model propose less. With 32
/// and 64 trials open they are ahead of TPE; more were not measured.
const MOST_SLOTS: usize = 64;

/// Minimum share of an arm that takes part.
const FLOOR: f64 = 0.02;

/// The mixture and its arms.
struct Auto {
    history: History,
    design: InitialDesign,
    model: Model,
    population: Population,
    quadratic: LocalQuadratic,
    /// The credit of each of [`ARMS`], from 0 to 1; an exponential average, 0.5 at the start.
    credit: [f64; ARMS.len()],
    /// The arm that proposed each pending trial, by row.
    chosen: BTreeMap<u32, Arm>,
    /// Number of trials that may run at the same time.
    slots: usize,
}

impl Auto {
    fn new(setting: &Setting) -> Self {
        let history = History::new(setting);
        Self {
            design: InitialDesign::new(setting, initial_design_size(history.dims())),
            model: Model::new(&history),
            population: Population::new(30),
            quadratic: LocalQuadratic::new(),
            credit: [0.5; ARMS.len()],
            chosen: BTreeMap::new(),
            slots: setting.slots,
            history,
        }
    }

    /// Returns the relative shares of [`ARMS`] before credit; 0 for an arm that does not take part.
    fn shares(&self) -> [f64; ARMS.len()] {
        let n = self.history.len();
        if self.history.objectives.len() > 1 {
            let crowded = self.history.dims() > 60 || self.slots > MOST_SLOTS;
            return match (n, crowded) {
                (..=250, false) => [1.0, 0.0, 0.0],
                (..=250, true) => [1.0, 2.0, 1.0],
                _ => [0.0, 1.0, 2.0],
            };
        }
        // The values of such trials are estimates by rank, which a smooth model trusts too much.
        if self.history.is_mostly_paused() && n <= MOST_MODELLED {
            return [1.0, 4.0, 0.0];
        }
        let crowded = n > 400 || self.history.dims() > 60 || self.slots > MOST_SLOTS;
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
        // A word of its own, so that the order of the other arms stays as it is.
        if mix(word) as f64 / 2f64.powi(64) < self.quadratic.share() {
            return Arm::Quadratic;
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

    /// Fits the local quadratic model again. It takes no part with noise, which it does not see, with
    /// many slots, and after many trials.
    fn refit_quadratic(&mut self) {
        let is_late = self.history.len() > MOST_QUADRATIC;
        if is_late || self.slots > MOST_SLOTS || self.model.is_noisy() {
            self.quadratic = LocalQuadratic::new();
        } else {
            self.quadratic.refit(&self.history, self.model.hyper());
        }
    }

    /// Updates the credit of the arm that proposed the trial of `row`, which has just ended.
    fn update_credit(&mut self, row: u32) {
        let Some(arm) = self.chosen.remove(&row) else {
            return;
        };
        if self.history.row(row).outcome == Outcome::Uninformative {
            return;
        }
        if arm == Arm::Quadratic {
            self.quadratic.learn(self.history.incumbent() == Some(row));
        }
        let Some(at) = ARMS.iter().position(|other| *other == arm) else {
            return;
        };
        let good = f64::from(u8::from(self.is_among_best(row)));
        self.credit[at] = CREDIT_DECAY * self.credit[at] + 0.1 * good;
    }

    /// Returns whether a trial is in the best quarter of the latest trials. One without a score is
    /// not, nor one that breaks a constraint once another trial has satisfied all of them.
    fn is_among_best(&self, row: u32) -> bool {
        let history = &self.history;
        let Some(score) = history.scores(row).first() else {
            return false;
        };
        let has_feasible = history
            .incumbent()
            .is_some_and(|row| history.row(row).violation == 0.0);
        if history.row(row).violation > 0.0 && has_feasible {
            return false;
        }
        let last = history.len().saturating_sub(RECENT_TRIALS) as u32;
        let recent = history.ranked().iter().filter(|(_, other)| *other >= last);
        let better = if history.objectives.len() > 1 {
            let rows: Vec<u32> = recent.clone().map(|(_, row)| *row).collect();
            let mut order = history.order(&rows).into_iter();
            order.position(|other| other == row).unwrap_or(rows.len())
        } else {
            recent.clone().filter(|(other, _)| other < score).count()
        };
        better * 4 <= recent.count()
    }
}

impl Sampler for Auto {
    fn observe(&mut self, study: &Study, event: &Event) {
        if let Event::Created { trial, origin, .. } = event
            && origin.sampler().is_some()
            && self.design.is_complete(&self.history)
        {
            // The arm is computed again rather than recorded. The state is still that of the
            // proposal, because the history has not observed the event yet; the result is the same
            // in a replay.
            let arm = self.arm(study.header().seed, trial.0);
            self.chosen.insert(trial.0.saturating_sub(1), arm);
        }
        self.design.observe(&self.history, event);
        self.history.observe(study, event);
        self.population.observe(&self.history, event);
        self.model.note_restart(event);
        // Beyond that many trials the hyperparameters and the trust region stay as they are.
        if self.history.len() <= MOST_MODELLED {
            self.model.observe(&self.history);
        }
        if let Event::Ended { trial, .. } = event {
            self.update_credit(self.history.original_row(*trial));
            self.refit_quadratic();
        }
    }

    fn suggest(&self, ask: &Ask<'_>) -> Option<Params> {
        if let Some(params) = self.design.suggest(&self.history) {
            return Some(params);
        }
        let params = match self.arm(ask.seed, ask.trial.0) {
            Arm::GaussianProcess => self.model.propose(&self.history, ask),
            Arm::Quadratic => self
                .quadratic
                .propose(&self.history, ask)
                .or_else(|| self.model.propose(&self.history, ask)),
            Arm::Parzen => None,
            Arm::Population => self.population.propose(&self.history, ask),
            Arm::Sobol => self.design.reserved_point(&self.history, ask.trial.0),
        };
        params.or_else(|| tpe::propose(&self.history, ask))
    }

    fn restart(&self, ask: &Ask<'_>) -> Option<String> {
        let is_model = self.arm(ask.seed, ask.trial.0) == Arm::GaussianProcess;
        self.model.restart().filter(|_| is_model)
    }
}

#[cfg(test)]
mod tests {
    use super::{Arm, Auto};
    use crate::sampler::outlook::tests::{setting, square};
    use crate::sampler::{Ask, Sampler};
    use swath_model::demo::{Demo, objective};
    use swath_model::space::{Params, Value};
    use swath_model::study::{Entry, Exit, Failure, Goal, Setting, Study, TrialId};

    /// Returns the sampler and the study after these entries.
    fn replayed(setting: &Setting, entries: &[Entry]) -> (Auto, Study) {
        let mut sampler = Auto::new(setting);
        let mut study = Study::default();
        for entry in entries {
            study.apply(entry).unwrap();
            sampler.observe(&study, &entry.event);
        }
        (sampler, study)
    }

    fn proposal(sampler: &Auto, study: &Study, setting: &Setting) -> Params {
        let ask = Ask {
            space: &setting.space,
            study,
            trial: study.next_id(),
            seed: study.header().seed,
        };
        sampler.suggest(&ask).unwrap()
    }

    #[test]
    fn a_replay_proposes_the_same_where_the_local_quadratic_model_takes_part() {
        let mut demo = Demo::new(&["x", "y"]);
        let setting = setting(&demo, &square());
        let (mut live, mut study) = replayed(&setting, &demo.entries);
        let mut observed = demo.entries.len();
        let mut quadratic_proposals = 0;
        for trial in 0..40 {
            let params = proposal(&live, &study, &setting);
            let arm = live.arm(study.header().seed, study.next_id().0);
            quadratic_proposals += u32::from(arm == Arm::Quadratic);
            if trial % 8 == 7 {
                let (again, same) = replayed(&setting, &demo.entries);
                assert_eq!(proposal(&again, &same, &setting), params);
            }
            let [x, y] = ["x", "y"].map(|name| params.get(name).and_then(Value::as_f64).unwrap());
            let loss = (x - 0.3).powi(2) + 5.0 * (y - x).powi(2);
            let values = [("x", Value::Float(x)), ("y", Value::Float(y))];
            demo.complete(&values, &[("val_loss", loss)]);
            for entry in &demo.entries[observed..] {
                study.apply(entry).unwrap();
                live.observe(&study, &entry.event);
            }
            observed = demo.entries.len();
        }
        assert!(quadratic_proposals > 0);
    }

    /// Returns how many of a hundred proposals are the Gaussian process's after 10 trials, of which
    /// 7 ended like this.
    fn model_proposals_after(exit: Exit) -> usize {
        let mut demo = Demo::new(&["x", "y"]);
        for at in 0..10 {
            let place = f64::from(at) / 10.0;
            let trial = demo.start(&[("x", Value::Float(place)), ("y", Value::Float(place))]);
            demo.report(trial, &[("epoch", 1.0), ("val_loss", place)]);
            demo.end(trial, if at < 7 { exit.clone() } else { Exit::Done });
        }
        let (sampler, _) = replayed(&setting(&demo, &square()), &demo.entries);
        let arms = (11..=110).map(|trial| sampler.arm(7, trial));
        arms.filter(|arm| *arm == Arm::GaussianProcess).count()
    }

    #[test]
    fn where_most_trials_are_paused_the_gaussian_process_proposes_few() {
        let [paused, stopped] = [Exit::Paused, Exit::Stopped].map(model_proposals_after);
        assert!(paused < 40 && stopped > 50, "{paused} {stopped}");
    }

    #[test]
    fn with_64_slots_the_gaussian_process_still_proposes_most_trials() {
        let counts = [64, 65].map(|slots| {
            let (one, two) = (Demo::new(&["x", "y"]), two_objectives());
            [one, two].map(|demo| {
                let mut setting = setting(&demo, &square());
                setting.slots = slots;
                let sampler = Auto::new(&setting);
                let arms = (1..=100).map(|trial| sampler.arm(7, trial));
                arms.filter(|arm| *arm == Arm::GaussianProcess).count()
            })
        });
        assert!(counts[0].iter().all(|count| *count > 70), "{counts:?}");
        assert!(counts[1].iter().all(|count| *count < 40), "{counts:?}");
    }

    #[test]
    fn a_restart_is_stated_with_proposals_of_the_model_only() {
        let mut demo = Demo::new(&["x", "y"]);
        for at in 0..45 {
            let [x, y] = [7, 19].map(|step| Value::Float(f64::from(at * step % 45) / 45.0));
            let loss = if at == 0 { 0.1 } else { 0.5 + f64::from(at) };
            demo.complete(&[("x", x), ("y", y)], &[("val_loss", loss)]);
        }
        let setting = setting(&demo, &square());
        let (sampler, study) = replayed(&setting, &demo.entries);
        for trial in 46..66 {
            let ask = Ask {
                space: &setting.space,
                study: &study,
                trial: TrialId(trial),
                seed: 0,
            };
            let expected = (sampler.arm(0, trial) == Arm::GaussianProcess)
                .then(|| "it had converged around trial 1 without a better one".to_owned());
            assert_eq!(sampler.restart(&ask), expected);
        }
    }

    /// Returns a study of two objectives, error and size.
    fn two_objectives() -> Demo {
        let objectives = ["error", "size"].map(|metric| objective(metric, Goal::Min));
        Demo::with(&["x", "y"], objectives.to_vec())
    }

    #[test]
    fn a_replay_proposes_the_same_with_two_objectives_failures_and_pending_trials() {
        let mut demo = two_objectives();
        demo.constrain("memory", Some(0.9));
        let setting = setting(&demo, &square());
        let (mut live, mut study) = replayed(&setting, &demo.entries);
        let mut observed = demo.entries.len();
        for trial in 0..28 {
            let params = proposal(&live, &study, &setting);
            if trial % 4 == 3 {
                let (again, same) = replayed(&setting, &demo.entries);
                assert_eq!(proposal(&again, &same, &setting), params);
            }
            let [x, y] = ["x", "y"].map(|name| params.get(name).and_then(Value::as_f64).unwrap());
            let values = [("x", Value::Float(x)), ("y", Value::Float(y))];
            let started = demo.start(&values);
            match trial % 7 {
                3 => demo.end(started, Exit::Failed(Failure::Code(1))),
                5 => {}
                _ => {
                    let distance = (y - 0.5).powi(2);
                    let [error, size] = [0.3, 0.7].map(|best| (x - best).powi(2) + distance);
                    demo.report(started, &[("error", error), ("size", size), ("memory", x)]);
                    demo.end(started, Exit::Done);
                }
            }
            for entry in &demo.entries[observed..] {
                study.apply(entry).unwrap();
                live.observe(&study, &entry.event);
            }
            observed = demo.entries.len();
        }
    }

    #[test]
    fn a_trial_is_among_the_best_by_all_objectives() {
        let mut demo = two_objectives();
        for (error, size) in [(0.1, 0.8), (0.2, 0.7), (0.3, 0.75), (0.4, 0.9), (0.9, 0.1)] {
            demo.complete(
                &[("x", Value::Float(error)), ("y", Value::Float(size))],
                &[("error", error), ("size", size)],
            );
        }
        let (sampler, _) = replayed(&setting(&demo, &square()), &demo.entries);
        let best: Vec<bool> = (0..5).map(|row| sampler.is_among_best(row)).collect();
        assert_eq!(best, [true, false, false, false, true]);
    }
}
