//! Bayesian optimisation with a Gaussian process: for few and expensive trials.
//!
//! The parts: a Matérn-5/2 kernel over the whole space (`kernel.rs`), transformed scores
//! (`training_set.rs`), hyperparameters at the maximum of their posterior density (`surrogate.rs`), and
//! log expected improvement as the acquisition function (`acquisition.rs`). With a single objective
//! two transformations of the scores alternate, each with hyperparameters of its own, and one proposal
//! in five minimises the lower confidence bound instead. On functions with noise or many local
//! optima two models are worth more than the better one alone. Pending trials count as complete
//! with their predicted value. Every second proposal is confined to a trust region (Eriksson et
//! al., *Scalable Global Optimization via Local Bayesian Optimization*, NeurIPS 2019) in many
//! dimensions, after many trials, or when a single objective has not improved for a while. Beyond
//! [`MODEL_ROWS`] trials the model is conditioned on a selection of them.

use super::acquisition::{AcquisitionFunction, Region, Search};
use super::constraint_models::ConstraintModels;
use super::history::History;
use super::initial_design::InitialDesign;
use super::kernel::Columns;
use super::surrogate::{Hyper, Posterior, Rows, Scratch, fit};
use super::training_set::{OutcomeTransform, TrainingSet};
use super::{Ask, Sampler, tpe};
use swath_model::space::{AxisKind, Params};
use swath_model::study::{Event, Kind, Study};
use swath_numerics::sobol::mix;

pub(super) const KIND: Kind<dyn Sampler> = Kind {
    name: "gp",
    about: "Gaussian process with expected improvement: up to some hundred expensive trials",
    paper: Some(
        "Ament et al., Unexpected Improvements to Expected Improvement for Bayesian Optimization, \
         NeurIPS 2023 (arXiv 2310.20708); \
         Eriksson et al., Scalable Global Optimization via Local Bayesian Optimization, NeurIPS 2019",
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
const MODEL_ROWS: usize = 400;
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

/// Returns the size of the initial design: d + 2, but 6 to 8. It is small because trials proposed by
/// the model are worth more.
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
    }

    fn suggest(&self, ask: &Ask<'_>) -> Option<Params> {
        self.design
            .suggest(&self.history)
            .or_else(|| self.model.propose(&self.history, ask))
            .or_else(|| tpe::propose(&self.history, ask))
    }
}

/// A Gaussian-process model between proposals: its hyperparameters, refitted as trials end, and the
/// trust region.
pub(super) struct Model {
    /// The encoding of configurations for the kernel.
    columns: Columns,
    /// The hyperparameters for each of [`TRANSFORMS`].
    hypers: [Hyper; TRANSFORMS.len()],
    /// Number of trials that had ended at the last fit.
    fitted: usize,
    /// Number of fits so far. It selects the transformation, and the scalarisation of several objectives.
    fits: u32,
    /// The hyperparameters of the outcome constraints.
    constraints: ConstraintModels,
    /// The trust region around the incumbent.
    region: TrustRegion,
    /// Number of trials that had ended at the last call of [`Model::observe`].
    last_ended: usize,
}

/// The transformations that alternate with a single objective.
const TRANSFORMS: [OutcomeTransform; 2] = [OutcomeTransform::Warped, OutcomeTransform::Clipped];

/// Returns the number of [`TRANSFORMS`] in use: one with several objectives, whose scalarisation varies
/// already.
fn transforms_in_use(history: &History) -> usize {
    if history.objectives.len() > 1 {
        1
    } else {
        TRANSFORMS.len()
    }
}

impl Model {
    /// Creates a model at the mode of the prior.
    pub(super) fn new(history: &History) -> Self {
        let d = history.dims();
        let region = TrustRegion::new(d);
        let hypers = [Hyper::prior(d), Hyper::prior(d)];
        let (columns, constraints) = (Columns::new(history), ConstraintModels::default());
        Self {
            columns,
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

    /// Refits the outcome constraints and the next transformation in turn.
    fn refit(&mut self, history: &History) {
        self.constraints.fit(&self.columns, history, FIT_ROWS);
        let transform = self.fits as usize % transforms_in_use(history);
        let training = TrainingSet::new(
            history,
            FIT_ROWS,
            TRANSFORMS[transform],
            u64::from(self.fits),
        );
        let flat = training.y.iter().all(|y| *y == 0.0);
        // Equal scores say nothing about lengthscales.
        if flat || history.dims() == 0 {
            return;
        }
        let rows = self.rows(history, &training.rows);
        let start = self.hypers[transform].clone();
        let (mut loss, mut hyper) = fit(&rows, &training.y, start, FIT_EVALUATIONS);
        // Now and then a second fit starts from the prior, because the first one may be stuck in a
        // local maximum that later trials have made wrong.
        if self.fits as usize % RESTART_PERIOD < transforms_in_use(history) {
            let start = Hyper::prior(history.dims());
            let (other_loss, other) = fit(&rows, &training.y, start, RESTART_EVALUATIONS);
            if other_loss < loss {
                (loss, hyper) = (other_loss, other);
            }
        }
        if loss.is_finite() {
            self.hypers[transform] = hyper;
        }
        self.fits += 1;
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

    /// Returns the untried configuration with the largest acquisition value found. Returns `None`
    /// if all scores are equal or every candidate was tried or refused.
    pub(super) fn propose(&self, history: &History, ask: &Ask<'_>) -> Option<Params> {
        // Independent of the seed, so that the same trials use the same
        // transformation and acquisition function in every sweep.
        let word = mix(u64::from(ask.trial.0) ^ 0x5eed);
        let transform = (word % transforms_in_use(history) as u64) as usize;
        let hyper = &self.hypers[transform];
        let training = TrainingSet::new(
            history,
            MODEL_ROWS,
            TRANSFORMS[transform],
            u64::from(ask.trial.0),
        );
        if training.y.iter().all(|y| *y == 0.0) || history.dims() == 0 {
            return None;
        }
        let mut rows = self.rows(history, &training.rows);
        // Rows beyond the values of `training` are pending trials: `Posterior::new` believes them.
        for pending in history.pending().take(MAX_PENDING) {
            let row = history.row(pending);
            rows.push(&self.columns.row(&row.unit, &row.active));
        }
        let posterior = Posterior::new(rows, &training.y, hyper)?;
        let mut scratch = Scratch::default();
        let constraints = self
            .constraints
            .posteriors(&self.columns, history, MODEL_ROWS);
        let (best, incumbent) = self.incumbent(hyper, history, &training, &posterior, &mut scratch);
        // Until a trial satisfies the outcome constraints there is no value to improve on.
        let has_feasible = history
            .incumbent()
            .is_some_and(|row| history.row(row).violation == 0.0);
        let is_confidence_turn = transforms_in_use(history) > 1
            && constraints.is_empty()
            && (word >> 20).is_multiple_of(CONFIDENCE_PERIOD);
        let acquisition = match (has_feasible || constraints.is_empty(), is_confidence_turn) {
            (false, _) => AcquisitionFunction::Feasibility,
            (true, true) => AcquisitionFunction::LowerConfidenceBound(CONFIDENCE_DEVIATIONS),
            (true, false) => AcquisitionFunction::LogExpectedImprovement(incumbent),
        };
        let search = Search {
            history,
            columns: &self.columns,
            posterior: &posterior,
            acquisition,
            constraints: &constraints,
            centres: training.lowest_rows(history, LOCAL_CENTRES),
            region: self
                .region
                .at(best, history, hyper)
                .filter(|_| ask.trial.0.is_multiple_of(2)),
        };
        search
            .run(&mut ask.rng())
            .iter()
            .filter(|candidate| !self.is_known(history, &posterior, &candidate.unit))
            .find_map(|candidate| history.untried(&candidate.unit))
    }

    /// Returns whether a candidate is almost on top of a tried or pending point. Such a candidate
    /// would teach the model nothing and make the kernel matrix singular.
    fn is_known(&self, history: &History, posterior: &Posterior, unit: &[f64]) -> bool {
        let mut unit = unit.to_vec();
        let active = history.snap(&mut unit);
        let row = self.columns.row(&unit, &active);
        posterior.nearest(&row, &mut Scratch::default()) <= MIN_DISTANCE * MIN_DISTANCE
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
            return (history.incumbent(), training.lowest_value(history));
        }
        let mut best = (None, f64::INFINITY);
        for at in training.lowest_rows(history, NOISY_INCUMBENTS) {
            let row = history.row(at);
            let row = self.columns.row(&row.unit, &row.active);
            let (mean, _) = posterior.at(&row, scratch);
            if mean < best.1 {
                best = (Some(at), mean);
            }
        }
        best
    }
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
    /// Consecutive trials that improved on the incumbent.
    successes: u32,
    /// Consecutive trials that did not.
    failures: u32,
    /// Trials since the last improvement.
    stale: usize,
    /// The score of the incumbent when last seen.
    best: f64,
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
            best: f64::INFINITY,
        }
    }

    /// Counts one more ended trial as a success or a failure, and resizes the box.
    fn observe(&mut self, history: &History) {
        let Some(row) = history.incumbent() else {
            return;
        };
        let Some(best) = history.scores(row).first().copied() else {
            return;
        };
        if best < self.best {
            self.best = best;
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
        }
    }

    /// Returns the box around the row `best`: longer along axes with a large lengthscale, unbounded
    /// along choices. Returns `None` if the space is small, trials are few and the incumbent is not
    /// stale, because the whole cube can then be searched.
    fn at(&self, best: Option<u32>, history: &History, hyper: &Hyper) -> Option<Region> {
        let is_single = history.objectives.len() == 1;
        let is_stale = is_single && self.stale >= self.dims.max(STALE_TRIALS);
        if self.dims < 15 && history.len() < 200 && !is_stale {
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
