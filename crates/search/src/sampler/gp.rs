//! Bayesian optimisation with a Gaussian process: for few and expensive trials.
//!
//! The parts: a Matérn-5/2 kernel over the whole space (`kernel.rs`), transformed scores
//! (`training_set.rs`), hyperparameters at the maximum of their posterior density (`surrogate.rs`),
//! and log expected improvement as the acquisition function (`acquisition.rs`). Two or three
//! objectives have a process each, and the acquisition function is the log expected hypervolume
//! improvement (`hypervolume_improvement.rs`); more are scalarised. With a single objective two
//! transformations of the scores alternate, each with hyperparameters of its own, and one proposal
//! in five minimises the lower confidence bound instead. On functions with noise or many local
//! optima two models are worth more than the better one alone. Pending trials count as complete
//! with their predicted value. Every second proposal is confined to a trust region (Eriksson et
//! al., *Scalable Global Optimization via Local Bayesian Optimization*, NeurIPS 2019) in many
//! dimensions, after many trials, or when a single objective has not improved for a while. Beyond
//! [`MODEL_ROWS`] trials the model is conditioned on a selection of them.

use super::acquisition::{AcquisitionFunction, Region, Search, SingleObjective};
use super::constraint_models::ConstraintModels;
use super::failure_models::FailureModels;
use super::history::History;
use super::hypervolume_improvement::{HypervolumeImprovement, MOST_OBJECTIVES, Reference};
use super::initial_design::InitialDesign;
use super::kernel::Columns;
use super::surrogate::{Hyper, Posterior, Rows, SampledFunctions, Scratch, fit};
use super::training_set::{OutcomeTransform, TrainingSet};
use super::{Ask, Sampler, tpe};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use swath_model::space::{AxisKind, Params};
use swath_model::study::{Event, Kind, Origin, Study};
use swath_numerics::normal;
use swath_numerics::sobol::mix;

pub(super) const KIND: Kind<dyn Sampler> = Kind {
    name: "gp",
    about: "Gaussian process with expected improvement: up to some hundred expensive trials",
    paper: Some(
        "Ament et al., Unexpected Improvements to Expected Improvement for Bayesian Optimization, \
         NeurIPS 2023 (arXiv 2310.20708); \
         Eriksson et al., Scalable Global Optimization via Local Bayesian Optimization, NeurIPS 2019; \
         Daulton et al., Parallel Bayesian Optimization of Multiple Noisy Objectives with Expected \
         Hypervolume Improvement, NeurIPS 2021",
    ),
    options: &[],
    capabilities: &[],
    build: |_, setting, _| {
        let history = History::new(setting);
        let model = Model::new(&history);
        Some(Box::new(Gp {
            design: InitialDesign::new(setting, initial_design_size(history.dims())),
            model,
            history,
        }))
    },
};

/// Maximum number of trials the model is conditioned on.
const MODEL_ROWS: usize = 300;
/// Number of trials without an improvement after which the trust region is used even in few
/// dimensions and early on. The number of dimensions is used instead if it is larger.
const STALE_TRIALS: usize = 5;
/// One proposal in this many uses the lower confidence bound. Chosen on the tasks of
/// `benches/search`.
const CONFIDENCE_PERIOD: u64 = 5;
/// Distance of the lower confidence bound from the mean, in standard deviations: the root of β in
/// Srinivas et al., ICML 2010.
const CONFIDENCE_DEVIATIONS: f64 = 2.0;
/// Maximum number of trials used to fit the hyperparameters.
const FIT_ROWS: usize = 150;

/// Evaluations of the evidence in a fit that starts from the hyperparameters of the last one.
const FIT_EVALUATIONS: usize = 12;
/// Evaluations of the evidence in a fit that starts from the prior.
const RESTART_EVALUATIONS: usize = 30;
/// One fit in this many also starts from the prior.
const RESTART_PERIOD: usize = 8;
/// Maximum number of pending trials that the model believes.
const MAX_PENDING: usize = 100;
/// Number of best trials around which local candidates are drawn.
const LOCAL_CENTRES: usize = 4;

/// Returns the size of the initial design: d + 2, but 6 to 8. It is small because trials proposed
/// by the model are worth more.
pub(super) fn initial_design_size(dims: usize) -> usize {
    (dims + 2).clamp(6, 8)
}

/// The Gaussian-process sampler.
struct Gp {
    history: History,
    model: Model,
    design: InitialDesign,
}

impl Sampler for Gp {
    fn observe(&mut self, study: &Study, event: &Event) {
        self.design.observe(&self.history, event);
        self.history.observe(study, event);
        self.model.observe(&self.history);
        self.model.note_restart(event);
    }

    fn suggest(&self, ask: &Ask<'_>) -> Option<Params> {
        self.design
            .suggest(&self.history)
            .or_else(|| self.model.propose(&self.history, ask))
            .or_else(|| tpe::propose(&self.history, ask))
    }

    fn restart(&self, _: &Ask<'_>) -> Option<String> {
        self.model.restart()
    }
}

/// A Gaussian-process model between proposals: its hyperparameters, refitted as trials end, and the
/// trust region.
pub(super) struct Model {
    /// The encoding of configurations for the kernel.
    columns: Columns,
    /// The hyperparameters of each process: one for each of [`TRANSFORMS`] of a single objective,
    /// or one for each objective.
    hypers: Vec<Hyper>,
    /// Number of trials that had ended at the last fit.
    fitted: usize,
    /// Number of fits so far. It selects the process, and the scalarisation of many objectives.
    fits: u32,
    /// The hyperparameters of the outcome constraints.
    constraints: ConstraintModels,
    /// The hyperparameters of the classes of failures.
    failures: FailureModels,
    /// The trust region around the incumbent.
    region: TrustRegion,
    /// Number of trials that had ended at the last call of [`Model::observe`].
    last_ended: usize,
}

/// The transformations that alternate with a single objective.
const TRANSFORMS: [OutcomeTransform; 2] = [OutcomeTransform::Warped, OutcomeTransform::Clipped];

/// Returns whether each objective has a process of its own. Many objectives are scalarised instead.
fn models_front(history: &History) -> bool {
    (2..=MOST_OBJECTIVES).contains(&history.objectives.len())
}

impl Model {
    /// Creates a model at the mode of the prior.
    pub(super) fn new(history: &History) -> Self {
        let d = history.dims();
        let region = TrustRegion::new(d);
        let count = match history.objectives.len() {
            1 => TRANSFORMS.len(),
            count if models_front(history) => count,
            _ => 1,
        };
        let hypers = vec![Hyper::prior(d); count];
        let (columns, constraints) = (Columns::new(history), ConstraintModels::default());
        Self {
            columns,
            failures: FailureModels::default(),
            hypers,
            fitted: 0,
            fits: 0,
            constraints,
            region,
            last_ended: 0,
        }
    }

    /// Updates the trust region and refits the hyperparameters once enough trials have ended. Must
    /// be called after `history` has observed an event.
    pub(super) fn observe(&mut self, history: &History) {
        let ended = history.ranked().len() + history.failed().len();
        // No further trial has ended. After an edit or a retry the number may even fall.
        if ended <= self.last_ended {
            self.last_ended = ended;
            return;
        }
        self.last_ended = ended;
        self.region.observe(history);
        // A fit costs O(n³). Up to 60 trials every result counts, later every 3rd, then every 5 %.
        let due = self.fitted + (self.fitted / 20).max(if self.fitted < 60 { 1 } else { 3 });
        if ended >= initial_design_size(history.dims()) && ended >= due {
            self.refit(history);
            self.fitted = ended;
        }
    }

    /// Returns the reason of the trust region's last restart, until a proposal has recorded it.
    pub(super) fn restart(&self) -> Option<String> {
        let trial = self.region.converged? + 1;
        Some(format!(
            "it had converged around trial {trial} without a better one"
        ))
    }

    /// Forgets the restart that the event records.
    pub(super) fn note_restart(&mut self, event: &Event) {
        if let Event::Created {
            origin: Origin::Restarted { .. },
            ..
        } = event
        {
            self.region.converged = None;
        }
    }

    /// Returns whether the noise is so large that the lowest value may be luck, by any of the
    /// processes.
    pub(super) fn is_noisy(&self) -> bool {
        self.hypers.iter().any(noisy)
    }

    /// Returns the hyperparameters of the first process.
    pub(super) fn hyper(&self) -> &Hyper {
        &self.hypers[0]
    }

    /// Refits the outcome constraints and the next process in turn.
    fn refit(&mut self, history: &History) {
        self.constraints.fit(&self.columns, history, FIT_ROWS);
        self.failures.fit(&self.columns, history);
        let process = self.fits as usize % self.hypers.len();
        let word = u64::from(self.fits);
        let training = self.training_set(history, FIT_ROWS, process, word);
        self.fits += 1;
        // Equal scores say nothing about lengthscales.
        if !training.is_varied() || history.dims() == 0 {
            return;
        }
        let rows = self.rows(history, &training.rows);
        let start = self.hypers[process].clone();
        let (mut loss, mut hyper) = fit(&rows, &training.y, start, FIT_EVALUATIONS);
        // Now and then a second fit starts from the prior, because the first one may be stuck in a
        // local maximum that later trials have made wrong.
        if word as usize % RESTART_PERIOD < self.hypers.len() {
            let start = Hyper::prior(history.dims());
            let (other_loss, other) = fit(&rows, &training.y, start, RESTART_EVALUATIONS);
            if other_loss < loss {
                (loss, hyper) = (other_loss, other);
            }
        }
        if loss.is_finite() {
            self.hypers[process] = hyper;
        }
    }

    /// Returns the trials that a process learns from. `word` selects the scalarisation of many
    /// objectives.
    fn training_set(
        &self,
        history: &History,
        limit: usize,
        process: usize,
        word: u64,
    ) -> TrainingSet {
        if models_front(history) {
            TrainingSet::of_objective(history, limit, process)
        } else {
            TrainingSet::new(history, limit, TRANSFORMS[process], word)
        }
    }

    /// Returns the encoded rows of these trials, with the noise of a mean over seeds.
    fn rows(&self, history: &History, which: &[u32]) -> Rows {
        let mut rows = Rows::new(&self.columns.list);
        for row in which {
            let row = history.row(*row);
            rows.push_mean(&self.columns.row(&row.unit, &row.active), row.seeds);
        }
        rows
    }

    /// Returns the rows of these trials, and behind them those of pending trials.
    fn rows_and_pending(&self, history: &History, which: &[u32]) -> Rows {
        let mut rows = self.rows(history, which);
        for pending in history.pending().take(MAX_PENDING) {
            let row = history.row(pending);
            rows.push(&self.columns.row(&row.unit, &row.active));
        }
        rows
    }

    /// Returns the untried configuration with the largest acquisition value found. Returns `None`
    /// if all scores are equal or every candidate was tried or refused.
    pub(super) fn propose(&self, history: &History, ask: &Ask<'_>) -> Option<Params> {
        if history.dims() == 0 {
            return None;
        }
        let mut constraints = self
            .constraints
            .posteriors(&self.columns, history, MODEL_ROWS);
        // Until a trial satisfies the outcome constraints there is no value to improve on.
        let has_feasible = history
            .incumbent()
            .is_some_and(|row| history.row(row).violation == 0.0);
        let has_value = has_feasible || constraints.is_empty();
        let is_constrained = !constraints.is_empty();
        constraints.extend(self.failures.posteriors(&self.columns, history));
        // Independent of the seed, so that the same trials use the same process, reference point
        // and acquisition function in every sweep.
        let word = mix(u64::from(ask.trial.0) ^ 0x5eed);
        let mut rng = ask.rng();
        if models_front(history)
            && has_value
            && let Some(front) = self.front_model(history, word, &mut rng)
        {
            return self.propose_for_front(history, ask, &front, &constraints, &mut rng);
        }
        let (process, training) = self.varied_training_set(history, word, ask)?;
        let hyper = &self.hypers[process];
        // Rows beyond the values of `training` are pending trials: `Posterior::new` believes them.
        let rows = self.rows_and_pending(history, &training.rows);
        let posterior = Posterior::new(rows, &training.y, hyper)?;
        let mut scratch = Scratch::default();
        let (best, incumbent) = self.incumbent(hyper, history, &training, &posterior, &mut scratch);
        let centres = training.lowest_rows(history, LOCAL_CENTRES);
        let is_confidence_turn = history.objectives.len() == 1
            && !is_constrained
            && (word >> 20).is_multiple_of(CONFIDENCE_PERIOD);
        let function = match (has_value, is_confidence_turn) {
            (false, _) => AcquisitionFunction::Feasibility,
            (true, true) => AcquisitionFunction::LowerConfidenceBound(CONFIDENCE_DEVIATIONS),
            (true, false) => AcquisitionFunction::LogExpectedImprovement(incumbent),
        };
        let acquisition = SingleObjective {
            posterior: &posterior,
            function,
        };
        let region = self.region.at(best, history, hyper);
        let search = Search {
            history,
            columns: &self.columns,
            acquisition: &acquisition,
            constraints: &constraints,
            centres,
            region: region.filter(|_| ask.trial.0.is_multiple_of(2)),
            most_valued: usize::MAX,
        };
        first_untried(&search, &mut rng, |row| {
            posterior.nearest(row, &mut Scratch::default()) <= MIN_DISTANCE * MIN_DISTANCE
        })
    }

    /// Returns the first process from number `word` on whose values differ, with what it learns
    /// from. `None` if those of no process do.
    fn varied_training_set(
        &self,
        history: &History,
        word: u64,
        ask: &Ask<'_>,
    ) -> Option<(usize, TrainingSet)> {
        let count = self.hypers.len();
        let first = (word % count as u64) as usize;
        (first..first + count)
            .map(|at| at % count)
            .map(|process| {
                let mix = u64::from(ask.trial.0);
                (
                    process,
                    self.training_set(history, MODEL_ROWS, process, mix),
                )
            })
            .find(|(_, training)| training.is_varied())
    }

    /// Returns the processes of all objectives together. `None` if an objective has the same value
    /// in all trials: the others are then looked at one by one.
    fn front_model(
        &self,
        history: &History,
        word: u64,
        rng: &mut ChaCha8Rng,
    ) -> Option<FrontModel> {
        let mut trials = Vec::new();
        let mut objectives = Vec::new();
        let is_uncertain = history.pending().next().is_some() || self.is_noisy();
        let samples = if is_uncertain { SAMPLES } else { 0 };
        for (objective, hyper) in self.hypers.iter().enumerate() {
            let training = TrainingSet::of_objective(history, FRONT_ROWS, objective);
            if !training.is_varied() {
                return None;
            }
            let rows = self.rows_and_pending(history, &training.rows);
            let posterior = Posterior::new(rows, &training.y, hyper)?;
            let functions = SampledFunctions::new(posterior, &training.y, samples, || {
                normal::quantile(rng.random_range(1e-12..1.0))
            });
            objectives.push(functions?);
            trials = training.rows;
        }
        // Pending trials may join the front of a sample, all others if they satisfy the
        // constraints.
        trials.extend(history.pending().take(MAX_PENDING));
        let is_eligible: Vec<bool> = trials
            .iter()
            .map(|row| history.row(*row).violation == 0.0)
            .collect();
        let reference = match (word >> 5).is_multiple_of(2) {
            true => Reference::BeyondFront,
            false => Reference::BeyondAll,
        };
        Some(FrontModel {
            improvement: HypervolumeImprovement::new(objectives, &is_eligible, reference),
            trials,
        })
    }

    /// Returns the untried configuration that is expected to enlarge the Pareto front most. Every
    /// second proposal may be confined to the trust region around a random member of the front.
    fn propose_for_front(
        &self,
        history: &History,
        ask: &Ask<'_>,
        front: &FrontModel,
        constraints: &[Posterior],
        rng: &mut ChaCha8Rng,
    ) -> Option<Params> {
        let members = front.improvement.front().iter();
        let mut centres: Vec<u32> = members.map(|at| front.trials[*at]).collect();
        shuffle(&mut centres, ask.trial.0);
        centres.truncate(LOCAL_CENTRES);
        let hyper = &self.hypers[ask.trial.0 as usize / 2 % self.hypers.len()];
        let region = self.region.at(centres.first().copied(), history, hyper);
        let search = Search {
            history,
            columns: &self.columns,
            acquisition: &front.improvement,
            constraints,
            centres,
            region: region.filter(|_| ask.trial.0.is_multiple_of(2)),
            // The estimate is that of the mean values, so a strict order would value nearly all.
            most_valued: FRONT_VALUED,
        };
        first_untried(&search, rng, |row| {
            front.improvement.is_known(row, MIN_DISTANCE)
        })
    }

    /// Returns the row of the incumbent and the value to improve on: the lowest value, or with
    /// noise the lowest posterior mean at any of the [`NOISY_INCUMBENTS`] lowest
    /// values.
    fn incumbent(
        &self,
        hyper: &Hyper,
        history: &History,
        training: &TrainingSet,
        posterior: &Posterior,
        scratch: &mut Scratch,
    ) -> (Option<u32>, f64) {
        if !noisy(hyper) {
            // With several objectives the incumbent is the best by the first of them alone.
            let best = match history.objectives.len() {
                1 => history.incumbent(),
                _ => training.lowest_rows(history, 1).first().copied(),
            };
            return (best, training.lowest_value(history));
        }
        let mut best = (None, f64::INFINITY);
        for at in training.lowest_rows(history, NOISY_INCUMBENTS) {
            let row = history.row(at);
            let row = self.columns.row(&row.unit, &row.active);
            let mean = posterior.mean(&row, scratch);
            if mean < best.1 {
                best = (Some(at), mean);
            }
        }
        best
    }
}

/// Returns the configuration of the best candidate that was not tried. One that is almost on top of
/// a tried or pending point would teach the model nothing and make the kernel matrix singular.
fn first_untried(
    search: &Search<'_>,
    rng: &mut ChaCha8Rng,
    is_known: impl Fn(&[f64]) -> bool,
) -> Option<Params> {
    let candidates = search.run(rng);
    let mut unknown = candidates.iter().filter(|candidate| {
        let mut unit = candidate.unit.clone();
        let active = search.history.snap(&mut unit);
        !is_known(&search.columns.row(&unit, &active))
    });
    unknown.find_map(|candidate| search.history.untried(&candidate.unit))
}

/// The processes of several objectives, as an acquisition value.
struct FrontModel {
    improvement: HypervolumeImprovement,
    /// The trials of the rows that the processes are conditioned on.
    trials: Vec<u32>,
}

/// Maximum number of trials that the processes of several objectives are conditioned on.
const FRONT_ROWS: usize = 250;

/// Maximum number of candidates whose exact gain of a front is computed in the screening.
const FRONT_VALUED: usize = 60;

/// Number of samples of the values at all trials, if those are uncertain.
const SAMPLES: usize = 4;

/// Brings rows into an order that depends on the number of a trial.
fn shuffle(rows: &mut [u32], trial: u32) {
    rows.sort_by_cached_key(|row| mix(mix(u64::from(trial)) ^ u64::from(*row)));
}

/// Number of lowest values among which the incumbent is looked for if there is noise.
const NOISY_INCUMBENTS: usize = 20;
/// Ratio of noise to signal variance above which the lowest value may be luck.
const LARGE_NOISE: f64 = 0.01;

/// Returns whether the noise is so large that the lowest value may be luck.
fn noisy(hyper: &Hyper) -> bool {
    hyper.noise() > LARGE_NOISE
}

/// Distance in lengthscales below which a candidate counts as already tried.
const MIN_DISTANCE: f64 = 1e-3;

/// Side length of a new trust region. This and the next four are those of TuRBO (Eriksson et al.,
/// 2019, section 3).
const REGION_START: f64 = 0.8;
/// Largest side length of the trust region.
const REGION_MAX: f64 = 1.6;
/// Side length below which the trust region has converged.
const REGION_MIN: f64 = 1.0 / 128.0;
/// Consecutive improvements after which the trust region doubles.
const REGION_SUCCESSES: u32 = 3;
/// Minimum number of consecutive failures after which the trust region halves. The number of
/// dimensions is used instead if it is larger.
const REGION_FAILURES: usize = 4;

/// The state of the trust region: a box around the incumbent that doubles after successes and
/// halves after failures.
struct TrustRegion {
    /// Number of axes.
    dims: usize,
    /// Side length of the box in units of the cube, before it is stretched by the lengthscales.
    size: f64,
    /// Consecutive trials that improved on the incumbent, or with several objectives joined the
    /// Pareto front.
    successes: u32,
    /// Consecutive trials that did not.
    failures: u32,
    /// Trials since the last improvement.
    stale: usize,
    /// The violation and the score of the incumbent when last seen. The violation comes first: the
    /// score of a trial that breaks a constraint is no mark to beat for those that keep it.
    best: (f64, f64),
    /// The incumbent that the box had converged to when it restarted, until that is recorded.
    converged: Option<u32>,
    /// With several objectives: the rows of the Pareto front when last seen.
    front: Vec<u32>,
}

impl TrustRegion {
    /// Creates a box of the initial size.
    fn new(dims: usize) -> Self {
        Self {
            dims,
            size: REGION_START,
            successes: 0,
            failures: 0,
            stale: 0,
            best: (f64::INFINITY, f64::INFINITY),
            converged: None,
            front: Vec::new(),
        }
    }

    /// Counts one more ended trial as a success or a failure, and resizes the box.
    fn observe(&mut self, history: &History) {
        let Some(row) = history.incumbent() else {
            return;
        };
        let Some(score) = history.scores(row).first().copied() else {
            return;
        };
        let violation = history.row(row).violation;
        let is_success = match history.objectives.len() {
            1 => self.improves((violation, score)),
            // Until a trial satisfies the constraints, violating them less is a success.
            _ if violation > 0.0 => self.improves((violation, 0.0)),
            _ => self.enlarges(history.front()),
        };
        if is_success {
            self.stale = 0;
            (self.successes, self.failures) = (self.successes + 1, 0);
        } else {
            self.stale += 1;
            (self.successes, self.failures) = (0, self.failures + 1);
        }
        if self.successes >= REGION_SUCCESSES {
            self.size = (2.0 * self.size).min(REGION_MAX);
            self.successes = 0;
        }
        if self.failures as usize >= self.dims.max(REGION_FAILURES) {
            self.size /= 2.0;
            self.failures = 0;
        }
        // The box has converged: continue with a large one.
        if self.size < REGION_MIN {
            self.size = REGION_START;
            // With several objectives the box lies around another trial of the front each time.
            let is_around_one = history.objectives.len() == 1 && self.is_in_use(history);
            self.converged = is_around_one.then_some(row);
        }
    }

    /// Returns whether a violation and a score are better than the best, and keeps the better ones.
    fn improves(&mut self, own: (f64, f64)) -> bool {
        let is_better = own < self.best;
        if is_better {
            self.best = own;
        }
        is_better
    }

    /// Returns whether a front has members that the last one did not have, and keeps it.
    fn enlarges(&mut self, front: Vec<u32>) -> bool {
        let has_joined = front.iter().any(|row| !self.front.contains(row));
        self.front = front;
        has_joined
    }

    /// Returns whether proposals are confined to the box: in many dimensions, after many trials, or
    /// when the incumbent is stale. Otherwise the whole cube can be searched.
    fn is_in_use(&self, history: &History) -> bool {
        let is_single = history.objectives.len() == 1;
        let is_stale = is_single && self.stale >= self.dims.max(STALE_TRIALS);
        self.dims >= 15 || history.len() >= 200 || is_stale
    }

    /// Returns the box around the row `best`: longer along axes with a large lengthscale, unbounded
    /// along choices. `None` if it is not in use.
    fn at(&self, best: Option<u32>, history: &History, hyper: &Hyper) -> Option<Region> {
        if !self.is_in_use(history) {
            return None;
        }
        let centre = &history.row(best?).unit;
        let lengths: Vec<f64> = hyper.lengths().collect();
        // Relative to the geometric mean, so that the lengthscales stretch the box without changing
        // its volume (up to the clamp).
        let mean =
            lengths.iter().map(|length| libm::log(*length)).sum::<f64>() / lengths.len() as f64;
        let half = lengths
            .iter()
            .map(|length| 0.5 * self.size * (length / libm::exp(mean)).clamp(0.2, 5.0));
        let (low, high) = centre
            .iter()
            .zip(half)
            .zip(history.kinds())
            .map(|((x, half), kind)| match kind {
                AxisKind::Choice(_) => (0.0, 1.0),
                _ => ((x - half).max(0.0), (x + half).min(1.0)),
            })
            .unzip();
        Some(Region { low, high })
    }
}

#[cfg(test)]
mod tests {
    use super::{Model, TrustRegion};
    use crate::sampler::outlook::tests::{setting, square};
    use crate::sampler::{Ask, History};
    use swath_model::demo::{Demo, objective};
    use swath_model::space::{Params, Value};
    use swath_model::study::{Event, Goal, Origin, Study, TrialId};

    /// Returns the trust region after trials with these pairs of loss and latency.
    fn region_after(mut demo: Demo, trials: &[(f64, f64)]) -> TrustRegion {
        for (at, (loss, latency)) in trials.iter().enumerate() {
            let x = Value::Float(at as f64 / 10.0);
            demo.complete(
                &[("x", x.clone()), ("y", x)],
                &[("val_loss", *loss), ("latency", *latency)],
            );
        }
        let mut history = History::new(&setting(&demo, &square()));
        let mut region = TrustRegion::new(2);
        let mut study = Study::default();
        let mut ended = 0;
        for entry in &demo.entries {
            study.apply(entry).unwrap();
            history.observe(&study, &entry.event);
            if history.ranked().len() > ended {
                ended = history.ranked().len();
                region.observe(&history);
            }
        }
        region
    }

    #[test]
    fn a_region_without_an_improvement_restarts_and_names_its_incumbent() {
        let losses = std::iter::once(0.1).chain((0..40).map(|at| 0.5 + f64::from(at)));
        let trials: Vec<(f64, f64)> = losses.map(|loss| (loss, 0.5)).collect();
        assert_eq!(
            region_after(Demo::new(&["x", "y"]), &trials[..28]).converged,
            None
        );
        let region = region_after(Demo::new(&["x", "y"]), &trials);
        assert_eq!(region.converged, Some(0));
    }

    fn created(origin: Origin) -> Event {
        Event::Created {
            trial: TrialId(9),
            params: Params::default(),
            origin,
            seed: 0,
        }
    }

    #[test]
    fn a_restart_is_stated_until_a_trial_records_it() {
        let demo = Demo::new(&["x", "y"]);
        let mut model = Model::new(&History::new(&setting(&demo, &square())));
        model.region.converged = Some(6);
        model.note_restart(&created(Origin::Suggested("auto".into())));
        let why = model.restart().unwrap();
        assert!(why.contains("around trial 7"), "{why}");
        model.note_restart(&created(Origin::Restarted {
            sampler: "auto".into(),
            why,
        }));
        assert_eq!(model.restart(), None);
    }

    #[test]
    fn a_trial_that_keeps_the_constraints_succeeds_though_one_that_breaks_them_scored_better() {
        let mut demo = Demo::new(&["x", "y"]);
        demo.constrain("latency", Some(1.0));
        let region = region_after(demo, &[(0.1, 9.0), (0.8, 0.5), (0.7, 0.5)]);
        assert_eq!((region.successes, region.stale), (0, 0));
        assert_eq!(region.size, super::REGION_MAX);
        assert_eq!(region.best, (0.0, 0.7));
    }

    /// Returns a study that minimises the loss and the latency.
    fn two_objectives() -> Demo {
        let objectives = ["val_loss", "latency"].map(|metric| objective(metric, Goal::Min));
        Demo::with(&["x", "y"], objectives.to_vec())
    }

    #[test]
    fn a_trial_on_the_front_succeeds_though_its_first_objective_is_no_better() {
        let trials = [(0.1, 0.9), (0.5, 0.5), (0.8, 0.1), (0.9, 0.95)];
        let region = region_after(two_objectives(), &trials);
        assert_eq!((region.successes, region.failures), (0, 1));
        assert_eq!(region.size, super::REGION_MAX);
    }

    #[test]
    fn an_objective_that_never_changes_leaves_the_search_to_the_other() {
        let mut demo = two_objectives();
        for at in 0..10 {
            let [x, y] = [f64::from(at) / 10.0, f64::from(at * 3 % 10) / 10.0];
            demo.complete(
                &[("x", Value::Float(x)), ("y", Value::Float(y))],
                &[("val_loss", (x - 0.3).powi(2)), ("latency", 1.0)],
            );
        }
        let setting = setting(&demo, &square());
        let history = History::of(&setting, &demo.study);
        for trial in 11..15 {
            let ask = Ask {
                space: &setting.space,
                study: &demo.study,
                trial: TrialId(trial),
                seed: 1,
            };
            let model = Model::new(&history);
            assert!(model.propose(&history, &ask).is_some(), "{trial}");
        }
    }
}
